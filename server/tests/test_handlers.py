"""The routes, over HTTP, on a real Jupyter server."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from tempfile import gettempdir
from typing import Any, ClassVar

import pytest
import yaml
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.serverapp import ServerApp
from kernels import free_port
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse

from jupyterlab_pyspark_kernels.capacity import ASKED_ABOUT
from jupyterlab_pyspark_kernels.events import KERNEL_SCHEMA_ID
from jupyterlab_pyspark_kernels.handlers import MAX_BODY, NAMESPACE, ROUTES
from jupyterlab_pyspark_kernels.kernel import FILES
from jupyterlab_pyspark_kernels.models import Kernel
from jupyterlab_pyspark_kernels.places import jupyter_places
from jupyterlab_pyspark_kernels.runningroute import RUNNING_ROUTES
from jupyterlab_pyspark_kernels.schemas import OPENAPI_FILE, ROOT
from jupyterlab_pyspark_kernels.service import KernelService
from jupyterlab_pyspark_kernels.uiroute import UI_ROUTES

Call = Callable[..., Awaitable[tuple[int, Any]]]

VERBS = [
    (route, verb)
    for route, handler in (ROUTES | UI_ROUTES | RUNNING_ROUTES).items()
    for verb in ("get", "post", "put", "patch", "delete")
    if verb in vars(handler)
]


class Recorder(Authorizer):
    """Writes down what it is asked, and says no when told to."""

    asked: ClassVar[list[tuple[str, str]]] = []
    deny: ClassVar[bool] = False

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.asked.append((action, resource))
        return not self.deny


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"jupyterlab_pyspark_kernels": True},
            "authorizer_class": Recorder,
        }
    }


@pytest.fixture
def call(jp_fetch: Callable[..., Awaitable[HTTPResponse]]) -> Call:
    """Send a request, and give status and JSON whatever they are."""

    async def send(verb: str, route: str, body: object = None, **options: Any) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        if verb in ("POST", "PUT"):
            raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
            options.setdefault("body", None if "body_producer" in options else raw)
        try:
            response = await jp_fetch(
                NAMESPACE, *route.split("/"), method=verb, headers=headers, **options
            )
        except HTTPClientError as error:
            assert error.response is not None
            response = error.response
        return response.code, json.loads(response.body) if response.body else None

    return send


@pytest.fixture
def config(environment: Path) -> dict[str, Any]:
    return {"display_name": "My Spark", "environment": str(environment)}


def path_of(route: str) -> str:
    return route.replace("{place}", "user").replace("{name}", "my-spark")


def written(data_dir: Path) -> list[str]:
    """The kernels that lie in the user's directory, but the one that pytest-jupyter puts there."""
    return [path.name for path in (data_dir / "kernels").glob("*") if path.name != "echo"]


async def test_a_kernel_goes_through_its_whole_life(
    call: Call, config: dict[str, Any], jp_data_dir: Path, jp_fetch: Any
) -> None:
    status, kernel = await call("POST", "kernels", {**config, "executor_memory": "4g"})
    assert status == 201
    assert (kernel["name"], kernel["place"]) == ("my-spark", "user")
    written = json.loads((jp_data_dir / "kernels" / "my-spark" / "kernel.json").read_text())
    assert written["display_name"] == "My Spark"

    # Jupyter itself lists it at once.
    listed = json.loads((await jp_fetch("api", "kernelspecs")).body)
    assert "my-spark" in listed["kernelspecs"]
    assert [k["name"] for k in (await call("GET", "kernels"))[1]] == ["my-spark"]
    assert (await call("GET", "kernels/user/my-spark")) == (200, kernel)

    edited = {**kernel["config"], "executor_memory": "8g"}
    match = {"If-Match": f'"{kernel["etag"]}"'}
    status, changed = await call("PUT", "kernels/user/my-spark", edited, headers=match)
    assert status == 200
    assert changed["config"]["executor_memory"] == "8g"
    assert (await call("PUT", "kernels/user/my-spark", edited, headers=match))[0] == 412

    assert (await call("DELETE", "kernels/user/my-spark"))[0] == 204
    assert (await call("GET", "kernels/user/my-spark"))[0] == 404
    assert (await call("POST", "undo"))[1]["config"]["executor_memory"] == "8g"
    assert (await call("POST", "undo"))[1]["config"]["executor_memory"] == "4g"
    status, error = await call("POST", "undo")
    assert (status, error["message"]) == (404, "There is nothing to undo.")


