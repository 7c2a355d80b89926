"""The types of KernelConfig's fields: what each one accepts, and what it says otherwise."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from .clusters import parse_master
from .errors import quoted
from .memory import SPARK_MINIMUM, parse_memory

NAME_PATTERN = "^[a-z0-9][a-z0-9._-]{0,62}$"
"""Names of kernels. Jupyter's own rule also takes `..`, a leading dash and a trailing newline, and
it folds case, so that two names which differ in case hide each other."""

TEMPLATE_PATTERN = "^([a-z0-9][a-z0-9._-]{0,62})(@[0-9a-f]{12})?$"
"""The name of a template, and the digest of the version that a kernel was made with."""

MAX_LABEL = 100
"""Characters of a display name; an unbroken label of 10 KB makes the launcher take 17 s."""

MAX_VALUE = 10_000
"""Characters of any other single value."""

MAX_COUNT = 100_000
"""Cores or executors of one kernel; more is a slip of the keyboard."""

MAX_MINUTES = 7 * 24 * 60
"""A week: whoever leaves a kernel alone for longer has forgotten it."""

_MANAGED_CONF = {
    "spark.remote": "Use the field master",
    "spark.pyspark.python": "Use the field executor_python",
    "spark.pyspark.driver.python": "Use the field environment",
}
_MANAGED_ENV = {
    "PYSPARK_SUBMIT_ARGS": "Use the fields for master, memory, cores and conf",
    "PYSPARK_PYTHON": "Use the field executor_python",
    "PYSPARK_DRIVER_PYTHON": "Use the field environment",
    "SPARK_HOME": "Use the field spark_home",
    "SPARK_REMOTE": "Use the field master",
    "SPARK_CONNECT_MODE": "Use the field master",
    "PYSPARK_KERNELS_PER_USER": "Use the field per_user",
    "PYSPARK_KERNELS_IDLE": "Use the fields idle_release_minutes and idle_stop_minutes",
    "PYSPARK_KERNELS_DRIVER_START": "Use the field driver_start",
    "PYSPARK_KERNELS_CLASS_ARCHIVES": "It is set for the server, so remove it",
    "PYSPARK_KERNELS_TEMPLATE_ADMINISTRATORS": "It is set for the server, so remove it",
    "PYSPARK_KERNELS_SECRETS": "Use the field secrets",
    "PYSPARK_GATEWAY_PORT": "Spark is started by the kernel itself, so remove it",
    "PYSPARK_GATEWAY_SECRET": "Spark is started by the kernel itself, so remove it",
}


def wrong(message: str, **context: str) -> PydanticCustomError:
    """Make the error of a field; `field` in the context says that it belongs to another one."""
    return PydanticCustomError("wrong", "{message}", {"message": message, **context})


def _is_hidden(character: str) -> bool:
    # Control, format (zero-width, bidirectional), half a surrogate pair; line separators.
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _plain(text: str) -> str:
    for character in text:
        if _is_hidden(character):
            raise wrong(
                f"{quoted(text)} holds the invisible character U+{ord(character):04X}. Remove it"
            )
    return text


def _name(text: str) -> str:
    if re.fullmatch(NAME_PATTERN.strip("^$"), text) is None:
        raise wrong(
            f"{quoted(text)} is not a kernel name. Use 1 to 63 lower case letters, digits, dots, "
            "dashes and underscores, beginning with a letter or digit"
        )
    return text


def _label(text: str) -> str:
    if not text.strip():
        raise wrong("The display name is empty. Give the name that the launcher shows")
    if text != text.strip():
        raise wrong(f"{quoted(text)} begins or ends with a space. Remove it")
    if len(text) > MAX_LABEL:
        raise wrong(
            f"{quoted(text)} has {len(text)} characters. Use at most {MAX_LABEL}, "
            "so that the launcher can show it"
        )
    return _plain(text)


def _value(text: str) -> str:
    if len(text) > MAX_VALUE:
        raise wrong(f"The value has {len(text)} characters. Use at most {MAX_VALUE}")
    return _plain(text)


def _conf_value(text: str) -> str:
    # Spark would keep the blank that a person did not see: `local[2] ` is no master.
    if text != text.strip():
        raise wrong(f"{quoted(text)} begins or ends with a space. Remove it")
    return _value(text)


def _path(text: str) -> str:
    if not text.startswith(("/", "~/")):
        raise wrong(
            f"{quoted(text)} is not an absolute path. Write it from the root, such as /opt/spark"
        )
    if ".." in text.split("/"):
        raise wrong(f"{quoted(text)} goes through “..”. Write the directory that is meant")
    if "{" in text or "}" in text:
        # Jupyter replaces {connection_file} and the like in a kernel's arguments, with no escape.
        raise wrong(f"{quoted(text)} holds a brace, which Jupyter cannot start. Rename the folder")
    return _value(text)


def _archive_directory(text: str) -> str:
    if re.fullmatch(r"[a-z][a-z0-9+.-]*://[^#?\s]*", text, re.ASCII) is None:
        raise wrong(
            f"{quoted(text)} is not a folder of a Hadoop file system. Write its URI, such as "
            "hdfs:///user/me/archives"
        )
    if (found := re.search(r"[,*\[\]{}]", text)) is not None:
        raise wrong(
            f"{quoted(text)} holds “{found[0]}”, which Spark takes for more than one path. Choose "
            "another folder"
        )
    if re.match(r"[^/]+//[^/@]*:[^/@]*@", text):
        raise wrong(
            "The URI holds a password, which everybody who may use the kernel could read. Leave "
            "it out, and configure it in Hadoop's credential providers"
        )
    return _value(text.rstrip("/"))


def _memory(text: str) -> str:
    try:
        amount = parse_memory(text)
    except ValueError:
        raise wrong(
            f"{quoted(text)} is not an amount of memory. Write a whole number and a unit, "
            "such as 512m or 4g"
        ) from None
    if amount < SPARK_MINIMUM:
        raise wrong(f"{quoted(text)} is too little for Spark to start. Use 450m or more")
    return text if text[-1].isalpha() else f"{text}m"


def _count(value: object) -> int:
    # Text comes from the command line and from `spark.*` keys.
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        raise wrong(f"{quoted(value)} does not count anything. Use a whole number from 1 up")
    return value


def _minutes(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_MINUTES:
        raise wrong(
            f"{quoted(value)} is not a number of minutes. Use a whole number from 1 to "
            f"{MAX_MINUTES}, which is a week, or leave it out"
        )
    return value


def _master(text: str) -> str:
    try:
        parse_master(_value(text))
    except PydanticCustomError:
        raise
    except ValueError as error:
        raise wrong(str(error)) from None
    return text


def _profile(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", text) is None:
        raise wrong(
            f"{quoted(text)} is not the name of an IPython profile. "
            "Use letters, digits, dots, dashes and underscores"
        )
    return text


def template_name(reference: str) -> str | None:
    """Give the name in a reference to a template, or `None` when it is no reference."""
    found = re.fullmatch(TEMPLATE_PATTERN.strip("^$"), reference)
    return found and found[1]


def _template(text: str) -> str:
    if template_name(text) is None:
        raise wrong(
            f"{quoted(text)} is not the name of a template. Use lower case letters, digits, dots, "
            "dashes and underscores"
        )
    return text


def _conf_key(text: str) -> str:
    if re.fullmatch(r"spark\.[A-Za-z0-9_][A-Za-z0-9_./-]{0,243}", text) is None:
        raise wrong(
            f"{quoted(text)} is not a Spark setting. "
            "Its key begins with “spark.” and holds no spaces, such as spark.sql.shuffle.partitions"
        )
    if text in _MANAGED_CONF:
        raise wrong(f"{text} is set by the kernel itself. {_MANAGED_CONF[text]}")
    return text


def _env_name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", text) is None:
        raise wrong(
            f"{quoted(text)} is not the name of an environment variable. "
            "Use letters, digits and underscores, not beginning with a digit"
        )
    if text in _MANAGED_ENV:
        raise wrong(f"{text} is set by the kernel itself. {_MANAGED_ENV[text]}")
    return text


_LAUNCH = r"\$\{launch\.(?:user|uid|hub_user)\}"
"""Stands for whoever starts the kernel; the launcher fills it in."""

_LABEL_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL_PREFIX = r"(?=[a-z0-9.-]{1,253}/)[a-z0-9]+(?:[.-][a-z0-9]+)*/"


def _principal(text: str) -> str:
    if re.fullmatch(r"[^@\s/\\:]+(?:/[^@\s/\\:]+)?(?:@[A-Za-z0-9._-]+)?", text) is None:
        raise wrong(
            f"{quoted(text)} is not a Kerberos principal. Write name@REALM or name/host@REALM"
        )
    return _value(text)


def _proxy_user(text: str) -> str:
    if re.fullmatch(rf"(?![-.])(?:[A-Za-z0-9._@+/-]|{_LAUNCH}){{1,255}}", text) is None:
        raise wrong(
            f"{quoted(text)} is not the name of a user. Use letters, digits and ._@+-/, or "
            "${launch.user}"
        )
    return text


def _queue(text: str) -> str:
    if re.fullmatch(r"[^\s,;'\"\\]{1,255}", text) is None:
        raise wrong(
            f"{quoted(text)} is not the name of a queue. Write it without spaces, commas and "
            "quotes, such as root.analytics"
        )
    return _plain(text)


def _label_name(text: str) -> str:
    # The grammar of Kubernetes is the narrowest, so that a label is the same on every cluster.
    if re.fullmatch(rf"(?:{_LABEL_PREFIX})?{_LABEL_PART}", text) is None:
        raise wrong(
            f"{quoted(text)} is not the name of a label. Use 1 to 63 letters, digits, dots, dashes "
            "and underscores, beginning and ending with a letter or digit; a domain and a slash "
            "may stand before it"
        )
    if text.startswith("spark-") or re.match(r"[a-z0-9.-]*(?:kubernetes|k8s)\.io/", text):
        raise wrong(f"{text} is a label that Spark or Kubernetes sets. Use another name")
    return text


def _label_value(text: str) -> str:
    if re.fullmatch(_LABEL_PART, re.sub(_LAUNCH, "x", text)) is None:
        raise wrong(
            f"{quoted(text)} is not the value of a label. Use 1 to 63 letters, digits, dots, "
            "dashes and underscores, beginning and ending with a letter or digit"
        )
    return text


_TOO_EARLY = re.compile(
    r"spark\.(?:jars|files|archives|submit|launcher|driver\.extra|driver\.default"
    r"|driver\.(?:memory|cores|host|port|bindAddress)|app\.name|master|executor\.(?:memory|cores|instances))\b"
    r"|spark\..*(?:JavaOptions|java\.options)$"
)
"""Settings that spark-submit needs before there is a Spark, or puts on a command line."""


def _secret_name(text: str) -> str:
    if not text.startswith("spark."):
        return _env_name(text)
    if _TOO_EARLY.match(_conf_key(text)):
        raise wrong(
            f"{text} cannot be a secret: it is needed on a command line, where everybody on the "
            "machine can read it. Say the secret by a variable or in a file of its own"
        )
    return text


def _secret_reference(text: str) -> str:
    if re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]{0,254}", text):
        return text
    path = text.removeprefix("file:")
    # Nothing is quoted back: it may be the secret itself.
    if path == text or not path.startswith("/") or path.startswith("//"):
        raise wrong(
            "This is not a reference, and is not kept. Write env:NAME for a variable of the "
            "Jupyter server, or file:/path for a file that only you can read"
        )
    if ".." in path.split("/"):
        raise wrong("The path goes through “..”. Write the file that is meant")
    return _value(text)


def _text(check: Callable[[str], str], **schema: Any) -> Any:
    """Make the type of a text field from its check and what a form should know of it."""
    return Annotated[str, AfterValidator(check), Field(json_schema_extra=schema or None)]


KernelName = _text(_name, pattern=NAME_PATTERN)
Label = _text(_label, minLength=1, maxLength=MAX_LABEL)
Path = _text(_path)
ArchiveDirectory = _text(_archive_directory)
Memory = _text(_memory, pattern="^[1-9][0-9]*([bBkKmMgGtT][bB]?)?$")
MasterUrl = _text(_master)
TemplateReference = _text(_template, pattern=TEMPLATE_PATTERN)
ProfileName = _text(_profile)
ConfKey = _text(_conf_key)
ConfValue = _text(_conf_value)
EnvName = _text(_env_name)
Value = _text(_value)
Principal = _text(_principal)
ProxyUser = _text(_proxy_user)
QueueName = _text(_queue)
LabelName = _text(_label_name)
LabelValue = _text(_label_value)
SecretName = _text(_secret_name)
SecretReference = _text(_secret_reference)
Count = Annotated[
    int,
    BeforeValidator(_count),
    Field(json_schema_extra={"minimum": 1, "maximum": MAX_COUNT}),
]

DriverStart = Literal["auto", "quick", "off"]

Minutes = Annotated[
    int,
    BeforeValidator(_minutes),
    Field(json_schema_extra={"minimum": 1, "maximum": MAX_MINUTES}),
]


def label_to_name(label: str) -> str:
    """Derive a kernel's name from what a person called it: `My Spark (4g)` → `my-spark-4g`.

    Returns:
        a valid name, or `""` when no letter or digit of the label can be kept.

    """
    ascii_text = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._]+", "-", ascii_text).strip("-._")[:63].rstrip("-._")
