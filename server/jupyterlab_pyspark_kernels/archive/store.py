"""Archives on the disk: `<digest>.tar.gz` with its record `<digest>.json` beside it.

A record appears after its archive and goes before it, so whatever has a record is whole. Everything
else is written in a staging directory, under a lock; what lies there once the lock is had, was left
by a process that died.

In a shared place anybody may have made what has the store's name, a link to a directory of ours for
one. So what is written and removed goes by the handle of a directory that is nobody else's.
"""

from __future__ import annotations

import errno
import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from ..area import remove
from ..errors import Busy, DiskFull, KernelError, NotAllowed, StorageFailed
from ..progress import Cancelled
from .model import Archive, Record

_MINIMUM_AGE_SECONDS = 3600
"""Younger archives are not removed: a kernel that refers to one may be about to be written."""

_SWEEP_SECONDS = 5
"""How long a sweep waits while somebody packs, which may take minutes; the next one comes soon."""

_LOCK_POLL_SECONDS = 0.1
_RECORD_BYTES = 64 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STAGING = "staging"


@contextmanager
def writing(
    store: Path, cancelled: Callable[[], bool], patience_seconds: float = math.inf
) -> Iterator[Path]:
    """Have a store alone, and an empty staging directory in it.

    Args:
        store: made when it is not there.
        cancelled: is asked while another one has it.
        patience_seconds: how long to wait for another one.

    Raises:
        Cancelled: while waiting for another pack.
        Busy: when another one had it all the time.
        KernelError: when the store cannot be written to, or others could write to it.

    """
    with explained(store):
        _make(store)
        fd = _open(store)
        lock = FileLock(store / "lock")
        try:
            _acquire(lock, store, cancelled, patience_seconds)
            try:
                _clear(fd)
                os.mkdir(_STAGING, 0o700, dir_fd=fd)
                _sweep(fd)
                yield store / _STAGING
            finally:
                _clear(fd)
                lock.release()
        finally:
            os.close(fd)


def is_ours(store: Path) -> bool:
    """Tell whether a store is there that nobody else can have put anything into."""
    try:
        os.close(_open(store))
    except (OSError, KernelError):
        return False
    return True


def _make(store: Path) -> None:
    store.parent.mkdir(parents=True, exist_ok=True)
    try:
        store.mkdir(0o700)
    except FileExistsError:
        return
    fd = os.open(store, _DIRECTORY)
    try:
        # Whatever the umask: those who share a kernel read its archive.
        os.fchmod(fd, 0o755 | os.fstat(fd).st_mode & stat.S_ISGID)
    finally:
        os.close(fd)


def _open(store: Path) -> int:
    """Open a store for writing: a real directory, of this user, that no others can write to."""
    try:
        fd = os.open(store, _DIRECTORY)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise _not_ours(store, "is a link or a file and no directory") from None
    found = os.fstat(fd)
    # Files are made as the effective user.
    if found.st_uid != os.geteuid():
        why = "belongs to somebody else"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = "can be written to by others"
    else:
        return fd
    os.close(fd)
    raise _not_ours(store, why)


def _not_ours(store: Path, why: str) -> NotAllowed:
    return NotAllowed.at(
        "",
        f"Archives are kept in “{store}”, which {why}. Remove it, or ask whoever administers "
        "that place to do so.",
    )


def _acquire(
    lock: FileLock, store: Path, cancelled: Callable[[], bool], patience_seconds: float
) -> None:
    deadline = time.monotonic() + patience_seconds
    while not cancelled():
        try:
            lock.acquire(_LOCK_POLL_SECONDS, _LOCK_POLL_SECONDS / 4)
        except Timeout:
            if time.monotonic() < deadline:
                continue
            raise Busy.at(
                "", f"An environment is being packed into “{store}”. Try again when it is done."
            ) from None
        return
    raise Cancelled


def _clear(store: int) -> None:
    with suppress(FileNotFoundError):
        remove(store, _STAGING)


def _sweep(store: int) -> None:
    names = set(os.listdir(store))
    for name in names:
        digest = name.removesuffix(".tar.gz")
        if digest != name and _DIGEST.fullmatch(digest) and f"{digest}.json" not in names:
            os.unlink(name, dir_fd=store)


