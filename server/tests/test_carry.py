import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp
from kernels import LIMIT_SECONDS
from tornado.httpclient import HTTPClientError, HTTPResponse

from jupyterlab_pyspark_kernels.handlers import NAMESPACE

EXAMPLE = """
# In the style of the original template.
"display_name": ${KERNEL_NAME},
"language": "python",
"argv": [ ${PYSPARK_DRIVER_PYTHON}, "-m", "ipykernel", "-f", "{connection_file}" ],
"env": {
   "SPARK_HOME": ${SPARK_HOME},
   "PYSPARK_PYTHON": ${PYSPARK_PYTHON},
   "PYSPARK_DRIVER_PYTHON": ${PYSPARK_DRIVER_PYTHON},
   "PYTHONPATH": ${SPARK_HOME}/python/:${SPARK_HOME}/python/lib/py4j-0.10.4-src.zip,
   "PYTHONSTARTUP": ${SPARK_HOME}/python/pyspark/shell.py,
   "PYSPARK_SUBMIT_ARGS": ${PYSPARK_SUBMIT_ARGS}
}
"""


pytestmark = pytest.mark.usefixtures("data_dir")


def install(environment: Path, name: str, code: str = "") -> None:
    """Install a package of one module."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / f"{name}.py").write_text(code)
    info = packages / f"{name}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "RECORD").write_text(f"{name}.py,,\n{name}-1.0.dist-info/RECORD,,\n")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A real environment, small enough to be packed often."""
    path = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    for name in ("ipykernel", "pyspark"):
        install(path, name)
    return path


def spec_of(data_dir: Path, name: str) -> Any:
    return json.loads((data_dir / "kernels" / name / "kernel.json").read_text())


def archives(data_dir: Path) -> list[Path]:
    return sorted(data_dir.glob("pyspark-kernels-archives-*/*.tar.gz"))


@pytest.mark.parametrize(
    ("master", "setting"),
    [
        ("spark://host:7077", "spark.archives"),
        ("k8s://https://host", "spark.archives"),
        ("yarn", "spark.yarn.dist.archives"),
    ],
)
def test_executors_unpack_what_was_packed(
    run: Any, venv: Path, data_dir: Path, master: str, setting: str
) -> None:
    given = ("create", "-e", venv, "--master", master, "--carry", "--cores-max", "1")
    code, _, messages = run(*given, "-k", "k")
    assert code == 0, messages
    assert "Packing…" in messages
    (archive,) = archives(data_dir)
    spec = spec_of(data_dir, "k")
    assert spec["env"]["PYSPARK_PYTHON"] == "./environment/bin/python"
    assert spec["env"]["PYSPARK_DRIVER_PYTHON"] == f"{venv}/bin/python"
    assert f"--conf {setting}={archive}#environment" in spec["env"]["PYSPARK_SUBMIT_ARGS"].replace(
        "'", ""
    )
    assert (archive.parent.stat().st_mode & 0o777, archive.stat().st_mode & 0o777) == (0o755, 0o644)
    # A second kernel shares the archive, and keeps what else it unpacks.
    more = f"{setting}=/data/words.zip#words"
    code, _, messages = run(*given, "-k", "second", "--conf", more)
    assert code == 0, messages
    assert archives(data_dir) == [archive]
    arguments = spec_of(data_dir, "second")["env"]["PYSPARK_SUBMIT_ARGS"]
    assert f"=/data/words.zip#words,{archive}#environment" in arguments


def test_a_kernel_that_moves_takes_its_archive_along(
    run: Any, venv: Path, data_dir: Path, tmp_path: Path
) -> None:
    run("create", "-k", "k", "-e", venv, "--master", "yarn", "--carry")
    (archive,) = archives(data_dir)
    # Within its place nothing is packed anew.
    code, _, messages = run("rename", "k", "new")
    assert (code, messages) == (0, "")
    assert str(archive) in spec_of(data_dir, "new")["env"]["PYSPARK_SUBMIT_ARGS"]
    assert archives(data_dir) == [archive]
    other = tmp_path / "other"
    code, output, messages = run("promote", "new", "--to", other / "kernels")
    assert (code, output) == (0, f"new in user is new in {other}/kernels now\n"), messages
    (there,) = archives(other)
    assert there.name == archive.name
    spec = spec_of(other, "new")
    assert f"{there}#environment" in spec["env"]["PYSPARK_SUBMIT_ARGS"].replace("'", "")
    assert spec["metadata"]["pyspark_kernels"]["archive"]["uri"] == str(there)
    assert not (data_dir / "kernels" / "new").exists()
    # The undo needs the first one still.
    listed = json.loads(run("archives", "--json")[1])
    assert [item["kept_for_undo"] for item in listed] == [True]
    assert json.loads(run("undo", "--json")[1])["archive"]["uri"] == str(archive)
    assert json.loads(run("show", "new", "--json")[1])["broken"] is None


