import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from string import Template as JupyterTemplate
from typing import Any

import pyparsing
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyterlab_pyspark_kernels.config import KernelConfig, read_config
from jupyterlab_pyspark_kernels.errors import Invalid, KernelError, Missing
from jupyterlab_pyspark_kernels.hocon import (
    MAX_TEMPLATE,
    VARIABLES,
    from_template,
    load,
    merged,
    read_template,
    script_variables,
    template_data,
)
from jupyterlab_pyspark_kernels.render import render

TEMPLATE = """\
# A kernel for the data team.
{
  display_name: ${KERNEL_NAME}
  language: python
  argv: [${PYSPARK_DRIVER_PYTHON}, "-m", ipykernel, "-f", "{connection_file}"],
  env {
    SPARK_HOME = ${SPARK_HOME}
    // PySpark and its bridge to Java
    PYTHONPATH = ${SPARK_HOME}/python/:${SPARK_HOME}/python/lib/py4j-0.10.9.7-src.zip
    "PYSPARK_DRIVER_PYTHON" : ${PYSPARK_DRIVER_PYTHON},
    "PYSPARK_PYTHON" : ${PYSPARK_PYTHON},
    "PYSPARK_SUBMIT_ARGS" : ${PYSPARK_SUBMIT_ARGS}
    PYTHONSTARTUP = ${SPARK_HOME}/python/pyspark/shell.py
  }
}
"""
GIVEN: dict[str, Any] = {
    "name": "pyspark-pandas-yarn",
    "environment": "/home/me/pandas-3.5",
    "spark_home": "/opt/spark",
    "master": "yarn",
    "conf": {
        "spark.executor.memory": "4g",
        "spark.executor.cores": "4",
        "spark.driver.memory": "2g",
    },
}
VALUES = dict(
    zip(VARIABLES, ("k", "/opt/spark", "/env/bin/python", "/usr/bin/python3", "x"), strict=True)
)
SPEC = {"argv": ["/env/bin/python"], "display_name": "k", "env": {"SPARK_HOME": "/opt/spark"}}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes, name: str = "pyspark_kernel.template") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def original_flow(template: str, variables: dict[str, str]) -> Any:
    """What `export …; cat template | pyhocon -f json` writes."""
    command = [sys.executable, "-X", "utf8", "-m", "pyhocon.tool", "-f", "json"]
    done = subprocess.run(
        command, input=template.encode(), env=variables, capture_output=True, check=True
    )
    return json.loads(done.stdout)


def refusal(template: str, variables: dict[str, str] = VALUES) -> str:
    with pytest.raises(Invalid) as caught:
        read_template(template, variables)
    assert [error.field for error in caught.value.errors] == [""]
    message = str(caught.value)
    assert message.startswith("-t: The template ")
    assert message.endswith(".")
    return message


# --- the kernel that the original script made --------------------------------------------------


def launched(config: KernelConfig) -> dict[str, str]:
    spec = render(config, "me")
    return {name: JupyterTemplate(value).substitute() for name, value in spec["env"].items()}


def test_the_example_of_the_original_script(write: Write) -> None:
    made = original_flow(TEMPLATE, script_variables(GIVEN))
    assert read_template(TEMPLATE, script_variables(GIVEN)) == made

    template = from_template(write(TEMPLATE), GIVEN)
    config = read_config(template.data)
    env = launched(config)
    # The script put an archive of the environment into the kernel's directory.
    (remark,) = template.remarks
    assert "carried to the executors" in remark.message
    assert config.carry
    assert config.name == config.display_name == made["display_name"] == "pyspark-pandas-yarn"
    assert render(config, "me")["argv"][0] == made["argv"][0] == "/home/me/pandas-3.5/bin/python"
    for name in ("SPARK_HOME", "PYSPARK_DRIVER_PYTHON", "PYSPARK_PYTHON"):
        assert env[name] == made["env"][name]
    ours = shlex.split(env["PYSPARK_SUBMIT_ARGS"])
    theirs = shlex.split(made["env"]["PYSPARK_SUBMIT_ARGS"])
    assert ours[:2] == theirs[:2] == ["--master", "yarn"]
    assert ours[-1] == theirs[-1] == "pyspark-shell"
    assert set(theirs[2:-1]) <= set(ours[2:-1])
    assert "spark.executor.memory=4g" in theirs


