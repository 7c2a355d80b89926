"""Archives of conda environments, which are relocated by conda's own rules, with conda-pack."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotBeDone
from ..process import run
from ..progress import Progress
from .model import Entry
from .proof import DIE_WITH_PARENT

_PROGRAM = """
import json, os, sys
from conda_pack import CondaEnv, CondaPackException
with open(sys.argv[1], encoding="utf-8") as file:
    what = json.load(file)
wanted = set(what["wanted"])
try:
    found = CondaEnv.from_prefix(what["prefix"], ignore_editable_packages=True)
    carried = [
        file
        for file in found.files
        if file.target in wanted or (os.path.isdir(file.source) and not os.path.islink(file.source))
    ]
    CondaEnv(found.prefix, carried).pack(
        output=what["target"],
        format="tar.gz",
        compress_level=1,
        n_threads=what["threads"],
        force=True,
    )
except CondaPackException as error:
    sys.exit(" ".join(str(error).split()))
"""


@dataclass(frozen=True)
class _Silent:
    """Hears when to stop, and keeps nothing else."""

    cancelled: Callable[[], bool]

    def progress(self, progress: Progress) -> None: ...

    def log(self, line: str) -> None: ...


def pack(
    prefix: str,
    target: Path,
    carried: Iterable[Entry],
    threads: int,
    cancelled: Callable[[], bool],
) -> None:
    """Write the archive of a conda environment.

    Args:
        prefix: the environment.
        target: the `.tar.gz` to write; a file is written beside it.
        carried: what may be in it.
        threads: how many compress.
        cancelled: is asked some times a second.

    Raises:
        CannotBeDone: when conda-pack is not installed, or refuses.
        Cancelled: when it was called off.

    """
    if importlib.util.find_spec("conda_pack") is None:
        raise CannotBeDone.at(
            "environment",
            f"{prefix} is a conda environment, and conda-pack is not installed where the server "
            "runs. Install it there with: python -m pip install conda-pack",
        )
    order = target.with_suffix(".json")
    wanted = [entry.name for entry in carried]
    text = {"prefix": prefix, "target": str(target), "wanted": wanted, "threads": threads}
    order.write_text(json.dumps(text), encoding="utf-8")
    # It hears no cancel by itself, and has no end to its patience with a disk.
    argv = [sys.executable, "-c", DIE_WITH_PARENT + _PROGRAM, str(order), str(os.getpid())]
    code, last = run(argv, _Silent(cancelled))
    order.unlink()
    if code:
        raise CannotBeDone.at(
            "environment", f"conda-pack cannot pack {prefix}: {last}. Repair the environment."
        )
