"""Starts Spark's driver by spark-submit, with what lets it be there sooner."""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import threading
from contextlib import suppress
from typing import Any, Mapping

from .classes import Archive, archive_of, facts_of
from .driver import DRIVER_START_VARIABLE, configured, has_wide_pointers, java_options, launching
from .jvm import reap, stop
from .options import SubmitOptions
from .status import Status

_QUIET_SECONDS = 10
"""How long after Spark the making of an archive begins: the first jobs go first."""
_CRASHES = (-6, -7, -11, 134, 135, 139)
_JAVA_FAILED = re.compile(
    "fatal error has been detected by the Java Runtime|Could not create the Java Virtual Machine"
    "|shared archive|shared class|CDS"
)
_UNTOUCHED = "off"


class Launch:
    """One start of Spark's driver.

    Args:
        options: those of spark-submit.
        status: has the log of what the JVM prints.
    """

    def __init__(self, options: SubmitOptions, status: Status) -> None:
        from pyspark.find_spark_home import _find_spark_home

        self._status = status
        self._how = os.environ.get(DRIVER_START_VARIABLE, "")
        home = _find_spark_home()
        texts = configured(options, home, os.environ)
        said = "\n".join(texts.values())
        self._archive = archive_of(home, texts, has_wide_pointers(said), os.environ)
        used = None if self._how == _UNTOUCHED else self._archive.usable()
        self._java_options = java_options(self._how, options, said, used)

    def gateway(self) -> Any:
        """Start the JVM, and connect to it."""
        from pyspark.errors import PySparkRuntimeError
        from pyspark.java_gateway import launch_gateway

        output = {"stdout": self._status.log_file, "stderr": subprocess.STDOUT}
        begun = os.fstat(self._status.log_file).st_size
        try:
            with launching(self._java_options):
                gateway = launch_gateway(popen_kwargs=dict(output))
        except PySparkRuntimeError:
            if not self._java_options or not self._failed_by_java(begun):
                raise
            # An archive that is damaged, or options that do not go with the person's own.
            self._archive.drop()
            gateway = launch_gateway(popen_kwargs=dict(output))
        threading.Thread(target=self._reap, args=(gateway.proc,), daemon=True).start()
        return gateway

    def make_archive(self, jvm: Any) -> None:
        """Let the next kernel find an archive, if there is none of what this JVM is.

        Args:
            jvm: the driver's, through py4j.
        """
        if self._how == _UNTOUCHED:
            return
        facts = facts_of(jvm)
        if facts is None:
            return
        timer = threading.Timer(_QUIET_SECONDS, _make, (self._archive, facts))
        timer.daemon = True
        timer.start()

    def _failed_by_java(self, begun: int) -> bool:
        """Tell whether Java itself ended, before it was Spark's turn."""
        with open(self._status.log, "rb") as log:
            log.seek(begun)
            printed = log.read().decode(errors="replace")
        return not printed.strip() or _JAVA_FAILED.search(printed) is not None

    def _reap(self, process: "subprocess.Popen[bytes]") -> None:
        reap(process, self._status)
        if process.returncode in _CRASHES:
            self._archive.drop()


def _make(archive: Archive, facts: Mapping[str, Any]) -> None:
    from . import train

    # A home that is read-only, full or unknown, or no process to be had: Spark starts without.
    with suppress(OSError):
        directory = archive.wanted(facts)
        process = directory and train.begin(directory, archive.key, facts)
        if process:
            atexit.register(stop, process)
            # ipykernel, when it ends, waits for dead children that nobody has asked for.
            process.wait()
