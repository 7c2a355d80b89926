"""Kernels that run Spark, driven as Jupyter drives them."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from kernels import (
    LIMIT_SECONDS,
    SHORT_LIVED,
    RunningKernel,
    comm_messages,
    free_port,
    marked_processes,
    running,
    wait_until,
)

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.doctor import diagnose, read_left
from jupyterlab_pyspark_kernels.kernel import contents
from jupyterlab_pyspark_kernels.kernel.failure import SparkStartError
from jupyterlab_pyspark_kernels.kernel.memory import OWN_DIRECTORY, memory_of
from jupyterlab_pyspark_kernels.kernel.notebook import names_spark
from jupyterlab_pyspark_kernels.kernel.probe import probe
from jupyterlab_pyspark_kernels.kernel.start import SparkStart
from jupyterlab_pyspark_kernels.kernel.status import Status
from jupyterlab_pyspark_kernels.render import render

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make_kernel(
    pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Write a kernel directory, and give the kernels directory that holds it."""

    def make(name: str, **config: Any) -> Path:
        kernels = tmp_path_factory.mktemp("kernels")
        data = {"environment": str(pyspark_environment), "master": "local[2]", **config}
        directory = kernels / name
        directory.mkdir()
        spec = render(read_config({"name": name, **data}), "tester")
        (directory / "kernel.json").write_text(json.dumps(spec))
        for file, content in contents().items():
            (directory / file).write_bytes(content)
        return kernels

    return make


@pytest.fixture(scope="module")
def kernel(make_kernel: Make, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKernel]:
    """One kernel that several tests look at."""
    runtime = tmp_path_factory.mktemp("runtime")
    # Reached by a link, as home directories often are.
    kernels = runtime / "linked"
    kernels.symlink_to(make_kernel("shared"))
    with running(kernels, "shared", runtime) as started:
        yield started


def test_the_first_cell_does_not_wait_for_spark(kernel: RunningKernel) -> None:
    # The first test of this module: Spark needs seconds, and Python is there.
    assert kernel.value("1 + 1") == "2"
    assert kernel.status()["stage"] in ("jvm", "connecting")
    assert kernel.value("print(repr(globals()['sp' + 'ark']))") == "<spark: Spark is starting>"


def test_the_names_are_there_and_real(kernel: RunningKernel) -> None:
    assert kernel.value("spark.range(1000).count()") == "1000"
    assert kernel.value("sc.parallelize([1, 2, 3]).sum()") == "6"
    assert kernel.value("sql('select 1 + 1 as x').first().x") == "2"
    kinds = "type(spark).__module__.split('.')[0], type(sc).__name__"
    assert kernel.value(kinds) == "('pyspark', 'SparkContext')"


def test_the_status_tells_every_stage_to_its_owner_alone(kernel: RunningKernel) -> None:
    status = kernel.wait_for_stage("ready")
    assert list(status["stages"]) == ["jvm", "connecting", "ready"]
    assert list(status["stages"].values()) == sorted(status["stages"].values())
    assert status["application_id"] == kernel.value("sc.applicationId").strip("'")
    assert status["ui"] == kernel.value("sc.uiWebUrl").strip("'")
    assert (status["master"], status["executors"], status["cause"]) == ("local[2]", 0, None)
    wait_until(lambda: kernel.status()["cores"] is not None)
    status = kernel.status()
    # The driver does the work, with Spark's own default of memory.
    assert (status["cores"], status["memory_mib"], status["fix"]) == (2, 1024, None)
    assert stat.S_IMODE(kernel.status_file.parent.stat().st_mode) == 0o700
    for file in kernel.status_file.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_notebook_is_remembered_as_the_kernels_last_use(kernel: RunningKernel) -> None:
    (memory,) = (kernel.runtime / "data" / OWN_DIRECTORY / "kernels").iterdir()
    assert Path(memory.read_text()) == (kernel.runtime / "linked" / "shared").resolve()
    assert memory.stem == memory_of(str(kernel.runtime / "linked" / "shared")).name


def test_sparks_own_messages_go_to_the_log_and_not_into_the_notebook(kernel: RunningKernel) -> None:
    assert "WARN" in Path(kernel.status()["log"]).read_text()
    assert kernel.value("spark.range(3).count()") == "3"