def test_a_local_master_needs_no_archive(run: Any, venv: Path, data_dir: Path) -> None:
    code, _, messages = run("create", "-k", "k", "-e", venv, "--carry")
    assert (code, messages) == (0, "")
    assert archives(data_dir) == []
    assert spec_of(data_dir, "k")["env"]["PYSPARK_PYTHON"] == f"{venv}/bin/python"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--master", "sc://host", "--carry"], "carry: A Spark Connect server starts"),
        (
            ["--master", "yarn", "--carry", "--executor-python", "/usr/bin/python3"],
            "executor_python: The executors use the Python",
        ),
        (
            ["--master", "yarn", "--archive-directory", "hdfs:///x"],
            "archive_directory: There is nothing to put there",
        ),
        (
            ["--master", "yarn", "--carry", "--archive-directory", "/x"],
            "archive_directory: “/x” is not a folder of a Hadoop file system",
        ),
        (
            ["--master", "yarn", "--carry", "--archive-directory", "hdfs:///a,b"],
            "archive_directory: “hdfs:///a,b” holds “,”",
        ),
        (
            ["--master", "yarn", "--carry", "--archive-directory", "s3a://key:secret@bucket/x"],
            "archive_directory: The URI holds a password",
        ),
        (
            ["--master", "yarn", "--carry", "--spark.yarn.dist.archives", "/x.zip#environment"],
            "conf: An archive of yours is unpacked as #environment",
        ),
    ],
)
def test_what_cannot_be_carried_is_told(
    run: Any, venv: Path, data_dir: Path, options: list[str], said: str
) -> None:
    code, _, messages = run("create", "-k", "k", "-e", venv, *options)
    assert code == 2
    assert messages.startswith(said)
    assert not data_dir.exists()


def test_what_others_can_change_is_not_run(run: Any, venv: Path, data_dir: Path) -> None:
    (venv / "bin").chmod(0o777)
    code, _, messages = run("create", "-k", "k", "-e", venv, "--master", "yarn", "--carry")
    assert code == 1
    assert "can be written to by everybody" in messages
    assert archives(data_dir) == []


def test_what_does_not_run_is_never_referred_to(run: Any, venv: Path, data_dir: Path) -> None:
    install(venv, "broken", "import sys\nif sys.prefix != " + repr(str(venv)) + ": raise OSError")
    code, _, messages = run("create", "-k", "k", "-e", venv, "--master", "yarn", "--carry")
    assert code == 2
    assert "“broken” cannot be imported from the archive" in messages
    assert archives(data_dir) == []
    assert not (data_dir / "kernels" / "k").exists()


def test_drift_is_told_and_mended_by_one_command(run: Any, venv: Path, data_dir: Path) -> None:
    run("create", "-k", "k", "-e", venv, "--master", "yarn", "--carry")
    (before,) = archives(data_dir)

    def drift() -> Any:
        return json.loads(run("show", "k", "--json")[1])["archive"]["drift"]

    assert drift() is None
    install(venv, "added")
    install(venv, "pyspark", "changed = 1\n")
    assert drift() == "1 package changed, 1 package added since packing."
    listed = json.loads(run("archives", "--json")[1])
    user = {"place": "user", "name": "k"}
    assert [(item["used_by"], item["drift"]) for item in listed] == [([user], drift())]
    assert run("repack", "k")[0] == 0
    assert drift() is None
    assert f"{before}" not in spec_of(data_dir, "k")["env"]["PYSPARK_SUBMIT_ARGS"]
    before.unlink()
    run("undo")
    assert drift() == "The archive is gone."


