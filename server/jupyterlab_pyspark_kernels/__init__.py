"""Create, prove and manage PySpark kernels in JupyterLab."""

from __future__ import annotations

from typing import Any

from ._version import __version__ as __version__


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "jupyterlab-pyspark-kernels"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    # Imported here so that the command line never pays for the server's modules.
    from .app import PySparkKernels

    return [{"module": "jupyterlab_pyspark_kernels.app", "app": PySparkKernels}]
