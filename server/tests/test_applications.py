"""Running Spark applications: listed and stopped by real servers, with and without kernels."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cluster import Cluster
from jupyter_client.blocking.client import BlockingKernelClient
from kernels import (
    LIMIT_SECONDS,
    MARKER,
    SHORT_LIVED,
    System,
    free_port,
    marked_processes,
    wait_until,
)
from yarn import HadoopCluster

from jupyterlab_pyspark_kernels.applications import Known, Survey
from jupyterlab_pyspark_kernels.cli import main
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.errors import Missing
from jupyterlab_pyspark_kernels.kernel import contents
from jupyterlab_pyspark_kernels.kernel.belonging import KERNEL_ID, YARN_TAGS, mark, named_agent
from jupyterlab_pyspark_kernels.kernel.status import STATUS_DIRECTORY, Status
from jupyterlab_pyspark_kernels.processes import end, own_process
from jupyterlab_pyspark_kernels.render import render
from jupyterlab_pyspark_kernels.siblings import Held, Siblings, ask_siblings

TOKEN = "a-token"
ROUTE = "/jupyterlab-pyspark-kernels/applications"
NOBODY = 65534
WITHOUT_PARENT = ["/usr/bin/env", "-u", "JPY_PARENT_PID"]
"""Begins the command of a kernel that does not end when its server dies."""


@dataclass(frozen=True)
class Server:
    """A Jupyter server in a process of its own, as a person who is logged in talks to it."""

    folder: Path
    browser: httpx.Client
    process: subprocess.Popen[bytes]

    @property
    def runtime(self) -> Path:
        return self.folder / "RUNTIME"

    def status(self, kernel: str) -> dict[str, Any]:
        file = self.runtime / STATUS_DIRECTORY / f"{kernel}.json"
        content: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"stage": ""}
        return content

    def start(self, name: str, *stages: str) -> str:
        """Start a kernel with a notebook, and wait for its Spark; give its id."""
        body = {"path": f"{name}.ipynb", "name": name, "type": "notebook", "kernel": {"name": name}}
        started = self.browser.post("/api/sessions", json=body).raise_for_status()
        kernel = str(started.json()["kernel"]["id"])
        wait_until(lambda: self.status(kernel)["stage"] in (stages or ("ready",)))
        return kernel

    def applications(self) -> dict[str, dict[str, Any]]:
        answer = self.browser.get(ROUTE).raise_for_status().json()
        assert answer["notes"] == []
        return {one["id"]: one for one in answer["applications"]}

    def stop(self, application: str) -> httpx.Response:
        return self.browser.delete(f"{ROUTE}/{application}")

    def run(self, kernel: str, code: str) -> str:
        """Run a cell; give what it shows, or the name of its error."""
        shown: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            shown.append(
                content.get("text")
                or content.get("data", {}).get("text/plain")
                or content.get("ename")
                or ""
            )

        with connected(self.runtime, kernel) as client:
            client.execute_interactive(code, timeout=LIMIT_SECONDS, output_hook=hear)
        return "".join(shown)


@contextmanager
def connected(runtime: Path, kernel: str) -> Iterator[BlockingKernelClient]:
    client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel}.json"))
    client.load_connection_file()
    client.hb_channel.time_to_dead = LIMIT_SECONDS
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LIMIT_SECONDS)
        yield client
    finally:
        client.stop_channels()


@contextmanager
def served(folder: Path, marker: str) -> Iterator[Server]:
    """Start a server; others may have the same folder."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        *(f"--port={port}", "--port-retries=0", f"--IdentityProvider.token={TOKEN}"),
        *(f"--ServerApp.root_dir={folder}", "--ServerApp.disable_check_xsrf=True"),
        "--ServerApp.jpserver_extensions={'jupyterlab_pyspark_kernels': True}",
    ]
    folders = {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("DATA", "CONFIG", "RUNTIME")}
    environment = {
        **os.environ,
        **folders,
        "IPYTHONDIR": str(folder / "ipython"),
        MARKER: marker,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "JAVA_TOOL_OPTIONS": SHORT_LIVED,
    }
    address = f"http://127.0.0.1:{port}"
    with (folder / f"log-{port}").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        headers = {"Authorization": f"token {TOKEN}"}
        with httpx.Client(base_url=address, timeout=LIMIT_SECONDS, headers=headers) as browser:
            wait_until(lambda: answers(browser))
            yield Server(folder, browser, process)
    finally:
        process.terminate()
        process.wait()


