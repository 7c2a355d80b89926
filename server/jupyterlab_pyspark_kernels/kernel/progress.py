"""What Spark works on: its jobs and their stages, told while they run; and the end of one.

A thread looks at Spark while a cell or a job runs and somebody listens, and asks nothing otherwise.
What is looked at is what Spark's own pages show, which is there also without them.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any, Dict, List, Optional, Set, Union

from .cells import Cells
from .status import Status

Job = Dict[str, Any]
JobId = Union[int, str]

_PACE_SECONDS, _SLOWEST_PACE_SECONDS = 0.5, 2.0
_PAUSES = 20
"""How many times longer than a look took nobody looks again: what is shown costs the job little."""
_STILL_LOOKS = 4
"""How often more to look when all is done: Spark's pages hear of it a moment later."""
_LOST_LOOKS = 20
"""After how many looks a job is given up that Spark does not run, but never said it had ended."""
_JOBS = 20
"""The most jobs that are told of: in one pace not many more can begin and end."""
_STAGES = 100
_STAGES_OF_A_JOB = 20
_NAME_LENGTH = 200

_JOB_STATES = {"RUNNING": "running", "SUCCEEDED": "succeeded", "FAILED": "failed"}
_STAGE_STATES = {
    "ACTIVE": "running",
    "COMPLETE": "succeeded",
    "PENDING": "waiting",
    "FAILED": "failed",
    "SKIPPED": "skipped",
}
_NOWHERE = re.compile(r" at (NativeMethodAccessorImpl|<unknown>|\S*ipykernel_|<ipython-).*")
"""Places in a program that tell nobody anything: of py4j, and of what a cell is for Python."""


class Progress:
    """Tells of Spark's jobs, and cancels one.

    Args:
        status: who tells those who listen.
        cells: which cell runs.
    """

    def __init__(self, status: Status, cells: Cells) -> None:
        self._status = status
        self._cells = cells
        self._source: Any = None
        self._told: Optional[Dict[str, Any]] = None
        self._thread: Optional[threading.Thread] = None

    def begin(self, objects: Dict[str, Any]) -> None:
        """Follow a Spark that is there, which perhaps came back."""
        self._source = (_Classic if "sc" in objects else _Connect)(objects, self._cells)
        # The cell that waited for Spark runs on.
        self._cells.woken.set()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="pyspark-kernels-progress", daemon=True
            )
            self._thread.start()

    def cancel(self, job: Any) -> None:
        """End one job that runs; any other id is that of nothing."""
        source = self._source
        running = [found["id"] for found in (self._told or nothing())["jobs"] if is_running(found)]
        if type(job) in (int, str) and job in running:
            # It may end by itself at this moment, and Spark with it.
            with suppress(*source.errors):
                source.cancel(job)

    def _run(self) -> None:
        while True:
            self._cells.woken.wait()
            self._cells.woken.clear()
            try:
                self._follow()
            except Exception:  # noqa: BLE001 - a notebook must not suffer from what only watches
                with open(self._status.log, "a", encoding="utf-8") as log:
                    log.write(f"Spark's jobs are not shown any longer.\n{traceback.format_exc()}")
                self._tell(nothing())
                return

    def _follow(self) -> None:
        """Look until no cell runs and no job does."""
        still, pause = 0, _PACE_SECONDS
        while still < _STILL_LOOKS:
            time.sleep(pause)
            begun = time.monotonic()
            still = 0 if self._look() or self._cells.running else still + 1
            took = time.monotonic() - begun
            pause = min(max(_PACE_SECONDS, _PAUSES * took), _SLOWEST_PACE_SECONDS)

    def _look(self) -> bool:
        """Tell what there is, and whether anything runs."""
        if not self._status.has_listeners:
            return False
        try:
            jobs = self._source.look()
        except self._source.errors:
            # It was stopped, or ended, while we asked; whoever stopped it may start another.
            self._source.forget()
            jobs = []
        told = activity(jobs, self._cells)
        self._tell(told)
        return told["running"] is not None

    def _tell(self, told: Dict[str, Any]) -> None:
        if told != (self._told or nothing()):
            self._told = told
            self._status.show({**told, "at": now()})


# --- what is told ---------------------------------------------------------------------------------


