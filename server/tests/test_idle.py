"""Kernels that give back what they hold while they are idle, on real clusters.

Minutes are rendered as seconds, so these tests write seconds into the kernels that they start.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from kernels import (
    NEVER,
    SHORT_LIVED,
    RunningKernel,
    comm_messages,
    free_port,
    marked_processes,
    running,
    wait_until,
)
from yarn import HadoopCluster

from jupyterlab_pyspark_kernels.advice import advise
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.doctor import diagnose, read_left
from jupyterlab_pyspark_kernels.kernel import contents
from jupyterlab_pyspark_kernels.kernel.idle import Idle, read_limits
from jupyterlab_pyspark_kernels.kernel.start import IDLE_VARIABLE, SparkStart
from jupyterlab_pyspark_kernels.kernel.status import STOPPED, Status
from jupyterlab_pyspark_kernels.render import render

Start = Callable[..., Any]
COUNT = "spark.range(1000).repartition(2).count()"

pytestmark = pytest.mark.usefixtures("short_lived_java")


@pytest.fixture
def start(pyspark_environment: Path, tmp_path: Path) -> Start:
    """Start a kernel with an idle policy in seconds."""

    @contextmanager
    def start(name: str, limits: str, **config: Any) -> Iterator[RunningKernel]:
        directory = tmp_path / "kernels" / name
        directory.mkdir(parents=True)
        data = {"name": name, "environment": str(pyspark_environment), "master": "local[1]"}
        spec = render(read_config({**data, **config}), "tester")
        spec["env"][IDLE_VARIABLE] = limits
        (directory / "kernel.json").write_text(json.dumps(spec))
        for file, content in contents().items():
            (directory / file).write_bytes(content)
        with running(tmp_path / "kernels", name, tmp_path) as kernel:
            yield kernel

    return start


LATER = f"release={NEVER} stop={NEVER}"
"""Limits that a test puts others in the place of."""


def on_the_cluster(cluster: Cluster) -> dict[str, Any]:
    local = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return {"master": cluster.master, "executor_memory": "512m", "conf": local}


def application(cluster: Cluster, name: str) -> dict[str, Any]:
    return cluster.applications()[name]


def wait_quietly(kernel: RunningKernel, stage: str) -> dict[str, Any]:
    """Wait for a stage, running no cell."""
    status = kernel.wait_for_stage(stage)
    assert diagnose(*read_left(kernel.status_file)) == []
    return status


def stays(kernel: RunningKernel, stage: str, seconds: float) -> bool:
    """Tell whether a kernel that is left alone stays at a stage for some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if kernel.status()["stage"] != stage:
            return False
        time.sleep(0.2)
    return True


# --- on a standalone cluster --------------------------------------------------------------------


