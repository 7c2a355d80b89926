import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kernels import wait_until

from jupyterlab_pyspark_kernels.errors import Busy, DiskFull, KernelError, Missing, NotAllowed
from jupyterlab_pyspark_kernels.models import Kernel, Request
from jupyterlab_pyspark_kernels.progress import Cancelled, Progress, Report
from jupyterlab_pyspark_kernels.tasks import Task, Tasks

REQUEST = Request(kind="ready", title="Working", environment="/env")

Work = Callable[[Request, Report], Kernel | None]


class Steps:
    """Work that goes on when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.stopped = threading.Event()

    def __call__(self, request: Request, report: Report) -> None:
        report.progress(Progress("Packing", 1, 4, 10, 100))
        report.log("a line")
        while not self.go.wait(0.01):
            if report.cancelled():
                self.stopped.set()
                raise Cancelled


@pytest.fixture
def told() -> list[Task]:
    return []


@pytest.fixture
def make(tmp_path: Path, told: list[Task]) -> Iterator[Callable[[Work], Tasks]]:
    made: list[Tasks] = []

    def make(work: Work) -> Tasks:
        made.append(Tasks(tmp_path / "tasks", work, told.append))
        return made[-1]

    yield make
    for tasks in made:
        tasks.close()


def ended(tasks: Tasks, task: Task) -> Task:
    wait_until(lambda: tasks.get(task.id).state != "running")
    return tasks.get(task.id)


def test_a_task_tells_how_far_it_is_and_what_it_printed(
    make: Callable[[Work], Tasks], told: list[Task]
) -> None:
    work = Steps()
    tasks = make(work)
    task = tasks.start(REQUEST)
    wait_until(lambda: "a line" in tasks.get(task.id).log)
    seen = tasks.get(task.id)
    assert (seen.state, seen.stage, seen.environment) == ("running", "Packing", "/env")
    assert (seen.files_done, seen.files_total, seen.bytes_done, seen.bytes_total) == (1, 4, 10, 100)
    assert seen.log == ["Packing", "a line"]
    work.go.set()
    done = ended(tasks, task)
    assert (done.state, done.error, done.ended is None) == ("done", None, False)
    assert [item.id for item in tasks.all()] == [task.id]
    wait_until(lambda: told[-1].state == "done")
    # What takes long is told more than once.
    assert list(dict.fromkeys(item.stage for item in told))[:2] == ["Waiting", "Packing"]


def test_a_task_is_cancelled_and_then_forgotten(make: Callable[[Work], Tasks]) -> None:
    work = Steps()
    tasks = make(work)
    task = tasks.start(REQUEST)
    tasks.cancel(task.id)
    assert ended(tasks, task).state == "cancelled"
    tasks.cancel(task.id)
    assert tasks.all() == []
    with pytest.raises(Missing):
        tasks.get(task.id)


def test_a_failure_is_told_as_a_refusal_is(make: Callable[[Work], Tasks]) -> None:
    def work(request: Request, report: Report) -> None:
        raise KernelError.at("environment", "It cannot be.")

    tasks = make(work)
    failed = ended(tasks, tasks.start(REQUEST))
    assert failed.state == "failed"
    assert failed.error is not None
    assert [(item.field, item.message) for item in failed.error.errors] == [
        ("environment", "It cannot be.")
    ]


def test_a_defect_ends_the_task_and_stands_in_the_log(
    make: Callable[[Work], Tasks], caplog: pytest.LogCaptureFixture
) -> None:
    def work(request: Request, report: Report) -> None:
        raise ZeroDivisionError("secret detail")

    tasks = make(work)
    failed = ended(tasks, tasks.start(REQUEST))
    assert failed.error is not None
    assert "secret detail" not in failed.error.message
    assert "secret detail" in caplog.text


def test_what_did_not_come_to_its_end_is_resumed(make: Callable[[Work], Tasks]) -> None:
    work = Steps()
    tasks = make(work)
    task = tasks.start(REQUEST)
    with pytest.raises(NotAllowed):
        tasks.resume(task.id)
    tasks.cancel(task.id)
    assert ended(tasks, task).state == "cancelled"
    work.go.set()
    assert tasks.resume(task.id).id == task.id
    assert ended(tasks, task).state == "done"
    with pytest.raises(NotAllowed):
        tasks.resume(task.id)


def test_a_server_that_ends_in_order_interrupts_and_the_next_one_resumes(
    make: Callable[[Work], Tasks],
) -> None:
    work = Steps()
    first = make(work)
    tasks = [first.start(REQUEST) for _ in range(3)]
    wait_until(lambda: "a line" in first.get(tasks[0].id).log)
    first.close()
    assert work.stopped.is_set()
    work.go.set()
    second = make(work)
    assert {second.get(task.id).state for task in tasks} == {"interrupted"}
    second.resume(tasks[2].id)
    assert ended(second, tasks[2]).state == "done"
    with pytest.raises(Busy):
        first.start(REQUEST)


KILLED = """
import sys, time
from pathlib import Path
from jupyterlab_pyspark_kernels.models import Request
from jupyterlab_pyspark_kernels.tasks import Tasks
tasks = Tasks(Path(sys.argv[1]), lambda request, report: time.sleep(600), lambda task: None)
print(tasks.start(Request(kind="ready", title="Working", environment="/env")).id, flush=True)
time.sleep(600)
"""


def test_a_server_that_was_killed_has_interrupted(
    make: Callable[[Work], Tasks], tmp_path: Path
) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "tasks")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    task_id = server.stdout.readline().strip()
    work = Steps()
    work.go.set()
    tasks = make(work)
    # As long as it lives, the task is its own.
    assert tasks.get(task_id).state == "running"
    with pytest.raises(NotAllowed):
        tasks.cancel(task_id)
    server.kill()
    server.wait()
    server.stdout.close()
    assert tasks.get(task_id).state == "interrupted"
    tasks.resume(task_id)
    wait_until(lambda: tasks.get(task_id).state == "done")


def test_too_much_at_once_is_refused(make: Callable[[Work], Tasks]) -> None:
    work = Steps()
    tasks = make(work)
    started = [tasks.start(REQUEST) for _ in range(8)]
    with pytest.raises(Busy, match="Wait until"):
        tasks.start(REQUEST)
    work.go.set()
    assert {ended(tasks, task).state for task in started} == {"done"}


def test_old_tasks_are_forgotten(make: Callable[[Work], Tasks], tmp_path: Path) -> None:
    work = Steps()
    work.go.set()
    tasks = make(work)
    for _ in range(25):
        ended(tasks, tasks.start(REQUEST))
    assert len(tasks.all()) == 20
    assert len(list((tmp_path / "tasks").glob("*.json"))) == 20


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_full_disk_is_told_and_blocks_nothing(
    make: Callable[[Work], Tasks], tmp_path: Path
) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount")
    try:
        work = Steps()
        tasks = make(work)
        task = tasks.start(REQUEST)
        with suppress(OSError):
            (folder / "ballast").write_bytes(b"x" * 100_000)
        with pytest.raises(DiskFull):
            tasks.start(REQUEST)
        work.go.set()
        # Its end cannot be written, and whoever looks is told so.
        wait_until(lambda: tasks.get(task.id).state == "interrupted")
        (folder / "ballast").unlink()
        tasks.resume(task.id)
        assert ended(tasks, task).state == "done"
        tasks.close()
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("task_id", ["..", "../x", "", "a/b", "é", "0" * 32])
def test_an_id_that_is_none_is_missing(make: Callable[[Work], Tasks], task_id: str) -> None:
    tasks = make(Steps())
    for ask in (tasks.get, tasks.cancel, tasks.resume):
        with pytest.raises(Missing):
            ask(task_id)


def test_only_the_user_can_read_a_task(make: Callable[[Work], Tasks], tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        work = Steps()
        work.go.set()
        tasks = make(work)
        task = tasks.start(REQUEST)
    finally:
        os.umask(before)
    ended(tasks, task)
    assert (tmp_path / "tasks").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "tasks" / f"{task.id}.json").stat().st_mode & 0o777 == 0o600
