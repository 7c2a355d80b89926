"""Runs a PySpark kernel: IPython answers at once, and Spark starts beside it.

A copy of this file lies in every kernel's directory and is run by the kernel's own Python, so it
needs nothing but the standard library, ipykernel and PySpark. `spark`, `sc` and `sql` stand in the
notebook from its first cell; whoever touches them waits until Spark is there, and nobody else does.
How far Spark has come is written to `pyspark-kernels/<kernel id>.json` beside the connection file
and sent over the comm `pyspark-kernels`; what Spark's JVM prints goes to a log beside that file.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
import tokenize
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

NAMES = ("spark", "sc", "sql")
COMM_TARGET = "pyspark-kernels"
JOB_TAG = "pyspark-kernels-cell"

_WAITING_WORDS = {*NAMES, "getOrCreate", "SparkContext"}
_PROBE_SECONDS = 3
_STOP_SECONDS = 4
_ORDERLY_EXITS = (0, 143, -15)
_POLL_SECONDS = 1
_QUIET_POLL_SECONDS = 5
_LOG_BYTES = 8 * 1024 * 1024
_LOG_LINES = 20
_DAY_SECONDS = 24 * 60 * 60
_CONNECT_PORT = 15002


class SparkStartError(RuntimeError):
    """Spark did not start; the message says why and what to do."""

    def _render_traceback_(self) -> List[str]:
        # Where in this file it was raised tells nobody anything.
        return str(self).splitlines()


class Status:
    """How far Spark has come, for the server and for every open comm.

    Args:
        connection_file: the kernel's; the status and the log lie in a folder beside it.
    """

    def __init__(self, connection_file: Path) -> None:
        folder = connection_file.parent / "pyspark-kernels"
        folder.mkdir(mode=0o700, exist_ok=True)
        kernel_id = connection_file.stem.replace("kernel-", "", 1)
        _sweep(folder, connection_file.parent)
        self.path = folder / f"{kernel_id}.json"
        self.log = folder / f"{kernel_id}.log"
        self.log_file = os.open(
            self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._listeners: List[Callable[[Dict[str, Any]], None]] = []
        self._content: Dict[str, Any] = {
            "version": 1,
            "kernel_id": kernel_id,
            "pid": os.getpid(),
            "stage": "jvm",
            "stages": {"jvm": 0.0},
            "executors": 0,
            "executors_wanted": None,
            "master": None,
            "application_id": None,
            "ui": None,
            "spark_version": None,
            "cause": None,
            "log": str(self.log),
        }
        self._write()

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def content(self) -> Dict[str, Any]:
        """Give a copy of everything that is known."""
        with self._lock:
            return {**self._content, "stages": dict(self._content["stages"])}

    def update(self, **changes: Any) -> None:
        """Take changes over; write and send them if they are any."""
        with self._lock:
            if all(self._content[key] == value for key, value in changes.items()):
                return
            self._content.update(changes)
            seconds = round(time.monotonic() - self._started, 3)
            self._content["stages"].setdefault(self._content["stage"], seconds)
            self._write()
        for listener in list(self._listeners):
            listener(self.content())

    def listen(self, listener: Callable[[Dict[str, Any]], None]) -> Callable[[], None]:
        """Call a function with every change; give the function that ends this."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def log_tail(self) -> str:
        """Give the last lines that Spark's JVM printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])

    def trim_log(self) -> None:
        """Empty a log that has grown too large; the JVM appends, so nothing else is lost."""
        if os.fstat(self.log_file).st_size > _LOG_BYTES:
            os.ftruncate(self.log_file, 0)
            os.write(self.log_file, b"[older lines were dropped]\n")

    def remove(self) -> None:
        """Remove both files, unless they tell why Spark failed."""
        if self._content["stage"] != "failed":
            for path in (self.path, self.log):
                if path.exists():
                    path.unlink()

    def _write(self) -> None:
        staged = self.path.with_suffix(".tmp")
        fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(self._content, file)
        os.replace(staged, self.path)


def _sweep(folder: Path, runtime: Path) -> None:
    """Remove what kernels left whose connection file has been gone for a day."""
    for path in folder.iterdir():
        old = time.time() - path.stat().st_mtime > _DAY_SECONDS
        if old and not (runtime / f"kernel-{path.stem}.json").exists():
            path.unlink()


# --- starting Spark ----------------------------------------------------------------------------


class SparkStart:
    """Spark's session, as it comes up in a thread of its own.

    Attributes:
        status: where the stages are told.
        objects: what the names in the notebook stand for, once Spark is there.
        failure: why it will not be there.
    """

    def __init__(self, status: Status) -> None:
        self.status = status
        self.objects: Dict[str, Any] = {}
        self.failure: Optional[SparkStartError] = None
        self._done = threading.Event()

    def begin(self) -> None:
        """Start, and go on watching, in the background."""
        threading.Thread(target=self._run, name="pyspark-kernels", daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether Spark is there or has failed."""
        return self._done.is_set()

    def settle(self) -> None:
        """Wait until Spark is there or has failed."""
        self._done.wait()

    def wait(self) -> Dict[str, Any]:
        """Wait until Spark is there.

        Raises:
            SparkStartError: when it failed.
        """
        self.settle()
        if self.failure is not None:
            raise self.failure
        return self.objects

    def _run(self) -> None:
        options = submit_options()
        try:
            self.status.update(master=options.master)
            probe(options.master)
            self.objects = _connect(options) if options.remote else _start(self.status)
        except Exception as error:  # noqa: BLE001 - whatever it is, the notebook has to say it
            self._fail(error)
            return
        finally:
            self._done.set()
        if options.remote:
            self.status.update(stage="ready", spark_version=self.objects["spark"].version)
        else:
            _watch(self.status)

    def _fail(self, error: Exception) -> None:
        tail = self.status.log_tail()
        cause = explain(error, tail)
        shown = f"\n\nThe last lines of {self.status.log}:\n{tail}" if tail else ""
        self.failure = SparkStartError(f"Spark did not start. {cause}{shown}")
        self.status.update(stage="failed", cause=cause)


