"""How clusters are asked, and what becomes of answers that are not as they should be.

The servers here are real ones on loopback, which play clusters that a real cluster is hard to make
be: hanging, hostile, or Kubernetes. What real masters answer is tested in `test_capacity`.
"""

import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import free_port

from jupyterlab_pyspark_kernels.capacity import look
from jupyterlab_pyspark_kernels.clusters import Capacity, NoAnswer, parse_master
from jupyterlab_pyspark_kernels.clusters.ask import MAX_BYTES, Site, ask, is_forbidden
from jupyterlab_pyspark_kernels.clusters.hadoop import HadoopConf, read_hadoop_conf
from jupyterlab_pyspark_kernels.clusters.kubernetes import quantity, read_cluster
from jupyterlab_pyspark_kernels.clusters.standalone import read_state
from jupyterlab_pyspark_kernels.clusters.yarn import read_cluster as read_yarn
from jupyterlab_pyspark_kernels.config import read_config

Answering = Callable[[BaseHTTPRequestHandler], None]

SECONDS = 1.0
"""How long servers that hang are waited for."""


@contextmanager
def serving(answer: Answering, tls: ssl.SSLContext | None = None) -> Iterator["Server"]:
    """Run a server that answers every request so."""
    server = Server(answer)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Server(ThreadingHTTPServer):
    """Keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answer: Answering) -> None:
        asked: list[tuple[str, dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, dict(self.headers)))
                try:
                    answer(self)
                except OSError:
                    # Whoever asked has heard enough.
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = asked
        self.site = Site("It", "http", "127.0.0.1", self.server_port)

    def handle_error(self, *_: object) -> None:
        """Keep the output free of handshakes that were broken off."""


def answering(body: bytes, status: int = 200, **headers: str) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def soon(seconds: float = 30) -> float:
    return time.monotonic() + seconds


def said(site: Site, seconds: float = 30) -> str:
    """Give what is said of a site that gives no answer."""
    with pytest.raises(NoAnswer) as caught:
        ask(site, "/", soon(seconds))
    return str(caught.value).replace(f"It at {site.host}:{site.port} ", "")


# --- what a site may do -------------------------------------------------------------------------


def test_an_answer_is_read() -> None:
    with serving(answering(b'{"a": [1]}')) as server:
        assert ask(server.site, "/state?x=1", soon()) == {"a": [1]}
    ((path, headers),) = server.asked
    assert path == "/state?x=1"
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"


def endlessly(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (answering(b"", 302, Location="http://169.254.169.254/"), "answers with a redirect, "),
        (answering(b"<html>", 200), "answers with something that is not JSON."),
        (answering(b'{"a": '), "answers with something that is not JSON."),
        (answering(b"\xff\xfe\x00"), "answers with something that is not JSON."),
        (answering(b"[" * 200_000), "answers with something that is not JSON."),
        (answering(b"1" * 10_000), "answers with something that is not JSON."),
        (answering(b"secret", 500), "answers with the status 500."),
        (answering(b"secret", 403), "does not allow it (status 403)."),
        (answering(b"x" * 100 * 1024**2), f"answers with more than {MAX_BYTES // 1024**2} MiB."),
        (endlessly, f"answers with more than {MAX_BYTES // 1024**2} MiB."),
        (answering(b"", 200, **{"X" * 70_000: "y"}), "does not speak HTTP as it should."),
    ],
)
def test_an_answer_of_no_use_is_said_and_not_repeated(answer: Answering, sentence: str) -> None:
    with serving(answer) as server:
        assert said(server.site).startswith(sentence)
    # A redirect was not followed.
    assert len(server.asked) == 1


def drip(stop: threading.Event, piece: bytes) -> Answering:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
        while not stop.wait(0.05):
            handler.wfile.write(piece)

    return answer


@pytest.mark.parametrize("piece", [b"x", b"X-A: b\r\n", b"\r\n\r\n"])
def test_a_byte_now_and_then_is_no_answer(piece: bytes) -> None:
    stop = threading.Event()
    with serving(drip(stop, piece)) as server:
        # It would go on without end.
        assert said(server.site, SECONDS) in (
            "does not answer in time.",
            "does not speak HTTP as it should.",
        )
        stop.set()


def test_who_accepts_and_says_nothing_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for scheme in ("http", "https"):
            site = Site("It", scheme, "127.0.0.1", port)
            assert said(site, SECONDS) == "does not answer in time."


def test_who_is_not_there_refuses() -> None:
    site = Site("It", "http", "127.0.0.1", free_port())
    assert said(site) == "refuses the connection."


def test_an_unknown_name_is_said() -> None:
    assert said(Site("It", "http", "nobody.invalid", 80)).startswith("has a name that is not ")


def test_no_time_is_no_answer() -> None:
    with serving(answering(b"{}")) as server, pytest.raises(NoAnswer):
        ask(server.site, "/", time.monotonic() - 1)
    assert server.asked == []


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answering(b"{}")) as server, serving(answering(b"[]")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        assert ask(server.site, "/", soon()) == {}
    assert proxy.asked == []


# --- addresses that are never asked -------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1",
        # The system's resolver makes link-local addresses of these names.
        "2852039166",
        "0xa9fea9fe",
        "169.254.43518",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
@pytest.mark.parametrize("master", ["spark://{}:7077", "k8s://https://{}:443", "yarn"])
def test_addresses_where_machines_keep_secrets_are_never_asked(
    host: str, master: str, tmp_path: Path
) -> None:
    write_conf(tmp_path, "yarn-site.xml", **{"yarn.resourcemanager.webapp.address": f"{host}:80"})
    config = read_config(
        {
            "display_name": "k",
            "environment": "/env",
            "master": master.format(host),
            "env": {"HADOOP_CONF_DIR": str(tmp_path)},
        }
    )
    problem = look(config).problem
    assert problem is not None
    assert "never asked, as machines keep secrets there" in problem


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "fd12::1", "8.8.8.8"])
def test_addresses_of_clusters_are_asked(address: str) -> None:
    assert not is_forbidden(address)


# --- standalone ---------------------------------------------------------------------------------


WORKER = {"cores": 4, "coresfree": 3, "memory": 2000, "memoryfree": 1000, "state": "ALIVE"}
NO_FIGURES: list[Any] = [None, "4", True, -1, float("nan"), float("inf"), 10**40, [], {}]


def state(**changes: Any) -> dict[str, Any]:
    return {
        "url": "spark://h:7077",
        "status": "ALIVE",
        "workers": [WORKER, {**WORKER, "state": "DEAD"}],
        "activeapps": [{"state": "WAITING", "name": "<script>"}, {"state": "RUNNING"}],
        **changes,
    }


def test_workers_that_are_dead_do_not_count() -> None:
    found = read_state(state(), 7077)
    assert (found.node_count, found.cores_free, found.memory_total_mib) == (1, 3, 2000)
    assert found.waiting == 1
    assert "script" not in found.model_dump_json()


@pytest.mark.parametrize(
    "answer",
    [
        *(None, [], "x", 3, {}),
        state(status="STANDBY"),
        state(url="spark://h:7078"),
        state(url="spark://h:99999"),
        state(url=7),
        state(workers=3),
        state(workers=[3]),
        state(activeapps="x"),
        *(state(workers=[{**WORKER, "cores": wrong}]) for wrong in NO_FIGURES),
    ],
)
def test_what_is_no_state_of_the_leading_master_is_no_answer(answer: object) -> None:
    with pytest.raises(NoAnswer):
        read_state(answer, 7077)


def test_a_hanging_master_leaves_time_for_the_next() -> None:
    answer = answering(json.dumps(state()).encode())
    with serving(answer) as server, socket.socket() as hanging:
        hanging.bind(("127.0.0.2", server.server_port))
        hanging.listen()
        master = parse_master("spark://127.0.0.2:7077,127.0.0.1:7077")
        conf = {"spark.master.ui.port": str(server.server_port)}
        assert capacity_of(master, conf, {}, 4).node_count == 1


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "٣"])
def test_a_port_that_is_none_is_said(port: str) -> None:
    with pytest.raises(NoAnswer, match="is not a port"):
        capacity_of(parse_master("spark://127.0.0.1:1"), {"spark.master.ui.port": port}, {})


def capacity_of(
    master: Any, conf: dict[str, str], env: dict[str, str], seconds: float = 30
) -> Capacity:
    found: Capacity = master.capacity(conf, env, soon(seconds))
    return found


# --- Hadoop's configuration and YARN ------------------------------------------------------------


def write_conf(directory: Path, name: str, **properties: str) -> None:
    lines = (
        f"<property><name>{key}</name><value>{value}</value></property>"
        for key, value in properties.items()
    )
    (directory / name).write_text(f"<configuration>{''.join(lines)}</configuration>")


def test_values_refer_to_others_and_later_files_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "canary")
    write_conf(tmp_path, "a.xml", host="one", web="${host}:8088", padded=" x ")
    write_conf(tmp_path, "b.xml", host="two", loop="${loop}", env="${env.SECRET}${SECRET}")
    conf = read_hadoop_conf(str(tmp_path), "a.xml", "missing.xml", "b.xml")
    assert conf.get("web") == "two:8088"
    assert conf.get("padded") == "x"
    assert conf.get("nothing") is None
    assert conf.get("loop") == "${loop}"
    assert not conf.get("env")


BOMB = (
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
    "<configuration><property><name>a</name><value>&b;</value></property></configuration>"
)


ODD = '<?xml version="1.0" encoding="odd"?><configuration/>'


@pytest.mark.parametrize("content", ["", "<configuration>", BOMB, ODD, "x", " " * 2 * 1024**2])
def test_a_broken_configuration_is_said(content: str, tmp_path: Path) -> None:
    (tmp_path / "yarn-site.xml").write_text(content)
    with pytest.raises(NoAnswer, match="is not a readable configuration file"):
        capacity_of(parse_master("yarn"), {}, {"HADOOP_CONF_DIR": str(tmp_path)})


def test_a_pipe_in_place_of_the_configuration_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "yarn-site.xml")
    with pytest.raises(NoAnswer, match="is not a readable configuration file"):
        capacity_of(parse_master("yarn"), {}, {"HADOOP_CONF_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({}, "yarn-site.xml has no yarn.resourcemanager.webapp.address"),
        ({"yarn.resourcemanager.webapp.address": "u:p@h:1"}, "must not hold a user name"),
        ({"yarn.resourcemanager.webapp.address": "h:1/x"}, "is not an address"),
        (
            {"yarn.resourcemanager.ha.enabled": "true", "yarn.resourcemanager.ha.rm-ids": "a"},
            "webapp.address.a",
        ),
        (
            {"yarn.http.policy": "HTTPS_ONLY", "yarn.resourcemanager.hostname": "nobody.invalid"},
            "nobody.invalid:8090",
        ),
        ({"yarn.resourcemanager.hostname": "nobody.invalid"}, "nobody.invalid:8088"),
    ],
)
def test_where_yarn_is_not_to_be_found_is_said(
    properties: dict[str, str], message: str, tmp_path: Path
) -> None:
    write_conf(tmp_path, "yarn-site.xml", **properties)
    with pytest.raises(NoAnswer, match=message):
        capacity_of(parse_master("yarn"), {}, {"YARN_CONF_DIR": str(tmp_path)})
    with pytest.raises(NoAnswer, match="Set HADOOP_CONF_DIR"):
        capacity_of(parse_master("yarn"), {}, {})


def test_a_fair_scheduler_is_read(tmp_path: Path) -> None:
    """In the form of the REST interface's description; the real YARN of the tests has the other."""
    leaf = {
        "queueName": "root.team",
        "maxResources": {"memory": 4096, "vCores": 4},
        "usedResources": {"memory": 1024, "vCores": 1},
        "numPendingApps": 2,
    }
    hostile = {**leaf, "queueName": "<script>"}
    root = {"queueName": "root", "childQueues": {"queue": [leaf, hostile]}}
    scheduler = {"scheduler": {"schedulerInfo": {"type": "fairScheduler", "rootQueue": root}}}
    write_conf(tmp_path, "yarn-site.xml", **{"yarn.scheduler.increment-allocation-mb": "512"})
    conf = read_hadoop_conf(str(tmp_path), "yarn-site.xml")
    busy = {
        "usedMemoryMB": 9000,
        "availMemoryMB": -100,
        "usedVirtualCores": 1,
        "availableVirtualCores": 3,
    }
    nodes = {"nodes": {"node": [busy, {**busy, "nodeLabels": ["gpu"]}]}}
    found = read_yarn(scheduler, nodes, conf)
    assert found.booking.step_mib == 512
    # Whatever capacity-scheduler.xml says, which is not there.
    assert found.booking.cores_count
    assert found.makes_queues
    (queue,) = found.queues
    assert (queue.name, queue.open, queue.memory_free_mib) == ("root.team", True, 3072)
    assert found.waiting == 2
    assert (found.node_count, found.memory_free_mib, found.cores_free) == (1, 0, 3)
    strange: list[Any] = [[], None, {"nodes": 3}, {"nodes": {"node": [4]}}]
    for wrong in strange:
        with pytest.raises(NoAnswer):
            read_yarn(scheduler, wrong, conf)
    with pytest.raises(NoAnswer):
        read_yarn({"scheduler": []}, nodes, conf)
    assert read_yarn(scheduler, {"nodes": None}, conf).nodes == ()


