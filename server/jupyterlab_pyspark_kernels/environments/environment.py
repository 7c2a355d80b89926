"""One Python environment, judged by its files and never by running it.

Starting an interpreter that somebody else put there would run their code, and takes long; what an
environment holds can be read from the names of its directories (PEP 405, PEP 376, PEP 668).
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from ..errors import shown, why
from ..render import interpreter
from .reading import Memory, is_directory, is_file, read_names, read_settings, status

Kind: TypeAlias = Literal[
    "venv", "uv", "virtualenv", "conda", "pyenv", "poetry", "pipx", "pixi", "system", "other"
]
Installer: TypeAlias = Literal["pip", "uv", "conda"]

PACKAGES = ("ipykernel", "pyspark", "pyspark-client", "py4j", "pandas", "pyarrow")
"""The packages whose versions a person wants to know."""

_NOT_SHOWN = ("pip", "grpcio", "grpcio-status", "googleapis-common-protos")
"""Packages that decide something, and whose versions nobody asks for."""

_OF_CONNECT = ("pandas", "pyarrow", *_NOT_SHOWN[1:])
"""What PySpark needs for Spark Connect and does not bring by itself; pyspark-client does."""

PACKAGE_DIRECTORIES = ("site-packages", "dist-packages")
"""Where a library has its packages, the latter on Debian."""

OLDEST = (3, 7)
"""The oldest Python that can read the launcher, which is in every kernel."""

_NAMES = "|".join((*PACKAGES, *_NOT_SHOWN)).replace("-", "[-_]")
_INFO = re.compile(
    rf"({_NAMES})-([0-9A-Za-z.!+_]{{1,64}})(?:-py[0-9.]+)?"
    r"\.(?:dist|egg)-info",
    re.ASCII | re.IGNORECASE,
)
_CONDA_PYTHON = re.compile(r"python-([0-9][0-9A-Za-z.]{0,31})-[^-]+\.json")
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}(?:(?:a|b|rc)[0-9]+)?\+?", re.ASCII)
_LIBRARY = re.compile(r"(?:python|pypy)3[0-9.t]*", re.ASCII)

_PLACES: Mapping[str, Kind] = {
    r"/pypoetry/virtualenvs/[^/]+$": "poetry",
    r"/pipx/venvs/[^/]+$": "pipx",
    r"/\.?pyenv/versions/[^/]+(?:/envs/[^/]+)?$": "pyenv",
}
"""Where the tools keep the environments they own."""

_SYSTEM = re.compile(r"/|/usr(?:/local)?|/opt/homebrew|(?:/System)?/Library/Frameworks/.*")


class Environment(BaseModel):
    """A Python environment as its files describe it."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(description="What a kernel's field `environment` takes.")
    kind: Kind = Field(description="The tool that made it.")
    python_version: str | None = Field(description="Such as 3.12.1; null when nothing says it.")
    packages: dict[str, str] = Field(
        description="Versions of ipykernel, pyspark, pyspark-client, py4j, pandas and pyarrow, "
        "where installed. An environment with pyspark-client alone is for Spark Connect only."
    )
    problem: str | None = Field(
        description="Why no kernel can be started from it, and the remedy; null when one can."
    )
    remedy: Literal["install-ipykernel"] | None = Field(
        description="What `installer` can do about the problem; null when it can do nothing."
    )
    installer: Installer | None = Field(
        description="The tool that installs packages into it; null when none can for this user."
    )


@dataclass(frozen=True)
class Facts:
    """What the files of an environment say.

    Attributes:
        path: the environment as it was named, absolute: its prefix or its Python.
        prefix: its directory.
        python: its Python.
        kind: the tool that made it.
        version: of Python, `None` when nothing says it.
        packages: versions of `PACKAGES` and of pip.
        libraries: the directories of its own packages.
        directories: the directories that its Python finds packages in, its own first.
        broken: why its Python can run no kernel, `None` when it can.
        managed: whether its owner forbids installing into it by pip (PEP 668).
        writable: whether this user can install into it.

    """

    path: str
    prefix: str
    python: str
    kind: Kind
    version: str | None
    packages: Mapping[str, str]
    libraries: tuple[str, ...]
    directories: tuple[str, ...]
    broken: str | None
    managed: bool
    writable: bool


def inspect_environment(path: str, memory: Memory | None = None) -> Environment | None:
    """Describe the environment at a path, which may also be that of its interpreter.

    Returns:
        `None` when there is no Python, and no environment that lost its Python.

    """
    facts = examine(path, memory or Memory())
    return None if facts is None else describe(facts)


def jars_of(environment: str) -> str | None:
    """Give the directory of Spark's jars in an environment's PySpark, `None` when it has none."""
    facts = examine(environment, Memory())
    jars = [f"{directory}/pyspark/jars" for directory in (facts.directories if facts else ())]
    return next(filter(is_directory, jars), None)


