"""What Spark tells of its settings: the real one, and some that only pretend."""

import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from kernels import MARKER, marked_processes, wait_until

from jupyterlab_pyspark_kernels.advice import advise
from jupyterlab_pyspark_kernels.catalogue import (
    Catalogue,
    Setting,
    Spark,
    ask,
    check_spark,
    identity,
    kept,
    why_not_taken,
)
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.errors import CannotBeDone, NotAllowed
from jupyterlab_pyspark_kernels.models import Request
from jupyterlab_pyspark_kernels.places import Place
from jupyterlab_pyspark_kernels.progress import Cancelled, Progress
from jupyterlab_pyspark_kernels.service import KernelService


class Listener:
    """Hears what a Spark prints, and cancels it at once or never."""

    def __init__(self, cancels: bool = False) -> None:
        self.lines: list[str] = []
        self._cancels = cancels

    def progress(self, progress: Progress) -> None:
        self.lines.append(progress.stage)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def cancelled(self) -> bool:
        return self._cancels


class NoKernels:
    """A Jupyter without kernels."""

    def find_kernel_specs(self) -> dict[str, str]:
        return {}

    def get_all_specs(self) -> dict[str, object]:
        return {}


@pytest.fixture
def marker(monkeypatch: pytest.MonkeyPatch) -> str:
    """Mark all that this test starts."""
    name = f"settings-{time.monotonic_ns()}"
    monkeypatch.setenv(MARKER, name)
    return name


@pytest.fixture
def pretender(make_environment: Callable[..., Path]) -> Callable[[str], Spark]:
    """Make an environment with jars, whose Python is a shell script."""

    def make(script: str = "true") -> Spark:
        environment = make_environment(ipykernel="7.4.0", pyspark="4.3.0")
        jars = environment / "lib" / "python3.12" / "site-packages" / "pyspark" / "jars"
        jars.mkdir(parents=True)
        (jars / "spark-core_2.13-4.3.0.jar").write_bytes(b"jar")
        (environment / "bin" / "python").write_text(f"#!/bin/sh\n{script}\n")
        return Spark(str(environment))

    return make


# --- the real one ------------------------------------------------------------------------------


def test_spark_tells_type_default_and_help(catalogue: Catalogue) -> None:
    found = catalogue.by_key
    overhead = found["spark.executor.memoryOverhead"]
    assert (overhead.type, overhead.unit, overhead.default) == ("bytes", "MiB", None)
    assert overhead.help.startswith("The amount of non-heap memory")
    assert overhead.since == "2.3.0"
    timeout = found["spark.network.timeout"]
    assert (timeout.type, timeout.unit, timeout.default) == ("time", "s", "120s")
    assert found["spark.sql.shuffle.partitions"].type == "integer"
    assert found["spark.sql.shuffle.partitions"].default == "200"
    assert found["spark.shuffle.compress"].type == "boolean"
    assert found["spark.memory.fraction"].type == "decimal"
    assert found["spark.jars.packages"].type == "list"
    codec = found["spark.sql.parquet.compression.codec"]
    assert codec.type == "text"
    assert {"snappy", "zstd"} <= set(codec.choices or [])
    # Of each part of Spark: Kubernetes, YARN, Hive, the history server.
    for key in (
        "spark.kubernetes.container.image",
        "spark.yarn.queue",
        "spark.sql.hive.metastore.version",
        "spark.history.ui.port",
    ):
        assert key in found
    assert catalogue.skipped == []


def test_nothing_of_the_asking_is_in_the_answer(catalogue: Catalogue) -> None:
    assert catalogue.by_key["spark.sql.warehouse.dir"].default == (
        "file:<the notebook's folder>/spark-warehouse"
    )
    assert "pyspark-kernels-settings-" not in catalogue.model_dump_json()
    assert not [setting for setting in catalogue.settings if "<code>" in setting.help]


