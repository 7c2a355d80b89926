"""How long it takes to pack an environment, and how large it gets: ours, venv-pack, zip, tar.

Everything is timed on a warm page cache, in turn and in a random order in each round. Ours is
called in this process, and includes forcing the archive to the disk, which the others do not do;
the proof, which only ours has, is timed apart.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from jupyterlab_pyspark_kernels import archive
from jupyterlab_pyspark_kernels.archive import packages, segments, tree
from table import Row

_CACHE = Path(__file__).resolve().parent.parent / ".dev" / "archive-benchmark"
"""Keeps the environment and the tools from one run to the next: 700 MB."""

_PACKAGES = ["pandas", "pyarrow", "scikit-learn", "matplotlib", "numpy", "ipykernel"]
_TOOLS = ["venv-pack", "isal", "setuptools<81"]
_IMPORT = "import pandas, pyarrow, sklearn"
_ISAL = """
import shutil, sys
from isal import igzip_threaded
with igzip_threaded.open(sys.stdout.buffer, "wb", compresslevel=1, threads=2) as file:
    shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
"""
_UNPACK = """
import sys, time
from pyspark.java_gateway import launch_gateway
gateway = launch_gateway()
source, target = (gateway.jvm.java.io.File(path) for path in sys.argv[1:])
started = time.perf_counter()
gateway.jvm.org.apache.spark.util.Utils.unpack(source, target)
print(time.perf_counter() - started)
gateway.shutdown()
gateway.proc.terminate()
"""
_CHANGED = "cycler/__init__.py"


class Sizes(Row):
    """A comparison of sizes in MB instead of seconds."""

    def cells(self) -> tuple[str, ...]:
        """Give the row's cells as text."""
        ours, others = median(self.ours), median(self.others)
        met = "yes" if ours / others <= self.goal else "NO"
        goal = f"≤ {self.goal:g}"
        return (self.name, f"{ours:.1f} MB", f"{others:.1f} MB", f"{ours / others:.3f}", goal, met)


@dataclass(frozen=True)
class _Bench:
    """What is measured, and where.

    Attributes:
        environment: the environment to pack.
        tools: the `bin` of the environment with the programs that are compared.
        pyspark: an environment with the Spark that unpacks.
        folder: an empty folder to work in.
        store: where our archives are, between rounds.
        proofs: seconds of each proof of a whole archive.

    """

    environment: Path
    tools: Path
    pyspark: Path
    folder: Path
    store: Path
    proofs: list[float] = field(default_factory=list)


def measure(pyspark: Path, folder: Path, rounds: int) -> list[Row]:
    """Pack one large environment by all ways in turn, and unpack as Spark does.

    Args:
        pyspark: an environment with the Spark that unpacks.
        folder: a folder that may be made to work in.
        rounds: how often each way is measured.

    """
    bench = _prepare(pyspark, folder)
    ways: dict[str, Callable[[_Bench], tuple[float, float]]] = {
        "same": _same_files,
        "cold": _cold,
        "unchanged": _unchanged,
        "changed": _changed,
        "venv-pack": _venv_pack,
        "zip": _zip,
        "tar": _tar,
    }
    seconds: dict[str, list[float]] = {}
    sizes: dict[str, list[float]] = {}
    for number in range(rounds):
        for name in random.sample(sorted(ways), len(ways)):
            taken, size = ways[name](bench)
            seconds.setdefault(name, []).append(taken)
            sizes.setdefault(name, []).append(size / 1e6)
        unpacks = {"ours": _use_ours, "venv-pack": _use_venv_pack, "zip": _use_zip}
        for name in random.sample(sorted(unpacks), len(unpacks)):
            seconds.setdefault(f"use {name}", []).append(unpacks[name](bench))
        print(f"  archive, round {number + 1} of {rounds}", flush=True)
    print(f"  our proof, which no other has: {median(bench.proofs):.1f} s", flush=True)
    return [
        Row("pack, same files: venv-pack", seconds["same"], seconds["venv-pack"], 1 / 5),
        Row("pack, same files: zip -r", seconds["same"], seconds["zip"], 1 / 20),
        Row("pack, same files: tar and isal", seconds["same"], seconds["tar"], 1 / 1.2),
        Row("pack, defaults: venv-pack", seconds["cold"], seconds["venv-pack"], 1 / 5),
        Row("pack, defaults: zip -r", seconds["cold"], seconds["zip"], 1 / 20),
        Row("pack, defaults: tar and isal", seconds["cold"], seconds["tar"], 1 / 1.2),
        Row("pack, unchanged: venv-pack", seconds["unchanged"], seconds["venv-pack"], 1 / 100),
        Row("pack, one changed: venv-pack", seconds["changed"], seconds["venv-pack"], 1 / 20),
        Row("unpack, import: zip -r", seconds["use ours"], seconds["use zip"], 1 / 2.5),
        Row("unpack, import: venv-pack", seconds["use ours"], seconds["use venv-pack"], 1),
        Sizes("size, same files: venv-pack", sizes["same"], sizes["venv-pack"], 1),
        Sizes("size, same files: tar and isal", sizes["same"], sizes["tar"], 1),
        Sizes("size, defaults: venv-pack", sizes["cold"], sizes["venv-pack"], 1),
        Sizes("size, defaults: zip -r", sizes["cold"], sizes["zip"], 0.45),
    ]