def test_a_template_that_says_everything_itself(write: Write) -> None:
    template = (
        TEMPLATE.replace(
            "${PYSPARK_SUBMIT_ARGS}", '"--master local[2] --conf spark.x=1 pyspark-shell"'
        )
        .replace("${SPARK_HOME}", "/opt/spark3")
        .replace("${PYSPARK_DRIVER_PYTHON}", "/env/bin/python")
        .replace("${PYSPARK_PYTHON}", "/usr/bin/python3")
        .replace("${KERNEL_NAME}", "Team Spark")
    )
    config = read_config(from_template(write(template), {}).data)
    assert config == read_config(
        {
            "display_name": "Team Spark",
            "environment": "/env/bin/python",
            "executor_python": "/usr/bin/python3",
            "spark_home": "/opt/spark3",
            "master": "local[2]",
            "conf": {"spark.x": "1"},
        }
    )


def test_the_command_line_wins_in_whichever_form(write: Write) -> None:
    arguments = (
        '"--master yarn --executor-memory 1g --num-executors 3 --conf spark.x=1 --conf spark.y=1"'
    )
    path = write(TEMPLATE.replace("${PYSPARK_SUBMIT_ARGS}", arguments))
    given = {
        "name": "k",
        "environment": "/env",
        "master": "local[*]",
        "executor_memory": "2g",
        "conf": {"spark.x": "2", "spark.executor.instances": "5"},
        "env": {"A": "b"},
    }
    config = read_config(from_template(path, given).data)
    assert (config.master, config.executor_memory, config.executor_instances) == (
        "local[*]",
        "2g",
        5,
    )
    assert config.conf == {"spark.x": "2", "spark.y": "1"}
    assert config.env == {"A": "b"}
    assert config.environment == "/env"


def test_a_field_of_the_template_gives_way_to_a_setting() -> None:
    assert merged({"executor_memory": "1g"}, {"conf": {"spark.executor.memory": "2g"}}) == {
        "conf": {"spark.executor.memory": "2g"},
        "env": {},
    }


def test_nothing_given_is_said_by_the_fields_that_lack(write: Write) -> None:
    with pytest.raises(Invalid, match="Python environment is missing"):
        read_config(from_template(write(TEMPLATE), {"name": "k"}).data)


@pytest.mark.parametrize(
    "template",
    [
        "a = ${KERNEL_NAME}",
        "a = ${SPARK_HOME}/x:${SPARK_HOME} y ${KERNEL_NAME}  z # ${HOME}",
        'a = "quoted ${KERNEL_NAME}" ${KERNEL_NAME} "  b "',
        'a = """three\n# "quotes" ${HOME}\n"""',
        "a = [${KERNEL_NAME}, x${KERNEL_NAME}, [${SPARK_HOME}/y], {b = ${SPARK_HOME}}]",
        "a.b.c = 1\na { b { d = ${KERNEL_NAME} } }\na.b.c = 2",
        "a = 1\na = ${KERNEL_NAME}\na = ${SPARK_HOME}",
        "a = ${KERNEL_NAME}\na = [1]",
        "a = {b = 1}\na = {c = ${KERNEL_NAME}}",
        "a = {b = 1} {c = ${KERNEL_NAME}}",
        "a = 1, b = 1.5, c = true, d = null, e = 5 m, f = -1e3",
        "a = ${?KERNEL_NAME}\r\nb = 2\rc = 3",
        "a = true ${KERNEL_NAME}",
        'include-dirs = 1\nincluded = "include"\n# include "x"\n// include url("http://x/")',
        '"a.b" = ${KERNEL_NAME}',
        "",
    ],
)
def test_the_kernelspec_is_that_of_pyhocons_own_command(template: str) -> None:
    for name in ("k", "", ' "a" ${SPARK_HOME} {b: 1}, [] # é\n\\n'):
        variables = {**VALUES, "KERNEL_NAME": name}
        assert read_template(template, variables) == original_flow(template, variables)


@given(
    st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(['"', "${HOME}", "{", "\n"])
)
def test_a_value_is_never_anything_but_text(value: str) -> None:
    template = "a = ${X}, b = [${X}, ${X}], c { d = x${X}y, e = ${X} ${X} }"
    assert read_template(template, {"X": value}) == {
        "a": value,
        "b": [value, value],
        "c": {"d": f"x{value}y", "e": f"{value} {value}"},
    }


