"""How long it takes to find environments: ours, `find`, and starting each interpreter."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

from jupyterlab_pyspark_kernels.environments import EnvironmentFinder
from table import Row

_ENVIRONMENTS = 200
_BASES = 5
_STARTED = 10
"""Interpreters that are started in each round; the seconds are extrapolated to all."""

_PACKAGES = ("ipykernel", "pyspark", "py4j", "pandas", "pyarrow")
_OTHERS = 40
"""Packages that each environment has besides."""

_ASK = f"""
from importlib.metadata import version
for name in {_PACKAGES!r}: version(name)
"""
_LONG_AGO = 1_000_000_000


def measure(environment: Path, folder: Path, rounds: int) -> list[Row]:
    """Look for the same environments in turn by every way.

    Args:
        environment: not used: the environments that are looked for are made here.
        folder: a folder to work in, which is not there yet.
        rounds: how often each way is gone; the quick ones five times in each round.

    """
    _make(folder / "envs", folder / "bases")
    warm = EnvironmentFinder([str(folder / "envs")])
    warm.find()
    ways = {
        "cold": lambda: _by_us(EnvironmentFinder([str(folder / "envs")])),
        "warm": lambda: _by_us(warm),
        "find": lambda: _by_find(folder / "envs"),
        # What knows how deep environments lie, as we do.
        "find, two deep": lambda: _by_find(folder / "envs", "-maxdepth", "2"),
        "start": lambda: _by_starting(folder / "envs"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        turns = ["start", *("cold", "warm", "find", "find, two deep") * 5]
        random.shuffle(turns)
        for name in turns:
            seconds[name].append(ways[name]())
    print(
        f"  discovery, {_ENVIRONMENTS} environments; starting all is {_STARTED} started, "
        f"times {_ENVIRONMENTS // _STARTED}",
        flush=True,
    )
    return [
        Row("environments, first time", seconds["cold"], seconds["start"], 0.02),
        Row("environments, again", seconds["warm"], seconds["start"], 0.01),
        Row("the first time, find(1)", seconds["cold"], seconds["find"], 1.0),
        Row("again, find(1)", seconds["warm"], seconds["find"], 0.5),
        Row("again, find(1) two deep", seconds["warm"], seconds["find, two deep"], 3.0),
        Row("environments, again", seconds["warm"], [], 0.05),
    ]


def _make(envs: Path, bases: Path) -> None:
    """Make the environments, each of one of the bases, which are the same Python by other paths."""
    home = Path(os.path.realpath(sys.executable)).parent
    for number in range(_BASES):
        (bases / f"{number}").mkdir(parents=True)
        (bases / f"{number}" / "bin").symlink_to(home)
    first = envs / "env-000"
    venv.create(first, symlinks=True)
    (packages,) = first.glob("lib/python3*/site-packages")
    for name in (*_PACKAGES, *(f"package{number}" for number in range(_OTHERS))):
        (packages / name).mkdir()
        information = packages / f"{name}-1.2.3.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Name: {name}\nVersion: 1.2.3\n")
    for number in range(1, _ENVIRONMENTS):
        shutil.copytree(first, envs / f"env-{number:03}", symlinks=True)
    for number, environment in enumerate(sorted(envs.iterdir())):
        base = bases / f"{number % _BASES}" / "bin"
        python = environment / "bin" / "python"
        python.unlink()
        python.symlink_to(base / Path(os.path.realpath(sys.executable)).name)
        file = environment / "pyvenv.cfg"
        file.write_text(file.read_text().replace(f"home = {home}", f"home = {base}"))
        # Real environments are older than two seconds.
        for path in (file, environment / packages.relative_to(first)):
            os.utime(path, (_LONG_AGO, _LONG_AGO))


def _by_us(finder: EnvironmentFinder) -> float:
    started = time.perf_counter()
    found = finder.find().environments
    seconds = time.perf_counter() - started
    complete = [item for item in found if len(item.packages) == len(_PACKAGES)]
    if len(complete) < _ENVIRONMENTS:
        raise RuntimeError(f"only {len(complete)} environments were found")
    return seconds


def _by_find(envs: Path, *options: str) -> float:
    started = time.perf_counter()
    command = ["find", str(envs), *options, "-name", "pyvenv.cfg"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    if len(run.stdout.splitlines()) != _ENVIRONMENTS:
        raise RuntimeError("find did not find all")
    return seconds


def _by_starting(envs: Path) -> float:
    """Ask some of the interpreters, and give the seconds that all would take."""
    pythons = random.sample([path / "bin" / "python" for path in envs.iterdir()], _STARTED)
    started = time.perf_counter()
    for python in pythons:
        subprocess.run([str(python), "-c", _ASK], check=True)
    return (time.perf_counter() - started) * _ENVIRONMENTS / _STARTED
