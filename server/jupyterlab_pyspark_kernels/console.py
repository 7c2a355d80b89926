"""How the command line prints: values as text or JSON, errors, and how far long work is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from .errors import KernelError
from .progress import Progress


def print_value(value: BaseModel | Sequence[BaseModel], as_json: bool, text: str) -> None:
    """Print what a command gives: `text` for people, or the value for programs."""
    if not as_json:
        print(printable(text))
    elif isinstance(value, BaseModel):
        print(json.dumps(value.model_dump(mode="json"), indent=1))
    else:
        print(json.dumps([item.model_dump(mode="json") for item in value], indent=1))


def print_error(error: KernelError, as_json: bool) -> None:
    """Print on the error stream what is wrong, field by field."""
    errors = [{"field": item.field, "message": item.message} for item in error.errors]
    if as_json:
        body = {"message": str(error), "reason": error.reason, "errors": errors}
        print(json.dumps(body, indent=1), file=sys.stderr)
        return
    for item in error.errors:
        where = f"{item.field}: " if item.field else ""
        print(printable(where + item.message), file=sys.stderr)


def printable(text: str) -> str:
    """Escape what could move a terminal's cursor; kernels may be edited by hand."""
    return re.sub(r"[^\n\x20-\x7e\u00a0-\U0010ffff]", lambda found: f"\\x{ord(found[0]):02x}", text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Give rows of cells as lines, the columns below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def flat(value: Any) -> str:
    """Give a value of a configuration as text in one line."""
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


class Console:
    """Tells on the error stream how far long work is; on a terminal in a line that changes."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._stage = ""

    def progress(self, progress: Progress) -> None:
        """Print a new stage, and how far it is."""
        if progress.stage != self._stage:
            self._stage = progress.stage
            print(printable(f"{progress.stage}…"), file=sys.stderr)
        if self._is_terminal and progress.bytes_total:
            percent = 100 * progress.bytes_done // progress.bytes_total
            end = "\n" if progress.bytes_done == progress.bytes_total else "\r"
            print(
                f"  {percent:3} %, {progress.files_done} of {progress.files_total} files",
                end=end,
                file=sys.stderr,
            )

    def log(self, line: str) -> None:
        """Print a line."""
        print(printable(line), file=sys.stderr)

    def cancelled(self) -> bool:
        """Never tell to stop: Ctrl-C comes as an exception."""
        return False
