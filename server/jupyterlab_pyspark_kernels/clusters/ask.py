"""Asks a cluster's web interface, trusting neither its answer nor where its name leads to.

The name is resolved once, and that very address is connected to. No redirect is followed, and no
proxy of the environment is used. The limits hold for the whole of it: a server that sends a byte a
second is as slow as one that sends none.
"""

from __future__ import annotations

import io
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any, TypeVar

MAX_BYTES = 4 * 1024**2
"""Of one answer."""

Some = TypeVar("Some")
Answer = TypeVar("Answer")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses whose last 32 bits are the IPv4 address that is meant (RFC 6052)."""

_CLOUD = {
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")
}
"""Where clouds tell a machine its secrets at addresses that are not link-local: Amazon and Google
over IPv6, Alibaba, Azure."""


class NoAnswer(Exception):
    """What was asked gives no answer that can be used; the message holds no text of the answer.

    Attributes:
        status: the HTTP status of the answer, 0 when there was none.

    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Site:
    """Where a cluster is asked.

    Attributes:
        name: what it is called in sentences.
        scheme: `http` or `https`.
        host: a name or an IP address.
        port: it listens on.
        path: begins every path below it; empty or with a leading slash.
        headers: to send besides those of HTTP itself.
        authorities: the file of the authorities to trust; the system's by default.

    """

    name: str
    scheme: str
    host: str
    port: int
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    authorities: str | None = None


def ask(site: Site, path: str, deadline: float) -> Any:
    """Ask with GET, and read the answer as JSON.

    Args:
        site: whom to ask.
        path: what to ask for, with the query.
        deadline: until when, of `time.monotonic()`: from the name to the answer's last byte.

    Raises:
        NoAnswer: when there is no answer, or none of status 200, or it is too large or not JSON.

    """
    try:
        return _parse(_fetch(site, path, deadline))
    except NoAnswer as error:
        sentence = f"{site.name} at {site.host}:{site.port} {error}."
        raise NoAnswer(sentence, error.status) from None


def tell(
    site: Site, method: str, path: str, body: str, kind: str, deadline: float
) -> tuple[int, bytes]:
    """Tell a cluster to do something; give the status and the content of its answer.

    Args:
        site: whom to tell.
        method: of HTTP.
        path: where, with the query.
        body: what to send.
        kind: the body's content type.
        deadline: until when, of `time.monotonic()`.

    Raises:
        NoAnswer: when there is no answer.

    """
    try:
        return _exchange(site, method, path, deadline, body, {"Content-Type": kind})
    except NoAnswer as error:
        raise NoAnswer(f"{site.name} at {site.host}:{site.port} {error}.") from None


def first(
    sites: Sequence[Some], ask_one: Callable[[Some, float], Answer], deadline: float
) -> Answer:
    """Ask several, each of which has its share of the time, and give the first answer.

    Raises:
        NoAnswer: when none answers: what the first one lacks.

    """
    silent: list[NoAnswer] = []
    for left, site in zip(range(len(sites), 0, -1), sites, strict=True):
        now = time.monotonic()
        try:
            return ask_one(site, now + (deadline - now) / left)
        except NoAnswer as error:
            silent.append(error)
    raise silent[0] if silent else NoAnswer("There is nobody to ask.")


def _fetch(site: Site, path: str, deadline: float) -> bytes:
    """Give what is answered with the status 200.

    Raises:
        NoAnswer: with the end of a sentence that begins with who was asked.

    """
    status, content = _exchange(site, "GET", path, deadline)
    _check_status(status)
    return content


