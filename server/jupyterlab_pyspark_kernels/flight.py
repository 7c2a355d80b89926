"""The flight test: starts a kernel as Jupyter would, and lets every executor do something.

Everything happens in a scratch folder, the kernel's directory included, so a draft can be tested as
well as a kernel that is stored. Nothing of it is left: the kernel is ended whatever happens, and
ends by itself when this process dies, as every kernel of Jupyter does; Spark's JVM ends with it.
"""

from __future__ import annotations

import ast
import json
import os
import queue
import shlex
import shutil
import signal
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from pydantic import BaseModel, ConfigDict, Field

from .capacity import look
from .clusters import Kubernetes, Yarn, parse_master
from .config import KernelConfig
from .doctor import Diagnosis, diagnose, read_end, read_left, site_rules
from .effective import site_settings
from .kerberos import ticket_state
from .kernel import contents
from .kernel.failure import SparkStartError
from .kernel.memory import FLIGHT_VARIABLE
from .kernel.options import SubmitOptions
from .kernel.probe import ask, probe
from .kernel.rules import Rule, redacted
from .progress import Cancelled, Progress, Report
from .render import Kernelspec

"""What a kernel's directory needs besides its kernel.json."""

PACKAGES = ("pandas", "pyarrow", "numpy")
"""Packages that are asked for: what Spark itself needs for pandas functions and Arrow."""

ASKING, KERNEL, SPARK, EXECUTORS, TASKS, ENDING = (
    "Asking the master",
    "Starting the kernel",
    "Starting Spark",
    "Waiting for executors",
    "Running a task on every executor",
    "Ending the kernel",
)
"""The stages that a flight goes through."""

_NAME = "flight"
_PREFIX = "pyspark-kernels-flight-"
_DAY_SECONDS = 24 * 60 * 60
_POLL_SECONDS = 0.1
_YARN_PORT = 8032
_STOP_SECONDS = 4
_GONE_SECONDS = 3
_NO_EXECUTOR = "No executor came."
_LOGGING = """\
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.client.name = org.apache.spark.deploy.client
logger.client.level = info
"""
"""What Log4j tells in a flight: besides warnings, which executors a standalone master gave."""


@dataclass(frozen=True)
class Limits:
    """How long each stage of a flight may take, in seconds.

    Attributes:
        early: into the wait for executors, when a standalone master is asked what it has.
        patience: into the same, how long others may take to give cores back: a standalone master
            hands free ones out at once.

    """

    asking: float = 12
    kernel: float = 60
    spark: float = 90
    executors: float = 30
    tasks: float = 60
    early: float = 5
    patience: float = 12

    def of(self, stage: str) -> float:
        """Give the limit of a stage."""
        seconds = (self.asking, self.kernel, self.spark, self.executors, self.tasks)
        return dict(zip((ASKING, KERNEL, SPARK, EXECUTORS, TASKS), seconds, strict=True))[stage]


class Stage(BaseModel):
    """One stage of a flight."""

    model_config = ConfigDict(frozen=True)

    name: str
    seconds: float


class Side(BaseModel):
    """The driver, or an executor."""

    model_config = ConfigDict(frozen=True)

    host: str
    python: str = Field(description="The version.")
    executable: str
    java: str | None = Field(description="The version; null with Spark Connect.")
    spark: str
    packages: dict[str, str | None] = Field(
        description="The version of each package that was asked for; null when it is not there."
    )
    way_back_seconds: float | None = Field(
        None, description="How long a connection from this executor to the driver took."
    )


class Flight(BaseModel):
    """What came of a flight test."""

    model_config = ConfigDict(frozen=True)

    passed: bool
    verdict: str = Field(description="One sentence.")
    diagnoses: list[Diagnosis] = Field(description="What is wrong, the most telling first.")
    stages: list[Stage]
    driver: Side | None = None
    executors: list[Side] = []
    when: datetime = Field(description="When it ended, in UTC.")


class _Failed(Exception):
    """The flight is over; the evidence says why."""


