"""Why a kernel's Spark does not work, and what to do: the rules, applied to what a kernel left.

The launcher leaves a status file and the log of Spark's JVM. Whatever else is known, such as what
the process printed or how large the cluster's workers are, is given as evidence besides. What a
kernel names and is not there is seen without a notebook.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from .config import KernelConfig
from .environments import inspect_environment, lacks_of_spark
from .kerberos import ticket_facts
from .kernel.idle import RELEASED
from .kernel.installation import python_of
from .kernel.options import without_token
from .kernel.rules import FACTS, RULES_VARIABLE, SOURCES, Finding, Rule, find, quoted_line, read_all
from .kernel.status import RESTING
from .render import interpreter

_UNKNOWN = "unknown"
_LOG_BYTES = 2 * 1024 * 1024


class Diagnosis(BaseModel):
    """A cause that was recognised, and what to do about it."""

    model_config = ConfigDict(frozen=True)

    rule: str = Field(description="A fixed word for the cause.")
    cause: str = Field(description="What is wrong, in a sentence.")
    evidence: str = Field(description="The line that tells it; empty when a figure does.")
    fix: str = Field(description="What to do, in a sentence.")
    command: str | None = Field(None, description="What to run in a shell.")
    remedy: str | None = Field(
        None, description="What this server can do about it, such as install-ipykernel."
    )

    @property
    def sentence(self) -> str:
        """What a person is told wherever there is room for nothing else."""
        return f"{self.cause} {self.fix}"


def diagnose(
    status: Mapping[str, Any] | None,
    log: str = "",
    config: KernelConfig | None = None,
    extra: Mapping[str, str] | None = None,
    rules: Sequence[Rule] | None = None,
) -> list[Diagnosis]:
    """Tell why a kernel's Spark does not work.

    Args:
        status: what the launcher wrote; `None` when it wrote nothing.
        log: what Spark's JVM printed.
        config: what the kernel was made from.
        extra: other sources and facts, by the names in `rules`.
        rules: what is known; our own rules and the site's when it is `None`.

    Returns:
        the causes, the most telling first; none when nothing is wrong. A failure that no rule
        knows is told in the launcher's words.

    """
    status = status or {}
    extra = extra or {}
    given = {
        # The cause is what the notebook says; rules look at the words that it was made from.
        "cause": str(status.get("words") or status.get("cause") or ""),
        "stage": str(status.get("stage") or ""),
        "log": log,
        **extra,
    }
    sources = {name: text for name, text in given.items() if name in SOURCES}
    facts = {**_facts(status, config), **{k: v for k, v in extra.items() if k in FACTS}}
    known = site_rules()[0] if rules is None else rules
    found = [_diagnosis(finding) for finding in find(known, sources, facts)]
    # The same cause may be seen in several places; the first one tells it.
    first = {(item.rule, item.cause): item for item in reversed(found)}
    return [item for item in found if first[item.rule, item.cause] is item] or _unknown(sources)


def diagnose_ticket(config: KernelConfig) -> list[Diagnosis]:
    """Tell that the Kerberos ticket is missing which a kernel's Hadoop asks for."""
    facts = ticket_facts(config, os.environ)
    return diagnose(None, config=config, extra=facts) if facts else []


def diagnose_files(config: KernelConfig, archive: str | None = None) -> list[Diagnosis]:
    """Tell what a kernel names and is not on this machine, in the words that a notebook says it in.

    Files are looked at, and nothing is started.

    Args:
        config: what the kernel was made from.
        archive: the URI of the packed environment that its executors unpack.

    """
    lacks = {"lacks": "\n".join(_lacking(config, archive)), "archive": archive or ""}
    return diagnose(None, config=config, extra=lacks)


def diagnose_unreadable(reason: str) -> list[Diagnosis]:
    """Tell that a kernel cannot be read."""
    return diagnose(None, extra={"unreadable": reason.rstrip(".")})


