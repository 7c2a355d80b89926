"""What a template settles is so, whichever way somebody asks for something else."""

import asyncio
import json
import os
import pwd
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from test_render import configs, launched

from jupyterlab_pyspark_kernels.administration import administration, configured
from jupyterlab_pyspark_kernels.aliases import ALSO_DECIDES, ANYTHING, ENV, RENAMED, canonical
from jupyterlab_pyspark_kernels.config import CONF_KEYS, KernelConfig, read_config
from jupyterlab_pyspark_kernels.errors import (
    CannotBeDone,
    Invalid,
    KernelError,
    Locked,
    NotAllowed,
)
from jupyterlab_pyspark_kernels.kernel import facts
from jupyterlab_pyspark_kernels.kernel.failure import SparkStartError
from jupyterlab_pyspark_kernels.places import Place
from jupyterlab_pyspark_kernels.policy import (
    Administration,
    Identity,
    Policy,
    apply,
    check,
    own_identity,
)
from jupyterlab_pyspark_kernels.render import read, render
from jupyterlab_pyspark_kernels.templates import Template, TemplateFile, make_template, parse

ME = pwd.getpwuid(os.getuid()).pw_name
ALICE = Identity({"user": "alice", "uid": "1001", "home": "/home/alice"})

TEMPLATE = """
version: 1
title: Analytics
reason: Ask data-platform@example.org.
fields:
  master: {fixed: "spark://master:7077", reason: There is one cluster.}
  environment: {fixed: /opt/envs/analytics}
  driver_memory: {default: 1g, min: 512m, max: 4g}
  cores_max: {default: 4, max: 8}
  carry: {hidden: true}
  executor_python: {hidden: true}
conf:
  spark.scheduler.pool: {fixed: analytics}
  spark.kerberos.access.hadoopFileSystems: {fixed: "hdfs://nn/home/${user}"}
  spark.yarn.tags: {fixed: "team,${launch.user}"}
  spark.executor.memoryOverhead: {default: 1g, max: 2g}
  spark.sql.shuffle.partitions: {default: 200, one_of: [100, 200, 400]}
  spark.jars.packages: {hidden: true}
env:
  HADOOP_USER_NAME: {fixed: "${launch.user}"}
  TEAM: {fixed: analytics}
size: S
sizes:
  S: {fields: {executor_memory: 2g, executor_cores: 1, executor_instances: 2}}
  M: {fields: {executor_memory: 4g, executor_cores: 2, executor_instances: 4}}
options:
  delta:
    title: Delta Lake
    conf: {spark.sql.extensions: io.delta.sql.DeltaSparkSessionExtension}
"""


@cache
def template(text: str = TEMPLATE) -> Template:
    content = parse(text.encode())
    assert isinstance(content, TemplateFile)
    return make_template("analytics", content, {})


def admitted(data: Mapping[str, Any], of: Template, who: Identity = ALICE) -> KernelConfig:
    """What `Policy.admit` does, without the disk."""
    config = read_config(apply(data, of, who))
    if errors := check(config, of, who):
        raise Locked(errors)
    return config


LEAST = {"name": "k", "template": "analytics"}


def test_a_template_fills_in_what_is_left_out() -> None:
    made = template()
    config = admitted(LEAST, made)
    assert config.model_dump(
        exclude_none=True, exclude={"carry", "carry_everything", "driver_start"}
    ) == {
        "name": "k",
        "display_name": "k",
        "place": "user",
        "template": made.reference,
        "choices": ["S"],
        "master": "spark://master:7077",
        "environment": "/opt/envs/analytics",
        "driver_memory": "1g",
        "executor_memory": "2g",
        "executor_cores": 1,
        "executor_instances": 2,
        "cores_max": 4,
        "conf": {
            "spark.scheduler.pool": "analytics",
            "spark.kerberos.access.hadoopFileSystems": "hdfs://nn/home/alice",
            "spark.yarn.tags": "team,${launch.user}",
            "spark.executor.memoryOverhead": "1g",
            "spark.sql.shuffle.partitions": "200",
        },
        "env": {"HADOOP_USER_NAME": "${launch.user}", "TEAM": "analytics"},
        "labels": {},
        "secrets": {},
        "per_user": ["HADOOP_USER_NAME", "spark.yarn.tags"],
    }


