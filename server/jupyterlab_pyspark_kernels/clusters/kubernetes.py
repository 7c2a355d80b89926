"""A Kubernetes API server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, urlsplit

from ..errors import quoted
from ..files import read_small
from .address import parse_address
from .ask import NoAnswer, Site, ask
from .figures import Capacity, Node, items, part, unlike

_SCHEME = "k8s://"
_PORTS = {"https": 443, "http": 80}

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's token and the authority of its API server."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}", re.ASCII)
_PAGE = 250
"""Nodes or pods of one answer, so that it is not too large."""

_MOST = Decimal(10) ** 20
"""More bytes than any node has."""

_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)([eE][0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?")
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


@dataclass(frozen=True)
class Kubernetes:
    """Executors are pods; the driver is the kernel.

    Attributes:
        scheme: `https` unless the URL says `http`, as in Spark.
        host: of the API server.
        port: of the API server.
        path: that the API lies below; empty or with a leading slash.

    """

    forms: ClassVar = ("k8s://https://host:port",)
    option: ClassVar = "--master"
    has_executors: ClassVar = True
    archives: ClassVar = "spark.archives"

    scheme: str
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Kubernetes | None:
        """Read `text`, or return `None` when it is another kind.

        Raises:
            ValueError: when the API server's URL is wrong.

        """
        if not text.startswith(_SCHEME):
            return None
        url = text.removeprefix(_SCHEME)
        if "://" not in url:
            url = f"https://{url}"
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise ValueError(
                f"{quoted(text)} is not a Kubernetes master. Write k8s://https://host:port"
            )
        if parts.query or parts.fragment:
            raise ValueError(
                f"{quoted(text)} has more than an address. Write k8s://https://host:port"
            )
        # A path is allowed: gateways such as Rancher serve the API below one.
        address = parse_address(parts.netloc, _PORTS[parts.scheme])
        return cls(parts.scheme, *address, parts.path.rstrip("/"))

    def capacity(
        self, settings: Mapping[str, str], env: Mapping[str, str], deadline: float
    ) -> Capacity:
        """Ask the API server for its nodes and pods.

        Args:
            settings: of the kernel; `spark.kubernetes.authenticate.oauthTokenFile` and
                `…caCertFile` name the token and the authority, as they do for Spark in client mode.
            env: the kernel's variables; none is used.
            deadline: until when, of `time.monotonic()`.

        Raises:
            NoAnswer: when it does not tell.

        """
        site = self._site(settings)
        try:
            return read_cluster(
                _all(site, "/api/v1/nodes", deadline), _all(site, "/api/v1/pods", deadline)
            )
        except NoAnswer as error:
            if error.status not in (401, 403):
                raise
            raise NoAnswer(
                f"{error} The figures need an account that may list nodes and pods of the whole "
                "cluster; kernels need none.",
                error.status,
            ) from None

    def _site(self, settings: Mapping[str, str]) -> Site:
        token, authorities = (
            settings.get(f"spark.kubernetes.authenticate.{name}")
            for name in ("oauthTokenFile", "caCertFile")
        )
        # The pod's token is for its own API server and for nobody else's.
        if self._is_ours():
            token = token or _existing(_ACCOUNT / "token")
            authorities = authorities or _existing(_ACCOUNT / "ca.crt")
        if authorities is not None and not os.path.isfile(authorities):
            raise NoAnswer(f"{quoted(authorities)}, which tells whom to trust, is not there.")
        # Without TLS everybody on the way could read it.
        headers = {} if token is None or self.scheme == "http" else _authorization(token)
        return Site(
            "The Kubernetes API",
            *(self.scheme, self.host, self.port, quote(self.path, safe="/%")),
            headers=headers,
            authorities=authorities,
        )

    def _is_ours(self) -> bool:
        # The kernel's own variables could name any server.
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        names = {host, "kubernetes.default.svc", "kubernetes.default"}
        return host is not None and self.host in names and str(self.port) in (port, "443")


def _existing(path: Path) -> str | None:
    return str(path) if path.is_file() else None


def _authorization(path: str) -> dict[str, str]:
    """Read a token.

    Raises:
        NoAnswer: when there is none, so that no other file is ever sent.

    """
    try:
        token = read_small(Path(path)).decode("ascii").strip()
    except (OSError, ValueError):
        token = ""
    if _TOKEN.fullmatch(token) is None:
        raise NoAnswer(f"{quoted(path)} holds no token.")
    return {"Authorization": f"Bearer {token}"}


def _all(site: Site, path: str, deadline: float) -> Iterator[object]:
    """Give all of a kind, page by page, so that no more than a page is ever kept.

    Raises:
        NoAnswer: when the API does not give them.

    """
    more: object = ""
    while more is not None:
        query = f"?limit={_PAGE}" + (f"&continue={quote(str(more), safe='')}" if more else "")
        answer = ask(site, path + query, deadline)
        if part(answer, "items") is None:
            raise unlike("items")
        yield from items(answer, "items")
        more = part(part(answer, "metadata") or {}, "continue") or None


# --- from answers to figures --------------------------------------------------------------------


def read_cluster(nodes: Iterable[object], pods: Iterable[object]) -> Capacity:
    """Make figures of nodes and pods as the API gives them.

    What a node has for pods, less what its pods have asked for, is free: the scheduler goes by that
    and not by what is used.

    Raises:
        NoAnswer: when they are not nodes and pods.

    """
    asked: dict[str, tuple[Decimal, Decimal]] = {}
    waiting = 0
    for pod in pods:
        spec, phase = part(pod, "spec") or {}, part(part(pod, "status") or {}, "phase")
        if phase in ("Succeeded", "Failed"):
            continue
        name = part(spec, "nodeName")
        if not isinstance(name, str):
            waiting += 1
            continue
        cores, memory = asked.get(name, (Decimal(0), Decimal(0)))
        asked[name] = (cores + _requested(spec, "cpu"), memory + _requested(spec, "memory"))
    found = (
        _node(node, asked.get(str(part(part(node, "metadata"), "name")), (Decimal(0), Decimal(0))))
        for node in nodes
        if _takes_pods(node)
    )
    return Capacity(kind="kubernetes", nodes=tuple(found), waiting=waiting)


def _takes_pods(node: object) -> bool:
    """Tell whether a node is ready, and for pods that tolerate nothing special."""
    spec, status = part(node, "spec") or {}, part(node, "status") or {}
    is_ready = any(
        part(condition, "type") == "Ready" and part(condition, "status") == "True"
        for condition in items(status, "conditions")
    )
    is_closed = part(spec, "unschedulable") is True or any(
        part(taint, "effect") in ("NoSchedule", "NoExecute") for taint in items(spec, "taints")
    )
    return is_ready and not is_closed


def _node(node: object, asked: tuple[Decimal, Decimal]) -> Node:
    has = part(part(node, "status"), "allocatable")
    cores, memory = (quantity(part(has, name)) for name in ("cpu", "memory"))
    return Node(
        cores_total=_cores(cores),
        cores_free=_cores(cores - asked[0]),
        memory_total_mib=_mib(memory),
        memory_free_mib=_mib(memory - asked[1]),
    )


def _requested(spec: object, resource: str) -> Decimal:
    """Give what the scheduler counts for a pod.

    The sum of its containers, or what it takes at one moment of its start if that is more; init
    containers that stay (`restartPolicy: Always`) count in both (Kubernetes, "Sidecar containers",
    resource sharing within containers).
    """
    staying = starting = Decimal(0)
    for container in items(spec, "initContainers"):
        amount = _request(container, resource)
        if part(container, "restartPolicy") == "Always":
            staying += amount
            starting = max(starting, staying)
        else:
            starting = max(starting, staying + amount)
    running = staying + sum(_request(one, resource) for one in items(spec, "containers"))
    overhead = part(part(spec, "overhead") or {}, resource)
    return max(running, starting) + (quantity(overhead) if overhead is not None else 0)


def _request(container: object, resource: str) -> Decimal:
    requests = part(part(container, "resources") or {}, "requests") or {}
    value = part(requests, resource)
    return Decimal(0) if value is None else quantity(value)


def quantity(value: object) -> Decimal:
    """Read a quantity of Kubernetes: `500m`, `2`, `1.5Gi`, `129M`, `1e3`.

    Raises:
        NoAnswer: when it is none.

    """
    match = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int) else None
    if match is None:
        raise unlike("cpu and memory")
    number, suffix = Decimal(match[1]), match[2]
    amount = number * (_factor(suffix) if suffix else 1)
    if amount > _MOST:
        raise unlike("cpu and memory")
    return amount


def _factor(suffix: str) -> Decimal:
    return _SUFFIXES[suffix] if suffix in _SUFFIXES else Decimal(f"1{suffix}")


def _cores(amount: Decimal) -> float:
    return max(0.0, int(amount * 1000) / 1000)


def _mib(amount: Decimal) -> int:
    return max(0, int(amount / 1024**2))
