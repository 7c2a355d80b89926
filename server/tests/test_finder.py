"""Where environments are looked for, and what a search never does."""

import ctypes
import os
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyterlab_pyspark_kernels.environments import (
    DEFAULT_ROOTS,
    EnvironmentFinder,
    find_environments,
)
from jupyterlab_pyspark_kernels.environments.reading import (
    ENTRIES,
    LISTINGS,
    TEXT_BYTES,
    read_subdirectories,
    read_text,
)

OLD = 1_000_000_000
"""Seconds: a time long before any search."""


@pytest.fixture
def server(make_environment: Callable[..., Path]) -> Path:
    """The environment of the server, which ends every list."""
    return make_environment("server")


def paths(roots: list[str], workspace: Path | None, server: Path) -> list[str]:
    found = [item.path for item in find_environments(roots, workspace, server)]
    assert found.pop() == str(server)
    return found


def test_the_workspace_comes_first_and_nothing_twice(
    make_environment: Callable[..., Path], tmp_path: Path, server: Path
) -> None:
    make_environment("roots/one", ipykernel="7.4.0")
    workspace = tmp_path / "work"
    workspace.mkdir()
    (workspace / ".venv").symlink_to(tmp_path / "roots" / "one")
    roots = [str(tmp_path / "roots"), str(tmp_path / "roots"), "/nowhere"]
    assert paths(roots, workspace, server) == [str(workspace / ".venv")]


def test_the_projects_in_the_workspace_have_environments_too(
    make_environment: Callable[..., Path], tmp_path: Path, server: Path
) -> None:
    inside = ["venv", ".venv", "custom", ".pixi/envs/default", "b/.venv", "a/part/env"]
    for name in (
        *inside,
        "a/part/deep/.venv",
        "node_modules/env",
        ".hidden/env",
        "a/node_modules/env",
        "elsewhere",
    ):
        make_environment(f"projects/{name}")
    (tmp_path / "projects" / "elsewhere").rename(tmp_path / "elsewhere")
    (tmp_path / "projects" / "loop").symlink_to(tmp_path / "projects")
    (tmp_path / "projects" / "linked").symlink_to(tmp_path)
    assert paths([], tmp_path / "projects", server) == [
        f"{tmp_path}/projects/{name}"
        for name in (
            *(".venv", "venv", ".pixi/envs/default", "custom"),
            *("b/.venv", "a/part/env"),
        )
    ]


