"""The folder deploy/standalone: a Spark cluster with a JupyterHub, on one machine as on several.

The scripts are those that cloud-init runs; here they write below a directory.
"""

import base64
import gzip
import json
import os
import re
import signal
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cluster import Cluster
from deploying import (
    DEPLOY,
    PROXY,
    Values,
    assert_unit_is_right,
    copied,
    read_json,
    run,
    why_no_units,
    written,
)
from hub import ADA, BEN, CYD, Hub, hub_folder, in_a_room, why_no_hub
from hub_room import PAM
from jsonschema import Draft4Validator
from kernels import SHORT_LIVED, free_port, wait_until

FOLDER = DEPLOY / "standalone"
UNITS = ("spark-master", "spark-worker", "jupyterhub")
WHY_NO_HUB, WHY_NO_UNITS = why_no_hub(), why_no_units()

WORKER_CORES = 2
CORES, MEMORY = 1, 512
"""What one notebook gets here: a half of the worker's cores, a third of its memory."""

SCRIPTS = Path("opt/pyspark-deploy")
KERNELS = Path("usr/local/share/jupyter/kernels")
TEMPLATES = Path("etc/pyspark-kernels/templates")

PLAIN_APP = """
import sys
from pyspark.sql import SparkSession
builder = SparkSession.builder.master(sys.argv[1]).appName("plain")
builder.config("spark.executor.memory", "512m").getOrCreate()
print("up", flush=True)
sys.stdin.read()
"""


def one_machine(environment: Path, **more: object) -> Values:
    """Give the values of a cluster on this machine, made of what it has already."""
    first = free_port()
    ports = ["SPARK_PORT", "SPARK_WEB_PORT", "WORKER_WEB_PORT"]
    ports += ["HUB_PORT", "HUB_API_PORT", "HUB_PROXY_API_PORT"]
    return {
        "MASTER_HOST": "127.0.0.1",
        "NOTEBOOK_CORES": CORES,
        "NOTEBOOK_MEMORY": f"{MEMORY}m",
        "HUB_USERS": f"{ADA.name} {BEN.name}",
        "JUPYTER_ENV": sys.prefix,
        "SPARK_ENV": environment,
        "HUB_PROXY": PROXY,
        "HUB_PAM_SERVICE": PAM,
        "WORKER_CORES": WORKER_CORES,
        "WORKER_MEMORY": "1500m",
        "DRIVER_PORTS": f"{first}-{first + 99}",
        **{name: free_port() for name in ports},
        **more,
    }


def installed(root: Path, values: Values, *roles: str) -> Path:
    """Install roles below a directory, as cloud-init does on a machine; give the scripts."""
    scripts = copied("standalone", root / SCRIPTS, values)
    run([scripts / "install.sh", *roles], {"ROOT": str(root)})
    return scripts


# --- user-data ----------------------------------------------------------------------------------


def user_data(scripts: Path, role: str) -> dict[str, Any]:
    text = run([scripts / "user-data.sh", role]).output
    # The least of what clouds take.
    assert len(text.encode()) < 16_384
    assert text.startswith("#cloud-config\n")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


@pytest.fixture(scope="module")
def cloud_init() -> dict[str, Any]:
    """cloud-init's own schema of user-data."""
    path = Path(os.environ.get("PYSPARK_KERNELS_TEST_CLOUD_INIT", ""))
    if not path.is_file():
        pytest.skip("there is no cloud-init, whose schema is in PYSPARK_KERNELS_TEST_CLOUD_INIT")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def known(schema: dict[str, Any]) -> set[str]:
    """Give the keys that cloud-init has a module for; it takes others without a word."""
    parts = [schema["$defs"][part["$ref"].rpartition("/")[2]] for part in schema["allOf"]]
    return {key for part in parts for key in part.get("properties", {})}


