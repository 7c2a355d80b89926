"""Spark inside the kernel's own JVM, or a small cluster of JVMs on the same machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from .figures import Capacity, Node

_LOCAL = re.compile(
    r"local(?:\[\s*(?P<threads>\*|[1-9][0-9]{0,4})\s*(?:,\s*(?P<failures>[1-9][0-9]{0,4})\s*)?\])?",
    re.ASCII,
)
_CLUSTER = re.compile(
    r"local-cluster\[\s*([1-9][0-9]{0,3})\s*,\s*([1-9][0-9]{0,3})\s*,\s*([1-9][0-9]{0,8})\s*\]",
    re.ASCII,
)


@dataclass(frozen=True)
class Local:
    """Driver and executor are one JVM.

    Attributes:
        threads: how many tasks run at once; `None` means one for each core.
        failures: how often one task may fail; `None` means Spark's default.

    """

    forms: ClassVar = ("local", "local[n]", "local[*]", "local[n,f]")
    option: ClassVar = "--master"
    has_executors: ClassVar = False
    archives: ClassVar = None

    threads: int | None
    failures: int | None

    @classmethod
    def parse(cls, text: str) -> Local | None:
        """Read `text`, or return `None` when it is another kind."""
        match = _LOCAL.fullmatch(text)
        if match is None:
            return None
        threads, failures = match["threads"] or "1", match["failures"]
        return cls(
            None if threads == "*" else int(threads),
            None if failures is None else int(failures),
        )


@dataclass(frozen=True)
class LocalCluster:
    """A standalone master with workers, all started by the driver on this machine.

    Attributes:
        workers: how many worker JVMs.
        cores: cores of each worker.
        memory: memory of each worker in MiB.

    """

    forms: ClassVar = ("local-cluster[workers,cores,MiB]",)
    option: ClassVar = "--master"
    has_executors: ClassVar = True
    archives: ClassVar = "spark.archives"

    workers: int
    cores: int
    memory: int

    @classmethod
    def parse(cls, text: str) -> LocalCluster | None:
        """Read `text`, or return `None` when it is another kind."""
        match = _CLUSTER.fullmatch(text)
        return None if match is None else cls(*(int(group) for group in match.groups()))

    def capacity(
        self, settings: Mapping[str, str], env: Mapping[str, str], deadline: float
    ) -> Capacity:
        """Give what the cluster will have: it is there for its kernel alone."""
        worker = Node(
            cores_total=self.cores,
            cores_free=self.cores,
            memory_total_mib=self.memory,
            memory_free_mib=self.memory,
        )
        return Capacity(kind="standalone", nodes=(worker,) * self.workers, waiting=0)