class SubmitOptions:
    """What PYSPARK_SUBMIT_ARGS says to this file; the rest is Spark's business."""

    def __init__(self, text: str) -> None:
        tokens = shlex.split(text)
        pairs = list(zip(tokens, tokens[1:]))
        self.remote = next((value for option, value in pairs if option == "--remote"), None)
        master = next((value for option, value in pairs if option == "--master"), None)
        self.master = self.remote or master or "local[*]"
        settings = [value.partition("=") for option, value in pairs if option == "--conf"]
        self.conf = {key: value for key, _, value in settings}


def submit_options() -> SubmitOptions:
    """Read the options that the kernel was given."""
    return SubmitOptions(os.environ.get("PYSPARK_SUBMIT_ARGS", ""))


def probe(master: str) -> None:
    """Make sure that somebody listens where a master is said to be.

    Spark itself tries a dead master for more than a minute and then gives a context without an
    error, whose first job fails with a message about serialisation.

    Raises:
        SparkStartError: when nobody answers.
    """
    addresses = _addresses(master)
    if not addresses:
        return
    with ThreadPoolExecutor(len(addresses)) as pool:
        refusals = list(pool.map(_refusal, addresses))
    if None not in refusals:
        reasons = ", ".join(sorted({str(refusal) for refusal in refusals}))
        what = "Spark Connect server" if master.startswith("sc://") else "Spark master"
        raise SparkStartError(
            f"No {what} answers at {master} ({reasons}). "
            "Check that it is running and that the address and port are right."
        )


def _addresses(master: str) -> List[Tuple[str, int]]:
    if master.startswith("spark://"):
        parts = [urlsplit(f"//{address}") for address in master[len("spark://") :].split(",")]
    elif master.startswith("sc://"):
        parts = [urlsplit(master.partition(";")[0])]
    else:
        return []
    return [(part.hostname or "", part.port or _CONNECT_PORT) for part in parts]


