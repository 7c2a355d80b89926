"""A real Spark standalone cluster on loopback."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from kernels import LIMIT_SECONDS, SHORT_LIVED, free_port, wait_until

CORES = 2
"""Cores of the one worker."""

MEMORY = "1500m"
"""Memory of the one worker: enough for two small executors."""


@dataclass
class Cluster:
    """Where the master listens, and what it says of itself."""

    master: str
    web: str

    def state(self) -> dict[str, Any]:
        """Read the master's own description."""
        with urlopen(f"{self.web}/json/", timeout=LIMIT_SECONDS) as response:
            content: dict[str, Any] = json.load(response)
        return content

    def applications(self) -> dict[str, dict[str, Any]]:
        """Give the running and waiting applications by their names."""
        return {app["name"]: app for app in self.state()["activeapps"]}

    def is_free(self) -> bool:
        """Tell whether nothing runs, and the executors of what ended have given all back."""
        state = self.state()
        return not (state["activeapps"] or state["coresused"] or state["memoryused"])


@contextmanager
def standalone_cluster(environment: Path, folder: Path) -> Iterator[Cluster]:
    """Start a master and a worker from the PySpark of an environment, and end them."""
    port, web = free_port(), free_port()
    cluster = Cluster(f"spark://127.0.0.1:{port}", f"http://127.0.0.1:{web}")
    master = ["--port", str(port), "--webui-port", str(web)]
    worker = [cluster.master, "--webui-port", "0", "--work-dir", str(folder)]
    worker += ["--cores", str(CORES), "--memory", MEMORY]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        daemons.append(_start(environment, folder / "master.log", "master.Master", master))
        wait_until(lambda: _answers(cluster, daemons))
        daemons.append(_start(environment, folder / "worker.log", "worker.Worker", worker))
        wait_until(lambda: _answers(cluster, daemons) and cluster.state()["aliveworkers"] == 1)
        yield cluster
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(LIMIT_SECONDS)


def _start(
    environment: Path, log: Path, daemon: str, options: list[str]
) -> subprocess.Popen[bytes]:
    (spark_class,) = environment.glob("lib/python3*/site-packages/pyspark/bin/spark-class")
    with log.open("wb") as output:
        return subprocess.Popen(
            [
                str(spark_class),
                f"org.apache.spark.deploy.{daemon}",
                "--host",
                "127.0.0.1",
                *options,
            ],
            env={
                **os.environ,
                "SPARK_LOCAL_IP": "127.0.0.1",
                "SPARK_DAEMON_MEMORY": "256m",
                # Of the executors as well, which inherit it.
                "JAVA_TOOL_OPTIONS": SHORT_LIVED,
                "SPARK_HOME": str(spark_class.parent.parent),
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _answers(cluster: Cluster, daemons: list[subprocess.Popen[bytes]]) -> bool:
    assert all(daemon.poll() is None for daemon in daemons), "the cluster ended"
    try:
        cluster.state()
    except (OSError, json.JSONDecodeError):
        # It does not listen yet, or answers with its page for people while it starts.
        return False
    return True
