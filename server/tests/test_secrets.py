"""Secrets by reference: a kernel gets what it refers to, and nobody else gets to see it.

25 secrets are planted for one user: where references lead, in texts that are typed or pasted, in an
older kernel, in an environment that is packed. Everything that this product, the kernel and Spark's
own pages say is then searched for them. What must be found, an ordinary setting, is.
"""

import ast
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from carrying import site_packages
from jupyter_client.blocking.client import BlockingKernelClient
from kernels import (
    LIMIT_SECONDS,
    MARKER,
    SHORT_LIVED,
    RunningKernel,
    free_port,
    wait_until,
)

from jupyterlab_pyspark_kernels.cli import main
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.errors import Invalid
from jupyterlab_pyspark_kernels.export import export
from jupyterlab_pyspark_kernels.importing import import_text
from jupyterlab_pyspark_kernels.kernel import secrets
from jupyterlab_pyspark_kernels.kernel.failure import SparkStartError
from jupyterlab_pyspark_kernels.kernel.notebook import COMM_TARGET
from jupyterlab_pyspark_kernels.kernel.rules import NAMES_OF_SECRETS
from jupyterlab_pyspark_kernels.kernel.secrets import SECRETS_VARIABLE
from jupyterlab_pyspark_kernels.render import read, render
from jupyterlab_pyspark_kernels.secrecy import HIDDEN, check_secrets, without_secrets

LEAST = {"name": "k", "environment": "/env"}

ORDINARY = "spark.my.ordinary"
"""A setting that is no secret, so that it must be found wherever settings are."""

BY_VARIABLE = (
    "spark.hadoop.fs.s3a.access.key",
    "spark.hadoop.fs.azure.account.key.acct.dfs.core.windows.net",
    "spark.ssl.trustStorePassword",
    "spark.sql.catalog.pg.url",
    "spark.hadoop.fs.s3a.proxy.password",
    "PIP_INDEX_URL",
    "HF_TOKEN",
)
BY_FILE = (
    "spark.hadoop.fs.s3a.secret.key",
    "spark.hadoop.fs.s3a.session.token",
    "spark.hadoop.fs.azure.account.oauth2.client.secret",
    "spark.hadoop.fs.gs.auth.service.account.private.key",
    "spark.ssl.keyStorePassword",
    "spark.hadoop.javax.jdo.option.ConnectionPassword",
    "spark.sql.catalog.pg.password",
    # Nothing in these names tells that they are secrets.
    "spark.my.company.pin",
    "spark.hadoop.my.pin",
    "spark.kubernetes.authenticate.oauthToken",
    "DB_PASSWORD",
    "SPARK_CONNECT_AUTHENTICATE_TOKEN",
)
ELSEWHERE = ("keytab", "typed", "pasted", "older", "pip.conf", "failing")
"""Secrets that no kernel refers to: in a keytab, where somebody writes one by mistake, in a kernel
of an older version, in an environment that is packed, and one that makes Spark fail."""

IN_TEXTS = {
    "spark.sql.catalog.pg.url": "jdbc:postgresql://db/d?user=me&password={}",
    "PIP_INDEX_URL": "https://me:{}@index.invalid/simple",
}
"""Secrets that stand inside of a value."""


