import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyterlab_pyspark_kernels import archive
from jupyterlab_pyspark_kernels.archive import (
    KEEPING,
    PACKING,
    PROVING,
    SCANNING,
    Archive,
    Limits,
    credentials,
    elf,
    proof,
    segments,
    tree,
)
from jupyterlab_pyspark_kernels.archive.model import Entry
from jupyterlab_pyspark_kernels.environments import why_not_ours
from jupyterlab_pyspark_kernels.errors import Busy, CannotBeDone, DiskFull, NotAllowed
from jupyterlab_pyspark_kernels.progress import Cancelled, Progress

PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
LIMIT_SECONDS = 120

NOT_NEEDED = (
    "__pycache__",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "config-*",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "tkinter",
    "turtledemo",
)

RUN_HIDDEN = """
set -e
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mount -t tmpfs none "$1"; else mount --bind /dev/null "$1"; fi
    shift
done
shift
exec env -i "$@"
"""


def may_hide() -> bool:
    command = ["unshare", *(["-r"] if os.geteuid() else []), "--mount", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command).returncode == 0


def real_base() -> tree.Layout:
    return tree.locate(os.path.realpath(sys.executable))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real but small installation of Python."""
    layout = real_base()
    prefix = tmp_path_factory.mktemp("base")
    home = prefix / layout.home
    shutil.copytree(layout.stdlib, home, ignore=shutil.ignore_patterns(*NOT_NEEDED))
    (home / "site-packages").mkdir()
    (prefix / "bin").mkdir()
    shutil.copy2(layout.binary, prefix / "bin" / PYTHON)
    for library in Path(layout.base, "lib").glob("libpython3*.so.*"):
        shutil.copy2(library, prefix / "lib")
    return prefix


@pytest.fixture
def environment(base: Path, tmp_path: Path) -> Path:
    """A real virtual environment with two packages."""
    prefix = make_environment(base, tmp_path / "env")
    add_package(prefix, "alpha", {"alpha/__init__.py": "VALUE = 1\n", "alpha/data.txt": "data"})
    add_package(prefix, "beta", {"beta.py": "import alpha\n"})
    return prefix


def make_environment(base: Path, prefix: Path, *options: str) -> Path:
    python = base / "bin" / PYTHON
    subprocess.run([python, "-m", "venv", "--without-pip", *options, prefix], check=True)
    return prefix


def site(prefix: Path) -> Path:
    return prefix / "lib" / PYTHON / "site-packages"


def add_package(
    prefix: Path, name: str, files: dict[str, str], requires: str = "", requested: bool = True
) -> None:
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += f"Requires-Dist: {requires}\n" if requires else ""
    files = {**files, f"{info}/METADATA": metadata}
    if requested:
        files[f"{info}/REQUESTED"] = ""
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    for path, content in files.items():
        (site(prefix) / path).parent.mkdir(parents=True, exist_ok=True)
        (site(prefix) / path).write_text(content)


@pytest.fixture(scope="session")
def warm_store(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warm")
    archive.pack(str(make_environment(base, folder / "env")), folder / "store")
    return folder / "store"


@pytest.fixture
def store(warm_store: Path, tmp_path: Path) -> Path:
    """A store with the archive of another environment of the same base: only packages are new."""
    path = tmp_path / "store"
    path.mkdir()
    for file in warm_store.glob("*.*"):
        os.link(file, path / file.name)
    return path


def own(store: Path, environment: Path) -> list[Archive]:
    return [item for item in archive.archives(store) if item.record.environment == str(environment)]


def unpacked(packed: Archive, folder: Path) -> Path:
    """Unpack as Hadoop does."""
    folder.mkdir()
    command = 'gzip -dc "$1" | (cd "$2" && tar -xf -)'
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", command, "sh", packed.path, folder],
        check=True,
        capture_output=True,
    )
    assert done.stderr == b""
    return folder


def run(prefix: Path, code: str, **env: str) -> str:
    done = subprocess.run(
        [prefix / "bin" / "python", "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def names(packed: Archive) -> set[str]:
    with tarfile.open(packed.path) as file:
        return set(file.getnames())


def reasons(packed: Archive) -> dict[str, str]:
    return {Path(item.path).name: item.reason for item in packed.record.left_out}


USE = """
import alpha, json, multiprocessing, sqlite3, ssl, subprocess, sys
again = subprocess.run([sys.executable, "-c", "import alpha, sys; print(sys.prefix)"],
    capture_output=True, text=True, check=True).stdout.strip()
with multiprocessing.get_context("spawn").Pool(1) as pool:
    print(json.dumps([sys.prefix, sys.base_prefix, again, pool.apply(abs, (-3,))]))
