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

from .area import (
    DIRECTORY,
    Area,
    Files,
    area_path,
    copy_files,
    explained,
    forget,
    overwrite,
    remove,
    stage,
    writing,
)
from .errors import EditedMeanwhile, KernelError, Missing, NotAllowed, Taken, quoted
from .places import Place, directory_place

KERNEL_JSON = "kernel.json"
MAX_KERNEL_JSON = 1024 * 1024
"""Bytes of a kernel.json that are read at most."""

_ABOUT = "about.json"


class Unreadable(Exception):
    """A kernel directory that no kernelspec can be read from, with the reason in a sentence."""


class _Closed(Unreadable):
    """The file system does not give what is there."""


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
        written: the etag of what an edit or a move wrote; empty for a delete.
        entry: the directory that keeps what was there before.
        when: nanoseconds since the epoch, to order the changes of several places.
        moved: where a move put it, as its kernels directory and its name there.

    """

    place: Place
    name: str
    action: Literal["delete", "edit", "move"]
    written: str
    entry: str
    when: int
    moved: tuple[Path, str] | None = None

    def concerns(self, place: Place | None, name: str | None) -> bool:
        """Tell whether a kernel of this name was or is in this place; `None` is any."""
        addresses = [(self.place.kernels, self.name), *([self.moved] if self.moved else [])]
        return any(
            (place is None or place.kernels == kernels) and name in (None, other)
            for kernels, other in addresses
        )


# --- reading -----------------------------------------------------------------------------------


def names(place: Place) -> list[str]:
    """List the directories of a place that may be kernels, sorted.

    Raises:
        KernelError: when the file system fails.

    """
    with explained(place):
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
        if error.errno == errno.ENOENT and os.path.lexists(place.kernels / name / KERNEL_JSON):
            raise Unreadable("kernel.json is a link that leads nowhere") from None
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise _missing(place, name) from None
        raise _Closed(f"kernel.json cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Unreadable("kernel.json is not a file")
    try:
        with os.fdopen(fd, "rb") as file:
            content = file.read(MAX_KERNEL_JSON + 1)
    except OSError as error:
        raise _Closed(f"kernel.json cannot be read: {error.strerror}") from None
    return StoredKernel(_parse(content), _etag(content))


def _etag(kernel_json: bytes) -> str:
    return hashlib.sha256(kernel_json).hexdigest()[:32]


def read_to_change(place: Place, name: str) -> StoredKernel:
    """Read one kernel that is to be changed.

    Raises:
        Missing: when there is none.
        NotAllowed: when its kernel.json is no kernelspec, so that a change would lose it.

    """
    try:
        return read(place, name)
    except Unreadable as error:
        raise NotAllowed.at("name", f"{quoted(name)} is not changed: {error}.") from None


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
    for entry in _kept(place):
        try:
            yield _parse((entry / KERNEL_JSON).read_bytes())
        except (OSError, Unreadable):
            # An edit whose kernel.json was broken before; undo gives it back as it was.
            continue


def _kept(place: Place) -> list[Path]:
    """List the kernels that are kept for `undo`."""
    with explained(place):
        return list((area_path(place) / "undo").glob("*/kernel"))


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
        _give_name(place, area, area.staging, name, name)


def _give_name(place: Place, area: Area, source: int, old: str, name: str) -> None:
    """Rename a directory to a kernel's name, unless anything has that already."""
    try:
        if exists(place, name):
            # An empty directory would be replaced.
            raise FileExistsError(errno.EEXIST, name)
        os.rename(old, name, src_dir_fd=source, dst_dir_fd=area.kernels)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise Taken.at(
                "name", f"{quoted(name)} exists already in {place.kernels}. Choose another name."
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
        check_etag(name, read_to_change(place, name), etag)
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
        _put_away(area, name, {"action": "delete", "name": name, "written": ""})


def rename(place: Place, name: str, new_name: str, files: Files, etag: str) -> None:
    """Give a kernel another name in its place, and write it anew there.

    It has one of the two names at any moment. What it was is remembered.

    Raises:
        Missing: when there is no such kernel.
        EditedMeanwhile: when it has changed since `etag`.
        Taken: when anything has the new name already.
        KernelError: when the file system refuses.

    """
    _check_component(place, name)
    _check_component(place, new_name)
    with writing(place) as area, _open_kernel(place, area, name) as kernel:
        check_etag(name, read(place, name), etag)
        about = _about_move(name, place, new_name, files)
        with _remembering(area, about, copy_files(kernel, files)):
            _give_name(place, area, area.kernels, name, new_name)
            try:
                overwrite(area, kernel, files, last=KERNEL_JSON)
            except OSError:
                os.rename(new_name, name, src_dir_fd=area.kernels, dst_dir_fd=area.kernels)
                raise


def move(place: Place, name: str, to: Place, new_name: str, files: Files, etag: str) -> None:
    """Move a kernel to another place, writing it anew there.

    It is in both places for a moment, and never in none. What it was is remembered in the place
    that it leaves.

    Raises:
        Missing: when there is no such kernel.
        EditedMeanwhile: when it has changed since `etag`.
        Taken: when anything has the name there already.
        NotAllowed: when its directory holds more than files.
        KernelError: when the file system refuses; the old one stays then.

    """
    _check_component(place, name)
    with writing(place) as area, _open_kernel(place, area, name) as kernel:
        check_etag(name, read(place, name), etag)
        others = copy_files(kernel)
        if more := sorted(set(os.listdir(kernel)) - others.keys()):
            raise NotAllowed.at(
                "name",
                f"{place.kernels / name / more[0]} is no plain file, so the kernel is not moved to "
                "another place. Move it by hand.",
            )
    create(to, new_name, {**others, **files})
    try:
        _leave(place, name, _about_move(name, to, new_name, files), etag)
    except KernelError:
        _take_away(to, new_name)
        raise


def _about_move(name: str, to: Place, new_name: str, files: Files) -> dict[str, str]:
    return {
        "action": "move",
        "name": name,
        "written": _etag(files[KERNEL_JSON]),
        "kernels": str(to.kernels),
        "new_name": new_name,
    }


def _leave(place: Place, name: str, about: Mapping[str, str], etag: str) -> None:
    with writing(place) as area, _open_kernel(place, area, name):
        check_etag(name, read(place, name), etag)
        _put_away(area, name, about)


def _put_away(area: Area, name: str, about: Mapping[str, str]) -> None:
    with _remembering(area, about, {}) as entry:
        os.rename(name, f"{entry}/kernel", src_dir_fd=area.kernels, dst_dir_fd=area.undo)
    os.fsync(area.kernels)


def _take_away(place: Place, name: str) -> None:
    """Remove a kernel that nobody is to get back."""
    with writing(place) as area:
        os.rename(name, name, src_dir_fd=area.kernels, dst_dir_fd=area.staging)
        os.fsync(area.kernels)
        remove(area.staging, name)


# --- taking back -------------------------------------------------------------------------------


def undos(place: Place) -> list[Undo]:
    """List what can be taken back in a place, the last change first."""
    with explained(place):
        read = [_read_undo(place, path.parent) for path in _kept(place)]
    found = [change for change in read if change is not None]
    return sorted(found, key=lambda change: change.entry, reverse=True)


def _read_undo(place: Place, entry: Path) -> Undo | None:
    try:
        about = json.loads((entry / _ABOUT).read_bytes())
        when = (entry / _ABOUT).stat().st_mtime_ns
        moved = (Path(about["kernels"]), about["new_name"]) if about["action"] == "move" else None
        name, action, written = about["name"], about["action"], about["written"]
    except (FileNotFoundError, PermissionError, ValueError, LookupError, TypeError):
        # Another process is taking it back, or it was tampered with.
        return None
    change = Undo(place, name, action, written, entry.name, when, moved)
    # The edit of a kernel that is gone has nothing to be taken back from, nor has a move.
    at = _written_at(change)
    return None if at is not None and not exists(*at) else change


def _written_at(change: Undo) -> tuple[Place, str] | None:
    """Tell where what a change wrote lies, if it wrote anything."""
    if change.moved is not None:
        kernels, name = change.moved
        here = kernels == change.place.kernels
        return (change.place if here else directory_place(kernels)), name
    return (change.place, change.name) if change.action == "edit" else None


def undo(change: Undo) -> None:
    """Take back a delete, an edit or a move.

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
            at = _written_at(change)
            if at is None:
                _bring_back(area, change)
            elif at[0] == change.place:
                _take_back(area, change, at[1], copy_files(kept))
            else:
                _check_written(*at, change.written)
                _bring_back(area, change)
        finally:
            os.close(kept)
        forget(area, change.entry)
    if at is not None and at[0] != change.place:
        _take_away(*at)


def _bring_back(area: Area, change: Undo) -> None:
    _check_name_is_free(change)
    os.rename(f"{change.entry}/kernel", change.name, src_dir_fd=area.undo, dst_dir_fd=area.kernels)
    os.fsync(area.kernels)


def _check_name_is_free(change: Undo) -> None:
    if exists(change.place, change.name):
        raise Taken.at(
            "name",
            f"Another kernel {quoted(change.name)} is in {change.place.kernels} now, so the one "
            "that was there cannot come back. Remove or rename that one first.",
        )


def _take_back(area: Area, change: Undo, name: str, kept: Files) -> None:
    """Write what was there before in place of what a change wrote, which lies under `name`."""
    with _open_kernel(change.place, area, name) as kernel:
        _check_written(change.place, name, change.written, _etag(kept[KERNEL_JSON]))
        if name != change.name:
            _check_name_is_free(change)
            os.rename(name, change.name, src_dir_fd=area.kernels, dst_dir_fd=area.kernels)
            os.fsync(area.kernels)
        overwrite(area, kernel, kept, last=KERNEL_JSON)


def _check_written(place: Place, name: str, written: str, before: str | None = None) -> None:
    try:
        etag = read(place, name).etag
    except _Closed as error:
        raise NotAllowed.at("name", f"{quoted(name)} is not changed: {error}.") from None
    except Unreadable:
        etag = None
    # What was there before is fine as well: the change was then interrupted.
    if etag is None or etag not in (written, before):
        raise EditedMeanwhile.at(
            "name",
            f"{quoted(name)} was changed by other means after its last change here, so that change "
            "cannot be taken back. Edit it again instead.",
        )


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
    except (OSError, KernelError):
        forget(area, entry)
        raise
