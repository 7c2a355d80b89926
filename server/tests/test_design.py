"""The design that docs/design.md draws, compared with the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "server" / "jupyterlab_pyspark_kernels"
TABLE = [
    name.removesuffix(".py").removesuffix("/")
    for name in re.findall(r"(?m)^\| `([a-z_]+(?:\.py|/))` ", (ROOT / "docs/design.md").read_text())
]
RUN_ELSEWHERE = {"flight_cell", "settings_script"}
"""They are no modules, as the design says."""

ROOMS = sorted(
    path.stem
    for path in PACKAGE.iterdir()
    if path.suffix == ".py" or (path / "__init__.py").exists()
    if not path.name.startswith("_") and path.stem not in RUN_ELSEWHERE
)


def test_the_table_has_every_room_once() -> None:
    assert sorted(TABLE) == ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_downwards(room: str) -> None:
    below = {*TABLE[TABLE.index(room) :], "_version"}
    assert set(imported(room)) <= below


def imported(room: str) -> Iterator[str]:
    """Give the rooms that one imports, itself included where it is a package."""
    directory = PACKAGE / room
    is_package = directory.is_dir()
    for path in directory.glob("**/*.py") if is_package else [directory.with_suffix(".py")]:
        depth = len(path.relative_to(PACKAGE).parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == depth:
                modules = [node.module] if node.module else [name.name for name in node.names]
                yield from (module.partition(".")[0] for module in modules)
