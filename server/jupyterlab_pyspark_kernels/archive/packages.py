"""Which files of an environment belong to which distribution."""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import CannotBeDone
from . import tree
from .model import Entry, Package

BASE = "python"
"""The group of the interpreter and its standard library."""

OTHER = "other files"
"""The group of what no distribution lists."""

_NOT_CARRIED = ("../", "bin/", "include/", "etc/")
"""Of a prefix: scripts, which name the environment's own interpreter; what compilers read; what
administrators set."""

_MODULE = re.compile(r"([A-Za-z]\w*)(?:/__init__\.py|(?:\.cpython-\S*)?\.(?:py|so))")


@dataclass
class Distribution:
    """What an installed distribution says of itself.

    Attributes:
        name: in its one spelling; that of one in the base behind another one says so.
        version: `""` for one behind another one of the same name.
        modules: the names at the top of it that can be imported.
        requested: whether somebody asked for it by its name.
        requires: the distributions it always needs.
        files: the paths in the archive of what it lists.
        data: those of them that are outside the directories of packages.

    """

    name: str
    version: str
    modules: set[str] = field(default_factory=set)
    requested: bool = False
    requires: set[str] = field(default_factory=set)
    files: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)


@dataclass
class Group:
    """The files of a distribution, or of `BASE` or `OTHER`.

    Attributes:
        entries: its files and links.
        caches: its compiled files.
        distribution: `None` for `BASE` and `OTHER`.

    """

    entries: list[Entry] = field(default_factory=list)
    caches: list[Entry] = field(default_factory=list)
    distribution: Distribution | None = None

    def package(self, version: str) -> Package:
        """Give what a record keeps of it."""
        return Package(version=version, fingerprint=tree.fingerprint(self.entries))


def installed(layout: tree.Layout) -> list[Distribution]:
    """Read what the distributions of an environment say of themselves."""
    found: dict[str, Distribution] = {}
    for number, directory in enumerate(layout.sites):
        for info in sorted(Path(directory).glob("*.dist-info")):
            # What lies outside the environment is not carried.
            if not info.is_symlink():
                item = _named(found, info)
                _read(item, info)
                _list(item, info, layout, number)
    return list(found.values())


def data(found: Iterable[Distribution]) -> set[str]:
    """Give the paths in the archive of what lies outside the directories of packages."""
    return {name for item in found for name in item.data}


def group(
    layout: tree.Layout, scan: tree.Scan, found: Sequence[Distribution], prune: bool
) -> dict[str, Group]:
    """Give every file of an environment to its distribution."""
    groups: dict[str, Group] = defaultdict(Group)
    owners: dict[str, str] = {}
    for item in found:
        groups[item.name].distribution = item
        owners.update(dict.fromkeys(item.files, item.name))
    for entry in scan.entries:
        groups[owners.get(entry.name) or _rest(entry.name, layout)].entries.append(entry)
    for entry in scan.compiled:
        owner = owners.get(_source(entry.name)) or owners.get(entry.name)
        groups[owner or _rest(entry.name, layout)].caches.append(entry)
    if prune:
        _prune(groups, scan)
    return dict(groups)


def wanted_modules(groups: dict[str, Group], limit: int = 100) -> list[str]:
    """Give the modules by which an environment is proven.

    They are those of the distributions that somebody asked for; the others are imported by them.
    """
    packages = [
        item
        for item in _distributions(groups)
        if item.version and item.name not in tree.PRUNED_PACKAGES
    ]
    chosen = [item for item in packages if item.requested]
    if not chosen:
        required = {name for item in packages for name in item.requires}
        chosen = [item for item in packages if item.name not in required]
    return sorted({module for item in chosen for module in item.modules})[:limit]


def normal(name: str) -> str:
    """Give the one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _distributions(groups: dict[str, Group]) -> list[Distribution]:
    return [item.distribution for item in groups.values() if item.distribution is not None]


def _named(found: dict[str, Distribution], info: Path) -> Distribution:
    name, _, version = info.name[: -len(".dist-info")].partition("-")
    name = normal(name)
    if name in found:
        # The same one in the base, behind the environment's own.
        name, version = f"{name} {version} in the base", ""
    return found.setdefault(name, Distribution(name, version))


def _read(item: Distribution, info: Path) -> None:
    item.requested = (info / "REQUESTED").exists()
    text = tree.text(f"{info}/METADATA")
    for line in text.partition("\n\n")[0].splitlines():
        if line.startswith("Requires-Dist:") and "extra ==" not in line:
            match = re.match(r"Requires-Dist:\s*([A-Za-z0-9._-]+)", line)
            item.requires.update([normal(match[1])] if match else [])


def _list(item: Distribution, info: Path, layout: tree.Layout, number: int) -> None:
    site = layout.site(number)
    for path in _recorded(info):
        if path.startswith(("../", "/")):
            if number == 0 and (name := _data(path, info.parent, layout)):
                item.data.append(name)
                item.files.append(name)
            continue
        item.files.append(f"{site}/{path}")
        if number and path.endswith(".pth"):
            item.files.append(layout.path_file(number, path))
        # Most paths are deeper, and counting is cheaper than matching.
        if path.count("/") < 2 and (match := _MODULE.fullmatch(path)):
            item.modules.add(match[1])


def _recorded(info: Path) -> list[str]:
    path = f"{info}/RECORD"
    rows = csv.reader(tree.text(path).splitlines(keepends=True))
    try:
        # No file's name has a NUL.
        return [row[0] for row in rows if row and "\0" not in row[0]]
    except csv.Error as error:
        raise CannotBeDone.at(
            "environment",
            f"{tree.shown(path)} is no list of files: {error}. Install that package anew.",
        ) from error


def _data(path: str, site: Path, layout: tree.Layout) -> str | None:
    """Give the path in the archive of what is outside the directory of packages."""
    name = os.path.relpath(os.path.normpath(os.path.join(site, path)), layout.prefix)
    not_carried = name.startswith(_NOT_CARRIED) or name.endswith(".pyc")
    return None if not_carried else name


def _rest(name: str, layout: tree.Layout) -> str:
    packages = name.startswith((f"{layout.home}/site-packages", f"{layout.home}/linked/"))
    return OTHER if packages else BASE


def _source(name: str) -> str:
    """Give the path of the module that a compiled file was made from."""
    directory, _, file = name.rpartition("/__pycache__/")
    return f"{directory}/{file.split('.')[0]}.py"


def _prune(groups: dict[str, Group], scan: tree.Scan) -> None:
    required = {
        need
        for item in _distributions(groups)
        if item.name not in tree.PRUNED_PACKAGES
        for need in item.requires
    }
    for name in sorted((tree.PRUNED_PACKAGES & groups.keys()) - required):
        scan.pruned.append(name)
        del groups[name]
