import json
import shlex
import string
from string import Template
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyterlab_pyspark_kernels.config import KernelConfig, read_config
from jupyterlab_pyspark_kernels.errors import Invalid
from jupyterlab_pyspark_kernels.kernel.rules import holds_secret
from jupyterlab_pyspark_kernels.render import (
    NotReadable,
    environment_variables,
    interpreter,
    merge,
    read,
    render,
    submit_args,
)

LEAST = {"name": "k", "environment": "/env"}

VALUES = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), max_size=40
) | st.sampled_from(
    ["$HOME", "${USER}", "pa$$w", "a'b", 'a"b', "\\", "--conf spark.x=y", "$", "a b"]
)
PLAIN_VALUES = VALUES.filter(lambda value: not holds_secret("spark.x", value))
WORD = st.text(string.ascii_letters + string.digits, min_size=1, max_size=10)

NUMBER = st.integers(0, 99999).map(str)


@st.composite
def configs(draw: st.DrawFn) -> KernelConfig:
    """Any kernel that we accept."""
    optional = {
        "executor_memory": st.sampled_from(["512m", "4g"]),
        "driver_memory": st.sampled_from(["1g", "2048m"]),
        "executor_cores": st.integers(1, 64),
        "executor_instances": st.integers(1, 64),
        "cores_max": st.integers(1, 64),
        "spark_home": st.just("/opt/spark"),
        "executor_python": st.just("/usr/bin/python3"),
        "driver_start": st.sampled_from(["quick", "off"]),
        "ipython_profile": WORD,
        "queue": st.sampled_from(["default", "root.a_b-c"]),
        "proxy_user": st.sampled_from(["alice", "${launch.user}"]),
        "principal": st.just("me@EXAMPLE.COM"),
        "keytab": st.just("/home/me/my key.tab"),
        "secrets": st.dictionaries(
            st.sampled_from(["spark.my.pin", "DB_PASSWORD"]),
            st.sampled_from(["env:PIN", "file:/home/me/$pin it's"]),
        ),
    }
    data: dict[str, Any] = {
        "name": "k",
        "display_name": draw(WORD),
        "environment": draw(st.sampled_from(["/env", "/with space/env", "/usr/bin/python3"])),
        "master": draw(st.sampled_from(["local[*]", "spark://a:1,b:2", "yarn", "sc://h"])),
        # Keys that nothing else knows: Hypothesis also tries texts that stand in our sources.
        "conf": draw(
            st.dictionaries(NUMBER.map("spark.x".__add__), PLAIN_VALUES.map(str.strip), max_size=5)
        ),
        "env": draw(st.dictionaries(NUMBER.map("X_".__add__), PLAIN_VALUES, max_size=5)),
    }
    if draw(st.booleans()):
        data["idle_release_minutes"] = draw(st.integers(1, 60))
    if draw(st.booleans()):
        data["idle_stop_minutes"] = draw(st.integers(61, 10080))
    for field, values in optional.items():
        if draw(st.booleans()):
            data[field] = draw(values)
    return read_config(data)


def launched(spec: dict[str, Any]) -> dict[str, str]:
    """The variables as jupyter_client hands them to the kernel's process."""
    server = {"HOME": "/leak", "USER": "leak", "spark": "leak"}
    return {name: Template(value).safe_substitute(server) for name, value in spec["env"].items()}


@given(configs())
def test_a_kernel_reads_back_as_it_was_made(config: KernelConfig) -> None:
    spec = json.loads(json.dumps(render(config, "me"), allow_nan=False))
    assert read_config({**read(spec), "name": config.name, "place": config.place}) == config


@given(configs())
def test_a_kernel_written_by_hand_reads_the_same(config: KernelConfig) -> None:
    spec = render(config, "me")
    del spec["metadata"]
    again = read_config({**read(spec), "name": config.name})
    assert environment_variables(again) == environment_variables(config)


@given(configs())
def test_the_process_sees_the_bytes_that_were_given(config: KernelConfig) -> None:
    assert launched(render(config, "me")) == environment_variables(config)


@given(configs())
def test_no_value_becomes_an_argument_of_its_own(config: KernelConfig) -> None:
    tokens = shlex.split(submit_args(config))
    assert tokens[0] in ("--master", "--remote")
    assert tokens[1] == config.master
    assert tokens[-1] == "pyspark-shell"
    rest = tokens[2:-1]
    if config.proxy_user is not None:
        assert rest[:2] == ["--proxy-user", config.proxy_user]
        rest = rest[2:]
    assert set(rest[::2]) == {"--conf"}
    settings = dict(token.split("=", 1) for token in rest[1::2])
    for key, value in config.conf.items():
        assert settings[key] == value