def now() -> int:
    """Give the time as Spark does, in milliseconds."""
    return int(time.time() * 1000)


def nothing() -> Dict[str, Any]:
    """Give what is told where there are no jobs."""
    return {"running": None, "jobs": [], "more": 0}


def activity(jobs: List[Job], cells: Cells) -> Dict[str, Any]:
    """Put together what is told.

    Args:
        jobs: as a source gives them, the newest first.
        cells: which know the jobs' cells by name.
    """
    running = [job for job in jobs if is_running(job)]
    # Also an old one that still runs is told of before a new one that has ended.
    shown = sorted(jobs, key=is_running, reverse=True)[:_JOBS]
    return {
        "running": _sum(running) if running else None,
        "jobs": [_with_names(job, cells) for job in shown],
        "more": max((job["number"] for job in jobs), default=-1) + 1 - len(shown),
    }


def is_running(job: Job) -> bool:
    """Tell whether a job runs."""
    return bool(job["state"] == "running")


def _sum(jobs: List[Job]) -> Dict[str, Any]:
    tasks = [job["tasks"] for job in jobs]
    return {
        "jobs": len(jobs),
        "stages": sum(is_running(stage) for job in jobs for stage in job["stages"]),
        "tasks": {key: sum(each[key] for each in tasks) for key in tasks[0]},
    }


def _with_names(job: Job, cells: Cells) -> Job:
    told = {key: value for key, value in job.items() if key not in ("number", "cell")}
    message, cell = cells.names(job["cell"])
    return {**told, "cell": message, "cell_id": cell}


# --- a Spark whose driver is this kernel's own JVM ------------------------------------------------


class _Classic:
    """Spark's jobs, as its driver keeps them for its pages."""

    def __init__(self, objects: Dict[str, Any], cells: Cells) -> None:
        from py4j.protocol import Py4JError

        # A context that was stopped has no Java object.
        self.errors = (AttributeError, Py4JError, OSError)
        self._cells = cells
        self.forget()

    def forget(self) -> None:
        """Know nothing of any context."""
        self._store: Optional[_Store] = None
        self._jobs: List[Job] = []
        self._total = 0
        self._cell_of: Dict[int, int] = {}
        self._cancelled: Set[int] = set()
        self._lost = 0

    def look(self) -> List[Job]:
        """Give the newest jobs, the newest first."""
        from pyspark import SparkContext

        # Whichever runs: the notebook may have stopped ours and started another.
        context = SparkContext._active_spark_context
        if self._store is None or self._store.context is not context:
            self.forget()
            self._store = _Store(context)
        total = self._store.total()
        # A short job may have begun and ended since.
        if total != self._total or any(map(is_running, self._jobs)):
            self._jobs = self._read(self._store)
            # Spark counts a job before its pages have it.
            self._total = max((job["number"] + 1 for job in self._jobs), default=0)
        return self._jobs

    def cancel(self, job: int) -> None:
        """End a job; its cell gets Spark's own error."""
        if self._store is not None:
            self._cancelled.add(job)
            self._store.context._jsc.sc().cancelJob(job, "in the notebook")

    def _read(self, store: _Store) -> List[Job]:
        # First, as a job ends after its stages: those of one that failed then say why.
        found = store.jobs()
        stages: Dict[int, Dict[str, Any]] = {}
        for stage in store.stages():
            # The newest attempt comes first.
            stages.setdefault(stage["stageId"], stage)
        jobs = []
        for data in found:
            number = data["jobId"]
            cell = self._cell_of.setdefault(number, self._cells.number(data["jobTags"]))
            jobs.append(job_of(data, stages, cell, number in self._cancelled))
        self._lost = self._lost + 1 if any(map(is_running, jobs)) and not store.works() else 0
        if self._lost > _LOST_LOOKS:
            # Spark's pages miss what happened when too much happens at once.
            jobs = [job for job in jobs if not is_running(job)]
        return jobs


