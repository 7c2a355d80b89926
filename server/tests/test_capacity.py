"""What an executor takes and how many fit, against what real clusters then do."""

import json
import logging
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from carrying import site_packages
from cluster import CORES, Cluster
from kernels import LIMIT_SECONDS, free_port, running, wait_until
from yarn import CORES as YARN_CORES
from yarn import MEMORY as YARN_MEMORY
from yarn import QUEUE, HadoopCluster

from jupyterlab_pyspark_kernels.capacity import ClusterReport, demand, fit, look, read_question
from jupyterlab_pyspark_kernels.cli import main
from jupyterlab_pyspark_kernels.clusters import Booking, Capacity, Node, Queue
from jupyterlab_pyspark_kernels.clusters.kubernetes import quantity
from jupyterlab_pyspark_kernels.config import KernelConfig, read_config
from jupyterlab_pyspark_kernels.errors import Invalid
from jupyterlab_pyspark_kernels.render import settings, submit_args

LOG = logging.getLogger(__name__)

WORKER_MIB = 1500
"""`cluster.MEMORY` as a number."""


def kernel(environment: Path | str = "/env", **fields: Any) -> KernelConfig:
    return read_config({"display_name": "k", "environment": str(environment), **fields})


# --- a real standalone master -------------------------------------------------------------------


@pytest.fixture
def on_cluster(spark_cluster: Cluster, pyspark_environment: Path) -> Callable[..., KernelConfig]:
    """Describe a kernel of the standalone cluster."""

    def make(**fields: Any) -> KernelConfig:
        conf = {
            "spark.master.ui.port": spark_cluster.web.rpartition(":")[2],
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            **fields.pop("conf", {}),
        }
        return kernel(pyspark_environment, master=spark_cluster.master, conf=conf, **fields)

    return make


