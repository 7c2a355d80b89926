"""Amounts of memory as Spark writes them."""

from __future__ import annotations

import re

_UNITS = {
    "b": 1,
    "k": 1024,
    "kb": 1024,
    "m": 1024**2,
    "mb": 1024**2,
    "g": 1024**3,
    "gb": 1024**3,
    "t": 1024**4,
    "tb": 1024**4,
}
_AMOUNT = re.compile(rf"([1-9][0-9]{{0,17}})({'|'.join(_UNITS)})?", re.IGNORECASE | re.ASCII)

SPARK_MINIMUM = 450 * 1024**2
"""Bytes below which Spark refuses to start a driver or an executor (300 MiB reserved times 1.5,
`UnifiedMemoryManager.getMaxMemory` in Spark's sources)."""


def parse_memory(text: str) -> int:
    """Read an amount such as `512m` or `4g`; a bare number counts MiB, as it does in Spark.

    Returns:
        the amount in bytes.

    Raises:
        ValueError: when `text` is not an amount.

    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNITS[(match[2] or "m").lower()]