@contextmanager
def explained(store: Path) -> Iterator[None]:
    """Turn what the file system says about a store into sentences."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_room(store) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise NotAllowed.at(
                "",
                f"Archives are kept in “{store}”, which is not writable for you "
                f"({error.strerror}). Change its permissions, or let the administrator set "
                "another directory.",
            ) from error
        raise StorageFailed.at("", f"Packing into “{store}” failed: {error}. Try again.") from error


def no_room(store: Path) -> DiskFull:
    """Make the error for a full disk."""
    return DiskFull.at(
        "",
        f"No room is left in “{store}” for the archive and for unpacking it once. Free "
        "some, or remove archives that no kernel uses.",
    )


def publish(staged: Path, record: Record, store: Path) -> Archive:
    """Give a finished archive, already forced to the disk, its name and its record."""
    path = store / f"{record.digest}.tar.gz"
    staged.chmod(0o644)
    staged_record = staged.with_suffix(".json")
    with open(staged_record, "w", encoding="utf-8") as file:
        file.write(record.model_dump_json(indent=1))
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    fd = _open(store)
    try:
        for file_name, name in ((staged.name, path.name), (staged_record.name, _record(path).name)):
            os.replace(f"{_STAGING}/{file_name}", name, src_dir_fd=fd, dst_dir_fd=fd)
            os.fsync(fd)
    finally:
        os.close(fd)
    return Archive(path, record)


def _record(archive: Path) -> Path:
    return archive.with_name(archive.name.removesuffix(".tar.gz") + ".json")


def archives(store: Path) -> list[Archive]:
    """Give the archives of a store, the newest first; a record that is not ours counts as none.

    The store may be another user's, who can have written anything into a record.
    """
    try:
        names = os.listdir(store)
    except OSError:
        return []
    digests = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    found = [archive for digest in digests if (archive := find(store, digest)) is not None]
    return sorted(found, key=lambda archive: archive.record.created.timestamp(), reverse=True)


def find(store: Path, digest: str) -> Archive | None:
    """Give the archive of a digest, `None` when the store has none that is whole."""
    if not _DIGEST.fullmatch(digest):
        return None
    archive = store / f"{digest}.tar.gz"
    try:
        record = Record.model_validate_json(_read(_record(archive)))
        found = archive.lstat()
    except (OSError, ValidationError):
        # Gone meanwhile, not to be read, or not written by us.
        return None
    whole = stat.S_ISREG(found.st_mode) and found.st_size == record.bytes_packed
    return Archive(archive, record) if whole and record.digest == digest else None


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, _FILE), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return b""
        return file.read(_RECORD_BYTES)


def touch(archive: Archive) -> bool:
    """Note that an archive was asked for just now; the archive itself is not written to.

    Returns:
        whether it is still there: then no sweep takes it for old.

    """
    record = _record(archive.path)
    try:
        os.utime(record)
        record.stat()
        archive.path.stat()
    except FileNotFoundError:
        return False
    return True


def remove_unused(
    store: Path, used: Set[str], minimum_age_seconds: float = _MINIMUM_AGE_SECONDS
) -> list[Archive]:
    """Remove the archives that no kernel refers to, and tell which those were.

    Raises:
        Busy: when somebody packs into the store meanwhile.
        KernelError: when the store cannot be written to.

    """
    if not os.path.lexists(store):
        return []
    with writing(store, lambda: False, _SWEEP_SECONDS) as staging:
        return [
            archive
            for archive in archives(store)
            if archive.record.digest not in used
            if _remove(archive, staging / _record(archive.path).name, minimum_age_seconds)
        ]


def _remove(archive: Archive, taken: Path, minimum_age_seconds: float) -> bool:
    record = _record(archive.path)
    if not _is_old(record, minimum_age_seconds):
        return False
    # Whoever wants the archive touches the record, so once it is away nobody can any more, and its
    # age is certain.
    record.rename(taken)
    if not _is_old(taken, minimum_age_seconds):
        taken.rename(record)
        return False
    archive.path.unlink()
    return True


def _is_old(record: Path, minimum_age_seconds: float) -> bool:
    return time.time() - record.stat().st_mtime >= minimum_age_seconds
