"""Which cell runs, which ran last, and what the jobs of each are marked with."""

from __future__ import annotations

import threading
from typing import Any, Dict, Optional, Tuple

JOB_TAG = "pyspark-kernels-cell"
"""What the jobs of every cell are marked with."""

_KNOWN = 500
"""How many cells are remembered: jobs of threads may come long after theirs."""

Names = Tuple[Optional[str], Optional[str]]
"""The id of the message that a cell was run by, and the cell's own in its notebook."""


class Cells:
    """Counts the cells that are run, and knows each by its number.

    Attributes:
        running: how many run: cells may be nested, by get_ipython().run_cell().
        last: the number of the cell that runs, or ran last.
        heard: how often one has begun or ended.
        woken: is set when one begins.
    """

    def __init__(self) -> None:
        self.running = 0
        self.last = 0
        self.heard = 0
        self.woken = threading.Event()
        self._names: Dict[int, Names] = {}

    def attend(self, shell: Any) -> None:
        """Hear of every cell, also of those that JupyterLab's extensions run silently."""
        shell.events.register("pre_execute", lambda: self._begin(shell.get_parent()))
        shell.events.register("post_execute", self._end)

    def tag(self) -> str:
        """Give what the jobs of the cell that runs are marked with, and no others."""
        return f"{JOB_TAG}-{self.last}"

    def number(self, tags: Any) -> int:
        """Tell which cell a job is of: where nothing says so, of the one that ran last.

        A thread that the cell has started does not always have its mark.
        """
        for tag in tags:
            start, _, number = tag.rpartition("-")
            if start == JOB_TAG and number.isdigit():
                return int(number)
        return self.last

    def names(self, number: int) -> Names:
        """Give the names of a cell, as far as they are known."""
        return self._names.get(number, (None, None))

    def _begin(self, message: Dict[str, Any]) -> None:
        self.running += 1
        self.heard += 1
        names = (
            (message.get("header") or {}).get("msg_id"),
            (message.get("metadata") or {}).get("cellId"),
        )
        if self._names.get(self.last) != names:
            self.last += 1
            self._names[self.last] = names
            self._names.pop(self.last - _KNOWN, None)
        self.woken.set()

    def _end(self) -> None:
        self.running = max(0, self.running - 1)
        self.heard += 1