def speaks_connect_only(packages: Container[str]) -> bool:
    """Tell whether an environment's PySpark is the thin client, which has no driver."""
    return "pyspark-client" in packages and "pyspark" not in packages


def lacking_of_connect(facts: Facts) -> list[str]:
    """Name what Spark Connect needs beside PySpark and an environment has not."""
    return [name for name in _OF_CONNECT if name not in facts.packages]


def describe(facts: Facts) -> Environment:
    """Judge whether a kernel can be started, and what is to be done otherwise."""
    tool = installer(facts)
    problem = facts.broken
    lacks = problem is None and "ipykernel" not in facts.packages
    if lacks:
        need = f"{shown(facts.path)} has no ipykernel, which every Python kernel needs"
        problem = f"{need}. {how_to_install(facts, 'ipykernel')}"
    return Environment(
        path=facts.path,
        kind=facts.kind,
        python_version=facts.version,
        packages={name: version for name, version in facts.packages.items() if name in PACKAGES},
        problem=problem,
        remedy="install-ipykernel" if lacks and tool else None,
        installer=tool,
    )


def installer(facts: Facts) -> Installer | None:
    """Tell which tool can install packages into an environment, `None` when none can."""
    if not facts.writable or facts.broken:
        return None
    if facts.kind == "conda":
        return "conda"
    if facts.managed or facts.kind == "pixi":
        # What pixi installs is said by a project, which is its owner's to change.
        return None
    if "pip" in facts.packages:
        return "pip"
    return "uv" if facts.kind == "uv" else None


def how_to_install(facts: Facts, package: str) -> str:
    """Say how a package gets into an environment, or why it cannot; no full stop at the end."""
    prefix, python = shlex.quote(shown(facts.prefix)), shlex.quote(shown(facts.python))
    name = shlex.quote(os.path.basename(facts.prefix))
    project, _, inside = facts.prefix.rpartition("/.pixi/envs/")
    if not facts.writable:
        return f"It is not writable for you, so ask whoever administers it to install {package}"
    if facts.kind == "conda":
        return f"Install it with: conda install --prefix {prefix} {package}"
    if facts.kind == "pixi" and project == os.path.expanduser("~"):
        return f"Install it with: pixi global add --environment {name} {package}"
    if facts.kind == "pixi":
        where = f" in {shown(project)}" if inside else ""
        return f"Add it to its project{where} with: pixi add {package}"
    if facts.managed:
        return (
            "Its packages belong to the system, so none is installed here. Make an environment of "
            f"your own with: {python} -m venv DIRECTORY"
        )
    tool = installer(facts)
    if tool == "pip":
        return f"Install it with: {python} -m pip install {package}"
    if tool == "uv":
        return f"Install it with: uv pip install --python {python} {package}"
    if facts.kind == "poetry":
        return f"Add it to its project with: poetry add {package}"
    if facts.kind == "pipx":
        return f"Install it with: pipx inject {name} {package}"
    return (
        "It has no pip to install it with. Install both with: "
        f"{python} -m ensurepip, and then {python} -m pip install {package}"
    )


def is_environment(path: str) -> bool:
    """Tell whether a directory says of itself that it is an environment."""
    return is_file(f"{path}/pyvenv.cfg") or is_directory(f"{path}/conda-meta")


def examine(path: str, memory: Memory) -> Facts | None:
    """Read what the files of an environment say.

    Returns:
        `None` when there is no Python, and no environment that lost its Python.

    """
    if not path.isprintable():
        # No request could name it, and the system's list of users refuses to be asked.
        return None
    path = os.path.normpath(os.path.expanduser(path))
    if not os.path.isabs(path):
        return None
    named = interpreter(path) == path
    prefix = os.path.dirname(os.path.dirname(path)) if named else path
    settings = memory.recall(read_settings, f"{prefix}/pyvenv.cfg")
    python = path if named else f"{prefix}/bin/python"
    broken = _why_not_runnable(python)
    if broken and not named and _why_not_runnable(f"{python}3") is None:
        # Debian's system Python has python3 and no python.
        path = python = f"{python}3"
        broken = None
    if broken and (named or settings is None):
        return None
    return _facts(path, prefix, python, settings, broken, memory)


def _facts(
    path: str,
    prefix: str,
    python: str,
    settings: Mapping[str, str] | None,
    broken: str | None,
    memory: Memory,
) -> Facts:
    is_virtual = settings is not None
    history = None if is_virtual else memory.recall(_conda_python, f"{prefix}/conda-meta")
    version = _python_version(prefix, python, settings, history)
    libraries = _libraries(prefix, version, memory)
    names = ("site-packages",) if is_virtual else PACKAGE_DIRECTORIES
    own = directories = _package_directories(libraries, names)
    if settings and settings.get("include-system-site-packages", "").lower() == "true":
        # The base's own pyvenv.cfg counts for nothing, as in Python's `site`; so this ends.
        base = os.path.dirname(settings.get("home", ""))
        if os.path.isabs(base):
            directories = own + _package_directories(_libraries(base, version, memory))
    packages: dict[str, str] = {}
    for directory in directories:
        for name, number in (memory.recall(_packages, directory) or {}).items():
            packages.setdefault(name, number)
    return Facts(
        path=path,
        prefix=prefix,
        python=python,
        kind=_kind(prefix, settings, history),
        version=version,
        packages=packages,
        libraries=tuple(own),
        directories=tuple(directories),
        broken=broken or _why_too_old(path, version),
        managed=not is_virtual
        and any(is_file(f"{library}/EXTERNALLY-MANAGED") for library in libraries),
        writable=os.access(own[0] if own else prefix, os.W_OK | os.X_OK),
    )


