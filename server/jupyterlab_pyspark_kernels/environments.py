"""Python environments and Spark installations: found and judged by reading files, never by running.

Starting an interpreter that somebody else put there would run their code, and takes long; what an
environment holds can be read from the names of its directories (PEP 405, PEP 376).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .config import KernelConfig
from .errors import CannotBeDone, FieldError, quoted
from .render import interpreter

DEFAULT_ROOTS = (
    "~/.virtualenvs",
    "~/.venvs",
    "~/venvs",
    "~/.conda/envs",
    "~/miniconda3/envs",
    "~/miniforge3/envs",
    "~/anaconda3/envs",
    "~/.pyenv/versions",
    "/opt/conda/envs",
)
"""Directories in which people keep environments, one in each subdirectory."""

WORKSPACE_NAMES = (".venv", "venv", ".env", "env")
"""What environments are called that lie in the folder they belong to."""

_PACKAGES = ("ipykernel", "pyspark", "py4j")
_DIST_INFO = re.compile(
    rf"({'|'.join(_PACKAGES)})-([^-]+)\.(?:dist|egg)-info", re.ASCII | re.IGNORECASE
)
_ENTRIES = 5_000
"""Entries of a root that are looked at; a home directory given as a root must not take minutes."""


class Environment(BaseModel):
    """A Python environment as its files describe it."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(description="What a kernel's field `environment` takes.")
    kind: Literal["venv", "conda", "other"]
    python_version: str | None = Field(description="Such as 3.12.1; null when nothing says it.")
    packages: dict[str, str] = Field(description="Versions of ipykernel, pyspark and py4j.")
    problem: str | None = Field(
        description="Why no kernel can be started from it, and the remedy; null when one can."
    )


def find_environments(
    roots: Iterable[str], workspace: Path | None, server: Path | None = None
) -> list[Environment]:
    """Find the environments of this machine that a person is likely to mean.

    Args:
        roots: directories with an environment in each subdirectory; `~` is the user's home.
        workspace: the folder the person works in, whose own environment comes first.
        server: the prefix of the server's own environment; this process's by default.

    """
    candidates: list[Path] = []
    if workspace is not None:
        candidates += [workspace / name for name in WORKSPACE_NAMES]
    for root in roots:
        candidates += _subdirectories(Path(root).expanduser())
    candidates.append(server or Path(sys.prefix))
    found: dict[str, Environment] = {}
    for path in candidates:
        environment = inspect_environment(str(path))
        if environment is not None:
            found.setdefault(os.path.realpath(path), environment)
    return list(found.values())


def _subdirectories(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_ENTRIES), strict=False)]
    except OSError:
        # A root that is not there, or not ours to read, holds nothing for this person.
        return []
    return [root / name for name in sorted(names)]


def inspect_environment(path: str) -> Environment | None:
    """Describe the environment at a path, which may also be that of its interpreter.

    Returns:
        `None` when there is no Python.

    """
    path = os.path.normpath(os.path.expanduser(path))
    if interpreter(path) != path and not _runnable(interpreter(path)):
        # Debian's system Python has python3 and no python.
        path = f"{path}/bin/python3"
    if not _runnable(interpreter(path)):
        return None
    prefix = Path(interpreter(path)).parent.parent
    packages = _packages(prefix)
    return Environment(
        path=path,
        kind=_kind(prefix),
        python_version=_python_version(prefix, Path(interpreter(path))),
        packages=packages,
        problem=_problem(path, packages),
    )


def _runnable(python: str) -> bool:
    return os.path.isfile(python) and os.access(python, os.X_OK)


def _kind(prefix: Path) -> Literal["venv", "conda", "other"]:
    if (prefix / "pyvenv.cfg").is_file():
        return "venv"
    return "conda" if (prefix / "conda-meta").is_dir() else "other"


def _python_version(prefix: Path, python: Path) -> str | None:
    settings = _venv_settings(prefix)
    # venv writes version, virtualenv and uv version_info.
    if version := settings.get("version") or settings.get("version_info"):
        return re.sub(r"\.(?:final|candidate|alpha|beta)\..*", "", version)
    for record in prefix.glob("conda-meta/python-[0-9]*.json"):
        return record.name.split("-")[1]
    # bin/python → python3.12, through however many links.
    match = re.search(r"python([0-9]+\.[0-9]+)$", os.path.realpath(python))
    return match[1] if match else None


def _venv_settings(prefix: Path) -> dict[str, str]:
    try:
        text = (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs if value}


def _packages(prefix: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for directory in _package_directories(prefix):
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            if match := _DIST_INFO.fullmatch(name):
                found.setdefault(match[1].lower(), match[2])
    return found


def _package_directories(prefix: Path) -> Iterator[Path]:
    for library in ("lib", "lib64"):
        yield from sorted(prefix.glob(f"{library}/python3*/site-packages"))
        yield from sorted(prefix.glob(f"{library}/python3*/dist-packages"))
    yield from sorted(prefix.glob("lib/python3/dist-packages"))
    settings = _venv_settings(prefix)
    if settings.get("include-system-site-packages") == "true" and "home" in settings:
        yield from _package_directories(Path(settings["home"]).parent)


def _problem(path: str, packages: dict[str, str]) -> str | None:
    if "ipykernel" in packages:
        return None
    return (
        f"{path} has no ipykernel, which every Python kernel needs. "
        f"Install it with: {interpreter(path)} -m pip install ipykernel"
    )


def prepare(config: KernelConfig) -> KernelConfig:
    """Check that what a kernel names is on this machine, and give its paths in full.

    Raises:
        CannotBeDone: with every field that names something which is not there, and the remedy.

    """
    errors: list[FieldError] = []
    environment = inspect_environment(config.environment)
    spark_home = os.path.normpath(os.path.expanduser(config.spark_home or "")) or None
    if environment is None:
        errors.append(
            FieldError(
                "environment",
                f"There is no Python in {quoted(config.environment)}. Choose an environment "
                "that has bin/python, or the interpreter itself.",
            )
        )
    elif environment.problem is not None:
        errors.append(FieldError("environment", f"{environment.problem}."))
    if config.spark_home is None:
        errors += _without_spark(environment)
        spark_home = None
    elif problem := spark_home_problem(str(spark_home)):
        errors.append(FieldError("spark_home", problem))
    if errors or environment is None:
        raise CannotBeDone(errors)
    return config.model_copy(update={"environment": environment.path, "spark_home": spark_home})


def _without_spark(environment: Environment | None) -> Sequence[FieldError]:
    if environment is None or "pyspark" in environment.packages:
        return ()
    return (
        FieldError(
            "environment",
            f"{environment.path} has no pyspark. Install it with: "
            f"{interpreter(environment.path)} -m pip install pyspark, or give a Spark home.",
        ),
    )


def spark_home_problem(path: str) -> str | None:
    """Say why a directory is not a Spark installation with Python, or return `None`."""
    home = Path(path)
    for needed in ("bin/spark-submit", "python/pyspark", "python/lib"):
        if not (home / needed).exists():
            return (
                f"{quoted(path)} is not a Spark installation: it has no {needed}. "
                "Choose the directory that holds bin, jars and python."
            )
    if not any((home / "python" / "lib").glob("py4j-*-src.zip")):
        return f"{quoted(path)} has no py4j below python/lib. Install that Spark completely."
    return None


__all__ = [
    "DEFAULT_ROOTS",
    "Environment",
    "find_environments",
    "inspect_environment",
    "prepare",
    "spark_home_problem",
]
