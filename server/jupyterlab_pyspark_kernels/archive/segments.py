"""Entries to bytes: gzip members that hold pieces of one tar stream, written in parallel.

A gzip file may be many members, one after the other, and so may a tar stream be cut between any two
files. So each part of an environment is compressed by itself, in whichever thread is free, and a
part that has not changed is copied from an earlier archive as it is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from isal import isal_zlib as codec

from ..errors import CannotBeDone
from . import tree
from .credentials import READ
from .model import Entry, Segment
from .packages import Group

_LEVEL = 2

PART_BYTES = 48 << 20
"""A distribution larger than this is cut, so that one alone does not keep a single thread busy."""

_BUFFER_BYTES = 2 << 20
_HELD_BYTES = 64 << 20
"""What a thread may hold of a compressed part before it writes, and lets no other write."""

_GZIP = 31
_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_POLL_SECONDS = 0.05


class Changed(Exception):
    """A file is not as it was when the environment was looked at."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class _Stopped(Exception):
    """Another thread failed, or the pack was cancelled."""


@dataclass(frozen=True)
class Part:
    """What becomes one segment."""

    name: str
    key: str
    entries: list[Entry]
    size: int


@dataclass(frozen=True)
class Source:
    """A segment in a file that it can be copied from."""

    path: Path
    segment: Segment


def parts(groups: Mapping[str, Group]) -> list[Part]:
    """Cut groups of files into parts, the largest first."""
    made = [
        Part(name, _key(entries), entries, sum(entry.size for entry in entries))
        for name, group in groups.items()
        for entries in _cut(sorted(group.entries + group.caches))
    ]
    return sorted(made, key=lambda part: (-part.size, part.name, part.key))


def _key(entries: list[Entry]) -> str:
    return tree.fingerprint(entries, "1", "isal", str(_LEVEL))


def _cut(entries: list[Entry]) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and size + entry.size > PART_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size
    if part:
        yield part


