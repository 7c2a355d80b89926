"""HTTP ⇄ service, and nothing else.

Every verb names its own question to the authorizer, as `jupyter_server`'s decorator otherwise keeps
the resource of whichever handler was called first.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, ParamSpec, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from pydantic import BaseModel
from tornado import web

from .errors import Invalid, KernelError, NotJson, TooLarge
from .events import KERNEL_SCHEMA_ID, TASK_SCHEMA_ID
from .models import Kernel, Request
from .schemas import form_schema, form_ui
from .service import KernelService
from .tasks import Task, Tasks

NAMESPACE = "jupyterlab-pyspark-kernels"
RESOURCE = "pyspark_kernels"
MAX_BODY = 256 * 1024
"""Bytes of a request's body."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Refused(web.HTTPError):
    """A KernelError on its way out as an HTTP answer."""

    def __init__(self, error: KernelError) -> None:
        super().__init__(error.status, log_message=error.reason)
        self.error = error


# The body is taken in pieces, so that one too large is never in memory.
@web.stream_request_body
class Handler(APIHandler):
    """What all our routes have in common: limits, JSON in, JSON out, errors as data."""

    def initialize(self, service: KernelService, tasks: Tasks) -> None:
        """Take what the route hands over."""
        super().initialize()
        self.service = service
        self.tasks = tasks
        self._body = bytearray()

    async def prepare(self, **options: Any) -> None:
        """Authenticate, then refuse a body that is too large or not JSON before it arrives."""
        await super().prepare(**options)
        if not self.current_user:
            # The verbs check it as well; a stranger must not even learn what they would accept.
            raise web.HTTPError(403)
        length = self.request.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) > MAX_BODY:
            self._refuse(_too_large())
        if self.request.method in ("POST", "PUT"):
            kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                self._refuse(
                    NotJson.at("", "The body must be JSON. Send Content-Type: application/json.")
                )

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece of the body; of one that is too large, just enough to know it."""
        if len(self._body) <= MAX_BODY:
            self._body += chunk

    def json_body(self) -> Any:
        """Read the body as strict JSON."""
        try:
            if len(self._body) > MAX_BODY:
                raise _too_large()
            return parse_json(bytes(self._body))
        except KernelError as error:
            self._refuse(error)

    async def call(
        self,
        function: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run what blocks on the disk in a thread, and turn a refusal into an answer."""
        try:
            return await asyncio.to_thread(function, *args, **kwargs)
        except KernelError as error:
            self._refuse(error)

    def answer(self, value: BaseModel | list[Any] | Mapping[str, Any], status: int = 200) -> None:
        """Send a value as JSON."""
        self.set_status(status)
        self.finish(json.dumps(_plain(value), allow_nan=False))

    def tell(self, action: str, place: str, name: str) -> None:
        """Emit the event that every open window refreshes on."""
        self.event_logger.emit(
            schema_id=KERNEL_SCHEMA_ID, data={"action": action, "place": place, "name": name}
        )

    async def begin(self, request: Request) -> None:
        """Start long work, and say where its progress can be asked for."""
        task = await self.call(self.tasks.start, request)
        self.set_header("Location", f"{self.base_url}{NAMESPACE}/tasks/{task.id}")
        self.answer(task, status=202)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error as `{message, reason, errors}`, never with a traceback."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        self.set_header("Content-Type", "application/json")
        if isinstance(error, Refused):
            errors = [{"field": e.field, "message": e.message} for e in error.error.errors]
            message, reason = str(error.error), error.error.reason
        else:
            message = (isinstance(error, web.HTTPError) and error.log_message) or self._reason
            errors, reason = [], self._reason
        self.finish(json.dumps({"message": message, "reason": reason, "errors": errors}))

    def _refuse(self, error: KernelError) -> NoReturn:
        raise Refused(error) from None


class FormHandler(Handler):
    """What a dialog needs to draw itself."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """Give schema, layout, defaults and places."""
        places = await self.call(self.service.places)
        defaults = await self.call(self.service.defaults)
        self.answer(
            {
                "schema": form_schema(),
                "uiSchema": form_ui(),
                "defaults": defaults,
                "places": places,
            }
        )


class PreviewHandler(Handler):
    """What would be written."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def post(self) -> None:
        """Check a KernelConfig and give the kernel.json it makes."""
        editing = self.get_query_argument("editing", "false") == "true"
        self.answer(await self.call(self.service.preview, self.json_body(), editing))


class EnvironmentsHandler(Handler):
    """The Python environments of this machine."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """List the environments that were found."""
        found = await self.call(self.service.environments)
        self.answer(
            {"environments": list(found.environments), "unanswered": list(found.unanswered)}
        )


class ReadyHandler(Handler):
    """Environments that lack what every kernel needs."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self) -> None:
        """Install it into one of them."""
        body = self.json_body()
        path = body.get("environment") if isinstance(body, dict) else None
        if not isinstance(path, str):
            self._refuse(Invalid.at("environment", "It is missing. Send the environment's path."))
        await self.begin(await self.call(self.service.make_ready, path))


