"""Makes an archive of Spark's classes: a Spark of its own does what a first notebook does.

It runs in a process of its own, which has the processor only when nobody else wants it, and ends
with the kernel that started it: when its standard input closes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from .classes import give_up, keep, make_room

TRAIN_OPTION = "--train"

_LIMIT_SECONDS = 15 * 60
_POLL_SECONDS = 0.1
_LEAST_MEMORY = 2 * 1024**3
_PREFIX = "make-"
_KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SPARK_HOME")


def begin(directory: Path, key: str, facts: Mapping[str, Any]) -> Optional[subprocess.Popen[bytes]]:
    """Start the process that makes an archive; it ends when its standard input is closed.

    Args:
        directory: where the archive is wanted.
        key: what it is called.
        facts: what it depends on.
    """
    if _free_memory() < _LEAST_MEMORY:
        return None
    launcher = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher.py")
    # Nothing that this kernel was given, such as secrets.
    env = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    process = subprocess.Popen(  # noqa: S603 - no shell, and a file of ours
        [sys.executable, launcher, TRAIN_OPTION],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # The notebook's interrupts are none of its business.
        start_new_session=True,
        env=env,
        cwd=directory,
    )
    task = {"directory": str(directory), "key": key, "facts": facts}
    if process.stdin is not None:
        process.stdin.write(f"{json.dumps(task)}\n".encode())
        process.stdin.flush()
    return process


def run() -> None:
    """Make the archive that standard input asks for."""
    task = json.loads(sys.stdin.readline())
    _step_back()
    directory = Path(task["directory"])
    lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # Another kernel makes one, or a file system knows no locks.
        return
    for left in directory.glob(f"{_PREFIX}*"):
        # Whoever made it would have the lock.
        shutil.rmtree(left, ignore_errors=True)
    if not make_room(directory):
        return
    scratch = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=directory))
    # This thread may be waiting for Spark at that time.
    threading.Thread(target=_end_with_the_kernel, args=(scratch,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _abandon(scratch))
    signal.signal(signal.SIGALRM, lambda *_: _abandon(scratch))
    signal.alarm(_LIMIT_SECONDS)
    try:
        staged = scratch / "classes.jsa"
        _train(scratch, staged, task["facts"])
        if _abandoned.is_set():
            # The JVM was ended with the kernel, which says nothing of this Spark; the thread that
            # did it ends this process.
            threading.Event().wait()
        if staged.exists():
            keep(staged, directory, task["key"], task["facts"])
        else:
            give_up(directory, task["key"], task["facts"])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _step_back() -> None:
    """Let everybody else go first, and be the first to go when memory ends."""
    os.nice(19)
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def _end_with_the_kernel(scratch: Path) -> None:
    sys.stdin.buffer.read()
    _abandon(scratch)


def _abandon(scratch: Path) -> None:
    """End at once, and leave nothing."""
    _abandoned.set()
    for jvm in _jvms:
        # In order it would write the archive first.
        jvm.kill()
        jvm.wait()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


_jvms: List["subprocess.Popen[bytes]"] = []
_abandoned = threading.Event()
"""Is set when the kernel ends before the archive is made."""


def _train(scratch: Path, staged: Path, facts: Mapping[str, Any]) -> None:
    """Run a Spark that writes the archive when it ends."""
    told = scratch / "gateway"
    jvm = subprocess.Popen(  # noqa: S603 - the Java that runs Spark already
        java_command(scratch, staged, facts),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=scratch,
        env={
            **os.environ,
            "_PYSPARK_DRIVER_CONN_INFO_PATH": str(told),
            # Neither settings nor clusters of this machine.
            "SPARK_CONF_DIR": str(scratch),
            "SPARK_LOCAL_IP": "127.0.0.1",
        },
    )
    _jvms.append(jvm)
    while not told.exists() and jvm.poll() is None:
        time.sleep(_POLL_SECONDS)
    if jvm.poll() is not None:
        return
    content = told.read_bytes()
    port, length = struct.unpack("!ii", content[:8])
    os.environ["PYSPARK_GATEWAY_PORT"] = str(port)
    os.environ["PYSPARK_GATEWAY_SECRET"] = content[8 : 8 + length].decode()
    _be_a_first_notebook(scratch)
    # Which closes its standard input: it ends by itself, and writes what it has loaded.
    jvm.communicate()


def java_command(scratch: Path, staged: Path, facts: Mapping[str, Any]) -> List[str]:
    """Give the command of the JVM: the class path is that of the driver, nothing else is."""
    settings: Dict[str, str] = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.port": "0",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.hadoop.fs.defaultFS": "file:///",
    }
    return [
        f"{facts['java']}/bin/java",
        *("-Xlog:disable", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
        *(["-XX:-UseCompressedOops"] if facts["wide"] else []),
        f"-XX:ArchiveClassesAtExit={staged}",
        f"-Djava.io.tmpdir={scratch}",
        *shlex.split(facts["modules"]),
        *("-cp", facts["class_path"], "org.apache.spark.deploy.SparkSubmit"),
        *("--master", "local[1]", "--name", "classes"),
        *(word for pair in settings.items() for word in ("--conf", "=".join(pair))),
        "pyspark-shell",
    ]


def _be_a_first_notebook(scratch: Path) -> None:
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    spark.range(1000).count()
    spark.sql("select 1 + 1 as x").collect()
    pairs = spark.range(100).selectExpr("id", "id % 3 as part", "cast(id as string) as word")
    pairs.groupBy("part").count().orderBy("part").collect()
    pairs.join(spark.range(10), "id").limit(5).collect()
    pairs.createOrReplaceTempView("pairs")
    spark.sql("select part, max(word) from pairs where id > 3 group by part").collect()
    spark.catalog.listTables()
    pairs.write.parquet(str(scratch / "pairs"))
    spark.read.parquet(str(scratch / "pairs")).count()
    pairs.write.csv(str(scratch / "words"), header=True)
    spark.read.csv(str(scratch / "words"), header=True, inferSchema=True).count()
    pairs._jdf.showString(5, 20, False)
    spark.stop()


def _free_memory() -> int:
    """Give the bytes of memory that nobody uses here."""
    free = []
    with suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free.append(1024 * int(text.split("MemAvailable:")[1].split()[0]))
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        # Of a container; "max" when there is no limit.
        folder = Path("/sys/fs/cgroup")
        with suppress(OSError, ValueError):
            limit = int((folder / most).read_text(encoding="ascii"))
            free.append(limit - int((folder / used).read_text(encoding="ascii")))
    return min(free, default=_LEAST_MEMORY)