class Writer:
    """Writes parts into a file.

    Attributes:
        written: the segments that are in the file, in its order.
        files, bytes: how much of the environment that is; bytes before compression.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: list[Segment] = []
        self.files = 0
        self.bytes = 0
        self._fd = -1
        self._size = 0
        self._lock = Lock()
        self._stop = Event()

    def write(
        self, parts: Sequence[Part], known: Mapping[str, Source], poll: Callable[[], None]
    ) -> None:
        """Write an archive.

        Args:
            parts: what it consists of.
            known: the segments of earlier archives, by their key.
            poll: is called in the caller's thread some times a second; may raise to stop.

        Raises:
            Changed: when a file is not as its entry says.
            CannotBeDone: when a file may not be read.

        """
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            sound = _sound(parts, known, poll)
            new = [part for part in parts if not self._reuse(part, sound, poll)]
            self._compress(new, poll)
            self._append("end", "", [_end()])
        finally:
            os.close(self._fd)

    def _reuse(self, part: Part, known: Mapping[str, Source], poll: Callable[[], None]) -> bool:
        source = known.get(part.key)
        if source is None:
            return False
        poll()
        segment = source.segment
        fd = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _copy(fd, self._fd, segment.offset, segment.size)
        finally:
            os.close(fd)
        self._note(segment.model_copy(update={"offset": self._size}))
        self._count(len(part.entries), part.size)
        return True

    def _compress(self, parts: Sequence[Part], poll: Callable[[], None]) -> None:
        with ThreadPoolExecutor(threads()) as pool:
            pending = {pool.submit(self._part, part) for part in parts}
            try:
                while pending:
                    done, pending = wait(pending, _POLL_SECONDS, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    poll()
            finally:
                self._stop.set()
                pool.shutdown(cancel_futures=True)

    def _part(self, part: Part) -> None:
        held: list[bytes] = []
        hashed = hashlib.sha256()
        size = 0
        with ExitStack() as stack:
            alone = False
            for piece in _member(part.entries, self._progress):
                hashed.update(piece)
                held.append(piece)
                size += len(piece)
                if not alone and size > _HELD_BYTES:
                    stack.enter_context(self._lock)
                    alone = True
                if alone:
                    self._put(held)
            if not alone:
                stack.enter_context(self._lock)
            self._put(held)
            digest = hashed.hexdigest()
            self._note(
                Segment(name=part.name, key=part.key, digest=digest, offset=self._size, size=size)
            )

    def _progress(self, files: int, size: int) -> None:
        if self._stop.is_set():
            raise _Stopped
        self._count(files, size)

    def _count(self, files: int, size: int) -> None:
        # For show: a number that two threads count up at once may be short by one.
        self.files += files
        self.bytes += size

    def _append(self, name: str, key: str, pieces: list[bytes]) -> None:
        size = sum(map(len, pieces))
        digest = hashlib.sha256(b"".join(pieces)).hexdigest()
        self._put(pieces)
        self._note(Segment(name=name, key=key, digest=digest, offset=self._size, size=size))

    def _put(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(self._fd, view) :]
        pieces.clear()

    def _note(self, segment: Segment) -> None:
        self.written.append(segment)
        self._size += segment.size


def _sound(
    parts: Sequence[Part], known: Mapping[str, Source], poll: Callable[[], None]
) -> dict[str, Source]:
    """Choose the segments that can be copied: a damaged one would go from archive to archive."""
    wanted = [part.key for part in parts if part.key in known]
    with ThreadPoolExecutor(threads()) as pool:
        pending = [(key, pool.submit(is_sound, known[key])) for key in wanted]
        try:
            for _, future in pending:
                while not wait([future], _POLL_SECONDS).done:
                    poll()
        finally:
            pool.shutdown(cancel_futures=True)
    return {key: known[key] for key, future in pending if future.result()}


def is_sound(source: Source) -> bool:
    """Tell whether a segment has the bytes that it had when it was written."""
    segment = source.segment
    hashed = hashlib.sha256()
    try:
        with open(source.path, "rb", buffering=0) as file:
            buffer = memoryview(bytearray(_BUFFER_BYTES))
            at, end = segment.offset, segment.offset + segment.size
            while at < end and (count := os.preadv(file.fileno(), [buffer[: end - at]], at)):
                hashed.update(buffer[:count])
                at += count
    except (OSError, OverflowError):
        # Gone, or on a part of the disk that cannot be read.
        return False
    return hashed.hexdigest() == segment.digest


def threads() -> int:
    """Give the number of threads that compress."""
    return min(8, len(os.sched_getaffinity(0)))


def content_digest(segments: Sequence[Segment], *more: str) -> str:
    """Give the name of an archive, which does not depend on the order of its segments.

    Args:
        segments: what it consists of.
        more: what else is in its record that tells it from others with the same content.

    """
    text = "\n".join([*sorted(segment.digest for segment in segments), *more])
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _end() -> bytes:
    compressor = codec.compressobj(_LEVEL, codec.DEFLATED, _GZIP)
    return bytes(compressor.compress(_ZEROS * 2) + compressor.flush())


def _copy(source: int, target: int, offset: int, size: int) -> None:
    while size:
        try:
            count = os.copy_file_range(source, target, size, offset)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
            count = os.sendfile(target, source, offset, size)
        if count == 0:
            raise OSError(errno.EIO, "an earlier archive is shorter than its record says")
        offset += count
        size -= count


def _member(entries: Sequence[Entry], progress: Callable[[int, int], None]) -> Iterator[bytes]:
    """Compress the tar stream of some entries into one gzip member."""
    compressor = codec.compressobj(_LEVEL, codec.DEFLATED, _GZIP)
    files = size = 0
    for block in _blocks(entries):
        yield compressor.compress(block.data)
        progress(block.files - files, block.size - size)
        files, size = block.files, block.size
    yield compressor.flush()


@dataclass
class _Blocks:
    """A buffer of the tar stream, and how much of the entries has been in it so far."""

    data: memoryview
    files: int = 0
    size: int = 0


def _blocks(entries: Sequence[Entry]) -> Iterator[_Blocks]:
    # One buffer for all: many small files are compressed in one call, for which the codec lets
    # go of the interpreter's lock, and nothing is copied on the way.
    view = memoryview(bytearray(_BUFFER_BYTES))
    state = _Blocks(view)
    used = 0
    for entry in entries:
        header = _header(entry)
        if used + len(header) + _BLOCK > _BUFFER_BYTES:
            state.data = view[:used]
            yield state
            used = 0
        view[used : used + len(header)] = header
        used += len(header)
        state.files += 1
        state.size += entry.size
        if entry.data:
            reader: Iterator[int] = _made(entry.data, view, used)
        elif entry.size or (entry.source and not entry.link):
            reader = _read(entry, view, used)
        else:
            continue
        for used in reader:
            if used == _BUFFER_BYTES:
                state.data = view
                yield state
        used %= _BUFFER_BYTES
        padding = -entry.size % _BLOCK
        view[used : used + padding] = _ZEROS[:padding]
        used += padding
    state.data = view[:used]
    yield state


def _made(data: bytes, view: memoryview, used: int) -> Iterator[int]:
    at = 0
    while at < len(data):
        piece = data[at : at + _BUFFER_BYTES - used]
        view[used : used + len(piece)] = piece
        at += len(piece)
        yield used + len(piece)
        used = (used + len(piece)) % _BUFFER_BYTES


def _read(entry: Entry, view: memoryview, used: int) -> Iterator[int]:
    """Read a file into the buffer, from `used` on, and again from its start when it is full."""
    fd = _open(entry.source)
    try:
        left = entry.size
        while left:
            try:
                count = os.readv(fd, [view[used : used + left]])
            except OSError as error:
                raise _broken(entry.source, error) from error
            if count == 0:
                raise Changed(entry.source)
            left -= count
            yield used + count
            used = (used + count) % _BUFFER_BYTES
        # After reading: what was true before it could have changed since.
        status = os.fstat(fd)
        if (status.st_size, status.st_mtime_ns, status.st_ino) != (
            entry.size,
            entry.mtime_ns,
            entry.inode,
        ):
            raise Changed(entry.source)
        if not entry.size:
            yield used
    finally:
        os.close(fd)


def _open(path: str) -> int:
    try:
        return os.open(path, READ)
    except PermissionError:
        raise tree.unreadable(path) from None
    except OSError as error:
        # Gone, or another kind of file now.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            raise Changed(path) from None
        raise _broken(path, error) from error


def _broken(path: str, error: OSError) -> CannotBeDone:
    return CannotBeDone.at(
        "environment",
        f"{tree.shown(path)} cannot be read: {error.strerror}. Remove it, or install that package "
        "anew.",
    )


def _header(entry: Entry) -> bytes:
    """Make the tar header of an entry; `tarfile` makes the rare ones, at ten times the cost."""
    name = os.fsencode(entry.name)
    link = os.fsencode(entry.link)
    # The header has room for eleven octal digits, which end in the year 2242.
    mtime = min(max(0, entry.mtime_ns // 10**9), 8**11 - 1)
    if len(name) > 100 or len(link) > 100 or entry.size >= 8**11:
        return _long_header(entry, mtime)
    size = 0 if link else entry.size
    block = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%bustar\x0000%b" % (
        name.ljust(100, b"\0"),
        entry.mode,
        0,
        0,
        size,
        mtime,
        b"2" if link else b"0",
        link.ljust(100, b"\0"),
        _ZEROS[:247],
    )
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


def _long_header(entry: Entry, mtime: int) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.mode = entry.mode
    info.size = entry.size
    info.mtime = mtime
    if entry.link:
        info.type = tarfile.SYMTYPE
        info.linkname = entry.link
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file."""
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_BUFFER_BYTES):
            hashed.update(piece)
    return hashed.hexdigest()
