"""Kubernetes' API for the tests: one that takes down what it is asked for, and the real one."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from kernels import free_port, wait_until

VERSION = "1.36"
"""Of Kubernetes, whose published schemas and whose API server are used."""

Thing = dict[str, Any]
"""An object of Kubernetes."""


def make_certificate(path: Path) -> Path:
    """Make a certificate of 127.0.0.1 that is its own authority, and its key beside it."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test"
    where = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key_of(path))]
    subprocess.run(
        [*command.split(), *where, "-out", str(path)], check=True, stderr=subprocess.DEVNULL
    )
    return path


def key_of(certificate: Path) -> Path:
    """Give where the key of a certificate is."""
    return certificate.with_suffix(".key")


# --- a server that takes down what it is asked for ------------------------------------------------


@dataclass
class Recorder:
    """What somebody asked of an API that runs nothing.

    Attributes:
        url: where it listens.
        created: what was to be made, in its order.
        deleted: the paths of what was to go.
        tokens: what people showed.
        refusal: the code and the words with which it refuses to make anything, if it does.

    """

    url: str = ""
    created: list[Thing] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    refusal: tuple[int, str] | None = None

    def of(self, kind: str) -> list[Thing]:
        """Give what was made of a kind."""
        return [thing for thing in self.created if thing["kind"] == kind]


