"""Measure everything and print the table."""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import partial
from pathlib import Path

import archive
import create
import discovery
import listing
import progress
import startup
from table import print_table


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="runs of each kind (default: 7)")
    parser.add_argument("--environment", type=Path, required=True, help="one with PySpark")
    parser.add_argument(
        "--only",
        choices=["archive", "create", "discovery", "list", "progress", "startup"],
        help="measure one thing",
    )
    parser.add_argument(
        "--job-seconds", type=int, default=60, help="length of the long job (default: 60)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyspark-kernels-benchmark-") as folder:
        os.environ["JUPYTER_RUNTIME_DIR"] = f"{folder}/runtime"
        os.environ["IPYTHONDIR"] = f"{folder}/ipython"
        parts = {
            "archive": archive.measure,
            "create": create.measure,
            "discovery": discovery.measure,
            "list": listing.measure,
            "progress": progress.measure,
            "startup": partial(startup.measure, job_seconds=options.job_seconds),
        }
        rows = []
        for name, measure in parts.items():
            if options.only in (None, name):
                rows += measure(options.environment, Path(folder) / name, options.rounds)
    print()
    print_table(rows)


if __name__ == "__main__":
    main()
