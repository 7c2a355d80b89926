"""The applications that a cluster says are running."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .figures import count, items, part

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class Running:
    """An application as its cluster describes it.

    Attributes:
        id: as Spark knows it too.
        name: whatever somebody called it.
        user: whose it is.
        cores: of its executors.
        tags: on YARN.

    """

    id: str
    name: str
    user: str
    cores: int
    tags: tuple[str, ...] = ()


def read_running(answer: object, name: str, cores: str) -> Iterator[Running]:
    """Read the applications of an answer.

    Args:
        answer: of the cluster.
        name: of the list in it.
        cores: what the cores of each are called.

    Raises:
        NoAnswer: when it is not the answer of such a cluster.

    """
    for one in items(answer, name):
        identity = part(one, "id")
        if isinstance(identity, str) and _ID.fullmatch(identity):
            tags = str(part(one, "applicationTags") or "")
            yield Running(
                id=identity,
                name=str(part(one, "name") or ""),
                user=str(part(one, "user") or ""),
                # YARN has -1 before there is a container.
                cores=0 if part(one, cores) in (None, -1) else count(one, cores),
                tags=tuple(tag.strip() for tag in tags.split(",") if tag.strip()),
            )