async def test_create_names_where_the_kernel_is(
    jp_fetch: Any, config: dict[str, Any], jp_base_url: str
) -> None:
    response = await jp_fetch(
        NAMESPACE,
        "kernels",
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps(config),
    )
    assert response.headers["Location"] == f"{jp_base_url}{NAMESPACE}/kernels/user/my-spark"


async def test_only_png_and_code_lie_beside_the_kernel_json(
    call: Call, config: dict[str, Any], jp_data_dir: Path
) -> None:
    """Jupyter serves every file of a kernel directory to everybody who may list kernels."""
    await call("POST", "kernels", config)
    names = {path.name for path in (jp_data_dir / "kernels" / "my-spark").iterdir()}
    ours = {"kernel.json", *FILES}
    assert names == {*ours, "logo-32x32.png", "logo-64x64.png"}


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "draft"])
async def test_a_kernel_is_tested_as_a_task(
    call: Call, config: dict[str, Any], stored: bool
) -> None:
    # Nobody listens there, so no kernel is started.
    config = {**config, "master": f"spark://127.0.0.1:{free_port()}"}
    if stored:
        await call("POST", "kernels", config)
        assert (await call("GET", "kernels/user/my-spark/doctor")) == (200, [])
        status, receipt = await call("GET", "kernels/user/my-spark/receipt")
        assert (status, receipt["receipt"], receipt["suggestion"]["changes"]) == (200, None, {})
    route = "kernels/user/my-spark/test" if stored else "test"
    status, task = await call("POST", route, {} if stored else config)
    tested = {"place": "user", "name": "my-spark"} if stored else None
    assert (status, task["kernel"]) == (202, tested)
    while task["state"] == "running":
        await asyncio.sleep(0.05)
        _, task = await call("GET", f"tasks/{task['id']}")
    assert (task["state"], task["kind"], task["kernel"]) == ("done", "test", tested)
    assert task["flight"]["passed"] is False
    assert task["flight"]["diagnoses"][0]["rule"] == "master-refuses"


async def test_what_cannot_be_tested_is_refused(call: Call, config: dict[str, Any]) -> None:
    assert (await call("POST", "kernels/user/none/test", {}))[0] == 404
    assert (await call("GET", "kernels/user/none/doctor"))[0] == 404
    assert (await call("GET", "kernels/user/none/receipt"))[0] == 404
    status, error = await call("POST", "test", {**config, "environment": "/none"})
    assert (status, error["errors"][0]["field"]) == (422, "environment")


@pytest.mark.parametrize(
    "damage",
    [
        {"argv": []},
        {"argv": ["python", 3]},
        {"env": []},
        {"env": {"PYSPARK_SUBMIT_ARGS": "--master 'yarn"}},
        {"env": {"A": "\0"}},
    ],
)
async def test_what_cannot_be_started_is_not_tested(
    call: Call, config: dict[str, Any], jp_data_dir: Path, damage: dict[str, Any]
) -> None:
    status, kernel = await call("POST", "kernels", config)
    assert status == 201
    file = jp_data_dir / "kernels" / kernel["name"] / "kernel.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **damage}))
    status, answer = await call("POST", f"kernels/user/{kernel['name']}/test", {})
    assert (status, answer["errors"][0]["field"]) == (403, "name")
    assert "cannot be started" in answer["message"]
    assert "Repair its kernel.json" in answer["message"]


async def test_an_edit_keeps_what_others_added(
    call: Call, config: dict[str, Any], jp_data_dir: Path
) -> None:
    await call("POST", "kernels", config)
    file = jp_data_dir / "kernels" / "my-spark" / "kernel.json"
    spec = json.loads(file.read_text())
    spec["env"]["ADDED"] = "by hand"
    file.write_text(json.dumps(spec))
    _, kernel = await call("GET", "kernels/user/my-spark")
    assert kernel["edited_by_hand"] is True
    await call(
        "PUT", "kernels/user/my-spark", kernel["config"], headers={"If-Match": kernel["etag"]}
    )
    assert json.loads(file.read_text())["env"]["ADDED"] == "by hand"