@contextmanager
def recorder(certificate: Path, existing: Mapping[str, Thing]) -> Iterator[Recorder]:
    """Listen on loopback.

    Args:
        certificate: of 127.0.0.1.
        existing: what is there already, by its path.

    """
    told = Recorder()
    ended = threading.Event()
    nobody = {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, query = self._asked()
            if "watch" in query:
                # Without a word: nothing ever happens to these pods. To whoever wants a web socket
                # it says that there is none, and they ask again.
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                if "Upgrade" not in self.headers:
                    ended.wait()
            elif path in existing:
                self._answer(200, existing[path])
            elif path.endswith("/pods"):
                self._answer(200, nobody)
            else:
                self._answer(*refused(404, f"{path} not found"))

        def do_POST(self) -> None:
            path, _ = self._asked()
            thing = self._body()
            if told.refusal is not None:
                self._answer(*refused(*told.refusal))
                return
            told.created.append(thing)
            uid = f"00000000-0000-0000-0000-{len(told.created):012}"
            metadata = {**thing["metadata"], "uid": uid, "resourceVersion": "1"}
            metadata.setdefault("namespace", path.split("/")[-2])
            self._answer(201, {**thing, "metadata": metadata})

        def do_DELETE(self) -> None:
            told.deleted.append(self._asked()[0])
            self._body()
            self._answer(200, {"apiVersion": "v1", "kind": "Status", "status": "Success"})

        def do_PATCH(self) -> None:
            self._asked()
            self._body()
            self._answer(*refused(404, "no such pod"))

        def _asked(self) -> tuple[str, Mapping[str, list[str]]]:
            told.tokens.add(self.headers.get("Authorization", ""))
            parts = urlsplit(self.path)
            return parts.path, parse_qs(parts.query)

        def _body(self) -> Thing:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content: Thing = json.loads(text) if text else {}
            return content

        def _answer(self, code: int, thing: Thing) -> None:
            body = json.dumps(thing).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Keep the output free of connections that were broken off."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key_of(certificate))
    # Whoever is slow to greet keeps nobody else waiting.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    told.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def refused(code: int, message: str) -> tuple[int, Thing]:
    """Refuse as Kubernetes does."""
    reason = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}[code]
    return code, {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


# --- the real one ---------------------------------------------------------------------------------

_PLURALS = {
    "Namespace": "api/v1/namespaces",
    "ServiceAccount": "api/v1/{}/serviceaccounts",
    "Pod": "api/v1/{}/pods",
    "Role": "apis/rbac.authorization.k8s.io/v1/{}/roles",
    "RoleBinding": "apis/rbac.authorization.k8s.io/v1/{}/rolebindings",
}
_ADMINISTRATOR = "of-the-administrator"


class ApiServer:
    """Kubernetes' own API server, asked as its administrator.

    Attributes:
        url: where it listens.
        client: of the administrator.

    """

    def __init__(self, url: str, certificate: Path) -> None:
        self.url = url
        self.client = httpx.Client(
            base_url=url,
            verify=ssl.create_default_context(cafile=certificate),
            headers={"Authorization": f"Bearer {_ADMINISTRATOR}"},
            timeout=60,
        )

    def is_ready(self) -> bool:
        """Tell whether it has started."""
        with suppress(httpx.TransportError):
            return bool(self.client.get("/readyz").is_success)
        return False

    def make(self, thing: Thing) -> Thing:
        """Make an object."""
        namespace = thing["metadata"].get("namespace")
        return self.call("POST", _PLURALS[thing["kind"]].format(f"namespaces/{namespace}"), thing)

    def pods(self, namespace: str) -> list[Thing]:
        """List the pods of a namespace."""
        found: list[Thing] = self.call("GET", f"api/v1/namespaces/{namespace}/pods")["items"]
        return found

    def token(self, namespace: str, account: str) -> str:
        """Give a new token of a service account, as Kubernetes mounts one into a pod."""
        path = f"api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str(self.call("POST", path, request)["status"]["token"])

    def tell(self, pod: Thing, status: Thing) -> None:
        """Say how a pod is, as its node does; nothing happens when it is gone."""
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        patch = "application/merge-patch+json"
        answer = self.client.patch(path, json={"status": status}, headers={"Content-Type": patch})
        assert answer.status_code in (200, 404), answer.text

    def call(self, method: str, path: str, body: Thing | None = None) -> Thing:
        """Ask something that has to succeed."""
        answer = self.client.request(method, f"/{path}", json=body)
        assert answer.is_success, answer.text
        content: Thing = answer.json()
        return content


@contextmanager
def api_server(program: str, folder: Path, certificate: Path) -> Iterator[ApiServer]:
    """Start what scripts/kubeapi builds, with role-based access control and two people.

    Args:
        program: the built file.
        folder: for all that it keeps; its path is short, as there is a socket in it.
        certificate: of 127.0.0.1.

    """
    port = free_port()
    key, tokens = folder / "accounts.key", folder / "tokens.csv"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    tokens.write_text(f'{_ADMINISTRATOR},admin,1,"system:masters"\nof-bob,bob,2\n')
    issuer = "https://kubernetes.default.svc"
    flags = {
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "tls-cert-file": certificate,
        "tls-private-key-file": key_of(certificate),
        "cert-dir": folder,
        "authorization-mode": "RBAC",
        "token-auth-file": tokens,
        "service-account-issuer": issuer,
        "service-account-key-file": key,
        "service-account-signing-key-file": key,
        "service-cluster-ip-range": "10.0.0.0/24",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, str(folder), *(f"--{name}={value}" for name, value in flags.items())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    api = ApiServer(f"https://127.0.0.1:{port}", certificate)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        return api.is_ready()

    try:
        wait_until(answers)
        yield api
    finally:
        api.client.close()
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def node(
    api: ApiServer, namespace: str, entrypoint: Path, environ: Mapping[str, str], folder: Path
) -> Iterator[None]:
    """Play the scheduler and the node: a pod is a process here, of the image's own entrypoint.

    Args:
        api: whose pods are run.
        namespace: of the pods.
        entrypoint: of the image.
        environ: the variables of the image.
        folder: where the processes work.

    """
    ended = threading.Event()
    running: dict[str, subprocess.Popen[bytes]] = {}

    def step() -> None:
        pods = {pod["metadata"]["name"]: pod for pod in api.pods(namespace)}
        for name, pod in pods.items():
            phase = pod["status"]["phase"]
            if name not in running:
                running[name] = _start_pod(pod, entrypoint, environ, folder)
                api.tell(pod, _RUNNING)
            elif phase == "Running" and (code := running[name].poll()) is not None:
                api.tell(pod, {"phase": "Failed" if code else "Succeeded"})
        for name in running.keys() - pods.keys():
            running.pop(name).terminate()

    def work() -> None:
        while not ended.wait(0.3):
            step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for process in running.values():
            process.kill()
            process.wait()


_ADDRESS = "127.0.0.1"
_RUNNING: Thing = {
    "phase": "Running",
    "podIP": _ADDRESS,
    "podIPs": [{"ip": _ADDRESS}],
    "conditions": [{"type": "Ready", "status": "True"}],
}


def _start_pod(
    pod: Thing, entrypoint: Path, environ: Mapping[str, str], folder: Path
) -> "subprocess.Popen[bytes]":
    (container,) = pod["spec"]["containers"]
    facts = {"status.podIP": _ADDRESS, "metadata.name": pod["metadata"]["name"]}
    given = {
        one["name"]: one["value"]
        if "valueFrom" not in one
        else facts[one["valueFrom"]["fieldRef"]["fieldPath"]]
        for one in container["env"]
        # An empty value is left out by the API.
        if "value" in one or "valueFrom" in one
    }
    # The volumes that would be mounted there.
    given["SPARK_LOCAL_DIRS"] = str(folder)
    with (folder / f"{pod['metadata']['name']}.log").open("wb") as log:
        return subprocess.Popen(
            [entrypoint, *container["args"]],
            env={**environ, **given},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
