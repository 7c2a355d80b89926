"""Spark's driver starts with an archive of its classes, which real kernels make and use."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kernels import MARKER, RunningKernel, running, wait_until

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.kernel import classes, contents, train
from jupyterlab_pyspark_kernels.kernel.classes import Archive, archive_of, file_facts, keep
from jupyterlab_pyspark_kernels.kernel.driver import (
    DRIVER_START_VARIABLE,
    configured,
    has_wide_pointers,
    java_options,
)
from jupyterlab_pyspark_kernels.kernel.memory import FLIGHT_VARIABLE, OWN_DIRECTORY
from jupyterlab_pyspark_kernels.kernel.options import SubmitOptions
from jupyterlab_pyspark_kernels.render import render

PATIENCE_SECONDS = 900
"""A maker has the processor only when nobody else wants it."""

COUNT = "spark.range(1000).count()"
FROM_ARCHIVE = "source: shared objects file (top)"

Start = Callable[..., Any]


@contextmanager
def kernel_of(
    environment: Path, folder: Path, env: dict[str, str] | None = None, **config: Any
) -> Iterator[RunningKernel]:
    """Run a kernel; the user's data directory is in the folder."""
    directory = folder / "kernels" / "k"
    directory.mkdir(parents=True, exist_ok=True)
    data = {"name": "k", "environment": str(environment), "master": "local[1]", **config}
    (directory / "kernel.json").write_text(json.dumps(render(read_config(data), "tester")))
    for file, content in contents().items():
        (directory / file).write_bytes(content)
    # The other tests' kernels make none.
    variables = {key: value for key, value in os.environ.items() if key != DRIVER_START_VARIABLE}
    variables |= {"IPYTHONDIR": str(folder / "ipython"), **(env or {})}
    with running(folder / "kernels", "k", folder, variables) as kernel:
        yield kernel


def archives(folder: Path) -> Path:
    return folder / "data" / OWN_DIRECTORY / "classes"


def records(folder: Path) -> list[Path]:
    return sorted(archives(folder).glob("*.json"))


def command(kernel: RunningKernel) -> list[str]:
    """Give the command of a kernel's driver."""
    assert kernel.value(COUNT) == "1000"
    pid = kernel.value("print(sc._gateway.proc.pid)")
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


def makers(folder: Path) -> list[int]:
    """List the processes that make an archive in a folder, their JVMs among them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(
                str(archives(folder))
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def made(pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user for whom one kernel has made an archive, in the background."""
    folder = tmp_path_factory.mktemp("made")
    with kernel_of(pyspark_environment, folder) as kernel:
        assert "-Xshare:auto" not in command(kernel)
        wait_until(lambda: records(folder), PATIENCE_SECONDS)
        wait_until(lambda: not makers(folder), PATIENCE_SECONDS)
    return folder


@pytest.fixture
def user(made: Path, tmp_path: Path) -> Path:
    """A user of their own, with the archive: hard links keep its times."""
    target = archives(tmp_path)
    target.parent.mkdir(parents=True)
    shutil.copytree(archives(made), target, copy_function=shutil.copy2)
    target.chmod(0o700)
    for record in target.glob("*.json"):
        content = json.loads(record.read_text())
        content["file"] = file_facts(record.with_suffix(".jsa"))
        record.chmod(0o600)
        record.write_text(json.dumps(content))
    return tmp_path


# --- made and used ------------------------------------------------------------------------------


def test_the_next_kernel_takes_its_classes_from_the_archive(
    pyspark_environment: Path, made: Path
) -> None:
    (archive,) = archives(made).glob("*.jsa")
    loaded = made / "loaded.txt"
    log = {"JAVA_TOOL_OPTIONS": f"-Xlog:class+load:file={loaded}"}
    with kernel_of(pyspark_environment, made, log) as kernel:
        assert f"-XX:SharedArchiveFile={archive}" in command(kernel)
        lines = [line for line in loaded.read_text().splitlines() if " org.apache.spark." in line]
        assert sum(FROM_ARCHIVE in line for line in lines) > len(lines) / 2
        # One is enough.
        time.sleep(12)
        assert makers(made) == []
    assert [path.suffix for path in archives(made).glob("*.js*")].count(".jsa") == 1