def answers(browser: httpx.Client) -> bool:
    try:
        return browser.get("/api/status").is_success
    except httpx.TransportError:
        return False


def write_kernel(folder: Path, environment: Path, name: str, *before: str, **config: Any) -> None:
    directory = folder / "DATA" / "kernels" / name
    directory.mkdir(parents=True)
    data = {"name": name, "environment": str(environment), "master": "local[2]", **config}
    spec = render(read_config(data), "tester")
    spec["argv"] = [*before, *spec["argv"]]
    (directory / "kernel.json").write_text(json.dumps(spec))
    for file, content in contents().items():
        (directory / file).write_bytes(content)


@pytest.fixture
def folder(pyspark_environment: Path, tmp_path: Path) -> Path:
    write_kernel(tmp_path, pyspark_environment, "mine")
    write_kernel(tmp_path, pyspark_environment, "stays", *WITHOUT_PARENT)
    return tmp_path


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Mark all processes; none may be left."""
    marker = f"apps-{request.node.name}-{os.getpid()}"
    yield marker
    for pid in marked_processes(marker):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def server(folder: Path, name: str) -> Iterator[Server]:
    with served(folder, name) as started:
        yield started


# --- with a kernel ------------------------------------------------------------------------------


def test_one_is_listed_stopped_and_comes_back(server: Server) -> None:
    first, second = server.start("mine"), server.start("stays")
    listed = server.applications()
    assert listed.keys() == {first, second}
    shown = listed[first]
    assert (shown["kernel"], shown["path"], shown["name"]) == ("running", "mine.ipynb", "mine")
    assert (shown["stage"], shown["master"], shown["ui"]) == ("ready", "local[2]", True)
    assert shown["application_id"] == server.status(first)["application_id"]
    assert shown["since"].endswith("+00:00")

    server.run(first, "KEY = 'spark.sql.shuffle.partitions'; spark.conf.set(KEY, '3')")
    server.run(first, "mine = 41; frame = spark.range(3)")
    told = server.run(first, f"sc.getConf().get({KERNEL_ID!r})")
    assert told == repr(first)
    jvm = server.status(first)["jvm"]
    assert own_process(jvm) is not None
    assert server.stop(first).status_code == 204
    assert server.applications().keys() == {second}
    status = server.status(first)
    assert (status["stage"], status["ui"]) == ("stopped_asked", None)
    wait_until(lambda: own_process(jvm) is None)
    # Once more is no harm.
    assert server.stop(first).status_code == 204
    assert server.run(first, "mine + 1") == "42"
    assert "was stopped on request" in server.run(first, "print(repr(globals()['sp' + 'ark']))")
    assert "stopped on request, as old DataFrames do" in server.run(first, "frame.count()")
    assert server.status(first)["stage"] == "stopped_asked"
    said = server.run(first, "spark.range(7).count(), spark.conf.get(KEY)")
    assert said.startswith("Spark was stopped on request and is back: ")
    assert said.endswith("(7, '3')")
    assert server.applications().keys() == {first, second}
    # And again, as the second Spark is no other than the first.
    assert server.stop(first).status_code == 204
    assert server.run(first, "spark.range(8).count()").endswith("8")


def test_a_cell_that_runs_fails_with_spark_s_own_error(server: Server) -> None:
    kernel = server.start("mine")
    answer: list[str] = []
    code = (
        "from pyspark.sql.functions import udf\n"
        "slow = udf(lambda _: __import__('time').sleep(900))\n"
        "spark.range(2).select(slow('id')).write.format('noop').mode('overwrite').save()"
    )
    cell = threading.Thread(target=lambda: answer.append(server.run(kernel, code)))
    cell.start()
    wait_until(lambda: server.applications()[kernel]["busy"])
    wait_until(lambda: running_jobs(server, kernel))
    assert server.stop(kernel).status_code == 204
    cell.join(LIMIT_SECONDS)
    assert not cell.is_alive()
    assert "Py4JJavaError" in answer[0], answer
    assert server.run(kernel, "spark.range(9).count()").endswith("9")


def running_jobs(server: Server, kernel: str) -> list[Any]:
    status = server.status(kernel)
    path = f"/jupyterlab-pyspark-kernels/ui/{kernel}/api/v1/applications"
    jobs = server.browser.get(f"{path}/{status['application_id']}/jobs?status=running")
    found: list[Any] = jobs.json()
    return found


def test_one_that_starts_is_refused_and_one_without_spark_is_done(server: Server) -> None:
    kernel = server.start("mine", "jvm", "connecting")
    answer = server.stop(kernel)
    assert answer.status_code == 422
    assert "starting" in answer.json()["message"]
    wait_until(lambda: server.status(kernel)["stage"] == "ready")
    server.run(kernel, "spark.stop()")
    wait_until(lambda: server.status(kernel)["stage"] == "stopped")
    assert server.applications() == {}
    assert server.stop(kernel).status_code == 204


@pytest.mark.parametrize("bad", ["0" * 32, "..%2fx", "%2e%2e", "a b", "x" * 300, "%00", "-"])
def test_what_is_none_is_missing(server: Server, bad: str) -> None:
    answer = server.stop(bad)
    assert answer.status_code == 404, answer.text
    assert "Traceback" not in answer.text


# --- without a kernel ---------------------------------------------------------------------------


def test_what_a_killed_server_leaves_is_found_and_stopped(folder: Path, name: str) -> None:
    with served(folder, name) as first:
        orphan = first.start("stays")
        ends = first.start("mine")
        pid, jvm = (first.status(orphan)[key] for key in ("pid", "jvm"))
        with served(folder, name) as second:
            # As long as its server lives it is that server's.
            assert second.applications() == {}
            assert second.stop(orphan).status_code == 204
            assert own_process(pid) is not None
            first.process.kill()
            first.process.wait()
            wait_until(lambda: second.applications().keys() == {orphan})
            assert own_process(first.status(ends)["pid"]) is None
            shown = second.applications()[orphan]
            assert (shown["kernel"], shown["path"], shown["ui"]) == ("process", None, False)
            assert (shown["stage"], shown["name"]) == ("ready", "stays")
            # It still computes.
            assert second.run(orphan, "spark.range(5).count()") == "5"
            assert second.stop(orphan).status_code == 204
            assert second.applications() == {}
            wait_until(lambda: own_process(pid) is None and own_process(jvm) is None)
            assert second.stop(orphan).status_code == 204


def test_a_kernel_that_does_not_listen_any_longer_is_killed(folder: Path, name: str) -> None:
    with served(folder, name) as first:
        orphan = first.start("stays")
        pid, jvm = (first.status(orphan)[key] for key in ("pid", "jvm"))
        first.process.kill()
        first.process.wait()
    os.kill(pid, signal.SIGSTOP)
    with served(folder, name) as second:
        wait_until(lambda: orphan in second.applications())
        assert second.stop(orphan).status_code == 204
        wait_until(lambda: own_process(pid) is None and own_process(jvm) is None)


def test_a_jvm_that_outlives_its_kernel_is_found_and_stopped(folder: Path, name: str) -> None:
    with served(folder, name) as first:
        kernel = first.start("stays")
        # A fork has the pipe whose end Spark's JVM waits for.
        first.run(
            kernel, "import os\nchild = os.fork()\nif not child: __import__('time').sleep(900)"
        )
        status = first.status(kernel)
        # The server first, as it would start the kernel again.
        first.process.kill()
        first.process.wait()
        os.kill(status["pid"], signal.SIGKILL)
    with served(folder, name) as second:
        wait_until(lambda: own_process(status["pid"]) is None)
        assert own_process(status["jvm"]) is not None
        assert second.applications()[kernel]["kernel"] == "driver"
        assert second.stop(kernel).status_code == 204
        wait_until(lambda: own_process(status["jvm"]) is None)
        assert second.applications() == {}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for answers as long as a busy machine needs."""
    for name in ("applications._SECONDS", "applications._END_SECONDS", "siblings._SECONDS"):
        monkeypatch.setattr(f"jupyterlab_pyspark_kernels.{name}", LIMIT_SECONDS)