def test_sizes_and_options() -> None:
    config = admitted({**LEAST, "choices": ["delta", "M"]}, template())
    assert config.choices == ["M", "delta"]
    assert (config.executor_memory, config.executor_instances) == ("4g", 4)
    assert config.conf["spark.sql.extensions"].startswith("io.delta")
    for choices in (["S", "M"], ["XL"], "S", [1]):
        with pytest.raises(Invalid) as refused:
            admitted({**LEAST, "choices": choices}, template())
        assert refused.value.errors[0].field == "choices"


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"master": "yarn"}, "master", "“spark://master:7077” in the template"),
        ({"conf": {"spark.master": "yarn"}}, "master", "There is one cluster."),
        ({"environment": "/home/me/venv"}, "environment", "data-platform@example.org"),
        ({"driver_memory": "5g"}, "driver_memory", "more than 4g"),
        ({"conf": {"spark.driver.memory": "450m"}}, "driver_memory", "less than 512m"),
        ({"cores_max": 9}, "cores_max", "more than 8"),
        ({"carry": True}, "carry", "“False” in the template"),
        ({"executor_memory": "3g"}, "executor_memory", "S sets it."),
        ({"conf": {"spark.scheduler.pool": "root"}}, "conf", "spark.scheduler.pool is “root” here"),
        ({"conf": {"spark.jars.packages": "a:b:1"}}, "conf", "it stays unset"),
        ({"conf": {"spark.sql.shuffle.partitions": "300"}}, "conf", "none of: 100, 200, 400"),
        (
            {"conf": {"spark.kerberos.access.hadoopFileSystems": "hdfs://nn/home/bob"}},
            "conf",
            "hdfs://nn/home/alice",
        ),
        (
            {"conf": {"spark.yarn.access.hadoopFileSystems": "bob"}},
            "conf",
            "spark.yarn.access.hadoopFileSystems also decides",
        ),
        ({"conf": {"spark.yarn.executor.memoryOverhead": "9g"}}, "conf", "also decides"),
        ({"conf": {"spark.executor.pyspark.memory": "9g"}}, "conf", "also decides executor_memory"),
        ({"conf": {"spark.memory.offHeap.size": "9g"}}, "conf", "also decides"),
        ({"conf": {"spark.unsafe.offHeap": "true"}}, "conf", "also decides"),
        ({"conf": {"spark.dynamicAllocation.enabled": "true"}}, "conf", "executor_instances"),
        ({"conf": {"spark.hadoop.yarn.resourcemanager.address": "x:1"}}, "conf", "decides master"),
        (
            {"conf": {"spark.driver.extraJavaOptions": "-Da=b -Dspark.scheduler.pool=root"}},
            "conf",
            "-Dspark.scheduler.pool in spark.driver.extraJavaOptions",
        ),
        ({"conf": {"spark.driver.extraJavaOptions": "'-Dspark.executor.memory=9g'"}}, "conf", ""),
        (
            {"conf": {"spark.driver.extraJavaOptions": "-Dspark.yarn.access.hadoopFileSystems=x"}},
            "conf",
            "",
        ),
        ({"conf": {"spark.driver.extraJavaOptions": "-Xmx9g"}}, "conf", "driver_memory"),
        ({"conf": {"spark.driver.extraJavaOptions": "@/home/me/options"}}, "conf", ""),
        ({"conf": {"spark.driver.defaultJavaOptions": "-XX:Flags=/home/me/f"}}, "conf", ""),
        ({"conf": {"spark.driver.extraJavaOptions": "-Dx='"}}, "conf", ""),
        # What Spark and Java understand, and a shell does not.
        ({"conf": {"spark.driver.extraJavaOptions": "-mx9g"}}, "conf", "driver_memory"),
        ({"conf": {"spark.driver.extraJavaOptions": '"-X\\mx9g"'}}, "conf", "driver_memory"),
        ({"conf": {"spark.driver.extraJavaOptions": "-Da=b\u2003-mx9g"}}, "conf", "driver_memory"),
        ({"conf": {"spark.driver.extraJavaOptions": '"-D\\spark.scheduler.pool=x"'}}, "conf", ""),
        ({"conf": {"spark.driver.extraJavaOptions": "-DHADOOP_PROXY_USER=x"}}, "conf", "HADOOP_"),
        (
            {"conf": {"spark.executor.extraJavaOptions": "-XX:MaxHeapSize=9g"}},
            "conf",
            "executor_memory",
        ),
        ({"conf": {"spark.executor.defaultJavaOptions": "@/home/me/options"}}, "conf", ""),
        ({"conf": {"spark.executorEnv._JAVA_OPTIONS": "-Xmx9g"}}, "conf", "executor_memory"),
        ({"env": {"HADOOP_PROXY_USER": "hdfs"}}, "env", "also decides HADOOP_USER_NAME"),
        ({"env": {"SPARK_EXECUTOR_MEMORY": "9g"}}, "env", "SPARK_EXECUTOR_MEMORY also decides"),
        ({"env": {"SPARK_DRIVER_MEMORY": "9g"}}, "env", ""),
        ({"env": {"SPARK_CONF_DIR": "/home/me/conf"}}, "env", ""),
        ({"env": {"HADOOP_CONF_DIR": "/home/me/conf"}}, "env", "also decides master"),
        ({"env": {"SPARK_SUBMIT_OPTS": "-Dspark.scheduler.pool=root"}}, "env", ""),
        ({"env": {"JAVA_TOOL_OPTIONS": "-Dspark.scheduler.pool=root"}}, "env", ""),
        ({"env": {"BASH_ENV": "/home/me/x"}}, "env", ""),
        ({"env": {"TEAM": "other"}}, "env", "TEAM is “other” here"),
        ({"env": {"HADOOP_USER_NAME": "hdfs"}}, "env", "HADOOP_USER_NAME is “hdfs” here"),
    ],
)
def test_what_is_settled_is_refused_by_any_way_in(
    data: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(Locked) as refused:
        admitted({**LEAST, **data}, template())
    assert (refused.value.status, refused.value.reason) == (403, "locked")
    assert field in {error.field for error in refused.value.errors}
    assert words in str(refused.value)
    assert "data-platform" in str(refused.value) or "cluster" in str(refused.value) or "S sets"


@pytest.mark.parametrize(
    "data",
    [
        {"env": {"PYSPARK_SUBMIT_ARGS": "--executor-memory 9g pyspark-shell"}},
        {"env": {"SPARK_HOME": "/home/me/spark"}},
        {"env": {"PYSPARK_KERNELS_PER_USER": "spark.x"}},
        {"conf": {"spark.remote": "sc://elsewhere"}},
        {"conf": {"spark.submit.deployMode": "cluster"}},
        {"executor_memory": "2g --conf spark.scheduler.pool=root"},
        {"driver_memory": "1g", "conf": {"spark.driver.memory": "9g"}},
        {"arguments": ["--properties-file", "/home/me/p"]},
        {"conf": ["spark.scheduler.pool"]},
        {"conf": "spark.scheduler.pool root"},
        {"env": 1},
        {"per_user": "spark.x"},
    ],
)
def test_what_is_no_configuration_at_all(data: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        admitted({**LEAST, **data}, template())


def test_what_the_administrator_names_is_theirs_to_allow() -> None:
    text = f"{TEMPLATE}".replace(
        "  spark.jars.packages: {hidden: true}",
        "  spark.dynamicAllocation.enabled: {default: false, one_of: [true, false]}",
    )
    conf = {"spark.dynamicAllocation.enabled": "true"}
    assert admitted({**LEAST, "conf": conf}, template(text)).conf.items() >= conf.items()
    # Unsettled, the same is free.
    free = template("version: 1\ntitle: Free\nfields: {master: {default: yarn}}\n")
    mine = {"environment": "/e", "conf": {"spark.dynamicAllocation.enabled": "true"}}
    assert admitted({**LEAST, **mine, "env": {"SPARK_CONF_DIR": "/c"}}, free).master == "yarn"


def test_closed_settings() -> None:
    closed = template(TEMPLATE + "closed: [conf, env]\n")
    for data in ({"conf": {"spark.x": "1"}}, {"env": {"X": "1"}}):
        admitted({**LEAST, **data}, template())
        with pytest.raises(Locked, match="none of what the template"):
            admitted({**LEAST, **data}, closed)


def test_closed_settings_come_by_no_other_way() -> None:
    closed = template(
        "version: 1\ntitle: T\nclosed: [conf]\n"
        "conf: {spark.driver.extraJavaOptions: {default: -Da=b}}\n"
    )
    data = {"template": "analytics", "name": "k", "environment": "/e"}
    admitted(data, closed)
    admitted({**data, "conf": {"spark.driver.extraJavaOptions": "-Da=c"}}, closed)
    for way in (
        {"conf": {"spark.driver.extraJavaOptions": "-Dspark.ui.port=1"}},
        {"conf": {"spark.driver.extraJavaOptions": "@/home/me/options"}},
        {"env": {"SPARK_CONF_DIR": "/home/me/conf"}},
    ):
        with pytest.raises(Locked, match="does not name"):
            admitted({**data, **way}, closed)


def test_what_the_administrator_writes_is_no_way_around() -> None:
    made = template(
        "version: 1\ntitle: T\nfields: {driver_memory: {fixed: 2g}}\n"
        "conf: {spark.driver.extraJavaOptions: {fixed: -XX:MaxRAM=2g}}\n"
    )
    admitted({"template": "analytics", "name": "k", "environment": "/e"}, made)


@pytest.mark.parametrize(
    ("fact", "name"), [("hub_user", "JUPYTERHUB_USER"), ("home", "HOME"), ("user", None)]
)
def test_a_kernel_does_not_say_itself_who_starts_it(fact: str, name: str | None) -> None:
    made = template(f"version: 1\ntitle: T\nenv: {{WHO: {{fixed: '${{launch.{fact}}}'}}}}\n")
    data = {"template": "analytics", "name": "k", "environment": "/e"}
    for variable in ("JUPYTERHUB_USER", "HOME"):
        forged = {**data, "env": {variable: "bob"}}
        if variable != name:
            admitted(forged, made)
            continue
        with pytest.raises(Locked, match=f"{variable} also decides WHO"):
            admitted(forged, made)


def test_a_variable_that_wins_over_a_setting_is_another_way_in() -> None:
    made = template("version: 1\ntitle: T\nconf: {spark.local.dir: {fixed: /data}}\n")
    data = {"template": "analytics", "name": "k", "environment": "/e"}
    with pytest.raises(Locked, match=r"SPARK_LOCAL_DIRS also decides spark\.local\.dir"):
        admitted({**data, "env": {"SPARK_LOCAL_DIRS": "/home/me"}}, made)


# --- any way in, generated ---------------------------------------------------------------------

VALUES: dict[str, list[Any]] = {
    "master": ["yarn", "local[*]", "spark://other:1"],
    "environment": ["/home/me/env"],
    "executor_python": ["/home/me/bin/python3"],
    "driver_memory": ["5g", "450m", "64g"],
    "cores_max": [9, 64],
    "executor_memory": ["3g", "64g"],
    "executor_cores": [3, 64],
    "executor_instances": [3, 64],
    "spark.scheduler.pool": ["root"],
    "spark.kerberos.access.hadoopFileSystems": ["hdfs://nn/home/bob"],
    "spark.executor.memoryOverhead": ["3g", "9000"],
    "spark.jars.packages": ["a:b:1"],
    "env:TEAM": ["other"],
    "env:HADOOP_USER_NAME": ["hdfs"],
}
"""Settings that the template rules, and values that it does not allow."""


def ways(setting: str, value: Any) -> Iterator[dict[str, Any]]:
    """Every way in that somebody may try, as the data of a KernelConfig."""
    key = CONF_KEYS.get(setting, setting)
    for pattern in (*ALSO_DECIDES.get(setting, ()), *ALSO_DECIDES[ANYTHING]):
        name = pattern.replace("*", "anything")
        if name.startswith(ENV):
            yield {"env": {name.removeprefix(ENV): f"-D{key}={value}"}}
        elif canonical(name) not in template().rules:
            yield {"conf": {name: str(value)}}
    if setting.startswith(ENV):
        yield {"env": {setting.removeprefix(ENV): value}}
    elif not setting.startswith("spark."):
        yield {setting: value}
    if not key.startswith("spark."):
        return
    yield {"conf": {key: str(value)}}
    for old, new in RENAMED.items():
        if new == key:
            yield {"conf": {old: str(value)}}
    for holder in ("spark.driver.extraJavaOptions", "spark.driver.defaultJavaOptions"):
        yield {"conf": {holder: f"-Xss4m -D{key}={value}"}}
        yield {"conf": {holder: f"'-D{key}={value}'"}}
    yield {"env": {"PYSPARK_SUBMIT_ARGS": f"--conf {key}={value} pyspark-shell"}}
    spec = {
        "argv": ["/opt/envs/analytics/bin/python"],
        "display_name": "k",
        "env": {"PYSPARK_SUBMIT_ARGS": shlex.join(["--conf", f"{key}={value}", "pyspark-shell"])},
    }
    yield read(spec)


ATTEMPTS = [
    (setting, way)
    for setting, values in VALUES.items()
    for value in values
    for way in ways(setting, value)
]


def effective(config: KernelConfig) -> dict[str, str]:
    """What a kernel's process is given: settings of its arguments, and variables."""
    env = launched(render(config, "alice"))
    tokens = shlex.split(env["PYSPARK_SUBMIT_ARGS"])
    pairs = (token.split("=", 1) for token in tokens[3:-1:2])
    return {"master": tokens[1], **dict(pairs), **env}


@settings(max_examples=400)
@given(st.lists(st.sampled_from(ATTEMPTS), min_size=1, max_size=3), configs())
def test_no_attempt_changes_what_a_template_settles(
    attempts: list[tuple[str, dict[str, Any]]], other: KernelConfig
) -> None:
    made = template()
    data: dict[str, Any] = {**other.model_dump(include={"name", "conf", "env"}), **LEAST}
    for _, way in attempts:
        for name, value in way.items():
            data[name] = {**data.get(name, {}), **value} if isinstance(value, dict) else value
    wanted = effective(admitted(LEAST, made))
    try:
        found = effective(admitted(data, made))
    except KernelError:
        return
    # None of the attempts keeps to the template, so nothing of them may have come through.
    for setting in VALUES:
        name = CONF_KEYS.get(setting, setting).removeprefix(ENV)
        variables = {"environment": "PYSPARK_DRIVER_PYTHON", "executor_python": "PYSPARK_PYTHON"}
        name = {"spark.master": "master", **variables}.get(name, name)
        assert found.get(name) == wanted.get(name)


def is_admitted(way: dict[str, Any]) -> bool:
    try:
        admitted({**LEAST, **way}, template())
    except KernelError:
        return False
    return True


def test_each_attempt_alone_is_refused() -> None:
    assert len(ATTEMPTS) > 300
    assert [attempt for attempt in ATTEMPTS if is_admitted(attempt[1])] == []


@given(configs(), st.sampled_from([[], ["M"], ["S", "delta"]]))
def test_what_was_admitted_is_admitted_unchanged(other: KernelConfig, choices: list[str]) -> None:
    made = template()
    data = {**other.model_dump(include={"conf", "env"}), **LEAST, "choices": choices}
    config = admitted(data, made)
    assert admitted(config.model_dump(), made) == config
    assert admitted(json.loads(json.dumps(config.model_dump(exclude_none=True))), made) == config
    # And through kernel.json.
    spec = json.loads(json.dumps(render(config, "alice")))
    assert read_config({**read(spec), "name": "k", "place": "user"}) == config


def test_a_name_that_could_be_more_is_not_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x' --conf 'spark.scheduler.pool=root", "../root", "${HOME}", "", "a b"):
        identity = own_identity({"JUPYTERHUB_USER": name})
        assert "hub_user" not in identity.facts
    made = template(
        "version: 1\ntitle: T\nconf: {spark.x: {fixed: 'a-${hub_user}-$${hub_user}'}}\n"
    )
    with pytest.raises(CannotBeDone) as refused:
        admitted({**LEAST, "environment": "/e"}, made)
    assert refused.value.errors[0].field == "template"
    who = own_identity({"JUPYTERHUB_USER": "ann@example.org"})
    config = admitted({**LEAST, "environment": "/e"}, made, who)
    assert config.conf["spark.x"] == "a-ann@example.org-${hub_user}"


# --- one kernel, many users --------------------------------------------------------------------


@given(configs(), st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12))
def test_only_what_is_meant_is_filled_in(other: KernelConfig, user: str) -> None:
    """Whatever else is in a kernel, and whatever a user is called."""
    data = other.model_dump(exclude_none=True, exclude={"proxy_user", "labels"})
    marked = "a ${launch.user} '${HOME}' $$"
    config = read_config(
        {
            **data,
            "conf": {**data["conf"], "spark.yarn.tags": marked, "spark.plain": marked},
            "env": {**data["env"], "MINE": marked, "PLAIN": marked},
            "per_user": ["spark.yarn.tags", "MINE"],
        }
    )
    before = launched(render(config, "alice"))
    after = {**before, **facts.filled_in(before, {"user": user})}
    filled = marked.replace("${launch.user}", user)
    assert (after["MINE"], after["PLAIN"]) == (filled, marked)
    old, new = (shlex.split(env["PYSPARK_SUBMIT_ARGS"]) for env in (before, after))
    assert len(old) == len(new)
    changed = [(one, other) for one, other in zip(old, new, strict=True) if one != other]
    assert changed == [(f"spark.yarn.tags={marked}", f"spark.yarn.tags={filled}")]
    same_names = set(before) - {"MINE", "PYSPARK_SUBMIT_ARGS"}
    assert all(before[name] == after[name] for name in same_names)
    hand_written = render(config, "alice")
    del hand_written["metadata"]
    assert read_config({**read(hand_written), "name": "k"}).per_user == config.per_user


def started(spec: dict[str, Any], environ: dict[str, str]) -> dict[str, str]:
    """The variables as Jupyter gives them to a kernel's process, by its own code."""
    described = KernelSpec(**{key: spec[key] for key in ("argv", "env", "display_name")})
    provisioner = LocalProvisioner(kernel_id="k", kernel_spec=described)
    given = asyncio.run(KernelProvisionerBase.pre_launch(provisioner, env=dict(environ)))
    return dict(given["env"])


def in_a_process_of(uid: int, environ: dict[str, str]) -> dict[str, str]:
    """What the launcher makes of variables in a process of a user of this system."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(uid)
            changed = facts.filled_in(environ, facts.user_facts(environ))
            os.write(writable, json.dumps(changed).encode())
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    return dict(json.loads(content))


def test_one_shared_kernel_serves_every_user() -> None:
    shared = render(admitted(LEAST, template()), "alice")
    users = ["nobody", "daemon"] if os.getuid() == 0 else [ME]
    seen = {}
    for user in users:
        # A variable that says something else changes nothing.
        environ = {"USER": "root", "LOGNAME": "root", "HOME": "/root", "launch.user": "root"}
        env = started(shared, environ)
        env.update(in_a_process_of(pwd.getpwnam(user).pw_uid, env))
        assert env["HADOOP_USER_NAME"] == user
        conf = effective_of(env)
        assert conf["spark.yarn.tags"] == f"team,{user}"
        seen[user] = env["PYSPARK_SUBMIT_ARGS"].replace(user, "USER")
    assert len(set(seen.values())) == 1


def test_two_users_of_a_hub_whose_servers_run_as_one() -> None:
    made = template(
        "version: 1\ntitle: T\nfields: {environment: {fixed: /e}}\n"
        "conf: {spark.app.name: {fixed: 'notebook of ${launch.hub_user}'}}\n"
    )
    spec = render(admitted(LEAST, made), "alice")
    names = []
    for name in ("ann", "bob' --conf 'spark.x=y"):
        env = started(spec, {"JUPYTERHUB_USER": name})
        env.update(facts.filled_in(env, facts.user_facts(env)))
        conf = effective_of(env)
        assert set(conf) == {"spark.app.name", "spark.executorEnv.PYTHONHASHSEED"}
        names.append(conf["spark.app.name"])
    assert names == ["notebook of ann", "notebook of bob' --conf 'spark.x=y"]
    with pytest.raises(SparkStartError, match="hub_user"):
        env = started(spec, {})
        facts.filled_in(env, facts.user_facts(env))


def effective_of(env: Mapping[str, str]) -> dict[str, str]:
    tokens = shlex.split(env["PYSPARK_SUBMIT_ARGS"])
    return dict(token.split("=", 1) for token in tokens[3:-1:2])


IDENTITY = """
version: 1
title: Whose it is
fields:
  environment: {fixed: /e}
  master: {fixed: yarn}
  queue: {fixed: research}
  proxy_user: {fixed: "${launch.user}"}
labels:
  team: {fixed: research}
  who: {fixed: "${launch.user}"}
conf: {spark.hadoop.fs.s3a.access.key: {hidden: true}}
secrets: {spark.hadoop.fs.s3a.secret.key: {fixed: "env:S3_SECRET"}}
closed: [secrets]
"""


def test_identity_labels_and_secrets_come_from_a_template() -> None:
    config = admitted(LEAST, template(IDENTITY))
    assert config.labels == {"team": "research", "who": "${launch.user}"}
    assert config.secrets == {"spark.hadoop.fs.s3a.secret.key": "env:S3_SECRET"}
    assert (config.queue, config.per_user) == ("research", [])
    before = launched(render(config, "alice"))
    after = {**before, **facts.filled_in(before, {"user": "bob"})}
    tokens = shlex.split(after["PYSPARK_SUBMIT_ARGS"])
    assert tokens[tokens.index("--proxy-user") + 1] == "bob"
    assert "spark.yarn.tags=team:research,who:bob" in tokens
    assert "spark.yarn.queue=research" in tokens
    assert admitted(config.model_dump(), template(IDENTITY)) == config


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ({"labels": {"team": "other"}}, "labels", "team is “other” here"),
        ({"conf": {"spark.yarn.tags": "team:other"}}, "conf", "spark.yarn.tags also decides"),
        (
            {"conf": {"spark.kubernetes.executor.label.team": "other"}},
            "conf",
            "spark.kubernetes.executor.label.team also decides team",
        ),
        ({"proxy_user": "hdfs"}, "proxy_user", "“hdfs”"),
        ({"env": {"HADOOP_PROXY_USER": "hdfs"}}, "env", "HADOOP_PROXY_USER also decides"),
        ({"env": {"HADOOP_USER_NAME": "hdfs"}}, "env", "also decides proxy_user"),
        (
            {"secrets": {"spark.hadoop.fs.s3a.secret.key": "file:/home/me/mine"}},
            "secrets",
            "spark.hadoop.fs.s3a.secret.key is “file:/home/me/mine” here",
        ),
        (
            {"secrets": {"spark.hadoop.fs.s3a.access.key": "env:MINE"}},
            "secrets",
            "The secret spark.hadoop.fs.s3a.access.key also decides",
        ),
        ({"secrets": {"SPARK_CONF_DIR": "env:MINE"}}, "secrets", "SPARK_CONF_DIR also decides"),
        ({"secrets": {"TOKEN": "env:MINE"}}, "secrets", "TOKEN is none of what the template"),
        ({"conf": {"spark.yarn.queue": "root"}}, "queue", "“root”"),
    ],
)
def test_identity_labels_and_secrets_of_a_template_stay(
    data: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(Locked) as refused:
        admitted({**LEAST, **data}, template(IDENTITY))
    assert field in {error.field for error in refused.value.errors}
    assert words in str(refused.value)


# --- with the disk -----------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "templates"
    found.mkdir()
    found.chmod(0o755)
    (found / "analytics.yaml").write_text(TEMPLATE)
    return found


def policy(directory: Path, **more: Any) -> Policy:
    told = Administration(directories=(str(directory),), administrators=(ME,), **more)
    return Policy(told, lambda: ALICE)


def test_the_version_of_a_template_is_kept_and_told(directory: Path) -> None:
    judge = policy(directory)
    config = judge.admit(LEAST)
    assert judge.outdated(config.template, judge.catalog()) is None
    text = TEMPLATE.replace("pool: {fixed: analytics}", "pool: {fixed: other}")
    (directory / "analytics.yaml").write_text(
        text.replace("executor_memory: 2g", "executor_memory: 3g")
    )
    told = judge.outdated(config.template, judge.catalog())
    assert told == "Its template “analytics” has changed since it was made."
    # By itself it is held against the rules of now; an edit takes what it did not touch from them.
    with pytest.raises(Locked):
        judge.admit(config.model_dump())
    edited = judge.admit({**config.model_dump(), "cores_max": 2}, before=config)
    assert (edited.conf["spark.scheduler.pool"], edited.executor_memory) == ("other", "3g")
    assert (edited.cores_max, edited.template) == (2, judge.admit(LEAST).template)
    with pytest.raises(Locked):
        judge.admit({**config.model_dump(), "executor_memory": "64g"}, before=config)
    (directory / "analytics.yaml").write_text("broken")
    told = judge.outdated(config.template, judge.catalog())
    assert told == "Its template “analytics” is not there any longer."
    with pytest.raises(NotAllowed) as refused:
        judge.admit(config.model_dump(), before=config)
    assert refused.value.errors[0].field == "template"


def test_another_size_and_fewer_options_are_an_edit(directory: Path) -> None:
    judge = policy(directory)
    config = judge.admit({**LEAST, "choices": ["M", "delta"]})
    edited = judge.admit({**config.model_dump(), "choices": ["S"]}, before=config)
    assert (edited.executor_memory, edited.choices) == ("2g", ["S"])
    assert "spark.sql.extensions" not in edited.conf


def test_a_copy_by_somebody_else_is_theirs(directory: Path) -> None:
    config = policy(directory).admit(LEAST)
    bob = Policy(policy(directory).administration, lambda: Identity({"user": "bob"}))
    copied = bob.admit(bob.renewed(config.model_dump()))
    assert copied.conf["spark.kerberos.access.hadoopFileSystems"] == "hdfs://nn/home/bob"


def test_kernels_without_a_template_can_be_forbidden(directory: Path) -> None:
    plain = {"name": "k", "environment": "/e"}
    assert policy(directory).admit(plain).template is None
    strict = policy(directory, require_template=True)
    for data in (plain, {**plain, "template": None}):
        with pytest.raises(Locked) as refused:
            strict.admit(data)
        assert refused.value.errors[0].field == "template"
        assert "analytics" in str(refused.value)
    assert strict.admit(LEAST).template is not None
    assert strict.outdated(None, strict.catalog()) is not None
    with pytest.raises(Invalid):
        policy(directory).admit({**plain, "choices": ["S"]})
    for template in (1, ["analytics"], "../analytics", "Analytics"):
        with pytest.raises(KernelError):
            strict.admit({**plain, "template": template})


def test_who_may_share(directory: Path) -> None:
    places = [
        Place(id="user", kernels=Path("/u"), shared=False, reason=None),
        Place(id="all", kernels=Path("/a"), shared=True, reason=None),
    ]
    alice, staff = Identity({"user": "alice"}), Identity({"user": "x"}, frozenset({"staff"}))
    for allowed, who, free in [
        ((), alice, True),
        (("alice",), alice, True),
        (("bob", "@staff"), alice, False),
        (("bob", "@staff"), staff, True),
        (("staff",), staff, False),
    ]:
        judge = Policy(Administration(may_share=allowed), lambda who=who: who)  # type: ignore[misc]
        mine, shared = judge.places(places)
        assert mine.writable
        assert shared.writable == free


@pytest.mark.parametrize(
    ("group", "name"),
    [
        *(("env", name) for name in ("LD_PRELOAD", "PYTHONSTARTUP", "PYTHONPATH", "BASH_ENV")),
        *(("env", name) for name in ("IPYTHONDIR", "HOME")),
        *(("env", name) for name in ("JAVA_TOOL_OPTIONS", "SPARK_CONF_DIR")),
        ("secrets", "LD_PRELOAD"),
    ],
)
def test_a_shared_kernel_brings_no_code(directory: Path, group: str, name: str) -> None:
    shared = Place(id="all", kernels=Path("/a"), shared=True, reason=None)
    data = {"name": "k", "environment": "/e", group: {name: "env:CANARY"}}
    config = read_config(data)
    with pytest.raises(Locked) as refused:
        Policy().check_place(config, shared)
    assert "CANARY" not in str(refused.value)
    Policy().check_place(config, shared.model_copy(update={"shared": False}))
    # An administrator may.
    text = f"version: 1\ntitle: T\n{group}: {{{name}: {{fixed: 'env:CANARY'}}}}\n"
    (directory / "allows.yaml").write_text(text)
    judge = policy(directory)
    judge.check_place(judge.admit({**data, "template": "allows"}), shared)


# --- where it is configured --------------------------------------------------------------------


def test_the_command_line_reads_what_the_server_reads(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert configured({}) == Administration()
    config = tmp_path / "config"
    config.mkdir()
    settings_of = {
        "template_directories": ["/etc/templates"],
        "template_administrators": ["spark-admin"],
        "require_template": True,
        "may_share": ["@staff"],
    }
    file = config / "jupyter_server_config.json"
    file.write_text(json.dumps({"PySparkKernels": settings_of}))
    assert configured({}) == Administration(
        ("/etc/templates",), ("spark-admin",), True, ("@staff",)
    )
    # The environment adds to it and takes nothing away.
    more = {
        "PYSPARK_KERNELS_TEMPLATE_DIRECTORIES": "/a:/b",
        "PYSPARK_KERNELS_REQUIRE_TEMPLATE": "0",
    }
    both = configured(more)
    assert both.directories == ("/a", "/b", "/etc/templates")
    assert both.require_template
    assert administration(environ={"PYSPARK_KERNELS_REQUIRE_TEMPLATE": "1"}).require_template
    (config / "jupyter_server_config.py").write_text("raise RuntimeError('broken')")
    with pytest.raises(CannotBeDone, match="broken"):
        configured({})


def test_the_command_line_keeps_to_templates(
    run: Any, data_dir: Path, directory: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYSPARK_KERNELS_TEMPLATE_DIRECTORIES", str(directory))
    monkeypatch.setenv("PYSPARK_KERNELS_TEMPLATE_ADMINISTRATORS", ME)
    monkeypatch.setenv("PYSPARK_KERNELS_REQUIRE_TEMPLATE", "1")
    text = TEMPLATE.replace("/opt/envs/analytics", str(environment))
    (directory / "analytics.yaml").write_text(text)
    assert run("create", "-k", "k", "-e", environment)[0] == 1
    code, _, messages = run(
        "create", "-k", "k", "--template", "analytics", "--spark.scheduler.pool", "x"
    )
    assert (code, messages.split(" ")[0]) == (1, "conf:")
    code, _, messages = run("create", "-k", "k", "--template", "analytics", "--choice", "M")
    assert code == 0, messages
    assert run("copy", "k", "second")[0] == 0
    for arguments in (
        ["--executor-memory", "64g"],
        ["--spark.executor.memory=64g"],
        ["--spark.yarn.executor.memoryOverhead", "64g"],
        ["--env", "SPARK_CONF_DIR=/tmp"],
        ["--unset", "template"],
        ["--driver-memory", "5g"],
    ):
        assert run("edit", "k", *arguments)[0] == 1, arguments
    assert run("edit", "k", "--choice", "S", "--driver-memory", "2g")[0] == 0
    config = json.loads(run("show", "k", "--json")[1])["config"]
    assert (config["executor_memory"], config["driver_memory"]) == ("2g", "2g")
    (directory / "analytics.yaml").unlink()
    assert "Its template “analytics” is not there any longer." in run("show", "k")[1]
    assert run("edit", "k", "--driver-memory", "1g")[0] == 1
    assert run("remove", "k")[0] == 0


def test_policy_test_and_list(run: Any, data_dir: Path, directory: Path, tmp_path: Path) -> None:
    code, output, _ = run("policy", "test", directory / "analytics.yaml")
    assert code == 0
    assert "always analytics" in output
    assert "4g with M" in output
    (directory / "bad.yaml").write_text("version: 1\ntitle: T\nconf: {spark.x: {fixd: 1}}\n")
    code, output, _ = run("policy", "test", directory / "bad.yaml", "--json")
    assert code == 1
    assert json.loads(output)["problems"] == ["conf.spark.x.fixd: nothing is called so here"]
    assert run("policy", "test", tmp_path / "none.yaml")[0] == 2
    cluster = directory / "prod.yaml"
    cluster.write_text("kind: cluster\nversion: 1\nmaster: yarn\n")
    assert run("policy", "test", cluster)[0] == 0
    cluster.write_text("kind: cluster\nversion: 1\nmaster: nonsense\n")
    assert run("policy", "test", cluster)[0] == 1
    config = tmp_path / "config"
    config.mkdir(exist_ok=True)
    told = {"template_directories": [str(directory)], "template_administrators": [ME]}
    (config / "jupyter_server_config.json").write_text(json.dumps({"PySparkKernels": told}))
    code, output, _ = run("policy", "list", "--json")
    listed = json.loads(output)
    assert code == 0
    assert [one.split("@")[0] for one in listed["templates"]] == ["analytics"]
    assert {Path(one["path"]).name for one in listed["ignored"]} == {"bad.yaml", "prod.yaml"}