class _Course:
    """One flight as it goes: how far it is, and what was seen.

    Attributes:
        seen: evidence besides the launcher's, by the names in `rules`.

    """

    def __init__(self, report: Report, limits: Limits, config: KernelConfig | None) -> None:
        self.report = report
        self.limits = limits
        self.config = config
        self.seen: dict[str, str] = {}
        self.status: Mapping[str, Any] | None = None
        self.log = ""
        self.driver: Side | None = None
        self.executors: list[Side] = []
        self._begun: list[tuple[str, float]] = []
        self._late = self.too_slow

    def enter(self, stage: str, late: Callable[[], str] | None = None) -> None:
        """Begin the next stage.

        Args:
            stage: its name.
            late: is asked what is wrong when its time is over.

        """
        self._begun.append((stage, time.monotonic()))
        self._late = late or self.too_slow
        self.report.progress(Progress(stage))

    def check(self) -> None:
        """Go on, unless the flight was cancelled or the stage takes too long.

        Raises:
            Cancelled: when the report said so.
            _Failed: when the stage's time is over.

        """
        if self.report.cancelled():
            raise Cancelled
        if self.since() > self.limits.of(self._begun[-1][0]):
            self.fail(self._late())

    def too_slow(self) -> str:
        """Say that the stage's time is over."""
        stage = self._begun[-1][0]
        return f"“{stage}” did not end within {self.limits.of(stage):g} s."

    def since(self) -> float:
        """Give the seconds of this stage so far."""
        return time.monotonic() - self._begun[-1][1]

    def fail(self, error: str) -> NoReturn:
        """End the flight."""
        self.seen["error"] = error
        raise _Failed(error)

    def stages(self) -> list[Stage]:
        """Give what was gone through so far."""
        ends = [*(begun for _, begun in self._begun[1:]), time.monotonic()]
        return [
            Stage(name=name, seconds=round(end - begun, 3))
            for (name, begun), end in zip(self._begun, ends, strict=True)
        ]


def fly(
    spec: Kernelspec,
    report: Report,
    limits: Limits | None = None,
    *,
    config: KernelConfig | None = None,
    packages: Sequence[str] = PACKAGES,
    rules: Sequence[Rule] | None = None,
) -> Flight:
    """Test a kernel; blocks until it is over and no process of it is left.

    Args:
        spec: the content of its kernel.json, stored or not.
        report: hears the stages and what the kernel prints; asked several times a second whether
            to stop.
        limits: how long each stage may take.
        config: what the kernel was made from, to say a cause by its values.
        packages: what is looked for on both sides.
        rules: what is known of failures; our own rules and the site's when it is `None`.

    Raises:
        Cancelled: when the report said so.

    """
    course = _Course(report, limits or Limits(), config)
    for problem in site_rules()[1]:
        report.log(problem)
    if config is not None and (ticket := ticket_state(config, os.environ)) is not None:
        report.log(ticket.sentence)
    try:
        _go(spec, course, packages)
    except _Failed as failure:
        report.log(str(failure))
    diagnoses = diagnose(course.status, course.log, config, course.seen, rules)
    return Flight(
        passed=not diagnoses,
        verdict=_verdict(course, diagnoses),
        diagnoses=diagnoses,
        stages=course.stages(),
        driver=course.driver,
        executors=course.executors,
        when=datetime.now(timezone.utc),
    )


def _verdict(course: _Course, diagnoses: Sequence[Diagnosis]) -> str:
    if diagnoses:
        return diagnoses[0].cause
    assert course.driver is not None  # noqa: S101 - for the type checker
    count = len(course.executors)
    who = "the executor" if count == 1 else f"each of {count} executors"
    return f"Spark {course.driver.spark} ran a task on {who}."


def _go(spec: Kernelspec, course: _Course, packages: Sequence[str]) -> None:
    master = _options(spec).master
    course.seen["master"] = master
    course.enter(ASKING)
    _ask_master(master, spec.get("env", {}), course)
    course.enter(KERNEL)
    with _scratch() as folder, _started(spec, folder, course) as kernel:
        kernel.answer(kernel.client.kernel_info())
        # A YARN without room for the application lets it wait.
        course.enter(SPARK, lambda: _looked(course, course.too_slow()))
        _await_spark(kernel, course)
        kernel.run(files(__package__).joinpath("flight_cell.py").read_text("utf-8"))
        course.driver = Side.model_validate(told := kernel.value("driver", list(packages)))
        address = told["address"]
        course.enter(EXECUTORS, lambda: _looked(course, _NO_EXECUTOR))
        _await_executors(master, kernel, course)
        course.enter(TASKS)
        found = kernel.value("visit", list(packages), address)
        course.executors = [Side.model_validate(side) for side in found["executors"]]
        _compare(course, found["wanted"])


