"""Gives back what an idle kernel holds: its executors first, Spark and its JVM later.

A copy of this file lies beside the launcher in every kernel's directory, and is loaded there by the
kernels that have an idle policy. Python's variables stay; the next cell that names Spark brings
back what was taken. It needs the standard library of Python 3.8 and PySpark.
"""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

RELEASED, STOPPED, RETURNING = "released", "stopped_idle", "returning"
"""The stages that this file tells; the launcher's own follow when Spark comes back."""

_POLL_SECONDS = 5
_RELEASED_POLL_SECONDS = 1
"""A thread of the notebook may begin a job at any time, which waits until it is seen."""
_STOP_SECONDS = 30
"""Longer than Spark needs to say good-bye to a cluster that answers."""
_UNLIMITED = 2**31 - 1
_DEFAULT_EXECUTORS = 2
"""What Spark asks YARN and Kubernetes for, when nothing else is said."""


def read_limits(text: str) -> dict[str, float]:
    """Read the seconds after which there is something to do: `release=1800 stop=7200`."""
    found = re.findall(r"(release|stop)=(\d+(?:\.\d+)?)", text)
    return {name: float(seconds) for name, seconds in found}


class Idle:
    """Watches whether a kernel is idle, and acts.

    A kernel is idle while no cell runs, no job of Spark runs and no streaming query is active. The
    time of this is put together of the rounds of a thread, none of which counts for more than it
    was meant to take: so the sleep of a laptop is no idleness.

    Attributes:
        before_stop: is called when Spark is about to go, with the names in the notebook.

    Args:
        limits: seconds, by `release` and `stop`.
        start: the launcher's, which knows how Spark is.
        end_jvm: ends Spark's JVM, and lets PySpark forget it.
    """

    def __init__(self, limits: dict[str, float], start: Any, end_jvm: Callable[[], None]) -> None:
        self.before_stop: Callable[[], None] = lambda: None
        self._limits = limits
        self._start = start
        self._end_jvm = end_jvm
        # Held while something is given back or asked for.
        self._turn = threading.Lock()
        self._spark: Any = None
        self._cells = 0
        self._cells_seen = 0
        self._running = 0
        self._stage: str | None = None
        self._seconds = 0.0
        self._settings: dict[str, str] = {}
        self._notice: str | None = None
        self._has_stopped = False

    # --- the notebook tells --------------------------------------------------------------------

    def attend(self, events: Any) -> None:
        """Hear of every cell, also of those that JupyterLab's extensions run silently."""
        events.register("pre_execute", self._cell_begins)
        events.register("post_execute", self._cell_ends)

    def _cell_begins(self) -> None:
        # Cells may be nested, by get_ipython().run_cell().
        self._running += 1
        self._cells += 1

    def _cell_ends(self) -> None:
        self._running = max(0, self._running - 1)
        self._cells += 1

    @property
    def is_stopped(self) -> bool:
        """Whether Spark is stopped, and comes back when it is asked for."""
        return self._stage == STOPPED

    def try_again(self) -> None:
        """Let Spark be asked for once more when it did not come back: Python's variables live."""
        if self._stage == RETURNING and self._start.failure is not None:
            self._end_jvm()
            self._stage = STOPPED

    def bring_back(self) -> None:
        """Ask for what was given back, if anything was; Spark itself then starts beside this."""
        # Also when nothing is given back yet: it may be going at this moment, and whoever is about
        # to use it waits, and asks for the next.
        with self._turn:
            if self._stage == RELEASED:
                # Whoever runs the cell hears from Spark itself what is wrong with it.
                with suppress(*self._spark.errors):
                    self._recall()
            elif self._stage == STOPPED:
                self._stage = RETURNING
                self._start.forget()
                self._start.status.update(stage=RETURNING, idle=None, cause=None, words=None)
                self._start.begin()

    def notice(self) -> str | None:
        """Give, once, what is to be said of what came back."""
        said, self._notice = self._notice, None
        return said

    def hint(self, error: BaseException | None) -> str | None:
        """Say what is the matter when a cell used what went with Spark."""
        raised_by = _raised_by(error)
        gone = self._has_stopped and raised_by.startswith("py4j.") and isinstance(error, OSError)
        if not gone and not (self.is_stopped and raised_by.startswith(("py4j.", "pyspark."))):
            return None
        return (
            "This needs the Spark that was stopped while the kernel was idle, as old DataFrames "
            "do. Make it again: a cell that names spark has a new one."
        )

    # --- the thread ----------------------------------------------------------------------------

    def begin(self, objects: dict[str, Any]) -> None:
        """Watch a Spark that is there, which perhaps came back."""
        kind = _Classic if "sc" in objects else _Connect
        self._spark = kind(objects)
        if self._stage == RETURNING:
            self._spark.restore(self._settings)
            self._notice = (
                f"Spark was stopped after {_duration(self._seconds)} without use and is back: "
                "cached data, temporary views and old DataFrames are gone."
            )
        self._stage = None
        threading.Thread(target=self._run, name="pyspark-kernels-idle", daemon=True).start()

    def _run(self) -> None:
        idle, before, jobs = 0.0, time.monotonic(), -1
        while self._stage in (None, RELEASED):
            pause = self._pause()
            time.sleep(pause)
            now = time.monotonic()
            spent, before = min(now - before, 2 * pause), now
            try:
                jobs_before, jobs = jobs, self._spark.jobs()
                works = jobs != jobs_before or self._spark.is_working()
                idle = 0.0 if works or self._heard_of_cells() else idle + spent
                if works:
                    self._serve_thread()
                self._act(idle)
            except self._spark.errors:
                # It was stopped, or ended, while we asked.
                idle = 0.0
                if not self._spark.is_alive():
                    return

    def _pause(self) -> float:
        if self._stage == RELEASED:
            return _RELEASED_POLL_SECONDS
        return min(_POLL_SECONDS, min(self._limits.values()) / 4)

    def _heard_of_cells(self) -> bool:
        seen, self._cells_seen = self._cells_seen, self._cells
        return self._running > 0 or self._cells != seen

    def _serve_thread(self) -> None:
        """Bring executors back for a job whose cell did not name Spark."""
        if self._stage == RELEASED:
            with self._turn:
                if self._stage == RELEASED:
                    self._recall()

    def _act(self, idle: float) -> None:
        release, stop = self._limits.get("release"), self._limits.get("stop")
        if stop is not None and idle >= stop and self._spark.can_stop():
            self._when_idle(idle, self._stop)
            return
        may_release = release is not None and idle >= release and self._stage is None
        if may_release and self._spark.can_release():
            self._when_idle(idle, self._release)

    def _when_idle(self, idle: float, action: Callable[[], None]) -> None:
        if self._spark.streams():
            return
        with self._turn:
            # A cell may have come; one that names Spark waits for its turn.
            if self._running == 0 and not self._spark.is_working():
                self._seconds = idle
                action()

    def _release(self) -> None:
        self._spark.release()
        self._stage = RELEASED
        self._tell(RELEASED)

    def _recall(self) -> None:
        self._spark.recall()
        self._stage = None
        self._notice = (
            f"Executors were released after {_duration(self._seconds)} without use and come again: "
            "cached data is computed anew."
        )
        self._start.status.update(stage=RETURNING, idle=None)

    def _stop(self) -> None:
        self._settings = self._spark.settings()
        self.before_stop()
        # From now on whoever needs Spark waits for the next one.
        self._start.forget()
        self._stage = STOPPED
        self._has_stopped = True
        self._tell(STOPPED, ui=None)
        self._spark.stop(self._end_jvm)

    def _tell(self, stage: str, **changes: Any) -> None:
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        idle = {"seconds": round(self._seconds), "at": at}
        self._start.status.update(stage=stage, executors=0, idle=idle, **changes)