def test_unused_archives_are_listed_and_swept(run: Any, venv: Path, data_dir: Path) -> None:
    run("create", "-k", "k", "-e", venv, "--master", "yarn", "--carry")
    (archive,) = archives(data_dir)
    assert "k" in run("archives")[1].splitlines()[1].split()

    aged(archive)
    assert json.loads(run("archives", "--sweep", "--json")[1]) == []
    run("remove", "k")
    # Undo can bring the kernel back, so it still needs its archive.
    assert json.loads(run("archives", "--sweep", "--json")[1]) == []
    run("undo")
    run("edit", "k", "--no-carry")
    for _ in range(21):
        run("edit", "k", "--unset", "cores_max", "--cores-max", "1")
        run("edit", "k", "--cores-max", "2")
    aged(archive)
    (swept,) = json.loads(run("archives", "--sweep", "--json")[1])
    assert swept["path"] == str(archive)
    assert archives(data_dir) == []


def aged(archive: Path) -> Path:
    """Make an archive old enough to be swept."""
    long_ago = time.time() - 7_200
    os.utime(archive.with_name(archive.name.replace(".tar.gz", ".json")), (long_ago, long_ago))
    return archive


def test_an_archive_that_a_copied_kernel_needs_is_kept(
    run: Any, venv: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "shared"))
    run("create", "-k", "k", "-e", venv, "--master", "yarn", "--carry")
    (tmp_path / "shared" / "kernels").mkdir(parents=True)
    (data_dir / "kernels" / "k").rename(tmp_path / "shared" / "kernels" / "k")
    (archive,) = [aged(found) for found in archives(data_dir)]
    assert run("archives", "--sweep", "--json")[1] == "[]\n"
    assert archive.exists()


def test_two_kernels_directories_side_by_side_have_archives_of_their_own(
    run: Any, venv: Path, data_dir: Path
) -> None:
    team = data_dir / "kernels-team"
    run("create", "-k", "k", "-e", venv, "--master", "yarn", "--carry", "-d", team)
    (archive,) = data_dir.glob("pyspark-kernels-team-archives-*/*.tar.gz")
    aged(archive)
    assert run("archives", "--sweep", "--json")[1] == "[]\n"
    assert archive.exists()
    run("remove", "k", "-d", team)
    assert "nothing to undo" in run("undo")[2]
    assert run("undo", "-d", team)[0] == 0
    assert (team / "k" / "kernel.json").exists()


def test_nothing_is_swept_while_a_kernel_cannot_be_read(
    run: Any, venv: Path, data_dir: Path
) -> None:
    run("create", "-k", "k", "-e", venv, "--master", "yarn", "--carry")
    (archive,) = [aged(found) for found in archives(data_dir)]
    file = data_dir / "kernels" / "k" / "kernel.json"
    file.write_text(file.read_text()[:-3])
    code, _, messages = run("archives", "--sweep")
    assert code == 1
    assert "“k” in user" in messages
    assert archive.exists()


def test_what_an_earlier_edit_needs_is_kept_also_while_its_kernel_is_removed(
    run: Any, venv: Path, data_dir: Path
) -> None:
    run("create", "-k", "k", "-e", venv, "--master", "yarn", "--carry")
    install(venv, "added")
    run("repack", "k")
    run("remove", "k")
    found = [aged(archive) for archive in archives(data_dir)]
    assert run("archives", "--sweep", "--json")[1] == "[]\n"
    assert archives(data_dir) == found


