"""What a Spark has held and used, as its driver counted it: the receipt when it stops.

`added` and `receipt` are pure; `Meter` reads Spark's own status store, from which its UI is drawn.

A peak is the largest of what was seen: executors tell their memory with every heartbeat (10 s, see
`spark.executor.heartbeatInterval`), so the true one is at least as large. A heap is full of what
nobody needs any longer until it is collected, so less might have done.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

from .memory import remember_receipt
from .options import is_local
from .status import Status

_MIB = 1024**2
_MOST_READ = 200
"""So many jobs or stages are read in one round; the others in the next."""
_LAST_ROUNDS = 5
_SETTLE_MS = 500
"""Spark's bookkeeping runs behind what it counts, and may catch up for so long at the end."""
_PATIENCE_SECONDS = 1
"""How long the end of a kernel may wait for the last figures."""
_PEAKS = {
    "heap": "JVMHeapMemory",
    "off_heap": "JVMOffHeapMemory",
    "python": "ProcessTreePythonRSSMemory",
}

Total = Dict[str, Any]

NOTHING: Total = {
    "executors": {},
    "most": 0,
    "driver": {},
    "busy": (),
    "run_ms": 0,
    "failed_jobs": 0,
    "failed_stages": 0,
    "spilled": 0,
}
"""What is known before the first sample."""


# --- pure --------------------------------------------------------------------------------------


def added(total: Total, sample: Dict[str, Any]) -> Total:
    """Add a sample to what is known.

    Args:
        total: the sum so far; `NOTHING` at first.
        sample: `executors` as Spark's REST API writes them, of which any may have been told before;
            `jobs` and `stages` that have ended and were not told before; `driver_heap` in bytes.

    Returns:
        the sum: executors by id with times in ms since the epoch, task time in ms and peaks in
        bytes; the times in ms between which jobs ran; the time of tasks in ms by their stages;
        bytes spilled to disk.
    """
    executors, driver = dict(total["executors"]), total["driver"]
    for told in sample["executors"]:
        name = told["id"]
        if name == "driver":
            driver = _larger(driver, _peaks(told))
        if told["totalCores"] > 0:
            # Spark forgets those that are gone, one day.
            executors[name] = _executor(executors.get(name, {}), told)
    heap = {"heap": sample.get("driver_heap", 0)}
    alive = sum(executor["removed"] is None for executor in executors.values())
    jobs, stages = sample.get("jobs", ()), sample.get("stages", ())
    spans = [(_ms(job["submissionTime"]), _ms(job["completionTime"])) for job in jobs]
    return {
        "executors": executors,
        "most": max(total["most"], alive),
        "driver": _larger(driver, heap),
        "busy": _united([*total["busy"], *spans]),
        "run_ms": total["run_ms"] + sum(stage.get("executorRunTime", 0) for stage in stages),
        "failed_jobs": total["failed_jobs"] + _failed(jobs),
        "failed_stages": total["failed_stages"] + _failed(stages),
        "spilled": total["spilled"] + sum(stage.get("diskBytesSpilled", 0) for stage in stages),
    }


def receipt(total: Total, asked: Dict[str, Any], now: int) -> Dict[str, Any]:
    """Make the receipt of what is known.

    Args:
        total: as `added` gives it.
        asked: `started` in ms since the epoch, `local` (the driver does the work), `cpus` (cores of
            one task), and the heaps of an executor and of the driver, in MiB.
        now: until when what was not given back is held, in ms since the epoch.

    Returns:
        `seconds` that Spark was there, and `busy_seconds` of them in which a job ran;
        `core_seconds`: each executor's cores times the seconds that it was there;
        `task_seconds`: the seconds of all tasks times the cores of each; `idle`: the share of the
        core-seconds in which no task ran, from 0 to 1; `gc_seconds` of all executors, a part of
        the tasks' time; `executors` that were there at once, at most, and the `cores` of one;
        heaps in MiB: `memory_mib` that an executor was given (on a local master: the driver) and
        `peak_mib` of the largest, `driver_memory_mib` and `driver_peak_mib`; and besides the heap
        `off_heap_peak_mib` of the JVM and `python_peak_mib`, where Spark was told to look (null:
        `spark.executor.processTreeMetrics.enabled`); `spilled_mib` on disks; and how many jobs,
        stages and tasks have failed, or were cancelled.
    """
    executors = list(total["executors"].values())
    held = sum(one["cores"] * _lifetime(one, now) for one in executors)
    # Both count the same, and either may be behind.
    tasks = max(sum(one["task_ms"] for one in executors), total["run_ms"]) * asked["cpus"]
    used = min(tasks, held)
    workers = [total["driver"]] if asked["local"] else [one["peaks"] for one in executors]
    peaks = {name: max([peaks.get(name, 0) for peaks in workers] or [0]) for name in _PEAKS}
    return {
        "seconds": _seconds(max(0, now - asked["started"])),
        "busy_seconds": _seconds(sum(end - begin for begin, end in total["busy"])),
        "core_seconds": _seconds(held),
        "task_seconds": _seconds(used),
        "idle": round(1 - used / held, 4) if held else 0.0,
        "gc_seconds": _seconds(sum(one["gc_ms"] for one in executors)),
        "local": asked["local"],
        "executors": total["most"],
        "cores": max([one["cores"] for one in executors] or [0]),
        "memory_mib": asked["driver_mib"] if asked["local"] else asked["executor_mib"],
        "peak_mib": _mib(peaks["heap"]),
        "driver_memory_mib": asked["driver_mib"],
        "driver_peak_mib": _mib(total["driver"].get("heap", 0)),
        "off_heap_peak_mib": _mib(peaks["off_heap"]),
        "python_peak_mib": _mib(peaks["python"]) or None,
        "spilled_mib": _mib(total["spilled"]),
        "failed_jobs": total["failed_jobs"],
        "failed_stages": total["failed_stages"],
        "failed_tasks": sum(one["failed"] for one in executors),
    }