class _Classic:
    """A Spark whose driver is this kernel's own JVM."""

    def __init__(self, objects: dict[str, Any]) -> None:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        # A context that was stopped has no Java object.
        self.errors = (AttributeError, Py4JError, PySparkException, OSError)
        self._own = objects["sc"]
        self._session = objects["spark"]

    @property
    def _context(self) -> Any:
        """Whichever runs: the notebook may have stopped ours and started another."""
        from pyspark import SparkContext

        return SparkContext._active_spark_context

    def is_alive(self) -> bool:
        from pyspark import SparkContext

        gateway = SparkContext._gateway
        return gateway is not None and gateway.proc.poll() is None

    def jobs(self) -> int:
        """Count all jobs so far: a short one may begin and end unseen between two rounds."""
        return int(self._context._jsc.sc().dagScheduler().numTotalJobs())

    def is_working(self) -> bool:
        return bool(self._context.statusTracker().getActiveJobsIds())

    def streams(self) -> bool:
        """Tell whether a streaming query is active, in whichever session."""
        from pyspark.sql import SparkSession

        session = SparkSession._instantiatedSession or self._session
        state = session._jsparkSession.sharedState()
        return not state.activeStreamingQueries().isEmpty()

    def can_release(self) -> bool:
        """Tell whether there are executors, and Spark does not give them back by itself."""
        context = self._context
        if re.match(r"local(\[|$)", context.master):
            return False
        return bool(context._jsc.sc().executorAllocationManager().isEmpty())

    def release(self) -> None:
        # First that none are wanted: the cluster would start others at once.
        self._request(0)
        context = self._context._jsc.sc()
        context.killExecutors(context.getExecutorIds())

    def recall(self) -> None:
        context = self._context
        if re.match("yarn|k8s", context.master):
            conf = context.getConf()
            self._request(int(conf.get("spark.executor.instances", str(_DEFAULT_EXECUTORS))))
        else:
            # A standalone master gives as many as the cores at most allow.
            self._request(_UNLIMITED)

    def _request(self, executors: int) -> None:
        context = self._context
        nowhere = context._jvm.PythonUtils.toScalaMap(context._jvm.java.util.HashMap())
        context._jsc.sc().requestTotalExecutors(executors, 0, nowhere)

    def can_stop(self) -> bool:
        """Tell whether it is the session that the launcher made, and can make again."""
        return self._context is self._own

    def settings(self) -> dict[str, str]:
        found = {}
        pairs = self._session._jsparkSession.conf().getAll().iterator()
        while pairs.hasNext():
            pair = pairs.next()
            found[pair._1()] = pair._2()
        return found

    def restore(self, settings: dict[str, str]) -> None:
        """Set anew what cells had set."""
        now = self.settings()
        conf = self._session.conf
        for key, value in settings.items():
            if now.get(key) != value and conf.isModifiable(key):
                conf.set(key, value)

    def stop(self, end_jvm: Callable[[], None]) -> None:
        from pyspark import SparkContext

        # A cluster that went away while a laptop slept may never answer.
        patience = threading.Timer(_STOP_SECONDS, SparkContext._gateway.proc.kill)
        patience.daemon = True
        patience.start()
        # One that ended by itself is what was wanted.
        with suppress(*self.errors):
            self._session.stop()
        patience.cancel()
        end_jvm()
        _renew_functions()


