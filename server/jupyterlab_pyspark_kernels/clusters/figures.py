"""The figures of a cluster: what it has, what of that is free, and how it books an executor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

from .ask import NoAnswer

_MOST = 10**15
"""More than any cluster has of anything: whatever says so is no cluster."""

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)


class Node(BaseModel):
    """A machine, or what a cluster may use of it."""

    model_config = ConfigDict(frozen=True)

    cores_total: float = Field(description="Fractions occur on Kubernetes only.")
    cores_free: float
    memory_total_mib: int
    memory_free_mib: int


class Queue(BaseModel):
    """A queue that applications can be put into."""

    model_config = ConfigDict(frozen=True)

    name: str
    open: bool = Field(description="Whether it takes applications.")
    memory_free_mib: int | None = Field(
        description="What it may still take, if the nodes have it; null when it has no limit."
    )
    waiting: int = Field(description="Applications that wait in it.")


class Booking(BaseModel):
    """How a cluster books what an executor takes."""

    model_config = ConfigDict(frozen=True)

    step_mib: int = Field(1, description="Memory is rounded up to a multiple of it.")
    memory_max_mib: int | None = Field(
        None, description="More for one is refused, whatever the nodes have."
    )
    cores_max: int | None = Field(
        None, description="More for one is refused, whatever the nodes have."
    )
    cores_count: bool = Field(
        True, description="Whether cores are booked; a YARN may compare memory alone."
    )


class Capacity(BaseModel):
    """What a cluster has now. Nothing in it is text of the cluster but checked names of queues."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["standalone", "yarn", "kubernetes"]
    # Thousands of machines are of no use to a form.
    nodes: tuple[Node, ...] = Field(exclude=True)
    booking: Booking = Booking()
    queues: tuple[Queue, ...] = ()
    # As FairScheduler does, unless it was told not to.
    makes_queues: bool = Field(
        False, exclude=True, description="Whether one that is not there is made when asked for."
    )
    waiting: int = Field(description="Applications, on Kubernetes pods, that wait for room.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def node_count(self) -> int:
        """How many nodes take executors."""
        return len(self.nodes)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def cores_total(self) -> float:
        """Cores of all nodes."""
        return sum(node.cores_total for node in self.nodes)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def cores_free(self) -> float:
        """Free cores of all nodes."""
        return sum(node.cores_free for node in self.nodes)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def memory_total_mib(self) -> int:
        """MiB of all nodes."""
        return sum(node.memory_total_mib for node in self.nodes)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def memory_free_mib(self) -> int:
        """Free MiB of all nodes."""
        return sum(node.memory_free_mib for node in self.nodes)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def largest_node(self) -> Node | None:
        """The node with the most free memory, and of such the one with the most free cores."""
        return max(
            self.nodes, key=lambda node: (node.memory_free_mib, node.cores_free), default=None
        )


def count(data: object, name: str) -> int:
    """Give a figure of an answer.

    Raises:
        NoAnswer: when it is not there or not a figure.

    """
    value = part(data, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST:
        raise unlike(name)
    return int(value)


def part(data: object, name: str) -> Any:
    """Give a part of an object of an answer, `None` when it is not there.

    Raises:
        NoAnswer: when what should hold it is no object.

    """
    if not isinstance(data, Mapping):
        raise unlike(name)
    return data.get(name)


def items(data: object, name: str) -> list[Any]:
    """Give a list of an answer; Hadoop writes an empty one as null, or as an object without it.

    Raises:
        NoAnswer: when it is something else.

    """
    value = part(data, name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise unlike(name)
    return value


def unlike(name: str) -> NoAnswer:
    """Make the error for an answer that has something else where `name` should be."""
    return NoAnswer(f"The answer is not that of such a cluster: it has no figures of {name}.")


def queue_name(value: object) -> str | None:
    """Give the name of a queue, or `None` when it is none that could be shown or set."""
    return value if isinstance(value, str) and _QUEUE_NAME.fullmatch(value) else None
