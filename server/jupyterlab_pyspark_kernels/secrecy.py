"""Secrets are references: what a kernel says of one is where it is found, never what it is.

What is a secret is said in `rules`, which the launcher has a copy of. It finds them when Spark
starts; nothing else ever does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .clusters import Connect, parse_master
from .config import KernelConfig
from .errors import FieldError, Invalid
from .kernel.connect import TOKEN_VARIABLE
from .kernel.rules import holds_secret

HIDDEN = "*********(redacted)"
"""As Spark's own UI writes a value that it does not show."""

GROUPS = ("conf", "env")
"""The fields that are names and values, in which somebody may have said a secret."""


def check_secrets(config: KernelConfig) -> None:
    """Make sure that no setting and no variable says a secret, and that each reaches its reader.

    Raises:
        Invalid: with each that does, and none of their values.

    """
    if found := [*_said(config), *_on_token(config)]:
        raise Invalid(found)


def _said(config: KernelConfig) -> Iterator[FieldError]:
    for field in GROUPS:
        for name, value in getattr(config, field).items():
            if holds_secret(name, value):
                yield FieldError(
                    field,
                    f"{name} looks like a secret, and everybody who may use the kernel could read "
                    "it. Say it under Secrets as a reference: env:NAME for a variable of the "
                    "Jupyter server, or file:/path for a file that only you can read.",
                )


def _on_token(config: KernelConfig) -> Iterator[FieldError]:
    master = parse_master(config.master)
    if TOKEN_VARIABLE not in config.secrets or not isinstance(master, Connect):
        return
    if problem := master.why_no_token():
        yield FieldError("master", problem)


def without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the data of a KernelConfig with the secrets hidden that older kernels say."""
    return {
        field: _hidden(value) if field in GROUPS and isinstance(value, Mapping) else value
        for field, value in config.items()
    }


def _hidden(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: HIDDEN if holds_secret(name, str(value)) else value for name, value in values.items()
    }
