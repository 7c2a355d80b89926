"""The folder deploy/object-storage: notebooks in a bucket, by servers whose disks are thrown away.

A server with a configuration that it cannot read goes on with local files and says that all is
well; so whatever is said to be in the bucket is looked for there, and on the disk.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import websocket
from buckets import BUCKET, Store, google_storage, s3
from deploying import DEPLOY, read_json, run
from hub import Notebook
from kernels import LIMIT_SECONDS, free_port, wait_until
from tornado.web import HTTPError
from traitlets import TraitError

from jupyterlab_pyspark_kernels import bucket
from jupyterlab_pyspark_kernels.bucket import BucketContents

FOLDER = DEPLOY / "object-storage"
TOKEN = "of-the-tests"
NOTEBOOK = "work/first.ipynb"
CHECKPOINT = "work/.ipynb_checkpoints/first-checkpoint.ipynb"


class Machine:
    """A machine with the folder's configuration, but for the values that are to be changed."""

    def __init__(self, root: Path, store: Store, **values: Any) -> None:
        self.root, self.store = root, store
        self.disk, self.etc = root / "disk", root / "etc/jupyter"
        self.log = root / "server.log"
        self.disk.mkdir()
        self.etc.mkdir(parents=True)
        config = read_json(FOLDER / "jupyter_server_config.json")
        said = {"url": f"{store.protocol}://{BUCKET}/{root.name}", "options": store.options}
        config["BucketContents"] |= {**said, **values}
        (self.etc / "jupyter_server_config.json").write_text(json.dumps(config))

    def start(self, port: int, **environ: str) -> subprocess.Popen[bytes]:
        """Start a server with nothing but the configuration and the disk."""
        said = {
            "HOME": self.disk,
            "JUPYTER_CONFIG_DIR": self.disk / "config",
            "JUPYTER_CONFIG_PATH": self.etc,
            "JUPYTER_DATA_DIR": self.disk / "data",
            "JUPYTER_RUNTIME_DIR": self.disk / "runtime",
            "JUPYTER_PATH": self.root / "share",
        }
        options = [f"--port={port}", "--no-browser", "--ServerApp.port_retries=0"]
        options += ["--allow-root"] if os.geteuid() == 0 else []
        with self.log.open("wb") as output:
            return subprocess.Popen(
                [
                    sys.executable,
                    *("-m", "jupyter_server", *options),
                    f"--IdentityProvider.token={TOKEN}",
                ],
                cwd=self.disk,
                env={
                    **os.environ,
                    **{name: str(path) for name, path in said.items()},
                    **self.store.environ,
                    **environ,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @contextmanager
    def server(self, **environ: str) -> Iterator["Server"]:
        """Run a server that is killed at the end; then its disk has no notebook."""
        port = free_port()
        process = self.start(port, **environ)
        address = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"token {TOKEN}"}
        try:
            with httpx.Client(base_url=address, headers=headers, timeout=LIMIT_SECONDS) as client:

                def answers() -> bool:
                    assert process.poll() is None, self.log.read_text()
                    with suppress(httpx.TransportError):
                        return client.get("/api/status").status_code == 200
                    return False

                wait_until(answers)
                yield Server(client, self)
                assert process.poll() is None, self.log.read_text()
        finally:
            process.kill()
            process.wait()
        assert "ImportError" not in self.log.read_text()
        assert not [*self.disk.rglob("*.ipynb"), *self.disk.rglob("*checkpoint*")]

    def listed(self, folder: str = "") -> set[str]:
        """Ask the store itself what files are below a folder of this machine's."""
        own = f"{self.root.name}/{folder}/" if folder else f"{self.root.name}/"
        found = (name for name in self.store.listed() if name.startswith(own))
        return {name.removeprefix(own) for name in found if not name.endswith("/.keep")}


class Server:
    """What a browser does with a server."""

    def __init__(self, browser: httpx.Client, machine: Machine) -> None:
        self.browser, self.machine = browser, machine

    def ask(self, verb: str, path: str, body: object = None, status: int | None = None) -> Any:
        """Ask for something of a path; it has to succeed, or to be answered as is said."""
        answer = self.browser.request(verb, f"/api/contents/{path}", json=body)
        wanted = {status} if status else {200, 201, 204}
        assert answer.status_code in wanted, (answer.status_code, answer.text)
        return answer.json() if answer.content and answer.is_success else None

    def folder(self, path: str) -> None:
        self.ask("PUT", path, {"type": "directory"})

    def save(self, source: str, path: str = NOTEBOOK) -> None:
        """Save a notebook with one cell."""
        cell = {"cell_type": "markdown", "id": "a", "source": source, "metadata": {}}
        content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        self.ask("PUT", path, {"type": "notebook", "format": "json", "content": content})

    def read(self, path: str = NOTEBOOK) -> str:
        """Read the one cell of a notebook."""
        source: str = self.ask("GET", path)["content"]["cells"][0]["source"]
        return source

    def names(self, path: str = "") -> list[str]:
        return sorted(entry["name"] for entry in self.ask("GET", path)["content"])


@pytest.fixture(scope="module")
def s3_store() -> Iterator[Store]:
    with s3() as store:
        yield store


@pytest.fixture(scope="module")
def google_store() -> Iterator[Store]:
    with google_storage() as store:
        yield store


@pytest.fixture(scope="module", params=["s3", "google"])
def store(request: pytest.FixtureRequest) -> Store:
    store: Store = request.getfixturevalue(f"{request.param}_store")
    return store


@pytest.fixture(scope="module")
def server(
    store: Store, tmp_path_factory: pytest.TempPathFactory, pyspark_environment: Path
) -> Iterator[Server]:
    """One server for each store, which offers a kernel of ours."""
    machine = Machine(tmp_path_factory.mktemp(store.protocol), store)
    kernels = machine.root / "share/kernels"
    kernels.mkdir(parents=True)
    create: list[str | Path] = [Path(sys.prefix, "bin/jupyter-pyspark-kernels"), "create"]
    create += ["-d", kernels, "--name", "ours", "--display-name", "Ours"]
    run([*create, "--environment", pyspark_environment, "--master", "local[1]"])
    with machine.server() as server:
        server.ask("PUT", "plain.txt", {"type": "file", "format": "text", "content": "plain"})
        yield server


def test_notebooks_and_checkpoints_outlive_the_disk(store: Store, tmp_path: Path) -> None:
    machine = Machine(tmp_path, store)
    with machine.server() as server:
        server.folder("work")
        server.save("kept")
        made = server.ask("POST", f"{NOTEBOOK}/checkpoints")
        server.save("changed")
        assert machine.listed() == {NOTEBOOK, CHECKPOINT}

    shutil.rmtree(machine.disk)
    machine.disk.mkdir()
    with machine.server() as server:
        assert (server.names(), server.names("work")) == (["work"], ["first.ipynb"])
        assert server.read() == "changed"
        (checkpoint,) = server.ask("GET", f"{NOTEBOOK}/checkpoints")
        assert checkpoint == made
        server.ask("POST", f"{NOTEBOOK}/checkpoints/{checkpoint['id']}")
        assert server.read() == "kept"

        # The checkpoint goes where its notebook goes.
        server.ask("PATCH", NOTEBOOK, {"path": "work/other.ipynb"})
        assert machine.listed() == {"work/other.ipynb", CHECKPOINT.replace("first", "other")}
        assert server.ask("GET", "work/other.ipynb/checkpoints")
        server.ask("GET", NOTEBOOK, status=404)
        server.ask("DELETE", "work/other.ipynb")
        assert machine.listed() == set()
        assert server.names() == ["work"]


def test_a_folder_goes_with_everything_in_it(server: Server) -> None:
    machine = server.machine
    server.folder("all")
    server.folder("all/work")
    server.save("kept", f"all/{NOTEBOOK}")
    server.ask("POST", f"all/{NOTEBOOK}/checkpoints")
    # What Spark writes: at once it is there, though nobody made its folder.
    machine.store.put(f"{machine.root.name}/all/work/out/part-0.csv", b"1,2\n")
    assert server.names("all/work") == ["first.ipynb", "out"]
    server.ask("PATCH", "all/work", {"path": "all/moved"})
    moved = {path.replace("work", "moved") for path in (NOTEBOOK, CHECKPOINT)}
    assert machine.listed("all") == {*moved, "moved/out/part-0.csv"}
    assert server.ask("GET", "all/moved/out/part-0.csv")["content"] == "1,2\n"
    assert server.ask("GET", "all/moved/first.ipynb/checkpoints")
    server.folder("all/work")
    server.ask("PATCH", "all/moved", {"path": "all/work"}, status=409)
    server.ask("DELETE", "all/moved")
    assert (machine.listed("all"), server.names("all")) == (set(), ["work"])


def test_files_of_all_kinds(server: Server) -> None:
    machine, data = server.machine, bytes(range(256)) * 3
    server.folder("kinds")
    for chunk, part in ((1, data[:300]), (2, data[300:600]), (-1, data[600:])):
        sent = {"type": "file", "format": "base64", "chunk": chunk}
        sent["content"] = base64.b64encode(part).decode()
        server.ask("PUT", "kinds/data.bin", sent)
        # Nobody sees half of a file.
        assert (machine.listed("kinds") == {"data.bin"}) == (chunk == -1)
    answer = server.ask("GET", "kinds/data.bin?hash=1")
    assert base64.b64decode(answer["content"]) == data
    assert (answer["size"], len(answer["hash"])) == (len(data), 64)
    # A download comes from the bucket, and not from the server's disk.
    assert server.browser.get("/files/kinds/data.bin").content == data
    (machine.disk / "local.txt").write_text("of the disk")
    assert server.browser.get("/files/local.txt").status_code == 404

    server.ask("POST", "kinds", {"type": "file", "ext": ".txt"})
    server.ask("POST", "kinds", {"copy_from": "kinds/data.bin"})
    server.ask("PUT", "kinds/ä b.txt", {"type": "file", "format": "text", "content": "ü"})
    assert server.ask("GET", "kinds/ä b.txt")["content"] == "ü"
    assert server.names("kinds") == ["data-Copy1.bin", "data.bin", "untitled.txt", "ä b.txt"]


def test_a_name_stands_for_itself_alone(server: Server) -> None:
    server.folder("odd")
    for name in ("a*.txt", "ab.txt", "data[1].csv", "data1.csv"):
        server.ask("PUT", f"odd/{name}", {"type": "file", "format": "text", "content": name})
    server.ask("PATCH", "odd/data[1].csv", {"path": "odd/other.csv"})
    server.ask("DELETE", "odd/a*.txt")
    assert server.names("odd") == ["ab.txt", "data1.csv", "other.csv"]


WRONG: list[tuple[str, str, object, int, str]] = [
    ("GET", "no.ipynb", None, 404, "no.ipynb"),
    ("GET", "plain.txt?type=directory", None, 400, "plain.txt is no folder"),
    ("GET", "plain.txt?type=notebook", None, 400, "plain.txt is no notebook"),
    ("GET", ".keep", None, 404, ".keep"),
    ("PUT", "x.ipynb", {"type": "notebook", "content": "x"}, 400, "This is no notebook"),
    ("PUT", "x.txt", {"type": "file", "format": "x", "content": "x"}, 400, "The format"),
    ("PUT", "x.txt", {"type": "file", "format": "base64", "content": "ü"}, 400, "not base64"),
    ("PUT", "x.txt", {"type": "file", "format": "text", "chunk": 2, "content": ""}, 400, "first"),
    ("PUT", "plain.txt", {"type": "file", "format": "text"}, 400, "no content for plain.txt"),
    ("PUT", "plain.txt", {"type": "directory"}, 409, "already of another type"),
    ("PATCH", "no.txt", {"path": "yes.txt"}, 404, "There is no no.txt"),
    ("PATCH", "plain.txt", {"path": "../out.txt"}, 400, "Cannot rename"),
    ("PATCH", "plain.txt", {"path": "x/../../out"}, 400, "Cannot rename"),
    ("DELETE", "no.txt", None, 404, "There is no no.txt"),
    ("POST", "plain.txt/checkpoints/checkpoint", None, 404, "has no checkpoint"),
    ("POST", "no.txt/checkpoints", None, 404, ""),
]


def test_what_is_wrong_is_told(server: Server) -> None:
    before = server.machine.store.listed()
    for verb, path, body, status, message in WRONG:
        answer = server.browser.request(verb, f"/api/contents/{path}", json=body)
        assert answer.status_code == status, (verb, path, body, answer.text)
        assert message in answer.text, (verb, path, body, answer.text)
    assert server.machine.store.listed() == before


@pytest.mark.parametrize("store", ["s3"], indirect=True, scope="module")
def test_a_notebook_of_the_bucket_has_spark(server: Server) -> None:
    """Which store it is, no kernel sees."""
    server.folder("spark")
    server.save("to be run", "spark/run.ipynb")
    body = {"path": "spark/run.ipynb", "name": "", "type": "notebook", "kernel": {"name": "ours"}}
    answer = server.browser.post("/api/sessions", json=body)
    assert answer.status_code == 201, answer.text
    kernel = f"/api/kernels/{answer.json()['kernel']['id']}"
    address = server.browser.base_url.copy_with(scheme="ws", path=f"{kernel}/channels")
    channels = websocket.create_connection(
        str(address), timeout=LIMIT_SECONDS, header=[f"Authorization: token {TOKEN}"]
    )
    try:
        notebook = Notebook(channels)
        assert notebook.value("spark.range(1000).count()") == "1000"
        # The bucket's folders are no directories; the kernel works in the server's own.
        assert notebook.value("import os; os.getcwd()") == repr(str(server.machine.disk))
    finally:
        channels.close()
        assert server.browser.delete(kernel).status_code == 204


@pytest.fixture
def credentials(s3_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_store.environ.items():
        monkeypatch.setenv(name, value)


def contents(store: Store, folder: str, **values: Any) -> BucketContents:
    """Make what keeps a server's files, without the server."""
    values = {"url": f"s3://{BUCKET}/{folder}", "options": store.options, **values}
    return BucketContents(**values)


def test_each_user_of_a_hub_has_a_folder(
    s3_store: Store, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in ("ada@example.org", "ada/../b en"):
        monkeypatch.setenv("JUPYTERHUB_USER", user)
        own = contents(s3_store, "users")
        assert asyncio.run(own.get(""))["content"] == []
        file = {"type": "file", "format": "text", "content": user}
        asyncio.run(own.save(file, "own.txt"))
        assert asyncio.run(own.get("own.txt"))["content"] == user
        # Nothing leads out of it.
        for path in ("../ada@example.org/own.txt", "x/../../own.txt"):
            with pytest.raises(HTTPError) as refused:
                asyncio.run(own.get(path))
            assert refused.value.status_code == 404
    names = {name for name in s3_store.listed() if name.startswith("users/")}
    folders = ("users/ada@example.org", "users/ada%2F..%2Fb%20en")
    assert names == {f"{folder}/{name}" for folder in folders for name in (".keep", "own.txt")}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"options": {"endpoint_url": "http://127.0.0.1:1"}}, "connect to the endpoint URL"),
        ({"url": "/home/notebooks"}, "Say s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."),
        ({"url": "s3://"}, "Say s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."),
        ({"url": "s3://notes/../other"}, "Say s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."),
        ({"options": {"secret": "x"}}, "BucketContents.options has credentials: secret."),
        ({"options": {"token": {"private_key": "x"}}}, "options has credentials: token."),
        ({"options": {"client_kwargs": {"aws_session_token": "x"}}}, "client_kwargs.aws_session_"),
        ({"options": {"s3_additional_kwargs": {"SSECustomerKey": "x"}}}, "kwargs.SSECustomerKey."),
        ({"options": {"no_such": 1}}, "no_such"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(
    values: dict[str, Any], message: str, s3_store: Store, credentials: None
) -> None:
    with pytest.raises(TraitError) as refused:
        contents(s3_store, "refused", **values)
    assert message in str(refused.value)


def test_a_folder_of_others_stays_without_its_files(s3_store: Store, credentials: None) -> None:
    files = contents(s3_store, "foreign")
    file = {"type": "file", "format": "text", "content": "x"}

    async def use() -> list[str]:
        for name in ("deleted/a.txt", "renamed/a.txt"):
            # As other tools write: no object says that the folder is there.
            await files.save(file, name)
        await files.delete_file("deleted/a.txt")
        await files.rename_file("renamed/a.txt", "b.txt")
        return sorted(entry["name"] for entry in (await files.get(""))["content"])

    assert asyncio.run(use()) == ["b.txt", "deleted", "renamed"]


def test_parts_of_a_file_that_never_ends_are_let_go(
    s3_store: Store, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = contents(s3_store, "parts")
    part = {"type": "file", "format": "text", "content": "x", "chunk": 1}
    asyncio.run(files.save(part, "closed.txt"))
    monkeypatch.setattr(bucket, "_UPLOAD_SECONDS", 0)
    asyncio.run(files.save(part, "other.txt"))
    with pytest.raises(HTTPError, match=r"The first part of closed\.txt is missing"):
        asyncio.run(files.save({**part, "chunk": -1}, "closed.txt"))


def test_a_bucket_that_is_gone_is_told(credentials: None) -> None:
    with s3() as store:
        files = contents(store, "gone")
        store.process.kill()
        store.process.wait()
        with pytest.raises(HTTPError) as told:
            asyncio.run(files.get("first.ipynb"))
    assert told.value.status_code == 503
    assert f"s3://{BUCKET}/gone does not answer" in str(told.value)


def ended(machine: Machine, **environ: str) -> str:
    """Start a server that has to end by itself; give its last words."""
    process = machine.start(free_port(), **environ)
    try:
        assert process.wait(LIMIT_SECONDS) != 0
    finally:
        process.kill()
        process.wait()
    text = machine.log.read_text()
    assert "Serving at" not in text
    return text


def test_without_its_bucket_no_server_starts(store: Store, tmp_path: Path) -> None:
    url = f"{store.protocol}://no-such-bucket/notebooks"
    text = ended(Machine(tmp_path, store, url=url))
    (line,) = [line for line in text.splitlines() if "Bad config encountered" in line]
    assert f"Notebooks cannot be kept in {url}: " in line
    assert "Traceback" not in text


def test_without_its_packages_no_server_starts(s3_store: Store, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "s3fs.py").write_text("raise ImportError('s3fs')\n")
    machine = Machine(tmp_path, s3_store)
    path = os.pathsep.join([str(missing), *sys.path])
    assert "pip install 'jupyterlab-pyspark-kernels[s3]'" in ended(machine, PYTHONPATH=path)


def test_without_the_extension_no_server_starts(s3_store: Store, tmp_path: Path) -> None:
    machine = Machine(tmp_path, s3_store)
    file = machine.etc / "jupyter_server_config.json"
    file.write_text(file.read_text().replace("jupyterlab_pyspark_kernels.bucket", "no_such"))
    assert "no_such.BucketContents" in ended(machine)


def test_with_half_of_its_configuration_no_server_starts(s3_store: Store, tmp_path: Path) -> None:
    """By the variable that the guide has set."""
    variable = "TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR"
    assert f"{variable}=1" in (FOLDER / "README.md").read_text()
    machine = Machine(tmp_path, s3_store)
    file = machine.etc / "jupyter_server_config.json"
    file.write_text(file.read_text()[:-3])
    assert "JSONDecodeError" in ended(machine, **{variable: "1"})