# --- on clusters --------------------------------------------------------------------------------


def foreign_application(environment: Path, folder: Path, config: dict[str, Any]) -> Any:
    """Start an application that belongs to no kernel, and give its process."""
    spec = render(read_config({"name": "x", "environment": str(environment), **config}), "tester")
    code = (
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.appName('foreign').getOrCreate()\n"
        "print(spark.sparkContext.applicationId, flush=True)\n"
        "__import__('time').sleep(900)"
    )
    return subprocess.Popen(
        [str(environment / "bin" / "python"), "-c", code],
        # The launcher takes away what is empty.
        env={**os.environ, **{key: value for key, value in spec["env"].items() if value}},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=(folder / "foreign.log").open("w"),
        text=True,
    )


def folder_log(folder: Path) -> str:
    return (folder / "foreign.log").read_text()[-3000:]


def tell(runtime: Path, **status: Any) -> Path:
    """Write what a kernel told before it was killed."""
    told = Status(runtime / "kernel-gone.json")
    told.update(stage="ready", **status)
    content = json.loads(told.path.read_text())
    # A number that nobody has.
    told.path.write_text(json.dumps({**content, "pid": 2**22 + 1, **status}))
    return told.path


def survey(runtime: Path, known: Known, siblings: Siblings | None = None) -> Survey:
    here: dict[str, Held] = {}
    return Survey(runtime, here, siblings or Siblings(), {"/kernels/gone": known})


