"""The folder deploy/dataproc: its initialization action, run below a directory, on a real YARN.

What only Google has is played: the one answer of the metadata server, as it is documented.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from buckets import google_storage
from carrying import site_packages
from deploying import (
    DEPLOY,
    Ran,
    assert_unit_is_right,
    read_json,
    run,
    why_no_units,
    written,
)
from kernels import SHORT_LIVED, free_port, running, wait_until
from yarn import HadoopCluster

INIT = DEPLOY / "dataproc/init.sh"
README = (DEPLOY / "dataproc/README.md").read_text()
KERNELS = Path("usr/local/share/jupyter/kernels")
WHY_NO_UNITS = why_no_units()

HASH = "hash('the same everywhere')"
HASHES = f"sc.parallelize(range(4), 2).map(lambda _: {HASH}).distinct().collect()"


@contextmanager
def metadata_server(role: str | None) -> Iterator[str]:
    """Answer as Google's metadata server does, where a node asks for its role."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Metadata-Flavor") != "Google":
                self.send_error(403)
            elif self.path != "/computeMetadata/v1/instance/attributes/dataproc-role" or not role:
                self.send_error(404)
            else:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(role.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/computeMetadata/v1"
    finally:
        server.shutdown()
        server.server_close()


class Node:
    """A directory that looks like a node of a Dataproc cluster, whose Hadoop is a real one."""

    def __init__(self, root: Path, pyspark_environment: Path, yarn: HadoopCluster) -> None:
        self.root, self.environment, self.yarn = root, pyspark_environment, yarn
        self.port = free_port()
        pyspark = site_packages(pyspark_environment) / "pyspark"
        conf = root / "etc/spark/conf"
        conf.mkdir(parents=True)
        spark = root / "usr/lib/spark"
        spark.mkdir(parents=True)
        for name in ("bin", "jars", "python"):
            (spark / name).symlink_to(pyspark / name)
        (spark / "conf").symlink_to(conf)
        # What the image has said already, and what suits this machine.
        (conf / "spark-env.sh").write_text("export SPARK_LOCAL_IP=127.0.0.1\n")
        said = {
            "spark.driver.host": "127.0.0.1",
            "spark.yarn.jars": f"local:{pyspark}/jars/*",
            "spark.yarn.am.memory": "256m",
            "spark.executor.instances": "2",
            "spark.executorEnv.PYTHONHASHSEED": "random",
            **{
                f"spark.{who}.extraJavaOptions": SHORT_LIVED
                for who in ("yarn.am", "driver", "executor")
            },
        }
        lines = [f"{key} {value}" for key, value in said.items()]
        (conf / "spark-defaults.conf").write_text("\n".join([*lines, ""]))
        (root / "etc/hadoop").mkdir()
        (root / "etc/hadoop/conf").symlink_to(yarn.conf)
        # Hadoop's own file system shell, by the name that nodes know it by.
        programs = root / "bin"
        programs.mkdir()
        shell = " ".join(f"'{word}'" for word in yarn.command("org.apache.hadoop.fs.FsShell"))
        (programs / "hdfs").write_text(f'#!/bin/sh\n[ "$1" = dfs ] && shift\nexec {shell} "$@"\n')
        (programs / "hdfs").chmod(0o755)

    def init(self, role: str | None, check: bool = True, **values: str) -> Ran:
        """Run the initialization action as Dataproc does."""
        with metadata_server(role) as metadata:
            environ = {
                "ROOT": str(self.root),
                "METADATA": metadata,
                "PATH": f"{self.root}/bin:{os.environ['PATH']}",
                "SPARK_ENV": str(self.environment),
                "JUPYTER_ENV": sys.prefix,
                "EXECUTOR_MEMORY": "512m",
                "EXECUTOR_CORES": "1",
                "JUPYTER_PORT": str(self.port),
                "HDFS_SUPERUSER": getuser(),
                **values,
            }
            return run([INIT], environ, check=check)

    def lines(self, file: str) -> list[str]:
        return (self.root / file).read_text().splitlines()


@pytest.fixture(scope="module")
def master(
    pyspark_environment: Path, yarn: HadoopCluster, tmp_path_factory: pytest.TempPathFactory
) -> Node:
    node = Node(tmp_path_factory.mktemp("master"), pyspark_environment, yarn)
    node.init("Master")
    return node


@pytest.fixture
def node(pyspark_environment: Path, yarn: HadoopCluster, tmp_path: Path) -> Node:
    return Node(tmp_path, pyspark_environment, yarn)


def test_a_worker_gets_the_same_python_and_nothing_else(node: Node) -> None:
    before = set(written(node.root))
    node.init("Worker")
    assert set(written(node.root)) - before == {"etc/environment"}
    python = node.environment / "bin/python"
    assert node.lines("etc/environment") == [f"PYSPARK_PYTHON={python}", "PYTHONHASHSEED=0"]
    assert node.lines("etc/spark/conf/spark-env.sh") == [
        "export SPARK_LOCAL_IP=127.0.0.1",
        f"export PYSPARK_PYTHON={python}",
        "export PYTHONHASHSEED=0",
    ]
    defaults = node.lines("etc/spark/conf/spark-defaults.conf")
    assert [line for line in defaults if "HASHSEED" in line or "pyspark.python" in line] == [
        "spark.executorEnv.PYTHONHASHSEED 0",
        "spark.yarn.appMasterEnv.PYTHONHASHSEED 0",
        f"spark.pyspark.python {python}",
    ]


def test_again_is_the_same(master: Node) -> None:
    before = written(master.root)
    master.init("Master")
    assert before.items() <= written(master.root).items()


def test_other_values_take_the_place_of_earlier_ones(node: Node) -> None:
    node.init("Worker")
    other = node.root / "other"
    other.symlink_to(node.environment)
    node.init("Worker", SPARK_ENV=str(other))
    assert node.lines("etc/environment") == [
        f"PYSPARK_PYTHON={other}/bin/python",
        "PYTHONHASHSEED=0",
    ]
    assert not any(
        str(node.environment) in line for line in node.lines("etc/spark/conf/spark-env.sh")
    )


@pytest.mark.parametrize(
    ("role", "values", "message"),
    [
        ("Gateway", {}, "this node is a 'Gateway', and neither Master nor Worker"),
        (None, {}, "does not tell whether this is a master"),
        ("Master", {"METADATA": "http://127.0.0.1:1"}, "http://127.0.0.1:1 does not tell"),
        ("Worker", {"SPARK_HOME": "/nowhere"}, "/nowhere/bin/spark-submit. This file is for"),
        ("Worker", {"SPARK_ENV": "/dev/null/x", "PYTHON": "/no/python"}, "There is no /no/python"),
        ("Master", {"EXECUTOR_MEMORY": "much"}, "executor_memory"),
    ],
)
def test_what_is_wrong_is_told(
    role: str | None, values: dict[str, str], message: str, node: Node
) -> None:
    told = node.init(role, check=False, **values)
    assert told.code not in (0, 127)
    assert message in told.messages
    assert not (node.root / "etc/systemd").exists()


@pytest.mark.skipif(WHY_NO_UNITS is not None, reason=WHY_NO_UNITS or "")
def test_systemd_takes_the_unit(master: Node) -> None:
    unit = master.root / "etc/systemd/system/jupyter.service"
    assert_unit_is_right(unit)
    lines = unit.read_text().splitlines()
    after = next(line for line in lines if line.startswith("After="))
    assert "hadoop-yarn-resourcemanager.service" in after.split()
    assert {"User=jupyter", "Restart=on-failure", "StandardOutput=journal"} <= set(lines)


def test_the_kernel_counts_on_yarn_with_one_hash_everywhere(master: Node, tmp_path: Path) -> None:
    spec = read_json(master.root / KERNELS / "pyspark/kernel.json")
    assert spec["env"]["SPARK_HOME"] == str(master.root / "usr/lib/spark")
    with running(master.root / KERNELS, "pyspark", tmp_path) as kernel:
        assert kernel.value("spark.range(1000).repartition(2).count()") == "1000"
        assert kernel.value("import os; os.environ['PYTHONHASHSEED']") == "'0'"
        assert kernel.value(HASHES) == f"[{kernel.value(HASH)}]"
        python = str(master.environment / "bin/python")
        used = "sc.parallelize([0]).map(lambda _: __import__('sys').executable).collect()"
        assert kernel.value(used) == repr([python])
        (app,) = (a for a in master.yarn.applications().values() if a["state"] == "RUNNING")
        assert app["applicationType"] == "SPARK"


def test_the_user_of_jupyterlab_has_a_home_in_hdfs(master: Node) -> None:
    # After what Hadoop says of itself.
    told = master.yarn.shell("-stat", "%u", "/user/jupyter").splitlines()
    assert told[-1] == "jupyter"


def test_jupyterlab_listens_on_loopback_for_who_has_the_token(master: Node) -> None:
    token = master.root / "etc/jupyter/token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    secret = token.read_text().strip()
    assert re.fullmatch("[0-9a-f]{64}", secret)
    others = [
        text for path, (_, text) in written(master.root).items() if not path.endswith("token")
    ]
    assert not any(secret.encode() in text for text in others)

    with lab(master) as browser:
        assert browser.get("/api/kernelspecs").status_code == 403
        browser.headers["Authorization"] = f"token {secret}"
        assert "pyspark" in browser.get("/api/kernelspecs").json()["kernelspecs"]
        ours = browser.get("/jupyterlab-pyspark-kernels/kernels").json()
        assert "pyspark" in {kernel["name"] for kernel in ours}
        assert listening_on(master.port) == {"0100007F"}


def test_jupyterlab_does_not_start_with_half_of_its_configuration(node: Node) -> None:
    node.init("Master")
    with (node.root / "etc/jupyter/jupyter_lab_config.py").open("a") as file:
        file.write("from no_such_store import Manager\n")
    with pytest.raises(AssertionError, match="no_such_store"), lab(node):
        pass


def test_notebooks_outlive_the_master(
    node: Node, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a bucket of a played Cloud Storage, with JupyterLab installed from nothing."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    node.init(
        "Master",
        NOTEBOOKS_BUCKET="gs://notes",
        EXTENSION=str(wheel),
        JUPYTER_ENV=str(tmp_path / "opt/jupyter"),
        PYTHON=sys.executable,
    )
    config = node.root / "etc/jupyter/jupyter_lab_config.py"
    with config.open("a") as file:
        file.write('c.BucketContents.options = {"project": "tests", "token": "anon"}\n')
    cell = {"cell_type": "markdown", "id": "a", "source": "kept", "metadata": {}}
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    headers = {"Authorization": f"token {node.lines('etc/jupyter/token')[0]}"}
    with google_storage("notes") as store:
        with lab(node, **store.environ) as browser:
            saved = {"type": "notebook", "format": "json", "content": content}
            answer = browser.put("/api/contents/first.ipynb", json=saved, headers=headers)
            assert answer.status_code == 201, answer.text
        assert "notebooks/first.ipynb" in store.listed()
        assert not list(node.root.rglob("*.ipynb"))
        # The master is made anew, and its disk with it.
        shutil.rmtree(node.root / "home/jupyter/notebooks")
        (node.root / "home/jupyter/notebooks").mkdir()
        with lab(node, **store.environ) as browser:
            read = browser.get("/api/contents/first.ipynb", headers=headers).json()
            assert read["content"]["cells"][0]["source"] == "kept"


@contextmanager
def lab(node: Node, **environ: str) -> Iterator[httpx.Client]:
    """Run what the unit runs, with its variables, until it answers."""
    unit = (node.root / "etc/systemd/system/jupyter.service").read_text()
    (command,) = re.findall("(?m)^ExecStart=(.*)$", unit)
    said = dict(re.findall("(?m)^Environment=([A-Z_]+)=(.*)$", unit))
    said |= dict(line.split("=", 1) for line in node.lines("etc/environment"))
    log = node.root.parent / f"{node.root.name}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command.split(), *(["--allow-root"] if os.geteuid() == 0 else [])],
            env={**os.environ, **said, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def answers() -> bool:
        assert server.poll() is None, log.read_text()
        try:
            return browser.get("/api").status_code == 200
        except httpx.TransportError:
            return False

    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{node.port}", timeout=60) as browser:
            wait_until(answers)
            yield browser
    finally:
        server.terminate()
        server.wait()


def listening_on(port: int) -> set[str]:
    """Give the addresses, as the system writes them, at which somebody listens on a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    places = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {address for address, found in places if int(found, 16) == port}
