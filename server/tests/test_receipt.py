"""What a Spark has used, as its launcher tells it when it stops, and what is made of it."""

import json
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from kernels import LIMIT_SECONDS, RunningKernel, running, wait_until
from pydantic import ValidationError

from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.history import follow, last_runs
from jupyterlab_pyspark_kernels.kernel import contents
from jupyterlab_pyspark_kernels.kernel.memory import FLIGHT_VARIABLE, RECEIPT, memory_of
from jupyterlab_pyspark_kernels.kernel.receipt import NOTHING, Meter, added, receipt
from jupyterlab_pyspark_kernels.kernel.start import IDLE_VARIABLE
from jupyterlab_pyspark_kernels.kernel.status import Status
from jupyterlab_pyspark_kernels.policy import within
from jupyterlab_pyspark_kernels.receipts import Receipt, suggest
from jupyterlab_pyspark_kernels.render import render
from jupyterlab_pyspark_kernels.templates import Rule, Template, TemplateFile

Start = Callable[..., Any]
SLEEP = """
def work(partition):
    import time
    time.sleep(1)
    return [1]
assert sc.parallelize(range(2), 2).mapPartitions(work).count() == 2
"""

HEARTBEATS = """
all(
    sc._jsc.sc().statusStore().executorSummary(one).peakMemoryMetrics().isDefined()
    for one in ("0", "1")
)
"""

# --- pure ---------------------------------------------------------------------------------------

ASKED = {"started": 0, "local": False, "cpus": 1, "executor_mib": 2048, "driver_mib": 1024}


def moment(ms: int) -> str:
    return f"1970-01-01T00:{ms // 60_000:02}:{ms // 1000 % 60:02}.{ms % 1000:03}GMT"


def executor(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "totalCores": 2,
        "addTime": moment(0),
        "totalDuration": 0,
        "totalGCTime": 0,
        "failedTasks": 0,
        "peakMemoryMetrics": {"JVMHeapMemory": 2**20},
        **changes,
    }


def job(begin: int, end: int, status: str = "SUCCEEDED") -> dict[str, Any]:
    return {"submissionTime": moment(begin), "completionTime": moment(end), "status": status}


def of(*samples: dict[str, Any], now: int = 10_000, **asked: Any) -> dict[str, Any]:
    total = NOTHING
    for sample in samples:
        total = added(total, sample)
    return receipt(total, {**ASKED, **asked}, now)


def test_what_is_held_and_what_is_used() -> None:
    gone = executor("1", removeTime=moment(4_000), totalDuration=5_000)
    here = executor("2", addTime=moment(2_000), totalDuration=1_000)
    made = of({"executors": [executor("driver", totalCores=0), gone, here]})
    assert made["core_seconds"] == 2 * 4 + 2 * 8
    assert made["task_seconds"] == 6
    assert made["idle"] == 0.75
    assert (made["executors"], made["cores"], made["seconds"]) == (1, 2, 10)
    assert (made["memory_mib"], made["peak_mib"], made["local"]) == (2048, 1, False)


def test_tasks_of_several_cores_use_as_many() -> None:
    sample = {"executors": [executor("1", totalDuration=3_000)]}
    assert of(sample, cpus=2)["task_seconds"] == 6


def test_on_a_local_master_the_driver_is_the_executor() -> None:
    sample = {"executors": [executor("driver")], "driver_heap": 5 * 2**20}
    made = of(sample, local=True)
    assert (made["executors"], made["core_seconds"]) == (1, 20)
    assert made["memory_mib"] == made["driver_memory_mib"] == 1024
    assert made["peak_mib"] == made["driver_peak_mib"] == 5


def test_an_executor_that_spark_has_forgotten_still_counts() -> None:
    gone = executor("1", removeTime=moment(4_000), totalDuration=5_000)
    made = of({"executors": [gone]}, {"executors": [executor("2", addTime=moment(9_000))]})
    assert made["core_seconds"] == 8 + 2


def test_jobs_that_overlap_count_once() -> None:
    made = of({"executors": [], "jobs": [job(0, 3_000), job(5_000, 6_000), job(2_000, 4_000)]})
    assert made["busy_seconds"] == 5


def test_a_peak_stays() -> None:
    big = executor("1", peakMemoryMetrics={"JVMHeapMemory": 9 * 2**20})
    assert of({"executors": [big]}, {"executors": [executor("1")]})["peak_mib"] == 9


