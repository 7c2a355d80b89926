"""The Spark applications of this user: of which kernel each is, and the end of those of none.

What kernels tell counts only as far as nobody else could have written it, and a process only when
it is the very one that is meant: nothing of other people is listed or touched. In doubt a kernel
belongs to somebody and is left alone.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .clusters import NoAnswer, Running, Standalone, Yarn, parse_master
from .clusters.standalone import WEB_PORT
from .config import KernelConfig
from .errors import CannotBeDone, KernelError, Missing, quoted
from .kernel.belonging import TAG
from .kernel.options import without_token
from .kernel.status import RESTING, STATUS_DIRECTORY
from .models import Application, Applications
from .owners import user_name
from .processes import Process, end, own_process
from .siblings import Held, Siblings
from .sparkui import read_own

STARTING = ("jvm", "connecting")
"""The stages of a Spark that is not there yet."""

GONE = ("stopped", "failed", *RESTING)
"""The stages at which there is none."""

_SECONDS = 3.0
"""How long a cluster may take to tell what runs."""

_END_SECONDS = 10.0
_SLACK_SECONDS = 2.0
"""How exactly the start of a process is known."""

_MOST_CLUSTERS = 8
_ID = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_DRIVER = "org.apache.spark.deploy.SparkSubmit"


@dataclass(frozen=True)
class Known:
    """A kernelspec of ours, as far as its applications depend on it.

    Attributes:
        name: for people.
        config: what it was made from, if that can be read.
        settings: its `spark.*` settings, those of its Spark installation included.

    """

    name: str
    config: KernelConfig | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The variables of its kernels."""
        return {**os.environ, **(self.config.env if self.config else {})}

    @property
    def user(self) -> str:
        """Whom its cluster takes its applications for."""
        proxied = self.config.proxy_user if self.config else None
        # A name that depends on who starts the kernel is not known here.
        if proxied and "$" not in proxied:
            return str(proxied)
        return str(self.env.get("HADOOP_USER_NAME") or user_name(os.geteuid()))


@dataclass(frozen=True)
class _Found:
    """An application, and how it is ended."""

    shown: Application
    end: Callable[[], None] | None = None


@dataclass(frozen=True)
class _Told:
    """What a kernel told last, and what is left of it.

    Attributes:
        id: of the kernel.
        status: its file.
        known: its kernelspec.
        kernel: its process.
        driver: the process of its Spark's JVM.

    """

    id: str
    status: Mapping[str, Any]
    known: Known
    kernel: Process | None
    driver: Process | None

    def text(self, name: str) -> str | None:
        value = self.status.get(name)
        return value if isinstance(value, str) and value.isprintable() else None

    @property
    def is_of_this_machine(self) -> bool:
        return self.status.get("host") == os.uname().nodename

    @property
    def is_adopted(self) -> bool:
        """Whether whoever started the kernel has died."""
        parent = self.status.get("parent")
        return self.kernel is not None and isinstance(parent, int) and self.kernel.parent != parent

    def shown(
        self,
        kernel: Literal["running", "process", "driver", "application"],
        held: Held | None = None,
        application: Running | None = None,
    ) -> Application:
        cores = self.status.get("cores") if application is None else application.cores
        master = self.text("master")
        return Application(
            id=self.id,
            kernel=kernel,
            name=self.known.name,
            path=held.path if held else None,
            busy=held.busy if held else False,
            stage=self.text("stage"),
            master=None if master is None else without_token(master),
            application_id=self.text("application_id") if application is None else application.id,
            cores=cores if isinstance(cores, int) else None,
            since=self.text("since"),
            ui=kernel == "running" and bool(self.status.get("ui") or self.status.get("tracking")),
        )


