"""Who could change a file, or put another one in its place.

Only what `lstat` says is believed, link by link: whoever owns a link decides where it leads.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable

from .errors import quoted, shown, why

_ACL = "system.posix_acl_access"

_DEEPEST = 200
"""Directories and links on the way to a file. Linux follows 40 links, and nobody's directories lie
so deep; a path that somebody made to be endless must not end what looks at it."""


class _TooDeep(Exception):
    """The way to a file is longer than anybody needs."""


class Guard:
    """Knows whom to trust, and remembers the directories that it has looked at.

    Args:
        trusted: the ids of the users who may own what is looked at.
        read_only: whether a file system that is mounted read-only lets nobody write, as in a
            Kubernetes ConfigMap, whose modes say that everybody may.

    """

    def __init__(self, trusted: Iterable[int], read_only: bool = False) -> None:
        self._trusted = frozenset(trusted)
        self._read_only = read_only
        # Files side by side have everything above them in common.
        self._known: dict[tuple[str, bool], tuple[str | None, str]] = {}

    @classmethod
    def of_user(cls, others: Iterable[int] = ()) -> Guard:
        """Give one that trusts this user, root, and some others."""
        return cls({0, os.getuid(), *others})

    def who_could_change(self, paths: Iterable[str]) -> str | None:
        """Say who could change one of these files and directories, or put another in its place.

        They, every link that leads to them and all directories above must belong to somebody who
        is trusted, and nobody else may write to them. What lies in the directories is not looked
        at.

        Args:
            paths: absolute paths.

        Returns:
            a sentence, or `None` when nobody else could.

        """
        return next(filter(None, map(self._who_could_change, paths)), None)

    def _who_could_change(self, path: str) -> str | None:
        try:
            return self._look(path, False, 0)[0]
        except _TooDeep:
            return f"{quoted(path)} leads through too many directories and links to be looked at."

    def _look(self, path: str, is_above: bool, depth: int) -> tuple[str | None, str]:
        """Look at a file and at all that leads to it; give also where it really is."""
        key = (path, is_above)
        if key not in self._known:
            # Whoever comes here again before there is an answer goes round in circles.
            self._known[key] = f"{shown(path)} is a link that leads to itself.", path
            try:
                self._known[key] = self._look_anew(path, is_above, depth + 1)
            except _TooDeep:
                # From elsewhere the way may be shorter.
                del self._known[key]
                raise
        return self._known[key]

    def _look_anew(self, path: str, is_above: bool, depth: int) -> tuple[str | None, str]:
        if depth > _DEEPEST:
            raise _TooDeep
        above, name = os.path.split(path.rstrip("/"))
        if not name:
            return self._who("/", _lstat("/"), is_above), "/"
        who, real = self._look(above, True, depth)
        if who is not None or name == ".":
            return who, real
        if name == "..":
            return None, os.path.dirname(real)
        here = os.path.join(real, name)
        found = _lstat(here)
        who = self._who(here, found, is_above)
        if who is not None or isinstance(found, OSError) or not stat.S_ISLNK(found.st_mode):
            return who, here
        try:
            target = os.readlink(here)
        except OSError as error:
            return f"{shown(here)} cannot be looked at: {why(error)}.", here
        return self._look(os.path.join(real, target), is_above, depth)

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
        others = found.st_mode & stat.S_IWOTH
        if not others and not (found.st_mode & stat.S_IWGRP and not _is_alone(path, found)):
            return None
        if self._read_only and os.statvfs(path).f_flag & os.ST_RDONLY:
            return None
        writers = "everybody" if others else f"the group {_group(found.st_gid)}"
        return f"{shown(path)} can be written to by {writers}."


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
