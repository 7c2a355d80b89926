"""What directories and files say: bounded, remembered while they are unchanged, raising nothing.

Everything here reads what somebody else put on the disk. So nothing but regular files is opened, no
more is read than a real environment has, and what cannot be read counts as not being there.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

TEXT_BYTES = 64 * 1024
"""Bytes read of a text file; a pyvenv.cfg has a few hundred."""

ENTRIES = 5_000
"""Entries read of a directory that is searched; a folder of data must not take minutes."""

PACKAGE_ENTRIES = 20_000
"""Entries read of a directory of packages; large environments have some thousands."""

LISTINGS = 2_000
"""Directories that one search lists."""

_SETTLED_NS = 2_000_000_000
"""Age from which a time stamp tells versions apart: the coarsest file systems count in 2 s."""

T = TypeVar("T")


def status(path: str) -> os.stat_result | None:
    """Give what `os.stat` gives, or `None` when nothing can be reached there."""
    try:
        return os.stat(path)
    except (OSError, ValueError):
        # ValueError: a path that was read from a file may hold a NUL.
        return None


def is_file(path: str) -> bool:
    """Tell whether there is a regular file, through links."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_directory(path: str) -> bool:
    """Tell whether there is a directory, through links."""
    found = status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def read_text(path: str) -> str | None:
    """Give the first `TEXT_BYTES` of a regular file, `None` when there is none to read."""
    if not is_file(path):
        # Opening a FIFO or a device is an act by itself: its other end notices.
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
        return os.read(fd, TEXT_BYTES).decode(errors="replace") if regular else None
    except OSError:
        return None
    finally:
        os.close(fd)


def read_settings(path: str) -> dict[str, str] | None:
    """Give the `key = value` lines of a pyvenv.cfg, the keys in lower case (PEP 405)."""
    text = read_text(path)
    if text is None:
        return None
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def read_names(path: str, most: int = PACKAGE_ENTRIES) -> list[str]:
    """Give the names in a directory, at most so many, in the order of the alphabet."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in islice(entries, most))
    except OSError:
        return []


def read_subdirectories(path: str) -> dict[str, bool]:
    """Give the names of the directories and links in a directory, and whether each is a link."""
    try:
        with os.scandir(path) as entries:
            found = {
                entry.name: entry.is_symlink()
                for entry in islice(entries, ENTRIES)
                # Asks nothing more of the disk: the listing says what each entry is.
                if entry.is_symlink() or entry.is_dir(follow_symlinks=False)
            }
    except OSError:
        return {}
    return dict(sorted(found.items()))


class Memory:
    """What was read, for as long as it is unchanged; used by one thread at a time.

    A search begins with `start`; what it does not ask for again is forgotten at the next one.
    """

    def __init__(self) -> None:
        self._before: dict[Any, tuple[Any, Any]] = {}
        self._now: dict[Any, tuple[Any, Any]] = {}
        self._listings = LISTINGS

    def start(self) -> None:
        """Begin a search: with what the last one read, and `LISTINGS` directories to list."""
        self._before, self._now, self._listings = self._now, {}, LISTINGS

    def recall(self, read: Callable[[str], T], path: str) -> T | None:
        """Give `read(path)`, reading again only when the file or directory has changed.

        Returns:
            `None` when nothing is there.

        """
        found = status(path)
        if found is None:
            return None
        key = (read, path)
        stamp = (found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
        known = self._now.get(key) or self._before.get(key)
        if known is None or known[0] != stamp:
            # What changes twice within one tick of the clock has the same stamp both times, so a
            # fresh one is not relied on.
            settled = time.time_ns() - found.st_mtime_ns > _SETTLED_NS
            known = (stamp if settled else None, read(path))
        self._now[key] = known
        value: T = known[1]
        return value

    def subdirectories(self, path: str) -> dict[str, bool]:
        """Give what `read_subdirectories` gives, or nothing once the search has listed enough."""
        self._listings -= 1
        return (self.recall(read_subdirectories, path) or {}) if self._listings >= 0 else {}
