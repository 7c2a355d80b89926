"""Spark Connect: the folder deploy/connect, a real server behind TLS, and thin kernels on it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from deploying import assert_unit_is_right, copied, run, why_no_units, written
from flights import Fly
from kernels import (
    LIMIT_SECONDS,
    SHORT_LIVED,
    Answer,
    RunningKernel,
    free_port,
    running,
    wait_until,
)
from pytest import MonkeyPatch

from jupyterlab_pyspark_kernels.carry import check_carry
from jupyterlab_pyspark_kernels.catalogue import Spark, check_spark
from jupyterlab_pyspark_kernels.cli import main
from jupyterlab_pyspark_kernels.config import read_config
from jupyterlab_pyspark_kernels.doctor import diagnose, diagnose_files
from jupyterlab_pyspark_kernels.environments import inspect_environment, prepare
from jupyterlab_pyspark_kernels.errors import CannotBeDone, Invalid, KernelError, quoted
from jupyterlab_pyspark_kernels.kernel import contents
from jupyterlab_pyspark_kernels.kernel.connect import (
    ROOTS_VARIABLE,
    TOKEN_VARIABLE,
    check_channel,
    parameters,
    with_parameter,
)
from jupyterlab_pyspark_kernels.kernel.failure import SparkStartError, describe
from jupyterlab_pyspark_kernels.secrecy import check_secrets

WHY_NO_UNITS = why_no_units()
OURS = Path(sys.executable).parent / "jupyter-pyspark-kernels"
USERS = ("ada", "ben")
LEAST = {"name": "k", "environment": "/env"}


def find_nginx() -> str | None:
    """Find the nginx that was unpacked for the tests, or this machine's."""
    return os.environ.get("PYSPARK_KERNELS_TEST_NGINX") or shutil.which("nginx")


@dataclass(frozen=True)
class Site:
    """A machine that `install.sh` has made the server of Spark Connect.

    Attributes:
        root: where everything of it is.
        ca: the certificate of the authority that signed the server's.
        plain: the server itself, without TLS.
        tls: nginx in front of it.
        page: Spark's own pages.

    """

    root: Path
    ca: Path
    plain: str
    tls: str
    page: str

    @property
    def token(self) -> str:
        return (self.root / "etc/spark-connect/token").read_text()

    @property
    def kernels(self) -> Path:
        return self.root / "kernels"

    def environ(self, user: str, **more: str) -> dict[str, str]:
        """Give what the hub gives a user's server."""
        told = {TOKEN_VARIABLE: self.token, "JUPYTERHUB_USER": user, "IPYTHONDIR": str(self.root)}
        return {**os.environ, **told, **more}

    @contextmanager
    def notebook(self, name: str, user: str, **more: str) -> Iterator[RunningKernel]:
        folder = self.root / f"home-{user}"
        folder.mkdir(exist_ok=True)
        with running(self.kernels, name, folder, self.environ(user, **more)) as kernel:
            yield kernel

    def sessions(self) -> dict[str, str]:
        """Ask the server who has its open sessions: users, by the sessions' ids."""
        page = httpx.get(f"{self.page}/connect/", timeout=LIMIT_SECONDS).text
        rows = [
            [unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(CELL, row)]
            for row in re.findall(r"(?s)<tr>(.*?)</tr>", page.partition("Request Statistics")[0])
        ]
        # User, session, start, end, duration, how many requests.
        return {row[1]: row[0] for row in rows if len(row) == 6 and not row[3]}


CELL = r"(?s)<td.*?>(.*?)</td>"


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """Make an authority, and a certificate that it has signed for this machine's own names."""
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    folder.mkdir()
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl(
        folder,
        "req",
        "-x509",
        *new,
        *["-days", "2", "-subj", "/CN=ours", "-keyout", "ca.key", "-out", "ca.pem"],
    )
    openssl(folder, "req", *new, *["-subj", "/CN=connect", "-keyout", "tls.key", "-out", "tls.csr"])
    signed = "-days 2 -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out tls.pem"
    openssl(folder, "x509", "-req", "-in", "tls.csr", *signed.split())


