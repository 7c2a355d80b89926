"""What a user remembers of a kernel: files in their own Jupyter data directory."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional

from .status import write_own

OWN_DIRECTORY = f"pyspark-kernels-{os.getuid()}"
"""What the user's own Jupyter data directory has of ours."""
FLIGHT_VARIABLE = "PYSPARK_KERNELS_FLIGHT"
"""Is set in a flight test, which is no use of the kernel."""
RECEIPT = ".receipt"
RUNS_KEPT = 10
"""Of so many runs it is kept what they needed, so that a small one does not stand for all."""
_MOST_BYTES = 64 * 1024


def memory_of(directory: str, data: Optional[str] = None) -> Path:
    """Give where this user's memory of a kernel lies, without the suffix of its files.

    Args:
        directory: the kernel's.
        data: the user's Jupyter data directory, for those who know it already.
    """
    digest = hashlib.sha256(os.fsencode(os.path.realpath(directory))).hexdigest()
    return own_directory(data) / "kernels" / digest[:16]


def own_directory(data: Optional[str] = None) -> Path:
    """Give where this user's memory lies, in their Jupyter data directory."""
    if data is None:
        from jupyter_core.paths import jupyter_data_dir

        data = jupyter_data_dir()
    return Path(data, OWN_DIRECTORY)


def remember(path: Path, text: str) -> None:
    """Write a file of a memory, and make the directories that it needs.

    Raises:
        OSError: when the file system refuses.
    """
    for directory in (path.parent.parent, path.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_own(path, text)


def remember_use() -> bool:
    """Note that a notebook uses this kernel now: the time is that of the file.

    Returns:
        whether it is a use; a test is none, and nothing of it is remembered.
    """
    if os.environ.pop(FLIGHT_VARIABLE, None):
        return False
    directory = os.path.dirname(os.path.realpath(__file__))
    # A home that is read-only, full, over its quota, somebody else's or, which is the RuntimeError,
    # unknown: a notebook works without this.
    with suppress(OSError, RuntimeError):
        remember(memory_of(directory).with_suffix(".used"), directory)
    return True


def remember_receipt(receipt: Dict[str, Any]) -> None:
    """Keep the last receipt of this kernel, and the needs of the last few runs."""
    directory = os.path.dirname(os.path.realpath(__file__))
    with suppress(OSError, RuntimeError):
        path = memory_of(directory).with_suffix(RECEIPT)
        runs = [*_runs(path), receipt][-RUNS_KEPT:]
        remember(path, json.dumps({"directory": directory, "runs": runs}))


def _runs(path: Path) -> List[Any]:
    """Read the runs that are remembered; none when the file is not what was written."""
    try:
        # Anything may lie there: without O_NONBLOCK a pipe would wait for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            runs = json.loads(file.read(_MOST_BYTES))["runs"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return runs if isinstance(runs, list) else []
