"""Every other way in to a setting: what else decides it, as data.

A *setting* is named by a field of KernelConfig (`executor_memory`), by a `spark.*` key that has no
field, or by `env:NAME`, `label:NAME` or `secret:NAME`. `canonical` knows the names that mean the
same, and `ways_in` lists what a configuration sets beside the place where a setting belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .config import CONF_KEYS, KernelConfig

ENV = "env:"
"""What the setting of an environment variable begins with."""

_LABEL = "label:"

GROUPS = {"conf": "", "env": ENV, "labels": _LABEL, "secrets": "secret:"}
"""The fields of which each entry is a setting, and what its name begins with."""

ANYTHING = "*"
"""Stands for every setting: what a file or a JVM's options say is not looked into."""

_ANY_LABEL = f"{_LABEL}{ANYTHING}"

RENAMED = {
    "spark.deploy.spreadOut": "spark.deploy.spreadOutApps",
    "spark.files.userClassPathFirst": "spark.executor.userClassPathFirst",
    "spark.io.compression.lz4.block.size": "spark.io.compression.lz4.blockSize",
    "spark.io.compression.snappy.block.size": "spark.io.compression.snappy.blockSize",
    "spark.kryoserializer.buffer.max.mb": "spark.kryoserializer.buffer.max",
    "spark.kryoserializer.buffer.mb": "spark.kryoserializer.buffer",
    "spark.maxRemoteBlockSizeFetchToMem": "spark.network.maxRemoteBlockSizeFetchToMem",
    "spark.reducer.maxMbInFlight": "spark.reducer.maxSizeInFlight",
    "spark.reducer.maxReqSizeShuffleToMem": "spark.network.maxRemoteBlockSizeFetchToMem",
    "spark.scheduler.listenerbus.eventqueue.size": (
        "spark.scheduler.listenerbus.eventqueue.capacity"
    ),
    "spark.shuffle.file.buffer.kb": "spark.shuffle.file.buffer",
    "spark.sql.kafkaConsumerCache.capacity": "spark.kafka.consumer.cache.capacity",
    "spark.sql.legacy.parquet.datetimeRebaseModeInRead": (
        "spark.sql.parquet.datetimeRebaseModeInRead"
    ),
    "spark.storage.blockManagerSlaveTimeoutMs": "spark.storage.blockManagerHeartbeatTimeoutMs",
    "spark.streaming.minRememberDuration": "spark.streaming.fileStream.minRememberDuration",
    "spark.ui.jettyStopTimeout": "spark.ui.jetty.stopTimeout",
    "spark.unsafe.offHeap": "spark.memory.offHeap.enabled",
    "spark.yarn.access.hadoopFileSystems": "spark.kerberos.access.hadoopFileSystems",
    "spark.yarn.access.namenodes": "spark.kerberos.access.hadoopFileSystems",
    "spark.yarn.applicationMaster.waitTries": "spark.yarn.am.waitTime",
    "spark.yarn.driver.memoryOverhead": "spark.driver.memoryOverhead",
    "spark.yarn.executor.failuresValidityInterval": "spark.executor.failuresValidityInterval",
    "spark.yarn.executor.memoryOverhead": "spark.executor.memoryOverhead",
    "spark.yarn.jar": "spark.yarn.jars",
    "spark.yarn.kerberos.relogin.period": "spark.kerberos.relogin.period",
    "spark.yarn.keytab": "spark.kerberos.keytab",
    "spark.yarn.max.executor.failures": "spark.executor.maxNumFailures",
    "spark.yarn.max.worker.failures": "spark.executor.maxNumFailures",
    "spark.yarn.principal": "spark.kerberos.principal",
}
"""Old keys and what Spark 4.3 takes them for (`SparkConf.configsWithAlternatives`, and the
alternatives of its `ConfigEntry.knownConfigs`); those of the history server are left out."""