@contextmanager
def served(command: list[str], log: Path, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the tests are over, with all that it starts."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, **environ}, cwd=log.parent
        )
    try:
        yield process
    finally:
        # Of Spark's scripts the JVM would stay.
        children = psutil.Process(process.pid).children(recursive=True)
        for child in children:
            child.terminate()
        process.terminate()
        process.wait(LIMIT_SECONDS)
        assert psutil.wait_procs(children, LIMIT_SECONDS)[1] == []


def proxy(nginx: str, conf: Path) -> list[str]:
    folder = conf.parent
    return [nginx, "-e", f"{folder}/error.log", "-c", str(conf), "-p", str(folder)]


def listens(remote: str, environ: dict[str, str]) -> bool:
    """Tell whether a server is there already."""
    try:
        check_channel(remote, environ)
    except SparkStartError:
        return False
    return True


@pytest.fixture(scope="module")
def site(
    pyspark_environment: Path, connect_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The folder as an administrator uses it: copied, its values changed, install.sh, the unit's
    program, nginx, and the kernel of the guide."""
    nginx = find_nginx()
    if nginx is None:
        pytest.skip("there is no nginx, which has TLS for Spark Connect")
    folder = tmp_path_factory.mktemp("connect")
    root, tls = folder / "root", folder / "tls"
    make_certificates(tls)
    ports = {name: free_port() for name in ("TLS_PORT", "CONNECT_PORT", "UI_PORT")}
    values = {
        "HOST": "127.0.0.1",
        "TLS_CERT": tls / "tls.pem",
        "TLS_KEY": tls / "tls.key",
        "TRUSTED": tls / "ca.pem",
        "MASTER": "local[2]",
        "DRIVER_MEMORY": "1g",
        "SPARK_ENV": pyspark_environment,
        "NOTEBOOK_ENV": connect_environment,
        **ports,
    }
    ours = copied("connect", folder / "deploy", values)
    run([ours / "install.sh"], {"ROOT": str(root)})
    made = Site(
        root,
        tls / "ca.pem",
        f"sc://127.0.0.1:{ports['CONNECT_PORT']}",
        f"sc://127.0.0.1:{ports['TLS_PORT']}",
        f"http://127.0.0.1:{ports['UI_PORT']}",
    )
    whole = folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole.write_text(
        f"daemon off; pid {folder}/nginx.pid; events {{}}\n"
        f"http {{ access_log {folder}/access.log;\n{temporary}"
        f"include {root}/etc/nginx/conf.d/spark-connect.conf; }}\n"
    )
    java = {"ROOT": str(root), "JAVA_TOOL_OPTIONS": SHORT_LIVED}
    with (
        served([str(ours / "run.sh")], root / "server.log", **java) as server,
        served(proxy(nginx, whole), root / "nginx.log") as front,
    ):

        def is_there() -> bool:
            assert (server.poll(), front.poll()) == (None, None), (root / "server.log").read_text()
            trusted = {ROOTS_VARIABLE: str(made.ca)}
            return listens(made.plain, {}) and listens(f"{made.tls}/;use_ssl=true", trusted)

        wait_until(is_there)
        templates = {
            "PYSPARK_KERNELS_TEMPLATE_DIRECTORIES": f"{root}/etc/pyspark-kernels/templates",
            "JUPYTER_CONFIG_DIR": str(root),
        }
        made.kernels.mkdir()
        thin = ["--name", "thin", "--display-name", "Thin", "--template", "thin"]
        run([OURS, "create", "-d", made.kernels, *thin], made.environ("root", **templates))
        yield made


def hand_made(site: Site, name: str, change: Callable[[str], str]) -> None:
    """Make a kernel of the one that is there, as a person with an editor does."""
    shutil.copytree(site.kernels / "thin", site.kernels / name, dirs_exist_ok=True)
    file = site.kernels / name / "kernel.json"
    text = file.read_text()
    assert change(text) != text
    file.write_text(change(text))


# --- two users, at once --------------------------------------------------------------------------

OWN_VIEW = """
spark.range({rows}).createOrReplaceTempView("mine")
spark.conf.set("spark.sql.shuffle.partitions", "{rows}")
print(sql("select count(*) from mine").first()[0], spark.range(1000).count())
"""


def test_two_users_at_once_are_told_apart(site: Site) -> None:
    ada, ben = USERS
    with site.notebook("thin", ada) as hers, site.notebook("thin", ben) as his:
        sent = [
            (kernel, kernel.client.execute(OWN_VIEW.format(rows=rows)))
            for kernel, rows in ((hers, 3), (his, 5))
        ]
        answers: list[Answer] = [kernel.collect(message) for kernel, message in sent]
        assert [answer.text.split()[-2:] for answer in answers] == [["3", "1000"], ["5", "1000"]]
        for kernel, rows in ((hers, 3), (his, 5)):
            assert kernel.value("spark.table('mine').count()") == str(rows)
            assert kernel.value("spark.conf.get('spark.sql.shuffle.partitions')") == f"'{rows}'"
            status = kernel.status()
            assert (status["stage"], status["spark_version"]) == ("ready", "4.3.0")
            assert status["master"].startswith(site.tls)
            # No JVM beside it, and nobody who makes an archive for one.
            programs = {Path(program).name for program in kernel.programs().values()}
            assert not {name for name in programs if "java" in name}
            assert "Spark Connect has no SparkContext" in "".join(
                kernel.run("sc.version").traceback
            )
        hers.value("spark.range(1).createTempView('hers')")
        assert "TABLE_OR_VIEW_NOT_FOUND" in "".join(
            his.run("spark.table('hers').count()").traceback
        )

        mine = {kernel.value("print(spark.session_id)"): user for kernel, user in both(hers, his)}
        assert {key: user for key, user in site.sessions().items() if key in mine} == mine
        assert_nobody_tells_the_token(site)
        # A notebook that ends gives its session back.
        hers.client.shutdown()
        wait_until(lambda: set(mine) & site.sessions().keys() == set(list(mine)[1:]))


def both(hers: RunningKernel, his: RunningKernel) -> list[tuple[RunningKernel, str]]:
    return list(zip((hers, his), USERS, strict=True))


def assert_nobody_tells_the_token(site: Site) -> None:
    """Look into every file, every command line, and the kernels that others could read."""
    token = site.token.encode()
    assert len(token) >= 40
    files = {name: content for name, (_, content) in written(site.root.parent).items()}
    assert [name for name, content in files.items() if token in content] == [
        "root/etc/spark-connect/token"
    ]
    assert any(name.endswith("kernel.json") for name in files)
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            assert token not in process.read_bytes()


def test_a_thin_kernel_is_tested(site: Site, connect_environment: Path, take_off: Fly) -> None:
    with MonkeyPatch.context() as patch:
        patch.setenv("OF_THE_SERVER", site.token)
        flown = take_off(
            environment=str(connect_environment),
            master=f"{site.tls}/;use_ssl=true",
            env={ROOTS_VARIABLE: str(site.ca)},
            secrets={TOKEN_VARIABLE: "env:OF_THE_SERVER"},
        )
    # The server's environment is one without pandas, which this one has.
    assert [found.rule for found in flown.diagnoses] == ["packages-missing"]
    assert "pandas" in flown.diagnoses[0].cause
    assert "Install it on the machines of the Spark Connect server" in flown.diagnoses[0].fix
    assert [side.spark for side in flown.executors] == ["4.3.0"]
    assert flown.driver is not None
    assert flown.driver.java is None
    assert flown.driver.executable == str(connect_environment / "bin/python")
    assert site.token not in flown.model_dump_json()


# --- what goes wrong is said ---------------------------------------------------------------------


def test_a_wrong_token_is_said_and_not_shown(site: Site) -> None:
    with site.notebook("thin", "eve", **{TOKEN_VARIABLE: "of-somebody-else"}) as kernel:
        shown = "".join(kernel.run("spark.range(3).count()").traceback)
        status = kernel.status()
        assert "does not let this kernel in: UNAUTHENTICATED: Invalid authentication token" in shown
        assert "SPARK_CONNECT_AUTHENTICATE_TOKEN refers to under Secrets" in shown
        (found,) = diagnose(status)
        assert (found.rule, found.cause) == ("connect-token-refused", status["cause"])
        assert "of-somebody-else" not in shown + str(status) + kernel.status_file.read_text()


def test_a_token_that_is_missing_is_said(site: Site) -> None:
    hand_made(site, "without", lambda text: text.replace("PYSPARK_KERNELS_SECRETS", "NOTHING"))
    environ = site.environ("eve")
    del environ[TOKEN_VARIABLE]
    with running(site.kernels, "without", site.root, environ) as kernel:
        shown = "".join(kernel.run("spark.version").traceback)
        assert "asks for a token, and this kernel has none" in shown
        assert [found.rule for found in diagnose(kernel.status())] == ["connect-token-missing"]


def test_a_proxy_in_front_of_nothing_is_said(site: Site) -> None:
    folder, port = site.root.parent, str(free_port())
    whole = (folder / "nginx.conf").read_text()
    conf = (site.root / "etc/nginx/conf.d/spark-connect.conf").read_text()
    tls, plain = (where.rpartition(":")[2] for where in (site.tls, site.plain))
    alone = conf.replace(f"listen {tls}", f"listen {port}").replace(plain, str(free_port()))
    (folder / "alone.conf").write_text(alone)
    whole = whole.replace(f"{site.root}/etc/nginx/conf.d/spark-connect.conf", "alone.conf")
    (folder / "in-front-of-nothing.conf").write_text(whole.replace("nginx.pid", "alone.pid"))
    command = proxy(str(find_nginx()), folder / "in-front-of-nothing.conf")
    hand_made(site, "alone", lambda text: text.replace(f":{tls}", f":{port}"))
    with served(command, folder / "alone.log"):
        remote = f"sc://127.0.0.1:{port}/;use_ssl=true"
        wait_until(lambda: listens(remote, {ROOTS_VARIABLE: str(site.ca)}))
        with site.notebook("alone", "eve") as kernel:
            shown = "".join(kernel.run("spark.version").traceback)
            assert f"No Spark Connect server answers behind sc://127.0.0.1:{port}" in shown
            assert [found.rule for found in diagnose(kernel.status())] == ["connect-not-behind"]


SAID = [
    # Which server, with which parameters; whether its authority and a token are there; which rule.
    ("tls", "127.0.0.1", "use_ssl=true", True, True, None),
    ("tls", "127.0.0.1", "", True, True, None),
    ("plain", "127.0.0.1", "", True, False, None),
    ("plain", "localhost", "", True, True, None),
    ("tls", "127.0.0.1", "use_ssl=true", False, True, "connect-untrusted"),
    ("tls", "127.0.0.2", "use_ssl=true", True, True, "connect-untrusted"),
    ("tls", "127.0.0.1", "", True, False, "connect-needs-tls"),
    ("plain", "127.0.0.1", "use_ssl=true", True, False, "connect-no-tls"),
    ("plain", "127.0.0.1", "", True, True, "connect-no-tls"),
]


@pytest.mark.parametrize(("which", "host", "more", "trusted", "has_token", "rule"), SAID)
def test_what_pyspark_would_try_for_minutes_is_said(
    site: Site, which: str, host: str, more: str, trusted: bool, has_token: bool, rule: str | None
) -> None:
    port = getattr(site, which).rpartition(":")[2]
    # nginx listens on all addresses, and its certificate is for one of them.
    remote = f"sc://{host}:{port}" + (f"/;{more}" if more else "")
    environ = {ROOTS_VARIABLE: str(site.ca)} if trusted else {}
    environ |= {TOKEN_VARIABLE: site.token} if has_token else {}
    if rule is None:
        check_channel(remote, environ)
        return
    with pytest.raises(SparkStartError) as said:
        check_channel(remote, environ)
    (found,) = diagnose({"words": str(said.value), "stage": "failed", "master": remote})
    assert found.rule == rule
    assert f"{host}:{port}" in found.cause
    assert site.token not in str(said.value)


def test_certificates_that_cannot_be_read_are_said(site: Site, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("missing", "empty"):
        with pytest.raises(SparkStartError, match=rf"{ROOTS_VARIABLE} is .*{name}, which holds no"):
            check_channel(f"{site.tls}/;use_ssl=true", {ROOTS_VARIABLE: str(tmp_path / name)})


def test_a_server_that_is_not_there_is_said(connect_environment: Path, take_off: Fly) -> None:
    master = f"sc://127.0.0.1:{free_port()}"
    flown = take_off(environment=str(connect_environment), master=f"{master}/;use_ssl=true")
    assert (flown.passed, flown.diagnoses[0].rule) == (False, "master-refuses")
    assert flown.verdict.startswith(f"Nobody listens at {master}")
    assert "Spark Connect server is running" in flown.diagnoses[0].fix


@pytest.mark.parametrize(
    ("thin", "master", "rule", "words"),
    [
        (True, "local[1]", "connect-client-only", "is local[1]. Choose a master such as sc://"),
        (False, "sc://127.0.0.1:{port}", "no-connect-packages", "pip install 'pyspark[connect]'"),
    ],
)
def test_an_environment_that_does_not_suit_is_said_by_its_kernel(
    site: Site,
    pyspark_environment: Path,
    connect_environment: Path,
    thin: bool,
    master: str,
    rule: str,
    words: str,
) -> None:
    master = master.format(port=site.plain.rpartition(":")[2])
    old = f"{site.tls}/;use_ssl=true"
    other = connect_environment if thin else pyspark_environment

    def change(text: str) -> str:
        told = text.replace(str(connect_environment), str(other)).replace(f"'{old}'", master)
        return told.replace("--remote", "--master") if thin else told

    hand_made(site, rule, change)
    with site.notebook(rule, "eve") as kernel:
        assert words in "".join(kernel.run("spark.version").traceback)
        assert [found.rule for found in diagnose(kernel.status())] == [rule]


# --- the thin client, by its files ---------------------------------------------------------------

THIN = {
    "ipykernel": "7.4.0",
    "pyspark_client": "4.2.0",
    "pandas": "2.3.3",
    "pyarrow": "26.0.1",
    "grpcio": "1.85.1",
    "grpcio_status": "1.85.1",
    "googleapis_common_protos": "1.76.0",
}
WHOLE = {"ipykernel": "7.4.0", "pyspark": "4.3.0", "py4j": "0.10.9.9"}


def refused(**data: Any) -> list[tuple[str, str]]:
    with pytest.raises(CannotBeDone) as told:
        prepare(read_config({**LEAST, **data}))
    return [(error.field, error.message) for error in told.value.errors]


def test_the_real_thin_client_is_found(connect_environment: Path) -> None:
    found = inspect_environment(str(connect_environment))
    assert found is not None
    assert found.problem is None
    assert found.packages["pyspark-client"].startswith("4.")
    assert found.packages.keys() <= {"ipykernel", "pyspark-client", "py4j", "pandas", "pyarrow"}
    config = read_config({**LEAST, "environment": str(connect_environment), "master": "sc://h"})
    assert prepare(config) == config
    assert diagnose_files(config) == []
    with pytest.raises(KernelError, match="holds no jars of Spark"):
        check_spark(Spark(str(connect_environment)))


def test_the_list_says_that_it_is_for_connect_only(
    make_environment: Callable[..., Path],
    monkeypatch: MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    thin = make_environment(**THIN)
    monkeypatch.setenv("WORKON_HOME", str(thin.parent))
    assert main(["environments"]) == 0
    output = capsys.readouterr().out
    assert re.search(rf"{re.escape(str(thin))} .*4\.2\.0 \(Spark Connect only\)", output)


def test_the_thin_client_wants_a_connect_master(make_environment: Callable[..., Path]) -> None:
    thin = str(make_environment(**THIN))
    for master in ("local[*]", "spark://h:7077", "yarn"):
        ((field, message),) = refused(environment=thin, master=master)
        assert field == "master"
        assert f"“{master}” needs a driver, and {thin} has pyspark-client 4.2.0" in message
        assert "for Spark Connect only. Write a master such as sc://host:15002" in message
        config = read_config({**LEAST, "environment": thin, "master": master})
        assert [found.rule for found in diagnose_files(config)] == ["connect-client-only"]


def test_a_spark_home_brings_what_the_thin_client_has_not(
    make_environment: Callable[..., Path], spark_home: Path
) -> None:
    thin = str(make_environment(**THIN))
    config = read_config({**LEAST, "environment": thin, "spark_home": str(spark_home)})
    assert prepare(config).spark_home == str(spark_home)


def test_pyspark_alone_does_not_speak_connect(make_environment: Callable[..., Path]) -> None:
    whole = str(make_environment(**WHOLE))
    ((field, message),) = refused(environment=whole, master="sc://h")
    assert field == "environment"
    assert "has no pandas, pyarrow, grpcio, grpcio-status, googleapis-common-protos" in message
    assert "beside PySpark. " in message
    config = read_config({**LEAST, "environment": whole, "master": "sc://h"})
    assert [found.rule for found in diagnose_files(config)] == ["no-connect-packages"]
    elsewhere = config.model_copy(update={"env": {"PYTHONPATH": "/more"}})
    assert prepare(elsewhere).environment == whole
    both = make_environment("both", **THIN, **{k: v for k, v in WHOLE.items() if k not in THIN})
    for master in ("sc://h", "local[2]"):
        prepare(config.model_copy(update={"environment": str(both), "master": master}))


def test_without_any_pyspark_the_thin_client_is_offered(
    make_environment: Callable[..., Path],
) -> None:
    bare = str(make_environment(ipykernel="7.4.0", pip="26.0"))
    ((_, for_connect),) = refused(environment=bare, master="sc://h")
    ((_, for_others),) = refused(environment=bare, master="local[1]")
    assert f"{bare} has no pyspark. Install it with: " in for_connect
    assert "-m pip install pyspark-client, or give a Spark home." in for_connect
    assert "-m pip install pyspark, or give a Spark home." in for_others
    for master, package in (("sc://h", "pyspark-client"), ("local[1]", "pyspark")):
        config = read_config({**LEAST, "environment": bare, "master": master})
        (found,) = diagnose_files(config)
        assert found.rule == "no-pyspark"
        assert (found.command or "").endswith(f"-m pip install {package}")


def test_the_authority_must_be_there(environment: Path, tmp_path: Path) -> None:
    for value in (str(tmp_path / "gone.pem"), "ca.pem"):
        told = refused(environment=str(environment), env={ROOTS_VARIABLE: value})
        assert told == [
            (
                "env",
                f"{ROOTS_VARIABLE} is {quoted(value)}, and there is no such file. Write the path, "
                "from the root, of the file with the certificates that are trusted.",
            )
        ]
    for facts in ({}, {"per_user": [ROOTS_VARIABLE]}):
        (tmp_path / "ca.pem").touch()
        value = "${launch.home}/ca.pem" if facts else str(tmp_path / "ca.pem")
        variables = {ROOTS_VARIABLE: value}
        prepare(read_config({**LEAST, "environment": str(environment), "env": variables, **facts}))


# --- the address ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("token=hunter2", "must not hold a token"),
        ("Token=hunter2", "must not hold a Token"),
        ("x-api-key=hunter2", "must not hold a x-api-key"),
        ("authorization=Basic hunter2", "must not hold a authorization"),
        ("use_ssl=1", "“use_ssl=1” says neither true nor false. Write use_ssl=true"),
        ("use_ssl=TRUE", "says neither true nor false"),
        ("a=b=c", "is not a parameter of a Connect URL. Write name=value, and %3D"),
    ],
)
def test_parameters_that_are_refused(parameter: str, words: str) -> None:
    with pytest.raises(Invalid) as told:
        read_config({**LEAST, "master": f"sc://h/;{parameter}"})
    (error,) = told.value.errors
    assert error.field == "master"
    assert words in error.message
    assert "hunter2" not in error.message


@pytest.mark.parametrize(
    ("master", "is_taken"),
    [
        ("sc://h/;use_ssl=true", True),
        ("sc://localhost", True),
        ("sc://localhost/;use_ssl=true", True),
        ("local[1]", True),
        ("sc://h", False),
        ("sc://127.0.0.1:15002", False),
        ("sc://h:443/;use_ssl=false;user_id=me", False),
    ],
)
def test_a_token_needs_tls(master: str, is_taken: bool) -> None:
    secrets = {TOKEN_VARIABLE: "file:/home/me/.token"}
    config = read_config({**LEAST, "master": master, "secrets": secrets})
    if is_taken:
        check_secrets(config)
        return
    with pytest.raises(Invalid) as told:
        check_secrets(config)
    (error,) = told.value.errors
    assert error.field == "master"
    assert "speaks TLS to every host but localhost" in error.message
    assert "/;use_ssl=true" in error.message


def test_a_parameter_is_added_once_and_quoted() -> None:
    assert with_parameter("sc://h:1", "token", "a=b;c d") == "sc://h:1/;token=a%3Db%3Bc%20d"
    assert with_parameter("sc://h/;a=b;", "user_id", "me@h") == "sc://h/;a=b;user_id=me%40h"
    assert with_parameter("sc://h/;user_id=me", "user_id", "you") == "sc://h/;user_id=me"
    assert parameters("sc://h:1/;a=b;c=d") == {"a": "b", "c": "d"}
    assert parameters("sc://h:1") == {}


def test_what_grpc_says_is_told_in_a_sentence() -> None:
    text = (
        "<_InactiveRpcError of RPC that terminated with:\n\tstatus = StatusCode.UNAVAILABLE\n"
        '\tdetails = "no healthy upstream"\n\tdebug_error_string = "…"\n>'
    )
    said = "The Spark Connect server said UNAVAILABLE: no healthy upstream."
    assert describe(RuntimeError(text), "") == said


def test_nothing_is_carried_to_a_connect_server() -> None:
    config = read_config({**LEAST, "master": "sc://h", "carry": True})
    with pytest.raises(CannotBeDone, match="starts the executors with a Python of its own"):
        check_carry(config)


# --- the folder ----------------------------------------------------------------------------------


@pytest.mark.skipif(WHY_NO_UNITS is not None, reason=str(WHY_NO_UNITS))
def test_systemd_takes_the_unit(site: Site) -> None:
    unit = site.root / "etc/systemd/system/spark-connect.service"
    assert_unit_is_right(unit)
    assert f"LoadCredential=token:{site.root}/etc/spark-connect/token" in unit.read_text()


def test_the_token_is_made_once_and_for_one(site: Site) -> None:
    file = site.root / "etc/spark-connect/token"
    before = file.read_text()
    assert (file.stat().st_mode & 0o777, before == before.strip()) == (0o600, True)
    run([site.root.parent / "deploy/install.sh"], {"ROOT": str(site.root)})
    assert file.read_text() == before


def test_the_server_needs_its_token(site: Site, tmp_path: Path) -> None:
    told = run([site.root.parent / "deploy/run.sh"], {"ROOT": str(tmp_path)}, check=False)
    assert told.code == 1
    assert f"There is no token in {tmp_path}/etc/spark-connect/token. Run install.sh." in (
        told.messages
    )


def test_the_server_itself_is_on_loopback_only(site: Site) -> None:
    ports = {int(address.rpartition(":")[2]) for address in (site.plain, site.page)}
    listening = [
        line.split()[1].rpartition(":")
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]
    found = {int(number, 16): address for address, _, number in listening}
    assert ports <= found.keys()
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert {found[port] for port in ports} <= loopback


def test_the_launcher_has_what_it_needs() -> None:
    assert "connect.py" in contents()
