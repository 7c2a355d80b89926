"""The Spark UI of real kernels, at addresses of a real server behind a hub's base URL."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from kernels import LIMIT_SECONDS, SHORT_LIVED, free_port, wait_until

from jupyterlab_pyspark_kernels import sparkui
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.errors import CannotBeDone, KernelError, Missing, NotAllowed
from jupyterlab_pyspark_kernels.kernel import contents
from jupyterlab_pyspark_kernels.kernel.status import STATUS_DIRECTORY
from jupyterlab_pyspark_kernels.render import render
from jupyterlab_pyspark_kernels.sparkui import Driver, driver_of, ui_address
from jupyterlab_pyspark_kernels.uiroute import UI_ROUTES

BASE = "/user/alice@b/"
TOKEN = "a-token-that-Spark-must-not-see"
XSRF = "00ff"
NOBODY = 65534
OLDER = os.environ.get("PYSPARK_KERNELS_TEST_SPARK_35")


# --- the server and its kernels -----------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A Jupyter server in a process of its own, as a person who is logged in talks to it."""

    folder: Path
    browser: httpx.Client
    process: int

    @property
    def runtime(self) -> Path:
        return self.folder / "RUNTIME"

    def ui(self, kernel: str, path: str = "") -> str:
        return f"{BASE}jupyterlab-pyspark-kernels/ui/{kernel}/{path}"

    def get(self, kernel: str, path: str = "", **headers: str) -> httpx.Response:
        return self.browser.get(self.ui(kernel, path), headers=headers)

    def status_file(self, kernel: str) -> Path:
        return self.runtime / STATUS_DIRECTORY / f"{kernel}.json"

    def status(self, kernel: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.status_file(kernel).read_text())
        return content

    def descriptors(self) -> int:
        """Count the files and sockets that it has open."""
        return len(os.listdir(f"/proc/{self.process}/fd"))

    def start(self, name: str) -> str:
        """Start a kernel as a notebook does; give its id."""
        started = self.browser.post(f"{BASE}api/kernels", json={"name": name}).raise_for_status()
        return str(started.json()["id"])


@pytest.fixture(scope="module")
def server(pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    write_kernel(folder / "DATA" / "kernels" / "mine", pyspark_environment)
    write_kernel(
        folder / "DATA" / "kernels" / "blind",
        pyspark_environment,
        conf={"spark.ui.enabled": "false"},
    )
    if OLDER:
        write_kernel(folder / "DATA" / "kernels" / "older", Path(OLDER))
    port = free_port()
    command = [
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        *(f"--port={port}", "--port-retries=0", f"--IdentityProvider.token={TOKEN}"),
        *(f"--ServerApp.base_url={BASE}", f"--ServerApp.root_dir={folder}"),
        "--ServerApp.jpserver_extensions={'jupyterlab_pyspark_kernels': True}",
    ]
    folders = {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("DATA", "CONFIG", "RUNTIME")}
    environment = {
        **os.environ,
        **folders,
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "JAVA_TOOL_OPTIONS": SHORT_LIVED,
    }
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(f"{address}{BASE}api?token={TOKEN}"))
        with httpx.Client(base_url=address, timeout=LIMIT_SECONDS) as browser:
            browser.get(f"{BASE}api/status?token={TOKEN}").raise_for_status()
            browser.cookies.set("_xsrf", XSRF)
            browser.headers["X-XSRFToken"] = XSRF
            yield Server(folder, browser, process.pid)
    finally:
        process.terminate()
        process.wait()


def write_kernel(directory: Path, environment: Path, **config: Any) -> None:
    directory.mkdir(parents=True)
    data = {"name": "k", "environment": str(environment), "master": "local[2]", **config}
    (directory / "kernel.json").write_text(json.dumps(render(read_config(data), "tester")))
    for file, content in contents().items():
        (directory / file).write_bytes(content)


