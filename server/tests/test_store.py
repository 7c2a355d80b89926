import errno
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyterlab_pyspark_kernels import store
from jupyterlab_pyspark_kernels.area import area_path
from jupyterlab_pyspark_kernels.errors import (
    DiskFull,
    EditedMeanwhile,
    Missing,
    NotAllowed,
    Taken,
)
from jupyterlab_pyspark_kernels.places import Place, directory_place

FILES = {"launcher.py": b"code\n", "logo-64x64.png": b"png", "kernel.json": b'{"v": 1}'}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return directory_place(tmp_path / "data" / "kernels")


def tree(path: Path) -> dict[str, bytes | None]:
    """Everything below a path but the lock."""
    return {
        str(entry.relative_to(path)): entry.read_bytes() if entry.is_file() else None
        for entry in sorted(path.rglob("*"))
        if entry.name != "lock"
    }


def test_a_kernel_is_written_and_read(place: Place) -> None:
    store.create(place, "k", FILES)
    assert store.read(place, "k").spec == {"v": 1}
    assert store.names(place) == ["k"]
    assert {path.name for path in (place.kernels / "k").iterdir()} == set(FILES)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_modes_do_not_depend_on_the_umask(place: Place, umask: int) -> None:
    before = os.umask(umask)
    try:
        store.create(place, "k", FILES)
    finally:
        os.umask(before)
    assert stat.S_IMODE((place.kernels / "k").stat().st_mode) == 0o755
    for path in (place.kernels / "k").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_name_is_given_once(place: Place) -> None:
    store.create(place, "k", FILES)
    before = tree(place.kernels.parent)
    with pytest.raises(Taken):
        store.create(place, "k", {"kernel.json": b"{}"})
    assert tree(place.kernels) == {
        name.removeprefix("kernels/"): content
        for name, content in before.items()
        if name.startswith("kernels/")
    }


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/nowhere")])
def test_what_is_no_kernel_is_not_overwritten(place: Place, make: Callable[[Path], None]) -> None:
    place.kernels.mkdir(parents=True)
    make(place.kernels / "k")
    with pytest.raises(Taken):
        store.create(place, "k", FILES)


def test_an_edit_replaces_and_can_be_undone(place: Place) -> None:
    store.create(place, "k", FILES)
    etag = store.read(place, "k").etag
    store.replace(place, "k", {**FILES, "kernel.json": b'{"v": 2}'}, etag)
    assert store.read(place, "k").spec == {"v": 2}
    (change,) = store.undos(place)
    assert (change.action, change.name) == ("edit", "k")
    store.undo(change)
    assert store.read(place, "k").spec == {"v": 1}
    assert store.undos(place) == []


def test_an_edit_of_another_version_is_refused(place: Place) -> None:
    store.create(place, "k", FILES)
    etag = store.read(place, "k").etag
    (place.kernels / "k" / "kernel.json").write_text('{"by": "hand"}')
    with pytest.raises(EditedMeanwhile):
        store.replace(place, "k", FILES, etag)
    assert store.read(place, "k").spec == {"by": "hand"}


def test_a_delete_can_be_undone_with_every_file(place: Place) -> None:
    store.create(place, "k", FILES)
    before = tree(place.kernels)
    store.delete(place, "k")
    assert store.names(place) == []
    store.undo(store.undos(place)[0])
    assert tree(place.kernels) == before


def test_an_undo_never_overwrites_a_newer_kernel(place: Place) -> None:
    store.create(place, "k", FILES)
    store.delete(place, "k")
    store.create(place, "k", {"kernel.json": b'{"newer": true}'})
    with pytest.raises(Taken):
        store.undo(store.undos(place)[0])
    assert store.read(place, "k").spec == {"newer": True}
    assert len(store.undos(place)) == 1


def test_old_undos_are_forgotten(place: Place) -> None:
    for _ in range(25):
        store.create(place, "k", FILES)
        store.delete(place, "k")
    assert 20 <= len(store.undos(place)) <= 21
    assert store.undos(place)[0].entry == "00000025"


