"""Every PySpark and Python that docs/compatibility.md names, and the servers' oldest and newest.

`npm run test:matrix` makes the environments, which are 5 GB, and runs these tests; `npm test` makes
those of the oldest PySpark and of both servers.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from flights import Fly
from kernels import LIMIT_SECONDS, NEVER, free_port, running, wait_until
from test_cds import archives, command, kernel_of, makers, records
from test_progress import Listener

from jupyterlab_pyspark_kernels.catalogue import Spark, ask
from jupyterlab_pyspark_kernels.console import Console
from jupyterlab_pyspark_kernels.kernel.start import IDLE_VARIABLE
from jupyterlab_pyspark_kernels.schemas import ROOT

MATRIX = os.environ.get("PYSPARK_KERNELS_TEST_MATRIX", "")
ROUTES = "jupyterlab-pyspark-kernels"
PURE = ("config", "render", "schemas", "store")
# Their files are made with the versions of scripts/constraints.txt; Pydantic words them anew.
DERIVED = "test_a_derived_file_is_up_to_date"

pytestmark = pytest.mark.skipif(
    not MATRIX, reason="The environments are 5 GB: npm run test:matrix makes them."
)


def environments(kind: str) -> list[Path]:
    given = [Path(path) for path in MATRIX.split(os.pathsep) if path]
    found = [path for path in given if path.name.startswith(f"{kind}-")]
    if given and not found:
        pytest.fail(f"There is no {kind}-* in {MATRIX}. Run the tests by `npm test`.")
    return found


def named(path: object) -> str:
    return Path(str(path)).name


sparks = pytest.mark.parametrize("environment", environments("spark"), ids=named)
servers = pytest.mark.parametrize("environment", environments("server"), ids=named)


def variables(environment: Path, **more: str) -> dict[str, str]:
    """Give the variables of somebody who uses an environment, without our checkout."""
    path = {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    return {name: text for name, text in os.environ.items() if name != "PYTHONPATH"} | path | more


def ask_python(environment: Path, code: str) -> str:
    python = environment / "bin" / "python"
    env = variables(environment)
    told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=env)
    return told.stdout.strip()


# --- kernels ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_lived_java")
@sparks
def test_a_kernel_runs_spark_tells_it_rests_and_comes_back(
    environment: Path, data_dir: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    assert run("create", "-k", "one", "-e", environment, "--master", "local[2]")[0] == 0
    file = data_dir / "kernels" / "one" / "kernel.json"
    spec = json.loads(file.read_text())
    spec["env"][IDLE_VARIABLE] = f"stop={NEVER}"
    file.write_text(json.dumps(spec))
    with running(data_dir / "kernels", "one", tmp_path) as kernel:
        # As nobody has to have pandas.
        version = ask_python(environment, "import pyspark; print(pyspark.__version__)")
        assert kernel.value("spark.version").strip("'") == version
        assert kernel.value("spark.range(1000).count()") == "1000"
        status = kernel.status()
        assert status["ui"] == kernel.value("sc.uiWebUrl").strip("'")

        listener = Listener(kernel)
        slow = "sc.parallelize([1, 2], 2).map(lambda x: __import__('time').sleep(2) or x).sum()"
        cell = listener.execute(slow)
        assert listener.wait_for(cell, "succeeded")
        listener.until(lambda: listener.done.get(cell))
        assert listener.errors == {}

        kernel.count_idleness(stop=5)
        kernel.wait_for_stage("stopped_idle")
        kernel.never_count_idleness()
        wait_until(lambda: kernel.status()["receipt"])
        receipt = kernel.status()["receipt"]
        assert (receipt["ended"], receipt["complete"], receipt["cores"]) == ("idle", True, 2)
        assert receipt["task_seconds"] >= 2
        answer = kernel.value("spark.range(1000).count()")
        assert answer.startswith("Spark was stopped after ")
        assert answer.endswith("1000")


@pytest.mark.usefixtures("short_lived_java")
@sparks
def test_it_is_tested(environment: Path, take_off: Fly) -> None:
    flown = take_off(environment=str(environment), driver_start="quick")
    assert flown.passed, flown
    assert flown.driver is not None
    assert flown.driver.python == ask_python(
        environment, "import platform; print(platform.python_version())"
    )


@sparks
def test_its_settings_are_known(environment: Path, tmp_path: Path) -> None:
    catalogue = ask(tmp_path / "own" / "settings", Spark(str(environment)), Console())
    assert f"spark-{catalogue.spark_version}".startswith(environment.name)
    assert catalogue.by_key["spark.sql.shuffle.partitions"].default == "200"
    assert catalogue.skipped == []
    assert catalogue.suggest("spark.executor.memroy")[0] == "spark.executor.memory"


@sparks
def test_its_driver_starts_from_an_archive(environment: Path, tmp_path: Path) -> None:
    with kernel_of(environment, tmp_path) as kernel:
        assert "-Xshare:auto" not in command(kernel)
        wait_until(lambda: records(tmp_path), 5 * LIMIT_SECONDS)
        wait_until(lambda: not makers(tmp_path))
    (archive,) = archives(tmp_path).glob("*.jsa")
    with kernel_of(environment, tmp_path) as kernel:
        assert f"-XX:SharedArchiveFile={archive}" in command(kernel)


# --- servers ------------------------------------------------------------------------------------


@servers
def test_the_wheel_is_installed_and_known(environment: Path) -> None:
    def tell(*arguments: str) -> str:
        jupyter = environment / "bin" / "jupyter"
        env = variables(environment)
        told = subprocess.run(
            [jupyter, *arguments], capture_output=True, text=True, check=True, env=env
        )
        return told.stdout + told.stderr

    (line,) = (
        line
        for line in tell("labextension", "list").splitlines()
        if "jupyterlab-pyspark-kernels v" in line
    )
    assert "enabled" in line
    assert "OK" in line
    validated = tell("server", "extension", "list").partition("Validating jupyterlab_pyspark")[2]
    assert "OK" in validated.splitlines()[1]
    assert ask_python(
        environment, "import jupyterlab_pyspark_kernels as m; print(m.__file__)"
    ).startswith(str(environment))


@contextmanager
def server(environment: Path, folder: Path) -> Iterator[Callable[..., Any]]:
    """Run a server, and give what asks it."""
    port = free_port()
    folders = {"data": "DATA_DIR", "config": "CONFIG_DIR", "runtime": "RUNTIME_DIR"}
    own = {f"JUPYTER_{name}": str(folder / path) for path, name in folders.items()}
    options = {"port": port, "port_retries": 0, "open_browser": False, "root_dir": folder}
    words = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    token = ["--IdentityProvider.token=of-the-test", "--allow-root"]
    program = environment / "bin" / "jupyter-lab"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, *words, *token], env=variables(environment, **own), stdout=log, stderr=log
        )

    def request(method: str, path: str, body: object = None, **headers: str) -> Any:
        """Ask something; give the status, the headers and what was answered."""
        content = None if body is None else json.dumps(body).encode()
        given = {"Authorization": "token of-the-test", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{port}/{path}"
        asked = Request(url, content, {**given, **headers}, method=method)
        try:
            with urlopen(asked, timeout=LIMIT_SECONDS) as answer:
                content = answer.read()
                is_json = "json" in answer.headers.get("Content-Type", "")
                return answer.status, answer.headers, json.loads(content) if is_json else content
        except HTTPError as error:
            return error.code, error.headers, error.read()

    def is_up() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return bool(request("GET", "api/status")[0] == 200)
        except OSError:
            return False

    try:
        wait_until(is_up)
        yield request
    finally:
        process.terminate()
        process.wait(LIMIT_SECONDS)
    assert "Traceback" not in (folder / "log").read_text()


@servers
def test_a_server_creates_lists_edits_and_deletes(environment: Path, tmp_path: Path) -> None:
    spark = environments("spark")[0]
    with server(environment, tmp_path) as request:
        config = {"display_name": "One", "environment": str(spark), "master": "local[2]"}
        code, _, created = request("POST", f"{ROUTES}/kernels", config)
        assert (code, created["name"]) == (201, "one"), created
        assert "one" in request("GET", "api/kernelspecs")[2]["kernelspecs"]
        assert request("GET", "kernelspecs/one/logo-64x64.png")[0] == 200
        assert [kernel["name"] for kernel in request("GET", f"{ROUTES}/kernels")[2]] == ["one"]
        path = f"{ROUTES}/kernels/user/one"
        _, headers, kernel = request("GET", path)
        changed = {**kernel["config"], "master": "local[1]"}
        code, _, edited = request("PUT", path, changed, **{"If-Match": headers["ETag"]})
        assert (code, edited["config"]["master"]) == (200, "local[1]"), edited
        assert request("DELETE", path)[0] == 204
        assert request("GET", path)[0] == 404
        code, _, refused = request("POST", f"{ROUTES}/kernels", {**config, "master": "nonsense"})
        assert code == 400, refused


@servers
def test_what_needs_no_server_holds_with_its_packages(environment: Path) -> None:
    files = [str(ROOT / "server" / "tests" / f"test_{name}.py") for name in PURE]
    options = ["-q", "-p", "no:cacheprovider", "-k", f"not {DERIVED}"]
    python = environment / "bin" / "python"
    words = [str(python), "-m", "pytest", *options, *files]
    told = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, env=variables(environment)
    )
    assert told.returncode == 0, told.stdout[-4000:]
    assert " passed" in told.stdout
