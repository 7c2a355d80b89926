"""The directories that kernels may be written to: those of `jupyter --paths`, in its order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir, jupyter_path
from pydantic import BaseModel, ConfigDict, Field

from .kernel.memory import OWN_DIRECTORY

USER = "user"
"""Id of the place that belongs to the user alone."""


class Place(BaseModel):
    """One directory that Jupyter searches for kernels."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="How requests and commands name the place.")
    kernels: Path = Field(description="The directory that holds one directory for each kernel.")
    shared: bool = Field(description="Whether other users see the kernels in it.")
    reason: str | None = Field(
        description="Why this user cannot write to it, in a sentence; null when they can."
    )

    @property
    def writable(self) -> bool:
        """Whether this user can write to it."""
        return self.reason is None

    def beside(self, what: str) -> Path:
        """Give the path of something of ours beside the kernels directory.

        It has the directory's name in its own: two kernels directories may lie side by side.
        """
        return self.kernels.parent / f"pyspark-{self.kernels.name}-{what}"


def own_directory() -> Path:
    """Give the directory of what we keep for this user, and which is no kernel; perhaps missing."""
    return Path(jupyter_data_dir()) / OWN_DIRECTORY


def jupyter_places() -> list[Place]:
    """List the places of this user, as `jupyter --paths` gives them."""
    return find_places(jupyter_path(), jupyter_data_dir())


def read_only_places() -> list[Place]:
    """List the places where a gateway has the kernels: what is written here is never started."""
    reason = (
        "This server takes its kernels from a gateway, which reads directories of its own. Create "
        "kernels on the gateway's machine, for instance by `jupyter pyspark-kernels create`."
    )
    return [place.model_copy(update={"reason": reason}) for place in jupyter_places()]


def find_places(data_directories: Iterable[str], user_directory: str) -> list[Place]:
    """List the places, the user's own first.

    Args:
        data_directories: Jupyter's data directories in the order it searches them.
        user_directory: the one that is the user's own.

    """
    searched = [Path(path) for path in data_directories]
    paths = list(dict.fromkeys([Path(user_directory), *searched]))
    ids = _ids(paths[1:])
    user = _place(USER, paths[0])
    if paths[0] not in searched:
        user = user.model_copy(update={"reason": _not_searched(user.kernels)})
    return [user] + [_place(ids[path], path) for path in paths[1:]]


def _not_searched(kernels: Path) -> str:
    # As JupyterHub's disable_user_config has it for what lies in the user's home.
    return (
        f"Jupyter does not look for kernels in {kernels} here, so nobody would see one. "
        "Ask whoever administers it for a JUPYTER_DATA_DIR outside your home."
    )


def directory_place(kernels: Path) -> Place:
    """Make a place of any kernels directory, as the command line's `--kernels-dir` names it."""
    return Place(id=str(kernels), kernels=kernels, shared=True, reason=why_not_writable(kernels))


def _place(place_id: str, data: Path) -> Place:
    kernels = data / "kernels"
    return Place(
        id=place_id,
        kernels=kernels,
        shared=place_id != USER,
        reason=why_not_writable(kernels),
    )


def _ids(paths: list[Path]) -> dict[Path, str]:
    """Name each directory by its path, in letters that need no quoting in a URL or a shell."""
    ids: dict[Path, str] = {}
    for path in paths:
        slug = re.sub(r"[^a-z0-9]+", "-", str(path).lower()).strip("-") or "root"
        number = sum(taken == slug or taken.startswith(f"{slug}.") for taken in ids.values())
        ids[path] = f"{slug}.{number + 1}" if number or slug == USER else slug
    return ids


def why_not_writable(kernels: Path) -> str | None:
    """Say why no kernel can be written to a kernels directory.

    Writing stages beside the directory and renames into it, so both it and its parent, or the
    nearest parent that exists, must be writable.
    """
    for directory in (kernels, kernels.parent):
        if (reason := _why_not(_nearest(directory))) is not None:
            return reason
    if os.path.isdir(kernels) and os.stat(kernels).st_dev != os.stat(kernels.parent).st_dev:
        return own_mount(kernels)
    return None


def own_mount(kernels: Path) -> str:
    """Say why nothing is renamed into a kernels directory that is a mount by itself."""
    return (
        f"{kernels} is a disk of its own, so nothing beside it can be moved into it whole. "
        f"Mount {kernels.parent} instead."
    )


def _nearest(directory: Path) -> Path:
    # Not Path.exists, which raises where a directory on the way is closed.
    while not os.path.lexists(directory) and directory != directory.parent:
        directory = directory.parent
    return directory


def _why_not(directory: Path) -> str | None:
    try:
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
    except OSError as error:
        return f"{directory} cannot be looked at: {error.strerror}."
    if not os.path.isdir(directory):
        return f"{directory} is not a directory."
    if read_only:
        return f"{directory} is on a read-only disk."
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"{directory} is not writable for you. Ask whoever administers it."
    return None
