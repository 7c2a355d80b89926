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


def test_a_cluster_tells_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "--master", "local-cluster[2,4,4096]", "--executor-memory", "8g"]) == 0
    output = capsys.readouterr().out
    assert "8 of 8 free" in output
    assert "Hint (executor_memory): One executor takes 8192 MiB" in output
    assert (
        main(["cluster", "--master", "spark://127.0.0.1:7077", "--spark.master.ui.port", "1"]) == 0
    )
    assert "refuses the connection" in capsys.readouterr().out


def test_what_an_executor_takes_may_stand_in_spark_defaults(
    run: Any, environment: Path, spark_home: Path
) -> None:
    cluster = ["cluster", "--master", "local-cluster[2,4,4096]", "-e", environment]
    assert "One executor takes 1024 MiB" in run(*cluster)[1]
    (spark_home / "conf").mkdir()
    (spark_home / "conf" / "spark-defaults.conf").write_text("spark.executor.memory 3g\n")
    spark = ["--spark-home", spark_home]
    assert "One executor takes 3072 MiB" in run(*cluster, *spark)[1]
    assert "One executor takes 2048 MiB" in run(*cluster, *spark, "--executor-memory", "2g")[1]


def test_settings_and_where_they_come_from(run: Any, pyspark_environment: Path) -> None:
    code, output, messages = run("settings", "sql.shuffle.part", "-e", pyspark_environment)
    assert code == 0
    assert "Reading the settings" in messages
    assert "  type         integer\n  default      200" in output
    code, output, messages = run("settings", "sql.shuffle", "-e", pyspark_environment, "--json")
    assert (code, messages) == (0, "")
    keys = [setting["key"] for setting in json.loads(output)["settings"]]
    assert "spark.sql.shuffle.partitions" in keys
    assert all("sql.shuffle" in key for key in keys)
    code, _, messages = run("settings", "no.such", "-e", pyspark_environment)
    assert (code, "documents no setting" in messages) == (2, True)

    given = ("-e", pyspark_environment, "--spark.ui.prot", "1")
    code, output, _ = run("create", "-k", "a", *given)
    assert "Did you mean spark.ui.port" in output
    run("create", "-k", "b", "-e", pyspark_environment, "--executor-cores", "2")
    code, output, _ = run("effective", "b")
    assert code == 0
    (cores,) = [line for line in output.splitlines() if line.startswith("spark.executor.cores ")]
    assert cores.split()[1:] == ["2", "form:", "Executor", "cores", "1"]
    everything = json.loads(run("effective", "b", "--all", "--json")[1])["rows"]
    assert len(everything) > 500
    lines = run("compare", "a", "b")[1].splitlines()
    assert [line.split()[0] for line in lines] == [
        *("a", "display_name", "executor_cores", "spark.ui.prot")
    ]
    assert run("compare", "a", "a")[1] == "They are the same.\n"


def test_a_kernel_is_renamed_and_taken_back(run: Any, environment: Path) -> None:
    run("create", "-k", "k", "-e", environment)
    run("create", "-k", "taken", "-e", environment)
    assert run("rename", "k", "new") == (0, "k in user is new in user now\n", "")
    kernel = json.loads(run("show", "new", "--json")[1])
    assert (kernel["name"], kernel["display_name"]) == ("new", "new")
    run("rename", "new", "newer", "--display-name", "My Spark")
    assert json.loads(run("show", "newer", "--json")[1])["display_name"] == "My Spark"
    code, _, messages = run("rename", "newer", "taken")
    assert (code, "“taken” exists already" in messages) == (2, True)
    assert run("rename", "none", "x")[0] == 2
    assert json.loads(run("undo", "--json")[1])["name"] == "new"
    assert json.loads(run("undo", "--json")[1])["name"] == "k"
    assert [kernel["name"] for kernel in json.loads(run("list", "--json")[1])] == ["k", "taken"]


