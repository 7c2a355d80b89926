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
import re
import stat
from dataclasses import dataclass
from typing import Any, Literal

from .area import DIRECTORY, Area, Files, area_path, copy_files, overwrite, remove, stage, writing
from .errors import EditedMeanwhile, Missing, Taken, quoted
from .places import Place

KERNEL_JSON = "kernel.json"
MAX_KERNEL_JSON = 1024 * 1024
"""Bytes of a kernel.json that are read at most."""


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
        number: grows with every change of this user in this place.
        when: nanoseconds since the epoch, to order the changes of several places.

    """

    place: Place
    name: str
    action: Literal["delete", "edit"]
    number: int
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
    except (FileNotFoundError, NotADirectoryError):
        raise Missing.at("name", f"There is no kernel {quoted(name)} in {place.id}.") from None
    except OSError as error:
        raise Unreadable(f"kernel.json cannot be opened: {error.strerror}") from None
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable("kernel.json is not a file")
        content = file.read(MAX_KERNEL_JSON + 1)
    return StoredKernel(_parse(content), hashlib.sha256(content).hexdigest()[:32])


def _check_component(place: Place, name: str) -> None:
    # Requests bring names that no kernel can have; `..` would be the place's own parent.
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Missing.at("name", f"There is no kernel {quoted(name)} in {place.id}.")


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
                raise _taken(place, name) from None
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
    with writing(place) as area:
        kernel = _open_kernel(place, area, name)
        try:
            if read(place, name).etag != etag:
                raise EditedMeanwhile.at(
                    "name", f"{quoted(name)} was changed meanwhile. Reload it and edit it again."
                )
            _remember(area, name, "edit", copy_files(kernel))
            overwrite(area, kernel, files, last=KERNEL_JSON)
        finally:
            os.close(kernel)


def delete(place: Place, name: str) -> None:
    """Take a kernel away, so that `undo` can bring it back.

    Raises:
        Missing: when there is no such kernel.
        KernelError: when the file system refuses.

    """
    _check_component(place, name)
    with writing(place) as area:
        if not exists(place, name):
            raise Missing.at("name", f"There is no kernel {quoted(name)} in {place.id}.")
        entry = _remember(area, name, "delete", {})
        os.rename(name, f"{entry}/kernel", src_dir_fd=area.kernels, dst_dir_fd=area.undo)
        os.fsync(area.kernels)


def undos(place: Place) -> list[Undo]:
    """List what can be taken back in a place, the last change first."""
    directory = area_path(place) / "undo"
    found = []
    for path in directory.glob("*/kernel"):
        match = re.fullmatch(r"([0-9]{8})-(delete|edit)-(.+)", path.parent.name)
        if match:
            action: Literal["delete", "edit"] = "delete" if match[2] == "delete" else "edit"
            when = path.parent.stat().st_mtime_ns
            found.append(Undo(place, match[3], action, int(match[1]), when))
    return sorted(found, key=lambda change: change.number, reverse=True)


def undo(change: Undo) -> None:
    """Take back a delete or an edit.

    Raises:
        Taken: when the name has been given to another kernel since.
        Missing: when the change was taken back already, or its kernel is gone.
        KernelError: when the file system refuses.

    """
    with writing(change.place) as area:
        entry = f"{change.number:08}-{change.action}-{change.name}"
        try:
            kept = os.open(f"{entry}/kernel", DIRECTORY, dir_fd=area.undo)
        except FileNotFoundError:
            raise Missing.at("name", "There is nothing to undo.") from None
        try:
            if change.action == "delete":
                _bring_back(area, change, entry)
            else:
                kernel = _open_kernel(change.place, area, change.name)
                try:
                    overwrite(area, kernel, copy_files(kept), last=KERNEL_JSON)
                finally:
                    os.close(kernel)
        finally:
            os.close(kept)
        remove(area.undo, entry)


def _bring_back(area: Area, change: Undo, entry: str) -> None:
    if exists(change.place, change.name):
        raise _taken(change.place, change.name)
    os.rename(f"{entry}/kernel", change.name, src_dir_fd=area.undo, dst_dir_fd=area.kernels)
    os.fsync(area.kernels)


def _taken(place: Place, name: str) -> Taken:
    return Taken.at(
        "name", f"{quoted(name)} exists already in {place.kernels}. Choose another name."
    )


def _open_kernel(place: Place, area: Area, name: str) -> int:
    try:
        return os.open(name, DIRECTORY, dir_fd=area.kernels)
    except FileNotFoundError:
        raise Missing.at("name", f"There is no kernel {quoted(name)} in {place.id}.") from None


def _remember(area: Area, name: str, action: str, files: Files) -> str:
    """Make the entry that `undo` needs, and return its name."""
    taken = [int(entry[:8]) for entry in os.listdir(area.undo) if entry[:8].isdigit()]
    entry = f"{max(taken, default=0) + 1:08}-{action}-{name}"
    os.mkdir(entry, 0o700, dir_fd=area.undo)
    if files:
        stage(area.staging, "kept", files)
        os.rename("kept", f"{entry}/kernel", src_dir_fd=area.staging, dst_dir_fd=area.undo)
    return entry
