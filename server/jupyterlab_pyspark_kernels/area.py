"""The directories of a place that is being written to, by their handles.

All work below a place goes by directory handles and follows no symbolic link there. One lock for
each user and place keeps our own processes apart; whatever still lies in the staging directory once
the lock is had was left by a process that died, and is removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from .errors import DiskFull, KernelError, NotAllowed, StorageFailed
from .places import Place, own_mount

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags to open a directory that must not be a link."""

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_UNDOS = 20
_LOCK_SECONDS = 10
_LOCK_POLL_SECONDS = 0.003

Files: TypeAlias = Mapping[str, bytes]
"""Name and content of every file of a kernel directory."""


class _Locked(Exception):
    """Somebody else holds the lock."""


@dataclass(frozen=True)
class Area:
    """Open directories of a place, by their file descriptors."""

    kernels: int
    staging: int
    undo: int


def area_path(place: Place) -> Path:
    """Give the directory beside the kernels tree that is ours to write in."""
    # One for each user: a directory that one member of a group makes, the others cannot write to.
    return place.beside(f"{os.getuid()}")


@contextmanager
def writing(place: Place) -> Iterator[Area]:
    """Open a place for writing, alone, with an empty staging directory."""
    with explained(place):
        _make_tree(place.kernels, readable=place.shared)
        area = area_path(place)
        area.mkdir(mode=0o700, exist_ok=True)
        with ExitStack() as stack:
            base = _open(stack, place.kernels.parent, None)
            kernels = _open(stack, place.kernels.name, base)
            own = _open(stack, area.name, base)
            stack.enter_context(_locked(own))
            for name in ("staging", "undo"):
                _make(name, own)
            opened = Area(kernels, _open(stack, "staging", own), _open(stack, "undo", own))
            _sweep(opened)
            yield opened


@contextmanager
def _locked(own: int) -> Iterator[None]:
    """Hold the lock in our own directory, which a lock by its path could miss."""
    lock = os.open("lock", _LOCK_FILE, 0o600, dir_fd=own)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _Locked from None
                time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(lock)


def make_place(place: Place) -> None:
    """Make the kernels directory of a place, and those above it.

    Raises:
        KernelError: when the file system refuses.

    """
    with explained(place):
        _make_tree(place.kernels, readable=place.shared)


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Turn what the file system says of a place into sentences."""
    try:
        yield
    except _Locked:
        raise StorageFailed.at(
            "place", f"Another process is writing to {place.kernels}. Try again in a moment."
        ) from None
    except OSError as error:
        raise _explain(error, place) from error


def _open(stack: ExitStack, path: str | Path, base: int | None) -> int:
    # The place's own directory may be reached by links, which its owner made; nothing below it may.
    flags = DIRECTORY if base is not None else DIRECTORY & ~os.O_NOFOLLOW
    fd = os.open(path, flags, dir_fd=base)
    stack.callback(os.close, fd)
    return fd


def _make_tree(directory: Path, readable: bool) -> None:
    """Make a directory and those above it that are not there yet."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        if readable:
            # Not by its path, which may be a link by now.
            made = os.open(path, DIRECTORY)
            try:
                # Whatever the umask; a group's directories stay the group's.
                os.fchmod(made, 0o755 | os.fstat(made).st_mode & stat.S_ISGID)
            finally:
                os.close(made)


def _make(name: str, base: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=base)


def _sweep(area: Area) -> None:
    for name in os.listdir(area.staging):
        remove(area.staging, name)
    entries = sorted(os.listdir(area.undo))
    for number, entry in enumerate(entries, start=_KEPT_UNDOS - len(entries)):
        # Without a kernel it is of a delete that did not come to take it away.
        if number < 0 or not os.access(f"{entry}/kernel", os.F_OK, dir_fd=area.undo):
            forget(area, entry)


def forget(area: Area, entry: str) -> None:
    """Remove what an undo needs, in one step for whoever looks."""
    os.rename(entry, entry, src_dir_fd=area.undo, dst_dir_fd=area.staging)
    remove(area.staging, entry)


def remove(base: int, name: str) -> None:
    """Remove a directory with all in it, or a file, or a link but not what it points to."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=base, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=base)
        return
    # From Python 3.11 on, shutil.rmtree would do.
    directory = os.open(name, DIRECTORY, dir_fd=base)
    try:
        for each in os.listdir(directory):
            remove(directory, each)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=base)


def stage(staging: int, name: str, files: Files) -> None:
    """Write a whole directory into the staging area and force it to the disk."""
    os.mkdir(name, 0o700, dir_fd=staging)
    directory = os.open(name, DIRECTORY, dir_fd=staging)
    try:
        for file, content in files.items():
            _write(directory, file, content)
        # Whatever the umask: readable for those who share the kernel, writable for its owner.
        os.fchmod(directory, 0o755)
        os.fsync(directory)
    finally:
        os.close(directory)


def _write(directory: int, name: str, content: bytes) -> None:
    fd = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(fd, 0o644)
        os.fsync(fd)


def overwrite(area: Area, kernel: int, files: Files, last: str) -> None:
    """Replace those files of a kernel that differ, the one that needs the others last."""
    there = copy_files(kernel, files)
    # Mostly it is one file, so that nothing lies between the old and the new version.
    changed = {name: files[name] for name in files if there.get(name) != files[name]}
    stage(area.staging, "edit", changed)
    staged = os.open("edit", DIRECTORY, dir_fd=area.staging)
    try:
        for name in sorted(changed, key=lambda name: name == last):
            os.replace(name, name, src_dir_fd=staged, dst_dir_fd=kernel)
        os.fsync(kernel)
    finally:
        os.close(staged)
    remove(area.staging, "edit")


def copy_files(directory: int, only: Container[str] | None = None) -> dict[str, bytes]:
    """Read the files of a kernel directory, or those of them that `only` names."""
    files = {}
    for name in os.listdir(directory):
        if only is not None and name not in only:
            continue
        if stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            with os.fdopen(fd, "rb") as file:
                files[name] = file.read()
    return files


def _explain(error: OSError, place: Place) -> KernelError:
    where = place.kernels
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull.at(
            "place", f"No room is left at {where}. Free some, or choose another place."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotAllowed.at(
            "place",
            f"{where} is not writable for you ({error.strerror}). Choose another place, "
            "or ask whoever administers it.",
        )
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return NotAllowed.at(
            "place",
            f"{where} holds a symbolic link or a file where a directory should be. Remove it.",
        )
    if error.errno == errno.EXDEV:
        return NotAllowed.at("place", f"{own_mount(where)} Choose another place.")
    return StorageFailed.at(
        "place",
        f"{where} cannot be read or written: {error.strerror}. Try again, or another place.",
    )
