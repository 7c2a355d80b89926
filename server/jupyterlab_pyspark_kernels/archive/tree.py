"""What goes into an archive: an environment and its base, flattened into one prefix of their own.

An environment has packages, and links to an interpreter and a standard library elsewhere. Executors
lack that elsewhere, so the archive has all of it in one tree: `bin/python`, `lib/python3.X` and,
where the interpreter needs it, `lib/libpython3.X.so`. This module looks at names and `stat`; of
contents it reads `.pth` files, small keys and certificates, and the headers of the interpreter.
"""

from __future__ import annotations

import errno
import hashlib
import marshal
import os
import re
import stat
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path

from ..environments.reading import read_settings
from ..errors import CannotBeDone, quoted
from ..render import interpreter
from . import credentials, elf
from .credentials import READ
from .model import Entry, LeftOut

PRUNED_DIRECTORIES = frozenset({"tests"})
"""Directories of packages that are not needed to run: a package's own tests. One at the top of
site-packages is kept, as it is a package by itself."""

PRUNED_PATHS = ("/pyspark/jars", "/pyspark/examples", "/pyspark/data", "/pyspark/licenses")
"""Ends of paths of directories: a JVM is what an executor has already, and these are 460 MB."""

WORKING_PATHS = ("/pyspark/work", "/pyspark/logs", "/pyspark/metastore_db")
"""Ends of paths of directories that Spark writes to while it runs, such as the folders of executors
of a local cluster, which hold the unpacked archive itself: they are no part of an environment."""

PRUNED_LIBRARY = frozenset({"test", "tests", "ensurepip", "idlelib", "turtledemo"})
"""The same for the standard library."""

PRUNED_SUFFIXES = (".pyi", ".h", ".pxd", ".pyx", ".a")
"""Files that only compilers and editors read."""

PRUNED_CACHES = (".opt-1.pyc", ".opt-2.pyc")
"""Compiled files that only `python -O` and `python -OO` read."""

PRUNED_PACKAGES = frozenset({"pip", "setuptools"})
"""Distributions that install others; kept when another one requires them."""

_METADATA = (".dist-info", ".egg-info")

_TEXT_BYTES = 64 << 20
"""Lists of the files of a distribution may have some MB."""

_NOT_IMPORTED = frozenset({"build", "dist", "doc", "docs", "examples", "htmlcov", "node_modules"})
"""Directories of a project that may have modules, none of which is meant to be imported."""

_SOUGHT = 2_000
"""How many names are looked at to find a module in a directory of a project."""


@dataclass(frozen=True)
class Limits:
    """What an environment may have at most; more is a mistake, not an environment."""

    file_bytes: int = 4 << 30
    total_bytes: int = 32 << 30
    files: int = 300_000


@dataclass(frozen=True)
class Layout:
    """Where the parts of an environment are.

    Attributes:
        prefix: the environment.
        base: the prefix of the interpreter it was made with; the environment itself for a base.
        binary: the interpreter's real file.
        version: such as 3.12.
        library: `lib` or `lib64`, where the interpreter looks for its standard library.
        stdlib: the standard library.
        sites: the directories of packages in the order in which Python looks into them.

    """

    prefix: str
    base: str
    binary: str
    version: str
    library: str
    stdlib: str
    sites: tuple[str, ...]

    @property
    def home(self) -> str:
        """Give the standard library's path in the archive."""
        return f"{self.library}/python{self.version}"

    def site(self, number: int) -> str:
        """Give the path in the archive of one of the directories of packages."""
        # Python looks into the first by itself, and into the others by a .pth file.
        return f"{self.home}/site-packages{f'-{number}' if number else ''}"

    def path_file(self, number: int, name: str) -> str:
        """Give the path in the archive of what becomes of a .pth file of a further directory."""
        # Python reads them in the order of their names: the directory itself is first.
        return f"{self.site(0)}/zz-base-{number}.1-{name}"


