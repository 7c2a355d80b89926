"""Whether a kernel's executors fit into its cluster: what one takes, and what the cluster has.

`demand` and `fit` are pure; `look` asks the cluster.
"""

from __future__ import annotations

import math
import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, computed_field

from .clusters import (
    Booking,
    Capacity,
    Kubernetes,
    LocalCluster,
    NoAnswer,
    Node,
    Queue,
    Standalone,
    Yarn,
    parse_master,
)
from .clusters.kubernetes import quantity
from .config import KernelConfig, read_config
from .errors import FieldError, Invalid, quoted
from .memory import SPARK_MINIMUM, parse_memory
from .render import settings as spark_settings

SECONDS = 5.0
"""How long a cluster may take to tell its figures."""

_MIB = 1024**2
_HEAP = "1g"
"""`spark.executor.memory`, when not set."""

_INSTANCES = 2
"""`spark.executor.instances`, when not set: YARN's and Kubernetes' default."""

_LEAST_OVERHEAD = 384
"""MiB; `ResourceProfile.MEMORY_OVERHEAD_MIN_MIB` in Spark's sources."""

_FACTOR = 0.1
"""`spark.executor.memoryOverheadFactor`, when not set. Kubernetes' 0.4 for Python is for drivers
in the cluster alone (`BasicDriverFeatureStep`); a notebook's driver is its kernel."""


@dataclass(frozen=True)
class Overhead:
    """How much an executor takes besides its heap (`ResourceProfile.calculateOverHeadMemory`).

    Attributes:
        fixed: MiB, whatever the heap; `None` when it goes by the heap.
        factor: of the heap.
        least: MiB.

    """

    fixed: int | None = None
    factor: float = _FACTOR
    least: int = _LEAST_OVERHEAD

    def of(self, heap: int) -> int:
        """Give the overhead of a heap, both in MiB."""
        return max(int(self.factor * heap), self.least) if self.fixed is None else self.fixed