class Survey:
    """Everything of this user that runs, as it is now.

    Args:
        runtime: the directory of the kernels' connection files.
        here: the kernels of this server.
        siblings: what the other servers told.
        known: the kernelspecs of ours, by their directories.

    """

    def __init__(
        self,
        runtime: Path,
        here: Mapping[str, Held],
        siblings: Siblings,
        known: Mapping[str, Known],
    ) -> None:
        self._notes: list[str] = []
        self._here = here
        self._siblings = siblings
        self._held = {**siblings.kernels, **here}
        self._told = {told.id: told for told in _read_all(runtime, here, known)}
        self._found = {told.id: one for told in self._told.values() for one in self._of(told)}
        # Asked last: what still runs here ends on its cluster as well.
        self._found |= {one.shown.id: one for one in self._of_clusters(frozenset(self._found))}

    def shown(self) -> Applications:
        """Give what a person sees."""
        found = sorted((found.shown for found in self._found.values()), key=lambda one: one.name)
        silent = self._siblings.silent if self._lost() else []
        return Applications(applications=found, notes=[*silent, *self._notes])

    def end(self, identity: str) -> None:
        """End an application that has no kernel of a server; nothing is done when it has ended.

        Raises:
            Missing: when there is none of this user.
            CannotBeDone: when it cannot be ended from here.

        """
        found = self._found.get(identity)
        if found is not None and found.end is not None:
            found.end()
        elif identity not in self._told or found is not None:
            raise missing(identity)

    def _lost(self) -> list[_Told]:
        """Give the kernels that run and that whoever started them has left behind."""
        return [
            told for told in self._told.values() if told.is_adopted and told.id not in self._held
        ]

    def _of(self, told: _Told) -> Iterator[_Found]:
        stage = told.text("stage")
        if told.id in self._here:
            if stage not in GONE:
                yield _Found(told.shown("running", self._here[told.id]))
        elif told.id in self._siblings.kernels or not told.is_of_this_machine:
            return
        elif told.kernel is not None:
            # A server that does not answer may have it.
            if told.is_adopted and not self._siblings.silent:
                yield _Found(told.shown("process"), lambda: _end_all(told))
        elif told.driver is not None:
            yield _Found(told.shown("driver"), lambda: _end_all(told))

    # --- the clusters --------------------------------------------------------------------------

    def _of_clusters(self, taken: Container[str]) -> Iterator[_Found]:
        """Find what clusters still run of kernels that are gone."""
        dead: dict[_Cluster, list[_Told]] = {}
        for told in self._told.values():
            cluster = _cluster(told)
            if cluster is not None and self._is_dead(told) and told.id not in taken:
                dead.setdefault(cluster, []).append(told)
        deadline = time.monotonic() + _SECONDS
        with ThreadPoolExecutor(_MOST_CLUSTERS) as threads:
            asked = list(dead.values())[:_MOST_CLUSTERS]
            for found in threads.map(lambda one: self._ask(one, deadline), asked):
                yield from found

    def _is_dead(self, told: _Told) -> bool:
        is_gone = told.kernel is None and told.id not in self._held
        return is_gone and told.is_of_this_machine and told.text("stage") not in GONE

    def _ask(self, dead: Sequence[_Told], deadline: float) -> list[_Found]:
        """Ask one cluster for the applications of some kernels."""
        cluster = _cluster(dead[0])
        if cluster is None:
            return []
        try:
            running = cluster.applications(deadline)
        except NoAnswer as error:
            self._notes.append(str(error))
            return []
        return [
            _Found(
                told.shown("application", application=one),
                lambda cluster=cluster, one=one: cluster.kill(one.id),  # type: ignore[misc]
            )
            for told in dead
            for one in running
            if one.id == told.text("application_id") or f"{TAG}:{told.id}" in one.tags
        ]


def missing(identity: str) -> Missing:
    """Make the error for an application that this user does not have."""
    return Missing.at(
        "", f"You have no Spark application {quoted(identity)}. Look at the list once more."
    )