class _Connect:
    """A session on a Spark Connect server, which has the executors."""

    def __init__(self, objects: dict[str, Any]) -> None:
        from grpc import RpcError
        from pyspark.errors import PySparkException

        self.errors = (PySparkException, RpcError)
        self._session = objects["spark"]

    def is_alive(self) -> bool:
        return True

    def jobs(self) -> int:
        # The server does not tell.
        return 0

    def is_working(self) -> bool:
        """Tell whether a thread waits for the server; cells are known by themselves."""
        return any(map(_is_in_connect, sys._current_frames().values()))

    def streams(self) -> bool:
        return bool(self._session.streams.active)

    def can_release(self) -> bool:
        return False

    def can_stop(self) -> bool:
        return True

    def settings(self) -> dict[str, str]:
        # Before PySpark 4.0 there is no way to ask for all.
        return dict(getattr(self._session.conf, "getAll", {}))

    def restore(self, settings: dict[str, str]) -> None:
        now = self.settings()
        for key, value in settings.items():
            if now.get(key) != value and self._session.conf.isModifiable(key):
                self._session.conf.set(key, value)

    def stop(self, end_jvm: Callable[[], None]) -> None:
        # A server that is gone has ended the session by itself.
        with suppress(*self.errors):
            self._session.stop()


def _is_in_connect(frame: Any) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("pyspark.sql.connect."):
            return True
        frame = frame.f_back
    return False


def _raised_by(error: BaseException | None) -> str:
    """Give the name of the module that raised an error."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")) if trace is not None else ""


def _renew_functions() -> None:
    """Let the notebook's own user-defined functions forget the JVM that is gone."""
    from pyspark.sql.udf import UserDefinedFunction

    for found in gc.get_objects():
        if type(found) is UserDefinedFunction:
            found._judf_placeholder = None


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
