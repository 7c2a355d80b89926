"""How long work tells what it does, and hears that it should stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Cancelled(Exception):
    """Long work that was told to stop, and left nothing half done."""


@dataclass(frozen=True)
class Progress:
    """How far long work is.

    Attributes:
        stage: what is done now, as a person would say it.
        files_done: how many files are dealt with.
        files_total: how many there are; `None` while nobody knows.
        bytes_done: how many bytes of them.
        bytes_total: how many bytes there are.

    """

    stage: str
    files_done: int = 0
    files_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None


class Report(Protocol):
    """Whom long work reports to. Every method can be called from any thread."""

    def progress(self, progress: Progress) -> None:
        """Tell how far the work is."""

    def log(self, line: str) -> None:
        """Tell something that is worth keeping."""

    def cancelled(self) -> bool:
        """Tell whether the work should stop."""
