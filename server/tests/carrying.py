"""An environment with a package that exists nowhere else, and the proof that executors have it."""

import ast
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernels import RunningKernel, wait_until

PACKAGE = "carried_along"
"""The package that only the archive has."""


def site_packages(environment: Path) -> Path:
    """Give the directory of an environment's packages."""
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


def make_environment(lender: Path, path: Path) -> Path:
    """Make an environment with pandas and pyarrow of its own, and PySpark by links.

    Only the driver needs what the links lead to.
    """
    python = str(path / "bin" / "python")
    subprocess.run([str(lender / "bin" / "python"), "-m", "venv", str(path)], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "pandas<3", "pyarrow"]
    subprocess.run(install, check=True)
    own = site_packages(path)
    for entry in site_packages(lender).iterdir():
        if not (own / entry.name).exists():
            (own / entry.name).symlink_to(entry)
    return path


@contextmanager
def with_package(environment: Path) -> Iterator[None]:
    """Give the environment its package for as long as it is packed."""
    package = site_packages(environment) / PACKAGE
    package.mkdir()
    try:
        (package / "__init__.py").write_text("def double(number):\n    return 2 * number\n")
        yield
    finally:
        shutil.rmtree(package)


_CELL = f"""
def facts(_=0):
    import os, sys
    return {{"version": tuple(sys.version_info), "python": sys.executable, "folder": os.getcwd()}}

def on_executors(count):
    import pandas
    from pyspark.sql.functions import pandas_udf

    @pandas_udf("string")
    def seen(column: pandas.Series) -> pandas.Series:
        import {PACKAGE}
        found = dict(facts(), package={PACKAGE}.__file__, doubled={PACKAGE}.double(21))
        return column.map(lambda _: repr(found))

    rows = spark.range(count).repartition(count).select(seen("id")).collect()
    return [eval(row[0]) for row in rows]
"""


def prove(kernel: RunningKernel, executors: int) -> set[Path]:
    """Prove that every executor runs the archive's Python; give the folders they work in."""
    kernel.value(_CELL)
    assert kernel.run(f"import {PACKAGE}").error == "ModuleNotFoundError"
    version = ast.literal_eval(kernel.value("facts()['version']"))
    folders: set[Path] = set()

    def every_executor_answered() -> bool:
        for found in ast.literal_eval(kernel.value(f"on_executors({executors})")):
            folder = Path(found["folder"])
            assert found["version"] == version
            assert found["doubled"] == 42
            assert Path(found["python"]) == folder / "environment" / "bin" / "python"
            assert Path(found["package"]).is_relative_to(folder / "environment")
            folders.add(folder)
        return len(folders) == executors

    wait_until(every_executor_answered)
    return folders
