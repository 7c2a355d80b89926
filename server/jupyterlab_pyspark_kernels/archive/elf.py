"""The little that must be known about a Linux executable to move it: its libpython and run path."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _RPATH, _RUNPATH = 1, 5, 15, 29


@dataclass(frozen=True)
class Dynamic:
    """The dynamic section.

    Attributes:
        needed: names of the shared libraries it is linked to.
        run_path: where it looks for them first; `None` when it has none.
        offset: where the text of the run path begins in the file, in bytes.

    """

    needed: list[str]
    run_path: str | None
    offset: int


def read(data: bytes | mmap) -> Dynamic | None:
    """Read a 64-bit little-endian ELF file; anything else gives `None`."""
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    try:
        return _dynamic(data)
    except (struct.error, OverflowError, IndexError):
        # Cut off, or its numbers lead out of it.
        return None


def _dynamic(data: bytes | mmap) -> Dynamic:
    headers = list(_program_headers(data))
    entries = [
        entry for header in headers if header[0] == _DYNAMIC for entry in _tags(data, header)
    ]
    tables = [value for tag, value in entries if tag == _STRTAB]
    if not tables:
        return Dynamic([], None, 0)
    table = _file_offset(headers, tables[0])
    needed = [_text(data, table + value) for tag, value in entries if tag == _NEEDED]
    for tag, value in entries:
        if tag in (_RUNPATH, _RPATH):
            return Dynamic(needed, _text(data, table + value), table + value)
    return Dynamic(needed, None, 0)


def with_own_library(data: bytes, dynamic: Dynamic) -> bytes | None:
    """Make a program look for its libraries in `../lib` first.

    Returns:
        `None` when there is no run path, or it is too short to be overwritten.

    """
    start, end = "$ORIGIN/..", "lib"
    old = dynamic.run_path
    if old is None or len(old) <= len(start) + len(end):
        return None
    # The same length, so that nothing in the file moves; and linkers let other names share the
    # end of a string, so the last directory stays where it is when it is `lib`.
    new = start + "/" * (len(old) - len(start) - len(end)) + end
    at = dynamic.offset
    return data[:at] + new.encode() + data[at + len(old) :]


def _program_headers(data: bytes | mmap) -> Iterator[tuple[int, int, int, int]]:
    # type, offset in the file, address, size in the file
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from(
            "<IIQQQQ", data, table + number * size
        )
        yield kind, offset, address, length


def _tags(data: bytes | mmap, header: tuple[int, int, int, int]) -> Iterator[tuple[int, int]]:
    _, offset, _, length = header
    for at in range(offset, offset + length, 16):
        yield struct.unpack_from("<qQ", data, at)


def _file_offset(headers: list[tuple[int, int, int, int]], address: int) -> int:
    for kind, offset, start, length in headers:
        if kind == _LOAD and start <= address < start + length:
            return offset + address - start
    return address


def _text(data: bytes | mmap, at: int) -> str:
    return data[at : data.find(b"\0", at)].decode("utf-8", "surrogateescape")
