"""Kernels as text: what a real shell, a real Spark and we ourselves read back."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_render import VALUES, configs

from jupyterlab_pyspark_kernels.config import KernelConfig, read_config
from jupyterlab_pyspark_kernels.errors import Invalid, TooLarge
from jupyterlab_pyspark_kernels.export import export
from jupyterlab_pyspark_kernels.importing import MAX_TEXT, import_text
from jupyterlab_pyspark_kernels.render import (
    FOR_THE_LAUNCHER,
    Carried,
    environment_variables,
    render,
    submit_args,
)
from jupyterlab_pyspark_kernels.render import settings as spark_settings
from jupyterlab_pyspark_kernels.shellwords import split

LEAST = {"name": "k", "environment": "/env"}
CARRIED = Carried("0" * 64, "/data/0.tar.gz")
NASTY = {
    "spark.a": "two  words",
    "spark.b": "back\\slash\\",
    "spark.c": "# no comment",
    "spark.d": "ä 😀 ß",
    "spark.e": "= : !",
    "spark.f": "$HOME ${USER} `id` $(id)",
    "spark.g": 'it\'s "quoted"',
    "spark.h": "\\u0041\\n",
    "spark.i": ":=",
    "spark.j": "",
}


def arguments(config: KernelConfig, carried: Carried | None = None) -> list[str]:
    return shlex.split(submit_args(config, carried))[:-1]


# --- spark-submit --------------------------------------------------------------------------------


@given(configs(), st.sampled_from([None, CARRIED]))
def test_a_submit_line_splits_into_the_kernels_arguments(
    config: KernelConfig, carried: Carried | None
) -> None:
    text = export(config, carried, "spark-submit").text
    words = shlex.split(text.replace("\\\n", ""))
    at = next(n for n, word in enumerate(words) if word.endswith("/spark-submit"))
    assert words[at + 1 :] == arguments(config, carried)
    variables = environment_variables(config, carried)
    del variables["PYSPARK_SUBMIT_ARGS"]
    for name in FOR_THE_LAUNCHER:
        variables.pop(name, None)
    assert dict(word.split("=", 1) for word in words[:at]) == variables
    # And so we read it ourselves.
    assert [word.text for word in split(text)] == words
    assert not any(word.filled_in or word.operator for word in split(text))


_SAYS = """#!/bin/bash
printf '%s\\0' "$@" > "$OUT/arguments"
env -0 > "$OUT/variables"
"""


@pytest.fixture(scope="module")
def speaking_spark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spark-submit that writes down what a shell gave it."""
    home = tmp_path_factory.mktemp("spark")
    (home / "bin").mkdir()
    (home / "bin" / "spark-submit").write_text(_SAYS)
    (home / "bin" / "spark-submit").chmod(0o755)
    return home


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(st.sampled_from(list(NASTY)), VALUES.map(str.strip), max_size=5),
    st.dictionaries(st.sampled_from(["A", "B", "C_1"]), VALUES, max_size=3),
)
@example(NASTY, {"A": " x\\ ", "B": "'", "C_1": "~/$HOME`id`"})
def test_a_real_shell_runs_the_line(
    speaking_spark: Path, conf: dict[str, str], env: dict[str, str]
) -> None:
    config = read_config({**LEAST, "spark_home": str(speaking_spark), "conf": conf, "env": env})
    text = export(config, None, "spark-submit").text
    shell = {"PATH": os.environ["PATH"], "OUT": str(speaking_spark), "HOME": "/leak"}
    subprocess.run(["bash", "-c", text], env=shell, check=True)
    assert (speaking_spark / "arguments").read_text().split("\0")[:-1] == arguments(config)
    lines = (speaking_spark / "variables").read_text().split("\0")[:-1]
    seen = dict(line.split("=", 1) for line in lines)
    for name, value in environment_variables(config).items():
        if name != "PYSPARK_SUBMIT_ARGS":
            assert seen[name] == value


def test_the_line_names_the_kernels_own_spark() -> None:
    assert "/env/bin/spark-submit" in export(read_config(LEAST), None, "spark-submit").text
    config = read_config({**LEAST, "environment": "/usr/bin/python3.12"})
    assert "/usr/bin/spark-submit" in export(config, None, "spark-submit").text


# --- spark-defaults.conf -------------------------------------------------------------------------

_READ_BACK = """
import json, sys
from pyspark import SparkConf
from pyspark.java_gateway import launch_gateway
gateway = launch_gateway(SparkConf())
utils = getattr(gateway.jvm.org.apache.spark.util, "Utils$")
utils = getattr(utils, "MODULE$")
found = utils.getPropertiesFromFile(sys.argv[1])
items = found.iterator()
pairs = {}
while items.hasNext():
    item = items.next()
    pairs[item._1()] = item._2()
print("FOUND", json.dumps(pairs))
gateway.shutdown()
"""


