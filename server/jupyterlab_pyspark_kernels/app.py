"""The server extension: what an administrator can set, and the wiring."""

from __future__ import annotations

import asyncio
from inspect import iscoroutinefunction
from pathlib import Path

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, List, Unicode

from .administration import administration
from .audit import task_end_event
from .doctor import site_rules
from .environments import DEFAULT_ROOTS
from .events import AUDIT_SCHEMA_FILE, KERNEL_SCHEMA_FILE, TASK_SCHEMA_FILE
from .handlers import ROUTES, task_event, url_patterns
from .places import jupyter_places, own_directory, read_only_places
from .policy import Policy
from .runningroute import RUNNING_ROUTES
from .service import KernelService
from .strict import TrustedKernels
from .tasks import Task, Tasks
from .uiroute import UI_ROUTES


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

    template_directories = List(
        Unicode(),
        config=True,
        help="Directories with templates. One that others than root and the administrators can "
        "write to is not used.",
    )

    template_administrators = List(
        Unicode(),
        config=True,
        help="Users, beside root, who may own the directories of templates and all in them.",
    )

    require_template = Bool(config=True, help="Whether kernels can be made from templates only.")

    may_share = List(
        Unicode(),
        config=True,
        help="Users, and groups as @group, who may write kernels where others see them; everybody "
        "whom the file system lets when empty.",
    )

    def initialize_handlers(self) -> None:
        """Add the routes, and the event that they emit."""
        server = self.serverapp
        if server is None or server.event_logger is None or server.kernel_spec_manager is None:
            raise RuntimeError("The extension needs an initialized Jupyter Server.")
        for schema in (AUDIT_SCHEMA_FILE, KERNEL_SCHEMA_FILE, TASK_SCHEMA_FILE):
            server.event_logger.register_event_schema(schema)
        specs = server.kernel_spec_manager
        takes_from_gateway = iscoroutinefunction(specs.get_all_specs)
        service = KernelService(
            # A name or a label is taken also when it is hidden.
            specs.everything() if isinstance(specs, TrustedKernels) else specs,
            read_only_places if takes_from_gateway else jupyter_places,
            environment_roots=self.environment_roots,
            workspace=Path(server.root_dir),
            allowed_environments=self.allowed_environments,
            policy=Policy(
                administration(
                    directories=self.template_directories,
                    administrators=self.template_administrators,
                    require_template=self.require_template,
                    may_share=self.may_share,
                )
            ),
        )
        self._tasks = Tasks(own_directory() / "tasks", service.carry_out, self._tell)
        for routes in (ROUTES, UI_ROUTES, RUNNING_ROUTES):
            self.handlers.extend(url_patterns(service, self._tasks, routes))
        for problem in site_rules()[1]:
            self.log.warning(problem)

    async def stop_extension(self) -> None:
        """Interrupt long work, so that nothing goes on without a server."""
        await asyncio.to_thread(self._tasks.close)

    def _tell(self, task: Task) -> None:
        server = self.serverapp
        if server is None or server.event_logger is None or task.kind == "settings":
            # Nobody has to hear that a form reads what it offers.
            return
        # Work is done in threads, and the server's events belong to its loop.
        server.io_loop.add_callback(server.event_logger.emit, **task_event(task))
        if task.state != "running":
            server.io_loop.add_callback(server.event_logger.emit, **task_end_event(task))