@given(
    st.dictionaries(
        st.sampled_from(["spark.a", "spark.b", "spark.executor.memory"]),
        st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])),
    )
)
def test_settings_come_through_a_template_as_they_were_given(conf: dict[str, str]) -> None:
    given_ = {"name": "k", "environment": "/env", "conf": conf}
    spec = read_template(TEMPLATE, script_variables(given_))
    assert merged(template_data(spec).data, given_)["conf"] == conf


# --- what else a template says -----------------------------------------------------------------


def test_what_a_kernel_can_say_is_carried() -> None:
    data, remarks = template_data(
        {
            **SPEC,
            "argv": [
                "/env/bin/python",
                "-m",
                "ipykernel",
                "--profile",
                "team",
                "-f",
                "{connection_file}",
            ],
            "language": "python",
            "interrupt_mode": "signal",
            "metadata": {"debugger": True},
            "env": {
                "SPARK_HOME": "/opt/spark/",
                "PYTHONPATH": "/opt/spark/python:/team/lib:/opt/spark/python/lib/py4j.zip:/b",
                "PYTHONSTARTUP": "/team/startup.py",
                "TEAM": "data",
            },
        }
    )
    assert remarks == []
    assert data["ipython_profile"] == "team"
    assert data["env"] == {
        "TEAM": "data",
        "PYTHONPATH": "/team/lib:/b",
        "PYTHONSTARTUP": "/team/startup.py",
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"codemirror_mode": "x"}, "“codemirror_mode” is left out"),
        ({"interrupt_mode": "message"}, "“interrupt_mode” is left out"),
        ({"metadata": {"debugger": False}}, "“metadata.debugger” is left out"),
        ({"metadata": {"team": {"a": [1]}}}, "“metadata.team” is left out"),
        ({"argv": ["/p", "-f", "{connection_file}", "--debug", "a b"]}, "“--debug 'a b'” of argv"),
        (
            {"env": {"SPARK_HOME": "/s", "PYSPARK_DRIVER_PYTHON": "/q"}},
            "PYSPARK_DRIVER_PYTHON “/q”",
        ),
        ({"env": {"PYSPARK_SUBMIT_ARGS": "pyspark-shell --conf a=b"}}, "“--conf a=b” is left out"),
        (
            {"env": {"SPARK_HOME": "/s", "PATH": "/b:$PATH"}},
            "“/b:$PATH” of env.PATH stays as it is",
        ),
    ],
)
def test_what_it_cannot_say_is_told(more: dict[str, Any], said: str) -> None:
    remarks = template_data({**SPEC, **more}).remarks
    assert len(remarks) == 1
    assert remarks[0].message.startswith(f"-t: {said}")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"language": "scala"}, "the language “scala”"),
        ({"argv": []}, "lacks argv or env"),
        ({"argv": "python"}, "lacks argv or env"),
        ({"env": None}, "lacks argv or env"),
        ({"argv": ["/p", 1]}, "has “1” at “argv[1]”, which is not text. Write it in quotes"),
        ({"env": {"SPARK_HOME": "/s", "A": None}}, "has “null” at “env.A”"),
        ({"env": {"A": "b"}}, "neither SPARK_HOME nor PYSPARK_SUBMIT_ARGS"),
        ({"env": {"PYSPARK_SUBMIT_ARGS": "--colour red pyspark-shell"}}, "the option --colour"),
        ({"env": {"PYSPARK_SUBMIT_ARGS": "'"}}, "cannot be split"),
    ],
)
def test_a_template_of_no_pyspark_kernel(more: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        template_data({**SPEC, **more})
    assert str(caught.value).startswith("-t: The template ")
    assert said in str(caught.value)


# --- nothing but the template is read ----------------------------------------------------------


@pytest.fixture
def hits() -> Iterator[list[str]]:
    """Serve HOCON on the loopback; record who asks for it, the port first."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"canary = fetched")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        asked.append(str(server.server_port))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield asked
        server.shutdown()
        thread.join()


INCLUDES = [
    'include "file://{0}"',
    'include url("file://{0}")',
    'include "{0}"',
    'include file("{0}")',
    'include required(file("{0}"))',
    'include required("{0}")',
    'INCLUDE\t"{0}"',
    'a {{ include "{0}" }}',
    'a = include "{0}"',
    'a = [include "{0}"]',
    'a = x include file("{0}")',
    '{{ a = 1, include "{0}" }}',
    '# """\ninclude "{0}"\n# """',
    'a = 1 // """\ninclude "{0}"\n# """',
    'a = """\n# """ include "{0}"',
    '# x\rinclude "{0}"',
    'a = ${{KERNEL_NAME}} include "{0}"',
]