def create(config: KernelConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a kernel by the command line; give the kernels directory."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder / "data"))
    options = ["create", "-k", config.name]
    for name, value in config.model_dump(exclude_none=True, exclude={"name", "place"}).items():
        if name in ("conf", "env"):
            for key, item in value.items():
                options += [f"--{name}", f"{key}={item}"]
        elif not isinstance(value, bool | dict | list):
            options += [f"--{name.replace('_', '-')}", str(value)]
    assert main(options) == 0
    return folder / "data" / "kernels"


# The driver is in this list as well.
EXECUTORS = "sc._jsc.sc().getExecutorMemoryStatus().size() - 1"


@pytest.mark.parametrize(
    "fields",
    [
        {"executor_memory": "900m", "executor_cores": 1},
        {"executor_memory": "512m"},
        # Nothing but the heap is booked, and the number of executors is no limit.
        {
            "executor_memory": "700m",
            "executor_cores": 1,
            "executor_instances": 1,
            "conf": {
                "spark.executor.memoryOverhead": "500m",
                "spark.executor.pyspark.memory": "500m",
                "spark.memory.offHeap.enabled": "true",
                "spark.memory.offHeap.size": "300m",
            },
        },
    ],
)
def test_as_many_executors_fit_as_the_master_starts(
    fields: dict[str, Any],
    spark_cluster: Cluster,
    on_cluster: Callable[..., KernelConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = on_cluster(**fields)
    before = look(config, seconds=LIMIT_SECONDS)
    assert before.capacity and before.demand and before.fit, before.problem
    now = before.fit.now
    assert before.capacity.cores_free == before.capacity.cores_total == CORES
    assert before.capacity.memory_free_mib == before.capacity.memory_total_mib == WORKER_MIB
    with running(create(config, tmp_path, monkeypatch), config.name, tmp_path) as started:
        assert started.value("spark.range(1000).repartition(2).count()") == "1000"
        # It has said which ones to start; those register one by one.
        wait_until(lambda: started.value(EXECUTORS) == str(now))
        application = spark_cluster.applications()["k"]
        (worker,) = spark_cluster.state()["workers"]
        after = look(config, seconds=LIMIT_SECONDS).capacity
        assert after is not None
        LOG.info("%s Master: %s MiB", before.summary, worker["memoryused"])
        # What the master counts is what was foretold.
        assert application["memoryperexecutor"] == before.demand.memory_mib
        assert worker["memoryused"] == now * before.demand.memory_mib
        assert after.cores_free == CORES - application["cores"]
        assert after.memory_free_mib == WORKER_MIB - worker["memoryused"]


def test_an_executor_larger_than_any_worker_is_told_before_saving(
    on_cluster: Callable[..., KernelConfig],
) -> None:
    found = look(on_cluster(executor_memory="2g"), seconds=LIMIT_SECONDS).fit
    assert found is not None
    assert (found.now, found.ever) == (0, False)
    (advice,) = found.advice
    LOG.info(advice.message)
    assert advice.field == "executor_memory"
    assert f"at most {WORKER_MIB} MiB" in advice.message
    # The amount that it names is the most that fits.
    for memory, fits in ((f"{WORKER_MIB}m", 1), (f"{WORKER_MIB + 1}m", 0)):
        assert memory in advice.message or not fits
        as_told = look(on_cluster(executor_memory=memory), seconds=LIMIT_SECONDS).fit
        assert as_told is not None
        assert as_told.now == fits
    found = look(
        on_cluster(executor_cores=CORES + 1, executor_memory="512m"), seconds=LIMIT_SECONDS
    ).fit
    assert found is not None
    assert [one.field for one in found.advice] == ["executor_cores"]


def test_of_several_masters_the_one_that_answers_tells(
    spark_cluster: Cluster, on_cluster: Callable[..., KernelConfig]
) -> None:
    # Nothing listens on the other address of loopback.
    port = spark_cluster.master.rpartition(":")[2]
    masters = f"spark://127.0.0.2:{port},127.0.0.1:{port}"
    config = on_cluster().model_copy(update={"master": masters})
    report = look(config, seconds=LIMIT_SECONDS)
    assert report.capacity is not None, report.problem
    assert report.capacity.node_count == 1


def test_the_web_interface_of_another_master_is_not_taken_for_this_ones(
    on_cluster: Callable[..., KernelConfig],
) -> None:
    report = look(on_cluster().model_copy(update={"master": "spark://127.0.0.1:7"}))
    assert report.capacity is None
    assert report.problem is not None
    assert "not that of the master at port 7" in report.problem


# --- a real YARN --------------------------------------------------------------------------------


def on_yarn(yarn: HadoopCluster, environment: Path | str = "/env", **fields: Any) -> KernelConfig:
    env = {"HADOOP_CONF_DIR": str(yarn.conf), "SPARK_LOCAL_IP": "127.0.0.1"}
    return kernel(environment, master="yarn", **{"env": env, **fields})


def test_as_many_executors_fit_as_yarn_starts_and_each_takes_what_was_told(
    yarn: HadoopCluster,
    pyspark_environment: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short_lived = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    config = on_yarn(
        yarn,
        pyspark_environment,
        executor_memory="512m",
        executor_instances=3,
        conf={
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.yarn.jars": f"local:{site_packages(pyspark_environment)}/pyspark/jars/*",
            "spark.yarn.am.memory": "256m",
            "spark.executor.pyspark.memory": "200m",
            "spark.memory.offHeap.enabled": "true",
            # Bytes.
            "spark.memory.offHeap.size": "104857600",
            **{
                f"spark.{part}.extraJavaOptions": short_lived
                for part in ("yarn.am", "driver", "executor")
            },
        },
    )
    before = look(config, seconds=LIMIT_SECONDS)
    assert before.capacity and before.demand and before.fit, before.problem
    assert before.capacity.booking.step_mib == 256
    assert before.capacity.cores_free == YARN_CORES
    assert before.capacity.memory_free_mib == before.capacity.memory_total_mib == YARN_MEMORY
    free = {queue.name: queue.memory_free_mib for queue in before.capacity.queues}
    assert free == {"default": YARN_MEMORY, QUEUE: YARN_MEMORY}
    # 512 + 384 + 200 + 100, and 256 + 384 of the application master, in steps of 256.
    assert (before.demand.memory_mib, before.demand.application_mib) == (1280, 768)
    now = before.fit.now
    assert now == 2
    assert [advice.field for advice in before.fit.advice] == ["executor_instances"]
    with running(create(config, tmp_path, monkeypatch), config.name, tmp_path) as started:
        assert started.value("spark.range(1000).count()") == "1000"
        containers = 1 + now
        wait_until(lambda: yarn.applications()["k"]["runningContainers"] >= containers)
        # It waits for the third one, so that there is time for it to come.
        wait_until(lambda: started.value(EXECUTORS) == str(now))
        application = yarn.applications()["k"]
        LOG.info("%s YARN: %s MB", before.summary, application["allocatedMB"])
        assert application["runningContainers"] == containers
        assert application["allocatedMB"] == 768 + now * 1280
        after = look(config, seconds=LIMIT_SECONDS).capacity
        assert after is not None
        assert after.memory_free_mib == YARN_MEMORY - application["allocatedMB"]
        free = {queue.name: queue.memory_free_mib for queue in after.queues}
        assert free["default"] == after.memory_free_mib


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"executor_memory": "8g"}, "executor_memory", "9216 MiB (8192 heap + 819 overhead"),
        # The resource manager refuses more than 4 cores, though its node has 8.
        ({"executor_cores": 5}, "executor_cores", "at most 4 for one"),
        ({"conf": {"spark.yarn.queue": "nosuch"}}, "queue", f"one of: {QUEUE}, default"),
    ],
)
def test_what_yarn_would_refuse_is_told_before_saving(
    yarn: HadoopCluster, fields: dict[str, Any], field: str, said: str
) -> None:
    report = look(on_yarn(yarn, **fields), seconds=LIMIT_SECONDS)
    assert report.fit is not None, report.problem
    LOG.info(report.fit.advice)
    assert field in [advice.field for advice in report.fit.advice]
    assert any(said in advice.message for advice in report.fit.advice)


def test_of_several_resource_managers_the_active_one_tells(
    yarn: HadoopCluster, tmp_path: Path
) -> None:
    web = yarn.web.removeprefix("http://")
    properties = {
        "yarn.resourcemanager.ha.enabled": "true",
        "yarn.resourcemanager.ha.rm-ids": "one, two",
        "yarn.resourcemanager.hostname.one": "127.0.0.2",
        "yarn.resourcemanager.webapp.address.two": "${there}",
        "there": web,
    }
    (tmp_path / "yarn-site.xml").write_text(hadoop_xml(properties))
    report = look(on_yarn(yarn, env={"HADOOP_CONF_DIR": str(tmp_path)}), seconds=LIMIT_SECONDS)
    assert report.capacity is not None, report.problem
    assert report.capacity.memory_total_mib == YARN_MEMORY
    # The resource manager tells it, whatever the copy of the configuration lacks.
    assert report.capacity.booking.step_mib == 256


def hadoop_xml(properties: dict[str, str]) -> str:
    lines = (
        f"<property><name>{name}</name><value>{value}</value></property>"
        for name, value in properties.items()
    )
    return f"<configuration>{''.join(lines)}</configuration>"


# --- what Spark asks of Kubernetes --------------------------------------------------------------

ASKED_OF_KUBERNETES = """
import json, sys
from pyspark.java_gateway import launch_gateway

jvm = launch_gateway().jvm
spark = jvm.org.apache.spark


def only(package, name):
    return getattr(getattr(package, name + "$"), "MODULE$")


def asked(settings):
    conf = spark.SparkConf()
    conf.set("spark.kubernetes.container.image", "any")
    conf.set("spark.driver.host", "127.0.0.1")
    conf.set("spark.driver.port", "1")
    for key, value in settings.items():
        conf.set(key, value)
    profiles, none = only(spark.resource, "ResourceProfile"), only(jvm.scala, "None")
    profiles.clearDefaultProfile()
    profile = profiles.getOrCreateDefaultProfile(conf)
    secret = only(spark.internal.config, "package").AUTH_SECRET_FILE()
    pod = (
        spark.deploy.k8s.features.BasicExecutorFeatureStep(
            spark.deploy.k8s.KubernetesExecutorConf(conf, "app", "1", none, 0),
            spark.SecurityManager(conf, none, secret),
            profile,
        )
        .configurePod(spark.deploy.k8s.SparkPod.initialPod())
        .container()
    )
    requests = pod.getResources().getRequests()
    return [requests["cpu"].toString(), requests["memory"].toString()]


print(json.dumps([asked(settings) for settings in json.loads(sys.argv[1])]))
"""


def test_a_pod_takes_what_spark_asks_for(pyspark_environment: Path) -> None:
    """Spark's own code makes the pod of an executor; there is no Kubernetes here to start it."""
    fields: list[dict[str, Any]] = [
        {},
        {"executor_memory": "8g", "executor_cores": 3},
        {"executor_memory": "3g", "conf": {"spark.executor.pyspark.memory": "1g"}},
        {"conf": {"spark.memory.offHeap.enabled": "true", "spark.memory.offHeap.size": "100m"}},
        {"conf": {"spark.memory.offHeap.size": "100m"}},
        {"executor_memory": "5001m", "conf": {"spark.executor.memoryOverheadFactor": "0.33"}},
        {"executor_memory": "5g", "conf": {"spark.kubernetes.memoryOverheadFactor": "0.4"}},
        {"conf": {"spark.executor.memoryOverhead": "100"}},
        {"conf": {"spark.executor.minMemoryOverhead": "500m"}},
        {"conf": {"spark.kubernetes.executor.request.cores": "500m"}},
    ]
    configs = [kernel(master="k8s://https://127.0.0.1:1", **given) for given in fields]
    all_settings = [
        {key: value for key, value in settings(config).items() if key != "spark.app.name"}
        for config in configs
    ]
    output = subprocess.run(
        [
            *(str(pyspark_environment / "bin" / "python"), "-c", ASKED_OF_KUBERNETES),
            json.dumps(all_settings),
        ],
        env={**os.environ, "PYSPARK_SUBMIT_ARGS": submit_args(configs[0])},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    for given, config, (cpu, memory) in zip(
        fields, configs, json.loads(output.splitlines()[-1]), strict=True
    ):
        told = demand(config)
        assert told is not None and told.cores is not None
        LOG.info("%s: %s, %s", given, cpu, memory)
        assert f"{told.memory_mib}Mi" == memory
        assert told.cores == float(quantity(cpu))


# --- the rules, without a cluster ---------------------------------------------------------------


def node(cores: float, memory: int, cores_free: float = -1, memory_free: int = -1) -> Node:
    return Node(
        cores_total=cores,
        cores_free=cores if cores_free < 0 else cores_free,
        memory_total_mib=memory,
        memory_free_mib=memory if memory_free < 0 else memory_free,
    )


def standalone(*nodes: Node) -> Capacity:
    return Capacity(kind="standalone", nodes=nodes, waiting=0)


@pytest.mark.parametrize(
    ("fields", "nodes", "now", "ever", "fields_to_change"),
    [
        ({}, [], 0, True, [""]),
        ({}, [node(4, 1024), node(4, 1023), node(4, 2048)], 2, True, []),
        ({"cores_max": 1}, [node(4, 1024), node(4, 2048)], 1, True, []),
        ({"executor_cores": 2}, [node(4, 4096), node(3, 4096)], 3, True, []),
        ({"executor_cores": 2, "cores_max": 5}, [node(8, 9000)], 2, True, []),
        ({"executor_cores": 2, "cores_max": 6}, [node(4, 9000)], 2, True, ["cores_max"]),
        ({"executor_cores": 3, "cores_max": 2}, [node(8, 9000)], 0, False, ["cores_max"]),
        ({"executor_cores": 2}, [node(4, 4096, cores_free=1)], 0, True, ["executor_cores"]),
        ({}, [node(4, 4096, memory_free=700)], 0, True, ["executor_memory"]),
        ({}, [node(4, 4096, cores_free=0)], 0, True, ["executor_cores"]),
        # One has the memory and another one the cores.
        (
            {"executor_cores": 4, "executor_memory": "4g"},
            [node(2, 8192), node(8, 2048)],
            0,
            False,
            ["executor_memory"],
        ),
    ],
)
def test_how_many_fit(
    fields: dict[str, Any], nodes: list[Node], now: int, ever: bool, fields_to_change: list[str]
) -> None:
    told = demand(kernel(master="spark://h:7077", **fields))
    assert told is not None
    found = fit(told, standalone(*nodes))
    assert (found.now, found.ever) == (now, ever)
    assert [advice.field for advice in found.advice] == fields_to_change


def test_the_heap_that_is_proposed_is_the_most_that_fits() -> None:
    capacity = Capacity(
        kind="yarn",
        nodes=(node(8, 20_000),),
        booking=Booking(step_mib=512, memory_max_mib=10_000, cores_max=8),
        queues=(Queue(name="default", open=True, memory_free_mib=None, waiting=0),),
        waiting=0,
    )

    def found(memory: str) -> Any:
        told = demand(kernel(master="yarn", executor_memory=memory), capacity.booking)
        assert told is not None
        return fit(told, capacity)

    message = found("12g").advice[0].message
    proposed = int(message.rpartition("Set at most ")[2].removesuffix("m."))
    LOG.info(message)
    assert found(f"{proposed}m").ever
    assert not found(f"{proposed + 1}m").ever


def test_a_queue_takes_no_more_than_its_share_and_the_application_master_counts() -> None:
    told = demand(kernel(master="yarn", executor_instances=9), Booking(step_mib=1024))
    assert told is not None
    assert (told.memory_mib, told.application_mib) == (2048, 1024)

    def now(memory_free: int | None, cores_count: bool = False) -> int:
        queue = Queue(name="default", open=True, memory_free_mib=memory_free, waiting=0)
        booking = Booking(step_mib=1024, cores_count=cores_count)
        nodes = (node(2, 10_240),)
        return fit(
            told, Capacity(kind="yarn", nodes=nodes, booking=booking, queues=(queue,), waiting=0)
        ).now

    assert [now(None), now(5120), now(1024), now(0)] == [4, 2, 0, 0]
    assert now(None, cores_count=True) == 1


def test_those_who_wait_already_are_told_of() -> None:
    told = demand(kernel(master="spark://h:7077"))
    assert told is not None
    for waiting, said in ((1, "1 application of others waits for"), (3, "3 applications of ")):
        capacity = Capacity(kind="standalone", nodes=(node(4, 4096),), waiting=waiting)
        assert fit(told, capacity).advice[0].message.startswith(said)


def test_settings_of_the_installation_count_unless_the_kernel_has_its_own() -> None:
    defaults = {"spark.executor.memory": "3g", "spark.executor.memoryOverhead": "1g"}
    told = demand(kernel(master="yarn"), defaults=defaults)
    own = demand(kernel(master="yarn", executor_memory="2g"), defaults=defaults)
    assert told is not None and own is not None
    assert (told.memory_mib, own.memory_mib) == (4096, 3072)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spark.executor.memoryOverhead", "lots"),
        ("spark.executor.memoryOverheadFactor", "nan"),
        ("spark.executor.memoryOverheadFactor", "x"),
        ("spark.kubernetes.executor.request.cores", "many"),
        ("spark.executor.pyspark.memory", "-1"),
    ],
)
def test_a_malformed_setting_is_said(key: str, value: str) -> None:
    master = "k8s://https://127.0.0.1:1" if "kubernetes" in key else "yarn"
    config = kernel(master=master, conf={key: value}, env={"HADOOP_CONF_DIR": "/nowhere"})
    with pytest.raises(Invalid, match=key):
        demand(config)
    assert key in look(config).summary


def test_no_answer_is_said_and_what_an_executor_takes_nevertheless() -> None:
    port = free_port()
    report = look(kernel(master="spark://127.0.0.1:7077", conf={"spark.master.ui.port": str(port)}))
    assert report.problem == (
        f"The master's web interface at 127.0.0.1:{port} refuses the connection. "
        "Set spark.master.ui.port where it listens on another port."
    )
    assert report.summary == "One executor takes 1024 MiB and every free core of its node."
    assert (report.capacity, report.fit) == (None, None)


def test_a_cluster_that_accepts_and_says_nothing_does_not_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        conf = {"spark.master.ui.port": str(listener.getsockname()[1])}
        report = look(kernel(master="spark://127.0.0.1:7077", conf=conf), seconds=0.5)
    assert report.problem is not None
    assert "does not answer in time" in report.problem
    assert report.demand is not None


@pytest.mark.parametrize("master", ["local[*]", "sc://h"])
def test_where_there_are_no_executors_nobody_is_asked(master: str) -> None:
    report = look(kernel(master=master))
    assert report.summary == "There are no executors: the driver does the work."
    assert report == ClusterReport(
        summary=report.summary, problem=None, capacity=None, demand=None, fit=None
    )


def test_a_local_cluster_is_known_by_its_name() -> None:
    found = look(kernel(master="local-cluster[3,2,1024]", executor_cores=1)).fit
    assert found is not None
    assert found.now == 3


def test_a_form_that_is_half_filled_in_is_a_question() -> None:
    config = read_question({"master": "yarn", "display_name": "", "name": "not a name", "x": 1})
    assert config.master == "yarn"
    with pytest.raises(Invalid):
        read_question({"master": "nonsense"})
    with pytest.raises(Invalid):
        read_question([])


def test_the_report_holds_figures_only() -> None:
    report = look(kernel(master="local-cluster[3,2,1024]")).model_dump(mode="json")
    assert report["capacity"] == {
        "kind": "standalone",
        "booking": {
            "step_mib": 1,
            "memory_max_mib": None,
            "cores_max": None,
            "cores_count": True,
        },
        "queues": [],
        "waiting": 0,
        "node_count": 3,
        "cores_total": 6.0,
        "cores_free": 6.0,
        "memory_total_mib": 3072,
        "memory_free_mib": 3072,
        "largest_node": {
            "cores_total": 2.0,
            "cores_free": 2.0,
            "memory_total_mib": 1024,
            "memory_free_mib": 1024,
        },
    }


@pytest.mark.parametrize(
    ("queue", "asked", "is_known"),
    [
        ("team", "team", True),
        ("team", "root.a.team", True),
        ("root.a.team", "root.a.team", True),
        ("root.a.team", "a.team", True),
        ("root.b.team", "root.a.team", False),
    ],
)
def test_a_queue_is_known_by_its_path(queue: str, asked: str, is_known: bool) -> None:
    found = Queue(name=queue, open=True, memory_free_mib=None, waiting=0)
    node = Node(cores_total=8, cores_free=8, memory_total_mib=9999, memory_free_mib=9999)
    cluster = Capacity(kind="yarn", nodes=(node,), queues=(found,), waiting=0)
    told = demand(kernel(master="yarn", conf={"spark.yarn.queue": asked}))
    assert told is not None
    assert (fit(told, cluster).advice == ()) is is_known
    # Where queues are made for whoever asks, none is missing.
    assert fit(told, cluster.model_copy(update={"makes_queues": True})).advice == ()