def answers(address: str) -> bool:
    try:
        return httpx.get(address).is_success
    except httpx.TransportError:
        return False


def run_in(server: Server, kernel: str, code: str, wait: bool = True) -> None:
    """Run a cell."""
    client = BlockingKernelClient(connection_file=str(server.runtime / f"kernel-{kernel}.json"))
    client.load_connection_file()
    client.hb_channel.time_to_dead = LIMIT_SECONDS
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LIMIT_SECONDS)
        if wait:
            reply = client.execute_interactive(code, timeout=LIMIT_SECONDS)
            assert reply["content"]["status"] == "ok", reply
        else:
            client.execute(code)
    finally:
        client.stop_channels()


@pytest.fixture(scope="module")
def kernels(server: Server) -> tuple[str, str]:
    """Two kernels with Spark, of which the first has run a job."""
    first, second = (server.start("mine") for _ in range(2))
    both = (first, second)
    wait_until(lambda: {server.get(kernel, "jobs/").status_code for kernel in both} == {200})
    run_in(server, first, "sc.setJobDescription('of mine'); spark.range(1000).count()")
    return first, second


# --- what a person sees -------------------------------------------------------------------------


def test_the_pages_are_there_with_their_files(server: Server, kernels: tuple[str, str]) -> None:
    kernel = kernels[0]
    seen = set()
    for page in ("jobs", "stages", "executors", "environment", "storage"):
        answer = server.get(kernel, f"{page}/")
        assert answer.status_code == 200
        assert page in answer.text.lower()
        links = set(re.findall(r"""(?:href|src)=["'](/[^"'?#]*)""", answer.text))
        assert len(links) > 5
        assert all(link.startswith(server.ui(kernel)) for link in links), links
        seen |= {link for link in links if "/static/" in link}
    assert len(seen) > 10
    kinds = {link: server.browser.get(link) for link in seen}
    assert {answer.status_code for answer in kinds.values()} == {200}
    types = {Path(link).suffix: kind.headers["Content-Type"] for link, kind in kinds.items()}
    assert "css" in types[".css"]
    assert "javascript" in types[".js"]
    assert "of mine" in server.get(kernel, "jobs/").text


def test_the_api_that_spark_s_own_scripts_ask(server: Server, kernels: tuple[str, str]) -> None:
    told = []
    for kernel in kernels:
        (application,) = server.get(kernel, "api/v1/applications").json()
        assert application["id"] == server.status(kernel)["application_id"]
        told.append(application["id"])
        executors = server.get(kernel, f"api/v1/applications/{application['id']}/allexecutors")
        assert [one["id"] for one in executors.json()] == ["driver"]
    jobs = [
        server.get(kernel, f"api/v1/applications/{application}/jobs").json()
        for kernel, application in zip(kernels, told, strict=True)
    ]
    # Each route leads to its own kernel's Spark.
    assert jobs[0] != []
    assert jobs[1] == []


def test_a_redirect_stays_below_the_route(server: Server, kernels: tuple[str, str]) -> None:
    for kernel in kernels:
        answer = server.get(kernel)
        assert answer.status_code == 302
        assert answer.headers["Location"] == server.ui(kernel, "jobs/")


def test_nothing_in_an_address_misleads_spark_s_scripts() -> None:
    segments = {segment for route in UI_ROUTES for segment in route.split("/")}
    assert segments.isdisjoint({"proxy", "history"})


def test_where_the_ui_is(server: Server, kernels: tuple[str, str]) -> None:
    answer = server.browser.get(server.ui(kernels[0]).rstrip("/"))
    assert answer.json() == {"url": server.ui(kernels[0]), "tracking": None}


