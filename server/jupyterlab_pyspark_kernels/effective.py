"""A kernel's effective configuration: every setting, its value, and where that comes from.

All is pure but for `defaults_path`, `site_settings` and `read_defaults`.

From the strongest to the weakest, as `SparkSubmitArguments` of Spark's sources has them: the
kernel's own settings, spark-defaults.conf, a few variables, what PySpark sets, Spark's defaults.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from .advice import on_settings
from .catalogue import Catalogue, Spark
from .clusters import Connect, parse_master
from .config import CONF_KEYS, KernelConfig
from .fields import template_name
from .files import read_small
from .identity import labels_as_settings
from .kernel.rules import holds_secret, looks_secret
from .models import Remark
from .render import Carried, settings
from .secrecy import HIDDEN

Origin: TypeAlias = Literal[
    "form", "template", "launcher", "spark-defaults.conf", "environment", "spark"
]

_FILE = "spark-defaults.conf"
_APP_NAME = "spark.app.name"

_VARIABLES = {
    "SPARK_DRIVER_MEMORY": "spark.driver.memory",
    "SPARK_EXECUTOR_MEMORY": "spark.executor.memory",
    "SPARK_EXECUTOR_CORES": "spark.executor.cores",
}
"""Variables that stand for a setting which nothing else sets (`SparkSubmitArguments`)."""

_SUBMIT = {"spark.submit.deployMode": "client", "spark.submit.pyFiles": ""}
"""What spark-submit sets for a notebook's driver."""


@dataclass(frozen=True)
class Defaults:
    """What a spark-defaults.conf says.

    Attributes:
        path: the file.
        settings: its `spark.*` settings.
        remarks: what is to be said of it.

    """

    path: str
    settings: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


class Said(BaseModel):
    """A value, and who says it."""

    model_config = ConfigDict(frozen=True)

    value: str
    origin: Origin
    place: str = Field(description="Where exactly, as a person would say it.")


class EffectiveRow(Said):
    """A setting, and its value that counts."""

    key: str
    overridden: list[Said] = Field(description="What does not count, the strongest first.")
    default: str | None = Field(description="Spark's own; null when it has none or was not asked.")
    help: str | None = Field(description="What Spark says of it.")


class Effective(BaseModel):
    """A kernel's effective configuration."""

    model_config = ConfigDict(frozen=True)

    spark_version: str | None = Field(description="Null when the Spark was not asked yet.")
    rows: list[EffectiveRow] = Field(description="By their keys.")
    remarks: list[Remark]


def effective(
    config: KernelConfig,
    defaults: Defaults | None = None,
    catalogue: Catalogue | None = None,
    *,
    carried: Carried | None = None,
    by_template: Collection[str] = (),
    variables: Mapping[str, str] | None = None,
    everything: bool = False,
) -> Effective:
    """Give a kernel's effective configuration.

    Args:
        config: the kernel.
        defaults: what its spark-defaults.conf says; `None` when there is none.
        catalogue: what its Spark knows; `None` when it was not asked.
        carried: the packed environment, for a kernel that carries it.
        by_template: the fields and settings whose values are those of the kernel's template.
        variables: the server's own, which the kernel gets unless it sets them.
        everything: whether to list also what only Spark's default sets.

    """
    remarks = [
        Remark(field="", message=remark) for remark in (defaults.remarks if defaults else ())
    ]
    if isinstance(parse_master(config.master), Connect):
        remarks = [Remark(field="master", message=_ON_CONNECT)]
        said = list(_on_connect(config, by_template))
    else:
        said = list(_said(config, defaults, catalogue, carried, by_template, variables or {}))
        if defaults is not None and catalogue is not None:
            remarks += [
                Remark(field="", message=f"{defaults.path}: {message}")
                for message in on_settings(defaults.settings, catalogue)
            ]
    found: dict[str, list[Said]] = {}
    for key, one in said:
        found.setdefault(key, []).append(one)
    if everything and catalogue is not None:
        for setting in catalogue.settings:
            if setting.default is not None:
                one = Said(value=setting.default, origin="spark", place="Spark's default")
                found.setdefault(setting.key, [one])
    return Effective(
        spark_version=catalogue and catalogue.spark_version,
        rows=[_row(key, found[key], catalogue) for key in sorted(found)],
        remarks=remarks,
    )


_ON_CONNECT = (
    "With Spark Connect the server's own configuration counts. Of this kernel's settings only "
    "those that begin with spark.sql. reach it."
)


def _row(key: str, said: list[Said], catalogue: Catalogue | None) -> EffectiveRow:
    first, *others = said
    setting = catalogue.by_key.get(key) if catalogue else None
    return EffectiveRow(
        key=key,
        **first.model_dump(),
        overridden=others,
        default=setting and setting.default,
        help=(setting and setting.help) or None,
    )


def _on_connect(config: KernelConfig, by_template: Collection[str]) -> Iterator[tuple[str, Said]]:
    yield "spark.remote", _by_maker(config, "master", config.master, by_template)
    for key, value in config.conf.items():
        if key.startswith("spark.sql."):
            yield key, _by_maker(config, key, value, by_template)