ALSO_DECIDES = {
    "master": (
        *("env:MASTER", "env:HADOOP_CONF_DIR", "env:YARN_CONF_DIR", "env:KUBECONFIG"),
        *("spark.hadoop.yarn.*", "spark.kubernetes.driver.master", "spark.kubernetes.context"),
    ),
    "driver_memory": (
        *("env:SPARK_DRIVER_MEMORY", "env:SPARK_MEM"),
        *("spark.driver.memoryOverhead", "spark.driver.memoryOverheadFactor"),
    ),
    "executor_memory": (
        *("env:SPARK_EXECUTOR_MEMORY", "env:SPARK_MEM"),
        *("spark.executor.memoryOverhead", "spark.executor.memoryOverheadFactor"),
        *("spark.executor.minMemoryOverhead", "spark.kubernetes.memoryOverheadFactor"),
        *("spark.executor.pyspark.memory", "spark.memory.offHeap.*"),
        "spark.kubernetes.executor.podTemplateFile",
        # What a JVM takes from its environment; the first of them wins over its arguments.
        *("spark.executorEnv._JAVA_OPTIONS", "spark.executorEnv.JDK_JAVA_OPTIONS"),
        "spark.executorEnv.JAVA_TOOL_OPTIONS",
    ),
    "executor_cores": (
        "env:SPARK_EXECUTOR_CORES",
        *("spark.kubernetes.executor.request.cores", "spark.kubernetes.executor.limit.cores"),
        "spark.kubernetes.executor.podTemplateFile",
    ),
    "executor_instances": ("env:SPARK_EXECUTOR_INSTANCES", "spark.dynamicAllocation.*"),
    "environment": ("env:PYTHONHOME",),
    "executor_python": ("spark.executorEnv.PYSPARK_PYTHON",),
    "proxy_user": ("env:HADOOP_PROXY_USER", "env:HADOOP_USER_NAME"),
    "principal": (
        *("env:KRB5CCNAME", "env:KRB5_CONFIG", "env:HADOOP_CONF_DIR"),
        *("spark.kerberos.renewal.credentials", "spark.hadoop.hadoop.security.*"),
    ),
    _ANY_LABEL: ("spark.yarn.tags",),
    # The variables win over the setting.
    "spark.local.dir": ("env:SPARK_LOCAL_DIRS", "env:SPARK_EXECUTOR_DIRS"),
    "spark.hadoop.fs.defaultFS": ("spark.hadoop.fs.default.name",),
    "env:HADOOP_USER_NAME": ("env:HADOOP_PROXY_USER",),
    ANYTHING: (
        *("env:SPARK_CONF_DIR", "env:SPARK_SUBMIT_OPTS", "env:SPARK_LAUNCHER_OPTS"),
        *("env:SPARK_JAVA_OPTS", "env:SPARK_DAEMON_JAVA_OPTS"),
        *("env:JAVA_TOOL_OPTIONS", "env:_JAVA_OPTIONS", "env:JDK_JAVA_OPTIONS"),
        # Bash, which spark-submit is written in, runs these before the script.
        *("env:BASH_ENV", "env:ENV"),
    ),
}
"""Settings, and patterns of other settings that decide the same or how much of it there is in the
end. Each one is refused where the first is ruled, unless the administrator rules it as well."""

_JVM_OPTIONS = {
    "spark.driver.extraJavaOptions": "driver_memory",
    "spark.driver.defaultJavaOptions": "driver_memory",
    "spark.executor.extraJavaOptions": "executor_memory",
    "spark.executor.defaultJavaOptions": "executor_memory",
}
"""Settings with options of a JVM, and what says how large its heap is."""

_POD_LABEL = re.compile(r"spark\.kubernetes\.(?:driver|executor)\.label\.(.+)", re.DOTALL)
_FIELDS = {key: field for field, key in CONF_KEYS.items()}