def test_the_tools_own_places_are_searched(
    make_environment: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    server: Path,
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    for name in ("WORKON_HOME", "PYENV_ROOT", "PIPX_HOME", "UV_TOOL_DIR", "MAMBA_ROOT_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POETRY_CACHE_DIR", str(tmp_path / "cache"))
    places = {
        "home/.virtualenvs/a": "venv",
        "cache/virtualenvs/b": "venv",
        "home/.cache/pypoetry/virtualenvs/c": "poetry",
        "home/Library/Caches/pypoetry/virtualenvs/d": "poetry",
        "home/miniforge3": "conda",
        "home/miniforge3/envs/e": "conda",
        "listed/f": "conda",
        "home/.pyenv/versions/3.12.4": "pyenv",
        "home/.pyenv/versions/3.12.4/envs/g": "pyenv",
        "home/.pixi/envs/h": "pixi",
        "home/.local/share/hatch/env/virtual/shop/x1/i": "venv",
        "home/.local/share/pipx/venvs/j": "pipx",
        "home/.local/share/uv/tools/k": "uv",
    }
    for place, kind in places.items():
        environment = make_environment(place)
        if kind in ("conda", "pixi"):
            (environment / "pyvenv.cfg").unlink()
            (environment / "conda-meta").mkdir()
        elif kind == "uv":
            (environment / "pyvenv.cfg").write_text("uv = 0.13.8\nversion_info = 3.12.4\n")
    (home / ".pyenv" / "versions" / "g").symlink_to("3.12.4/envs/g")
    (home / ".conda").mkdir()
    listed = [tmp_path / "home/miniforge3", tmp_path / "listed/f", "/nowhere", "relative"]
    (home / ".conda" / "environments.txt").write_text("\n".join(map(str, listed)))
    found = {
        item.path: item.kind
        for item in find_environments(DEFAULT_ROOTS, None, server)
        if item.path.startswith(str(tmp_path)) and item.path != str(server)
    }
    assert {str(tmp_path / place): kind for place, kind in places.items()} == {
        # pyenv itself links the environments beside the versions.
        path.replace("versions/g", "versions/3.12.4/envs/g"): kind
        for path, kind in found.items()
    }


@pytest.mark.parametrize(
    "root", ["", "~nobody-here/envs", "$NOT_SET_ANYWHERE/envs", "relative", "/a\0b", "/*/*/nothing"]
)
def test_a_root_that_leads_nowhere_holds_nothing(root: str, server: Path) -> None:
    assert paths([root], None, server) == []


def test_one_environment_or_a_pattern_may_be_a_root(
    make_environment: Callable[..., Path], tmp_path: Path, server: Path
) -> None:
    one = make_environment("envs/one")
    two = make_environment("teams/red/envs/two")
    assert paths([str(one)], None, server) == [str(one)]
    assert paths([f"{tmp_path}/teams/*/envs"], None, server) == [str(two)]
    assert paths([f"{tmp_path}/*/*"], None, server) == [str(one)]


def test_names_that_no_request_can_hold_are_left_out(
    make_environment: Callable[..., Path], tmp_path: Path, server: Path
) -> None:
    good = make_environment("envs/gut-ü")
    for name in ("new\nline", "\udcff", "\u202eright"):
        make_environment(f"envs/{name}")
    assert paths([f"{tmp_path}/envs"], None, server) == [str(good)]


def test_a_real_venv_is_seen_to_change(tmp_path: Path, server: Path) -> None:
    venv.create(tmp_path / "envs" / "real", symlinks=True)
    (packages,) = (tmp_path / "envs" / "real" / "lib").glob("python3*/site-packages")
    finder = EnvironmentFinder([f"{tmp_path}/envs"], None, server)

    def packages_now() -> dict[str, str]:
        return finder.find().environments[0].packages

    for age in (None, OLD):
        # Just made, its time stamps prove nothing; long ago, they are relied on.
        if age:
            for path in (packages, packages.parents[2], packages.parents[2] / "pyvenv.cfg"):
                os.utime(path, (age, age))
        assert packages_now() == {}
        (packages / "pyspark-4.3.0.dist-info").mkdir()
        assert packages_now() == {"pyspark": "4.3.0"}
        (packages / "pyspark-4.3.0.dist-info").rename(packages / "pyspark-4.3.1.dist-info")
        assert packages_now() == {"pyspark": "4.3.1"}
        (packages / "pyspark-4.3.1.dist-info").rmdir()
        assert packages_now() == {}


def test_settings_whose_time_was_set_back_are_read_again(
    make_environment: Callable[..., Path], tmp_path: Path, server: Path
) -> None:
    file = make_environment("envs/one") / "pyvenv.cfg"
    finder = EnvironmentFinder([f"{tmp_path}/envs"], None, server)
    for version in ("3.12.1", "3.12.2"):
        file.write_text(f"version = {version}\n")
        os.utime(file, (OLD, OLD))
        assert finder.find().environments[0].python_version == version


def test_environments_come_and_go(
    make_environment: Callable[..., Path], tmp_path: Path, server: Path
) -> None:
    workspace = tmp_path / "work"
    (workspace / "part").mkdir(parents=True)
    finder = EnvironmentFinder([f"{tmp_path}/envs"], workspace, server)
    for _ in range(2):
        assert [item.path for item in finder.find().environments] == [str(server)]
        one, two = make_environment("envs/one"), make_environment("work/part/two")
        found = [item.path for item in finder.find().environments]
        assert found == [str(two), str(one), str(server)]
        for path in (one, two):
            path.rename(tmp_path / f"gone-{path.name}-{_}")


def test_many_threads_may_ask_at_once(
    make_environment: Callable[..., Path], tmp_path: Path, server: Path
) -> None:
    for number in range(20):
        make_environment(f"envs/{number:02}", ipykernel=f"7.{number}")
    finder = EnvironmentFinder([f"{tmp_path}/envs"], None, server)
    found = []
    threads = [threading.Thread(target=lambda: found.append(finder.find())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert all(one == found[0] and len(one.environments) == 21 for one in found)


WATCHED = """
import sys
from collections import Counter
from jupyterlab_pyspark_kernels.environments import EnvironmentFinder, inspect_environment
seen = Counter()
def watch(event, arguments):
    if event.split(".")[0] == "subprocess" or event.startswith(
        ("os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.system", "pty.spawn")
    ):
        seen["started"] += 1
    elif event in ("open", "os.scandir", "os.listdir"):
        seen[event] += 1
finder = EnvironmentFinder([sys.argv[1]], sys.argv[2], sys.argv[3])
sys.addaudithook(watch)
for _ in range(2):
    seen.clear()
    print(len(finder.find().environments), seen["started"], seen["open"], seen["os.scandir"])
"""


def watched(root: Path, workspace: Path, server: Path) -> list[list[int]]:
    """Search twice in a process that counts: environments, processes, files opened, listings."""
    said = subprocess.run(
        [sys.executable, "-c", WATCHED, str(root), str(workspace), str(server)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert said.stderr == ""
    return [[int(number) for number in line.split()] for line in said.stdout.splitlines()]


def test_nothing_is_started_and_nothing_unchanged_is_read_again(
    make_environment: Callable[..., Path], tmp_path: Path, server: Path
) -> None:
    for number in range(5):
        make_environment(f"envs/{number}", ipykernel="7.4.0")
    (tmp_path / "work").mkdir()
    for directory, _, files in os.walk(tmp_path):
        for path in [directory, *(os.path.join(directory, name) for name in files)]:
            os.utime(path, (OLD, OLD))
    first, second = watched(tmp_path / "envs", tmp_path / "work", server)
    # The root, the workspace, and the packages of six environments.
    assert first == [6, 0, 6, 8]
    assert second == [6, 0, 0, 0]
    assert not (tmp_path / "was-run").exists()


def test_a_deep_workspace_has_an_end(tmp_path: Path, server: Path) -> None:
    for number in range(LISTINGS + 100):
        (tmp_path / "work" / f"{number % 50}" / f"{number}").mkdir(parents=True)
    (first, _) = watched(tmp_path / "nothing", tmp_path / "work", server)
    # And the packages of the server's own environment.
    assert first[3] == LISTINGS + 1


def test_a_huge_root_has_an_end(tmp_path: Path, server: Path) -> None:
    huge = tmp_path / "huge"
    huge.mkdir()
    for number in range(100_000):
        # Links of the same two links: a disk makes them ten times faster than new ones.
        first = huge / f"{number % 2}"
        if number < 2:
            first.symlink_to("nowhere")
        else:
            os.link(first, huge / f"{number}", follow_symlinks=False)
    assert len(read_subdirectories(str(huge))) == ENTRIES
    assert paths([str(huge)], huge, server) == []
    shutil.rmtree(huge)


def test_only_the_beginning_of_a_long_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 1_000_000)
    assert read_text(str(tmp_path / "long")) == "x" * TEXT_BYTES


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)])
def test_what_is_no_file_is_not_read(
    make_environment: Callable[..., Path],
    tmp_path: Path,
    server: Path,
    make: Callable[[Path], None],
) -> None:
    # Opening a FIFO would wait until somebody writes to it.
    environment = make_environment("envs/odd", ipykernel="7.4.0")
    (environment / "pyvenv.cfg").unlink()
    make(environment / "pyvenv.cfg")
    make(tmp_path / "envs" / "itself")
    listed = tmp_path / "list.txt"
    make(listed)
    roots = [f"{tmp_path}/envs", f"{tmp_path}/envs/itself", str(listed)]
    assert paths(roots, tmp_path / "envs", server) == [str(environment)]
    assert find_environments(roots, None, server)[0].kind == "other"


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A disk that never answers, and the way to make it answer that it is gone."""
    if os.getuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("only root can mount a disk that nobody serves")
    libc = ctypes.CDLL(None, use_errno=True)
    disk = tmp_path / "silent"
    disk.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"silent", bytes(disk), b"fuse", 0, options.encode()) != 0:
        os.close(device)
        pytest.skip("this machine does not let root mount")
    opened = [device]

    def answer() -> None:
        while opened:
            os.close(opened.pop())

    yield disk, answer
    answer()
    libc.umount2(bytes(disk), 2)


def test_a_silent_disk_holds_up_nothing_else(
    silent: tuple[Path, Callable[[], None]],
    make_environment: Callable[..., Path],
    tmp_path: Path,
    server: Path,
) -> None:
    disk, answer = silent
    one = make_environment("envs/one")
    roots = [f"{disk}/envs", f"{tmp_path}/envs"]
    finder = EnvironmentFinder(roots, disk / "work", server, patience=5)
    threads = threading.active_count()
    for _ in range(3):
        found = finder.find()
        assert [item.path for item in found.environments] == [str(one), str(server)]
        assert found.unanswered == (f"{disk}/work", f"{disk}/envs")
    # One for each of the two, however often one asks.
    assert threading.active_count() == threads + 2
    answer()
    finder = EnvironmentFinder(roots, disk / "work", server)
    assert finder.find().unanswered == ()
