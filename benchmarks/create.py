"""How long it takes to create a kernel: over HTTP with us, by bash and pyhocon with the script."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from table import Row

_TOKEN = "benchmark"
_REQUESTS_PER_ROUND = 40
_LIMIT_SECONDS = 60

_TEMPLATE = """
{
  "display_name": ${KERNEL_NAME},
  "language": "python",
  "argv": [ ${PYSPARK_DRIVER_PYTHON}, "-m", "ipykernel", "-f", "{connection_file}" ],
  "env": {
    "SPARK_HOME": ${SPARK_HOME},
    "PYTHONSTARTUP": ${SPARK_HOME}/python/pyspark/shell.py,
    "PYSPARK_SUBMIT_ARGS": ${PYSPARK_SUBMIT_ARGS}
  }
}
"""
_SCRIPT = """
set -e
rm -rf "$KERNELS/$KERNEL_NAME"
mkdir -p "$KERNELS/$KERNEL_NAME"
"$PYTHON" -m pip show --quiet pyhocon
"$PYTHON" -m pip show --quiet jupyter_client
"$PYHOCON" -i "$TEMPLATE" -f json -o "$KERNELS/$KERNEL_NAME/kernel.json" 2>/dev/null
"""


def measure(environment: Path, folder: Path, rounds: int) -> list[Row]:
    """Create kernels in turn by both ways.

    Args:
        environment: prefix of an environment with PySpark and ipykernel.
        folder: an empty folder to work in.
        rounds: how often the script runs; for each, some tens of requests are sent.

    """
    folder.mkdir()
    ours: list[float] = []
    script: list[float] = []
    with _server(folder) as url:
        for number in range(rounds):
            script.append(_by_script(folder, number))
            for request in range(_REQUESTS_PER_ROUND):
                ours.append(_by_http(url, environment, f"k-{number}-{request}"))
    print(f"  create, {len(ours)} requests and {len(script)} runs of the script", flush=True)
    return [
        Row("create a kernel", ours, script, 0.01),
        Row("create, 95th percentile", ours, [], 0.015, share=0.95),
    ]


def _by_script(folder: Path, number: int) -> float:
    template = folder / "kernel.template"
    template.write_text(_TEMPLATE)
    env = {
        **os.environ,
        "KERNELS": str(folder / "script"),
        "KERNEL_NAME": f"k-{number}",
        "TEMPLATE": str(template),
        "PYTHON": sys.executable,
        "PYHOCON": str(Path(sys.executable).parent / "pyhocon"),
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_HOME": "/opt/spark",
        "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
    }
    started = time.perf_counter()
    subprocess.run(["bash", "-c", _SCRIPT], env=env, check=True)
    seconds = time.perf_counter() - started
    json.loads((folder / "script" / f"k-{number}" / "kernel.json").read_text())
    return seconds


def _by_http(url: str, environment: Path, name: str) -> float:
    body = json.dumps({"name": name, "environment": str(environment)}).encode()
    headers = {"Authorization": f"token {_TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/jupyterlab-pyspark-kernels/kernels", body, headers)
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=_LIMIT_SECONDS) as response:
        response.read()
    seconds = time.perf_counter() - started
    if response.status != 201:
        raise RuntimeError(f"creating {name} answered {response.status}")
    _delete(url, name)
    return seconds


def _delete(url: str, name: str) -> None:
    # Kernels that pile up would make Jupyter's own list slower, and us with it.
    request = urllib.request.Request(
        f"{url}/jupyterlab-pyspark-kernels/kernels/user/{name}",
        headers={"Authorization": f"token {_TOKEN}"},
        method="DELETE",
    )
    with urllib.request.urlopen(request, timeout=_LIMIT_SECONDS):
        pass


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Run a Jupyter server on loopback with folders of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={_TOKEN}",
    ]
    folders = {
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
    }
    log = (folder / "server.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", *options],
        env={**os.environ, **folders},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait(server, url)
        yield url
    finally:
        server.terminate()
        server.wait(_LIMIT_SECONDS)
        log.close()


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/api", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server did not answer")
