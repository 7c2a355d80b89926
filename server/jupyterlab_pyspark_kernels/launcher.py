"""Runs a PySpark kernel: IPython answers at once, and Spark starts beside it.

A copy of this file lies in every kernel's directory and is run by the kernel's own Python, so it
needs nothing but the standard library, ipykernel and PySpark. `spark`, `sc` and `sql` stand in the
notebook from its first cell; whoever touches them waits until Spark is there, and nobody else does.
How far Spark has come is written to `pyspark-kernels/<kernel id>.json` beside the connection file
and sent over the comm `pyspark-kernels`; what Spark's JVM prints goes to a log beside that file.
"""

from __future__ import annotations

import ast
import atexit
import hashlib
import importlib.util
import io
import json
import os
import pwd
import re
import shlex
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import tokenize
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Match,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)
from urllib.parse import urlsplit

NAMES = ("spark", "sc", "sql")
COMM_TARGET = "pyspark-kernels"
JOB_TAG = "pyspark-kernels-cell"
OWN_DIRECTORY = f"pyspark-kernels-{os.getuid()}"
"""What the user's own Jupyter data directory has of ours."""
SECRETS_VARIABLE = "PYSPARK_KERNELS_SECRETS"
"""Tells where each secret is found: a JSON object of settings and variables, and references."""
FLIGHT_VARIABLE = "PYSPARK_KERNELS_FLIGHT"
"""Is set in a flight test, which is no use of the kernel."""
PER_USER = "PYSPARK_KERNELS_PER_USER"
IDLE_VARIABLE = "PYSPARK_KERNELS_IDLE"
"""After how many idle seconds something is given back, such as `release=1800 stop=7200`."""

_WAITING_WORDS = {*NAMES, "getOrCreate", "SparkContext"}
_STARTED = time.monotonic()
_PROBE_SECONDS = 3
_SILENCE_SECONDS = 8
"""Longer than a master that lives is busy with something else."""
_SILENT = "silence"
_STOP_SECONDS = 4
_CANCEL_PAUSES = (0.1, 0.3, 1)
_ORDERLY_EXITS = (0, 143, -15)
_POLL_SECONDS = 1
_QUIET_POLL_SECONDS = 5
_LOG_BYTES = 8 * 1024 * 1024
_LOG_LINES = 20
_DAY_SECONDS = 24 * 60 * 60
_CONNECT_PORT = 15002
_WATCHED_STAGES = ("connecting", "executors", "ready", "stopped", "returning")
"""Where whoever watches Spark may say more; the others were told by somebody who knows why."""
_CONNECT_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"
"""The variable that PySpark takes the token of Spark Connect from, since 4.0."""
_CONNECT_TOKEN_SINCE = 4
_SECRET_BYTES = 64 * 1024
_LEAST_MASKED = 4


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
        kernel_id = re.sub("^kernel-", "", connection_file.stem)
        _sweep(folder, connection_file.parent)
        self.path = folder / f"{kernel_id}.json"
        self.log = folder / f"{kernel_id}.log"
        self.log_file = os.open(
            self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        # Held while listeners are called, so that they hear of the changes in their order.
        self._lock = threading.Lock()
        self._closed = False
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
            # For how long the kernel was idle when it gave something back, and when that was.
            "idle": None,
            # What the cause was made from, and whose kernel this is: for the doctor.
            "words": None,
            "directory": os.path.dirname(os.path.abspath(__file__)),
            "log": str(self.log),
        }
        self._write()

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def update(self, within: Optional[Sequence[str]] = None, **changes: Any) -> None:
        """Take changes over, if the stage is among some; write and send them if they are any."""
        with self._lock:
            if self._closed or all(self._content[key] == value for key, value in changes.items()):
                return
            if within is not None and self._content["stage"] not in within:
                return
            content = {**self._content, **changes}
            seconds = round(time.monotonic() - _STARTED, 3)
            content["stages"] = {**self._content["stages"]}
            content["stages"].setdefault(content["stage"], seconds)
            self._content = content
            self._write()
            for listener in self._listeners:
                listener(content)

    def listen(self, listener: Callable[[Dict[str, Any]], None]) -> Callable[[], None]:
        """Call a function now and with every change; give the function that ends this."""
        with self._lock:
            self._listeners.append(listener)
            listener(self._content)
        return lambda: self._forget(listener)

    def _forget(self, listener: Callable[[Dict[str, Any]], None]) -> None:
        with self._lock:
            self._listeners.remove(listener)

    def log_tail(self) -> str:
        """Give the last lines that Spark's JVM printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])

    def mask(self, secrets: Iterable[str]) -> None:
        """Take secrets out of the log, which a failure may have written there."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        masked = _masked(text, secrets)
        if masked != text:
            os.ftruncate(self.log_file, 0)
            os.write(self.log_file, masked.encode())

    def trim_log(self) -> None:
        """Empty a log that has grown too large; the JVM appends, so nothing else is lost."""
        if os.fstat(self.log_file).st_size > _LOG_BYTES:
            os.ftruncate(self.log_file, 0)
            os.write(self.log_file, b"[older lines were dropped]\n")

    def close(self) -> None:
        """Remove both files, unless they tell why Spark failed; take no changes any longer."""
        with self._lock:
            self._closed = True
            if self._content["stage"] != "failed":
                self.path.unlink()
                self.log.unlink()

    def _write(self) -> None:
        write_own(self.path, json.dumps(self._content))


