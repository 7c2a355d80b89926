"""The server extension: what an administrator can set, and the wiring."""

from __future__ import annotations

from pathlib import Path

from jupyter_server.extension.application import ExtensionApp
from traitlets import List, Unicode

from .environments import DEFAULT_ROOTS
from .events import KERNEL_SCHEMA_FILE
from .handlers import url_patterns
from .places import jupyter_places
from .service import KernelService


class PySparkKernels(ExtensionApp):
    """Creates and manages PySpark kernels."""

    name = "jupyterlab_pyspark_kernels"

    environment_roots = List(
        Unicode(),
        default_value=list(DEFAULT_ROOTS),
        config=True,
        help="Directories that hold Python environments, one in each subdirectory.",
    )

    def initialize_handlers(self) -> None:
        """Add the routes, and the event that they emit."""
        server = self.serverapp
        if server is None or server.event_logger is None or server.kernel_spec_manager is None:
            raise RuntimeError("The extension needs an initialized Jupyter Server.")
        server.event_logger.register_event_schema(KERNEL_SCHEMA_FILE)
        service = KernelService(
            server.kernel_spec_manager,
            jupyter_places,
            environment_roots=self.environment_roots,
            workspace=Path(server.root_dir),
        )
        self.handlers.extend(url_patterns(service))
