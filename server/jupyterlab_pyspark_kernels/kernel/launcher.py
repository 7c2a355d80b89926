"""Runs a PySpark kernel: IPython answers at once, and Spark starts beside it.

A copy of this file and of those beside it lies in every kernel's directory and is run by the
kernel's own Python, so they need nothing but the standard library of Python 3.8, ipykernel and
PySpark. `spark`, `sc` and `sql` stand in the notebook from its first cell; whoever touches them
waits until Spark is there, and nobody else does. How far Spark has come is written to
`pyspark-kernels/<kernel id>.json` beside the connection file and sent over the comm
`pyspark-kernels`; what Spark's JVM prints goes to a log beside that file.
"""

from __future__ import annotations

import importlib
import os
import sys
import types


def main() -> None:
    """Run the kernel, with the files beside this one as a package.

    The kernel's own directory leaves the path: `import launcher` in a notebook must not find this
    file. The notebook's folder comes to the path later, when ipykernel has its own modules.
    """
    directory = os.path.dirname(os.path.abspath(__file__))
    # Python resolves links in the path of its script, and __file__ has them.
    if os.path.realpath(sys.path[0]) == os.path.realpath(directory):
        del sys.path[0]
    package = types.ModuleType("_pyspark_kernels")
    package.__path__ = [directory]
    sys.modules[package.__name__] = package
    if sys.argv[1:] == ["--train"]:
        # Started by a kernel, to make what lets the next ones start sooner.
        importlib.import_module("_pyspark_kernels.train").run()
    else:
        importlib.import_module("_pyspark_kernels.process").run(sys.argv[1:])


if __name__ == "__main__":
    main()
