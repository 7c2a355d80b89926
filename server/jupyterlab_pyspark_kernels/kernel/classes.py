"""The archive of Spark's classes as Java maps them into memory (class data sharing).

Java takes an archive only for the very class path and version that it was made with. Whether it may
be used is settled before Java starts, by a key of all that decides these; what came of it is
compared with the record beside the archive once Spark is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set

from .memory import own_directory
from .status import write_own

SHARED_VARIABLE = "PYSPARK_KERNELS_CLASS_ARCHIVES"
"""A directory with archives that an administrator keeps for everybody."""
_ADMINISTRATORS_VARIABLE = "PYSPARK_KERNELS_TEMPLATE_ADMINISTRATORS"

MOST_ARCHIVES = 3
MOST_BYTES = 1024**3
_ROOM_BYTES = 1024**3
"""What has to be free on the disk before an archive is made; one has 150 MB and more."""
_RETRY_SECONDS = 24 * 60 * 60
_FORMAT = 1
_READ_BYTES = 1024 * 1024

_DECIDES = (
    *("JAVA_HOME", "SPARK_CONF_DIR", "SPARK_DIST_CLASSPATH", "SPARK_PREPEND_CLASSES"),
    *("SPARK_SCALA_VERSION", "SPARK_CLASSPATH"),
)
"""Variables that decide which Java is started, or with which class path."""


class Archive(NamedTuple):
    """Where the archive of one Spark, Java and class path is, or will be.

    Attributes:
        key: of all that decides which one it is.
        directories: where it may be, the administrator's first.
    """

    key: str
    directories: List[Path]

    def usable(self) -> Optional[Path]:
        """Give the archive, if it is there as it was made."""
        for directory in self.directories:
            path, record = directory / f"{self.key}.jsa", self._record(directory)
            with suppress(OSError):
                if record.get("file") == file_facts(path) and _is_safe(path):
                    # The time of its last use: what is used least makes room first.
                    with suppress(OSError):
                        os.utime(directory / f"{self.key}.json")
                    return path
        return None

    def wanted(self, facts: Mapping[str, Any]) -> Optional[Path]:
        """Give the directory to make the archive in, if there is none of these facts.

        Args:
            facts: what the JVM says of itself.
        """
        for directory in self.directories:
            record = self._record(directory)
            with suppress(OSError):
                if record.get("facts") != facts:
                    continue
                path = directory / f"{self.key}.jsa"
                if record.get("file") == file_facts(path) and _is_safe(path):
                    if record.get("sha256") == _digest_of(path):
                        return None
                    # A disk has lost some of it, which Java told nobody.
                    self.drop()
            if record.get("facts") == facts and time.time() < record.get("retry", 0):
                return None
        if not self.directories:
            return None
        with suppress(OSError):
            for directory in (self.directories[-1].parent, self.directories[-1]):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return next((path for path in self.directories if os.access(path, os.W_OK)), None)

    def drop(self) -> None:
        """Use it no more, as Java ended over it."""
        for directory in self.directories:
            with suppress(OSError):
                os.unlink(directory / f"{self.key}.json")
                os.unlink(directory / f"{self.key}.jsa")

    def _record(self, directory: Path) -> Dict[str, Any]:
        path = directory / f"{self.key}.json"
        try:
            if not _is_safe(path):
                return {}
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) and record.get("format") == _FORMAT else {}


def archive_of(
    home: str, said: Mapping[str, str], wide: bool, environ: Mapping[str, str]
) -> Archive:
    """Find where the archive of a Spark is.

    Args:
        home: Spark's.
        said: the texts that may tell its class path.
        wide: whether the heap is so large that Java shortens no pointers.
        environ: the variables that spark-submit will see.
    """
    java = _java(environ)
    facts = [
        *(_FORMAT, home, java, _release(java), wide),
        *(environ.get(name) for name in _DECIDES),
        # Hashed, as a setting may be a secret.
        *sorted((name, _digest(_paths_in(text).encode())) for name, text in said.items()),
        *(file_facts(path) for path in sorted(Path(home, "jars").glob("*.jar"))),
    ]
    key = _digest(json.dumps(facts).encode())[:32]
    return Archive(key, list(_directories(environ)))


def _paths_in(text: str) -> str:
    """Leave what may be about a class path or a Java: other settings change with every kernel."""
    words = ("class-path", "ClassPath", "CLASSPATH", "JAVA_HOME", "PATH", "source")
    tokens = text.split("\n") if "\n" in text else text.split()
    near = [
        f"{token} {after}"
        for token, after in zip(tokens, [*tokens[1:], ""])
        if any(word in token for word in words)
    ]
    return "\n".join(near)


def facts_of(jvm: Any) -> Optional[Dict[str, Any]]:
    """Ask Spark's JVM what its archive depends on; `None` when it takes none."""
    ask = jvm.java.lang.System.getProperty
    major = str(ask("java.specification.version")).partition(".")[0]
    if int(major) < 13 or "OpenJ9" in ask("java.vm.name"):
        return None
    paths = str(ask("java.class.path")).split(os.pathsep)
    last = max((at for at, path in enumerate(paths) if path.endswith(".jar")), default=-1)
    # What follows may differ: Java takes an archive for the beginning of a class path.
    paths = paths[: last + 1]
    if any(_holds_files(path) for path in paths):
        return None
    return {
        "java": str(ask("java.home")),
        "version": f"{ask('java.vm.vendor')} {ask('java.vm.name')} {ask('java.vm.version')}",
        "wide": int(jvm.java.lang.Runtime.getRuntime().maxMemory()) >= 31 * 1024**3,
        "class_path": os.pathsep.join(paths),
        "modules": str(jvm.org.apache.spark.launcher.JavaModuleOptions.defaultModuleOptions()),
    }


