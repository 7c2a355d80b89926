"""A kernel's effective configuration, compared with what a real Spark says of itself."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyterlab_pyspark_kernels.catalogue import Catalogue
from jupyterlab_pyspark_kernels.config import KernelConfig, read_config
from jupyterlab_pyspark_kernels.effective import (
    Defaults,
    EffectiveRow,
    defaults_path,
    effective,
    properties,
    read_defaults,
)
from jupyterlab_pyspark_kernels.render import Carried, environment_variables, settings
from jupyterlab_pyspark_kernels.secrecy import HIDDEN

TRICKY = (
    r"""
# a comment, and one with another sign
! spark.ui.port 1
spark.ui.showConsoleProgress    false
spark.executor.memory=3g
spark.driver.memory : 700m
spark.sql.shuffle.partitions  7
   spark.ui.enabled=false
spark.my.continued  one,\
                    two,\
    three
spark.my.equals a=b:c
spark.my.escapes  tab\there\u0020and\
spark.my.key\:with\=signs  1
spark.my.backslash  C\:\\dir\\
spark.my.empty
spark.my.blanks   x   """
    + "\n"
    + r"""spark.my.twice 1
spark.my.twice 2
spark.my.password  hunter2
spark.my.unicode  grüße
other.thing  ignored
spark.my.last  end"""
)

GENERATED = {
    "spark.app.id",
    "spark.app.startTime",
    "spark.app.submitTime",
    "spark.driver.host",
    "spark.driver.port",
    "spark.executor.id",
    # Spark adds what its Java needs.
    "spark.driver.extraJavaOptions",
    "spark.executor.extraJavaOptions",
    # Of the folder that the notebook lies in.
    "spark.sql.warehouse.dir",
    # For object stores, whatever is set.
    "spark.hadoop.fs.s3a.vectored.read.min.seek.size",
    "spark.hadoop.fs.s3a.vectored.read.max.merged.size",
}
"""Settings that Spark makes up in every session."""

ASK = """
import json
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("SETTINGS" + json.dumps(dict(spark.sparkContext.getConf().getAll())))
spark.stop()
"""


def kernel(**data: Any) -> KernelConfig:
    return read_config({"display_name": "My Spark", "environment": "/env", **data})


def row(config: KernelConfig, key: str, *sources: Any, **options: Any) -> EffectiveRow:
    found = {row.key: row for row in effective(config, *sources, **options).rows}
    return found[key]


@pytest.fixture
def conf_dir(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text(TRICKY, encoding="utf-8")
    return tmp_path / "conf"


def test_a_real_spark_has_these_settings(
    pyspark_environment: Path, conf_dir: Path, tmp_path: Path, catalogue: Catalogue
) -> None:
    config = kernel(
        environment=str(pyspark_environment),
        master="local[1]",
        executor_memory="2g",
        conf={"spark.sql.shuffle.partitions": "5", "spark.my.form": "a b=c $x"},
        env={"SPARK_CONF_DIR": str(conf_dir), "SPARK_EXECUTOR_CORES": "3"},
    )
    env = {**os.environ, **environment_variables(config)}
    # As the launcher does with an empty one.
    del env["SPARK_HOME"]
    answer = subprocess.run(
        [pyspark_environment / "bin" / "python", "-c", ASK],
        env=env,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    told = next(line for line in answer.stdout.splitlines() if line.startswith("SETTINGS"))
    real = json.loads(told.removeprefix("SETTINGS"))
    path = defaults_path(config, {})
    assert path == str(conf_dir / "spark-defaults.conf")
    ours = {row.key: row.value for row in effective(config, read_defaults(path), catalogue).rows}
    assert ours.pop("spark.my.password") == HIDDEN
    assert real.pop("spark.my.password") == "hunter2"
    # A local Spark has no executors to tell of.
    assert ours.pop("spark.executor.cores") == "3"
    assert ours == {key: value for key, value in real.items() if key not in GENERATED}


def test_the_strongest_comes_first(catalogue: Catalogue) -> None:
    defaults = Defaults("/conf/file", {"spark.executor.memory": "3g", "spark.my.own": "1"})
    config = kernel(executor_memory="2g", env={"SPARK_EXECUTOR_MEMORY": "4g"})
    memory = row(config, "spark.executor.memory", defaults, catalogue)
    assert (memory.value, memory.origin, memory.place) == ("2g", "form", "Executor memory")
    assert [(one.value, one.origin) for one in memory.overridden] == [
        ("3g", "spark-defaults.conf"),
        ("4g", "form"),
    ]
    assert memory.default == "1g"
    assert str(memory.help).startswith("Amount of memory to use per executor")
    own = row(config, "spark.my.own", defaults, catalogue)
    assert (own.origin, own.place, own.default) == ("spark-defaults.conf", "/conf/file", None)


def test_a_variable_of_the_server_counts_unless_the_kernel_sets_it() -> None:
    server = {"SPARK_DRIVER_MEMORY": "5g"}
    found = row(kernel(), "spark.driver.memory", variables=server)
    assert (found.value, found.origin) == ("5g", "environment")
    found = row(kernel(env={"SPARK_DRIVER_MEMORY": "6g"}), "spark.driver.memory", variables=server)
    assert (found.value, found.origin, found.overridden) == ("6g", "form", [])


def test_the_name_can_be_overridden_by_a_setting() -> None:
    found = row(kernel(conf={"spark.app.name": "Other"}), "spark.app.name")
    assert (found.value, found.place) == ("Other", "Spark settings")
    assert [one.value for one in found.overridden] == ["My Spark"]


@pytest.mark.parametrize(
    "master", ["local[2]", "yarn", "spark://host:7077", "k8s://https://host:6443"]
)
def test_what_the_launcher_adds_is_told(master: str) -> None:
    carried = Carried("digest", "/store/digest.tar.gz")
    config = kernel(
        master=master,
        cores_max=2,
        conf={"spark.yarn.dist.archives": "/mine.zip", "spark.archives": "/mine.zip"},
    )
    rows = {row.key: row for row in effective(config, carried=carried).rows}
    # The same that is written to the kernel.json.
    expected = {"spark.master": master, **settings(config, carried)}
    assert expected == {key: rows[key].value for key in expected}
    changed = {key for key, value in settings(config, carried).items() if "digest" in value}
    assert {key for key, row in rows.items() if row.origin == "launcher"} == {
        "spark.executorEnv.PYTHONHASHSEED",
        *changed,
    }
    for key in changed:
        assert [one.value for one in rows[key].overridden] == ["/mine.zip"]


def test_defaults_are_listed_when_asked_for(catalogue: Catalogue) -> None:
    config = kernel()
    few = effective(config, None, catalogue)
    many = effective(config, None, catalogue, everything=True)
    assert {row.key for row in few.rows} < {row.key for row in many.rows}
    found = row(config, "spark.sql.shuffle.partitions", None, catalogue, everything=True)
    assert (found.value, found.origin, found.place) == ("200", "spark", "Spark's default")
    assert [row.key for row in many.rows] == sorted(row.key for row in many.rows)


def test_with_spark_connect_only_sql_settings_count() -> None:
    config = kernel(
        master="sc://host:15002", conf={"spark.sql.ansi.enabled": "true", "spark.ui.port": "1"}
    )
    found = effective(config, Defaults("/conf/file", {"spark.sql.x": "1"}))
    assert {row.key: row.value for row in found.rows} == {
        "spark.remote": "sc://host:15002",
        "spark.sql.ansi.enabled": "true",
    }
    assert found.remarks[0].field == "master"


def test_what_the_file_misspells_is_told(catalogue: Catalogue) -> None:
    defaults = Defaults("/conf/file", {"spark.sql.shuffle.partitons": "1"})
    (remark,) = effective(kernel(), defaults, catalogue).remarks
    assert remark.message.startswith("/conf/file: Spark ")
    assert "spark.sql.shuffle.partitions" in remark.message


# --- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a b", {"a": "b"}),
        ("a=b", {"a": "b"}),
        ("a = b", {"a": "b"}),
        ("a : b", {"a": "b"}),
        ("a = = b", {"a": "= b"}),
        ("a\\ b c", {"a b": "c"}),
        ("a", {"a": ""}),
        ("a \\\n  b", {"a": "b"}),
        ("a b\\\\\nc d", {"a": "b\\", "c": "d"}),
        ("# a b\n\n!c\n  # d", {}),
        ("a \\u0041\\t\\q", {"a": "A\tq"}),
        ("a b\r\nc d\re f", {"a": "b", "c": "d", "e": "f"}),
        ("a b\\", {"a": "b"}),
        ("a \\\n# no comment", {"a": "# no comment"}),
        ("", {}),
    ],
)
def test_properties(text: str, found: dict[str, str]) -> None:
    assert properties(text) == found


def test_where_the_file_is_looked_for(pyspark_environment: Path) -> None:
    environment = str(pyspark_environment)
    own = defaults_path(kernel(environment=environment), {})
    assert own is not None
    assert own.endswith("/site-packages/pyspark/conf/spark-defaults.conf")
    home = kernel(environment=environment, spark_home="/opt/spark")
    assert defaults_path(home, {}) == "/opt/spark/conf/spark-defaults.conf"
    assert defaults_path(home, {"SPARK_CONF_DIR": "/etc/s"}) == "/etc/s/spark-defaults.conf"
    mine = kernel(spark_home="/opt/spark", env={"SPARK_CONF_DIR": "/mine"})
    assert defaults_path(mine, {"SPARK_CONF_DIR": "/etc/s"}) == "/mine/spark-defaults.conf"
    empty = kernel(spark_home="/opt/spark", env={"SPARK_CONF_DIR": ""})
    assert defaults_path(empty, {"SPARK_CONF_DIR": "/etc/s"}) == (
        "/opt/spark/conf/spark-defaults.conf"
    )
    assert defaults_path(kernel(environment="/nowhere"), {}) is None


def test_a_file_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert read_defaults(str(tmp_path / "spark-defaults.conf")) is None


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "spark-defaults.conf"
    os.mkfifo(file)
    assert read_defaults(str(file)) == Defaults(
        str(file), {}, (f"{file} cannot be read: it is no regular file.",)
    )
    file.unlink()
    file.write_bytes(b"x" * (1024**2 + 1))
    found = read_defaults(str(file))
    assert found is not None
    assert found.remarks == (f"{file} cannot be read: it is larger than 1 MiB.",)
    relative = read_defaults("conf/spark-defaults.conf")
    assert relative is not None
    assert "in each notebook's folder" in relative.remarks[0]


def test_what_else_is_beside_it_is_told(conf_dir: Path) -> None:
    (conf_dir / "spark-env.sh").touch()
    found = read_defaults(str(conf_dir / "spark-defaults.conf"))
    assert found is not None
    assert "spark-env.sh runs when Spark starts" in found.remarks[0]
    assert "such as other.thing" in found.remarks[1]
    assert "other.thing" not in found.settings
