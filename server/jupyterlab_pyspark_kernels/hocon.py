"""The original script's HOCON templates → the data of a KernelConfig, for the command line.

The script exported five variables and ran `cat template | pyhocon -f json > kernel.json`
(`pyspark_kernel.sh` of Anchormen/pyspark-jupyter-kernels). `read_template` gives what that flow
gave, without what else pyhocon would do with a text: `include` reads files, fetches URLs and
imports packages, and `${NAME}` reads the process's own environment.

Not for the server: pyparsing's default white space is one variable of the whole process, which
pyhocon changes while it parses.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple, NoReturn

from . import render
from .config import CONF_KEYS
from .errors import FieldError, Invalid, Missing, quoted

MAX_TEMPLATE = 16 * 1024
"""Bytes of a template, twenty times the original one. The worst text of this size takes pyhocon a
few seconds, and one of 256 KiB a minute."""

VARIABLES = (
    "KERNEL_NAME",
    "SPARK_HOME",
    "PYSPARK_DRIVER_PYTHON",
    "PYSPARK_PYTHON",
    "PYSPARK_SUBMIT_ARGS",
)
"""What the original script exported for its template."""

_NEVER_USED = ("codecs", "find_package_dirs", "glob", "importlib", "socket", "urlopen")
"""What pyhocon's parser reads files, URLs and packages with; see `_parser`."""

_SHELL = "pyspark-shell"


class Template(NamedTuple):
    """A kernel as a template describes it.

    Attributes:
        data: what `read_config` takes.
        remarks: what the template says that our kernels cannot, in sentences.

    """

    data: dict[str, Any]
    remarks: list[FieldError]


def from_template(path: Path, given: Mapping[str, Any]) -> Template:
    """Fill in a template with what was given on the command line, which wins where both speak.

    Args:
        path: the template.
        given: the fields of a KernelConfig that the command line names, unchecked.

    Raises:
        Invalid: when the template is not one we can use.
        Missing: when there is none.

    """
    spec = read_template(load(path), script_variables(given))
    template = template_data(spec)
    return _carried_on_yarn(Template(merged(template.data, given), template.remarks))


def _carried_on_yarn(template: Template) -> Template:
    """Carry the environment where the original script did: on YARN."""
    data, conf = template.data, template.data["conf"]
    own = "carry" in data or any(key.endswith(".archives") for key in conf)
    if own or data.get("master", conf.get(CONF_KEYS["master"])) != "yarn":
        return template
    # A path in the folder of an executor is one in the archive that the script made.
    kept = {
        field: value
        for field, value in data.items()
        if not (field == "executor_python" and str(value).startswith("./"))
    }
    remark = "The environment is carried to the executors of YARN; --no-carry leaves that out."
    return Template({**kept, "carry": True}, [*template.remarks, FieldError("", f"-t: {remark}")])


def load(path: Path) -> str:
    """Read a template's text.

    Raises:
        Invalid: when it cannot be read, is no file, too large or not UTF-8.
        Missing: when there is none.

    """
    try:
        with open(path, "rb", opener=_open) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_TEMPLATE + 1) if regular else None
    except (FileNotFoundError, NotADirectoryError):
        raise Missing.at("", f"-t: There is no template {quoted(path)}. Give its path.") from None
    except IsADirectoryError:
        content = None
    except OSError as error:
        raise _unusable(path, f"cannot be opened: {error.strerror}. Make it readable") from None
    if content is None:
        raise _unusable(path, "is not a file. Give the path of the template itself")
    if len(content) > MAX_TEMPLATE:
        raise _unusable(path, f"is larger than {MAX_TEMPLATE // 1024} KiB. Make it shorter")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unusable(path, f"is not UTF-8 at byte {error.start}. Save it as UTF-8") from None


def _open(path: str, flags: int) -> int:
    # Non-blocking, so that a FIFO in place of the file cannot hang the command.
    return os.open(path, flags | os.O_NONBLOCK)


