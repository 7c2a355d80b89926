"""Templates and the audit over HTTP, on a real Jupyter server that an administrator configured."""

import asyncio
import json
import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from jupyter_server.serverapp import ServerApp
from test_policy import TEMPLATE
from tornado.httpclient import HTTPClientError, HTTPResponse

from jupyterlab_pyspark_kernels.events import AUDIT_SCHEMA_ID
from jupyterlab_pyspark_kernels.handlers import AUDITED, NAMESPACE, ROUTES
from jupyterlab_pyspark_kernels.runningroute import RUNNING_ROUTES
from jupyterlab_pyspark_kernels.uiroute import UI_ROUTES

ME = pwd.getpwuid(os.getuid()).pw_name
CANARY = "c4n4ry"

ONLY_ASKS = {"preview", "cluster", "settings", "effective", "compare", "import"}
"""Routes that are asked by POST, as the question is long, and change nothing."""

Call = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
def directory(tmp_path: Path, environment: Path) -> Path:
    found = tmp_path / "templates"
    found.mkdir(mode=0o755)
    found.chmod(0o755)
    text = TEMPLATE.replace("/opt/envs/analytics", str(environment))
    (found / "analytics.yaml").write_text(text)
    return found


@pytest.fixture
def jp_server_config(directory: Path) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"jupyterlab_pyspark_kernels": True}},
        "PySparkKernels": {
            "template_directories": [str(directory)],
            "template_administrators": [ME],
            "require_template": True,
        },
    }


@pytest.fixture
def call(jp_fetch: Callable[..., Awaitable[HTTPResponse]]) -> Call:
    async def send(verb: str, route: str, body: object = None, **headers: str) -> tuple[int, Any]:
        route, _, query = route.partition("?")
        try:
            response = await jp_fetch(
                *(NAMESPACE, *route.split("/")),
                method=verb,
                params=dict(parse_qsl(query)),
                headers={"Content-Type": "application/json", **headers},
                **({"body": json.dumps(body or {})} if verb in ("POST", "PUT") else {}),
            )
        except HTTPClientError as error:
            assert error.response is not None
            response = error.response
        return response.code, json.loads(response.body) if response.body else None

    return send


@pytest.fixture
def audit(jp_serverapp: ServerApp) -> list[dict[str, Any]]:
    heard: list[dict[str, Any]] = []

    async def listen(logger: object, schema_id: str, data: dict[str, Any]) -> None:
        heard.append(data)

    logger = jp_serverapp.event_logger
    assert logger is not None
    logger.add_listener(schema_id=AUDIT_SCHEMA_ID, listener=listen)
    return heard


async def test_the_form_offers_templates(call: Call, environment: Path) -> None:
    status, form = await call("GET", "form")
    assert status == 200
    assert form["templates"]["required"] is True
    (offered,) = form["templates"]["templates"]
    assert (offered["name"], offered["title"], offered["size"]) == ("analytics", "Analytics", "S")
    rules = {rule["setting"]: rule for rule in offered["rules"]}
    assert rules["environment"]["value"] == str(environment)
    assert rules["master"]["reason"] == "There is one cluster."
    assert rules["driver_memory"]["locked"] is False
    assert (rules["driver_memory"]["min"], rules["driver_memory"]["max"]) == ("512m", "4g")
    assert rules["spark.kerberos.access.hadoopFileSystems"]["value"] == f"hdfs://nn/home/{ME}"
    assert rules["spark.sql.shuffle.partitions"]["one_of"] == ["100", "200", "400"]
    assert [size["name"] for size in offered["sizes"]] == ["S", "M"]