@pytest.mark.parametrize(
    "key",
    [
        "spark.app.name",
        "spark.hadoop.fs.s3a.endpoint",
        "spark.executorEnv.HOME",
        "spark.kubernetes.executor.label.team",
        "spark.executor.resource.gpu.amount",
        "spark.shuffle.io.maxRetries",
        "spark.sql.catalog.lake.type",
        "spark.sql.codegen.maxFields",
    ],
)
def test_keys_that_are_no_documented_setting_are_known(catalogue: Catalogue, key: str) -> None:
    assert catalogue.knows(key)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("spark.sql.shuffle.partitons", "spark.sql.shuffle.partitions"),
        ("spark.executor.memoryoverhead", "spark.executor.memoryOverhead"),
        ("spark.dynamicAlocation.enabled", "spark.dynamicAllocation.enabled"),
        ("spark.app.nmae", "spark.app.name"),
    ],
)
def test_a_slip_of_the_keyboard_is_told(catalogue: Catalogue, key: str, meant: str) -> None:
    assert not catalogue.knows(key)
    assert meant in catalogue.suggest(key)


def test_nothing_is_suggested_for_what_is_like_nothing(catalogue: Catalogue) -> None:
    assert catalogue.suggest("spark.my.own.thing") == []


def advice(catalogue: Catalogue, **conf: str) -> list[str]:
    settings = {key.replace("__", "."): value for key, value in conf.items()}
    config = read_config({"name": "k", "environment": "/env", "conf": settings})
    return [remark.message for remark in advise(config, catalogue) if remark.field == "conf"]


def test_advice_on_settings(catalogue: Catalogue) -> None:
    spark = f"Spark {catalogue.spark_version}"
    assert advice(catalogue, spark__sql__shuffle__partitions="100") == []
    told = advice(catalogue, spark__sql__shuffle__partitons="100")
    assert told[0].startswith(f"{spark} does not know spark.sql.shuffle.partitons. Did you mean ")
    assert "spark.sql.shuffle.partitions" in told[0]
    assert advice(catalogue, spark__shuffle__compress="yes") == [
        "spark.shuffle.compress takes true or false. “yes” is not."
    ]
    assert "an amount of memory" in advice(catalogue, spark__driver__maxResultSize="lots")[0]
    assert advice(catalogue, spark__yarn__executor__memoryOverhead="1g") == [
        "spark.yarn.executor.memoryOverhead is not to be used any more since Spark 2.3. "
        "Use spark.executor.memoryOverhead instead."
    ]
    assert "It counts only where a library reads it" in advice(catalogue, spark__zz__y="1")[0]
    # A library may know it.
    assert advice(catalogue, spark__zz__y="1", spark__jars="/lib.jar") == []


def test_what_is_all_wrong_is_not_told_at_length(catalogue: Catalogue) -> None:
    assert len(advice(catalogue, **{f"spark__sql__shufle{n}": "1" for n in range(500)})) == 20


def test_an_answer_is_kept_for_its_owner_alone(
    catalogue: Catalogue, settings_folder: Path, pyspark_environment: Path
) -> None:
    (file,) = settings_folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings_folder.stat().st_mode) == 0o700
    spark, listener = Spark(str(pyspark_environment)), Listener(cancels=True)
    assert ask(settings_folder, spark, listener) == kept(settings_folder, spark) == catalogue
    assert listener.lines == []


def test_the_same_spark_as_a_home_is_not_asked_again(
    catalogue: Catalogue, settings_folder: Path, pyspark_environment: Path
) -> None:
    root = Spark(str(pyspark_environment)).root
    assert kept(settings_folder, Spark("/somewhere", home=root)) == catalogue


def test_a_spark_home_is_asked_and_nothing_is_left(
    pyspark_environment: Path, tmp_path: Path, marker: str, catalogue: Catalogue
) -> None:
    home = Spark(str(pyspark_environment)).root
    found = ask(tmp_path, Spark(str(pyspark_environment), home=home), Listener())
    assert found == catalogue
    wait_until(lambda: marked_processes(marker) == [])


@pytest.mark.skipif(
    "PYSPARK_KERNELS_TEST_SPARK_35" not in os.environ,
    reason="Spark 3.5 is 300 MB more; set PYSPARK_KERNELS_TEST_SPARK_35 to an environment with it.",
)
def test_spark_3_5_tells_its_own(tmp_path: Path) -> None:
    found = ask(tmp_path, Spark(os.environ["PYSPARK_KERNELS_TEST_SPARK_35"]), Listener())
    assert found.spark_version.startswith("3.5.")
    assert found.skipped == []
    # As it was before Spark 4 turned it on.
    assert found.by_key["spark.sql.ansi.enabled"].default == "false"
    assert found.by_key["spark.sql.ansi.enabled"].type == "boolean"
    assert found.by_key["spark.executor.memoryOverhead"].unit == "MiB"
    assert found.by_key["spark.sql.storeAssignmentPolicy"].choices == ["ANSI", "LEGACY", "STRICT"]
    assert found.pyspark["spark.rdd.compress"] == "True"
    assert "spark.sql.shuffle.partitions" in found.suggest("spark.sql.shuffle.partitons")


