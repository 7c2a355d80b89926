"""Runs kernels as Jupyter runs them, for the tests."""

import json
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

LIMIT_SECONDS = 180
"""How long a busy machine may take for anything."""

SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Lets a JVM that does little take a third less of the processor."""

NEVER = 24 * 3600
"""Seconds of idleness that no test reaches."""

MARKER = "PYSPARK_KERNELS_TEST_MARKER"

_given: set[int] = set()
"""Ports that this process was given."""


@dataclass
class Answer:
    """What one cell answered."""

    status: str
    text: str = ""
    error: str = ""
    traceback: list[str] = field(default_factory=list)


class RunningKernel:
    """A kernel that was started from a kernels directory."""

    def __init__(
        self, kernels: Path, name: str, runtime: Path, env: dict[str, str], folder: Path
    ) -> None:
        self.runtime = runtime
        specs = KernelSpecManager(kernel_dirs=[str(kernels)])
        self.manager = KernelManager(kernel_name=name, kernel_spec_manager=specs)
        self.manager.connection_file = str(runtime / f"kernel-{name}.json")
        self.marker = f"{name}-{time.monotonic_ns()}"
        self.status_file = runtime / "pyspark-kernels" / f"{name}.json"
        # The person who runs the tests has not used these kernels.
        own = {"JUPYTER_DATA_DIR": str(runtime / "data"), MARKER: self.marker}
        self.manager.start_kernel(cwd=str(folder), env={**env, **own})
        self.connect()

    def connect(self) -> None:
        """Open the channels, and wait until the kernel answers."""
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT_SECONDS)

    def run(self, code: str) -> Answer:
        """Run one cell to its end."""
        return self.collect(self.client.execute(code))

    def collect(self, message_id: str) -> Answer:
        """Give the answer of a cell that was sent."""
        answer = Answer("")
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            message = self.client.get_iopub_msg(timeout=deadline - time.monotonic())
            if message["parent_header"].get("msg_id") != message_id:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                answer.text += content["text"]
            elif message["msg_type"] == "execute_result":
                answer.text += content["data"]["text/plain"]
            elif message["msg_type"] == "error":
                answer.error, answer.traceback = content["ename"], content["traceback"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                break
        while True:
            # Answers to wait_for_ready() may still be under way.
            reply = self.client.get_shell_msg(timeout=deadline - time.monotonic())
            if reply["parent_header"].get("msg_id") == message_id:
                answer.status = reply["content"]["status"]
                return answer

    def value(self, code: str) -> str:
        """Run a cell that must succeed, and give what it shows."""
        answer = self.run(code)
        assert answer.status == "ok", answer
        return answer.text.strip()

    def status(self) -> dict[str, Any]:
        """Read how far Spark has come."""
        content: dict[str, Any] = json.loads(self.status_file.read_text())
        return content

    def wait_for_stage(self, *stages: str) -> dict[str, Any]:
        """Wait until Spark is at one of these stages."""
        wait_until(lambda: self.status()["stage"] in stages)
        return self.status()

    def count_idleness(self, **limits: float) -> None:
        """Say after how many seconds of idleness what is done: `release`, `stop`.

        A busy machine may take longer for what a test does than any limit that a test waits for.
        """
        found = "next(o for o in __import__('gc').get_objects() if type(o).__name__ == 'Idle')"
        self.value(f"{found}._limits.update({limits})")

    def never_count_idleness(self) -> None:
        """Let nothing be released or stopped until `count_idleness`."""
        self.count_idleness(release=NEVER, stop=NEVER)

    def programs(self) -> dict[int, str]:
        """Give the programs of this kernel's processes."""
        found = {}
        for pid in self.processes():
            # It may have ended meanwhile.
            with suppress(FileNotFoundError, ProcessLookupError):
                found[pid] = os.readlink(f"/proc/{pid}/exe")
        return found

    def processes(self) -> list[int]:
        """List the processes of this kernel, however they were started."""
        return marked_processes(self.marker)

    def jvms(self) -> list[int]:
        """List the JVMs of this kernel, but not the executors, which its cluster starts."""
        return [pid for pid, program in self.programs().items() if "java" in program]

    def end(self) -> None:
        """End the kernel in order: one that a busy machine keeps from it in time is not killed."""
        self.client.stop_channels()
        self.manager.shutdown_wait_time = LIMIT_SECONDS
        self.manager.shutdown_kernel()

    def close(self) -> None:
        """End the kernel, whatever state it is in."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


class System:
    """Java's System, as far as it is asked."""

    def __init__(self, **properties: str) -> None:
        self.properties = {name.replace("_", "."): value for name, value in properties.items()}

    def getProperty(self, name: str) -> str | None:
        return self.properties.get(name)

    def setProperty(self, name: str, value: str) -> None:
        self.properties[name] = value


def marked_processes(marker: str) -> list[int]:
    """List the processes that have a marker in their environment and are not dead."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            # It ended while we looked, or is another user's.
            continue
        if f"{MARKER}={marker}".encode() in environment and state != "Z":
            found.append(int(entry.name))
    return found


def free_port() -> int:
    """Give a port on loopback that nobody listens on, and that this process has not given before.

    It is below those that connections are given, and another worker of pytest has others: seconds
    go by until somebody listens.
    """
    ports = {"gw0": range(20_000, 26_000), "gw1": range(26_000, 32_000)}
    own = ports.get(os.environ.get("PYTEST_XDIST_WORKER", ""), range(20_000, 32_000))
    for port in random.sample(own, 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise RuntimeError("a thousand ports are all taken")


def wait_until(condition: Callable[[], object], seconds: float = LIMIT_SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@contextmanager
def running(
    kernels: Path,
    name: str,
    runtime: Path,
    env: dict[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[RunningKernel]:
    """Start a kernel in a notebook's folder, and end it."""
    # One for each: two workers would wait for each other's history.
    own = {"IPYTHONDIR": str(runtime / "ipython")}
    env = {**os.environ, **own} if env is None else {**own, **env}
    kernel = RunningKernel(kernels, name, runtime, env, folder or kernels.parent)
    try:
        yield kernel
    finally:
        kernel.close()


def comm_messages(kernel: RunningKernel, comm_id: str, last_stage: str) -> list[dict[str, Any]]:
    """Collect the statuses that arrive over a comm until Spark is at a stage."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + LIMIT_SECONDS
    while not found or found[-1]["stage"] != last_stage:
        message = kernel.client.get_iopub_msg(timeout=deadline - time.monotonic())
        if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == comm_id:
            data = message["content"]["data"]
            found += [data] if "stage" in data else []
    return found