def test_executors_go_first_then_spark_and_both_come_back(
    start: Start, spark_cluster: Cluster
) -> None:
    with start("idles", LATER, **on_the_cluster(spark_cluster)) as kernel:
        kernel.value("from pyspark.sql.functions import col, udf; mine = [1, 2]; spark.version")
        kernel.value("double = udf(lambda x: 2 * x, 'int'); spark.range(1).select(double('id'))")
        kernel.value("spark.conf.set('spark.sql.shuffle.partitions', '3')")
        assert kernel.value(COUNT) == "1000"
        first = kernel.status()["application_id"]

        kernel.count_idleness(release=3)
        status = wait_quietly(kernel, "released")
        assert status["executors"] == 0
        assert status["idle"]["seconds"] >= 3
        kernel.never_count_idleness()
        wait_until(lambda: application(spark_cluster, "idles")["cores"] == 0)
        wait_until(lambda: spark_cluster.state()["coresused"] == 0)
        answer = kernel.value(COUNT)
        assert answer.startswith("Executors were released after ")
        assert answer.endswith("1000")
        assert application(spark_cluster, "idles")["cores"] > 0
        assert kernel.wait_for_stage("ready")["idle"] is None
        assert kernel.value(COUNT) == "1000"
        assert kernel.status()["application_id"] == first

        kernel.value("frame = spark.range(3).cache(); old = spark")
        kernel.count_idleness(release=3, stop=9)
        status = wait_quietly(kernel, "stopped_idle")
        kernel.never_count_idleness()
        assert status["idle"]["seconds"] >= 9
        assert status["idle"]["at"].endswith("+00:00")
        wait_until(lambda: "idles" not in spark_cluster.applications())
        wait_until(lambda: kernel.jvms() == [])
        # Python goes on, and does not bring Spark back.
        assert kernel.value("mine, type(double).__name__") == "([1, 2], 'function')"
        assert "was stopped while the kernel was idle" in kernel.value(
            "print(repr(old and globals()['sp' + 'ark']))"
        )
        lost = kernel.run("frame.count()")
        assert lost.error == "ConnectionRefusedError"
        assert "Make it again" in lost.text
        assert "Make it again" in kernel.run("col('x')").text
        assert kernel.jvms() == []
        assert kernel.status()["stage"] == "stopped_idle"

        answer = kernel.value(COUNT)
        assert answer.startswith("Spark was stopped after ")
        assert answer.endswith("1000")
        assert kernel.value("sc.applicationId").strip("'") != first
        assert kernel.wait_for_stage("ready")["idle"] is None
        assert kernel.value("spark.conf.get('spark.sql.shuffle.partitions')") == "'3'"
        assert kernel.value("spark.range(1, 2).select(double('id')).first()[0]") == "2"
        assert kernel.value("sql('select 1 + 1').first()[0], old is spark") == "(2, False)"
        assert "Make it again" in kernel.run("frame.count()").text
        assert len(kernel.jvms()) == 1


def test_a_job_that_does_not_name_spark_gets_its_executors(
    start: Start, spark_cluster: Cluster
) -> None:
    with start("frames", "release=2", **on_the_cluster(spark_cluster)) as kernel:
        kernel.value("frame = spark.range(10).repartition(2)")
        kernel.count_idleness(release=3)
        wait_quietly(kernel, "released")
        wait_until(lambda: application(spark_cluster, "frames")["cores"] == 0)
        assert kernel.value("frame.count()").startswith("10")


def test_a_kernel_that_works_is_not_released(start: Start, spark_cluster: Cluster) -> None:
    with start("works", LATER, **on_the_cluster(spark_cluster)) as kernel:
        assert kernel.value(COUNT) == "1000"
        kernel.value("import json, threading, time")
        kernel.wait_for_stage("ready")
        kernel.count_idleness(release=2, stop=3)
        # A cell, and then a thread that outlives its cell.
        told = kernel.value(
            "wait = lambda _: __import__('time').sleep(6)\n"
            "thread = threading.Thread(target=lambda: sc.parallelize([0], 1).foreach(wait))\n"
            "time.sleep(6)\n"
            f"print(json.load(open({str(kernel.status_file)!r}))['stage'])\n"
            "thread.start()\n"
            "while not sc.statusTracker().getActiveJobsIds():\n"
            "    time.sleep(0.1)"
        )
        assert told == "ready"
        wait_until(lambda: kernel.status()["stage"] != "ready")
        assert kernel.value("thread.is_alive()") == "False"


def test_a_streaming_query_is_work(start: Start) -> None:
    with start("streams", "stop=2") as kernel:
        kernel.value(
            "query = (spark.readStream.format('rate').load()"
            ".writeStream.format('noop').trigger(processingTime='1 hour').start())"
        )
        assert stays(kernel, "ready", 7)
        kernel.value("query.stop()")
        wait_quietly(kernel, "stopped_idle")


# --- wherever Spark runs ------------------------------------------------------------------------