def test_the_pages_are_confined(server: Server, kernels: tuple[str, str]) -> None:
    answer = server.get(kernels[0], "jobs/")
    policies = answer.headers.get_list("Content-Security-Policy")
    ours = policies[-1]
    assert "frame-ancestors 'self'" in ours
    assert "default-src 'none'" in ours
    sandbox = ours.partition(";")[0].split()
    assert sandbox[0] == "sandbox"
    assert not [word for word in sandbox if "top-navigation" in word or "popups" in word]
    # A newer Spark names its own scripts, and that counts as well.
    assert any("nonce-" in policy for policy in policies[:-1])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers


# --- killing ------------------------------------------------------------------------------------


def test_a_job_is_killed_by_a_click_and_by_no_link(
    server: Server, kernels: tuple[str, str]
) -> None:
    kernel = kernels[0]
    job = run_for_ever(server, kernel)
    page = server.get(kernel, "jobs/").text
    (form,) = re.findall(r"<form [^>]*/jobs/job/kill/.*?</form>", page, re.DOTALL)
    # As the browser submits it.
    assert 'method="GET"' in form
    fields = dict(re.findall('name="(.*?)" value="(.*?)"', form))
    assert fields["id"] == str(job)
    link = f"jobs/job/kill/?{urlencode(fields)}"
    for written in (link, f"jobs/job/%6bill/?id={job}", f"jobs//job/KILL;x/?id={job}"):
        question = server.get(kernel, written)
        assert question.status_code == 200
        assert f"Kill job {job}?" in question.text
        assert "nonce-" in question.headers["Content-Security-Policy"]
    address = server.ui(kernel, link)
    without = {"X-XSRFToken": ""}
    assert server.browser.post(address, json={}, headers=without).status_code == 403
    assert server.browser.post(address, data={"a": "b"}).status_code == 415
    assert server.browser.post(server.ui(kernel, "jobs/"), json={}).status_code == 403
    assert running_jobs(server, kernel) == [job]
    kill(server, kernel, link)


def run_for_ever(server: Server, kernel: str) -> int:
    """Start a job; give its number."""
    code = "sc.range(2).map(lambda _: __import__('time').sleep(900)).count()"
    run_in(server, kernel, code, wait=False)
    wait_until(lambda: running_jobs(server, kernel))
    (job,) = running_jobs(server, kernel)
    return job


def running_jobs(server: Server, kernel: str) -> list[int]:
    application = server.status(kernel)["application_id"]
    jobs = server.get(kernel, f"api/v1/applications/{application}/jobs?status=running").json()
    return [job["jobId"] for job in jobs]


def kill(server: Server, kernel: str, link: str) -> None:
    """Click on what the question offers."""
    (token,) = re.findall('data-token="(.*?)"', server.get(kernel, link).text)
    killed = server.browser.post(server.ui(kernel, link), json={}, headers={"X-XSRFToken": token})
    assert killed.status_code == 302, killed.text
    assert killed.headers["Location"] == server.ui(kernel, "jobs/")
    wait_until(lambda: not running_jobs(server, kernel))


@pytest.mark.skipif(
    OLDER is None,
    reason="Spark 3.5 is 300 MB more; set PYSPARK_KERNELS_TEST_SPARK_35 to an environment with it.",
)
def test_spark_3_5_shows_its_pages_and_is_killed_by_its_link(server: Server) -> None:
    kernel = server.start("older")
    try:
        wait_until(lambda: server.get(kernel, "jobs/").status_code == 200)
        for page in ("jobs", "stages", "executors", "environment", "storage"):
            answer = server.get(kernel, f"{page}/")
            links = set(re.findall(r"""(?:href|src)=["'](/[^"'?#]*)""", answer.text))
            assert links
            assert all(link.startswith(server.ui(kernel)) for link in links), links
            files = {server.browser.get(link).status_code for link in links if "/static/" in link}
            assert files == {200}
        (application,) = server.get(kernel, "api/v1/applications").json()
        assert application["attempts"][0]["appSparkVersion"].startswith("3.5.")
        path = f"api/v1/applications/{application['id']}/allexecutors"
        assert [one["id"] for one in server.get(kernel, path).json()] == ["driver"]
        job = run_for_ever(server, kernel)
        (link,) = re.findall(
            r'href="([^"]*/jobs/job/kill/[^"]*)"', server.get(kernel, "jobs/").text
        )
        assert link == server.ui(kernel, f"jobs/job/kill/?id={job}")
        assert f"Kill job {job}?" in server.browser.get(link).text
        assert running_jobs(server, kernel) == [job]
        kill(server, kernel, link.removeprefix(server.ui(kernel)))
    finally:
        server.browser.delete(f"{BASE}api/kernels/{kernel}").raise_for_status()


