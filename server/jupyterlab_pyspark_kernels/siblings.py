"""The other Jupyter servers of this user that run on this machine, and their kernels.

Jupyter's own list takes away the files of servers that do not run here, which may run on another
machine with the same home. Only what listens as this user is sent a token.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clusters import NoAnswer
from .clusters.ask import Site, ask
from .errors import CannotBeDone, KernelError, quoted
from .processes import own_process
from .sparkui import own_listener, read_own

_SECONDS = 3.0
_MOST = 16
"""More servers of one user are not asked; the kernels of the others count as theirs."""

_SLACK_SECONDS = 2.0
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104


@dataclass(frozen=True)
class Held:
    """A kernel that a server has.

    Attributes:
        name: of its kernelspec.
        path: of the notebook, if it has one.
        busy: whether a cell runs.

    """

    name: str
    path: str | None = None
    busy: bool = False


@dataclass
class Siblings:
    """What the servers answered.

    Attributes:
        kernels: by their ids.
        silent: what to say of those that did not answer.

    """

    kernels: dict[str, Held] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)


def ask_siblings(runtime: Path) -> Siblings:
    """Ask the servers of a runtime directory, other than this process, for their kernels."""
    servers = list(_servers(runtime))
    found = Siblings()
    deadline = time.monotonic() + _SECONDS
    with ThreadPoolExecutor(_MOST) as threads:
        for answer in threads.map(lambda server: _ask(server, deadline), servers[:_MOST]):
            if isinstance(answer, str):
                found.silent.append(answer)
            else:
                found.kernels.update(answer)
    found.silent += [_silence(server, "is one of too many") for server in servers[_MOST:]]
    return found


def _servers(runtime: Path) -> Iterator[Mapping[str, Any]]:
    try:
        names = sorted(os.listdir(runtime))
    except FileNotFoundError:
        return
    for name in names:
        if not re.fullmatch(r"jpserver-\d+\.json", name):
            continue
        try:
            written = (runtime / name).stat().st_mtime
            info = read_own(runtime, name)
        except (OSError, ValueError, KernelError):
            # It ends at this moment, or is none of ours.
            continue
        if not isinstance(info, dict) or info.get("pid") == os.getpid():
            continue
        process = own_process(info.get("pid"))
        if process is not None and process.started <= written + _SLACK_SECONDS:
            yield info


def _ask(info: Mapping[str, Any], deadline: float) -> dict[str, Held] | str:
    try:
        site = _site(info)
        base = str(info.get("base_url") or "/")
        kernels = ask(site, f"{base}api/kernels", deadline)
        sessions = ask(site, f"{base}api/sessions", deadline)
        return _read(kernels, sessions)
    except (NoAnswer, CannotBeDone, KeyError, TypeError, ValueError) as error:
        return _silence(info, "does not answer" if isinstance(error, NoAnswer) else "is not asked")


def _site(info: Mapping[str, Any]) -> Site:
    host, port = str(info["hostname"]), int(info["port"])
    if info.get("sock") or info.get("secure"):
        raise ValueError("it has a socket, or a certificate that nobody here can check")
    address = own_listener(_EVERYWHERE.get(host, host), port)
    if address is None:
        raise ValueError("it could be somebody else's")
    token = {"Authorization": f"token {info['token']}"} if info.get("token") else {}
    return Site("The Jupyter server", "http", address, port, headers=token)


def _read(kernels: Any, sessions: Any) -> dict[str, Held]:
    paths = {str(one["kernel"]["id"]): str(one["path"]) for one in sessions if one.get("kernel")}
    return {
        str(one["id"]): Held(
            str(one["name"]), paths.get(str(one["id"])), one.get("execution_state") == "busy"
        )
        for one in kernels
    }


def _silence(info: Mapping[str, Any], why: str) -> str:
    return (
        f"The Jupyter server {quoted(info.get('url'))} {why}, so kernels that no other server has "
        "are taken for its own."
    )
