import os
import shutil
import stat
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.environments import (
    Environment,
    inspect_environment,
    prepare,
    spark_home_problem,
    why_not_ours,
)
from jupyterlab_pyspark_kernels.errors import CannotBeDone

UV = """home = /usr/bin
implementation = CPython
uv = 0.13.8
version_info = 3.12.4
include-system-site-packages = false
"""
VIRTUALENV = """home = /usr/bin
implementation = CPython
version_info = 3.12.4.final.0
virtualenv = 21.15.7
include-system-site-packages = false
base-prefix = /usr
"""


def inspect(path: Path) -> Environment:
    found = inspect_environment(str(path))
    assert found is not None
    return found


def install(environment: Path, *names: str) -> None:
    """Leave the traces of packages, such as `pip-26.3.dist-info`, where one looks for them."""
    (library,) = (environment / "lib").glob("python3*")
    for name in names:
        (library / "site-packages" / name).mkdir(parents=True)


@pytest.fixture
def make_conda(make_environment: Callable[..., Path]) -> Callable[..., Path]:
    """Make the files by which a conda environment is known."""

    def make(name: str, *records: str) -> Path:
        environment = make_environment(name)
        (environment / "pyvenv.cfg").unlink()
        (environment / "conda-meta").mkdir()
        for record in ("history", "python-3.12.9-h955ad1f_0_cpython.json", *records):
            (environment / "conda-meta" / record).touch()
        return environment

    return make


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
    found = inspect(pyspark_environment)
    assert found.kind in ("venv", "virtualenv", "uv")
    assert found.python_version is not None
    assert found.python_version.startswith("3.")
    assert {"ipykernel", "pyspark", "py4j"} <= set(found.packages)
    assert (found.problem, found.remedy) == (None, None)