def test_a_local_spark_is_stopped_and_its_names_stay_whose_they_are(start: Start) -> None:
    with start("local", "release=1 stop=2") as kernel:
        message = kernel.client.session.msg(
            "comm_open", {"comm_id": "c", "target_name": "pyspark-kernels", "data": {}}
        )
        kernel.client.shell_channel.send(message)
        kernel.client.execute("sc = 'mine'; n = spark.range(7).count()")
        told = [told["stage"] for told in comm_messages(kernel, "c", last_stage="stopped_idle")]
        assert "ready" in told
        assert "released" not in told
        assert kernel.value("n") == "7"
        kernel.client.execute("n = spark.range(8).count()")
        told = [told["stage"] for told in comm_messages(kernel, "c", last_stage="ready")]
        # The receipt of the one that stopped comes a moment after its end.
        told = [stage for stage in told if stage != "stopped_idle"]
        assert told[:2] == ["returning", "connecting"]
        assert kernel.value("sc, n, spark.range(9).count()").endswith("('mine', 8, 9)")


def test_without_a_policy_there_is_no_thread(start: Start) -> None:
    with start("never", "") as kernel:
        kernel.value("spark.range(1).count()")
        names = kernel.value("import threading; [t.name for t in threading.enumerate()]")
        assert "idle" not in names
        assert kernel.value("'_pyspark_kernels_idle' in __import__('sys').modules") == "False"


def test_a_session_of_ones_own_is_not_stopped(start: Start) -> None:
    with start("own", "stop=2") as kernel:
        kernel.value("spark.stop()")
        kernel.value("from pyspark.sql import SparkSession as S; spark = S.builder.getOrCreate()")
        kernel.value("application = spark.sparkContext.applicationId")
        kernel.wait_for_stage("ready")
        assert stays(kernel, "ready", 6)
        assert kernel.value("spark.sparkContext.applicationId == application") == "True"


def test_a_spark_that_cannot_come_back_is_asked_for_again(
    start: Start, spark_cluster: Cluster
) -> None:
    with start("retries", "stop=2", **on_the_cluster(spark_cluster)) as kernel:
        assert kernel.value(COUNT) == "1000"
        wait_quietly(kernel, "stopped_idle")
        kernel.never_count_idleness()
        nobody = f"spark://127.0.0.1:{free_port()}"
        swap = "os.environ['PYSPARK_SUBMIT_ARGS'] = os.environ['PYSPARK_SUBMIT_ARGS'].replace"
        kernel.value(f"import os; mine = 1; {swap}('{spark_cluster.master}', '{nobody}')")
        failed = kernel.run(COUNT)
        assert failed.error == "SparkStartError"
        assert nobody in failed.traceback[0]
        assert kernel.status()["stage"] == "failed"
        kernel.value(f"{swap}('{nobody}', '{spark_cluster.master}')")
        assert kernel.value(COUNT).endswith("1000")
        assert kernel.value("mine") == "1"
        assert len(kernel.jvms()) == 1


def test_an_interrupt_while_spark_comes_back_is_taken(start: Start) -> None:
    with start("interrupted", "stop=2") as kernel:
        kernel.value("n = spark.range(7).count()")
        wait_quietly(kernel, "stopped_idle")
        kernel.never_count_idleness()
        message_id = kernel.client.execute("n = spark.range(8).count()")
        wait_until(lambda: kernel.status()["stage"] in ("returning", "connecting"))
        kernel.manager.interrupt_kernel()
        assert kernel.collect(message_id).error == "KeyboardInterrupt"
        assert kernel.value("n").endswith("7")
        assert kernel.value("spark.range(9).count()").endswith("9")
        assert len(kernel.jvms()) == 1


@pytest.mark.parametrize("stage", ["stopped_idle", "returning"])
@pytest.mark.parametrize("now", [False, True], ids=["in order", "killed"])
def test_a_shutdown_at_any_time_leaves_no_process(start: Start, stage: str, now: bool) -> None:
    with start("ends", "stop=2") as kernel:
        kernel.value("spark.range(7).count()")
        # At once: the JVM still ends.
        kernel.wait_for_stage("stopped_idle")
        if stage == "returning":
            wait_until(lambda: kernel.jvms() == [])
            kernel.client.execute("spark.range(7).count()")
            wait_until(lambda: kernel.jvms() != [])
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=now)
        wait_until(lambda: marked_processes(kernel.marker) == [])


