"""Kernels as a list shows them: what each one is, and what is the matter with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir

from . import store
from .carry import find_archive
from .config import KernelConfig, read_config
from .doctor import diagnose_files
from .environments import why_not_there
from .errors import Invalid, Missing
from .fields import label_to_name
from .history import last_test, last_used
from .models import Kernel, KernelArchive
from .owners import user_name
from .places import Place
from .render import (
    METADATA_KEY,
    Kernelspec,
    NotReadable,
    interpreter,
    is_ours,
    is_pyspark,
    read,
    read_carried,
    render,
)
from .secrecy import without_secrets
from .trust import Trust


class Listing:
    """One look at kernels. What many of them share is looked at once.

    Args:
        found: the directory that Jupyter starts each kernel from, by the kernel's name.

    """

    def __init__(self, found: Mapping[str, str]) -> None:
        self._found = found
        self._data = jupyter_data_dir()
        # What has changed since an environment was packed takes a walk over all files.
        self._find_archive = cache(find_archive)
        self._trust = cache(Trust)
        self._user_name = cache(user_name)
        self._broken: dict[tuple[str | None, ...], str | None] = {}

    def describe(self, place: Place, name: str) -> Kernel | None:
        """Describe a kernel of PySpark, or one that cannot be read; others are `None`."""
        try:
            stored = store.read(place, name)
            if is_ours(stored.spec):
                return self._ours(place, name, stored)
            return self._by_hand(place, name, stored) if is_pyspark(stored.spec) else None
        except Missing:
            return None
        except store.Unreadable as error:
            return self._unreadable(place, name, str(error))

    def why_untrusted(self, place: Place, name: str) -> str | None:
        """Say who could change what a kernel of any kind starts; `None` when nobody else could."""
        trust = self._trust(place)
        if (reason := trust.why_not_files(name)) is not None:
            return reason
        try:
            stored = store.read(place, name)
            config = self._meant(place, name, stored)
        except Missing:
            # Jupyter's native kernel has no file, and runs by the Python of this server.
            return None
        except (store.Unreadable, NotReadable, Invalid) as error:
            return str(error)
        spec = stored.spec
        return trust.why_not_started(spec, config) if config else trust.why_not_command(spec)

    def _meant(self, place: Place, name: str, stored: store.StoredKernel) -> KernelConfig | None:
        spec = stored.spec
        if is_ours(spec):
            return _understand(_Version(stored.etag, name, place.id, spec)).config
        return _read_by_hand(spec, name, place) if is_pyspark(spec) else None

    def _ours(self, place: Place, name: str, stored: store.StoredKernel) -> Kernel:
        spec = stored.spec
        created_by = _created_by(spec)
        try:
            meaning = _understand(_Version(stored.etag, name, place.id, spec))
        except (NotReadable, Invalid) as error:
            damaged = self._unreadable(place, name, str(error))
            return damaged.model_copy(update={"ours": True, "created_by": created_by})
        config = meaning.config
        archive = self._archive(place, spec)
        kernel = self._bare(place, name)
        return kernel.model_copy(
            update={
                "display_name": str(spec.get("display_name", "")),
                "config": without_secrets(config.model_dump(exclude_none=True)),
                "etag": stored.etag,
                "ours": True,
                "created_by": created_by,
                "edited_by_hand": meaning.edited_by_hand,
                "archive": archive,
                "last_test": last_test(place.kernels / name, stored.etag, self._data),
                "broken": self._why_broken(config, archive.uri if archive else None),
                "untrusted": kernel.untrusted or self._trust(place).why_not_started(spec, config),
            }
        )

    def _by_hand(self, place: Place, name: str, stored: store.StoredKernel) -> Kernel:
        """Describe a kernel that we do not change, as well as it can be understood."""
        spec = stored.spec
        kernel = self._bare(place, name)
        kernel = kernel.model_copy(
            update={
                "display_name": str(spec.get("display_name") or name),
                "etag": stored.etag,
                "writable": False,
            }
        )
        config = _read_by_hand(spec, name, place)
        if config is None:
            return kernel
        return kernel.model_copy(
            update={
                "config": without_secrets(config.model_dump(exclude_none=True)),
                "broken": self._why_broken(config),
                "untrusted": kernel.untrusted or self._trust(place).why_not_started(spec, config),
            }
        )

    def _unreadable(self, place: Place, name: str, reason: str) -> Kernel:
        return self._bare(place, name).model_copy(update={"problem": reason, "broken": reason})

    def _bare(self, place: Place, name: str) -> Kernel:
        """Describe what does not depend on the content of kernel.json."""
        directory = place.kernels / name
        first = Path(self._found.get(name.lower(), directory))
        return Kernel(
            name=name,
            place=place.id,
            display_name=name,
            config=None,
            etag="",
            ours=False,
            created_by="",
            owner=self._owner(directory),
            writable=place.writable,
            edited_by_hand=True,
            hidden_by=None if first == directory else str(first),
            archive=None,
            last_used=last_used(directory, self._data),
            last_test=None,
            problem=None,
            broken=None,
            untrusted=self._trust(place).why_not_files(name),
        )

    def _owner(self, directory: Path) -> str:
        try:
            return self._user_name(os.lstat(directory).st_uid)
        except OSError:
            # It went away just now.
            return ""

    def _why_broken(self, config: KernelConfig, archive: str | None = None) -> str | None:
        key = (config.environment, config.spark_home, archive)
        if key not in self._broken:
            self._broken[key] = _why_broken(config, archive)
        return self._broken[key]

    def _archive(self, place: Place, spec: Kernelspec) -> KernelArchive | None:
        carried = read_carried(spec)
        if carried is None:
            return None
        archive = self._find_archive(place, carried.digest)
        gone = None if _is_elsewhere(carried.uri) else "The archive is gone."
        return KernelArchive(
            digest=carried.digest,
            uri=carried.uri,
            bytes=archive and archive.bytes,
            drift=archive.drift if archive else gone,
        )


@dataclass(frozen=True)
class _Version:
    """One version of one kernel; the etag tells its content."""

    etag: str
    name: str
    place_id: str
    spec: Kernelspec = field(compare=False)


@dataclass(frozen=True)
class _Meaning:
    config: KernelConfig
    edited_by_hand: bool


@lru_cache(maxsize=2048)
def _understand(version: _Version) -> _Meaning:
    """Tell what a kernel was made from, once for each version: that takes most of the time."""
    spec = version.spec
    config = read_config({**read(spec), "name": version.name, "place": version.place_id})
    return _Meaning(config, render(config, _created_by(spec), read_carried(spec)) != spec)


def _created_by(spec: Kernelspec) -> str:
    return str(spec["metadata"][METADATA_KEY].get("created_by", ""))


def _is_elsewhere(uri: str) -> bool:
    return not uri.startswith("/")


def _why_broken(config: KernelConfig, archive: str | None) -> str | None:
    """Say why no notebook would start, in the words of the doctor where it knows that."""
    missing = why_not_there(config) or _why_archive_gone(archive)
    found = [] if missing is None else diagnose_files(config, archive)
    return found[0].sentence if found else missing


def _why_archive_gone(archive: str | None) -> str | None:
    if archive is None or _is_elsewhere(archive) or os.path.exists(archive):
        return None
    return f"The archive that its executors unpack is gone: {archive}. Pack it anew."


def _read_by_hand(spec: Kernelspec, name: str, place: Place) -> KernelConfig | None:
    try:
        data = {"display_name": name, **read(spec)}
        # Its own name may be one that ours cannot have.
        given = {**data, "name": label_to_name(name) or "kernel", "place": place.id}
        config = read_config(given)
    except (NotReadable, Invalid):
        return None
    # What is started by a program of its own has an environment that only that program knows.
    return config if interpreter(config.environment) == config.environment else None
