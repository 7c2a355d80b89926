"""Why Spark did not start, in words for a person."""

from __future__ import annotations

import os
import re
import sys
from typing import Iterable, List, NamedTuple, Optional


class SparkStartError(RuntimeError):
    """Spark did not start; the message says why and what to do."""

    def _render_traceback_(self) -> List[str]:
        # Where in this file it was raised tells nobody anything.
        return str(self).splitlines()


class Why(NamedTuple):
    """Why Spark did not start.

    Attributes:
        cause: what is wrong, in a sentence.
        fix: what to do, in sentences; `None` when no rule knows.
    """

    cause: str
    fix: Optional[str]

    def __str__(self) -> str:
        """Give what a person is told."""
        return " ".join(filter(None, self))


def explain(words: str, log: str, master: Optional[str]) -> Why:
    """Say why Spark did not start, and what to do, in the words of the rules beside this file.

    The doctor applies the same rules to what this kernel leaves, so both say the same.
    """
    from . import rules

    known, _ = rules.read_all(os.environ.get(rules.RULES_VARIABLE, ""))
    facts = {"master": master or "", "environment": sys.prefix, "python": sys.executable}
    found = rules.find(known, {"cause": words, "log": log, "stage": "failed"}, facts)
    if not found:
        return Why(rules.quoted_line(words), None)
    return Why(found[0].cause, rules.advice(found[0]))


def redacted(text: str) -> str:
    """Give a text without secrets: a notebook keeps what it shows, and is passed on."""
    from . import rules

    return rules.redacted(text)


def masked(text: str, secrets: Iterable[str]) -> str:
    """Give a text without some secrets."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return text


def describe(error: Exception, log: str) -> str:
    """Say in one sentence what was met."""
    if isinstance(error, SparkStartError):
        return str(error)
    java_exception = getattr(error, "java_exception", None)
    if java_exception is not None:
        return _sentence(str(java_exception.toString()))
    said = re.search(r'status = StatusCode\.(\w+)\s+details = "(.*)"', str(error))
    if said is not None:
        return _sentence(f"The Spark Connect server said {said[1]}: {said[2]}")
    telling = [line for line in log.splitlines() if re.search(r"Exception|[Ee]rror", line)]
    if type(error).__name__ == "PySparkRuntimeError" and telling:
        return _sentence(f"Spark's JVM ended before it was ready: {telling[0].strip()}")
    return _sentence(f"{type(error).__name__}: {error}")


def _sentence(text: str) -> str:
    lines = text.strip().splitlines() or ["no reason was given"]
    return lines[0] if lines[0].endswith(".") else f"{lines[0]}."
