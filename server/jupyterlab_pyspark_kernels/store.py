"""The only writer of kernel directories.

A kernel is staged in a directory beside the kernels tree, forced to the disk and renamed into its
place, so that no reader ever meets half a kernel: Jupyter lists every directory of the tree, also
hidden ones.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .area import DIRECTORY, Area, Files, area_path, copy_files, overwrite, remove, stage, writing
from .errors import EditedMeanwhile, Missing, NotAllowed, Taken, quoted
from .places import Place

KERNEL_JSON = "kernel.json"
MAX_KERNEL_JSON = 1024 * 1024
"""Bytes of a kernel.json that are read at most."""

_ABOUT = "about.json"


class Unreadable(Exception):
    """A kernel directory that no kernelspec can be read from, with the reason in a sentence."""


@dataclass(frozen=True)
class StoredKernel:
    """A kernelspec as it lies on the disk.

    Attributes:
        spec: the content of kernel.json.
        etag: changes whenever kernel.json does.

    """

    spec: dict[str, Any]
    etag: str


@dataclass(frozen=True)
class Undo:
    """A change that can be taken back.

    Attributes:
        place: where the kernel is or was.
        name: the kernel's name.
        action: what was done to it.
        written: the etag of what an edit wrote; empty for a delete.
        entry: the directory that keeps what was there before.
        when: nanoseconds since the epoch, to order the changes of several places.

    """

    place: Place
    name: str
    action: Literal["delete", "edit"]
    written: str
    entry: str
    when: int


# --- reading -----------------------------------------------------------------------------------


def names(place: Place) -> list[str]:
    """List the directories of a place that may be kernels, sorted."""
    try:
        with os.scandir(place.kernels) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def exists(place: Place, name: str) -> bool:
    """Tell whether anything, kernel or not, has this name in the place."""
    return os.path.lexists(place.kernels / name)


def read(place: Place, name: str) -> StoredKernel:
    """Read one kernel.

    Raises:
        Missing: when there is none.
        Unreadable: when its kernel.json is no kernelspec.

    """
    _check_component(place, name)
    try:
        # Non-blocking, so that a FIFO in place of the file cannot hang the server.
        fd = os.open(place.kernels / name / KERNEL_JSON, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise _missing(place, name) from None
        raise Unreadable(f"kernel.json cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Unreadable("kernel.json is not a file")
    with os.fdopen(fd, "rb") as file:
        content = file.read(MAX_KERNEL_JSON + 1)
    return StoredKernel(_parse(content), _etag(content))


def _etag(kernel_json: bytes) -> str:
    return hashlib.sha256(kernel_json).hexdigest()[:32]


def specs(place: Place) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Give the kernelspecs of a place by their kernels' names; `None` for what cannot be read."""
    for name in names(place):
        try:
            yield name, read(place, name).spec
        except Unreadable:
            yield name, None
        except Missing:
            continue


def kept_specs(place: Place) -> Iterator[dict[str, Any]]:
    """Give the kernelspecs that `undo` can bring back, now or after another undo."""
    for entry in (area_path(place) / "undo").glob("*/kernel"):
        try:
            yield _parse((entry / KERNEL_JSON).read_bytes())
        except (OSError, Unreadable):
            # An edit whose kernel.json was broken before; undo gives it back as it was.
            continue


def _check_component(place: Place, name: str) -> None:
    # Requests bring names that no kernel can have; `..` would be the place's own parent.
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise _missing(place, name)


def _missing(place: Place, name: str) -> Missing:
    return Missing.at("name", f"There is no kernel {quoted(name)} in {place.id}.")


def _parse(content: bytes) -> dict[str, Any]:
    if len(content) > MAX_KERNEL_JSON:
        raise Unreadable("kernel.json is larger than 1 MiB")
    try:
        spec = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"kernel.json is not JSON: {error}") from None
    if not isinstance(spec, dict):
        raise Unreadable("kernel.json is not a JSON object")
    return spec


# --- writing -----------------------------------------------------------------------------------


def create(place: Place, name: str, files: Files) -> None:
    """Write a new kernel.

    Raises:
        Taken: when anything has this name already.
        KernelError: when the file system refuses; nothing is left behind then.

    """
    _check_component(place, name)
    with writing(place) as area:
        stage(area.staging, name, files)
        try:
            os.rename(name, name, src_dir_fd=area.staging, dst_dir_fd=area.kernels)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise Taken.at(
                    "name",
                    f"{quoted(name)} exists already in {place.kernels}. Choose another name.",
                ) from None
            raise
        os.fsync(area.kernels)


def replace(place: Place, name: str, files: Files, etag: str) -> None:
    """Write a kernel anew in place of the version that `etag` names, and remember that version.

    Raises:
        Missing: when there is no such kernel.
        EditedMeanwhile: when it has changed since.
        KernelError: when the file system refuses; the old version stays then.

    """
    _check_component(place, name)
    with writing(place) as area, _open_kernel(place, area, name) as kernel:
        check_etag(name, read(place, name), etag)
        about = {"action": "edit", "name": name, "written": _etag(files[KERNEL_JSON])}
        with _remembering(area, about, copy_files(kernel, files)):
            overwrite(area, kernel, files, last=KERNEL_JSON)


