"""How soon a kernel answers, and how soon Spark does: ours, a bare kernel, and Spark's shell.py."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.places import directory_place
from jupyterlab_pyspark_kernels.service import KernelService
from table import Row

MASTER = "local[2]"
PLAIN, SPARK = "1 + 1", "spark.range(1000).count()"
_LIMIT_SECONDS = 180


def measure(environment: Path, folder: Path, rounds: int) -> list[Row]:
    """Start every kind of kernel in turn.

    Args:
        environment: prefix of an environment with PySpark and ipykernel.
        folder: an empty folder to work in.
        rounds: how often each kind is started.

    """
    kernels = folder / "kernels"
    _write_kernels(environment, kernels)
    cases = [("bare", PLAIN), ("ours", PLAIN), ("shell", SPARK), ("ours", SPARK)]
    seconds: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for number in range(rounds):
        random.shuffle(cases)
        for name, code in cases:
            seconds[name, code].append(_first_answer(kernels, name, code))
        print(f"  start-up, round {number + 1} of {rounds}", flush=True)
    return [
        Row("first plain cell", seconds["ours", PLAIN], seconds["bare", PLAIN], 1.15),
        Row("first Spark result", seconds["ours", SPARK], seconds["shell", SPARK], 1.0),
    ]


def _write_kernels(environment: Path, kernels: Path) -> None:
    place = directory_place(kernels)
    service = KernelService(KernelSpecManager(kernel_dirs=[str(kernels)]), lambda: [place])
    service.create(
        {"name": "ours", "place": place.id, "environment": str(environment), "master": MASTER}
    )
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


def _first_answer(kernels: Path, name: str, code: str) -> float:
    """Start a kernel, run its first cell, and give the seconds from start to answer."""
    specs = KernelSpecManager(kernel_dirs=[str(kernels)])
    manager = KernelManager(kernel_name=name, kernel_spec_manager=specs)
    started = time.perf_counter()
    # What the kernels print would hide the table.
    quiet = subprocess.DEVNULL
    manager.start_kernel(cwd=str(kernels.parent), stdout=quiet, stderr=quiet)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_LIMIT_SECONDS)
        reply = client.execute_interactive(code, timeout=_LIMIT_SECONDS, output_hook=lambda _: None)
        seconds = time.perf_counter() - started
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{name}: {code} failed: {reply['content']}")
    return seconds
