import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyterlab_pyspark_kernels.cli import main

pytestmark = pytest.mark.usefixtures("data_dir")


def test_the_arguments_of_the_original_script(
    run: Any, environment: Path, tmp_path: Path, data_dir: Path
) -> None:
    code, output, _ = run(
        *("create", "-d", data_dir / "kernels", "-k", "pyspark-pandas-yarn", "-e", environment),
        *("--spark_master", "yarn", "--spark.executor.memory", "4g"),
        *("--spark.executor.cores", "4", "--spark.driver.memory", "2g"),
    )
    assert code == 0
    assert output == f"Created {data_dir}/kernels/pyspark-pandas-yarn\n"
    file = data_dir / "kernels" / "pyspark-pandas-yarn" / "kernel.json"
    spec = json.loads(file.read_text())
    arguments = spec["env"]["PYSPARK_SUBMIT_ARGS"]
    assert arguments.startswith("--master yarn ")
    for setting in ("executor.memory=4g", "executor.cores=4", "driver.memory=2g"):
        assert f"--conf spark.{setting}" in arguments
    assert spec["argv"][0] == f"{environment}/bin/python"


def test_the_original_script_with_its_template(
    run: Any, environment: Path, tmp_path: Path, data_dir: Path, spark_home: Path
) -> None:
    template = tmp_path / "pyspark_kernel.template"
    template.write_text(
        "display_name: ${KERNEL_NAME}\nargv: [${PYSPARK_DRIVER_PYTHON}, -m, ipykernel]\n"
        'env { SPARK_HOME: ${SPARK_HOME}, TEAM: data, A: "$B"\n'
        "PYSPARK_SUBMIT_ARGS: ${PYSPARK_SUBMIT_ARGS} }\n"
    )
    code, output, messages = run(
        *("create", "-t", template, "-d", data_dir / "kernels", "-k", "k", "-e", environment),
        *("--spark_home", spark_home, "--spark_master", "yarn", "--spark.executor.memory", "4g"),
        "--no-carry",
    )
    assert (code, output) == (0, f"Created {data_dir}/kernels/k\n"), messages
    assert messages == "-t: “$B” of env.A stays as it is; nothing is filled in for its $.\n"
    spec = json.loads((data_dir / "kernels" / "k" / "kernel.json").read_text())
    assert (spec["env"]["TEAM"], spec["env"]["SPARK_HOME"]) == ("data", str(spark_home))
    assert "--conf spark.executor.memory=4g" in spec["env"]["PYSPARK_SUBMIT_ARGS"]
    code, _, messages = run("create", "--kernels_template_path", "/none", "-k", "l")
    assert (code, messages) == (2, "-t: There is no template “/none”. Give its path.\n")


def test_a_directory_that_jupyter_does_not_search(
    run: Any, environment: Path, tmp_path: Path
) -> None:
    kernels = tmp_path / "anywhere" / "kernels"
    assert run("create", "-d", kernels, "-k", "k", "-e", environment)[0] == 0
    assert (kernels / "k" / "kernel.json").exists()
    assert run("show", "k", "-d", kernels)[0] == 0
    assert run("show", "k")[0] == 2


def test_a_whole_life(run: Any, environment: Path) -> None:
    assert run("create", "--display-name=My Spark", "-e", environment, "--cores-max=2")[0] == 0
    code, output, _ = run("edit", "my-spark", "--executor-memory", "4g", "--json")
    assert code == 0
    assert json.loads(output)["config"]["executor_memory"] == "4g"
    assert json.loads(output)["config"]["cores_max"] == 2
    run("edit", "my-spark", "--spark.sql.x=a b", "--env", "X=1", "--unset", "cores_max")
    config = json.loads(run("show", "my-spark", "--json")[1])["config"]
    assert "cores_max" not in config
    assert (config["conf"], config["env"]) == ({"spark.sql.x": "a b"}, {"X": "1"})
    run("edit", "my-spark", "--unset", "spark.sql.x")
    assert json.loads(run("show", "my-spark", "--json")[1])["config"]["conf"] == {}

    code, output, _ = run("copy", "my-spark", "second", "--json")
    assert code == 0
    assert json.loads(output)["display_name"] == "My Spark (second)"
    assert run("remove", "my-spark")[0] == 0
    assert [kernel["name"] for kernel in json.loads(run("list", "--json")[1])] == ["second"]
    assert run("undo")[0] == 0
    listed = run("list")[1].splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "my-spark", "second"]


def test_a_kernel_is_copied_to_another_directory(
    run: Any, environment: Path, tmp_path: Path
) -> None:
    run("create", "-k", "k", "-e", environment)
    other = tmp_path / "other" / "kernels"
    assert run("copy", "k", "second", "-d", other)[0] == 0
    assert (other / "second" / "kernel.json").exists()
    listed = json.loads(run("list", "-d", other, "--json")[1])
    assert [kernel["name"] for kernel in listed] == ["second"]