def _options(spec: Kernelspec) -> SubmitOptions:
    # Jupyter turns $$ into $.
    return SubmitOptions(spec.get("env", {}).get("PYSPARK_SUBMIT_ARGS", "").replace("$$", "$"))


# --- the master --------------------------------------------------------------------------------


def _ask_master(master: str, env: Mapping[str, str], course: _Course) -> None:
    """Make sure that a master answers, before Spark would try it for minutes.

    Raises:
        _Failed: when it does not.

    """
    problems: list[str] = []

    def inquire() -> None:
        try:
            probe(master)
            _ask_others(master, env)
        except SparkStartError as error:
            problems.append(str(error))
        except (OSError, ValueError):
            # A master or a Hadoop configuration made by hand; Spark itself will refuse it.
            return

    # In a thread that nobody waits for: a name server may take minutes to know nothing.
    asking = threading.Thread(target=inquire, daemon=True)
    asking.start()
    while asking.is_alive():
        course.check()
        asking.join(_POLL_SECONDS)
    if problems:
        course.seen["cause"] = problems[0]
        course.fail(problems[0])


def _ask_others(master: str, env: Mapping[str, str]) -> None:
    """Make sure that a master answers which the launcher does not ask.

    Raises:
        SparkStartError: when it does not.
        OSError: when the Hadoop configuration cannot be read.
        ValueError: when it or the master is none.

    """
    parsed = parse_master(master)
    if isinstance(parsed, Kubernetes):
        question = _client_hello(parsed.host) if parsed.scheme == "https" else _HTTP_REQUEST
        ask("Kubernetes API", master, [(parsed.host, parsed.port)], question)
    elif isinstance(parsed, Yarn):
        # Hadoop's servers tell whoever speaks HTTP to them that they do not.
        for file in _yarn_site(env):
            managers = resource_managers(file.read_text(encoding="utf-8"))
            where = ",".join(f"{host}:{port}" for host, port in managers)
            if managers:
                ask("YARN ResourceManager", where, managers, _HTTP_REQUEST)


_HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: pyspark-kernels\r\n\r\n"


