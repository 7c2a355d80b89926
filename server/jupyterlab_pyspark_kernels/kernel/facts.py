"""Whose kernel it is: what takes the place of `${launch.…}`."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from typing import Dict, Mapping, Match

from .failure import SparkStartError

PER_USER = "PYSPARK_KERNELS_PER_USER"
"""Names the settings and variables that are filled in."""


def user_facts(environ: Mapping[str, str]) -> Dict[str, str]:
    """Tell who started this kernel: what the system says, and which user of a hub, if any."""
    uid = os.getuid()
    try:
        entry = pwd.getpwuid(uid)
        name, home = entry.pw_name, entry.pw_dir
    except KeyError:
        # Containers run under numbers that nobody registered.
        name, home = str(uid), environ.get("HOME", "")
    facts = {"user": name, "uid": str(uid), "home": home}
    if environ.get("JUPYTERHUB_USER"):
        facts["hub_user"] = environ["JUPYTERHUB_USER"]
    return facts


def filled_in(environ: Mapping[str, str], facts: Mapping[str, str]) -> Dict[str, str]:
    """Give the variables that change when facts take the place of `${launch.…}`.

    Only where the kernel's maker meant it: the same text elsewhere is just text. A setting stays
    one argument, whatever the facts hold.

    Raises:
        SparkStartError: when a fact is missing.
    """
    names = set(environ.get(PER_USER, "").split())
    changed = {name: _filled(environ[name], facts) for name in names if name in environ}
    if any(name.startswith(("spark.", "--")) for name in names):
        tokens = shlex.split(environ.get("PYSPARK_SUBMIT_ARGS", ""))
        for place, (option, token) in enumerate(zip(tokens, tokens[1:]), 1):
            key, equals, value = token.partition("=")
            if option == "--conf" and key in names:
                tokens[place] = key + equals + _filled(value, facts)
            elif option.startswith("--") and option in names:
                tokens[place] = _filled(token, facts)
        changed["PYSPARK_SUBMIT_ARGS"] = " ".join(map(shlex.quote, tokens))
    return changed


def _filled(text: str, facts: Mapping[str, str]) -> str:
    def fact(found: Match[str]) -> str:
        value = facts.get(found.group(1))
        if value is None:
            raise SparkStartError(
                f"{found.group(0)} is not known here, and this kernel needs it. "
                "Choose another kernel, or ask whoever made this one."
            )
        return value

    return re.sub(r"\$\{launch\.([^}]*)\}", fact, text)