"""


@pytest.mark.parametrize("python", ["this", "/usr/bin/python3"])
def test_an_archive_runs_where_its_base_is_hidden(tmp_path: Path, python: str) -> None:
    if not may_hide():
        pytest.skip("mounts are not allowed here")
    binary = real_base().binary if python == "this" else python
    prefix = tmp_path / "env"
    command = [binary, "-m", "venv", "--without-pip", str(prefix)]
    if not os.path.exists(binary) or subprocess.run(command).returncode:
        pytest.skip(f"{python} cannot make environments")
    layout = tree.locate(str(prefix))
    library = Path(layout.sites[0])
    (library / "alpha.py").touch()
    packed = archive.pack(str(prefix), tmp_path / "store", imports=["alpha", "ssl"])
    assert packed.record.base_hidden
    assert packed.record.imports == ["alpha", "ssl"]
    folder = unpacked(packed, tmp_path / "unpacked")
    hidden = [layout.stdlib, layout.binary, str(prefix)]
    hidden += [
        str(path)
        for path in Path(layout.base, "lib").glob("**/libpython3*.so.*")
        if not path.is_symlink() and not path.is_relative_to(layout.stdlib)
    ]
    unshare = ["unshare", *(["-r"] if os.geteuid() else []), "--mount"]
    done = subprocess.run(
        [*unshare, "sh", "-c", RUN_HIDDEN, "sh", *hidden, "--", folder / "bin/python", "-c", USE],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [str(folder)] * 3 + [3]


def test_an_interpreter_without_a_run_path_is_launched(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (base / "bin" / PYTHON).read_bytes()
    dynamic = elf.read(data)
    assert dynamic is not None
    if not dynamic.run_path or not any("libpython" in name for name in dynamic.needed):
        pytest.skip("this Python is not a shared build with a run path")
    copy = tmp_path / "base"
    shutil.copytree(base, copy, symlinks=True)
    binary = data[: dynamic.offset] + b"\0" + data[dynamic.offset + 1 :]
    (copy / "bin" / PYTHON).write_bytes(binary)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(copy / "lib"))
    prefix = make_environment(copy, tmp_path / "env")
    add_package(prefix, "alpha", {"alpha.py": ""})
    packed = archive.pack(str(prefix), tmp_path / "store")
    monkeypatch.delenv("LD_LIBRARY_PATH")
    folder = unpacked(packed, tmp_path / "unpacked")
    shutil.rmtree(copy)
    assert json.loads(run(folder, USE)) == [str(folder)] * 3 + [3]


def test_packages_of_whoever_runs_it_stay_out(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    folder = unpacked(archive.pack(str(environment), store), tmp_path / "unpacked")
    user = tmp_path / "home" / ".local" / "lib" / PYTHON / "site-packages"
    user.mkdir(parents=True)
    (user / "alpha.py").write_text("VALUE = 'not this one'\n")
    found = run(folder, "import alpha; print(alpha.VALUE)", HOME=str(tmp_path / "home"))
    assert found == "1"


def test_the_base_is_carried_behind_an_environment_that_sees_it(
    base: Path, tmp_path: Path, store: Path
) -> None:
    copy = tmp_path / "base"
    shutil.copytree(base, copy, symlinks=True)
    prefix = make_environment(copy, tmp_path / "env", "--system-site-packages")
    add_package(copy, "shared", {"shared.py": "", "both.py": "WHERE = 'base'\n"})
    add_package(prefix, "both", {"both.py": "WHERE = 'environment'\n"})
    folder = unpacked(archive.pack(str(prefix), store), tmp_path / "unpacked")
    assert run(folder, "import shared, both; print(both.WHERE)") == "environment"


def test_the_record_tells_what_the_archive_is(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    packed = archive.pack(str(environment / "bin" / "python"), store)
    record = packed.record
    assert packed.path == store / f"{record.digest}.tar.gz"
    assert record.environment == str(environment)
    assert record.python_version == ".".join(map(str, sys.version_info[:3]))
    assert {name: item.version for name, item in record.packages.items()} == {
        "alpha": "1.0",
        "beta": "1.0",
    }
    assert record.imports == ["alpha", "beta"]
    assert record.bytes_packed == packed.path.stat().st_size
    assert record.files == len(names(packed))
    assert stat.S_IMODE(packed.path.stat().st_mode) == 0o644
    assert stat.S_IMODE(packed.path.with_name(f"{record.digest}.json").stat().st_mode) == 0o644
    assert own(store, environment) == [packed]
    with tarfile.open(packed.path) as file:
        for member in file:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            if member.name.endswith("alpha/data.txt"):
                source = site(environment) / "alpha" / "data.txt"
                assert member.mtime == int(source.stat().st_mtime)


def test_metadata_works_and_an_environment_is_not_written_to(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in environment.rglob("*"))
    packed = archive.pack(str(environment), store)
    assert (
        sorted((str(path), path.lstat().st_mtime_ns) for path in environment.rglob("*")) == before
    )
    folder = unpacked(packed, tmp_path / "unpacked")
    assert run(folder, "from importlib.metadata import version; print(version('alpha'))") == "1.0"


def test_compiled_files_are_carried_and_valid(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    run(environment, "import alpha")
    folder = unpacked(archive.pack(str(environment), store), tmp_path / "unpacked")
    compiled = list(site(folder).glob("alpha/__pycache__/*.pyc"))
    assert len(compiled) == 1
    inode = compiled[0].stat().st_ino
    run(folder, "import alpha")
    # A stale one would have been replaced.
    assert compiled[0].stat().st_ino == inode


def test_an_unchanged_environment_is_not_packed_again(environment: Path, store: Path) -> None:
    first = archive.pack(str(environment), store)
    before = {path.name: path.stat().st_ino for path in store.iterdir()}
    written = first.path.stat().st_mtime_ns
    stages: list[str] = []
    run(environment, "import beta")
    assert archive.pack(str(environment), store, report=lambda p: stages.append(p.stage)) == first
    assert stages == [SCANNING]
    assert {path.name: path.stat().st_ino for path in store.iterdir()} == before
    assert first.path.stat().st_mtime_ns == written


def test_only_the_changed_package_is_written_again(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    first = archive.pack(str(environment), store)
    # Unseen by its times and size: if it were read again, the new content would be carried.
    data = site(environment) / "alpha" / "data.txt"
    times = data.stat()
    data.write_text("DATA")
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    (site(environment) / "beta.py").write_text("VALUE = 22\n")
    second = archive.pack(str(environment), store)
    folder = unpacked(second, tmp_path / "unpacked")
    assert (site(folder) / "alpha" / "data.txt").read_text() == "data"
    assert run(folder, "import beta; print(beta.VALUE)") == "22"
    old = {segment.digest for segment in first.record.segments}
    assert {item.name for item in second.record.segments if item.digest not in old} == {"beta"}


def test_drift_names_the_packages(environment: Path, store: Path) -> None:
    record = archive.pack(str(environment), store).record
    assert archive.drift(record, str(environment)).sentence == ""
    (site(environment) / "alpha" / "data.txt").write_text("other")
    add_package(environment, "gamma", {"gamma.py": ""})
    for path in site(environment).glob("beta*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    drift = archive.drift(record, str(environment))
    assert (drift.changed, drift.added, drift.removed) == (["alpha"], ["gamma"], ["beta"])
    assert drift.sentence == (
        "1 package changed, 1 package added, 1 package removed since packing."
    )


def test_drift_sees_what_belongs_to_no_package(environment: Path, store: Path) -> None:
    record = archive.pack(str(environment), store).record
    (site(environment) / "loose.py").write_text("")
    assert archive.drift(record, str(environment)).sentence == "Files changed since packing."


@pytest.mark.parametrize("prune", [True, False])
def test_pruning_is_by_the_list_and_can_be_switched_off(
    environment: Path, store: Path, tmp_path: Path, prune: bool
) -> None:
    unneeded = {"gamma/tests/test_it.py": "", "gamma/x.pyi": "", "gamma/x.h": ""}
    add_package(environment, "gamma", {"gamma/__init__.py": "", **unneeded})
    add_package(environment, "pip", {"pip/__init__.py": ""})
    add_package(environment, "needy", {"needy.py": "import setuptools\n"}, "setuptools>=1")
    add_package(environment, "setuptools", {"setuptools.py": ""})
    packed = archive.pack(str(environment), store, prune=prune)
    folder = site(unpacked(packed, tmp_path / "unpacked"))
    assert [(folder / path).exists() for path in unneeded] == [not prune] * 3
    assert (folder / "pip").exists() != prune
    assert list(folder.glob("pip-*")) != [] or prune
    assert (folder / "setuptools.py").exists()
    assert ("pip" in packed.record.pruned) == prune


def test_credentials_stay_and_certificates_go(environment: Path, store: Path) -> None:
    library = site(environment) / "alpha"
    key = "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n"
    secrets = [".netrc", ".env", "id_rsa", ".pypirc", ".git-credentials", "x.keytab"]
    for name in secrets:
        (library / name).write_text("secret")
    for name in ("host.pem", "host.key"):
        (library / name).write_text(key)
    (library / "cacert.pem").write_text("-----BEGIN CERTIFICATE-----\nMII\n" * 5000)
    (library / ".aws").mkdir()
    (library / ".aws" / "credentials").write_text("secret")
    (environment / "pip.conf").write_text("[global]\nindex-url = https://me:secret@host\n")
    packed = archive.pack(str(environment), store)
    carried = {Path(name).name for name in names(packed)}
    left = {*secrets, "host.pem", "host.key", ".aws", "pip.conf"}
    assert reasons(packed).keys() == left
    assert not carried & {*left, "credentials"}
    assert "cacert.pem" in carried


@pytest.mark.parametrize(
    ("name", "content", "carried"),
    [
        (".env.local", "x", False),
        (".env.example", "x", True),
        (".condarc", "x", False),
        ("Pip.conf", "x", False),
        ("pip.ini", "x", False),
        (".pypirc.bak", "x", False),
        ("credentials.json", "x", False),
        ("service-account-prod.json", "x", False),
        ("service_account.py", "x", True),
        ("token.json", "x", True),
        ("uv.toml", "index-url = 'https://me:secret@host/'", False),
        ("uv.toml", "index-url = 'https://host/'", True),
        ("late.pem", "# " * 100_000 + "-----BEGIN EC PRIVATE KEY-----", False),
        ("pgp.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----", False),
        ("public.pem", "-----BEGIN PUBLIC KEY-----", True),
        ("large.pem", "-" * (5 << 20), False),
    ],
)
def test_what_is_a_credential(tmp_path: Path, name: str, content: str, carried: bool) -> None:
    (tmp_path / name).write_text(content)
    assert (credentials.of_file(str(tmp_path / name), name) is None) == carried


def add_data(prefix: Path, name: str, *paths: str) -> None:
    """Let a distribution list files outside the directory of packages."""
    with open(site(prefix) / f"{name}-1.0.dist-info" / "RECORD", "a") as file:
        file.writelines(f"../../../{path},,\n" for path in paths)
    for path in paths:
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(prefix / path):
            (prefix / path).write_text("data")


def test_data_files_go_through_the_same_gate(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (environment / "linked").symlink_to(outside)
    secret = "-----BEGIN PRIVATE KEY-----"
    for path in ("share/key.pem", "share/.aws/config"):
        (environment / path).parent.mkdir(parents=True, exist_ok=True)
        (environment / path).write_text(secret)
    (environment / "share" / "alias").symlink_to(".aws/config")
    (environment / "share" / "dangling").symlink_to("nowhere")
    (environment / "share" / "again").symlink_to("doc.txt")
    os.mkfifo(environment / "share" / "pipe")
    left = ["pip.conf", "share/x/.netrc", "share/key.pem", "share/.aws/config", "share/alias"]
    left += ["share/dangling", "share/pipe", "linked/file"]
    add_data(environment, "alpha", *left, "share/doc.txt", "share/again", "share/gone/file")
    (environment / "share" / "gone" / "file").unlink()
    # These would overwrite what is made for the archive, or be in it twice.
    add_data(environment, "beta", "pyvenv.cfg", f"lib/{PYTHON}/site-packages/beta.py")
    packed = archive.pack(str(environment), store)
    with tarfile.open(packed.path) as file:
        carried = file.getnames()
        version = file.extractfile("pyvenv.cfg")
        assert version is not None
        assert b"home" not in version.read()
    assert len(carried) == len(set(carried)) == packed.record.files
    assert {name for name in carried if name.startswith("share/")} == {
        "share/doc.txt",
        "share/again",
    }
    assert not set(left) & set(carried)
    assert {str(environment / path) for path in left} == {
        item.path for item in packed.record.left_out
    }
    assert len(left) == len(packed.record.left_out)


def test_a_data_file_may_not_be_too_large_either(environment: Path, store: Path) -> None:
    (environment / "share").mkdir()
    with open(environment / "share" / "huge.bin", "wb") as file:
        file.truncate(1 << 40)
    add_data(environment, "alpha", "share/huge.bin")
    assert "huge.bin” has 1099.5 GB" in refused(environment, store)


def test_a_changed_data_file_is_seen_and_packed(environment: Path, store: Path) -> None:
    add_data(environment, "alpha", "share/jupyter/kernel.json")
    record = archive.pack(str(environment), store).record
    (environment / "share" / "jupyter" / "kernel.json").write_text("changed")
    assert archive.drift(record, str(environment)).changed == ["alpha"]
    again = archive.pack(str(environment), store).record
    assert again.digest != record.digest
    assert archive.drift(again, str(environment)).sentence == ""


@pytest.mark.parametrize("kind", ["link", "cache", "pipe", "directory"])
def test_everything_counts_towards_the_limit(environment: Path, store: Path, kind: str) -> None:
    folder = site(environment) / "alpha" / ("__pycache__" if kind == "cache" else "many")
    folder.mkdir()
    tag = sys.implementation.cache_tag
    for number in range(5000):
        path = folder / f"m{number}.{tag}.pyc"
        if kind == "link":
            path.symlink_to("nowhere")
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        else:
            path.touch()
    assert "more than 5,000 files" in refused(environment, store, Limits(files=5000))


def test_links_inside_are_kept_and_links_out_are_not_followed(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "home" / ".ssh"
    secret.mkdir(parents=True)
    (secret / "config").write_text("secret")
    library = site(environment) / "alpha"
    (library / "relative").symlink_to("data.txt")
    (library / "absolute").symlink_to(library / "data.txt")
    (library / "out").symlink_to(secret)
    (library / "file").symlink_to(secret / "config")
    (library / "nothing").symlink_to("nowhere")
    (environment / "doc").mkdir()
    (library / "folder").symlink_to(environment / "doc")
    packed = archive.pack(str(environment), store)
    folder = site(unpacked(packed, tmp_path / "unpacked")) / "alpha"
    for name in ("relative", "absolute"):
        assert os.readlink(folder / name) == "data.txt"
    assert not {"out", "file", "nothing", "folder"} & set(os.listdir(folder))
    assert reasons(packed) == {
        "out": f"is a link out of the environment, to {secret}",
        "file": f"is a link out of the environment, to {secret}/config",
        "nothing": "is a link to nothing",
        "folder": f"is a link to {environment}/doc, which is not carried",
    }


def test_pipes_sockets_and_devices_are_not_opened(environment: Path, store: Path) -> None:
    library = site(environment) / "alpha"
    os.mkfifo(library / "pipe")
    left = {"pipe"}
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.getcwd()
        # A socket's path is short by law.
        os.chdir(library)
        listener.bind("socket")
        os.chdir(before)
    left.add("socket")
    if os.geteuid() == 0:
        os.mknod(library / "zero", stat.S_IFCHR | 0o644, os.makedev(1, 5))
        left.add("zero")
    packed = archive.pack(str(environment), store)
    assert reasons(packed) == dict.fromkeys(left, "is neither a file nor a directory")
    assert not left & {Path(name).name for name in names(packed)}


def refused(environment: Path, store: Path, limits: Limits | None = None) -> str:
    before = sorted(path.name for path in store.iterdir())
    with pytest.raises(CannotBeDone) as caught:
        archive.pack(str(environment), store, limits=limits)
    assert sorted({*before, "lock"}) == sorted({path.name for path in store.iterdir()} | {"lock"})
    assert [error.field for error in caught.value.errors] == ["environment"]
    return str(caught.value)


def test_a_sparse_file_of_a_terabyte_is_refused(environment: Path, store: Path) -> None:
    with open(site(environment) / "alpha" / "huge.bin", "wb") as file:
        file.truncate(1 << 40)
    assert "huge.bin” has 1099.5 GB" in refused(environment, store)


def test_too_many_files_and_too_many_bytes_are_refused(environment: Path, store: Path) -> None:
    assert "more than 10 files" in refused(environment, store, Limits(files=10))
    assert "more than 0 GB" in refused(environment, store, Limits(total_bytes=100_000_000 // 100))


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Run as somebody who is stopped by permissions."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def part(*paths: Path) -> segments.Part:
    entries = []
    for path in paths:
        entry = tree.regular(str(path), path.name)
        assert entry is not None
        entries.append(entry)
    return segments.Part("part", "key", entries, 0)


def open_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and parent.name.startswith(("pytest-", "popen-")):
            parent.chmod(0o755)
    tmp_path.chmod(0o755)
    return folder


def test_an_unreadable_file_is_named(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = open_folder(tmp_path)
    (folder / "mine.txt").write_text("mine")
    (folder / "mine.txt").chmod(0)
    made = part(folder / "mine.txt")
    request.getfixturevalue("unprivileged")
    with pytest.raises(CannotBeDone, match=r"mine\.txt” is not readable for you"):
        segments.Writer(folder / "out").write([made], {}, lambda: None)


@pytest.mark.parametrize("name", ["directory", "RECORD", "hook.pth", "x.pem"])
def test_what_may_not_be_looked_at_is_named(
    environment: Path, base: Path, tmp_path: Path, request: pytest.FixtureRequest, name: str
) -> None:
    folder = open_folder(tmp_path)
    base.chmod(0o755)
    path = site(environment) / name
    if name == "directory":
        path.mkdir()
    elif name == "RECORD":
        path = site(environment) / "alpha-1.0.dist-info" / name
    else:
        path.touch()
    path.chmod(0)
    request.getfixturevalue("unprivileged")
    with pytest.raises(CannotBeDone, match=f"{name}” is not readable for you"):
        archive.pack(str(environment), folder / "store")


def test_a_full_disk_is_told_and_loses_nothing(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "none", str(small)]
    if os.geteuid() or subprocess.run(mount).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        with pytest.raises(DiskFull, match="No room is left"):
            archive.pack(str(environment), small)
        assert [path.name for path in small.iterdir() if path.name != "lock"] == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_file_that_is_not_as_it_was_is_noticed(tmp_path: Path) -> None:
    for name in ("grown", "shrunk", "gone", "touched", "pipe"):
        (tmp_path / name).write_text("content")
        made = part(tmp_path / name)
        if name == "grown":
            (tmp_path / name).write_text("content and more")
        elif name == "shrunk":
            (tmp_path / name).write_text("")
        elif name == "touched":
            os.utime(tmp_path / name, ns=(0, 0))
        else:
            (tmp_path / name).unlink()
        if name == "pipe":
            os.mkfifo(tmp_path / name)
        with pytest.raises(segments.Changed, match=name):
            segments.Writer(tmp_path / f"{name}.out").write([made], {}, lambda: None)


def test_a_change_in_the_middle_is_packed_at_the_second_try(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    stages: list[str] = []

    def change(progress: Progress) -> None:
        if progress.stage == PACKING and PACKING not in stages:
            (site(environment) / "alpha" / "data.txt").write_text("changed")
        stages.append(progress.stage)

    packed = archive.pack(str(environment), store, report=change)
    folder = unpacked(packed, tmp_path / "unpacked")
    assert (site(folder) / "alpha" / "data.txt").read_text() == "changed"
    assert stages.count(SCANNING) == 2


def test_an_environment_that_does_not_rest_is_refused(environment: Path, store: Path) -> None:
    data = site(environment) / "alpha" / "data.txt"

    def change(progress: Progress) -> None:
        if progress.stage == PACKING:
            data.write_text(f"{time.monotonic_ns()}")

    with pytest.raises(CannotBeDone, match=r"data\.txt” changed twice"):
        archive.pack(str(environment), store, report=change)
    assert own(store, environment) == []


KILLED = """
import sys, time
from pathlib import Path
from jupyterlab_pyspark_kernels import archive
def report(progress):
    if progress.stage == sys.argv[3]:
        print("here", flush=True)
        time.sleep(600)