@pytest.mark.parametrize("role", ["master", "worker"])
def test_cloud_init_takes_the_user_data(
    role: str, cloud_init: dict[str, Any], tmp_path: Path
) -> None:
    for tls in ({}, {"TLS_CERT": "/tls/hub.pem", "TLS_KEY": "/tls/hub.key"}):
        content = user_data(copied("standalone", tmp_path / str(len(tls)), tls), role)
        Draft4Validator(cloud_init).validate(content)
        assert set(content) <= known(cloud_init)
    # The schema does refuse, and would have told.
    assert list(Draft4Validator(cloud_init).iter_errors({"runcmd": 1, "packages": {}}))


def test_user_data_brings_the_scripts_as_they_are(tmp_path: Path) -> None:
    scripts = copied("standalone", tmp_path / "scripts", {"LOCAL_NETWORK": "192.0.2.0/24"})
    content = user_data(scripts, "worker")
    brought = tmp_path / "brought"
    for file in content["write_files"]:
        assert file["encoding"] == "gz+b64"
        path = brought / Path(file["path"]).relative_to("/opt/pyspark-deploy")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.decompress(base64.b64decode(file["content"])))
        path.chmod(int(file["permissions"], 8))
    (scripts / "README.md").unlink()
    assert written(brought) == written(scripts)
    # What is brought says of itself what was brought.
    assert user_data(brought, "worker") == content


def test_machines_are_open_to_their_network_and_for_what_users_need(tmp_path: Path) -> None:
    def opened(role: str, **values: object) -> list[list[str]]:
        scripts = copied("standalone", tmp_path / f"{role}{len(values)}", values)
        *walls, install = user_data(scripts, role)["runcmd"]
        roles = ["master", "hub"] if role == "master" else ["worker"]
        assert install == ["/opt/pyspark-deploy/install.sh", *roles]
        assert all(command[0] == "ufw" for command in walls)
        return [command[1:] for command in walls]

    closed = [["allow", "OpenSSH"], ["allow", "from", "10.20.30.0/24"], ["--force", "enable"]]
    tls = {"TLS_CERT": "/tls/hub.pem", "TLS_KEY": "/tls/hub.key"}
    assert opened("master") == opened("worker") == opened("worker", **tls) == closed
    assert opened("master", **tls) == [*closed[:2], ["allow", "443/tcp"], closed[2]]


# --- installing ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has everything of all roles."""
    root = tmp_path_factory.mktemp("root")
    installed(root, one_machine(pyspark_environment), "master", "worker", "hub")
    return root


def test_the_kernel_that_all_share_has_the_limits(root: Path) -> None:
    spec = read_json(root / KERNELS / "pyspark/kernel.json")
    arguments = spec["env"]["PYSPARK_SUBMIT_ARGS"]
    assert f"--conf spark.cores.max={CORES} " in arguments
    assert f"--conf spark.executor.memory={MEMORY}m " in arguments
    assert "--master spark://127.0.0.1:" in arguments
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (root / KERNELS).rglob("*.*")}
    assert modes == {0o644}


def test_again_is_the_same(root: Path) -> None:
    before = written(root)
    run([root / SCRIPTS / "install.sh", "master", "worker", "hub"], {"ROOT": str(root)})
    # Jupyter's lock and what undo keeps are not of the cluster.
    assert before.items() <= written(root).items()


@pytest.mark.skipif(WHY_NO_UNITS is not None, reason=WHY_NO_UNITS or "")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_units(unit: str, root: Path) -> None:
    file = root / f"etc/systemd/system/{unit}.service"
    assert_unit_is_right(file)
    assert f"ExecStart={root / SCRIPTS}/run.sh " in file.read_text()