def _refusal(address: Tuple[str, int]) -> Optional[str]:
    try:
        socket.create_connection(address, timeout=_PROBE_SECONDS).close()
    except socket.timeout:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _start(status: Status) -> Dict[str, Any]:
    """Start the JVM and the session in it."""
    find_pyspark()
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    # The lock is PySpark's own: a getOrCreate() in a cell waits for ours instead of starting a
    # second JVM.
    with SparkContext._lock:
        output = {"stdout": status.log_file, "stderr": subprocess.STDOUT}
        gateway = launch_gateway(popen_kwargs=output)
        threading.Thread(target=_reap, args=(gateway.proc, status), daemon=True).start()
        atexit.register(stop, gateway.proc)
        SparkContext._ensure_initialized(gateway=gateway)
        status.update(stage="connecting")
        spark = SparkSession.builder.getOrCreate()
    context = spark.sparkContext
    if context._jsc.sc().isStopped():
        raise SparkStartError(
            f"The master {context.master} did not accept this application. "
            "Check that it is running and that its Spark has the same version."
        )
    wanted = context.getConf().get("spark.executor.instances")
    status.update(
        stage="executors",
        master=context.master,
        application_id=context.applicationId,
        ui=context.uiWebUrl,
        spark_version=context.version,
        executors_wanted=int(wanted) if wanted else None,
    )
    return {"spark": spark, "sc": context, "sql": spark.sql}


def _connect(options: SubmitOptions) -> Dict[str, Any]:
    """Connect to a Spark Connect server; there is no JVM and no SparkContext here."""
    find_pyspark()
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.remote(options.remote)
    for key, value in options.conf.items():
        # Everything else was settled when the server started.
        if key.startswith("spark.sql."):
            builder = builder.config(key, value)
    spark = builder.getOrCreate()
    return {"spark": spark, "sql": spark.sql}


def find_pyspark() -> None:
    """Put the PySpark of SPARK_HOME on the path, or make sure that the environment has its own.

    Raises:
        SparkStartError: when there is none.
    """
    home = os.environ.get("SPARK_HOME")
    if home:
        paths = _python_of(Path(home))
        sys.path[1:1] = paths
        inherited = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(paths + ([inherited] if inherited else []))
    try:
        import py4j  # noqa: F401
        import pyspark  # noqa: F401
    except ImportError as error:
        raise SparkStartError(
            f"{sys.executable} has no {error.name}. "
            f"Install it with: {sys.executable} -m pip install pyspark"
        ) from error


def _python_of(home: Path) -> List[str]:
    """Find PySpark and py4j in a Spark installation, whatever their versions are."""
    library = home / "python" / "lib"
    # Inside an environment's own PySpark, the package is not below python, but zipped below lib.
    unpacked = (home / "python" / "pyspark" / "__init__.py").exists()
    pyspark = home / "python" if unpacked else library / "pyspark.zip"
    py4j = sorted(library.glob("py4j-*-src.zip"))
    if not (home / "bin" / "spark-submit").exists() or not py4j or not pyspark.exists():
        raise SparkStartError(
            f"SPARK_HOME is {home}, which holds no Spark with Python. "
            "Set it to the directory that has bin, jars and python."
        )
    return [str(pyspark), str(py4j[-1])]


def stop(jvm: subprocess.Popen[bytes]) -> None:
    """End Spark's JVM in order: it stops when its standard input closes."""
    if jvm.stdin is not None:
        jvm.stdin.close()
    try:
        jvm.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        jvm.kill()
        jvm.wait()


def explain(error: Exception, log: str) -> str:
    """Say in one sentence why Spark did not start."""
    if isinstance(error, SparkStartError):
        return str(error)
    if "JAVA_HOME is not set" in log or re.search(r"/bin/java: No such file", log):
        return "There is no Java. Install Java 17 or newer, or set JAVA_HOME to one."
    if "UnsupportedClassVersionError" in log:
        return "This Java is too old for this Spark. Set JAVA_HOME to Java 17 or newer."
    java_exception = getattr(error, "java_exception", None)
    if java_exception is not None:
        return _sentence(str(java_exception.toString()))
    telling = [line for line in log.splitlines() if re.search(r"Exception|[Ee]rror", line)]
    if type(error).__name__ == "PySparkRuntimeError" and telling:
        return _sentence(f"Spark's JVM ended before it was ready: {telling[0].strip()}")
    return _sentence(f"{type(error).__name__}: {error}")