async def test_the_form_says_what_a_dialog_needs(call: Call, jp_data_dir: Path) -> None:
    status, form = await call("GET", "form")
    assert status == 200
    assert list(form["schema"]["properties"]) == form["uiSchema"]["ui:order"]
    layout = form["uiSchema"]
    asked = {name for name in layout["ui:order"] if layout[name]["ui:options"]["figures"]}
    assert asked == ASKED_ABOUT
    assert form["schema"]["required"] == ["display_name", "environment"]
    user = form["places"][0]
    assert user == {
        "id": "user",
        "kernels": str(jp_data_dir / "kernels"),
        "shared": False,
        "reason": None,
    }
    assert all(place["shared"] for place in form["places"][1:])


async def test_a_preview_shows_and_advises_and_writes_nothing(
    call: Call, config: dict[str, Any], jp_data_dir: Path
) -> None:
    status, preview = await call("POST", "preview", {**config, "master": "spark://h:7077"})
    assert status == 200
    assert preview["name"] == "my-spark"
    assert "spark://h:7077" in preview["kernel_json"]["env"]["PYSPARK_SUBMIT_ARGS"]
    assert [remark["field"] for remark in preview["advice"]] == ["cores_max"]
    assert written(jp_data_dir) == []


async def test_what_is_created_is_what_was_previewed(
    call: Call, config: dict[str, Any], jp_data_dir: Path
) -> None:
    _, preview = await call("POST", "preview", config)
    await call("POST", "kernels", config)
    file = jp_data_dir / "kernels" / "my-spark" / "kernel.json"
    assert json.loads(file.read_text()) == preview["kernel_json"]


async def test_environments_are_found_without_running_them(
    call: Call, environment: Path, jp_serverapp: ServerApp, tmp_path: Path
) -> None:
    (Path(jp_serverapp.root_dir) / ".venv").symlink_to(environment)
    status, found = await call("GET", "environments")
    assert status == 200
    first = found["environments"][0]
    assert found["unanswered"] == []
    assert first["path"] == f"{jp_serverapp.root_dir}/.venv"
    assert first["packages"] == {"ipykernel": "7.4.0", "pyspark": "4.3.0", "py4j": "0.10.9.9"}
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"name": ".."}, 400, "name"),
        ({"name": "python3"}, 409, "name"),
        ({"display_name": ""}, 400, "display_name"),
        ({"display_name": "x" * 101}, 400, "display_name"),
        ({"executor_memory": "4g --conf spark.x=y"}, 400, "executor_memory"),
        ({"environment": "/nowhere"}, 422, "environment"),
        ({"spark_home": "/"}, 422, "spark_home"),
        ({"place": "nowhere"}, 400, "place"),
        ({"unknown": 1}, 400, ""),
    ],
)
async def test_a_refusal_names_field_value_and_remedy(
    call: Call, config: dict[str, Any], jp_data_dir: Path, change: Any, status: int, field: str
) -> None:
    for route in ("kernels", "preview"):
        got, error = await call("POST", route, {**config, **change})
        assert (got, [item["field"] for item in error["errors"]]) == (status, [field])
        assert error["message"] == error["errors"][0]["message"]
        assert error["message"].endswith(".")
    assert written(jp_data_dir) == []


async def test_a_name_or_label_that_is_taken_is_never_shadowed(
    call: Call, config: dict[str, Any], jp_data_dir: Path, jp_env_jupyter_path: Path
) -> None:
    elsewhere = jp_env_jupyter_path / "kernels" / "Shared"
    elsewhere.mkdir(parents=True)
    spec = {"argv": ["x"], "display_name": "Shared Kernel", "language": "python"}
    (elsewhere / "kernel.json").write_text(json.dumps(spec))
    status, error = await call("POST", "kernels", {**config, "name": "shared"})
    assert (status, error["errors"][0]["field"]) == (409, "name")
    assert str(elsewhere) in error["message"]
    for label in ("Shared Kernel", "shared  kernel", "Ｓhared Kernel"):  # noqa: RUF001
        status, error = await call(
            "POST", "kernels", {**config, "display_name": label, "name": "x"}
        )
        assert (status, error["errors"][0]["field"]) == (409, "display_name")
    assert written(jp_data_dir) == []


