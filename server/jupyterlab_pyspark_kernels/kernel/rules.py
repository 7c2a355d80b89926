"""Finds the cause of a failure: rules that are data, matched against what a kernel left behind.

A rule names what it looks at (`signature`: a source and a regular expression for each), and what it
then says. Every expression of a signature must match; its named groups, and the facts, fill the
placeholders of its sentences. A list of signatures is the same failure as it shows in several ways.
Needs nothing but the standard library of Python 3.8, so that it can be copied beside the launcher:
then the notebook says a failure in the same words as the doctor.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SOURCES = ("cause", "log", "stderr", "error", "exit_code", "stage")
"""What a kernel leaves: the launcher's own words; the log of Spark's JVM; what the kernel's process
printed; the exception of a cell; the exit code of the process; how far Spark came."""

FACTS: Mapping[str, str] = {
    "master": "the master",
    "environment": "the environment",
    "python": "python",
    "spark_home": "",
    "archive": "",
    "lacks": "",
    "unreadable": "",
    "executor_memory": "the executor memory",
    "executor_cores": "the executor cores",
    "driver_host": "the driver's host",
    "driver_python": "",
    "executor_python": "",
    "missing_packages": "",
    "fit": "",
    "largest_memory": "",
    "largest_cores": "",
    "free_cores": "",
    "held_by": "none that it tells",
    "executors": "",
    "no_ticket": "Hadoop asks for a Kerberos ticket, and there is none",
    "expired_ticket": "The Kerberos ticket has expired",
    "principal": "the principal",
    "keytab": "the keytab",
}
"""What may be known besides, as text, and what is said when it is not known.

`lacks` has a line for each thing that the kernel names and that is not on this machine: `python`,
`ipykernel`, `pyspark`, `driver`, `connect`, `spark_home`, `archive`; and `no-ticket` or
`expired-ticket`.
"""

RULES_VARIABLE = "PYSPARK_KERNELS_RULES"
"""Names the directories of a site's own rules. A variable, because the kernels inherit it."""

PACKAGED = Path(__file__).with_name("rules.json")

_SENTENCES = ("cause", "fix")
_KEYS = {"id", "signature", "cause", "fix", "command", "remedy"}
_NEEDED = {"id", "signature", "cause", "fix"}
_LONGEST = 300
"""Characters of a line that is quoted."""

_MOST = 4096
"""Characters that are looked at for what is quoted: as many as a path may have."""

_NAMES = (
    # Kubernetes has secrets that are called by name, and Kerberos renews some kind of credentials.
    r"(?:(?<!pull)secret(?!s\.)|passw(?:or)?d|passphrase|token|(?<!renewal\.)credential"
    r"|(?:access|account|api|private)[._-]?key)"
)
"""What the name of a secret holds, whatever the case."""

_ONLY_ABOUT = (
    r"(?:file|path|provider|class|enabled?|expiry|renewal|name|type|algorithm|bits|size|length"
    r"|interval|lifetime|timeout|wait|ratio|max|count|regex|itemkey|keyref[\w.-]*)s?"
)
"""How a name ends that only speaks of a secret, such as `…oauthTokenFile`."""

NAMES_OF_SECRETS = rf"(?i:{_NAMES}(?!.*{_ONLY_ABOUT}$))"
"""Is found in the name of a setting or variable whose value is a secret. Java takes it as well."""

_REFERENCE = re.compile(r"\$\{(?:env[.:]|system:|launch\.)[\w.-]+\}|true|false|", re.IGNORECASE)
"""A value that is filled in later, or that is none."""

_VALUE = r"""[\w.-]{0,50}["']?\s*[=:]\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s;,&]+)"""

_SECRETS = (
    (re.compile(r"(?<=://)[^/\s@]+@"), "…@"),
    # What only speaks of a secret is left out as well: nobody misses it in a quoted line.
    (re.compile(f"({_NAMES}{_VALUE}", re.IGNORECASE), r"\1…"),
)