@pytest.mark.parametrize(
    ("script", "arguments", "values", "message"),
    [
        ("install.sh", (), {}, "Say which roles"),
        ("install.sh", ("slave",), {}, "'slave' is no role"),
        ("run.sh", ("slave",), {}, "'slave' is no role"),
        ("user-data.sh", ("hub",), {}, "'hub' is no role"),
        ("run.sh", ("master",), {"SPARK_ENV": "/nowhere"}, "There is no PySpark in /nowhere"),
        ("run.sh", ("worker",), {"MASTER_HOST": "no.such.invalid"}, "Correct MASTER_HOST"),
        ("user-data.sh", ("master",), {"TLS_KEY": "/key"}, "Only one of TLS_CERT and TLS_KEY"),
        ("install.sh", ("hub",), {"NOTEBOOK_CORES": "many"}, "cores_max: “many”"),
        ("one-machine.sh", (), {}, "Say below which directory"),
    ],
)
def test_what_is_wrong_is_told(
    script: str,
    arguments: tuple[str, ...],
    values: Values,
    message: str,
    pyspark_environment: Path,
    tmp_path: Path,
) -> None:
    values = {**one_machine(pyspark_environment), **values}
    scripts = copied("standalone", tmp_path / SCRIPTS, values)
    told = run([scripts / script, *arguments], {"ROOT": str(tmp_path)}, check=False)
    assert told.code not in (0, 127)
    assert message in told.messages


# --- running ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(pyspark_environment: Path) -> Iterator[tuple[Hub, Cluster]]:
    """The whole cluster by one script, among users of the system."""
    if WHY_NO_HUB is not None:
        pytest.skip(WHY_NO_HUB)
    values = one_machine(pyspark_environment)
    with hub_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", SHORT_LIVED)
        patch.setenv("SPARK_DAEMON_MEMORY", "256m")
        root = folder / "root"
        scripts = copied("standalone", root / SCRIPTS, values)
        url = f"http://127.0.0.1:{values['HUB_PORT']}"
        started = Hub(url, root / KERNELS, folder / "homes")
        cluster = Cluster(
            f"spark://127.0.0.1:{values['SPARK_PORT']}",
            f"http://127.0.0.1:{values['SPARK_WEB_PORT']}",
        )
        command = [str(scripts / "one-machine.sh"), str(root)]
        with in_a_room(started, folder, command, pyspark_environment):
            wait_until(lambda: cluster.state()["aliveworkers"] == 1)
            yield started, cluster


def test_users_get_results_of_the_cluster_within_the_limits(hub: tuple[Hub, Cluster]) -> None:
    started, cluster = hub
    ada, ben = (started.session(member) for member in (ADA, BEN))
    # What one has is not all: both work at the same time on a worker of two cores.
    with ExitStack() as stack:
        for session in (ada, ben):
            assert {"python3", "pyspark"} <= session.offered()
            notebook = stack.enter_context(session.notebook("pyspark"))
            assert notebook.value("spark.range(1000).repartition(2).count()") == "1000"
            assert notebook.value("sc.parallelize(range(9), 2).map(lambda n: n * 2).sum()") == "72"
            name = session.member.name
            assert notebook.value("import getpass; getpass.getuser()") == repr(name)
            app = cluster.applications()[f"{name} in JupyterLab"]
            assert (app["cores"], app["memoryperexecutor"]) == (CORES, MEMORY)
            assert app["user"] == name
        assert cluster.state()["coresused"] == WORKER_CORES
    wait_until(cluster.is_free)


def test_users_make_kernels_within_the_limits_only(
    hub: tuple[Hub, Cluster], pyspark_environment: Path
) -> None:
    started, _ = hub
    ben = started.session(BEN)
    mine = {"display_name": "Mine", "template": "team", "environment": str(pyspark_environment)}
    for more in ({"cores_max": CORES + 1}, {"executor_memory": "1g"}, {"template": None}):
        status, answer = ben.call("POST", "kernels", {**mine, **more})
        assert (status, answer["reason"]) == (403, "locked"), answer
    status, kernel = ben.call("POST", "kernels", {**mine, "executor_memory": "480m"})
    assert status == 201, kernel
    assert ben.call("DELETE", f"kernels/{kernel['place']}/{kernel['name']}")[0] == 204
    # The shared one is not his to change.
    assert ben.kernels()["pyspark"]["writable"] is False
    assert ben.kernels()["pyspark"]["untrusted"] is None