class Demand(BaseModel):
    """What one executor of a kernel takes, and how many the kernel asks for."""

    model_config = ConfigDict(frozen=True)

    cores: float | None = Field(description="Null when it takes every free core of its node.")
    heap_mib: int
    off_heap_mib: int
    python_mib: int = Field(description="Memory set apart for Python.")
    overhead: Overhead = Field(exclude=True)
    step_mib: int = Field(exclude=True)
    executors: int | None = Field(description="How many are asked for; null for all that fit.")
    cores_max: int | None = Field(description="The most cores of all executors together.")
    application_mib: int = Field(
        description="What YARN's application master takes besides, 0 elsewhere."
    )
    queue: str | None = Field(description="The queue that YARN puts it into.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def overhead_mib(self) -> int:
        """What Spark adds to the heap."""
        return self.overhead.of(self.heap_mib)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def memory_mib(self) -> int:
        """What the cluster books for it: everything together, rounded up."""
        parts = self.heap_mib + self.overhead_mib + self.off_heap_mib + self.python_mib
        return _rounded(parts, self.step_mib)

    def with_heap(self, heap: int) -> Demand:
        """Give the demand with another heap, in MiB."""
        return self.model_copy(update={"heap_mib": heap})


class Fit(BaseModel):
    """How a demand and a capacity go together."""

    model_config = ConfigDict(frozen=True)

    now: int = Field(description="How many executors the cluster would start now.")
    ever: bool = Field(description="Whether one could start, were nothing else in the cluster.")
    advice: tuple[FieldError, ...]


class ClusterReport(BaseModel):
    """What the form says of the cluster."""

    model_config = ConfigDict(frozen=True)

    summary: str = Field(description="All of it in a sentence or two.")
    problem: str | None = Field(description="Why there are no figures of the cluster, if so.")
    capacity: Capacity | None
    demand: Demand | None = Field(description="Null where there are no executors.")
    fit: Fit | None


_OF_EXECUTORS = frozenset(
    (
        *("master", "executor_memory", "executor_cores", "executor_instances", "cores_max"),
        *("conf", "env"),
    )
)

ASKED_ABOUT = _OF_EXECUTORS | {"environment", "spark_home"}
"""The fields that the report depends on, by the spark-defaults.conf of the Spark as well."""


def read_question(data: object) -> KernelConfig:
    """Check the fields that tell of executors; a form that is half filled in gets a report too.

    Raises:
        Invalid: with every one of them that is wrong.

    """
    if not isinstance(data, Mapping):
        return read_config(data)
    asked = {name: value for name, value in data.items() if name in _OF_EXECUTORS}
    return read_config({**asked, "display_name": "k", "environment": "/"})


# --- what one executor takes --------------------------------------------------------------------


def demand(
    config: KernelConfig,
    booking: Booking | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Demand | None:
    """Tell what one executor takes, as the kernel's kind of cluster counts it.

    Args:
        config: the kernel.
        booking: how the cluster books memory; without it nothing is rounded.
        defaults: `spark.*` settings of the Spark installation, which the kernel's win over.

    Returns:
        the demand, or `None` where the kernel has no executors.

    Raises:
        Invalid: when a setting that it depends on is malformed.

    """
    master = parse_master(config.master)
    found = _Settings({**(defaults or {}), **spark_settings(config)})
    if isinstance(master, Standalone | LocalCluster):
        return _standalone_demand(found)
    step = (booking or Booking()).step_mib
    if isinstance(master, Yarn):
        return _yarn_demand(found, step)
    if isinstance(master, Kubernetes):
        return _kubernetes_demand(found, step)
    return None


def _standalone_demand(found: _Settings) -> Demand:
    """Count the heap alone, as the master does (`ApplicationDescription.memoryPerExecutorMB`)."""
    cores, cores_max = found.count("spark.executor.cores"), found.count("spark.cores.max")
    together = cores_max // cores if cores and cores_max else None
    return Demand(
        cores=cores,
        heap_mib=found.mib("spark.executor.memory", _HEAP),
        off_heap_mib=0,
        python_mib=0,
        overhead=Overhead(fixed=0),
        step_mib=1,
        executors=_least(together, found.count("spark.dynamicAllocation.maxExecutors"))
        if found.is_true("spark.dynamicAllocation.enabled")
        else together,
        cores_max=cores_max,
        application_mib=0,
        queue=None,
    )


def _yarn_demand(found: _Settings, step: int) -> Demand:
    master = found.mib("spark.yarn.am.memory", "512m")
    master_overhead = Overhead(found.optional_mib("spark.yarn.am.memoryOverhead"))
    return Demand(
        cores=found.count("spark.executor.cores") or 1,
        heap_mib=found.mib("spark.executor.memory", _HEAP),
        off_heap_mib=found.off_heap(),
        python_mib=found.optional_mib("spark.executor.pyspark.memory") or 0,
        overhead=found.overhead("spark.executor.memoryOverheadFactor"),
        step_mib=step,
        executors=found.executors(),
        cores_max=None,
        application_mib=_rounded(master + master_overhead.of(master), step),
        queue=found.get("spark.yarn.queue") or "default",
    )


def _kubernetes_demand(found: _Settings, step: int) -> Demand:
    """Count what `BasicExecutorFeatureStep` asks for in client mode, where Python has no share."""
    return Demand(
        cores=found.cores_of_pod() or found.count("spark.executor.cores") or 1,
        heap_mib=found.mib("spark.executor.memory", _HEAP),
        off_heap_mib=found.off_heap(),
        python_mib=0,
        overhead=found.overhead(
            "spark.executor.memoryOverheadFactor", "spark.kubernetes.memoryOverheadFactor"
        ),
        step_mib=step,
        executors=found.executors(),
        cores_max=None,
        application_mib=0,
        queue=None,
    )


class _Settings:
    """Reads `spark.*` settings, and says which one is malformed.

    Args:
        values: by their keys.

    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def get(self, key: str) -> str | None:
        return self._values.get(key)

    def is_true(self, key: str) -> bool:
        return self._values.get(key, "").lower() == "true"

    def count(self, key: str) -> int | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and 0 < len(value) < 10):
            raise _malformed(key, value, "a whole number")
        return int(value)

    def optional_mib(self, key: str) -> int | None:
        return self.mib(key, "") if key in self._values else None

    def mib(self, key: str, default: str, unit: str = "m") -> int:
        value = self._values.get(key, default)
        amount = f"{value}{unit}" if value.isdigit() else value
        if amount in ("0", "0b", "0m"):
            return 0
        try:
            return parse_memory(amount) // _MIB
        except ValueError:
            raise _malformed(key, value, "an amount of memory, such as 512m or 4g") from None

    def off_heap(self) -> int:
        if not self.is_true("spark.memory.offHeap.enabled"):
            return 0
        # Bare numbers count bytes here, and MiB in the other settings.
        return self.mib("spark.memory.offHeap.size", "0", "b")

    def overhead(self, *factors: str) -> Overhead:
        factor = next((key for key in factors if key in self._values), None)
        return Overhead(
            fixed=self.optional_mib("spark.executor.memoryOverhead"),
            factor=_FACTOR if factor is None else self._fraction(factor),
            least=self.mib("spark.executor.minMemoryOverhead", f"{_LEAST_OVERHEAD}m"),
        )

    def executors(self) -> int | None:
        if self.is_true("spark.dynamicAllocation.enabled"):
            return self.count("spark.dynamicAllocation.maxExecutors")
        return self.count("spark.executor.instances") or _INSTANCES

    def cores_of_pod(self) -> float | None:
        key = "spark.kubernetes.executor.request.cores"
        value = self._values.get(key)
        try:
            return None if value is None else float(quantity(value))
        except NoAnswer:
            raise _malformed(key, value, "a number of cores, such as 500m or 2") from None

    def _fraction(self, key: str) -> float:
        value = self._values[key]
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < 1000:
            raise _malformed(key, value, "a fraction, such as 0.1")
        return number


def _malformed(key: str, value: object, what: str) -> Invalid:
    return Invalid.at("conf", f"{key} is {quoted(value)}. Write {what}.")


def _rounded(amount: int, step: int) -> int:
    return -(-amount // step) * step


def _least(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)


# --- how many fit -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Room:
    """What a node has for executors: thousandths of cores, and MiB."""

    cores: int
    memory: int


def fit(demand: Demand, capacity: Capacity) -> Fit:
    """Tell how many executors fit, and what to change where too few do.

    Standalone's placing is `Master.scheduleExecutorsOnWorkers`: without a number of cores there is
    one executor on each worker that has the memory and a core.
    """
    free = [_Room(_thousandths(node.cores_free), node.memory_free_mib) for node in capacity.nodes]
    room = _room(demand, capacity, free)
    now = min(room, demand.executors if demand.executors is not None else room)
    ever = not free or _room(demand, capacity, _all_of(capacity.nodes), is_empty=True) > 0
    advice = [
        *_on_the_queue(demand, capacity),
        *(_on_too_few(demand, capacity, now) if ever else _on_never(demand, capacity)),
    ]
    return Fit(now=now, ever=ever, advice=tuple(advice))


def _all_of(nodes: Sequence[Node]) -> list[_Room]:
    return [_Room(_thousandths(node.cores_total), node.memory_total_mib) for node in nodes]


def _thousandths(cores: float) -> int:
    return round(cores * 1000)


def _room(
    demand: Demand, capacity: Capacity, nodes: Sequence[_Room], is_empty: bool = False
) -> int:
    """Count the executors that these nodes take, however many are asked for."""
    booking, memory = capacity.booking, demand.memory_mib
    cores = _thousandths(demand.cores or 1)
    if booking.memory_max_mib is not None and memory > booking.memory_max_mib:
        return 0
    if booking.cores_max is not None and cores > 1000 * booking.cores_max:
        return 0
    counts = []
    for node in _beside_the_application(demand, nodes):
        by_cores = node.cores // cores if booking.cores_count else math.inf
        in_node = int(min(by_cores, node.memory // max(1, memory)))
        counts.append(min(1, in_node) if demand.cores is None else in_node)
    room = sum(counts)
    if demand.cores_max is not None:
        room = min(room, 1000 * demand.cores_max // cores)
    queue = None if is_empty else _queue(demand, capacity)
    if queue is not None and queue.memory_free_mib is not None:
        left = max(0, queue.memory_free_mib - demand.application_mib)
        room = min(room, left // max(1, memory))
    return room


def _beside_the_application(demand: Demand, nodes: Sequence[_Room]) -> list[_Room]:
    """Give what is left once the application master has its place, on the node with most room."""
    left = sorted(nodes, key=lambda node: node.memory, reverse=True)
    if left and demand.application_mib:
        first = left[0]
        left[0] = _Room(max(0, first.cores - 1000), max(0, first.memory - demand.application_mib))
    return left


def _queue(demand: Demand, capacity: Capacity) -> Queue | None:
    # CapacityScheduler calls a queue by its last part and takes its path as well; FairScheduler
    # calls it by its path, which may lack the root.
    path = (demand.queue or "").removeprefix("root.")
    names = {path, f"root.{path}", path.rpartition(".")[2]}
    return next((queue for queue in capacity.queues if queue.name in names), None)


# --- what to say --------------------------------------------------------------------------------


def _on_the_queue(demand: Demand, capacity: Capacity) -> Iterator[FieldError]:
    if demand.queue is None or not capacity.queues:
        return
    queue = _queue(demand, capacity)
    known = ", ".join(queue.name for queue in capacity.queues if queue.open)
    if queue is None and capacity.makes_queues:
        return
    if queue is None:
        message = f"The cluster has no queue {quoted(demand.queue)}"
    elif not queue.open:
        message = f"The queue {quoted(demand.queue)} takes no applications now"
    else:
        return
    yield FieldError("queue", f"{message}. Choose one of: {known}.")


def _on_never(demand: Demand, capacity: Capacity) -> Iterator[FieldError]:
    nodes = _beside_the_application(demand, _all_of(capacity.nodes))
    memory = max(node.memory for node in nodes)
    cores = max(node.cores for node in nodes) // 1000
    if capacity.booking.memory_max_mib is not None:
        memory = min(memory, capacity.booking.memory_max_mib)
    if capacity.booking.cores_max is not None:
        booked = capacity.booking.cores_max
        cores = min(cores, booked) if capacity.booking.cores_count else booked
    least = demand.cores or 1
    if demand.cores_max is not None and demand.cores_max < least:
        yield FieldError(
            "cores_max",
            f"The kernel may take {_plural(demand.cores_max, 'core')} and one executor takes "
            f"{_plural(least, 'core')}, so none can ever start. Set at least {least:g} here, or "
            "fewer executor cores.",
        )
    elif demand.memory_mib > memory:
        yield FieldError(
            "executor_memory",
            f"One executor takes {_parts(demand)} and the cluster has at most {memory} MiB for "
            f"one, so none can ever start. {_smaller_heap(demand, memory)}",
        )
    elif least > cores:
        yield FieldError(
            "executor_cores",
            f"One executor takes {_plural(least, 'core')} and the cluster has at most {cores} for "
            f"one, so none can ever start. Set at most {max(1, cores)}.",
        )
    else:
        yield FieldError(
            "executor_memory",
            f"No node has both {_plural(least, 'core')} and {demand.memory_mib} MiB for one "
            "executor, so none can ever start. Set fewer executor cores or less memory.",
        )


def _on_too_few(demand: Demand, capacity: Capacity, now: int) -> Iterator[FieldError]:
    largest = capacity.largest_node
    if capacity.waiting:
        what = "pod" if capacity.kind == "kubernetes" else "application"
        yield FieldError(
            "",
            f"{_plural(capacity.waiting, what)} of others wait{'s' * (capacity.waiting == 1)} for "
            "room already, and may get it first.",
        )
    if largest is None:
        yield FieldError("", "The cluster has no node that takes executors now. They wait for one.")
    elif now == 0:
        is_memory = demand.memory_mib > largest.memory_free_mib - demand.application_mib
        yield FieldError(
            "executor_memory" if is_memory else "executor_cores",
            f"No executor fits now: it takes {_parts(demand)} and "
            f"{_plural(demand.cores or 1, 'core')}, and the free node with the most memory has "
            f"{largest.memory_free_mib} MiB and {_plural(largest.cores_free, 'core')}. Wait for "
            f"others to end{_or_smaller(demand, largest, is_memory)}.",
        )
    elif demand.executors is not None and now < demand.executors:
        yield FieldError(
            "executor_instances" if demand.cores_max is None else "cores_max",
            f"{now} of {_plural(demand.executors, 'executor')} fit now; the others wait for room.",
        )


def _or_smaller(demand: Demand, node: Node, is_memory: bool) -> str:
    if not is_memory:
        return ", or ask for fewer cores" if 1 <= node.cores_free < (demand.cores or 1) else ""
    heap = _largest_heap(demand, node.memory_free_mib - demand.application_mib)
    return "" if heap is None else f", or set at most {heap}m"


def _smaller_heap(demand: Demand, memory: int) -> str:
    heap = _largest_heap(demand, memory)
    if heap is None:
        return "No executor of Spark is small enough for it."
    return f"Set at most {heap}m."


def _largest_heap(demand: Demand, memory: int) -> int | None:
    """Give the most MiB of heap with which an executor takes no more than so much."""
    fitting = bisect_right(
        range(1, max(1, memory) + 1), memory, key=lambda heap: demand.with_heap(heap).memory_mib
    )
    return fitting if fitting * _MIB >= SPARK_MINIMUM else None


def _parts(demand: Demand) -> str:
    """Say what an executor takes and what that is made of."""
    parts = [
        f"{amount} {what}"
        for amount, what in (
            (demand.heap_mib, "heap"),
            (demand.overhead_mib, "overhead"),
            (demand.off_heap_mib, "off-heap"),
            (demand.python_mib, "Python"),
        )
        if amount
    ]
    if demand.memory_mib == demand.heap_mib:
        return f"{demand.memory_mib} MiB"
    is_round = demand.memory_mib % demand.step_mib == 0 and demand.step_mib > 1
    rounded = f", rounded up to a multiple of {demand.step_mib}" if is_round else ""
    return f"{demand.memory_mib} MiB ({' + '.join(parts)}{rounded})"


def _plural(amount: float, what: str) -> str:
    return f"{amount:g} {what}{'' if amount == 1 else 's'}"


# --- asking -------------------------------------------------------------------------------------


def look(
    config: KernelConfig,
    defaults: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> ClusterReport:
    """Ask the kernel's cluster what it has, and tell whether the kernel's executors fit.

    It blocks as long as it may, and never fails: that there is no answer is an answer.

    Args:
        config: the kernel, whose variables win over those of this process.
        defaults: `spark.*` settings of the Spark installation, which the kernel's win over.
        seconds: how long the cluster may take.

    """
    master = parse_master(config.master)
    if not isinstance(master, Standalone | LocalCluster | Yarn | Kubernetes):
        return _report("There are no executors: the driver does the work.")
    settings = {**(defaults or {}), **spark_settings(config)}
    capacity, problem = _ask(master, settings, {**os.environ, **config.env}, seconds)
    try:
        needed = demand(config, capacity.booking if capacity else None, defaults)
    except Invalid as error:
        return _report(str(error), problem, capacity)
    if needed is None or capacity is None:
        return _report(_summary(needed, None), problem, capacity, needed)
    found = fit(needed, capacity)
    return _report(_summary(needed, found), problem, capacity, needed, found)


def _ask(
    master: Standalone | LocalCluster | Yarn | Kubernetes,
    settings: Mapping[str, str],
    env: Mapping[str, str],
    seconds: float,
) -> tuple[Capacity | None, str | None]:
    try:
        return master.capacity(settings, env, time.monotonic() + seconds), None
    except NoAnswer as error:
        return None, str(error)


def _report(
    summary: str,
    problem: str | None = None,
    capacity: Capacity | None = None,
    demand: Demand | None = None,
    fit: Fit | None = None,
) -> ClusterReport:
    return ClusterReport(
        summary=summary, problem=problem, capacity=capacity, demand=demand, fit=fit
    )


def _summary(demand: Demand | None, fit: Fit | None) -> str:
    if demand is None:
        return ""
    cores = "every free core of its node" if demand.cores is None else _plural(demand.cores, "core")
    takes = f"One executor takes {_parts(demand)} and {cores}."
    if fit is None:
        return takes
    if not fit.ever:
        return f"{takes} None can ever start."
    return f"{takes} {_plural(fit.now, 'executor')} would start now."


__all__ = ["SECONDS", "ClusterReport", "Demand", "Fit", "demand", "fit", "look", "read_question"]