def _unusable(path: Path, why: str) -> Invalid:
    return Invalid.at("", f"-t: The template {quoted(path)} {why}.")


def script_variables(given: Mapping[str, Any]) -> dict[str, str]:
    """Give the variables that the original script would have exported.

    Args:
        given: the fields of a KernelConfig that the command line names, unchecked.

    """
    environment = str(given.get("environment") or "")
    python = render.interpreter(environment) if environment else ""
    return {
        "KERNEL_NAME": str(given.get("name") or given.get("display_name") or ""),
        "SPARK_HOME": str(given.get("spark_home") or ""),
        "PYSPARK_DRIVER_PYTHON": python,
        "PYSPARK_PYTHON": str(given.get("executor_python") or python),
        "PYSPARK_SUBMIT_ARGS": _submit_args(given),
    }


def _submit_args(given: Mapping[str, Any]) -> str:
    fields = {key: str(given[field]) for field, key in CONF_KEYS.items() if field in given}
    settings = {**fields, **given.get("conf", {})}
    master = settings.pop(CONF_KEYS["master"], None)
    tokens = [] if master is None else ["--master", master]
    for key, value in settings.items():
        tokens += ["--conf", f"{key}={value}"]
    return shlex.join([*tokens, _SHELL])


def merged(template: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay what was given over what a template says.

    A setting and the field of that setting are the same thing here, in whichever form each of
    the two says it.
    """
    given_conf = given.get("conf", {})
    said = {field for field, key in CONF_KEYS.items() if field in given or key in given_conf}
    said_keys = {CONF_KEYS[field] for field in said}
    conf = {key: value for key, value in template.get("conf", {}).items() if key not in said_keys}
    return {
        **{field: value for field, value in template.items() if field not in said},
        **given,
        "conf": {**conf, **given_conf},
        "env": {**template.get("env", {}), **given.get("env", {})},
    }


# --- HOCON → kernelspec ------------------------------------------------------------------------


def read_template(text: str, variables: Mapping[str, str]) -> render.Kernelspec:
    """Give the kernelspec that the original script would have written.

    A variable's value becomes text wherever the template names it, whatever characters it has.
    Differs from `pyhocon -f json` in that nothing but the variables can be filled in, not even
    another key of the template: pyhocon takes exponential time and memory for some of those.

    Args:
        text: the template, of at most MAX_TEMPLATE bytes.
        variables: what the template may name.

    Raises:
        Invalid: when it is not HOCON, includes something, names another variable, is nested too
            deeply or is not an object.

    """
    from pyhocon.converter import HOCONConverter

    # As Python gave it to pyhocon, which read its standard input as text.
    tree = _filled(_parse(text.replace("\r\n", "\n").replace("\r", "\n")), variables)
    try:
        spec = json.loads(HOCONConverter.to_json(tree))
    except (ValueError, OverflowError):
        # pyhocon writes keys and endless numbers as they are, and cannot write long durations.
        raise _wrong(
            "makes no JSON. Take quotes and backslashes out of its keys, and put numbers in quotes"
        ) from None
    if not isinstance(spec, dict):
        raise _wrong("is a list. Write an object with argv, display_name and env")
    return spec


def _wrong(why: str) -> Invalid:
    return Invalid.at("", f"-t: The template {why}.")


def _parse(text: str) -> Any:
    """Parse HOCON, its substitutions left as they are."""
    from pyhocon.exceptions import ConfigException
    from pyparsing import ParseBaseException, ParserElement

    white_space = ParserElement.DEFAULT_WHITE_CHARS
    try:
        # Any base directory makes pyhocon join it with an included path, which is refused.
        return _parser().ConfigParser.parse(text, basedir="", resolve=False)
    except ParseBaseException as error:
        raise _wrong(
            f"is not HOCON at line {error.lineno}, column {error.column}: {quoted(error.line)}. "
            "Mind the brackets, and put values in quotes"
        ) from None
    except (ConfigException, OverflowError, ValueError) as error:
        # The last two are of numbers and durations that are too long.
        raise _wrong(f"is not HOCON: {quoted(error)}. Put values in quotes") from None
    except RecursionError:
        raise _wrong("is nested too deeply. Take brackets or dots in keys out") from None
    finally:
        # pyhocon leaves its own white space behind when it fails.
        ParserElement.set_default_whitespace_chars(white_space)


def _parser() -> ModuleType:
    """Make a copy of pyhocon's parser, ours alone, that can reach nothing.

    Only the grammar knows what is an include and what is a comment or a text, so the parser itself
    has to be unable to. All that its module could read with is replaced, also `os.environ`.

    Raises:
        AssertionError: when this pyhocon does not read with what we replace.

    """
    specification = importlib.util.find_spec("pyhocon.config_parser")
    if specification is None or specification.loader is None:
        raise AssertionError("pyhocon has no module config_parser")
    parser = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(parser)
    replacements = {
        **dict.fromkeys(_NEVER_USED),
        "ConfigFactory": SimpleNamespace(parse_file=_refuse_include, parse_URL=_refuse_include),
        "os": SimpleNamespace(path=SimpleNamespace(join=lambda _, path: _refuse_include(path))),
    }
    if not replacements.keys() <= vars(parser).keys():
        raise AssertionError("pyhocon reads with something else than it did")
    vars(parser).update(replacements)
    parser.ConfigParser.resolve_package_path = _refuse_include
    return parser


def _refuse_include(target: str, **_: object) -> NoReturn:
    raise _wrong(
        f"includes {quoted(target)}, and we read nothing but the template. "
        "Put the lines of the other file in its place"
    )


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """Give a value of the tree with the variables in it."""
    from pyhocon.config_tree import ConfigValues

    if isinstance(value, ConfigValues):
        return _joined(value, variables)
    if isinstance(value, list):
        return [_filled(item, variables) for item in value]
    if isinstance(value, dict):
        # In place: pyhocon writes only trees of its own class.
        for key, item in list(value.items()):
            value[key] = _filled(item, variables)
    return value


def _joined(values: Any, variables: Mapping[str, str]) -> Any:
    """Join the parts of a value, such as `${SPARK_HOME}/python`, as pyhocon does."""
    from pyhocon.config_tree import ConfigSubstitution
    from pyhocon.exceptions import ConfigWrongTypeException

    last = len(values.tokens) - 1
    for index, token in enumerate(values.tokens):
        if isinstance(token, ConfigSubstitution):
            space = "" if index == last else token.ws
            values.put(index, _value(token, variables) + space)
    # An earlier value of the same key, which this one replaces.
    values.overridden_value = None
    try:
        return values.transform()
    except ConfigWrongTypeException:
        raise _wrong(
            f"joins a text with a list or an object at {quoted(values.key)}. Write one of them"
        ) from None


def _value(substitution: Any, variables: Mapping[str, str]) -> str:
    name = substitution.variable
    if name in variables:
        return variables[name]
    if not isinstance(substitution.instring, str):
        # So pyhocon says `key += value`.
        raise _wrong(f"uses += at {quoted(name)}. Write the whole value with one =")
    asked = quoted(f"${{{name}}}")
    raise _wrong(f"names {asked}, which is not filled in. It may name {', '.join(variables)}")


# --- kernelspec → KernelConfig -----------------------------------------------------------------


def template_data(spec: render.Kernelspec) -> Template:
    """Read a template's kernelspec as the data of a KernelConfig.

    Raises:
        Invalid: when it is not a kernelspec of PySpark.

    """
    _check(spec)
    try:
        # Read as written by hand, even when somebody made a template of a kernel of ours.
        data = render.read({**spec, "metadata": {}})
    except render.NotReadable as error:
        raise _wrong(f"does not describe a PySpark kernel: {error}") from None
    env = {**data.get("env", {}), **dict(_kept_python_variables(spec["env"]))}
    profile = data.get("ipython_profile") or _profile(spec["argv"])
    added = {"env": env, "ipython_profile": profile}
    data = {**data, **{field: value for field, value in added.items() if value}}
    return Template(data, [FieldError("", f"-t: {remark}") for remark in _remarks(spec, data)])


def _check(spec: render.Kernelspec) -> None:
    language = spec.get("language", "python")
    if language != "python":
        raise _wrong(f"has the language {quoted(language)}. Our kernels are Python ones")
    argv, env = spec.get("argv"), spec.get("env")
    if not isinstance(argv, list) or not argv or not isinstance(env, dict):
        raise _wrong("lacks argv or env. Write both, argv as a list and env as an object")
    texts = [(f"argv[{index}]", item) for index, item in enumerate(argv)]
    texts += [(f"env.{name}", value) for name, value in env.items()]
    for key, value in texts:
        if not isinstance(value, str):
            shown = quoted(json.dumps(value))
            raise _wrong(f"has {shown} at {quoted(key)}, which is not text. Write it in quotes")


def _kept_python_variables(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give what PYTHONPATH and PYTHONSTARTUP hold beside PySpark, which the launcher starts."""
    pyspark = env.get("SPARK_HOME", "").rstrip("/") + "/python/"
    entries = env.get("PYTHONPATH", "").split(":")
    kept = [entry for entry in entries if entry and not f"{entry}/".startswith(pyspark)]
    if kept:
        yield "PYTHONPATH", ":".join(kept)
    startup = env.get("PYTHONSTARTUP", "")
    if startup and not startup.endswith("/pyspark/shell.py"):
        yield "PYTHONSTARTUP", startup


_ARGV = {"-m", "ipykernel", "ipykernel_launcher", "-f", "{connection_file}"}
_KEYS = {"argv", "display_name", "env", "language", "metadata"}
_SAME = {("interrupt_mode", "signal"), ("metadata.debugger", True)}
"""What every kernel of ours says anyway."""


def _profile(argv: list[str]) -> str | None:
    # The form with a space, which IPython takes as well.
    return dict(itertools.pairwise(argv)).get("--profile")


def _remarks(spec: render.Kernelspec, data: Mapping[str, Any]) -> Iterator[str]:
    """Say what of a template is not in the kernel."""
    metadata = spec.get("metadata")
    extra = [(key, value) for key, value in spec.items() if key not in _KEYS]
    if isinstance(metadata, dict):
        extra += [(f"metadata.{key}", value) for key, value in metadata.items()]
    for key, value in extra:
        if isinstance(value, dict | list) or (key, value) not in _SAME:
            yield f"{quoted(key)} is left out; our kernels cannot say it."
    arguments = _unknown_arguments(spec["argv"])
    if arguments:
        yield f"{quoted(shlex.join(arguments))} of argv is left out. Set it in an IPython profile."
    yield from _remarks_on_variables(spec["argv"][0], spec["env"])
    for name, value in data.get("env", {}).items():
        # Jupyter fills in the server's variables when it starts the kernel; ours are kept as is.
        if "$" in spec["env"].get(name, "").replace("$$", ""):
            yield f"{quoted(value)} of env.{name} stays as it is; nothing is filled in for its $."


def _unknown_arguments(argv: list[str]) -> list[str]:
    profile = _profile(argv)
    known = _ARGV | ({"--profile", profile} if profile else set())
    return [item for item in argv[1:] if item not in known and not item.startswith("--profile=")]


def _remarks_on_variables(python: str, env: Mapping[str, str]) -> Iterator[str]:
    driver = env.get("PYSPARK_DRIVER_PYTHON", python)
    if driver != python:
        yield f"PYSPARK_DRIVER_PYTHON {quoted(driver)} is left out: the kernel runs argv's Python."
    tokens = shlex.split(env.get("PYSPARK_SUBMIT_ARGS", ""))
    rest = tokens[tokens.index(_SHELL) + 1 :] if _SHELL in tokens else []
    if rest:
        yield f"{quoted(shlex.join(rest))} is left out: Spark reads nothing after {_SHELL}."