class KernelsHandler(Handler):
    """All kernels."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """List the kernels of all places."""
        self.answer(await self.call(self.service.kernels))

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self) -> None:
        """Create a kernel."""
        kernel = await self.call(self.service.create, self.json_body())
        if isinstance(kernel, Request):
            await self.begin(kernel)
            return
        self.set_header("Location", f"{self.base_url}{NAMESPACE}/kernels/{_path(kernel)}")
        self.tell("create", kernel.place, kernel.name)
        self.answer(kernel, status=201)


class KernelHandler(Handler):
    """One kernel."""

    etag: str | None = None

    def compute_etag(self) -> str | None:
        """Give the kernel's own etag in place of one of the answer."""
        return self.etag

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, place: str, name: str) -> None:
        """Give one kernel."""
        self._answer_kernel(await self.call(self.service.kernel, place, name))

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def put(self, place: str, name: str) -> None:
        """Write one kernel anew, if it is still the version that If-Match names."""
        etag = self.request.headers.get("If-Match", "").strip('"')
        if not etag:
            self._refuse(Invalid.at("", "If-Match is missing. Send the etag of the kernel there."))
        kernel = await self.call(self.service.edit, place, name, self.json_body(), etag)
        if isinstance(kernel, Request):
            await self.begin(kernel)
            return
        self.tell("edit", place, name)
        self._answer_kernel(kernel)

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def delete(self, place: str, name: str) -> None:
        """Take one kernel away; it can be undone."""
        await self.call(self.service.delete, place, name)
        self.tell("delete", place, name)
        self.set_status(204)
        self.finish()

    def _answer_kernel(self, kernel: Kernel) -> None:
        self.etag = f'"{kernel.etag}"'
        self.answer(kernel)


class RepackHandler(Handler):
    """What the executors of one kernel unpack."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self, place: str, name: str) -> None:
        """Pack the environment anew."""
        await self.begin(await self.call(self.service.repack, place, name))


class ArchivesHandler(Handler):
    """Packed environments."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """List them, and who needs them."""
        self.answer(await self.call(self.service.archives))


class SweepHandler(Handler):
    """Packed environments that nothing refers to."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self) -> None:
        """Remove them."""
        self.answer(await self.call(self.service.sweep))


class UndoHandler(Handler):
    """The last delete or edit."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self) -> None:
        """Take it back: of all kernels, or of the place or kernel that the query names."""
        place, name = (self.get_query_argument(part, None) for part in ("place", "name"))
        kernel = await self.call(self.service.undo, place, name)
        self.tell("undo", kernel.place, kernel.name)
        self.answer(kernel)


class TasksHandler(Handler):
    """Long work."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """List what runs, and what has ended lately."""
        self.answer(await self.call(self.tasks.all))


class TaskHandler(Handler):
    """One piece of long work."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, task_id: str) -> None:
        """Give how far it is, and its log."""
        self.answer(await self.call(self.tasks.get, task_id))

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def delete(self, task_id: str) -> None:
        """Cancel it, or forget it when it has ended."""
        await self.call(self.tasks.cancel, task_id)
        self.set_status(204)
        self.finish()


class ResumeHandler(Handler):
    """One piece of long work that did not come to its end."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self, task_id: str) -> None:
        """Take it up again."""
        self.answer(await self.call(self.tasks.resume, task_id), status=202)


ROUTES: dict[str, type[Handler]] = {
    "form": FormHandler,
    "preview": PreviewHandler,
    "environments": EnvironmentsHandler,
    "environments/ready": ReadyHandler,
    "kernels": KernelsHandler,
    "kernels/{place}/{name}": KernelHandler,
    "kernels/{place}/{name}/repack": RepackHandler,
    "archives": ArchivesHandler,
    "archives/sweep": SweepHandler,
    "undo": UndoHandler,
    "tasks": TasksHandler,
    "tasks/{id}": TaskHandler,
    "tasks/{id}/resume": ResumeHandler,
}
"""The routes below our namespace, written as in the OpenAPI file."""


def url_patterns(
    service: KernelService, tasks: Tasks
) -> list[tuple[str, type[Handler], dict[str, Any]]]:
    """Give the routes as Jupyter Server takes them."""
    return [
        (
            f"/{NAMESPACE}/" + re.sub(r"\{[a-z]+\}", "([^/]+)", route),
            handler,
            {"service": service, "tasks": tasks},
        )
        for route, handler in ROUTES.items()
    ]


def task_event(task: Task) -> dict[str, Any]:
    """Give what the event of a task tells."""
    return {"schema_id": TASK_SCHEMA_ID, "data": task.model_dump(include=_TOLD)}


_TOLD = {
    *("id", "title", "state", "stage"),
    *("files_done", "files_total", "bytes_done", "bytes_total"),
}


def parse_json(body: bytes) -> Any:
    """Read JSON as strictly as it is defined: UTF-8, no NaN, no key twice, not nested without end.

    Raises:
        Invalid: with what is wrong.

    """
    try:
        return json.loads(
            body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates
        )
    except UnicodeDecodeError:
        raise Invalid.at("", "The body is not UTF-8. Send JSON in UTF-8.") from None
    except RecursionError:
        raise Invalid.at("", "The body is nested too deeply. Send a flat object.") from None
    except ValueError as error:
        raise Invalid.at("", f"The body is not JSON: {error}. Send valid JSON.") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _too_large() -> TooLarge:
    return TooLarge.at("", f"The body is larger than {MAX_BODY // 1024} KiB. Send less.")


def _path(kernel: Kernel) -> str:
    return f"{kernel.place}/{kernel.name}"


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
