"""Kernels made by the command line, on a real YARN with HDFS.

The containers run as the user of the NodeManager, who starts these tests. When that is root, they
do not show whether another user could read what the containers need.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from carrying import prove, site_packages, with_package
from kernels import running, wait_until
from yarn import HadoopCluster, hadoop_cluster

from jupyterlab_pyspark_kernels.cli import main

SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Lets a JVM that does little take a third less of the processor."""


@pytest.fixture(scope="module")
def cluster(
    pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HadoopCluster]:
    jars = os.environ.get("PYSPARK_KERNELS_TEST_HADOOP")
    if not jars:
        pytest.fail("Set PYSPARK_KERNELS_TEST_HADOOP, or run the tests by `npm test`.")
    folder = tmp_path_factory.mktemp("hadoop")
    with hadoop_cluster(pyspark_environment, Path(jars), folder) as started:
        yield started


@pytest.fixture
def create(
    cluster: HadoopCluster,
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
                *("--env", f"HADOOP_CONF_DIR={cluster.conf}", "--env", "SPARK_LOCAL_IP=127.0.0.1"),
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
    cluster: HadoopCluster,
    create: Callable[..., Path],
    pyspark_environment: Path,
    tmp_path: Path,
) -> None:
    kernels = create("counts", pyspark_environment, "--executor-instances", "1")
    with running(kernels, "counts", tmp_path) as kernel:
        assert kernel.value("spark.range(1000).count()") == "1000"
        assert cluster.applications()["counts"]["state"] == "RUNNING"
        assert kernel.wait_for_stage("ready")["master"] == "yarn"
        kernel.manager.shutdown_kernel()
        wait_until(lambda: cluster.applications()["counts"]["state"] == "FINISHED")


def test_executors_run_the_environment_that_is_carried(
    cluster: HadoopCluster, create_carrying: Callable[..., Path], tmp_path: Path
) -> None:
    kernels = create_carrying(("carries",), 2)
    (archive,) = (kernels.parent / f"pyspark-kernels-archives-{os.getuid()}").glob("*.tar.gz")
    with running(kernels, "carries", tmp_path) as kernel:
        folders = prove(kernel, 2)
        assert all(folder.is_relative_to(cluster.folder / "node") for folder in folders)
        # Both executors use the one copy of their node.
        (copy,) = cluster.localised(archive.name)
        assert {(folder / "environment").resolve() for folder in folders} == {copy}


def test_an_archive_on_hdfs_is_localised_once_for_two_kernels(
    cluster: HadoopCluster, create_carrying: Callable[..., Path], tmp_path: Path
) -> None:
    shared = f"{cluster.files}/shared"
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
            copies.append(cluster.localised(uri.rpartition("/")[2]))
    ((copy,), later) = copies
    assert later == [copy]
    # Everybody may read the archive, so the node keeps it for everybody.
    assert "usercache" not in copy.parts