def _executor(before: Dict[str, Any], told: Dict[str, Any]) -> Dict[str, Any]:
    removed = told.get("removeTime")
    return {
        "cores": told["totalCores"],
        "added": _ms(told["addTime"]),
        "removed": None if removed is None else _ms(removed),
        "task_ms": told["totalDuration"],
        "gc_ms": told["totalGCTime"],
        "failed": told["failedTasks"],
        "peaks": _larger(before.get("peaks", {}), _peaks(told)),
    }


def _peaks(told: Dict[str, Any]) -> Dict[str, int]:
    metrics = told.get("peakMemoryMetrics") or {}
    return {name: metrics.get(metric, 0) for name, metric in _PEAKS.items()}


def _larger(one: Dict[str, int], other: Dict[str, int]) -> Dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {*one, *other}}


def _united(spans: Iterable[Tuple[int, int]]) -> Tuple[Tuple[int, int], ...]:
    """Join spans of time that overlap."""
    united: List[Tuple[int, int]] = []
    for begin, end in sorted(spans):
        if united and begin <= united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], end))
        else:
            united.append((begin, max(begin, end)))
    return tuple(united)


def _lifetime(executor: Dict[str, Any], now: int) -> int:
    removed: Optional[int] = executor["removed"]
    began: int = executor["added"]
    return max(0, (now if removed is None else removed) - began)


def _failed(ended: Iterable[Dict[str, Any]]) -> int:
    return sum(one["status"] == "FAILED" for one in ended)


def _ms(text: str) -> int:
    """Read a time as Spark's REST API writes it: `2026-01-31T12:00:00.000GMT`."""
    when = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fGMT")
    return round(when.replace(tzinfo=timezone.utc).timestamp() * 1000)


def _seconds(ms: float) -> float:
    return round(ms / 1000, 1)