def _sentence(text: str) -> str:
    lines = text.strip().splitlines() or ["no reason was given"]
    return lines[0] if lines[0].endswith(".") else f"{lines[0]}."


def _reap(jvm: subprocess.Popen[bytes], status: Status) -> None:
    """Tell of the JVM's end as soon as it comes.

    It also takes the dead process from the system's list: ipykernel, when it shuts down, waits five
    seconds for children that are there, dead or not.
    """
    code = jvm.wait()
    if code in _ORDERLY_EXITS:
        status.update(stage="stopped", executors=0, ui=None)
    else:
        cause = f"Spark's JVM ended with the exit code {code}. Restart the kernel."
        status.update(stage="failed", cause=cause, executors=0, ui=None)


def _watch(status: Status) -> None:
    """Tell of executors that come and go, until the JVM ends."""
    from py4j.protocol import Py4JError
    from pyspark import SparkContext

    while SparkContext._gateway.proc.poll() is None:
        status.trim_log()
        # The notebook may stop Spark, and start it again.
        context = SparkContext._active_spark_context
        try:
            if context is None or context._jsc is None:
                status.update(stage="stopped", executors=0, ui=None)
            else:
                _tell_executors(status, context)
        except (Py4JError, OSError):
            # The context was stopped, or the JVM ended, while we asked; the next round sees it.
            pass
        coming = status["stage"] in ("connecting", "executors")
        time.sleep(_POLL_SECONDS if coming else _QUIET_POLL_SECONDS)


def _tell_executors(status: Status, context: Any) -> None:
    # The driver's own block manager is one of them.
    executors = context._jsc.sc().getExecutorMemoryStatus().size() - 1
    local = re.match(r"local(\[|$)", context.master) is not None
    status.update(
        stage="ready" if local or executors > 0 or status["stage"] == "ready" else "executors",
        executors=executors,
        application_id=context.applicationId,
        ui=context.uiWebUrl,
    )


# --- in the notebook ---------------------------------------------------------------------------


