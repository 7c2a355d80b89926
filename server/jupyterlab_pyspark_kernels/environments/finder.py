"""Where environments are looked for, and the search itself, which no silent disk can hold up."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from .environment import Environment, inspect_environment, is_environment
from .reading import ENTRIES, Memory, is_file, read_text, status

DEFAULT_ROOTS = (
    "$WORKON_HOME",
    "~/.virtualenvs",
    "~/.local/share/virtualenvs",
    "~/.venvs",
    "~/venvs",
    "$POETRY_VIRTUALENVS_PATH",
    "$POETRY_CACHE_DIR/virtualenvs",
    "~/.cache/pypoetry/virtualenvs",
    "~/Library/Caches/pypoetry/virtualenvs",
    "$MAMBA_ROOT_PREFIX",
    "~/miniconda3",
    "~/miniforge3",
    "~/mambaforge",
    "~/anaconda3",
    "~/micromamba",
    "/opt/conda",
    "~/.conda/envs",
    "~/.conda/environments.txt",
    "$PYENV_ROOT/versions",
    "$PYENV_ROOT/versions/*/envs",
    "~/.pyenv/versions",
    "~/.pyenv/versions/*/envs",
    "~/.pixi/envs",
    "~/.local/share/hatch/env/virtual/*/*",
    "$PIPX_HOME/venvs",
    "~/.local/share/pipx/venvs",
    "~/.local/pipx/venvs",
    "$UV_TOOL_DIR",
    "~/.local/share/uv/tools",
)
"""Where the tools put environments.

A root is a directory with an environment in each subdirectory, or a conda installation with its
environments in `envs`, or one environment, or a file with a prefix in each line. `~` is the user's
home, `$NAME` a variable of the server's, `*` any subdirectory.
"""

WORKSPACE_NAMES = (".venv", "venv", ".env", "env", ".conda")
"""What environments are called that lie in the folder they belong to."""

PATIENCE_SECONDS = 5.0
"""How long a disk may be silent, such as a network file system whose server is gone."""

_DEPTH = 3
"""How many directories below the workspace an environment may lie: `project/part/.venv`."""

_SKIPPED = {"node_modules", "__pycache__", "site-packages"}
_NO_FILES = {"/proc", "/sys", "/dev"}

Candidates = Callable[[Memory], Iterator[str]]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        environments: the workspace's first, then in the order of the roots, none twice.
        unanswered: the roots whose disk did not answer in time; what they held when they last
            did is among `environments`.

    """

    environments: tuple[Environment, ...]
    unanswered: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """An environment, and the device and inode of its prefix, which are one for all its paths."""

    environment: Environment
    identity: tuple[int, int]


