"""A Kubernetes API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from ..errors import quoted
from .address import parse_address

_SCHEME = "k8s://"
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Kubernetes:
    """Executors are pods; the driver is the kernel.

    Attributes:
        scheme: `https` unless the URL says `http`, as in Spark.
        host: of the API server.
        port: of the API server.

    """

    forms: ClassVar = ("k8s://https://host:port",)
    option: ClassVar = "--master"
    has_executors: ClassVar = True
    archives: ClassVar = "spark.archives"

    scheme: str
    host: str
    port: int

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
        return cls(parts.scheme, *parse_address(parts.netloc, _PORTS[parts.scheme]))
