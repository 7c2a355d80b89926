"""Flight tests of real kernels: on this machine, on a real cluster, and without one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cluster import Cluster
from flights import LOOPBACK, Fly, Listener, figures
from kernels import LIMIT_SECONDS, free_port, marked_processes, wait_until

from jupyterlab_pyspark_kernels import flight
from jupyterlab_pyspark_kernels.flight import Flight, Limits
from jupyterlab_pyspark_kernels.history import last_test
from jupyterlab_pyspark_kernels.kernel import probe
from jupyterlab_pyspark_kernels.progress import Cancelled

pytestmark = pytest.mark.usefixtures("short_lived_java")


def test_a_local_kernel_passes(take_off: Fly) -> None:
    listener = Listener()
    flown = take_off(listener, master="local[2]")
    assert flown.passed, flown
    assert flown.verdict == f"Spark {flown.driver.spark} ran a task on the executor."  # type: ignore[union-attr]
    assert [stage.name for stage in flown.stages] == listener.stages
    assert datetime.now(timezone.utc) - flown.when < timedelta(minutes=1)
    assert flown.when.utcoffset() == timedelta(0)


def test_every_executor_of_a_cluster_is_reached(spark_cluster: Cluster, take_off: Fly) -> None:
    # Of a slow cluster the first executor may well be there before the second one.
    both = {
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": f"{LIMIT_SECONDS}s",
    }
    small = {"executor_memory": "512m", "executor_cores": 1, "cores_max": 2}
    flown = take_off(master=spark_cluster.master, conf={**LOOPBACK, **both}, **small)
    assert flown.passed, flown
    assert len(flown.executors) == 2
    driver = flown.driver
    assert driver is not None
    for executor in flown.executors:
        assert (executor.python, executor.java, executor.spark) == (
            driver.python,
            driver.java,
            driver.spark,
        )
        assert executor.packages.keys() == set(flight.PACKAGES)
        assert executor.way_back_seconds is not None
    # The application has left the cluster with the flight.
    wait_until(lambda: spark_cluster.applications() == {})


def test_a_carried_environment_is_flown(
    spark_cluster: Cluster,
    carried_environment: Path,
    data_dir: Path,
    run: Callable[..., tuple[int, str, str]],
    record_property: Callable[[str, object], None],
) -> None:
    conf = [part for key, value in LOOPBACK.items() for part in ("--conf", f"{key}={value}")]
    options = ("--master", spark_cluster.master, "--executor-memory", "512m", "--carry", *conf)
    assert run("create", "-k", "carries", "-e", carried_environment, *options)[0] == 0
    code, printed, messages = run("test", "carries", "--json")
    assert printed, messages
    flown = Flight.model_validate_json(printed)
    record_property("flight", figures(flown))
    assert code == 0, flown
    assert flown.driver is not None
    for executor in flown.executors:
        assert executor.executable.endswith("/environment/bin/python")
        assert executor.packages == flown.driver.packages
        assert executor.packages["pandas"]
    # The mark is kept.
    kernel = json.loads(run("show", "carries", "--json")[1])
    tested = last_test(data_dir / "kernels" / "carries", kernel["etag"])
    assert tested is not None
    assert (tested.passed, tested.when, tested.outdated) == (True, flown.when, False)


def yarn_site(folder: Path, address: str) -> dict[str, str]:
    """Write a Hadoop configuration, and give the variable that names it."""
    name = "yarn.resourcemanager.address"
    text = f"<property><name>{name}</name><value>{address}</value></property>"
    (folder / "yarn-site.xml").write_text(f"<configuration>{text}</configuration>")
    return {"HADOOP_CONF_DIR": str(folder)}


VERDICT_SECONDS = 15
"""Within what time a master that does not answer is told."""

MASTERS = ["spark://{}", "sc://{}", "k8s://https://{}", "k8s://http://{}", "yarn"]


@pytest.mark.parametrize("master", MASTERS)
def test_a_master_that_never_answers_is_told(
    take_off: Fly, tmp_path: Path, master: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_SILENCE_SECONDS", 2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        flown = take_off(master=master.format(address), env=yarn_site(tmp_path, address))
    assert flown.diagnoses[0].rule == "master-silent"
    assert address in flown.verdict


@pytest.mark.parametrize("master", MASTERS)
def test_a_dead_master_is_told(take_off: Fly, tmp_path: Path, master: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    flown = take_off(master=master.format(address), env=yarn_site(tmp_path, address))
    assert (flown.passed, flown.diagnoses[0].rule) == (False, "master-refuses")
    assert address in flown.verdict


def test_silence_is_told_before_the_stage_ends() -> None:
    assert probe._PROBE_SECONDS + probe._SILENCE_SECONDS < Limits().asking < VERDICT_SECONDS


def test_a_real_master_is_not_taken_for_silent(spark_cluster: Cluster) -> None:
    probe.probe(spark_cluster.master)
    alive = spark_cluster.master[len("spark://") :]
    # One of several is enough, and nobody waits for another that is silent.
    probe.probe(f"spark://127.0.0.1:{free_port()},{alive}")
    with socket.socket() as listening, pytest.MonkeyPatch.context() as patch:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        patch.setattr(probe, "_SILENCE_SECONDS", LIMIT_SECONDS)
        start = time.monotonic()
        probe.probe(f"spark://127.0.0.1:{listening.getsockname()[1]},{alive}")
        assert time.monotonic() - start < LIMIT_SECONDS


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"hostname": "rm"}, [("rm", 8032)]),
        ({"address": "rm:99", "hostname": "other"}, [("rm", 99)]),
        (
            {"ha.rm-ids": "a, b", "hostname.a": "x", "address.b": "y:1"},
            [("x", 8032), ("y", 1)],
        ),
        ({"address": "${rm}:8032"}, []),
        ({}, []),
    ],
)
def test_resource_managers_are_found(
    settings: dict[str, str], found: list[tuple[str, int]]
) -> None:
    items = (
        f"<property><name>yarn.resourcemanager.{key}</name><value>{value}</value></property>"
        for key, value in settings.items()
    )
    text = f"<configuration>{''.join(items)}</configuration>"
    assert flight.resource_managers(text) == found
    assert flight.resource_managers("<configuration>") == []


def test_what_a_kernel_printed_is_logged_without_its_secrets() -> None:
    listener = Listener()
    program = "echo started; echo password=CANARY >&2; exit 3"
    spec = {"argv": ["/bin/sh", "-c", program], "display_name": "k", "language": "python"}
    flown = flight.fly({**spec, "env": {}}, listener)
    assert not flown.passed
    assert "started" in listener.lines
    assert "CANARY" not in "".join([*listener.lines, flown.model_dump_json()])


def test_a_stage_that_takes_too_long_ends_the_flight(take_off: Fly) -> None:
    flown = take_off(limits=Limits(spark=1), master="local[2]")
    assert flown.diagnoses[0].rule == "too-slow"
    assert flown.verdict == "“Starting Spark” did not end within 1 s."


@pytest.mark.parametrize("stage", [flight.KERNEL, flight.SPARK, flight.TASKS])
def test_a_cancelled_flight_leaves_nothing(take_off: Fly, marker: str, stage: str) -> None:
    with pytest.raises(Cancelled):
        take_off(Listener(stage, 0.5 if stage != flight.KERNEL else 0), master="local[2]")
    wait_until(lambda: marked_processes(marker) == [])


_SERVER = """
import sys
sys.path[:0] = {path!r}
from flights import Listener
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.flight import fly
from jupyterlab_pyspark_kernels.render import render
config = read_config({{"name": "draft", "environment": {environment!r}, "master": "local[2]"}})
fly(render(config, "tester"), Listener())
"""


@pytest.mark.parametrize("java", [False, True], ids=["python", "java"])
def test_a_server_that_is_killed_leaves_nothing(
    pyspark_environment: Path, marker: str, tmp_path: Path, java: bool
) -> None:
    code = _SERVER.format(path=sys.path, environment=str(pyspark_environment))
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=env) as server:
        wait_until(lambda: runs_java(marker) if java else len(marked_processes(marker)) > 1)
        server.send_signal(signal.SIGKILL)
    wait_until(lambda: marked_processes(marker) == [])


def runs_java(marker: str) -> bool:
    found = []
    for pid in marked_processes(marker):
        try:
            found.append(os.readlink(f"/proc/{pid}/exe"))
        except FileNotFoundError:
            # It has just ended.
            continue
    return any("java" in path for path in found)


def test_what_killed_servers_left_is_swept(tmp_path: Path) -> None:
    names = ("old", "new")
    old, new = (tmp_path / f"{flight._PREFIX}{name}" for name in names)
    for folder in (old, new, tmp_path / "other"):
        folder.mkdir()
    for folder in (old, tmp_path / "other"):
        os.utime(folder, (0, 0))
    flight._sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["other", new.name])