def write_own(path: Path, text: str) -> None:
    """Write a file for this user alone, whole or not at all."""
    # Others may write the same file at this moment.
    staged = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(staged, path)


def _sweep(folder: Path, runtime: Path) -> None:
    """Remove what kernels left whose connection file has been gone for a day."""
    for path in folder.iterdir():
        names = (f"kernel-{path.stem}.json", f"{path.stem}.json")
        try:
            old = time.time() - path.stat().st_mtime > _DAY_SECONDS
            if old and not any((runtime / name).exists() for name in names):
                path.unlink()
        except FileNotFoundError:
            # Another kernel, which starts or ends at this moment, took it away.
            continue


# --- the user's own memory of this kernel ------------------------------------------------------


def memory_of(directory: str, data: Optional[str] = None) -> Path:
    """Give where this user's memory of a kernel lies, without the suffix of its files.

    Args:
        directory: the kernel's.
        data: the user's Jupyter data directory, for those who know it already.
    """
    if data is None:
        from jupyter_core.paths import jupyter_data_dir

        data = jupyter_data_dir()
    digest = hashlib.sha256(os.fsencode(os.path.realpath(directory))).hexdigest()
    return Path(data, OWN_DIRECTORY, "kernels", digest[:16])


def remember(path: Path, text: str) -> None:
    """Write a file of a memory, and make the directories that it needs.

    Raises:
        OSError: when the file system refuses.
    """
    for directory in (path.parent.parent, path.parent):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_own(path, text)


def remember_use() -> None:
    """Note that a notebook uses this kernel now: the time is that of the file."""
    if os.environ.pop(FLIGHT_VARIABLE, None):
        return
    directory = os.path.dirname(os.path.realpath(__file__))
    # A home that is read-only, full, over its quota, somebody else's or, which is the RuntimeError,
    # unknown: a notebook works without this.
    with suppress(OSError, RuntimeError):
        remember(memory_of(directory).with_suffix(".used"), directory)


# --- starting Spark ----------------------------------------------------------------------------