_SAYS_SECRET = re.compile(
    rf"://[^/\s@:]*:[^/\s@]+@|({_NAMES}(?![\w.-]{{0,50}}{_ONLY_ABOUT}[\"']?\s*[=:]){_VALUE}",
    re.IGNORECASE,
)
"""A value with a password inside. Whoever is named without one, as in `https://me@host`, is told to
nobody's harm."""


class Rule(NamedTuple):
    """One known failure.

    Attributes:
        id: a fixed word for programs.
        signatures: of which one is enough: a regular expression for each source or fact that it
            looks at.
        cause: a sentence with placeholders.
        fix: a sentence with placeholders.
        command: what to run in a shell, with placeholders; `None` when there is nothing.
        remedy: what a program can do about it, a fixed word; `None` when it can do nothing.
    """

    id: str
    signatures: Sequence[Mapping[str, Any]]
    cause: str
    fix: str
    command: str | None
    remedy: str | None


class Finding(NamedTuple):
    """A rule that matched, its placeholders filled.

    Attributes:
        rule: its id.
        cause: what is wrong, in a sentence.
        evidence: the line that tells it; empty when facts do.
        fix: what to do, in a sentence.
        command: the same for a shell.
        remedy: the same for a program.
    """

    rule: str
    cause: str
    evidence: str
    fix: str
    command: str | None
    remedy: str | None


def find(
    rules: Iterable[Rule], sources: Mapping[str, str], facts: Mapping[str, str]
) -> list[Finding]:
    """Apply rules in their order, which is from the most telling to the least.

    Args:
        rules: what is known.
        sources: texts, by the names of SOURCES.
        facts: by the names of FACTS.

    """
    known = {**FACTS, **{name: value for name, value in facts.items() if value}}
    texts = {**known, **sources}
    return [found for rule in rules if (found := _apply(rule, texts, known)) is not None]


def sentence(finding: Finding) -> str:
    """Give what a person is told: the cause, and what to do."""
    return f"{finding.cause} {advice(finding)}"


def advice(finding: Finding) -> str:
    """Say what to do, with the command for it."""
    run = f" Run: {finding.command}" if finding.command else ""
    return f"{finding.fix}{run}"


def looks_secret(name: str) -> bool:
    """Tell whether the value of a setting or variable of this name is probably a secret."""
    return re.search(NAMES_OF_SECRETS, name) is not None


def holds_secret(name: str, value: str) -> bool:
    """Tell whether a setting or variable says a secret: by its name, or inside of its value."""
    if _REFERENCE.fullmatch(value):
        return False
    return looks_secret(name) or _SAYS_SECRET.search(value) is not None


def redacted(text: str) -> str:
    """Give a text without the passwords and tokens that it may hold."""
    for pattern, kept in _SECRETS:
        text = pattern.sub(kept, text)
    return text


def quoted_line(line: str) -> str:
    """Give a line as it is quoted."""
    # In this order: what is behind the cut may tell that something before it is a secret.
    return redacted(line.strip()[:_MOST])[:_LONGEST]


def _apply(rule: Rule, texts: Mapping[str, str], known: Mapping[str, str]) -> Finding | None:
    for signature in rule.signatures:
        matches = {
            source: pattern.search(texts.get(source, "")) for source, pattern in signature.items()
        }
        if None not in matches.values():
            return _finding(rule, matches, known)
    return None


def _finding(rule: Rule, matches: Mapping[str, Any], known: Mapping[str, str]) -> Finding:
    groups = {
        name: text or "" for match in matches.values() for name, text in match.groupdict().items()
    }
    values = {name: redacted(text[:_MOST]) for name, text in {**known, **groups}.items()}
    quoted = {name: shlex.quote(value) for name, value in values.items()}
    shown = {name: value[:_LONGEST] for name, value in values.items()}
    lines = [_line(match) for source, match in matches.items() if source in SOURCES]
    return Finding(
        rule.id,
        rule.cause.format_map(shown),
        lines[0] if lines else "",
        rule.fix.format_map(shown),
        rule.command and rule.command.format_map(quoted),
        rule.remedy,
    )


