"""What docs/threats.md promises, where no other file tests it.

The routes are those of the running server: one that is added is in every test at once.
"""

import errno
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Any, ClassVar, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_escape
from kernels import LIMIT_SECONDS, free_port, running, wait_until
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.routing import PathMatches, Router, Rule, RuleRouter

from jupyterlab_pyspark_kernels import store
from jupyterlab_pyspark_kernels.area import area_path
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.errors import Invalid, KernelError
from jupyterlab_pyspark_kernels.handlers import NAMESPACE, RESOURCE
from jupyterlab_pyspark_kernels.kernel import contents
from jupyterlab_pyspark_kernels.places import directory_place
from jupyterlab_pyspark_kernels.render import interpreter, render, submit_args
from jupyterlab_pyspark_kernels.schemas import OPENAPI_FILE, ROOT
from jupyterlab_pyspark_kernels.secrecy import check_secrets

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
XSRF = "00ff"


class Recorder(Authorizer):
    """Writes down what it is asked, and says no when told to."""

    asked: ClassVar[list[tuple[str, str]]] = []
    deny: ClassVar[bool] = False

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        if resource == RESOURCE or NAMESPACE in handler.request.path:
            self.asked.append((action, resource))
        return not self.deny


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    monkeypatch.setattr(Recorder, "asked", [])
    monkeypatch.setattr(Recorder, "deny", False)
    return Recorder


@pytest.fixture
def jp_server_config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": {"jupyterlab_pyspark_kernels": True},
            "authorizer_class": Recorder,
            **getattr(request, "param", {}),
        }
    }


# --- the live routes ----------------------------------------------------------------------------


_GROUP = r"\(\[\^/\]\+\)|\(\.\*\)"
"""The groups of our patterns: one segment of a path, or all that is left of it."""


@dataclass(frozen=True)
class Route:
    """A route of the running server.

    Attributes:
        pattern: the regular expression that tornado matches paths with.
        handler: what answers.

    """

    pattern: str
    handler: type[Any]

    def path(self, *parts: str) -> str:
        """Give a path that it answers, with these parts in place of its groups."""
        remaining = iter(parts)
        head, *rest = re.split(_GROUP, self.pattern.rstrip("$"))
        return head.replace("\\", "") + "".join(next(remaining) + piece for piece in rest)

    @property
    def groups(self) -> int:
        return len(re.findall(_GROUP, self.pattern))

    @property
    def verbs(self) -> list[str]:
        """The verbs that are its own."""
        return [verb for verb in VERBS if verb.lower() in vars(self.handler)]

    @property
    def address(self) -> str:
        """A path of this route that the form of its parts allows."""
        return self.path(*(["user", "my-spark"] if self.groups == 2 else ["0" * 32]))


def rules(router: Router) -> Iterator[Rule]:
    if isinstance(router, RuleRouter):
        for rule in router.rules:
            yield rule
            if isinstance(rule.target, Router):
                yield from rules(rule.target)


def live_routes(server: ServerApp) -> list[Route]:
    """Every route below our namespace, as tornado has it."""
    app = server.web_app
    found = {
        rule.matcher.regex.pattern: rule.target
        for router in (app.default_router, app.wildcard_router)
        for rule in rules(router)
        if isinstance(rule.matcher, PathMatches) and NAMESPACE in rule.matcher.regex.pattern
    }
    return [Route(pattern, handler) for pattern, handler in found.items()]


@pytest.fixture
def routes(jp_serverapp: ServerApp) -> list[Route]:
    found = live_routes(jp_serverapp)
    assert len(found) > 10
    return found


Send = Callable[..., Awaitable[HTTPResponse]]
LogIn = Callable[[], Awaitable[dict[str, str]]]


@pytest.fixture
def send(http_server_client: AsyncHTTPClient, jp_serverapp: ServerApp) -> Send:
    """Send a request as it is, and give the answer whatever it is."""

    async def send(verb: str, path: str, headers: dict[str, str], body: str = "{}") -> HTTPResponse:
        return await http_server_client.fetch(
            path,
            method=verb,
            headers={"Content-Type": "application/json", **headers},
            body=body if verb in CHANGING else None,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            raise_error=False,
        )

    return send