# --- some that only pretend --------------------------------------------------------------------


def test_another_version_in_the_same_place_is_another_spark(
    pretender: Callable[..., Spark],
) -> None:
    spark = pretender()
    before = identity(spark)
    assert before is not None
    jar = next(Path(f"{spark.root}/jars").iterdir())
    jar.write_bytes(b"another jar")
    assert identity(spark) not in (None, before)
    jar.unlink()
    assert identity(spark) is None
    with pytest.raises(CannotBeDone, match="holds no jars of Spark"):
        check_spark(spark)


def test_a_spark_that_others_can_change_is_not_run(
    pretender: Callable[..., Spark], tmp_path: Path
) -> None:
    spark = pretender(f"touch {tmp_path}/was-run")
    Path(spark.environment).chmod(0o777)
    with pytest.raises(NotAllowed, match="can be written to by everybody"):
        ask(tmp_path / "kept", spark, Listener())
    assert not (tmp_path / "was-run").exists()


def test_a_home_that_others_can_change_is_not_run(
    pretender: Callable[..., Spark], spark_home: Path, tmp_path: Path
) -> None:
    (spark_home / "jars").mkdir()
    (spark_home / "jars" / "spark-core.jar").touch()
    spark = Spark(pretender().environment, home=str(spark_home))
    check_spark(spark)
    (spark_home / "bin").chmod(0o777)
    with pytest.raises(NotAllowed, match="bin can be written to by everybody"):
        check_spark(spark)
    (spark_home / "bin").chmod(0o755)
    (spark_home / "conf").mkdir(exist_ok=True)
    check_spark(spark)
    # Spark's scripts run the spark-env.sh in it.
    (spark_home / "conf").chmod(0o777)
    with pytest.raises(NotAllowed, match="conf can be written to by everybody"):
        check_spark(spark)


def test_a_java_that_others_can_change_is_not_run(
    pretender: Callable[..., Spark], tmp_path: Path
) -> None:
    java = tmp_path / "java"
    spark = replace(pretender(), java_home=str(java))
    # What is not there runs nothing.
    check_spark(spark)
    (java / "bin").mkdir(parents=True)
    (java / "bin" / "java").touch()
    check_spark(spark)
    (java / "bin").chmod(0o777)
    with pytest.raises(NotAllowed, match="bin can be written to by everybody") as refusal:
        check_spark(spark)
    assert [error.field for error in refusal.value.errors] == ["env"]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo no Java here; exit 1", "no Java here"),
        ("exit 0", "exit code 0"),
        ('echo {} > "$3"', "what nobody understands"),
        ('head -c 9000000 /dev/zero > "$3"', "too much"),
    ],
)
def test_a_spark_that_does_not_tell(
    pretender: Callable[..., Spark], tmp_path: Path, script: str, why: str
) -> None:
    folder = tmp_path / "kept"
    with pytest.raises(CannotBeDone, match=why) as raised:
        ask(folder, pretender(script), Listener())
    assert raised.value.errors[0].field == "environment"
    assert not folder.exists()


def test_a_spark_that_never_tells_is_ended(
    pretender: Callable[..., Spark], tmp_path: Path, marker: str
) -> None:
    with pytest.raises(CannotBeDone, match=r"more than 0\.5 s"):
        ask(tmp_path, pretender("sleep 600 & sleep 600"), Listener(), seconds=0.5)
    wait_until(lambda: marked_processes(marker) == [])


def test_asking_can_be_cancelled(
    pretender: Callable[..., Spark], tmp_path: Path, marker: str
) -> None:
    with pytest.raises(Cancelled):
        ask(tmp_path, pretender("sleep 600 & sleep 600"), Listener(cancels=True))
    wait_until(lambda: marked_processes(marker) == [])


