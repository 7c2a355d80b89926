"""What a flight test runs in the kernel that is tested.

The text of this file is a cell of that kernel, so that its functions travel to the executors by
value. It needs the standard library of Python 3.8, and what the launcher put into the notebook.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import socket
import sys
import time
from typing import Any

_CONNECT_SECONDS = 5
_HOLD_SECONDS = 0.3
_ROUNDS = 4


def side(names: list[str]) -> dict[str, Any]:
    """Tell what this Python is, and which of some packages it has, with their versions."""
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "packages": {name: version(name) for name in names},
    }


def version(name: str) -> str | None:
    """Give the version of a package; `None` when it cannot be imported."""
    if importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def context(spark: Any) -> Any:
    """Give the SparkContext; `None` with Spark Connect."""
    return getattr(spark, "sparkContext", None)


def driver(spark: Any, names: list[str]) -> str:
    """Tell what the driver is."""
    found = {**side(names), "spark": spark.version, "java": None, "address": None}
    sc = context(spark)
    if sc is not None:
        conf = sc.getConf()
        found["java"] = sc._jvm.java.lang.System.getProperty("java.version")
        found["address"] = [conf.get("spark.driver.host"), int(conf.get("spark.driver.port"))]
    return json.dumps(found)


def executors(spark: Any) -> int:
    """Count the executors that are there; a local driver, or a Connect server, counts as one."""
    sc = context(spark)
    if sc is None:
        return 1
    # The driver's own block manager is one of them.
    others = sc._jsc.sc().getExecutorMemoryStatus().size() - 1
    return int(others) or int(sc._jsc.sc().isLocal())


def cluster(spark: Any) -> str:
    """Ask a standalone master what its workers are, and who else uses them.

    Asked as the driver asks it, so no other port and no other rights are needed. How much of a
    worker is free does not travel this way.
    """
    sc = context(spark)
    spark_context = sc._jsc.sc()
    jvm = sc._jvm
    host, _, port = sc.master[len("spark://") :].split(",")[0].rpartition(":")
    address = jvm.org.apache.spark.rpc.RpcAddress(host, int(port))
    # Through the field: the methods of SparkEnv name classes that are not on the class path, so
    # Java lists none of them.
    field = jvm.java.lang.Class.forName("org.apache.spark.SparkEnv").getDeclaredField("rpcEnv")
    field.setAccessible(True)
    master = field.get(spark_context.env()).setupEndpointRef(address, "Master")
    name = "org.apache.spark.deploy.DeployMessages$RequestMasterState$"
    question = jvm.java.lang.Class.forName(name).getField("MODULE$").get(None)
    answer_class = jvm.java.lang.Class.forName("java.lang.Object")
    state = master.askSync(question, jvm.scala.reflect.ClassTag.apply(answer_class))
    mine = spark_context.applicationId()
    return json.dumps(
        {
            "workers": [
                {"cores": worker.cores(), "memory": worker.memory()} for worker in state.workers()
            ],
            "applications": [
                application.desc().name()
                for application in state.activeApps()
                if application.id() != mine
            ],
            "executor_memory": spark_context.executorMemory(),
            "executor_cores": int(sc.getConf().get("spark.executor.cores", "1")),
        }
    )


def visit(spark: Any, names: list[str], address: list[Any] | None) -> str:
    """Run a task on every executor; give what each tells, by its host and daemon."""
    wanted = executors(spark)
    found: dict[str, Any] = {}
    for _ in range(_ROUNDS):
        for row in tasks(spark, names, address):
            told = json.loads(row["told"])
            found[told.pop("id")] = {**told, "java": row["java"], "spark": row["spark"]}
        if len(found) >= wanted:
            break
    return json.dumps({"wanted": wanted, "executors": list(found.values())})


def tasks(spark: Any, names: list[str], address: list[Any] | None) -> list[Any]:
    """Run one task for every core, so that no executor is left out."""
    from pyspark.sql.functions import expr, udf

    def tell(_: int) -> str:
        # Held for a moment, or an executor that is quick would take all tasks.
        time.sleep(_HOLD_SECONDS)
        # Each executor forks its Python processes from a daemon of its own.
        found = {**side(names), "id": f"{socket.gethostname()}:{os.getppid()}"}
        return json.dumps({**found, "way_back_seconds": way_back(address)})

    sc = context(spark)
    count = 2 if sc is None else sc.defaultParallelism
    table = spark.range(0, count, 1, count)
    rows: list[Any] = table.select(
        # Without Arrow, which the executors may not have.
        udf(tell, "string", useArrow=False)("id").alias("told"),
        expr("java_method('java.lang.System', 'getProperty', 'java.version')").alias("java"),
        expr("java_method('org.apache.spark.package', 'SPARK_VERSION')").alias("spark"),
    ).collect()
    return rows


def way_back(address: list[Any] | None) -> float | None:
    """Give how many seconds a connection to the driver takes."""
    if address is None:
        return None
    start = time.monotonic()
    with socket.create_connection((address[0], address[1]), timeout=_CONNECT_SECONDS):
        return round(time.monotonic() - start, 4)
