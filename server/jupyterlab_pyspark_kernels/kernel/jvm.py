"""Spark's JVM: its end, in order and out of order."""

from __future__ import annotations

import atexit
import os
import subprocess
from typing import Set

from .failure import explain
from .secrets import known_secrets
from .status import NO_EXECUTORS, RESTING, Status

_STOP_SECONDS = 4
_ORDERLY_EXITS = (0, 143, -15)


def stop(jvm: subprocess.Popen[bytes]) -> None:
    """End Spark's JVM in order: it stops when its standard input closes."""
    if jvm.stdin is not None:
        jvm.stdin.close()
    try:
        jvm.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        jvm.kill()
        jvm.wait()


dismissed: Set["subprocess.Popen[bytes]"] = set()
"""The JVMs that were ended because the kernel was idle, or somebody asked for it."""


def dismiss() -> None:
    """End Spark's JVM, if there is one, and let PySpark start another when it is asked to."""
    from pyspark import SparkContext

    with SparkContext._lock:
        gateway = SparkContext._gateway
        SparkContext._gateway = SparkContext._jvm = None
    if gateway is None:
        return
    dismissed.add(gateway.proc)
    # While it lives: so what is left of its objects in Python knows that it is gone.
    gateway.shutdown()
    stop(gateway.proc)
    atexit.unregister(stop)


def reap(jvm: subprocess.Popen[bytes], status: Status) -> None:
    """Tell of the JVM's end as soon as it comes.

    It also takes the dead process from the system's list: ipykernel, when it shuts down, waits five
    seconds for children that are there, dead or not.
    """
    code = jvm.wait()
    if status["stage"] in ("failed", *RESTING) or jvm in dismissed:
        # The first cause is the one that helps, and nobody asks for that of what was wanted.
        return
    if code in _ORDERLY_EXITS:
        status.update(stage="stopped", ui=None, jvm=None, **NO_EXECUTORS)
    else:
        words = f"Spark's JVM ended with the exit code {code}."
        status.mask(known_secrets(os.environ))
        log = status.log.read_text(encoding="utf-8", errors="replace")
        why = explain(words, log, status["master"])._asdict()
        status.update(stage="failed", words=words, ui=None, jvm=None, **why, **NO_EXECUTORS)
