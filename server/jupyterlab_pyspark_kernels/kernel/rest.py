"""Stops Spark and its JVM while Python's variables stay, and brings it back.

It is loaded by kernels that have an idle policy, and when somebody asks to stop Spark. It needs the
standard library of Python 3.8 and PySpark.
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

from .options import is_local
from .status import ASKED, NO_EXECUTORS, RESTING

RETURNING = "returning"
"""The stage of a Spark that comes back; the launcher's own follow."""

_STOP_SECONDS = 30
"""Longer than Spark needs to say good-bye to a cluster that answers."""
_FAIL_SECONDS, _FAIL_POLL_SECONDS = 5, 0.05
"""How long a cell may take to notice that its Spark is gone."""
_CLASSIC, _CONNECT = ("pyspark.", "py4j."), ("pyspark.sql.connect.",)
_UNLIMITED = 2**31 - 1
_DEFAULT_EXECUTORS = 2
"""What Spark asks YARN and Kubernetes for, when nothing else is said."""


class Rest:
    """A Spark that can be stopped, and comes back when it is asked for.

    Attributes:
        reason: in which circumstances it was stopped.

    Args:
        start: the launcher's, which knows how Spark is.
        end_jvm: ends Spark's JVM, and lets PySpark forget it.
    """

    def __init__(self, start: Any, end_jvm: Callable[[], None]) -> None:
        self.reason = ""
        self._start = start
        self._end_jvm = end_jvm
        # Held while something is given back or asked for.
        self._turn = threading.Lock()
        self._spark: Any = None
        self._stage: str | None = None
        self._said = ""
        self._settings: dict[str, str] = {}
        self._notice: str | None = None
        self._has_stopped = False

    def begin(self, objects: dict[str, Any]) -> None:
        """Take over a Spark that is there, which perhaps came back."""
        kind = _Classic if "sc" in objects else _Connect
        self._spark = kind(objects)
        if self._stage == RETURNING:
            self._spark.restore(self._settings)
            self._notice = (
                f"Spark was stopped {self._said} and is back: "
                "cached data, temporary views and old DataFrames are gone."
            )
        self._stage = None

    @property
    def is_stopped(self) -> bool:
        """Whether Spark is stopped, and comes back when it is asked for."""
        return self._stage in RESTING

    def try_again(self) -> None:
        """Let Spark be asked for once more when it did not come back: Python's variables live."""
        if self._stage == RETURNING and self._start.failure is not None:
            self._end_jvm()
            self._stage = ASKED

    def bring_back(self) -> None:
        """Ask for what was given back, if anything was; Spark itself then starts beside this."""
        # Also when nothing is given back yet: it may be going at this moment, and whoever is about
        # to use it waits, and asks for the next.
        with self._turn:
            if self.is_stopped:
                self._stage = RETURNING
                self._start.forget()
                self._start.status.update(
                    stage=RETURNING, idle=None, cause=None, fix=None, words=None
                )
                self._start.begin()
            else:
                self._bring_back_what_is_released()

    def _bring_back_what_is_released(self) -> None:
        """Bring back what was given back before Spark itself."""

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
            f"This needs the Spark that was stopped {self.reason}, as old DataFrames "
            "do. Make it again: a cell that names spark has a new one."
        )

    def stop(self) -> None:
        """Stop Spark because somebody asked for it, whatever runs; once is enough."""
        with self._turn:
            if not self.is_stopped and self._stage != RETURNING:
                self.reason = self._said = "on request"
                self._stop(ASKED, 0)

    def _stop(self, stage: str, seconds: float) -> None:
        # Of one that the notebook stopped, or that ended, there is nothing to keep.
        with suppress(*self._spark.errors):
            self._settings = self._spark.settings()
        self._start.before_stop()
        # From now on whoever needs Spark waits for the next one.
        self._start.forget()
        self._stage = stage
        self._has_stopped = True
        self._tell(stage, seconds, ui=None)
        waits = _waits_for_spark()
        self._spark.stop(lambda: self._end(waits))

    def _end(self, waits: bool) -> None:
        """End the JVM, once a cell that waited for it has Spark's own error and shown it.

        The error's text is the JVM's: PySpark and IPython ask for it on its way.
        """
        deadline = time.monotonic() + _FAIL_SECONDS
        while waits and self._start.cells.running and time.monotonic() < deadline:
            time.sleep(_FAIL_POLL_SECONDS)
        self._end_jvm()

    def _tell(self, stage: str, seconds: float, **changes: Any) -> None:
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        idle = {"seconds": round(seconds), "at": at}
        self._start.status.update(stage=stage, idle=idle, **NO_EXECUTORS, **changes)


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
        if is_local(context.master):
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
        return any(_is_in(frame, _CONNECT) for frame in sys._current_frames().values())

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


def _waits_for_spark() -> bool:
    """Tell whether the thread of cells is in PySpark."""
    cells = threading.main_thread().ident or 0
    return _is_in(sys._current_frames().get(cells), _CLASSIC)


def _is_in(frame: Any, modules: tuple[str, ...]) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(modules):
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
