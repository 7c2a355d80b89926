"""What the parts of the package tell each other, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class Entry(NamedTuple):
    """A file or a symbolic link of the archive, as it was when it was looked at.

    Attributes:
        name: its path in the archive.
        source: its path on this machine, `""` when it is made here.
        size: bytes.
        mtime_ns: nanoseconds since the epoch.
        inode: 0 when it is made here.
        mode: permission bits.
        link: what a symbolic link points to, relative to it; `""` for a file.
        data: the content of a file that is made here.

    """

    name: str
    source: str
    size: int
    mtime_ns: int
    inode: int
    mode: int
    link: str = ""
    data: bytes = b""


class Model(BaseModel):
    """The base of what is kept in a record."""

    model_config = ConfigDict(frozen=True)


class LeftOut(Model):
    """Something of the environment that the archive does not have."""

    path: str
    reason: str


class Package(Model):
    """An installed distribution."""

    version: str
    fingerprint: str = Field(description="Of the paths, sizes and times of its files.")


class Segment(Model):
    """A run of whole gzip members in an archive.

    It can be copied into another archive as it is.
    """

    name: str = Field(description="For people: the distribution, or what else it holds.")
    key: str = Field(description="Of the paths, sizes and times of the files it was made from.")
    digest: str = Field(description="Of its bytes.")
    offset: int
    size: int


class Record(Model):
    """What is known about an archive; the JSON file beside it."""

    format: Literal[1] = 1
    digest: str = Field(description="Names the archive; made from what is in it.")
    environment: str = Field(description="The prefix it was made from.")
    kind: Literal["venv", "conda"]
    python_version: str = Field(description="As the packed interpreter said, such as 3.12.1.")
    prune: bool
    fingerprint: str = Field(description="Of the paths, sizes and times of all files.")
    files: int
    bytes_raw: int
    bytes_packed: int
    packages: dict[str, Package]
    left_out: list[LeftOut]
    pruned: list[str] = Field(description="Directories and kinds of files that were not needed.")
    segments: list[Segment]
    created: datetime
    imports: list[str] = Field(description="Modules that were imported from the unpacked archive.")
    not_importable: dict[str, str] = Field(
        description="Modules that cannot be imported in the environment either, and why."
    )
    base_hidden: bool = Field(
        description="Whether the environment and its base were hidden while it was proven."
    )


@dataclass(frozen=True)
class Archive:
    """A published archive."""

    path: Path
    record: Record


@dataclass(frozen=True)
class Drift:
    """What became of an environment since it was packed; names of distributions."""

    changed: list[str]
    added: list[str]
    removed: list[str]
    other: bool
    """Whether something changed that belongs to no distribution."""

    @property
    def sentence(self) -> str:
        """Say it in a sentence, `""` when nothing changed."""
        parts = []
        for names, verb in (
            (self.changed, "changed"),
            (self.added, "added"),
            (self.removed, "removed"),
        ):
            if names:
                noun = "package" if len(names) == 1 else "packages"
                parts.append(f"{len(names)} {noun} {verb}")
        if not parts:
            return "Files changed since packing." if self.other else ""
        return f"{', '.join(parts)} since packing."
