"""What a kernel's Spark has used, and how large it would have had to be. Pure.

The rules of a suggestion:

- Nothing is said of runs in which tasks took less than `LEAST_TASK_SECONDS` of cores altogether.
- Memory is the largest peak of the heap in the last runs, and 30 % more, as a peak is seen only now
  and then; rounded up to 256 MiB, and 1 GiB at least: of a heap Spark reserves 300 MiB and wants
  1.5 times that to start at all (`UnifiedMemoryManager`), and 1 GiB is its own default.
- It is more than there is now only when Spark went short: it spilled to disk, collected garbage
  for more than a tenth of the tasks' time (where Spark's UI turns red), or tasks failed while a
  heap was nearly full. What went short is not made smaller.
- Cores are as many as tasks kept busy on average while jobs ran, and half as many again, and never
  more than there are. On a local master they are left alone, as they cost nobody anything, and with
  dynamic allocation, which gives them back by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from .clusters import Kubernetes, Local, Standalone, Yarn, parse_master
from .config import KernelConfig
from .memory import parse_memory
from .models import Remark

LEAST_TASK_SECONDS = 60
"""A minute of one core: less says nothing of how large a kernel should be."""

_HEADROOM = 1.3
_STEP_MIB = 256
_LEAST_MIB = 1024
_GC_SHARE = 0.1
_NEARLY_FULL = 0.9
_CORES_HEADROOM = 1.5
_INSTANCES = 2
"""`spark.executor.instances`, when not set: YARN's and Kubernetes' default."""

_MIB = 1024**2
_MOST = 1e15

Count = Annotated[int, Field(ge=0, le=_MOST)]
Seconds = Annotated[float, Field(ge=0, le=_MOST, allow_inf_nan=False)]


class Receipt(BaseModel):
    """What a Spark held, and what was used of it, from its start to its end."""

    model_config = ConfigDict(frozen=True, strict=True)

    at: datetime = Field(description="When it was made, in UTC.")
    ended: Literal["stopped", "idle", "exit", "lost"] = Field(
        description="How Spark ended: stopped in a notebook, stopped as it was idle, with its "
        "kernel, or without a word."
    )
    complete: bool = Field(
        description="Whether the last figures are of its end, and not of some seconds before."
    )
    seconds: Seconds = Field(description="How long Spark was there.")
    busy_seconds: Seconds = Field(description="How much of that time a job ran.")
    core_seconds: Seconds = Field(description="Each executor's cores times its lifetime.")
    task_seconds: Seconds = Field(description="The time of all tasks times the cores of each.")
    idle: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        description="The share of the core-seconds in which no task ran."
    )
    gc_seconds: Seconds = Field(description="How long executors collected garbage.")
    local: bool = Field(description="Whether the driver did the work.")
    executors: Count = Field(description="How many there were at once, at most.")
    cores: Count = Field(description="The cores of one executor.")
    memory_mib: Count = Field(
        description="The heap that each executor was given; on a local master the driver."
    )
    peak_mib: Count = Field(description="The largest use that was seen of one such heap, at least.")
    driver_memory_mib: Count = Field(description="The heap that the driver was given.")
    driver_peak_mib: Count = Field(description="The largest use that was seen of it, at least.")
    off_heap_peak_mib: Count = Field(description="The same of a JVM's memory besides the heap.")
    python_peak_mib: Count | None = Field(
        description="The same of the Python workers of one executor; null when Spark does not look."
    )
    spilled_mib: Count = Field(description="What did not fit into memory and went to disks.")
    failed_jobs: Count = Field(description="Jobs that failed, or were cancelled.")
    failed_stages: Count
    failed_tasks: Count


class Suggestion(BaseModel):
    """What of a kernel could be resized to what was used."""

    model_config = ConfigDict(frozen=True)

    changes: dict[str, JsonValue] = Field(
        description="The new values, by fields of KernelConfig; empty when it is well as it is."
    )
    remarks: list[Remark] = Field(description="Why, field by field, or why not.")


class KernelReceipt(BaseModel):
    """The last receipt of a kernel, and what follows from the last few."""

    model_config = ConfigDict(frozen=True)

    receipt: Receipt | None = Field(description="Null when no Spark of it has stopped yet.")
    runs: int = Field(description="How many of the last runs are remembered.")
    suggestion: Suggestion


def suggest(config: KernelConfig, runs: Sequence[Receipt]) -> Suggestion:
    """Suggest sizes for a kernel by what its last runs have used.

    Args:
        config: the kernel as it is now.
        runs: the receipts of its last runs, the last one last.

    """
    master = parse_master(config.master)
    # A kernel that has moved to another kind of master begins anew.
    alike = [run for run in runs if run.local == isinstance(master, Local)]
    if not alike:
        return _nothing("No Spark of this kernel has stopped yet.")
    if max(run.task_seconds for run in alike) < LEAST_TASK_SECONDS:
        return _nothing(
            f"The last runs used less than {LEAST_TASK_SECONDS} core-seconds each, which is too "
            "little to say what the kernel needs."
        )
    found = [*_memory(config, alike), *_cores(config, alike)]
    changes = {field: value for field, value, _ in found}
    remarks = [Remark(field=field, message=why) for field, _, why in found]
    if not found:
        remarks = [Remark(field="", message="It has about what it needs.")]
    return Suggestion(changes=changes, remarks=remarks)


_Change = tuple[str, JsonValue, str]


def _memory(config: KernelConfig, runs: Sequence[Receipt]) -> Iterator[_Change]:
    last = runs[-1]
    peak = max(run.peak_mib for run in runs)
    short = _why_short(last)
    field = "driver_memory" if last.local else "executor_memory"
    yield from _resized(field, config, peak, last.memory_mib, short)
    if not last.local:
        peak = max(run.driver_peak_mib for run in runs)
        yield from _resized("driver_memory", config, peak, last.driver_memory_mib, None)


def _resized(
    field: str, config: KernelConfig, peak: int, given: int, short: str | None
) -> Iterator[_Change]:
    """Resize one heap.

    Args:
        field: of the config.
        config: the kernel.
        peak: the largest use that was seen, in MiB.
        given: what the last run had, in MiB: where nothing is said, Spark knows.
        short: why the last run had too little, if it had.

    """
    said = getattr(config, field)
    now = given if said is None else parse_memory(said) // _MIB
    wanted = max(_LEAST_MIB, math.ceil(peak * _HEADROOM / _STEP_MIB) * _STEP_MIB)
    if peak == 0 or wanted == now or (wanted > now) != (short is not None):
        return
    why = f"At most {peak} of {now} MiB were seen in use"
    why += f", and {short}." if short else ", in all the runs that are remembered."
    yield field, _amount(wanted), why


def _why_short(run: Receipt) -> str | None:
    if run.spilled_mib > 0:
        return f"{run.spilled_mib} MiB did not fit and went to disk"
    if run.gc_seconds > _GC_SHARE * run.task_seconds:
        return f"{run.gc_seconds:g} of {run.task_seconds:g} s went into collecting garbage"
    if run.failed_tasks and run.peak_mib > _NEARLY_FULL * run.memory_mib:
        return "tasks failed while it was nearly full"
    return None


def _cores(config: KernelConfig, runs: Sequence[Receipt]) -> Iterator[_Change]:
    master, last = parse_master(config.master), runs[-1]
    if config.conf.get("spark.dynamicAllocation.enabled", "").lower() == "true":
        return
    working = [run for run in runs if run.task_seconds >= LEAST_TASK_SECONDS and run.busy_seconds]
    if not working or not last.cores:
        return
    busy = max(run.task_seconds / run.busy_seconds for run in working)
    needed = math.ceil(busy * _CORES_HEADROOM)
    why = f"While jobs ran, they kept {busy:.1f} cores busy on average."
    if isinstance(master, Standalone):
        step = config.executor_cores or 1
        cores = math.ceil(needed / step) * step
        if cores < (config.cores_max or last.executors * last.cores):
            yield "cores_max", cores, why
    elif isinstance(master, Yarn | Kubernetes):
        executors = math.ceil(needed / (config.executor_cores or 1))
        if executors < (config.executor_instances or _INSTANCES):
            yield "executor_instances", executors, why


def _amount(mib: int) -> str:
    return f"{mib // 1024}g" if mib % 1024 == 0 else f"{mib}m"


def _nothing(why: str) -> Suggestion:
    return Suggestion(changes={}, remarks=[Remark(field="", message=why)])