def test_time_in_which_the_kernel_did_not_run_is_no_idleness(start: Start) -> None:
    with start("sleeps", "stop=20") as kernel:
        kernel.value("n = spark.range(7).count()")
        (jvm,) = kernel.jvms()
        # What the sleep of a laptop is to a process.
        everything = kernel.processes()
        for pid in everything:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(25)
        for pid in everything:
            os.kill(pid, signal.SIGCONT)
        assert stays(kernel, "ready", 1)
        assert kernel.jvms() == [jvm]
        assert kernel.value("spark.range(8).count()") == "8"


def test_yarn_gets_its_containers_back(
    start: Start, yarn: HadoopCluster, pyspark_environment: Path
) -> None:
    (jars,) = pyspark_environment.glob("lib/python3*/site-packages/pyspark/jars")
    config = {
        "master": "yarn",
        "executor_memory": "512m",
        "executor_instances": 1,
        "env": {"HADOOP_CONF_DIR": str(yarn.conf), "SPARK_LOCAL_IP": "127.0.0.1"},
        "conf": {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.yarn.jars": f"local:{jars}/*",
            "spark.yarn.am.memory": "256m",
            "spark.yarn.am.extraJavaOptions": SHORT_LIVED,
            "spark.executor.extraJavaOptions": SHORT_LIVED,
        },
    }

    def containers() -> int:
        return int(yarn.applications()["yarn"]["runningContainers"])

    with start("yarn", LATER, **config) as kernel:
        assert kernel.value(COUNT) == "1000"
        assert containers() == 2
        kernel.count_idleness(release=3)
        wait_quietly(kernel, "released")
        kernel.never_count_idleness()
        # The application master is left.
        wait_until(lambda: containers() == 1)
        assert kernel.value(COUNT).endswith("1000")
        assert containers() == 2
        kernel.count_idleness(stop=4)
        wait_quietly(kernel, "stopped_idle")
        wait_until(lambda: yarn.applications()["yarn"]["state"] == "FINISHED")
        assert kernel.value("1 + 1") == "2"


@pytest.mark.parametrize(
    ("stage", "rules"), [("executors", ["no-executors"]), ("released", []), ("stopped_idle", [])]
)
def test_what_was_given_back_is_not_missing(stage: str, rules: list[str]) -> None:
    log = "WARN TaskSchedulerImpl: Initial job has not accepted any resources; check your cluster"
    status = {"stage": stage, "executors": 0, "master": "yarn"}
    assert [found.rule for found in diagnose(status, log)] == rules


@pytest.mark.parametrize(
    ("master", "fields"),
    [("local[*]", ["idle_release_minutes"]), ("sc://h", ["idle_release_minutes"]), ("yarn", [])],
)
def test_where_there_are_no_executors_none_are_released(master: str, fields: list[str]) -> None:
    data = {"name": "k", "environment": "/env", "master": master, "idle_release_minutes": 5}
    assert [remark.field for remark in advise(read_config(data))] == fields


def test_who_comes_while_spark_goes_waits_for_the_next(tmp_path: Path) -> None:
    begun = threading.Event()

    class Waiting(SparkStart):
        def begin(self) -> None:
            begun.set()

    start = Waiting(Status(tmp_path / "kernel-x.json"))
    start.forget()
    idle = Idle({"stop": 1.0}, start, lambda: None)
    with idle._turn:
        # The watcher has seen that no cell runs, and has not yet told that Spark goes.
        comer = threading.Thread(target=idle.bring_back, daemon=True)
        comer.start()
        comer.join(0.5)
        assert comer.is_alive()
        idle._stage = STOPPED
    comer.join(30)
    assert begun.is_set()


def test_the_limits_are_read_as_they_are_rendered() -> None:
    data = {"name": "k", "environment": "/env", "idle_release_minutes": 30}
    spec = render(read_config({**data, "idle_stop_minutes": 120}), "me")
    assert read_limits(spec["env"][IDLE_VARIABLE]) == {"release": 1800, "stop": 7200}
    assert (
        IDLE_VARIABLE not in render(read_config({"name": "k", "environment": "/env"}), "me")["env"]
    )
    assert read_limits("") == {}
