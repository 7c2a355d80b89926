"""Hadoop's resource manager, whose address stands in the Hadoop configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, urlencode

from .address import parse_address
from .ask import NoAnswer, Site, ask, first, tell
from .figures import Booking, Capacity, Node, Queue, count, items, part, queue_name
from .hadoop import HadoopConf, read_hadoop_conf
from .running import Running, read_running

_CLUSTER = "/ws/v1/cluster"
_WEB_PORTS = {"http": 8088, "https": 8090}
_DEFAULT_STEP = 1024
"""`yarn.scheduler.minimum-allocation-mb` and FairScheduler's increment, when not set."""

_DOMINANT = "DominantResourceCalculator"
_MAX_QUEUES = 200
_ALIVE = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING"


@dataclass(frozen=True)
class Yarn:
    """YARN in client mode: the driver is the kernel."""

    forms: ClassVar = ("yarn",)
    option: ClassVar = "--master"
    has_executors: ClassVar = True
    # Not spark.archives: the driver would hand it to the executors once more.
    archives: ClassVar = "spark.yarn.dist.archives"

    @classmethod
    def parse(cls, text: str) -> Yarn | None:
        """Read `text`, or return `None` when it is another kind."""
        return cls() if text == "yarn" else None

    def capacity(
        self, settings: Mapping[str, str], env: Mapping[str, str], deadline: float
    ) -> Capacity:
        """Ask the resource manager that is active, at its REST interface.

        Args:
            settings: of the kernel; none is used.
            env: the kernel's variables; HADOOP_CONF_DIR or YARN_CONF_DIR names the directory with
                yarn-site.xml.
            deadline: until when, of `time.monotonic()`.

        Raises:
            NoAnswer: when none of the resource managers tells.

        """
        conf = _conf(env)

        def ask_one(site: Site, until: float) -> Capacity:
            # A resource manager that stands by answers this one with a redirect.
            scheduler = ask(site, f"{_CLUSTER}/scheduler", until)
            nodes = ask(site, f"{_CLUSTER}/nodes?states=RUNNING", until)
            return read_cluster(scheduler, nodes, conf)

        return first(list(_sites(conf)), ask_one, deadline)

    def applications(
        self, user: str, settings: Mapping[str, str], env: Mapping[str, str], deadline: float
    ) -> tuple[Running, ...]:
        """Give what runs or waits of a user's.

        Args:
            user: whose.
            settings: of the kernel; none is used.
            env: the kernel's variables.
            deadline: until when, of `time.monotonic()`.

        Raises:
            NoAnswer: when none of the resource managers tells.

        """
        query = urlencode({"states": _ALIVE, "user": user, "applicationTypes": "SPARK"})
        answer = first(
            list(_sites(_conf(env))),
            lambda site, until: ask(site, f"{_CLUSTER}/apps?{query}", until),
            deadline,
        )
        running = read_running(part(answer, "apps") or {}, "app", "allocatedVCores")
        return tuple(application for application in running if application.user == user)

    def kill(
        self,
        application: str,
        user: str,
        settings: Mapping[str, str],
        env: Mapping[str, str],
        deadline: float,
    ) -> None:
        """End an application, as its user.

        Raises:
            NoAnswer: when YARN does not let us.

        """
        path = f"{_CLUSTER}/apps/{quote(application)}/state?{urlencode({'user.name': user})}"
        body = json.dumps({"state": "KILLED"})

        def kill_one(site: Site, until: float) -> None:
            status, _ = tell(site, "PUT", path, body, "application/json", until)
            if status not in (200, 202):
                raise NoAnswer(
                    f"{site.name} at {site.host}:{site.port} does not end the application "
                    f"(status {status}). Run: yarn application -kill {application}",
                    status,
                )

        first(list(_sites(_conf(env))), kill_one, deadline)


def _conf(env: Mapping[str, str]) -> HadoopConf:
    """Read the Hadoop configuration that a kernel's variables name.

    Raises:
        NoAnswer: when they name none, or it cannot be read.

    """
    directory = env.get("HADOOP_CONF_DIR") or env.get("YARN_CONF_DIR")
    if not directory:
        raise NoAnswer(
            "Nothing says where YARN is. Set HADOOP_CONF_DIR to the directory with yarn-site.xml."
        )
    return read_hadoop_conf(directory, "core-site.xml", "yarn-site.xml", "capacity-scheduler.xml")


def _sites(conf: HadoopConf) -> Iterator[Site]:
    """Give the web addresses of all resource managers (`WebAppUtils` in Hadoop's sources).

    Raises:
        NoAnswer: when one of them is none, or there is none.

    """
    scheme = "https" if conf.get("yarn.http.policy") == "HTTPS_ONLY" else "http"
    key = "webapp.https.address" if scheme == "https" else "webapp.address"
    ids = (conf.get("yarn.resourcemanager.ha.rm-ids") or "").split(",")
    is_ha = conf.get("yarn.resourcemanager.ha.enabled") == "true"
    for suffix in [f".{name.strip()}" for name in ids] if is_ha else [""]:
        host = conf.get(f"yarn.resourcemanager.hostname{suffix}")
        address = conf.get(f"yarn.resourcemanager.{key}{suffix}") or host
        if not address:
            raise NoAnswer(
                f"Nothing says where YARN is: yarn-site.xml has no yarn.resourcemanager.{key}"
                f"{suffix}. Set it in HADOOP_CONF_DIR."
            )
        try:
            host, port = parse_address(address, _WEB_PORTS[scheme])
        except ValueError as error:
            raise NoAnswer(f"yarn.resourcemanager.{key}{suffix}: {error}.") from None
        yield Site("YARN's resource manager", scheme, host, port)