class SparkStart:
    """Spark's session, as it comes up in a thread of its own.

    Attributes:
        status: where the stages are told.
        objects: what the names in the notebook stand for, once Spark is there.
        failure: why it will not be there.
        idle: gives back what an idle kernel holds, if it is to.
    """

    def __init__(self, status: Status) -> None:
        self.status = status
        self.objects: Dict[str, Any] = {}
        self.failure: Optional[SparkStartError] = None
        self.idle = _idle_policy(self)
        self._done = threading.Event()

    def begin(self) -> None:
        """Start, and go on watching, in the background."""
        try:
            # Before the first cell, which may look at the variables.
            os.environ.update(filled_in(os.environ, user_facts(os.environ)))
        except (SparkStartError, ValueError) as error:
            # Also of arguments that a person wrote and nobody can split.
            self._fail(error)
            self._done.set()
            return
        threading.Thread(target=self._run, name="pyspark-kernels", daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether Spark is there or has failed."""
        return self._done.is_set()

    def settle(self) -> None:
        """Wait until Spark is there or has failed, also for one that idleness took away."""
        if self.idle is not None:
            self.idle.bring_back()
        self._done.wait()

    def forget(self) -> None:
        """Be as before the beginning, so that everybody waits for the next one."""
        self._done.clear()
        self.objects = {}
        self.failure = None

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
        try:
            options = submit_options()
            self.status.update(master=without_token(options.master))
            secrets = find_secrets(os.environ)
            os.environ.update(secrets.variables)
            check_pyspark()
            probe(options.master)
            start = _connect if options.remote else _start
            objects = start(options, secrets, self.status)
            self.objects = objects
            if self.idle is not None:
                self.idle.begin(objects)
        except Exception as error:  # noqa: BLE001 - whatever it is, the notebook has to say it
            self._fail(error)
            return
        finally:
            self._done.set()
        if not options.remote:
            _watch(self.status)

    def _fail(self, error: Exception) -> None:
        known = known_secrets(os.environ)
        self.status.mask(known)
        tail = self.status.log_tail()
        words = redacted(_masked(describe(error, tail), known))
        log = self.status.log.read_text(encoding="utf-8", errors="replace")
        cause = explain(words, log, self.status["master"])
        shown = f"\n\nThe last lines of {self.status.log}:\n{redacted(tail)}" if tail else ""
        self.failure = SparkStartError(f"Spark did not start. {cause}{shown}")
        self.status.update(stage="failed", cause=cause, words=words)


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
    """Make sure that somebody listens where a master is said to be, and answers.

    Spark itself tries a dead master for more than a minute and then gives a context without an
    error, whose first job fails with a message about serialisation.

    Raises:
        SparkStartError: when nobody answers.
    """
    if master.startswith("spark://"):
        parts = [urlsplit(f"//{address}") for address in master[len("spark://") :].split(",")]
        what, question = "Spark master", _FILE_REQUEST
    elif master.startswith("sc://"):
        parts = [urlsplit(master.partition(";")[0])]
        what, question = "Spark Connect server", _HTTP2_PREFACE
    else:
        return
    addresses = [(part.hostname or "", part.port or _CONNECT_PORT) for part in parts]
    ask(what, without_token(master), addresses, question)


def ask(what: str, where: str, addresses: Sequence[Tuple[str, int]], question: bytes) -> None:
    """Make sure that one of some addresses answers.

    Args:
        what: is said to be there.
        where: how a person names the addresses.
        addresses: hosts and ports.
        question: something that a server of this kind reacts to, whatever it is.

    Raises:
        SparkStartError: when none of them does.
    """
    pool = ThreadPoolExecutor(len(addresses))
    asked = [pool.submit(_why_silent, address, question) for address in addresses]
    # One that answers is enough; nobody waits for the others.
    pool.shutdown(wait=False)
    reasons = set()
    for answer in as_completed(asked):
        if answer.result() is None:
            return
        reasons.add(answer.result())
    if _SILENT in reasons:
        raise SparkStartError(
            f"The {what} at {where} accepts connections and never answers. "
            "Check that this is the right port and that it is not stuck."
        )
    raise SparkStartError(
        f"No {what} answers at {where} ({', '.join(sorted(map(str, reasons)))}). "
        "Check that it is running and that the address and port are right."
    )


def _why_silent(address: Tuple[str, int], question: bytes) -> Optional[str]:
    """Say why nothing comes back; the end of the connection shows as well that one is there."""
    try:
        connection = socket.create_connection(address, timeout=_PROBE_SECONDS)
    except socket.timeout:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    with connection:
        connection.settimeout(_SILENCE_SECONDS)
        try:
            connection.sendall(question)
            connection.recv(1)
        except socket.timeout:
            return _SILENT
        except OSError:
            return None
    return None


def _file_request(name: bytes) -> bytes:
    """Ask for a file of a Spark process, as `MessageEncoder` of its network library writes it.

    The length of the whole, type 6, the length of the name, the name.
    """
    body = struct.pack(">bi", 6, len(name)) + name
    return struct.pack(">q", len(body) + 8) + body


_FILE_REQUEST = _file_request(b"/files/pyspark-kernels-asks-whether-you-are-there")
"""A master has no such file, and says so; one that wants authentication closes the connection."""

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How gRPC begins, with empty settings; a server answers with its own, or ends what is not TLS."""


class Secrets(NamedTuple):
    """What the kernel's references led to.

    Attributes:
        settings: by their keys; they go to Spark's JVM over its own connection, as a command line
            and a properties file could be read by others.
        variables: of this process and of those that it starts.
    """

    settings: Dict[str, str]
    variables: Dict[str, str]


def find_secrets(environ: Mapping[str, str]) -> Secrets:
    """Find the secrets that a kernel refers to.

    Raises:
        SparkStartError: when one is not where it should be; it is not quoted.
    """
    found = Secrets({}, {})
    for name, reference in _references(environ).items():
        try:
            value = _referred_to(reference, environ)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise SparkStartError(
                f"The secret {name} is not found at {reference}: {why}. "
                "Put it there, and start the kernel anew."
            ) from None
        kind, _, place = reference.partition(":")
        if name.endswith(".oauthToken") and kind == "file":
            # Spark reads this file by itself, and anew when the token changes.
            found.settings[f"{name}File"] = place
        elif name.startswith("spark."):
            found.settings[name] = value
        else:
            found.variables[name] = value
    return found


def _references(environ: Mapping[str, str]) -> Dict[str, str]:
    """Read where secrets are.

    Raises:
        SparkStartError: when somebody has damaged it.
    """
    found: Any = None
    with suppress(ValueError):
        found = json.loads(environ.get(SECRETS_VARIABLE) or "{}")
    if isinstance(found, dict) and all(isinstance(text, str) for text in found.values()):
        return found
    raise SparkStartError(
        f"{SECRETS_VARIABLE} in this kernel's kernel.json is no object of names and references. "
        "Edit the kernel, or create it anew."
    )


def _referred_to(reference: str, environ: Mapping[str, str]) -> str:
    """Give what a reference leads to.

    Raises:
        OSError: when the file cannot be opened.
        ValueError: when there is nothing, or others could have read or changed it.
    """
    kind, _, place = reference.partition(":")
    if kind == "env":
        value = environ.get(place, "")
    elif kind == "file":
        value = _private(place)
    else:
        raise ValueError("it is no reference")
    if not value or "\0" in value:
        raise ValueError("there is no text")
    return value


def _private(path: str) -> str:
    """Read a file that this user alone can read; no link, and nothing that waits for somebody."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no file")
        if found.st_uid != os.getuid():
            raise ValueError("the file belongs to another user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ValueError(f"others can read the file; run: chmod 600 {shlex.quote(path)}")
        content = file.read(_SECRET_BYTES + 1)
    if len(content) > _SECRET_BYTES:
        raise ValueError("the file is larger than 64 KiB")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # The error would quote what it is of.
        raise ValueError("the file is not UTF-8") from None
    # An editor ends the last line.
    return text[:-1] if text.endswith("\n") else text


def known_secrets(environ: Mapping[str, str]) -> List[str]:
    """Give the secrets as far as they are found, to take them out of what is told."""
    known = []
    with suppress(SparkStartError):
        for reference in _references(environ).values():
            with suppress(OSError, ValueError):
                known.append(_referred_to(reference, environ))
    # Without the short ones, nothing would be left of a text; nobody can keep them secret.
    return [secret for secret in known if len(secret) >= _LEAST_MASKED]


def _masked(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "…")
    return text


def _hand_over(secrets: Secrets, jvm: Any) -> None:
    """Give Spark's JVM its secrets, and let it show none of them.

    As spark-submit does with all settings: every SparkConf begins with the system's properties.
    """
    system = jvm.java.lang.System
    for key, value in secrets.settings.items():
        system.setProperty(key, value)
    rules = _rules()
    if rules is not None:
        given = system.getProperty(_REDACTION) or _spark_redacts(jvm)
        system.setProperty(_REDACTION, redaction(given, rules.NAMES_OF_SECRETS, secrets.settings))


_REDACTION = "spark.redaction.regex"


def _spark_redacts(jvm: Any) -> str:
    """Give the names of secrets that Spark knows by itself."""
    config = getattr(jvm.org.apache.spark.internal.config, "package$")
    return str(getattr(config, "MODULE$").SECRET_REDACTION_PATTERN().defaultValueString())


def redaction(given: str, names: str, keys: Iterable[str]) -> str:
    """Give the expression for the names of what Spark does not show.

    Hadoop's own settings lose what Spark knows them by.
    """
    exactly = [
        f"^(?:spark\\.hadoop\\.|spark\\.)?{re.escape(re.sub(r'^spark[.](hadoop[.])?', '', key))}$"
        for key in keys
    ]
    return "|".join(f"(?:{part})" for part in [given, names, *exactly])


def without_token(master: str) -> str:
    """Give a master without the parameters of Spark Connect, of which one is a password."""
    return master.partition(";")[0] if master.startswith("sc://") else master


def _start(options: SubmitOptions, secrets: Secrets, status: Status) -> Dict[str, Any]:
    """Start the JVM and the session in it."""
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    # The lock is PySpark's own: a getOrCreate() in a cell waits for this JVM instead of starting
    # another. It takes the builder's lock first and then this one, so ours must come after it:
    # the other order would block both for ever.
    with SparkContext._lock:
        output = {"stdout": status.log_file, "stderr": subprocess.STDOUT}
        # A cell may have been here first.
        gateway = SparkContext._gateway or launch_gateway(popen_kwargs=output)
        threading.Thread(target=_reap, args=(gateway.proc, status), daemon=True).start()
        atexit.register(stop, gateway.proc)
        _hand_over(secrets, gateway.jvm)
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
        stage="ready" if _is_local(context.master) else "executors",
        master=context.master,
        application_id=context.applicationId,
        ui=context.uiWebUrl,
        spark_version=context.version,
        executors_wanted=int(wanted) if wanted else None,
    )
    return {"spark": spark, "sc": context, "sql": spark.sql}


def _connect(options: SubmitOptions, secrets: Secrets, status: Status) -> Dict[str, Any]:
    """Connect to a Spark Connect server; there is no JVM and no SparkContext here."""
    from pyspark import __version__
    from pyspark.sql import SparkSession

    remote = options.remote
    token = secrets.variables.get(_CONNECT_VARIABLE)
    if token is not None and int(__version__.partition(".")[0]) < _CONNECT_TOKEN_SINCE:
        remote = f"{str(remote).rstrip(';/')}{';' if ';' in str(remote) else '/;'}token={token}"
    builder = SparkSession.builder.remote(remote)
    for key, value in {**options.conf, **secrets.settings}.items():
        # Everything else was settled when the server started.
        if key.startswith("spark.sql."):
            builder = builder.config(key, value)
    spark = builder.getOrCreate()
    # The version is the server's: the first thing that needs the connection.
    status.update(stage="ready", spark_version=spark.version)
    return {"spark": spark, "sql": spark.sql}


def check_pyspark() -> None:
    """Make sure that there is a PySpark.

    Raises:
        SparkStartError: when there is none.
    """
    home = os.environ.get("SPARK_HOME")
    if home and not python_of(Path(home)):
        raise SparkStartError(
            f"SPARK_HOME is {home}, which holds no Spark with Python. "
            "Set it to the directory that has bin, jars and python."
        )
    try:
        # Which imports py4j.
        import pyspark  # noqa: F401
    except ImportError as error:
        raise SparkStartError(
            f"{sys.executable} has no {error.name}. "
            f"Install it with: {sys.executable} -m pip install pyspark"
        ) from error


def python_of(home: Path) -> List[str]:
    """Find PySpark and py4j in a Spark installation, of whatever version; or nothing."""
    library = home / "python" / "lib"
    # Inside an environment's own PySpark, the package is not below python, but zipped below lib.
    unpacked = os.path.exists(home / "python" / "pyspark" / "__init__.py")
    pyspark = home / "python" if unpacked else library / "pyspark.zip"
    py4j = sorted(library.glob("py4j-*-src.zip"))
    if not py4j or not all(map(os.path.exists, (home / "bin" / "spark-submit", pyspark))):
        return []
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


_dismissed: Set["subprocess.Popen[bytes]"] = set()
"""The JVMs that were ended because the kernel was idle."""


def _dismiss_jvm() -> None:
    """End Spark's JVM, if there is one, and let PySpark start another when it is asked to."""
    from pyspark import SparkContext

    with SparkContext._lock:
        gateway = SparkContext._gateway
        SparkContext._gateway = SparkContext._jvm = None
    if gateway is None:
        return
    _dismissed.add(gateway.proc)
    # While it lives: so what is left of its objects in Python knows that it is gone.
    gateway.shutdown()
    stop(gateway.proc)
    atexit.unregister(stop)


def _idle_policy(start: SparkStart) -> Any:
    """Give what acts when the kernel is idle; `None`, and nothing is loaded, without a policy."""
    text = os.environ.get(IDLE_VARIABLE)
    idle = _beside("idle.py") if text else None
    if idle is None:
        return None
    limits = idle.read_limits(text)
    return idle.Idle(limits, start, _dismiss_jvm) if limits else None


def explain(words: str, log: str, master: Optional[str]) -> str:
    """Say why Spark did not start, and what to do, in the words of the rules beside this file.

    The doctor applies the same rules to what this kernel leaves, so both say the same.
    """
    rules = _rules()
    if rules is None:
        return words
    known, _ = rules.read_all(os.environ.get(rules.RULES_VARIABLE, ""))
    facts = {"master": master or "", "environment": sys.prefix, "python": sys.executable}
    found = rules.find(known, {"cause": words, "log": log, "stage": "failed"}, facts)
    return str(rules.sentence(found[0]) if found else rules.quoted_line(words))


def redacted(text: str) -> str:
    """Give a text without secrets: a notebook keeps what it shows, and is passed on."""
    rules = _rules()
    return text if rules is None else str(rules.redacted(text))


def _rules() -> Any:
    return _beside("rules.py")


def _beside(name: str) -> Any:
    """Load a module beside this file; `None` for a copy of this file alone."""
    file = Path(__file__).with_name(name)
    spec = importlib.util.spec_from_file_location(f"_pyspark_kernels_{file.stem}", file)
    if not file.exists() or spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def describe(error: Exception, log: str) -> str:
    """Say in one sentence what was met."""
    if isinstance(error, SparkStartError):
        return str(error)
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
    if status["stage"] in ("failed", "stopped_idle") or jvm in _dismissed:
        # The first cause is the one that helps, and nobody asks for that of what was wanted.
        return
    if code in _ORDERLY_EXITS:
        status.update(stage="stopped", executors=0, ui=None)
    else:
        words = f"Spark's JVM ended with the exit code {code}."
        status.mask(known_secrets(os.environ))
        log = status.log.read_text(encoding="utf-8", errors="replace")
        cause = explain(words, log, status["master"])
        status.update(stage="failed", cause=cause, words=words, executors=0, ui=None)


def _watch(status: Status) -> None:
    """Tell of executors that come and go, until the JVM ends."""
    from py4j.protocol import Py4JError
    from pyspark import SparkContext

    jvm = SparkContext._gateway.proc
    while jvm.poll() is None and jvm not in _dismissed:
        status.trim_log()
        # The notebook may stop Spark, and start it again.
        context = SparkContext._active_spark_context
        try:
            if context is None or context._jsc is None:
                status.update(_WATCHED_STAGES, stage="stopped", executors=0, ui=None)
            else:
                _tell_executors(status, context)
        except (AttributeError, Py4JError, OSError):
            # The context was stopped, and then has no Java object, or the JVM ended, while we
            # asked; the next round sees it.
            pass
        coming = status["stage"] in ("connecting", "executors", "returning")
        time.sleep(_POLL_SECONDS if coming else _QUIET_POLL_SECONDS)


def _tell_executors(status: Status, context: Any) -> None:
    # The driver's own block manager is one of them.
    executors = context._jsc.sc().getExecutorMemoryStatus().size() - 1
    there = executors > 0 or _is_local(context.master) or status["stage"] == "ready"
    coming = "returning" if status["stage"] == "returning" else "executors"
    status.update(
        _WATCHED_STAGES,
        stage="ready" if there else coming,
        executors=executors,
        application_id=context.applicationId,
        ui=context.uiWebUrl,
    )


def _is_local(master: str) -> bool:
    """Tell whether the driver itself does the work of executors."""
    return re.match(r"local(\[|$)", master) is not None


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

    def __getitem__(self, key: Any) -> Any:
        return self.__notebook.real(self.__name)[key]

    def __repr__(self) -> str:
        return f"<{self.__name}: {self.__notebook.state()}>"


class Interruption(ast.NodeTransformer):
    """Puts KeyboardInterrupt in the place of a cell that was interrupted while it waited.

    IPython runs a cell whatever happens in the hooks before it.

    Attributes:
        pending: whether the cell that is compiled next was interrupted.
    """

    pending = False

    def visit_Module(self, module: ast.Module) -> ast.Module:
        """Replace the body of a cell."""
        if self.pending:
            module.body = ast.parse("raise KeyboardInterrupt").body
        return module


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
        self._tagged: Any = None
        self._interruption = Interruption()
        self._stand_ins = {name: StandIn(name, self) for name in NAMES}
        shell.push(self._stand_ins, interactive=False)
        shell.ast_transformers.append(self._interruption)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        if start.idle is not None:
            start.idle.before_stop = self._put_stand_ins_back
            start.idle.attend(shell.events)

    def state(self) -> str:
        """Say how Spark is, without waiting."""
        if self._start.failure is not None:
            return str(self._start.failure).splitlines()[0]
        if self._start.idle is not None and self._start.idle.is_stopped:
            return "Spark was stopped while the kernel was idle, and starts when it is used"
        return "ready" if self._start.done else "Spark is starting"

    def real(self, name: str) -> Any:
        """Wait for the object that a name stands for.

        Raises:
            SparkStartError: when Spark failed, or has no such thing.
        """
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
                if self._start.idle is not None:
                    self._start.idle.try_again()
                self._start.settle()
            except KeyboardInterrupt:
                self._interruption.pending = True
        if self._start.objects:
            self._replace_stand_ins()
            self._tag_jobs()
            self._tell_return()
        elif not touches:
            # A cell that touches Spark gets the failure as its own error.
            self._tell_failure()

    def _after_cell(self, result: Any) -> None:
        self._interruption.pending = False
        self._told = self._told or isinstance(result.error_in_exec, SparkStartError)
        self._tell_failure()
        self._tell_return()
        if _was_interrupted(result.error_in_exec):
            self._cancel_jobs()
        hint = self._start.idle and self._start.idle.hint(result.error_in_exec)
        if hint:
            print(hint, file=sys.stderr)

    def _tell_return(self) -> None:
        notice = self._start.idle and self._start.idle.notice()
        if notice:
            print(notice)

    def _tell_failure(self) -> None:
        if self._start.failure is not None and not self._told:
            print(self._start.failure, file=sys.stderr)
            self._told = True

    def _replace_stand_ins(self) -> None:
        for name, real in self._start.objects.items():
            # A name that the person has given to something else stays theirs.
            if self._shell.user_ns.get(name) is self._stand_ins[name]:
                self._shell.user_ns[name] = real

    def _put_stand_ins_back(self) -> None:
        self._told = False
        self._tagged = None
        for name, real in self._start.objects.items():
            if self._shell.user_ns.get(name) is real:
                self._shell.user_ns[name] = self._stand_ins[name]

    def _tag_jobs(self) -> None:
        """Mark the jobs of cells, which run in this thread, so that an interrupt ends no others."""
        current = _running_spark(self._start.objects)
        if current is None or current is self._tagged:
            return
        if "sc" in self._start.objects:
            current.addJobTag(JOB_TAG)
            _activate(self._start.objects["spark"])
        else:
            current.addTag(JOB_TAG)
        self._tagged = current

    def _cancel_jobs(self) -> None:
        # An interrupted call takes its thread in the JVM along, and the mark with it.
        self._tagged = None
        current = _running_spark(self._start.objects)
        if current is None:
            return
        if "sc" in self._start.objects:
            _cancel_on_a_new_connection(current)
        else:
            current.interruptTag(JOB_TAG)


def _was_interrupted(error: Optional[BaseException]) -> bool:
    """Tell whether an interrupt ended a cell, be it behind an error of PySpark's cleaning up."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _cancel_on_a_new_connection(context: Any) -> None:
    """Cancel the jobs of cells; py4j closed its connection and may refuse the next for a moment."""
    from py4j.protocol import Py4JNetworkError

    for pause in _CANCEL_PAUSES:
        try:
            context.cancelJobsWithTag(JOB_TAG)
        except Py4JNetworkError:
            time.sleep(pause)
        else:
            return
    print("Spark's job could not be cancelled and goes on. See Spark's UI.", file=sys.stderr)


def _running_spark(objects: Dict[str, Any]) -> Any:
    """Give what can mark jobs: the SparkContext that runs, or the session of Spark Connect."""
    if "sc" not in objects:
        return objects.get("spark")
    from pyspark import SparkContext

    # The notebook may have stopped ours and started another; without its JVM none of them runs.
    alive = SparkContext._gateway.proc.poll() is None
    return SparkContext._active_spark_context if alive else None


def _activate(session: Any) -> None:
    """Let SparkSession.getActiveSession(), which goes by thread, find the session in this one."""
    if session.sparkContext._jsc is not None:
        session._jvm.org.apache.spark.sql.SparkSession.setActiveSession(session._jsparkSession)


def names_spark(code: str) -> bool:
    """Tell whether a cell names what Spark brings; comments and strings do not count."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        # A magic, or a cell that IPython will refuse.
        return not _WAITING_WORDS.isdisjoint(re.findall(r"\w+", code))
    # What follows a dot is somebody else's: `from pyspark.sql import functions` needs no Spark.
    names = {
        token.string
        for before, token in zip([None, *tokens], tokens)
        if token.string not in NAMES or before is None or before.string != "."
    }
    return not _WAITING_WORDS.isdisjoint(names)


def serve_comm(kernel: Any, status: Status) -> None:
    """Answer the comm `pyspark-kernels` with the status, now and at every change."""

    def opened(comm: Any, message: Any) -> None:
        forget = status.listen(lambda content: comm.send(content))
        comm.on_close(lambda message: forget())

    kernel.comm_manager.register_target(COMM_TARGET, opened)


# --- whose kernel it is ------------------------------------------------------------------------


def user_facts(environ: Mapping[str, str]) -> Dict[str, str]:
    """Tell who started this kernel: what the system says, and which user of a hub, if any."""
    uid = os.getuid()
    try:
        entry = pwd.getpwuid(uid)
        name, home = entry.pw_name, entry.pw_dir
    except KeyError:
        # Containers run under numbers that nobody registered.
        name, home = str(uid), environ.get("HOME", "")
    facts = {"user": name, "uid": str(uid), "home": home}
    if environ.get("JUPYTERHUB_USER"):
        facts["hub_user"] = environ["JUPYTERHUB_USER"]
    return facts


def filled_in(environ: Mapping[str, str], facts: Mapping[str, str]) -> Dict[str, str]:
    """Give the variables that change when facts take the place of `${launch.…}`.

    Only where the kernel's maker meant it: the same text elsewhere is just text. A setting stays
    one argument, whatever the facts hold.

    Raises:
        SparkStartError: when a fact is missing.
    """
    names = set(environ.get(PER_USER, "").split())
    changed = {name: _filled(environ[name], facts) for name in names if name in environ}
    if any(name.startswith(("spark.", "--")) for name in names):
        tokens = shlex.split(environ.get("PYSPARK_SUBMIT_ARGS", ""))
        for place, (option, token) in enumerate(zip(tokens, tokens[1:]), 1):
            key, equals, value = token.partition("=")
            if option == "--conf" and key in names:
                tokens[place] = key + equals + _filled(value, facts)
            elif option.startswith("--") and option in names:
                tokens[place] = _filled(token, facts)
        changed["PYSPARK_SUBMIT_ARGS"] = " ".join(map(shlex.quote, tokens))
    return changed


def _filled(text: str, facts: Mapping[str, str]) -> str:
    def fact(found: Match[str]) -> str:
        value = facts.get(found.group(1))
        if value is None:
            raise SparkStartError(
                f"{found.group(0)} is not known here, and this kernel needs it. "
                "Choose another kernel, or ask whoever made this one."
            )
        return value

    return re.sub(r"\$\{launch\.([^}]*)\}", fact, text)


# --- the process -------------------------------------------------------------------------------


def prepare_process() -> None:
    """Make the process what `python -m ipykernel_launcher` would be, with the chosen Spark.

    The kernel's own directory leaves the path: `import launcher` in a notebook must not find this
    file. The notebook's folder comes to the path later, when ipykernel has its own modules.
    """
    # Python resolves links in the path of its script, and __file__ has them.
    if os.path.realpath(sys.path[0]) == os.path.realpath(os.path.dirname(__file__)):
        del sys.path[0]
    home = os.environ.get("SPARK_HOME")
    if not home:
        # Empty means none: PySpark finds itself.
        os.environ.pop("SPARK_HOME", None)
        return
    # Before the first cell, which may import PySpark without waiting.
    paths = python_of(Path(home))
    sys.path[:0] = paths
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(paths + ([inherited] if inherited else []))


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
    try:
        from ipykernel.kernelapp import IPKernelApp
    except ImportError as error:
        words = describe(error, "")
        status.update(stage="failed", words=words, cause=explain(words, "", None))
        raise

    app = IPKernelApp.instance()
    app.initialize(sys.argv[1:])
    Notebook(app.shell, start)
    serve_comm(app.kernel, status)
    atexit.register(status.close)
    remember_use()
    # Only now: a JVM that starts earlier takes the processor from the kernel, whose first answer
    # then comes a quarter later, and Spark is there no sooner.
    start.begin()
    app.start()


if __name__ == "__main__":
    main()
