"""How soon a kernel answers, and how soon Spark does: ours, a bare kernel, and Spark's shell.py."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.kernel.driver import DRIVER_START_VARIABLE
from jupyterlab_pyspark_kernels.kernel.memory import OWN_DIRECTORY
from jupyterlab_pyspark_kernels.places import directory_place
from jupyterlab_pyspark_kernels.service import KernelService
from table import Row

MASTER = "local[2]"
CLUSTER = "local-cluster[1,2,1024]"
"""Spark's own standalone master, worker and executor, started by the driver."""

PLAIN, SPARK = "1 + 1", "spark.range(1000).count()"
_LONG = """
for _ in range({rounds}):
    spark.range(0, 20_000_000, 1, 4).selectExpr("id % 1000 as k", "hash(id) as h").groupBy("k").agg(
        {{"h": "max", "k": "count"}}).collect()
"""
_ROUNDS_IN_A_MINUTE = 40
_LIMIT_SECONDS = 600
_MAKER_SECONDS = 900

_Measured = tuple[float, float]
"""Seconds, and seconds of the processor of the kernel and all that it has started."""


def measure(environment: Path, folder: Path, rounds: int, job_seconds: int = 60) -> list[Row]:
    """Start every kind of kernel in turn.

    Args:
        environment: prefix of an environment with PySpark and ipykernel.
        folder: an empty folder to work in.
        rounds: how often each kind is started.
        job_seconds: how long the long job is to take, about.

    """
    kernels = folder / "kernels"
    _write_kernels(environment, kernels)
    long = _LONG.format(rounds=max(1, _ROUNDS_IN_A_MINUTE * job_seconds // 60))
    cases = [
        *(("bare", PLAIN), ("ours", PLAIN), ("shell", SPARK)),
        # For the first time: nothing is there yet, and the archive is made afterwards.
        *(("first", SPARK), ("ours", SPARK), ("quick", SPARK)),
        *(("off", long), ("ours", long)),
        *(("cluster-off", long), ("cluster", long)),
    ]
    _make_archive(kernels)
    found: dict[tuple[str, str], list[_Measured]] = {case: [] for case in cases}
    for number in range(rounds):
        random.shuffle(cases)
        for name, code in cases:
            found[name, code].append(_first_answer(kernels, name, code))
        print(f"  start-up, round {number + 1} of {rounds}", flush=True)

    def wall(name: str, code: str) -> list[float]:
        return [seconds for seconds, _ in found[name, code]]

    def cpu(name: str, code: str) -> list[float]:
        return [seconds for _, seconds in found[name, code]]

    return [
        Row("first plain cell", wall("ours", PLAIN), wall("bare", PLAIN), 1.1),
        Row("first Spark result", wall("ours", SPARK), wall("shell", SPARK), 0.45),
        Row("first Spark result, processor", cpu("ours", SPARK), cpu("shell", SPARK), 0.35),
        Row("the same, quick", wall("quick", SPARK), wall("shell", SPARK), 0.45),
        Row("the same, quick, processor", cpu("quick", SPARK), cpu("shell", SPARK), 0.35),
        Row("the very first Spark result", wall("first", SPARK), wall("shell", SPARK), 1.0),
        Row("a long job", wall("ours", long), wall("off", long), 1.0),
        Row("a long job, processor", cpu("ours", long), cpu("off", long), 1.0),
        Row("the same, on a cluster", wall("cluster", long), wall("cluster-off", long), 1.0),
    ]


def _write_kernels(environment: Path, kernels: Path) -> None:
    place = directory_place(kernels)
    service = KernelService(KernelSpecManager(kernel_dirs=[str(kernels)]), lambda: [place])
    choices = {
        "ours": (MASTER, "auto"),
        "first": (MASTER, "auto"),
        "quick": (MASTER, "quick"),
        "off": (MASTER, "off"),
        "cluster": (CLUSTER, "auto"),
        "cluster-off": (CLUSTER, "off"),
    }
    for name, (master, choice) in choices.items():
        given = {"name": name, "place": place.id, "environment": str(environment)}
        service.create({**given, "master": master, "driver_start": choice})
    argv = [f"{environment}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    shell = next(environment.glob("lib/python3*/site-packages/pyspark/python/pyspark/shell.py"))
    config = read_config({"name": "shell", "environment": str(environment), "master": MASTER})
    env = {
        "PYTHONSTARTUP": str(shell),
        "PYSPARK_SUBMIT_ARGS": f"--master {config.master} pyspark-shell",
        "PYSPARK_PYTHON": argv[0],
    }
    for name, variables in (("bare", {}), ("shell", env)):
        (kernels / name).mkdir()
        spec: dict[str, Any] = {"argv": argv, "display_name": name, "language": "python"}
        text = json.dumps({**spec, "env": variables})
        (kernels / name / "kernel.json").write_text(text)


def _data(kernels: Path, name: str) -> Path:
    """Give the data directory of the user of a kernel: of the first one, it is always new."""
    return kernels.parent / ("new" if name == "first" else "data")


def _make_archive(kernels: Path) -> None:
    """Let a kernel of ours make the archive, as it does for the next one."""
    with _running(kernels, "ours") as (_, client):
        client.execute_interactive(SPARK, timeout=_LIMIT_SECONDS, output_hook=lambda _: None)
        records = _data(kernels, "ours") / OWN_DIRECTORY / "classes"
        deadline = time.monotonic() + _MAKER_SECONDS
        while not list(records.glob("*.json")):
            if time.monotonic() > deadline:
                raise RuntimeError("The archive of Spark's classes was not made in time.")
            time.sleep(1)


@contextmanager
def _running(kernels: Path, name: str) -> Iterator[tuple[KernelManager, Any]]:
    specs = KernelSpecManager(kernel_dirs=[str(kernels)])
    manager = KernelManager(kernel_name=name, kernel_spec_manager=specs)
    if name == "first":
        shutil.rmtree(_data(kernels, name), ignore_errors=True)
    env = {**os.environ, "JUPYTER_DATA_DIR": str(_data(kernels, name))}
    env.pop(DRIVER_START_VARIABLE, None)
    # What the kernels print would hide the table.
    quiet = subprocess.DEVNULL
    manager.start_kernel(cwd=str(kernels.parent), stdout=quiet, stderr=quiet, env=env)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_LIMIT_SECONDS)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def _first_answer(kernels: Path, name: str, code: str) -> _Measured:
    """Start a kernel, run its first cell, and give the seconds from start to answer."""
    started = time.perf_counter()
    with _running(kernels, name) as (manager, client):
        reply = client.execute_interactive(code, timeout=_LIMIT_SECONDS, output_hook=lambda _: None)
        seconds = time.perf_counter() - started
        processor = _processor_seconds(manager.provisioner.pid)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{name}: {code} failed: {reply['content']}")
    return seconds, processor


def _processor_seconds(pid: int) -> float:
    """Add up what a process, those that it has started, and those that have ended have used."""
    kernel = psutil.Process(pid)
    total = 0.0
    for process in [kernel, *kernel.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total