def test_what_failed_is_counted() -> None:
    stage = {**job(0, 1, "FAILED"), "executorRunTime": 0, "diskBytesSpilled": 3 * 2**20}
    jobs = [job(0, 1, "FAILED"), job(0, 1)]
    sample = {"executors": [executor("1", failedTasks=4)], "jobs": jobs, "stages": [stage]}
    made = of(sample)
    found = [made[f"failed_{what}"] for what in ("jobs", "stages", "tasks")]
    assert found == [1, 1, 4]
    assert made["spilled_mib"] == 3


def test_nothing_makes_an_empty_receipt() -> None:
    made = of()
    assert made["core_seconds"] == made["idle"] == made["executors"] == 0


@pytest.mark.parametrize("seed", range(200))
def test_properties(seed: int) -> None:
    """However it is told: shares are shares, and in pieces it is the same as at once."""
    chance = random.Random(seed)
    executors = []
    for name in range(chance.randrange(6)):
        begin = chance.randrange(9_000)
        told = executor(
            str(name),
            addTime=moment(begin),
            totalCores=chance.randrange(1, 5),
            totalDuration=chance.randrange(60_000),
            peakMemoryMetrics={"JVMHeapMemory": chance.randrange(2**31)},
        )
        if chance.random() < 0.5:
            told["removeTime"] = moment(chance.randrange(begin, 10_000))
        executors.append(told)
    spans = [sorted(chance.sample(range(10_000), 2)) for _ in range(chance.randrange(8))]
    jobs = [job(begin, end, chance.choice(["FAILED", "SUCCEEDED"])) for begin, end in spans]
    whole = of({"executors": executors, "jobs": jobs})
    cut = chance.randrange(len(jobs) + 1)
    pieces = of({"executors": executors, "jobs": jobs[:cut]}, {"executors": [], "jobs": jobs[cut:]})
    assert pieces == whole
    assert 0 <= whole["idle"] <= 1
    assert 0 <= whole["task_seconds"] <= whole["core_seconds"] <= 10 * 4 * 6
    assert 0 <= whole["busy_seconds"] <= whole["seconds"] == 10
    longer = of({"executors": executors, "jobs": jobs}, now=20_000)
    assert longer["core_seconds"] >= whole["core_seconds"]
    assert longer["peak_mib"] == whole["peak_mib"]


# --- what size would have done ------------------------------------------------------------------

RUN: dict[str, Any] = of({"executors": []}) | {
    "at": "2026-01-31T12:00:00.000+00:00",
    "ended": "stopped",
    "complete": True,
    "seconds": 1000.0,
    "busy_seconds": 100.0,
    "core_seconds": 8000.0,
    "task_seconds": 120.0,
    "executors": 4,
    "cores": 2,
    "memory_mib": 8192,
    "peak_mib": 1000,
    "driver_memory_mib": 1024,
    "driver_peak_mib": 200,
}


def run_of(**changes: Any) -> Receipt:
    return Receipt.model_validate_json(json.dumps({**RUN, **changes}))


STANDALONE = {"master": "spark://h:7077", "executor_memory": "8g"}
YARN = {**STANDALONE, "master": "yarn"}
LOCAL = {"master": "local[8]", "driver_memory": "4g"}
ONE_RUN: list[dict[str, Any]] = [{}]
SMALL = {"executor_memory": "1536m"}


