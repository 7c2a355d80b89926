"""What a kernel tells of Spark's jobs while they run, and the end of one."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from kernels import LIMIT_SECONDS, SHORT_LIVED, RunningKernel, free_port, running, wait_until

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.kernel import contents
from jupyterlab_pyspark_kernels.kernel.cells import Cells
from jupyterlab_pyspark_kernels.kernel.progress import activity, job_of
from jupyterlab_pyspark_kernels.kernel.start import IDLE_VARIABLE
from jupyterlab_pyspark_kernels.render import render

Start = Callable[..., Any]
Told = dict[str, Any]

SLEEP = "(lambda x: __import__('time').sleep({}) or x)"

pytestmark = pytest.mark.usefixtures("short_lived_java")


class Listener:
    """A notebook that listens to its kernel."""

    def __init__(self, kernel: RunningKernel) -> None:
        self.kernel = kernel
        self.told: list[Told] = []
        self.done: dict[str, bool] = {}
        self.errors: dict[str, str] = {}
        opened = {"comm_id": "c", "target_name": "pyspark-kernels", "data": {}}
        kernel.client.shell_channel.send(kernel.client.session.msg("comm_open", opened))

    def execute(self, code: str, cell: str | None = None) -> str:
        """Send a cell as JupyterLab does."""
        content = {"code": code, "silent": False, "store_history": True, "stop_on_error": False}
        session = self.kernel.client.session
        message = session.msg("execute_request", content, metadata={"cellId": cell})
        self.kernel.client.shell_channel.send(message)
        identity: str = message["header"]["msg_id"]
        return identity

    def until(self, condition: Callable[[], object]) -> None:
        """Take what the kernel says until something holds."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            message = self.kernel.client.get_iopub_msg(timeout=deadline - time.monotonic())
            content, cell = message["content"], message["parent_header"].get("msg_id")
            if message["msg_type"] == "comm_msg" and "activity" in content["data"]:
                self.told.append(content["data"]["activity"])
            elif message["msg_type"] == "error":
                self.errors[cell] = f"{content['ename']}: {content['evalue']}"
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                self.done[cell] = True

    def last(self, cell: str) -> list[Told]:
        """Give what was told last of the jobs of a cell, the newest first."""
        jobs = self.told[-1]["jobs"] if self.told else []
        return [job for job in jobs if job["cell"] == cell]

    def wait_for(self, cell: str, *states: str) -> Told:
        """Wait until the newest job of a cell is in one of these states."""
        self.until(lambda: self.last(cell) and self.last(cell)[0]["state"] in states)
        return self.last(cell)[0]

    def run(self, code: str) -> str:
        """Run a cell to its end."""
        cell = self.execute(code)
        self.until(lambda: self.done.get(cell))
        return cell

    def ask(self, **request: Any) -> Told:
        """Ask over the control channel."""
        client = self.kernel.client
        client.control_channel.send(client.session.msg("pyspark_kernels_request", request))
        reply: Told = client.get_control_msg(timeout=LIMIT_SECONDS)["content"]
        return reply