def test_a_session_of_ones_own_is_the_same_session(kernel: RunningKernel) -> None:
    code = "from pyspark.sql import SparkSession; SparkSession.builder.getOrCreate() is spark"
    assert kernel.value(code) == "True"


def test_functions_of_the_notebook_run_on_workers(kernel: RunningKernel) -> None:
    assert kernel.value("def double(x): return 2 * x\nsc.parallelize([1, 2]).map(double).collect()")


def test_python_and_hash_seed_are_the_same_in_driver_and_workers(kernel: RunningKernel) -> None:
    kernel.value(
        "def facts(_=0):\n"
        "    import os, sys\n"
        "    return sys.version_info[:3], sys.executable, os.environ['PYTHONHASHSEED'], hash('x')\n"
    )
    assert kernel.value("sc.parallelize([0], 1).map(facts).first() == facts()") == "True"


def test_the_kernel_directory_is_not_importable(kernel: RunningKernel) -> None:
    assert kernel.run("import launcher").error == "ModuleNotFoundError"
    places = kernel.value("import sys; print(*map(repr, sys.path))").split()
    assert "''" in places
    assert "kernels" not in "".join(places)


def test_the_stages_arrive_over_the_comm_while_a_cell_runs(
    make_kernel: Make, tmp_path: Path
) -> None:
    with running(make_kernel("comm"), "comm", tmp_path) as started:
        message = started.client.session.msg(
            "comm_open", {"comm_id": "c", "target_name": "pyspark-kernels", "data": {}}
        )
        started.client.shell_channel.send(message)
        message_id = started.client.execute("import time; time.sleep(100)")
        messages = comm_messages(started, "c", last_stage="ready")
        # The cell was still running when they arrived.
        started.manager.interrupt_kernel()
        assert started.collect(message_id).error == "KeyboardInterrupt"
    stages = [message["stage"] for message in messages]
    assert stages[0] in ("jvm", "connecting")
    assert stages[-1] == "ready"


@pytest.mark.parametrize("time", ["first", "second", "third"])
def test_an_interrupt_ends_the_job_and_not_the_jvm(kernel: RunningKernel, time: str) -> None:
    # Each takes the thread in the JVM, and all that was noted for it, along.
    application = kernel.value("sc.applicationId")
    kernel.value("tracker = sc.statusTracker()")
    sleep = "sc.parallelize(range(4), 4).map(lambda _: __import__('time').sleep(100)).count()"
    message_id = kernel.client.execute(sleep)
    ui = kernel.status()["ui"].rpartition(":")[2]
    wait_until(lambda: running_jobs(ui) == 1)
    kernel.manager.interrupt_kernel()
    answer = kernel.collect(message_id)
    assert answer.status == "error"
    # PySpark's own cleaning up may fail after it, and then names the interrupt as its reason.
    assert "KeyboardInterrupt" in "".join(answer.traceback)
    wait_until(lambda: kernel.value("tracker.getActiveJobsIds()") == "[]")
    assert kernel.value("spark.range(10).count()") == "10"
    assert kernel.value("sc.applicationId") == application


def test_libraries_find_the_active_session(kernel: RunningKernel) -> None:
    kernel.value("from pyspark.sql import SparkSession")
    assert kernel.value("SparkSession.getActiveSession() is spark") == "True"


def running_jobs(port: str) -> int:
    """Ask Spark's own REST API, as the kernel is busy."""
    base = f"http://localhost:{port}/api/v1/applications"
    with urlopen(base, timeout=LIMIT_SECONDS) as response:
        (application,) = json.load(response)
    with urlopen(
        f"{base}/{application['id']}/jobs?status=running", timeout=LIMIT_SECONDS
    ) as response:
        return len(json.load(response))


def test_a_wait_can_be_interrupted_and_spark_comes_up_all_the_same(
    make_kernel: Make, tmp_path: Path
) -> None:
    with running(make_kernel("waits"), "waits", tmp_path) as started:
        message_id = started.client.execute("ran = True; spark.range(10).count()")
        while started.client.get_iopub_msg(timeout=60)["parent_header"]["msg_id"] != message_id:
            continue
        time.sleep(1)
        started.manager.interrupt_kernel()
        answer = started.collect(message_id)
        assert (answer.status, answer.error) == ("error", "KeyboardInterrupt")
        assert started.value("'ran' in globals()") == "False"
        assert started.value("spark.range(10).count()") == "10"