# --- where they may be said ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    ["hunter2", "env:", "env:A-B", "env:1A", "file:", "file:x", "file:~/x", "file:/a/../b", "$X"],
)
def test_what_is_no_reference_is_refused_and_not_repeated(reference: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_config({**LEAST, "secrets": {"DB_PASSWORD": reference}})
    (error,) = refused.value.errors
    assert error.field == "secrets"
    assert "env:NAME" in error.message or "goes through" in error.message
    assert "hunter2" not in error.message


@pytest.mark.parametrize("value", [12345678, ["12345678"], True])
def test_a_value_of_the_wrong_kind_is_not_repeated(value: object) -> None:
    for field in ("secrets", "conf", "env"):
        with pytest.raises(Invalid) as refused:
            read_config({**LEAST, field: {"spark.a.password": value, "A_PASSWORD": value}})
        assert "12345678" not in str(refused.value)
        assert "The value" in str(refused.value) or value is True


@pytest.mark.parametrize(
    "name",
    [
        *("spark.master", "spark.jars.repositories", "spark.driver.extraJavaOptions"),
        *("spark.executor.extraJavaOptions", "spark.submit.pyFiles", "PYSPARK_SUBMIT_ARGS"),
        *("spark.remote", "a b"),
    ],
)
def test_what_spark_needs_on_a_command_line_is_no_secret(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_config({**LEAST, "secrets": {name: "env:A"}})
    assert [error.field for error in refused.value.errors] == ["secrets"]


def test_a_secret_is_said_once() -> None:
    with pytest.raises(Invalid, match=r"spark\.x is said here and in the field conf"):
        read_config({**LEAST, "conf": {"spark.x": "1"}, "secrets": {"spark.x": "env:A"}})


SAID = [
    ("conf", "spark.hadoop.fs.s3a.secret.key", "hunter2", True),
    ("conf", "spark.kubernetes.authenticate.oauthToken", "hunter2", True),
    ("conf", "spark.hadoop.fs.azure.account.key.a", "hunter2", True),
    ("conf", "spark.a", "jdbc:postgresql://h/d?user=me&password=hunter2", True),
    ("conf", "spark.driver.extraJavaOptions", "-Djavax.net.ssl.keyStorePassword=hunter2", True),
    ("env", "PIP_INDEX_URL", "https://me:hunter2@h/simple", True),
    ("env", "DB_PASSPHRASE", "hunter2", True),
    ("env", "DB_PASSWORD", HIDDEN, True),
    ("conf", "spark.kubernetes.authenticate.oauthTokenFile", "/run/token", False),
    ("conf", "spark.hadoop.fs.s3a.aws.credentials.provider", "a.B", False),
    ("conf", "spark.kubernetes.executor.secretKeyRef.A", "name:key", False),
    ("conf", "spark.kubernetes.executor.secrets.name", "/mnt", False),
    ("conf", "spark.kubernetes.container.image.pullSecrets", "a", False),
    ("conf", "spark.security.credentials.hive.enabled", "false", False),
    ("conf", "spark.io.encryption.keySizeBits", "256", False),
    ("conf", "spark.a.password", "${env:X}", False),
    ("conf", "spark.authenticate", "true", False),
    ("conf", "spark.driver.extraJavaOptions", "-Da.token.file=/x -Db=c", False),
    ("env", "TOKENIZERS_PARALLELISM", "false", False),
    ("env", "HADOOP_CONF_DIR", "/etc/hadoop", False),
    ("env", "HTTPS_PROXY", "http://proxy:3128", False),
]


@pytest.mark.parametrize(("field", "name", "value", "is_secret"), SAID)
def test_secrets_are_told_from_what_only_speaks_of_them(
    field: str, name: str, value: str, is_secret: bool
) -> None:
    config = read_config({**LEAST, field: {name: value}})
    hidden = without_secrets(config.model_dump())[field][name]
    if not is_secret:
        check_secrets(config)
        assert hidden == value
        return
    with pytest.raises(Invalid) as refused:
        check_secrets(config)
    (error,) = refused.value.errors
    assert error.field == field
    assert name in error.message
    assert "env:NAME" in error.message
    assert "hunter2" not in error.message + hidden + export(config, None, "kernel").text


def test_a_kernel_tells_its_launcher_where_secrets_are_and_reads_back() -> None:
    secrets = {"spark.a.password": "env:A", "B_TOKEN": "file:/run/b $x"}
    config = read_config({**LEAST, "secrets": secrets})
    spec = render(config, "me")
    assert read_config({**read(spec), "name": "k"}) == config
    # As Jupyter fills in variables.
    assert json.loads(spec["env"][SECRETS_VARIABLE].replace("$$", "$")) == secrets
    assert not any("spark.a.password" in word for word in spec["argv"])
    assert "spark.a.password" not in spec["env"]["PYSPARK_SUBMIT_ARGS"]
    del spec["metadata"]
    imported = import_text(json.dumps(spec))
    assert (imported.config["secrets"], imported.remarks) == (secrets, [])
    for form in ("spark-submit", "spark-defaults"):
        told = export(config, None, form)
        assert SECRETS_VARIABLE not in told.text
        assert "spark.a.password, B_TOKEN" in " ".join(item.message for item in told.remarks)


def test_what_is_pasted_with_secrets_is_imported_without() -> None:
    line = (
        "DB_PASSWORD=hunter2 spark-submit --conf spark.a.password=hunter3 --conf spark.b=c "
        "--conf spark.d.password=env:D app.py"
    )
    found = import_text(line)
    assert found.config["secrets"] == {"spark.d.password": "env:D"}
    assert found.config["conf"] == {"spark.b": "c"}
    told = [remark.message for remark in found.remarks if remark.field == "secrets"]
    assert ["DB_PASSWORD" in message for message in sorted(told)] == [True, False]
    assert "hunter" not in found.model_dump_json()


# --- how the launcher finds them ----------------------------------------------------------------


def found(references: dict[str, str], **environ: str) -> secrets.Secrets:
    return secrets.find_secrets({**environ, SECRETS_VARIABLE: json.dumps(references)})


def private(path: Path, content: bytes | str, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def test_references_lead_to_variables_and_private_files(tmp_path: Path) -> None:
    file = private(tmp_path / "a", "one\n")
    references = {"spark.a": f"file:{file}", "B": "env:X", "spark.b.oauthToken": f"file:{file}"}
    assert found(references, X="two") == (
        {"spark.a": "one", "spark.b.oauthTokenFile": str(file)},
        {"B": "two"},
    )
    assert secrets.find_secrets({}) == ({}, {})


@pytest.mark.parametrize("text", ["{", "[]", '{"A": 1}', "null"])
def test_references_that_somebody_damaged_are_told(text: str) -> None:
    environ = {SECRETS_VARIABLE: text}
    with pytest.raises(SparkStartError, match="is no object of names and references"):
        secrets.find_secrets(environ)
    assert secrets.known_secrets(environ) == []


def test_what_is_told_of_a_failure_has_no_secret_but_the_shortest() -> None:
    references = json.dumps({"A": "env:LONG", "B": "env:SHORT", "C": "env:NOT_THERE"})
    environ = {SECRETS_VARIABLE: references, "LONG": "hunter2", "SHORT": "1"}
    assert secrets.known_secrets(environ) == ["hunter2"]


def test_files_that_others_could_read_or_change_are_refused(tmp_path: Path) -> None:
    good = private(tmp_path / "good", "hunter2")
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo", 0o600)
    bad = {
        "shared": "others can read the file; run: chmod 600",
        "link": "Too many levels of symbolic links",
        "folder": "Is a directory",
        "fifo": "it is no file",
        "missing": "No such file",
        "binary": "not UTF-8",
        "empty": "there is no text",
        "large": "larger than 64 KiB",
    }
    private(tmp_path / "shared", "hunter2", 0o640)
    private(tmp_path / "binary", b"hunter2\xff")
    private(tmp_path / "empty", "\n")
    private(tmp_path / "large", "hunter2" * 10_000)
    for name, words in bad.items():
        with pytest.raises(SparkStartError) as refused:
            found({"spark.a": f"file:{tmp_path / name}"})
        assert words in str(refused.value), name
        assert "The secret spark.a is not found at file:" in str(refused.value)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(SparkStartError, match="at env:NOWHERE: there is no text"):
        found({"A": "env:NOWHERE"})


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    file = private(tmp_path / "a", "hunter2")
    os.chown(file, 12345, 12345)
    with pytest.raises(SparkStartError, match="belongs to another user"):
        found({"A": f"file:{file}"})


def test_the_redaction_covers_names_and_each_key() -> None:
    keys = ["spark.hadoop.my.pin", "spark.hive.x+y", "spark.my.pin"]
    pattern = re.compile(secrets.redaction("(?:own)", NAMES_OF_SECRETS, keys))
    for shown_as in ("spark.hadoop.my.pin", "my.pin", "hive.x+y", "spark.hive.x+y", "spark.my.pin"):
        assert pattern.search(shown_as), shown_as
    for other in ("spark.my.pint", "spark.app.name", "spark.hadoop.my.pins", "x.oauthTokenFile"):
        assert not pattern.search(other), other
    assert pattern.search("its own")
    assert pattern.search("a.passphrase")


# --- the canaries -------------------------------------------------------------------------------


@dataclass
class Planted:
    """The secrets of one user, and where the product leaves what it writes.

    Attributes:
        values: by name; what is searched for.
        references: what kernels say of them.
        environ: the variables that the server and the command line have.
        folder: everything of the user.

    """

    values: dict[str, str]
    references: dict[str, str]
    environ: dict[str, str]
    folder: Path

    def whole(self, name: str) -> str:
        """Give the text that a secret stands in."""
        return IN_TEXTS.get(name, "{}").format(self.values[name])

    def leaked(self, content: bytes | str) -> list[str]:
        """Name the secrets that stand in something, written in any of a few ways."""
        raw = content.encode() if isinstance(content, str) else content
        return [name for name, value in self.values.items() if value.encode() in raw]


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    names = [*BY_VARIABLE, *BY_FILE, *ELSEWHERE]
    values = {name: f"canary{number}x{token_hex(8)}" for number, name in enumerate(names)}
    assert len(values) == 25
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    references = {}
    environ = {
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JAVA_TOOL_OPTIONS": SHORT_LIVED,
        "SPARK_LOCAL_IP": "127.0.0.1",
        MARKER: values["typed"][::-1],
    }
    for number, name in enumerate(BY_VARIABLE):
        references[name] = f"env:PLANTED_{number}"
        environ[f"PLANTED_{number}"] = IN_TEXTS.get(name, "{}").format(values[name])
    environ["PLANTED_FAILING"] = values["failing"]
    for number, name in enumerate(BY_FILE):
        references[name] = f"file:{private(hidden / str(number), values[name])}"
    private(hidden / "me.keytab", f"\x05\x02{values['keytab']}")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return Planted(values, references, environ, tmp_path)


class Server:
    """A Jupyter server that logs all it can, and all that it ever answered."""

    def __init__(self, planted: Planted) -> None:
        self.log = planted.folder / "server.log"
        self.answers: list[bytes] = []
        self._token = token_hex(16)
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        command = (
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--debug"),
            *(f"--port={port}", "--port-retries=0", f"--ServerApp.root_dir={planted.folder}"),
            "--ServerApp.jpserver_extensions={'jupyterlab_pyspark_kernels': True}",
        )
        with self.log.open("wb") as log:
            environ = {**os.environ, "JUPYTER_TOKEN": self._token}
            self.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.call("GET", "/api/status")[0] == 200
        except OSError:
            return False

    def call(self, verb: str, path: str, body: object = None, etag: str = "") -> tuple[int, Any]:
        """Send a request, and keep what is answered."""
        headers = {"Authorization": f"token {self._token}", "Content-Type": "application/json"}
        if etag:
            headers["If-Match"] = etag
        data = None if body is None and verb == "GET" else json.dumps(body or {}).encode()
        url = self._url + (
            path if path.startswith("/api/") else f"/jupyterlab-pyspark-kernels/{path}"
        )
        try:
            with urlopen(Request(url, data, headers, method=verb), timeout=LIMIT_SECONDS) as answer:
                status, content = answer.status, answer.read()
                head = str(answer.headers)
        except HTTPError as error:
            status, content, head = error.code, error.read(), str(error.headers)
        self.answers += [content, head.encode()]
        return status, json.loads(content) if content else None

    def done(self, path: str, body: object = None) -> Any:
        """Ask for long work, and give the task at its end."""
        status, task = self.call("POST", path, body)
        assert status == 202, task

        def ended() -> bool:
            nonlocal task
            task = self.call("GET", f"tasks/{task['id']}")[1]
            return bool(task["state"] != "running")

        wait_until(ended)
        return task

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(LIMIT_SECONDS)


@pytest.fixture
def server(planted: Planted) -> Iterator[Server]:
    started = Server(planted)
    try:
        yield started
    finally:
        started.stop()


def command_lines() -> bytes:
    """Give what `ps` shows of everybody's processes."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
    return b"\n".join(lines)


def pages_of(ui: str) -> dict[str, bytes]:
    """Fetch the pages of Spark's UI, and what its REST says."""
    parts = urlsplit(ui)
    base = f"http://127.0.0.1:{parts.port}"

    def page(path: str) -> bytes:
        with urlopen(f"{base}{path}", timeout=LIMIT_SECONDS) as answer:
            content: bytes = answer.read()
            return content

    (app,) = json.loads(page("/api/v1/applications"))
    rest = f"/api/v1/applications/{app['id']}"
    paths = ["/environment/", "/executors/", "/jobs/", "/stages/", "/storage/", "/SQL/"]
    paths += [f"{rest}{end}" for end in ("", "/environment", "/executors", "/jobs")]
    return {path: page(path) for path in paths}


def files_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            yield path, content
            if path.name.endswith(".gz"):
                yield path, gzip.decompress(content)


class Attached(RunningKernel):
    """A kernel that the server has started."""

    def __init__(self, connection_file: Path) -> None:
        kernel_id = connection_file.stem.removeprefix("kernel-")
        self.status_file = connection_file.parent / "pyspark-kernels" / f"{kernel_id}.json"
        wait_until(connection_file.exists)
        self.client = BlockingKernelClient(connection_file=str(connection_file))
        self.client.load_connection_file()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LIMIT_SECONDS)

    def comm(self) -> list[Any]:
        """Open the comm of the launcher, and give what it says at once."""
        content = {"comm_id": "canaries", "target_name": COMM_TARGET, "data": {}}
        self.client.shell_channel.send(self.client.session.msg("comm_open", content))
        heard: list[Any] = []
        while not heard or heard[-1]["content"]["data"]["stage"] != "ready":
            message = self.client.get_iopub_msg(timeout=LIMIT_SECONDS)
            if message["msg_type"] == "comm_msg":
                heard.append(message)
        return [message["content"] for message in heard]

    def close(self) -> None:
        self.client.stop_channels()


ASKED = """
def _digests(keys):
    import hashlib, os
    conf, hadoop = sc.getConf(), sc._jsc.hadoopConfiguration()
    found = {{}}
    for key in keys:
        if key.endswith("oauthToken"):
            value = conf.get(key + "File")
            assert conf.get(key) is None
        elif key.startswith("spark.hadoop."):
            value = hadoop.get(key[len("spark.hadoop."):])
        else:
            value = conf.get(key) if key.startswith("spark.") else os.environ.get(key)
        found[key] = hashlib.sha256(str(value).encode()).hexdigest()
    return found

_digests({keys!r})
"""


def make_packed(lender: Path, path: Path, secret: str) -> Path:
    """Make an environment with what kernels need by links, and a secret of pip's."""
    python = str(lender / "bin" / "python")
    subprocess.run([python, "-m", "venv", "--without-pip", str(path)], check=True)
    own = site_packages(path)
    for entry in site_packages(lender).iterdir():
        if not entry.name.startswith("pyspark") or entry.name.endswith(".dist-info"):
            (own / entry.name).symlink_to(entry)
    (own / "pyspark").symlink_to(site_packages(lender) / "pyspark")
    text = f"[global]\nindex-url = https://me:{secret}@index.invalid/simple\n"
    private(path / "pip.conf", text)
    private(path / ".env", f"TOKEN={secret}\n")
    private(own / ".netrc", f"machine x password {secret}\n")
    return path


CLI: list[tuple[str, ...]] = [
    ("list",),
    ("show", "safe"),
    ("show", "older"),
    ("edit", "safe", "--driver-memory", "700m"),
    ("edit", "safe", "--secret", "spark.x.password=TYPED"),
    ("edit", "safe", "--conf", "spark.x.password=TYPED"),
    ("edit", "older", "--driver-memory", "700m"),
    ("export", "safe"),
    ("export", "older"),
    ("export", "safe", "--format", "spark-submit"),
    ("export", "older", "--format", "spark-submit"),
    ("export", "safe", "--format", "spark-defaults"),
    ("export", "older", "--format", "spark-defaults"),
    ("import", "PASTED"),
    ("effective", "safe"),
    ("effective", "older"),
    ("compare", "safe", "older"),
    ("compare", "safe", "older", "--all"),
    ("cluster", "--master", "local[1]", "--conf", "spark.x.password=TYPED"),
    ("doctor", "fails"),
    ("doctor", "safe"),
    ("copy", "safe", "again"),
    ("copy", "older", "older-again"),
    ("rename", "again", "anew"),
    ("remove", "anew"),
    ("undo",),
    ("remove", "anew"),
    ("archives",),
    ("environments",),
]


def test_none_of_25_planted_secrets_is_found_anywhere(
    planted: Planted,
    server: Server,
    pyspark_environment: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, seen = planted.folder, dict[str, bytes | str]()
    ordinary = f"ordinary{token_hex(8)}"
    base = {"environment": str(pyspark_environment), "master": "local[1]"}
    safe = {
        **base,
        "name": "safe",
        "display_name": "Safe",
        "secrets": planted.references,
        "conf": {
            ORDINARY: ordinary,
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": f"file:{folder}/events",
            "spark.eventLog.compress": "false",
            "spark.logConf": "true",
            "spark.log.level": "DEBUG",
        },
    }
    (folder / "events").mkdir()

    # Over HTTP: what is right, and what somebody types into the wrong box.
    assert server.call("POST", "preview", safe)[0] == 200
    assert server.call("POST", "kernels", safe)[0] == 201
    keytab = {"principal": "me@REALM", "keytab": str(folder / "hidden" / "me.keytab")}
    with_keytab = {**base, **keytab, "name": "keytab", "display_name": "Keytab"}
    assert server.call("POST", "kernels", with_keytab)[0] == 201
    fails = {
        "name": "fails",
        "display_name": "Fails",
        "secrets": {"spark.serializer": "env:PLANTED_FAILING"},
    }
    assert server.call("POST", "kernels", {**base, **fails})[0] == 201
    typed = planted.values["typed"]
    for wrong in (
        {"secrets": {"spark.x.password": typed}},
        {"conf": {"spark.x.password": typed}},
        {"conf": {"spark.x.password": f" {typed}"}},
        {"conf": {"spark.x": f"jdbc:x?password={typed}"}},
        {"env": {"X_TOKEN": typed}},
        {"env": {"PIP_INDEX_URL": f"https://a:{typed}@h"}},
        {"master": f"sc://h/;token={typed}"},
    ):
        for route in ("preview", "kernels", "test", "effective", "cluster"):
            # These answer what they are asked without keeping it.
            asks = route in ("effective", "cluster") and "master" not in wrong
            status, _ = server.call("POST", route, {**base, "name": "w", **wrong})
            assert status == 400 or asks, (route, wrong)

    # A kernel from before there were references.
    older = folder / "data" / "kernels" / "older"
    spec = json.loads((folder / "data" / "kernels" / "safe" / "kernel.json").read_text())
    config = spec["metadata"]["pyspark_kernels"]["config"]
    config |= {
        "secrets": {},
        "display_name": "Older",
        "conf": {"spark.x.password": planted.values["older"]},
    }
    config["env"] = {"X_TOKEN": planted.values["older"]}
    spec = render(read_config({**config, "name": "older"}), "me")
    older.mkdir()
    (older / "kernel.json").write_text(json.dumps(spec))

    # Every route that tells of kernels.
    pasted = "X_TOKEN=? spark-submit --conf spark.x.secret=? a.py"
    pasted = pasted.replace("?", planted.values["pasted"])
    private(folder / "hidden" / "pasted", pasted)
    assert server.call("POST", "import", {"text": pasted})[0] == 200
    for name in ("safe", "older"):
        status, kernel = server.call("GET", f"kernels/user/{name}")
        assert status == 200
        assert server.call("POST", "effective?all=true", kernel["config"])[0] == 200
        for form in ("kernel", "spark-submit", "spark-defaults"):
            assert server.call("GET", f"kernels/user/{name}/export?format={form}")[0] == 200
        assert server.call("GET", f"kernels/user/{name}/doctor")[0] == 200
        edited = {**kernel["config"], "driver_memory": "800m"}
        status, _ = server.call("PUT", f"kernels/user/{name}", edited, kernel["etag"])
        assert status == (200 if name == "safe" else 400)
    pair = {
        side: {"place": "user", "name": name}
        for side, name in (("left", "safe"), ("right", "older"))
    }
    assert server.call("POST", "compare", pair)[0] == 200
    assert server.call("GET", "kernels")[0] == 200

    # Long work: a test that passes, one that does not, an environment that is packed.
    flown = server.done("kernels/user/safe/test")
    assert flown["state"] == "done", flown
    flown = server.done("kernels/user/fails/test")
    assert "…" in json.dumps(flown, ensure_ascii=False), flown
    assert server.call("GET", "kernels/user/fails/doctor")[0] == 200
    packed = make_packed(pyspark_environment, folder / "packed", planted.values["pip.conf"])
    (site_packages(packed) / "ordinary.py").write_text(f"VALUE = {ordinary!r}")
    carried = {
        **base,
        "environment": str(packed),
        "master": "local-cluster[1,1,1024]",
        "carry": True,
    }
    made = server.done("kernels", {**carried, "name": "carried", "display_name": "Carried"})
    assert made["state"] == "done", made
    server.call("GET", "archives")

    # A notebook of the kernel, as the server starts it.
    status, started = server.call("POST", "/api/kernels", {"name": "safe"})
    assert status == 201
    kernel = Attached(folder / "runtime" / f"kernel-{started['id']}.json")
    comm = kernel.comm()
    values = ast.literal_eval(kernel.value(ASKED.format(keys=list(planted.references))))
    for name in planted.references:
        expected = planted.whole(name)
        if name.endswith("oauthToken"):
            expected = planted.references[name].removeprefix("file:")
        assert values[name] == hashlib.sha256(expected.encode()).hexdigest(), name
    assert kernel.value("spark.range(10).count()") == "10"
    seen["the command lines of all processes"] = command_lines()
    ui = json.loads(kernel.status_file.read_text())["ui"]
    pages = pages_of(ui)
    seen |= {f"Spark's UI at {path}": page for path, page in pages.items()}
    seen["the comm"] = json.dumps(comm)
    # Jupyter itself gives everything of a kernel.json, and so that of the older kernel.
    assert server.call("GET", "/api/kernelspecs/safe")[0] == 200
    live = {str(path): content for path, content in files_below(folder / "runtime")}
    seen |= {f"the file {path} of a kernel that runs": text for path, text in live.items()}

    # The command line.
    printed = {}
    for command in CLI:
        words = [word.replace("TYPED", typed) for word in command]
        words = [str(folder / "hidden" / "pasted") if word == "PASTED" else word for word in words]
        for options in ([], ["--json"]):
            code = main([*words, *options])
            output = capsys.readouterr()
            assert "Traceback" not in output.err
            printed[" ".join([*command, *options])] = output.out + output.err + str(code)
    seen |= {f"the output of {command}": text for command, text in printed.items()}

    assert server.call("DELETE", f"/api/kernels/{started['id']}")[0] == 204
    kernel.close()
    wait_until(lambda: not any((folder / "events").rglob("*.inprogress")))
    server.stop()
    seen |= {f"an answer of the server: {text[:200]!r}": text for text in server.answers}
    for path, content in files_below(folder):
        ours = path.is_relative_to(folder / "hidden") or path.is_relative_to(folder / "packed")
        if not ours and path != older / "kernel.json":
            seen[f"the file {path}, {len(content)}"] = content

    leaks = {where: names for where, content in seen.items() if (names := planted.leaked(content))}
    assert leaks == {}

    # What is no secret is found in each of these, so that all were looked into.
    has_ordinary = [
        where for where, content in seen.items() if ordinary.encode() in as_bytes(content)
    ]
    for place in (
        # The page /environment/ is drawn from what /api/v1 says.
        *("the command lines", "Spark's UI at /api/v1/"),
        *("the output of show safe", "the output of export safe --format spark-submit --json"),
        *("the output of effective safe", "the output of compare safe older", "an answer of the"),
        *(f"the file {folder}/data/kernels/safe/kernel.json", f"the file {folder}/events"),
        f"the file {folder}/runtime/pyspark-kernels/",
        f"the file {folder}/data/pyspark-kernels-archives-",
    ):
        assert any(where.startswith(place) for where in has_ordinary), place
    log = server.log.read_text()
    assert "PYSPARK_SUBMIT_ARGS" in log or "Kernel args" in log


def test_the_search_finds_what_is_planted(planted: Planted, tmp_path: Path) -> None:
    """Each of the 25 is found where it is: in a command line, a file and an archive."""
    own = tmp_path / "own"
    own.mkdir()
    for name, value in planted.values.items():
        command = [sys.executable, "-c", "input()", value]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as shown:
            # Linux shows the arguments a moment after the program has begun.
            wait_until(lambda: planted.leaked(command_lines()) != [])
            assert planted.leaked(command_lines()) == [name]
            shown.communicate(b"\n")
        (own / "x").write_text(f'{{"a": "{value}"}}')
        (own / "x.tar.gz").write_bytes(gzip.compress(value.encode()))
        contents = [planted.leaked(content) for _, content in files_below(own)]
        assert sorted(contents) == [[], [name], [name]]


def as_bytes(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content