@pytest.mark.parametrize("action", ["edit", "delete"])
def test_a_linked_kernel_is_not_changed(place: Place, tmp_path: Path, action: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "kernel.json").write_text("{}")
    place.kernels.mkdir(parents=True)
    (place.kernels / "k").symlink_to(precious)
    with pytest.raises(NotAllowed, match="is a link"):
        if action == "edit":
            store.replace(place, "k", FILES, store.read(place, "k").etag)
        else:
            store.delete(place, "k")
    assert (precious / "kernel.json").read_text() == "{}"
    assert (place.kernels / "k").is_symlink()
    assert store.undos(place) == []


def test_an_undo_never_overwrites_what_was_written_by_hand(place: Place) -> None:
    store.create(place, "k", FILES)
    store.replace(place, "k", {**FILES, "kernel.json": b"{}"}, store.read(place, "k").etag)
    (place.kernels / "k" / "kernel.json").write_text('{"by": "hand"}')
    with pytest.raises(EditedMeanwhile, match="by other means"):
        store.undo(store.undos(place)[0])
    assert store.read(place, "k").spec == {"by": "hand"}


def test_an_undo_leaves_the_files_of_others_alone(place: Place) -> None:
    store.create(place, "k", FILES)
    script = place.kernels / "k" / "start.sh"
    script.write_text("old")
    script.chmod(0o755)
    store.replace(place, "k", {**FILES, "kernel.json": b"{}"}, store.read(place, "k").etag)
    script.write_text("new")
    store.undo(store.undos(place)[0])
    assert script.read_text() == "new"
    assert stat.S_IMODE(script.stat().st_mode) == 0o755


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"action": "move", "name": "k"}'])
def test_a_change_that_was_tampered_with_is_no_undo(place: Place, text: str) -> None:
    for name in ("k", "l"):
        store.create(place, name, FILES)
        store.delete(place, name)
    (area_path(place) / "undo" / store.undos(place)[0].entry / "about.json").write_text(text)
    assert [change.name for change in store.undos(place)] == ["k"]


def test_the_edit_of_a_kernel_that_is_gone_is_no_undo(place: Place) -> None:
    store.create(place, "k", FILES)
    store.replace(place, "k", {**FILES, "kernel.json": b"{}"}, store.read(place, "k").etag)
    shutil.rmtree(place.kernels / "k")
    assert store.undos(place) == []


def test_a_change_that_failed_leaves_nothing_to_undo(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(place, "k", FILES)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DiskFull):
        store.replace(place, "k", {**FILES, "kernel.json": b"{}"}, store.read(place, "k").etag)
    assert store.undos(place) == []
    assert list((place.kernels.parent / area_path(place).name / "undo").iterdir()) == []


def test_a_shared_tree_can_be_read_whatever_the_umask(place: Place) -> None:
    before = os.umask(0o077)
    try:
        store.create(place, "k", FILES)
    finally:
        os.umask(before)
    assert place.shared
    for directory in (place.kernels, place.kernels.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o755


def test_a_name_that_no_disk_can_hold_is_missing(place: Place) -> None:
    with pytest.raises(Missing):
        store.read(place, "k" * 300)


@pytest.mark.parametrize("action", ["edit", "delete"])
def test_what_is_not_there_cannot_be_changed(place: Place, action: str) -> None:
    with pytest.raises(Missing):
        if action == "edit":
            store.replace(place, "k", FILES, "etag")
        else:
            store.delete(place, "k")


@pytest.mark.parametrize("link", ["kernels", f"pyspark-kernels-{os.getuid()}"])
def test_a_linked_directory_is_not_written_through(tmp_path: Path, link: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / link).symlink_to(elsewhere)
    with pytest.raises(NotAllowed):
        store.create(directory_place(tmp_path / "data" / "kernels"), "k", FILES)
    # The lock file of the linked area is the most that may appear, and only empty.
    assert all(path.read_bytes() == b"" for path in elsewhere.rglob("*"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b" " * (store.MAX_KERNEL_JSON + 1), "1 MiB"),
    ],
)
def test_a_broken_kernel_says_why(place: Place, content: bytes, said: str) -> None:
    (place.kernels / "k").mkdir(parents=True)
    (place.kernels / "k" / "kernel.json").write_bytes(content)
    with pytest.raises(store.Unreadable, match=said):
        store.read(place, "k")