def check_etag(name: str, stored: StoredKernel, etag: str) -> None:
    """Make sure that a kernel is still the version that an edit began with.

    Raises:
        EditedMeanwhile: when it is not.

    """
    if stored.etag != etag:
        raise EditedMeanwhile.at(
            "name", f"{quoted(name)} was changed meanwhile. Reload it and edit it again."
        )


def delete(place: Place, name: str) -> None:
    """Take a kernel away, so that `undo` can bring it back.

    Raises:
        Missing: when there is no such kernel.
        KernelError: when the file system refuses.

    """
    _check_component(place, name)
    with writing(place) as area, _open_kernel(place, area, name):
        about = {"action": "delete", "name": name, "written": ""}
        with _remembering(area, about, {}) as entry:
            os.rename(name, f"{entry}/kernel", src_dir_fd=area.kernels, dst_dir_fd=area.undo)
        os.fsync(area.kernels)


# --- taking back -------------------------------------------------------------------------------


def undos(place: Place) -> list[Undo]:
    """List what can be taken back in a place, the last change first."""
    found = []
    for path in (area_path(place) / "undo").glob("*/kernel"):
        if (change := _read_undo(place, path.parent)) is not None:
            found.append(change)
    return sorted(found, key=lambda change: change.entry, reverse=True)


def _read_undo(place: Place, entry: Path) -> Undo | None:
    try:
        about = json.loads((entry / _ABOUT).read_bytes())
        when = (entry / _ABOUT).stat().st_mtime_ns
    except (OSError, ValueError):
        # Another process is taking it back, or it was tampered with.
        return None
    # The edit of a kernel that is gone has nothing to be taken back from.
    if about["action"] == "edit" and not exists(place, about["name"]):
        return None
    return Undo(place, about["name"], about["action"], about["written"], entry.name, when)


def undo(change: Undo) -> None:
    """Take back a delete or an edit.

    Raises:
        Taken: when the name has been given to another kernel since.
        EditedMeanwhile: when the kernel has been changed by other means since.
        Missing: when the change was taken back already, or its kernel is gone.
        KernelError: when the file system refuses.

    """
    with writing(change.place) as area:
        try:
            kept = os.open(f"{change.entry}/kernel", DIRECTORY, dir_fd=area.undo)
        except FileNotFoundError:
            raise Missing.at("name", "There is nothing to undo.") from None
        try:
            if change.action == "delete":
                _bring_back(area, change)
            else:
                _take_back(area, change, copy_files(kept))
        finally:
            os.close(kept)
        remove(area.undo, change.entry)


def _bring_back(area: Area, change: Undo) -> None:
    if exists(change.place, change.name):
        raise Taken.at(
            "name",
            f"Another kernel {quoted(change.name)} is in {change.place.kernels} now, so the one "
            "that was removed cannot come back. Remove or rename that one first.",
        )
    os.rename(f"{change.entry}/kernel", change.name, src_dir_fd=area.undo, dst_dir_fd=area.kernels)
    os.fsync(area.kernels)


def _take_back(area: Area, change: Undo, kept: Files) -> None:
    with _open_kernel(change.place, area, change.name) as kernel:
        # What was there before is fine as well: the edit was then interrupted.
        if read(change.place, change.name).etag not in (change.written, _etag(kept[KERNEL_JSON])):
            raise EditedMeanwhile.at(
                "name",
                f"{quoted(change.name)} was changed by other means after its last edit here, so "
                "that edit cannot be taken back. Edit it again instead.",
            )
        overwrite(area, kernel, kept, last=KERNEL_JSON)


@contextmanager
def _open_kernel(place: Place, area: Area, name: str) -> Iterator[int]:
    try:
        kernel = os.open(name, DIRECTORY, dir_fd=area.kernels)
    except FileNotFoundError:
        raise _missing(place, name) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise NotAllowed.at(
                "name",
                f"{place.kernels / name} is a link or a file and no directory, so it is not "
                "changed here. Change what it points to, or remove it by hand.",
            ) from None
        raise
    try:
        yield kernel
    finally:
        os.close(kernel)


@contextmanager
def _remembering(area: Area, about: Mapping[str, str], kept: Files) -> Iterator[str]:
    """Make the entry that `undo` needs, and drop it when the change fails."""
    taken = [int(entry) for entry in os.listdir(area.undo) if entry.isdigit()]
    entry = f"{max(taken, default=0) + 1:08}"
    stage(area.staging, entry, {_ABOUT: json.dumps(about).encode()})
    if kept:
        stage(area.staging, "kept", kept)
        os.rename("kept", f"{entry}/kernel", src_dir_fd=area.staging, dst_dir_fd=area.staging)
    os.rename(entry, entry, src_dir_fd=area.staging, dst_dir_fd=area.undo)
    try:
        yield entry
    except OSError:
        remove(area.undo, entry)
        raise