def test_an_application_that_says_nothing_gets_no_more(
    hub: tuple[Hub, Cluster], pyspark_environment: Path
) -> None:
    _, cluster = hub
    wait_until(cluster.is_free)
    app = subprocess.Popen(
        [str(pyspark_environment / "bin/python"), "-c", PLAIN_APP, cluster.master],
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with app:
        assert app.stdout is not None
        assert app.stdout.readline() == b"up\n"
        wait_until(lambda: cluster.applications()["plain"]["cores"])
        assert cluster.applications()["plain"]["cores"] == CORES
    wait_until(cluster.is_free)


def test_only_those_get_in_who_are_named_and_know_their_password(
    hub: tuple[Hub, Cluster],
) -> None:
    started, _ = hub
    for name, password in (
        (ADA.name, "not-hers"),
        (CYD.name, CYD.password),
        ("root", ""),
    ):
        with httpx.Client(follow_redirects=True) as browser:
            browser.get(f"{started.url}/hub/login")
            form = {"username": name, "password": password, "_xsrf": browser.cookies["_xsrf"]}
            assert browser.post(f"{started.url}/hub/login", data=form).status_code == 403


# --- the hub alone ------------------------------------------------------------------------------


@contextmanager
def hub_alone(scripts: Path, root: Path) -> Iterator[None]:
    with (root / "hub.log").open("wb") as log:
        process = subprocess.Popen(
            [str(scripts / "run.sh"), "hub"],
            env={**os.environ, "ROOT": str(root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
        assert process.poll() is None, (root / "hub.log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        # A hub that is told to end while it starts leaves its proxy.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_with_a_certificate_the_hub_answers_https_only(
    pyspark_environment: Path, tmp_path: Path
) -> None:
    values = one_machine(
        pyspark_environment, TLS_CERT=tmp_path / "hub.pem", TLS_KEY=tmp_path / "hub.key"
    )
    # The command of the guide, for the name that is asked for here.
    (command,) = re.findall(r"(?m)^openssl (?:.*\\\n)*.*$", (FOLDER / "README.md").read_text())
    command = command.replace("DNS:hub.example.org", "IP:127.0.0.1")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    scripts = installed(tmp_path, values, "hub")
    address = f"127.0.0.1:{values['HUB_PORT']}"
    context = ssl.create_default_context(cafile=tmp_path / "hub.pem")

    def page(protocol: str) -> str | None:
        try:
            return httpx.get(f"{protocol}://{address}/hub/login", verify=context, timeout=60).text
        except httpx.TransportError:
            return None

    with hub_alone(scripts, tmp_path):
        # The proxy listens before it knows where the hub is.
        wait_until(lambda: 'name="password"' in (page("https") or ""))
        assert page("http") is None
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"https://{address}/hub/login")


def test_the_hub_is_installed_from_nothing(
    pyspark_environment: Path, wheel: Path, tmp_path: Path
) -> None:
    jupyter = tmp_path / "opt/jupyter"
    values = one_machine(
        pyspark_environment,
        EXTENSION=wheel,
        JUPYTER_ENV=jupyter,
        HUB_PROXY=jupyter / "bin/configurable-http-proxy",
    )
    with pytest.MonkeyPatch.context() as patch:
        # What the developer's own environment has is not there.
        patch.delenv("PYTHONPATH", raising=False)
        scripts = installed(tmp_path, values, "hub")
        told = run([jupyter / "bin/jupyter", "labextension", "list"])
        assert re.search("jupyterlab-pyspark-kernels .*enabled.*OK", told.output + told.messages)
        login = f"http://127.0.0.1:{values['HUB_PORT']}/hub/login"

        def answers() -> bool:
            try:
                return httpx.get(login, timeout=60).status_code == 200
            except httpx.TransportError:
                return False

        with hub_alone(scripts, tmp_path):
            wait_until(answers)
    kernel = read_json(tmp_path / KERNELS / "pyspark/kernel.json")
    assert kernel["display_name"] == "PySpark"
