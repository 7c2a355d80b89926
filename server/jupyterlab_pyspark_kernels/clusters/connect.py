"""A Spark Connect server: the driver runs there, the kernel is a thin client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..errors import quoted
from .address import parse_address

_SCHEME = "sc://"
_SECRETS = ("token",)
DEFAULT_PORT = 15002


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


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{quoted(text)} is not a parameter of a Connect URL. Write name=value")
    if name.lower() in _SECRETS:
        # Not quoted back: it is the secret.
        raise ValueError(
            f"The master must not hold a {name}: everybody who may list kernels could read it. "
            "Set SPARK_CONNECT_AUTHENTICATE_TOKEN in the server's environment"
        )
    return name, value
