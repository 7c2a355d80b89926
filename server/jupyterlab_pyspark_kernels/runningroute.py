"""HTTP and the kernels' control channels ⇄ the Spark applications that run."""

from __future__ import annotations

from pathlib import Path

from jupyter_server.auth.decorator import authorized
from tornado import web

from .control import stop_spark
from .errors import KernelError
from .handlers import RESOURCE, Handler
from .siblings import Held


async def _held(handler: Handler) -> dict[str, Held]:
    """Give the kernels of this server."""
    paths = {
        session["kernel"]["id"]: session["path"]
        for session in await handler.session_manager.list_sessions()
        if session.get("kernel")
    }
    return {
        kernel["id"]: Held(
            kernel["name"], paths.get(kernel["id"]), kernel["execution_state"] == "busy"
        )
        for kernel in handler.kernel_manager.list_kernels()
    }


class ApplicationsHandler(Handler):
    """The Spark applications of this user."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """List them, also those that have no kernel any longer."""
        self.answer(await self.call(self.service.applications, await _held(self)))


class ApplicationHandler(Handler):
    """One Spark application."""

    @web.authenticated
    @authorized("execute", resource=RESOURCE)
    async def delete(self, application: str) -> None:
        """Stop it; a kernel goes on without Spark, and has it again when a cell needs it."""
        held = await _held(self)
        if application in held:
            manager = self.kernel_manager
            client = manager.get_kernel(application).client()
            try:
                await stop_spark(client, Path(manager.connection_dir), application)
            except KernelError as error:
                self._refuse(error)
        else:
            await self.call(self.service.end_application, held, application)
        self.set_status(204)
        self.finish()


RUNNING_ROUTES: dict[str, type[Handler]] = {
    "applications": ApplicationsHandler,
    "applications/{application}": ApplicationHandler,
}
"""The routes of the running applications, written as in the OpenAPI file."""
