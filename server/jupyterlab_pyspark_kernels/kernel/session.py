"""Spark's session: made in its JVM or on a Spark Connect server, and watched."""

from __future__ import annotations

import atexit
import os
import threading
from datetime import datetime, timezone
from typing import Any, Dict, Optional

from .belonging import mark, named_agent
from .connect import TOKEN_VARIABLE, check_answer, check_channel, with_parameter
from .facts import user_facts
from .failure import SparkStartError
from .jvm import dismissed, reap, stop
from .launch import Launch
from .options import SubmitOptions, is_local
from .pod import tell_pod
from .receipt import Meter
from .secrets import Secrets, hand_over
from .status import NO_EXECUTORS, Status

_POLL_SECONDS = 1
_QUIET_POLL_SECONDS = 5
_WATCHED_STAGES = ("connecting", "executors", "ready", "stopped", "returning")
"""Where whoever watches Spark may say more; the others were told by somebody who knows why."""
_DRIVER_MEMORY = "1g"
"""Spark's own default."""
_RACE = "java.util.ConcurrentModificationException"
_RELEASE_VARIABLE = "SPARK_CONNECT_RELEASE_SESSION_ON_EXIT"
_TOKEN_VARIABLE_SINCE = 4
"""The PySpark that takes the token of Spark Connect from its variable."""


