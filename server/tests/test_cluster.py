"""Kernels made by the command line, on a real standalone cluster.

The finding of a guide to Spark with JupyterHub: without a limit the first notebook takes every core
of the cluster, and the next one waits.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from carrying import prove, with_package
from cluster import CORES, Cluster
from kernels import running, wait_until

from jupyterlab_pyspark_kernels.cli import main


@pytest.fixture
def create(
    spark_cluster: Cluster,
    pyspark_environment: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """Create a kernel on the cluster by the command line; give the kernels directory."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))

    def create(name: str, *options: str, environment: Path = pyspark_environment) -> Path:
        code = main(
            [
                *("create", "-k", name, "-e", str(environment)),
                *("--spark_master", spark_cluster.master, "--spark.executor.memory", "512m"),
                *("--spark.driver.host", "127.0.0.1", "--spark.driver.bindAddress", "127.0.0.1"),
                *options,
            ]
        )
        assert code == 0
        return tmp_path / "data" / "kernels"

    return create


COUNT = "spark.range(1000).repartition(2).count()"


def test_two_kernels_with_a_limit_share_the_cluster(
    spark_cluster: Cluster, create: Callable[..., Path], tmp_path: Path
) -> None:
    create("first", "--cores-max", "1")
    kernels = create("second", "--cores-max", "1")
    with (
        running(kernels, "first", tmp_path) as first,
        running(kernels, "second", tmp_path) as second,
    ):
        assert first.value(COUNT) == "1000"
        assert second.value(COUNT) == "1000"
        applications = spark_cluster.applications()
        assert {app["cores"] for app in applications.values()} == {1}
        assert {app["state"] for app in applications.values()} == {"RUNNING"}
        assert set(applications) == {"first", "second"}
        # Both go on: neither waits for the other to end.
        assert first.value(COUNT) == "1000"
        status = first.wait_for_stage("ready")
        assert status["executors"] == 1
        wait_until(lambda: first.status()["cores"] is not None)
        status = first.status()
        assert (status["cores"], status["memory_mib"]) == (1, 512)
        assert list(status["stages"]) == ["jvm", "connecting", "executors", "ready"]


def test_without_a_limit_the_first_kernel_takes_every_core(
    spark_cluster: Cluster, create: Callable[..., Path], tmp_path: Path
) -> None:
    create("greedy")
    kernels = create("waiting")
    with running(kernels, "greedy", tmp_path) as greedy:
        assert greedy.value(COUNT) == "1000"
        assert spark_cluster.applications()["greedy"]["cores"] == CORES
        with running(kernels, "waiting", tmp_path) as waiting:
            status = waiting.wait_for_stage("executors")
            wait_until(lambda: "waiting" in spark_cluster.applications())
            assert spark_cluster.applications()["waiting"]["cores"] == 0
            assert spark_cluster.applications()["waiting"]["state"] == "WAITING"
            assert status["executors"] == 0
            # Plain Python does not wait with it.
            assert waiting.value("1 + 1") == "2"
            # The cores are free again once the first kernel ends, and the second one runs.
            greedy.end()
            assert waiting.value(COUNT) == "1000"


def test_python_is_the_same_on_the_executors(create: Callable[..., Path], tmp_path: Path) -> None:
    kernels = create("same", "--cores-max", "1")
    with running(kernels, "same", tmp_path) as kernel:
        kernel.value(
            "def facts(_=0):\n"
            "    import os, sys\n"
            "    return sys.version, sys.executable, os.environ['PYTHONHASHSEED']\n"
        )
        assert kernel.value("sc.parallelize([0], 1).map(facts).first() == facts()") == "True"


def test_executors_run_the_environment_that_is_carried(
    create: Callable[..., Path], carried_environment: Path, tmp_path: Path
) -> None:
    with with_package(carried_environment):
        kernels = create("carries", "--carry", "--cores-max", "1", environment=carried_environment)
    with running(kernels, "carries", tmp_path) as kernel:
        (folder,) = prove(kernel, 1)
        assert folder.is_relative_to(tmp_path.parent)