def test_a_name_that_is_taken_stays_the_persons(make_kernel: Make, tmp_path: Path) -> None:
    with running(make_kernel("own"), "own", tmp_path) as started:
        started.value("sc = 'mine'")
        started.value("s = spark.range(1).count()")
        assert started.value("sc") == "'mine'"


def test_a_session_asked_for_while_spark_starts_is_the_same_one(
    make_kernel: Make, tmp_path: Path
) -> None:
    with running(make_kernel("race"), "race", tmp_path) as started:
        # Named in a way that the launcher does not see, so that both really race.
        started.value(
            "import importlib\n"
            "session = importlib.import_module('pyspark.sql').SparkSession\n"
            "mine = getattr(session.builder, 'getOr' + 'Create')()\n"
        )
        assert started.value("mine.sparkContext is sc, mine is spark") == "(True, True)"
        java = started.jvms()
        assert len(java) == 1


def test_an_ipython_profile_reaches_the_kernel(make_kernel: Make, tmp_path: Path) -> None:
    startup = tmp_path / "ipython" / "profile_mine" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("from_profile = 42\n")
    with running(make_kernel("profile", ipython_profile="mine"), "profile", tmp_path) as started:
        assert started.value("from_profile") == "42"


# --- nothing is left behind ---------------------------------------------------------------------


@pytest.mark.parametrize("now", [False, True], ids=["in order", "killed"])
def test_a_shutdown_leaves_no_process(make_kernel: Make, tmp_path: Path, now: bool) -> None:
    with running(make_kernel("ends"), "ends", tmp_path) as started:
        started.value("sc.parallelize([1, 2], 2).map(str).collect()")
        assert len(started.processes()) >= 3
        if now:
            started.close()
        else:
            started.end()
        wait_until(lambda: marked_processes(started.marker) == [])
        if not now:
            assert list((tmp_path / "pyspark-kernels").iterdir()) == []


def test_a_jvm_that_has_to_be_killed_at_the_end_is_no_failure(
    make_kernel: Make, tmp_path: Path
) -> None:
    with running(make_kernel("slow"), "slow", tmp_path) as started:
        started.value("spark.range(1).count()")
        (java,) = started.jvms()
        # It hears nobody who asks, and ipykernel does not wait for ever.
        os.kill(java, signal.SIGSTOP)
        started.end()
        wait_until(lambda: marked_processes(started.marker) == [])
        assert list((tmp_path / "pyspark-kernels").iterdir()) == []


def test_a_restart_leaves_only_the_new_kernel(make_kernel: Make, tmp_path: Path) -> None:
    with running(make_kernel("again"), "again", tmp_path) as started:
        started.value("spark.range(1).count()")
        before = set(started.processes())
        started.client.stop_channels()
        started.manager.restart_kernel()
        started.connect()
        assert started.value("spark.range(5).count()") == "5"
        wait_until(lambda: not before & set(started.processes()))


SOON = 50
"""Seconds within which a master is told to be dead: Spark itself tries it for longer."""


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_dead_master_is_told_at_once(make_kernel: Make, tmp_path: Path) -> None:
    master = f"spark://127.0.0.1:{free_port()}"
    with running(make_kernel("dead", master=master), "dead", tmp_path) as started:
        status = started.wait_for_stage("failed")
        assert status["stages"]["failed"] < SOON
        cause = f"Nobody listens at {master}."
        assert status["cause"] == cause
        assert status["fix"]
        told = started.run("1 + 1")
        assert told.status == "ok"
        assert cause in told.text
        assert started.value("2 + 2") == "4"
        touched = started.run("spark.range(1)")
        assert touched.error == "SparkStartError"
        assert cause in touched.traceback[0]
        assert len(touched.traceback) < 30


