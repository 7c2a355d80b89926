"""Whether an archive works: unpacked as Spark does, run with what it was made from out of sight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotBeDone, quoted
from ..progress import Cancelled
from .store import no_room

_LIMIT_SECONDS = 600
_POLL_SECONDS = 0.1

DIE_WITH_PARENT = """
import ctypes, os, signal, sys
# The kernel ends it when whoever started it is killed, and cannot do so itself any more.
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv.pop()):
    os._exit(1)
"""
"""The start of a program for Python, whose last argument is the number of its parent."""

_EXECUTE = """
os.execvp(sys.argv[1], sys.argv[1:])
"""

_PROGRAM = """
import importlib, json, subprocess, sys
with open(sys.argv[1], "a", encoding="utf-8") as file:
    def tell(*what):
        print(json.dumps(what), file=file, flush=True)
    subprocess.run([sys.executable, "-I", "-B", "-c", "import os"], check=True)
    tell("version", sys.version, ".".join(map(str, sys.version_info[:3])))
    for name in sys.argv[2:]:
        tell("import", name)
        try:
            importlib.import_module(name)
        # A module may raise whatever it likes when it is imported, SystemExit for one.
        except BaseException as error:
            tell("failed", name, f"{type(error).__name__}: {error}")
    tell("end")
"""

_HIDE = """
set -e
count=$1
shift
while [ "$count" -gt 0 ]; do
    if [ -d "$1" ]; then mount -t tmpfs -o size=4k,mode=755 hidden "$1"
    else mount --bind /dev/null "$1"; fi
    shift
    count=$((count - 1))
done
exec "$@"
"""


@dataclass(frozen=True)
class Run:
    """What an interpreter said about itself.

    Attributes:
        version: all of `sys.version`.
        short: such as 3.12.1.
        failed: modules that could not be imported, and why.

    """

    version: str
    short: str
    failed: dict[str, str]


@dataclass(frozen=True)
class Proof:
    """That an archive works.

    Attributes:
        python_version: such as 3.12.1.
        imports: the modules that were imported from it.
        not_importable: those that cannot be imported in the environment either, and why.
        base_hidden: whether what it was made from was hidden meanwhile.

    """

    python_version: str
    imports: list[str]
    not_importable: dict[str, str]
    base_hidden: bool


def prove(
    archive: Path,
    imports: Sequence[str],
    python: str,
    hide: Sequence[str],
    cancelled: Callable[[], bool] = lambda: False,
) -> Proof:
    """Unpack an archive beside itself and import modules from it.

    Args:
        archive: a `.tar.gz`; the directory it is in must be writable.
        imports: names of modules.
        python: the environment's interpreter, which is asked about what fails.
        hide: files and directories that the archive must do without.
        cancelled: is asked some times a second.

    Raises:
        CannotBeDone: when the archive lacks something that the environment has.

    """
    with tempfile.TemporaryDirectory(prefix="proof-", dir=archive.parent) as folder:
        unpacked = Path(folder, "environment")
        unpacked.mkdir()
        unpack(archive, unpacked, cancelled)
        places = [place for place in hide if os.path.exists(place) and not _holds(place, folder)]
        prefix = _hiding(places, cancelled)
        empty = ["/usr/bin/env", "-i", str(unpacked / "bin" / "python")]
        packed = _imports([*prefix, *empty], imports, Path(folder, "packed"), cancelled)
        # The same ones in the same order: what one module does may keep another from importing.
        again = imports if packed.failed else []
        original = _imports([python], again, Path(folder, "original"), cancelled)
    _compare(packed, original)
    done = [name for name in imports if name not in packed.failed]
    hidden = bool(prefix) and len(places) == len(hide)
    tolerated = {name: packed.failed[name] for name in packed.failed if name in original.failed}
    return Proof(packed.short, done, tolerated, hidden)


def _compare(packed: Run, original: Run) -> None:
    if packed.version != original.version:
        raise CannotBeDone.at(
            "environment",
            f"The archive runs Python {packed.version} instead of {original.version}. Make the "
            "environment anew with the interpreter that is installed now.",
        )
    for name, why in packed.failed.items():
        if name not in original.failed:
            raise CannotBeDone.at(
                "environment",
                f"{quoted(name)} cannot be imported from the archive although it can in the "
                f"environment: {why}. Pack without pruning, or install that package anew, "
                "not editable.",
            )


def _holds(place: str, folder: str) -> bool:
    return f"{os.path.realpath(folder)}/".startswith(f"{os.path.realpath(place)}/")


def unpack(archive: Path, target: Path, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Unpack an archive into a directory by the programs that Spark and Hadoop call."""
    command = 'gzip -dc -- "$1" | (cd -- "$2" && tar -xf -)'
    argv = ["/bin/sh", "-c", command, "sh", str(archive), str(target)]
    code, text = _run(argv, cancelled)
    # The shell gives tar's code, and tar notices whatever gzip could not read.
    if "No space left on device" in text:
        raise no_room(archive.parent)
    # A clock may be wrong, here or where the file was made: tar says so, and unpacks it.
    lines = [line for line in text.splitlines() if line.strip()]
    complaints = [line for line in lines if not line.endswith("s in the future")]
    if code or complaints:
        raise CannotBeDone.at(
            "environment",
            f"The archive cannot be unpacked: {_first(complaints)}. Look whether the disk of "
            f"{archive.parent} is in order.",
        )


