"""Long work in the background: how far it is, what it printed, and what became of it.

Each task is one JSON file, which outlives the browser and the server. Whoever works on a task holds
a lock beside its file, so a task that nobody holds was interrupted, and can be taken up again.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from threading import Event, RLock
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import (
    Busy,
    DiskFull,
    FieldError,
    KernelError,
    Missing,
    NotAllowed,
    StorageFailed,
    quoted,
)
from .flight import Flight
from .models import Kernel, KernelAddress, Remark, Request
from .progress import Cancelled, Progress

_LOG = logging.getLogger(__name__)

_WORKERS = 2
_MAX_TASKS = 8
"""Tasks of one server that wait or run at once."""
_KEPT = 20
_LOOK_SECONDS = 1
_KEPT_LINES = 500
_HEARTBEAT_SECONDS = 2
_TELL_SECONDS = 0.25
"""Progress is told at most this often."""


class TaskError(BaseModel):
    """Why a task failed, as a refused request says it."""

    message: str
    reason: str
    errors: list[Remark]


class Task(BaseModel):
    """Long work, such as making an environment ready, or packing one for a kernel."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["create", "edit", "move", "ready", "settings", "test"]
    title: str = Field(description="What it does, as a person would say it.")
    state: Literal["running", "done", "failed", "cancelled", "interrupted"]
    stage: str = Field(description="What is done now, or was done last.")
    files_done: int = 0
    files_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    log: list[str] = Field(description="The last lines that it printed.")
    error: TaskError | None = None
    kernel: KernelAddress | None = Field(None, description="The kernel that it wrote, or tests.")
    environment: str | None = Field(None, description="The environment that it works on.")
    flight: Flight | None = Field(None, description="What came of a test.")
    started: str = Field(description="When, in UTC as ISO 8601 writes it.")
    ended: str | None = None


class _Stored(BaseModel):
    """The file of a task."""

    task: Task
    request: Request


class _Running:
    """A task that this process works on; what the work reports to."""

    def __init__(self, stored: _Stored, lock: FileLock, tell: Callable[[Task], None]) -> None:
        self.stored = stored
        self.lock = lock
        self.stop = Event()
        self._lines: deque[str] = deque(stored.task.log, maxlen=_KEPT_LINES)
        self._tell = tell
        self._told = time.monotonic()

    def progress(self, progress: Progress) -> None:
        before = self.stored.task.stage
        self.update(**vars(progress))
        if progress.stage != before:
            self.log(progress.stage)
        if progress.stage != before or time.monotonic() - self._told > _TELL_SECONDS:
            self._told = time.monotonic()
            self._tell(self.stored.task)

    def log(self, line: str) -> None:
        self._lines.append(line)
        self.update(log=list(self._lines))

    def cancelled(self) -> bool:
        # Work asks this some times a second: whoever begins to listen hears of it before long.
        if time.monotonic() - self._told > _HEARTBEAT_SECONDS:
            self._told = time.monotonic()
            self._tell(self.stored.task)
        return self.stop.is_set()

    def update(self, **changes: object) -> None:
        task = self.stored.task.model_copy(update=changes)
        self.stored = self.stored.model_copy(update={"task": task})


