"""The Kerberos ticket that Hadoop asks for: whether there is one, whose it is, and until when.

Nothing is asked of a KDC. The cache is found and read as MIT's library does it
(`ccache_file_format` and `krb5_conf` in its documentation), and judged as Java does, which reads
files only.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

from .clusters import NoAnswer, Yarn, parse_master
from .clusters.hadoop import read_hadoop_conf
from .config import KernelConfig
from .errors import FieldError, shown, why
from .files import read_small
from .owners import user_name

SOON = timedelta(hours=2)
"""A notebook runs for longer than that."""

_TEMPORARY = "/tmp"  # noqa: S108 - where Kerberos has its files, which are this user's alone
_KLIST_SECONDS = 5
_ASKED_BY_KLIST = ("API", "DIR", "KCM", "KEYRING")
_MOST_FILES = 50
_MOST_PARTS = 1000
_CONFIG_ENTRIES = "X-CACHECONF:"
"""The realm of what is kept beside the tickets."""


@dataclass(frozen=True)
class Ticket:
    """A ticket that others are got with.

    Attributes:
        principal: whose it is.
        until: when it expires.

    """

    principal: str
    until: datetime


@dataclass(frozen=True)
class State:
    """How a kernel stands with Kerberos.

    Attributes:
        kind: `good`, `soon` to expire, `expired`, or `none`.
        sentence: says it, with the remedy where there is one.

    """

    kind: Literal["good", "soon", "expired", "none"]
    sentence: str


class Unreadable(ValueError):
    """A cache without a ticket that can be used; the words follow its name in a sentence."""


def ticket_state(
    config: KernelConfig, environ: Mapping[str, str], now: datetime | None = None
) -> State | None:
    """Tell how a kernel stands with Kerberos; `None` when its Hadoop asks for no ticket.

    Args:
        config: the kernel.
        environ: the variables that it gets unless it sets them.
        now: the time.

    """
    variables = {**environ, **config.env}
    if not needs_ticket(config, variables):
        return None
    cache = cache_name(variables)
    try:
        ticket = read_ticket(cache)
    except Unreadable as error:
        sentence = f"This Hadoop asks for a Kerberos ticket, and {shown(cache)} {error}. {_KINIT}"
        return State("none", sentence)
    left = ticket.until - (now or datetime.now(timezone.utc))
    when = ticket.until.astimezone().strftime("%Y-%m-%d %H:%M")
    whose = f"The Kerberos ticket of {shown(ticket.principal)} in {shown(cache)}"
    if left <= timedelta():
        return State("expired", f"{whose} expired at {when}. {_KINIT}")
    if not _is_seen_by_java(cache, variables):
        return State(
            "none",
            f"{whose} is good until {when}, but Java looks at files only, and so do Spark and "
            f"Hadoop. Set KRB5CCNAME to {_of_java()} for the server and in the terminal. {_KINIT}",
        )
    if left <= SOON:
        return State("soon", f"{whose} expires soon, at {when}. {_KINIT}")
    return State("good", f"{whose} is good until {when}.")


_KINIT = "Get one with the command kinit, in a terminal on this machine."


def on_ticket(config: KernelConfig, environ: Mapping[str, str]) -> Iterator[FieldError]:
    """Give the advice on a kernel whose ticket is missing, or not good for long."""
    state = ticket_state(config, environ)
    if state is not None and state.kind != "good":
        yield FieldError("master", state.sentence)


def ticket_facts(config: KernelConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Give what the rules look at: whether the ticket is missing, and in which words."""
    state = ticket_state(config, environ)
    if state is None or state.kind in ("good", "soon"):
        return {}
    fact = "expired_ticket" if state.kind == "expired" else "no_ticket"
    sentence = state.sentence.removesuffix(_KINIT).strip().removesuffix(".")
    return {"lacks": fact.replace("_", "-"), fact: sentence}