def test_python_and_hash_seed_are_the_same_on_both_sides() -> None:
    env = launched(render(read_config(LEAST), "me"))
    assert env["PYSPARK_PYTHON"] == env["PYSPARK_DRIVER_PYTHON"] == "/env/bin/python"
    assert env["PYTHONHASHSEED"] == "0"
    assert "spark.executorEnv.PYTHONHASHSEED=0" in env["PYSPARK_SUBMIT_ARGS"]


def test_a_hash_seed_of_the_users_own_reaches_both_sides() -> None:
    env = launched(render(read_config({**LEAST, "env": {"PYTHONHASHSEED": "7"}}), "me"))
    assert env["PYTHONHASHSEED"] == "7"
    assert "spark.executorEnv.PYTHONHASHSEED=7" in env["PYSPARK_SUBMIT_ARGS"]


def test_the_interpreter_of_an_environment() -> None:
    assert interpreter("/env") == "/env/bin/python"
    assert interpreter("/usr/bin/python3.12") == "/usr/bin/python3.12"


def test_the_python_and_profile_stand_in_the_arguments() -> None:
    spec = render(read_config({**LEAST, "ipython_profile": "pyspark"}), "me")
    assert spec["argv"] == [
        "/env/bin/python",
        "{resource_dir}/launcher.py",
        "-f",
        "{connection_file}",
        "--profile=pyspark",
    ]


def test_what_others_added_is_kept_by_an_edit() -> None:
    before = render(read_config(LEAST), "me")
    old = {
        **before,
        "env": {**before["env"], "ADDED": "1"},
        "metadata": {**before["metadata"], "added": {"x": 1}},
        "kernel_protocol_version": "5.5",
    }
    new = merge(old, before, render(read_config({**LEAST, "executor_memory": "4g"}), "me"))
    assert new["env"]["ADDED"] == "1"
    assert new["metadata"]["added"] == {"x": 1}
    assert new["kernel_protocol_version"] == "5.5"
    assert "4g" in new["env"]["PYSPARK_SUBMIT_ARGS"]


def test_the_kernel_of_the_openstack_guide_is_read() -> None:
    """The hand-written kernel.json that a Spark guide for JupyterHub gave in 2015."""
    config = read_config(
        {
            "name": "pyspark",
            **read(
                {
                    "display_name": "PySpark",
                    "language": "python",
                    "argv": ["/usr/bin/python2", "-m", "ipykernel", "-f", "{connection_file}"],
                    "env": {
                        "SPARK_HOME": "/opt/spark/",
                        "PYTHONPATH": "/opt/spark/python/lib/py4j-0.8.2.1-src.zip",
                        "PYTHONSTARTUP": "/opt/spark/python/pyspark/shell.py",
                        "PYSPARK_SUBMIT_ARGS": "--master spark://10.20.30.178:7077 pyspark-shell",
                    },
                }
            ),
        }
    )
    assert config.master == "spark://10.20.30.178:7077"
    assert config.spark_home == "/opt/spark"
    assert config.environment == "/usr/bin/python2"
    assert config.env == {}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"argv": "python", "env": {}},
        {"argv": ["python"], "env": {"X": 1}},
        {"argv": ["python"], "env": {}},
        {"argv": ["python"], "env": {"PYSPARK_SUBMIT_ARGS": "--master 'x"}},
        {"argv": ["python"], "env": {"PYSPARK_SUBMIT_ARGS": "--supervise x pyspark-shell"}},
        {"metadata": {"pyspark_kernels": {}}},
    ],
)
def test_other_kernels_are_told_apart(spec: dict[str, Any]) -> None:
    with pytest.raises(NotReadable):
        read(spec)


def test_short_options_are_settings() -> None:
    spec = {
        "display_name": "x",
        "argv": ["/env/bin/python"],
        "env": {
            "PYSPARK_SUBMIT_ARGS": "--conf spark.executor.memory=4g --executor-memory 1g "
            "--total-executor-cores=4 --queue q --deploy-mode client pyspark-shell --conf spark.x=y"
        },
    }
    config = read_config({"name": "x", **read(spec)})
    assert config.executor_memory == "4g"
    assert config.cores_max == 4
    assert (config.queue, config.conf) == ("q", {})


def test_an_unreadable_configuration_is_refused() -> None:
    spec = render(read_config(LEAST), "me")
    spec["metadata"]["pyspark_kernels"]["config"]["master"] = "nonsense"
    with pytest.raises(Invalid):
        read_config({**read(spec), "name": "k"})
