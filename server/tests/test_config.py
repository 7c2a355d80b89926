import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyterlab_pyspark_kernels.clusters import (
    Connect,
    Kubernetes,
    Local,
    LocalCluster,
    Standalone,
    Yarn,
    parse_master,
)
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.errors import Invalid
from jupyterlab_pyspark_kernels.fields import label_to_name
from jupyterlab_pyspark_kernels.memory import parse_memory

LEAST = {"name": "k", "environment": "/env"}


def test_only_known_facts_wait_for_the_launch() -> None:
    data = {"name": "k", "environment": "/e", "env": {"TEAM": "${launch.team}"}}
    # By itself it is just text.
    assert read_config(data).env == data["env"]
    with pytest.raises(Invalid) as refused:
        read_config({**data, "per_user": ["TEAM"]})
    assert refused.value.errors[0].field == "env"
    assert "TEAM has “${launch.team}”" in str(refused.value)
    assert "${launch.hub_user}" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "master"),
    [
        ("local", Local(1, None)),
        ("local[4]", Local(4, None)),
        ("local[*]", Local(None, None)),
        ("local[*, 3]", Local(None, 3)),
        ("local[2,5]", Local(2, 5)),
        ("local-cluster[2,1,1024]", LocalCluster(2, 1, 1024)),
        ("spark://a:7077", Standalone((("a", 7077),))),
        ("spark://a.example:7077,[::1]:7078", Standalone((("a.example", 7077), ("::1", 7078)))),
        ("yarn", Yarn()),
        ("k8s://https://h:6443", Kubernetes("https", "h", 6443)),
        ("k8s://h", Kubernetes("https", "h", 443)),
        ("k8s://http://h:8080/k8s/clusters/c", Kubernetes("http", "h", 8080, "/k8s/clusters/c")),
        ("sc://h", Connect("h", 15002, ())),
        (
            "sc://h:443/;use_ssl=true;user_id=me",
            Connect("h", 443, (("use_ssl", "true"), ("user_id", "me"))),
        ),
    ],
)
def test_every_kind_of_master_is_read(text: str, master: object) -> None:
    assert parse_master(text) == master
    assert read_config({**LEAST, "master": text}).master == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "local[0]",
        "local[]",
        "local[-1]",
        "local[4",
        "LOCAL",
        "local[2]\n",
        "local[٤]",
        "local-cluster[1,1]",
        "spark://",
        "spark://h",
        "spark://h:0",
        "spark://h:99999",
        "spark://h:7077,",
        "spark://h:7077/x",
        "spark://user:secret@h:7077",
        "spark://h:7077 --conf spark.x=y",
        "yarn-client",
        "mesos://h:5050",
        "k8s://ftp://h:1",
        "k8s://https://h:1?x=y",
        "sc://",
        "sc://h:1/path",
        "sc://h:1/;token=secret",
        "sc://h:1/;nothing",
        "http://h:8080",
    ],
)
def test_what_is_no_master_is_refused_at_its_field(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_config({**LEAST, "master": text})
    (error,) = caught.value.errors
    assert error.field == "master"
    assert error.message.endswith(".")
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("text", "amount"),
    [("512", 512 * 1024**2), ("512m", 512 * 1024**2), ("4G", 4 * 1024**3), ("1tb", 1024**4)],
)
def test_memory_is_read_as_spark_does(text: str, amount: int) -> None:
    assert parse_memory(text) == amount