def test_a_master_that_never_answers_is_told(make_kernel: Make, tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        master = f"spark://127.0.0.1:{listening.getsockname()[1]}"
        with running(make_kernel("hangs", master=master), "hangs", tmp_path) as started:
            cause = f"The Spark master at {master} accepts connections and never answers."
            touched = started.run("spark.range(1)")
            assert touched.error == "SparkStartError"
            assert cause in touched.traceback[0]
            status = started.status()
            assert status["cause"].startswith(cause)
            assert status["stages"]["failed"] < SOON


def test_a_real_spark_connect_server_is_not_taken_for_silent(
    pyspark_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyterlab_pyspark_kernels.kernel.probe._SILENCE_SECONDS", LIMIT_SECONDS)
    (spark,) = pyspark_environment.glob("lib/python3*/site-packages/pyspark")
    port = free_port()
    conf = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.ui.enabled": "false",
    }
    options = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    server = "org.apache.spark.sql.connect.service.SparkConnectServer"
    start = [f"{spark}/bin/spark-submit", "--master", "local[1]", *options, "--class", server]
    env = {
        **os.environ,
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JAVA_TOOL_OPTIONS": SHORT_LIVED,
    }

    def answers() -> bool:
        try:
            probe(f"sc://127.0.0.1:{port}/;user_id=me")
        except SparkStartError as error:
            # Until it listens.
            assert "connection refused" in str(error)
            return False
        return True

    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*start, "spark-internal"], cwd=tmp_path, env=env, stdout=log, stderr=log
        )
    try:
        wait_until(answers)
    finally:
        process.terminate()
        process.wait(60)


RACING = """
import importlib.abc, importlib.util, sys

def lose(SparkContext):
    real = SparkContext._initialize_context
    def first(self, conf):
        SparkContext._initialize_context = real
        entries = self._jvm.java.util.ArrayList()
        entries.add(1)
        iterator = entries.iterator()
        iterator.next()
        entries.add(2)
        iterator.remove()
    SparkContext._initialize_context = first

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "pyspark.core.context":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (run(module), lose(module.SparkContext))
        return spec

sys.meta_path.insert(0, Finder())
"""


def test_a_spark_that_stood_in_its_own_way_is_created_again(
    make_kernel: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(RACING)
    kernels = make_kernel("racing", env={"PYTHONPATH": str(folder)})
    with running(kernels, "racing", tmp_path) as kernel:
        assert kernel.value("spark.range(1000).count()") == "1000"
        assert kernel.value("sc._initialize_context.__name__") == "'_initialize_context'"
        assert "ConcurrentModification" not in json.dumps(kernel.status())


def failure(
    make_kernel: Make, runtime: Path, env: dict[str, str] | None = None, **config: Any
) -> str:
    """Start a kernel whose Spark must fail; give why, with Python still working."""
    with running(make_kernel("fails", **config), "fails", runtime, env) as started:
        status = started.wait_for_stage("failed")
        assert started.run("spark").status == "ok"
        assert started.run("spark.version").error == "SparkStartError"
        assert started.value("1 + 1").endswith("2")
    return " ".join(filter(None, (status["cause"], status["fix"])))


def test_no_java_is_told(make_kernel: Make, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "env", "uname", "ps", "readlink", "cat"):
        if found := shutil.which(tool):
            (tools / tool).symlink_to(found)
    env = {**os.environ, "PATH": str(tools)}
    env.pop("JAVA_HOME", None)
    assert failure(make_kernel, tmp_path, env).startswith(
        "There is no Java where Spark looks for it. Install"
    )


def test_the_end_of_sparks_jvm_is_told(make_kernel: Make, tmp_path: Path) -> None:
    with running(make_kernel("lost", master="local[1]"), "lost", tmp_path) as started:
        halt = "spark._jvm.java.lang.Runtime.getRuntime().halt(3)"
        assert started.run(halt).status == "error"
        cause = "Spark's JVM ended with the exit code 3."
        status = started.wait_for_stage("failed")
        assert status["cause"] == cause
        assert status["fix"].startswith("Restart the kernel. ")
        assert (status["executors"], status["cores"], status["memory_mib"]) == (0, None, None)
        assert started.value("1 + 1") == "2"
        (found,) = diagnose(*read_left(started.status_file))
        assert (status["cause"], status["fix"]) == (found.cause, found.fix)


def test_a_jvm_that_is_killed_is_told(make_kernel: Make, tmp_path: Path) -> None:
    with running(make_kernel("killed", master="local[1]"), "killed", tmp_path) as started:
        started.value("spark.range(3).count()")
        (java,) = started.jvms()
        os.kill(java, signal.SIGKILL)
        cause = "Spark's JVM was killed: mostly because this machine had no memory left."
        status = started.wait_for_stage("failed")
        assert status["cause"] == cause
        assert "memory" in status["fix"]


def test_a_spark_home_without_spark_is_told(make_kernel: Make, tmp_path: Path) -> None:
    cause = failure(make_kernel, tmp_path, spark_home=str(tmp_path))
    assert cause.startswith(f"SPARK_HOME is {tmp_path}, which holds no Spark")


def test_an_environment_without_pyspark_is_told(make_kernel: Make, tmp_path: Path) -> None:
    # This very environment has ipykernel, and no PySpark.
    cause = failure(make_kernel, tmp_path, environment=sys.prefix)
    assert "has no py4j. Install pyspark" in cause or "has no pyspark. Install pyspark" in cause


def test_a_malformed_setting_is_told(make_kernel: Make, tmp_path: Path) -> None:
    conf = {"spark.ui.port": "nonsense"}
    with running(make_kernel("malformed", conf=conf), "malformed", tmp_path) as started:
        assert "spark.ui.port" in started.wait_for_stage("failed")["cause"]
        # Naming Spark without touching it is told as well.
        assert "spark.ui.port" in started.run("spark").text
        started.end()
        assert "spark.ui.port" in started.status()["cause"]
        assert Path(started.status()["log"]).exists()


@pytest.mark.parametrize("per_user", ["", "spark.app.name"])
def test_submit_arguments_that_cannot_be_split_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_user: str
) -> None:
    monkeypatch.setenv("PYSPARK_KERNELS_PER_USER", per_user)
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--conf 'spark.app.name=open pyspark-shell")
    start = SparkStart(Status(tmp_path / "kernel-split.json"))
    start.begin()
    wait_until(lambda: start.done, 30)
    assert "No closing quotation" in str(start.failure)