def test_a_real_spark_reads_the_defaults(pyspark_environment: Path, tmp_path: Path) -> None:
    label = "Größe\\ # 2"
    config = read_config({**LEAST, "display_name": label, "conf": NASTY, "driver_memory": "1g"})
    exported = export(config, CARRIED, "spark-defaults")
    assert exported.filename == "spark-defaults.conf"
    file = tmp_path / "spark-defaults.conf"
    file.write_text(exported.text, encoding="utf-8")
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("SPARK", "PYSPARK"))
    }
    run = subprocess.run(
        [str(pyspark_environment / "bin" / "python"), "-c", _READ_BACK, str(file)],
        env={**environment, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("FOUND ")]
    assert json.loads(line.removeprefix("FOUND ")) == {
        "spark.master": "local[*]",
        **spark_settings(config, CARRIED),
    }


def test_the_defaults_of_a_connect_server() -> None:
    config = read_config({**LEAST, "master": "sc://h:1"})
    assert "spark.remote sc://h:1\n" in export(config, None, "spark-defaults").text


def test_variables_stand_in_comments_of_the_defaults() -> None:
    config = read_config({**LEAST, "env": {"A": "b c"}})
    assert "# export A='b c'\n" in export(config, None, "spark-defaults").text


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["kernel", "spark-submit", "spark-defaults"])
def test_secrets_are_left_out_and_told(form: str) -> None:
    key = "spark.hadoop.fs.s3a.secret.key"
    config = read_config(
        {
            **LEAST,
            "conf": {key: "CANARY", "spark.a": "b"},
            "env": {"DB_PASSWORD": "CANARY", "OLD_PASSWD": "CANARY", "API_KEY": "CANARY"},
        }
    )
    exported = export(config, None, form)
    assert "CANARY" not in exported.model_dump_json()
    told = " ".join(remark.message for remark in exported.remarks)
    assert key in told
    assert "DB_PASSWORD" in told
    assert key in exported.text
    if form != "spark-defaults":
        again = import_text(exported.text)
        assert again.config["conf"] == {"spark.a": "b"}
    if form == "kernel":
        assert [remark.field for remark in again.remarks] == ["conf", "env", "env", "env"]
        assert key in again.remarks[0].message


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="spark-defaults"):
        export(read_config(LEAST), None, "pdf")


# --- and back ------------------------------------------------------------------------------------


@given(configs())
def test_a_kernel_file_reads_back_without_loss(config: KernelConfig) -> None:
    found = import_text(export(config, None, "kernel").text)
    assert found.remarks == []
    assert read_config({**found.config, "place": config.place}) == config


@given(configs())
def test_a_submit_line_of_ours_reads_back(config: KernelConfig) -> None:
    found = import_text(export(config, None, "spark-submit").text)
    # A key may happen to be one that names files.
    assert all("from the root" in remark.message for remark in found.remarks)
    again = read_config({**found.config, "name": config.name})
    # What only a kernel does is left out.
    left_out: dict[str, Any] = {"ipython_profile": None, "secrets": {}, "per_user": []}
    left_out |= {"driver_start": "auto"}
    left_out |= {"idle_release_minutes": None, "idle_stop_minutes": None}
    given = config.model_copy(update=left_out)
    # The paths of Pythons may be written in more than one way.
    paths = {"environment", "executor_python"}
    assert again.model_dump(exclude=paths) == given.model_dump(exclude=paths)
    assert environment_variables(again) == environment_variables(given)


@given(configs())
def test_a_kernel_json_of_ours_reads_back(config: KernelConfig) -> None:
    found = import_text(json.dumps(render(config, "me")))
    assert found.remarks == []
    assert read_config({**found.config, "name": config.name}) == config


def test_a_kernel_that_carries_its_environment_reads_back() -> None:
    config = read_config({**LEAST, "master": "yarn", "carry": True, "conf": {"spark.a": "b"}})
    found = import_text(export(config, CARRIED, "spark-submit").text)
    assert read_config({**found.config, "name": "k"}) == config
    assert [remark.field for remark in found.remarks] == ["carry"]
    spec = render(config, "me", CARRIED)
    del spec["metadata"]
    found = import_text(json.dumps(spec))
    assert read_config({**found.config, "name": "k"}) == config
    assert [remark.field for remark in found.remarks] == ["carry"]


# --- lines of others -----------------------------------------------------------------------------