@pytest.fixture(scope="module")
def start(pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    @contextmanager
    def start(name: str, idle: str = "", **config: Any) -> Iterator[RunningKernel]:
        folder = tmp_path_factory.mktemp(name)
        directory = folder / "kernels" / name
        directory.mkdir(parents=True)
        data = {"name": name, "environment": str(pyspark_environment), "master": "local[2]"}
        spec = render(read_config({**data, **config}), "tester")
        spec["env"][IDLE_VARIABLE] = idle
        (directory / "kernel.json").write_text(json.dumps(spec))
        for file, content in contents().items():
            (directory / file).write_bytes(content)
        with running(folder / "kernels", name, folder) as kernel:
            yield kernel

    return start


@pytest.fixture(scope="module")
def _kernel(start: Start) -> Iterator[RunningKernel]:
    # A task that fails is tried once more.
    with start("progress", master="local[2,2]") as kernel:
        yield kernel


@pytest.fixture
def notebook(_kernel: RunningKernel) -> Iterator[Listener]:
    yield Listener(_kernel)
    closing = _kernel.client.session.msg("comm_close", {"comm_id": "c", "data": {}})
    _kernel.client.shell_channel.send(closing)


# --- a job and its stages -------------------------------------------------------------------------


def test_a_job_and_its_stages_are_told_while_they_run(notebook: Listener) -> None:
    work = f"sc.parallelize(range(6), 6).map({SLEEP.format(4)}).map(lambda x: (x % 2, x))"
    cell = notebook.execute(f"{work}.reduceByKey(max, 2).collect()", "of-the-notebook")
    job = notebook.wait_for(cell, "succeeded")
    assert job["cell_id"] == "of-the-notebook"
    assert job["name"] == "collect"
    assert job["tasks"] == {"done": 8, "running": 0, "failed": 0, "all": 8}
    assert job["submitted"] <= job["ended"] <= notebook.told[-1]["at"]
    first, second = job["stages"]
    assert first["id"] < second["id"]
    assert [stage["state"] for stage in job["stages"]] == ["succeeded"] * 2
    assert [stage["tasks"]["all"] for stage in job["stages"]] == [6, 2]

    seen = [told for told in notebook.told if told["running"]]
    assert seen[0]["running"]["jobs"] == 1
    assert seen[0]["running"]["tasks"]["all"] == 8
    done = [told["running"]["tasks"]["done"] for told in seen]
    # It was seen on its way, and not only when it was over.
    assert done == sorted(done)
    assert any(0 < tasks < 8 for tasks in done)
    assert notebook.told[-1]["running"] is None


def test_tasks_that_fail_are_told(notebook: Listener, tmp_path: Path) -> None:
    fails_once = (
        "def once(x, mark={!r}):\n"
        "    import os\n"
        "    if x == 1 and not os.path.exists(mark):\n"
        "        open(mark, 'w').close()\n"
        "        raise ValueError('once')\n"
        "    return x\n"
        "sc.parallelize(range(4), 4).map(once).sum()"
    ).format(str(tmp_path / "mark"))
    cell = notebook.execute(fails_once)
    job = notebook.wait_for(cell, "succeeded")
    assert job["tasks"] == {"done": 4, "running": 0, "failed": 1, "all": 4}
    assert job["stages"][0]["tasks"]["failed"] == 1

    cell = notebook.execute("sc.parallelize([0], 1).map(lambda x: 1 / x).count()")
    job = notebook.wait_for(cell, "failed")
    assert job["tasks"]["failed"] == 2
    assert job["stages"][0]["state"] == "failed"


def test_short_jobs_are_told_with_their_cells(notebook: Listener) -> None:
    first = notebook.run("[spark.range(9).count() for _ in range(3)]")
    second = notebook.run("sc.setJobDescription('of mine'); sc.range(3).count()")
    job = notebook.wait_for(second, "succeeded")
    assert job["name"] == "of mine"
    notebook.run("sc.setJobDescription(None)")
    assert len(notebook.last(first)) >= 3
    assert len({job["id"] for job in notebook.told[-1]["jobs"]}) == len(notebook.told[-1]["jobs"])


def test_a_listener_that_comes_late_hears_of_what_runs(_kernel: RunningKernel) -> None:
    code = f"sc.parallelize(range(8), 8).map({SLEEP.format(1)}).count()"
    cell = _kernel.client.execute(code)
    notebook = Listener(_kernel)
    # A comm is opened when the cell has ended; so is another notebook's on this kernel.
    assert notebook.wait_for(cell, "succeeded")["tasks"]["done"] == 8


def test_a_thread_is_followed_when_its_cell_has_ended(notebook: Listener) -> None:
    work = f"sc.parallelize(range(8), 8).map({SLEEP.format(4)}).count()"
    cell = notebook.run(f"import threading; threading.Thread(target=lambda: {work}).start()")
    notebook.wait_for(cell, "running")
    other = notebook.run("spark.range(5).count()")
    notebook.until(lambda: notebook.last(other))
    notebook.until(lambda: notebook.told[-1]["running"] is None)
    (job,) = notebook.last(cell)
    assert (job["state"], job["tasks"]["done"]) == ("succeeded", 8)


def test_nothing_is_asked_while_nothing_runs(notebook: Listener) -> None:
    count = (
        "classic = __import__('sys').modules['_pyspark_kernels.progress']._Classic\n"
        "looks, look = [], classic.look\n"
        "classic.look = lambda self: looks.append(1) or look(self)"
    )
    notebook.run(count)
    time.sleep(10)
    # Whoever never stops looks twenty times.
    cell = notebook.run("classic.look = look; assert 1 <= len(looks) <= 10, looks")
    assert notebook.errors.get(cell) is None


# --- the end of a job -----------------------------------------------------------------------------


def test_one_job_is_cancelled_and_its_cell_ends(notebook: Listener) -> None:
    cell = notebook.execute(f"sc.parallelize(range(4), 4).map({SLEEP.format(100)}).count()")
    job = notebook.wait_for(cell, "running")
    nobodys: list[Any] = [None, True, "0", "x", [], {}, -1, 10**12, 0.5]
    for nobody in nobodys:
        assert notebook.ask(request="cancel", job=nobody) == {"status": "ok"}
    assert notebook.ask(request="cancel") == {"status": "ok"}
    # It still runs, and the kernel hears of it alone.
    notebook.until(lambda: notebook.last(cell)[0]["tasks"]["running"] == 2)
    assert notebook.ask(request="cancel", job=job["id"]) == {"status": "ok"}
    assert notebook.wait_for(cell, "succeeded", "failed", "cancelled")["state"] == "cancelled"
    notebook.until(lambda: notebook.done.get(cell))
    assert f"Job {job['id']} cancelled in the notebook" in notebook.errors[cell]
    assert notebook.errors.get(notebook.run("spark.range(3).count()")) is None


def test_an_interrupt_is_told_as_what_it_is(notebook: Listener) -> None:
    cell = notebook.execute(f"sc.parallelize(range(4), 4).map({SLEEP.format(100)}).count()")
    notebook.wait_for(cell, "running")
    notebook.kernel.manager.interrupt_kernel()
    assert notebook.wait_for(cell, "failed", "cancelled")["state"] == "cancelled"
    notebook.until(lambda: notebook.done.get(cell))
    # Its mark went with the thread of the JVM.
    after = notebook.run("spark.range(3).count()")
    assert notebook.wait_for(after, "succeeded")


# --- other Sparks ---------------------------------------------------------------------------------


def test_a_context_of_ones_own_and_a_jvm_that_ends(start: Start) -> None:
    with start("own") as kernel:
        notebook = Listener(kernel)
        notebook.run("spark.range(3).count()")
        cell = notebook.run(
            "spark.stop()\n"
            "from pyspark.sql import SparkSession\n"
            "spark = SparkSession.builder.getOrCreate()\n"
            "spark.range(3).count()"
        )
        assert notebook.wait_for(cell, "succeeded")["id"] < 3
        cell = notebook.execute(
            f"spark.sparkContext.range(4).map({SLEEP.format(100)}).count()",
        )
        notebook.wait_for(cell, "running")
        jvm = kernel.jvms()[0]
        os.kill(jvm, signal.SIGKILL)
        notebook.until(lambda: notebook.told[-1]["running"] is None)
        assert notebook.told[-1]["jobs"] == []
        notebook.until(lambda: notebook.done.get(cell))
        assert notebook.ask(request="cancel", job=1) == {"status": "ok"}
        assert notebook.errors.get(notebook.run("1 + 1")) is None


def test_idleness_comes_all_the_same_and_what_comes_back_is_followed(start: Start) -> None:
    with start("idle", idle="stop=3") as kernel:
        notebook = Listener(kernel)
        notebook.run("spark.range(3).count()")
        kernel.wait_for_stage("stopped_idle")
        kernel.never_count_idleness()
        cell = notebook.run("spark.range(3).count()")
        notebook.wait_for(cell, "succeeded")


def test_on_a_standalone_cluster(start: Start, spark_cluster: Cluster) -> None:
    local = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    config = {"master": spark_cluster.master, "executor_memory": "512m", "conf": local}
    with start("cluster", **config) as kernel:
        notebook = Listener(kernel)
        cell = notebook.execute(f"sc.parallelize(range(4), 4).map({SLEEP.format(0.6)}).count()")
        job = notebook.wait_for(cell, "succeeded")
        assert job["tasks"] == {"done": 4, "running": 0, "failed": 0, "all": 4}
        cell = notebook.execute(f"sc.parallelize(range(4), 4).map({SLEEP.format(100)}).count()")
        job = notebook.wait_for(cell, "running")
        notebook.ask(request="cancel", job=job["id"])
        assert notebook.wait_for(cell, "cancelled")


@pytest.fixture
def connect_server(pyspark_environment: Path, tmp_path: Path) -> Iterator[str]:
    python = pyspark_environment / "bin" / "python"
    (spark,) = pyspark_environment.glob("lib/python3*/site-packages/pyspark")
    port = free_port()
    server = "org.apache.spark.sql.connect.service.SparkConnectServer"
    conf = {
        "spark.connect.grpc.binding.port": port,
        "spark.connect.progress.reportInterval": "300ms",
        "spark.ui.enabled": "false",
        "spark.driver.extraJavaOptions": SHORT_LIVED,
    }
    settings = [word for key, value in conf.items() for word in ("--conf", f"{key}={value}")]
    submit = f"{spark}/bin/spark-submit"
    command = [submit, "--master", "local[2]", *settings, "--class", server, "spark-internal"]
    with (tmp_path / "connect.log").open("w") as log:
        environment = {**os.environ, "PYSPARK_PYTHON": str(python)}
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: "server started" in (tmp_path / "connect.log").read_text())
        yield f"sc://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def test_on_a_connect_server(start: Start, connect_server: str, connect_environment: Path) -> None:
    thin = str(connect_environment)
    with start("connect", master=connect_server, environment=thin) as kernel:
        notebook = Listener(kernel)
        sleeps = (
            "from pyspark.sql.functions import udf\n"
            "slow = udf(lambda x: __import__('time').sleep({}) or x, 'long', useArrow=False)\n"
            "spark.range(0, 6, 1, 6).select(slow('id')).distinct().collect()"
        )
        cell = notebook.execute(sleeps.format(4), "of-the-notebook")
        job = notebook.wait_for(cell, "running")
        assert job["tasks"]["all"] >= 6
        assert job["cell_id"] == "of-the-notebook"
        job = notebook.wait_for(cell, "succeeded", "failed", "cancelled")
        assert job["state"] == "succeeded"
        assert job["tasks"]["done"] == job["tasks"]["all"]
        assert notebook.told[-1]["running"] is None

        cell = notebook.execute(sleeps.format(100))
        job = notebook.wait_for(cell, "running")
        notebook.ask(request="cancel", job="nobody's")
        notebook.ask(request="cancel", job=job["id"])
        assert notebook.wait_for(cell, "succeeded", "failed", "cancelled")["state"] == "cancelled"
        notebook.until(lambda: notebook.done.get(cell))
        assert "OPERATION_CANCELED" in notebook.errors[cell]
        # The server has reported of it long before one of its tasks fails.
        cell = notebook.execute(sleeps.format("3 if x < 5 else 'not a number'"))
        assert notebook.wait_for(cell, "succeeded", "failed", "cancelled")["state"] == "failed"
        notebook.until(lambda: notebook.done.get(cell))
        assert "TypeError" in notebook.errors[cell]