@pytest.mark.parametrize("include", INCLUDES)
def test_an_include_is_refused(include: str) -> None:
    message = refusal(include.format("/etc/secret.conf"))
    assert "/etc/secret.conf”, and we read nothing but the template. Put the lines of" in message
    assert "includes “" in message


WATCHED = """
import json, sys
from jupyterlab_pyspark_kernels.errors import Invalid
from jupyterlab_pyspark_kernels.hocon import read_template

canary, templates = json.load(sys.stdin)
touched = []

def watch(event, arguments):
    if any(canary in str(argument) for argument in arguments):
        touched.append(event)

sys.addaudithook(watch)
for template in templates:
    try:
        read_template(template, {"KERNEL_NAME": "k"})
    except Invalid as error:
        continue
    touched.append(template)
print(json.dumps(touched))
open(canary).close()
assert touched[-1] == "open"
"""


def test_no_file_is_included(write: Write) -> None:
    secret = write("canary = read", "secret.conf")
    assert original_flow(INCLUDES[0].format(secret), VALUES) == {"canary": "read"}
    searched = f'include "{secret}*"'
    templates = [include.format(secret) for include in [*INCLUDES, searched]]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        input=json.dumps([str(secret), templates]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    "include",
    [
        'include "{0}"',
        'include url("{0}")',
        'a {{ include\t"{0}" }}',
        'include required(url("{0}"))',
        'a = include url("{0}")',
        'a = 1 # x\n include\t url( "{0}" )',
    ],
)
def test_no_url_is_fetched(include: str, hits: list[str]) -> None:
    url = f"http://127.0.0.1:{hits[0]}/canary"
    template = include.format(url)
    assert f"includes “{url}”" in refusal(template)
    assert len(hits) == 1


@pytest.mark.parametrize(
    "target", ["canary_package:x.conf", "canary_package.inner:x.conf", "canary_package"]
)
def test_no_package_is_imported(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "canary_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "x.conf").write_text("canary = read")
    monkeypatch.syspath_prepend(tmp_path)
    for include in ('include package("{0}")', 'include required(package("{0}"))'):
        assert f"includes “{target}”" in refusal(include.format(target))
    assert "canary_package" not in sys.modules


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("a = ${CANARY}", "“${CANARY}”"),
        ("a = ${?CANARY}", "“${CANARY}”"),
        ("a = x${KERNEL_NAME}${CANARY}y", "“${CANARY}”"),
        ("a = [[{b = ${CANARY}}]]", "“${CANARY}”"),
        ("a = ${ KERNEL_NAME }", "“${ KERNEL_NAME }”"),
        ("CANARY = ${CANARY}", "“${CANARY}”"),
        ("CANARY = ${?CANARY}", "“${CANARY}”"),
        ("a = 1\nb = ${a}", "“${a}”"),
        ("a = ${\x1b[2J}", "“${\\x1b[2J}”"),
        ("a = ${" + "x" * 9000 + "}", "xxx…”"),
    ],
)
def test_no_other_variable_is_filled_in(
    template: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "leaked")
    message = refusal(template)
    assert named in message
    assert "It may name KERNEL_NAME, SPARK_HOME, PYSPARK_DRIVER_PYTHON" in message
    assert "leaked" not in message


@pytest.mark.parametrize(
    "template", ["CANARY += x", "CANARY += [1]", "CANARY = [1]\nCANARY += [2]"]
)
def test_plus_is_no_way_to_a_variable(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "leaked")
    message = refusal(template)
    assert "uses += at “CANARY”" in message
    assert "leaked" not in message


