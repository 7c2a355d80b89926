"""Kernels made by the command line, on a real YARN with HDFS.

The containers run as the user of the NodeManager, who starts these tests. When that is root, they
do not show whether another user could read what the containers need.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from carrying import prove, site_packages, with_package
from flights import PATIENT, Listener, figures
from kernels import LIMIT_SECONDS, SHORT_LIVED, running, wait_until
from yarn import PROXIED, QUEUE, HadoopCluster

from jupyterlab_pyspark_kernels import flight
from jupyterlab_pyspark_kernels.cli import main
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.flight import Flight, Limits, fly
from jupyterlab_pyspark_kernels.render import read


@pytest.fixture
def create(
    yarn: HadoopCluster,
    pyspark_environment: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """Create a kernel on the cluster by the command line; give the kernels directory."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    # Without it every start packs and uploads the jars, some 460 MB.
    jars = site_packages(pyspark_environment) / "pyspark" / "jars"

    def create(name: str, environment: Path, *options: str) -> Path:
        code = main(
            [
                *("create", "-k", name, "-e", str(environment), "--spark_master", "yarn"),
                *("--env", f"HADOOP_CONF_DIR={yarn.conf}", "--env", "SPARK_LOCAL_IP=127.0.0.1"),
                *("--conf", "spark.driver.host=127.0.0.1"),
                *("--conf", "spark.driver.bindAddress=127.0.0.1"),
                *("--conf", f"spark.yarn.jars=local:{jars}/*"),
                *("--conf", "spark.yarn.am.memory=256m"),
                *("--executor-memory", "512m", "--executor-cores", "1"),
                *("--conf", f"spark.yarn.am.extraJavaOptions={SHORT_LIVED}"),
                *("--conf", f"spark.driver.extraJavaOptions={SHORT_LIVED}"),
                *("--conf", f"spark.executor.extraJavaOptions={SHORT_LIVED}"),
                *options,
            ]
        )
        assert code == 0
        return tmp_path / "data" / "kernels"

    return create


@pytest.fixture
def create_carrying(create: Callable[..., Path], carried_environment: Path) -> Callable[..., Path]:
    """Create kernels that carry an environment, which loses a package once it is packed."""

    def create_carrying(names: tuple[str, ...], executors: int, *options: str) -> Path:
        executor_options = ("--executor-instances", str(executors))
        with with_package(carried_environment):
            for name in names:
                kernels = create(name, carried_environment, "--carry", *executor_options, *options)
        return kernels

    return create_carrying


def test_a_kernel_counts_on_yarn(
    yarn: HadoopCluster,
    create: Callable[..., Path],
    pyspark_environment: Path,
    tmp_path: Path,
) -> None:
    kernels = create("counts", pyspark_environment, "--executor-instances", "1")
    with running(kernels, "counts", tmp_path) as kernel:
        assert kernel.value("spark.range(1000).count()") == "1000"
        assert yarn.applications()["counts"]["state"] == "RUNNING"
        assert kernel.wait_for_stage("ready")["master"] == "yarn"
        wait_until(lambda: kernel.status()["tracking"])
        told = kernel.status()
        assert told["tracking"] == yarn.applications()["counts"]["trackingUrl"].rstrip("/")
        page = httpx.get(told["tracking"], follow_redirects=True, timeout=LIMIT_SECONDS)
        assert "Spark Jobs" in page.text, page.text
        kernel.end()
        wait_until(lambda: yarn.applications()["counts"]["state"] == "FINISHED")


def test_an_application_has_its_user_its_queue_and_its_labels(
    yarn: HadoopCluster, create: Callable[..., Path], pyspark_environment: Path, tmp_path: Path
) -> None:
    # What alice needs in HDFS is hers, as on any cluster.
    yarn.shell("-mkdir", "-p", f"{yarn.files}/user/{PROXIED}")
    yarn.shell("-chown", PROXIED, f"{yarn.files}/user/{PROXIED}")
    options = [
        *("--executor-instances", "1", "--proxy-user", PROXIED, "--queue", QUEUE),
        *("--label", "team=research", "--label", "Cost-Centre=DE.42"),
        *("--conf", "spark.yarn.tags=own"),
    ]
    kernels = create("billed", pyspark_environment, *options)
    with running(kernels, "billed", tmp_path) as kernel:
        assert kernel.value("spark.range(1000).count()") == "1000"
        application = yarn.applications()["billed"]
        assert (application["user"], application["queue"]) == (PROXIED, f"root.{QUEUE}")
        # And which kernel it is of, as its connection file is called.
        ours = "pyspark-kernel:billed"
        tags = {"own", "team:research", "cost-centre:de.42", ours}
        assert set(application["applicationTags"].split(",")) == tags
        kernel.end()
        wait_until(lambda: yarn.applications()["billed"]["state"] == "FINISHED")