class Tasks:
    """The tasks of one user.

    Args:
        directory: holds one file for each task; made when it is missing.
        work: does what a request asks for, and gives the kernel that it wrote, if any.
        tell: is called from any thread with a task that has changed.

    """

    def __init__(
        self,
        directory: Path,
        work: Callable[[Request, _Running], Kernel | Flight | None],
        tell: Callable[[Task], None],
    ) -> None:
        self._directory = directory
        self._work = work
        self._tell = tell
        self._running: dict[str, _Running] = {}
        self._guard = RLock()
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="pyspark-kernels-task")
        self._closing = False

    def start(self, request: Request) -> Task:
        """Begin to do what a request asks for.

        Raises:
            Busy: when too much is being done already.

        """
        return self._begin(uuid.uuid4().hex, request, [])

    def resume(self, task_id: str) -> Task:
        """Take up again what was interrupted, cancelled or has failed.

        Raises:
            Missing: when there is no such task.
            NotAllowed: when it is running or done.
            Busy: when too much is being done already.

        """
        stored = self._read(task_id)
        if stored.task.state in ("running", "done"):
            raise NotAllowed.at("", f"{stored.task.title}: this is {stored.task.state} already.")
        return self._begin(task_id, stored.request, stored.task.log)

    def get(self, task_id: str) -> Task:
        """Give one task.

        Raises:
            Missing: when there is no such task.

        """
        return self._read(task_id).task

    def all(self) -> list[Task]:
        """List the tasks that run, and the last of those that have ended; the newest first."""
        found = []
        for path in self._directory.glob("*.json"):
            with suppress(Missing):
                found.append(self.get(path.stem))
        return sorted(found, key=lambda task: task.started, reverse=True)

    def cancel(self, task_id: str) -> None:
        """Stop a task that runs, or forget one that has ended.

        Raises:
            Missing: when there is no such task.
            NotAllowed: when another server works on it.

        """
        with self._guard:
            running = self._running.get(task_id)
            if running is not None:
                running.stop.set()
                return
        if self.get(task_id).state == "running":
            raise NotAllowed.at("", "Another Jupyter server works on this. Cancel it there.")
        self._forget(task_id)

    def close(self) -> None:
        """Stop all work; what was not done is interrupted and can be resumed."""
        self._closing = True
        with self._guard:
            for running in self._running.values():
                running.stop.set()
        self._workers.shutdown(cancel_futures=True)
        for task_id in list(self._running):
            self._end(self._running[task_id], state="interrupted")

    # --- below ---------------------------------------------------------------------------------

    def _begin(self, task_id: str, request: Request, log: list[str]) -> Task:
        with self._guard:
            if self._closing or len(self._running) >= _MAX_TASKS:
                raise Busy.at("", "Too much is being done at once. Wait until some of it is done.")
            lock = self._lock(task_id)
            try:
                self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._directory.mkdir(mode=0o700, exist_ok=True)
                # Somebody in another server may look for a moment whether it is held.
                lock.acquire(timeout=_LOOK_SECONDS)
            except Timeout:
                raise NotAllowed.at("", "Another Jupyter server works on this already.") from None
            except OSError as error:
                raise _unwritable(self._directory, error) from error
            task = Task(
                id=task_id,
                kind=request.kind,
                title=request.title,
                state="running",
                stage="Waiting",
                log=log,
                kernel=_tested(request),
                environment=request.environment,
                started=_now(),
            )
            running = _Running(_Stored(task=task, request=request), lock, self._tell)
            try:
                self._write(running)
            except OSError as error:
                lock.release()
                raise _unwritable(self._directory, error) from error
            self._running[task_id] = running
            self._prune()
        self._tell(task)
        self._workers.submit(self._run, running)
        return task

    def _run(self, running: _Running) -> None:
        try:
            if running.cancelled():
                raise Cancelled
            made = self._work(running.stored.request, running)
        except Cancelled:
            self._end(running, state="interrupted" if self._closing else "cancelled")
        except KernelError as error:
            self._end(running, state="failed", error=_task_error(error))
        except Exception:  # noqa: BLE001 - whatever it is, the task has to end
            # A defect of ours: nobody waits for this thread, so it has to be told here.
            _LOG.exception("The task “%s” failed", running.stored.task.title)
            problem = FieldError("", "The work failed unexpectedly. The server's log says more.")
            self._end(running, state="failed", error=_task_error(KernelError([problem])))
        else:
            self._end(running, state="done", stage="Done", **_outcome(made))

    def _end(self, running: _Running, **changes: object) -> None:
        # Whoever reads that it has ended may forget it, or resume it.
        with self._guard:
            running.update(ended=_now(), **changes)
            try:
                self._write(running)
            except OSError:
                # On a full disk, say. Without its end the file will say that it was interrupted.
                _LOG.exception("The end of “%s” was not written", running.stored.task.title)
            finally:
                self._running.pop(running.stored.task.id, None)
                running.lock.release()
        self._tell(running.stored.task)

    def _read(self, task_id: str) -> _Stored:
        with self._guard:
            running = self._running.get(task_id)
            if running is not None:
                return running.stored
        try:
            stored = _Stored.model_validate_json(self._file(task_id).read_bytes())
        except (FileNotFoundError, ValidationError):
            raise Missing.at("", f"There is no task {quoted(task_id)}.") from None
        if stored.task.state == "running" and self._is_orphan(task_id):
            task = stored.task.model_copy(update={"state": "interrupted"})
            return stored.model_copy(update={"task": task})
        return stored

    def _is_orphan(self, task_id: str) -> bool:
        # Alone, as whoever only looks holds the lock for a moment, and others would see it held.
        with self._guard:
            lock = self._lock(task_id)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return False
            lock.release()
            return True

    def _prune(self) -> None:
        for task in self.all()[_KEPT:]:
            if task.state != "running":
                self._forget(task.id)

    def _forget(self, task_id: str) -> None:
        for path in (self._file(task_id), self._directory / f"{task_id}.lock"):
            path.unlink(missing_ok=True)

    def _write(self, running: _Running) -> None:
        file = self._file(running.stored.task.id)
        new = file.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as output:
            output.write(running.stored.model_dump_json())
        new.replace(file)

    def _lock(self, task_id: str) -> FileLock:
        self._file(task_id)
        return FileLock(self._directory / f"{task_id}.lock", thread_local=False)

    def _file(self, task_id: str) -> Path:
        # An id comes from a request; only one of ours is made part of a path.
        if re.fullmatch("[0-9a-f]{32}", task_id) is None:
            raise Missing.at("", f"There is no task {quoted(task_id)}.")
        return self._directory / f"{task_id}.json"


def _unwritable(directory: Path, error: OSError) -> KernelError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull.at("", f"No room is left at {directory}. Free some, then try again.")
    return StorageFailed.at("", f"{directory} cannot be written to: {error.strerror}.")


def _tested(request: Request) -> KernelAddress | None:
    """Give the kernel that a test is of; a draft lies nowhere."""
    if request.kind != "test" or request.place is None or request.name is None:
        return None
    return KernelAddress(place=request.place, name=request.name)


def _outcome(made: Kernel | Flight | None) -> dict[str, object]:
    """Give the fields of a task that tell what it made."""
    if isinstance(made, Kernel):
        return {"kernel": KernelAddress(place=made.place, name=made.name)}
    return {"flight": made}


def _task_error(error: KernelError) -> TaskError:
    errors = [Remark(field=item.field, message=item.message) for item in error.errors]
    return TaskError(message=str(error), reason=error.reason, errors=errors)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