def _exchange(
    site: Site,
    method: str,
    path: str,
    deadline: float,
    body: str | None = None,
    more: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    """Give the status and the content of an answer, whatever they are.

    Raises:
        NoAnswer: with the end of a sentence that begins with who was asked.

    """
    connection = _Connection(site, _resolve(site.host, site.port, deadline), deadline)
    headers = {"Accept": "application/json", **site.headers, **(more or {})}
    try:
        connection.request(method, site.path + path, body=body, headers=headers)
        with connection.getresponse() as response:
            return response.status, response.read(MAX_BYTES + 1)
    except TimeoutError:
        raise NoAnswer("does not answer in time") from None
    except ssl.SSLCertVerificationError:
        raise NoAnswer("shows a certificate that is not trusted here") from None
    except ssl.SSLError:
        raise NoAnswer("does not speak TLS as it should") from None
    except ConnectionRefusedError:
        raise NoAnswer("refuses the connection") from None
    except HTTPException:
        raise NoAnswer("does not speak HTTP as it should") from None
    except OSError:
        raise NoAnswer("cannot be reached, or breaks the connection") from None
    finally:
        connection.close()


def _check_status(status: int) -> None:
    if 300 <= status < 400:
        raise NoAnswer("answers with a redirect, which is not followed", status)
    if status in (401, 403):
        raise NoAnswer(f"does not allow it (status {status})", status)
    if status != 200:
        raise NoAnswer(f"answers with the status {status}", status)


def _parse(content: bytes) -> Any:
    if len(content) > MAX_BYTES:
        raise NoAnswer(f"answers with more than {MAX_BYTES // 1024**2} MiB")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise NoAnswer("answers with something that is not JSON") from None


# --- where a name leads to ----------------------------------------------------------------------


def _resolve(host: str, port: int, deadline: float) -> tuple[str, int]:
    """Give the address and port to connect to.

    Raises:
        NoAnswer: when there is none, or one of them must not be asked.

    """
    found: list[Any] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            # It is told by what was not found.
            return

    # The system's resolver knows no time limit; a thread can be left behind.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if thread.is_alive():
        raise NoAnswer("has a name that is not resolved in time")
    if not found:
        raise NoAnswer("has a name that is not known here")
    addresses = [(str(info[4][0]), int(info[4][1])) for info in found]
    if any(is_forbidden(address) for address, _ in addresses):
        raise NoAnswer("has an address that is never asked, as machines keep secrets there")
    # Of several, IPv4 first: what listens on one of both, listens there.
    return min(addresses, key=lambda address: ":" in address[0])


def is_forbidden(text: str) -> bool:
    """Tell whether an IP address is one that no cluster has but secrets of machines may have."""
    address = _meant(ipaddress.ip_address(text.partition("%")[0]))
    return (
        address.is_link_local or address.is_multicast or address.is_unspecified or address in _CLOUD
    )


def _meant(address: _Address) -> _Address:
    """Give the IPv4 address that an IPv6 address stands for, if it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


# --- a connection with an end -------------------------------------------------------------------


class _Connection(HTTPConnection):
    """Connects to one address, whatever the host's name resolves to meanwhile."""

    def __init__(self, site: Site, address: tuple[str, int], deadline: float) -> None:
        super().__init__(site.host, site.port)
        self._site = site
        self._address = address
        self._deadline = deadline

    def connect(self) -> None:
        """Connect, and speak TLS when that is asked for."""
        plain = socket.create_connection(self._address, _left(self._deadline))
        if self._site.scheme == "http":
            self.sock = _Timed(plain, self._deadline)
            return
        try:
            tls = ssl.create_default_context(cafile=self._site.authorities)
            plain.settimeout(_left(self._deadline))
            secure = tls.wrap_socket(plain, server_hostname=self._site.host)
        except BaseException:
            plain.close()
            raise
        self.sock = _Timed(secure, self._deadline)


class _Timed:
    """What http.client needs of a socket, all of which ends at a deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._sock, self._deadline))

    def close(self) -> None:
        self._sock.close()


class _Incoming(io.RawIOBase):
    """What arrives before a deadline; it outlives the socket, which http.client closes early."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(deadline: float) -> float:
    """Give the seconds until a deadline.

    Raises:
        TimeoutError: when it has passed.

    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
