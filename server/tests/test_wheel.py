"""What people install."""

import zipfile
from pathlib import Path

import pytest

from jupyterlab_pyspark_kernels.schemas import ROOT

DATA = ".data/data/"


@pytest.fixture(scope="module")
def contents(wheel: Path) -> list[str]:
    """List what is in the wheel."""
    # What is larger than this has something in it by mistake.
    assert wheel.stat().st_size < 500_000
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_frontend_is_prebuilt_inside(contents: list[str]) -> None:
    installed = {name.partition(DATA)[2] for name in contents if DATA in name}
    extension = "share/jupyter/labextensions/jupyterlab-pyspark-kernels"
    assert {
        f"{extension}/package.json",
        f"{extension}/install.json",
        f"{extension}/static/style.js",
        f"{extension}/schemas/jupyterlab-pyspark-kernels/commands.json",
        f"{extension}/schemas/jupyterlab-pyspark-kernels/notebook.json",
        "etc/jupyter/jupyter_server_config.d/jupyterlab_pyspark_kernels.json",
    } <= installed
    assert any(name.startswith(f"{extension}/static/remoteEntry.") for name in installed)


def test_the_package_has_its_assets_and_nothing_else(contents: list[str]) -> None:
    package = ROOT / "server" / "jupyterlab_pyspark_kernels"
    expected = {
        str(path.relative_to(package.parent))
        for pattern in ("**/*.py", "*.json", "*.png", "*.yaml", "events/*.yaml", "kernel/*.json")
        for path in package.glob(pattern)
    }
    inside = {name for name in contents if Path(name).parts[0] == package.name}
    assert inside == expected
