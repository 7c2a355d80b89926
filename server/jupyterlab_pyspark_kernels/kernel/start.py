"""Spark as it comes up beside the notebook, in a thread of its own."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, Dict, Mapping, Optional

from .cells import Cells
from .facts import filled_in, user_facts
from .failure import SparkStartError, describe, explain, masked, redacted
from .options import submit_options, without_token
from .status import Status

IDLE_VARIABLE = "PYSPARK_KERNELS_IDLE"
"""After how many idle seconds something is given back, such as `release=1800 stop=7200`."""


class SparkStart:
    """Spark's session, as it comes up in a thread of its own.

    Attributes:
        status: where the stages are told.
        objects: what the names in the notebook stand for, once Spark is there.
        failure: why it will not be there.
        rest: stops Spark and brings it back; there is none before it is needed.
        before_stop: is called when Spark is about to go, while its objects are there.
        remembers: whether the kernel is used, of which something is left, and not only tested.
        cells: which cell runs.
        progress: tells what Spark works on, once it is there.
    """

    def __init__(self, status: Status) -> None:
        self.status = status
        self.objects: Dict[str, Any] = {}
        self.failure: Optional[SparkStartError] = None
        self.before_stop: Callable[[], None] = lambda: None
        self.rest = _idle_policy(self)
        self.cells = Cells()
        self.progress: Any = None
        self.remembers = False
        self._asking = threading.Lock()
        self._meter: Any = None
        self._done = threading.Event()

    def begin(self) -> None:
        """Start, and go on watching, in the background."""
        try:
            # Before the first cell, which may look at the variables.
            os.environ.update(filled_in(os.environ, user_facts(os.environ)))
        except (SparkStartError, ValueError) as error:
            # Also of arguments that a person wrote and nobody can split.
            self._fail(error)
            self._done.set()
            return
        threading.Thread(target=self._run, name="pyspark-kernels", daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether Spark is there or has failed."""
        return self._done.is_set()

    def settle(self) -> None:
        """Wait until Spark is there or has failed, also for one that was stopped meanwhile."""
        if self.rest is not None:
            self.rest.bring_back()
        self._done.wait()

    def forget(self) -> None:
        """Be as before the beginning, so that everybody waits for the next one."""
        self._done.clear()
        self.objects = {}
        self.failure = None

    def finish(self) -> None:
        """Let Spark's last figures be taken, as the kernel is about to end."""
        # ipykernel kills a JVM that takes too long to stop.
        self.status.seal()
        if self._meter is not None:
            self._meter.finish()

    def stop(self) -> None:
        """Stop Spark as somebody asked for; the next cell that names it has it again.

        Nothing is done as long as there is none.
        """
        # Two may ask at the same moment.
        with self._asking:
            if not self.objects:
                return
            if self.rest is None:
                from .jvm import dismiss
                from .rest import Rest

                rest = Rest(self, dismiss)
                rest.begin(self.objects)
                self.rest = rest
            self.rest.stop()

    def wait(self) -> Dict[str, Any]:
        """Wait until Spark is there.

        Raises:
            SparkStartError: when it failed.
        """
        self.settle()
        if self.failure is not None:
            raise self.failure
        return self.objects

    def _run(self) -> None:
        try:
            # Only now, as the notebook's first cells need none of it.
            from . import session
            from .installation import check_pyspark
            from .probe import probe
            from .receipt import Meter
            from .secrets import find_secrets

            options = submit_options()
            self.status.update(master=without_token(options.master))
            secrets = find_secrets(os.environ)
            os.environ.update(secrets.variables)
            check_pyspark(options)
            probe(options.master)
            if options.remote:
                objects = session.connect(options, secrets, self.status)
            else:
                from .launch import Launch

                launch = Launch(options, self.status)
                objects = session.start(launch, secrets, self.status)
            self.objects = objects
            if self.rest is not None:
                self.rest.begin(objects)
            self._show_progress(objects)
        except Exception as error:  # noqa: BLE001 - whatever it is, the notebook has to say it
            self._fail(error)
            return
        finally:
            self._done.set()
        if not options.remote:
            self._meter = Meter(self.status, self.remembers)
            if self.remembers:
                # What a test would make in the background does not get ready.
                launch.make_archive(objects["sc"]._jvm)
            session.watch(self.status, self._meter)

    def cancel(self, request: Mapping[str, Any]) -> None:
        """End one of Spark's jobs, as a request names it."""
        if self.progress is not None:
            self.progress.cancel(request.get("job"))

    def _show_progress(self, objects: Dict[str, Any]) -> None:
        from .progress import Progress

        self.progress = self.progress or Progress(self.status, self.cells)
        self.progress.begin(objects)

    def _fail(self, error: Exception) -> None:
        from .secrets import known_secrets

        known = known_secrets(os.environ)
        self.status.mask(known)
        tail = self.status.log_tail()
        words = redacted(masked(describe(error, tail), known))
        log = self.status.log.read_text(encoding="utf-8", errors="replace")
        why = explain(words, log, self.status["master"])
        shown = f"\n\nThe last lines of {self.status.log}:\n{redacted(tail)}" if tail else ""
        self.failure = SparkStartError(f"Spark did not start. {why}{shown}")
        self.status.update(stage="failed", words=words, **why._asdict())


def _idle_policy(start: SparkStart) -> Any:
    """Give what acts when the kernel is idle; `None`, and nothing is loaded, without a policy."""
    text = os.environ.get(IDLE_VARIABLE)
    if not text:
        return None
    from . import idle
    from .jvm import dismiss

    limits = idle.read_limits(text)
    return idle.Idle(limits, start, dismiss) if limits else None