def test_a_maker_leaves_nothing_but_the_archive(made: Path) -> None:
    (record,) = records(made)
    names = {path.name for path in archives(made).iterdir()}
    assert names == {".lock", record.name, record.with_suffix(".jsa").name}
    assert archives(made).stat().st_mode & 0o777 == 0o700
    content = json.loads(record.read_text())
    digest = subprocess.run(
        ["sha256sum", record.with_suffix(".jsa")], capture_output=True, text=True, check=True
    )
    assert digest.stdout.split()[0] == content["sha256"]


def test_a_damaged_archive_stops_no_spark(pyspark_environment: Path, user: Path) -> None:
    (archive,) = archives(user).glob("*.jsa")
    times = archive.stat()
    archive.chmod(0o600)
    with archive.open("r+b") as file:
        # The header stays, and so do size and time: only Java can find out.
        for at in range(65536, times.st_size, 65536):
            file.seek(at)
            file.write(os.urandom(4096))
    archive.chmod(0o400)
    os.utime(archive, ns=(times.st_atime_ns, times.st_mtime_ns))
    with kernel_of(pyspark_environment, user) as kernel:
        assert kernel.value(COUNT) == "1000"
        # It is found out in the background, and made anew.
        wait_until(lambda: not records(user))


def test_a_truncated_archive_is_not_used(pyspark_environment: Path, user: Path) -> None:
    (archive,) = archives(user).glob("*.jsa")
    archive.chmod(0o600)
    os.truncate(archive, 1024)
    with kernel_of(pyspark_environment, user) as kernel:
        assert "-Xshare:auto" not in command(kernel)


def test_what_a_person_says_of_java_wins(pyspark_environment: Path, user: Path) -> None:
    options = "-XX:+UseParallelGC -XX:TieredStopAtLevel=3 -Xshare:off"
    conf = {"spark.driver.extraJavaOptions": options}
    with kernel_of(pyspark_environment, user, driver_start="quick", conf=conf) as kernel:
        words = command(kernel)
    assert {"-XX:+UseParallelGC", "-XX:TieredStopAtLevel=3", "-Xshare:off"} <= {*words}
    assert not {"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"} & {*words}


def test_off_is_off_and_variables_stay_the_persons(pyspark_environment: Path, user: Path) -> None:
    with kernel_of(pyspark_environment, user, driver_start="off") as kernel:
        assert not [word for word in command(kernel) if "Tier" in word or "share" in word]
    with kernel_of(pyspark_environment, user, {"SPARK_SUBMIT_OPTS": "-Dmine=1"}) as kernel:
        words = command(kernel)
        assert words.index("-Xshare:auto") < words.index("-Dmine=1")
        assert kernel.value("import os; os.environ['SPARK_SUBMIT_OPTS']") == "'-Dmine=1'"
        assert kernel.value("'SPARK_LAUNCHER_OPTS' in os.environ") == "False"


