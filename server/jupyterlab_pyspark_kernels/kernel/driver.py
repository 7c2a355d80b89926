"""How Spark's driver is started, so that it is there soon."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional

from .options import SubmitOptions, is_local

DRIVER_START_VARIABLE = "PYSPARK_KERNELS_DRIVER_START"
"""How the driver starts: `quick`, `off`, or by itself (`auto`) when the variable is not set."""

_QUICK_COMPILER = ["-XX:TieredStopAtLevel=1"]
_LATER_COMPILER = [
    "-XX:Tier4InvocationThreshold=200000",
    "-XX:Tier4MinInvocationThreshold=24000",
    "-XX:Tier4CompileThreshold=600000",
    "-XX:Tier4BackEdgeThreshold=400000",
]
"""Forty and ten times what Java begins with: what runs only while Spark starts is not worth its
slow compiler, and a job's loops reach these numbers within a second."""
_QUICK_COLLECTOR = ["-XX:+UseSerialGC"]

_SMALL_HEAP = 4 * 1024**3
"""Bytes; in a larger heap one thread alone would collect for too long."""
_DEFAULT_HEAP = 1024**3
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}

_JAVA_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS")
_CONFIGURED_BYTES = 1024 * 1024


def configured(options: SubmitOptions, home: str, environ: Mapping[str, str]) -> Dict[str, str]:
    """Give the text of everything that may tell Spark's JVM its options and its class path."""
    folder = Path(environ.get("SPARK_CONF_DIR") or Path(home, "conf"))
    files = [folder / "spark-env.sh", options.properties_file or folder / "spark-defaults.conf"]
    texts = {name: environ.get(name, "") for name in _JAVA_VARIABLES}
    texts["arguments"] = " ".join(options.tokens)
    for path in files:
        with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            texts[str(path)] = file.read(_CONFIGURED_BYTES)
    return texts


def java_options(how: str, options: SubmitOptions, said: str, archive: Optional[Path]) -> List[str]:
    """Give the options of Java that let the driver start soon.

    Args:
        how: what DRIVER_START_VARIABLE says.
        options: those of spark-submit.
        said: whatever may hold options of the person's own, which win.
        archive: the classes of Spark as Java maps them into memory, if they are there.
    """
    if how == "off":
        return []
    given: List[str] = []
    if archive is not None and not re.search(r"-Xshare|SharedArchive|ArchiveClasses|AOT", said):
        # Parsed by Spark as a shell does.
        given += [f'"-XX:SharedArchiveFile={archive}"', "-Xshare:auto", "-XX:+VerifySharedSpaces"]
    does_the_work = is_local(options.master)
    quick = how == "quick" or not does_the_work
    if not re.search(r"-XX:\S*(Tier|Compil|CICompiler)|-Xint|-Xcomp", said):
        given += _QUICK_COMPILER if quick else _LATER_COMPILER
    small = how == "quick" or _heap(said) <= _SMALL_HEAP
    if quick and small and not re.search(r"-XX:[+-]Use\w*GC\b", said):
        given += _QUICK_COLLECTOR
    return given


def _heap(said: str) -> int:
    """Give the largest heap that is spoken of."""
    found = re.findall(
        r"(?:driver[.-]memory[\s=:\"']*|DRIVER_MEMORY[\s=\"']*|-Xmx)(\d{1,15})([kmgt]?)", said, re.I
    )
    sizes = [int(number) * _UNITS[unit.lower() or "m"] for number, unit in found]
    return max(sizes, default=_DEFAULT_HEAP)


def has_wide_pointers(said: str) -> bool:
    """Tell whether the heap is so large that Java shortens no pointers in it."""
    return _heap(said) >= 32 * 1024**3


@contextmanager
def launching(options: List[str]) -> Iterator[None]:
    """Let spark-submit start the driver with options of Java, before those of the person."""
    if not options:
        yield
        return
    # The JVM that tells the command of the driver's lives for a tenth of a second.
    short = [*_QUICK_COMPILER, *_QUICK_COLLECTOR, "-Xshare:auto"]
    ours = {"SPARK_SUBMIT_OPTS": options, "SPARK_LAUNCHER_OPTS": short}
    before = {name: os.environ.get(name) for name in ours}
    if before["SPARK_LAUNCHER_OPTS"]:
        # Java refuses two collectors.
        del ours["SPARK_LAUNCHER_OPTS"]
    for name, words in ours.items():
        os.environ[name] = " ".join([*words, before[name] or ""]).strip()
    try:
        yield
    finally:
        for name in ours:
            if before[name] is None:
                del os.environ[name]
            else:
                os.environ[name] = str(before[name])