@pytest.fixture
def log_in(send: Send, jp_serverapp: ServerApp, jp_base_url: str, jp_http_port: int) -> LogIn:
    """Log in, and give what a person's browser then sends along."""

    async def log_in() -> dict[str, str]:
        token = jp_serverapp.identity_provider.token
        # Without a token, only reading from a page of the same server gives a cookie.
        referer = {"Referer": f"http://127.0.0.1:{jp_http_port}/lab"}
        answer = await send("GET", f"{jp_base_url}api/status?token={token}", referer)
        cookies = [line.partition(";")[0] for line in answer.headers.get_list("Set-Cookie")]
        return {
            "Cookie": "; ".join([*cookies, f"_xsrf={XSRF}"]),
            "X-XSRFToken": XSRF,
            "Origin": f"http://127.0.0.1:{jp_http_port}",
        }

    return log_in


# --- who gets in --------------------------------------------------------------------------------

# A request that is wrong in one way, made of what the browser of a person sends, and the verbs it
# matters for: reading changes nothing, so that another page may ask for it and is not answered.
WRONG: dict[str, tuple[dict[str, str | None], tuple[str, ...]]] = {
    "anonymous": ({"Cookie": f"_xsrf={XSRF}"}, VERBS),
    "forged cookie": ({"Cookie": f"username-127-0-0-1=me; _xsrf={XSRF}"}, VERBS),
    "wrong token": ({"Cookie": f"_xsrf={XSRF}", "Authorization": "token 0"}, VERBS),
    "no XSRF": ({"X-XSRFToken": None}, CHANGING),
    "wrong XSRF": ({"X-XSRFToken": "0000"}, CHANGING),
    "foreign Origin": ({"Origin": "http://evil.example"}, (*CHANGING, "GET", "HEAD")),
    "no Origin": ({"Origin": "null"}, (*CHANGING, "GET", "HEAD")),
    "foreign Host": ({"Host": "evil.example"}, VERBS),
}
NOT_LOGGED_IN = ("anonymous", "forged cookie", "wrong token")


def changed(headers: dict[str, str], change: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in {**headers, **change}.items() if value is not None}


@pytest.mark.parametrize(
    ("jp_server_config", "columns"),
    [
        ({}, list(WRONG)),
        ({"allow_unauthenticated_access": True}, list(WRONG)),
        ({"allow_unauthenticated_access": False}, list(WRONG)),
        # Without a token everybody is logged in, and foreign pages are kept out all the same.
        ({"token": ""}, [name for name in WRONG if name not in NOT_LOGGED_IN]),
    ],
    indirect=["jp_server_config"],
    ids=["default", "lenient", "strict", "without token"],
)
async def test_every_route_refuses_every_wrong_request(
    routes: list[Route],
    send: Send,
    log_in: LogIn,
    recorder: type[Recorder],
    jp_data_dir: Path,
    columns: list[str],
) -> None:
    browser = await log_in()
    before = snapshot(jp_data_dir)
    answers = {
        (name, verb, route.pattern): await send(verb, route.address, changed(browser, wrong))
        for name, (wrong, verbs) in WRONG.items()
        if name in columns
        for route in routes
        for verb in verbs
    }
    codes = {key: answer.code for key, answer in answers.items()}
    assert {key: code for key, code in codes.items() if code not in (403, 404)} == {}
    # 404 is what Jupyter says to foreign pages, never that something was looked for.
    foreign = ("foreign Origin", "no Origin")
    assert {key[0] for key, code in codes.items() if code == 404} <= set(foreign)
    assert recorder.asked == []
    assert snapshot(jp_data_dir) == before