def test_a_flight_test_makes_none(
    pyspark_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kernel_of(pyspark_environment, tmp_path, {FLIGHT_VARIABLE: "1"}) as kernel:
        assert kernel.value(COUNT) == "1000"
        time.sleep(12)
        assert not archives(tmp_path).exists()


def test_a_home_that_is_read_only_is_silent(pyspark_environment: Path, tmp_path: Path) -> None:
    # Also for root, whom no mode stops: a file is in the way.
    (tmp_path / "data").write_text("")
    with kernel_of(pyspark_environment, tmp_path) as kernel:
        assert kernel.value(COUNT) == "1000"
        time.sleep(12)
        assert kernel.value(COUNT) == "1000"
        assert kernel.status()["stage"] == "ready"


def test_a_maker_that_is_killed_leaves_nothing_half(
    pyspark_environment: Path, tmp_path: Path
) -> None:
    with kernel_of(pyspark_environment, tmp_path) as kernel:
        assert kernel.value(COUNT) == "1000"
        wait_until(lambda: len(makers(tmp_path)) == 2, PATIENCE_SECONDS)
        # Somebody else wants to make one at the same time, and does not wait.
        with (archives(tmp_path) / ".lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for pid in makers(tmp_path):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not makers(tmp_path))
        assert not list(archives(tmp_path).glob("*.js*"))
    with kernel_of(pyspark_environment, tmp_path) as kernel:
        assert "-Xshare:auto" not in command(kernel)
        wait_until(lambda: len(makers(tmp_path)) == 2, PATIENCE_SECONDS)
        (left,) = archives(tmp_path).glob("make-*")
    # With its kernel ends the maker.
    wait_until(lambda: not makers(tmp_path) and not left.exists())
    assert [path.name for path in archives(tmp_path).iterdir()] == [".lock"]


# --- which archive fits -------------------------------------------------------------------------


@pytest.fixture
def spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files by which an archive is known, and a data directory."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    home = tmp_path / "spark"
    (home / "jars").mkdir(parents=True)
    for name in ("a.jar", "b.jar"):
        (home / "jars" / name).write_text(name)
    java = tmp_path / "java"
    (java / "bin").mkdir(parents=True)
    (java / "bin" / "java").write_text("")
    (java / "release").write_text('JAVA_VERSION="17.0.1"')
    return home


def find(spark: Path, arguments: str = "", **environ: str) -> Archive:
    options = SubmitOptions(arguments)
    environ = {"JAVA_HOME": str(spark.parent / "java"), **environ}
    texts = configured(options, str(spark), environ)
    return archive_of(str(spark), texts, has_wide_pointers("\n".join(texts.values())), environ)


def make(archive: Archive, size: int = 10, **facts: Any) -> Path:
    directory = archive.wanted(facts)
    assert directory is not None
    staged = directory / "staged"
    staged.write_bytes(b"x")
    os.truncate(staged, size)
    keep(staged, directory, archive.key, facts)
    return directory / f"{archive.key}.jsa"


def test_an_archive_fits_what_it_was_made_with(spark: Path) -> None:
    archive = find(spark)
    assert archive.usable() is None
    path = make(archive, java="17")
    assert archive.usable() == path
    assert archive.wanted({"java": "17"}) is None
    # What Spark tells once it is there is believed, and not what was expected of it.
    assert archive.wanted({"java": "21"}) == path.parent
    other = find(spark, "--conf spark.app.name=b --conf spark.executor.memory=4g")
    assert other.usable() == path


@pytest.mark.parametrize(
    "change",
    [
        lambda spark: (spark / "jars" / "c.jar").write_text(""),
        lambda spark: (spark / "jars" / "a.jar").write_text("longer"),
        lambda spark: os.utime(spark / "jars" / "a.jar", (1, 1)),
        lambda spark: (spark / "jars" / "b.jar").rename(spark / "jars" / "c.jar"),
        lambda spark: (spark.parent / "java" / "release").write_text('JAVA_VERSION="17.0.2"'),
    ],
)
def test_an_archive_of_something_else_is_not_used(
    spark: Path, change: Callable[[Path], object]
) -> None:
    make(find(spark))
    change(spark)
    assert find(spark).usable() is None
    assert find(spark).wanted({}) is not None


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        ("--driver-class-path /x.jar", {}),
        ("--conf spark.driver.extraClassPath=/x.jar", {}),
        ("--conf spark.driver.memory=40g", {}),
        ("", {"SPARK_DIST_CLASSPATH": "/x.jar"}),
        ("", {"SPARK_CONF_DIR": "/etc/spark"}),
    ],
)
def test_another_class_path_has_another_archive(
    spark: Path, arguments: str, environ: dict[str, str]
) -> None:
    make(find(spark))
    assert find(spark, arguments, **environ).usable() is None


def test_a_class_path_of_the_administrators_file_counts(spark: Path) -> None:
    make(find(spark))
    (spark / "conf").mkdir()
    defaults = spark / "conf" / "spark-defaults.conf"
    defaults.write_text("spark.ui.port 1\n")
    plain = find(spark)
    defaults.write_text("spark.ui.port 2\n")
    assert find(spark).key == plain.key
    defaults.write_text("spark.driver.extraClassPath /x.jar\n")
    assert find(spark).key != plain.key


def test_disk_use_has_a_limit(spark: Path) -> None:
    made = [make(find(spark, f"--driver-class-path {number}")) for number in range(5)]
    for number, path in enumerate(made):
        os.utime(path.with_suffix(".json"), (number, number))
    assert find(spark, "--driver-class-path 0").usable() == made[0]
    assert classes.make_room(made[0].parent)
    # The one that was just used stays, and the oldest go.
    assert {path for path in made if path.exists()} == {made[0], made[4]}
    make(find(spark, "--driver-class-path large"), size=900 * 1024**2)
    classes.make_room(made[0].parent)
    assert sum(path.stat().st_size for path in made[0].parent.glob("*.jsa")) < 1024**3 / 2


