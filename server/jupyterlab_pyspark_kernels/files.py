"""Small files that somebody else may have put anything in place of."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MAX_BYTES = 1024**2


def read_small(path: Path) -> bytes:
    """Read a file of at most 1 MiB.

    Raises:
        OSError: when it cannot be read.
        ValueError: when it is no file, or larger.

    """
    # Without O_NONBLOCK the opening of a FIFO would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it is larger than {_MAX_BYTES // 1024**2} MiB")
    return content