def test_a_variable_of_the_server_is_not_taken_for_one_of_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPARK_HOME", "/leaked")
    assert script_variables({})["SPARK_HOME"] == ""
    assert read_template("a = ${SPARK_HOME}/b", script_variables({})) == {"a": "/b"}


# --- what cannot be read -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{ a = 1", "is not HOCON at line 1, column 8: “{ a = 1”"),
        ("a = 1\nb = = 2", "is not HOCON at line 2"),
        ("a = }\x1b[2J", "is not HOCON at line 1"),
        ("a { b = " * 500, "is nested too deeply"),
        ("a = " + "[" * 5000, "is nested too deeply"),
        ("a" + ".a" * 8000 + " = 1", "is nested too deeply"),
        ("a = [1] ${KERNEL_NAME}", "joins a text with a list or an object at “a”"),
        ("a = [1] {b = 2}", "is not HOCON: “Token"),
        ('a = "x\r# " include "/etc/secret.conf"', "is not HOCON at line 1"),
        ("[a, b]", "is a list"),
        ('"a\\"b" = 1', "makes no JSON"),
        ("a = 1e999", "makes no JSON"),
        ("a = " + "9" * 20 + " weeks", "makes no JSON"),
        ("a = " + "9" * 5000 + " weeks", "is not HOCON: “Exceeds the limit"),
        ("\0", "is not HOCON at line 1"),
    ],
)
def test_what_is_no_hocon_is_told_where(template: str, said: str) -> None:
    message = refusal(template)
    assert said in message
    assert len(message) < 300
    assert "\x1b" not in message


@pytest.mark.parametrize(
    "template",
    [
        # Each takes pyhocon's own resolution minutes or gigabytes.
        "a = " + "${KERNEL_NAME}" * 1500,
        "a = ${KERNEL_NAME}${KERNEL_NAME}${KERNEL_NAME}${KERNEL_NAME}\n" * 300,
    ],
)
def test_many_variables_are_filled_in(template: str) -> None:
    text = read_template(template, VALUES)["a"]
    assert set(text) == {"k"}


def test_pyparsing_is_left_as_it_was() -> None:
    white_space = pyparsing.ParserElement.DEFAULT_WHITE_CHARS
    read_template(TEMPLATE, VALUES)
    for template in ("{", 'include "x"', "a { b = " * 500):
        refusal(template)
    assert white_space == pyparsing.ParserElement.DEFAULT_WHITE_CHARS
    words = pyparsing.ZeroOrMore(pyparsing.Word("ab"))
    assert list(words.parse_string("a\nb")) == ["a", "b"]


def test_pyhocon_is_loaded_when_it_is_needed() -> None:
    code = "import sys, jupyterlab_pyspark_kernels.hocon; sys.exit('pyhocon' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# --- the file ----------------------------------------------------------------------------------


def unread(path: Path) -> KernelError:
    with pytest.raises(KernelError) as caught:
        load(path)
    assert [error.field for error in caught.value.errors] == [""]
    assert str(caught.value).startswith("-t: ")
    return caught.value


def test_a_template_is_read_as_utf_8(write: Write) -> None:
    assert load(write("\ufeffa = é")) == "a = é"
    assert load(write("#" * MAX_TEMPLATE)) == "#" * MAX_TEMPLATE


def test_a_template_that_is_not_there(tmp_path: Path, write: Write) -> None:
    for path in (tmp_path / "none", write("x") / "inner"):
        error = unread(path)
        assert isinstance(error, Missing)
        assert "There is no template “" in str(error)
        assert "Give its path." in str(error)


def test_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        error = unread(path)
        assert isinstance(error, Invalid)
        assert "is not a file. Give the path of the template itself." in str(error)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "cannot be opened: " in str(unread(loop))
    long = Path("/" + "x" * 300)
    assert "cannot be opened: File name too long. Make it readable." in str(unread(long))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else(write: Write) -> None:
    path = write(TEMPLATE)
    path.chmod(0)
    assert "cannot be opened: Permission denied. Make it readable." in str(unread(path))


def test_a_file_that_is_too_large_or_not_text(write: Write) -> None:
    assert "is larger than 16 KiB. Make it shorter." in str(unread(write("#" * (MAX_TEMPLATE + 1))))
    assert "is not UTF-8 at byte 1. Save it as UTF-8." in str(unread(write(b"a\xff")))
