"""Plays object stores for the tests: servers on loopback, in processes of their own."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from kernels import free_port, wait_until

BUCKET = "notes"


@dataclass(frozen=True)
class Store:
    """A store with one bucket.

    Attributes:
        protocol: how its addresses begin.
        listed: lists the bucket's objects, and asks nobody but the store.
        put: writes an object, as some other program does.
        options: what a Jupyter server has to be told of it.
        environ: the credentials, where libraries look for them.
        process: its server.

    """

    protocol: str
    listed: Callable[[], list[str]]
    put: Callable[[str, bytes], object]
    options: Mapping[str, Any]
    environ: Mapping[str, str]
    process: subprocess.Popen[bytes] = field(repr=False)


@contextmanager
def google_storage(bucket: str = BUCKET) -> Iterator[Store]:
    """Play Google Cloud Storage."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    objects = f"{url}/storage/v1/b/{bucket}/o"

    def listed() -> list[str]:
        found = httpx.get(objects).raise_for_status().json()
        return sorted(item["name"] for item in found.get("items", []))

    def put(name: str, data: bytes) -> object:
        to = {"uploadType": "media", "name": name}
        address = f"{url}/upload/storage/v1/b/{bucket}/o"
        return httpx.post(address, params=to, content=data).raise_for_status()

    # The library's probe for a kind of bucket does not know the played store.
    environ = {"STORAGE_EMULATOR_HOST": url, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    emulator = ["gcp_storage_emulator", "start", "--in-memory", "--host=127.0.0.1"]
    with _running(
        [*emulator, f"--port={port}", f"--default-bucket={bucket}"], lambda: listed() == []
    ) as process:
        options = {"project": "tests", "token": "anon"}
        yield Store("gs", listed, put, options, environ, process)


@contextmanager
def s3(bucket: str = BUCKET) -> Iterator[Store]:
    """Play S3."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def listed() -> list[str]:
        found = httpx.get(f"{url}/{bucket}", params={"list-type": "2"}).raise_for_status()
        return sorted(re.findall("<Key>(.*?)</Key>", found.text))

    def put(name: str, data: bytes) -> object:
        return httpx.put(f"{url}/{bucket}/{name}", content=data).raise_for_status()

    # Once is enough to learn that nobody answers.
    environ = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
    environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}
    with _running(
        ["moto.server", "-H", "127.0.0.1", "-p", str(port)],
        lambda: httpx.put(f"{url}/{bucket}").is_success,
    ) as process:
        yield Store("s3", listed, put, {"endpoint_url": url}, environ, process)


@contextmanager
def _running(
    module: Sequence[str], is_there: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert process.poll() is None
        try:
            return is_there()
        except httpx.TransportError:
            return False

    try:
        wait_until(answers)
        yield process
    finally:
        process.terminate()
        process.wait()