class _Source:
    """One place that environments come from, searched in a thread of its own."""

    def __init__(self, name: str, candidates: Candidates) -> None:
        self.name = name
        self.found: tuple[_Seen, ...] = ()
        self._candidates = candidates
        self._memory = Memory()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._began = 0.0

    def search(self) -> None:
        """Begin a search, unless one is under way: a silent disk holds one thread and no more."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._began = time.monotonic()
                # A daemon, so that a silent disk does not keep the server from ending.
                self._thread = threading.Thread(target=self._search, daemon=True)
                self._thread.start()

    def answers(self, patience: float) -> bool:
        """Wait for the search until it is so many seconds old, and tell whether it has ended."""
        with self._lock:
            thread, end = self._thread, self._began + patience
        if thread is None:
            return True
        thread.join(max(0.0, end - time.monotonic()))
        return not thread.is_alive()

    def _search(self) -> None:
        self._memory.start()
        candidates = islice(self._candidates(self._memory), ENTRIES)
        self.found = tuple(_distinct(_see(path, self._memory) for path in candidates))


def _see(path: str, memory: Memory) -> _Seen | None:
    environment = inspect_environment(path, memory)
    if environment is None or (prefix := status(path)) is None:
        return None
    return _Seen(environment, (prefix.st_dev, prefix.st_ino))


def _distinct(found: Iterable[_Seen | None]) -> Iterator[_Seen]:
    known = set()
    for seen in found:
        if seen is not None and seen.identity not in known:
            known.add(seen.identity)
            yield seen


class EnvironmentFinder:
    """Finds the environments of this machine that a person is likely to mean.

    It can be asked by several threads, and remembers what it read, so that asking again costs a
    look at the time stamps.

    Args:
        roots: as `DEFAULT_ROOTS` describes them, in the order of the list.
        workspace: the folder the person works in, whose own environments come first.
        server: the prefix of the server's own environment; this process's by default.
        patience: seconds that a search may last before `find` goes on without it.

    """

    def __init__(
        self,
        roots: Sequence[str],
        workspace: Path | None = None,
        server: Path | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._patience = patience
        own = str(server or sys.prefix)
        sources: list[tuple[str, Candidates]] = [
            (root, partial(_in_root, root)) for root in dict.fromkeys(roots)
        ]
        if workspace is not None:
            sources.insert(0, (str(workspace), partial(_in_workspace, str(workspace))))
        sources.append((own, lambda _: iter([own])))
        self._sources = [_Source(name, candidates) for name, candidates in sources]

    def find(self) -> Found:
        """Search everywhere, and give what answered in time."""
        for source in self._sources:
            source.search()
        unanswered = [source.name for source in self._sources if not source.answers(self._patience)]
        seen = _distinct(seen for source in self._sources for seen in source.found)
        return Found(tuple(one.environment for one in seen), tuple(unanswered))


def find_environments(
    roots: Sequence[str], workspace: Path | None, server: Path | None = None
) -> list[Environment]:
    """Find environments once; whoever asks again keeps an `EnvironmentFinder`."""
    return list(EnvironmentFinder(roots, workspace, server).find().environments)


def _in_root(root: str, memory: Memory) -> Iterator[str]:
    path = os.path.expanduser(os.path.expandvars(root))
    if not os.path.isabs(path):
        # A variable that is not set, or a user who is not there.
        return
    for directory in _expanded(os.path.normpath(path), memory):
        if is_file(directory):
            yield from _listed(directory, memory)
        elif is_environment(directory):
            yield directory
            yield from _children(f"{directory}/envs", memory)
        else:
            yield from _children(directory, memory)


def _expanded(path: str, memory: Memory) -> Iterator[str]:
    head, *rest = re.split(r"/\*(?=/|$)", path, maxsplit=1)
    if not rest:
        yield path
        return
    for directory in _children(head, memory):
        yield from _expanded(directory + rest[0], memory)


def _children(directory: str, memory: Memory) -> Iterator[str]:
    for name in memory.subdirectories(directory):
        yield f"{directory}/{name}"


def _listed(file: str, memory: Memory) -> Iterator[str]:
    text = memory.recall(read_text, file) or ""
    yield from filter(os.path.isabs, map(str.strip, text.splitlines()))


def _in_workspace(workspace: str, memory: Memory) -> Iterator[str]:
    """Give the environments of a folder and of the projects in it, the nearest first."""
    if is_environment(workspace):
        yield workspace
    waiting = deque([(workspace, 1)])
    while waiting:
        directory, depth = waiting.popleft()
        for name, is_link in sorted(memory.subdirectories(directory).items(), key=_own_first):
            path = os.path.join(directory, name)
            if name == ".pixi":
                yield from _children(f"{path}/envs", memory)
            elif is_environment(path):
                yield path
            elif depth < _DEPTH and not is_link and _may_hold_projects(path):
                waiting.append((path, depth + 1))


def _may_hold_projects(path: str) -> bool:
    name = os.path.basename(path)
    return not name.startswith(".") and name not in _SKIPPED and path not in _NO_FILES


def _own_first(entry: tuple[str, bool]) -> tuple[int, str]:
    name = entry[0]
    return (
        WORKSPACE_NAMES.index(name) if name in WORKSPACE_NAMES else len(WORKSPACE_NAMES),
        name,
    )
