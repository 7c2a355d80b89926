"""Whether what a kernel names is on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..clusters import Connect, parse_master
from ..config import KernelConfig
from ..errors import CannotBeDone, FieldError, quoted, shown, why
from ..kernel.connect import ROOTS_VARIABLE
from ..render import interpreter
from .environment import (
    Facts,
    describe,
    examine,
    how_to_install,
    lacking_of_connect,
    speaks_connect_only,
)
from .reading import Memory, is_file, read_names

Lack: TypeAlias = Literal["pyspark", "driver", "connect"]
"""PySpark at all; a driver, which the thin client has not; what Spark Connect needs besides."""


def prepare(config: KernelConfig, allowed: Sequence[str] = ()) -> KernelConfig:
    """Check that what a kernel names is on this machine, and give its paths in full.

    Args:
        config: the kernel.
        allowed: directories that an environment must lie in, wherever links to it lie; anywhere
            when there are none.

    Raises:
        CannotBeDone: with every field that names something which is not there, and the remedy.

    """
    environment, errors = _environment(config)
    if environment and (reason := why_not_allowed(environment, allowed)):
        errors = [FieldError("environment", reason)]
    if config.executor_python is not None and config.executor_python.startswith("~/"):
        errors.append(
            FieldError(
                "executor_python",
                f"{quoted(config.executor_python)} is below your home, which may be another one on "
                "the cluster's nodes. Write the path from the root, such as /usr/bin/python3.",
            )
        )
    errors += filter(None, [_why_no_roots(config)])
    spark_home = config.spark_home
    if spark_home is not None:
        spark_home = os.path.normpath(os.path.expanduser(spark_home))
        if problem := spark_home_problem(spark_home):
            errors.append(FieldError("spark_home", problem))
    if errors:
        raise CannotBeDone(errors)
    return config.model_copy(update={"environment": environment, "spark_home": spark_home})


def why_not_there(config: KernelConfig) -> str | None:
    """Say why no notebook can start with the environment or the Spark home of a kernel.

    What `prepare` found once may have gone since.
    """
    try:
        prepare(config.model_copy(update={"executor_python": None}))
    except CannotBeDone as error:
        return str(error)
    return None


def why_not_allowed(environment: str, allowed: Sequence[str]) -> str | None:
    """Say why an environment may not be used, or return `None`.

    Args:
        environment: its path, absolute, or that of its interpreter.
        allowed: directories that it must lie in, wherever links to it lie; anywhere when there are
            none.

    """
    # The directory, not the interpreter: that of a virtual environment is a link to its base.
    real = os.path.realpath(os.path.dirname(os.path.dirname(interpreter(environment))))
    roots = [os.path.realpath(os.path.expanduser(root)) for root in allowed]
    if not roots or any(real == root or real.startswith(f"{root}/") for root in roots):
        return None
    return (
        f"{quoted(environment)} does not lie where environments may be used from. "
        f"Choose one in: {', '.join(allowed)}."
    )


def _environment(config: KernelConfig) -> tuple[str, list[FieldError]]:
    """Give the path of a kernel's environment in full, and what is wrong with it."""
    facts = examine(config.environment, Memory())
    if facts is None:
        return "", [FieldError("environment", _why_no_python(config.environment))]
    errors = []
    if problem := describe(facts).problem:
        errors.append(FieldError("environment", f"{problem}."))
    errors += filter(None, [_why_unfit(config, facts)])
    return facts.path, errors


def lacks_of_spark(config: KernelConfig) -> Lack | None:
    """Tell what of Spark an environment lacks that a kernel needs, as the doctor's rules say it."""
    facts = examine(config.environment, Memory())
    return None if facts is None else _lack(config, facts)


def _lack(config: KernelConfig, facts: Facts) -> Lack | None:
    connect = isinstance(parse_master(config.master), Connect)
    if facts.broken is not None:
        return None
    if config.spark_home is None:
        if not connect and speaks_connect_only(facts.packages):
            return "driver"
        if facts.packages.keys().isdisjoint(("pyspark", "pyspark-client")):
            return "pyspark"
    # What PYTHONPATH leads to is not looked at.
    elsewhere = "PYTHONPATH" in config.env
    return "connect" if connect and lacking_of_connect(facts) and not elsewhere else None


def _why_unfit(config: KernelConfig, facts: Facts) -> FieldError | None:
    """Say why an environment's PySpark does not suit a kernel's master, or return `None`."""
    lack = _lack(config, facts)
    if lack == "driver":
        return FieldError(
            "master",
            f"{quoted(config.master)} needs a driver, and {shown(facts.path)} has pyspark-client "
            f"{facts.packages['pyspark-client']}, which is for Spark Connect only. Write a master "
            "such as sc://host:15002, choose an environment with pyspark, or give a Spark home.",
        )
    if lack == "pyspark":
        connect = isinstance(parse_master(config.master), Connect)
        remedy = how_to_install(facts, "pyspark-client" if connect else "pyspark")
        return FieldError(
            "environment", f"{facts.path} has no pyspark. {remedy}, or give a Spark home."
        )
    if lack == "connect":
        missing = lacking_of_connect(facts)
        return FieldError(
            "environment",
            f"{shown(facts.path)} has no {', '.join(missing)}, which Spark Connect needs beside "
            f"PySpark. {how_to_install(facts, ' '.join(missing))}.",
        )
    return None


def _why_no_roots(config: KernelConfig) -> FieldError | None:
    """Say that the certificates that a Spark Connect server is held against are not there."""
    file = config.env.get(ROOTS_VARIABLE)
    filled_in = file is not None and ROOTS_VARIABLE in config.per_user
    if file is None or filled_in or (os.path.isabs(file) and is_file(file)):
        return None
    return FieldError(
        "env",
        f"{ROOTS_VARIABLE} is {quoted(file)}, and there is no such file. Write the path, from the "
        "root, of the file with the certificates that are trusted.",
    )


def _why_no_python(environment: str) -> str:
    path = os.path.expanduser(environment)
    try:
        os.stat(interpreter(path))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        return (
            f"{quoted(environment)} cannot be looked at: {why(error)}. "
            "Choose an environment that you can read."
        )
    return (
        f"There is no Python in {quoted(environment)}. Choose an environment "
        "that has bin/python, or the interpreter itself."
    )


def spark_home_problem(path: str) -> str | None:
    """Say why a directory is not a Spark installation with Python, or return `None`."""
    for needed in ("bin/spark-submit", "python/pyspark", "python/lib"):
        try:
            os.stat(f"{path}/{needed}")
        except (FileNotFoundError, NotADirectoryError):
            return (
                f"{quoted(path)} is not a Spark installation: it has no {needed}. "
                "Choose the directory that holds bin, jars and python."
            )
        except (OSError, ValueError) as error:
            return (
                f"{quoted(path)} cannot be looked at: {why(error)}. "
                "Choose a Spark installation that you can read."
            )
    names = read_names(f"{path}/python/lib")
    if not any(re.fullmatch(r"py4j-.*-src\.zip", name) for name in names):
        return f"{quoted(path)} has no py4j below python/lib. Install that Spark completely."
    return None