class StandIn:
    """Takes the place of `spark`, `sc` or `sql` until Spark is there, and waits when touched."""

    def __init__(self, name: str, notebook: Notebook) -> None:
        self.__dict__.update(_StandIn__name=name, _StandIn__notebook=notebook)

    def __getattr__(self, attribute: str) -> Any:
        if re.match(r"__|_repr_|_ipython_", attribute):
            # Asked by whoever wants to display it; that is not a touch.
            raise AttributeError(attribute)
        return getattr(self.__notebook.real(self.__name), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Wait, and call the real thing."""
        return self.__notebook.real(self.__name)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{self.__name}: {self.__notebook.state()}>"


class Notebook:
    """What the launcher does in the notebook: names, waiting, interrupting, telling.

    Args:
        shell: IPython's shell.
        start: Spark as it comes up.
    """

    def __init__(self, shell: Any, start: SparkStart) -> None:
        self._shell = shell
        self._start = start
        self._told = False
        self._tagged = False
        self._interrupted = False
        self._stand_ins = {name: StandIn(name, self) for name in NAMES}
        shell.push(self._stand_ins, interactive=False)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)

    def state(self) -> str:
        """Say how Spark is, without waiting."""
        if self._start.failure is not None:
            return str(self._start.failure).splitlines()[0]
        return "ready" if self._start.done else "Spark is starting"

    def real(self, name: str) -> Any:
        """Wait for the object that a name stands for.

        Raises:
            SparkStartError: when Spark failed, or has no such thing.
        """
        if self._interrupted:
            # The person interrupted this cell while it waited; it must not wait again.
            raise KeyboardInterrupt
        objects = self._start.wait()
        if name not in objects:
            raise SparkStartError(
                "Spark Connect has no SparkContext. Use spark, or a kernel with another master."
            )
        return objects[name]

    def _before_cell(self, info: Any) -> None:
        touches = names_spark(info.raw_cell or "")
        if touches:
            try:
                self._start.settle()
            except KeyboardInterrupt:
                self._interrupted = True
        if self._start.failure is not None:
            self._tell_failure(touches)
        elif self._start.done and not self._tagged:
            self._replace_stand_ins()

    def _tell_failure(self, touches: bool) -> None:
        # A cell that touches Spark gets the failure as its own error.
        if not self._told and not touches:
            print(self._start.failure, file=sys.stderr)
        self._told = True

    def _replace_stand_ins(self) -> None:
        for name, real in self._start.objects.items():
            # A name that the person has given to something else stays theirs.
            if self._shell.user_ns.get(name) is self._stand_ins[name]:
                self._shell.user_ns[name] = real
        _tag_jobs(self._start.objects)
        self._tagged = True

    def _after_cell(self, result: Any) -> None:
        self._interrupted = False
        if isinstance(result.error_in_exec, KeyboardInterrupt) and self._start.objects:
            _cancel_jobs(self._start.objects)


def _tag_jobs(objects: Dict[str, Any]) -> None:
    """Mark the jobs of cells, which run in this thread, so that an interrupt ends no others."""
    if "sc" in objects:
        objects["sc"].addJobTag(JOB_TAG)
    else:
        objects["spark"].addTag(JOB_TAG)


def _cancel_jobs(objects: Dict[str, Any]) -> None:
    if "sc" not in objects:
        objects["spark"].interruptTag(JOB_TAG)
    elif objects["sc"]._jsc is not None:
        objects["sc"].cancelJobsWithTag(JOB_TAG)


def names_spark(code: str) -> bool:
    """Tell whether a cell names what Spark brings; comments and strings do not count."""
    try:
        tokens = tokenize.generate_tokens(io.StringIO(code).readline)
        words = {token.string for token in tokens if token.type == tokenize.NAME}
    except (tokenize.TokenError, SyntaxError):
        # A magic, or a cell that IPython will refuse.
        words = set(re.findall(r"\w+", code))
    return not _WAITING_WORDS.isdisjoint(words)


def serve_comm(kernel: Any, status: Status) -> None:
    """Answer the comm `pyspark-kernels` with the status, now and at every change."""

    def opened(comm: Any, message: Any) -> None:
        forget = status.listen(lambda content: comm.send(content))
        comm.on_close(lambda message: forget())
        comm.send(status.content())

    kernel.comm_manager.register_target(COMM_TARGET, opened)


# --- the process -------------------------------------------------------------------------------


def prepare_process() -> None:
    """Make the process what `python -m ipykernel_launcher` in the notebook's folder would be."""
    # The kernel's directory came first; `import launcher` in a notebook must not find this file.
    sys.path[0] = ""
    if not os.environ.get("SPARK_HOME"):
        os.environ.pop("SPARK_HOME", None)


def connection_file(arguments: List[str]) -> Path:
    """Find the connection file among the arguments that Jupyter gives a kernel."""
    if "-f" not in arguments[:-1]:
        sys.exit("launcher.py is started by Jupyter, with: -f CONNECTION_FILE")
    return Path(arguments[arguments.index("-f") + 1]).absolute()


def main() -> None:
    """Run the kernel until Jupyter ends it."""
    prepare_process()
    status = Status(connection_file(sys.argv[1:]))
    start = SparkStart(status)
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance()
    app.initialize(sys.argv[1:])
    Notebook(app.shell, start)
    serve_comm(app.kernel, status)
    atexit.register(status.remove)
    # Only now: a JVM that starts earlier takes the processor from the kernel, whose first answer
    # then comes a quarter later, and Spark is there no sooner.
    start.begin()
    app.start()


if __name__ == "__main__":
    main()