def _holds_files(path: str) -> bool:
    """Tell whether a class path has a folder that Java archives nothing with."""
    try:
        return any(os.scandir(path)) if os.path.isdir(path) else False
    except OSError:
        return True


def file_facts(path: Path) -> List[Any]:
    """Give by what a file is known again.

    Raises:
        OSError: when it is not there.
    """
    found = os.stat(path)
    return [str(path), found.st_size, found.st_mtime_ns]


def keep(staged: Path, directory: Path, key: str, facts: Mapping[str, Any]) -> None:
    """Put an archive that was made in its place, and then the record by which it is used.

    Raises:
        OSError: when the file system refuses.
    """
    path = directory / f"{key}.jsa"
    digest = _digest_of(staged)
    os.chmod(staged, _mode(directory))
    os.replace(staged, path)
    _write(directory, key, facts, file=file_facts(path), sha256=digest)


def _digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(_READ_BYTES), b""):
            digest.update(part)
    return digest.hexdigest()


def give_up(directory: Path, key: str, facts: Mapping[str, Any]) -> None:
    """Note that an archive cannot be made, so that not every kernel tries to.

    Raises:
        OSError: when the file system refuses.
    """
    _write(directory, key, facts, retry=int(time.time()) + _RETRY_SECONDS)


def _write(directory: Path, key: str, facts: Mapping[str, Any], **more: Any) -> None:
    path = directory / f"{key}.json"
    write_own(path, json.dumps({"format": _FORMAT, "facts": facts, **more}))
    os.chmod(path, _mode(directory))


def _mode(directory: Path) -> int:
    """Whoever may look into the directory may use what is in it."""
    return 0o444 if os.stat(directory).st_mode & stat.S_IROTH else 0o400


def make_room(directory: Path) -> bool:
    """Remove the archives that were used longest ago; tell whether there is room for one more.

    Raises:
        OSError: when the file system refuses.
    """
    records = sorted(directory.glob("*.json"), key=lambda path: path.stat().st_mtime)
    sizes = {path: _size(path.with_suffix(".jsa")) for path in records}
    reserve = max([*sizes.values(), MOST_BYTES // 4])
    while records and (
        len(records) >= MOST_ARCHIVES or sum(sizes[path] for path in records) + reserve > MOST_BYTES
    ):
        oldest = records.pop(0)
        oldest.unlink()
        with suppress(FileNotFoundError):
            oldest.with_suffix(".jsa").unlink()
    kept = {path.stem for path in records}
    for path in directory.glob("*.jsa"):
        if path.stem not in kept:
            path.unlink()
    return shutil.disk_usage(directory).free > _ROOM_BYTES


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _directories(environ: Mapping[str, str]) -> Iterable[Path]:
    shared = environ.get(SHARED_VARIABLE, "")
    if shared.startswith("/") and not _changed_by_others(shared, _trusted(environ)):
        yield Path(shared)
    # Jupyter knows no home of a user whom nobody registered.
    with suppress(RuntimeError):
        yield own_directory() / "classes"


def _trusted(environ: Mapping[str, str]) -> Set[int]:
    trusted = {0, os.getuid()}
    for name in filter(None, environ.get(_ADMINISTRATORS_VARIABLE, "").split(os.pathsep)):
        with suppress(KeyError):
            trusted.add(pwd.getpwnam(name).pw_uid)
    return trusted


def _changed_by_others(path: str, trusted: Set[int]) -> bool:
    """Tell whether others could change a directory, or put another in its place.

    Links are refused: whoever owns one decides where it leads.
    """
    here = Path(path)
    if os.path.realpath(path) != os.path.normpath(path):
        return True
    for at in (here, *here.parents):
        try:
            found = os.lstat(at)
        except OSError:
            return True
        sticky = at != here and found.st_mode & stat.S_ISVTX
        if found.st_uid not in trusted or (found.st_mode & 0o022 and not sticky):
            return True
    return False


def _is_safe(path: Path) -> bool:
    """Tell whether a file lies there by the will of whoever keeps its directory, or of root.

    Raises:
        OSError: when it is not there.
    """
    found, above = os.lstat(path), os.stat(path.parent)
    owners = {0, os.getuid(), above.st_uid}
    writable = (found.st_mode | above.st_mode) & 0o022
    return stat.S_ISREG(found.st_mode) and found.st_uid in owners and not writable


def _java(environ: Mapping[str, str]) -> str:
    home = environ.get("JAVA_HOME")
    found = f"{home}/bin/java" if home else shutil.which("java", path=environ.get("PATH"))
    return os.path.realpath(found) if found else ""


def _release(java: str) -> List[Any]:
    """Give what tells one build of Java from another."""
    home = Path(java).parent.parent
    facts: List[Any] = []
    with suppress(OSError):
        facts.append(_digest((home / "release").read_bytes()))
    for library in ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "lib/server/classes.jsa"):
        with suppress(OSError):
            facts.append(file_facts(home / library))
    return facts


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
