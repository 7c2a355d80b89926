"""The server extension: what an administrator can set, and the wiring."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir
from jupyter_server.extension.application import ExtensionApp
from traitlets import List, Unicode

from .environments import DEFAULT_ROOTS
from .events import KERNEL_SCHEMA_FILE, TASK_SCHEMA_FILE
from .handlers import task_event, url_patterns
from .places import jupyter_places
from .service import KernelService
from .tasks import Task, Tasks

TASKS_DIRECTORY = f"pyspark-kernels-{os.getuid()}/tasks"
"""Below the user's Jupyter data directory."""


class PySparkKernels(ExtensionApp):
    """Creates and manages PySpark kernels."""

    name = "jupyterlab_pyspark_kernels"

    environment_roots = List(
        Unicode(),
        default_value=list(DEFAULT_ROOTS),
        config=True,
        help="Where Python environments are looked for: a directory with one in each subdirectory, "
        "a conda installation, one environment, or a file with a path in each line.",
    )

    allowed_environments = List(
        Unicode(),
        config=True,
        help="Directories that the environment of a kernel must lie in; anywhere when empty.",
    )

    def initialize_handlers(self) -> None:
        """Add the routes, and the event that they emit."""
        server = self.serverapp
        if server is None or server.event_logger is None or server.kernel_spec_manager is None:
            raise RuntimeError("The extension needs an initialized Jupyter Server.")
        for schema in (KERNEL_SCHEMA_FILE, TASK_SCHEMA_FILE):
            server.event_logger.register_event_schema(schema)
        service = KernelService(
            server.kernel_spec_manager,
            jupyter_places,
            environment_roots=self.environment_roots,
            workspace=Path(server.root_dir),
            allowed_environments=self.allowed_environments,
        )
        self._tasks = Tasks(
            Path(jupyter_data_dir()) / TASKS_DIRECTORY, service.carry_out, self._tell
        )
        self.handlers.extend(url_patterns(service, self._tasks))

    async def stop_extension(self) -> None:
        """Interrupt long work, so that nothing goes on without a server."""
        await asyncio.to_thread(self._tasks.close)

    def _tell(self, task: Task) -> None:
        server = self.serverapp
        if server is None or server.event_logger is None:
            return
        # Work is done in threads, and the server's events belong to its loop.
        server.io_loop.add_callback(server.event_logger.emit, **task_event(task))