def stage_of(runtime: Path, kernel: str) -> str:
    """Tell how far the Spark of a kernel is; `stopped` where it tells nothing."""
    try:
        status = read_own(runtime / STATUS_DIRECTORY, f"{kernel}.json")
    except (OSError, ValueError, KernelError):
        return GONE[0]
    return str(status.get("stage")) if isinstance(status, dict) else GONE[0]


# --- what kernels told --------------------------------------------------------------------------


def _read_all(
    runtime: Path, here: Mapping[str, Held], known: Mapping[str, Known]
) -> Iterator[_Told]:
    folder = runtime / STATUS_DIRECTORY
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, PermissionError):
        return
    for name in names:
        kernel, _, kind = name.rpartition(".")
        if kind != "json" or not _ID.fullmatch(kernel):
            continue
        try:
            status = read_own(folder, name)
            written = (folder / name).stat().st_mtime
        except (OSError, ValueError, KernelError):
            # It ends at this moment, or somebody else could have written it.
            continue
        if isinstance(status, dict):
            directory = status.get("directory")
            fallback = here[kernel].name if kernel in here else _base(directory, kernel)
            spec = known.get(str(directory)) or Known(fallback)
            process, driver = (_started(status.get(name), written) for name in ("pid", "jvm"))
            yield _Told(
                kernel,
                status,
                spec,
                kernel=process if process and _runs(process, runtime, kernel) else None,
                driver=driver if driver and _is_driver(driver) else None,
            )


def _base(directory: object, kernel: str) -> str:
    name = os.path.basename(directory) if isinstance(directory, str) else ""
    return name if name and name.isprintable() else kernel


def _started(pid: object, written: float) -> Process | None:
    """Give a process if it was there when its number was written."""
    process = own_process(pid)
    return process if process and process.started <= written + _SLACK_SECONDS else None


def _runs(process: Process, runtime: Path, kernel: str) -> bool:
    """Tell whether a process is a kernel: it was given its connection file."""
    files = {os.path.realpath(runtime / f"{name}.json") for name in (f"kernel-{kernel}", kernel)}
    return any(
        os.path.realpath(argument) in files
        for argument in process.command
        if os.path.isabs(argument) and argument.endswith(f"{kernel}.json")
    )


def _is_driver(process: Process) -> bool:
    return _DRIVER in process.command and "pyspark-shell" in process.command


def _end_all(told: _Told) -> None:
    """End a kernel and its Spark, which ends by itself when the kernel has."""
    for process in (told.kernel, told.driver):
        if process is not None and not end(process, _END_SECONDS):
            raise CannotBeDone.at(
                "",
                f"The process {process.pid} does not end, though it was killed: it waits for the "
                "system. Try again later.",
            )


# --- which cluster ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cluster:
    """A cluster as one of its kernels reaches it.

    Attributes:
        master: what is asked.
        where: what else tells where that is.
        user: whose applications are meant.
        known: the kernelspec.

    """

    master: Standalone | Yarn
    where: str
    user: str
    known: Known = field(compare=False)

    def applications(self, deadline: float) -> tuple[Running, ...]:
        known = self.known
        return self.master.applications(self.user, known.settings, known.env, deadline)

    def kill(self, application: str) -> None:
        """End an application.

        Raises:
            CannotBeDone: when the cluster does not let us.

        """
        known, deadline = self.known, time.monotonic() + _END_SECONDS
        try:
            self.master.kill(application, self.user, known.settings, known.env, deadline)
        except NoAnswer as error:
            raise CannotBeDone.at("", str(error)) from None


def _cluster(told: _Told) -> _Cluster | None:
    try:
        master = parse_master(told.text("master") or "")
    except ValueError:
        return None
    known = told.known
    if isinstance(master, Yarn):
        where = known.env.get("HADOOP_CONF_DIR") or known.env.get("YARN_CONF_DIR") or ""
        return _Cluster(master, where, known.user, known)
    if isinstance(master, Standalone):
        return _Cluster(master, known.settings.get(WEB_PORT, ""), known.user, known)
    return None
