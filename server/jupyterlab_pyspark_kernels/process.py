"""Runs a program for long work: its lines go to the log, and it ends when the work is cancelled."""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from .progress import Cancelled, Report

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 5


def run(
    command: Sequence[str],
    report: Report,
    env: Mapping[str, str] | None = None,
    folder: str = "/",
) -> tuple[int, str]:
    """Run a program to its end.

    Args:
        command: the program and its arguments; no shell reads them.
        report: hears the command, and every line that is printed.
        env: variables besides the server's own.
        folder: where it runs.

    Returns:
        the exit code and the last line that was printed.

    Raises:
        Cancelled: when the report said so; the program and all that it started have ended then.
        OSError: when the program cannot be started.

    """
    report.log(f"$ {shlex.join(command)}")
    last = ""
    with _started(command, env or {}, folder) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        for line in _lines(process, process.stdout, report):
            last = line or last
            report.log(line)
    return process.returncode, last or f"exit code {process.returncode}"


@contextmanager
def _started(
    command: Sequence[str], env: Mapping[str, str], folder: str
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603 - no shell, and callers check what they pass
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd=folder,
        env={**os.environ, **env},
    )
    try:
        yield process
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_SECONDS)
        # Also what it started and left behind, which is in its group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _lines(process: subprocess.Popen[bytes], output: IO[bytes], report: Report) -> Iterator[str]:
    """Give every line as soon as it is printed, and look meanwhile whether to stop."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            if report.cancelled():
                raise Cancelled
            ended = process.poll() is not None
            if not selector.select(_POLL_SECONDS):
                if ended:
                    # What it left behind holds the pipe open, and says no more.
                    break
                continue
            piece = os.read(output.fileno(), 65_536)
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield _text(line)
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip()