async def test_the_authorizer_decides_on_every_route(
    routes: list[Route],
    send: Send,
    log_in: LogIn,
    recorder: type[Recorder],
    jp_data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "deny", True)
    browser = await log_in()
    before = snapshot(jp_data_dir)
    for route in routes:
        for verb in VERBS[:-1]:
            recorder.asked.clear()
            answer = await send(verb, route.address, browser)
            if verb not in route.verbs:
                assert (answer.code, recorder.asked) == (405, []), (verb, route)
                assert answer.headers["Allow"] == ", ".join(route.verbs)
                continue
            assert answer.code == 403, (verb, route)
            ((action, resource),) = recorder.asked
            assert resource == RESOURCE
            assert action == "read" if verb == "GET" else action in ("read", "write", "execute")
    assert snapshot(jp_data_dir) == before


async def test_a_browser_that_is_logged_in_gets_in(
    routes: list[Route], send: Send, log_in: LogIn, recorder: type[Recorder]
) -> None:
    """Otherwise the requests above would be refused for a reason of their own."""
    browser = await log_in()
    for route in routes:
        for verb in route.verbs:
            recorder.asked.clear()
            await send(verb, route.address, browser, body="[]")
            assert len(recorder.asked) == 1, (verb, route)


async def test_every_handler_is_jupyters_own_kind(routes: list[Route]) -> None:
    """A plain handler of tornado checks neither Host nor Origin."""
    assert all(issubclass(route.handler, APIHandler) for route in routes)


def snapshot(directory: Path) -> dict[str, Any]:
    """Everything below a directory, with content, mode and target."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else "",
        )
        for path in directory.rglob("*")
    }


# --- what is sent -------------------------------------------------------------------------------

EXAMPLES = int(os.environ.get("PYSPARK_KERNELS_TEST_EXAMPLES", "25"))
"""How many requests of each kind are made up for each operation."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A Jupyter server in a process of its own; gives its address, without authentication."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        *(f"--port={port}", "--port-retries=0", "--IdentityProvider.token="),
        *("--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={tmp_path}"),
        "--ServerApp.jpserver_extensions={'jupyterlab_pyspark_kernels': True}",
    ]
    folders = {
        f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("DATA", "CONFIG", "RUNTIME")
    }
    environment = {**os.environ, **folders, "PYTHONPATH": os.pathsep.join(sys.path)}
    address = f"http://127.0.0.1:{port}/{NAMESPACE}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(f"{address}/tasks"))
        yield address
    finally:
        process.terminate()
        process.wait()


def answers(address: str) -> bool:
    try:
        with urlopen(address) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def described_here(environment: Path) -> dict[str, Any]:
    """The API description, narrowed to what this machine has, so that requests can succeed."""
    description: dict[str, Any] = yaml.safe_load((ROOT / OPENAPI_FILE).read_text())
    config = description["components"]["schemas"]["KernelConfig"]
    fields = config["properties"]
    for field in ("spark_home", "ipython_profile", "archive_directory"):
        del fields[field]
    for field in fields.values():
        # Null says that a field is left out; forms and our own requests leave it out.
        field["type"] = [field["type"], "null"]
    here = {"type": "string", "enum": [str(environment)], "examples": [str(environment)]}
    fields["environment"], fields["place"] = here, {"enum": ["user", None]}
    # An empty name is made from the one that people see.
    fields["name"]["pattern"] += "|^$"
    # The kernel's name alone will do; a form asks for the one that people see.
    config["required"] = ["environment"]
    return description


CHECKS = """
[checks.negative_data_rejection]
# An edit of another version is refused before its content is looked at.
expected-statuses = [400, 403, 404, 405, 409, 412, 413, 415, 422, 429]
"""


def test_no_answer_is_other_than_described(server: str, environment: Path, tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(described_here(environment)))
    (tmp_path / "schemathesis.toml").write_text(CHECKS)
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(file), "--url", server),
            *("--checks", "all", "--max-examples", str(EXAMPLES), "--generation-deterministic"),
            # No schema can tell which kernels there are, and what else a machine refuses.
            *("--exclude-checks", "positive_data_acceptance", "--warnings", "off"),
            "--continue-on-failure",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=5 * LIMIT_SECONDS,
        check=False,
    )
    assert found.returncode == 0, found.stdout