def _mib(count: int) -> int:
    return -(-count // _MIB)


# --- with Spark --------------------------------------------------------------------------------


class Meter:
    """Reads what Spark counts, now and then and before it stops, and tells the receipt.

    Args:
        status: where the receipt is told.
        remembers: whether it is to be remembered; not in a test.
    """

    def __init__(self, status: Status, remembers: bool) -> None:
        self._status = status
        self._remembers = remembers
        # Spark is stopped by one thread while another reads.
        self._lock = threading.RLock()
        self._reader: Optional[_Reader] = None
        self._wake, self._ended = threading.Event(), threading.Event()

    def read(self, context: Any) -> None:
        """Take a sample of a Spark that runs.

        Raises:
            Py4JError: when it ends at this moment, and AttributeError and OSError as well.
        """
        with self._lock:
            if self._reader is not None and self._reader.context is context:
                self._reader.read()
                return
            # That one was stopped in a way that was not heard of.
            self.end("stopped")
            _before(context, self._stopping)
            # It is read from the next round on: the first jobs have the JVM for themselves.
            self._reader = _Reader(context)

    def rest(self, seconds: float) -> bool:
        """Wait until the next sample is to be taken; tell whether there will be one."""
        if not self._wake.wait(seconds):
            return True
        self._end_now("exit")
        self._ended.set()
        return False

    def finish(self) -> None:
        """Let the thread that watches take the last sample, as the kernel is about to end."""
        self._wake.set()
        # That of a JVM which hangs would never come.
        if self._reader is not None:
            self._ended.wait(_PATIENCE_SECONDS)

    def end(self, ended: str, complete: bool = False) -> None:
        """Tell and remember the receipt of a Spark that is gone, once.

        Args:
            ended: `stopped` in the notebook, `idle`, `exit` of the kernel, or `lost` with its JVM.
            complete: whether the last sample was taken at its end.
        """
        with self._lock:
            reader, self._reader = self._reader, None
            if reader is None or reader.last is None:
                return
            now = round(time.time() * 1000) if complete else reader.last
            made = {
                "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                "ended": ended,
                "complete": complete,
                **receipt(reader.total, reader.asked, now),
            }
            if self._remembers:
                remember_receipt(made)
            if ended != "exit":
                # Nobody listens to a kernel that ends, and its sockets may be closed.
                self._status.update(receipt=made)

    def _stopping(self, context: Any) -> None:
        with self._lock:
            if self._reader is not None and self._reader.context is context:
                is_idle = self._status["stage"] == "stopped_idle"
                self._end_now("idle" if is_idle else "stopped")

    def _end_now(self, ended: str) -> None:
        with self._lock:
            complete = False
            if self._reader is not None:
                # One that is gone already leaves the last sample.
                with suppress(*self._reader.errors):
                    self._reader.read_last()
                    complete = True
            self.end(ended, complete)


def _before(context: Any, action: Callable[[Any], None]) -> None:
    """Let something be done before a SparkContext stops, whoever stops it."""
    stop = context.stop

    def stop_then() -> None:
        action(context)
        stop()

    # The instance's own: SparkSession.stop() and `with` come this way too.
    context.stop = stop_then


class _Reader:
    """Reads the status store of one SparkContext.

    Attributes:
        context: it.
        errors: are raised when it stops, or its JVM ends, while it is read.
        total: all samples so far.
        asked: what was asked for, as `receipt` takes it.
        last: when the last sample was taken, in ms since the epoch.
    """

    def __init__(self, context: Any) -> None:
        from py4j.protocol import Py4JError

        self.errors = (AttributeError, Py4JError, OSError)
        self.context = context
        self.total = NOTHING
        self.asked: Dict[str, Any] = {}
        self.last: Optional[int] = None
        self._ended = {"Job": _Ended("jobId"), "Stage": _Ended("stageId", "attemptId")}

    def _begin(self) -> None:
        context = self.context
        jvm, scala = context._jvm, context._jsc.sc()
        conf = scala.conf()
        asked = {
            "started": scala.startTime(),
            "local": is_local(context.master),
            "cpus": conf.getInt("spark.task.cpus", 1),
            "executor_mib": conf.getSizeAsMb("spark.executor.memory", "1g"),
            "driver_mib": conf.getSizeAsMb("spark.driver.memory", "1g"),
        }
        self._bus = scala.listenerBus()
        self._store = scala.statusStore().store()
        self._heap = jvm.java.lang.management.ManagementFactory.getMemoryMXBean()
        # What Spark's own REST API writes with: one call, however many executors there are. Its
        # list of executors has the driver's age in place of its tasks' time, and the store has not.
        self._mapper = jvm.org.apache.spark.status.api.v1.JacksonMessageWriter().mapper()
        self._class: Callable[[str], Any] = jvm.py4j.reflection.ReflectionUtil.classForName
        self.asked = asked

    def read(self) -> bool:
        """Take a sample; tell whether there is more to read."""
        if not self.asked:
            self._begin()
        found = {kind: self._read_ended(kind) for kind in self._ended}
        sample = {
            "executors": self._json(self._view("ExecutorSummary")),
            "jobs": found["Job"],
            "stages": found["Stage"],
            "driver_heap": self._heap.getHeapMemoryUsage().getUsed(),
        }
        self.total = added(self.total, sample)
        self.last = round(time.time() * 1000)
        return any(map(len, found.values()))

    def read_last(self) -> None:
        """Take the last sample, when Spark's own bookkeeping has caught up."""
        from py4j.protocol import Py4JJavaError

        if not self.asked:
            self._begin()
        # What it has not counted by now is missing.
        with suppress(Py4JJavaError):
            self._bus.waitUntilEmpty(_SETTLE_MS)
        for _ in range(_LAST_ROUNDS):
            if not self.read():
                return

    def _read_ended(self, kind: str) -> List[Dict[str, Any]]:
        """Read which jobs or stages have ended since."""
        ended = self._ended[kind]
        view = self._view(f"{kind}Data").index("completionTime").first(ended.since)
        return ended.fresh(self._json(view.max(_MOST_READ)))

    def _view(self, name: str) -> Any:
        return self._store.view(self._class(f"org.apache.spark.status.{name}Wrapper"))

    def _json(self, view: Any) -> List[Dict[str, Any]]:
        return [row["info"] for row in json.loads(self._mapper.writeValueAsString(view))]


class _Ended:
    """Knows which jobs or stages were read: those of the same millisecond are read again."""

    def __init__(self, *key: str) -> None:
        # More than an int of Java, as its index is of longs.
        self.since = 2**32
        self._key = key
        self._seen: Dict[Tuple[Any, ...], int] = {}

    def fresh(self, found: Iterable[Dict[str, Any]]) -> List[Dict[str, Any]]:
        fresh = []
        for one in found:
            key = tuple(one[name] for name in self._key)
            when = _ms(one["completionTime"])
            if key not in self._seen and "submissionTime" in one:
                fresh.append(one)
            self._seen[key] = when
            self.since = max(self.since, when)
        self._seen = {key: when for key, when in self._seen.items() if when >= self.since}
        return fresh