# --- Kubernetes ---------------------------------------------------------------------------------


def kubernetes_node(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": changes.pop("spec", {}),
        "status": {
            "allocatable": {"cpu": "3920m", "memory": "8Gi"},
            "conditions": [{"type": "Ready", "status": "True"}],
            **changes,
        },
    }


def pod(node: str | None, *requests: dict[str, str], phase: str = "Running") -> dict[str, Any]:
    containers = [{"resources": {"requests": request}} for request in requests]
    spec = {"containers": containers, **({"nodeName": node} if node else {})}
    return {"spec": spec, "status": {"phase": phase}}


def test_what_is_free_of_kubernetes_nodes() -> None:
    """The objects are in the form of the API's reference; there is no Kubernetes here."""
    starting = pod("a", {"cpu": "100m", "memory": "1Gi"})
    starting["spec"]["initContainers"] = [
        {"restartPolicy": "Always", "resources": {"requests": {"memory": "256Mi"}}},
        {"resources": {"requests": {"cpu": "1", "memory": "128Mi"}}},
    ]
    starting["spec"]["overhead"] = {"cpu": "20m", "memory": "0"}
    found = read_cluster(
        [
            kubernetes_node("a"),
            kubernetes_node("b", allocatable={"cpu": "2", "memory": "4000000Ki"}),
            kubernetes_node("cordoned", spec={"unschedulable": True}),
            kubernetes_node("tainted", spec={"taints": [{"effect": "NoSchedule"}]}),
            kubernetes_node("broken", conditions=[{"type": "Ready", "status": "Unknown"}]),
        ],
        [
            starting,
            pod("a", {"cpu": "1"}, {"cpu": "500m", "memory": "512M"}),
            pod("a", {"cpu": "1", "memory": "4Gi"}, phase="Succeeded"),
            pod("b", {"cpu": "3"}),
            pod(None, {"cpu": "64"}, phase="Pending"),
        ],
    )
    a, b = found.nodes
    # The start of the one takes 1 core, its run 1.25 GiB; the other takes 1.5 cores and 512 MB.
    assert (a.cores_total, a.cores_free) == (3.92, 1.4)
    assert (a.memory_total_mib, a.memory_free_mib) == (8192, 8192 - 1024 - 256 - 489)
    assert (b.cores_free, b.memory_free_mib) == (0, 3906)
    assert found.waiting == 1


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        *(("2", 2), (3, 3), ("100m", "0.1"), ("1.5Gi", 1610612736), ("129M", 129_000_000)),
        *(("1e3", 1000), ("1E3", 1000), ("1Ei", 1024**6), ("5n", "5e-9"), ("0", 0)),
    ],
)
def test_quantities(text: object, amount: Any) -> None:
    assert quantity(text) == quantity(0) + type(quantity(0))(amount)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.2.3", "1Xi", "1e99", None, 1.5, [], "1" * 40])
