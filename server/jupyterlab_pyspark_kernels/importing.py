"""What a pasted text says of a kernel: a spark-submit line, a kernel.json or a kernel file.

Nothing is run, opened or filled in. What cannot be taken over is told in a remark, so that a person
knows what the draft lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from . import shellwords
from .config import CONF_KEYS, KernelConfig, read_config
from .errors import FieldError, Invalid, TooLarge, quoted
from .export import FILE_KEY, FILE_VERSION, LEFT_OUT
from .jsontext import parse_json
from .kernel.rules import holds_secret
from .models import Import, Remark
from .render import HASH_SEED, LAUNCHER, UNPACKED, NotReadable, is_ours, read, read_by_hand
from .secrecy import GROUPS
from .submit import SHELL, Submission, parse

MAX_TEXT = 256 * 1024
"""Characters of a text."""

_PROGRAMS = re.compile(r"(spark|pyspark)[0-9]?(-submit|-shell|-sql)?(\.sh|\.cmd)?|sparkR")
_BEFORE = {"$", "export", "env", "exec", "nohup", "time"}
"""What may stand before the program and changes nothing about it."""

_PYTHON = re.compile(r"python[0-9.]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_NOT_TAKEN = {
    "--properties-file": "It is not read. Paste its lines into the Spark settings.",
    "--class": "A notebook is the program by itself.",
    "--driver-cores": "It is for drivers on the cluster; a notebook's driver is its own kernel.",
    "--supervise": "It is for drivers on the cluster; a notebook's driver is its own kernel.",
}
_ONLY_PRINTS = {"--verbose", "-v"}
_FILES = ("spark.jars", "spark.submit.pyFiles", "spark.files", "spark.archives")
_ARCHIVES = ("spark.archives", "spark.yarn.dist.archives")
_IN_CLUSTER = "spark.submit.deployMode"


def import_text(text: str) -> Import:
    """Read what a text says of a kernel.

    Raises:
        Invalid: when it is none of the three kinds, or is broken.
        TooLarge: when it is longer than any of them.

    """
    if len(text) > MAX_TEXT:
        raise TooLarge.at("", f"The text is longer than {MAX_TEXT // 1024} KiB. Paste less.")
    if "\0" in text:
        raise Invalid.at("", "The text holds a NUL, so it is no text. Paste another one.")
    stripped = text.strip()
    if not stripped:
        raise Invalid.at("", "The text is empty. Paste a spark-submit line or a kernel.json.")
    try:
        data, remarks = _read_json(text) if stripped.startswith("{") else _read_line(text)
        return check_draft(data, remarks)
    except UnicodeEncodeError:
        raise Invalid.at("", "The text holds half a character. Paste it anew.") from None


# --- kernel.json and kernel file ----------------------------------------------------------------


def _read_json(text: str) -> tuple[dict[str, Any], list[Remark]]:
    spec = parse_json(text.encode(), "The text")
    if FILE_KEY in spec:
        return _read_file(spec)
    try:
        if is_ours(spec):
            return dict(read(spec)), []
        return _read_by_hand(spec)
    except NotReadable as error:
        raise Invalid.at(
            "", f"The text is no kernel.json of PySpark: {error}. Paste another one."
        ) from None


def _read_file(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[Remark]]:
    version, config = content[FILE_KEY], content.get("config")
    if version != FILE_VERSION or isinstance(version, bool) or not isinstance(config, dict):
        raise Invalid.at(
            "",
            f"The kernel file has version {quoted(version)} or no config. Export the kernel anew, "
            f"as version {FILE_VERSION}.",
        )
    left_out = content.get(LEFT_OUT)
    remarks = [
        Remark(
            field=field,
            message=f"{quoted(name)} looked like a secret and was left out of the file. Set it "
            "anew.",
        )
        for field, names in (left_out.items() if isinstance(left_out, dict) else ())
        if field in GROUPS and isinstance(names, list)
        for name in names
    ]
    return {field: value for field, value in config.items() if field != "place"}, remarks


def _read_by_hand(spec: Mapping[str, Any]) -> tuple[dict[str, Any], list[Remark]]:
    data, submission = read_by_hand(spec)
    remarks = [
        Remark(
            field="env",
            message=f"{quoted(name)} holds {quoted(found[0])}, which Jupyter would fill in. It "
            "stays as it is here.",
        )
        for name, value in spec["env"].items()
        if (found := re.search(r"\$(?:[A-Za-z_]\w*|\{[^}]*\})", value.replace("$$", "")))
    ]
    remarks += [
        Remark(field="env", message=f"{name} was left out: a kernel from here finds PySpark alone.")
        for name in ("PYTHONPATH", "PYTHONSTARTUP")
        if name in spec["env"]
    ]
    remarks += [
        Remark(field="", message=f"The argument {quoted(argument)} was left out.")
        for argument in _unknown_arguments(spec["argv"])
    ]
    fields, told = _from_submission(submission)
    conf = fields.pop("conf")
    data.pop("conf", None)
    data["env"] = _without_hash_seed(data.get("env", {}))
    _name_environment(data, data.pop("environment"), remarks)
    return {**fields, **data, "conf": conf}, [*remarks, *told]


def _unknown_arguments(argv: list[str]) -> Iterator[str]:
    words = iter(argv[1:])
    for word in words:
        if word in ("-m", "-f"):
            # ipykernel or one of its old names, and {connection_file}.
            next(words, "")
        elif word != f"{{resource_dir}}/{LAUNCHER}" and not word.startswith(("--profile=", "-f=")):
            yield word


# --- a command line -----------------------------------------------------------------------------


def _read_line(text: str) -> tuple[dict[str, Any], list[Remark]]:
    try:
        words = shellwords.split(text)
    except ValueError as error:
        raise Invalid.at("", f"The command cannot be split: {error}. Close it.") from None
    remarks = []
    variables, rest = _split_off_variables(words)
    end = next((at for at, word in enumerate(rest) if word.operator), len(rest))
    if end < len(rest):
        what = " ".join(word.text for word in rest[end:])
        remarks.append(
            Remark(field="", message=f"What follows the command was left out: {quoted(what)}.")
        )
    arguments = rest[:end]
    remarks += [
        Remark(
            field="",
            message=f"A shell would fill in something in {quoted(word.text)}. Here it stays as it "
            "is.",
        )
        for word in (*variables, *arguments)
        if word.filled_in
    ]
    fields, told = _from_submission(parse(word.text for word in arguments))
    env = dict(word.text.split("=", 1) for word in variables)
    data, more = _from_variables(env)
    remarks += [*told, *more]
    return {**fields, **data, "conf": fields["conf"]}, remarks


def _split_off_variables(
    words: list[shellwords.Word],
) -> tuple[list[shellwords.Word], list[shellwords.Word]]:
    """Give the assignments before the program, and the words after it."""
    variables = []
    for at, word in enumerate(words):
        if word.operator or word.text in _BEFORE:
            continue
        if _ASSIGNMENT.fullmatch(word.text):
            variables.append(word)
        elif _PROGRAMS.fullmatch(PurePosixPath(word.text).name):
            return variables, words[at + 1 :]
        elif word.text.startswith("-") and not variables:
            # What stands in PYSPARK_SUBMIT_ARGS.
            return variables, words[at:]
        else:
            break
    raise Invalid.at(
        "",
        "The text is neither a spark-submit line nor a kernel.json nor a kernel file. Paste one of "
        "them.",
    )


def _from_variables(env: dict[str, str]) -> tuple[dict[str, Any], list[Remark]]:
    """Read the variables that a kernel's fields stand for; the others stay variables."""
    remarks: list[Remark] = []
    data: dict[str, Any] = {}
    driver, executors = env.pop("PYSPARK_DRIVER_PYTHON", ""), env.pop("PYSPARK_PYTHON", "")
    if driver and executors and executors != driver:
        data["executor_python"] = executors
    if driver or executors:
        _name_environment(data, driver or executors, remarks)
    if spark_home := env.pop("SPARK_HOME", "").rstrip("/"):
        data["spark_home"] = spark_home
    data["env"] = _without_hash_seed(env)
    return data, remarks