archive.pack(sys.argv[1], Path(sys.argv[2]), report=report)
"""


@pytest.mark.parametrize("stage", [PACKING, PROVING, KEEPING])
def test_a_killed_pack_leaves_nothing_behind(environment: Path, store: Path, stage: str) -> None:
    path = os.pathsep.join(sys.path)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, environment, store, stage],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert own(store, environment) == []
    assert list((store / "staging").iterdir()) != []
    packed = archive.pack(str(environment), store)
    assert own(store, environment) == [packed]
    assert not (store / "staging").exists()


def test_an_archive_without_a_record_is_swept(environment: Path, store: Path) -> None:
    (store / f"{'0' * 64}.tar.gz").write_bytes(b"half")
    archive.pack(str(environment), store)
    assert not (store / f"{'0' * 64}.tar.gz").exists()


def test_two_packs_at_once_write_one_archive(environment: Path, store: Path) -> None:
    stages: list[str] = []
    found: list[Archive] = []
    barrier = threading.Barrier(3)

    def work() -> None:
        barrier.wait()
        found.append(archive.pack(str(environment), store, report=lambda p: stages.append(p.stage)))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 3
    assert len({item.record.digest for item in found}) == 1
    assert stages.count(KEEPING) == 1


@pytest.mark.parametrize("stage", [PACKING, PROVING])
def test_a_cancelled_pack_publishes_nothing(environment: Path, store: Path, stage: str) -> None:
    stages: list[str] = []
    with pytest.raises(Cancelled):
        archive.pack(
            str(environment),
            store,
            report=lambda progress: stages.append(progress.stage),
            cancelled=lambda: stage in stages,
        )
    assert own(store, environment) == []
    assert not (store / "staging").exists()


def test_whoever_waits_can_be_cancelled(environment: Path, store: Path) -> None:
    with (
        archive.store.writing(store, lambda: False),
        pytest.raises(Cancelled),
    ):
        archive.pack(str(environment), store, cancelled=lambda: True)


def test_progress_ends_at_its_total(environment: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    packed = archive.pack(str(environment), tmp_path / "store", report=told.append)
    last = [progress for progress in told if progress.stage == PACKING][-1]
    assert (last.files_done, last.bytes_done) == (last.files_total, last.bytes_total)
    assert (last.files_done, last.bytes_done) == (packed.record.files, packed.record.bytes_raw)


def test_an_editable_project_is_carried_without_what_lies_beside_it(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    for path in ("mine/__init__.py", "loose.py", ".git/config", ".env", "data/big.bin"):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("")
    (site(environment) / "_mine.pth").write_text(f"# a remark\n{project}\n")
    (site(environment) / "__editable__.other-1.pth").write_text(
        "import __editable___other_finder; __editable___other_finder.install()\n"
    )
    (site(environment) / "__editable___other_finder.py").write_text("def install(): pass\n")
    packed = archive.pack(str(environment), store)
    folder = unpacked(packed, tmp_path / "unpacked")
    shutil.rmtree(project)
    assert Path(run(folder, "import mine, loose; print(mine.__file__)")).is_relative_to(folder)
    carried = {Path(name).name for name in names(packed)}
    assert not carried & {".git", "config", ".env", "big.bin"}
    assert "__editable__.other-1.pth" not in carried
    assert "install it without -e" in reasons(packed)["__editable__.other-1.pth"]


def test_a_namespace_package_of_a_project_is_carried(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    for path in ("ns/pkg/__init__.py", "data/big.bin", "build/lib/old.py", "venv/pyvenv.cfg"):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("")
    (site(environment) / "_mine.pth").write_text(f"{project}\n")
    packed = archive.pack(str(environment), store)
    folder = unpacked(packed, tmp_path / "unpacked")
    shutil.rmtree(project)
    assert Path(run(folder, "import ns.pkg; print(ns.pkg.__file__)")).is_relative_to(folder)
    assert reasons(packed) == {
        "data": "has no module to import",
        "build": "is not meant to be imported; add an __init__.py if it is",
        "venv": "is an environment of its own",
    }


@pytest.mark.parametrize("value", ["true", "True"])
def test_a_broken_line_of_the_base_breaks_no_other(
    base: Path, tmp_path: Path, store: Path, value: str
) -> None:
    copy = tmp_path / "base"
    shutil.copytree(base, copy, symlinks=True)
    prefix = make_environment(copy, tmp_path / "env", "--system-site-packages")
    settings = (prefix / "pyvenv.cfg").read_text()
    (prefix / "pyvenv.cfg").write_text(settings.replace("= true", f"= {value}"))
    add_package(copy, "setuptools", {"hook.pth": "import _hook\n", "_hook.py": ""})
    (site(copy) / "broken.pth").write_text("import nothing_like_it\n")
    (site(copy) / "more").mkdir()
    (site(copy) / "more" / "inner.py").touch()
    (site(copy) / "z.pth").write_text("more\n")
    packed = archive.pack(str(prefix), store)
    folder = unpacked(packed, tmp_path / "unpacked")
    code = "import inner; print(inner.__file__)"
    assert Path(run(folder, code)).is_relative_to(folder)
    # It goes with its distribution, whose module its line needs.
    assert not [name for name in names(packed) if "hook" in name]
    assert "hook" in "".join(names(archive.pack(str(prefix), store, prune=False)))


def strange_environments(prefix: Path, what: str) -> Path | None:
    """Do something to an environment; give the file that the error has to name, if it is one."""
    info = site(prefix) / "alpha-1.0.dist-info"
    if what == "long line":
        (info / "RECORD").write_text("x" * 200_000)
        return info / "RECORD"
    if what == "deep":
        folder = site(prefix) / "alpha"
        before = os.getcwd()
        os.chdir(folder)
        for _ in range(20):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        os.chdir(before)
        return Path("alpha", "d" * 250)
    if what in ("empty", "truncated"):
        binary = prefix / "bin" / "python"
        data = os.path.realpath(binary)
        content = Path(data).read_bytes()[: 0 if what == "empty" else 100]
        base = prefix.parent / "cut"
        (base / "bin").mkdir(parents=True)
        (base / "lib" / PYTHON).mkdir(parents=True)
        (base / "lib" / PYTHON / "os.py").touch()
        (base / "bin" / PYTHON).write_bytes(content)
        binary.unlink()
        binary.symlink_to(base / "bin" / PYTHON)
        return base / "bin" / PYTHON
    files = {"settings": prefix / "pyvenv.cfg", "METADATA": info / "METADATA"}
    files |= {"RECORD": info / "RECORD", "path": site(prefix) / "some.pth"}
    name, _, kind = what.partition(" ")
    files[name].unlink(missing_ok=True)
    os.mkfifo(files[name]) if kind == "pipe" else files[name].mkdir()
    return None


@pytest.mark.parametrize(
    "what",
    [
        "long line",
        "deep",
        "empty",
        "truncated",
        *(f"{name} {kind}" for name in ("METADATA", "RECORD", "path") for kind in ("pipe", "dir")),
        "settings dir",
        "settings pipe",
    ],
)
def test_a_strange_environment_is_told_or_packed(environment: Path, store: Path, what: str) -> None:
    record = archive.pack(str(environment), store).record
    named = strange_environments(environment, what)
    if named is None:
        # Python itself would wait for what a pipe says, so nothing is run here.
        assert archive.drift(record, str(environment)).added == []
    else:
        with pytest.raises(CannotBeDone, match=re.escape(str(named))):
            archive.pack(str(environment), store)


def test_what_works_only_in_the_environment_is_not_published(
    environment: Path, store: Path
) -> None:
    (environment / "licence.txt").write_text("")
    code = "import sys\nopen(sys.prefix + '/licence.txt')\n"
    add_package(environment, "gamma", {"gamma.py": code})
    assert "“gamma” cannot be imported from the archive" in refused(environment, store)


def test_what_works_nowhere_is_recorded(environment: Path, store: Path) -> None:
    add_package(environment, "broken", {"broken.py": "import nothing_like_it\n"})
    add_package(environment, "deadly", {"deadly.py": "import os\nos._exit(3)\n"})
    add_package(environment, "gone", {"gone.py": "raise SystemExit(1)\n"})
    record = archive.pack(str(environment), store).record
    assert record.imports == ["alpha", "beta"]
    assert record.not_importable == {
        "broken": "ModuleNotFoundError: No module named 'nothing_like_it'",
        "deadly": "the interpreter ended with 3",
        "gone": "SystemExit: 1",
    }


def test_names_of_any_kind_arrive(environment: Path, store: Path, tmp_path: Path) -> None:
    library = site(environment) / "alpha"
    deep = library / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    strange = ["ü" * 60, "a b", "new\nline", os.fsdecode(b"\xff\xfe"), "x" * 250]
    for name in strange:
        (deep / name).write_text(name, errors="surrogateescape")
        (library / f"l{name[:9]}").symlink_to(deep / name)
    (library / os.fsdecode(b"\xff.pem")).symlink_to("nowhere")
    packed = archive.pack(str(environment), store)
    folder = site(unpacked(packed, tmp_path / "unpacked")) / "alpha"
    for name in strange:
        for path in (folder / ("d" * 120) / ("e" * 120) / name, folder / f"l{name[:9]}"):
            assert path.read_text(errors="surrogateescape") == name
    assert archive.archives(store)[0].record.left_out == packed.record.left_out


@pytest.mark.parametrize("held", [1, 64 << 20])
def test_large_parts_are_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(segments, "_HELD_BYTES", held)
    made = []
    sizes = [0, 1, 511, 512, 513, (2 << 20) - 512, 2 << 20, (2 << 20) + 1, 5_000_000]
    for number, size in enumerate([*sizes, *sizes]):
        (tmp_path / f"{number}").write_bytes(os.urandom(size))
        made.append(tmp_path / f"{number}")
    parts = [part(*made[:5]), part(*made[5:9]), part(*made[9:])]
    data = Entry("made", "", 3_000_000, 0, 0, 0o644, "", b"abc" * 1_000_000)
    parts.append(segments.Part("made", "", [data], 0))
    writer = segments.Writer(tmp_path / "out.tar.gz")
    writer.write(parts, {}, lambda: None)
    with tarfile.open(tmp_path / "out.tar.gz") as file:
        found = {
            member.name: content.read()
            for member in file
            if (content := file.extractfile(member)) is not None
        }
    assert found.pop("made") == data.data
    assert found == {path.name: path.read_bytes() for path in made}


def damage(packed: Archive, name: str) -> None:
    """Flip a byte in the middle of a segment."""
    (segment,) = [item for item in packed.record.segments if item.name == name]
    with open(packed.path, "r+b") as file:
        file.seek(segment.offset + segment.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 255]))


def test_a_damaged_segment_is_not_copied(environment: Path, store: Path, tmp_path: Path) -> None:
    damage(archive.pack(str(environment), store), "alpha")
    (site(environment) / "beta.py").write_text("import alpha\nVALUE = 2\n")
    folder = unpacked(archive.pack(str(environment), store), tmp_path / "unpacked")
    assert run(folder, "import alpha; print(alpha.VALUE)") == "1"


def test_a_damaged_archive_is_packed_anew_when_it_is_verified(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    packed = archive.pack(str(environment), store)
    inode = packed.path.stat().st_ino
    assert archive.pack(str(environment), store, verify=True) == packed
    assert packed.path.stat().st_ino == inode
    damage(packed, "alpha")
    again = archive.pack(str(environment), store, verify=True)
    assert again.record.digest == packed.record.digest
    unpacked(again, tmp_path / "unpacked")


def test_a_time_that_no_header_can_hold_is_brought_near(environment: Path, store: Path) -> None:
    late, early = site(environment) / "alpha" / "late", site(environment) / "alpha" / "early"
    late.touch()
    early.touch()
    os.utime(late, (9_000_000_000, 9_000_000_000))
    os.utime(early, (-5, -5))
    with tarfile.open(archive.pack(str(environment), store).path) as file:
        times = {Path(member.name).name: member.mtime for member in file}
    assert (times["late"], times["early"]) == (8**11 - 1, 0)


def test_what_cannot_be_unpacked_is_told_by_its_cause(tmp_path: Path) -> None:
    (tmp_path / "broken.tar.gz").write_bytes(b"no gzip")
    (tmp_path / "target").mkdir()
    with pytest.raises(CannotBeDone, match="not in gzip format"):
        proof.unpack(tmp_path / "broken.tar.gz", tmp_path / "target")


def test_an_import_that_hangs_dies_with_a_killed_pack(environment: Path, store: Path) -> None:
    add_package(environment, "hangs", {"hangs.py": "import time\ntime.sleep(600)\n"})
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, environment, store, ""],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    def hanging() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                text = path.read_bytes()
            except OSError:
                continue
            if str(store).encode() in text and b"\0hangs" in text:
                found.append(path.parent.name)
        return found

    deadline = time.monotonic() + LIMIT_SECONDS
    while not hanging() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert hanging() != []
    process.kill()
    process.wait()
    while hanging() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert hanging() == []


def test_unused_archives_are_removed_when_they_are_old(environment: Path, store: Path) -> None:
    first = archive.pack(str(environment), store)
    (site(environment) / "alpha" / "data.txt").write_text("second")
    second = archive.pack(str(environment), store)
    warm = {item.record.digest for item in archive.archives(store)} - {
        first.record.digest,
        second.record.digest,
    }
    used = {second.record.digest, *warm}
    assert archive.remove_unused(store, used) == []
    assert archive.remove_unused(store, used, minimum_age_seconds=0) == [first]
    assert not first.path.exists()
    assert own(store, environment) == [second]


def test_a_store_that_is_a_link_is_neither_swept_nor_packed_into(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "staging").mkdir(parents=True)
    (theirs / "staging" / "mine").touch()
    (theirs / f"{'0' * 64}.tar.gz").touch()
    (tmp_path / "link").symlink_to(theirs)
    before = sorted(theirs.rglob("*"))
    with pytest.raises(NotAllowed, match="is a link or a file"):
        archive.pack(str(environment), tmp_path / "link")
    with pytest.raises(NotAllowed, match="is a link or a file"):
        archive.remove_unused(tmp_path / "link", set())
    assert sorted(theirs.rglob("*")) == before
    # An archive there is not taken for ours either.
    archive.pack(str(environment), store)
    (tmp_path / "other").symlink_to(store)
    with pytest.raises(NotAllowed):
        archive.pack(str(environment), tmp_path / "other")


def test_a_store_that_others_can_write_to_is_refused(environment: Path, store: Path) -> None:
    archive.pack(str(environment), store)
    store.chmod(0o775)
    with pytest.raises(NotAllowed, match="can be written to by others"):
        archive.pack(str(environment), store)


def test_a_store_of_somebody_else_is_refused(
    environment: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.pack(str(environment), store)
    euid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: euid + 1)
    with pytest.raises(NotAllowed, match="belongs to somebody else"):
        archive.pack(str(environment), store)
    # Looking is free.
    assert len(own(store, environment)) == 1


def test_only_what_has_the_name_of_an_archive_is_swept(environment: Path, store: Path) -> None:
    kept = ["backup.tar.gz", f"{'0' * 63}.tar.gz", f"{'G' * 64}.tar.gz"]
    for name in kept:
        (store / name).touch()
    archive.pack(str(environment), store)
    assert all((store / name).exists() for name in kept)


def test_a_store_is_readable_whatever_the_umask(environment: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        packed = archive.pack(str(environment), tmp_path / "store")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o755
    assert stat.S_IMODE(packed.path.stat().st_mode) == 0o644


def test_environments_with_the_same_content_are_two_archives(
    environment: Path, store: Path, tmp_path: Path
) -> None:
    first = archive.pack(str(environment), store)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", environment, copy], check=True)
    second = archive.pack(str(copy), store)
    assert second.record.digest != first.record.digest
    assert own(store, environment) == [first]
    assert own(store, copy) == [second]


def test_an_archive_that_is_swept_while_it_is_found_is_packed_anew(
    environment: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = archive.pack(str(environment), store)
    touch = archive.store.touch
    swept: list[Path] = []

    def late(found: Archive) -> bool:
        if not swept:
            swept.append(found.path)
            archive.remove_unused(store, set(), minimum_age_seconds=-1)
        return touch(found)

    monkeypatch.setattr(archive, "touch", late)
    again = archive.pack(str(environment), store)
    assert swept == [first.path]
    assert again.path.exists()


def test_an_archive_that_is_touched_while_it_is_swept_stays(
    environment: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive.pack(str(environment), store)
    for path in store.glob("*.json"):
        os.utime(path, (0, 0))
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        if self.exists():
            archive.store.touch(Archive(packed.path, packed.record))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    removed = archive.remove_unused(store, set())
    assert packed not in removed
    assert archive.find(store, packed.record.digest) == packed


def test_a_sweep_does_not_wait_for_a_pack(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive.store, "_SWEEP_SECONDS", 0.2)
    with (
        archive.store.writing(store, lambda: False),
        pytest.raises(Busy, match="is being packed"),
    ):
        archive.remove_unused(store, set())


def test_an_archive_is_found_by_its_digest(environment: Path, store: Path) -> None:
    packed = archive.pack(str(environment), store)
    assert archive.find(store, packed.record.digest) == packed
    assert archive.find(store, "0" * 64) is None
    assert archive.find(store, f"../{store.name}/{packed.record.digest}") is None


def test_what_is_no_record_counts_as_none(environment: Path, store: Path) -> None:
    packed = archive.pack(str(environment), store)
    expected = archive.archives(store)
    (store / f"{'1' * 64}.json").mkdir()
    os.mkfifo(store / f"{'2' * 64}.json")
    (store / f"{'3' * 64}.json").symlink_to(f"{packed.record.digest}.json")
    shutil.copy(store / f"{packed.record.digest}.json", store / f"{'4' * 64}.json")
    os.link(packed.path, store / f"{'4' * 64}.tar.gz")
    (store / f"{'5' * 64}.json").write_text("[" * 100_000)
    assert archive.archives(store) == expected


def test_an_old_archive_that_is_asked_for_again_is_young(environment: Path, store: Path) -> None:
    packed = archive.pack(str(environment), store)
    for path in store.glob("*.json"):
        os.utime(path, (0, 0))
    archive.pack(str(environment), store)
    removed = archive.remove_unused(store, set())
    assert packed not in removed
    assert len(removed) == 1


@pytest.mark.parametrize("path", ["/nowhere", "/etc"])
def test_where_no_python_is_nothing_is_packed(path: str, tmp_path: Path) -> None:
    with pytest.raises(CannotBeDone, match="There is no Python"):
        archive.pack(path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def conda_environment(base: Path, prefix: Path) -> Path:
    """A prefix as conda makes it, as far as conda-pack looks at it."""
    shutil.copytree(base, prefix, symlinks=True)
    (prefix / "bin" / "python").symlink_to(PYTHON)
    add_package(prefix, "alpha", {"alpha.py": ""})
    files = [str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()]
    meta = prefix / "conda-meta"
    meta.mkdir()
    (meta / "history").touch()
    package: dict[str, object] = {"name": "python", "version": "3", "build": "0", "files": files}
    package |= {"url": "", "link": {"source": "/nowhere", "type": 1}}
    (meta / "python-3-0.json").write_text(json.dumps(package))
    return prefix


def test_a_conda_environment_is_packed_by_conda_pack(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("conda_pack")
    prefix = conda_environment(base, tmp_path / "conda")
    (prefix / "lib" / ".netrc").write_text("secret")
    (prefix / "lib" / ".aws").mkdir()
    (prefix / "lib" / ".aws" / "credentials").write_text("secret")
    packed = archive.pack(str(prefix), tmp_path / "store")
    assert (packed.record.kind, packed.record.imports) == ("conda", ["alpha"])
    assert {".netrc", ".aws"} <= reasons(packed).keys()
    assert not {"lib/.netrc", "lib/.aws", "lib/.aws/credentials"} & names(packed)
    folder = unpacked(packed, tmp_path / "unpacked")
    assert run(folder, "import alpha, sys; print(sys.prefix)") == str(folder)
    assert archive.pack(str(prefix), tmp_path / "store") == packed


def test_conda_pack_can_be_cancelled(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = conda_environment(base, tmp_path / "conda")
    started = tmp_path / "started"
    (tmp_path / "conda_pack.py").write_text(
        f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Cancelled):
        archive.pack(str(prefix), tmp_path / "store", cancelled=started.exists)


def test_what_conda_pack_refuses_is_told(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("conda_pack")
    prefix = conda_environment(base, tmp_path / "conda")
    (site(prefix) / "alpha.py").unlink()
    (tmp_path / "store").mkdir(mode=0o755)
    assert "conda-pack cannot pack" in refused(prefix, tmp_path / "store")


def test_the_packages_of_the_base_count_where_they_are_used(base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "base"
    shutil.copytree(base, copy, symlinks=True)
    alone = make_environment(copy, tmp_path / "alone")
    sees = make_environment(copy, tmp_path / "sees", "--system-site-packages")
    before = why_not_ours(str(sees))
    site(copy).chmod(0o777)
    assert why_not_ours(str(alone)) == before
    assert why_not_ours(str(sees)) == f"{site(copy)} can be written to by everybody."


def test_without_conda_pack_the_remedy_is_told(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = conda_environment(base, tmp_path / "conda")
    monkeypatch.setitem(sys.modules, "conda_pack", None)
    (tmp_path / "store").mkdir()
    assert "python -m pip install conda-pack" in refused(prefix, tmp_path / "store")