LINE = r"""
# nightly
export SPARK_HOME=/opt/spark/
$ HADOOP_CONF_DIR=/etc/hadoop PYSPARK_DRIVER_PYTHON=/envs/a/bin/python \
  PYSPARK_PYTHON=/usr/bin/python3 \
  $SPARK_HOME/bin/spark-submit --master yarn --deploy-mode client --name "My Job" \
  --driver-memory 2g --executor-memory=4g --executor-cores 2 --num-executors 3 \
  --conf spark.sql.shuffle.partitions=64 -c 'spark.x=$NOT' --conf=spark.y=a=b \
  --conf "spark.z=\"quoted\" $VAR" --queue prod --principal me@R --keytab /k.keytab \
  --py-files /a.py,b.zip --jars hdfs:///x.jar --packages g:a:1 --repositories https://r \
  --files /f --archives /z.zip#z --driver-java-options "-Da=b -Dc=d" --driver-class-path /cp \
  --properties-file my.conf --proxy-user bob --class org.Main --supervise --verbose --frob nicate \
  app.py --input x && rm -rf /
"""


def test_a_line_with_everything_is_read() -> None:
    found = import_text(LINE)
    assert found.config == {
        "display_name": "My Job",
        "environment": "/envs/a",
        "executor_python": "/usr/bin/python3",
        "spark_home": "/opt/spark",
        "master": "yarn",
        "driver_memory": "2g",
        "executor_memory": "4g",
        "executor_cores": 2,
        "executor_instances": 3,
        "queue": "prod",
        "principal": "me@R",
        "keytab": "/k.keytab",
        "proxy_user": "bob",
        "env": {"HADOOP_CONF_DIR": "/etc/hadoop"},
        "conf": {
            "spark.sql.shuffle.partitions": "64",
            "spark.x": "$NOT",
            "spark.y": "a=b",
            "spark.z": '"quoted" $VAR',
            "spark.submit.pyFiles": "/a.py,b.zip",
            "spark.jars": "hdfs:///x.jar",
            "spark.jars.packages": "g:a:1",
            "spark.jars.repositories": "https://r",
            "spark.files": "/f",
            "spark.yarn.dist.archives": "/z.zip#z",
            "spark.driver.extraJavaOptions": "-Da=b -Dc=d",
            "spark.driver.extraClassPath": "/cp",
        },
    }
    told = [remark.message for remark in found.remarks]
    for part in (
        "follows the command was left out: “&& rm -rf /”",
        '“spark.z="quoted" $VAR”',
        "“--properties-file my.conf” was left out. It is not read",
        "“--class org.Main”",
        "“--supervise”",
        "“--frob nicate” was left out. It is not known",
        "“app.py --input x”",
        "“b.zip”",
    ):
        assert any(part in message for message in told), part
    assert len(told) == 8
    assert not any("NOT" in message for message in told)


@pytest.mark.parametrize(
    ("line", "config"),
    [
        ("pyspark --master local[2]", {"master": "local[2]"}),
        ("--master yarn pyspark-shell", {"master": "yarn"}),
        ("spark-submit --master yarn-client x.py", {"master": "yarn"}),
        ("/opt/spark/bin/spark3-submit --remote sc://h", {"master": "sc://h"}),
        ("PYSPARK_PYTHON=/e/bin/python3 pyspark", {"environment": "/e/bin/python3"}),
        ("spark-submit --executor-memory 1g --conf spark.executor.memory=2g",
         {"executor_memory": "2g"}),
        ("spark-submit --conf spark.pyspark.python=/p/bin/python3",
         {"executor_python": "/p/bin/python3"}),
        ("spark-submit --conf spark.a='x'\\''y'\"z\"", {"conf": {"spark.a": "x'yz"}}),
        ("spark-submit --conf spark.a=x#y --conf spark.b=1 # c", {"conf": {"spark.a": "x#y",
                                                                         "spark.b": "1"}}),
        ("spark-submit \\\r\n --conf spark.a=1", {"conf": {"spark.a": "1"}}),
        ('spark-submit --conf "spark.a=1 \\\n2"', {"conf": {"spark.a": "1 2"}}),
    ],
)  # fmt: skip
def test_a_line_is_read_as_a_shell_and_spark_read_it(line: str, config: dict[str, Any]) -> None:
    assert import_text(line).config == config