def test_a_kernel_is_promoted_and_taken_back(
    run: Any, environment: Path, data_dir: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "kernels"
    run("create", "-k", "k", "-e", environment)
    # With -d it is looked for there.
    assert run("promote", "k", "--to", other, "-d", other)[0] == 2
    code, output, messages = run("promote", "k", "--to", other)
    assert (code, output) == (0, f"k in user is k in {other} now\n"), messages
    assert (other / "k" / "kernel.json").exists()
    assert not (data_dir / "kernels" / "k").exists()
    assert json.loads(run("undo", "--json")[1])["place"] == "user"
    assert not (other / "k").exists()
    assert run("promote", "k", "--to", "nowhere")[0] == 2


def test_a_kernel_is_exported_and_imported(
    run: Any, environment: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--spark.a=b c", "--env", "Y=$Z", "--cores-max", "2")
    run("create", "-k", "k", "-e", environment, *options)
    older = data_dir / "kernels" / "k" / "kernel.json"
    spec = json.loads(older.read_text())
    spec["metadata"]["pyspark_kernels"]["config"]["conf"]["spark.x.password"] = "CANARY"
    older.write_text(json.dumps(spec))
    for form in ("kernel", "spark-submit", "spark-defaults"):
        code, output, messages = run("export", "k", "--format", form)
        assert (code, "CANARY" in output) == (0, False)
        assert "conf: spark.x.password looks like a secret" in messages
        assert json.loads(run("export", "k", "--format", form, "--json")[1])["format"] == form
    file = tmp_path / "k.json"
    file.write_text(run("export", "k")[1])
    code, output, messages = run("import", file, "--cores-max", "3")
    assert (code, json.loads(output)["cores_max"]) == (0, 3)
    assert "“spark.x.password” looked like a secret" in messages
    assert [kernel["name"] for kernel in json.loads(run("list", "--json")[1])] == ["k"]
    code, output, messages = run("import", file, "--create", "-k", "l", "--display-name", "L")
    assert (code, output) == (0, "Created l in user\n"), messages
    config = json.loads(run("show", "l", "--json")[1])["config"]
    assert (config["conf"], config["env"]) == ({"spark.a": "b c"}, {"Y": "$Z"})
    assert config["cores_max"] == 2

    line = tmp_path / "line.sh"
    line.write_text("spark-submit --name 'My Job' --executor-memory 4g app.py")
    code, output, messages = run("import", line)
    assert json.loads(output) == {"display_name": "My Job", "executor_memory": "4g"}
    assert "“app.py”" in messages
    found = json.loads(run("import", line, "--json")[1])
    assert (found["config"]["executor_memory"], len(found["remarks"])) == ("4g", 1)
    code, _, messages = run("import", line, "--create")
    assert (code, "environment: " in messages) == (2, True)
    assert run("import", line, "--create", "-e", environment)[0] == 0
    with line.open() as opened:
        monkeypatch.setattr(sys, "stdin", opened)
        assert json.loads(run("import", "-")[1])["executor_memory"] == "4g"


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff", b"{", b"x" * 2_000_000])
def test_what_cannot_be_imported_ends_with_2_and_a_sentence(
    run: Any, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "text"
    file.write_bytes(content)
    for path in (file, tmp_path / "none", tmp_path):
        code, output, messages = run("import", path)
        assert (code, output) == (2, "")
        assert "Traceback" not in messages
        assert messages.endswith(".\n")


def test_a_list_tells_what_is_the_matter(
    run: Any, environment: Path, data_dir: Path, tmp_path: Path
) -> None:
    for name in ("fine", "open", "gone"):
        run("create", "-k", name, "-e", environment)
    kernels = data_dir / "kernels"
    (kernels / "open").chmod(0o777)
    spec = json.loads((kernels / "gone" / "kernel.json").read_text())
    spec["metadata"]["pyspark_kernels"]["config"]["environment"] = "/nowhere"
    (kernels / "gone" / "kernel.json").write_text(json.dumps(spec))
    (kernels / "hand").mkdir()
    hand = {"argv": ["python"], "display_name": "x", "language": "python"}
    (kernels / "hand" / "kernel.json").write_text(
        json.dumps({**hand, "env": {"SPARK_HOME": "/opt/spark"}})
    )
    _, *lines = run("list")[1].splitlines()
    fine, gone, hand_made, opened = sorted(lines)
    assert not any(mark in fine for mark in ("broken", "untrusted", "hand"))
    assert "broken: There is no Python at /nowhere/bin/python." in gone
    assert hand_made.endswith("written by hand")
    assert f"untrusted: {kernels}/open can be written to by everybody." in opened
    assert "untrusted: " in run("show", "open")[1]
    listed = json.loads(run("list", "--json")[1])
    assert {kernel["name"]: kernel["ours"] for kernel in listed}["hand"] is False


@pytest.mark.parametrize("text", ["[" * 100_000, '{"name": "a", "name": "b"}', "no JSON", "\xff"])
def test_a_draft_that_cannot_be_read_is_refused(run: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "draft.json").write_text(text, encoding="latin-1")
    code, output, messages = run("test", "--draft", tmp_path / "draft.json")
    assert (code, output) == (2, "")
    assert messages.startswith("The draft is ")
