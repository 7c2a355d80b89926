"""Who could change a file, or put another one in its place.

Only what `lstat` says is believed, link by link: whoever owns a link decides where it leads.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Collection, Iterable, Iterator
from functools import cache

from .errors import shown, why

_MOST_LINKS = 40
"""Links that Linux follows before it gives up."""

_ACL = "system.posix_acl_access"


class Guard:
    """Knows whom to trust, and remembers the directories that it has looked at.

    Args:
        owners: user ids that are trusted besides this user and root.

    """

    def __init__(self, owners: Collection[int] = ()) -> None:
        self._trusted = {0, os.getuid(), *owners}
        # Files side by side have everything above them in common.
        self._above = cache(self._look_above)

    def who_could_change(self, paths: Iterable[str]) -> str | None:
        """Say who could change one of these files and directories, or put another in its place.

        They, every link that leads to them and all directories above must belong to somebody who
        is trusted, and nobody else may write to them. What lies in the directories is not looked
        at.

        Returns:
            a sentence, or `None` when nobody else could.

        """
        parents = dict[str, None]()
        for path in paths:
            for part, found in _hops(path):
                if (who := self._who(part, found, is_above=False)) is not None:
                    return who
                parents[os.path.dirname(part)] = None
        return next(filter(None, map(self._above, parents)), None)

    def _look_above(self, directory: str) -> str | None:
        found = _lstat(directory)
        if not isinstance(found, OSError) and stat.S_ISLNK(found.st_mode):
            return self._above(os.path.realpath(directory))
        parent = os.path.dirname(directory)
        if parent != directory and (who := self._above(parent)) is not None:
            return who
        return self._who(directory, found, is_above=True)

    def _who(self, path: str, found: os.stat_result | OSError, is_above: bool) -> str | None:
        if isinstance(found, OSError):
            return f"{shown(path)} cannot be looked at: {why(found)}."
        if found.st_uid not in self._trusted:
            name = user_name(found.st_uid)
            owner = f"user {name}" if name == str(found.st_uid) else name
            return f"{shown(path)} belongs to {owner}, who could change what it does."
        if stat.S_ISLNK(found.st_mode) or (is_above and found.st_mode & stat.S_ISVTX):
            # The mode of a link means nothing, and in a sticky directory such as /tmp nobody can
            # rename what others own.
            return None
        if found.st_mode & stat.S_IWOTH:
            return f"{shown(path)} can be written to by everybody."
        if found.st_mode & stat.S_IWGRP and not _is_alone(path, found):
            return f"{shown(path)} can be written to by the group {_group(found.st_gid)}."
        return None


def user_name(number: int) -> str:
    """Give the name of a user, or the number where nobody registered one, as in containers."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _lstat(path: str) -> os.stat_result | OSError:
    try:
        return os.lstat(path)
    except OSError as error:
        return error


def _hops(path: str) -> Iterator[tuple[str, os.stat_result | OSError]]:
    """Give a path, and what it leads to when it is a link, and so on."""
    for _ in range(_MOST_LINKS):
        found = _lstat(path)
        yield path, found
        if isinstance(found, OSError) or not stat.S_ISLNK(found.st_mode):
            return
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))


def _is_alone(path: str, found: os.stat_result) -> bool:
    """Tell whether the group of a file is the one that systems make for a user alone."""
    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    alone = group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}
    # With an access list, the bits of the group stand for whoever is on the list.
    return alone and not _has_acl(path)


def _has_acl(path: str) -> bool:
    try:
        return _ACL in os.listxattr(path)
    except (OSError, AttributeError):
        # A file system without lists, or macOS, where the bits of the group are the group's.
        return False


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