def _prepare(pyspark: Path, folder: Path) -> _Bench:
    folder.mkdir(parents=True, exist_ok=True)
    cache = _CACHE
    cache.mkdir(parents=True, exist_ok=True)
    for name, wanted in (("environment", _PACKAGES), ("tools", _TOOLS)):
        if not (cache / name / "complete").exists():
            print(f"  building {cache / name}", flush=True)
            venv.create(cache / name, clear=True, symlinks=True, with_pip=True)
            python = cache / name / "bin" / "python"
            subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
            (cache / name / "complete").touch()
    environment = cache / "environment"
    store = folder / "store"
    # Compiled files of the standard library, of what is imported: as they are after a first use.
    subprocess.run([environment / "bin" / "python", "-c", _IMPORT], check=True)
    archive.pack(str(environment), store)
    return _Bench(environment, cache / "tools" / "bin", pyspark, folder, store)


def _same_files(bench: _Bench) -> tuple[float, float]:
    """Pack all of the environment, and not the standard library, which the others lack too."""
    target = bench.folder / "same.tar.gz"
    target.unlink(missing_ok=True)
    started = time.perf_counter()
    layout = tree.locate(str(bench.environment))
    installed = packages.installed(layout)
    scan = tree.scan(layout, False, packages.data(installed))
    tree.look_at_compiled(scan, layout, False, tree.Limits())
    groups = packages.group(layout, scan, installed, False)
    del groups[packages.BASE]
    segments.Writer(target).write(segments.parts(groups), {}, lambda: None)
    with open(target, "rb") as file:
        os.fsync(file.fileno())
    return time.perf_counter() - started, target.stat().st_size


def _cold(bench: _Bench) -> tuple[float, float]:
    store = bench.folder / "cold"
    shutil.rmtree(store, ignore_errors=True)
    return _pack(bench, store)


def _unchanged(bench: _Bench) -> tuple[float, float]:
    _pack(bench, bench.store)
    return _pack(bench, bench.store)


def _changed(bench: _Bench) -> tuple[float, float]:
    _pack(bench, bench.store)
    os.utime(next(bench.environment.glob(f"lib/*/site-packages/{_CHANGED}")))
    return _pack(bench, bench.store)


def _pack(bench: _Bench, store: Path) -> tuple[float, float]:
    """Pack as a person would; the time of the proof is not counted."""
    at: dict[str, float] = {}
    started = time.perf_counter()
    packed = archive.pack(
        str(bench.environment),
        store,
        report=lambda progress: at.__setitem__(progress.stage, time.perf_counter()),
    )
    taken = time.perf_counter() - started
    proof = at.get(archive.KEEPING, 0) - at.get(archive.PROVING, 0)
    if store != bench.store:
        bench.proofs.append(proof)
    return taken - proof, packed.record.bytes_packed


def _venv_pack(bench: _Bench) -> tuple[float, float]:
    target = bench.folder / "venv-pack.tar.gz"
    command = [bench.tools / "venv-pack", "-q", "-f", "-p", bench.environment, "-o", target]
    return _timed(command, target)


def _zip(bench: _Bench) -> tuple[float, float]:
    target = bench.folder / "zip.zip"
    target.unlink(missing_ok=True)
    return _timed(["zip", "-q", "-r", target, "."], target, bench.environment)


def _tar(bench: _Bench) -> tuple[float, float]:
    target = bench.folder / "tar.tar.gz"
    script = 'tar -cf - . | "$1" -c "$3" > "$2"'
    command = ["/bin/sh", "-c", script, "sh", bench.tools / "python", target, _ISAL]
    return _timed(command, target, bench.environment)


def _timed(
    command: list[str | Path], target: Path, folder: Path | None = None
) -> tuple[float, float]:
    started = time.perf_counter()
    subprocess.run(command, check=True, cwd=folder)
    return time.perf_counter() - started, target.stat().st_size


def _use_ours(bench: _Bench) -> float:
    return _use(bench, archive.archives(bench.folder / "cold")[0].path)


def _use_venv_pack(bench: _Bench) -> float:
    return _use(bench, bench.folder / "venv-pack.tar.gz")


def _use_zip(bench: _Bench) -> float:
    return _use(bench, bench.folder / "zip.zip")


def _use(bench: _Bench, packed: Path) -> float:
    """Unpack as Spark does, and import for the first time."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        target = Path(folder, "environment")
        command = [bench.pyspark / "bin" / "python", "-c", _UNPACK, packed, target]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        started = time.perf_counter()
        subprocess.run([target / "bin" / "python", "-c", _IMPORT], check=True)
        return float(printed.splitlines()[-1]) + time.perf_counter() - started
