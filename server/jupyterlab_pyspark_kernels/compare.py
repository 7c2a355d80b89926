"""What tells two kernels apart, field by field. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from .config import KernelConfig

_ADDRESS = {"name", "place"}
_GROUPS = {"conf": "", "env": "env.", "labels": "labels.", "secrets": "secrets."}
"""The fields that are many, and what stands before each name: a setting's says by itself what it
is."""


class Compared(BaseModel):
    """One field, setting or variable of two kernels."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(
        description="A field of KernelConfig, a spark.* setting, or env., labels. or secrets. and "
        "a name in it."
    )
    left: str | None = Field(description="Null when it is not set.")
    right: str | None = Field(description="Null when it is not set.")
    same: bool


class Comparison(BaseModel):
    """Two kernels side by side."""

    model_config = ConfigDict(frozen=True)

    rows: list[Compared] = Field(description="In the order of the form.")


def compare(left: Mapping[str, JsonValue], right: Mapping[str, JsonValue]) -> Comparison:
    """Compare two kernels, each as plain data of a KernelConfig."""
    a, b = _flat(left), _flat(right)
    rows = [
        Compared(
            field=field, left=a.get(field), right=b.get(field), same=a.get(field) == b.get(field)
        )
        for field in sorted(a.keys() | b.keys(), key=_order)
    ]
    return Comparison(rows=rows)


def _flat(config: Mapping[str, JsonValue]) -> dict[str, str]:
    flat = {}
    for field, value in config.items():
        if isinstance(value, dict) and field in _GROUPS:
            flat.update({f"{_GROUPS[field]}{name}": str(item) for name, item in value.items()})
        elif value not in (None, []) and field not in _ADDRESS:
            flat[field] = _text(value)
    return flat


def _text(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


_FIELDS = list(KernelConfig.model_fields)


def _order(field: str) -> tuple[int, str]:
    prefixes = ((prefix or "spark.", group) for group, prefix in _GROUPS.items())
    group = next((group for prefix, group in prefixes if field.startswith(prefix)), field)
    return _FIELDS.index(group), field
