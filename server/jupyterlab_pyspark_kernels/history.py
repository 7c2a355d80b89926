"""What this user's own memory has of kernels: when one was last used, how its last test ended.

A kernel's directory may be somebody else's, so the memory lies in the user's Jupyter data
directory: a file for the test, and those that the launcher writes when a notebook starts and when
its Spark stops. What cannot be read is not remembered.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from .doctor import Diagnosis
from .flight import Flight
from .kernel.memory import RECEIPT, RUNS_KEPT, memory_of, remember
from .models import KernelTest
from .receipts import Receipt

_TEST, _USED = ".json", ".used"
_MOST_BYTES = 64 * 1024
_KEPT_SECONDS = 30 * 24 * 60 * 60
"""How long the memory of a kernel that is gone is kept: `undo` may bring the kernel back."""


class _Stored(BaseModel):
    """The file of a test."""

    directory: str
    etag: str
    passed: bool
    verdict: str
    diagnoses: list[Diagnosis]
    when: datetime


class _Runs(BaseModel):
    """The file of receipts."""

    directory: str
    runs: list[Receipt] = Field(max_length=RUNS_KEPT)


def remember_test(kernel: Path, etag: str, flight: Flight) -> None:
    """Keep how a test of a stored kernel ended, and forget kernels that are long gone.

    Args:
        kernel: the kernel's directory.
        etag: of the version that was tested.
        flight: what came of it.

    Raises:
        OSError: when the file system refuses.

    """
    path = memory_of(str(kernel)).with_suffix(_TEST)
    stored = _Stored(
        directory=os.path.realpath(kernel),
        etag=etag,
        passed=flight.passed,
        verdict=flight.verdict,
        diagnoses=flight.diagnoses,
        when=flight.when,
    )
    remember(path, stored.model_dump_json())
    sweep(path.parent)


def last_test(kernel: Path, etag: str, data: str | None = None) -> KernelTest | None:
    """Give how the last test of a kernel ended; `None` when none is remembered.

    Args:
        kernel: the kernel's directory.
        etag: of the version that is there now.
        data: the user's Jupyter data directory, for those who ask of many kernels.

    """
    stored = _read_test(memory_of(str(kernel), data).with_suffix(_TEST))
    if stored is None:
        return None
    return KernelTest(
        passed=stored.passed,
        verdict=stored.verdict,
        when=stored.when,
        outdated=stored.etag != etag,
    )


def last_diagnoses(kernel: Path, etag: str) -> tuple[float, list[Diagnosis]] | None:
    """Give when the last test of a kernel ended, in seconds since the epoch, and what was wrong.

    Returns:
        `None` when none is remembered, or the kernel has changed since.

    """
    stored = _read_test(memory_of(str(kernel)).with_suffix(_TEST))
    if stored is None or stored.etag != etag:
        return None
    return stored.when.timestamp(), stored.diagnoses


def last_used(kernel: Path, data: str | None = None) -> str | None:
    """Give when a notebook of this user last started a kernel, in UTC as ISO 8601 writes it.

    Args:
        kernel: the kernel's directory.
        data: the user's Jupyter data directory, for those who ask of many kernels.

    """
    try:
        seconds = memory_of(str(kernel), data).with_suffix(_USED).stat().st_mtime
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
    except (OSError, ValueError, OverflowError):
        # No notebook has used it, or the time is none that a calendar has.
        return None


def last_runs(kernel: Path) -> list[Receipt]:
    """Give what the last few Sparks of a kernel have used, the last one last."""
    stored = _read_runs(memory_of(str(kernel)).with_suffix(RECEIPT))
    return [] if stored is None else stored.runs


def follow(old: Path, new: Path) -> None:
    """Remember of a kernel that was moved what is remembered of where it was.

    That stays as well, as the move may be undone.

    Args:
        old: the directory that the kernel was in.
        new: the directory that it is in now.

    Raises:
        OSError: when the file system refuses.

    """
    before, now = memory_of(str(old)), memory_of(str(new))
    directory = os.path.realpath(new)
    tested = _read_test(before.with_suffix(_TEST))
    if tested is not None:
        moved = tested.model_copy(update={"directory": directory})
        remember(now.with_suffix(_TEST), moved.model_dump_json())
    runs = _read_runs(before.with_suffix(RECEIPT))
    if runs is not None:
        remembered = runs.model_copy(update={"directory": directory})
        remember(now.with_suffix(RECEIPT), remembered.model_dump_json())
    with suppress(FileNotFoundError):
        used = before.with_suffix(_USED).stat().st_mtime
        remember(now.with_suffix(_USED), directory)
        os.utime(now.with_suffix(_USED), (used, used))


def sweep(memories: Path) -> None:
    """Forget kernels that have been gone for long, and what a write that was cut short left."""
    for path in memories.iterdir():
        # Another process may sweep at the same moment.
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _KEPT_SECONDS and _is_gone(path):
                path.unlink()


def _is_gone(path: Path) -> bool:
    """Tell whether a memory's kernel is gone; what nobody can read is of none."""
    if path.suffix == _TEST:
        stored = _read_test(path)
        kernel = "" if stored is None else stored.directory
    elif path.suffix == RECEIPT:
        runs = _read_runs(path)
        kernel = "" if runs is None else runs.directory
    else:
        kernel = _read(path).decode("utf-8", "replace") if path.suffix == _USED else ""
    # Where the tree itself is missing, its disk may only not be there at the moment.
    return not os.path.lexists(kernel) and (not kernel or os.path.isdir(os.path.dirname(kernel)))


def _read_test(path: Path) -> _Stored | None:
    try:
        return _Stored.model_validate_json(_read(path))
    except ValidationError:
        return None


def _read_runs(path: Path) -> _Runs | None:
    try:
        return _Runs.model_validate_json(_read(path))
    except ValidationError:
        return None


def _read(path: Path) -> bytes:
    """Read a small file; nothing when it cannot be read."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return b""