def _without_hash_seed(env: Mapping[str, str]) -> dict[str, str]:
    """Take out what every kernel from here has."""
    return {name: value for name, value in env.items() if (name, value) != (HASH_SEED, "0")}


# --- what they have in common -------------------------------------------------------------------


def _from_submission(submission: Submission) -> tuple[dict[str, Any], list[Remark]]:
    """Read the arguments of spark-submit as fields, `conf` among them."""
    remarks = [
        Remark(field="", message=f"{_written(option, value)} was left out. {why}".rstrip())
        for option, value in submission.others
        if option not in _ONLY_PRINTS
        for why in [_NOT_TAKEN.get(option, "It is not known here.")]
    ]
    if submission.program and submission.program != [SHELL]:
        program = " ".join(word for word in submission.program if word != SHELL)
        remarks.append(
            Remark(
                field="",
                message=f"The program was left out, as a notebook is one: {quoted(program)}.",
            )
        )
    conf = dict(submission.conf)
    fields: dict[str, Any] = {"conf": conf, "proxy_user": submission.proxy_user}
    if conf.pop(_IN_CLUSTER, "client") != "client":
        remarks.append(
            Remark(
                field="conf",
                message="The deploy mode cluster was left out: a notebook's driver is its own "
                "kernel.",
            )
        )
    old = re.fullmatch("yarn-(client|cluster)", conf.get("spark.master", ""))
    if old is not None:
        conf["spark.master"] = "yarn"
    for key, field in _FIELDS_OF_CONF.items():
        if key in conf:
            fields[field] = conf.pop(key)
    if conf.get(f"spark.executorEnv.{HASH_SEED}") == "0":
        del conf[f"spark.executorEnv.{HASH_SEED}"]
    remarks += _without_our_archive(conf)
    remarks += _on_relative_files(conf)
    return fields, remarks


_FIELDS_OF_CONF = {
    **{key: field for field, key in CONF_KEYS.items()},
    "spark.app.name": "display_name",
    "spark.remote": "master",
    "spark.pyspark.python": "executor_python",
    "spark.pyspark.driver.python": "environment",
}
"""Settings that a kernel has fields for."""