def test_what_is_no_quantity(text: object) -> None:
    with pytest.raises(NoAnswer):
        quantity(text)


TOKEN = "canary.token-1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority, and its key, in one file."""
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", path],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return path


def kubernetes(handler: BaseHTTPRequestHandler) -> None:
    """Answer as the API does: to those with the token, in pages."""
    if handler.headers["Authorization"] != f"Bearer {TOKEN}":
        answering(b'{"kind": "Status", "message": "secret"}', 403)(handler)
        return
    path = handler.path.removeprefix("/gate")
    if path == "/api/v1/nodes?limit=250":
        body = {"items": [kubernetes_node("a")], "metadata": {"continue": "next/1"}}
    elif path == "/api/v1/nodes?limit=250&continue=next%2F1":
        body = {"items": [kubernetes_node("b")], "metadata": {}}
    elif path == "/api/v1/pods?limit=250":
        body = {"items": [pod("a", {"memory": "1Gi"})], "metadata": {"continue": ""}}
    else:
        answering(b"{}", 404)(handler)
        return
    answering(json.dumps(body).encode())(handler)


def serving_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def authenticate(**files: Path) -> dict[str, str]:
    return {f"spark.kubernetes.authenticate.{name}": str(path) for name, path in files.items()}


def test_kubernetes_is_asked_page_by_page_over_tls(certificate: Path, tmp_path: Path) -> None:
    """A server on loopback plays the API, with answers in its form: there is no Kubernetes here."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    with serving(kubernetes, serving_tls(certificate)) as server:
        url = f"k8s://https://127.0.0.1:{server.server_port}/gate"
        files = authenticate(oauthTokenFile=token, caCertFile=certificate)
        found = capacity_of(parse_master(url), files, {})
    assert (found.node_count, found.memory_total_mib, found.memory_free_mib) == (2, 16384, 15360)


def test_the_token_goes_to_nobody_who_is_not_trusted(certificate: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with serving(kubernetes, serving_tls(certificate)) as server:
        master = parse_master(f"k8s://https://127.0.0.1:{server.server_port}")
        with pytest.raises(NoAnswer, match="certificate that is not trusted here"):
            capacity_of(master, authenticate(oauthTokenFile=token), {})
    assert server.asked == []
    with serving(kubernetes) as server:
        master = parse_master(f"k8s://http://127.0.0.1:{server.server_port}")
        with pytest.raises(NoAnswer, match=r"status 403\). The figures need an account"):
            capacity_of(master, authenticate(oauthTokenFile=token), {})
    ((_, headers),) = server.asked
    assert "Authorization" not in headers


@pytest.mark.parametrize("content", ["", "two words", "-----BEGIN\nKEY-----", "a\r\nX: y", "é"])
def test_no_other_file_is_sent_in_place_of_a_token(content: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(content)
    for path in (tmp_path / "token", tmp_path / "missing", tmp_path):
        with pytest.raises(NoAnswer, match="holds no token"):
            capacity_of(
                parse_master("k8s://https://127.0.0.1:1"), authenticate(oauthTokenFile=path), {}
            )


@pytest.mark.parametrize(
    "body", [b"[]", b"3", b"{}", b'{"items": 3}', b'{"items": [3]}', b'{"items": [{}]}']
)
def test_what_is_no_answer_of_kubernetes_is_said(body: bytes) -> None:
    with serving(answering(body)) as server:
        master = parse_master(f"k8s://http://127.0.0.1:{server.server_port}")
        with pytest.raises(NoAnswer):
            found = capacity_of(master, {}, {})
            # A node without a state takes no pods.
            raise NoAnswer(str(found.node_count))


# --- answers of any form ------------------------------------------------------------------------

NAMES = [
    "url",
    "status",
    "workers",
    "activeapps",
    "state",
    "cores",
    "coresfree",
    "memory",
    "memoryfree",
    "scheduler",
    "schedulerInfo",
    "rootQueue",
    "maximumAllocation",
    "vCores",
    "queues",
    "queue",
    "childQueues",
    "queueName",
    "resourcesUsed",
    "maxResources",
    "absoluteMaxCapacity",
    "capacities",
    "queueCapacitiesByPartition",
    "configuredMinResource",
    "nodes",
    "node",
    "resourceInformations",
    "resourceInformation",
    "name",
    "minimumAllocation",
    "usedMemoryMB",
    "availMemoryMB",
    "usedVirtualCores",
    "availableVirtualCores",
    "nodeLabels",
    "metadata",
    "spec",
    "phase",
    "nodeName",
    "containers",
    "resources",
    "requests",
    "cpu",
    "initContainers",
    "overhead",
    "allocatable",
    "conditions",
    "type",
    "taints",
    "effect",
    "unschedulable",
]
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-1, 10**16),
        st.floats(),
        st.sampled_from(["spark://h:7077", "ALIVE", "Ready", "True", "memory-mb", "1Gi", "x", "a"]),
    ),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(NAMES), below, max_size=6)
    ),
    max_leaves=40,
)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_whatever_is_answered_gives_figures_or_no_answer(one: Any, other: Any) -> None:
    readings: list[Callable[[], Capacity]] = [
        lambda: read_state({"url": "spark://h:7077", "status": "ALIVE", "workers": one}, 7077),
        lambda: read_yarn({"scheduler": {"schedulerInfo": one}}, {"nodes": other}, HadoopConf({})),
        lambda: read_yarn(one, other, HadoopConf({})),
        lambda: read_cluster([one, {"spec": one, "status": other}], [other, {"spec": other}]),
    ]
    for reading in readings:
        try:
            reading().model_dump_json()
        except NoAnswer as error:
            assert str(error).endswith(".")