def needs_ticket(config: KernelConfig, variables: Mapping[str, str]) -> bool:
    """Tell whether a kernel's Hadoop asks for a ticket that somebody has got before."""
    if config.keytab is not None or not isinstance(parse_master(config.master), Yarn):
        return False
    directory = variables.get("HADOOP_CONF_DIR") or variables.get("YARN_CONF_DIR")
    if not directory:
        return False
    try:
        conf = read_hadoop_conf(directory, "core-site.xml")
    except NoAnswer:
        # Spark says what is wrong with it.
        return False
    return (conf.get("hadoop.security.authentication") or "").lower() == "kerberos"


# --- where the cache is -------------------------------------------------------------------------


def cache_name(variables: Mapping[str, str]) -> str:
    """Give the name of the cache that kinit writes to."""
    named = variables.get("KRB5CCNAME") or _configured(variables) or _of_java()
    return named if re.match("[A-Za-z]+:", named) else f"FILE:{named}"


def _configured(variables: Mapping[str, str]) -> str | None:
    """Give `default_ccache_name` of krb5.conf, with its parameters filled in."""
    paths = (variables.get("KRB5_CONFIG") or "/etc/krb5.conf").split(":")
    lines = _lines([Path(path) for path in paths if path])
    section = ""
    for line in lines:
        if found := re.match(r"\s*\[([^\]]*)\]", line):
            section = found[1]
        elif section == "libdefaults" and (
            found := re.match(r"\s*default_ccache_name\s*=\s*(\S+)", line)
        ):
            return _with_parameters(found[1])
    return None


def _with_parameters(name: str) -> str:
    uid = str(os.getuid())
    known = {"uid": uid, "euid": uid, "USERID": uid, "TEMP": _TEMPORARY, "null": ""}
    known["username"] = user_name(os.getuid())
    return re.sub(r"%\{(\w+)\}", lambda found: known.get(found[1], found[0]), name)


def _lines(waiting: list[Path]) -> Iterator[str]:
    """Give the lines of configuration files, with those of others where they are included."""
    rest: list[str | Path] = [*waiting]
    files = 0
    while rest:
        first = rest.pop(0)
        if isinstance(first, str):
            yield first
            continue
        files += 1
        if files > _MOST_FILES:
            continue
        with suppress(OSError, ValueError):
            text = read_small(first).decode("utf-8", "replace")
            rest[:0] = [part for line in text.splitlines() for part in _parts(line)]


def _parts(line: str) -> list[str | Path]:
    """Give what a line stands for: itself, or the files that it includes."""
    if found := re.match(r"include\s+(\S+)", line):
        return [Path(found[1])]
    if found := re.match(r"includedir\s+(\S+)", line):
        return [*_included(Path(found[1]))]
    return [line]


def _included(directory: Path) -> list[Path]:
    try:
        names = sorted(path.name for path in directory.iterdir())
    except OSError:
        return []
    taken = re.compile(r"[A-Za-z0-9_-]+|(?!\.).*\.conf")
    return [directory / name for name in names if taken.fullmatch(name)][:_MOST_FILES]


def _of_java() -> str:
    return f"FILE:{_TEMPORARY}/krb5cc_{os.getuid()}"


def _is_seen_by_java(cache: str, variables: Mapping[str, str]) -> bool:
    """Tell whether Spark's JVM finds the cache that kinit writes to.

    It takes KRB5CCNAME when that names a file, and else only the file in /tmp
    (`FileCredentialsCache` in the JDK's sources).
    """
    return cache.startswith("FILE:") and (bool(variables.get("KRB5CCNAME")) or cache == _of_java())


# --- what is in it ------------------------------------------------------------------------------


def read_ticket(cache: str) -> Ticket:
    """Read the ticket of a cache: a file by ourselves, any other by klist.

    Raises:
        Unreadable: when there is none.

    """
    kind, _, rest = cache.partition(":")
    if kind != "FILE":
        return _by_klist(kind, cache)
    try:
        return read_file(read_small(Path(rest)))
    except FileNotFoundError:
        raise Unreadable("is not there") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {why(error)}") from None
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(f"cannot be read: {error}") from None