def known_kernel(settings: dict[str, str], **config: Any) -> Known:
    data = {"name": "gone", "environment": "/env", **config}
    return Known("Gone", read_config(data), settings)


@pytest.mark.usefixtures("short_lived_java")
@pytest.mark.usefixtures("patient")
def test_a_standalone_master_tells_and_ends_it(
    spark_cluster: Cluster, pyspark_environment: Path, tmp_path: Path
) -> None:
    conf = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    config = {"master": spark_cluster.master, "executor_memory": "512m", "conf": conf}
    driver = foreign_application(pyspark_environment, tmp_path, config)
    try:
        application = driver.stdout.readline().strip()
        assert application.startswith("app-"), (folder_log(tmp_path), application)
        told = {"master": spark_cluster.master, "application_id": application}
        tell(tmp_path, directory="/kernels/gone", **told)
        web = {"spark.master.ui.port": spark_cluster.web.rpartition(":")[2]}
        found = survey(tmp_path, known_kernel(web, **config))
        (shown,) = found.shown().applications
        assert (shown.id, shown.kernel, shown.application_id) == (
            "gone",
            "application",
            application,
        )
        # Somebody else's application is none of ours.
        assert len(spark_cluster.applications()) == 1
        found.end("gone")
        wait_until(lambda: spark_cluster.applications() == {})
        assert survey(tmp_path, known_kernel(web, **config)).shown().applications == []
        # Where nobody answers, that is a note and no error.
        silent = survey(
            tmp_path, known_kernel({"spark.master.ui.port": str(free_port())}, **config)
        )
        assert "refuses the connection" in silent.shown().notes[0]
    finally:
        driver.kill()
        driver.wait()


