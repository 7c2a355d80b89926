"""A Spark Connect server: the driver runs there, the kernel is a thin client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import quoted
from ..kernel.connect import DEFAULT_PORT, TOKEN_VARIABLE, speaks_tls
from ..kernel.rules import looks_secret
from .address import parse_address

_SCHEME = "sc://"
_TLS = "use_ssl"
_HEADERS_OF_SECRETS = ("authorization", "cookie")
"""Parameters that Spark does not know are headers of each call."""


@dataclass(frozen=True)
class Connect:
    """The connection string of Spark's `client-connection-string.md`.

    Attributes:
        host: of the Connect server.
        port: of the Connect server.
        parameters: name and value pairs behind `/;`, such as `use_ssl=true`.

    """

    forms: ClassVar = ("sc://host:15002", "sc://host:15002/;use_ssl=true")
    option: ClassVar = "--remote"
    has_executors: ClassVar = False
    archives: ClassVar = None

    host: str
    port: int
    parameters: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Connect | None:
        """Read `text`, or return `None` when it is another kind.

        Raises:
            ValueError: when address or parameters are wrong, or hold a secret.

        """
        if not text.startswith(_SCHEME):
            return None
        address, _, rest = text.removeprefix(_SCHEME).partition("/")
        if rest and not rest.startswith(";"):
            raise ValueError(f"{quoted(text)} has a path. Write sc://host:port/;name=value")
        parameters = tuple(map(_parameter, filter(None, rest.split(";"))))
        return cls(*parse_address(address, DEFAULT_PORT), parameters)

    def why_no_token(self) -> str | None:
        """Say why a token does not reach this server, or return `None`."""
        given = dict(self.parameters)
        if not speaks_tls(self.host, given, has_token=True) or given.get(_TLS, "") == "true":
            return None
        return (
            f"With a token PySpark speaks TLS to every host but localhost, so {TOKEN_VARIABLE} "
            f"under Secrets asks for it here. Write sc://{self.host}:{self.port}/;use_ssl=true, "
            "and put a proxy with TLS in front of the server; or take the token out."
        )


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if _is_secret(name):
        # Not quoted back: it is the secret.
        raise ValueError(
            f"The master must not hold a {name}: everybody who may list kernels could read it. "
            f"Say {TOKEN_VARIABLE} under Secrets as a reference, such as file:/home/me/.token"
        )
    if not name or not equals or "=" in value:
        raise ValueError(
            f"{quoted(text)} is not a parameter of a Connect URL. Write name=value, and %3D for an "
            "equals sign in the value"
        )
    if name == _TLS and value not in ("true", "false"):
        # Spark takes whatever else it is for false.
        raise ValueError(f"{quoted(text)} says neither true nor false. Write {_TLS}=true")
    return name, value


def _is_secret(name: str) -> bool:
    return looks_secret(name) or name.lower() in _HEADERS_OF_SECRETS