def _why_not_runnable(python: str) -> str | None:
    try:
        mode = os.stat(python).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return (
            f"Its Python is gone: {shown(os.path.realpath(python))}. "
            f"Make {shown(os.path.dirname(os.path.dirname(python)))} anew"
        )
    except (OSError, ValueError) as error:
        return f"Its Python {shown(python)} cannot be looked at: {why(error)}"
    if stat.S_ISREG(mode) and os.access(python, os.X_OK):
        return None
    return f"Its Python {shown(python)} is no program that you can run. Make the environment anew"


def _why_too_old(path: str, version: str | None) -> str | None:
    numbers = re.match(r"([0-9]+)\.([0-9]+)", version or "")
    if numbers is None or (int(numbers[1]), int(numbers[2])) >= OLDEST:
        return None
    oldest = ".".join(map(str, OLDEST))
    return f"{path} has Python {version}. Choose an environment with Python {oldest} or newer"


def _kind(prefix: str, settings: Mapping[str, str] | None, history: _CondaPython | None) -> Kind:
    if history is not None:
        return "pixi" if history.by_pixi or "/.pixi/envs/" in prefix else "conda"
    for place, kind in _PLACES.items():
        if re.search(place, prefix):
            return kind
    if settings is not None:
        return "uv" if "uv" in settings else "virtualenv" if "virtualenv" in settings else "venv"
    return "system" if _SYSTEM.fullmatch(prefix) else "other"


@dataclass(frozen=True)
class _CondaPython:
    """What the names in a conda-meta say: the version of Python, and whether pixi wrote it."""

    version: str | None
    by_pixi: bool


def _conda_python(path: str) -> _CondaPython:
    names = read_names(path)
    versions = [match[1] for name in names if (match := _CONDA_PYTHON.fullmatch(name))]
    return _CondaPython(versions[0] if versions else None, "pixi" in names)


def _python_version(
    prefix: str,
    python: str,
    settings: Mapping[str, str] | None,
    history: _CondaPython | None,
) -> str | None:
    # venv writes version, uv version_info, virtualenv both.
    for key in ("version", "version_info"):
        if settings and (match := _VERSION.match(settings.get(key, ""))):
            return match[0]
    if history is not None and history.version is not None:
        return history.version
    if re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", os.path.basename(prefix), re.ASCII):
        # As pyenv calls its directories.
        return os.path.basename(prefix)
    # bin/python → python3.12, through however many links.
    match = re.search(r"python([0-9]+\.[0-9]+)$", os.path.realpath(python), re.ASCII)
    return match[1] if match else None


def _packages(directory: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in read_names(directory):
        if name.endswith("-info") and (match := _INFO.fullmatch(name)):
            found.setdefault(match[1].lower().replace("_", "-"), match[2])
    return found


def _libraries(prefix: str, version: str | None, memory: Memory) -> list[str]:
    """Give the directories of a prefix that hold its Python's library or its packages."""
    minor = ".".join((version or "").split(".")[:2])
    names = [f"python{minor}"] if is_directory(f"{prefix}/lib/python{minor}") else []
    if not names:
        # Nothing says the version, or it is a free-threaded Python, or PyPy.
        listed = memory.recall(_library_names, f"{prefix}/lib") or ()
        names = [name for name in listed if minor in name]
    libraries = [f"{prefix}/{lib}/{name}" for name in names for lib in ("lib", "lib64")]
    if prefix == "/usr":
        # Debian: what its own tools install, and what root installs by pip.
        libraries += ["/usr/lib/python3", *(f"/usr/local/lib/{name}" for name in names)]
    return libraries


def _library_names(path: str) -> tuple[str, ...]:
    return tuple(name for name in read_names(path) if _LIBRARY.fullmatch(name))


def _package_directories(
    libraries: Sequence[str], names: Sequence[str] = PACKAGE_DIRECTORIES
) -> list[str]:
    """Give the directories of packages that are there, and lib64 only where it is not lib."""
    found: dict[tuple[int, int], str] = {}
    for name in names:
        for library in libraries:
            path = f"{library}/{name}"
            if (seen := status(path)) is not None:
                found.setdefault((seen.st_dev, seen.st_ino), path)
    return list(found.values())