def test_the_example_of_the_original_script(
    run: Any, venv: Path, data_dir: Path, tmp_path: Path, spark_home: Path
) -> None:
    template = tmp_path / "pyspark_kernel.template"
    template.write_text(EXAMPLE)
    code, output, messages = run(
        *("create", "-t", template, "-d", data_dir / "kernels", "-k", "pyspark-pandas-yarn"),
        *("-e", venv, "--spark_home", spark_home, "--spark_master", "yarn"),
        *("--spark.executor.memory", "4g", "--spark.executor.cores", "4"),
        *("--spark.driver.memory", "2g"),
    )
    assert code == 0, messages
    assert output == f"Created {data_dir}/kernels/pyspark-pandas-yarn\n"
    (archive,) = archives(data_dir)
    spec = spec_of(data_dir, "pyspark-pandas-yarn")
    assert spec["display_name"] == "pyspark-pandas-yarn"
    assert spec["argv"][0] == f"{venv}/bin/python"
    assert spec["env"]["SPARK_HOME"] == str(spark_home)
    assert spec["env"]["PYSPARK_PYTHON"] == "./environment/bin/python"
    arguments = spec["env"]["PYSPARK_SUBMIT_ARGS"].replace("'", "")
    assert arguments.startswith("--master yarn ")
    for setting in (
        "spark.executor.memory=4g",
        "spark.executor.cores=4",
        "spark.driver.memory=2g",
        f"spark.yarn.dist.archives={archive}#environment",
    ):
        assert f"--conf {setting} " in arguments
    # What the launcher does by itself is not carried over.
    assert not {"PYTHONPATH", "PYTHONSTARTUP"} & spec["env"].keys()


# --- by the server ------------------------------------------------------------------------------

Call = Callable[..., Awaitable[tuple[int, Any, HTTPResponse]]]


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"jupyterlab_pyspark_kernels": True}}}


@pytest.fixture
def call(jp_fetch: Callable[..., Awaitable[HTTPResponse]]) -> Call:
    async def send(
        verb: str, route: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, HTTPResponse]:
        try:
            response = await jp_fetch(
                *(NAMESPACE, *route.split("/")),
                method=verb,
                headers={"Content-Type": "application/json", **(headers or {})},
                body=None if body is None else json.dumps(body),
            )
        except HTTPClientError as error:
            assert error.response is not None
            response = error.response
        return response.code, json.loads(response.body) if response.body else None, response

    return send


async def ended(call: Call, task: Any) -> Any:
    async def wait() -> Any:
        found = task
        while found["state"] == "running":
            await asyncio.sleep(0.1)
            _, found, _ = await call("GET", f"tasks/{task['id']}")
        return found

    return await asyncio.wait_for(wait(), LIMIT_SECONDS)


