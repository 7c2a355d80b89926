"""Real YARN and HDFS on loopback: a ResourceManager, NodeManager, NameNode and DataNode.

PySpark brings the Hadoop client; the daemons are in one more jar, which `npm test` fetches.
"""

import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from xml.etree import ElementTree

from kernels import LIMIT_SECONDS, free_port, wait_until

MEMORY = 4096
"""MiB of the one node: enough for an application master and two small executors, or two of each."""

CORES = 8
"""Cores of the one node, whatever the machine has."""

QUEUE = "analytics"
"""A queue beside the one that applications are put into by themselves."""

PROXIED = "alice"
"""Whom others may work as."""

_JAVA = (
    str(Path(os.environ["JAVA_HOME"], "bin", "java")) if "JAVA_HOME" in os.environ else "java",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dlog4j2.level=WARN",
)
_SERVERS = "org.apache.hadoop.yarn.server"
_HDFS = "org.apache.hadoop.hdfs.server"
_STOP_SECONDS = 60
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass
class HadoopCluster:
    """A running cluster.

    Attributes:
        folder: everything of the cluster lies in here.
        classpath: of the daemons, without the configuration.
        web: the ResourceManager's REST address.
        files: the URI of HDFS, which is the default file system.
        name_node_web: the NameNode's REST address.

    """

    folder: Path
    classpath: str
    web: str
    files: str
    name_node_web: str
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        """Give what HADOOP_CONF_DIR is set to."""
        return self.folder / "conf"

    def applications(self) -> dict[str, dict[str, Any]]:
        """Give all applications, running and ended, by their names."""
        found = _read(f"{self.web}/ws/v1/cluster/apps")["apps"] or {"app": []}
        return {app["name"]: app for app in found["app"]}

    def localised(self, name: str) -> list[Path]:
        """List the copies of a file or archive that the node keeps for its containers.

        What everybody may read is kept once for all, the rest once for each user.
        """
        node = self.folder / "node"
        shared, private = f"filecache/*/{name}", f"usercache/*/filecache/*/{name}"
        return sorted([*node.glob(shared), *node.glob(private)])

    def put(self, file: Path, target: str) -> str:
        """Copy a file to HDFS, readable by everybody, and give its URI."""
        uri = f"{self.files}{target}"
        parent = uri.rpartition("/")[0]
        self.shell("-mkdir", "-p", parent)
        self.shell("-put", str(file), uri)
        return uri

    def shell(self, *arguments: str) -> str:
        """Run a command of Hadoop's file system shell."""
        command = self.command("org.apache.hadoop.fs.FsShell", *arguments)
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def command(self, main_class: str, *arguments: str) -> list[str]:
        """Give the command line of one of Hadoop's programs."""
        return [*_JAVA, "-cp", f"{self.conf}:{self.classpath}", main_class, *arguments]

    def start(self, name: str, main_class: str) -> None:
        """Start a daemon that ends with us, however we end."""
        with (self.folder / f"{name}.log").open("wb") as output:
            self._daemons[name] = subprocess.Popen(
                self.command(main_class),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,
            )

    def stop(self) -> None:
        """End the daemons, those first that depend on others."""
        for name in reversed(self._daemons):
            self._daemons[name].terminate()
            self._daemons[name].wait(_STOP_SECONDS)

    def wait_for_files(self) -> None:
        """Wait until HDFS takes files."""
        query = f"{self.name_node_web}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
        self._wait(
            query, lambda state: [bean["NumLiveDataNodes"] for bean in state["beans"]] == [1]
        )

    def wait_for_node(self) -> None:
        """Wait until YARN takes applications."""
        self._wait(
            f"{self.web}/ws/v1/cluster/metrics",
            lambda state: state["clusterMetrics"]["activeNodes"] == 1,
        )

    def _wait(self, url: str, condition: Callable[[dict[str, Any]], bool]) -> None:
        def holds() -> bool:
            for name, daemon in self._daemons.items():
                log = self.folder / f"{name}.log"
                assert daemon.poll() is None, f"{name} ended:\n{log.read_text()[-4000:]}"
            try:
                return condition(_read(url))
            except OSError:
                # It does not listen yet.
                return False

        wait_until(holds)


