"""How long it takes to list kernels with what is the matter with them: ours, and Jupyter's own."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.kernel import FILES
from jupyterlab_pyspark_kernels.models import Kernel
from jupyterlab_pyspark_kernels.places import directory_place
from jupyterlab_pyspark_kernels.render import render
from jupyterlab_pyspark_kernels.service import KernelService
from jupyterlab_pyspark_kernels.store import create
from jupyterlab_pyspark_kernels.strict import TrustedKernels
from table import Row

_KERNELS = 500
_ENVIRONMENTS = 20
"""Environments that the kernels share."""

_WAYS_TO_BREAK = ("not JSON", "a list", "no file", "environment gone", "Spark gone")
_BROKEN_EACH = 10
_TURNS = 3
_LIMIT_SECONDS = 0.3


def measure(environment: Path, folder: Path, rounds: int) -> list[Row]:
    """List the same kernels in turn by us, by Jupyter, and by a strict hub.

    Args:
        environment: prefix of an environment with PySpark; the kernels' are links to it.
        folder: a folder to work in, which is not there yet.
        rounds: how often each lists some times.

    """
    kernels = folder / "kernels"
    _make(kernels, environment, folder / "envs")
    specs, strict = (
        manager(kernel_dirs=[str(kernels)], ensure_native_kernel=False)
        for manager in (KernelSpecManager, TrustedKernels)
    )
    # Jupyter writes a line for each kernel that it cannot read.
    specs.log.setLevel("CRITICAL")
    place = directory_place(kernels)
    service = KernelService(specs, lambda: [place])
    ours: list[float] = []
    jupyter: list[float] = []
    hub: list[float] = []
    for _ in range(rounds):
        turns = [ours, jupyter, hub] * _TURNS
        random.shuffle(turns)
        for turn in turns:
            turn.append(
                _by_us(service) if turn is ours else _by_them(strict if turn is hub else specs)
            )
    broken = [kernel for kernel in service.kernels() if kernel.broken]
    print(f"  list, {_KERNELS} kernels, of which {len(broken)} are broken:", flush=True)
    for reason in sorted({_anonymous(kernel) for kernel in broken}):
        print(f"    {reason}")
    return [
        Row("list of kernels, 50 reasons", ours, [], _LIMIT_SECONDS),
        Row("list of kernels: Jupyter's own", ours, jupyter, 5.0),
        Row("Jupyter's own of a strict hub", hub, jupyter, 5.0),
    ]


def _anonymous(kernel: Kernel) -> str:
    return str(kernel.broken).replace(kernel.name, "…")


def _make(kernels: Path, environment: Path, envs: Path) -> None:
    envs.mkdir(parents=True)
    for number in range(_ENVIRONMENTS):
        (envs / f"{number}").symlink_to(environment)
    for number in range(_KERNELS):
        broken = number // _BROKEN_EACH
        way = _WAYS_TO_BREAK[broken] if broken < len(_WAYS_TO_BREAK) else ""
        _make_one(kernels, f"k-{number:03}", envs / f"{number % _ENVIRONMENTS}", way)


def _make_one(kernels: Path, name: str, environment: Path, way: str) -> None:
    data = {
        "name": name,
        "environment": "/nowhere/env" if way == "environment gone" else str(environment),
        "master": "spark://master:7077",
        "executor_memory": "4g",
        "cores_max": 4,
        "conf": {f"spark.sql.setting{number}": "value" for number in range(5)},
    }
    if way == "Spark gone":
        data["spark_home"] = "/nowhere/spark"
    content = json.dumps(render(read_config(data), "somebody")).encode()
    content = {"not JSON": b"{", "a list": b"[]"}.get(way, content)
    files = dict.fromkeys((*FILES, "logo-64x64.png"), b"x")
    create(directory_place(kernels), name, {**files, "kernel.json": content})
    if way == "no file":
        (kernels / name / "kernel.json").unlink()
        (kernels / name / "kernel.json").symlink_to("/nowhere")


def _by_us(service: KernelService) -> float:
    started = time.perf_counter()
    found = service.kernels()
    seconds = time.perf_counter() - started
    broken = sum(kernel.broken is not None for kernel in found)
    if (len(found), broken) != (_KERNELS, len(_WAYS_TO_BREAK) * _BROKEN_EACH):
        raise RuntimeError(f"{len(found)} kernels were listed, {broken} of them broken")
    return seconds


def _by_them(specs: KernelSpecManager) -> float:
    started = time.perf_counter()
    found = specs.get_all_specs()
    seconds = time.perf_counter() - started
    if len(found) < _KERNELS - len(_WAYS_TO_BREAK) * _BROKEN_EACH:
        raise RuntimeError(f"Jupyter listed only {len(found)} kernels")
    return seconds
