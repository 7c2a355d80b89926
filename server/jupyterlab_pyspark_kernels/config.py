"""KernelConfig, the one thing that flows from a form, a command line or a file to a kernel.

Everything else that describes a kernel's fields is derived from the model below: the schema of the
dialog and of the settings, the OpenAPI file, the command line's options, the TypeScript types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from .clusters import FORMS
from .errors import FieldError, Invalid, quoted
from .fields import (
    ArchiveDirectory,
    ConfKey,
    ConfValue,
    Count,
    DriverStart,
    EnvName,
    KernelName,
    Label,
    LabelName,
    LabelValue,
    MasterUrl,
    Memory,
    Minutes,
    Path,
    Principal,
    ProfileName,
    ProxyUser,
    QueueName,
    SecretName,
    SecretReference,
    TemplateReference,
    Value,
    label_to_name,
    wrong,
)
from .kernel.rules import looks_secret

CONF_KEYS = {
    "master": "spark.master",
    "driver_memory": "spark.driver.memory",
    "executor_memory": "spark.executor.memory",
    "executor_cores": "spark.executor.cores",
    "executor_instances": "spark.executor.instances",
    "cores_max": "spark.cores.max",
    "principal": "spark.kerberos.principal",
    "keytab": "spark.kerberos.keytab",
    "queue": "spark.yarn.queue",
}
"""The fields that are one Spark setting each, and that setting's key."""

AT_LAUNCH = "${launch."
"""Begins what the launcher fills in: in the settings and variables of `per_user`, in the proxy user
and in labels, whose values could not hold it otherwise."""

LAUNCH_FACTS = ("user", "uid", "home", "hub_user")
"""What `${launch.…}` may name: facts of whoever starts the kernel, filled in by the launcher."""

PER_USER_FIELDS = ("conf", "env")
"""The fields in which `per_user` names what the launcher fills in."""


