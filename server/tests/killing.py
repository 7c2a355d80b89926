"""Kills a change of a kernels directory at every system call in turn, and looks what is left.

It is a program of its own: the processes that it kills are forks of it, and forks of pytest would
have its threads' locks. It prints how many calls the change made, or stops at what is wrong.

    python killing.py FOLDER CHANGE
"""

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

from jupyterlab_pyspark_kernels import store
from jupyterlab_pyspark_kernels.area import area_path
from jupyterlab_pyspark_kernels.places import Place, directory_place

_TRACE_ME, _TO_THE_NEXT_CALL = 0, 24  # <sys/ptrace.h>, the same on every processor
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)

OLD = {"launcher.py": b"old" * 2000, "rules.json": b"{}", "kernel.json": b'{"v": 1}' + b" " * 9000}
NEW = {**OLD, "kernel.json": b'{"v": 2}' + b" " * 9000}
UPGRADED = {**NEW, "launcher.py": b"new" * 2000}


def _etag(place: Place) -> str:
    return store.read_to_change(place, "k").etag


CHANGES: Mapping[str, Callable[[Place], object]] = {
    "create": lambda place: store.create(place, "new", NEW),
    "edit": lambda place: store.replace(place, "k", NEW, _etag(place)),
    "upgrade": lambda place: store.replace(place, "k", UPGRADED, _etag(place)),
    "delete": lambda place: store.delete(place, "k"),
    "undo of an edit": lambda place: store.undo(store.undos(place)[0]),
    "undo of a delete": lambda place: store.undo(store.undos(place)[0]),
}
"""What is done to a place that has the kernel `k`."""


def prepare(kernels: Path, change: str) -> Place:
    """Make a place as it is before a change."""
    place = directory_place(kernels)
    store.create(place, "k", OLD)
    if change == "undo of an edit":
        store.replace(place, "k", NEW, _etag(place))
    elif change == "undo of a delete":
        store.delete(place, "k")
    return place


def kernels_of(place: Place) -> dict[str, dict[str, bytes]]:
    """Every kernel that anybody can see, with every file."""
    return {
        entry.name: {file.name: file.read_bytes() for file in entry.iterdir()}
        for entry in place.kernels.iterdir()
    }


def killed(action: Callable[[], object], calls: int) -> bool:
    """Run something in a process of its own, and kill it before a system call is carried out.

    Returns:
        whether it was killed; if not, it made fewer calls.

    """
    process = os.fork()
    if process == 0:
        _libc.ptrace(_TRACE_ME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        action()
        os._exit(0)
    os.waitpid(process, 0)
    # It stops before each call and after it.
    for _ in range(2 * calls + 1):
        _libc.ptrace(_TO_THE_NEXT_CALL, process, None, None)
        _, status = os.waitpid(process, 0)
        if not os.WIFSTOPPED(status):
            assert os.waitstatus_to_exitcode(status) == 0, "the change failed by itself"
            return False
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return True


def check(place: Place, change: str, before: object, after: object) -> None:
    """Make sure that nothing is torn, and that the next writer finds everything in order."""
    now = kernels_of(place)
    if change == "upgrade":
        for name, content in now["k"].items():
            assert content in (OLD[name], UPGRADED[name]), name
        # What is started comes last, when everything that it needs is there.
        assert now["k"]["kernel.json"] == OLD["kernel.json"] or now["k"] == UPGRADED
    else:
        assert now in (before, after), now
    if "k" not in now:
        store.undo(store.undos(place)[0])
        assert kernels_of(place)["k"] == OLD
    store.create(place, "next", OLD)
    assert KernelSpecManager(kernel_dirs=[str(place.kernels)]).find_kernel_specs().keys() >= {
        "k",
        "next",
    }
    area = area_path(place)
    assert os.listdir(area / "staging") == []
    assert len(os.listdir(area / "undo")) == len(store.undos(place))


def main(folder: Path, change: str) -> None:
    """Kill a change at its first call, at its second, until it comes to its end."""
    template = folder / "template"
    before = kernels_of(prepare(template / "kernels", change))
    done = directory_place(shutil.copytree(template, folder / "done") / "kernels")
    CHANGES[change](done)
    after = kernels_of(done)
    calls, alive = 0, True
    while alive:
        data = shutil.copytree(template, folder / "data")
        place = directory_place(data / "kernels")
        alive = killed(lambda place=place: CHANGES[change](place), calls)  # type: ignore[misc]
        check(place, change, before, after)
        shutil.rmtree(data)
        calls += alive
    sys.stdout.write(f"{calls}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