@pytest.mark.usefixtures("patient")
def test_yarn_shows_the_kernel_and_ends_what_it_left(
    yarn: HadoopCluster, pyspark_environment: Path, folder: Path, name: str
) -> None:
    (jars,) = pyspark_environment.glob("lib/python3*/site-packages/pyspark/jars")
    config = {
        "master": "yarn",
        "executor_memory": "512m",
        "executor_instances": 1,
        "env": {"HADOOP_CONF_DIR": str(yarn.conf), "SPARK_LOCAL_IP": "127.0.0.1"},
        "labels": {"team": "research"},
        "conf": {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.yarn.jars": f"local:{jars}/*",
            "spark.yarn.am.memory": "256m",
            "spark.yarn.tags": "own",
        },
    }
    write_kernel(folder, pyspark_environment, "onyarn", **config)
    with served(folder, name) as server:
        kernel = server.start("onyarn")
        application = yarn.applications()["onyarn"]
        tags = {"own", "team:research", f"pyspark-kernel:{kernel}"}
        assert set(application["applicationTags"].split(",")) == tags
        # As if the kernel had died on the way, before it knew its application.
        status = {**server.status(kernel), "pid": 2**22 + 1, "jvm": None, "application_id": None}
        runtime = folder / "other"
        (runtime / STATUS_DIRECTORY).mkdir(parents=True, mode=0o700)
        file = runtime / STATUS_DIRECTORY / f"{kernel}.json"
        file.write_text(json.dumps({**status, "stage": "connecting"}))
        file.chmod(0o600)
        known = {str(status["directory"]): known_kernel({}, **config)}
        found = Survey(runtime, {}, Siblings(), known)
        (shown,) = found.shown().applications
        assert (shown.kernel, shown.application_id) == ("application", application["id"])
        # A kernel that a server has is not gone.
        held = Siblings({kernel: Held("onyarn")})
        assert Survey(runtime, {}, held, known).shown().applications == []
        found.end(kernel)
        wait_until(lambda: yarn.applications()["onyarn"]["state"] == "KILLED")


# --- who is left alone --------------------------------------------------------------------------


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that was given the connection file of the kernel `gone`."""
    process = pretending(tmp_path)
    yield process
    process.kill()
    process.wait()


def pretending(runtime: Path, user: int | None = None) -> subprocess.Popen[bytes]:
    command = [str(runtime / "kernel-gone.json"), "900"]
    return subprocess.Popen(command, executable="/bin/sleep", user=user)


def test_an_orphan_is_the_very_process(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    file = tell(tmp_path)
    content = json.loads(file.read_text())

    def listed(**changes: Any) -> list[str]:
        file.write_text(json.dumps({**content, "pid": sleeper.pid, "parent": 1, **changes}))
        found = survey(tmp_path, known_kernel({})).shown().applications
        return [one.kernel for one in found]

    assert listed() == ["process"]
    # Whoever started it lives.
    assert listed(parent=os.getpid()) == []
    assert listed(host="another") == []
    # Of an earlier version: nobody knows.
    assert listed(parent=None) == []
    for bad in (1, 0, -1, True, "1", None, 2**80, os.getpid()):
        assert listed(pid=bad) == []
    # Its number was another's when the kernel wrote it.
    listed()
    os.utime(file, (0, 0))
    assert survey(tmp_path, known_kernel({})).shown().applications == []
    # A server that does not answer may have it.
    listed()
    silent = Siblings(silent=["The Jupyter server does not answer."])
    shown = survey(tmp_path, known_kernel({}), silent).shown()
    assert (shown.applications, shown.notes) == ([], silent.silent)
    held = Siblings({"gone": Held("k")})
    assert survey(tmp_path, known_kernel({}), held).shown().applications == []
    # A driver is one that runs Spark.
    assert listed(pid=None, jvm=sleeper.pid) == []
    listed()
    survey(tmp_path, known_kernel({})).end("gone")
    assert sleeper.wait(LIMIT_SECONDS) == -signal.SIGTERM
    with pytest.raises(Missing):
        survey(tmp_path, known_kernel({})).end("other")


def test_a_number_that_became_another_s_is_not_ended(sleeper: subprocess.Popen[bytes]) -> None:
    process = own_process(sleeper.pid)
    assert process is not None
    assert end(dataclasses.replace(process, born=process.born - 1), 1)
    assert sleeper.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_is_somebody_else_s_is_not_listed(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    file = tell(tmp_path)
    content = {**json.loads(file.read_text()), "pid": sleeper.pid, "parent": 1}
    file.write_text(json.dumps(content))
    assert len(survey(tmp_path, known_kernel({})).shown().applications) == 1
    os.chown(file, NOBODY, NOBODY)
    found = survey(tmp_path, known_kernel({}))
    assert found.shown().applications == []
    with pytest.raises(Missing):
        found.end("gone")
    os.chown(file, 0, 0)
    file.chmod(0o620)
    assert survey(tmp_path, known_kernel({})).shown().applications == []
    file.chmod(0o600)
    # Nor is a process of somebody else, whatever a file says.
    stranger = pretending(tmp_path, NOBODY)
    try:
        file.write_text(json.dumps({**content, "pid": stranger.pid}))
        assert own_process(stranger.pid) is None
        assert survey(tmp_path, known_kernel({})).shown().applications == []
    finally:
        stranger.kill()
        stranger.wait()


def test_a_token_is_sent_to_nobody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file = tmp_path / f"jpserver-{os.getppid()}.json"
    info = {
        "pid": os.getppid(),
        "hostname": "192.0.2.1",
        "port": 80,
        "token": "t",
        "url": "http://x",
    }
    for change in ({}, {"sock": "/tmp/s"}, {"secure": True}, {"port": "x"}):
        file.write_text(json.dumps({**info, **change}))
        file.chmod(0o600)
        found = ask_siblings(tmp_path)
        assert (found.kernels, len(found.silent)) == ({}, 1)
        assert "is not asked" in found.silent[0]
    # One that has ended has no kernels, and its file is left to whoever it belongs to.
    file.write_text(json.dumps({**info, "pid": 2**22 + 1}))
    assert ask_siblings(tmp_path).silent == []
    assert file.exists()


# --- what every application carries -------------------------------------------------------------


def test_what_a_person_has_set_stays() -> None:
    system = System(spark_master="yarn", spark_yarn_tags="a, b")
    mark("id", system)
    assert system.properties[YARN_TAGS] == "a, b,pyspark-kernel:id"
    full = ",".join("abcdefghij")
    system = System(spark_master="yarn", spark_yarn_tags=full)
    mark("id", system)
    assert system.properties[YARN_TAGS] == full
    label = "spark.kubernetes.executor.label.pyspark-kernel"
    system = System(spark_master="k8s://https://h")
    system.properties[label] = "mine"
    mark("id", system)
    assert system.properties[label] == "mine"
    assert system.properties["spark.kubernetes.driver.label.pyspark-kernel"] == "id"
    for bad in ("a,b", "", "x" * 64, "-a", "a b"):
        system = System(spark_master="yarn")
        mark(bad, system)
        assert system.properties == {"spark.master": "yarn"}


@pytest.mark.parametrize(
    ("remote", "named"),
    [
        ("sc://h", "sc://h/;user_agent=pyspark-kernel:id"),
        ("sc://h:1/;token=x", "sc://h:1/;token=x;user_agent=pyspark-kernel:id"),
        ("sc://h/;user_agent=me", "sc://h/;user_agent=me"),
    ],
)
def test_a_connect_session_is_named(remote: str, named: str) -> None:
    assert named_agent(remote, "id") == named


def test_the_files_of_what_lives_are_not_swept(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    file = tell(tmp_path)
    content = json.loads(file.read_text())
    for pid, stays in ((sleeper.pid, True), (2**22 + 1, False)):
        file.write_text(json.dumps({**content, "pid": pid}))
        log = file.with_suffix(".log")
        log.touch()
        old = time.time() - 2 * 24 * 3600
        for path in (file, log):
            os.utime(path, (old, old))
        Status(tmp_path / "kernel-new.json").close()
        assert (file.exists(), log.exists()) == (stays, stays)


@pytest.mark.usefixtures("patient")
def test_the_command_line_lists_and_stops(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = server.start("mine")
    for kind in ("DATA", "CONFIG", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{kind}_DIR", str(server.folder / kind))
    assert main(["applications", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["applications"]
    assert (shown["id"], shown["kernel"], shown["path"]) == (kernel, "running", "mine.ipynb")
    assert main(["applications"]) == 0
    assert kernel in capsys.readouterr().out
    assert main(["stop", kernel]) == 0
    assert server.status(kernel)["stage"] == "stopped_asked"
    assert server.run(kernel, "spark.range(3).count()").endswith("3")
    assert main(["stop", "nothing"]) == 2