class _Store:
    """What the driver of a context knows: read as JSON, which costs a call and not hundreds."""

    def __init__(self, context: Any) -> None:
        self.context = context
        spark, jvm = context._jsc.sc(), context._jvm
        self._scheduler = spark.dagScheduler()
        self._store = spark.statusStore()
        self._running = jvm.java.util.ArrayList()
        self._running.add(jvm.org.apache.spark.JobExecutionStatus.RUNNING)
        self._no_quantiles = context._gateway.new_array(jvm.double, 0)
        self._json = _json_writer(jvm)

    def total(self) -> int:
        """Count all jobs so far."""
        return int(self._scheduler.numTotalJobs())

    def works(self) -> bool:
        """Tell whether there is a job for the scheduler, which knows for certain."""
        return int(self._scheduler.activeJobs().size()) > 0

    def jobs(self) -> List[Dict[str, Any]]:
        """Give the newest jobs, and those that still run."""
        newest = self._read(self._store.jobsList(None), _JOBS)
        numbers = {job["jobId"] for job in newest}
        running = self._read(self._store.jobsList(self._running), _JOBS)
        return newest + [job for job in running if job["jobId"] not in numbers]

    def stages(self) -> List[Dict[str, Any]]:
        """Give the newest stages, and before them those that run."""
        newest = self._store.stageList(None, False, False, self._no_quantiles, None)
        return self._read(self._store.activeStages(), _STAGES) + self._read(newest, _STAGES)

    def _read(self, found: Any, limit: int) -> List[Dict[str, Any]]:
        read: List[Dict[str, Any]] = json.loads(self._json.writeValueAsString(found.take(limit)))
        return read


def _json_writer(jvm: Any) -> Any:
    """Give what Spark writes its own REST answers with, without what nobody reads of a stage."""
    jackson = jvm.com.fasterxml.jackson
    writer = jackson.databind.ObjectMapper()
    module = getattr(jackson.module.scala, "DefaultScalaModule$")
    writer.registerModule(getattr(module, "MODULE$"))
    unread = jvm.java.util.HashSet()
    for name in ("details", "accumulatorUpdates", "rddIds", "peakExecutorMetrics"):
        unread.add(name)
    stage = jvm.java.lang.Class.forName("org.apache.spark.status.api.v1.StageData")
    ignorals = jackson.annotation.JsonIgnoreProperties.Value.forIgnoredProperties(unread)
    writer.configOverride(stage).setIgnorals(ignorals)
    return writer


def job_of(
    data: Dict[str, Any], stages: Dict[int, Dict[str, Any]], cell: int, cancelled: bool
) -> Job:
    """Make what is told of a job.

    Args:
        data: the job, as Spark's REST interface has it.
        stages: likewise, by their ids.
        cell: the number of its cell.
        cancelled: whether we have asked Spark to cancel it.
    """
    found = [stages[stage] for stage in data["stageIds"] if stage in stages]
    state = _JOB_STATES.get(data["status"], "running")
    # An interrupt cancels as well, and Spark says so only where it gives the reason.
    words = f"Job {data['jobId']} cancelled"
    cancelled = cancelled or any(words in (stage["failureReason"] or "") for stage in found)
    shown = sorted(found, key=lambda stage: (stage["status"] == "ACTIVE", stage["stageId"]))
    return {
        "id": data["jobId"],
        "number": data["jobId"],
        "name": (data["description"] or _NOWHERE.sub("", data["name"]))[:_NAME_LENGTH],
        "cell": cell,
        "state": "cancelled" if state == "failed" and cancelled else state,
        "submitted": data["submissionTime"],
        "ended": data["completionTime"],
        "tasks": _tasks_of(data, data["numTasks"] - data["numSkippedTasks"]),
        "stages": sorted(
            map(_stage_of, shown[-_STAGES_OF_A_JOB:]), key=lambda stage: int(stage["id"])
        ),
    }


def _stage_of(data: Dict[str, Any]) -> Dict[str, Any]:
    state = _STAGE_STATES.get(data["status"], "waiting")
    # Spark has no such state; its reason begins with the job that was cancelled.
    cancelled = re.search(r"Job \d+ cancelled", data["failureReason"] or "")
    return {
        "id": data["stageId"],
        "name": _NOWHERE.sub("", data["name"])[:_NAME_LENGTH],
        "state": "cancelled" if state == "failed" and cancelled else state,
        "submitted": data["submissionTime"],
        "ended": data["completionTime"],
        "tasks": _tasks_of(data, data["numTasks"]),
    }


