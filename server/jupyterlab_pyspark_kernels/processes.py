"""Processes of this user, and their end: a number that another process has taken is noticed."""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _STARTED = 0, 18
"""Places in /proc/PID/stat behind the command's name, which may hold anything."""

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Process:
    """A process of this user.

    Attributes:
        pid: its number, which is another's when it has ended.
        parent: whose child it is now.
        born: in ticks since the system started; with the number it tells a process from any other.
        started: the same in seconds since the epoch, to a second or so.
        command: what it was started with.

    """

    pid: int
    parent: int
    born: int
    started: float
    command: tuple[str, ...]


def own_process(pid: object) -> Process | None:
    """Give a living process of this user; `None` also where the system does not tell."""
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 1:
        return None
    folder = _PROC / str(pid)
    try:
        if folder.stat().st_uid != os.geteuid():
            return None
        state, *rest = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        command = (folder / "cmdline").read_bytes()
        boot = _boot_time()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if state in ("Z", "X"):
        return None
    return Process(
        pid,
        parent=int(rest[_PARENT]),
        born=int(rest[_STARTED]),
        started=boot + int(rest[_STARTED]) / os.sysconf("SC_CLK_TCK"),
        command=tuple(os.fsdecode(part) for part in command.split(b"\0") if part),
    )


def _boot_time() -> float:
    for line in (_PROC / "stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == "btime":
            return float(value)
    raise FileNotFoundError("/proc/stat tells no btime")


def end(process: Process, seconds: float) -> bool:
    """End a process: it is asked to, and killed when it has not ended after some time.

    Returns:
        whether it is gone.

    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        # Only now: its number cannot become another's while there is a handle.
        now = own_process(process.pid)
        if now is None or now.born != process.born:
            return True
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                signal.pidfd_send_signal(handle, number)
            except ProcessLookupError:
                return True
            if _has_ended(handle, process.pid, seconds):
                return True
    finally:
        os.close(handle)
    return False


def _has_ended(handle: int, pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([handle], [], [], _POLL_SECONDS)[0] or own_process(pid) is None:
            return True
    return False