# What jupyter_client takes for a name, or what leads elsewhere once it is part of a path.
HOSTILE = [
    *("..", ".", "%2e%2e", "a%2fb", "..%2f..%2fprecious", "..%2fprecious", "%2fetc", "foo%0a"),
    *("-rf", "%E2%84%AA", "a%00b", "x" * 300, "%ff", "%20", "..%5cprecious", "*", "~", "$HOME"),
]


async def test_no_address_leads_out_of_its_directory(
    routes: list[Route], send: Send, log_in: LogIn, jp_data_dir: Path
) -> None:
    browser = {**await log_in(), "If-Match": "x"}
    for precious in (jp_data_dir / "precious", jp_data_dir / "kernels" / "precious"):
        precious.mkdir(parents=True)
        (precious / "kernel.json").write_text('{"precious": true}')
    before = snapshot(jp_data_dir)
    for route in routes:
        for parts in hostile_parts(route.groups):
            for verb in route.verbs:
                answer = await send(verb, route.path(*parts), browser)
                assert 400 <= answer.code < 500, (verb, route, parts)
                assert b"Traceback" not in answer.body
    assert snapshot(jp_data_dir) == before


def hostile_parts(groups: int) -> list[list[str]]:
    if groups == 2:
        return [["user", name] for name in HOSTILE] + [[place, "precious"] for place in HOSTILE]
    return [[name] for name in HOSTILE] if groups else []


async def test_the_log_holds_no_values_of_a_kernel(
    routes: list[Route],
    send: Send,
    log_in: LogIn,
    environment: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Jupyter's log is kept, and often collected, at levels that nobody thinks of."""
    caplog.set_level(logging.DEBUG)
    browser = {**await log_in(), "If-Match": "x"}
    config = {
        "display_name": "Mine",
        "environment": str(environment),
        # Nobody listens there, so that a test of it does not start anything.
        "master": f"spark://127.0.0.1:{free_port()}",
        "conf": {"spark.my.ordinary": "CANARY"},
        "env": {"ORDINARY": "CANARY"},
    }
    refused = {**config, "env": {"API_TOKEN": "CANARY"}}
    created = [
        route for route in routes if route.pattern.endswith("/kernels$") and "POST" in route.verbs
    ]
    assert (await send("POST", created[0].address, browser, json.dumps(config))).code == 201
    caplog.clear()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "CANARY?")

    monkeypatch.setattr(store, "create", fail)
    for route in routes:
        for verb in route.verbs:
            path = route.path(*(["user", "mine"] if route.groups == 2 else ["0" * 32]))
            for data in (config, {**config, "name": "other"}, refused):
                await send(verb, path, browser, json.dumps(data))
            await send(verb, path, browser, "CANARY")
    assert "POST" in caplog.text
    cookie = browser["Cookie"].partition("=")[2].partition(";")[0].strip('"')
    for secret in ("CANARY", cookie):
        assert secret not in caplog.text.replace("CANARY?", "")


async def test_no_answer_is_a_page(routes: list[Route], send: Send, log_in: LogIn) -> None:
    """What a kernel is called comes back in answers, and must never be run by a browser."""
    markup = "<img src=x onerror=alert(1)>"
    browser = {**await log_in(), "If-Match": "x"}
    for route in routes:
        for verb in route.verbs:
            path = route.path(*[url_escape(markup)] * route.groups)
            answer = await send(verb, path, browser, json.dumps({"display_name": markup}))
            assert answer.headers["Content-Type"] == "application/json"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_values_of_names_that_look_like_secrets_are_refused() -> None:
    secrets = {"spark.hadoop.fs.s3a.secret.key": "x", "spark.ssl.keyPassword": "x"}
    plain = {"spark.hadoop.security.credential.provider.path": "x", "spark.app.id": "x"}
    config = read_config(
        {
            "name": "k",
            "environment": "/env",
            "conf": {**secrets, **plain},
            "env": {"API_TOKEN": "x", "TOKEN_FILE": "x"},
        }
    )
    with pytest.raises(Invalid) as refused:
        check_secrets(config)
    assert [error.message.split()[0] for error in refused.value.errors] == [*secrets, "API_TOKEN"]