def test_a_full_disk_makes_none(spark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = make(find(spark)).parent
    monkeypatch.setattr(classes, "_ROOM_BYTES", shutil.disk_usage("/").total * 1000)
    assert not classes.make_room(directory)


def test_what_cannot_be_made_is_not_tried_by_every_kernel(
    spark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = find(spark)
    directory = archive.wanted({})
    assert directory is not None
    classes.give_up(directory, archive.key, {})
    assert archive.wanted({}) is None
    assert archive.usable() is None
    assert archive.wanted({"java": "another"}) is not None
    later = time.time() + 2 * 24 * 60 * 60
    monkeypatch.setattr(time, "time", lambda: later)
    assert archive.wanted({}) is not None


def test_an_administrators_directory_is_used_if_only_they_can_change_it(
    spark: Path, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    variables = {classes.SHARED_VARIABLE: str(shared)}
    path = make(find(spark, **variables))
    assert path.parent == shared
    assert path.stat().st_mode & 0o777 == 0o444
    assert find(spark, **variables).usable() == path
    path.chmod(0o666)
    assert find(spark, **variables).usable() is None
    path.chmod(0o444)
    for mode in (0o777, 0o775, 0o1777):
        shared.chmod(mode)
        assert find(spark, **variables).usable() is None
        assert shared not in find(spark, **variables).directories
    shared.chmod(0o755)
    assert find(spark, **variables).usable() == path
    (tmp_path / "link").symlink_to(shared)
    linked = find(spark, **{classes.SHARED_VARIABLE: str(tmp_path / "link")})
    assert linked.usable() is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_directory_of_a_stranger_is_not_used(spark: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    variables = {classes.SHARED_VARIABLE: str(shared)}
    path = make(find(spark, **variables))
    os.chown(shared, 1, 1)
    assert find(spark, **variables).usable() is None
    administered = {**variables, "PYSPARK_KERNELS_TEMPLATE_ADMINISTRATORS": "daemon"}
    assert find(spark, **administered).usable() == path
    os.chown(shared, 0, 0)
    os.chown(path, 2, 2)
    assert find(spark, **variables).usable() is None


# --- the options of Java ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "master", "said", "has", "has_not"),
    [
        ("", "local[2]", "", "Tier4BackEdgeThreshold SharedArchive", "Level=1 SerialGC"),
        ("quick", "local[2]", "", "Level=1 SerialGC SharedArchive", "Tier4"),
        ("", "yarn", "", "Level=1 SerialGC SharedArchive", "Tier4"),
        ("", "spark://h:1", "spark.driver.memory=16g", "Level=1", "SerialGC"),
        ("", "spark://h:1", "spark.driver.memory 2000m", "SerialGC", "Tier4"),
        ("", "yarn", "-XX:+UseZGC", "Level=1", "SerialGC"),
        ("", "yarn", "-XX:-TieredCompilation", "SerialGC", "Level=1"),
        ("", "yarn", "-XX:SharedArchiveFile=mine", "Level=1", "auto"),
        ("off", "yarn", "", "", "Level=1 SerialGC Shared"),
    ],
)
def test_the_options_follow_choice_master_and_person(
    how: str, master: str, said: str, has: str, has_not: str
) -> None:
    options = SubmitOptions(f"--master {master} pyspark-shell")
    given = " ".join(java_options(how, options, said, Path("/a b.jsa")))
    assert all(word in given for word in has.split())
    assert not any(word in given for word in has_not.split())


def test_a_maker_gets_neither_settings_nor_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, arguments: Any, **options: Any) -> None:
            seen.update(options, arguments=arguments)
            super().__init__(["cat"], **options)

    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--conf spark.x=y pyspark-shell")
    monkeypatch.setattr(subprocess, "Popen", Recorded)
    monkeypatch.setattr(train, "_free_memory", lambda: 2**40)
    process = train.begin(tmp_path, "key", {})
    assert process is not None
    process.communicate()
    assert not {"DB_PASSWORD", "PYSPARK_SUBMIT_ARGS", MARKER} & {*seen["env"]}
    facts = {"java": "/j", "wide": True, "modules": "--add-opens=a=b", "class_path": "/x.jar"}
    words = train.java_command(tmp_path, tmp_path / "staged", facts)
    assert "spark.driver.bindAddress=127.0.0.1" in words
    assert "-XX:-UseCompressedOops" in words
    monkeypatch.setattr(train, "_free_memory", lambda: 2**30)
    assert train.begin(tmp_path, "key", {}) is None
