"""Flight tests, for the tests: who hears of one, and how short it is."""

import time
from collections.abc import Callable

from kernels import LIMIT_SECONDS

from jupyterlab_pyspark_kernels.flight import Flight, Limits
from jupyterlab_pyspark_kernels.progress import Progress

LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}

IMPATIENT = Limits(early=1, patience=4)
"""For a cluster that nobody else uses."""

PATIENT = Limits(
    kernel=LIMIT_SECONDS, spark=LIMIT_SECONDS, executors=LIMIT_SECONDS, tasks=LIMIT_SECONDS
)
"""For what has to succeed, however busy the machine is."""

Fly = Callable[..., Flight]


class Listener:
    """Hears of a flight, and cancels it some seconds into a stage."""

    def __init__(self, cancel_at: str = "", seconds: float = 0) -> None:
        self.stages: list[str] = []
        self.lines: list[str] = []
        self._cancel = (cancel_at, seconds)
        self._entered = 0.0

    def progress(self, progress: Progress) -> None:
        self.stages.append(progress.stage)
        self._entered = time.monotonic()

    def log(self, line: str) -> None:
        self.lines.append(line)

    def cancelled(self) -> bool:
        stage, seconds = self._cancel
        return self.stages[-1] == stage and time.monotonic() - self._entered >= seconds


def seconds(flown: Flight) -> float:
    """Give how long a flight took."""
    return sum(stage.seconds for stage in flown.stages)


def figures(flown: Flight) -> str:
    """Give what the summary of the tests says of a flight."""
    rule = flown.diagnoses[0].rule if flown.diagnoses else "passed"
    stages = ", ".join(f"{stage.name} {stage.seconds:.1f}" for stage in flown.stages)
    return f"{rule:22} {seconds(flown):5.1f} s: {stages}"