@pytest.mark.parametrize(
    "data",
    [
        {"executor_memory": "64g"},
        {"conf": {"spark.executor.memory": "64g"}, "executor_memory": None},
        {"conf": {"spark.yarn.executor.memoryOverhead": "64g"}},
        {"conf": {"spark.driver.extraJavaOptions": "-Dspark.scheduler.pool=root"}},
        {"env": {"SPARK_CONF_DIR": "/tmp"}},
        {"master": "yarn"},
        {"template": None},
    ],
)
async def test_every_writing_route_keeps_to_a_template(call: Call, data: dict[str, Any]) -> None:
    good = {"name": "k", "template": "analytics"}
    status, kernel = await call("POST", "kernels", good)
    assert status == 201, kernel
    assert kernel["outdated"] is None
    bad = {**kernel["config"], **data}
    match = {"If-Match": kernel["etag"]}
    other = {**bad, "name": "other", "display_name": "Other"}
    for answer in (
        await call("POST", "kernels", other),
        await call("PUT", "kernels/user/k", bad, **match),
        await call("POST", "preview?editing=true", bad),
        await call("POST", "preview", other),
        await call("POST", "test", bad),
    ):
        assert (answer[0], answer[1]["reason"]) == (403, "locked"), answer
    assert (await call("GET", "kernels/user/k"))[1]["etag"] == kernel["etag"]
    assert [one["name"] for one in (await call("GET", "kernels"))[1]] == ["k"]


async def test_no_move_and_no_import_goes_round_a_template(call: Call, directory: Path) -> None:
    _, kernel = await call("POST", "kernels", {"name": "k", "template": "analytics"})
    file = directory / "analytics.yaml"
    file.write_text(file.read_text().replace("{fixed: analytics}", "{fixed: other}"))
    move = {"name": "moved"}
    status, kernel = await call("POST", "kernels/user/k/move", move, **{"If-Match": kernel["etag"]})
    assert (status, kernel["outdated"]) == (201, None), kernel
    assert kernel["config"]["conf"]["spark.scheduler.pool"] == "other"
    _, exported = await call("GET", "kernels/user/moved/export?format=kernel")
    text = exported["text"].replace("other", "root")
    status, read = await call("POST", "import", {"text": text})
    assert (status, read["config"]["conf"]["spark.scheduler.pool"]) == (200, "root"), read
    new = {**read["config"], "name": "imported", "display_name": "Imported"}
    status, error = await call("POST", "kernels", new)
    assert (status, error["reason"]) == (403, "locked"), error
    without = {name: value for name, value in new.items() if name != "template"}
    status, error = await call("POST", "kernels", without)
    assert (status, error["errors"][0]["field"]) == (403, "template"), error
    file.unlink()
    etag = {"If-Match": kernel["etag"]}
    status, error = await call("POST", "kernels/user/moved/move", {"name": "again"}, **etag)
    assert (status, error["errors"][0]["field"]) == (403, "template"), error
    assert [one["name"] for one in (await call("GET", "kernels"))[1]] == ["moved"]


async def test_what_comes_of_a_template_is_told_where_it_counts(call: Call) -> None:
    _, kernel = await call("POST", "kernels", {"name": "k", "template": "analytics"})
    config = {**kernel["config"], "cores_max": 2}
    status, found = await call("POST", "effective", config)
    assert status == 200, found
    rows = {row["key"]: (row["origin"], row["place"]) for row in found["rows"]}
    assert rows["spark.scheduler.pool"] == ("template", "the template analytics")
    assert rows["spark.executor.memory"] == ("template", "the template analytics")
    assert rows["spark.cores.max"][0] == "form"
    assert rows["spark.app.name"][0] == "form"


async def test_an_edit_follows_a_template_that_changed(call: Call, directory: Path) -> None:
    _, kernel = await call("POST", "kernels", {"name": "k", "template": "analytics"})
    file = directory / "analytics.yaml"
    file.write_text(file.read_text().replace("{fixed: analytics}", "{fixed: other}"))
    _, kernel = await call("GET", "kernels/user/k")
    assert kernel["outdated"] == "Its template “analytics” has changed since it was made."
    match = {"If-Match": kernel["etag"]}
    status, kernel = await call(
        "PUT", "kernels/user/k", {**kernel["config"], "cores_max": 2}, **match
    )
    assert status == 200, kernel
    assert (kernel["config"]["conf"]["spark.scheduler.pool"], kernel["outdated"]) == ("other", None)
    file.unlink()
    _, kernel = await call("GET", "kernels/user/k")
    assert kernel["outdated"] == "Its template “analytics” is not there any longer."
    match = {"If-Match": kernel["etag"]}
    status, error = await call("PUT", "kernels/user/k", kernel["config"], **match)
    assert (status, error["errors"][0]["field"]) == (403, "template")
    assert (await call("DELETE", "kernels/user/k"))[0] == 204