def _line(match: re.Match[str]) -> str:
    """Give the line that a match begins in."""
    start = match.string.rfind("\n", 0, match.start()) + 1
    line = match.string[start:].partition("\n")[0]
    # Spark's progress bar is drawn into the same line.
    return quoted_line(line.rpartition("\r")[2])


# --- reading rules -----------------------------------------------------------------------------


def read_rules(path: Path) -> tuple[list[Rule], list[str]]:
    """Read a file of rules.

    Returns:
        the rules that are right, and a sentence for each that is not.

    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return [], [f"{path} cannot be read: {error}."]
    if not isinstance(content, dict) or not isinstance(content.get("rules"), list):
        return [], [f"{path} is not a file of rules. Write an object with a list “rules”."]
    rules, problems = [], []
    for number, data in enumerate(content["rules"], 1):
        try:
            rules.append(_rule(data))
        except ValueError as error:
            name = data.get("id") if isinstance(data, dict) else None
            problems.append(f"{path}, rule {number} ({name or 'without an id'}): {error}.")
    return rules, problems


def read_all(variable: str) -> tuple[list[Rule], list[str]]:
    """Read the site's rules and ours.

    Args:
        variable: the value of RULES_VARIABLE; empty when the site has none.

    Returns:
        as `read_rules`.

    """
    return read_directories(Path(part) for part in variable.split(os.pathsep) if part)


def read_directories(directories: Iterable[Path]) -> tuple[list[Rule], list[str]]:
    """Read every `*.json` of some directories, in the order of their names, then our own rules.

    A site's rules come first: it knows its cluster better.

    Returns:
        as `read_rules`.

    """
    rules, problems = [], []
    for directory in directories:
        files = sorted(directory.glob("*.json")) if directory.is_dir() else []
        if not directory.is_dir():
            problems.append(f"{directory} is not a directory, so no rules are read from it.")
        for file in [*files]:
            found, wrong = read_rules(file)
            rules += found
            problems += wrong
    found, wrong = read_rules(PACKAGED)
    return rules + found, problems + wrong


def _rule(data: Any) -> Rule:
    """Check one rule.

    Raises:
        ValueError: with what is wrong, in a sentence without its full stop.

    """
    if not isinstance(data, dict):
        raise ValueError("it is not an object")
    if unknown := data.keys() - _KEYS:
        raise ValueError(f"{', '.join(sorted(unknown))} is unknown; known are {_list(_KEYS)}")
    if missing := _NEEDED - data.keys():
        raise ValueError(f"{', '.join(sorted(missing))} is missing")
    for key in sorted(_KEYS - {"signature"}):
        may_lack = key not in _NEEDED and data.get(key) is None
        if not may_lack and not isinstance(data[key], str):
            raise ValueError(f"{key} is not text")
    given = data["signature"]
    signatures = [_signature(one) for one in (given if isinstance(given, list) else [given])]
    if not signatures:
        raise ValueError("signature is an empty list")
    for signature in signatures:
        groups = {name for pattern in signature.values() for name in pattern.groupindex}
        for key in (*_SENTENCES, "command"):
            _check_placeholders(key, data.get(key) or "", {*FACTS, *groups})
    return Rule(
        data["id"], signatures, data["cause"], data["fix"], data.get("command"), data.get("remedy")
    )


def _signature(data: Any) -> dict[str, re.Pattern[str]]:
    if not isinstance(data, dict) or not data:
        raise ValueError("signature is not an object of sources and regular expressions")
    if unknown := data.keys() - {*SOURCES, *FACTS}:
        raise ValueError(f"its signature looks at {', '.join(sorted(unknown))}, which is unknown")
    patterns = {}
    for source, pattern in data.items():
        try:
            patterns[source] = re.compile(pattern, re.MULTILINE)
        except (re.error, TypeError) as error:
            raise ValueError(f"the expression for {source} is wrong: {error}") from None
    return patterns


def _check_placeholders(key: str, text: str, fillable: set[str]) -> None:
    try:
        text.format_map(dict.fromkeys(fillable, ""))
    except KeyError as error:
        raise ValueError(f"{key} has the placeholder {error}, which nothing fills") from None
    except (ValueError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"{key} cannot be filled: {error}") from None


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
