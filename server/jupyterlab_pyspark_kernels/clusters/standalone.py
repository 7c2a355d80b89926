"""Spark's own cluster manager."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from .address import parse_address, parse_port
from .ask import NoAnswer, Site, ask, first, tell
from .figures import Capacity, Node, count, items, part
from .running import Running, read_running

_SCHEME = "spark://"
_WEB_PORT = 8080
"""`spark.master.ui.port`, when it is not set."""

WEB_PORT = "spark.master.ui.port"

_STATE = "/json/"
_TOKEN = re.compile('name="(csrfToken)" value="([^"]{1,200})"')


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

    def capacity(
        self, settings: Mapping[str, str], env: Mapping[str, str], deadline: float
    ) -> Capacity:
        """Ask the master that leads, at its web interface.

        Args:
            settings: of the kernel; `spark.master.ui.port` tells where that is.
            env: the kernel's variables; so does SPARK_MASTER_WEBUI_PORT, as it does for Spark's own
                scripts.
            deadline: until when, of `time.monotonic()`.

        Raises:
            NoAnswer: when none of the masters tells.

        """
        return self._leader(settings, env, deadline)[2]

    def applications(
        self, user: str, settings: Mapping[str, str], env: Mapping[str, str], deadline: float
    ) -> tuple[Running, ...]:
        """Give what runs or waits of a user's.

        Raises:
            NoAnswer: when none of the masters tells.

        """
        _, answer, _ = self._leader(settings, env, deadline)
        running = read_running(answer, "activeapps", "cores")
        return tuple(application for application in running if application.user == user)

    def kill(
        self,
        application: str,
        user: str,
        settings: Mapping[str, str],
        env: Mapping[str, str],
        deadline: float,
    ) -> None:
        """End an application as the button of the master's page does.

        Raises:
            NoAnswer: when the master does not let us.

        """
        site, _, _ = self._leader(settings, env, deadline)
        kind = "application/x-www-form-urlencoded"
        # Newer masters give every form a token of theirs, which older ones do not know.
        _, page = tell(site, "GET", "/", "", kind, deadline)
        tokens = dict(_TOKEN.findall(page.decode("utf-8", "replace"))[:1])
        form = urlencode({"id": application, "terminate": "true", **tokens})
        tell(site, "POST", "/app/kill/", form, kind, deadline)
        # The answer is the same when nothing is killed.
        running = read_running(ask(site, _STATE, deadline), "activeapps", "cores")
        if any(one.id == application for one in running):
            raise NoAnswer(
                f"{site.name} at {site.host}:{site.port} does not end applications: "
                "spark.ui.killEnabled is false there, or you are not among those who may."
            )

    def _leader(
        self, settings: Mapping[str, str], env: Mapping[str, str], deadline: float
    ) -> tuple[Site, Any, Capacity]:
        """Give the master that leads, its answer, and what that says of the cluster."""
        web_port = parse_port(
            settings.get(WEB_PORT) or env.get("SPARK_MASTER_WEBUI_PORT"), _WEB_PORT
        )
        sites = [
            (Site("The master's web interface", "http", host, web_port), port)
            for host, port in self.masters
        ]

        def ask_one(site: tuple[Site, int], until: float) -> tuple[Site, Any, Capacity]:
            answer = ask(site[0], _STATE, until)
            return site[0], answer, read_state(answer, site[1])

        try:
            return first(sites, ask_one, deadline)
        except NoAnswer as error:
            raise NoAnswer(
                f"{error} Set spark.master.ui.port where it listens on another port."
            ) from None


def read_state(state: object, port: int) -> Capacity:
    """Read what a master tells of itself (`JsonProtocol.writeMasterState` in Spark's sources).

    Args:
        state: the answer.
        port: that applications find the master at, by which a neighbour's answer is known.

    Raises:
        NoAnswer: when it is another master's answer, or one that does not lead, or no master's.

    """
    url, status = part(state, "url"), part(state, "status")
    if not isinstance(url, str) or _port(url) != port:
        raise NoAnswer(f"The web interface that answers is not that of the master at port {port}.")
    if status != "ALIVE":
        raise NoAnswer("The master that answers does not lead its cluster now.")
    alive = [worker for worker in items(state, "workers") if part(worker, "state") == "ALIVE"]
    applications = items(state, "activeapps")
    return Capacity(
        kind="standalone",
        nodes=tuple(map(_node, alive)),
        waiting=sum(part(application, "state") == "WAITING" for application in applications),
    )


def _node(worker: object) -> Node:
    return Node(
        cores_total=count(worker, "cores"),
        cores_free=count(worker, "coresfree"),
        memory_total_mib=count(worker, "memory"),
        memory_free_mib=count(worker, "memoryfree"),
    )


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None