def read_file(content: bytes) -> Ticket:
    """Read the content of a file cache, of version 3 or 4.

    Raises:
        Unreadable: when it is none, or holds no ticket that others are got with.

    """
    if content[:2] not in (b"\x05\x03", b"\x05\x04"):
        raise Unreadable("is no cache of Kerberos tickets")
    reader = _Reader(content)
    reader.skip(2)
    if content[1] == 4:
        reader.skip(reader.number(">H"))
    _, owner = reader.principal()
    ends = []
    while not reader.at_end():
        realm, server, end = reader.credential()
        if realm != _CONFIG_ENTRIES and server.startswith("krbtgt/"):
            ends.append(end)
    if not ends:
        raise Unreadable("holds no ticket")
    return Ticket(owner, datetime.fromtimestamp(max(ends), timezone.utc))


class _Reader:
    """Reads what stands one behind the other; never beyond the end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def at_end(self) -> bool:
        return self._at >= len(self._content)

    def skip(self, count: int) -> bytes:
        """Take some bytes.

        Raises:
            Unreadable: when there are not so many.

        """
        taken = self._content[self._at : self._at + count]
        if len(taken) < count:
            raise Unreadable("is cut off")
        self._at += count
        return taken

    def number(self, form: str = ">I") -> int:
        return int(struct.unpack(form, self.skip(struct.calcsize(form)))[0])

    def data(self) -> bytes:
        return self.skip(self.number())

    def principal(self) -> tuple[str, str]:
        """Give the realm, and the whole name."""
        self.number()
        parts = self._times(self.number(), self.data, extra=1)
        realm, *names = (part.decode("utf-8", "replace") for part in parts)
        return realm, f"{'/'.join(names)}@{realm}"

    def credential(self) -> tuple[str, str, int]:
        """Give the server's realm and name, and when it expires."""
        self.principal()
        realm, server = self.principal()
        self.number(">H")
        self.data()
        end = [self.number() for _ in range(4)][2]
        self.skip(1 + 4)
        for _ in range(2):
            # Addresses and authorisation data have a type each.
            self._times(self.number(), lambda: (self.number(">H"), self.data())[1])
        self.data()
        self.data()
        return realm, server, end

    def _times(self, count: int, read: Callable[[], bytes], extra: int = 0) -> list[bytes]:
        if count > _MOST_PARTS:
            raise Unreadable("is no cache of Kerberos tickets")
        return [read() for _ in range(count + extra)]


_KLIST_LINE = re.compile(
    r"^(?P<start>\S+ \S+)  (?P<end>\d\d/\d\d/\d\d(?:\d\d)? \d\d:\d\d:\d\d)  krbtgt/\S+$",
    re.MULTILINE,
)


def _by_klist(kind: str, cache: str) -> Ticket:
    # The server's own PATH and configuration: the kernel's may be somebody else's.
    program = shutil.which("klist") if kind in _ASKED_BY_KLIST else None
    if program is None:
        raise Unreadable("cannot be looked into, as there is no klist that knows it")
    try:
        ran = subprocess.run(  # noqa: S603 - no shell, and a cache of a kind that we know
            [program, "-c", cache],
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_KLIST_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        raise Unreadable("cannot be looked into, as klist does not answer") from None
    text = ran.stdout.decode("utf-8", "replace")
    owner = re.search(r"^Default principal: (\S+)$", text, re.MULTILINE)
    ends = [_local_time(found["end"]) for found in _KLIST_LINE.finditer(text)]
    if owner is None or not ends:
        raise Unreadable("holds no ticket")
    return Ticket(owner[1], max(ends))


def _local_time(text: str) -> datetime:
    form = "%m/%d/%Y %H:%M:%S" if len(text.split()[0]) > len("01/01/26") else "%m/%d/%y %H:%M:%S"
    return datetime.strptime(text, form).astimezone(timezone.utc)