def _tasks_of(data: Dict[str, Any], tasks: int) -> Dict[str, int]:
    return {
        "done": data["numCompletedIndices"],
        "running": data["numActiveTasks"],
        "failed": data["numFailedTasks"],
        "all": tasks,
    }


# --- a Spark Connect server -----------------------------------------------------------------------


class _Connect:
    """The operations of a session on a Spark Connect server, as it reports them since Spark 4.0.

    It tells neither of failed tasks nor of names; its reports come while an operation is waited
    for, in the thread that waits.
    """

    def __init__(self, objects: Dict[str, Any], cells: Cells) -> None:
        from grpc import RpcError
        from pyspark.errors import PySparkException

        self.errors = (PySparkException, RpcError)
        self._cells = cells
        self._session = objects["spark"]
        self._lock = threading.Lock()
        self._jobs: Dict[str, Job] = {}
        self._count = 0
        self._errors_before: Dict[str, Optional[BaseException]] = {}
        self._cancelled: Set[str] = set()
        if hasattr(self._session, "registerProgressHandler"):
            self._session.registerProgressHandler(self._hear)

    def forget(self) -> None:
        """Nothing is asked of the server here."""

    def look(self) -> List[Job]:
        """Give the newest operations, the newest first."""
        with self._lock:
            return [dict(job) for job in reversed(list(self._jobs.values()))]

    def cancel(self, job: str) -> None:
        """End an operation; its cell gets Spark's own error."""
        self._cancelled.add(job)
        self._session.interruptOperation(job)

    def _hear(
        self, stages: Any, inflight_tasks: int, operation_id: Optional[str], done: bool
    ) -> None:
        with self._lock:
            job = self._jobs.get(operation_id or "")
            if job is None:
                if done or not operation_id:
                    # It had nothing to do.
                    return
                job = self._add(operation_id)
            if job["state"] != "running":
                return
            job["stages"] = sorted(map(_reported, stages), key=lambda stage: int(stage["id"]))
            job["tasks"] = {
                key: sum(stage["tasks"][key] for stage in job["stages"])
                for key in ("done", "failed", "all")
            }
            job["tasks"]["running"] = inflight_tasks
            if done:
                self._end(job)
            job["stages"] = job["stages"][-_STAGES_OF_A_JOB:]

    def _add(self, operation: str) -> Job:
        self._jobs[operation] = job = {
            "id": operation,
            "number": self._count,
            "name": "",
            "cell": self._cells.last,
            "state": "running",
            "submitted": now(),
            "ended": None,
        }
        self._count += 1
        # Code that handles an error may well use Spark.
        self._errors_before[operation] = sys.exc_info()[1]
        for old in [key for key, job in self._jobs.items() if not is_running(job)][:-_JOBS]:
            del self._jobs[old]
        return job

    def _end(self, job: Job) -> None:
        error = sys.exc_info()[1]
        failed = error is not self._errors_before.pop(job["id"])
        cancelled = job["id"] in self._cancelled or "OPERATION_CANCELED" in str(error)
        self._cancelled.discard(job["id"])
        job["state"] = ("cancelled" if cancelled else "failed") if failed else "succeeded"
        job["ended"] = now()
        job["tasks"]["running"] = 0
        for stage in job["stages"]:
            if stage["state"] == "running":
                stage["state"] = "failed" if failed else "succeeded"
        if not failed:
            # The last report may be of before the end, and counts stages that need not run.
            job["tasks"]["done"] = job["tasks"]["all"] = _finish(job["stages"])


def _finish(stages: List[Dict[str, Any]]) -> int:
    """Complete the stages of an operation that succeeded, and count their tasks."""
    for stage in stages:
        if stage["state"] == "waiting":
            stage["state"] = "skipped"
        else:
            stage["tasks"]["done"] = stage["tasks"]["all"]
    return sum(stage["tasks"]["done"] for stage in stages)


def _reported(stage: Any) -> Dict[str, Any]:
    done, tasks = stage.num_completed_tasks, stage.num_tasks
    return {
        "id": stage.stage_id,
        "name": "",
        "state": "succeeded" if stage.done else "running" if done else "waiting",
        "submitted": None,
        "ended": None,
        "tasks": {"done": done, "running": 0, "failed": 0, "all": tasks},
    }