def _client_hello(host: str) -> bytes:
    """Give what a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=host)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def _yarn_site(env: Mapping[str, str]) -> list[Path]:
    names = ("HADOOP_CONF_DIR", "YARN_CONF_DIR")
    folders = [env.get(name) or os.environ.get(name) for name in names]
    files = [Path(folder) / "yarn-site.xml" for folder in folders if folder]
    return [file for file in files if file.is_file()][:1]


def resource_managers(yarn_site: str) -> list[tuple[str, int]]:
    """Find the addresses of YARN's ResourceManagers.

    Args:
        yarn_site: the content of yarn-site.xml.

    Returns:
        host and port of each; none when that cannot be told.

    """
    try:
        root = ElementTree.fromstring(yarn_site)  # noqa: S314 - the user's own; expat has limits
    except ElementTree.ParseError:
        return []
    values = {item.findtext("name"): item.findtext("value") or "" for item in root.iter("property")}
    prefix = "yarn.resourcemanager"
    ids = values.get(f"{prefix}.ha.rm-ids", "")
    suffixes = [f".{part.strip()}" for part in ids.split(",")] if ids else [""]
    found = []
    for suffix in suffixes:
        host = values.get(f"{prefix}.hostname{suffix}", "").strip()
        address = values.get(f"{prefix}.address{suffix}", "").strip()
        name, _, port = (address or f"{host}:{_YARN_PORT}").rpartition(":")
        # A name may be made of other settings, which only Hadoop itself puts together.
        if name and port.isdigit() and "$" not in address:
            found.append((name, int(port)))
    return found


# --- Spark in the kernel -----------------------------------------------------------------------


def _await_spark(kernel: _Kernel, course: _Course) -> None:
    while True:
        course.check()
        kernel.check()
        status, _ = read_left(kernel.status_file)
        stage = (status or {}).get("stage")
        if stage == "failed":
            said = [(status or {}).get(key) for key in ("cause", "fix")]
            course.fail(" ".join(filter(None, said)))
        if stage not in (None, "jvm", "connecting"):
            return
        time.sleep(_POLL_SECONDS)


def _await_executors(master: str, kernel: _Kernel, course: _Course) -> None:
    """Wait for the first executor, no longer than there is hope.

    Raises:
        _Failed: when none comes.

    """
    standalone, limits = master.startswith("spark://"), course.limits
    while not kernel.value("executors"):
        log = read_end(kernel.status_file.with_suffix(".log"))
        if standalone and "fit" not in course.seen and course.since() > limits.early:
            course.seen.update(master_facts(kernel.value("cluster")))
        given = " Executor added: " in log
        if given and "fit" in course.seen:
            course.seen["fit"] = "now"
        hopeless = standalone and not given
        # Executors that do not reach the driver end, and the master starts others without end.
        if course.seen.get("fit") == "never" or log.count(" is now EXITED ") > 1:
            course.fail(_NO_EXECUTOR)
        if hopeless and course.since() > limits.patience:
            course.fail(_NO_EXECUTOR)
        course.check()
        time.sleep(_POLL_SECONDS)


def master_facts(cluster: Mapping[str, Any]) -> dict[str, str]:
    """Tell whether an executor fits into a standalone cluster, as facts for the rules.

    Args:
        cluster: `workers`, each with `cores` and `memory` in MiB; `applications`, the names of
            others that run; `executor_memory` in MiB and `executor_cores`.

    """
    memory, cores = cluster["executor_memory"], cluster["executor_cores"]
    workers = [(worker["memory"], worker["cores"]) for worker in cluster["workers"]]
    fits = any(worker[0] >= memory and worker[1] >= cores for worker in workers)
    others = ", ".join(cluster["applications"])
    return {**_fit_facts(memory, cores, workers), "fit": _FIT[fits], "held_by": others}


def _looked(course: _Course, error: str) -> str:
    """Ask the cluster what it has, which may be why a stage took too long; give the error."""
    if "fit" not in course.seen:
        course.seen.update(look_facts(course.config))
    return error


def look_facts(config: KernelConfig | None) -> dict[str, str]:
    """Tell whether an executor fits into a cluster that is asked for its figures, for the rules.

    Returns:
        nothing when the cluster does not tell.

    """
    report = None if config is None else look(config, site_settings(config, os.environ))
    if report is None or report.demand is None or report.capacity is None or report.fit is None:
        return {}
    nodes = [(node.memory_total_mib, node.cores_total) for node in report.capacity.nodes]
    facts = _fit_facts(report.demand.memory_mib, report.demand.cores or 1, nodes)
    return {**facts, "fit": "now" if report.fit.now else _FIT[report.fit.ever]}


_FIT = {True: "later", False: "never"}
"""Whether an executor that does not come fits into an empty cluster."""


def _fit_facts(memory: int, cores: float, nodes: Sequence[tuple[int, float]]) -> dict[str, str]:
    return {
        "executor_memory": f"{memory} MiB",
        "executor_cores": f"{cores:g}",
        "largest_memory": str(max((memory for memory, _ in nodes), default=0)),
        "largest_cores": f"{max((cores for _, cores in nodes), default=0):g}",
    }


def _compare(course: _Course, wanted: int) -> None:
    """Find what executors lack that the driver has."""
    driver = course.driver
    assert driver is not None  # noqa: S101 - for the type checker
    if len(course.executors) < wanted:
        course.fail(f"{len(course.executors)} of {wanted} executors ran a task.")
    missing = {
        name
        for side in course.executors
        for name, found in side.packages.items()
        if found is None and driver.packages[name] is not None
    }
    course.seen["missing_packages"] = ", ".join(sorted(missing))
    course.seen["executor_python"] = course.executors[0].executable


# --- the kernel --------------------------------------------------------------------------------


class _Kernel:
    """The kernel under test, driven without waiting longer than the flight allows."""

    def __init__(self, manager: KernelManager, status_file: Path, course: _Course) -> None:
        self.manager = manager
        self.status_file = status_file
        self.client: BlockingKernelClient = manager.blocking_client()
        self.client.start_channels(iopub=False, stdin=False, hb=False)
        self._course = course

    def check(self) -> None:
        """Make sure that the process lives.

        Raises:
            _Failed: when it has ended.

        """
        process = self.manager.provisioner.process  # type: ignore[union-attr]
        code = process.poll()
        if code is not None:
            self._course.seen["exit_code"] = str(code)
            self._course.fail(f"The kernel's process ended with the exit code {code}.")

    def answer(self, message_id: str) -> dict[str, Any]:
        """Wait for the answer to a message."""
        while True:
            self._course.check()
            self.check()
            try:
                reply = self.client.get_shell_msg(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if reply["parent_header"].get("msg_id") == message_id:
                content: dict[str, Any] = reply["content"]
                return content

    def run(self, code: str) -> None:
        """Run a cell that defines something."""
        content = self.answer(self.client.execute(code, store_history=False))
        if content["status"] != "ok":
            self._course.fail(f"{content['ename']}: {content['evalue']}")

    def value(self, function: str, *arguments: Any) -> Any:
        """Call a function in the kernel, and give what it returns."""
        call = f"{function}({', '.join(['spark', *map(repr, arguments)])})"
        sent = self.client.execute("", store_history=False, user_expressions={"value": call})
        content = self.answer(sent)
        if content["status"] != "ok":
            self._course.fail(f"{content['ename']}: {content['evalue']}")
        value = content["user_expressions"]["value"]
        if value["status"] != "ok":
            self._course.fail(f"{value['ename']}: {value['evalue']}")
        shown = ast.literal_eval(value["data"]["text/plain"])
        return json.loads(shown) if isinstance(shown, str) else shown


@contextmanager
def _scratch() -> Iterator[Path]:
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        yield Path(folder)


def _sweep(temporary: Path) -> None:
    """Remove the folders of flights whose server was killed, a day later."""
    for folder in temporary.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):
            found = folder.lstat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > _DAY_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(spec: Kernelspec, folder: Path, course: _Course) -> Iterator[_Kernel]:
    """Start the kernel, and end it with all that it started; then take over what it left."""
    manager = _manager(spec, folder)
    work = folder / "work"
    work.mkdir()
    printed = folder / "printed"
    status_file = folder / "pyspark-kernels" / f"{_NAME}.json"
    with printed.open("wb") as output:
        try:
            manager.start_kernel(cwd=str(work), stdout=output, stderr=output)
        except OSError as error:
            course.seen["stderr"] = str(error)
            course.fail(f"The kernel's process cannot be started: {error}")
    group = os.getpgid(manager.provisioner.pid)  # type: ignore[union-attr]
    kernel = _Kernel(manager, status_file, course)
    try:
        yield kernel
    finally:
        # Read first: a kernel that ends in order removes them.
        course.status, course.log = read_left(status_file)
        course.enter(ENDING)
        _end(kernel, group)
        course.seen["stderr"] = read_end(printed)
        for line in course.seen["stderr"].splitlines()[-20:]:
            # The task's log is shown, and copied for others.
            course.report.log(redacted(line))


def _manager(spec: Kernelspec, folder: Path) -> KernelManager:
    directory = folder / "kernels" / _NAME
    directory.mkdir(parents=True)
    for name, content in contents().items():
        (directory / name).write_bytes(content)
    env = {**spec.get("env", {}), FLIGHT_VARIABLE: "1"}
    logging = folder / "log4j2.properties"
    logging.write_text(_LOGGING, encoding="utf-8")
    # These options are added to the kernel's own, and only to those of its own JVM.
    option = shlex.quote(f"-Dlog4j2.configurationFile={logging}").replace("$", "$$")
    env["SPARK_SUBMIT_OPTS"] = f"{env.get('SPARK_SUBMIT_OPTS', '')} {option}".strip()
    (directory / "kernel.json").write_text(json.dumps({**spec, "env": env}), encoding="utf-8")
    specs = KernelSpecManager(kernel_dirs=[str(directory.parent)], ensure_native_kernel=False)
    manager = KernelManager(
        kernel_name=_NAME, kernel_spec_manager=specs, shutdown_wait_time=_STOP_SECONDS
    )
    manager.connection_file = str(folder / f"kernel-{_NAME}.json")
    return manager


def _end(kernel: _Kernel, group: int) -> None:
    """End the kernel in order, and by force what is left of it."""
    kernel.client.stop_channels()
    kernel.manager.shutdown_kernel(now=kernel.status_file.exists() is False)
    deadline = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return
        time.sleep(_POLL_SECONDS)