@pytest.mark.parametrize(
    ("config", "runs", "changes"),
    [
        # 1.3 times 1000 MiB is 1300, up to 1536; 1.5 times 1.2 busy cores is 1.8, up to 2.
        (STANDALONE, ONE_RUN, {"executor_memory": "1536m", "cores_max": 2}),
        (YARN, ONE_RUN, {"executor_memory": "1536m"}),
        (
            {**YARN, "executor_cores": 2, "executor_instances": 4},
            ONE_RUN,
            SMALL | {"executor_instances": 1},
        ),
        # Whole executors only.
        ({**STANDALONE, "executor_cores": 3, "cores_max": 8}, ONE_RUN, SMALL | {"cores_max": 3}),
        # The largest of the last runs counts.
        (STANDALONE, [{"peak_mib": 5000}, {}], {"executor_memory": "6656m", "cores_max": 2}),
        # Never less than 1 GiB, never more than there is.
        (STANDALONE, [{"peak_mib": 10}], {"executor_memory": "1g", "cores_max": 2}),
        (YARN, [{"peak_mib": 8000}], {}),
        ({"master": "yarn"}, [{"memory_mib": 1024, "peak_mib": 900}], {}),
        # Unless Spark went short.
        (YARN, [{"peak_mib": 8000, "spilled_mib": 5}], {"executor_memory": "10496m"}),
        (YARN, [{"peak_mib": 8000, "gc_seconds": 20.0}], {"executor_memory": "10496m"}),
        (YARN, [{"peak_mib": 8000, "failed_tasks": 1}], {"executor_memory": "10496m"}),
        # What spilled is not made smaller, even if little was seen.
        (YARN, [{"spilled_mib": 5}], {}),
        # Too short to say, or nothing known.
        (STANDALONE, [{"task_seconds": 59.9}], {}),
        (STANDALONE, [{"local": True}], {}),
        (STANDALONE, [], {}),
        (STANDALONE, [{"peak_mib": 0, "busy_seconds": 0.0}], {}),
        # Spark gives cores back by itself; on a local master they cost nobody anything.
        ({**STANDALONE, "conf": {"spark.dynamicAllocation.enabled": "true"}}, ONE_RUN, SMALL),
        (LOCAL, [{"local": True, "memory_mib": 4096}], {"driver_memory": "1536m"}),
        # The driver of a cluster is sized by itself.
        (
            {**YARN, "driver_memory": "4g"},
            [{"driver_memory_mib": 4096}],
            {"executor_memory": "1536m", "driver_memory": "1g"},
        ),
    ],
)
def test_what_is_suggested(
    config: dict[str, Any], runs: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    kernel = read_config({"name": "k", "environment": "/env", **config})
    found = suggest(kernel, [run_of(**run) for run in runs])
    assert found.changes == changes
    assert {remark.field for remark in found.remarks} == (set(changes) or {""})
    # What is suggested is something that a kernel can have.
    read_config({**kernel.model_dump(exclude_none=True), **found.changes})


@pytest.mark.parametrize(
    ("rule", "kept", "words"),
    [
        (Rule(fixed="8g"), {}, "is fixed"),
        (Rule(default="8g", min="4g"), {"executor_memory": "4g"}, ""),
        (Rule(default="8g", min="8g"), {}, "is the least that is allowed"),
        (Rule(default="8g", one_of=["4g", "8g"]), {}, "is none of: 4g, 8g"),
        (Rule(default="8g", max="16g"), {"executor_memory": "1536m"}, ""),
    ],
)
def test_a_template_has_the_last_word(rule: Rule, kept: dict[str, Any], words: str) -> None:
    file = TemplateFile(version=1, title="Small", reason="Ask the team.")
    template = Template("small", "digest", file, {}, {})
    kernel = read_config({"name": "k", "environment": "/env", **YARN})
    changes = {"executor_memory": "1536m"}
    found, errors = within(kernel, changes, {"executor_memory": rule}, template)
    assert found == kept
    assert [words in error.message for error in errors] == ([True] if words else [])


@pytest.mark.parametrize(
    "changes",
    [
        {"idle": 1.5},
        {"idle": float("nan")},
        {"seconds": -1},
        {"cores": 2.5},
        {"cores": 10**40},
        {"memory_mib": "4g"},
        {"ended": "<script>"},
        {"at": "yesterday"},
        {"local": None},
    ],
)
def test_a_receipt_that_cannot_be_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        run_of(**changes)


@pytest.fixture
def kernel_directory(tmp_path: Path, data_dir: Path) -> Path:
    directory = tmp_path / "kernels" / "k"
    directory.mkdir(parents=True)
    return directory


def plant(kernel: Path, text: str) -> Path:
    path = memory_of(str(kernel)).with_suffix(RECEIPT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def file_of(*runs: dict[str, Any], directory: str = "/k") -> str:
    return json.dumps({"directory": directory, "runs": runs})


@pytest.mark.parametrize(
    "text",
    [
        *("", "null", "[]", "{", "[" * 100_000, '{"runs": []}', file_of({}), "\0"),
        file_of(*[RUN] * 11),
        file_of({**RUN, "padding": "x" * 100_000}),
        file_of({**RUN, "peak_mib": -1}),
    ],
)
def test_a_damaged_memory_is_none(kernel_directory: Path, text: str) -> None:
    plant(kernel_directory, text)
    assert last_runs(kernel_directory) == []


def test_a_pipe_in_the_place_of_a_memory_holds_nobody_up(kernel_directory: Path) -> None:
    path = plant(kernel_directory, "")
    path.unlink()
    os.mkfifo(path)
    assert last_runs(kernel_directory) == []


def test_a_kernel_that_moves_takes_its_receipts_along(kernel_directory: Path) -> None:
    plant(kernel_directory, file_of(RUN, RUN))
    new = kernel_directory.with_name("new")
    new.mkdir()
    follow(kernel_directory, new)
    assert last_runs(new) == last_runs(kernel_directory) == [run_of(), run_of()]


def test_the_command_line_shows_it_with_a_size_that_fits(
    run: Callable[..., tuple[int, str, str]], environment: Path, data_dir: Path
) -> None:
    made = ("create", "-k", "small", "-e", environment, "--master", "yarn")
    assert run(*made, "--executor-memory", "8g")[0] == 0
    assert run("receipt", "small")[:2] == (0, "Hint: No Spark of this kernel has stopped yet.\n")
    plant(data_dir / "kernels" / "small", file_of(RUN))
    code, text, _ = run("receipt", "small")
    assert code == 0
    assert "120 of 8000 used" in text
    assert "1000 of 8192 MiB at least" in text
    assert "Hint: --executor-memory 1536m: At most 1000 of 8192 MiB were seen in use" in text
    found = json.loads(run("receipt", "small", "--json")[1])
    assert found["suggestion"]["changes"] == SMALL
    assert found["receipt"]["task_seconds"] == 120
    assert run("receipt", "none")[0] == 2


# --- with Spark ---------------------------------------------------------------------------------


@pytest.fixture
def start(pyspark_environment: Path, tmp_path: Path) -> Start:
    @contextmanager
    def start(name: str, env: dict[str, str] | None = None, **config: Any) -> Iterator[Any]:
        directory = tmp_path / "kernels" / name
        directory.mkdir(parents=True)
        data = {"name": name, "environment": str(pyspark_environment), "master": "local[2]"}
        spec = render(read_config({**data, **config}), "tester")
        spec["env"].update(env or {})
        (directory / "kernel.json").write_text(json.dumps(spec))
        for file, content in contents().items():
            (directory / file).write_bytes(content)
        with running(tmp_path / "kernels", name, tmp_path) as kernel:
            yield kernel

    return start


def remembered(kernel: RunningKernel, name: str) -> Path:
    directory = kernel.runtime / "kernels" / name
    return memory_of(str(directory), str(kernel.runtime / "data")).with_suffix(RECEIPT)


def receipts(kernel: RunningKernel, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(remembered(kernel, name).read_text())["runs"]
    return found


def told(kernel: RunningKernel) -> dict[str, Any]:
    wait_until(lambda: kernel.status()["receipt"] is not None)
    found: dict[str, Any] = kernel.status()["receipt"]
    return found


def watched(kernel: RunningKernel) -> None:
    """Wait until the launcher has seen that this Spark runs: the next stop is heard."""
    wait_until(lambda: kernel.value("'stop' in vars(sc)") == "True")


def sampled(kernel: RunningKernel) -> None:
    """Wait until the launcher has taken a sample."""
    seen = "any(type(o).__name__ == '_Reader' and o.last for o in __import__('gc').get_objects())"
    wait_until(lambda: kernel.value(seen) == "True")


def test_a_stop_in_a_cell_is_heard_in_time_twice(start: Start) -> None:
    with start("stopped", driver_memory="700m") as kernel:
        kernel.value(SLEEP)
        watched(kernel)
        kernel.value("spark.stop()")
        first = told(kernel)
        assert (first["ended"], first["complete"], first["local"]) == ("stopped", True, True)
        assert 2 <= first["task_seconds"] <= first["core_seconds"]
        assert 1 <= first["busy_seconds"] <= first["seconds"]
        assert abs(first["core_seconds"] - 2 * first["seconds"]) <= 2 * first["seconds"] * 0.9
        assert first["memory_mib"] == 700
        assert 10 < first["peak_mib"] <= 700
        assert (first["executors"], first["cores"], first["failed_jobs"]) == (1, 2, 0)
        assert receipts(kernel, "stopped") == [first]
        assert os.stat(remembered(kernel, "stopped")).st_mode & 0o777 == 0o600

        kernel.value(
            "from pyspark.sql import SparkSession\n"
            "spark = SparkSession.builder.getOrCreate(); sc = spark.sparkContext"
        )
        watched(kernel)
        kernel.run("sc.parallelize([0], 1).map(lambda x: 1 / x).count()")
        # Spark hears of it a moment later.
        kernel.value(f"sc._jsc.sc().listenerBus().waitUntilEmpty({LIMIT_SECONDS}000)")
        kernel.value("sc.stop()")
        wait_until(lambda: kernel.status()["receipt"] != first)
        second = told(kernel)
        assert second["failed_jobs"] == second["failed_stages"] == 1
        assert second["failed_tasks"] >= 1
        assert second["task_seconds"] < second["core_seconds"]
        assert receipts(kernel, "stopped") == [first, second]


def test_the_end_of_a_kernel_is_the_end_of_its_spark(start: Start) -> None:
    with start("ends") as kernel:
        kernel.value(SLEEP)
        watched(kernel)
        # How long the end of a kernel waits for the last look, which is the first one here.
        receipt = "__import__('_pyspark_kernels.receipt').receipt"
        kernel.value(f"{receipt}._PATIENCE_SECONDS = {LIMIT_SECONDS}")
        kernel.end()
        (only,) = receipts(kernel, "ends")
    assert (only["ended"], only["complete"]) == ("exit", True)
    assert only["task_seconds"] >= 2


def test_of_a_jvm_that_was_killed_the_last_sample_is_told(start: Start) -> None:
    with start("killed") as kernel:
        kernel.value(SLEEP)
        sampled(kernel)
        pids = kernel.jvms()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        made = told(kernel)
        assert (made["ended"], made["complete"]) == ("lost", False)
        assert made["core_seconds"] > 0
        kernel.wait_for_stage("failed")
        assert receipts(kernel, "killed") == [made]


def test_a_kernel_ends_when_its_jvm_does_not_answer(tmp_path: Path) -> None:
    """A JVM that hangs holds its reader up for ever, and nobody else."""
    kernel = threading.Event()
    meter = Meter(Status(tmp_path / "kernel-k.json"), remembers=False)

    class Hangs:
        last, errors = None, ()
        read_last = staticmethod(kernel.wait)

    meter._reader = Hangs()  # type: ignore[assignment]
    watch = threading.Thread(target=meter.rest, args=(1000,))
    watch.start()
    meter.finish()
    assert watch.is_alive()
    kernel.set()
    watch.join()


def test_an_idle_spark_leaves_a_receipt(start: Start) -> None:
    with start("idles", {IDLE_VARIABLE: "stop=6"}) as kernel:
        kernel.value(SLEEP)
        kernel.wait_for_stage("stopped_idle")
        made = told(kernel)
        assert (made["ended"], made["complete"]) == ("idle", True)
        assert made["idle"] > 0


def test_of_a_test_nothing_is_remembered(start: Start) -> None:
    with start("tested", {FLIGHT_VARIABLE: "1"}) as kernel:
        watched(kernel)
        kernel.value("spark.stop()")
        told(kernel)
        assert not remembered(kernel, "tested").exists()


def test_executors_of_a_cluster_are_counted(start: Start, spark_cluster: Cluster) -> None:
    local = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    # Executors tell their memory with a heartbeat, which comes every ten seconds by itself.
    conf = {**local, "spark.executor.heartbeatInterval": "1s"}
    config = {"master": spark_cluster.master, "executor_memory": "512m", "executor_cores": 1}
    with start("clustered", conf=conf, **config) as kernel:
        wait_until(lambda: kernel.status()["executors"] == 2)
        kernel.value(SLEEP)
        watched(kernel)
        wait_until(lambda: kernel.value(HEARTBEATS) == "True")
        kernel.value("spark.stop()")
        made = told(kernel)
    assert (made["local"], made["executors"], made["cores"]) == (False, 2, 1)
    assert 2 <= made["task_seconds"] <= made["core_seconds"] <= 2 * made["seconds"]
    assert made["memory_mib"] == 512
    assert 0 < made["peak_mib"] <= 512
    assert made["driver_peak_mib"] > 0