def test_a_bare_venv_has_nothing_to_install_with_and_says_what_to_do(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    found = inspect(tmp_path / "bare")
    python = f"{tmp_path}/bare/bin/python"
    assert found.problem == (
        f"{tmp_path}/bare has no ipykernel, which every Python kernel needs. "
        "It has no pip to install it with. Install both with: "
        f"{python} -m ensurepip, and then {python} -m pip install ipykernel"
    )
    assert (found.kind, found.remedy, found.installer) == ("venv", None, None)


def test_a_real_uv_environment_is_told_from_others(tmp_path: Path) -> None:
    uv = str(Path(sys.executable).parent / "uv")
    command = [uv, "venv", "--quiet", "--offline", "--python", sys.executable, "env"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = inspect(tmp_path / "env")
    assert (found.kind, found.installer, found.remedy) == ("uv", "uv", "install-ipykernel")
    assert str(found.python_version).startswith(".".join(map(str, sys.version_info[:2])))


@pytest.mark.parametrize(
    ("settings", "name", "inside", "kind", "version", "installer", "how"),
    [
        ("home = /usr/bin\nversion = 3.12.4\n", "e", ["pip-26.3.dist-info"], *("venv", "3.12.4"),
         "pip", "{path}/bin/python -m pip install ipykernel"),
        (UV, "e", [], "uv", "3.12.4", "uv",
         "uv pip install --python {path}/bin/python ipykernel"),
        (UV, "e", ["pip-26.3.dist-info"], "uv", "3.12.4", "pip",
         "{path}/bin/python -m pip install ipykernel"),
        (VIRTUALENV, "e", ["pip-26.3.dist-info"], "virtualenv", "3.12.4", "pip",
         "{path}/bin/python -m pip install ipykernel"),
        (VIRTUALENV, "pypoetry/virtualenvs/shop-x1-py3.11", [], "poetry", "3.12.4", None,
         "poetry add ipykernel"),
        (VIRTUALENV, "pipx/venvs/black", [], "pipx", "3.12.4", None,
         "pipx inject black ipykernel"),
        (None, ".pyenv/versions/3.12.4", ["pip-26.3.dist-info"], "pyenv", "3.12.4", "pip",
         "{path}/bin/python -m pip install ipykernel"),
        (VIRTUALENV, ".pyenv/versions/3.12.4/envs/e", ["pip-26.3.dist-info"], "pyenv", "3.12.4",
         "pip", "{path}/bin/python -m pip install ipykernel"),
        (None, "opt/python", ["pip-26.3.dist-info"], "other", None, "pip",
         "{path}/bin/python -m pip install ipykernel"),
    ],
)  # fmt: skip
def test_every_kind_tells_its_version_and_how_to_install_into_it(
    make_environment: Callable[..., Path],
    settings: str | None,
    name: str,
    inside: list[str],
    kind: str,
    version: str | None,
    installer: str | None,
    how: str,
) -> None:
    environment = make_environment(name)
    file = environment / "pyvenv.cfg"
    if settings is None:
        file.unlink()
    else:
        file.write_text(settings)
    install(environment, *inside)
    found = inspect(environment)
    assert (found.kind, found.python_version, found.installer) == (kind, version, installer)
    assert found.problem is not None
    assert found.problem.startswith(f"{environment} has no ipykernel")
    assert found.problem.endswith(f" with: {how.format(path=environment)}")
    assert found.remedy == ("install-ipykernel" if installer else None)


def test_conda_and_pixi_own_what_they_made(make_conda: Callable[..., Path]) -> None:
    conda = inspect(make_conda("conda"))
    assert (conda.kind, conda.python_version, conda.installer) == ("conda", "3.12.9", "conda")
    assert str(conda.problem).endswith(f"conda install --prefix {conda.path} ipykernel")
    pixi = inspect(make_conda("work/.pixi/envs/default"))
    assert (pixi.kind, pixi.installer, pixi.remedy) == ("pixi", None, None)
    project = Path(pixi.path).parents[2]
    assert str(pixi.problem).endswith(
        f"Add it to its project in {project} with: pixi add ipykernel"
    )
    assert inspect(make_conda("detached", "pixi")).kind == "pixi"


def test_pixis_global_environments_have_a_command_of_their_own(
    make_conda: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = inspect(make_conda(".pixi/envs/tools"))
    assert str(found.problem).endswith("pixi global add --environment tools ipykernel")


def test_what_the_system_manages_is_left_alone(make_environment: Callable[..., Path]) -> None:
    environment = make_environment()
    (environment / "pyvenv.cfg").unlink()
    (environment / "lib" / "python3.12" / "EXTERNALLY-MANAGED").touch()
    install(environment, "pip-26.3.dist-info")
    found = inspect(environment)
    assert (found.remedy, found.installer) == (None, None)
    assert str(found.problem).endswith(f"{environment}/bin/python -m venv DIRECTORY")


def test_the_versions_of_every_package_are_read_however_it_was_installed(
    make_environment: Callable[..., Path],
) -> None:
    environment = make_environment(ipykernel="7.4.0", PyArrow="22.0.0", pandas="3.0.0rc1")
    packages = environment / "lib" / "python3.12" / "site-packages"
    (packages / "pyspark-3.5.0-py3.10.egg-info").mkdir()
    (packages / "py4j-0.10.9.9-py3.10.egg-info").touch()
    (packages / "pyspark_client-4.0.0.dist-info").mkdir()
    for other in ("pyspark_extra-4.0.0.dist-info", "pandas-\udcff.dist-info", "~ip-1.dist-info"):
        (packages / other).mkdir()
    assert inspect(environment).packages == {
        "ipykernel": "7.4.0",
        "pyspark": "3.5.0",
        "pyspark-client": "4.0.0",
        "py4j": "0.10.9.9",
        "pandas": "3.0.0rc1",
        "pyarrow": "22.0.0",
    }


def test_a_free_threaded_python_has_its_packages_elsewhere(
    make_environment: Callable[..., Path],
) -> None:
    environment = make_environment(ipykernel="7.4.0")
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.13.1\n")
    (environment / "lib" / "python3.12").rename(environment / "lib" / "python3.13t")
    assert inspect(environment).packages == {"ipykernel": "7.4.0"}


@pytest.mark.parametrize("version", ["2.7.18", "3.6.15"])
def test_a_python_that_cannot_read_the_launcher_is_told(
    make_environment: Callable[..., Path], version: str
) -> None:
    environment = make_environment(ipykernel="4.10.0")
    (environment / "pyvenv.cfg").write_text(f"version = {version}\n")
    found = inspect(environment)
    assert str(found.problem).startswith(f"{environment} has Python {version}.")
    assert found.remedy is None


def test_a_venv_that_sees_its_base_counts_what_is_there(tmp_path: Path) -> None:
    venv.create(tmp_path / "outer", symlinks=True)
    base = tmp_path / "base"
    packages = base / "lib" / "python3.12" / "site-packages"
    (packages / "ipykernel-7.0.0.dist-info").mkdir(parents=True)
    settings = f"home = {base}/bin\nInclude-System-Site-Packages = True\nversion = 3.12.1\n"
    (tmp_path / "outer" / "pyvenv.cfg").write_text(settings)
    assert inspect(tmp_path / "outer").packages["ipykernel"] == "7.0.0"


@pytest.mark.parametrize("home", ["{env}/bin", "{env}", "", ".", "/", "\0", "x" * 5000])
def test_a_venv_whose_base_is_itself_or_nonsense_is_read_once(
    make_environment: Callable[..., Path], home: str
) -> None:
    environment = make_environment(ipykernel="7.4.0")
    settings = f"home = {home.format(env=environment)}\ninclude-system-site-packages = true\n"
    (environment / "pyvenv.cfg").write_text(settings)
    assert inspect(environment).packages["ipykernel"] == "7.4.0"


def test_the_base_of_a_venv_is_not_looked_for_where_the_server_runs(
    make_environment: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = make_environment("here", ipykernel="7.4.0")
    environment = make_environment("env")
    monkeypatch.chdir(here)
    for home in ("bin", "./bin", ""):
        settings = f"home = {home}\ninclude-system-site-packages = true\n"
        (environment / "pyvenv.cfg").write_text(settings)
        assert inspect(environment).packages == {}


def test_the_interpreter_itself_may_be_named() -> None:
    found = inspect_environment(sys.executable)
    assert found is not None
    assert found.path == sys.executable


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/etc", "/etc/hostname", "relative", "", "~nobody-here/env", "/a\0b", "/\udcff"],
)
def test_where_no_python_is_nothing_is_found(path: str) -> None:
    assert inspect_environment(path) is None


def test_a_python_that_is_no_program_is_told(make_environment: Callable[..., Path]) -> None:
    environment = make_environment(ipykernel="7.4.0")
    python = environment / "bin" / "python"
    python.unlink()
    python.mkdir()
    found = inspect(environment)
    assert str(found.problem).startswith(f"Its Python {python} is no program")
    assert (found.remedy, found.installer) == (None, None)


@pytest.mark.parametrize("lines", [b"\xff\xfe\0", b"version\n= 3\n", b"version = " + b"9" * 200])
def test_settings_that_make_no_sense_are_no_error(
    make_environment: Callable[..., Path], lines: bytes
) -> None:
    environment = make_environment(ipykernel="7.4.0")
    (environment / "pyvenv.cfg").write_bytes(lines)
    assert inspect(environment).kind == "venv"


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
    install(environment, "pip-26.3.dist-info")
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


def test_the_home_of_another_machine_is_not_guessed(environment: Path) -> None:
    data = {"name": "k", "environment": str(environment)}
    with pytest.raises(CannotBeDone) as caught:
        prepare(read_config({**data, "executor_python": "~/env/bin/python"}))
    (error,) = caught.value.errors
    assert error.field == "executor_python"
    assert "Write the path from the root" in error.message
    prepared = prepare(read_config({**data, "executor_python": "/usr/bin/python3"}))
    assert prepared.executor_python == "/usr/bin/python3"


def test_a_spark_home_must_hold_spark_and_py4j(spark_home: Path) -> None:
    assert spark_home_problem(str(spark_home)) is None
    (spark_home / "python" / "lib" / "py4j-0.10.9.7-src.zip").unlink()
    assert "py4j" in str(spark_home_problem(str(spark_home)))
    assert "bin/spark-submit" in str(spark_home_problem("/etc"))


@pytest.mark.parametrize("path", [f"/{'x' * 300}", f"/{'x/' * 3000}"])
def test_a_name_that_is_too_long_for_the_disk_is_told(environment: Path, path: str) -> None:
    for field in ("environment", "spark_home"):
        config = read_config({"name": "k", "environment": str(environment), field: path})
        with pytest.raises(CannotBeDone) as caught:
            prepare(config)
        (error,) = caught.value.errors
        assert error.field == field
        assert "File name too long" in error.message


AS_A_STRANGER = """
import os, sys
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.environments import find_environments, inspect_environment, prepare
from jupyterlab_pyspark_kernels.errors import CannotBeDone

closed, server = sys.argv[1:]
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for found in find_environments([closed, f"{closed}/open"], closed, server):
    print(found.path, found.installer, found.problem, sep="|")
try:
    prepare(read_config({"name": "k", "environment": closed, "spark_home": f"{closed}/closed/x"}))
except CannotBeDone as error:
    for one in error.errors:
        print(one.field, one.message, sep="|")
print(inspect_environment(f"{closed}/closed/env"))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_what_is_closed_to_the_user_is_told_and_never_an_error(
    make_environment: Callable[..., Path],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        good = shutil.copytree(make_environment("good"), f"{folder}/open/good")
        shutil.copytree(good, f"{folder}/closed/env")
        lost = Path(shutil.copytree(good, f"{folder}/open/lost"))
        (lost / "bin" / "python").unlink()
        (lost / "bin" / "python").symlink_to(f"{folder}/closed/env/bin/python")
        os.chmod(f"{folder}/closed", 0o700)
        os.chmod(f"{folder}/open/good/lib/python3.12/site-packages", 0o311)
        run = subprocess.run(
            [sys.executable, "-c", AS_A_STRANGER, folder, f"{folder}/open/good"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        f"{folder}/open/good|None|{folder}/open/good has no ipykernel, which every Python kernel "
        "needs. It is not writable for you, so ask whoever administers it to install ipykernel",
        f"{folder}/open/lost|None|Its Python {folder}/open/lost/bin/python cannot be looked at: "
        "Permission denied",
        f"environment|There is no Python in “{folder}”. Choose an environment that has "
        "bin/python, or the interpreter itself.",
        f"spark_home|“{folder}/closed/x” cannot be looked at: Permission denied. "
        "Choose a Spark installation that you can read.",
        "None",
    ]


@pytest.fixture
def own(make_environment: Callable[..., Path]) -> Path:
    """An environment in a directory that nobody else can write to."""
    environment = make_environment("mine/env", ipykernel="7.4.0")
    for path in (environment, *environment.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o022)
    return environment


def test_an_environment_of_ones_own_may_be_run(own: Path) -> None:
    assert why_not_ours(str(own)) is None
    assert why_not_ours(str(own / "bin" / "python")) is None


def test_the_python_of_the_system_may_be_run() -> None:
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("this machine has no Python of its own")
    assert why_not_ours(str(python)) is None


@pytest.mark.parametrize(
    "part", ["", "bin", "bin/python", "pyvenv.cfg", "lib/python3.12/site-packages", ".."]
)
@pytest.mark.parametrize("bits", [0o002, 0o020])
def test_what_others_can_change_is_not_run(own: Path, part: str, bits: int) -> None:
    path = Path(os.path.normpath(own / part))
    path.chmod(path.stat().st_mode | bits)
    if bits == 0o020:
        if os.getuid() != 0:
            pytest.skip("only root can give a file to another group")
        os.chown(path, -1, 65534)
    reason = why_not_ours(str(own))
    assert reason is not None
    assert reason.startswith(f"{path} can be written to by ")


def test_a_link_through_what_others_can_change_is_not_followed(own: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    shutil.copy(own / "bin" / "python", tmp_path / "python")
    (shared / "python").symlink_to(tmp_path / "python")
    (own / "bin" / "python").unlink()
    (own / "bin" / "python").symlink_to(shared / "python")
    assert why_not_ours(str(own)) == f"{shared} can be written to by everybody."


def test_a_sticky_directory_is_good_enough_above_and_not_within(own: Path) -> None:
    own.parent.chmod(0o777 | stat.S_ISVTX)
    assert why_not_ours(str(own)) is None
    (own / "bin").chmod(0o777 | stat.S_ISVTX)
    assert why_not_ours(str(own)) == f"{own}/bin can be written to by everybody."


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_not_run(own: Path) -> None:
    os.chown(own / "lib" / "python3.12" / "site-packages", 12345, -1)
    reason = why_not_ours(str(own))
    assert reason == (
        f"{own}/lib/python3.12/site-packages belongs to user 12345, who could change what it does."
    )


def test_the_group_that_is_the_users_alone_is_no_other(own: Path) -> None:
    if os.getuid() != 0 or os.getgid() != 0:
        pytest.skip("whose group is whose own depends on the machine, but for root's")
    own.chmod(0o775)
    assert why_not_ours(str(own)) is None


@pytest.mark.parametrize("path", ["/nowhere", "/etc", "\0"])
def test_what_is_not_there_is_not_run(path: str) -> None:
    assert "There is no Python" in str(why_not_ours(path))


def test_an_environment_outside_the_allowed_directories_is_refused(
    make_environment: Callable[..., Path], tmp_path: Path
) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    outside = make_environment("outside", ipykernel="7.4.0", pyspark="4.3.0")
    inside = make_environment("allowed/inside", ipykernel="7.4.0", pyspark="4.3.0")
    (allowed / "link").symlink_to(outside)
    for path in (outside, allowed / "link", allowed / "link" / "bin" / "python"):
        config = read_config({"name": "k", "environment": str(path)})
        with pytest.raises(CannotBeDone, match=f"Choose one in: {allowed}") as caught:
            prepare(config, [str(allowed)])
        assert [error.field for error in caught.value.errors] == ["environment"]
        prepare(config)
    for path in (inside, inside / "bin" / "python"):
        prepare(read_config({"name": "k", "environment": str(path)}), [str(allowed)])
