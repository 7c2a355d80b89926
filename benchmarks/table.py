"""Rows of the table that `run.py` prints."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        name: what is measured.
        ours: seconds of each of our runs.
        others: seconds of each run of what it is compared with; empty when the goal is absolute.
        goal: what the ratio ours / others, or the value itself, must not exceed.
        share: the part of our runs that must be as fast, 0.5 for the median.

    """

    name: str
    ours: list[float]
    others: list[float]
    goal: float
    share: float = 0.5

    def cells(self) -> tuple[str, ...]:
        """Give the row's cells as text."""
        ours = _quantile(self.ours, self.share)
        if not self.others:
            return (
                self.name,
                _seconds(ours),
                "",
                "",
                f"≤ {_seconds(self.goal)}",
                _met(ours, self.goal),
            )
        others = median(self.others)
        ratio = ours / others
        goal = f"≤ {self.goal:g}"
        return (
            self.name,
            _seconds(ours),
            _seconds(others),
            f"{ratio:.3f}",
            goal,
            _met(ratio, self.goal),
        )


def print_table(rows: list[Row]) -> None:
    """Print the rows under their head."""
    head = ("", "ours", "compared", "ratio", "goal", "met")
    table = [head, *(row.cells() for row in rows)]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(head))]
    for cells in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        )


def _quantile(values: list[float], share: float) -> float:
    if share == 0.5:
        return median(values)
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def _met(value: float, goal: float) -> str:
    return "yes" if value <= goal else "NO"