def test_undo_of_one_place_or_kernel(run: Any, environment: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "kernels"
    for name, options in (("a", []), ("b", []), ("c", ["-d", other])):
        run("create", "-k", name, "-e", environment, *options)
        run("remove", name, *options)
    assert json.loads(run("undo", "--place", "user", "--json")[1])["name"] == "b"
    assert json.loads(run("undo", "-d", other, "--json")[1])["name"] == "c"
    # What cannot be taken back stands in nobody's way.
    run("remove", "b")
    run("create", "-k", "b", "-e", environment)
    code, _, messages = run("undo")
    assert code == 2
    assert "Another kernel “b”" in messages
    assert json.loads(run("undo", "a", "--json")[1])["name"] == "a"
    assert "nothing to undo of “a”" in run("undo", "a")[2]


def test_a_setting_with_a_field_is_edited_by_either_name(run: Any, environment: Path) -> None:
    run("create", "-k", "k", "-e", environment, "--executor-memory", "4g", "--conf", "spark.a=1")

    def config() -> Any:
        return json.loads(run("show", "k", "--json")[1])["config"]

    assert run("edit", "k", "--spark.executor.memory", "8g", "--spark.master", "yarn")[0] == 0
    assert (config()["executor_memory"], config()["master"]) == ("8g", "yarn")
    assert run("edit", "k", "--unset", "spark.executor.memory")[0] == 0
    assert "executor_memory" not in config()
    code, _, messages = run("edit", "k", "--unset", "conf", "--unset", "spark.a")
    assert (code, config()["conf"]) == (2, {"spark.a": "1"})
    assert "“spark.a”: the kernel has no such" in messages
    assert run("edit", "k", "--unset", "conf")[0] == 0
    assert config()["conf"] == {}


def test_more_than_a_process_can_be_given_is_refused(
    run: Any, environment: Path, data_dir: Path
) -> None:
    settings = [f"--spark.x{number}={'x' * 9_000}" for number in range(20)]
    code, _, messages = run("create", "-k", "k", "-e", environment, *settings)
    assert code == 2
    assert messages.startswith("conf: All settings together make 17")
    variables = [f"--env=X{number}={'é' * 9_000}" for number in range(20)]
    code, _, messages = run("create", "-k", "k", "-e", environment, *variables)
    assert code == 2
    assert messages.startswith("env: All variables together make")
    assert not (data_dir / "kernels").exists()


@pytest.mark.parametrize("content", ["{", '{"metadata": {"pyspark_kernels": {}}}'])
def test_a_damaged_kernel_is_not_edited(
    run: Any, environment: Path, data_dir: Path, content: str
) -> None:
    run("create", "-k", "k", "-e", environment)
    (data_dir / "kernels" / "k" / "kernel.json").write_text(content)
    code, _, messages = run("edit", "k", "--cores-max", "1")
    assert code == 1
    assert "“k” cannot be edited" in messages


def test_a_dry_run_writes_nothing(run: Any, environment: Path, data_dir: Path) -> None:
    code, output, _ = run("create", "-k", "k", "-e", environment, "--dry-run")
    assert code == 0
    assert json.loads(output)["display_name"] == "k"
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "-k", "../x", "-e", "/nowhere"], "name: "),
        (["create", "-k", "k", "-e", "/nowhere"], "environment: There is no Python in “/nowhere”"),
        (["create", "-k", "k", "-e", "/nowhere", "--conf", "spark.x"], "conf: “spark.x” lacks"),
        (["create", "-k", "k", "-e", "/x", "--spark.executor.memory", "4x"], "executor_memory: "),
        (["create", "-k", "python3", "-e", "/nowhere"], "name: "),
        (["show", "nothing"], "name: There is no kernel “nothing”"),
        (["remove", "nothing"], "name: "),
        (["undo"], "nothing to undo"),
        (["undo", "k"], "nothing to undo of “k”"),
        (["list", "--place", "nowhere"], "place: There is no place “nowhere”. Choose one of: user"),
    ],
)
def test_wrong_input_ends_with_2_and_a_sentence(
    run: Any, data_dir: Path, arguments: list[str], said: str
) -> None:
    code, output, messages = run(*arguments)
    assert (code, output) == (2, "")
    assert said in messages
    assert "Traceback" not in messages
    code, _, messages = run(*arguments, "--json")
    assert code == 2
    assert json.loads(messages)["errors"][0]["message"]
    assert not (data_dir / "kernels").exists()


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["list", "--spark.x", "1"], ["show"]])
def test_an_unknown_command_or_option_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_a_label_cannot_move_the_cursor(run: Any, environment: Path, data_dir: Path) -> None:
    run("create", "-k", "k", "-e", environment)
    file = data_dir / "kernels" / "k" / "kernel.json"
    file.write_text(file.read_text().replace('"created_by": "', '"created_by": "\\u001b[2J'))
    assert "\x1b" not in run("show", "k")[1]


def test_api_and_command_line_say_the_same(run: Any) -> None:
    from jupyterlab_pyspark_kernels.config import read_config
    from jupyterlab_pyspark_kernels.errors import Invalid

    with pytest.raises(Invalid) as caught:
        read_config({"name": "A", "environment": "x", "executor_cores": "0"})
    _, _, messages = run("create", "-k", "A", "-e", "x", "--executor-cores", "0", "--json")
    told = [(item["field"], item["message"]) for item in json.loads(messages)["errors"]]
    assert told == [(error.field, error.message) for error in caught.value.errors]


def test_environments_are_listed_and_made_ready(
    run: Any, environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKON_HOME", str(tmp_path))
    listed = json.loads(run("environments", "--json")[1])
    (found,) = [item for item in listed if item["path"] == str(environment)]
    assert found["packages"]["pyspark"] == "4.3.0"
    assert str(environment) in run("environments")[1]
    assert run("ready", environment) == (0, f"{environment} is ready\n", "")

    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", str(bare)], check=True)
    code, output, messages = run("ready", bare)
    assert (code, output) == (1, "")
    assert "Give --yes to install without asking" in messages
    assert not list(bare.glob("lib/*/site-packages/ipykernel"))
    code, output, messages = run("ready", bare, "--yes", "--json")
    assert (code, json.loads(output)["problem"]) == (0, None)
    assert "Successfully installed" in messages
    code, _, messages = run("ready", tmp_path / "nothing", "--yes")
    assert (code, "There is no Python in" in messages) == (2, True)