@pytest.mark.parametrize("hidden", [False, True])
async def test_the_native_kernel_is_never_shadowed_in_any_place(
    call: Call, config: dict[str, Any], jp_serverapp: ServerApp, hidden: bool
) -> None:
    assert jp_serverapp.kernel_spec_manager is not None
    if hidden:
        jp_serverapp.kernel_spec_manager.allowed_kernelspecs = {"my-spark"}
    places = [place["id"] for place in (await call("GET", "form"))[1]["places"]]
    assert len(places) > 1
    for place in places:
        for route in ("preview", "kernels"):
            status, error = await call("POST", route, {**config, "name": "python3", "place": place})
            field = error["errors"][0]["field"]
            # A place that this user cannot write to is refused as a place.
            assert (status, field) in {(409, "name"), (403, "place")}
            assert field == "name" or place != "user"


@pytest.mark.parametrize(
    "jp_server_config",
    [
        {
            "ServerApp": {"jpserver_extensions": {"jupyterlab_pyspark_kernels": True}},
            "PySparkKernels": {"may_share": ["nobody", "@nobody-of-this-name"]},
        }
    ],
)
async def test_the_administrators_list_is_obeyed_by_everything_that_writes(
    call: Call, config: dict[str, Any], jp_env_jupyter_path: Path
) -> None:
    kernels = str(jp_env_jupyter_path / "kernels")
    unbounded = KernelService(KernelSpecManager(), jupyter_places)
    (place,) = [place.id for place in unbounded.places() if str(place.kernels) == kernels]
    kernel = unbounded.create({**config, "place": place})
    change = {**config, "name": "my-spark", "place": place, "executor_memory": "3g"}
    assert isinstance(kernel, Kernel)
    edited = unbounded.edit(place, "my-spark", change, kernel.etag)
    assert isinstance(edited, Kernel)

    route = f"kernels/{place}/my-spark"
    new = {**config, "name": "new", "display_name": "New", "place": place}
    before = sorted(jp_env_jupyter_path.rglob("*"))
    for verb, path, body, options in [
        ("POST", "kernels", new, {}),
        ("POST", "preview", new, {}),
        ("PUT", route, {**change, "executor_memory": "4g"}, {"headers": {"If-Match": edited.etag}}),
        ("DELETE", route, None, {}),
        ("POST", "undo", None, {"params": {"place": place}}),
    ]:
        status, error = await call(verb, path, body, **options)
        assert (status, error["errors"][0]["field"]) == (403, "place"), (verb, path)
        assert "among those who may share kernels" in error["message"]
    assert sorted(jp_env_jupyter_path.rglob("*")) == before
    assert (await call("GET", route))[1]["writable"] is False
    own = {**config, "name": "own", "display_name": "Own"}
    assert (await call("POST", "kernels", own))[0] == 201


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"NaN",
        b'{"executor_cores": NaN}',
        b'{"executor_cores": 1e999}',
        b'{"display_name": "\xff"}',
        b'{"name": "a", "name": "b"}',
        b'{"display_name": "\\ud800"}',
        b'{"display_name": "a\\u0000b"}',
        b"[" * 100_000,
    ],
)
async def test_a_body_that_is_not_json_is_refused(
    call: Call, jp_data_dir: Path, body: bytes
) -> None:
    status, error = await call("POST", "kernels", body=body)
    assert status == 400
    assert error["message"]
    assert "Traceback" not in json.dumps(error)
    assert written(jp_data_dir) == []


async def test_a_body_of_another_kind_is_refused(call: Call, config: dict[str, Any]) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        status, error = await call("POST", "kernels", config, headers={"Content-Type": kind})
        assert (status, error["reason"]) == (415, "not-json")


@pytest.mark.parametrize("length", [MAX_BODY + 1, 20 * MAX_BODY])
async def test_a_body_that_is_too_large_is_refused(call: Call, length: int) -> None:
    status, error = await call("POST", "kernels", body=b" " * length)
    assert (status, error["reason"]) == (413, "too-large")


@pytest.mark.parametrize(
    ("headers", "length", "status"),
    [
        ({}, 2, 403),
        ({"Authorization": "token {token}", "Content-Type": "text/plain"}, 2, 415),
        ({"Authorization": "token {token}"}, 20 * MAX_BODY, 413),
    ],
    ids=["a stranger", "no JSON", "too large"],
)
async def test_a_refusal_leaves_the_connection_to_whoever_still_sends(
    call: Call,
    jp_serverapp: ServerApp,
    jp_http_port: int,
    headers: dict[str, str],
    length: int,
    status: int,
) -> None:
    # A proxy that is cut off while it sends a body answers 503 by itself.
    token = jp_serverapp.identity_provider.token
    given = {name: value.format(token=token) for name, value in headers.items()}
    sent = {"Content-Type": "application/json", **given}

    def ask() -> list[tuple[int, bool]]:
        connection = HTTPConnection("127.0.0.1", jp_http_port, timeout=60)
        answers = []
        for _ in range(2):
            route = f"{jp_serverapp.base_url}{NAMESPACE}/kernels"
            connection.request("POST", route, b" " * length, sent)
            answer = connection.getresponse()
            answers.append((answer.status, answer.will_close))
            answer.read()
        connection.close()
        return answers

    assert await asyncio.to_thread(ask) == [(status, False)] * 2
    assert (await call("GET", "kernels"))[1] == []


