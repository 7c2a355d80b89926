"""What docs/threats.md promises of faults: killed processes, crowds, and disks that fail."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from kernels import LIMIT_SECONDS
from killing import CHANGES, OLD, kernels_of, prepare

from jupyterlab_pyspark_kernels import area, store
from jupyterlab_pyspark_kernels.errors import DiskFull, KernelError, NotAllowed, StorageFailed
from jupyterlab_pyspark_kernels.places import Place, directory_place

HERE = Path(__file__).parent
CREATORS, NAMES = 32, 100
LISTINGS = int(os.environ.get("PYSPARK_KERNELS_TEST_LISTINGS", "20000"))


def python(*arguments: object) -> list[str]:
    return [sys.executable, *map(str, arguments)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


# --- killed -------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="system calls are stopped at by ptrace")
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_is_killed_at_any_system_call_is_whole_or_was_never(
    memory: Path, change: str
) -> None:
    found = subprocess.run(
        python(HERE / "killing.py", memory, change),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_SECONDS,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) > 50


# --- a crowd ------------------------------------------------------------------------------------

CREATE = f"""
import os, sys
from pathlib import Path
from jupyterlab_pyspark_kernels import area, store
from jupyterlab_pyspark_kernels.errors import Taken
from jupyterlab_pyspark_kernels.places import directory_place
# In a crowd on a busy machine one may wait for very long.
area._LOCK_SECONDS = {LIMIT_SECONDS}
place = directory_place(Path(sys.argv[1]))
start, go = os.pipe()
children = []
for child in range({CREATORS}):
    if (process := os.fork()) == 0:
        os.close(go)
        os.read(start, 1)
        won = []
        for number in range({NAMES}):
            try:
                content = b'{{"by": %d}}' % child
                store.create(place, f"k{{number}}", {{"kernel.json": content}})
                won.append(f"k{{number}} {{child}}\\n")
            except Taken:
                pass
        os.write(1, "".join(won).encode())
        os._exit(0)
    children.append(process)
