"""How far Spark has come, told to the server and to whoever listens."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

from .failure import masked

STATUS_DIRECTORY = "pyspark-kernels"
"""Where kernels tell how their Spark is, beside their connection files."""

STOPPED, ASKED = "stopped_idle", "stopped_asked"
"""The stages of a Spark that was stopped, because nobody used it or because somebody asked for it,
and that comes back with the next cell that names it."""

RESTING = (STOPPED, ASKED)
NO_EXECUTORS: Mapping[str, Any] = {"executors": 0, "cores": None, "memory_mib": None}
"""What is told of a Spark that is not there, or whose executors are not."""

_STARTED = time.monotonic()
_LOG_BYTES = 8 * 1024 * 1024
_LOG_LINES = 20
_DAY_SECONDS = 24 * 60 * 60


class Status:
    """How far Spark has come, for the server and for every open comm.

    Args:
        connection_file: the kernel's; the status and the log lie in a folder beside it.
    """

    def __init__(self, connection_file: Path) -> None:
        folder = connection_file.parent / STATUS_DIRECTORY
        folder.mkdir(mode=0o700, exist_ok=True)
        kernel_id = re.sub("^kernel-", "", connection_file.stem)
        _sweep(folder, connection_file.parent)
        self.path = folder / f"{kernel_id}.json"
        self.log = folder / f"{kernel_id}.log"
        self.log_file = os.open(
            self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        # Held while listeners are called, so that they hear of the changes in their order.
        self._lock = threading.Lock()
        self._closed = False
        self._listeners: List[Callable[[Dict[str, Any]], None]] = []
        self._activity: Optional[Dict[str, Any]] = None
        self._content: Dict[str, Any] = {
            "version": 1,
            "kernel_id": kernel_id,
            "pid": os.getpid(),
            # Whose child this is until whoever started it dies, and on which machine.
            "parent": os.getppid(),
            "host": os.uname().nodename,
            # The process of Spark's JVM, while there is one.
            "jvm": None,
            "stage": "jvm",
            "stages": {"jvm": 0.0},
            # Of all executors, or of the driver where that does their work; null when nobody tells.
            **NO_EXECUTORS,
            "executors_wanted": None,
            "master": None,
            "application_id": None,
            # When Spark was there, in UTC as ISO 8601 writes it.
            "since": None,
            "ui": None,
            # Where YARN shows that UI, once it has told.
            "tracking": None,
            "spark_version": None,
            # Why it failed, and what to do.
            "cause": None,
            "fix": None,
            # For how long the kernel was idle when it gave something back, and when that was.
            "idle": None,
            # What the last Spark held and used, once it has stopped.
            "receipt": None,
            # What the cause was made from, and whose kernel this is: for the doctor.
            "words": None,
            "directory": os.path.dirname(os.path.abspath(__file__)),
            "log": str(self.log),
        }
        self._write()

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def update(self, within: Optional[Sequence[str]] = None, **changes: Any) -> None:
        """Take changes over, if the stage is among some; write and send them if they are any."""
        with self._lock:
            if self._closed or all(self._content[key] == value for key, value in changes.items()):
                return
            if within is not None and self._content["stage"] not in within:
                return
            content = {**self._content, **changes}
            seconds = round(time.monotonic() - _STARTED, 3)
            content["stages"] = {**self._content["stages"]}
            content["stages"].setdefault(content["stage"], seconds)
            self._content = content
            self._write()
            for listener in self._listeners:
                listener(content)

    def listen(self, listener: Callable[[Dict[str, Any]], None]) -> Callable[[], None]:
        """Call a function now and with every change; give the function that ends this."""
        with self._lock:
            self._listeners.append(listener)
            listener(self._content)
            if self._activity is not None:
                listener({"activity": self._activity})
        return lambda: self._forget(listener)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def show(self, activity: Dict[str, Any]) -> None:
        """Tell those who listen, and who will, what Spark works on; it is written nowhere."""
        with self._lock:
            self._activity = activity
            for listener in self._listeners:
                listener({"activity": activity})

    def _forget(self, listener: Callable[[Dict[str, Any]], None]) -> None:
        with self._lock:
            self._listeners.remove(listener)

    def log_tail(self) -> str:
        """Give the last lines that Spark's JVM printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])

    def mask(self, secrets: Iterable[str]) -> None:
        """Take secrets out of the log, which a failure may have written there."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        shown = masked(text, secrets)
        if shown != text:
            os.ftruncate(self.log_file, 0)
            os.write(self.log_file, shown.encode())

    def trim_log(self) -> None:
        """Empty a log that has grown too large; the JVM appends, so nothing else is lost."""
        if os.fstat(self.log_file).st_size > _LOG_BYTES:
            os.ftruncate(self.log_file, 0)
            os.write(self.log_file, b"[older lines were dropped]\n")

    def seal(self) -> None:
        """Take no changes any longer: what becomes of Spark while its kernel ends is no failure."""
        with self._lock:
            self._closed = True

    def close(self) -> None:
        """Remove both files, unless they tell why Spark failed."""
        self.seal()
        with self._lock:
            if self._content["stage"] != "failed":
                self.path.unlink()
                self.log.unlink()

    def _write(self) -> None:
        write_own(self.path, json.dumps(self._content))


def write_own(path: Path, text: str) -> None:
    """Write a file for this user alone, whole or not at all."""
    # Others may write the same file at this moment.
    staged = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(staged, path)


def _sweep(folder: Path, runtime: Path) -> None:
    """Remove what kernels left whose connection file has been gone for a day.

    The files of a kernel or a JVM that lives stay: by them it is found.
    """
    for path in folder.iterdir():
        names = (f"kernel-{path.stem}.json", f"{path.stem}.json")
        try:
            old = time.time() - path.stat().st_mtime > _DAY_SECONDS
            gone = not any((runtime / name).exists() for name in names)
            if old and gone and not _lives(path.with_suffix(".json")):
                path.unlink()
        except FileNotFoundError:
            # Another kernel, which starts or ends at this moment, took it away.
            continue


def _lives(status: Path) -> bool:
    """Tell whether a process that a status names may live; one that took its number also counts."""
    try:
        content = json.loads(status.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if content.get("host", os.uname().nodename) != os.uname().nodename:
        # Only that machine knows.
        return True
    return any(_is_there(content.get(name)) for name in ("pid", "jvm"))


def _is_there(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    return True
