import os
from collections.abc import Callable
from pathlib import Path

import carrying
import pytest

from jupyterlab_pyspark_kernels.cli import main

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture(scope="session")
def pyspark_environment() -> Path:
    """A real environment with PySpark and ipykernel."""
    path = os.environ.get("PYSPARK_KERNELS_TEST_ENVIRONMENT")
    if not path:
        pytest.fail("Set PYSPARK_KERNELS_TEST_ENVIRONMENT, or run the tests by `npm test`.")
    return Path(path)


@pytest.fixture(scope="session")
def carried_environment(
    pyspark_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A real environment with pandas and pyarrow, for executors to run."""
    return carrying.make_environment(
        pyspark_environment, tmp_path_factory.mktemp("carried") / "env"
    )


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
