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
from pydantic import BaseModel, ValidationError
from tornado import web

from .audit import request_event
from .errors import Invalid, KernelError, NotJson, TooLarge
from .events import KERNEL_SCHEMA_ID, TASK_SCHEMA_ID
from .importing import import_text
from .jsontext import parse_json
from .models import Kernel, KernelPair, Request
from .schemas import form_schema, form_ui
from .service import KernelService
from .tasks import Task, Tasks

NAMESPACE = "jupyterlab-pyspark-kernels"
RESOURCE = "pyspark_kernels"
MAX_BODY = 256 * 1024
"""Bytes of a request's body."""

_VERBS = ("GET", "POST", "PUT", "DELETE")
_WITH_BODY = ("POST", "PUT")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Refused(web.HTTPError):
    """A KernelError on its way out as an HTTP answer."""

    def __init__(self, error: KernelError) -> None:
        super().__init__(error.status, log_message=error.reason)
        self.error = error


def explanation(error: BaseException | None, status: str) -> dict[str, Any]:
    """Say what an error says to whoever sent the request.

    Args:
        error: what was raised.
        status: what HTTP calls the answer's status.

    """
    if isinstance(error, Refused):
        errors = [{"field": e.field, "message": e.message} for e in error.error.errors]
        return {"message": str(error.error), "reason": error.error.reason, "errors": errors}
    message = (isinstance(error, web.HTTPError) and error.log_message) or status
    return {"message": message, "reason": status, "errors": []}


# The body is taken in pieces, so that one too large is never in memory.
@web.stream_request_body
class Handler(APIHandler):
    """What all our routes have in common: limits, JSON in, JSON out, errors as data."""

    def initialize(self, service: KernelService, tasks: Tasks, route: str) -> None:
        """Take what the route hands over."""
        super().initialize()
        self.route = route
        self.service = service
        self.tasks = tasks
        self._body = bytearray()
        self._told: dict[str, Any] = {}
        # Nobody is known before `prepare`, which what is refused earlier never comes to.
        self.current_user = None

    def on_finish(self) -> None:
        """Tell an audit of what changes something, also when it was refused."""
        super().on_finish()
        action = AUDITED.get((self.route, self.request.method or ""))
        if action is not None:
            # Of an address that is not UTF-8 Tornado gives no parts.
            names, given = re.findall("{([a-z]+)}", self.route), getattr(self, "path_args", ())
            parts = dict(zip(names, given, strict=False))
            told = {**self._told, "task": parts.pop("id", self._told.get("task")), **parts}
            if action == "move":
                told |= {f"to_{part}": self._told.get(part) for part in ("place", "name")}
            user = self.current_user
            self.event_logger.emit(
                **request_event(action, self.get_status(), user and user.username, told)
            )

    async def prepare(self, **options: Any) -> None:
        """Authenticate, and look at the headers; what is refused is told when the body is read.

        An answer before that ends the connection, and a proxy such as JupyterHub's, which is still
        sending the body, tells its client a 503 in place of the answer.
        """
        try:
            await super().prepare(**options)
            self._check_headers()
        except web.HTTPError as error:
            self._refuse_in_place_of_the_verb(error)

    def _check_headers(self) -> None:
        if not self.current_user:
            # The verbs check it as well; a stranger must not even learn what they would accept.
            raise web.HTTPError(403)
        length = self.request.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) > MAX_BODY:
            self._refuse(_too_large())
        if self.request.method in _WITH_BODY and self.request.method in self._own_verbs():
            kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                self._refuse(
                    NotJson.at("", "The body must be JSON. Send Content-Type: application/json.")
                )

    def _refuse_in_place_of_the_verb(self, error: web.HTTPError) -> None:
        def refuse(*_: str) -> NoReturn:
            raise error

        setattr(self, str(self.request.method).lower(), refuse)

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece of the body; of one that is too large, just enough to know it."""
        if len(self._body) <= MAX_BODY:
            self._body += chunk

    def json_body(self) -> dict[str, Any]:
        """Read the body as strict JSON, which is always an object."""
        try:
            if len(self._body) > MAX_BODY:
                raise _too_large()
            body = parse_json(bytes(self._body))
        except KernelError as error:
            self._refuse(error)
        if not isinstance(body, dict):
            self._refuse(Invalid.at("", "The body is not a JSON object. Send one."))
        self._told.update(body)
        return body

    def if_match(self) -> str:
        """Give the etag of the version that a change began with."""
        etag = self.request.headers.get("If-Match", "").strip('"')
        if not etag:
            self._refuse(Invalid.at("", "If-Match is missing. Send the etag of the kernel there."))
        return etag

    async def call(
        self,
        function: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run what blocks on the disk in a thread, and turn a refusal into an answer."""
        if self.request.method in _WITH_BODY:
            # Also where nothing is taken from it, as whoever sends nonsense meant something else.
            self.json_body()
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
        self._told.update(place=place, name=name)
        self.event_logger.emit(
            schema_id=KERNEL_SCHEMA_ID, data={"action": action, "place": place, "name": name}
        )

    async def begin(self, request: Request) -> None:
        """Start long work, and say where its progress can be asked for."""
        task = await self.call(self.tasks.start, request)
        self._told.update(place=request.place, name=request.name, task=task.id)
        self.set_header("Location", f"{self.base_url}{NAMESPACE}/tasks/{task.id}")
        self.answer(task, status=202)

    async def written(self, action: str, kernel: Kernel | Request) -> None:
        """Answer where a kernel lies that was not there before, or begin to write it."""
        if isinstance(kernel, Request):
            await self.begin(kernel)
            return
        self.set_header("Location", f"{self.base_url}{NAMESPACE}/kernels/{_path(kernel)}")
        self.tell(action, kernel.place, kernel.name)
        self.answer(kernel, status=201)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error as `{message, reason, errors}`, never with a traceback."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        self.set_header("Content-Type", "application/json")
        if status_code == 405:
            self.set_header("Allow", ", ".join(self._own_verbs()))
        self.finish(json.dumps(explanation(error, self._reason)))

    def _own_verbs(self) -> list[str]:
        return [verb for verb in _VERBS if verb.lower() in vars(type(self))]

    def _refuse(self, error: KernelError) -> NoReturn:
        raise Refused(error) from None


