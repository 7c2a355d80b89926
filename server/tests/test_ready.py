import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from kernels import LIMIT_SECONDS, wait_until

from jupyterlab_pyspark_kernels.environments import inspect_environment
from jupyterlab_pyspark_kernels.errors import CannotBeDone, Missing, NotAllowed
from jupyterlab_pyspark_kernels.progress import Cancelled, Progress
from jupyterlab_pyspark_kernels.ready import check_ready, make_ready


class Listener:
    """Hears what long work tells."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.lines: list[str] = []
        self.stop = threading.Event()

    def progress(self, progress: Progress) -> None:
        self.stages.append(progress.stage)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def cancelled(self) -> bool:
        return self.stop.is_set()


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A real environment without ipykernel."""
    path = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(path)], check=True)
    return path


def test_pip_installs_what_is_missing_and_the_log_shows_it(venv: Path) -> None:
    before = inspect_environment(str(venv))
    assert before is not None
    assert (before.remedy, before.installer) == ("install-ipykernel", "pip")
    listener = Listener()
    ready = make_ready(str(venv), listener)
    assert (ready.problem, ready.remedy) == (None, None)
    assert listener.stages == ["Installing ipykernel"]
    assert listener.lines[0].startswith(f"$ {venv}/bin/python -I -m pip install")
    assert "index" not in listener.lines[0]
    assert any(line.startswith("Successfully installed") for line in listener.lines)
    subprocess.run([f"{venv}/bin/python", "-c", "import ipykernel"], check=True)
    with pytest.raises(CannotBeDone, match="has ipykernel already"):
        check_ready(str(venv))


def test_uv_installs_into_what_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = str(Path(sys.executable).parent)
    # Found by its name, as a person's own would be.
    monkeypatch.setenv("PATH", tools, prepend=os.pathsep)
    venv = tmp_path / "venv"
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, str(venv)], check=True)
    listener = Listener()
    assert make_ready(str(venv), listener).problem is None
    assert listener.lines[0].startswith(f"$ uv pip install --python {venv}/bin/python")


def test_the_users_own_configuration_says_where_packages_come_from(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens there, so whatever asks another index would succeed.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    listener = Listener()
    with pytest.raises(CannotBeDone, match="pip said: ") as caught:
        make_ready(str(venv), listener)
    assert "ipykernel could not be installed" in str(caught.value)
    assert "No matching distribution" in str(caught.value)


def test_a_cancelled_install_leaves_no_process(
    tmp_path: Path, make_environment: Callable[..., Path]
) -> None:
    environment = make_environment(pip="25.0")
    python = environment / "bin" / "python"
    # An installer that never ends, with a child of its own.
    python.write_text("#!/bin/sh\nsleep 600 &\necho begun\nwait\n")
    listener = Listener()
    caught: list[BaseException] = []

    def install() -> None:
        try:
            make_ready(str(environment), listener)
        except Cancelled as error:
            caught.append(error)

    # The clusters of other tests may be there.
    others = psutil.Process().children(recursive=True)
    thread = threading.Thread(target=install)
    thread.start()
    wait_until(lambda: "begun" in listener.lines)
    children = set(psutil.Process().children(recursive=True)) - set(others)
    assert len(children) >= 2
    listener.stop.set()
    thread.join(LIMIT_SECONDS)
    assert len(caught) == 1
    wait_until(lambda: not any(child.is_running() for child in children))


def test_what_an_installer_leaves_behind_is_ended(
    tmp_path: Path, make_environment: Callable[..., Path]
) -> None:
    environment = make_environment(pip="25.0")
    python = environment / "bin" / "python"
    # It ends at once, and its child holds the output and hears no signal that asks.
    pid = tmp_path / "pid"
    script = f"trap '' TERM; echo \\$\\$ > {pid}; sleep 600"
    begun = f"while [ ! -s {pid} ]; do sleep 0.05; done"
    python.write_text(f'#!/bin/sh\nsh -c "{script}" &\n{begun}\necho done\n')
    with pytest.raises(CannotBeDone, match="pip said: done"):
        make_ready(str(environment), Listener())
    wait_until(lambda: not psutil.pid_exists(int(pid.read_text())))


def test_what_others_can_change_is_not_run(venv: Path, tmp_path: Path) -> None:
    (venv / "bin").chmod(0o777)
    with pytest.raises(NotAllowed, match="can be written to by everybody"):
        make_ready(str(venv), Listener())


def test_an_environment_without_a_tool_says_so(tmp_path: Path) -> None:
    venv = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    with pytest.raises(CannotBeDone, match="ipykernel"):
        check_ready(str(venv))


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(Missing, match="There is no Python in “/nowhere”"):
        check_ready("/nowhere")