@dataclass(frozen=True)
class Way:
    """Something that a configuration sets, by another name than its own.

    Attributes:
        setting: what it sets; with `ANYTHING` at its end all that begins so.
        name: how it is written in the configuration, for a message.
        field: the field of KernelConfig that holds it.

    """

    setting: str
    name: str
    field: str


def canonical(setting: str) -> str:
    """Give the one name of a setting."""
    setting = RENAMED.get(setting, setting)
    return _FIELDS.get(setting, setting)


def field_of(setting: str) -> str:
    """Give the field of KernelConfig that holds a setting."""
    for field, prefix in GROUPS.items():
        if setting.startswith(prefix or "spark."):
            return field
    return setting


def name_of(setting: str) -> str:
    """Give a setting's name as a person writes it."""
    return setting.removeprefix(GROUPS.get(field_of(setting), ""))


def ways_in(config: KernelConfig) -> Iterator[Way]:
    """List what a configuration sets in other ways than under the setting's own name."""
    for key, value in config.conf.items():
        if canonical(key) != key:
            yield Way(canonical(key), key, "conf")
        yield from _decided(key, key, "conf")
        if key in _JVM_OPTIONS:
            yield from _of_jvm(key, value)
        if found := _POD_LABEL.fullmatch(key):
            yield Way(_LABEL + found[1], key, "conf")
    for name in config.env:
        yield from _decided(ENV + name, name, "env")
    for name in config.secrets:
        setting = canonical(name) if name.startswith("spark.") else ENV + name
        yield Way(setting, name, "secrets")
        yield from _decided(setting, name, "secrets")


def _decided(setting: str, name: str, field: str) -> Iterator[Way]:
    for decided, patterns in ALSO_DECIDES.items():
        if any(fnmatchcase(canonical(setting), pattern) for pattern in patterns):
            yield Way(decided, name, field)


def _of_jvm(key: str, options: str) -> Iterator[Way]:
    """List what a JVM's options set: SparkConf begins with the system properties `spark.*`."""
    tokens = _split_like_spark(options)
    if tokens is None:
        # Spark refuses it, or splits it in a way that is not known.
        yield Way(ANYTHING, key, "conf")
        return
    for token in tokens:
        name = f"{token} in {key}"
        if found := re.match(r"-D(spark\.[^=]*)", token):
            setting, name = canonical(found[1]), f"-D{found[1]} in {key}"
            yield Way(setting, name, "conf")
            yield from _decided(setting, name, "conf")
        elif found := re.match(r"-D(HADOOP_PROXY_USER)=", token):
            yield from _decided(ENV + found[1], f"-D{found[1]} in {key}", "conf")
        elif re.match(r"-X?mx|-XX:MaxHeapSize|-XX:MaxRAM", token):
            yield Way(_JVM_OPTIONS[key], name, "conf")
        elif re.match(r"@|-XX:(Flags|VMOptionsFile)", token):
            yield Way(ANYTHING, name, "conf")


_NO_BREAK = "\u00a0\u2007\u202f"
"""Blanks for Python, and none for Java."""


def _split_like_spark(options: str) -> list[str] | None:
    """Split options as Spark does (`CommandBuilderUtils.parseOptionString`), which is no shell.

    A backslash takes what follows as it is, also between double quotes, and any blank that Java
    knows ends an option.

    Returns:
        the options, or `None` when a quote is left open.

    """
    found: list[str] = []
    option, begun, quote, escaped = "", False, "", False
    for character in options:
        if escaped:
            option, escaped = option + character, False
        elif character == "\\" and quote != "'":
            begun = escaped = True
        elif character in ("'", '"') and quote in ("", character):
            begun, quote = True, "" if quote else character
        elif quote or character in _NO_BREAK or not character.isspace():
            option, begun = option + character, True
        elif begun:
            found.append(option)
            option, begun = "", False
    if quote or escaped:
        return None
    return [*found, option] if begun else found
