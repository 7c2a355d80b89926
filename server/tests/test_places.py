import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterlab_pyspark_kernels.places import (
    directory_place,
    find_places,
    why_not_writable,
)


def test_the_users_own_place_comes_first_and_none_twice(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("shared", "user", "shared")]
    places = find_places(paths, str(tmp_path / "user"))
    assert [(place.id == "user", place.shared) for place in places] == [
        (True, False),
        (False, True),
    ]
    assert [place.kernels.parent.name for place in places] == ["user", "shared"]


def test_ids_need_no_quoting_and_differ() -> None:
    places = find_places(["/opt/a b", "/opt/a-b", "/OPT/A_B", "/", "/user"], "/home/me")
    ids = [place.id for place in places]
    assert ids == ["user", "opt-a-b", "opt-a-b.2", "opt-a-b.3", "root", "user.1"]


def test_a_users_own_place_that_jupyter_does_not_search_is_told(tmp_path: Path) -> None:
    user, shared = find_places([str(tmp_path / "all")], str(tmp_path / "user"))
    assert user.reason is not None
    assert f"{tmp_path}/user/kernels" in user.reason
    assert shared.writable


def test_a_place_that_is_not_there_yet_is_writable(tmp_path: Path) -> None:
    assert directory_place(tmp_path / "a" / "b" / "kernels").writable


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    reason = why_not_writable(tmp_path / "data" / "kernels")
    assert reason == f"{tmp_path}/data is not a directory."


AS_A_STRANGER = """
import os, sys
from pathlib import Path
from jupyterlab_pyspark_kernels.places import why_not_writable
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(why_not_writable(Path(sys.argv[1])))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_closed_directory_is_told() -> None:
    with tempfile.TemporaryDirectory() as closed:
        kernels = Path(closed) / "jupyter" / "kernels"
        kernels.mkdir(parents=True)
        # The package is read before the user changes: the checkout may be closed as well.
        said = subprocess.run(
            [sys.executable, "-c", AS_A_STRANGER, str(kernels)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
    assert said == f"{closed} is not writable for you. Ask whoever administers it.\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_directory_that_is_a_mount_is_told(tmp_path: Path) -> None:
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(kernels)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount")
    try:
        reason = why_not_writable(kernels)
    finally:
        subprocess.run(["umount", str(kernels)], check=True)
    assert reason == (
        f"{kernels} is a disk of its own, so nothing beside it can be moved into it whole. "
        f"Mount {tmp_path} instead."
    )


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[Path]:
    """A directory that not even root can write to."""
    path = tmp_path / "data"
    path.mkdir()
    if os.getuid() != 0:
        path.chmod(0o555)
        yield path
        path.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(path)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_protected_directory_is_told_with_the_remedy(protected: Path) -> None:
    reason = why_not_writable(protected / "kernels")
    assert reason is not None
    assert reason.startswith(str(protected))
    assert "read-only" in reason or "Ask whoever administers it" in reason