async def test_the_audit_hears_of_all_and_no_values(
    call: Call, audit: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    said = {"env": {"MINE": CANARY}, "conf": {"spark.mine": CANARY}}
    good = {"name": "k", "template": "analytics", **said}
    _, kernel = await call("POST", "kernels", good)
    match = {"If-Match": kernel["etag"]}
    await call("PUT", "kernels/user/k", {**kernel["config"], "cores_max": 2}, **match)
    await call("PUT", "kernels/user/k", {**kernel["config"], "master": CANARY}, **match)
    await call("POST", "kernels", {**good, "name": f"{CANARY} $", "template": CANARY + "/"})
    await call("POST", "kernels/user/k/move", {"name": "m"}, **{"If-Match": "gone"})
    await call("DELETE", "kernels/user/k")
    await call("POST", "undo")
    await call("GET", "kernels")
    await asyncio.sleep(0)
    assert [(one["action"], one["outcome"], one.get("name")) for one in audit] == [
        ("create", "done", "k"),
        ("edit", "done", "k"),
        ("edit", "refused", "k"),
        ("create", "refused", None),
        ("move", "refused", "k"),
        ("delete", "done", "k"),
        ("undo", "done", "k"),
    ]
    assert {one["os_user"] for one in audit} == {ME}
    assert all(one["user"] for one in audit)
    assert audit[4]["to_name"] == "m"
    assert audit[0]["template"] == "analytics"
    assert CANARY not in json.dumps(audit)


async def test_what_is_no_utf_8_is_refused_and_heard(
    http_server_client: Any,
    jp_base_url: str,
    jp_auth_header: dict[str, str],
    audit: list[dict[str, Any]],
) -> None:
    # Written as it is sent: `jp_fetch` would escape it once more.
    with pytest.raises(HTTPClientError, match="400"):
        await http_server_client.fetch(
            f"{jp_base_url}{NAMESPACE}/kernels/user/%ff", method="DELETE", headers=jp_auth_header
        )
    await asyncio.sleep(0)
    assert [(one["action"], one["outcome"]) for one in audit] == [("delete", "refused")]


async def test_a_home_that_nobody_can_have_is_refused(call: Call) -> None:
    _, kernel = await call("POST", "kernels", {"name": "k", "template": "analytics"})
    for path in ("~a\0/x", "~\ud800/x"):
        edited = {**kernel["config"], "environment": path}
        status, answer = await call("PUT", "kernels/user/k", edited, **{"If-Match": kernel["etag"]})
        assert (status, answer["errors"][0]["field"]) == (400, "environment")
        status, answer = await call("POST", "environments/ready", {"environment": path})
        assert (status, answer["errors"][0]["field"]) == (404, "environment")


async def test_the_end_of_a_task_is_heard_as_well(call: Call, audit: list[dict[str, Any]]) -> None:
    await call("POST", "kernels", {"name": "k", "template": "analytics"})
    status, task = await call("POST", "kernels/user/k/test")
    assert status == 202
    while len(audit) < 3:
        await asyncio.sleep(0.05)
    begun, ended = audit[1:]
    assert (begun["action"], begun["outcome"], begun["task"]) == ("test", "begun", task["id"])
    assert (ended["action"], ended["task"], begun["name"]) == ("test", task["id"], "k")
    assert ended["outcome"] in ("done", "failed")


def test_everything_that_changes_something_is_audited() -> None:
    changing = {
        (route, verb.upper())
        for route, handler in (ROUTES | UI_ROUTES | RUNNING_ROUTES).items()
        for verb in ("post", "put", "delete", "patch")
        if verb in vars(handler) and route not in ONLY_ASKS
    }
    assert set(AUDITED) == changing
