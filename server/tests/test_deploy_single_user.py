"""The folder deploy/single-user: one template for all, on a real server and a real YARN."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from carrying import site_packages
from deploying import DEPLOY, run
from hub import Member, Session
from kernels import LIMIT_SECONDS, SHORT_LIVED, free_port, marked_processes, wait_until
from yarn import PROXIED, HadoopCluster

FOLDER = DEPLOY / "single-user"
TOKEN = "of-the-tests"
NAME = "notebook"


@dataclass(frozen=True)
class Site:
    """What an administrator has set up."""

    folder: Path
    environ: dict[str, str]

    @property
    def kernels(self) -> Path:
        return self.folder / "share/kernels"


@pytest.fixture(scope="module")
def site(
    pyspark_environment: Path, yarn: HadoopCluster, tmp_path_factory: pytest.TempPathFactory
) -> Site:
    """The folder as it is, but with five values of this machine; and the kernel of the guide."""
    folder = tmp_path_factory.mktemp("site")
    config = folder / "config"
    shutil.copytree(FOLDER / "templates", config / "templates")
    shutil.copy(FOLDER / "jupyter_server_config.py", config)

    notebook = read_yaml(config / "templates/notebook.yaml")
    notebook["fields"]["environment"]["fixed"] = str(pyspark_environment)
    notebook["fields"]["executor_memory"]["default"] = "512m"
    notebook["fields"]["executor_instances"]["default"] = 1
    (config / "templates/notebook.yaml").write_text(yaml.safe_dump(notebook))
    hadoop = read_yaml(config / "templates/hadoop.yaml")
    del hadoop["spark_home"]
    hadoop["env"] = {"HADOOP_CONF_DIR": str(yarn.conf), "SPARK_LOCAL_IP": "127.0.0.1"}
    hadoop["conf"] |= {
        "spark.driver.host": "127.0.0.1",
        "spark.yarn.jars": f"local:{site_packages(pyspark_environment)}/pyspark/jars/*",
        "spark.yarn.am.memory": "256m",
        **{
            f"spark.{who}.extraJavaOptions": SHORT_LIVED
            for who in ("yarn.am", "driver", "executor")
        },
    }
    (config / "templates/hadoop.yaml").write_text(yaml.safe_dump(hadoop))

    told = {
        "JUPYTER_PATH": str(folder / "share"),
        "JUPYTER_CONFIG_PATH": str(config),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "TEMPLATES": str(config / "templates"),
        # Who a hub says that the server is of; it does so by this variable.
        "JUPYTERHUB_USER": PROXIED,
    }
    site = Site(folder, told)
    site.kernels.mkdir(parents=True)
    guide = (FOLDER / "README.md").read_text()
    (options,) = re.findall(r"jupyter pyspark-kernels create -d \S+ \\\n\s*(.*)", guide)
    program = Path(sys.prefix, "bin/jupyter-pyspark-kernels")
    run([program, "create", "-d", site.kernels, *options.split()], told)
    # What alice needs in HDFS is hers, as on any cluster.
    yarn.shell("-mkdir", "-p", f"/user/{PROXIED}")
    yarn.shell("-chown", PROXIED, f"/user/{PROXIED}")
    return site


def read_yaml(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


@contextmanager
def server(site: Site, **environ: str) -> Iterator[tuple[Session, subprocess.Popen[bytes]]]:
    """Start a user's server."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    log = site.folder / f"server-{port}.log"
    root = ["--allow-root"] if os.geteuid() == 0 else []
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", f"--port={port}", *root]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={site.folder}"],
            env={**os.environ, **site.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{base}/api", timeout=60).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers)
        yield Session(Member(PROXIED, ()), base, httpx.Client(), TOKEN), process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


def test_the_one_template_is_enforced(site: Site, pyspark_environment: Path) -> None:
    with server(site) as (user, _):
        form = user.call("GET", "form")[1]
        assert [template["name"] for template in form["templates"]["templates"]] == ["notebook"]
        mine = {
            "display_name": "Mine",
            "template": "notebook",
            "environment": str(pyspark_environment),
        }
        for more in (
            {"template": None},
            {"proxy_user": "somebody-else"},
            {"labels": {"team": "theirs"}},
            {"executor_memory": "9g"},
            {"idle_stop_minutes": 600},
            {"master": "local[1]"},
            {"env": {"HADOOP_USER_NAME": "hdfs"}},
        ):
            status, answer = user.call("POST", "kernels", {**mine, **more})
            assert (status, answer["reason"]) == (403, "locked"), (more, answer)
        status, kernel = user.call("POST", "kernels", mine)
        assert status == 201, kernel
        for name in ("notebook", kernel["name"]):
            assert name in user.offered()


def test_one_kernel_works_as_its_user_and_tells_who_pays(site: Site, yarn: HadoopCluster) -> None:
    spec = (site.kernels / NAME / "kernel.json").read_text()
    assert PROXIED not in spec
    with server(site) as (user, _), user.notebook(NAME) as notebook:
        assert notebook.value("spark.range(1000).count()") == "1000"
        assert notebook.value("spark.sparkContext.sparkUser()") == repr(PROXIED)
        app = yarn.applications()[f"{PROXIED} in JupyterLab"]
        assert (app["state"], app["user"]) == ("RUNNING", PROXIED)
        assert {"team:research", f"user:{PROXIED}"} < set(app["applicationTags"].split(","))


def test_what_is_idle_ends_by_itself(site: Site, marker: str) -> None:
    times = {"KERNEL_IDLE_SECONDS": "5", "SERVER_IDLE_SECONDS": "5"}
    with server(site, **times) as (user, process):
        started = user.jupyter("POST", "kernels", {"name": "python3"})["id"]
        # Looking does not keep it alive.
        wait_until(lambda: started not in {k["id"] for k in user.jupyter("GET", "kernels")})
        assert process.poll() is None
        # Which the server looks after once in a minute.
        assert process.wait(LIMIT_SECONDS) == 0
    wait_until(lambda: marked_processes(marker) == [])


def test_a_busy_kernel_is_kept(site: Site) -> None:
    times = {"KERNEL_IDLE_SECONDS": "10", "SERVER_IDLE_SECONDS": "1"}
    with server(site, **times) as (user, process), user.notebook("python3") as notebook:
        # Longer than what is idle is given, twice over.
        assert notebook.value("import time; time.sleep(25); 'still here'") == "'still here'"
        assert process.poll() is None
