"""Who could change what a kernel runs: real modes, owners, links and access lists on the disk."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.listing import Listing
from jupyterlab_pyspark_kernels.models import Kernel
from jupyterlab_pyspark_kernels.places import Place
from jupyterlab_pyspark_kernels.render import render
from jupyterlab_pyspark_kernels.store import create
from jupyterlab_pyspark_kernels.trust import why_others_cannot_reach

STRANGER, GROUP = 12345, 23456

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody reaches, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="pyspark-kernels-trust-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def env(folder: Path, environment: Path) -> Path:
    """An environment that nobody else can write to."""
    moved = Path(shutil.move(environment, folder / "env"))
    for path in (moved, *moved.rglob("*")):
        path.chmod(0o755)
    return moved


@pytest.fixture
def place(folder: Path) -> Place:
    return Place(id="shared", kernels=folder / "share" / "kernels", shared=True, reason=None)


def write(place: Place, env: Path, change: Callable[[Any], None] = lambda spec: None) -> Path:
    """Write a kernel as it is written, perhaps edited by hand."""
    spec = render(read_config({"name": "k", "environment": str(env)}), "me")
    change(spec)
    create(place, "k", {"kernel.json": json.dumps(spec).encode(), "launcher.py": b""})
    return place.kernels / "k"


def look(place: Place) -> Kernel:
    kernel = Listing({}).describe(place, "k")
    assert kernel is not None
    return kernel


def test_a_kernel_of_ones_own_is_fine(place: Place, env: Path) -> None:
    write(place, env)
    kernel = look(place)
    assert (kernel.untrusted, kernel.broken, kernel.ours) == (None, None, True)


@pytest.mark.parametrize("part", [".", "kernel.json", "launcher.py", "..", "../.."])
def test_what_everybody_can_write_to_is_told(place: Place, env: Path, part: str) -> None:
    path = Path(os.path.normpath(write(place, env) / part))
    path.chmod(path.stat().st_mode | stat.S_IWOTH)
    assert look(place).untrusted == f"{path} can be written to by everybody."


@as_root
@pytest.mark.parametrize("part", [".", "kernel.json", "launcher.py", "..", "../.."])
def test_what_a_group_can_write_to_is_told(place: Place, env: Path, part: str) -> None:
    path = Path(os.path.normpath(write(place, env) / part))
    os.chown(path, -1, GROUP)
    path.chmod(path.stat().st_mode | stat.S_IWGRP)
    assert look(place).untrusted == f"{path} can be written to by the group {GROUP}."


@as_root
@pytest.mark.parametrize("part", [".", "kernel.json", "launcher.py"])
def test_what_belongs_to_a_stranger_is_told(place: Place, env: Path, part: str) -> None:
    path = write(place, env) / part
    os.chown(path, STRANGER, -1)
    kernel = look(place)
    assert kernel.untrusted == (
        f"{os.path.normpath(path)} belongs to user {STRANGER}, who could change what it does."
    )
    assert kernel.owner == (str(STRANGER) if part == "." else "root")


@as_root
def test_whoever_owns_a_shared_place_is_trusted_there(place: Place, env: Path) -> None:
    kernel = write(place, env)
    for path in (place.kernels, kernel, *kernel.iterdir(), env, *env.rglob("*")):
        os.chown(path, STRANGER, -1)
    assert look(place).untrusted is None
    own = place.model_copy(update={"shared": False})
    assert "belongs to user" in str(look(own).untrusted)


@as_root
def test_in_a_sticky_place_the_owner_of_a_kernel_counts(place: Place, env: Path) -> None:
    kernel = write(place, env)
    place.kernels.chmod(0o1777)
    assert look(place).untrusted is None
    os.chown(kernel, STRANGER, -1)
    assert "belongs to user" in str(look(place).untrusted)


@as_root
@pytest.mark.parametrize("whose", [0, STRANGER])
def test_a_link_leads_to_what_is_looked_at(place: Place, env: Path, whose: int) -> None:
    kernel = write(place, env)
    real = place.kernels.parent / "elsewhere" / "k"
    real.parent.mkdir()
    kernel.rename(real)
    kernel.symlink_to(real)
    os.chown(real / "launcher.py", whose, -1)
    assert (look(place).untrusted is None) == (whose == 0)
    os.chown(real / "launcher.py", 0, -1)
    os.lchown(kernel, whose, -1)
    assert (look(place).untrusted is None) == (whose == 0)
    os.lchown(kernel, 0, -1)
    real.parent.chmod(0o777)
    assert look(place).untrusted == f"{real.parent} can be written to by everybody."


@as_root
@pytest.mark.parametrize("whose", [0, STRANGER])
def test_a_link_on_the_way_is_looked_at(place: Place, env: Path, folder: Path, whose: int) -> None:
    """Whoever can put another link there chooses what is started."""
    write(place, env)
    links = folder / "links"
    links.mkdir()
    (links / "share").symlink_to(place.kernels.parent)
    by_link = place.model_copy(update={"kernels": links / "share" / "kernels"})
    os.lchown(links / "share", whose, -1)
    assert (look(by_link).untrusted is None) == (whose == 0)
    os.lchown(links / "share", 0, -1)
    os.chown(links, whose, -1)
    assert (look(by_link).untrusted is None) == (whose == 0)
    (links / "share").unlink()
    os.chown(links, 0, -1)
    (links / "on").symlink_to(f"{folder}/links/../share")
    (links / "share").symlink_to("on")
    assert look(by_link).untrusted is None


def test_another_program_than_the_environments_python_is_told(place: Place, env: Path) -> None:
    def other(spec: Any) -> None:
        spec["argv"][0] = "/usr/bin/env"

    write(place, env, other)
    assert look(place).untrusted == (
        "It starts “/usr/bin/env”, which is not the Python of its environment."
    )


def test_another_launcher_is_told(place: Place, env: Path) -> None:
    def other(spec: Any) -> None:
        spec["argv"][1] = "/tmp/launcher.py"

    write(place, env, other)
    assert "does not start the launcher.py" in str(look(place).untrusted)


def test_an_environment_that_others_can_write_to_is_told(place: Place, env: Path) -> None:
    write(place, env)
    (env / "bin").chmod(0o777)
    assert look(place).untrusted == f"{env}/bin can be written to by everybody."


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_PRELOAD"])
def test_what_a_variable_has_loaded_is_looked_at(
    place: Place, env: Path, folder: Path, name: str
) -> None:
    code = folder / "code"
    code.mkdir()
    code.chmod(0o777)
    write(place, env, lambda spec: spec["env"].update({name: f"/nowhere:{code}"}))
    assert look(place).untrusted == f"{code} can be written to by everybody."


def test_a_spark_home_that_others_can_write_to_is_told(
    place: Place, env: Path, folder: Path, spark_home: Path
) -> None:
    spark = Path(shutil.move(spark_home, folder / "spark"))
    for path in (spark, *spark.rglob("*")):
        path.chmod(0o755)
    config = read_config({"name": "k", "environment": str(env), "spark_home": str(spark)})
    create(place, "k", {"kernel.json": json.dumps(render(config, "me")).encode()})
    assert look(place).untrusted is None
    (spark / "python" / "pyspark").chmod(0o777)
    assert look(place).untrusted == f"{spark}/python/pyspark can be written to by everybody."


def test_a_kernel_that_cannot_be_read_is_looked_at_too(place: Place, env: Path) -> None:
    kernel = write(place, env)
    (kernel / "kernel.json").write_text("{")
    (kernel / "kernel.json").chmod(0o666)
    found = look(place)
    assert found.untrusted == f"{kernel}/kernel.json can be written to by everybody."
    assert found.broken == found.problem
    assert "not JSON" in str(found.problem)


# --- broken --------------------------------------------------------------------------------------


def test_what_is_gone_breaks_a_kernel(
    place: Place, env: Path, folder: Path, spark_home: Path
) -> None:
    config = {"name": "k", "environment": str(env), "spark_home": str(spark_home)}
    create(place, "k", {"kernel.json": json.dumps(render(read_config(config), "me")).encode()})
    assert look(place).broken is None
    shutil.rmtree(spark_home)
    assert "holds no Spark with Python" in str(look(place).broken)
    (env / "bin" / "python").unlink()
    assert "There is no Python at" in str(look(place).broken)
    shutil.rmtree(env)
    assert "There is no Python at" in str(look(place).broken)


def test_an_archive_that_is_gone_breaks_a_kernel(place: Place, env: Path, folder: Path) -> None:
    archive = folder / "x.tar.gz"
    archive.touch()

    def carried(spec: Any) -> None:
        ours = spec["metadata"]["pyspark_kernels"]
        ours["archive"] = {"digest": "0" * 64, "uri": str(archive)}

    write(place, env, carried)
    assert look(place).broken is None
    archive.unlink()
    assert look(place).broken == (
        f"The archive {archive} that executors unpack is gone. Pack the environment again."
    )


def test_a_link_that_leads_nowhere_is_listed(place: Place) -> None:
    (place.kernels / "k").mkdir(parents=True)
    assert Listing({}).describe(place, "k") is None
    (place.kernels / "k" / "kernel.json").symlink_to("/nowhere")
    assert "leads nowhere" in str(look(place).broken)


# --- written by hand -----------------------------------------------------------------------------


def by_hand(place: Place, argv: list[str], **env: str) -> Kernel | None:
    spec = {"argv": argv, "display_name": "By Hand", "language": "python", "env": env}
    create(place, "By_Hand", {"kernel.json": json.dumps(spec).encode()})
    return Listing({}).describe(place, "By_Hand")


def test_a_pyspark_kernel_that_was_written_by_hand_is_listed(place: Place, env: Path) -> None:
    argv = [f"{env}/bin/python", "-m", "ipykernel", "-f", "{connection_file}"]
    kernel = by_hand(place, argv, PYSPARK_SUBMIT_ARGS="--master yarn pyspark-shell")
    assert kernel is not None
    assert (kernel.ours, kernel.writable, kernel.display_name) == (False, False, "By Hand")
    assert kernel.config is not None
    assert (kernel.config["master"], kernel.config["name"]) == ("yarn", "by_hand")
    assert (kernel.broken, kernel.untrusted, kernel.name) == (None, None, "By_Hand")


@pytest.mark.parametrize("python", ["python", "/usr/local/bin/start.sh"])
def test_what_cannot_be_understood_of_it_is_left_open(place: Place, python: str) -> None:
    kernel = by_hand(place, [python], SPARK_HOME="/opt/spark")
    assert kernel is not None
    assert (kernel.config, kernel.broken, kernel.problem) == (None, None, None)


def test_other_kernels_are_not_listed(place: Place) -> None:
    assert by_hand(place, ["python"]) is None


# --- whom others can reach -----------------------------------------------------------------------


def test_others_cannot_reach_what_is_closed(place: Place, env: Path, folder: Path) -> None:
    place.kernels.mkdir(parents=True)
    config = read_config({"name": "k", "environment": str(env)})
    assert why_others_cannot_reach(config, place) is None
    env.chmod(0o700)
    field, message = why_others_cannot_reach(config, place) or ("", "")
    assert field == "environment"
    assert f"as {env} is closed to them" in message
    # A link in an open folder leads there all the same.
    (folder / "link").symlink_to(env)
    linked = read_config({"name": "k", "environment": f"{folder}/link"})
    assert why_others_cannot_reach(linked, place) is not None
    # Who cannot see the kernel needs no environment.
    place.kernels.parent.chmod(0o700)
    assert why_others_cannot_reach(config, place) is None
    own = place.model_copy(update={"shared": False})
    assert why_others_cannot_reach(config, own) is None