# --- what is written ----------------------------------------------------------------------------

Value = TypeVar("Value")


def generated(strategy: st.SearchStrategy[Value], count: int) -> list[Value]:
    """Values that Hypothesis makes up, the same ones every time."""
    values: list[Value] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Value) -> None:
        values.append(value)

    collect()
    assert len(values) == count
    return values


def batches(values: list[Value], size: int) -> Iterator[list[Value]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


PLAIN = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
NASTY = st.sampled_from(
    [
        *("--conf spark.pwn=1", "-Dpwn=1", "'", '"', "\\", "\\'", "$", "$$", "${HOME}", "$HOME"),
        *("`id`", "$(id)", ";", "&&", "#", "=", " ", "*", "~", "!", "%", ",", "pyspark-shell"),
        *("--", "-", "\u00e9", "\u6570", "\U0001f525", "{connection_file}", "{{}}", "@/etc/passwd"),
    ]
)
TEXT = st.lists(NASTY | st.text(PLAIN, max_size=8), max_size=6).map("".join)
SETTINGS_COUNT = 5000
SETTINGS_AT_ONCE = 500
"""As many as one kernel may have."""

READ_SPARK_CONF = """
import json, os, sys
from pyspark.conf import SparkConf
from pyspark.java_gateway import launch_gateway
for line in sys.stdin:
    os.environ["PYSPARK_SUBMIT_ARGS"] = json.loads(line)
    gateway = launch_gateway()
    conf = SparkConf(_jvm=gateway.jvm)
    ours = ("spark.of.", "spark.pwn")
    found = {key: value for key, value in conf.getAll() if key.startswith(ours)}
    print(json.dumps(found), flush=True)
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()
"""


def test_a_real_spark_conf_has_every_setting_as_it_was_given(pyspark_environment: Path) -> None:
    given = [
        {f"spark.of.test{number}": value.strip() for number, value in enumerate(batch)}
        for batch in batches(generated(TEXT, SETTINGS_COUNT), SETTINGS_AT_ONCE)
    ]
    made = [
        submit_args(read_config({"name": "k", "environment": "/env", "conf": conf}))
        for conf in given
    ]
    found = subprocess.run(
        [interpreter(str(pyspark_environment)), "-c", READ_SPARK_CONF],
        input="".join(json.dumps(arguments) + "\n" for arguments in made),
        stdout=subprocess.PIPE,
        text=True,
        timeout=2 * LIMIT_SECONDS,
        check=True,
    )
    assert [json.loads(line) for line in found.stdout.splitlines()] == given


DOLLARS = st.lists(
    st.sampled_from(["$", "$$", "${SECRET}", "$SECRET", "${", "}", "$1", "$_", "a", " ", "\u00e9"])
    | st.text(PLAIN, max_size=4),
    max_size=6,
).map(lambda parts: "$" + "".join(parts))
DOLLARS_COUNT = 1000
VARIABLES_AT_ONCE = 200
"""As many as one kernel may have."""


def test_a_dollar_reaches_the_kernel_as_it_was_given(
    pyspark_environment: Path, tmp_path: Path
) -> None:
    given = {f"X_{number}": value for number, value in enumerate(generated(DOLLARS, DOLLARS_COUNT))}
    specs = [
        render(
            read_config({"name": "k", "environment": str(pyspark_environment), "env": dict(part)}),
            "tester",
        )
        for part in batches(list(given.items()), VARIABLES_AT_ONCE)
    ]
    # One kernel in place of five: a variable is written alike wherever it stands.
    spec = {**specs[0], "env": {name: text for one in specs for name, text in one["env"].items()}}
    kernels = tmp_path / "kernels"
    files = {**contents(), "kernel.json": json.dumps(spec).encode()}
    store.create(directory_place(kernels), "k", files)
    # A server has secrets in its environment, which a kernel's values must not be filled with.
    environment = {**os.environ, "SECRET": "leaked", "IPYTHONDIR": str(tmp_path / "ipython")}
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    with running(kernels, "k", runtime, environment) as kernel:
        shown = kernel.value(
            "import json, os\n"
            "print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('X_')}))"
        )
    assert json.loads(shown) == given
    assert "leaked" not in shown


# --- where it is written ------------------------------------------------------------------------

FLIPS = 10_000
FLIP = """
import os, sys
from contextlib import suppress
path, spare, outside, enough = sys.argv[1:]
turns = flips = 0
while True:
    # The last one is in the way where the writer has made a directory anew just then.
    turns += 1
    kept = spare + str(turns)
    with suppress(OSError):
        os.rename(path, kept)
    with suppress(OSError):
        os.symlink(outside, path)
        flips += 1
        os.unlink(path)
    with suppress(OSError):
        os.rename(kept, path)
    if flips == int(enough):
        print("enough", flush=True)
"""


@pytest.mark.parametrize("target", ["kernels", "kernels/k", "area", "area/staging", "area/undo"])
def test_no_race_with_a_link_lets_anything_out(memory: Path, target: str) -> None:
    """A directory becomes a link between a check and a write, thousands of times."""
    outside = memory / "outside"
    place = directory_place(memory / "data" / "kernels")
    path = memory / "data" / target.replace("area", area_path(place).name)
    files = {"launcher.py": b"ours", "kernel.json": b"{}"}
    # What a writer would change or remove, were it to follow the link.
    for name in ("k", "other", "staging/x", "undo/00000001/kernel"):
        (outside / name).mkdir(parents=True)
        (outside / name / "kernel.json").write_text('{"precious": true}')
    store.create(place, "k", files)
    before = snapshot(outside)
    outcomes = {"done": 0, "refused": 0}

    def edit() -> None:
        version = {**files, "kernel.json": b'{"v": %d}' % sum(outcomes.values())}
        store.replace(place, "k", version, store.read_to_change(place, "k").etag)

    changes: list[Callable[[], None]] = [
        lambda: store.create(place, "other", files),
        edit,
        lambda: store.delete(place, "other"),
        lambda: store.undo(next(iter(store.undos(place)))),
        lambda: store.delete(place, "other"),
    ]
    command = [sys.executable, "-c", FLIP, str(path), f"{path}-spare", str(outside), str(FLIPS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as flipper:
        assert flipper.stdout is not None
        try:
            # However the two take turns on a busy machine.
            while min(outcomes.values()) < 20 or not select([flipper.stdout], [], [], 0)[0]:
                for change in changes:
                    try:
                        change()
                        outcomes["done"] += 1
                    except (KernelError, StopIteration):
                        outcomes["refused"] += 1
        finally:
            flipper.kill()
    assert snapshot(outside) == before


# --- what is promised ---------------------------------------------------------------------------

TESTS = Path(__file__).parent
THREATS = ROOT / "docs" / "threats.md"


def test_every_threat_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| ([TR]\d+) +\|.*\| (.+) \|$", THREATS.read_text(), re.MULTILINE)
    assert [row for row, _ in rows] == [
        *(f"T{number}" for number in range(1, 43)),
        *(f"R{number}" for number in range(1, 29)),
    ]
    for row, said in rows:
        named = re.findall(r"`([\w.]+)::(.+?)`", said)
        assert named or re.match("left|does not apply: ", said), row
        for file, test in named:
            in_browser = file.endswith(".spec.ts")
            path = ROOT / "ui-tests" / "tests" / file if in_browser else TESTS / f"{file}.py"
            found = f"test('{test}'" if in_browser else f"def {test}("
            assert found in path.read_text(), (row, file, test)
