"""Why starting a kernel would run what somebody else can change.

Whoever can write to a kernel's directory, or to anything above it, runs code as everybody who
starts the kernel. Jupyter lists such kernels all the same, so we can only say so.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .config import KernelConfig
from .environments import why_not_ours
from .errors import quoted, shown
from .owners import Guard
from .places import Place
from .render import LAUNCHER, interpreter, is_ours

_CODE_PATHS = (
    *("PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "IPYTHONDIR"),
    *("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "SPARK_CONF_DIR", "HADOOP_CONF_DIR", "JAVA_HOME"),
)
"""Variables with paths of what a kernel's processes load."""

_MAJOR, _MINOR = sys.version_info[:2]
_OWN_PYTHON = {"python", f"python{_MAJOR}", f"python{_MAJOR}.{_MINOR}"}
"""Programs that Jupyter takes for the Python that it runs in itself."""


class Trust:
    """Judges the kernels of one place. What many of them share is looked at once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._owners = _owners(place)
        self._guard = Guard.of_user(self._owners)
        self._environments: dict[str, str | None] = {}

    def why_not_files(self, name: str) -> str | None:
        """Say who could change the files of a kernel, whatever is in them."""
        return self._guard.who_could_change(_files(self._place.kernels / name))

    def why_not_started(self, spec: Mapping[str, Any], config: KernelConfig) -> str | None:
        """Say why what a kernel starts besides its own files could be changed by somebody else.

        Args:
            spec: its kernelspec, as it lies there.
            config: what it was made from.

        Returns:
            a sentence, or `None` when only this user, root and whoever owns a shared place can.

        """
        return (
            (_why_another_program(spec, config) if is_ours(spec) else None)
            or self._why_not_environment(config.environment)
            or self._guard.who_could_change(_loaded(spec, config.spark_home))
        )

    def why_not_command(self, spec: Mapping[str, Any]) -> str | None:
        """Say why what a kernel of another kind is started by could be changed by somebody else.

        Args:
            spec: its kernelspec, as it lies there.

        """
        argv = spec.get("argv")
        program, *arguments = map(str, argv) if isinstance(argv, list) and argv else [""]
        found = sys.executable if program in _OWN_PYTHON else shutil.which(program)
        is_python = found is not None and interpreter(found) == found
        files = [path for path in (found, *arguments) if path and path.startswith("/")]
        return (self._why_not_environment(found) if found and is_python else None) or (
            self._guard.who_could_change([*filter(os.path.lexists, files), *_loaded(spec)])
        )

    def _why_not_environment(self, environment: str) -> str | None:
        if environment not in self._environments:
            is_there = os.path.lexists(interpreter(environment))
            # One that is not there is broken, and runs nobody's code.
            found = why_not_ours(environment, self._owners) if is_there else None
            self._environments[environment] = found
        return self._environments[environment]


def why_others_cannot_reach(config: KernelConfig, place: Place) -> tuple[str, str] | None:
    """Say why the other users of a shared place could not start a kernel there.

    Returns:
        the field that names what they cannot reach, and a sentence; `None` when they can, or when
        they do not see the place either.

    """
    if not place.shared or _closed([str(place.kernels)]) is not None:
        return None
    needed = {"environment": interpreter(config.environment), "spark_home": config.spark_home}
    for field, path in needed.items():
        if path is not None and (closed := _closed([path, os.path.realpath(path)])) is not None:
            return field, (
                f"{quoted(path)} cannot be reached by other users, as {shown(closed)} is closed to "
                f"them. Put it where they can read it, such as below /opt, or open {shown(closed)} "
                "to them."
            )
    return None


def _owners(place: Place) -> frozenset[int]:
    """Give who is trusted with a place's kernels besides this user and root: a shared one's owner.

    Who made the place known to Jupyter trusts whoever keeps it.
    """
    if not place.shared:
        return frozenset()
    try:
        return frozenset({os.stat(place.kernels).st_uid})
    except OSError:
        return frozenset()


def _files(directory: Path) -> Iterator[str]:
    # All that lies there: the launcher's directory is the first that Python imports from.
    yield str(directory)
    try:
        names = os.listdir(directory)
    except OSError:
        # The directory itself says why.
        return
    yield from (f"{directory}/{name}" for name in names)


def _why_another_program(spec: Mapping[str, Any], config: KernelConfig) -> str | None:
    """Say that a kernel of ours starts something else than the environment's Python."""
    argv = spec.get("argv")
    expected = [interpreter(config.environment), f"{{resource_dir}}/{LAUNCHER}"]
    if isinstance(argv, list) and argv[:2] == expected:
        return None
    first = argv[0] if isinstance(argv, list) and argv else argv
    if first != expected[0]:
        return f"It starts {quoted(first)}, which is not the Python of its environment."
    return f"It does not start the {LAUNCHER} that lies beside its kernel.json."


def _loaded(spec: Mapping[str, Any], spark_home: str | None = None) -> list[str]:
    """List what else a kernel loads code or settings from, as far as it is there."""
    env = spec.get("env")
    values = [str(env.get(name, "")) for name in _CODE_PATHS] if isinstance(env, dict) else []
    paths = [path for value in values for path in value.split(os.pathsep)]
    if spark_home is not None:
        parts = ("", "/bin", "/conf", "/jars", "/python", "/python/lib", "/python/pyspark")
        paths += [f"{spark_home}{part}" for part in parts]
    return [path for path in paths if path.startswith("/") and os.path.lexists(path)]


def _closed(paths: Iterable[str]) -> str | None:
    """Give the first file or directory on the way to some paths that not everybody may read."""
    for path in paths:
        for part in (*reversed(Path(path).parents), Path(path)):
            try:
                mode = os.stat(part).st_mode
            except OSError:
                # What is not there yet will be made as its parent is; what cannot be looked at
                # is closed even to this user.
                return None if not os.path.lexists(part) else str(part)
            if mode & 0o005 != 0o005:
                return str(part)
    return None
