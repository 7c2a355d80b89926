"""A real JupyterHub with its proxy, and real users of the system, each with a real JupyterLab.

    python server/tests/hub.py

starts it with a Spark standalone cluster, and prints what a browser needs to know as one line of
JSON; it ends with its standard input.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import websocket
from cluster import standalone_cluster
from hub_room import PAM, PATH, PROGRAMS
from kernels import LIMIT_SECONDS, Answer, free_port, wait_until

NAMESPACE = "jupyterlab-pyspark-kernels"
ROOT = Path(__file__).parents[2]

WRITERS = "pyspark-writers"
"""The group of the system that may write to the shared directory."""

LISTED = "pyspark-listed"
"""The group that is on the administrator's list."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_OF_A_USER = ("--user", "--map-root-user", "--map-auto")
"""Who is not root becomes it for the room, and gets users below it that /etc/subuid grants."""


@dataclass(frozen=True)
class Member:
    """One user of the hub, who is a user of the system."""

    name: str
    groups: tuple[str, ...]
    password: str = "of-the-tests"


ADA = Member("pyspark-ada", (WRITERS, LISTED))
"""May share: the file system lets her, and she is on the list."""

BEN = Member("pyspark-ben", (WRITERS,))
"""The file system would let him; he is not on the list."""

CYD = Member("pyspark-cyd", ())
"""Is on the list by name; the file system does not let them."""

MEMBERS = (ADA, BEN, CYD)
MAY_SHARE = [f"@{LISTED}", CYD.name]

TEMPLATE = re.findall(r"(?ms)^```yaml\n(.*?)^```", (ROOT / "docs/hub.md").read_text())[0]
"""The administrator's template `everybody`, as the guide has it."""


