"""YAML of which a reader sees what it says: no aliases, tags, repeated keys or hidden types.

Only the parser of PyYAML is used, which builds nothing. Plain words are taken as JSON would: `no`
and `12:30` are text, as is `010`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from .errors import quoted

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32

_CONSTANTS = {"true": True, "false": False, "null": None, "": None}


class NotStrict(ValueError):
    """Text that is not such YAML; the message says where and why."""


def read_yaml(content: bytes) -> Any:
    """Read one document.

    Raises:
        NotStrict: when it is too large, not YAML, or holds what is not allowed.

    """
    if len(content) > MAX_BYTES:
        raise NotStrict(f"it is larger than {MAX_BYTES // 1024} KiB")
    try:
        events = yaml.parse(content.decode("utf-8"), Loader=yaml.SafeLoader)
        return _document(events)
    except UnicodeDecodeError:
        raise NotStrict("it is not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise NotStrict(f"{where}it is not YAML: {error.problem or error.context}") from None
    except NotStrict:
        raise
    except (ValueError, OverflowError):
        # PyYAML makes a character of any number.
        raise NotStrict("it is not YAML: an escape names no character") from None
    except yaml.YAMLError as error:
        # A character that YAML does not allow.
        raise NotStrict(f"it is not YAML: {str(error).splitlines()[0]}") from None


def _document(events: Iterator[Event]) -> Any:
    value: Any = None
    documents = 0
    for event in events:
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1 or event.tags or event.version:
                _refuse(event, "only one document without directives is read")
        elif isinstance(event, NodeEvent):
            value = _node(event, events, 1)
    if documents == 0:
        raise NotStrict("it is empty")
    return value


def _node(event: Event, events: Iterator[Event], depth: int) -> Any:
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
        _refuse(event, "anchors and aliases are not allowed. Write the value out")
    if getattr(event, "tag", None) is not None:
        _refuse(event, "tags are not allowed. Leave it out")
    if depth > MAX_DEPTH:
        _refuse(event, f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(event, MappingStartEvent):
        return _mapping(events, depth)
    if isinstance(event, SequenceStartEvent):
        return _sequence(events, depth)
    if isinstance(event, ScalarEvent):
        return _scalar(event)
    raise AssertionError(f"{event} is no node")


def _mapping(events: Iterator[Event], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not isinstance(event := next(events), MappingEndEvent):
        if not isinstance(event, ScalarEvent):
            _refuse(event, "a key has to be a word")
        _node(event, events, depth)
        if event.value in found:
            _refuse(event, f"{quoted(event.value)} stands there twice. Remove one of them")
        found[event.value] = _node(next(events), events, depth + 1)
        if found[event.value] is None:
            # A rule whose value was forgotten must not read as no rule.
            _refuse(event, f"{quoted(event.value)} has no value. Give one, or leave it out")
    return found


def _sequence(events: Iterator[Event], depth: int) -> list[Any]:
    found = []
    while not isinstance(event := next(events), SequenceEndEvent):
        found.append(_node(event, events, depth + 1))
    return found


def _scalar(event: ScalarEvent) -> Any:
    text: str = event.value
    if event.style is not None:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    # Longer ones would be read by Python without end.
    return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text) else text


def _refuse(event: Event, message: str) -> NoReturn:
    where = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
    raise NotStrict(f"{where}{message}")
