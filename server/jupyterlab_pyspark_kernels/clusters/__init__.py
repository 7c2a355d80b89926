"""The masters that Spark knows, one module for each kind.

A master is read by `parse_master`. What it says of itself is an attribute of the kind's class, so
that nothing else compares text: whether it has executors of its own, which option hands it to
Spark, which setting hands archives to its executors (`None` when none does). Those that have
executors tell their capacity.
"""

from __future__ import annotations

from typing import TypeAlias

from ..errors import quoted
from .ask import NoAnswer
from .connect import Connect
from .figures import Booking, Capacity, Node, Queue
from .kubernetes import Kubernetes
from .local import Local, LocalCluster
from .running import Running
from .standalone import Standalone
from .yarn import Yarn

Master: TypeAlias = Local | LocalCluster | Standalone | Yarn | Kubernetes | Connect

KINDS: tuple[type[Master], ...] = (Local, LocalCluster, Standalone, Yarn, Kubernetes, Connect)

FORMS = ", ".join(form for kind in KINDS for form in kind.forms)
"""Every way to write a master, for messages and help texts."""


def parse_master(text: str) -> Master:
    """Read a master URL as `spark.master` takes it, or a Spark Connect URL.

    The grammar is Spark's own (`SparkMasterRegex` and `SparkConnectClientParser` in its sources).

    Raises:
        ValueError: with one sentence that says what is wrong and what is accepted.

    """
    for kind in KINDS:
        master = kind.parse(text)
        if master is not None:
            return master
    raise ValueError(f"{quoted(text)} is not a master. Write one of: {FORMS}")


__all__ = [
    "FORMS",
    "Booking",
    "Capacity",
    "Connect",
    "Kubernetes",
    "Local",
    "LocalCluster",
    "Master",
    "NoAnswer",
    "Node",
    "Queue",
    "Running",
    "Standalone",
    "Yarn",
    "parse_master",
]
