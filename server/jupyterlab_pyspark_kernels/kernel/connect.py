"""A Spark Connect server: how its address is read, who speaks to it, and whether TLS fits."""

from __future__ import annotations

import os
import re
import socket
import ssl
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional
from urllib.parse import quote, urlsplit

from .failure import SparkStartError
from .options import without_token

TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 - its name
"""The variable that PySpark takes the token of Spark Connect from, since 4.0."""

ROOTS_VARIABLE = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
"""Names the file of the certificates that gRPC trusts, in the place of those that it brings."""

DEFAULT_PORT = 15002

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How gRPC begins, with empty settings; a server answers with its own, or ends what is not TLS."""

_RELEASE = "/spark.connect.SparkConnectService/ReleaseSession"
_SECONDS = 8
_ANSWER_SECONDS = 30
"""One that has just started, on a machine that is busy, answers late."""
_FRAME_HEAD, _KIND_AT, _SETTINGS = 9, 3, 4
"""Every frame of HTTP/2 begins with so many bytes, one tells its kind (RFC 9113, 4.1 and 6.5)."""


def parameters(remote: str) -> Dict[str, str]:
    """Give the parameters of a Connect URL."""
    pairs = (part.partition("=") for part in remote.split(";")[1:])
    return {name: value for name, _, value in pairs if name}


def with_parameter(remote: str, name: str, value: str) -> str:
    """Give a Connect URL with one more parameter, unless it has that already."""
    if name in parameters(remote):
        return remote
    bare = remote.rstrip(";/")
    return f"{bare}{';' if ';' in bare else '/;'}{name}={quote(value, safe=':')}"


def speaks_tls(host: str, given: Mapping[str, str], has_token: bool) -> bool:
    """Tell whether PySpark speaks TLS to a host: with a token always, but on this very machine."""
    wanted = given.get("use_ssl", "").lower() == "true"
    return wanted or (has_token and host != "localhost")


def check_channel(remote: str, environ: Mapping[str, str]) -> None:
    """Make sure that a server speaks TLS, or speaks none, as PySpark will speak to it.

    PySpark tries again for ten minutes what will never work, and says nothing meanwhile.

    Raises:
        SparkStartError: when it does not, or its certificate is not trusted.
    """
    parts = urlsplit(without_token(remote))
    host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    tls = speaks_tls(host, parameters(remote), TOKEN_VARIABLE in environ)
    where = f"{without_token(remote).rstrip('/')}"
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as connection:
            if tls:
                _check_tls(connection, host, where, environ)
            else:
                _check_plain(connection, where)
    except OSError as error:
        raise SparkStartError(
            f"The Spark Connect server at {where} ended the connection: "
            f"{error.strerror or error}. Check that it is running; its log tells more."
        ) from None


def check_answer(remote: str) -> None:
    """Make sure that Spark answers, and not only a proxy in front of one that is not there.

    What asks is PySpark's own channel, and nothing is changed by it: a session that nobody has is
    given back. Whatever else is wrong, PySpark itself says at once.

    Raises:
        SparkStartError: when nobody does.
    """
    import grpc

    builder = _builder(remote)
    channel = builder.toChannel()
    nobodys = str(uuid.uuid4()).encode()
    # Of the request's fields only the first, the session.
    request = bytes([0x0A, len(nobodys)]) + nobodys
    try:
        ask = channel.unary_unary(_RELEASE)
        ask(request, timeout=_ANSWER_SECONDS, metadata=builder.metadata())
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise SparkStartError(
                f"No Spark Connect server answers behind {without_token(remote).rstrip('/')}: "
                f"{error.details()}. Check that it is running; the log of the proxy tells more."
            ) from None
    finally:
        channel.close()


def _builder(remote: str) -> Any:
    try:
        from pyspark.sql.connect.client.core import DefaultChannelBuilder
    except ImportError:
        # Before PySpark 4.0.
        from pyspark.sql.connect.client.core import ChannelBuilder as DefaultChannelBuilder
    return DefaultChannelBuilder(remote)


def _check_tls(
    connection: socket.socket, host: str, where: str, environ: Mapping[str, str]
) -> None:
    context = _trusting(environ)
    context.set_alpn_protocols(["h2"])
    try:
        with context.wrap_socket(connection, server_hostname=host) as secure:
            if secure.selected_alpn_protocol() == "h2":
                return
    except ssl.SSLCertVerificationError as error:
        raise SparkStartError(
            f"The certificate of the Spark Connect server at {where} is not trusted: "
            f"{error.verify_message.rstrip('.')}. Set {ROOTS_VARIABLE} to the file with the "
            "certificate of the authority that signed it."
        ) from None
    except (ssl.SSLError, ConnectionError, socket.timeout):
        pass
    raise SparkStartError(
        f"The Spark Connect server at {where} does not speak TLS with HTTP/2, which use_ssl=true "
        "or a token asks for. Put a proxy with TLS in front of it, or use neither."
    )


def _check_plain(connection: socket.socket, where: str) -> None:
    connection.sendall(HTTP2_PREFACE)
    try:
        head = _received(connection, _FRAME_HEAD)
    except (ConnectionError, socket.timeout):
        head = b""
    if len(head) < _FRAME_HEAD or head[_KIND_AT] != _SETTINGS:
        raise SparkStartError(
            f"What answers at {where} is no Spark Connect server without TLS. Write ;use_ssl=true "
            "behind the master if it speaks TLS, and otherwise check the port."
        )


def _received(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            break
        found += part
    return found


def _trusting(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Trust whom gRPC trusts.

    Raises:
        SparkStartError: when the file that says so cannot be read.
    """
    roots = environ.get(ROOTS_VARIABLE) or _roots_of_grpc()
    try:
        context = ssl.create_default_context(cafile=roots)
    except (OSError, ValueError) as error:
        raise SparkStartError(
            f"{ROOTS_VARIABLE} is {roots}, which holds no certificates: {error}. "
            "Set it to a file in PEM format."
        ) from None
    # Newer Pythons ask more of a certificate than gRPC does.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context


def _roots_of_grpc() -> Optional[str]:
    """Find the file that gRPC brings; a gRPC of conda brings none, and trusts whom OpenSSL does."""
    package = find_spec("grpc")
    for folder in (package and package.submodule_search_locations) or []:
        file = Path(folder) / "_cython" / "_credentials" / "roots.pem"
        if file.is_file():
            return str(file)
    return None


def check_packages(remote: bool, master: str, python: str) -> None:
    """Make sure that this PySpark can speak to a master.

    Raises:
        SparkStartError: when it can only speak to others.
    """
    import pyspark

    if not remote:
        if not hasattr(pyspark, "SparkContext"):
            raise SparkStartError(
                f"{python} has pyspark-client, which speaks to Spark Connect servers only, and the "
                f"master is {master}. Choose a master such as sc://host:{DEFAULT_PORT}, or an "
                "environment with pyspark."
            )
        return
    try:
        # Which looks for all of them.
        import pyspark.sql.connect.client
    except ImportError as error:
        raise SparkStartError(
            f"{python} lacks what Spark Connect needs: {_lacking(str(error), error.name)}. "
            f"Install it with: {python} -m pip install 'pyspark[connect]'"
        ) from error


def _lacking(words: str, module: Optional[str]) -> str:
    names: List[str] = re.findall(r"([\w.-]+) >= ([\w.]+) must be installed", words)
    named = [" ".join(pair) for pair in names]
    return ", ".join(named) or module or words.partition(os.linesep)[0]