def test_memory_without_a_unit_is_given_the_one_that_spark_assumes() -> None:
    assert read_config({**LEAST, "executor_memory": "512"}).executor_memory == "512m"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("executor_memory", "4g --conf spark.driver.extraJavaOptions=-Dx=1", "amount of memory"),
        ("executor_memory", "4gg", "amount of memory"),
        ("executor_memory", "1.5g", "amount of memory"),
        ("executor_memory", "100m", "450m"),
        ("executor_memory", "4g\n", "amount of memory"),
        ("executor_memory", 4, "not text"),
        ("executor_cores", 0, "from 1 up"),
        ("executor_cores", -1, "from 1 up"),
        ("executor_cores", 1.5, "whole number"),
        ("executor_cores", True, "whole number"),
        ("executor_cores", math.nan, "whole number"),
        ("executor_cores", "two", "whole number"),
        ("executor_cores", 10**9, "whole number"),
        ("idle_release_minutes", 0, "whole number from 1 to 10080"),
        ("idle_stop_minutes", 10081, "10081"),
        ("idle_stop_minutes", "soon", "number of minutes"),
        ("idle_stop_minutes", 1.5, "number of minutes"),
        ("environment", "relative/path", "absolute"),
        ("environment", "/a/../b", ".."),
        ("environment", "/a/{connection_file}", "brace"),
        ("environment", "/a\nb", "U+000A"),
        ("environment", "", "absolute"),
        ("name", "..", "kernel name"),
        ("name", ".", "kernel name"),
        ("name", "a/b", "kernel name"),
        ("name", "..%2f", "kernel name"),
        ("name", "foo\n", "kernel name"),
        ("name", "-rf", "kernel name"),
        ("name", ".hidden", "kernel name"),
        ("name", "Upper", "kernel name"),
        ("name", "\u212aelvin", "kernel name"),
        ("name", "a" * 64, "kernel name"),
        ("display_name", "", "empty"),
        ("display_name", "   ", "empty"),
        ("display_name", "x" * 101, "100"),
        ("display_name", "a\nb", "U+000A"),
        ("display_name", "Python\u200b 3", "U+200B"),
        ("display_name", "\u202egnp.exe", "U+202E"),
        ("display_name", "\ud800", "U+D800"),
        ("display_name", ["x"], "not text"),
        ("conf", {"spark x": "1"}, "not a Spark setting"),
        ("conf", {"hadoop.x": "1"}, "not a Spark setting"),
        ("conf", {"spark.x": "a\nb"}, "U+000A"),
        ("conf", {"spark.x": 1}, "not text"),
        ("conf", {"spark.x": "v" * 10_001}, "10000"),
        ("conf", {"spark.submit.deployMode": "cluster"}, "client"),
        ("conf", {"spark.pyspark.python": "/x"}, "executor_python"),
        ("conf", ["spark.x=1"], "object of names and values"),
        ("conf", {f"spark.x{i}": "" for i in range(501)}, "too many"),
        ("env", {"1X": "a"}, "environment variable"),
        ("env", {"A=B": "a"}, "environment variable"),
        ("env", {"X": "a\0b"}, "U+0000"),
        ("env", {"PYSPARK_SUBMIT_ARGS": "x"}, "set by the kernel itself"),
        ("env", {"SPARK_HOME": "/x"}, "spark_home"),
        ("env", {"PYSPARK_KERNELS_IDLE": "stop=1"}, "idle_stop_minutes"),
        ("env", {"PYSPARK_KERNELS_DRIVER_START": "quick"}, "driver_start"),
        ("env", {"PYSPARK_KERNELS_CLASS_ARCHIVES": "/srv"}, "for the server"),
        ("env", {"PYSPARK_KERNELS_TEMPLATE_ADMINISTRATORS": "eve"}, "for the server"),
        ("driver_start", "fast", "'auto', 'quick' or 'off'"),
        ("ipython_profile", "../x", "IPython profile"),
    ],
)
def test_bad_values_are_refused_with_field_value_and_remedy(
    field: str, value: object, said: str
) -> None:
    with pytest.raises(Invalid) as caught:
        read_config({"name": "k", "display_name": "k", "environment": "/env", field: value})
    assert [error.field for error in caught.value.errors] == [field]
    message = caught.value.errors[0].message
    assert said in message
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize("stop", [29, 30])
def test_spark_stops_later_than_its_executors(stop: int) -> None:
    with pytest.raises(Invalid) as caught:
        read_config({**LEAST, "idle_release_minutes": 30, "idle_stop_minutes": stop})
    (error,) = caught.value.errors
    assert error.field == "idle_stop_minutes"
    assert f"after {stop} idle minutes" in error.message
    assert "Stop it later" in error.message


@pytest.mark.parametrize("data", [None, [], "x", 3, {}])
def test_what_is_no_kernel_is_refused(data: object) -> None:
    with pytest.raises(Invalid):
        read_config(data)


def test_an_unknown_field_is_named_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match=r"executer_memory.*executor_memory"):
        read_config({**LEAST, "executer_memory": "4g"})


def test_every_wrong_field_is_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        read_config({"name": "A", "environment": "x", "master": "y", "executor_cores": 0})
    fields = {error.field for error in caught.value.errors}
    assert fields >= {"name", "environment", "master", "executor_cores"}


def test_settings_that_have_a_field_are_moved_into_it() -> None:
    config = read_config(
        {
            **LEAST,
            "conf": {
                "spark.master": "yarn",
                "spark.executor.memory": "4g",
                "spark.executor.cores": "4",
                "spark.cores.max": "8",
                "spark.submit.deployMode": "client",
                "spark.sql.shuffle.partitions": "10",
            },
        }
    )
    assert (config.master, config.executor_memory) == ("yarn", "4g")
    assert (config.executor_cores, config.cores_max) == (4, 8)
    assert config.conf == {"spark.sql.shuffle.partitions": "10"}


def test_a_setting_said_twice_differently_is_refused() -> None:
    with pytest.raises(Invalid, match="Remove one") as caught:
        read_config({**LEAST, "executor_memory": "2g", "conf": {"spark.executor.memory": "4g"}})
    assert caught.value.errors[0].field == "conf"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("My Spark (4g)", "my-spark-4g"),
        ("Ünï", "uni"),
        ("---", ""),
        ("数据", ""),
        ("a" * 80, "a" * 63),
    ],
)
def test_the_name_is_made_from_the_label(label: str, name: str) -> None:
    assert label_to_name(label) == name


def test_a_label_of_no_usable_letter_asks_for_a_name() -> None:
    with pytest.raises(Invalid) as caught:
        read_config({"display_name": "数据", "environment": "/env"})
    assert caught.value.errors[0].field == "name"


@given(
    st.dictionaries(
        st.text(max_size=20),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_nothing_but_invalid_is_ever_raised(data: dict[str, object]) -> None:
    try:
        read_config(data)
    except Invalid as error:
        assert error.errors
        assert all(item.message.isprintable() for item in error.errors)


@given(
    st.sampled_from(["display_name", "environment", "master", "spark_home"]), st.text(max_size=30)
)
def test_any_text_is_taken_as_it_is_or_refused_at_its_field(field: str, text: str) -> None:
    try:
        config = read_config({**LEAST, "display_name": "k", field: text})
    except Invalid as error:
        assert [item.field for item in error.errors] == [field]
    else:
        assert getattr(config, field) == text
