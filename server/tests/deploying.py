"""Takes the folders of `deploy/` as an administrator does: copied, with a few values changed."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROXY = ROOT / "node_modules/.bin/configurable-http-proxy"

Values = Mapping[str, object]
"""What is said otherwise in a folder's values.env."""


def copied(name: str, target: Path, values: Values) -> Path:
    """Copy a folder of `deploy/`, and say other values in its values.env."""
    shutil.copytree(DEPLOY / name, target)
    with (target / "values.env").open("a") as file:
        file.writelines(f"{key}='{value}'\n" for key, value in values.items())
    return target


@dataclass(frozen=True)
class Ran:
    """What came of a script."""

    code: int
    output: str
    messages: str


def run(
    command: Sequence[str | Path], environ: Mapping[str, str] | None = None, check: bool = True
) -> Ran:
    """Run a script to its end; it has to succeed unless told otherwise."""
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def written(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Read the mode and the content of all files below a folder."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            # What works there may have taken it away meanwhile.
            with suppress(FileNotFoundError):
                found[str(path.relative_to(folder))] = (path.stat().st_mode, path.read_bytes())
    return found


def why_no_units() -> str | None:
    """Say why this machine cannot judge a unit."""
    found = shutil.which("systemd-analyze")
    return None if found else "there is no systemd-analyze, which judges units"


def assert_unit_is_right(unit: Path) -> None:
    """Have systemd judge a unit, which only warns of keys that it does not know."""
    told = run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit])
    assert told.messages == ""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content
