"""Whether the server may run code of an environment, or write to it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from .environment import PACKAGE_DIRECTORIES, Facts, examine, reason, shown
from .reading import Memory, read_settings

_MOST_LINKS = 40
"""Links that Linux follows before it gives up."""

_ACL = "system.posix_acl_access"


def why_not_ours(path: str) -> str | None:
    """Say why the server must not run an environment's code, nor write to the environment.

    Whoever can change what the server runs, or put something else in its place, acts as the
    server's user. So these must belong to this user or to root, with no others who may write to
    them: the prefix, the interpreter with every link that leads to it, the directories of packages
    and of the library, and all directories above. The files in those directories are not looked at
    one by one. It is to be asked right before the code is run.

    Returns:
        a sentence, or `None` when it may be run and written to.

    """
    facts = examine(path, Memory())
    if facts is None or facts.broken is not None:
        return f"There is no Python in {shown(path)} that could be started."
    parts = list(dict.fromkeys(hop for part in _parts(facts) for hop in _hops(part)))
    above = {
        str(directory)
        for part in parts
        for parent in [Path(os.path.realpath(os.path.dirname(part)))]
        for directory in (parent, *parent.parents)
    }
    for part in parts:
        if (why := _why_not(part, above_only=False)) is not None:
            return why
    for directory in sorted(above):
        if (why := _why_not(directory, above_only=True)) is not None:
            return why
    return None


def _parts(facts: Facts) -> Iterator[str]:
    yield facts.prefix
    yield os.path.dirname(facts.python)
    yield facts.python
    yield from facts.libraries
    if os.path.lexists(f"{facts.prefix}/pyvenv.cfg"):
        yield f"{facts.prefix}/pyvenv.cfg"
    base = os.path.dirname(os.path.dirname(os.path.realpath(facts.python)))
    python = f"python{'.'.join((facts.version or '').split('.')[:2])}"
    libraries = [f"{base}/{library}/{python}" for library in ("lib", "lib64")]
    yield from filter(os.path.isdir, libraries)
    settings = read_settings(f"{facts.prefix}/pyvenv.cfg")
    if settings is None or settings.get("include-system-site-packages", "").lower() == "true":
        # The base's packages run too; the last two are Debian's.
        shared = [f"{library}/{name}" for library in libraries for name in PACKAGE_DIRECTORIES]
        shared += [f"{base}/local/lib/{python}/dist-packages", f"{base}/lib/python3/dist-packages"]
        yield from filter(os.path.isdir, shared)


def _hops(path: str) -> Iterator[str]:
    """Give a path, and what it leads to when it is a link, and so on."""
    for _ in range(_MOST_LINKS):
        yield path
        if not os.path.islink(path):
            return
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))


def _why_not(path: str, above_only: bool) -> str | None:
    try:
        found = os.lstat(path)
    except OSError as error:
        return f"{shown(path)} cannot be looked at: {reason(error)}."
    if found.st_uid not in (0, os.getuid()):
        return f"{shown(path)} belongs to {_user(found.st_uid)}, who could change what it does."
    if stat.S_ISLNK(found.st_mode) or (above_only and found.st_mode & stat.S_ISVTX):
        # The mode of a link means nothing, and in a sticky directory such as /tmp nobody can
        # rename what others own.
        return None
    if found.st_mode & stat.S_IWOTH:
        return f"{shown(path)} can be written to by everybody."
    if found.st_mode & stat.S_IWGRP and not _is_alone(path, found):
        return f"{shown(path)} can be written to by the group {_group(found.st_gid)}."
    return None


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


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