def _lacking(config: KernelConfig, archive: str | None) -> Iterator[str]:
    found = inspect_environment(config.environment)
    if not os.path.exists(interpreter(config.environment)):
        yield "python"
    elif found is not None and "PYTHONPATH" not in config.env:
        # Otherwise packages may come from elsewhere.
        if "ipykernel" not in found.packages:
            yield "ipykernel"
        if (lack := lacks_of_spark(config)) is not None:
            yield lack
    if config.spark_home is not None and not python_of(Path(config.spark_home)):
        yield "spark_home"
    if archive is not None and archive.startswith("/") and not os.path.exists(archive):
        yield "archive"


def _facts(status: Mapping[str, Any], config: KernelConfig | None) -> dict[str, str]:
    # Of a kernel that gave its executors back, their number says nothing.
    rests = status.get("stage") in (RELEASED, *RESTING)
    facts = {
        "master": str(status.get("master") or ""),
        "executors": "" if rests else str(status.get("executors", "")),
    }
    if config is not None:
        python = interpreter(config.environment)
        facts |= {
            "master": without_token(config.master),
            # As the launcher sees it.
            "environment": os.path.dirname(os.path.dirname(python)),
            "spark_home": config.spark_home or "",
            "python": python,
            "executor_memory": config.executor_memory or "",
            "executor_cores": str(config.executor_cores or ""),
            "principal": config.principal or "",
            "keytab": config.keytab or "",
            "driver_host": config.conf.get("spark.driver.host", ""),
        }
    return facts


def _diagnosis(finding: Finding) -> Diagnosis:
    return Diagnosis(**finding._asdict())


def _unknown(sources: Mapping[str, str]) -> list[Diagnosis]:
    """Tell a failure that no rule knows, in the words of whoever met it."""
    printed = _lines(sources.get("stderr", "")) if "exit_code" in sources else []
    said = [line for name in ("cause", "error") for line in _lines(sources.get(name, ""))]
    if not said:
        return []
    evidence = [*_lines(sources.get("log", ""))[-1:], *printed[-1:], ""]
    fix = "The log of Spark's JVM, and what the kernel printed, tell more."
    cause, seen = quoted_line(said[0]), quoted_line(evidence[0])
    return [Diagnosis(rule=_UNKNOWN, cause=cause, evidence=seen, fix=fix)]


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


# --- what is on the disk -----------------------------------------------------------------------


def site_rules() -> tuple[list[Rule], list[str]]:
    """Read the site's rules and ours.

    Returns:
        the rules, the site's first, and a sentence for each that is wrong and left out.

    """
    # Read once: rules change with the installation, and the server is started anew then.
    return _read_once(os.environ.get(RULES_VARIABLE, ""))


_read_once = cache(read_all)


class Left(NamedTuple):
    """What a notebook left.

    Attributes:
        when: seconds since the epoch.
        status: what its launcher wrote.
        log: the end of what Spark's JVM printed.

    """

    when: float
    status: Mapping[str, Any]
    log: str


def latest(folder: Path, kernel: Path) -> Left | None:
    """Give what the last notebook of a kernel left.

    Args:
        folder: where launchers leave it: `pyspark-kernels` in Jupyter's runtime directory.
        kernel: the kernel's directory.

    Returns:
        `None` when none of its notebooks runs, and none has failed lately.

    """
    found = []
    for file in folder.glob("*.json"):
        # A kernel that ends in order takes its files away.
        with suppress(FileNotFoundError):
            when = file.stat().st_mtime
            status, log = read_left(file)
            if status is not None and _is_of(status, kernel):
                found.append(Left(when, status, log))
    return max(found, key=lambda left: left.when, default=None)


def _is_of(status: Mapping[str, Any], kernel: Path) -> bool:
    directory = status.get("directory")
    return isinstance(directory, str) and os.path.realpath(directory) == os.path.realpath(kernel)


def read_left(status_file: Path) -> tuple[Mapping[str, Any] | None, str]:
    """Read what a launcher left: its status, or `None` when there is none, and the log's end."""
    try:
        status = json.loads(status_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, ""
    return (
        (status, read_end(status_file.with_suffix(".log")))
        if isinstance(status, dict)
        else (None, "")
    )


def read_end(path: Path) -> str:
    """Read the end of a log; nothing when it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
