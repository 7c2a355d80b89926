"""The design that docs/design.md draws, compared with the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterlab_pyspark_kernels.kernel import FILES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "server" / "jupyterlab_pyspark_kernels"
DESIGN, _, IN_THE_KERNEL = (ROOT / "docs/design.md").read_text().partition("### In the kernel")


def rows(text: str) -> list[str]:
    """Give the names in the first column of a table, in their order."""
    names = re.findall(r"(?m)^\| `([a-z_]+(?:\.py|/))` ", text)
    return [name.removesuffix(".py").removesuffix("/") for name in names]


TABLE, KERNEL_TABLE = rows(DESIGN), rows(IN_THE_KERNEL)
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


def test_the_table_of_the_kernel_has_every_file_once() -> None:
    assert sorted(KERNEL_TABLE) == sorted(
        name.removesuffix(".py") for name in FILES if name.endswith(".py")
    )


@pytest.mark.parametrize("room", KERNEL_TABLE)
def test_imports_in_the_kernel_go_downwards(room: str) -> None:
    below = set(KERNEL_TABLE[KERNEL_TABLE.index(room) :])
    assert set(imported(room, PACKAGE / "kernel")) <= below


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_downwards(room: str) -> None:
    below = {*TABLE[TABLE.index(room) :], "_version"}
    assert set(imported(room)) <= below


def imported(room: str, package: Path = PACKAGE) -> Iterator[str]:
    """Give the rooms that one imports, itself included where it is a package."""
    directory = package / room
    is_package = directory.is_dir()
    for path in directory.glob("**/*.py") if is_package else [directory.with_suffix(".py")]:
        depth = len(path.relative_to(package).parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == depth:
                modules = [node.module] if node.module else [name.name for name in node.names]
                yield from (module.partition(".")[0] for module in modules)