class FormHandler(Handler):
    """What a dialog needs to draw itself."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self) -> None:
        """Give schema, layout, defaults, places and templates."""
        places = await self.call(self.service.places)
        defaults = await self.call(self.service.defaults)
        self.answer(
            {
                "schema": form_schema(),
                "uiSchema": form_ui(),
                "defaults": defaults,
                "places": places,
                "templates": await self.call(self.service.templates),
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


class ClusterHandler(Handler):
    """The cluster of a kernel."""

    @web.authenticated
    @authorized("execute", resource=RESOURCE)
    async def post(self) -> None:
        """Ask it what it has, and tell whether the executors of a KernelConfig fit."""
        self.answer(await self.call(self.service.cluster, self.json_body()))


class SettingsHandler(Handler):
    """The settings that a Spark knows."""

    @web.authenticated
    @authorized("execute", resource=RESOURCE)
    async def post(self) -> None:
        """Give them, or begin to ask the Spark."""
        settings = await self.call(self.service.settings, self.json_body())
        if isinstance(settings, Request):
            await self.begin(settings)
            return
        self.answer(settings)


class EffectiveHandler(Handler):
    """What counts in the end."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def post(self) -> None:
        """Give every setting of a KernelConfig, and where its value comes from."""
        everything = self.get_query_argument("all", "false") == "true"
        self.answer(await self.call(self.service.effective, self.json_body(), everything))


class CompareHandler(Handler):
    """Two kernels."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def post(self) -> None:
        """Tell them apart, field by field."""
        body = self.json_body()
        try:
            pair = KernelPair.model_validate(body)
        except ValidationError:
            self._refuse(
                Invalid.at(
                    "",
                    "Two kernels are compared. Send left and right, each with its place and name.",
                )
            )
        self.answer(await self.call(self.service.compare, pair.left, pair.right))


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
        path = self.json_body().get("environment")
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
        await self.written("create", await self.call(self.service.create, self.json_body()))


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
        body = self.json_body()
        kernel = await self.call(self.service.edit, place, name, body, self.if_match())
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


class MoveHandler(Handler):
    """Where one kernel lies, and what it is called."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self, place: str, name: str) -> None:
        """Rename it or bring it to another place, if it is still the version of If-Match."""
        body = self.json_body()
        kernel = await self.call(self.service.move, place, name, body, self.if_match())
        await self.written("move", kernel)


class ExportHandler(Handler):
    """One kernel as text."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, place: str, name: str) -> None:
        """Give it in the format that the query names."""
        form = self.get_query_argument("format", "kernel")
        self.answer(await self.call(self.service.export, place, name, form))


class ImportHandler(Handler):
    """Text that describes a kernel."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def post(self) -> None:
        """Give what it says, writing nothing."""
        body = self.json_body()
        text = body.get("text") if isinstance(body, dict) else None
        if not isinstance(text, str):
            self._refuse(Invalid.at("", "The text is missing. Send it as text."))
        self.answer(await self.call(import_text, text))