def _hiding(places: Sequence[str], cancelled: Callable[[], bool]) -> list[str]:
    """Give the command that runs another with places hidden; none where that is not allowed."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
    command = [*unshare, "/bin/sh", "-c", _HIDE, "sh", str(len(places)), *places]
    try:
        code, _ = _run([*command, "/bin/true"], cancelled)
    except FileNotFoundError:
        return []
    return command if code == 0 else []


def _imports(
    command: Sequence[str], names: Sequence[str], notes: Path, cancelled: Callable[[], bool]
) -> Run:
    """Import modules one by one; one that ends the process is noted, and the rest is tried anew."""
    failed: dict[str, str] = {}
    left = list(names)
    while True:
        argv = [*command, "-I", "-B", "-c", _PROGRAM, str(notes), *left]
        code, text = _run(_mortal(argv), cancelled)
        told = (
            [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
        )
        notes.unlink(missing_ok=True)
        if not told:
            raise CannotBeDone.at(
                "environment",
                f"{quoted(command[-1])} does not start (it ended with {code}): {_last(text)}. "
                "Install that interpreter anew.",
            )
        failed.update({item[1]: item[2] for item in told if item[0] == "failed"})
        if told[-1][0] == "end":
            return Run(told[0][1], told[0][2], failed)
        last = told[-1][1]
        failed.setdefault(last, f"the interpreter ended with {code}")
        left = left[left.index(last) + 1 :]


def _mortal(argv: Sequence[str]) -> list[str]:
    """Give the command that runs another one, for no longer than this process lives."""
    # What an import does may never end, and it survives what is executed in its place.
    start = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT + _EXECUTE]
    return [*start, *argv, str(os.getpid())]


def _first(lines: Sequence[str]) -> str:
    """Give what a program said first, which is the cause of what it said later."""
    return lines[0].rstrip(".") if lines else "it said nothing"


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].rstrip(".") if lines else "it said nothing"


def _run(argv: Sequence[str], cancelled: Callable[[], bool]) -> tuple[int, str]:
    """Run a program to its end; give its code and what it wrote."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
        try:
            _wait(process, cancelled)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
        output.seek(0)
        return process.returncode, output.read().decode("utf-8", "replace")


def _wait(process: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while True:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if cancelled():
                raise Cancelled from None
            if time.monotonic() > deadline:
                raise CannotBeDone.at(
                    "environment",
                    f"Trying the archive took more than {_LIMIT_SECONDS} seconds. Look which "
                    "package waits for something when it is imported, and remove that one.",
                ) from None
        else:
            return