@dataclass
class Session:
    """A user who has logged in and whose server runs.

    Attributes:
        member: who it is.
        base: the server's address.
        browser: has the cookies that a browser would have.
        token: one that the user got from the hub.

    """

    member: Member
    base: str
    browser: httpx.Client
    token: str

    def call(self, verb: str, route: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Send a request to our routes; give status and JSON whatever they are."""
        return self._fetch(verb, f"{self.base}/{NAMESPACE}/{route}", body, headers)

    def jupyter(self, verb: str, route: str, body: object = None) -> Any:
        """Send a request to Jupyter's own routes, which must succeed; give its JSON."""
        status, answer = self._fetch(verb, f"{self.base}/api/{route}", body, {})
        assert status < 300, (status, answer)
        return answer

    def refused_start(self, kernel: str) -> int:
        """Try to start a kernel that must not start; give the status."""
        status, answer = self._fetch("POST", f"{self.base}/api/kernels", {"name": kernel}, {})
        assert status >= 400, answer
        assert self.jupyter("GET", "kernels") == []
        return status

    def _fetch(
        self, verb: str, url: str, body: object, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        sent = {} if body is None and verb in ("POST", "PUT") else body
        response = httpx.request(
            verb,
            url,
            content=None if sent is None else json.dumps(sent),
            headers={
                "Authorization": f"token {self.token}",
                "Content-Type": "application/json",
                **headers,
            },
            timeout=LIMIT_SECONDS,
        )
        return response.status_code, response.json() if response.content else None

    def kernels(self) -> dict[str, dict[str, Any]]:
        """Give the kernels that our routes list, by their names."""
        status, kernels = self.call("GET", "kernels")
        assert status == 200, kernels
        return {kernel["name"]: kernel for kernel in kernels}

    def offered(self) -> set[str]:
        """Give the names of the kernels that Jupyter offers for a notebook."""
        return set(self.jupyter("GET", "kernelspecs")["kernelspecs"])

    def place(self, kernels: Path) -> dict[str, Any]:
        """Give the place of a kernels directory, as the form shows it."""
        status, form = self.call("GET", "form")
        assert status == 200, form
        found: dict[str, Any] = next(
            place for place in form["places"] if place["kernels"] == str(kernels)
        )
        return found

    @contextmanager
    def notebook(self, kernel: str) -> Iterator["Notebook"]:
        """Start a kernel in this user's server, as a notebook does, and end it."""
        started = self.jupyter("POST", "kernels", {"name": kernel})["id"]
        address = f"{self.base.replace('http', 'ws', 1)}/api/kernels/{started}/channels"
        try:
            channels = websocket.create_connection(
                address, timeout=LIMIT_SECONDS, header=[f"Authorization: token {self.token}"]
            )
            try:
                yield Notebook(channels)
            finally:
                channels.close()
        finally:
            self.jupyter("DELETE", f"kernels/{started}")


@dataclass
class Notebook:
    """The channels of a running kernel."""

    channels: Any
    _sent: int = 0

    def run(self, code: str) -> Answer:
        """Run one cell to its end."""
        self._sent += 1
        message = f"cell-{self._sent}"
        header = {"msg_id": message, "msg_type": "execute_request", "version": "5.4"}
        header |= {"session": "tests", "username": "", "date": "2026-01-01T00:00:00Z"}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        parts = {"header": header, "content": content, "parent_header": {}, "metadata": {}}
        self.channels.send(json.dumps({**parts, "channel": "shell", "buffers": []}))
        answer, idle = Answer(""), False
        while not (idle and answer.status):
            heard = json.loads(self.channels.recv())
            if heard["parent_header"].get("msg_id") != message:
                continue
            kind, content = heard["msg_type"], heard["content"]
            if kind == "stream":
                answer.text += content["text"]
            elif kind == "execute_result":
                answer.text += content["data"]["text/plain"]
            elif kind == "error":
                answer.error, answer.traceback = content["ename"], content["traceback"]
            elif kind == "execute_reply":
                answer.status = content["status"]
            idle |= kind == "status" and content["execution_state"] == "idle"
        return answer

    def value(self, code: str) -> str:
        """Run a cell that must succeed, and give what it shows."""
        answer = self.run(code)
        assert answer.status == "ok", answer
        return answer.text.strip()


@dataclass
class Hub:
    """A running JupyterHub.

    Attributes:
        url: where its proxy listens.
        shared: the kernels directory that all users have in common.
        homes: has the home directory of every user.
        sessions: who has logged in, by their names.

    """

    url: str
    shared: Path
    homes: Path
    sessions: dict[str, Session] = field(default_factory=dict)

    def session(self, member: Member) -> Session:
        """Log a user in, start their server, and wait for it; only the first time."""
        if member.name not in self.sessions:
            self.sessions[member.name] = self._log_in(member)
        return self.sessions[member.name]

    def _log_in(self, member: Member) -> Session:
        browser = httpx.Client(follow_redirects=True, timeout=LIMIT_SECONDS)
        browser.get(f"{self.url}/hub/login")
        form = {"username": member.name, "password": member.password}
        form["_xsrf"] = browser.cookies["_xsrf"]
        answer = browser.post(f"{self.url}/hub/login", data=form)
        assert answer.status_code == 200, answer.text
        user = f"{self.url}/hub/api/users/{member.name}"
        headers = {"X-XSRFToken": browser.cookies.get("_xsrf", path="/hub/") or ""}
        wait_until(lambda: browser.get(user, headers=headers).json()["server"])
        base = f"{self.url}/user/{member.name}"
        assert browser.get(f"{base}/lab").url.path == f"/user/{member.name}/lab"
        token = browser.post(f"{user}/tokens", headers=headers, json={"note": "tests"})
        assert token.status_code == 201, token.text
        return Session(member, base, browser, token.json()["token"])


def why_no_hub() -> str | None:
    """Say why this machine cannot have one."""
    if missing := [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]:
        return f"JupyterHub's users cannot be made without {', '.join(missing)}"
    tried = subprocess.run([*namespaces(), "true"], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return None
    asked = "" if os.geteuid() == 0 else ", for which who is not root needs newuidmap and subuids"
    return f"JupyterHub's users need namespaces of their own{asked}: {tried.stderr.strip()}"


def namespaces() -> list[str]:
    """Give the command that lets another see namespaces of its own."""
    return [*_NAMESPACES, *(() if os.geteuid() == 0 else _OF_A_USER)]


@contextmanager
def running_hub(
    environment: Path,
    environ: Mapping[str, str] | None = None,
    server: Mapping[str, Any] | None = None,
) -> Iterator[Hub]:
    """Start a JupyterHub with the members of this file, and end all that came of it.

    Args:
        environment: the environment with PySpark that kernels are made of.
        environ: variables for the users' servers.
        server: what the administrator configures of Jupyter Server besides.

    """
    with hub_folder() as folder:
        hub = Hub(f"http://127.0.0.1:{free_port()}", folder / "shared/kernels", folder / "homes")
        hub.shared.mkdir(parents=True)
        _configure(folder / "config", environment, server or {})
        private = folder / "hub"
        private.mkdir(mode=0o700)
        config = _write(private / "jupyterhub_config.json", _hub_config(hub, folder, environ or {}))
        command = [str(Path(sys.prefix, "bin", "jupyterhub")), "-f", str(config)]
        plan = {"shared": str(hub.shared.parent), "group": WRITERS}
        with in_a_room(hub, folder, command, environment, plan):
            yield hub


@contextmanager
def hub_folder() -> Iterator[Path]:
    """Give a folder for all of a hub, and take it away."""
    folder = Path(tempfile.mkdtemp(prefix="pyspark-kernels-hub-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        # Much in it belongs to the users of the room, wherever their ids were lent from.
        subprocess.run([*namespaces(), "rm", "--recursive", str(folder)], check=True)


@contextmanager
def in_a_room(
    hub: Hub,
    folder: Path,
    command: list[str],
    environment: Path,
    plan: Mapping[str, object] | None = None,
) -> Iterator[Hub]:
    """Run what a hub comes of, among the members of this file, until all that came of it has ended.

    Args:
        hub: the hub that comes of it.
        folder: has all of it.
        command: what is run as root of the room.
        environment: the environment with PySpark that kernels are made of.
        plan: what else the room is told.

    """
    private = folder / "hub"
    private.mkdir(mode=0o700, exist_ok=True)
    hub.homes.mkdir()
    told = {
        "command": command,
        "needed": [str(path) for path in _needed(environment, folder)],
        "members": [asdict(member) for member in MEMBERS],
        "hub": str(private),
        "homes": str(hub.homes),
        **(plan or {}),
    }
    log = private / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(*namespaces(), sys.executable, str(ROOT / "server/tests/hub_room.py")),
                str(_write(private / "plan.json", told)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        wait_until(lambda: _answers(hub, process, log))
        yield hub
    finally:
        for session in hub.sessions.values():
            session.browser.close()
        _end(process)


def _configure(config: Path, environment: Path, server: Mapping[str, Any]) -> None:
    """Write what the administrator tells the users' servers."""
    templates = config / "templates"
    templates.mkdir(parents=True)
    (templates / "everybody.yaml").write_text(TEMPLATE)
    ours = {
        "environment_roots": [str(environment)],
        "may_share": MAY_SHARE,
        "template_directories": [str(templates)],
    }
    _write(config / "jupyter_server_config.json", {"PySparkKernels": ours, "ServerApp": server})


def _needed(environment: Path, folder: Path) -> list[Path]:
    """List what the users' servers and kernels reach, wherever this machine has it."""
    programs = [shutil.which(name) for name in ("node", "java")]
    pythons = [environment / "bin" / "python", Path(sys.executable)]
    real = [Path(program).resolve() for program in (*programs, *pythons) if program]
    bases = [program.parents[1] for program in real]
    homes = [Path(os.environ["JAVA_HOME"])] if "JAVA_HOME" in os.environ else []
    return [ROOT, Path(sys.prefix), environment, folder, *homes, *bases]


def _hub_config(hub: Hub, folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    private = folder / "hub"
    java = {name: os.environ[name] for name in ("JAVA_HOME",) if name in os.environ}
    return {
        "JupyterHub": {
            "bind_url": hub.url,
            "hub_bind_url": f"http://127.0.0.1:{free_port()}",
            "authenticator_class": "pam",
            "db_url": f"sqlite:///{private}/jupyterhub.sqlite",
            "cookie_secret_file": str(private / "cookie_secret"),
        },
        "ConfigurableHTTPProxy": {
            "api_url": f"http://127.0.0.1:{free_port()}",
            "command": [str(ROOT / "node_modules/.bin/configurable-http-proxy")],
            "pid_file": str(private / "proxy.pid"),
        },
        "PAMAuthenticator": {
            "service": PAM,
            "open_sessions": False,
            "allowed_users": [member.name for member in MEMBERS],
        },
        "LocalProcessSpawner": {
            "cmd": [str(Path(sys.prefix, "bin", "jupyterhub-singleuser"))],
            "default_url": "/lab",
            "start_timeout": LIMIT_SECONDS,
            "http_timeout": LIMIT_SECONDS,
            "environment": {
                "JUPYTER_PATH": str(hub.shared.parent),
                "JUPYTER_CONFIG_PATH": str(folder / "config"),
                "SPARK_LOCAL_IP": "127.0.0.1",
                **java,
                **environ,
            },
        },
    }


def _write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def _answers(hub: Hub, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return httpx.get(f"{hub.url}/hub/health").status_code == 200
    except httpx.TransportError:
        # Nobody listens yet.
        return False


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the first process of the namespace, and so all that it has, and wait for that."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if process.poll() is None:
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
    process.wait()


def main() -> None:
    """Serve a browser's walk until standard input ends."""
    if (reason := why_no_hub()) is not None:
        _tell({"reason": reason})
        return
    environment = Path(os.environ["PYSPARK_KERNELS_TEST_ENVIRONMENT"])
    with (
        tempfile.TemporaryDirectory() as work,
        standalone_cluster(environment, Path(work)) as cluster,
        running_hub(environment) as hub,
    ):
        told = {"url": hub.url, "shared": str(hub.shared), **asdict(cluster)}
        _tell({**told, "members": [asdict(member) for member in MEMBERS]})
        sys.stdin.read()


def _tell(what: Mapping[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