def test_what_is_asked_holds_no_markup(server: Server, kernels: tuple[str, str]) -> None:
    question = server.get(kernels[0], "jobs/job/kill/?id=" + quote("<img src=x>"))
    assert "<img" not in question.text
    assert "&lt;img" in question.text


# --- who is refused -----------------------------------------------------------------------------


def test_strangers_are_refused(server: Server, kernels: tuple[str, str]) -> None:
    address = str(server.browser.base_url).rstrip("/") + server.ui(kernels[0], "jobs/")
    for headers in ({}, {"Authorization": "token x"}):
        answer = httpx.get(address, headers=headers, timeout=LIMIT_SECONDS)
        assert answer.status_code == 403
    foreign = server.get(kernels[0], "jobs/", Origin="http://evil.example")
    assert foreign.status_code == 404
    assert "of mine" not in foreign.text
    foreign = server.get(kernels[0], "jobs/", Host="evil.example")
    assert foreign.status_code == 403


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE", "HEAD"])
def test_other_verbs_are_refused(server: Server, kernels: tuple[str, str], verb: str) -> None:
    answer = server.browser.request(verb, server.ui(kernels[0], "jobs/"))
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, POST"


def test_a_kernel_that_does_not_run_here_is_missing(
    server: Server, kernels: tuple[str, str]
) -> None:
    # Its status is there, and no kernel.
    stray = server.status_file("stray")
    stray.write_text(server.status_file(kernels[0]).read_text())
    stray.chmod(0o600)
    for kernel in ("stray", "0" * 8, "..%2f" + kernels[0], kernels[0] + ".json"):
        answer = server.get(kernel, "jobs/")
        assert answer.status_code == 404
        assert answer.json()["reason"] == "missing"


def test_a_kernel_without_ui_says_why(server: Server) -> None:
    kernel = server.start("blind")
    try:
        wait_until(lambda: server.status_file(kernel).exists())
        wait_until(lambda: server.status(kernel)["stage"] == "ready")
        answer = server.browser.get(server.ui(kernel).rstrip("/"))
        assert answer.status_code == 422
        assert "spark.ui.enabled" in answer.json()["message"]
    finally:
        server.browser.delete(f"{BASE}api/kernels/{kernel}").raise_for_status()


# --- what Spark gets to see ---------------------------------------------------------------------


LEADS = {
    f"/leads-{number}": location
    for number, location in enumerate(
        [
            *(
                "http://evil.example/",
                "//evil.example/",
                "https://127.0.0.1/",
                "javascript:alert(1)",
            ),
            *("http://127.0.0.1:1@evil.example/", "http://evil.example:PORT/", "http://[::"),
            "http:/\\evil.example",
        ]
    )
}
BROKEN = {
    "/broken-line": b"never HTTP\r\n\r\n",
    "/broken-length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1",
    "/broken-header": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n1",
    "/broken-nothing": b"",
}


