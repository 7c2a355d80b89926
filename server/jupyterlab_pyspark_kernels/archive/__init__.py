"""One relocatable, self-contained `.tar.gz` for each Python environment.

`pack` looks at the environment, writes what changed since the last archive, proves that the result
runs without the environment, and publishes it under the digest of its content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ..errors import CannotBeDone
from ..progress import Cancelled, Progress
from . import conda, packages, proof, segments, tree
from .model import (
    Archive,
    Drift,
    LeftOut,
    Package,
    Record,
    Segment,
)
from .store import archives, find, is_ours, publish, remove_unused, touch, writing
from .tree import Limits

SCANNING = "Looking at the environment"
PACKING = "Packing"
PROVING = "Proving that the archive runs by itself"
KEEPING = "Keeping the archive"
"""The stages that a pack goes through."""

_PRUNED_KINDS = [f"*{suffix}" for suffix in tree.PRUNED_SUFFIXES + tree.PRUNED_CACHES]


@dataclass(frozen=True)
class _Job:
    """One call of `pack`."""

    layout: tree.Layout
    store: Path
    prune: bool
    limits: Limits
    verify: bool
    imports: Sequence[str] | None
    report: Callable[[Progress], None]
    cancelled: Callable[[], bool]


def pack(
    environment: str,
    store: Path,
    *,
    prune: bool = True,
    report: Callable[[Progress], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    imports: Sequence[str] | None = None,
    limits: Limits | None = None,
    verify: bool = False,
) -> Archive:
    """Give the archive of an environment as it is now; write it when there is none.

    Args:
        environment: its prefix, or its interpreter.
        store: the directory of archives; made when it is not there.
        prune: leave out what is not needed to run, such as the tests of packages.
        report: is told how far it is, in the caller's thread.
        cancelled: is asked some times a second whether to stop.
        imports: modules that must work in the archive; those that the environment's owner
            installed by their names when it is `None`.
        limits: what is too much.
        verify: read an archive that is there already, and pack anew when it is damaged.

    Raises:
        KernelError: when it cannot be packed. Nothing is published then.
        Cancelled: when it was called off. Nothing is published then.

    """
    with _reading(environment):
        layout = tree.locate(environment)
    # What conda installed is for conda-pack to choose.
    prune = prune and not _is_conda(layout)
    job = _Job(layout, store, prune, limits or Limits(), verify, imports, report, cancelled)
    look = _look(job)
    found = _existing(job, look)
    if found is not None:
        return found
    with writing(store, cancelled) as staging:
        known = _segments(store)
        for attempt in (1, 2):
            # Another process may have packed it while this one waited.
            found = _existing(job, look)
            if found is not None:
                return found
            try:
                return _make(job, look, staging / f"{attempt}.tar.gz", known)
            except segments.Changed as changed:
                path = changed.path
            look = _look(job)
    raise CannotBeDone.at(
        "environment",
        f"{tree.shown(path)} changed twice while it was packed. Wait until nothing is being "
        "installed, and pack again.",
    )


def drift(record: Record, environment: str) -> Drift:
    """Compare an environment with what was packed, by the times and sizes of its files."""
    with _reading(environment):
        layout = tree.locate(environment)
    look = _looked_at(layout, record.prune, Limits())
    now = _packages(look.groups(layout, record.prune))
    before = record.packages
    changed = sorted(name for name in now.keys() & before.keys() if now[name] != before[name])
    added = sorted(now.keys() - before.keys())
    removed = sorted(before.keys() - now.keys())
    same = _fingerprint(layout, look.scan, record.prune) == record.fingerprint
    return Drift(changed, added, removed, not (same or changed or added or removed))


@dataclass(frozen=True)
class _Look:
    """What an environment was when it was looked at."""

    scan: tree.Scan
    installed: list[packages.Distribution]

    def groups(self, layout: tree.Layout, prune: bool) -> dict[str, packages.Group]:
        return packages.group(layout, self.scan, self.installed, prune)


def _look(job: _Job) -> _Look:
    job.report(Progress(SCANNING))
    return _looked_at(job.layout, job.prune, job.limits)


def _looked_at(layout: tree.Layout, prune: bool, limits: Limits) -> _Look:
    with _reading(layout.prefix):
        installed = packages.installed(layout)
        if _is_conda(layout):
            return _Look(tree.scan_prefix(layout, limits), installed)
        return _Look(tree.scan(layout, prune, packages.data(installed), limits), installed)


@contextmanager
def _reading(environment: str) -> Iterator[None]:
    """Turn whatever a strange environment leads to into sentences."""
    try:
        yield
    except FileNotFoundError as error:
        raise CannotBeDone.at(
            "environment",
            f"{tree.shown(error.filename or environment)} went away while it was looked at. Wait "
            "until nothing is being installed, and pack again.",
        ) from error
    except PermissionError as error:
        raise tree.unreadable(error.filename or environment) from error
    except OSError as error:
        raise CannotBeDone.at(
            "environment",
            f"{tree.shown(error.filename or environment)} cannot be read: {error.strerror}. "
            "Remove it, or make the environment anew.",
        ) from error
    except ValueError as error:
        # A path that was read from a file may hold a NUL.
        raise CannotBeDone.at(
            "environment",
            f"{tree.shown(environment)} cannot be read: {error}. Make the environment anew.",
        ) from error


def _is_conda(layout: tree.Layout) -> bool:
    return os.path.isdir(f"{layout.prefix}/conda-meta")


def _fingerprint(layout: tree.Layout, scan: tree.Scan, prune: bool) -> str:
    return tree.fingerprint(scan.entries, "1", layout.prefix, str(prune))


def _existing(job: _Job, look: _Look) -> Archive | None:
    if not is_ours(job.store):
        # What somebody else put there is not what executors are to run.
        return None
    fingerprint = _fingerprint(job.layout, look.scan, job.prune)
    for archive in archives(job.store):
        record = archive.record
        tried = {*record.imports, *record.not_importable}
        same = record.fingerprint == fingerprint and tried.issuperset(job.imports or ())
        if same and touch(archive) and not (job.verify and _is_damaged(archive)):
            return archive
    return None


def _is_damaged(archive: Archive) -> bool:
    sources = [segments.Source(archive.path, item) for item in archive.record.segments]
    return not all(map(segments.is_sound, sources))


def _segments(store: Path) -> dict[str, segments.Source]:
    return {
        segment.key: segments.Source(archive.path, segment)
        for archive in archives(store)
        for segment in archive.record.segments
        if segment.key
    }


def _make(job: _Job, look: _Look, staged: Path, known: dict[str, segments.Source]) -> Archive:
    scan = look.scan
    with _reading(job.layout.prefix):
        tree.look_at_compiled(scan, job.layout, job.prune, job.limits)
    groups = look.groups(job.layout, job.prune)
    entries = [entry for item in groups.values() for entry in item.entries + item.caches]
    if _is_conda(job.layout):
        conda.pack(job.layout.prefix, staged, entries, segments.threads(), job.cancelled)
        written = [_whole(staged)]
    else:
        written = _write(job, groups, staged, known)
    with ThreadPoolExecutor(1) as pool:
        # The disk has it by the time that it is proven.
        forced = pool.submit(_force, staged)
        _same(job, scan)
        wanted = packages.wanted_modules(groups) if job.imports is None else job.imports
        job.report(Progress(PROVING))
        proven = proof.prove(
            staged, wanted, _python(job.layout), _hidden(job.layout), job.cancelled
        )
        forced.result()
    job.report(Progress(KEEPING))
    record = Record(
        digest=segments.content_digest(written, job.layout.prefix, str(job.prune)),
        environment=job.layout.prefix,
        kind="conda" if _is_conda(job.layout) else "venv",
        python_version=proven.python_version,
        prune=job.prune,
        fingerprint=_fingerprint(job.layout, look.scan, job.prune),
        files=len(entries),
        bytes_raw=sum(entry.size for entry in entries),
        bytes_packed=staged.stat().st_size,
        packages=_packages(groups),
        left_out=scan.left_out,
        pruned=scan.pruned + _PRUNED_KINDS if job.prune else [],
        segments=written,
        created=datetime.now(timezone.utc),
        imports=proven.imports,
        not_importable=proven.not_importable,
        base_hidden=proven.base_hidden,
    )
    return publish(staged, record, job.store)


def _write(
    job: _Job,
    groups: dict[str, packages.Group],
    staged: Path,
    known: dict[str, segments.Source],
) -> list[Segment]:
    parts = segments.parts(groups)
    files = sum(len(part.entries) for part in parts)
    size = sum(part.size for part in parts)
    writer = segments.Writer(staged)

    def poll() -> None:
        if job.cancelled():
            raise Cancelled
        job.report(Progress(PACKING, writer.files, files, writer.bytes, size))

    try:
        writer.write(parts, known, poll)
    finally:
        # When a file changed, the next attempt need not do the rest again.
        known.update({item.key: segments.Source(staged, item) for item in writer.written})
    return writer.written


def _same(job: _Job, before: tree.Scan) -> None:
    """Make sure that no file came, went or changed while others were read."""
    after = _looked_at(job.layout, job.prune, job.limits).scan
    if after.entries != before.entries:
        differing = set(before.entries) ^ set(after.entries)
        raise segments.Changed(min(entry.source or entry.name for entry in differing))


def _whole(staged: Path) -> Segment:
    """Describe an archive that is not made of segments."""
    return Segment(
        name="all",
        key="",
        digest=segments.file_digest(staged),
        offset=0,
        size=staged.stat().st_size,
    )


def _force(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _python(layout: tree.Layout) -> str:
    path = f"{layout.prefix}/bin/python"
    return path if os.path.exists(path) else f"{path}3"


def _hidden(layout: tree.Layout) -> list[str]:
    """Give what the archive was made from, so that a proof can do without it."""
    if layout.base in ("/", "/usr", "/usr/local"):
        # Others live there too, the shell for one.
        places = [layout.stdlib, layout.binary, *layout.sites]
    else:
        places = [layout.base]
    if layout.prefix not in ("/", "/usr", "/usr/local"):
        places.append(layout.prefix)
    # One below another one is hidden with it.
    return sorted(
        place for place in set(places) if not any(place.startswith(f"{other}/") for other in places)
    )


def _packages(groups: dict[str, packages.Group]) -> dict[str, Package]:
    return {
        name: item.package(item.distribution.version)
        for name, item in sorted(groups.items())
        if item.distribution is not None and item.distribution.version
    }


__all__ = [
    "KEEPING",
    "PACKING",
    "PROVING",
    "SCANNING",
    "Archive",
    "Drift",
    "LeftOut",
    "Limits",
    "Package",
    "Record",
    "Segment",
    "archives",
    "drift",
    "find",
    "pack",
    "remove_unused",
]