def test_a_user_whom_nobody_may_work_as_is_told(
    create: Callable[..., Path],
    pyspark_environment: Path,
    run: Callable[..., tuple[int, str, str]],
) -> None:
    create("mallory", pyspark_environment, "--proxy-user", "mallory")
    run("list")
    code, printed, _ = run("test", "mallory", "--json")
    flown = Flight.model_validate_json(printed)
    assert code == 1
    assert (flown.diagnoses[0].rule, flown.diagnoses[0].remedy) == (
        "may-not-impersonate",
        "edit-proxy-user",
    )
    assert "work as mallory" in flown.diagnoses[0].cause


def test_executors_run_the_environment_that_is_carried(
    yarn: HadoopCluster, create_carrying: Callable[..., Path], tmp_path: Path
) -> None:
    kernels = create_carrying(("carries",), 2)
    (archive,) = (kernels.parent / f"pyspark-kernels-archives-{os.getuid()}").glob("*.tar.gz")
    with running(kernels, "carries", tmp_path) as kernel:
        folders = prove(kernel, 2)
        assert all(folder.is_relative_to(yarn.folder / "node") for folder in folders)
        # Both executors use the one copy of their node.
        (copy,) = yarn.localised(archive.name)
        assert {(folder / "environment").resolve() for folder in folders} == {copy}


def test_an_archive_on_hdfs_is_localised_once_for_two_kernels(
    yarn: HadoopCluster, create_carrying: Callable[..., Path], tmp_path: Path
) -> None:
    shared = f"{yarn.files}/shared"
    names = ("earlier", "later")
    kernels = create_carrying(names, 1, "--archive-directory", shared)
    copies = []
    for name in names:
        spec = json.loads((kernels / name / "kernel.json").read_text())
        uri = spec["metadata"]["pyspark_kernels"]["archive"]["uri"]
        assert uri.startswith(f"{shared}/")
        assert f"={uri}#environment" in spec["env"]["PYSPARK_SUBMIT_ARGS"]
        with running(kernels, name, tmp_path) as kernel:
            prove(kernel, 1)
            copies.append(yarn.localised(uri.rpartition("/")[2]))
    ((copy,), later) = copies
    assert later == [copy]
    # Everybody may read the archive, so the node keeps it for everybody.
    assert "usercache" not in copy.parts


# --- flight tests -------------------------------------------------------------------------------


def flown_by(kernels: Path, name: str, limits: Limits) -> Flight:
    """Fly a kernel that is stored, with limits that the command line does not have."""
    spec = json.loads((kernels / name / "kernel.json").read_text())
    config = read_config({**read(spec), "name": name})
    return fly(spec, Listener(), limits, config=config)


def test_a_flight_passes_on_yarn(
    yarn: HadoopCluster,
    create: Callable[..., Path],
    pyspark_environment: Path,
    run: Callable[..., tuple[int, str, str]],
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of a slow cluster the first executor may well be there before the second one.
    both = f"spark.scheduler.maxRegisteredResourcesWaitingTime={LIMIT_SECONDS}s"
    create("flies", pyspark_environment, "--executor-instances", "2", "--conf", both)
    monkeypatch.setattr(flight, "Limits", lambda: PATIENT)
    run("list")
    code, printed, _ = run("test", "flies", "--json")
    flown = Flight.model_validate_json(printed)
    record_property("flight", figures(flown))
    assert code == 0, flown
    assert len(flown.executors) == 2
    assert all(executor.way_back_seconds is not None for executor in flown.executors)
    wait_until(lambda: yarn.applications()["flies"]["state"] == "FINISHED")


def test_an_executor_that_yarn_never_gives_is_told(
    create: Callable[..., Path],
    pyspark_environment: Path,
    run: Callable[..., tuple[int, str, str]],
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create("big", pyspark_environment, "--executor-memory", "64g")
    monkeypatch.setattr(flight, "Limits", lambda: PATIENT)
    run("list")
    code, printed, _ = run("test", "big", "--json")
    flown = Flight.model_validate_json(printed)
    record_property("flight", figures(flown))
    assert code == 1
    (found,) = flown.diagnoses
    assert (found.rule, found.remedy) == ("executor-too-big", "lower-executor")
    assert found.cause == "An executor with 65536 MB is more than the cluster allows, 4096 MB."
    assert "above the max threshold" in found.evidence


def test_a_full_yarn_is_told(
    create: Callable[..., Path],
    pyspark_environment: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    # Of 4096 MiB one takes 768 for its application master and 2432 for its executor, and what is
    # left is enough for another application master, and not for an executor of 1024.
    greedy = ("--executor-instances", "1", "--executor-memory", "2g")
    kernels = create("greedy", pyspark_environment, *greedy)
    create("waits", pyspark_environment, "--executor-instances", "1")
    with running(kernels, "greedy", tmp_path) as kernel:
        assert kernel.value("spark.range(10).count()") == "10"
        flown = flown_by(kernels, "waits", Limits(executors=8))
    record_property("flight", figures(flown))
    (found,) = flown.diagnoses
    assert (found.rule, found.remedy) == ("no-free-cores", "limit-cores")