os.close(go)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def test_of_many_processes_exactly_one_creates_each_name(memory: Path) -> None:
    place = directory_place(memory / "kernels")
    found = subprocess.run(
        python("-c", CREATE, place.kernels),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_SECONDS,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    won = [line.split() for line in found.stdout.splitlines()]
    assert sorted(name for name, _ in won) == sorted(f"k{number}" for number in range(NAMES))
    assert {name: store.read(place, name).spec["by"] for name, _ in won} == {
        name: int(creator) for name, creator in won
    }
    assert len({creator for _, creator in won}) > 1


CHANGE_FOREVER = """
import sys
from pathlib import Path
from jupyterlab_pyspark_kernels import store
from jupyterlab_pyspark_kernels.places import directory_place
place = directory_place(Path(sys.argv[1]))
version = 0
while True:
    version += 1
    files = {"launcher.py": b"x" * version, "kernel.json": b'''{"argv": ["x"], "language": "x",
        "display_name": "x", "metadata": {"version": %d, "pad": "%s"}}''' % (version, b"x" * 9000)}
    store.replace(place, "k", files, store.read(place, "k").etag)
    store.create(place, "other", files)
    store.delete(place, "other")
"""


def test_readers_miss_no_kernel_while_it_is_edited(memory: Path) -> None:
    place = directory_place(memory / "kernels")
    spec = b'{"argv": ["x"], "language": "x", "display_name": "x", "metadata": {"version": 0}}'
    store.create(place, "k", {"kernel.json": spec})
    jupyter = KernelSpecManager(kernel_dirs=[str(place.kernels)], ensure_native_kernel=False)
    writer = subprocess.Popen(python("-c", CHANGE_FOREVER, place.kernels), env=ENVIRONMENT)
    missed = 0
    versions: set[int] = set()
    try:
        # However slow the machine is, until there were enough edits to be missed.
        done = 0
        while done < LISTINGS or len(versions) < 20:
            done += 1
            assert writer.poll() is None
            missed += "k" not in jupyter.find_kernel_specs()
            versions.add(jupyter.get_kernel_spec("k").metadata["version"])
    finally:
        writer.kill()
        writer.wait()
    assert missed == 0


# --- a disk that fails --------------------------------------------------------------------------


def refused(place: Place, change: str) -> KernelError:
    """Try a change that must fail, and make sure that everything is as it was."""
    before, undos = kernels_of(place), store.undos(place)
    with pytest.raises(KernelError) as caught:
        CHANGES[change](place)
    assert kernels_of(place) == before
    assert store.undos(place) == undos
    return caught.value


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own."""
    if os.getuid() != 0:
        pytest.skip("mounting needs root")
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(path)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("change", CHANGES)
def test_a_full_disk_changes_nothing_and_says_what_to_do(disk: Path, change: str) -> None:
    place = prepare(disk / "kernels", change)
    with pytest.raises(OSError, match="No space"), (disk / "filler").open("wb", 0) as filler:
        while True:
            filler.write(b"x" * 4096)
    if change == "undo of a delete":
        # It only moves the kernel back, for which there is always room.
        CHANGES[change](place)
        assert kernels_of(place) == {"k": OLD}
        return
    error = refused(place, change)
    assert isinstance(error, DiskFull)
    assert str(place.kernels) in str(error)
    assert "Free some" in str(error)
    (disk / "filler").unlink()
    CHANGES[change](place)


@pytest.mark.parametrize("change", CHANGES)
def test_a_read_only_disk_changes_nothing_and_says_what_to_do(disk: Path, change: str) -> None:
    place = prepare(disk / "kernels", change)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    error = refused(place, change)
    assert isinstance(error, NotAllowed)
    assert "Choose another place, or ask whoever administers it." in str(error)


AS_A_STRANGER = """
import os, sys
from pathlib import Path
from jupyterlab_pyspark_kernels.errors import NotAllowed
from jupyterlab_pyspark_kernels.places import directory_place
from killing import CHANGES
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
place = directory_place(Path(sys.argv[1]))
assert place.reason is not None
try:
    CHANGES[sys.argv[2]](place)
except NotAllowed as error:
    print(error)
"""


@pytest.mark.parametrize("change", ["create", "edit", "delete"])
def test_a_closed_directory_changes_nothing_and_says_what_to_do(change: str) -> None:
    # Not in pytest's folder, which strangers cannot even enter.
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder) / "kernels", change)
        before = kernels_of(place)
        for directory in (Path(folder), place.kernels, area.area_path(place)):
            directory.chmod(0o555)
        said = subprocess.run(
            python("-c", AS_A_STRANGER, place.kernels, change),
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for directory in (Path(folder), place.kernels, area.area_path(place)):
            directory.chmod(0o755)
        assert kernels_of(place) == before
    assert "is not writable for you" in said
    assert "Choose another place, or ask whoever administers it." in said


CALLS = [
    "access",
    "chmod",
    "fchmod",
    "fsync",
    "listdir",
    "mkdir",
    "open",
    "rename",
    "replace",
    "rmdir",
    "stat",
    "unlink",
]


class FailingDisk:
    """Lets one call of the file system fail, the first or a later one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
        self.error = error
        self.left = -1
        for name in CALLS:
            monkeypatch.setattr(os, name, self._failing(getattr(os, name)))

    def _failing(self, call: Callable[..., object]) -> Callable[..., object]:
        def failing(*args: object, **kwargs: object) -> object:
            self.left -= 1
            if self.left == 0:
                raise OSError(self.error, os.strerror(self.error))
            return call(*args, **kwargs)

        return failing


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE], ids=errno.errorcode.get)
@pytest.mark.parametrize("change", CHANGES)
def test_a_failing_disk_leaves_whole_kernels_and_is_told(
    memory: Path, monkeypatch: pytest.MonkeyPatch, change: str, error: int
) -> None:
    template = memory / "template"
    before = kernels_of(prepare(template / "kernels", change))
    done = directory_place(shutil.copytree(template, memory / "done") / "kernels")
    CHANGES[change](done)
    after = kernels_of(done)
    disk = FailingDisk(monkeypatch, error)
    calls, failed = 0, True
    while failed:
        calls += 1
        place = directory_place(shutil.copytree(template, memory / "data") / "kernels")
        handles = len(os.listdir("/proc/self/fd"))
        disk.left = calls
        try:
            CHANGES[change](place)
        except KernelError as refusal:
            assert str(refusal).endswith(".")
            assert isinstance(refusal, StorageFailed | NotAllowed), calls
        # What was left is more than nothing when the change made fewer calls.
        failed, disk.left = disk.left <= 0, 0
        assert len(os.listdir("/proc/self/fd")) == handles
        now = kernels_of(place)
        if change == "upgrade":
            assert now["k"]["kernel.json"] == OLD["kernel.json"] or now == after
        else:
            assert now in (before, after)
        shutil.rmtree(memory / "data")
    assert calls > 20
