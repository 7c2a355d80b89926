"""What it costs a job that a notebook shows how far it is."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from jupyterlab_pyspark_kernels.places import directory_place
from jupyterlab_pyspark_kernels.service import KernelService
from table import Row

TASKS = 2000
JOB = f"spark.range(0, {TASKS}, 1, {TASKS}).selectExpr('sum(id)').collect()"
TIMED = f"import time; begun = time.perf_counter(); {JOB}; print(time.perf_counter() - begun)"
_LIMIT_SECONDS = 180
_WARM_UPS = 4


def measure(environment: Path, folder: Path, rounds: int) -> list[Row]:
    """Run a job of many short tasks in one kernel, by turns with a listener and without.

    Args:
        environment: prefix of an environment with PySpark and ipykernel.
        folder: an empty folder to work in.
        rounds: how often each is run.

    """
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with _kernel(environment, folder / "kernels") as client:
        for _ in range(_WARM_UPS):
            _run(client)
        for number in range(rounds):
            # In either order: the JVM gets faster all the time.
            for listens in random.sample([True, False], 2):
                if listens:
                    with _listening(client):
                        seconds[listens].append(_run(client))
                else:
                    seconds[listens].append(_run(client))
            print(f"  progress, round {number + 1} of {rounds}", flush=True)
    return [Row("short tasks, shown", seconds[True], seconds[False], 1.03)]


@contextmanager
def _kernel(environment: Path, kernels: Path) -> Iterator[BlockingKernelClient]:
    place = directory_place(kernels)
    service = KernelService(KernelSpecManager(kernel_dirs=[str(kernels)]), lambda: [place])
    data = {"name": "ours", "place": place.id, "environment": str(environment)}
    service.create({**data, "master": "local[2]"})
    specs = KernelSpecManager(kernel_dirs=[str(kernels)])
    manager = KernelManager(kernel_name="ours", kernel_spec_manager=specs)
    # What Spark prints would hide the table.
    quiet = subprocess.DEVNULL
    manager.start_kernel(cwd=str(kernels.parent), stdout=quiet, stderr=quiet)
    client: BlockingKernelClient = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_LIMIT_SECONDS)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


@contextmanager
def _listening(client: BlockingKernelClient) -> Iterator[None]:
    opened = {"comm_id": "c", "target_name": "pyspark-kernels", "data": {}}
    client.shell_channel.send(client.session.msg("comm_open", opened))
    yield
    client.shell_channel.send(client.session.msg("comm_close", {"comm_id": "c", "data": {}}))


def _run(client: BlockingKernelClient) -> float:
    printed: list[str] = []

    def hear(message: dict[str, dict[str, str]]) -> None:
        printed.append(message["content"].get("text", ""))

    reply = client.execute_interactive(TIMED, timeout=_LIMIT_SECONDS, output_hook=hear)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{JOB} failed: {reply['content']}")
    return float("".join(printed))