class KernelConfig(BaseModel):
    """A PySpark kernel as its maker describes it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    template: Annotated[
        TemplateReference | None,
        Field(
            title="Template",
            description="What the administrator offers to begin with. It may fix some fields.",
            examples=["analytics"],
        ),
    ] = None
    choices: Annotated[
        list[str],
        Field(
            title="Choices",
            description="What is chosen of the template: a size, and any of its options.",
            max_length=50,
        ),
    ] = []
    display_name: Annotated[
        Label,
        Field(
            title="Name",
            description="What the launcher and the notebook call the kernel.",
            examples=["PySpark 4 GB"],
        ),
    ]
    environment: Annotated[
        Path,
        Field(
            title="Python environment",
            description="The environment that runs the notebook, and the executors where they can "
            "reach it: a virtual or conda environment, or a Python interpreter.",
            examples=["/home/me/venvs/spark"],
        ),
    ]
    master: Annotated[
        MasterUrl,
        Field(
            title="Master",
            description="Where Spark runs: " + FORMS + ".",
            examples=["local[*]"],
        ),
    ] = "local[*]"
    executor_memory: Annotated[
        Memory | None,
        Field(
            title="Executor memory",
            description="Heap of each executor, such as 4g. On local masters the driver does the "
            "work, so set the driver memory there.",
            examples=["4g"],
        ),
    ] = None
    executor_cores: Annotated[
        Count | None,
        Field(
            title="Executor cores",
            description="How many tasks each executor runs at once.",
            examples=[2],
        ),
    ] = None
    place: Annotated[
        str,
        Field(
            title="Available to",
            description="The directory the kernel is written to.",
        ),
    ] = "user"
    name: Annotated[
        KernelName,
        Field(
            title="Kernel name",
            description="The name of the kernel's directory, as programs and notebooks use it. "
            "Made from the name when left empty.",
            json_schema_extra={"advanced": True},
        ),
    ] = ""
    driver_memory: Annotated[
        Memory | None,
        Field(
            title="Driver memory",
            description="Heap of the driver, which runs beside the notebook, such as 2g.",
            examples=["2g"],
            json_schema_extra={"advanced": True},
        ),
    ] = None
    executor_instances: Annotated[
        Count | None,
        Field(
            title="Executors",
            description="How many executors to ask for. Spark's default depends on the master.",
            examples=[2],
            json_schema_extra={"advanced": True},
        ),
    ] = None
    cores_max: Annotated[
        Count | None,
        Field(
            title="Cores at most",
            description="The most cores this kernel takes of a standalone cluster. Without it the "
            "first notebook takes them all and the next one waits.",
            examples=[4],
            json_schema_extra={"advanced": True},
        ),
    ] = None
    spark_home: Annotated[
        Path | None,
        Field(
            title="Spark home",
            description="A Spark installation to use instead of the environment's own PySpark.",
            examples=["/opt/spark"],
            json_schema_extra={"advanced": True},
        ),
    ] = None
    executor_python: Annotated[
        Path | None,
        Field(
            title="Python on executors",
            description="The interpreter on the cluster's nodes, when it is not at the same path "
            "as the environment's.",
            examples=["/usr/bin/python3"],
            json_schema_extra={"advanced": True},
        ),
    ] = None
    carry: Annotated[
        bool,
        Field(
            title="Carry the environment to the executors",
            description="Packs the environment once, and every executor unpacks it: for clusters "
            "whose nodes do not have it at the same path. Local masters need none.",
            json_schema_extra={"advanced": True},
        ),
    ] = False
    carry_everything: Annotated[
        bool,
        Field(
            title="Carry also what executors do not need",
            description="Packs also the tests of packages, pip and setuptools, headers, type "
            "stubs and the jars of PySpark. Hardly any package needs them.",
            json_schema_extra={"advanced": True},
        ),
    ] = False
    archive_directory: Annotated[
        ArchiveDirectory | None,
        Field(
            title="Archive folder of the cluster",
            description="A folder of any Hadoop file system. The packed environment is put there "
            "once, and each node fetches it once instead of once for every notebook.",
            examples=["hdfs:///user/me/archives"],
            json_schema_extra={"advanced": True},
        ),
    ] = None
    idle_release_minutes: Annotated[
        Minutes | None,
        Field(
            title="Release executors when idle, after minutes",
            description="Gives the executors back to the cluster when no cell and no Spark job has "
            "run for so long. The next Spark cell gets them again; cached data is computed anew. "
            "Empty: never.",
            examples=[30],
            json_schema_extra={"advanced": True},
        ),
    ] = None
    idle_stop_minutes: Annotated[
        Minutes | None,
        Field(
            title="Stop Spark when idle, after minutes",
            description="Stops Spark when no cell and no Spark job has run for so long, and keeps "
            "the variables of Python. The next Spark cell starts it again; cached data, temporary "
            "views and old DataFrames are gone. Empty: never.",
            examples=[120],
            json_schema_extra={"advanced": True},
        ),
    ] = None
    driver_start: Annotated[
        DriverStart,
        Field(
            title="Start of the driver",
            description="How Spark's driver becomes ready sooner. auto: with an archive of Spark's "
            "classes, and on clusters with Java's quick compiler. quick: with that on local "
            "masters too, where jobs of many minutes may take longer. off: as spark-submit does.",
            json_schema_extra={"advanced": True},
        ),
    ] = "auto"
    ipython_profile: Annotated[
        ProfileName | None,
        Field(
            title="IPython profile",
            description="The IPython profile that the notebook loads.",
            json_schema_extra={"advanced": True},
        ),
    ] = None
    queue: Annotated[
        QueueName | None,
        Field(
            title="Queue",
            description="The queue of YARN that the kernel's applications are put into.",
            examples=["analytics"],
            json_schema_extra={"advanced": True, "section": "identity"},
        ),
    ] = None
    labels: Annotated[
        dict[LabelName, LabelValue],
        Field(
            title="Labels",
            description="Who pays for it, one label in a line: the name, a space, the value. YARN "
            "shows them as tags of the application, Kubernetes as labels of the pods.",
            examples=["team research"],
            max_length=50,
            json_schema_extra={"advanced": True, "section": "identity"},
        ),
    ] = {}
    proxy_user: Annotated[
        ProxyUser | None,
        Field(
            title="Proxy user",
            description="The user that Spark works as, on behalf of whoever starts the kernel. The "
            "Hadoop cluster has to allow it.",
            examples=["alice"],
            json_schema_extra={"advanced": True, "section": "identity"},
        ),
    ] = None
    principal: Annotated[
        Principal | None,
        Field(
            title="Kerberos principal",
            description="Who Spark is to Kerberos, when it takes its tickets from a keytab. "
            "Without one it uses the ticket of whoever starts the kernel.",
            examples=["me@EXAMPLE.COM"],
            json_schema_extra={"advanced": True, "section": "identity"},
        ),
    ] = None
    keytab: Annotated[
        Path | None,
        Field(
            title="Keytab",
            description="The file with the principal's key. It stays where it is, and nobody else "
            "may be able to read it.",
            examples=["/home/me/me.keytab"],
            json_schema_extra={"advanced": True, "section": "identity"},
        ),
    ] = None
    secrets: Annotated[
        dict[SecretName, SecretReference],
        Field(
            title="Secrets",
            description="Where the kernel finds each secret when it starts, one in a line: a "
            "spark.* setting or a variable, a space, and env:NAME or file:/path. The secret itself "
            "is written nowhere.",
            examples=["spark.hadoop.fs.s3a.secret.key file:/home/me/.s3-secret"],
            max_length=100,
            json_schema_extra={"advanced": True, "section": "identity"},
        ),
    ] = {}
    conf: Annotated[
        dict[ConfKey, ConfValue],
        Field(
            title="Spark settings",
            description="Any spark.* setting, one in a line: the key, a space, the value. "
            "Lines of a spark-defaults.conf can be pasted.",
            max_length=500,
            json_schema_extra={"advanced": True},
        ),
    ] = {}
    env: Annotated[
        dict[EnvName, Value],
        Field(
            title="Environment variables",
            description="Variables of the notebook's process, one in a line: NAME=value. Everybody "
            "who may use the kernel can read them, so put no passwords here.",
            max_length=200,
            json_schema_extra={"advanced": True},
        ),
    ] = {}

    per_user: Annotated[
        list[str],
        Field(
            title="Filled in for each user",
            description="Settings and variables in which ${launch.user}, ${launch.hub_user}, "
            "${launch.uid} and ${launch.home} stand for whoever starts the kernel.",
            max_length=700,
            json_schema_extra={"advanced": True},
        ),
    ] = []

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """Put every fact into its one place before it is checked there."""
        if not isinstance(data, dict):
            raise wrong("A kernel is described by a JSON object. Send one")
        given = {key: value for key, value in data.items() if value is not None}
        _check_said_once(given)
        return _with_names(_with_known_users(with_conf_in_fields(given)))

    @model_validator(mode="after")
    def _launch_facts_are_known(self) -> KernelConfig:
        for group in PER_USER_FIELDS:
            for name, value in getattr(self, group).items():
                for fact in re.findall(r"\$\{launch\.([^}]*)\}", value):
                    if name in self.per_user and fact not in LAUNCH_FACTS:
                        known = ", ".join(f"${{launch.{one}}}" for one in LAUNCH_FACTS)
                        raise wrong(
                            f"{name} has {quoted('${launch.' + fact + '}')}, which is not known of "
                            f"whoever starts a kernel. Use one of: {known}",
                            field=group,
                        )
        return self

    @model_validator(mode="after")
    def _in_order(self) -> KernelConfig:
        release, stop = self.idle_release_minutes, self.idle_stop_minutes
        if release is not None and stop is not None and stop <= release:
            raise wrong(
                f"Spark is to stop after {stop} idle minutes and executors are released after "
                f"{release}. Stop it later than that, or leave one of them out",
                field="idle_stop_minutes",
            )
        return self


def _check_said_once(data: Mapping[str, Any]) -> None:
    """Make sure that no secret is said as a setting or variable as well."""
    for field in ("conf", "env"):
        secrets, others = data.get("secrets"), data.get(field)
        if isinstance(secrets, dict) and isinstance(others, dict):
            for name in secrets.keys() & others.keys():
                raise wrong(
                    f"{name} is said here and in the field {field}. Remove it there",
                    field="secrets",
                )


def _with_names(data: dict[str, Any]) -> dict[str, Any]:
    """Derive the name from the label or the label from the name, whichever is left out."""
    name, label = data.get("name", ""), data.get("display_name")
    if name and "display_name" not in data:
        return {**data, "display_name": name}
    # Another value that is no name, such as false, is refused where names are checked.
    if name == "" and label and isinstance(label, str):
        derived = label_to_name(label)
        if not derived:
            raise wrong(
                "No kernel name can be made of this name, which has no digit and no letter a to z. "
                "Fill in the kernel name under Advanced",
                field="name",
            )
        return {**data, "name": derived}
    return data


def _with_known_users(data: dict[str, Any]) -> dict[str, Any]:
    """Drop from `per_user` what has been taken out, or is the same for everybody now."""
    groups = [group for name in PER_USER_FIELDS if isinstance(group := data.get(name), dict)]
    names = data.get("per_user")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return data
    marked = {
        name
        for group in groups
        for name, value in group.items()
        if name in names and isinstance(value, str) and AT_LAUNCH in value
    }
    return {**data, "per_user": sorted(marked)}


def with_conf_in_fields(data: dict[str, Any]) -> dict[str, Any]:
    """Move settings that have a field of their own out of `conf`."""
    conf = data.get("conf")
    if not isinstance(conf, dict):
        return data
    data, conf = dict(data), dict(conf)
    for field, key in CONF_KEYS.items():
        if key not in conf:
            continue
        value = conf.pop(key)
        if field in data and str(data[field]) != str(value):
            raise wrong(
                f"{key} is {quoted(value)} here and {quoted(data[field])} in the field {field}. "
                "Remove one of them",
                field="conf",
            )
        data.setdefault(field, value)
    if conf.pop("spark.submit.deployMode", "client") != "client":
        raise wrong(
            "spark.submit.deployMode must be client: a notebook's driver is its own kernel. "
            "Remove it",
            field="conf",
        )
    return {**data, "conf": conf}


def read_config(data: object) -> KernelConfig:
    """Check what a person or a program sent.

    Args:
        data: plain data as JSON has it.

    Raises:
        Invalid: with every field that is wrong, its value and the remedy.

    """
    try:
        return KernelConfig.model_validate(data)
    except ValidationError as error:
        raise Invalid([_explain(detail) for detail in error.errors(include_url=False)]) from None


_MESSAGES: Mapping[str, str] = {
    "missing": "{title} is missing. Give it",
    "bool_type": "{value} is neither true nor false. Send one of them",
    "string_type": "{value} is not text. Write it in quotes",
    "literal_error": "{value} is none of the choices. Use one of: {expected}",
    "list_type": "{value} is not a list. Send a list of names",
    "dict_type": "{value} is not a list of settings. Send an object of names and values",
    "too_long": "There are too many entries. Leave some out",
    "extra_forbidden": "{field} is not a field of a kernel. Use one of: {fields}",
}


def _explain(detail: ErrorDetails) -> FieldError:
    path = [str(part) for part in detail["loc"] if part != "[key]"]
    field = path[0] if path else ""
    if detail["type"] == "wrong":
        context = detail["ctx"]
        message = context["message"]
        if _is_secret(path):
            message = message.replace(quoted(detail["input"]), _NOT_QUOTED)
        return FieldError(context.get("field", field), _sentence(path, message))
    known = KernelConfig.model_fields.get(field)
    message = _MESSAGES.get(detail["type"], detail["msg"]).format(
        title=known.title if known else field,
        value=_NOT_QUOTED if _is_secret(path) else quoted(detail["input"]),
        field=quoted(field),
        expected=detail.get("ctx", {}).get("expected", ""),
        fields=", ".join(KernelConfig.model_fields),
    )
    # An unknown field is nowhere in the form, so the message alone must name it.
    return FieldError(field if known else "", _sentence(path, message))


_NOT_QUOTED = "The value"


def _is_secret(path: Sequence[str]) -> bool:
    """Tell whether what is wrong may be a secret, which no message quotes."""
    return path[:1] == ["secrets"] or (len(path) > 1 and looks_secret(path[1]))


def _sentence(path: list[str], message: str) -> str:
    inner = f"{path[1]}: " if len(path) > 1 and path[1] not in message else ""
    return f"{inner}{message}."
