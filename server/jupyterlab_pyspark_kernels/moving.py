"""A kernel under another name or in another place: what is asked for, and whether it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import KernelConfig
from .errors import CannotBeDone, FieldError, Invalid, quoted
from .places import Place
from .trust import why_others_cannot_reach

_FIELDS = ("place", "name", "display_name")


def read_move(data: object) -> dict[str, str]:
    """Read what of a kernel's place, name and label is to be another one.

    Raises:
        Invalid: when that is nothing, or something else.

    """
    fields = ", ".join(_FIELDS)
    if not isinstance(data, dict) or not (given := _given(data)):
        raise Invalid.at("", f"Nothing is to be moved. Send at least one of: {fields}.")
    errors = [
        FieldError("", f"{quoted(field)} is not what a move changes. Use: {fields}.")
        for field in given
        if field not in _FIELDS
    ]
    errors += [
        FieldError(field, f"{quoted(value)} is not text. Write it in quotes.")
        for field, value in given.items()
        if field in _FIELDS and not isinstance(value, str)
    ]
    if errors:
        raise Invalid(errors)
    return given


def _given(data: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(field): value for field, value in data.items() if value is not None}


def moved(config: KernelConfig, move: Mapping[str, str]) -> dict[str, Any]:
    """Give the data of a kernel as it is after a move.

    A label that is nothing but the name goes with it.
    """
    data = {**config.model_dump(), **move}
    if "display_name" not in move and config.display_name == config.name:
        data["display_name"] = data["name"]
    return data


def check_reach(config: KernelConfig, place: Place) -> None:
    """Make sure that those who share a place can start a kernel there.

    Raises:
        CannotBeDone: when its environment or Spark home is closed to them.

    """
    found = why_others_cannot_reach(config, place)
    if found is not None:
        raise CannotBeDone.at(*found)
