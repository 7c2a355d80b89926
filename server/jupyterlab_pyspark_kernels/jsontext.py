"""JSON that came from outside, read as strictly as it is defined."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from .errors import Invalid


def parse_json(text: bytes, what: str = "The body") -> Any:
    """Read JSON: in UTF-8, without NaN, no key twice, not nested without end.

    Args:
        text: the JSON.
        what: how a message calls it.

    Raises:
        Invalid: with what is wrong.

    """
    try:
        return json.loads(
            text.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates
        )
    except UnicodeDecodeError:
        raise Invalid.at("", f"{what} is not UTF-8. Send JSON in UTF-8.") from None
    except RecursionError:
        raise Invalid.at("", f"{what} is nested too deeply. Send a flat object.") from None
    except ValueError as error:
        raise Invalid.at("", f"{what} is not JSON: {error}. Send valid JSON.") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found
