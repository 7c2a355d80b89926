"""Host and port of a master, checked the same way for every kind that has them."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ..errors import quoted
from .ask import NoAnswer

_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_-]+)*\.?")


def parse_address(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Read `host:port`, `[ipv6]:port` or, where a default port exists, the host alone.

    Raises:
        ValueError: with one sentence naming the address and what is wrong with it.

    """
    if "@" in text:
        # Not quoted back: what stands before the @ may be a password.
        raise ValueError(
            "A master must not hold a user name or password, which everybody could read. "
            "Remove what stands before the @"
        )
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(
            f"{quoted(text)} is not an address. Write host:port, the port from 1 to 65535"
        ) from None
    if host is None or parts.path or parts.query or parts.fragment or not _is_host(host):
        raise ValueError(f"{quoted(text)} is not an address. Write host:port")
    if port is None:
        port = default_port
    if port is None:
        raise ValueError(
            f"{quoted(text)} lacks the port. Write {host}:7077 or the port it listens on"
        )
    if port == 0:
        raise ValueError(
            f"{quoted(text)} names port 0. Write the port it listens on, from 1 to 65535"
        )
    return host, port


def parse_port(text: str | None, default: int) -> int:
    """Read a port that somebody set, or give the default where nobody did.

    Raises:
        NoAnswer: when it is not a port, as nobody can be asked there.

    """
    if not text:
        return default
    if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) and 1 <= int(text) <= 65535:
        return int(text)
    raise NoAnswer(f"{quoted(text)} is not a port. Use a number from 1 to 65535.")


def _is_host(host: str) -> bool:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return _HOST.fullmatch(host) is not None
