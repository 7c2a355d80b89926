import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.environments import (
    find_environments,
    inspect_environment,
    prepare,
    spark_home_problem,
)
from jupyterlab_pyspark_kernels.errors import CannotBeDone


@pytest.fixture
def spark_home(tmp_path: Path) -> Path:
    """The files by which a Spark installation is known."""
    home = tmp_path / "spark"
    for directory in ("bin", "python/pyspark", "python/lib"):
        (home / directory).mkdir(parents=True)
    (home / "bin" / "spark-submit").touch()
    (home / "python" / "lib" / "py4j-0.10.9.7-src.zip").touch()
    return home


def test_a_real_environment_is_read(pyspark_environment: Path) -> None:
    found = inspect_environment(str(pyspark_environment))
    assert found is not None
    assert found.kind == "venv"
    assert found.python_version is not None
    assert found.python_version.startswith("3.")
    assert set(found.packages) == {"ipykernel", "pyspark", "py4j"}
    assert found.problem is None


def test_a_new_venv_lacks_ipykernel_and_says_how_to_install_it(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    found = inspect_environment(str(tmp_path / "bare"))
    assert found is not None
    assert found.problem is not None
    assert f"{tmp_path}/bare/bin/python -m pip install ipykernel" in found.problem


def test_a_venv_that_sees_its_base_counts_what_is_there(tmp_path: Path) -> None:
    venv.create(tmp_path / "outer", symlinks=True)
    base = tmp_path / "base"
    packages = base / "lib" / "python3.12" / "site-packages"
    (packages / "ipykernel-7.0.0.dist-info").mkdir(parents=True)
    settings = f"home = {base}/bin\ninclude-system-site-packages = true\nversion = 3.12.1\n"
    (tmp_path / "outer" / "pyvenv.cfg").write_text(settings)
    found = inspect_environment(str(tmp_path / "outer"))
    assert found is not None
    assert found.packages["ipykernel"] == "7.0.0"


def test_the_interpreter_itself_may_be_named() -> None:
    found = inspect_environment(sys.executable)
    assert found is not None
    assert found.path == sys.executable


@pytest.mark.parametrize("path", ["/nowhere", "/etc", "/etc/hostname"])
def test_where_no_python_is_nothing_is_found(path: str) -> None:
    assert inspect_environment(path) is None


def test_uv_and_conda_environments_tell_their_version(
    make_environment: Callable[..., Path],
) -> None:
    uv = make_environment("uv")
    (uv / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.13.0.final.0\n")
    conda = make_environment("conda")
    (conda / "pyvenv.cfg").unlink()
    (conda / "conda-meta").mkdir()
    (conda / "conda-meta" / "python-3.11.9-h955ad1f_0.json").touch()
    found = [inspect_environment(str(path)) for path in (uv, conda)]
    assert [(item.kind, item.python_version) for item in found if item] == [
        ("venv", "3.13.0"),
        ("conda", "3.11.9"),
    ]


def test_the_workspace_comes_first_and_nothing_twice(
    make_environment: Callable[..., Path], tmp_path: Path
) -> None:
    make_environment("roots/one", ipykernel="7.4.0")
    workspace = tmp_path / "work"
    workspace.mkdir()
    (workspace / ".venv").symlink_to(tmp_path / "roots" / "one")
    server = make_environment("server")
    found = find_environments([str(tmp_path / "roots"), "/nowhere"], workspace, server)
    assert [item.path for item in found] == [str(workspace / ".venv"), str(server)]


def test_an_environment_that_lost_its_python_is_shown_with_the_reason(
    make_environment: Callable[..., Path], tmp_path: Path
) -> None:
    environment = make_environment()
    (environment / "bin" / "python").unlink()
    (environment / "bin" / "python").symlink_to("/nowhere/python")
    (found,) = find_environments([str(tmp_path)], None, environment)
    assert found.problem == f"Its Python is gone: /nowhere/python. Make {environment} anew"


def test_what_a_kernel_names_is_checked_all_at_once() -> None:
    config = read_config({"name": "k", "environment": "/nowhere", "spark_home": "/etc"})
    with pytest.raises(CannotBeDone) as caught:
        prepare(config)
    assert [error.field for error in caught.value.errors] == ["environment", "spark_home"]
    assert "/nowhere" in caught.value.errors[0].message


def test_an_environment_without_pyspark_needs_a_spark_home(
    make_environment: Callable[..., Path], spark_home: Path
) -> None:
    environment = make_environment(ipykernel="7.4.0")
    data = {"name": "k", "environment": str(environment)}
    with pytest.raises(CannotBeDone, match=r"pip install pyspark, or give a Spark home"):
        prepare(read_config(data))
    prepared = prepare(read_config({**data, "spark_home": f"{spark_home}/"}))
    assert prepared.spark_home == str(spark_home)


def test_home_is_written_out(
    make_environment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_environment("env", ipykernel="7.4.0", pyspark="4.3.0")
    monkeypatch.setenv("HOME", str(tmp_path))
    prepared = prepare(read_config({"name": "k", "environment": "~/env"}))
    assert prepared.environment == str(tmp_path / "env")


def test_a_spark_home_must_hold_spark_and_py4j(spark_home: Path) -> None:
    assert spark_home_problem(str(spark_home)) is None
    (spark_home / "python" / "lib" / "py4j-0.10.9.7-src.zip").unlink()
    assert "py4j" in str(spark_home_problem(str(spark_home)))
    assert "bin/spark-submit" in str(spark_home_problem("/etc"))
