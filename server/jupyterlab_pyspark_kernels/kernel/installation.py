"""The Spark that was chosen: found, made importable, looked at."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import List

from .failure import SparkStartError
from .options import SubmitOptions


def choose() -> None:
    """Let the process, and those that it starts, import the chosen Spark."""
    home = os.environ.get("SPARK_HOME")
    if not home:
        # Empty means none: PySpark finds itself.
        os.environ.pop("SPARK_HOME", None)
        return
    # Before the first cell, which may import PySpark without waiting.
    paths = python_of(Path(home))
    sys.path[:0] = paths
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(paths + ([inherited] if inherited else []))


def check_pyspark(options: SubmitOptions) -> None:
    """Make sure that there is a PySpark, and that it can speak to the kernel's master.

    Raises:
        SparkStartError: when there is none, or it cannot.
    """
    home = os.environ.get("SPARK_HOME")
    if home and not python_of(Path(home)):
        raise SparkStartError(
            f"SPARK_HOME is {home}, which holds no Spark with Python. "
            "Set it to the directory that has bin, jars and python."
        )
    # Only now, as the notebook's first cells need none of it.
    from .connect import check_packages

    try:
        # Which imports py4j.
        import pyspark  # noqa: F401
    except ImportError as error:
        package = "pyspark-client" if options.remote else "pyspark"
        raise SparkStartError(
            f"{sys.executable} has no {error.name}. "
            f"Install it with: {sys.executable} -m pip install {package}"
        ) from error
    check_packages(bool(options.remote), options.master, sys.executable)


def python_of(home: Path) -> List[str]:
    """Find PySpark and py4j in a Spark installation, of whatever version; or nothing."""
    library = home / "python" / "lib"
    # Inside an environment's own PySpark, the package is not below python, but zipped below lib.
    unpacked = os.path.exists(home / "python" / "pyspark" / "__init__.py")
    pyspark = home / "python" if unpacked else library / "pyspark.zip"
    py4j = sorted(library.glob("py4j-*-src.zip"))
    if not py4j or not all(map(os.path.exists, (home / "bin" / "spark-submit", pyspark))):
        return []
    return [str(pyspark), str(py4j[-1])]