def start(launch: Launch, secrets: Secrets, status: Status) -> Dict[str, Any]:
    """Start the JVM and the session in it."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    # The lock is PySpark's own: a getOrCreate() in a cell waits for this JVM instead of starting
    # another. It takes the builder's lock first and then this one, so ours must come after it:
    # the other order would block both for ever.
    with SparkContext._lock:
        # A cell may have been here first.
        gateway = SparkContext._gateway
        if gateway is None:
            gateway = launch.gateway()
        else:
            threading.Thread(target=reap, args=(gateway.proc, status), daemon=True).start()
        atexit.register(stop, gateway.proc)
        hand_over(secrets, gateway.jvm)
        mark(status["kernel_id"], gateway.jvm.java.lang.System)
        tell_pod(os.environ, gateway.jvm.java.lang.System)
        SparkContext._ensure_initialized(gateway=gateway)
    status.update(stage="connecting", jvm=gateway.proc.pid)
    spark = _created(SparkSession.builder)
    context = spark.sparkContext
    if context._jsc.sc().isStopped():
        raise SparkStartError(
            f"The master {context.master} did not accept this application. "
            "Check that it is running and that its Spark has the same version."
        )
    wanted = context.getConf().get("spark.executor.instances")
    status.update(
        stage="ready" if is_local(context.master) else "executors",
        master=context.master,
        application_id=context.applicationId,
        ui=context.uiWebUrl,
        spark_version=context.version,
        executors_wanted=int(wanted) if wanted else None,
        since=_now(),
    )
    return {"spark": spark, "sc": context, "sql": spark.sql}


def _created(builder: Any) -> Any:
    """Create a session; once more if Spark stood in its own way.

    On YARN, Spark adds pages to its UI while the application master has it change them all; a slow
    machine shows it. PySpark has cleaned up by then.
    """
    from py4j.protocol import Py4JJavaError

    try:
        return builder.getOrCreate()
    except Py4JJavaError as error:
        if not error.java_exception.toString().startswith(_RACE):
            raise
        return builder.getOrCreate()


def connect(options: SubmitOptions, secrets: Secrets, status: Status) -> Dict[str, Any]:
    """Connect to a Spark Connect server; there is no JVM and no SparkContext here."""
    from pyspark import __version__
    from pyspark.sql import SparkSession

    remote = str(options.remote)
    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and int(__version__.partition(".")[0]) < _TOKEN_VARIABLE_SINCE:
        # It speaks TLS with a token to this very machine as well.
        remote = with_parameter(with_parameter(remote, "use_ssl", "true"), "token", token)
    check_channel(remote, os.environ)
    check_answer(remote)
    facts = user_facts(os.environ)
    remote = with_parameter(remote, "user_id", facts.get("hub_user", facts["user"]))
    # Otherwise the server keeps what a notebook had for an hour after its end.
    os.environ.setdefault(_RELEASE_VARIABLE, "true")
    builder = SparkSession.builder.remote(named_agent(remote, status["kernel_id"]))
    for key, value in {**options.conf, **secrets.settings}.items():
        # Everything else was settled when the server started.
        if key.startswith("spark.sql."):
            builder = builder.config(key, value)
    spark = builder.getOrCreate()
    # The version is the server's: the first thing that needs the connection.
    status.update(stage="ready", spark_version=spark.version, since=_now())
    return {"spark": spark, "sql": spark.sql}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def watch(status: Status, meter: Meter) -> None:
    """Tell of executors that come and go, and at the end what they were used for."""
    from py4j.protocol import Py4JError
    from pyspark import SparkContext

    jvm = SparkContext._gateway.proc
    while jvm.poll() is None and jvm not in dismissed:
        status.trim_log()
        # The notebook may stop Spark, and start it again.
        context = SparkContext._active_spark_context
        try:
            if context is None or context._jsc is None:
                meter.end("stopped")
                status.update(_WATCHED_STAGES, stage="stopped", ui=None, **NO_EXECUTORS)
            else:
                _tell_executors(status, context)
                meter.read(context)
        except (AttributeError, Py4JError, OSError):
            # The context was stopped, and then has no Java object, or the JVM ended, while we
            # asked; the next round sees it.
            pass
        coming = status["stage"] in ("connecting", "executors", "returning")
        # What Spark has counted only a moment later than it said that it is there.
        coming = coming or (status["stage"] == "ready" and status["cores"] is None)
        if not meter.rest(_POLL_SECONDS if coming else _QUIET_POLL_SECONDS):
            return
    meter.end("lost")


def _tell_executors(status: Status, context: Any) -> None:
    # The driver's own block manager is one of them.
    executors = context._jsc.sc().getExecutorMemoryStatus().size() - 1
    there = executors > 0 or is_local(context.master) or status["stage"] == "ready"
    coming = "returning" if status["stage"] == "returning" else "executors"
    counted = status["cores"] is not None and executors == status["executors"]
    status.update(
        _WATCHED_STAGES,
        stage="ready" if there else coming,
        executors=executors,
        **({} if counted else _granted(context, executors)),
        application_id=context.applicationId,
        ui=context.uiWebUrl,
        tracking=_tracking(context),
    )


def _granted(context: Any, executors: int) -> Dict[str, Optional[int]]:
    """Count what Spark has to work with, for a number of executors; it is asked a few times each.

    Returns:
        `cores`: the sum of what each executor announced, or the threads of a local master; `None`
        while Spark's listener, which counts them, has not heard of all.
        `memory_mib`: the heap that was asked for, of all executors or of a local driver, in MiB.
        What a cluster adds for overhead and Python is not in it.
    """
    spark = context._jsc.sc()
    seen = spark.statusStore().executorList(True)
    # The driver is one of them, and has cores only where it does the work itself.
    if seen.size() - 1 != executors:
        return {"cores": None, "memory_mib": None}
    cores = sum(seen.apply(number).totalCores() for number in range(executors + 1))
    if is_local(context.master):
        memory = spark.conf().getSizeAsMb("spark.driver.memory", _DRIVER_MEMORY)
    else:
        memory = executors * spark.executorMemory()
    return {"cores": cores, "memory_mib": memory}


def _tracking(context: Any) -> Optional[str]:
    """Give YARN's link to Spark's UI: the driver's own page lets nobody in but YARN."""
    # The configuration of the JVM, to which YARN's ApplicationMaster adds a filter of the UI.
    conf = context._jsc.sc().conf()
    for name in conf.get("spark.ui.filters", "").split(","):
        if name.strip().endswith(".AmIpFilter"):
            links: str = conf.get(f"spark.{name.strip()}.param.PROXY_URI_BASES", "")
            return links.partition(",")[0] or None
    return None
