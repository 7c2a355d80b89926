"""What a user's kernels are remembered by: the last notebook, and the last test."""

import json
import os
import stat
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from jupyterlab_pyspark_kernels.flight import Flight
from jupyterlab_pyspark_kernels.history import (
    follow,
    last_test,
    last_used,
    remember_test,
    sweep,
)
from jupyterlab_pyspark_kernels.kernel import memory
from jupyterlab_pyspark_kernels.kernel.memory import OWN_DIRECTORY, memory_of, remember_use

LONG_AGO = time.time() - timedelta(days=40).total_seconds()


def flight(passed: bool = True) -> Flight:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    return Flight(passed=passed, verdict="So.", diagnoses=[], stages=[], when=when)


@pytest.fixture
def kernel(data_dir: Path) -> Path:
    directory = data_dir / "kernels" / "mine"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Do what the launcher does when a notebook starts."""

    def use(kernel: Path) -> None:
        monkeypatch.setattr(memory, "__file__", str(kernel / "memory.py"))
        remember_use()

    return use


def memories(data_dir: Path) -> list[Path]:
    return sorted((data_dir / OWN_DIRECTORY / "kernels").iterdir())


def test_a_test_is_remembered_until_the_kernel_changes(kernel: Path) -> None:
    assert last_test(kernel, "one") is None
    remember_test(kernel, "one", flight())
    found = last_test(kernel, "one")
    assert found is not None
    assert (found.passed, found.verdict, found.outdated) == (True, "So.", False)
    assert found.when == flight().when
    changed = last_test(kernel, "two")
    assert changed is not None and changed.outdated
    remember_test(kernel, "two", flight(passed=False))
    found = last_test(kernel, "two")
    assert found is not None
    assert (found.passed, found.outdated) == (False, False)


def test_a_kernel_has_one_memory_by_whatever_path(kernel: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(kernel.parent)
    remember_test(tmp_path / "link" / "mine", "one", flight())
    assert last_test(kernel, "one") is not None
    assert last_test(kernel.with_name("other"), "one") is None


def test_a_notebook_is_remembered(kernel: Path, use: Callable[[Path], None]) -> None:
    assert last_used(kernel) is None
    use(kernel)
    found = last_used(kernel)
    assert found is not None
    when = datetime.fromisoformat(found)
    assert when.utcoffset() == timedelta(0)
    assert abs(datetime.now(timezone.utc) - when) < timedelta(minutes=5)
    os.utime(memory_of(str(kernel)).with_suffix(".used"), (0, 0))
    assert last_used(kernel) == "1970-01-01T00:00:00+00:00"


def test_a_flight_test_is_no_use(
    kernel: Path, use: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(memory.FLIGHT_VARIABLE, "1")
    use(kernel)
    assert last_used(kernel) is None
    # What the kernel starts does not inherit it.
    assert memory.FLIGHT_VARIABLE not in os.environ


def test_memories_are_their_owners_alone(
    kernel: Path, data_dir: Path, use: Callable[[Path], None]
) -> None:
    use(kernel)
    remember_test(kernel, "one", flight())
    for directory in (data_dir / OWN_DIRECTORY, data_dir / OWN_DIRECTORY / "kernels"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [path.suffix for path in memories(data_dir)] == [".json", ".used"]
    for path in memories(data_dir):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("obstacle", ["file", "directory"])
def test_what_cannot_be_written_does_not_harm_the_notebook(
    kernel: Path, data_dir: Path, use: Callable[[Path], None], obstacle: str
) -> None:
    if obstacle == "file":
        (data_dir / OWN_DIRECTORY).touch()
    else:
        memory_of(str(kernel)).with_suffix(".used").mkdir(parents=True)
    use(kernel)
    with pytest.raises(OSError):
        (data_dir / OWN_DIRECTORY / "kernels").rmdir()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"passed": true}', "\xff", "[" * 100_000, "x" * 100_000]
)
def test_a_damaged_memory_is_none(kernel: Path, text: str) -> None:
    remember_test(kernel, "one", flight())
    memory_of(str(kernel)).with_suffix(".json").write_text(text, encoding="latin-1")
    assert last_test(kernel, "one") is None
    remember_test(kernel, "one", flight())
    assert last_test(kernel, "one") is not None


def test_a_pipe_in_the_place_of_a_memory_holds_nobody_up(kernel: Path) -> None:
    remember_test(kernel, "one", flight())
    path = memory_of(str(kernel)).with_suffix(".json")
    path.unlink()
    os.mkfifo(path)
    assert last_test(kernel, "one") is None


def test_a_kernel_that_moves_takes_its_memory_along(
    kernel: Path, use: Callable[[Path], None], tmp_path: Path
) -> None:
    use(kernel)
    os.utime(memory_of(str(kernel)).with_suffix(".used"), (1000, 1000))
    remember_test(kernel, "one", flight())
    new = tmp_path / "elsewhere" / "new"
    follow(kernel, new)
    # The move may be undone.
    assert last_used(new) == last_used(kernel) == "1970-01-01T00:16:40+00:00"
    assert last_test(new, "one") == last_test(kernel, "one") is not None
    follow(kernel.with_name("unknown"), new.with_name("other"))
    assert last_used(new.with_name("other")) is None
    assert last_test(new.with_name("other"), "one") is None


def test_a_time_that_no_calendar_has_is_none(kernel: Path, use: Callable[[Path], None]) -> None:
    use(kernel)
    path = memory_of(str(kernel)).with_suffix(".used")
    try:
        os.utime(path, (1e15, 1e15))
    except OverflowError:
        pytest.skip("this file system has no such time")
    found = last_used(kernel)
    assert found is None or found > "2400"


def test_kernels_that_are_long_gone_are_forgotten(
    kernel: Path, data_dir: Path, use: Callable[[Path], None]
) -> None:
    recent, gone = kernel.with_name("recent"), kernel.with_name("gone")
    unmounted = data_dir / "unmounted" / "kernels" / "far"
    for one in (kernel, recent, gone, unmounted):
        one.mkdir(parents=True, exist_ok=True)
        use(one)
        remember_test(one, "etag", flight())
        if one is not kernel:
            one.rmdir()
    unmounted.parent.rmdir()
    damaged = memory_of(str(kernel)).with_name("0" * 16 + ".json")
    half = damaged.with_suffix(".12-34")
    for path in (damaged, half):
        path.write_text("{")
    for path in memories(data_dir):
        if path.stem != memory_of(str(recent)).name:
            os.utime(path, (LONG_AGO, LONG_AGO))
    sweep(damaged.parent)
    kept = {path.stem for path in memories(data_dir)}
    assert kept == {memory_of(str(one)).name for one in (kernel, recent, unmounted)}


def test_reading_takes_little(kernel: Path, use: Callable[[Path], None]) -> None:
    """A list of hundreds of kernels asks for each: no process, one file at a time."""
    use(kernel)
    remember_test(kernel, "one", flight())
    opened: list[str] = []
    real = os.open

    def counting(path: str, *arguments: int) -> int:
        opened.append(path)
        return real(path, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", counting)
        last_used(kernel)
        last_test(kernel, "one")
    assert len(opened) == 1
    assert json.loads(Path(opened[0]).read_text())["etag"] == "one"