def _without_our_archive(conf: dict[str, str]) -> list[Remark]:
    """Take out the archive of a carried environment, which the new kernel packs by itself."""
    remarks = []
    for key in _ARCHIVES:
        entries = conf.get(key, "").split(",")
        kept = [entry for entry in entries if not entry.endswith(f"#{UNPACKED}")]
        if len(kept) == len(entries):
            continue
        conf[key] = ",".join(kept)
        if not kept:
            del conf[key]
        remarks.append(
            Remark(
                field="carry",
                message=f"The archive that was unpacked as #{UNPACKED} was left out. A kernel that "
                "carries its environment packs it anew.",
            )
        )
    return remarks


def _on_relative_files(conf: Mapping[str, str]) -> Iterator[Remark]:
    for key in _FILES:
        for entry in filter(None, conf.get(key, "").split(",")):
            if not entry.startswith("/") and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", entry):
                yield Remark(
                    field="conf",
                    message=f"{key} names {quoted(entry)}, which is looked for in the folder of "
                    "the notebook. Write its path from the root.",
                )


def _name_environment(data: dict[str, Any], python: str, remarks: list[Remark]) -> None:
    if data.get("executor_python") == f"./{UNPACKED}/bin/python":
        del data["executor_python"]
        data["carry"] = True
    if _PYTHON.fullmatch(PurePosixPath(python).name) and python.startswith("/"):
        data["environment"] = _prefix(python)
        return
    remarks.append(
        Remark(
            field="environment",
            message=f"{quoted(python)} is not the path of a Python. Choose the environment.",
        )
    )


def _prefix(python: str) -> str:
    """Give the environment of an interpreter as a person names it."""
    path = PurePosixPath(python)
    is_own = path.name == "python" and path.parent.name == "bin"
    return str(path.parent.parent) if is_own and str(path.parent.parent) != "/" else python


def _written(option: str, value: str | None) -> str:
    return quoted(option if value is None else f"{option} {value}")


# --- checking -----------------------------------------------------------------------------------

_PLACEHOLDERS = {"display_name": "k", "environment": "/", "name": "k"}


def check_draft(data: Mapping[str, Any], remarks: Sequence[Remark]) -> Import:
    """Give what of a draft is right; what is not becomes remarks, besides those there are."""
    data = {field: value for field, value in data.items() if value not in (None, "")}
    data, wrong = _with_references(data)
    while True:
        missing = {field: text for field, text in _PLACEHOLDERS.items() if field not in data}
        try:
            config = read_config({**missing, **data})
        except Invalid as error:
            wrong += [Remark(field=item.field, message=item.message) for item in error.errors]
            data = _without(data, error.errors)
            continue
        given = config.model_dump(exclude_unset=True, exclude_none=True)
        told = {field: value for field, value in given.items() if field not in missing}
        filled = {field: value for field, value in told.items() if value != {}}
        return Import(config=filled, remarks=[*remarks, *wrong])


def _with_references(data: dict[str, Any]) -> tuple[dict[str, Any], list[Remark]]:
    """Take the secrets out of settings and variables, and ask for them by reference.

    A value that is a reference already, as people may write one there, becomes one.
    """
    remarks: list[Remark] = []
    references: dict[str, Any] = {}
    kept = dict(data)
    for field in GROUPS:
        values = data.get(field)
        if not isinstance(values, dict):
            continue
        secrets = {
            name: value
            for name, value in values.items()
            if isinstance(value, str) and holds_secret(name, value)
        }
        kept[field] = {name: value for name, value in values.items() if name not in secrets}
        for name, value in secrets.items():
            if re.match(r"env:|file:/", value):
                references[name] = value
                continue
            remarks.append(
                Remark(
                    field="secrets",
                    message=f"{name} looks like a secret, so its value was left out. Say under "
                    f"Secrets where it is found: {name} env:NAME, or file:/path.",
                )
            )
    given = data.get("secrets", {})
    if references and isinstance(given, dict):
        kept["secrets"] = {**references, **given}
    return kept, remarks


def _without(data: dict[str, Any], errors: list[FieldError]) -> dict[str, Any]:
    """Take out what is wrong, and of settings and variables only the wrong ones."""
    fields = {error.field for error in errors}
    kept = {field: value for field, value in data.items() if field not in fields}
    for field in fields & {*GROUPS, "secrets", "labels"}:
        values = data.get(field)
        if isinstance(values, dict):
            kept[field] = {
                key: value for key, value in values.items() if _is_right(field, key, value)
            }
            if kept[field] == values:
                # Together they are wrong, such as too many.
                del kept[field]
    unknown = data.keys() - KernelConfig.model_fields.keys()
    kept = {field: value for field, value in kept.items() if field not in unknown}
    if len(kept) == len(data) and kept == data:
        raise Invalid(errors)
    return kept


def _is_right(field: str, key: str, value: object) -> bool:
    try:
        read_config({**_PLACEHOLDERS, field: {key: value}})
    except Invalid:
        return False
    return True
