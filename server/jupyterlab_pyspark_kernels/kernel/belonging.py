"""Lets every application tell which kernel it belongs to, wherever its cluster shows it.

A kernel's id is not known before it starts, so it cannot stand in its kernel.json.
"""

from __future__ import annotations

import re
from typing import Any

from .connect import with_parameter

KERNEL_ID = "spark.pysparkKernels.kernelId"
"""Everywhere: Spark's UI shows it among the application's settings."""

TAG = "pyspark-kernel"
"""On YARN a tag `pyspark-kernel:ID`, on Kubernetes a label of the pods."""

YARN_TAGS = "spark.yarn.tags"
_MOST_TAGS = 10
"""`YarnConfiguration.APPLICATION_MAX_TAGS`: YARN refuses an application that has more."""

_LABELS = ("spark.kubernetes.driver.label.", "spark.kubernetes.executor.label.")
_LABEL_VALUE = re.compile("[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
"""What a label of Kubernetes may be, and any tag of YARN."""


def mark(kernel_id: str, system: Any) -> None:
    """Give Spark's JVM the settings that tell the kernel, as it takes secrets.

    What a person has set stays: tags are added to theirs, and nothing else is changed.

    Args:
        kernel_id: the kernel's.
        system: the JVM's `java.lang.System`.
    """
    if not _LABEL_VALUE.fullmatch(kernel_id):
        return
    wanted = {KERNEL_ID: kernel_id}
    master = system.getProperty("spark.master") or ""
    if master.startswith("k8s://"):
        wanted.update({prefix + TAG: kernel_id for prefix in _LABELS})
    for key, value in wanted.items():
        if system.getProperty(key) is None:
            system.setProperty(key, value)
    if master == "yarn":
        given = [tag for tag in (system.getProperty(YARN_TAGS) or "").split(",") if tag.strip()]
        if len(given) < _MOST_TAGS:
            system.setProperty(YARN_TAGS, ",".join([*given, f"{TAG}:{kernel_id}"]))


def named_agent(remote: str, kernel_id: str) -> str:
    """Let a Spark Connect server see which kernel a session belongs to, unless a person says."""
    known = _LABEL_VALUE.fullmatch(kernel_id)
    return with_parameter(remote, "user_agent", f"{TAG}:{kernel_id}") if known else remote