def read_cluster(scheduler: object, nodes: object, conf: HadoopConf) -> Capacity:
    """Read what a resource manager tells of itself.

    Args:
        scheduler: the answer of `/ws/v1/cluster/scheduler`.
        nodes: the answer of `/ws/v1/cluster/nodes`.
        conf: the Hadoop configuration, for what the answers do not tell.

    Raises:
        NoAnswer: when they are not the answers of a resource manager.

    """
    info = part(part(scheduler, "scheduler"), "schedulerInfo")
    is_fair = _is_fair(info)
    # The nodes with a label are for applications that ask for the label.
    found = tuple(
        _node(node)
        for node in items(part(nodes, "nodes") or {}, "node")
        if not part(node, "nodeLabels")
    )
    largest = part(info, "maximumAllocation") or part(part(info, "rootQueue") or {}, "maxContainer")
    memory = sum(node.memory_total_mib for node in found)
    queues = tuple(_queues(info, memory))
    return Capacity(
        kind="yarn",
        nodes=found,
        booking=Booking(
            step_mib=_step(info, conf),
            memory_max_mib=count(largest, "memory") if largest else None,
            cores_max=count(largest, "vCores") if largest else None,
            cores_count=is_fair or _DOMINANT in (conf.get(_CALCULATOR) or ""),
        ),
        makes_queues=is_fair,
        queues=queues[:_MAX_QUEUES],
        waiting=sum(queue.waiting for queue in queues),
    )


_CALCULATOR = "yarn.scheduler.capacity.resource-calculator"
"""It stands in capacity-scheduler.xml, and the resource manager does not tell it. Hadoop's default
compares memory alone. FairScheduler has none: a container must fit in every way
(`FSAppAttempt.assignContainer`)."""


def _is_fair(info: object) -> bool:
    return bool(part(info, "type") == "fairScheduler")


def _node(node: object) -> Node:
    memory_used, memory_free = count(node, "usedMemoryMB"), _left(node, "availMemoryMB")
    cores_used, cores_free = count(node, "usedVirtualCores"), _left(node, "availableVirtualCores")
    return Node(
        cores_total=cores_used + cores_free,
        cores_free=cores_free,
        memory_total_mib=memory_used + memory_free,
        memory_free_mib=memory_free,
    )


def _left(node: object, name: str) -> int:
    # A node whose resources were lowered while in use has less than nothing left.
    value = part(node, name)
    return 0 if isinstance(value, int) and value < 0 else count(node, name)


def _step(info: object, conf: HadoopConf) -> int:
    """Give what amounts of memory are rounded up to a multiple of.

    CapacityScheduler takes the smallest container for it, FairScheduler an increment of its own
    (`AbstractYarnScheduler.getNormalizedResource` and FairScheduler's).
    """
    if _is_fair(info):
        names: tuple[str, ...] = (
            "yarn.resource-types.memory-mb.increment-allocation",
            "yarn.scheduler.increment-allocation-mb",
        )
    else:
        names = ("yarn.scheduler.minimum-allocation-mb",)
        told = _told_minimum(info)
        if told:
            return told
    for name in names:
        value = conf.get(name) or ""
        if value.isascii() and value.isdigit() and int(value[:15]) > 0:
            return int(value[:15])
    return _DEFAULT_STEP


def _told_minimum(info: object) -> int:
    """Give the smallest container as newer versions tell it, 0 when they do not."""
    for partition in items(part(info, "capacities") or {}, "queueCapacitiesByPartition"):
        minimum = part(partition, "configuredMinResource") or {}
        resources = part(minimum, "resourceInformations") or {}
        for resource in items(resources, "resourceInformation"):
            if part(resource, "name") == "memory-mb":
                return count(resource, "minimumAllocation")
    return 0


def _queues(info: object, memory: int) -> Iterator[Queue]:
    """Give the queues that applications can be put into, which have none below them."""
    waiting = [part(info, "rootQueue") or info]
    while waiting:
        queue = waiting.pop()
        below = part(queue, "queues") or part(queue, "childQueues")
        if below:
            waiting += items(below, "queue")
            continue
        name = queue_name(part(queue, "queueName"))
        if name is not None:
            yield Queue(
                name=name,
                open=part(queue, "state") in (None, "RUNNING"),
                memory_free_mib=_queue_free(queue, memory),
                waiting=_waiting(queue),
            )


def _waiting(queue: object) -> int:
    for name in ("numPendingApplications", "numPendingApps"):
        if part(queue, name) is not None:
            return count(queue, name)
    return 0


def _queue_free(queue: object, memory: int) -> int | None:
    used = part(queue, "resourcesUsed") or part(queue, "usedResources")
    most = part(queue, "maxEffectiveCapacity") or part(queue, "maxResources")
    if used is None:
        return None
    if most is not None:
        limit = count(most, "memory")
    elif part(queue, "absoluteMaxCapacity") is not None:
        # Per cent of the cluster's memory.
        limit = memory * count(queue, "absoluteMaxCapacity") // 100
    else:
        return None
    return max(0, limit - count(used, "memory"))
