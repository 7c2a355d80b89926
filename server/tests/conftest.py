import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import carrying
import pytest
from cluster import Cluster, standalone_cluster
from flights import PATIENT, Fly, Listener, figures
from hypothesis import HealthCheck, settings
from kernels import MARKER, SHORT_LIVED, marked_processes, wait_until
from yarn import HadoopCluster, hadoop_cluster

from jupyterlab_pyspark_kernels.catalogue import Catalogue, Spark, ask
from jupyterlab_pyspark_kernels.cli import main
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.console import Console
from jupyterlab_pyspark_kernels.flight import Flight, Limits, fly
from jupyterlab_pyspark_kernels.kernel.driver import DRIVER_START_VARIABLE
from jupyterlab_pyspark_kernels.render import Carried, Kernelspec, render
from jupyterlab_pyspark_kernels.schemas import ROOT

# The same examples in every run, and however slow the machine is. To look for others:
# pytest --hypothesis-profile=default
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")

# Kernels of these tests make no archives of classes beside themselves, but for those of test_cds.
os.environ[DRIVER_START_VARIABLE] = "off"

pytest_plugins = ["pytest_jupyter.jupyter_server"]


def given(variable: str) -> Path:
    """Give what the scripts have installed for the tests."""
    path = os.environ.get(variable)
    if not path:
        pytest.fail(f"Set {variable}, or run the tests by `npm test`.")
    return Path(path)


@pytest.fixture(scope="session")
def pyspark_environment() -> Path:
    """A real environment with PySpark and ipykernel."""
    return given("PYSPARK_KERNELS_TEST_ENVIRONMENT")


@pytest.fixture(scope="session")
def connect_environment() -> Path:
    """A real environment with Spark Connect's thin client and ipykernel."""
    return given("PYSPARK_KERNELS_TEST_CONNECT")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What people install, built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def settings_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the settings of the real Spark are kept."""
    return tmp_path_factory.mktemp("settings") / "own" / "settings"


@pytest.fixture(scope="session")
def catalogue(pyspark_environment: Path, settings_folder: Path) -> Catalogue:
    """What the real Spark tells of its settings."""
    return ask(settings_folder, Spark(str(pyspark_environment)), Console())


@pytest.fixture(scope="session")
def carried_environment(
    pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A real environment with pandas and pyarrow, for executors to run."""
    return carrying.make_environment(
        pyspark_environment, tmp_path_factory.mktemp("carried") / "env"
    )


@pytest.fixture(scope="module")
def yarn(
    pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HadoopCluster]:
    """A real YARN with HDFS, of its own for each module: four JVMs are not kept for the others."""
    jars = given("PYSPARK_KERNELS_TEST_HADOOP")
    folder = tmp_path_factory.mktemp("hadoop")
    with hadoop_cluster(pyspark_environment, jars, folder) as started:
        yield started


@pytest.fixture(scope="session")
def _started_cluster(
    pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    with standalone_cluster(pyspark_environment, tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def spark_cluster(_started_cluster: Cluster) -> Cluster:
    """A real standalone cluster, once what ran on it for the test before has given all back."""
    wait_until(_started_cluster.is_free)
    return _started_cluster


@pytest.fixture(scope="module")
def short_lived_java() -> Iterator[None]:
    """Let every JVM know that it lives for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", SHORT_LIVED)
        yield


@pytest.fixture
def marker(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Mark all processes that this test starts."""
    name = f"{request.node.name}-{os.getpid()}"
    monkeypatch.setenv(MARKER, name)
    return name


@pytest.fixture
def take_off(
    pyspark_environment: Path, marker: str, record_property: Callable[[str, object], None]
) -> Fly:
    """Fly a draft, and make sure that nothing is left of it."""

    def take_off(
        listener: Listener | None = None,
        limits: Limits | None = None,
        edit: Callable[[Kernelspec], None] | None = None,
        carried: Carried | None = None,
        **data: object,
    ) -> Flight:
        given = {"name": "draft", "environment": str(pyspark_environment), "master": "local[2]"}
        config = read_config({**given, **data})
        spec = render(config, "tester", carried)
        if edit is not None:
            edit(spec)
        before = set(marked_processes(marker))
        flown = fly(spec, listener or Listener(), limits or PATIENT, config=config)
        wait_until(lambda: set(marked_processes(marker)) <= before)
        record_property("flight", figures(flown))
        return flown

    return take_off


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what flights found, and how long each stage took."""
    told = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "flight"
    ]
    if told:
        terminalreporter.section("flights")
        terminalreporter.write_line("\n".join(map(str, told)))


@pytest.fixture
def make_environment(tmp_path: Path) -> Callable[..., Path]:
    """Make the files by which an environment is judged; nothing in it is ever run."""

    def make(name: str = "env", **packages: str) -> Path:
        environment = tmp_path / name
        site_packages = environment / "lib" / "python3.12" / "site-packages"
        site_packages.mkdir(parents=True)
        (environment / "bin").mkdir()
        python = environment / "bin" / "python"
        # Running it would leave a trace that a test looks for.
        python.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
        python.chmod(0o755)
        (environment / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.12.4\n")
        for package, version in packages.items():
            (site_packages / f"{package}-{version}.dist-info").mkdir()
        return environment

    return make


@pytest.fixture
def environment(make_environment: Callable[..., Path]) -> Path:
    """An environment that looks complete."""
    return make_environment(ipykernel="7.4.0", pyspark="4.3.0", py4j="0.10.9.9")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: nothing is asked of a disk there."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as path:
        yield Path(path)


@pytest.fixture
def spark_home(tmp_path: Path) -> Path:
    """The files by which a Spark installation is judged; nothing in it is ever run."""
    spark = tmp_path / "spark"
    (spark / "python" / "lib").mkdir(parents=True)
    (spark / "python" / "lib" / "py4j-0.10.9.9-src.zip").touch()
    (spark / "python" / "pyspark").mkdir()
    (spark / "bin").mkdir()
    (spark / "bin" / "spark-submit").touch(0o755)
    return spark


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data directory of Jupyter; it is not there yet."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "data"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; give its exit code, output and messages."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        output, messages = capsys.readouterr()
        return code, output, messages

    return run