# --- purely ---------------------------------------------------------------------------------------

DATA = {
    "jobId": 3,
    "name": "count at NativeMethodAccessorImpl.java:0",
    "description": None,
    "submissionTime": 1000,
    "completionTime": None,
    "stageIds": [5, 4],
    "jobTags": ["pyspark-kernels-cell", "pyspark-kernels-cell-7"],
    "status": "RUNNING",
    "numTasks": 12,
    "numActiveTasks": 2,
    "numSkippedTasks": 2,
    "numFailedTasks": 1,
    "numCompletedIndices": 4,
}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("count at NativeMethodAccessorImpl.java:0", "count"),
        ("collect at /tmp/ipykernel_12/34.py:1", "collect"),
        ("count at <ipython-input-1-ab>:1", "count"),
        ("count at etl.py:12", "count at etl.py:12"),
    ],
)
def test_the_name_of_a_job(name: str, shown: str) -> None:
    assert job_of({**DATA, "name": name}, {}, 0, False)["name"] == shown
    assert job_of({**DATA, "description": "mine"}, {}, 0, False)["name"] == "mine"
    assert len(job_of({**DATA, "description": "x" * 9999}, {}, 0, False)["name"]) == 200


@pytest.mark.parametrize(
    ("status", "asked", "reason", "state"),
    [
        ("RUNNING", False, None, "running"),
        ("RUNNING", True, None, "running"),
        ("SUCCEEDED", True, None, "succeeded"),
        ("FAILED", False, "Job aborted due to stage failure", "failed"),
        ("FAILED", False, "Job 33 cancelled", "failed"),
        ("FAILED", False, "[SPARK_JOB_CANCELLED] Job 3 cancelled part of tag", "cancelled"),
        ("FAILED", True, None, "cancelled"),
    ],
)
def test_the_state_of_a_job(status: str, asked: bool, reason: str | None, state: str) -> None:
    stage = {
        "stageId": 4,
        "name": "count",
        "status": "FAILED",
        "failureReason": reason and f"{reason} ",
        "submissionTime": 1,
        "completionTime": 2,
        "numCompletedIndices": 0,
        "numActiveTasks": 0,
        "numFailedTasks": 0,
        "numTasks": 1,
    }
    assert job_of({**DATA, "status": status}, {4: stage}, 0, asked)["state"] == state