@pytest.mark.parametrize(
    ("line", "field", "said"),
    [
        ("spark-submit --deploy-mode cluster", "conf", "deploy mode cluster"),
        ("spark-submit --executor-memory 4x", "executor_memory", "“4x” is not an amount"),
        ("spark-submit --conf spark.a", "", "“--conf spark.a” was left out"),
        ("spark-submit --conf", "", "“--conf ” was left out"),
        ("spark-submit --conf hive.x=1 --conf spark.a=1", "conf", "is not a Spark setting"),
        ("spark-submit --master mesos://h:1", "master", "is not a master"),
        ("PYSPARK_DRIVER_PYTHON=jupyter pyspark", "environment", "is not the path of a Python"),
        ("PYSPARK_PYTHON=python3 pyspark", "environment", "is not the path of a Python"),
        ("spark-submit --name `id`", "", "would fill in"),
        ("SPARK_REMOTE=x pyspark", "env", "Use the field master"),
    ],
)
def test_what_is_not_taken_over_is_told(line: str, field: str, said: str) -> None:
    (remark,) = import_text(line).remarks
    assert remark.field == field
    assert said in remark.message
    assert remark.message.endswith(".")


def test_one_wrong_setting_does_not_cost_the_others() -> None:
    found = import_text("spark-submit --conf hive.x=1 --conf spark.a=1 --executor-cores 0")
    assert found.config == {"conf": {"spark.a": "1"}}
    assert [remark.field for remark in found.remarks] == ["conf", "executor_cores"] or [
        remark.field for remark in found.remarks
    ] == ["executor_cores", "conf"]


# --- kernel.json of others -----------------------------------------------------------------------


def test_a_kernel_json_that_was_written_by_hand_is_read() -> None:
    spec = {
        "display_name": "PySpark",
        "language": "python",
        "argv": [
            "/e/bin/python3",
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--debug",
        ],
        "env": {
            "SPARK_HOME": "/opt/spark",
            "PYTHONPATH": "/opt/spark/python",
            "PYTHONSTARTUP": "/opt/spark/python/pyspark/shell.py",
            "PYSPARK_PYTHON": "/usr/bin/python3",
            "PYSPARK_SUBMIT_ARGS": "--master yarn --supervise --name x pyspark-shell",
            "WHERE": "${HOME}/x",
            "PRICE": "5$$",
        },
    }
    found = import_text(json.dumps(spec))
    assert found.config == {
        "display_name": "PySpark",
        "environment": "/e/bin/python3",
        "executor_python": "/usr/bin/python3",
        "spark_home": "/opt/spark",
        "master": "yarn",
        "env": {"WHERE": "${HOME}/x", "PRICE": "5$"},
    }
    told = [remark.message for remark in found.remarks]
    assert len(told) == 5
    for part in ("“${HOME}”", "PYTHONPATH", "PYTHONSTARTUP", "“--debug”", "“--supervise”"):
        assert any(part in message for message in told), part


# --- hostile text --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "hello",
        "rm -rf /",
        "spark-submit 'x",
        'spark-submit "x',
        "spark-submit x\\",
        "spark-submit \0",
        "{",
        "{}",
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a":' * 40_000,
        '{"pyspark_kernel": 2, "config": {}}',
        '{"pyspark_kernel": true, "config": {}}',
        '{"pyspark_kernel": 1, "config": []}',
        '{"argv": ["python"], "display_name": "x", "language": "python"}',
        '{"argv": ["python"], "env": {"SPARK_HOME": 1}}',
        '{"argv": ["python"], "env": {"PYSPARK_SUBMIT_ARGS": "--master \'"}}',
        '{"metadata": {"pyspark_kernels": {}}}',
        '{"pyspark_kernel": 1, "config": {"name": "\ud800"}}',
        "=x spark-submit",
        "A=1",
        "; ; ;",
    ],
)
def test_hostile_text_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        import_text(text)
    assert str(caught.value).endswith(".")
    assert caught.value.status == 400


def test_text_without_end_is_refused() -> None:
    with pytest.raises(TooLarge):
        import_text("x" * (MAX_TEXT + 1))


@pytest.mark.parametrize(
    "text", ['spark-submit "' + "\\\\" * 60_000, "spark-submit " + "'" * 99_999]
)
def test_text_that_is_long_takes_no_time_to_speak_of(text: str) -> None:
    with pytest.raises(Invalid, match="is not closed"):
        import_text(f"spark-submit {text}")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for whole in (text, f"spark-submit {text}", f'{{"pyspark_kernel": 1, "config": {{{text}}}}}'):
        try:
            found = import_text(whole)
        except Invalid:
            continue
        json.dumps(found.model_dump(), allow_nan=False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*KernelConfig.model_fields, "unknown"]), _JSON, max_size=5))
def test_any_kernel_file_is_read_or_refused(config: dict[str, Any]) -> None:
    try:
        found = import_text(json.dumps({"pyspark_kernel": 1, "config": config, "left_out": config}))
    except Invalid:
        return
    read_config({"display_name": "k", "environment": "/e", "name": "k", **found.config})