class RepackHandler(Handler):
    """What the executors of one kernel unpack."""

    @web.authenticated
    @authorized("write", resource=RESOURCE)
    async def post(self, place: str, name: str) -> None:
        """Pack the environment anew."""
        await self.begin(await self.call(self.service.repack, place, name))


class TestHandler(Handler):
    """Whether one kernel flies."""

    @web.authenticated
    @authorized("execute", resource=RESOURCE)
    async def post(self, place: str, name: str) -> None:
        """Start it in a scratch folder, and let every executor do something."""
        await self.begin(await self.call(self.service.test, place, name))


class DraftTestHandler(Handler):
    """Whether a kernel that was not written flies."""

    @web.authenticated
    @authorized("execute", resource=RESOURCE)
    async def post(self) -> None:
        """Start it in a scratch folder, and let every executor do something."""
        await self.begin(await self.call(self.service.test_draft, self.json_body()))


class DoctorHandler(Handler):
    """Why the last notebook of one kernel has no Spark."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, place: str, name: str) -> None:
        """Give the causes, the most telling first."""
        self.answer(await self.call(self.service.doctor, place, name))


class ReceiptHandler(Handler):
    """What one kernel has used."""

    @web.authenticated
    @authorized("read", resource=RESOURCE)
    async def get(self, place: str, name: str) -> None:
        """Give its last receipt, and what size would have done."""
        self.answer(await self.call(self.service.receipt, place, name))


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
    """The last delete, edit or move."""

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
    "cluster": ClusterHandler,
    "settings": SettingsHandler,
    "effective": EffectiveHandler,
    "compare": CompareHandler,
    "environments": EnvironmentsHandler,
    "environments/ready": ReadyHandler,
    "kernels": KernelsHandler,
    "kernels/{place}/{name}": KernelHandler,
    "kernels/{place}/{name}/repack": RepackHandler,
    "kernels/{place}/{name}/test": TestHandler,
    "kernels/{place}/{name}/doctor": DoctorHandler,
    "kernels/{place}/{name}/receipt": ReceiptHandler,
    "kernels/{place}/{name}/move": MoveHandler,
    "kernels/{place}/{name}/export": ExportHandler,
    "import": ImportHandler,
    "test": DraftTestHandler,
    "archives": ArchivesHandler,
    "archives/sweep": SweepHandler,
    "undo": UndoHandler,
    "tasks": TasksHandler,
    "tasks/{id}": TaskHandler,
    "tasks/{id}/resume": ResumeHandler,
}
"""The routes below our namespace, written as in the OpenAPI file."""

AUDITED = {
    ("environments/ready", "POST"): "ready",
    ("kernels", "POST"): "create",
    ("kernels/{place}/{name}", "PUT"): "edit",
    ("kernels/{place}/{name}", "DELETE"): "delete",
    ("kernels/{place}/{name}/move", "POST"): "move",
    ("kernels/{place}/{name}/repack", "POST"): "repack",
    ("kernels/{place}/{name}/test", "POST"): "test",
    ("test", "POST"): "test",
    ("archives/sweep", "POST"): "sweep",
    ("undo", "POST"): "undo",
    ("tasks/{id}", "DELETE"): "cancel",
    ("tasks/{id}/resume", "POST"): "resume",
    ("ui/{kernel}/{path}", "POST"): "kill",
    ("applications/{application}", "DELETE"): "stop",
}
"""What an audit is told of, and what it calls it."""


def url_patterns(
    service: KernelService, tasks: Tasks, routes: Mapping[str, type[Handler]] = ROUTES
) -> list[tuple[str, type[Handler], dict[str, Any]]]:
    """Give the routes as Jupyter Server takes them."""
    return [
        (
            f"/{NAMESPACE}/" + re.sub(r"\{[a-z]+\}", "([^/]+)", route.replace("{path}", "(.*)")),
            handler,
            {"service": service, "tasks": tasks, "route": route},
        )
        for route, handler in routes.items()
    ]


def task_event(task: Task) -> dict[str, Any]:
    """Give what the event of a task tells."""
    return {"schema_id": TASK_SCHEMA_ID, "data": task.model_dump(include=_TOLD)}


_TOLD = {
    *("id", "title", "state", "stage"),
    *("files_done", "files_total", "bytes_done", "bytes_total"),
}


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