def _said(
    config: KernelConfig,
    defaults: Defaults | None,
    catalogue: Catalogue | None,
    carried: Carried | None,
    by_template: Collection[str],
    variables: Mapping[str, str],
) -> Iterator[tuple[str, Said]]:
    """Give all that is said of settings, the strongest first."""
    yield from _by_kernel(config, carried, by_template)
    if defaults is not None:
        for key, value in defaults.settings.items():
            shown = HIDDEN if looks_secret(key) or holds_secret(key, value) else value
            yield key, Said(value=shown, origin=_FILE, place=defaults.path)
    for variable, key in _VARIABLES.items():
        mine, others = config.env.get(variable), variables.get(variable)
        if mine:
            place = f"{variable} in {KernelConfig.model_fields['env'].title}"
            yield key, Said(value=mine, origin="form", place=place)
        elif mine is None and others:
            place = f"{variable} of the Jupyter server"
            yield key, Said(value=others, origin="environment", place=place)
    for key, preset in {**_SUBMIT, **(catalogue.pyspark if catalogue else {})}.items():
        yield key, Said(value=preset, origin="spark", place="PySpark sets it")


def _by_kernel(
    config: KernelConfig, carried: Carried | None, by_template: Collection[str]
) -> Iterator[tuple[str, Said]]:
    """Give what the kernel itself says, the strongest first."""
    with_archive, without = settings(config, carried), settings(config)
    for key, value in with_archive.items():
        if value != without.get(key):
            place = "the packed environment"
            yield key, Said(value=value, origin="launcher", place=place)
    for key, reference in config.secrets.items():
        if key.startswith("spark."):
            yield key, _by_maker(config, "secrets", reference, by_template)
    for key, value in labels_as_settings(config).items():
        yield key, _by_maker(config, "labels", value, by_template)
    for key, value in config.conf.items():
        shown = HIDDEN if holds_secret(key, value) else value
        yield key, _by_maker(config, key, shown, by_template)
    for name, key in CONF_KEYS.items():
        if (amount := getattr(config, name)) is not None:
            yield key, _by_maker(config, name, str(amount), by_template)
    yield _APP_NAME, _by_maker(config, "display_name", config.display_name, by_template)
    for key, value in settings(config.model_copy(update={"conf": {}, "labels": {}})).items():
        if key not in (_APP_NAME, *CONF_KEYS.values()):
            place = "so that equal text hashes equally in the driver and in every executor"
            yield key, Said(value=value, origin="launcher", place=place)


def _by_maker(config: KernelConfig, setting: str, value: str, by_template: Collection[str]) -> Said:
    """Give a value that whoever made the kernel chose, or the template that they chose."""
    if setting in by_template:
        place = f"the template {template_name(config.template or '')}"
        return Said(value=value, origin="template", place=place)
    field = setting if setting in KernelConfig.model_fields else "conf"
    return Said(value=value, origin="form", place=str(KernelConfig.model_fields[field].title))


# --- spark-defaults.conf -----------------------------------------------------------------------


def defaults_path(config: KernelConfig, variables: Mapping[str, str]) -> str | None:
    """Give where a kernel's Spark looks for spark-defaults.conf; `None` when it has no Spark."""
    folder = config.env.get("SPARK_CONF_DIR", variables.get("SPARK_CONF_DIR"))
    if not folder:
        root = Spark(config.environment, config.spark_home).root
        folder = None if root is None else f"{root}/conf"
    return None if folder is None else os.path.join(folder, _FILE)


def site_settings(config: KernelConfig, variables: Mapping[str, str]) -> Mapping[str, str]:
    """Give the `spark.*` settings of the spark-defaults.conf that a kernel's Spark reads."""
    path = defaults_path(config, variables)
    found = None if path is None else read_defaults(path)
    return {} if found is None else found.settings


def read_defaults(path: str) -> Defaults | None:
    """Read a spark-defaults.conf; `None` when there is none, and nothing to say."""
    remarks = []
    script = os.path.join(os.path.dirname(path), "spark-env.sh")
    if os.path.exists(script):
        remarks.append(f"{script} runs when Spark starts, and may set more than is shown here.")
    if not os.path.isabs(path):
        remarks.append(f"{path} is looked for in each notebook's folder, so it is not read here.")
        return Defaults(path, remarks=tuple(remarks))
    try:
        text = read_small(Path(path)).decode("utf-8", "replace")
    except FileNotFoundError:
        return Defaults(path, remarks=tuple(remarks)) if remarks else None
    except (OSError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        return Defaults(path, remarks=(*remarks, f"{path} cannot be read: {why}."))
    found = properties(text)
    settings = {key: value for key, value in found.items() if key.startswith("spark.")}
    if others := [key for key in found if key not in settings]:
        shown = ", ".join(others[:3])
        remarks.append(f"{path}: Spark ignores what does not begin with “spark.”, such as {shown}.")
    return Defaults(path, settings, tuple(remarks))


_BLANK = " \t\f"
_KEY = re.compile(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(u([0-9A-Fa-f]{4})|.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_TRIMMED = "".join(map(chr, range(0x21))).replace("\r", "").replace("\n", "")


def properties(text: str) -> dict[str, str]:
    """Read Java properties as Spark does: `java.util.Properties.load`, then the values trimmed."""
    found = {}
    for line in _logical_lines(text):
        match = _KEY.fullmatch(line)
        if match is not None:
            found[_unescaped(match[1])] = _unescaped(match[2]).strip(_TRIMMED)
    return found


def _logical_lines(text: str) -> Iterator[str]:
    """Join the lines that go on behind a backslash; leave out comments and empty ones."""
    joined = ""
    for line in re.split("\r\n|\r|\n", text):
        line = line.lstrip(_BLANK)
        if not joined and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            joined += line[:-1]
            continue
        yield joined + line
        joined = ""
    if joined:
        yield joined


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(
        lambda found: chr(int(found[2], 16)) if found[2] else _ESCAPES.get(found[1], found[1]), text
    )
