"""A command line as a shell splits it, with nothing filled in.

The standard library's shlex does not tell what a shell would fill in from what is quoted, nor knows
lines that go on, so a pasted command is split here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PIECE = re.compile(
    r"""(?P<joined>\\\r?\n)
    | (?P<blank>\s+)
    | (?P<comment>\#[^\n]*)
    | (?P<operator>&&|\|\||[;&|<>()])
    | '(?P<single>[^']*)'
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | \\(?P<escaped>.)
    | (?P<plain>[^\s'"\\;&|<>()]+)""",
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE = re.compile(r'\\(?P<joined>\r?\n)|\\(?P<escaped>[$`"\\])', re.DOTALL)
_FILLED_IN = re.compile(r"\$[A-Za-z0-9_{(@*#?!$'-]|`")


@dataclass(frozen=True)
class Word:
    """One word of a command.

    Attributes:
        text: the word without its quotes.
        filled_in: whether a shell would fill in something, such as a variable.
        operator: whether it ends the command, or leads somewhere else.

    """

    text: str
    filled_in: bool = False
    operator: bool = False


def split(text: str) -> list[Word]:
    """Split a command line; the end of a line is a blank like any other.

    Raises:
        ValueError: when a quote is not closed.

    """
    return list(_words(text))


def _words(text: str) -> Iterator[Word]:
    parts: list[str] = []
    filled_in = False
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise ValueError(f"the {'quote' if text[at] != chr(92) else 'backslash'} is not closed")
        kind, value = str(piece.lastgroup), piece[str(piece.lastgroup)]
        at = piece.end()
        if kind == "comment" and parts:
            # Within a word it is a letter like any other; what follows is looked at anew.
            kind, value, at = "plain", "#", piece.start() + 1
        if kind in ("blank", "comment", "operator"):
            if parts:
                yield Word("".join(parts), filled_in)
            parts, filled_in = [], False
            if kind == "operator":
                yield Word(value, operator=True)
        elif kind != "joined":
            filled_in |= _is_filled_in(kind, value)
            parts.append(_IN_DOUBLE.sub(_unescaped, value) if kind == "double" else value)
    if parts:
        yield Word("".join(parts), filled_in)


def _is_filled_in(kind: str, value: str) -> bool:
    if kind == "double":
        value = _IN_DOUBLE.sub("", value)
    return kind in ("double", "plain") and _FILLED_IN.search(value) is not None


def _unescaped(found: re.Match[str]) -> str:
    return found["escaped"] or ""