@contextmanager
def hadoop_cluster(environment: Path, jars: Path, folder: Path) -> Iterator[HadoopCluster]:
    """Start YARN and HDFS, and end them.

    Args:
        environment: has the PySpark whose Hadoop client is used.
        jars: a directory with the jars that PySpark does not bring.
        folder: a directory for everything of the cluster.

    """
    (client,) = environment.glob("lib/python3*/site-packages/pyspark/jars")
    ports = [free_port() for _ in range(7)]
    manager, scheduler, tracker, admin, web, name_node, name_node_web = (
        f"127.0.0.1:{port}" for port in ports
    )
    cluster = HadoopCluster(
        folder,
        f"{client}/*:{jars}/*",
        f"http://{web}",
        f"hdfs://{name_node}",
        f"http://{name_node_web}",
    )
    cluster.conf.mkdir()
    _write(
        cluster.conf / "core-site.xml",
        {
            "fs.defaultFS": cluster.files,
            "hadoop.tmp.dir": folder / "tmp",
            # Whoever runs the tests may work as one other user.
            f"hadoop.proxyuser.{getuser()}.hosts": "127.0.0.1",
            f"hadoop.proxyuser.{getuser()}.users": PROXIED,
        },
    )
    _write(
        cluster.conf / "hdfs-site.xml",
        {
            "dfs.replication": 1,
            "dfs.namenode.http-address": name_node_web,
            "dfs.namenode.safemode.extension": 0,
            "dfs.namenode.resource.du.reserved": 0,
            "dfs.datanode.address": "127.0.0.1:0",
            "dfs.datanode.ipc.address": "127.0.0.1:0",
            "dfs.datanode.http.address": "127.0.0.1:0",
        },
    )
    _write(
        cluster.conf / "yarn-site.xml",
        {
            "yarn.resourcemanager.hostname": "127.0.0.1",
            "yarn.resourcemanager.address": manager,
            "yarn.resourcemanager.scheduler.address": scheduler,
            "yarn.resourcemanager.resource-tracker.address": tracker,
            "yarn.resourcemanager.admin.address": admin,
            "yarn.resourcemanager.webapp.address": web,
            "yarn.resourcemanager.am.max-attempts": 1,
            "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": 200,
            "yarn.scheduler.minimum-allocation-mb": 256,
            "yarn.nodemanager.hostname": "127.0.0.1",
            "yarn.nodemanager.address": "127.0.0.1:0",
            "yarn.nodemanager.localizer.address": "127.0.0.1:0",
            "yarn.nodemanager.webapp.address": "127.0.0.1:0",
            "yarn.nodemanager.local-dirs": folder / "node",
            # A node gives no containers from 90 % on, though the tests need next to nothing.
            "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 99.9,
            "yarn.nodemanager.log-dirs": folder / "node-logs",
            "yarn.nodemanager.resource.memory-mb": MEMORY,
            "yarn.nodemanager.resource.cpu-vcores": CORES,
            # While logs are kept, so is their application, and the node waits for it when it ends.
            "yarn.nodemanager.log.retain-seconds": 0,
            "yarn.nodemanager.vmem-check-enabled": "false",
            "yarn.nodemanager.pmem-check-enabled": "false",
            # A nearly full disk of a developer's machine is no reason for no nodes.
            "yarn.nodemanager.disk-health-checker.enable": "false",
        },
    )
    _write(
        cluster.conf / "capacity-scheduler.xml",
        {
            "yarn.scheduler.capacity.root.queues": f"default,{QUEUE}",
            "yarn.scheduler.capacity.root.default.capacity": 50,
            "yarn.scheduler.capacity.root.default.maximum-capacity": 100,
            f"yarn.scheduler.capacity.root.{QUEUE}.capacity": 50,
            f"yarn.scheduler.capacity.root.{QUEUE}.maximum-capacity": 100,
            "yarn.scheduler.capacity.maximum-am-resource-percent": 0.5,
        },
    )
    with (folder / "format.log").open("wb") as output:
        format_command = cluster.command(f"{_HDFS}.namenode.NameNode", "-format", "-nonInteractive")
        subprocess.run(format_command, check=True, stdout=output, stderr=subprocess.STDOUT)
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        cluster.start("name-node", f"{_HDFS}.namenode.NameNode")
        cluster.start("data-node", f"{_HDFS}.datanode.DataNode")
        cluster.start("resource-manager", f"{_SERVERS}.resourcemanager.ResourceManager")
        cluster.start("node-manager", f"{_SERVERS}.nodemanager.NodeManager")
        cluster.wait_for_files()
        cluster.wait_for_node()
        yield cluster


def _write(path: Path, properties: Mapping[str, object]) -> None:
    root = ElementTree.Element("configuration")
    for name, value in properties.items():
        element = ElementTree.SubElement(root, "property")
        ElementTree.SubElement(element, "name").text = name
        ElementTree.SubElement(element, "value").text = str(value)
    ElementTree.ElementTree(root).write(path)


def _read(url: str) -> dict[str, Any]:
    with urlopen(url, timeout=LIMIT_SECONDS) as response:
        content: dict[str, Any] = json.load(response)
    return content


def _end_with_parent() -> None:
    """Ask Linux to send this process SIGTERM when its parent dies."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
