"""Gives back what an idle kernel holds: its executors first, Spark and its JVM later.

A copy of this file lies beside the launcher in every kernel's directory, and is loaded there by the
kernels that have an idle policy. Python's variables stay; the next cell that names Spark brings
back what was taken. It needs the standard library of Python 3.8 and PySpark.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .rest import RETURNING, Rest
from .status import STOPPED

RELEASED = "released"
"""The stage of a Spark without executors."""

_POLL_SECONDS = 5
_RELEASED_POLL_SECONDS = 1
"""A thread of the notebook may begin a job at any time, which waits until it is seen."""


def read_limits(text: str) -> dict[str, float]:
    """Read the seconds after which there is something to do: `release=1800 stop=7200`."""
    found = re.findall(r"(release|stop)=(\d+(?:\.\d+)?)", text)
    return {name: float(seconds) for name, seconds in found}


class Idle(Rest):
    """Watches whether a kernel is idle, and acts.

    A kernel is idle while no cell runs, no job of Spark runs and no streaming query is active. The
    time of this is put together of the rounds of a thread, none of which counts for more than it
    was meant to take: so the sleep of a laptop is no idleness.

    Args:
        limits: seconds, by `release` and `stop`.
        start: the launcher's, which knows how Spark is.
        end_jvm: ends Spark's JVM, and lets PySpark forget it.
    """

    def __init__(self, limits: dict[str, float], start: Any, end_jvm: Callable[[], None]) -> None:
        super().__init__(start, end_jvm)
        self._limits = limits
        self._heard = 0
        self._seconds = 0.0

    def begin(self, objects: dict[str, Any]) -> None:
        """Watch a Spark that is there, which perhaps came back."""
        super().begin(objects)
        threading.Thread(target=self._run, name="pyspark-kernels-idle", daemon=True).start()

    def _run(self) -> None:
        spark, idle, before, jobs = self._spark, 0.0, time.monotonic(), -1
        # One that was stopped by others may be followed by another, which has its own watcher.
        while self._spark is spark and self._stage in (None, RELEASED):
            pause = self._pause()
            time.sleep(pause)
            now = time.monotonic()
            spent, before = min(now - before, 2 * pause), now
            try:
                jobs_before, jobs = jobs, spark.jobs()
                works = jobs != jobs_before or spark.is_working()
                idle = 0.0 if works or self._heard_of_cells() else idle + spent
                if works:
                    self._serve_thread()
                self._act(idle)
            except spark.errors:
                # It was stopped, or ended, while we asked.
                idle = 0.0
                if not spark.is_alive():
                    return

    def _pause(self) -> float:
        if self._stage == RELEASED:
            return _RELEASED_POLL_SECONDS
        return min(_POLL_SECONDS, min(self._limits.values()) / 4)

    def _heard_of_cells(self) -> bool:
        cells = self._start.cells
        before, self._heard = self._heard, cells.heard
        return bool(cells.running or self._heard != before)

    def _serve_thread(self) -> None:
        """Bring executors back for a job whose cell did not name Spark."""
        if self._stage == RELEASED:
            with self._turn:
                if self._stage == RELEASED:
                    self._recall()

    def _act(self, idle: float) -> None:
        release, stop = self._limits.get("release"), self._limits.get("stop")
        if stop is not None and idle >= stop and self._spark.can_stop():
            self._when_idle(idle, self._stop_idle)
            return
        may_release = release is not None and idle >= release and self._stage is None
        if may_release and self._spark.can_release():
            self._when_idle(idle, self._release)

    def _when_idle(self, idle: float, action: Callable[[], None]) -> None:
        if self._spark.streams():
            return
        with self._turn:
            # A cell may have come; one that names Spark waits for its turn. Or Spark was stopped.
            is_there = self._stage in (None, RELEASED)
            if is_there and self._start.cells.running == 0 and not self._spark.is_working():
                self._seconds = idle
                action()

    def _release(self) -> None:
        self._spark.release()
        self._stage = RELEASED
        self._tell(RELEASED, self._seconds)

    def _bring_back_what_is_released(self) -> None:
        if self._stage == RELEASED:
            # Whoever runs the cell hears from Spark itself what is wrong with it.
            with suppress(*self._spark.errors):
                self._recall()

    def _recall(self) -> None:
        self._spark.recall()
        self._stage = None
        self._notice = (
            f"Executors were released after {_duration(self._seconds)} without use and come again: "
            "cached data is computed anew."
        )
        self._start.status.update(stage=RETURNING, idle=None)

    def _stop_idle(self) -> None:
        self.reason = "while the kernel was idle"
        self._said = f"after {_duration(self._seconds)} without use"
        self._stop(STOPPED, self._seconds)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
