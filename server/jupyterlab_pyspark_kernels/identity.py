"""Who a kernel works as on its cluster, and who pays for it.

Which master knows which of these fields is said here once. Spark's own rules are those of
`SparkSubmit`, `SparkSubmitArguments` and `HadoopDelegationTokenManager` in its sources.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from .clusters import Kubernetes, Local, Yarn, parse_master
from .config import KernelConfig
from .errors import FieldError, Invalid, quoted, shown, why

TAGS = "spark.yarn.tags"
_MAX_TAGS, _MAX_TAG = 10, 100
"""How many tags an application of YARN has, and of how many characters
(`YarnConfiguration.APPLICATION_MAX_TAGS`, `APPLICATION_MAX_TAG_LENGTH`)."""

_POD_LABELS = ("spark.kubernetes.driver.label.", "spark.kubernetes.executor.label.")

_HADOOP = (Yarn, Kubernetes, Local)
"""Whose drivers log in to Hadoop by themselves."""

_KNOWN_TO = {
    "queue": ((Yarn,), "queues are YARN's"),
    "proxy_user": (_HADOOP, "it works as another user on YARN, Kubernetes and local masters only"),
    "principal": (_HADOOP, "it logs in to Kerberos on YARN, Kubernetes and local masters only"),
    "keytab": (_HADOOP, "it logs in to Kerberos on YARN, Kubernetes and local masters only"),
}
"""The masters that a field is for, and what Spark knows."""


def labels_as_settings(config: KernelConfig) -> dict[str, str]:
    """Give the settings that bring a kernel's labels to its cluster."""
    master = parse_master(config.master)
    if not config.labels:
        return {}
    if isinstance(master, Yarn):
        return {TAGS: ",".join([*_own_tags(config), *_tags(config)])}
    if isinstance(master, Kubernetes):
        return {
            f"{prefix}{name}": value
            for prefix in _POD_LABELS
            for name, value in config.labels.items()
        }
    return {}


def _own_tags(config: KernelConfig) -> list[str]:
    """Give the tags that stand in the settings already."""
    return [tag.strip() for tag in config.conf.get(TAGS, "").split(",") if tag.strip()]


def _tags(config: KernelConfig) -> list[str]:
    return [f"{name}:{value}" for name, value in config.labels.items()]


def check_identity(config: KernelConfig) -> None:
    """Make sure that a kernel's cluster takes what is said of its user, its queue and its labels.

    Raises:
        Invalid: when it does not.

    """
    if found := [*_on_masters(config), *_on_kerberos(config), *_on_rendered(config)]:
        raise Invalid(found)


def _on_masters(config: KernelConfig) -> Iterator[FieldError]:
    master = parse_master(config.master)
    for field, (kinds, words) in _KNOWN_TO.items():
        value = getattr(config, field)
        if value is not None and not isinstance(master, kinds):
            yield FieldError(
                field,
                f"{quoted(value)} cannot be used with the master {config.master}: {words}. Take "
                "it out, or choose another master.",
            )


def _on_kerberos(config: KernelConfig) -> Iterator[FieldError]:
    principal, keytab = config.principal, config.keytab
    if (principal is None) != (keytab is None):
        missing, given = ("principal", keytab) if principal is None else ("keytab", principal)
        yield FieldError(
            missing,
            f"{quoted(given)} is said without the {missing}, and Spark needs both or neither. Give "
            f"the {missing}, or take the other one out.",
        )
    if config.proxy_user is not None and (principal or keytab):
        yield FieldError(
            "proxy_user",
            f"{quoted(config.proxy_user)} is said beside a principal or keytab, and Spark takes "
            "only one of them. Take one out.",
        )
    problem = keytab and keytab_problem(keytab)
    if problem and not problem.is_advice:
        yield FieldError("keytab", problem.message)


def _on_rendered(config: KernelConfig) -> Iterator[FieldError]:
    for key, value in labels_as_settings(config).items():
        if key != TAGS and config.conf.get(key, value) != value:
            yield FieldError(
                "labels",
                f"{key} is {quoted(config.conf[key])} in the settings and {quoted(value)} here. "
                "Remove one of them.",
            )
    if not config.labels or not isinstance(parse_master(config.master), Yarn):
        return
    for tag in _tags(config):
        if len(tag) > _MAX_TAG:
            yield FieldError(
                "labels",
                f"{quoted(tag)} has {len(tag)} characters, and a tag of YARN at most {_MAX_TAG}. "
                "Shorten it.",
            )
    count = len(_own_tags(config)) + len(config.labels)
    if count > _MAX_TAGS:
        yield FieldError(
            "labels",
            f"These are {count} tags, and an application of YARN has at most {_MAX_TAGS}. Leave "
            "some out.",
        )


def on_labels(config: KernelConfig) -> Iterator[FieldError]:
    """Say what a cluster does to labels and a keytab that a person would not expect."""
    master = parse_master(config.master)
    if config.labels and not isinstance(master, Yarn | Kubernetes):
        yield FieldError(
            "labels",
            f"With the master {config.master} there is no place for labels: only YARN and "
            "Kubernetes keep them.",
        )
    if isinstance(master, Yarn) and any(tag != tag.lower() for tag in _tags(config)):
        yield FieldError("labels", "YARN writes the capital letters of tags as small ones.")
    problem = config.keytab and keytab_problem(config.keytab)
    if problem and problem.is_advice:
        yield FieldError("keytab", problem.message)


# --- the keytab ---------------------------------------------------------------------------------


class KeytabProblem:
    """What is wrong with a keytab.

    Attributes:
        message: in full sentences.
        is_advice: whether a kernel may name it all the same.

    """

    def __init__(self, message: str, is_advice: bool = False) -> None:
        self.message = message
        self.is_advice = is_advice


def keytab_problem(path: str) -> KeytabProblem | None:
    """Say why a keytab should not be used; it is looked at and not read."""
    name, file = shown(path), os.path.expanduser(path)
    try:
        found = os.stat(file)
    except OSError as error:
        return KeytabProblem(
            f"{name} cannot be looked at: {why(error)}. Give the path of a keytab on this machine.",
            is_advice=True,
        )
    if not stat.S_ISREG(found.st_mode):
        return KeytabProblem(f"{name} is no file. Give the path of a keytab.")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return KeytabProblem(
            f"Others than its user can read {name}, and with it work under its principal. Run: "
            f"chmod 600 {name}"
        )
    if found.st_uid != os.getuid() or not os.access(file, os.R_OK):
        return KeytabProblem(
            f"{name} belongs to another user, so that you cannot read it. Use a keytab of your "
            "own.",
            is_advice=True,
        )
    return None
