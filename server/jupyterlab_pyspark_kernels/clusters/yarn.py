"""Hadoop's resource manager, whose address stands in the Hadoop configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Yarn:
    """YARN in client mode: the driver is the kernel."""

    forms: ClassVar = ("yarn",)
    option: ClassVar = "--master"
    has_executors: ClassVar = True
    # Not spark.archives: the driver would hand it to the executors once more.
    archives: ClassVar = "spark.yarn.dist.archives"

    @classmethod
    def parse(cls, text: str) -> Yarn | None:
        """Read `text`, or return `None` when it is another kind."""
        return cls() if text == "yarn" else None