def test_what_dead_kernels_left_is_swept(tmp_path: Path) -> None:
    folder = tmp_path / "pyspark-kernels"
    folder.mkdir()
    for name in ("gone.json", "gone.log", "alive.json", "recent.json"):
        (folder / name).touch()
    for name in ("gone.json", "gone.log", "alive.json"):
        os.utime(folder / name, (0, 0))
    (folder / "vanishes.tmp").symlink_to(tmp_path / "nowhere")
    (tmp_path / "kernel-alive.json").touch()
    Status(tmp_path / "kernel-new.json")
    names = {path.name for path in folder.glob("*.json")}
    assert names == {"alive.json", "recent.json", "new.json"}
    assert not (folder / "gone.log").exists()


def test_modules_of_the_notebooks_folder_do_not_reach_ipykernel(
    make_kernel: Make, tmp_path: Path
) -> None:
    (tmp_path / "tornado.py").write_text("raise SystemExit('not the real one')\n")
    kernels = make_kernel("shadow")
    with running(kernels, "shadow", tmp_path, folder=tmp_path) as started:
        assert started.value("1 + 1") == "2"


# --- which Spark --------------------------------------------------------------------------------


def test_a_spark_home_brings_its_own_pyspark(
    make_kernel: Make, tmp_path: Path, pyspark_environment: Path
) -> None:
    (home,) = pyspark_environment.glob("lib/python3*/site-packages/pyspark")
    with running(
        # An environment without PySpark, and the Spark of another one.
        make_kernel("home", environment=sys.prefix, spark_home=str(home)),
        "home",
        tmp_path,
    ) as started:
        # In the first cell already, which does not wait for Spark.
        assert str(home) in started.value("import pyspark; pyspark.__file__")
        assert started.value("spark.range(7).count()") == "7"
        found = subprocess.check_output(
            [sys.executable, "-c", "import py4j, pyspark"],
            env={"PYTHONPATH": started.value("import os; print(os.environ['PYTHONPATH'])")},
        )
        assert found == b""


def test_a_spark_of_the_server_does_not_slip_in(make_kernel: Make, tmp_path: Path) -> None:
    env = {**os.environ, "SPARK_HOME": "/nowhere"}
    with running(make_kernel("clean"), "clean", tmp_path, env) as started:
        assert started.value("spark.range(7).count()") == "7"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("spark.range(1)", True),
        ("x = sql('select 1')", True),
        ("SparkSession.builder.getOrCreate()", True),
        ("# spark\nprint('sc')", False),
        ("from pyspark.sql import functions as F", False),
        ("account.sc = 1", False),
        ("SparkContext.getOrCreate()", True),
        ("sparkle = 1", False),
        ("%time spark.range(1)", True),
        ("!ls", False),
        ("(", False),
        ("", False),
    ],
)
def test_which_cells_wait(code: str, names: bool) -> None:
    assert names_spark(code) is names
