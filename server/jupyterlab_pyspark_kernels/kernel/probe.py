"""Whether somebody answers where a master is said to be."""

from __future__ import annotations

import socket
import struct
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Optional, Sequence, Tuple
from urllib.parse import urlsplit

from .connect import DEFAULT_PORT, HTTP2_PREFACE
from .failure import SparkStartError
from .options import without_token

_PROBE_SECONDS = 3
_SILENCE_SECONDS = 8
"""Longer than a master that lives is busy with something else."""
_SILENT = "silence"


def probe(master: str) -> None:
    """Make sure that somebody listens where a master is said to be, and answers.

    Spark itself tries a dead master for more than a minute and then gives a context without an
    error, whose first job fails with a message about serialisation.

    Raises:
        SparkStartError: when nobody answers.
    """
    if master.startswith("spark://"):
        parts = [urlsplit(f"//{address}") for address in master[len("spark://") :].split(",")]
        what, question = "Spark master", _FILE_REQUEST
    elif master.startswith("sc://"):
        parts = [urlsplit(master.partition(";")[0])]
        what, question = "Spark Connect server", HTTP2_PREFACE
    else:
        return
    addresses = [(part.hostname or "", part.port or DEFAULT_PORT) for part in parts]
    ask(what, without_token(master), addresses, question)


def ask(what: str, where: str, addresses: Sequence[Tuple[str, int]], question: bytes) -> None:
    """Make sure that one of some addresses answers.

    Args:
        what: is said to be there.
        where: how a person names the addresses.
        addresses: hosts and ports.
        question: something that a server of this kind reacts to, whatever it is.

    Raises:
        SparkStartError: when none of them does.
    """
    pool = ThreadPoolExecutor(len(addresses))
    asked = [pool.submit(_why_silent, address, question) for address in addresses]
    # One that answers is enough; nobody waits for the others.
    pool.shutdown(wait=False)
    reasons = set()
    for answer in as_completed(asked):
        if answer.result() is None:
            return
        reasons.add(answer.result())
    if _SILENT in reasons:
        raise SparkStartError(
            f"The {what} at {where} accepts connections and never answers. "
            "Check that this is the right port and that it is not stuck."
        )
    raise SparkStartError(
        f"No {what} answers at {where} ({', '.join(sorted(map(str, reasons)))}). "
        "Check that it is running and that the address and port are right."
    )


def _why_silent(address: Tuple[str, int], question: bytes) -> Optional[str]:
    """Say why nothing comes back; the end of the connection shows as well that one is there."""
    try:
        connection = socket.create_connection(address, timeout=_PROBE_SECONDS)
    except socket.timeout:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    with connection:
        connection.settimeout(_SILENCE_SECONDS)
        try:
            connection.sendall(question)
            connection.recv(1)
        except socket.timeout:
            return _SILENT
        except OSError:
            return None
    return None


def _file_request(name: bytes) -> bytes:
    """Ask for a file of a Spark process, as `MessageEncoder` of its network library writes it.

    The length of the whole, type 6, the length of the name, the name.
    """
    body = struct.pack(">bi", 6, len(name)) + name
    return struct.pack(">q", len(body) + 8) + body


_FILE_REQUEST = _file_request(b"/files/pyspark-kernels-asks-whether-you-are-there")
"""A master has no such file, and says so; one that wants authentication closes the connection."""
