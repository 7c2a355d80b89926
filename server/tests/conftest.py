import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture(scope="session")
def pyspark_environment() -> Path:
    """A real environment with PySpark and ipykernel."""
    path = os.environ.get("PYSPARK_KERNELS_TEST_ENVIRONMENT")
    if not path:
        pytest.fail("Set PYSPARK_KERNELS_TEST_ENVIRONMENT, or run the tests by `npm test`.")
    return Path(path)


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