async def test_a_body_of_unknown_length_is_cut_off(call: Call) -> None:
    async def produce(write: Callable[[bytes], Awaitable[None]]) -> None:
        for _ in range(10):
            await write(b" " * (MAX_BODY // 2))

    status, error = await call("POST", "kernels", body_producer=produce)
    assert (status, error["reason"]) == (413, "too-large")


async def test_kernels_of_others_are_not_touched(call: Call, jp_data_dir: Path) -> None:
    foreign = jp_data_dir / "kernels" / "foreign"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text('{"argv": ["x"], "display_name": "R", "language": "R"}')
    assert (await call("GET", "kernels"))[1] == []
    assert (await call("GET", "kernels/user/foreign"))[0] == 404
    assert (await call("DELETE", "kernels/user/foreign"))[0] == 403
    assert (foreign / "kernel.json").exists()


@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2f..", "a%00b"])
async def test_no_address_leaves_the_kernels_directory(
    call: Call, jp_data_dir: Path, name: str
) -> None:
    (jp_data_dir / "kernel.json").write_text("{}")
    for verb in ("GET", "DELETE"):
        status, _ = await call(verb, f"kernels/user/{name}")
        assert status in (400, 404)
    assert (jp_data_dir / "kernel.json").exists()


async def test_a_broken_kernel_is_listed_with_its_reason(call: Call, jp_data_dir: Path) -> None:
    broken = jp_data_dir / "kernels" / "broken"
    broken.mkdir(parents=True)
    (broken / "kernel.json").write_text("{")
    (kernel,) = (await call("GET", "kernels"))[1]
    assert kernel["name"] == "broken"
    assert "not JSON" in kernel["problem"]


async def test_every_change_is_told_to_every_window(
    call: Call, config: dict[str, Any], jp_serverapp: ServerApp
) -> None:
    seen: list[dict[str, Any]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        seen.append(data)

    assert jp_serverapp.event_logger is not None
    jp_serverapp.event_logger.add_listener(schema_id=KERNEL_SCHEMA_ID, listener=listen)
    _, kernel = await call("POST", "kernels", config)
    await call("PUT", "kernels/user/my-spark", config, headers={"If-Match": kernel["etag"]})
    await call("DELETE", "kernels/user/my-spark")
    await call("POST", "undo")
    await jp_serverapp.event_logger.gather_listeners()
    assert [event["action"] for event in seen] == ["create", "edit", "delete", "undo"]
    assert {event["name"] for event in seen} == {"my-spark"}


# --- moving, exporting, importing ----------------------------------------------------------------


@pytest.fixture
def shared(jp_env_jupyter_path: Path) -> str:
    """The id of a shared place."""
    return re.sub(r"[^a-z0-9]+", "-", str(jp_env_jupyter_path).lower()).strip("-")


async def test_a_kernel_is_renamed_and_undone(
    call: Call, config: dict[str, Any], jp_data_dir: Path, jp_fetch: Any
) -> None:
    _, kernel = await call("POST", "kernels", {**config, "executor_memory": "4g"})
    file = jp_data_dir / "kernels" / "my-spark" / "kernel.json"
    spec = json.loads(file.read_text())
    spec["env"]["ADDED"] = "by hand"
    spec["metadata"]["pyspark_kernels"]["created_by"] = "somebody"
    file.write_text(json.dumps(spec))
    _, kernel = await call("GET", "kernels/user/my-spark")
    match = {"If-Match": f'"{kernel["etag"]}"'}
    wish = {"name": "other", "display_name": "Other"}
    status, moved = await call("POST", "kernels/user/my-spark/move", wish, headers=match)
    assert status == 201
    assert (moved["name"], moved["display_name"], moved["place"]) == ("other", "Other", "user")
    assert moved["created_by"] == "somebody"
    assert moved["config"] == {**kernel["config"], "name": "other", "display_name": "Other"}
    assert written(jp_data_dir) == ["other"]
    spec = json.loads((jp_data_dir / "kernels" / "other" / "kernel.json").read_text())
    assert (spec["env"]["ADDED"], spec["display_name"]) == ("by hand", "Other")
    listed = json.loads((await jp_fetch("api", "kernelspecs")).body)["kernelspecs"]
    assert "other" in listed
    assert "my-spark" not in listed
    # Whoever asks for the kernel by its new name means the same change.
    status, back = await call("POST", "undo", params={"place": "user", "name": "other"})
    assert (status, back["name"], back["etag"]) == (200, "my-spark", kernel["etag"])
    assert written(jp_data_dir) == ["my-spark"]


async def test_a_label_alone_is_an_edit(call: Call, config: dict[str, Any]) -> None:
    _, kernel = await call("POST", "kernels", config)
    match = {"If-Match": kernel["etag"]}
    wish = {"display_name": "Other", "name": None}
    status, moved = await call("POST", "kernels/user/my-spark/move", wish, headers=match)
    assert (status, moved["name"], moved["display_name"]) == (201, "my-spark", "Other")


async def test_a_kernel_is_promoted_and_undone(
    call: Call, config: dict[str, Any], jp_data_dir: Path, jp_env_jupyter_path: Path, shared: str
) -> None:
    _, kernel = await call("POST", "kernels", config)
    match = {"If-Match": kernel["etag"]}
    status, moved = await call(
        "POST", "kernels/user/my-spark/move", {"place": shared}, headers=match
    )
    assert (status, moved["place"], moved["name"]) == (201, shared, "my-spark")
    assert written(jp_data_dir) == []
    for path in (jp_env_jupyter_path / "kernels" / "my-spark").iterdir():
        assert path.stat().st_mode & 0o777 == 0o644
    status, back = await call("POST", "undo", params={"place": shared, "name": "my-spark"})
    assert (status, back["place"], back["etag"]) == (200, "user", kernel["etag"])
    assert not (jp_env_jupyter_path / "kernels" / "my-spark").exists()


@pytest.mark.parametrize(
    ("wish", "status", "field"),
    [
        ({}, 400, ""),
        ([], 400, ""),
        ({"name": 1}, 400, "name"),
        ({"conf": {}}, 400, ""),
        ({"name": ".."}, 400, "name"),
        ({"name": "python3"}, 409, "name"),
        ({"name": "taken"}, 409, "name"),
        ({"display_name": "taken"}, 409, "display_name"),
        ({"name": "free", "display_name": "Taken"}, 409, "display_name"),
        ({"place": "nowhere"}, 400, "place"),
    ],
)
async def test_a_move_that_cannot_be_is_refused(
    call: Call, config: dict[str, Any], jp_data_dir: Path, wish: Any, status: int, field: str
) -> None:
    _, kernel = await call("POST", "kernels", config)
    await call("POST", "kernels", {**config, "display_name": "taken"})
    match = {"If-Match": kernel["etag"]}
    got, error = await call("POST", "kernels/user/my-spark/move", wish, headers=match)
    assert (got, [item["field"] for item in error["errors"]]) == (status, [field])
    assert error["message"].endswith(".")
    assert set(written(jp_data_dir)) == {"my-spark", "taken"}


async def test_a_move_needs_the_version_that_it_means(
    call: Call, config: dict[str, Any], jp_data_dir: Path
) -> None:
    await call("POST", "kernels", config)
    route, wish = "kernels/user/my-spark/move", {"name": "other"}
    assert (await call("POST", route, wish))[0] == 400
    assert (await call("POST", route, wish, headers={"If-Match": '"old"'}))[0] == 412
    assert (await call("POST", "kernels/user/none/move", wish, headers={"If-Match": "x"}))[0] == 404
    assert written(jp_data_dir) == ["my-spark"]


@pytest.fixture
def opened(environment: Path, jp_env_jupyter_path: Path) -> Iterator[None]:
    """Folders that are as open as those of a machine; pytest's are closed to others."""
    temporary = Path(gettempdir())
    paths = [environment, jp_env_jupyter_path]
    paths += {
        folder
        for path in paths
        for folder in path.parents
        if folder.is_relative_to(temporary) and folder != temporary
    }
    before = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(0o755)
    yield
    for path, mode in before.items():
        path.chmod(mode)


async def test_what_others_could_not_start_is_not_promoted(
    call: Call,
    config: dict[str, Any],
    environment: Path,
    jp_env_jupyter_path: Path,
    shared: str,
    opened: None,
) -> None:
    closed = environment / "bin"
    closed.chmod(0o700)
    _, kernel = await call("POST", "kernels", config)
    match = {"If-Match": kernel["etag"]}
    route = "kernels/user/my-spark/move"
    status, error = await call("POST", route, {"place": shared}, headers=match)
    assert (status, error["errors"][0]["field"]) == (422, "environment")
    assert f"{closed} is closed to them" in error["message"]
    assert (await call("GET", route.removesuffix("/move")))[0] == 200
    closed.chmod(0o755)
    assert (await call("POST", route, {"place": shared}, headers=match))[0] == 201


async def test_what_was_written_by_hand_is_shown_copied_and_exported_only(
    call: Call, config: dict[str, Any], jp_data_dir: Path
) -> None:
    hand = jp_data_dir / "kernels" / "by_hand"
    hand.mkdir(parents=True)
    spec = {
        "argv": [f"{config['environment']}/bin/python", "-m", "ipykernel"],
        "display_name": "By Hand",
        "language": "python",
        "env": {"PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell"},
    }
    (hand / "kernel.json").write_text(json.dumps(spec))
    (kernel,) = (await call("GET", "kernels"))[1]
    assert (kernel["ours"], kernel["writable"], kernel["broken"]) == (False, False, None)
    route, match = "kernels/user/by_hand", {"If-Match": kernel["etag"]}
    moving = await call("POST", f"{route}/move", {"name": "x"}, headers=match)
    editing = await call("PUT", route, kernel["config"], headers=match)
    testing = await call("POST", f"{route}/test")
    for status, _ in (moving, editing, testing, await call("DELETE", route)):
        assert status == 403
    assert json.loads((hand / "kernel.json").read_text()) == spec
    status, exported = await call("GET", f"{route}/export", params={"format": "spark-submit"})
    assert (status, "--master yarn" in exported["text"]) == (200, True)
    copy = {**kernel["config"], "name": "copied", "display_name": "Copied"}
    assert (await call("POST", "kernels", copy))[0] == 201


async def test_a_kernel_goes_out_and_comes_back(call: Call, config: dict[str, Any]) -> None:
    given = {**config, "conf": {"spark.a": "b c"}, "env": {"X": "$Y"}, "executor_memory": "4g"}
    _, kernel = await call("POST", "kernels", given)
    status, exported = await call("GET", "kernels/user/my-spark/export")
    assert (status, exported["format"]) == (200, "kernel")
    status, found = await call("POST", "import", {"text": exported["text"]})
    assert (status, found["remarks"]) == (200, [])
    # What is empty is left out of a draft.
    filled = {field: value for field, value in kernel["config"].items() if value != {}}
    assert {**found["config"], "place": "user"} == filled
    assert (await call("GET", "kernels/user/my-spark/export", params={"format": "x"}))[0] == 400
    assert (await call("GET", "kernels/user/none/export"))[0] == 404


@pytest.mark.parametrize(
    "body", [{}, {"text": 1}, [], {"text": ""}, {"text": "ls"}, {"text": "{" * 1000}]
)
async def test_text_that_describes_no_kernel_is_refused(call: Call, body: Any) -> None:
    status, error = await call("POST", "import", body)
    assert status == 400
    assert error["message"].endswith(".")


# --- who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
@pytest.mark.parametrize(("route", "verb"), VERBS)
async def test_nobody_gets_in_without_a_token(
    route: str,
    verb: str,
    kind: str,
    http_server_client: AsyncHTTPClient,
    jp_base_url: str,
    jp_serverapp: Any,
) -> None:
    body = "{}" if verb in ("post", "put") else None
    with pytest.raises(HTTPClientError) as caught:
        await http_server_client.fetch(
            f"{jp_base_url}{NAMESPACE}/{path_of(route)}",
            method=verb.upper(),
            headers={"Content-Type": kind},
            follow_redirects=False,
            body=body,
        )
    assert caught.value.code == 403


async def test_a_cluster_tells_its_figures_or_that_it_does_not_answer(call: Call) -> None:
    status, report = await call("POST", "cluster", {"master": "local-cluster[2,1,1024]"})
    assert (status, report["fit"]["now"], report["capacity"]["node_count"]) == (200, 2, 2)
    conf = {"spark.master.ui.port": str(free_port())}
    dead = {"master": "spark://127.0.0.1:7077", "conf": conf}
    status, report = await call("POST", "cluster", dead)
    assert (status, report["capacity"]) == (200, None)
    assert "refuses the connection" in report["problem"]
    status, error = await call("POST", "cluster", {"master": "nonsense"})
    assert (status, error["errors"][0]["field"]) == (400, "master")


async def test_an_effective_configuration_says_where_values_come_from(
    call: Call, config: dict[str, Any], spark_home: Path
) -> None:
    (spark_home / "conf").mkdir()
    (spark_home / "conf" / "spark-defaults.conf").write_text("spark.ui.port 1\nspark.my.token x")
    draft = {**config, "display_name": "", "spark_home": str(spark_home), "cores_max": 2}
    status, found = await call("POST", "effective", draft)
    assert (status, found["spark_version"]) == (200, None)
    rows = {row["key"]: row for row in found["rows"]}
    assert (rows["spark.cores.max"]["value"], rows["spark.cores.max"]["origin"]) == ("2", "form")
    assert rows["spark.ui.port"]["origin"] == "spark-defaults.conf"
    assert rows["spark.my.token"]["value"] == "*********(redacted)"
    assert rows["spark.executorEnv.PYTHONHASHSEED"]["origin"] == "launcher"
    status, error = await call("POST", "effective", {**draft, "environment": "/none"})
    assert (status, error["errors"][0]["field"]) == (422, "environment")


async def test_what_has_no_jars_is_not_asked_for_its_settings(
    call: Call, config: dict[str, Any]
) -> None:
    status, error = await call("POST", "settings", config)
    assert (status, error["errors"][0]["field"]) == (422, "environment")
    assert "holds no jars of Spark" in error["message"]
    assert (await call("POST", "settings", []))[0] == 400
    assert (await call("POST", "settings", {}))[1]["errors"][0]["field"] == "environment"


async def test_two_kernels_are_compared(call: Call, config: dict[str, Any]) -> None:
    for name in ("a", "b"):
        await call("POST", "kernels", {**config, "display_name": name, "conf": {"spark.x": name}})
    left, right = ({"place": "user", "name": name} for name in ("a", "b"))
    status, found = await call("POST", "compare", {"left": left, "right": right})
    assert status == 200
    assert [row["field"] for row in found["rows"] if not row["same"]] == ["display_name", "spark.x"]
    missing = {"left": left, "right": {**right, "name": "c"}}
    assert (await call("POST", "compare", missing))[0] == 404
    bodies: list[object] = [{}, {"left": left}, {"left": left, "right": {"name": 1}}]
    for wrong in bodies:
        status, error = await call("POST", "compare", wrong)
        assert (status, "Send left and right" in error["message"]) == (400, True)


@pytest.mark.parametrize(("route", "verb"), VERBS)
async def test_the_authorizer_is_asked_by_name_and_obeyed(
    call: Call, route: str, verb: str, monkeypatch: pytest.MonkeyPatch, jp_data_dir: Path
) -> None:
    monkeypatch.setattr(Recorder, "asked", [])
    monkeypatch.setattr(Recorder, "deny", True)
    assert (await call(verb.upper(), path_of(route)))[0] == 403
    asks = route in ("preview", "effective", "compare", "import")
    action = "read" if verb == "get" or asks else "write"
    # They reach into the network, start a Spark, or end one or what it does.
    kills = verb in ("post", "delete") and route.startswith(("ui/", "applications/"))
    runs = kills or route in ("cluster", "settings") or route.endswith("test")
    action = "execute" if runs else action
    assert Recorder.asked == [(action, "pyspark_kernels")]
    assert written(jp_data_dir) == []


async def test_the_api_description_has_exactly_the_live_routes() -> None:
    described = yaml.safe_load((ROOT / OPENAPI_FILE).read_text())["paths"]
    live = {f"/{route}" for route in ROUTES | UI_ROUTES | RUNNING_ROUTES}
    assert set(described) == live
    for route, verb in VERBS:
        assert verb in described[f"/{route}"]
    verbs = {(path[1:], verb) for path, item in described.items() for verb in item}
    assert {pair for pair in verbs if pair[1] != "parameters"} == set(VERBS)