def test_what_runs_is_told_before_what_is_new() -> None:
    cells = Cells()
    old = job_of({**DATA, "jobId": 0}, {}, 0, False)
    new = [
        job_of({**DATA, "jobId": number, "status": "SUCCEEDED"}, {}, 0, False)
        for number in range(99, 70, -1)
    ]
    told = activity([*new, old], cells)
    assert [job["id"] for job in told["jobs"]] == [0, *range(99, 80, -1)]
    assert told["more"] == 80
    assert told["running"] == {
        "jobs": 1,
        "stages": 0,
        "tasks": {"done": 4, "running": 2, "failed": 1, "all": 10},
    }
    assert activity([], cells) == {"running": None, "jobs": [], "more": 0}


class Shell:
    """IPython's shell, as far as it tells of cells."""

    def __init__(self) -> None:
        self.events = self
        self.parent: Told = {}
        self.callbacks: dict[str, Callable[[], None]] = {}

    def register(self, event: str, callback: Callable[[], None]) -> None:
        self.callbacks[event] = callback

    def get_parent(self) -> Told:
        return self.parent


def test_cells_have_their_numbers() -> None:
    cells, shell = Cells(), Shell()
    cells.attend(shell)
    assert cells.names(cells.number([])) == (None, None)
    shell.parent = {"header": {"msg_id": "m1"}, "metadata": {"cellId": "c1"}}
    shell.callbacks["pre_execute"]()
    tag = cells.tag()
    # Nested: it is the same cell.
    shell.callbacks["pre_execute"]()
    assert (cells.running, cells.tag()) == (2, tag)
    shell.callbacks["post_execute"]()
    shell.callbacks["post_execute"]()
    shell.callbacks["post_execute"]()
    assert cells.running == 0
    shell.parent = {"header": {"msg_id": "m2"}}
    shell.callbacks["pre_execute"]()
    assert cells.names(cells.number(["theirs-1", tag])) == ("m1", "c1")
    assert cells.names(cells.number(["theirs-1"])) == ("m2", None)
    for number in range(600):
        shell.parent = {"header": {"msg_id": str(number)}}
        shell.callbacks["pre_execute"]()
    assert cells.names(cells.number([tag])) == (None, None)