async def test_a_task_packs_and_then_creates(
    call: Call, venv: Path, jp_serverapp: ServerApp
) -> None:
    told: list[dict[str, Any]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        told.append(data)

    assert jp_serverapp.event_logger is not None
    schema = "https://events.jupyter.org/jupyterlab_pyspark_kernels/task/v1"
    jp_serverapp.event_logger.add_listener(schema_id=schema, listener=listen)
    config = {"name": "k", "environment": str(venv), "master": "yarn", "carry": True}
    status, preview, _ = await call("POST", "preview", config)
    assert status == 200
    assert "….tar.gz#environment" in preview["kernel_json"]["env"]["PYSPARK_SUBMIT_ARGS"]
    status, task, response = await call("POST", "kernels", config)
    assert (status, task["kind"], task["state"]) == (202, "create", "running")
    assert response.headers["Location"].endswith(f"/{NAMESPACE}/tasks/{task['id']}")
    done = await ended(call, task)
    assert (done["state"], done["error"]) == ("done", None)
    assert done["kernel"] == {"place": "user", "name": "k"}
    _, kernel, _ = await call("GET", "kernels/user/k")
    assert kernel["config"]["carry"] is True
    assert kernel["archive"]["drift"] is None
    assert kernel["edited_by_hand"] is False
    _, kept, _ = await call("GET", "archives")
    assert [(item["digest"], item["used_by"]) for item in kept] == [
        (kernel["archive"]["digest"], [{"place": "user", "name": "k"}])
    ]
    assert (await call("POST", "archives/sweep", {}))[1] == []
    install(venv, "added")
    status, task, _ = await call("POST", "kernels/user/k/repack", {})
    assert (status, task["kind"]) == (202, "edit")
    assert (await ended(call, task))["state"] == "done"
    await jp_serverapp.event_logger.gather_listeners()
    assert {item["state"] for item in told} == {"running", "done"}
    last = [item for item in told if item["stage"] == "Packing"][-1]
    assert last["bytes_total"] >= last["bytes_done"]
    assert last["files_total"] > 100
    assert (await call("GET", "tasks"))[1][0]["id"] == task["id"]


async def test_a_move_with_its_archive_is_a_task(
    call: Call, venv: Path, jp_data_dir: Path, jp_env_jupyter_path: Path
) -> None:
    shared = re.sub(r"[^a-z0-9]+", "-", str(jp_env_jupyter_path).lower()).strip("-")
    config = {"name": "k", "environment": str(venv), "master": "yarn", "carry": True}
    _, task, _ = await call("POST", "kernels", config)
    assert (await ended(call, task))["state"] == "done"
    _, kernel, _ = await call("GET", "kernels/user/k")
    match = {"If-Match": kernel["etag"]}
    wish = {"place": shared, "name": "team"}
    status, task, _ = await call("POST", "kernels/user/k/move", wish, headers=match)
    assert (status, task["kind"]) == (202, "move")
    done = await ended(call, task)
    assert (done["state"], done["kernel"]) == ("done", {"place": shared, "name": "team"})
    (archive,) = archives(jp_env_jupyter_path)
    _, moved, _ = await call("GET", f"kernels/{shared}/team")
    assert (moved["archive"]["uri"], moved["broken"]) == (str(archive), None)
    assert (await call("GET", "kernels/user/k"))[0] == 404


async def test_a_stale_edit_is_refused_before_anything_is_packed(call: Call, venv: Path) -> None:
    config = {"name": "k", "environment": str(venv), "master": "yarn"}
    assert (await call("POST", "kernels", config))[0] == 201
    status, answer, _ = await call(
        "PUT", "kernels/user/k", {**config, "carry": True}, {"If-Match": '"stale"'}
    )
    assert (status, answer["reason"]) == (412, "edited-meanwhile")
    assert (await call("GET", "tasks"))[1] == []


@pytest.mark.parametrize("task_id", ["x" * 300, "..%2Fx", "0" * 32])
async def test_a_task_that_is_none_is_missing(call: Call, task_id: str) -> None:
    for verb in ("GET", "DELETE"):
        assert (await call(verb, f"tasks/{task_id}"))[0] == 404


async def test_a_cancelled_task_writes_no_kernel(call: Call, venv: Path, data_dir: Path) -> None:
    # Imported when the archive is proven, and never done.
    install(venv, "slow", "import time\ntime.sleep(600)\n")
    config = {"name": "k", "environment": str(venv), "master": "yarn", "carry": True}
    _, task, _ = await call("POST", "kernels", config)
    while not (await call("GET", f"tasks/{task['id']}"))[1]["stage"].startswith("Proving"):
        await asyncio.sleep(0.1)
    assert (await call("DELETE", f"tasks/{task['id']}"))[0] == 204
    assert (await ended(call, task))["state"] == "cancelled"
    assert (await call("GET", "kernels"))[1] == []
    assert archives(data_dir) == []
    install(venv, "slow", "")
    status, task, _ = await call("POST", f"tasks/{task['id']}/resume", {})
    assert status == 202
    assert (await ended(call, task))["state"] == "done"
    assert len((await call("GET", "kernels"))[1]) == 1


async def test_a_failed_task_says_why_at_the_field(call: Call, venv: Path) -> None:
    install(venv, "broken", f"import sys\nassert sys.prefix == {str(venv)!r}\n")
    config = {"name": "k", "environment": str(venv), "master": "yarn", "carry": True}
    _, task, _ = await call("POST", "kernels", config)
    failed = await ended(call, task)
    assert failed["state"] == "failed"
    assert [item["field"] for item in failed["error"]["errors"]] == ["environment"]
    assert (await call("POST", "kernels", {**config, "name": "python3"}))[0] == 409


async def test_an_environment_is_made_ready_only_where_that_can_be(call: Call, venv: Path) -> None:
    bodies: list[object] = [{}, {"environment": 1}]
    for body in bodies:
        status, answer, _ = await call("POST", "environments/ready", body)
        assert (status, answer["errors"][0]["field"]) == (400, "environment")
    status, answer, _ = await call("POST", "environments/ready", {"environment": str(venv)})
    assert (status, "has ipykernel already" in answer["message"]) == (422, True)
    status, _, _ = await call("POST", "environments/ready", {"environment": "/nowhere"})
    assert status == 404
