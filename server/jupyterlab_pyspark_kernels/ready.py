"""Makes an environment ready for kernels, by the tool that the environment belongs to.

Nothing chooses where packages come from but the user's own configuration of that tool: no index is
named here, and the tool sees the server's own variables.
"""

from __future__ import annotations

import os
import shutil

from .environments import Environment, inspect_environment, why_not_ours
from .errors import CannotBeDone, Missing, NotAllowed, quoted
from .process import run
from .progress import Progress, Report
from .render import interpreter

_PACKAGE = "ipykernel"


def make_ready(path: str, report: Report) -> Environment:
    """Install ipykernel into an environment.

    Args:
        path: the environment, or its interpreter.
        report: hears what the tool prints.

    Returns:
        the environment as it is then.

    Raises:
        KernelError: as `check_ready`.
        CannotBeDone: when the tool failed; its last line is in the message, and all that it printed
            is in the log.
        Cancelled: when the report said so.

    """
    environment = check_ready(path)
    command = _command(environment)
    report.progress(Progress(f"Installing {_PACKAGE}"))
    _, last = run(command, report)
    ready = inspect_environment(environment.path)
    if ready is None or ready.remedy is not None:
        raise CannotBeDone.at(
            "environment",
            f"{_PACKAGE} could not be installed into {environment.path}. "
            f"{environment.installer} said: {last}",
        )
    return ready


def check_ready(path: str) -> Environment:
    """Look whether `make_ready` has something to do and may do it.

    Raises:
        Missing: when there is no Python.
        NotAllowed: when somebody else could have put code there that we would run.
        CannotBeDone: when nothing is missing, or there is no tool to install with.

    """
    environment = inspect_environment(path)
    if environment is None:
        raise Missing.at("environment", f"There is no Python in {quoted(path)}.")
    if environment.remedy is None:
        raise CannotBeDone.at(
            "environment", environment.problem or f"{environment.path} has {_PACKAGE} already."
        )
    if (reason := why_not_ours(environment.path)) is not None:
        raise NotAllowed.at("environment", reason)
    _command(environment)
    return environment


def _command(environment: Environment) -> list[str]:
    python = interpreter(environment.path)
    prefix = os.path.dirname(os.path.dirname(python))
    commands = {
        "pip": [python, "-I", "-m", "pip", "install", "--disable-pip-version-check", _PACKAGE],
        "uv": ["uv", "pip", "install", "--python", python, _PACKAGE],
        "conda": ["conda", "install", "--yes", "--prefix", prefix, _PACKAGE],
    }
    command = commands.get(environment.installer or "")
    if command is None or shutil.which(command[0]) is None:
        raise CannotBeDone.at(
            "environment",
            f"Nothing here can install into {environment.path}. "
            f"Install {_PACKAGE} by the tool that made it.",
        )
    return command
