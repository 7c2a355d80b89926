"""Secrets are references in a kernel, and found when it starts."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from contextlib import suppress
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple

from .failure import SparkStartError
from .rules import NAMES_OF_SECRETS

SECRETS_VARIABLE = "PYSPARK_KERNELS_SECRETS"
"""Tells where each secret is found: a JSON object of settings and variables, and references."""

_SECRET_BYTES = 64 * 1024
_LEAST_MASKED = 4


class Secrets(NamedTuple):
    """What the kernel's references led to.

    Attributes:
        settings: by their keys; they go to Spark's JVM over its own connection, as a command line
            and a properties file could be read by others.
        variables: of this process and of those that it starts.
    """

    settings: Dict[str, str]
    variables: Dict[str, str]


def find_secrets(environ: Mapping[str, str]) -> Secrets:
    """Find the secrets that a kernel refers to.

    Raises:
        SparkStartError: when one is not where it should be; it is not quoted.
    """
    found = Secrets({}, {})
    for name, reference in _references(environ).items():
        try:
            value = _referred_to(reference, environ)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise SparkStartError(
                f"The secret {name} is not found at {reference}: {why}. "
                "Put it there, and start the kernel anew."
            ) from None
        kind, _, place = reference.partition(":")
        if name.endswith(".oauthToken") and kind == "file":
            # Spark reads this file by itself, and anew when the token changes.
            found.settings[f"{name}File"] = place
        elif name.startswith("spark."):
            found.settings[name] = value
        else:
            found.variables[name] = value
    return found


def _references(environ: Mapping[str, str]) -> Dict[str, str]:
    """Read where secrets are.

    Raises:
        SparkStartError: when somebody has damaged it.
    """
    found: Any = None
    with suppress(ValueError):
        found = json.loads(environ.get(SECRETS_VARIABLE) or "{}")
    if isinstance(found, dict) and all(isinstance(text, str) for text in found.values()):
        return found
    raise SparkStartError(
        f"{SECRETS_VARIABLE} in this kernel's kernel.json is no object of names and references. "
        "Edit the kernel, or create it anew."
    )


def _referred_to(reference: str, environ: Mapping[str, str]) -> str:
    """Give what a reference leads to.

    Raises:
        OSError: when the file cannot be opened.
        ValueError: when there is nothing, or others could have read or changed it.
    """
    kind, _, place = reference.partition(":")
    if kind == "env":
        value = environ.get(place, "")
    elif kind == "file":
        value = _private(place)
    else:
        raise ValueError("it is no reference")
    if not value or "\0" in value:
        raise ValueError("there is no text")
    return value


def _private(path: str) -> str:
    """Read a file that this user alone can read; no link, and nothing that waits for somebody."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no file")
        if found.st_uid != os.getuid():
            raise ValueError("the file belongs to another user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ValueError(f"others can read the file; run: chmod 600 {shlex.quote(path)}")
        content = file.read(_SECRET_BYTES + 1)
    if len(content) > _SECRET_BYTES:
        raise ValueError("the file is larger than 64 KiB")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # The error would quote what it is of.
        raise ValueError("the file is not UTF-8") from None
    # An editor ends the last line.
    return text[:-1] if text.endswith("\n") else text


def known_secrets(environ: Mapping[str, str]) -> List[str]:
    """Give the secrets as far as they are found, to take them out of what is told."""
    known = []
    with suppress(SparkStartError):
        for reference in _references(environ).values():
            with suppress(OSError, ValueError):
                known.append(_referred_to(reference, environ))
    # Without the short ones, nothing would be left of a text; nobody can keep them secret.
    return [secret for secret in known if len(secret) >= _LEAST_MASKED]


def hand_over(secrets: Secrets, jvm: Any) -> None:
    """Give Spark's JVM its secrets, and let it show none of them.

    As spark-submit does with all settings: every SparkConf begins with the system's properties.
    """
    system = jvm.java.lang.System
    for key, value in secrets.settings.items():
        system.setProperty(key, value)
    given = system.getProperty(_REDACTION) or _spark_redacts(jvm)
    system.setProperty(_REDACTION, redaction(given, NAMES_OF_SECRETS, secrets.settings))


_REDACTION = "spark.redaction.regex"


def _spark_redacts(jvm: Any) -> str:
    """Give the names of secrets that Spark knows by itself."""
    config = getattr(jvm.org.apache.spark.internal.config, "package$")
    return str(getattr(config, "MODULE$").SECRET_REDACTION_PATTERN().defaultValueString())


def redaction(given: str, names: str, keys: Iterable[str]) -> str:
    """Give the expression for the names of what Spark does not show.

    Hadoop's own settings lose what Spark knows them by.
    """
    exactly = [
        f"^(?:spark\\.hadoop\\.|spark\\.)?{re.escape(re.sub(r'^spark[.](hadoop[.])?', '', key))}$"
        for key in keys
    ]
    return "|".join(f"(?:{part})" for part in [given, names, *exactly])
