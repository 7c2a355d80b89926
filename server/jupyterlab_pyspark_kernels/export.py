"""A kernel as text for others: a kernel file, a spark-submit line, a spark-defaults.conf.

Exported text is sent around, so the values of what looks like a secret are left out, and it is said
which.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, get_args

from .clusters import parse_master
from .config import KernelConfig
from .errors import Invalid, quoted
from .kernel.rules import holds_secret
from .models import Export, ExportFormat, Remark
from .render import (
    FOR_THE_LAUNCHER,
    Carried,
    environment_variables,
    filled_in_at_launch,
    interpreter,
    settings,
    submit_args,
)
from .secrecy import GROUPS
from .submit import SHELL

FILE_KEY = "pyspark_kernel"
"""Marks a kernel file, and tells its version."""

FILE_VERSION = 1
LEFT_OUT = "left_out"
"""Where a kernel file says which settings and variables it lacks."""


def export(config: KernelConfig, carried: Carried | None, form: str) -> Export:
    """Give a kernel as text.

    Args:
        config: the kernel.
        carried: the archive that its executors unpack, if any.
        form: the format.

    Raises:
        Invalid: when there is no such format.

    """
    if form not in _WRITERS:
        known = ", ".join(get_args(ExportFormat))
        raise Invalid.at("", f"There is no format {quoted(form)}. Use one of: {known}.")
    public, secrets = _without_secrets(config)
    filename, text, remarks = _WRITERS[form](public, carried, secrets)
    told = [
        Remark(
            field=field,
            message=f"{name} looks like a secret, so it was left out. Whoever uses the text sets "
            "it anew.",
        )
        for field, names in secrets.items()
        for name in names
    ]
    if form != "kernel":
        told += _only_in_kernels(config)
    return Export(format=form, filename=filename, text=text, remarks=[*told, *remarks])


def _only_in_kernels(config: KernelConfig) -> Iterator[Remark]:
    """Say what nobody but a kernel's launcher does."""
    if config.secrets:
        names = ", ".join(config.secrets)
        message = f"Only a kernel finds its secrets by itself. Set them anew: {names}."
        yield Remark(field="secrets", message=message)
    if names := ", ".join(filled_in_at_launch(config)):
        message = (
            f"Only a kernel fills in ${{launch.…}} by itself. Write what is meant in: {names}."
        )
        yield Remark(field="per_user", message=message)
    for field in ("idle_release_minutes", "idle_stop_minutes"):
        if getattr(config, field) is not None:
            yield Remark(field=field, message="Only a kernel gives back what it does not use.")
    if config.driver_start == "quick":
        yield Remark(field="driver_start", message="Only a kernel starts its driver quickly.")


_Secrets = Mapping[str, list[str]]
"""The names of what was left out, by the field that they belong to."""


def _without_secrets(config: KernelConfig) -> tuple[KernelConfig, _Secrets]:
    fields = {field: getattr(config, field) for field in GROUPS}
    secrets = {
        field: [name for name, value in values.items() if holds_secret(name, value)]
        for field, values in fields.items()
    }
    kept = {
        field: {name: value for name, value in values.items() if name not in secrets[field]}
        for field, values in fields.items()
    }
    return config.model_copy(update=kept), secrets


def _kernel_file(
    config: KernelConfig, carried: Carried | None, secrets: _Secrets
) -> tuple[str, str, list[Remark]]:
    content: dict[str, Any] = {
        FILE_KEY: FILE_VERSION,
        "config": config.model_dump(exclude={"place"}, exclude_none=True),
    }
    if any(secrets.values()):
        content[LEFT_OUT] = {field: names for field, names in secrets.items() if names}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{config.name}.pyspark-kernel.json", f"{text}\n", []


def _submit_line(
    config: KernelConfig, carried: Carried | None, secrets: _Secrets
) -> tuple[str, str, list[Remark]]:
    arguments = shlex.split(submit_args(config, carried))
    if arguments.pop() != SHELL:
        raise AssertionError("the program comes last")
    pairs = [shlex.join(arguments[at : at + 2]) for at in range(0, len(arguments), 2)]
    lines = [*_assignments(config, carried), shlex.quote(_program(config)), *pairs]
    text = "".join(f"{line}\n" for line in _comments(secrets)) + " \\\n  ".join(lines) + "\n"
    remark = Remark(field="", message="Append the program to run, and its arguments.")
    return f"{config.name}.sh", text, [remark]


def _defaults_file(
    config: KernelConfig, carried: Carried | None, secrets: _Secrets
) -> tuple[str, str, list[Remark]]:
    option = parse_master(config.master).option
    values = {f"spark.{option.removeprefix('--')}": config.master, **settings(config, carried)}
    lines = [f"# export {line}" for line in _assignments(config, carried)]
    lines += [*_comments(secrets), *(f"{key} {_escaped(value)}" for key, value in values.items())]
    remark = Remark(
        field="env",
        message="Such a file has no environment variables. They stand in its comments, as a "
        "spark-env.sh takes them.",
    )
    remarks = [remark]
    if config.proxy_user is not None:
        message = "Such a file has no proxy user. Give it to spark-submit, as --proxy-user."
        remarks.append(Remark(field="proxy_user", message=message))
    return "spark-defaults.conf", "".join(f"{line}\n" for line in lines), remarks


_WRITERS: Mapping[
    str,
    Callable[[KernelConfig, Carried | None, _Secrets], tuple[str, str, list[Remark]]],
] = {"kernel": _kernel_file, "spark-submit": _submit_line, "spark-defaults": _defaults_file}


def _comments(secrets: _Secrets) -> Iterator[str]:
    for names in secrets.values():
        for name in names:
            yield f"# {name} looks like a secret, so it was left out."


def _assignments(config: KernelConfig, carried: Carried | None) -> list[str]:
    """Give the kernel's variables as a shell assigns them."""
    variables = environment_variables(config, carried)
    return [
        f"{name}={shlex.quote(value)}"
        for name, value in variables.items()
        # An empty SPARK_HOME stays: the shell's own must not slip in.
        if name not in {"PYSPARK_SUBMIT_ARGS", *FOR_THE_LAUNCHER}
    ]


def _program(config: KernelConfig) -> str:
    """Give the spark-submit of the kernel's own Spark."""
    if config.spark_home is not None:
        return f"{config.spark_home}/bin/spark-submit"
    return str(PurePosixPath(interpreter(config.environment)).parent / "spark-submit")


def _escaped(value: str) -> str:
    """Write a value as `java.util.Properties` reads it, which Spark does in UTF-8."""
    value = value.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")
    # What stands before the value is skipped: blanks, and one `=` or `:`. The blank that we write
    # ends the key, so either would be taken for the rest of that.
    return re.sub(r"^(?=[\s=:])", r"\\", value)