class Echo(BaseHTTPRequestHandler):
    """Stands in for a Spark: says what it was sent, and tries to get more out of it."""

    def do_GET(self) -> None:
        if "broken" in self.path:
            self.wfile.write(BROKEN[self.path])
            return
        body = f"{self.requestline}\n{self.headers}".encode()
        self.send_response(302 if "leads" in self.path else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        for name, value in {
            "Set-Cookie": "_xsrf=mine; Path=/",
            "Access-Control-Allow-Origin": "*",
            "Clear-Site-Data": '"cookies"',
            "Refresh": "0; url=http://evil.example",
            "X-Frame-Options": "ALLOWALL",
        }.items():
            self.send_header(name, value)
        if "leads" in self.path:
            self.send_header("Location", LEADS[self.path])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[int]:
    """Listen as this user; give the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield listener.server_port
        listener.shutdown()


@pytest.fixture
def tell(server: Server, kernels: tuple[str, str]) -> Iterator[Callable[[str], str]]:
    """Let a kernel tell another address, as code in its notebook could; give its id."""
    file = server.status_file(kernels[1])
    before = file.read_text()

    def tell(address: str) -> str:
        file.write_text(json.dumps({**json.loads(before), "ui": address}))
        return kernels[1]

    yield tell
    file.write_text(before)


def test_no_token_reaches_spark_and_no_cookie_comes_back(
    server: Server, tell: Callable[[str], str], echo: int
) -> None:
    kernel = tell(f"http://127.0.0.1:{echo}")
    for accept in ("text/html", "text/event-stream"):
        answer = server.get(
            kernel,
            f"jobs/?id=1&token={TOKEN}&%74oken={TOKEN}&_xsrf={XSRF}&x=y",
            Authorization=f"token {TOKEN}",
            Accept=accept,
            Referer=f"http://127.0.0.1/lab?token={TOKEN}",
        )
        assert answer.text.startswith("GET /jobs/?id=1&x=y HTTP/1.1")
        assert TOKEN not in answer.text
        sent = {line.partition(":")[0].lower() for line in answer.text.splitlines()[1:] if line}
        assert sent.isdisjoint({"cookie", "authorization", "referer", "x-xsrftoken", "origin"})
        assert f"X-Forwarded-Context: {server.ui(kernel).rstrip('/')}" in answer.text
        got = {name.lower() for name in answer.headers}
        assert got.isdisjoint(
            {"set-cookie", "access-control-allow-origin", "clear-site-data", "refresh"}
        )
        assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", LEADS)
def test_spark_leads_nobody_elsewhere(
    server: Server, tell: Callable[[str], str], echo: int, path: str
) -> None:
    answer = server.get(tell(f"http://127.0.0.1:{echo}"), path[1:])
    assert answer.status_code == 422
    assert "Location" not in answer.headers
    assert "leads to" in answer.json()["message"]


@pytest.mark.parametrize("path", BROKEN)
def test_a_broken_answer_is_told(
    server: Server, tell: Callable[[str], str], echo: int, path: str
) -> None:
    answer = server.get(tell(f"http://127.0.0.1:{echo}"), path[1:])
    assert answer.status_code == 422
    assert "does not answer" in answer.json()["message"]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("jobs/%3Fid=1%23x", "/jobs/%3Fid=1%23x"),
        ("a%0d%0aX-Evil:%201%0d%0a/b", "/a%0D%0AX-Evil:%201%0D%0A/b"),
        ("%2f%2fevil.example/", "///evil.example/"),
        ("..%2f..%2fapi", "/../../api"),
        ("http://evil.example/", "/http://evil.example/"),
        ("@evil.example/%25%00", "/@evil.example/%25%00"),
        ("caf%C3%A9/?q=%0d%0aX-Evil:%201", "/caf%C3%A9/?q=%0d%0aX-Evil:%201"),
    ],
)
def test_a_path_stays_a_path(
    server: Server, tell: Callable[[str], str], echo: int, written: str, sent: str
) -> None:
    answer = server.get(tell(f"http://127.0.0.1:{echo}"), written)
    first, *headers = answer.text.splitlines()
    assert first == f"GET {sent} HTTP/1.1"
    assert not any(line.startswith("X-Evil") for line in headers)


def test_no_socket_is_opened_or_left(
    server: Server, kernels: tuple[str, str], tell: Callable[[str], str], echo: int
) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    answer = server.get(tell(f"http://127.0.0.1:{echo}"), "jobs/", **upgrade)
    assert answer.status_code == 200
    assert "Upgrade" not in answer.text
    before = server.descriptors()
    for number in range(20):
        server.get(kernels[0], "jobs/" if number % 2 else "api/v1/applications/none")
        assert server.get(kernels[1], "broken-line").status_code == 422
    wait_until(lambda: server.descriptors() <= before + 2)


def test_who_opens_a_page_is_told_by_a_page(server: Server, tell: Callable[[str], str]) -> None:
    kernel = tell("http://<img src=x>")
    answer = server.get(kernel, "jobs/", Accept="text/html,*/*;q=0.8")
    assert answer.status_code == 403
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<h1>Spark&rsquo;s UI cannot be shown</h1>" in answer.text
    assert "&lt;img src=x&gt;" in answer.text
    assert "<img" not in answer.text
    gone = server.get("0" * 8, "jobs/", Accept="text/html")
    assert gone.status_code == 404
    assert "Open the UI from its notebook." in gone.text


def test_a_driver_that_is_gone_is_told(server: Server, tell: Callable[[str], str]) -> None:
    answer = server.get(tell(f"http://127.0.0.1:{free_port()}"), "jobs/")
    assert answer.status_code == 403
    assert "nobody" in answer.json()["message"]


FORGED = [
    *("http://192.0.2.1:80", "http://169.254.169.254", "http://169.254.169.254:80"),
    *("http://no-such-host.invalid:4040", "http://0.0.0.0:PORT", "http://224.0.0.1:PORT"),
    *("file:///etc/passwd", "ftp://127.0.0.1:PORT", "http://127.0.0.1", "http://127.0.0.1:0"),
    *("http://127.0.0.1:99999", "http://127.0.0.1:PORT@192.0.2.1:80", "http://[::", "", "x"),
    *("http://127.0.0.1\n.evil:PORT", "http://[fe80::1%lo]:PORT", "http://[fe80::1%25lo]:PORT"),
    *(
        "http://127.1:PORT:1",
        "http://" + "a" * 300 + ":PORT",
        "http://\u2024:PORT",
        "//127.0.0.1:PORT",
    ),
]


@pytest.mark.parametrize("address", FORGED)
def test_a_forged_address_is_not_followed(
    server: Server, tell: Callable[[str], str], echo: int, address: str
) -> None:
    answer = server.get(tell(address.replace("PORT", str(echo))), "jobs/")
    assert answer.status_code in (403, 422), answer.text
    assert "GET /" not in answer.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can listen as somebody else")
def test_the_port_of_another_user_is_refused(server: Server, tell: Callable[[str], str]) -> None:
    listens = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "print(s.getsockname()[1], flush=True); s.accept()"
    )
    command = ["/usr/bin/env", "python3", "-c", listens]
    with subprocess.Popen(command, stdout=subprocess.PIPE, user=NOBODY) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        answer = server.get(tell(f"http://127.0.0.1:{port}"), "jobs/")
        assert other.poll() is None, "somebody connected"
        other.kill()
    assert answer.status_code == 403
    assert "another user" in answer.json()["message"]


# --- the status file ----------------------------------------------------------------------------


@pytest.fixture
def status(tmp_path: Path) -> Path:
    """A status file as the launcher writes it."""
    folder = tmp_path / STATUS_DIRECTORY
    folder.mkdir(mode=0o700)
    file = folder / "k.json"
    file.write_text(json.dumps({"stage": "ready", "ui": "http://127.0.0.1:4040"}))
    file.chmod(0o600)
    return file


def test_a_file_of_one_s_own_is_believed(status: Path) -> None:
    told = driver_of("k", ["k"], status.parents[1])
    assert told == Driver("http://127.0.0.1:4040", None, "ready")
    with pytest.raises(Missing):
        driver_of("k", [], status.parents[1])


def test_a_kernel_that_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(CannotBeDone, match="tells nothing"):
        driver_of("k", ["k"], tmp_path)


def others_may_write(status: Path) -> None:
    status.chmod(0o620)


def others_may_replace(status: Path) -> None:
    status.parent.chmod(0o777)


def a_link(status: Path) -> None:
    status.rename(status.with_suffix(".real"))
    status.symlink_to(status.with_suffix(".real"))


def a_linked_folder(status: Path) -> None:
    status.parent.rename(status.parents[1] / "real")
    status.parent.symlink_to(status.parents[1] / "real")


def a_pipe(status: Path) -> None:
    status.unlink()
    os.mkfifo(status, 0o600)


def no_json(status: Path) -> None:
    status.write_text("{")


def no_object(status: Path) -> None:
    status.write_text("[]")


def nesting(status: Path) -> None:
    status.write_text("[" * 100_000)


@pytest.mark.parametrize(
    "change",
    [
        *(others_may_write, others_may_replace, a_link, a_linked_folder, a_pipe),
        *(no_json, no_object, nesting),
    ],
)
def test_a_file_that_others_could_have_made_is_not(
    status: Path, change: Callable[[Path], None]
) -> None:
    change(status)
    with pytest.raises(KernelError):
        driver_of("k", ["k"], status.parents[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_believed(status: Path) -> None:
    os.chown(status, NOBODY, NOBODY)
    with pytest.raises(NotAllowed, match="somebody else"):
        driver_of("k", ["k"], status.parents[1])


@pytest.mark.parametrize(
    ("told", "link"),
    [
        ("http://rm:8088/proxy/application_1", "http://rm:8088/proxy/application_1"),
        ("https://rm/proxy/application_1", "https://rm/proxy/application_1"),
        *((bad, None) for bad in ("javascript:alert(1)", "data:text/html,x", "//rm", "", 3, None)),
    ],
)
def test_only_a_link_of_the_web_becomes_one(status: Path, told: object, link: str | None) -> None:
    address = "http://127.0.0.1:4040"
    status.write_text(json.dumps({"stage": "ready", "ui": address, "tracking": told}))
    assert driver_of("k", ["k"], status.parents[1]).tracking == link
    status.write_text(json.dumps({"stage": "stopped", "ui": None, "tracking": told}))
    assert driver_of("k", ["k"], status.parents[1]).tracking is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", socket.gethostname(), "[::1]"])
def test_any_name_of_this_machine_will_do(host: str) -> None:
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    # As Java listens: at everything, version 4 through a socket of version 6.
    with socket.create_server(("", 0), family=family, dualstack_ipv6=family != socket.AF_INET) as s:
        port = s.getsockname()[1]
        if host == "[::1]" and family == socket.AF_INET:
            pytest.skip("this machine has no IPv6")
        address, found = ui_address(Driver(f"http://{host}:{port}", None, "ready"))
        assert found == port
        socket.create_connection((address, port)).close()


def test_an_ui_with_its_own_tls_is_told() -> None:
    with pytest.raises(CannotBeDone, match=r"spark\.ssl\.ui\.enabled"):
        ui_address(Driver("https://127.0.0.1:4440", None, "ready"))


@pytest.mark.parametrize(
    ("stage", "words"), [("ready", "spark.ui.enabled"), ("jvm", "starting"), ("stopped", "Run a")]
)
def test_why_there_is_none(stage: str, words: str) -> None:
    with pytest.raises(CannotBeDone, match=re.escape(words)):
        ui_address(Driver(None, None, stage))


def test_a_system_that_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, echo: int
) -> None:
    monkeypatch.setattr(sparkui, "_SOCKETS", tmp_path)
    with pytest.raises(CannotBeDone, match="uiWebUrl"):
        ui_address(Driver(f"http://127.0.0.1:{echo}", None, "ready"))