@dataclass
class Scan:
    """What was found in an environment.

    Attributes:
        entries: files and links, without compiled ones: all that tells whether it changed.
        caches: the `__pycache__` directories: where they are, and their path in the archive.
        compiled: the compiled files in them, once they were asked for.
        left_out: what is not carried although it is there, and why.
        pruned: what is not carried as it is not needed; paths in the archive.
        roots: the directories that were looked into, with links resolved, and their path in the
            archive.
        size: bytes of all that is carried.
        seen: how many names were looked at.

    """

    entries: list[Entry] = field(default_factory=list)
    caches: list[tuple[str, str]] = field(default_factory=list)
    compiled: list[Entry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    pruned: list[str] = field(default_factory=list)
    roots: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0
    seen: int = 0


def locate(environment: str) -> Layout:
    """Find the parts of an environment, given by its prefix or its interpreter.

    Raises:
        CannotBeDone: when it has no interpreter or standard library.

    """
    python = interpreter(os.path.abspath(os.path.expanduser(environment)))
    if not os.path.exists(python) and os.path.exists(f"{python}3"):
        python = f"{python}3"
    if not os.path.exists(python):
        raise CannotBeDone.at(
            "environment",
            f"There is no Python in {quoted(environment)}. Choose an environment that has "
            "bin/python, or the interpreter itself.",
        )
    prefix = os.path.dirname(os.path.dirname(python))
    settings = read_settings(f"{prefix}/pyvenv.cfg") or {}
    binary = os.path.realpath(python)
    if settings and binary.startswith(f"{os.path.realpath(prefix)}/"):
        # An environment with a copy of the binary names the original's directory.
        binary = os.path.realpath(f"{settings.get('home', '')}/{_versioned(settings, python)}")
    base = os.path.dirname(os.path.dirname(binary))
    version = _version(settings, binary, base)
    for library in ("lib", "lib64"):
        stdlib = f"{base}/{library}/python{version}"
        if os.path.isfile(f"{stdlib}/os.py"):
            sites = _sites(prefix, base, version, settings)
            return Layout(prefix, base, binary, version, library, stdlib, sites)
    raise CannotBeDone.at(
        "environment",
        f"The standard library of {shown(python)} is not below {shown(base)}. Make the "
        "environment anew with an interpreter that is installed completely.",
    )


def _versioned(settings: dict[str, str], python: str) -> str:
    version = settings.get("version") or settings.get("version_info")
    return f"python{'.'.join(version.split('.')[:2])}" if version else os.path.basename(python)


def _version(settings: dict[str, str], binary: str, base: str) -> str:
    for text in (_versioned(settings, ""), os.path.basename(binary)):
        if match := re.match(r"python([0-9]+\.[0-9]+)", text):
            return match[1]
    found = [path.parent.name[6:] for path in Path(base).glob("lib*/python3.*/os.py")]
    return found[0] if len(set(found)) == 1 else ""


def _sites(prefix: str, base: str, version: str, settings: dict[str, str]) -> tuple[str, ...]:
    own = [f"{prefix}/{library}/python{version}/site-packages" for library in ("lib", "lib64")]
    shared = [
        f"{base}/lib/python{version}/site-packages",
        f"{base}/lib64/python{version}/site-packages",
        # Debian's, and those of Debian's administrator.
        f"{base}/local/lib/python{version}/dist-packages",
        f"{base}/lib/python3/dist-packages",
    ]
    if settings and settings.get("include-system-site-packages", "").lower() != "true":
        shared = []
    # lib64 is often a link to lib.
    found = {os.path.realpath(path): path for path in reversed(own + shared)}
    return tuple(path for path in reversed(found.values()) if os.path.isdir(path))


def scan(layout: Layout, prune: bool, data: Iterable[str], limits: Limits | None = None) -> Scan:
    """Look at all that goes into the archive, but for compiled files.

    Args:
        layout: where the parts of the environment are.
        prune: leave out what is not needed to run.
        data: what distributions have elsewhere below the prefix.
        limits: what is too much.

    Raises:
        CannotBeDone: when a directory cannot be read, or there is more than the limits allow.

    """
    walker = _Walker(layout, prune, limits or Limits())
    walker.interpreter()
    walker.library()
    for number, directory in enumerate(layout.sites):
        walker.site(directory, number)
    walker.data(data)
    walker.top()
    return walker.finish()


def scan_prefix(layout: Layout, limits: Limits | None = None) -> Scan:
    """Look at all of a prefix that has its interpreter in it, as conda's have.

    Raises:
        CannotBeDone: when a directory cannot be read, or there is more than the limits allow.

    """
    walker = _Walker(layout, False, limits or Limits())
    walker.walk(layout.prefix, "", frozenset(), lambda _: True)
    return walker.finish()


def look_at_compiled(scan: Scan, layout: Layout, prune: bool, limits: Limits) -> None:
    """Add the compiled files, which are carried; that they come and go is no change.

    Raises:
        CannotBeDone: when a directory cannot be read, or there is more than the limits allow.

    """
    _Walker(layout, prune, limits, scan).compiled()


def fingerprint(entries: Iterable[Entry], *more: str) -> str:
    """Give a short text that changes when one of the entries does."""
    # Version 2 of the format depends on the values alone, and is many times faster than JSON.
    rows = sorted(map(tuple, entries))
    return hashlib.blake2b(marshal.dumps([*more, rows], 2), digest_size=16).hexdigest()


class _Walker:
    """Looks at files; every one that is carried has gone through `carry`."""

    def __init__(
        self, layout: Layout, prune: bool, limits: Limits, found: Scan | None = None
    ) -> None:
        self.layout = layout
        self.prune = prune
        self.limits = limits
        self.found = found or Scan()
        self.links: list[tuple[str, str]] = []
        self.linked = 0

    def interpreter(self) -> None:
        layout = self.layout
        dynamic, patched = _linked(layout.binary)
        if dynamic is None:
            raise CannotBeDone.at(
                "environment",
                f"{shown(layout.binary)} is not a 64-bit Linux program, so it cannot run on "
                "executors. Choose an environment with an interpreter that is one.",
            )
        libraries = _own_libraries(dynamic)
        launched = patched is None and not _finds_own(dynamic)
        for library in libraries:
            self.file(_library(library, dynamic, layout), f"lib/{library}")
        name = f"python{layout.version}"
        real = f"bin/{name}-real" if launched else f"bin/{name}"
        if patched is None:
            self.file(layout.binary, real)
        else:
            self.made(real, patched, os.stat(layout.binary).st_mtime_ns, 0o755)
        if launched:
            self.made(f"bin/{name}", _launcher(real).encode(), 0, 0o755)
        for link in ("bin/python", "bin/python3"):
            self.found.entries.append(Entry(link, "", 0, 0, 0, 0o777, name))
        # Without `home` it does not make a virtual environment of the tree; it keeps the packages
        # of whoever runs it, in ~/.local, out.
        self.made("pyvenv.cfg", b"include-system-site-packages = false\n", 0, 0o644)

    def library(self) -> None:
        layout = self.layout
        skip = {"site-packages", "dist-packages"}
        self.walk(layout.stdlib, layout.home, PRUNED_LIBRARY, lambda name: name not in skip)
        if os.path.isdir(f"{layout.base}/lib/python3/dist-packages"):
            # Debian's Python looks there and not into site-packages.
            target = os.path.relpath(layout.site(0), "lib/python3")
            self.found.entries.append(
                Entry("lib/python3/dist-packages", "", 0, 0, 0, 0o777, target)
            )

    def site(self, directory: str, number: int) -> None:
        name = self.layout.site(number)
        self.walk(directory, name, PRUNED_DIRECTORIES, lambda _: True)
        paths = [
            entry
            for entry in self.found.entries
            if entry.name.endswith(".pth") and entry.name.count("/") == name.count("/") + 1
            if entry.name.startswith(f"{name}/")
        ]
        if number:
            first = self.layout.path_file(number, "").replace(".1-", ".0.pth")
            self.made(first, _text([self.from_site(name)]), 0, 0o644)
        for entry in sorted(paths):
            old = _lines(entry.source)
            new = [made for line in old for made in self.path_line(entry.source, line, number)]
            if new == old and not number:
                continue
            # Python reads only those of the first directory. One for each: an error in a line
            # makes it skip the rest of the file.
            self.found.entries.remove(entry)
            target = self.layout.path_file(number, os.path.basename(entry.name))
            if new:
                self.made(target if number else entry.name, _text(new), entry.mtime_ns, entry.mode)

    def path_line(self, source: str, line: str, number: int) -> list[str]:
        """Give what becomes of a line of a .pth file; a line may add a directory or run code."""
        if re.match(r"import[ \t]", line):
            if "__editable__" not in line:
                return [line]
            self.leave(source, "an editable install by an import hook; install it without -e")
            return []
        if not line or line.startswith("#"):
            return []
        directory = os.path.join(os.path.dirname(source), line)
        real = os.path.realpath(directory)
        if not os.path.isdir(real):
            return []
        site = os.path.realpath(os.path.dirname(source))
        if f"{real}/".startswith(f"{site}/"):
            inside = os.path.relpath(real, site)
            return [self.from_site(f"{self.layout.site(number)}/{inside}") if number else line]
        if _is_home(real):
            self.leave(source, f"adds {real}, which is not a project's directory")
            return []
        self.linked += 1
        name = f"{self.layout.home}/linked/{self.linked}"
        self.walk(real, name, frozenset(), self.importable(real))
        return [self.from_site(name)]

    def from_site(self, name: str) -> str:
        # Through both directories, as Debian's Python comes from lib/python3/dist-packages.
        return f"../../{name.removeprefix(f'{self.layout.library}/')}"

    def importable(self, project: str) -> Callable[[str], bool]:
        """Tell of the names at the top of a project which can be imported; others stay there."""

        def wanted(name: str) -> bool:
            path = f"{project}/{name}"
            if os.path.islink(path) or not os.path.isdir(path):
                return name.endswith((".py", ".so"))
            if name.endswith(_METADATA):
                return True
            if not name.isidentifier():
                return False
            reason = _why_no_package(path, name)
            if reason is not None:
                self.leave(path, reason)
            return reason is None

        return wanted

    def data(self, names: Iterable[str]) -> None:
        """Look at what distributions have outside the directories of packages."""
        prefix = os.path.realpath(self.layout.prefix)
        taken = {entry.name for entry in self.found.entries}
        folders: dict[str, str] = {}
        for name in sorted(names):
            path = f"{self.layout.prefix}/{name}"
            folder = os.path.dirname(path)
            if folder not in folders:
                folders[folder] = os.path.realpath(folder)
            if name in taken or carried(self.found.roots, folders[folder]) is not None:
                continue
            try:
                status = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            self.count(1)
            if folders[folder] != os.path.dirname(f"{prefix}/{name}"):
                self.leave(path, f"lies behind a link, in {folders[folder]}")
            elif stat.S_ISLNK(status.st_mode):
                self.links.append((path, name))
            elif not stat.S_ISDIR(status.st_mode):
                self.carry(path, name, status, name)

    def compiled(self) -> None:
        """Look at the compiled files that this Python reads."""
        tag = f".cpython-{self.layout.version.replace('.', '')}."
        for source, name in self.found.caches:
            for file in self.listed(source):
                # Others are those of another Python, or being written.
                if not file.name.endswith(".pyc") or tag not in file.name:
                    continue
                if not (self.prune and file.name.endswith(PRUNED_CACHES)):
                    status = file.stat(follow_symlinks=False)
                    self.carry(file.path, f"{name}/{file.name}", status, file.name, compiled=True)

    def top(self) -> None:
        for entry in self.listed(self.layout.prefix):
            if entry.is_dir(follow_symlinks=False):
                reason = credentials.of_directory(entry.name)
            else:
                named = entry.is_file(follow_symlinks=False)
                reason = credentials.of_file(entry.path, entry.name) if named else None
            if reason:
                self.leave(entry.path, reason)

    def walk(
        self, directory: str, name: str, unneeded: frozenset[str], wanted: Callable[[str], bool]
    ) -> None:
        """Look at a directory and all below it; `wanted` is asked for the names at its top."""
        self.found.roots.append((os.path.realpath(directory), name))
        open_directories = [(directory, name, False, True)]
        while open_directories:
            source, path, metadata, top = open_directories.pop()
            for entry in self.listed(source):
                if top and not wanted(entry.name):
                    continue
                inner = f"{path}/{entry.name}" if path else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if entry.name == "__pycache__":
                        self.found.caches.append((entry.path, inner))
                    elif reason := credentials.of_directory(entry.name):
                        self.leave(entry.path, reason)
                    elif self.unneeded(inner, unneeded, metadata, top):
                        self.found.pruned.append(printable(inner))
                    else:
                        below = metadata or entry.name.endswith(_METADATA)
                        open_directories.append((entry.path, inner, below, False))
                elif entry.is_symlink():
                    self.links.append((entry.path, inner))
                elif metadata or not (self.prune and entry.name.endswith(PRUNED_SUFFIXES)):
                    status = entry.stat(follow_symlinks=False)
                    self.carry(entry.path, inner, status, entry.name)

    def listed(self, directory: str) -> list[os.DirEntry[str]]:
        with os.scandir(directory) as entries:
            found = list(islice(entries, self.limits.files + 1))
        self.count(len(found))
        return found

    def count(self, names: int) -> None:
        self.found.seen += names
        if self.found.seen > self.limits.files:
            raise CannotBeDone.at(
                "environment",
                f"{shown(self.layout.prefix)} has more than {self.limits.files:,} files. Remove "
                "what executors do not need.",
            )

    def unneeded(self, path: str, names: frozenset[str], metadata: bool, top: bool) -> bool:
        own = names is PRUNED_DIRECTORIES and top
        named = os.path.basename(path) in names and not metadata and not own
        return path.endswith(WORKING_PATHS) or (
            self.prune and (named or path.endswith(PRUNED_PATHS))
        )

    def carry(
        self,
        source: str,
        name: str,
        status: os.stat_result,
        judged: str,
        *,
        compiled: bool = False,
    ) -> None:
        """Carry a file, unless it must not be.

        Args:
            source: its path here.
            name: its path in the archive.
            status: what `lstat` says of it.
            judged: the part of its path by which it may be a secret.
            compiled: whether it is a compiled file.

        """
        if not stat.S_ISREG(status.st_mode):
            self.leave(source, "is neither a file nor a directory")
        elif reason := credentials.of_file(source, judged):
            self.leave(source, reason)
        else:
            self.add(source, name, status, self.found.compiled if compiled else self.found.entries)

    def file(self, source: str, name: str) -> None:
        """Carry a part of the interpreter."""
        self.add(source, name, os.stat(source), self.found.entries)

    def add(self, source: str, name: str, status: os.stat_result, entries: list[Entry]) -> None:
        size = status.st_size
        if size > self.limits.file_bytes:
            raise CannotBeDone.at(
                "environment",
                f"{shown(source)} has {size / 1e9:.1f} GB; a file of an archive may have "
                f"{self.limits.file_bytes / 1e9:.1f} GB. Keep data outside the environment.",
            )
        entries.append(
            Entry(name, source, size, status.st_mtime_ns, status.st_ino, status.st_mode & 0o777)
        )
        self.found.size += size
        if self.found.size > self.limits.total_bytes:
            raise CannotBeDone.at(
                "environment",
                f"{shown(self.layout.prefix)} has more than "
                f"{self.limits.total_bytes / 1e9:.0f} GB. Remove what executors do not need.",
            )

    def made(self, name: str, data: bytes, mtime_ns: int, mode: int) -> None:
        self.found.entries.append(Entry(name, "", len(data), mtime_ns, 0, mode, "", data))
        self.found.size += len(data)

    def leave(self, path: str, reason: str) -> None:
        self.found.left_out.append(LeftOut(path=printable(path), reason=reason))

    def finish(self) -> Scan:
        """Add the links, now that it is known which directories are carried, and where."""
        files = {entry.name for entry in self.found.entries} if self.links else set()
        for source, name in self.links:
            self.link(source, name, files)
        self.found.entries.sort()
        self.found.caches.sort()
        # What a distribution lists may be at the top of the prefix too.
        self.found.left_out = sorted(set(self.found.left_out), key=lambda item: item.path)
        self.found.pruned.sort()
        return self.found

    def link(self, source: str, name: str, files: Set[str]) -> None:
        real = os.path.realpath(source)
        prefix = os.path.realpath(self.layout.prefix)
        inside = carried(self.found.roots, real)
        if not os.path.exists(real):
            self.leave(source, "is a link to nothing")
        elif inside is None and not _is_below(real, prefix):
            self.leave(source, f"is a link out of the environment, to {real}")
        elif reason := _secret_behind(name, real, os.path.relpath(real, prefix)):
            self.leave(source, reason)
        elif inside is not None and (inside in files or os.path.isdir(real)):
            target = os.path.relpath(inside, os.path.dirname(name))
            status = os.lstat(source)
            self.found.entries.append(
                Entry(name, "", 0, status.st_mtime_ns, status.st_ino, 0o777, target)
            )
        elif inside is None and os.path.isfile(real):
            self.carry(real, name, os.stat(real), os.path.basename(real))
        else:
            self.leave(source, f"is a link to {real}, which is not carried")


def _secret_behind(name: str, real: str, inside: str) -> str | None:
    """Say why a link may lead to a secret, by what it is called and by what it leads to."""
    if not os.path.isfile(real):
        return None
    named = credentials.of_file(real, os.path.basename(name))
    return named or credentials.of_file(real, inside)


def printable(path: str) -> str:
    """Give a path as text that can be kept as JSON; names of files need not be text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def shown(path: str) -> str:
    """Quote a path for a message, all of it: the end of a path is what tells it from others."""
    text = printable(path)
    return f"“{text if text.isprintable() else text.encode('unicode_escape').decode()}”"


def carried(roots: Iterable[tuple[str, str]], real: str) -> str | None:
    """Give the path in the archive of a file of this machine, `None` when it is in no root."""
    for directory, name in roots:
        if _is_below(real, directory):
            return f"{name}{real[len(directory) :]}".lstrip("/")
    return None


def _is_below(path: str, directory: str) -> bool:
    return f"{path}/".startswith(f"{directory}/")


def unreadable(path: str) -> CannotBeDone:
    """Make the error for a file or directory of the environment that may not be read."""
    return CannotBeDone.at(
        "environment",
        f"{shown(path)} is not readable for you. Ask its owner for the permission, or remove it.",
    )


def text(path: str) -> str:
    """Give the text of a file of the environment, `""` when there is none.

    Raises:
        CannotBeDone: when it is too large to be one.
        OSError: when it cannot be read.

    """
    try:
        fd = os.open(path, READ & ~os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        # A socket, or links in a circle.
        if error.errno in (errno.ENXIO, errno.ELOOP):
            return ""
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return ""
        if status.st_size > _TEXT_BYTES:
            raise CannotBeDone.at(
                "environment",
                f"{shown(path)} has {status.st_size / 1e9:.1f} GB, so it is not what its name "
                "says. Remove it.",
            )
        data = os.pread(fd, _TEXT_BYTES, 0)
    finally:
        os.close(fd)
    return data.decode("utf-8", "replace")


def _linked(path: str) -> tuple[elf.Dynamic | None, bytes | None]:
    """Read what a program is linked to.

    Returns:
        `None` when it is no program; and the program as it finds its library in the archive, where
        that takes another one, and can be done.

    """
    fd = os.open(path, READ)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return None, None
        with mmap(fd, 0, access=ACCESS_READ) as data:
            dynamic = elf.read(data)
            if dynamic is None or _finds_own(dynamic):
                return dynamic, None
            return dynamic, elf.with_own_library(data[:], dynamic)
    finally:
        os.close(fd)


def _own_libraries(dynamic: elf.Dynamic) -> list[str]:
    return [name for name in dynamic.needed if name.startswith("libpython")]


def _finds_own(dynamic: elf.Dynamic) -> bool:
    return not _own_libraries(dynamic) or "$ORIGIN/../lib" in (dynamic.run_path or "")


def _lines(path: str) -> list[str]:
    return [line.rstrip() for line in text(path).splitlines()]


def _text(lines: list[str]) -> bytes:
    return os.fsencode("".join(f"{line}\n" for line in lines))


def _is_home(path: str) -> bool:
    return path in ("/", os.path.realpath(os.path.expanduser("~")))


def _why_no_package(directory: str, name: str) -> str | None:
    """Say why a directory of a project cannot be what is imported by its name."""
    if os.path.isfile(f"{directory}/__init__.py"):
        return None
    if os.path.isfile(f"{directory}/pyvenv.cfg") or os.path.isdir(f"{directory}/conda-meta"):
        return "is an environment of its own"
    if name in _NOT_IMPORTED:
        return "is not meant to be imported; add an __init__.py if it is"
    # A package may be spread over directories without an __init__.py.
    seen = 0
    for _, folders, files in os.walk(directory):
        if any(file.endswith((".py", ".so")) for file in files):
            return None
        seen += len(folders) + len(files)
        if seen > _SOUGHT:
            break
    return "has no module to import"


def _library(name: str, dynamic: elf.Dynamic, layout: Layout) -> str:
    """Find a shared library of the interpreter where the loader would."""
    origin = os.path.dirname(layout.binary)
    places = [
        place.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
        for place in (dynamic.run_path or "").split(":")
        if place
    ]
    places += [f"{layout.base}/lib", f"{layout.base}/lib64"]
    places += [str(path) for path in Path(layout.base, "lib").glob("*-linux-gnu")]
    for place in places:
        if os.path.isfile(f"{place}/{name}"):
            return os.path.realpath(f"{place}/{name}")
    raise CannotBeDone.at(
        "environment",
        f"{shown(layout.binary)} needs {name}, which is not in {', '.join(map(shown, places))}. "
        "Install the interpreter completely, with its shared library.",
    )


def _launcher(program: str) -> str:
    # For interpreters whose run path cannot be changed in place. What they start inherits the
    # variable, and sys.executable is the program itself.
    return f"""#!/bin/sh
here=$(dirname -- "$(readlink -f -- "$0")")
LD_LIBRARY_PATH="$here/../lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
export LD_LIBRARY_PATH
exec "$here/{os.path.basename(program)}" "$@"
"""


def regular(path: str, name: str) -> Entry | None:
    """Look at one file, `None` when it is not there or not a file."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    mode = status.st_mode & 0o777
    return Entry(name, path, status.st_size, status.st_mtime_ns, status.st_ino, mode)