def test_a_directory_in_place_of_a_kernel_is_told(place: Place) -> None:
    (place.kernels / "k" / "kernel.json").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(store.Unreadable, match="is not a file"):
            store.read(place, "k")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_pipe_in_place_of_a_kernel_does_not_hang(place: Place) -> None:
    (place.kernels / "k").mkdir(parents=True)
    os.mkfifo(place.kernels / "k" / "kernel.json")
    with pytest.raises(store.Unreadable, match="not a file"):
        store.read(place, "k")


def test_a_place_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    store.create(place, "old", FILES)
    before = tree(place.kernels)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="Free some"):
        store.create(place, "k", FILES)
    assert tree(place.kernels) == before


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("options", ["size=16k", "ro"])
def test_a_full_or_read_only_disk_is_told(tmp_path: Path, options: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount")
    try:
        files = {**FILES, "launcher.py": b"x" * 100_000}
        with pytest.raises((DiskFull, NotAllowed)) as caught:
            store.create(directory_place(disk / "kernels"), "k", files)
        assert caught.type is (NotAllowed if options == "ro" else DiskFull)
        assert not (disk / "kernels" / "k").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# --- moving -------------------------------------------------------------------------------------

MOVED = {**FILES, "kernel.json": b'{"v": 2}'}


@pytest.fixture
def other(tmp_path: Path) -> Place:
    return directory_place(tmp_path / "other" / "kernels")


@pytest.fixture(params=["rename", "move"])
def to(request: pytest.FixtureRequest, place: Place, other: Place) -> Place:
    """Where the kernel goes: within its place, and to another one."""
    return place if request.param == "rename" else other


def moved(place: Place, to: Place, etag: str | None = None) -> None:
    etag = etag or store.read(place, "k").etag
    if to == place:
        store.rename(place, "k", "new", MOVED, etag)
    else:
        store.move(place, "k", to, "new", MOVED, etag)


def test_a_kernel_is_moved_and_one_undo_brings_it_back(place: Place, to: Place) -> None:
    store.create(place, "k", FILES)
    (place.kernels / "k" / "start.sh").write_text("theirs")
    before = tree(place.kernels)
    moved(place, to)
    assert not store.exists(place, "k")
    assert store.read(to, "new").spec == {"v": 2}
    assert (to.kernels / "new" / "start.sh").read_text() == "theirs"
    for path in (to.kernels / "new").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE((to.kernels / "new").stat().st_mode) == 0o755
    (change,) = store.undos(place)
    assert change.concerns(to, "new")
    assert change.concerns(place, "k")
    assert not change.concerns(place, "other")
    store.undo(change)
    assert tree(place.kernels) == before
    assert store.names(to) == (["k"] if to == place else [])
    assert store.undos(place) == []


def test_a_move_never_overwrites(place: Place, to: Place) -> None:
    store.create(place, "k", FILES)
    (to.kernels / "new").mkdir(parents=True)
    with pytest.raises(Taken):
        moved(place, to)
    assert store.read(place, "k").spec == {"v": 1}
    assert list((to.kernels / "new").iterdir()) == []
    assert store.undos(place) == []


def test_a_move_of_another_version_is_refused(place: Place, to: Place) -> None:
    store.create(place, "k", FILES)
    with pytest.raises(EditedMeanwhile):
        moved(place, to, "another")
    assert (store.names(place), store.exists(to, "new")) == (["k"], False)


def test_a_kernel_that_changes_while_it_is_moved_stays(
    place: Place, other: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(place, "k", FILES)
    create = store.create

    def meanwhile(to: Place, name: str, files: Any) -> None:
        create(to, name, files)
        (place.kernels / "k" / "kernel.json").write_text('{"by": "hand"}')

    monkeypatch.setattr(store, "create", meanwhile)
    with pytest.raises(EditedMeanwhile):
        moved(place, other)
    assert store.read(place, "k").spec == {"by": "hand"}
    assert store.names(other) == []


def test_a_move_is_not_taken_back_over_what_others_did(place: Place, to: Place) -> None:
    store.create(place, "k", FILES)
    moved(place, to)
    file = to.kernels / "new" / "kernel.json"
    for content in ('{"by": "hand"}', "{"):
        file.write_text(content)
        with pytest.raises(EditedMeanwhile, match="by other means"):
            store.undo(store.undos(place)[0])
        assert file.read_text() == content
    file.write_bytes(MOVED["kernel.json"])
    store.create(place, "k", {"kernel.json": b'{"newer": true}'})
    with pytest.raises(Taken):
        store.undo(store.undos(place)[0])
    assert store.read(place, "k").spec == {"newer": True}
    assert store.read(to, "new").spec == {"v": 2}
    shutil.rmtree(to.kernels / "new")
    assert store.undos(place) == []


def test_what_is_more_than_files_stays(place: Place, other: Place) -> None:
    store.create(place, "k", FILES)
    (place.kernels / "k" / "folder").mkdir()
    with pytest.raises(NotAllowed, match="folder is no plain file"):
        moved(place, other)
    assert store.names(other) == []
    moved(place, place)
    assert (place.kernels / "new" / "folder").is_dir()


def test_a_move_that_fails_leaves_the_old_one(
    place: Place, to: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(place, "k", FILES)
    before = tree(place.kernels)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    # A rename writes over the files one by one; a move has the old one renamed to the undos.
    if to == place:
        monkeypatch.setattr(os, "replace", full)
    else:
        monkeypatch.setattr(store, "_put_away", full)
    with pytest.raises(DiskFull):
        moved(place, to)
    assert tree(place.kernels) == before
    assert (store.undos(place), store.exists(to, "new")) == ([], False)


_STEPS = ("mkdir", "open", "rename", "replace", "fsync", "unlink", "rmdir", "fchmod")


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Do something in a process that is killed before its n-th change of the disk.

    Returns:
        whether it came to its end before that.

    """
    child = os.fork()
    if child == 0:
        left = step

        def counted(function: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                return function(*args, **kwargs)

            return call

        for name in _STEPS:
            setattr(os, name, counted(getattr(os, name)))
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


@pytest.mark.parametrize("taking_back", [False, True])
@pytest.mark.parametrize("across", [False, True])
def test_a_move_that_is_killed_at_any_step_leaves_a_whole_kernel(
    tmp_path: Path, across: bool, taking_back: bool
) -> None:
    for step in range(1000):
        place = directory_place(tmp_path / str(step) / "data" / "kernels")
        to = directory_place(tmp_path / str(step) / "other" / "kernels") if across else place
        store.create(place, "k", FILES)
        if taking_back:
            moved(place, to)
            change = store.undos(place)[0]
            done = killed_at(step, lambda change=change: store.undo(change))  # type: ignore[misc]
        else:
            done = killed_at(step, lambda place=place, to=to: moved(place, to))  # type: ignore[misc]
        left = [(one, name) for one, name in ((place, "k"), (to, "new")) if store.exists(one, name)]
        # Across places it may be in both for a moment.
        assert len(left) in ((1, 2) if across else (1,))
        for one, name in left:
            assert store.read(one, name).spec in ({"v": 1}, {"v": 2})
            assert {path.name for path in (one.kernels / name).iterdir()} == set(FILES)
        for one in (place, to):
            assert set(store.names(one)) <= {"k", "new"}
            store.create(one, "after", FILES)
            store.delete(one, "after")
            assert list((area_path(one) / "staging").iterdir()) == []
        if done:
            break
    assert done
    assert step > 10
    assert left == [(place, "k") if taking_back else (to, "new")]