def test_java_home_of_the_kernel_is_used(pretender: Callable[..., Spark], tmp_path: Path) -> None:
    spark = pretender('echo "java=$JAVA_HOME spark=$SPARK_HOME"; exit 1')
    with pytest.raises(CannotBeDone, match="java=/some/java spark= "):
        ask(tmp_path, Spark(spark.environment, java_home="/some/java"), Listener())


def test_a_damaged_answer_is_asked_anew(pretender: Callable[..., Spark], tmp_path: Path) -> None:
    spark = pretender()
    (tmp_path / f"{identity(spark)}.json").write_text("{")
    assert kept(tmp_path, spark) is None


def test_few_answers_are_kept(pretender: Callable[..., Spark], tmp_path: Path) -> None:
    answer = Catalogue(
        spark_version="1",
        settings=[],
        skipped=[],
        hidden=[],
        named=[],
        replaced={},
        pyspark={},
    )
    spark = pretender(f"cat > \"$3\" <<'END'\n{answer.model_dump_json()}\nEND")
    folder = tmp_path / "kept"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.json").touch()
        os.utime(folder / f"{number}.json", (number, number))
    assert ask(folder, spark, Listener()) == answer
    assert sorted(path.name for path in folder.glob("?.json")) == [
        f"{n}.json" for n in range(3, 10)
    ]
    assert kept(folder, spark) == answer


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("boolean", ["true", "FALSE"], ["yes", "1", ""]),
        ("integer", ["1", "-1"], ["1.5", "many", "1g"]),
        ("decimal", ["0.6", "1", "1e-3", ".5"], ["half", ""]),
        ("bytes", ["1", "512m", "4G", "4gb", "-1"], ["lots", "1.5g", "4 x"]),
        ("time", ["1", "30s", "5min", "500ms", "1h"], ["soon", "1.5s", "1w"]),
        ("text", ["anything", ""], []),
        ("list", ["a,b", ""], []),
    ],
)
def test_values_by_their_types(kind: str, right: list[str], wrong: list[str]) -> None:
    setting = Setting.model_validate(
        {"key": "spark.k", "type": kind, "help": ""}
        | dict.fromkeys(("unit", "choices", "default", "since"))
    )
    assert [value for value in right if why_not_taken(setting, value)] == []
    assert [value for value in wrong if not why_not_taken(setting, value)] == []
    assert why_not_taken(setting, "${spark.other}") is None


def test_a_choice_is_checked_whatever_its_case(catalogue: Catalogue) -> None:
    setting = catalogue.by_key["spark.sql.storeAssignmentPolicy"]
    assert why_not_taken(setting, "ansi") is None
    assert why_not_taken(setting, "lax") == "one of ANSI, LEGACY, STRICT"


# --- the service -------------------------------------------------------------------------------


def test_the_service_asks_once_and_then_advises(
    data_dir: Path, pyspark_environment: Path, tmp_path: Path
) -> None:
    place = Place(id="user", kernels=tmp_path / "kernels", shared=False, reason=None)
    service = KernelService(NoKernels(), lambda: [place])
    draft = {
        "display_name": "Draft",
        "environment": str(pyspark_environment),
        "conf": {"spark.sql.shuffle.partitons": "9"},
    }
    # Before the Spark was asked nothing is said, and nothing is started.
    assert service.preview(draft).advice == []
    assert service.effective(draft).spark_version is None
    request = service.settings({"environment": draft["environment"], "master": "not read"})
    assert isinstance(request, Request)
    assert (
        service.carry_out(Request.model_validate_json(request.model_dump_json()), Listener())
        is None
    )
    settings = service.settings(draft)
    assert not isinstance(settings, Request)
    assert set(settings.model_dump()) == {"spark_version", "settings", "skipped"}
    assert "Did you mean" in service.preview(draft).advice[0].message
    (kept_file,) = data_dir.glob("pyspark-kernels-*/settings/*.json")
    assert json.loads(kept_file.read_text())["spark_version"] == settings.spark_version


def test_an_environment_that_is_not_allowed_is_not_asked(
    data_dir: Path, environment: Path, tmp_path: Path
) -> None:
    service = KernelService(NoKernels(), list, allowed_environments=["/elsewhere"])
    with pytest.raises(CannotBeDone, match="where environments may be used from"):
        service.settings({"environment": str(environment)})
    assert not (tmp_path / "was-run").exists()
