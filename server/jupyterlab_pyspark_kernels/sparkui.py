"""Where the driver of a running kernel has its Spark UI, and that nobody else listens there.

The address is never part of a request. The driver tells it in the launcher's status file, which
only counts when nobody but this user could have written it; and as code in a notebook can write it
as well, it has to be an address of this machine, with a port that a process of this user listens
on: nothing that this user could not reach without a server.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .errors import CannotBeDone, Missing, NotAllowed, quoted, why
from .jsontext import parse_json
from .kernel.status import STATUS_DIRECTORY

_STATUS_BYTES = 1024**2
_LISTENING = "0A"
_SOCKETS = Path("/proc/self/net")
_NOT_LINKED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Driver:
    """What a driver tells of its UI.

    Attributes:
        told: the address as the driver tells it; `None` when it has no UI.
        tracking: YARN's own link to it, if Spark was given one.
        stage: how far its Spark is.

    """

    told: str | None
    tracking: str | None
    stage: str


def driver_of(kernel: str, running: Container[str], runtime: Path) -> Driver:
    """Read what the driver of a kernel tells.

    Args:
        kernel: the id.
        running: the ids of this server's kernels.
        runtime: the directory of their connection files.

    Raises:
        KernelError: when it is no kernel of this server, or there is nothing to be trusted.

    """
    if kernel not in running:
        raise Missing.at(
            "", f"No kernel {quoted(kernel)} runs here. Open the UI from its notebook."
        )
    status = _status(runtime / STATUS_DIRECTORY, f"{kernel}.json")
    told, tracking = (_text(status.get(name)) for name in ("ui", "tracking"))
    # Where there is no UI any more, nothing leads to one.
    return Driver(told, _link(tracking) if told else None, str(status.get("stage") or ""))


def ui_address(driver: Driver) -> tuple[str, int]:
    """Give host and port of a driver's UI, once it is certain that it is this user's.

    Raises:
        KernelError: when there is none, or it could be somebody else's.

    """
    if driver.told is None:
        raise CannotBeDone.at("", _why_none(driver.stage))
    host, port = _parts(driver.told)
    own = [address for address in _resolved(host) if _is_of_this_machine(address)]
    if not own:
        raise NotAllowed.at(
            "",
            f"The driver tells that its Spark UI is at {quoted(driver.told)}, which is not this "
            "machine, and the server goes nowhere else. Leave SPARK_PUBLIC_DNS unset, and "
            "spark.driver.host at a name or address of this machine.",
        )
    owners = list(_listeners(port))
    for address in own:
        if _who_listens(owners, address) == {os.geteuid()}:
            return str(address), port
    reason = "belongs to another user" if owners else "has nobody who listens"
    raise NotAllowed.at(
        "",
        f"Port {port} of this machine, where the driver tells that its Spark UI is, {reason}. "
        "Run a cell that uses Spark, or restart the kernel.",
    )


def own_listener(host: str, port: int) -> str | None:
    """Give the address of this machine at which this user, and nobody else, listens.

    Raises:
        CannotBeDone: when this system does not tell whose a port is.

    """
    owners = list(_listeners(port))
    for address in _resolved(host):
        if _is_of_this_machine(address) and _who_listens(owners, address) == {os.geteuid()}:
            return str(address)
    return None


def _who_listens(owners: list[tuple[Address, int]], address: Address) -> set[int]:
    return {uid for at, uid in owners if _takes(at, address)}


def _why_none(stage: str) -> str:
    if stage == "ready":
        return (
            "Spark has no UI here: spark.ui.enabled is false, or Spark runs in a Connect server. "
            "Set spark.ui.enabled to true in the kernel and restart it, or ask for the server's UI."
        )
    if stage in ("jvm", "connecting", "executors", "returning"):
        return "Spark is starting, and has no UI yet. Try again when it is there."
    return "Spark does not run in this kernel, so it has no UI. Run a cell that uses Spark."


# --- what the launcher wrote -------------------------------------------------------------------


def _status(folder: Path, name: str) -> Mapping[str, Any]:
    try:
        found = read_own(folder, name)
    except FileNotFoundError:
        raise CannotBeDone.at(
            "",
            "This kernel tells nothing of a Spark. Use a kernel that was made with “Create "
            "PySpark Kernel”.",
        ) from None
    except (OSError, ValueError) as error:
        raise NotAllowed.at(
            "",
            f"What the kernel tells of its Spark cannot be used: {why(error)}. Restart the kernel.",
        ) from None
    if not isinstance(found, dict):
        raise CannotBeDone.at("", "The kernel's status is no JSON object. Restart the kernel.")
    return found


def read_own(folder: Path, name: str) -> Any:
    """Read a JSON file that nobody but this user could have written.

    Raises:
        OSError: when it is not there, or a link.
        ValueError: when somebody else could have written it, or it is no JSON.

    """
    directory = os.open(folder, _NOT_LINKED | os.O_DIRECTORY)
    try:
        _only_ours(directory)
        file = os.open(name, _NOT_LINKED, dir_fd=directory)
    finally:
        os.close(directory)
    with open(file, "rb") as status:
        _only_ours(file)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise ValueError("it is no regular file")
        return parse_json(status.read(_STATUS_BYTES), "The status")


def _only_ours(descriptor: int) -> None:
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        raise ValueError("its file belongs to somebody else")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError("others can write to its file")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _link(told: str | None) -> str | None:
    """Give a link if a browser may follow it; nothing else may become one."""
    if told is None or not told.isprintable():
        return None
    try:
        parts = urlsplit(told)
    except ValueError:
        return None
    return told if parts.scheme in ("http", "https") and parts.hostname else None


# --- whose address it is -----------------------------------------------------------------------


def _parts(told: str) -> tuple[str, int]:
    try:
        parts: SplitResult | None = urlsplit(told)
        port = parts.port if parts else None
    except ValueError:
        parts, port = None, None
    if parts is not None and parts.scheme == "https":
        raise CannotBeDone.at(
            "",
            f"Spark's UI has TLS of its own at {quoted(told)}, with a certificate that the server "
            "cannot check. Open it there, or set spark.ssl.ui.enabled to false: behind this "
            "server it is as safe as the notebook.",
        )
    if parts is None or parts.scheme != "http" or not parts.hostname or not port:
        raise NotAllowed.at("", f"{quoted(told)} is no address of a Spark UI. Restart the kernel.")
    return parts.hostname, port


def _resolved(host: str) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ip_address(address[0]) for *_, address in found]


def _is_of_this_machine(address: Address) -> bool:
    if address.is_unspecified or address.is_multicast:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family) as probe:
            # The system binds to no address but its own.
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _listeners(port: int) -> Iterator[tuple[Address, int]]:
    """Give the addresses that somebody listens at with this port, and the user of each."""
    try:
        tables = [
            table.read_text()
            for table in (_SOCKETS / "tcp", _SOCKETS / "tcp6")
            # There is none of version 6 where that is switched off.
            if table.name == "tcp" or table.exists()
        ]
    except FileNotFoundError:
        raise CannotBeDone.at(
            "",
            "This system does not tell whose a port is, so the server shows no Spark UI. "
            "Open the address that sc.uiWebUrl gives.",
        ) from None
    for line in (line for table in tables for line in table.splitlines()[1:]):
        _, local, _, state, _, _, _, uid, *_ = line.split()
        address, _, number = local.partition(":")
        if state == _LISTENING and int(number, 16) == port:
            yield _read_address(address), int(uid)


def _read_address(written: str) -> Address:
    """Read an address as Linux writes it: words of 32 bits, each in the machine's own order."""
    raw = bytes.fromhex(written)
    words = [raw[at : at + 4] for at in range(0, len(raw), 4)]
    address = ip_address(
        b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    )
    return getattr(address, "ipv4_mapped", None) or address


def _takes(listening: Address, address: Address) -> bool:
    """Tell whether who listens at one address gets what is sent to another."""
    if listening.is_unspecified:
        # A socket of version 6 takes version 4 as well.
        return listening.version >= address.version
    return listening == address
