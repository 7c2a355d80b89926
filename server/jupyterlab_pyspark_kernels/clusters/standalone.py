"""Spark's own cluster manager."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .address import parse_address

_SCHEME = "spark://"


@dataclass(frozen=True)
class Standalone:
    """One master, or several of which one leads.

    Attributes:
        masters: host and port of each.

    """

    forms: ClassVar = ("spark://host:7077", "spark://a:7077,b:7077")
    option: ClassVar = "--master"
    has_executors: ClassVar = True
    archives: ClassVar = "spark.archives"

    masters: tuple[tuple[str, int], ...]

    @classmethod
    def parse(cls, text: str) -> Standalone | None:
        """Read `text`, or return `None` when it is another kind.

        Raises:
            ValueError: when one of the addresses is wrong.

        """
        if not text.startswith(_SCHEME):
            return None
        return cls(tuple(map(parse_address, text.removeprefix(_SCHEME).split(","))))
