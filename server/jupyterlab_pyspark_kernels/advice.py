"""What is allowed but probably not meant. Advice never stops anybody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from types import MappingProxyType

from .catalogue import Catalogue, why_not_taken
from .clusters import Connect, Kubernetes, Local, Standalone, parse_master
from .config import KernelConfig
from .errors import FieldError, quoted
from .identity import on_labels

_EXECUTOR_FIELDS = ("executor_memory", "executor_cores", "executor_instances")

_MOST_REMARKS = 20
"""On settings: nobody reads more, and to find what is like a key takes a while."""

_IMAGES = ("spark.kubernetes.container.image", "spark.kubernetes.executor.container.image")
"""Of which Spark on Kubernetes needs one."""

_FOREIGN = re.compile(r"spark\.(?:jars(?:\.packages)?|plugins|(?:driver|executor)\.extraClassPath)")
"""Settings that bring code which is not Spark's, and may read settings of its own."""


def advise(
    config: KernelConfig,
    catalogue: Catalogue | None = None,
    defaults: Mapping[str, str] = MappingProxyType({}),
) -> list[FieldError]:
    """Say what a colleague who knows Spark would say of this kernel.

    Args:
        config: the kernel.
        catalogue: the settings that its Spark knows; `None` when it was not asked yet.
        defaults: what its spark-defaults.conf says.

    Returns:
        the field each remark belongs to, and the remark in a sentence.

    """
    known = [] if catalogue is None else on_settings(config.conf, catalogue)
    return [
        *_on_the_master(config),
        *_on_the_image({**defaults, **config.conf}, config.master),
        *on_labels(config),
        *(FieldError("conf", message) for message in known),
    ]


def _on_the_master(config: KernelConfig) -> Iterator[FieldError]:
    master = parse_master(config.master)
    if isinstance(master, Local):
        for field in _EXECUTOR_FIELDS:
            if getattr(config, field) is not None:
                yield FieldError(
                    field,
                    f"With the master {config.master} there are no executors: the driver does the "
                    "work. Set the driver memory, and the number of cores in the master.",
                )
    if config.idle_release_minutes is not None and isinstance(master, (Local, Connect)):
        yield FieldError(
            "idle_release_minutes",
            "On a local master and with Spark Connect a kernel has no executors to give back. Say "
            "when Spark is stopped instead.",
        )
    if isinstance(master, Connect) and config.driver_memory is not None:
        yield FieldError(
            "driver_memory",
            "With Spark Connect the driver runs on the server, which sets its memory.",
        )
    if config.cores_max is not None and not isinstance(master, Standalone):
        yield FieldError(
            "cores_max", "Only a standalone cluster (spark://…) knows this limit; it is ignored."
        )
    if config.cores_max is None and isinstance(master, Standalone):
        yield FieldError(
            "cores_max",
            "Without a limit this kernel takes every free core of the cluster, and the next "
            "notebook waits. Set how many it may take.",
        )


def _on_the_image(settings: Mapping[str, str], master: str) -> Iterator[FieldError]:
    if isinstance(parse_master(master), Kubernetes) and not any(map(settings.get, _IMAGES)):
        yield FieldError(
            "conf",
            f"Executors on Kubernetes need an image that has this Spark, and a Python like that of "
            f"the notebook. Set {_IMAGES[0]}.",
        )


def on_settings(settings: Mapping[str, str], catalogue: Catalogue) -> list[str]:
    """Say which settings a Spark does not know, and which values it would not take.

    Returns:
        the first of what is to be said, sentence by sentence.

    """
    return list(islice(_on_settings(settings, catalogue), _MOST_REMARKS))


def _on_settings(settings: Mapping[str, str], catalogue: Catalogue) -> Iterator[str]:
    spark = f"Spark {catalogue.spark_version}"
    foreign = any(_FOREIGN.fullmatch(key) for key in settings)
    for key, value in settings.items():
        setting, old = catalogue.by_key.get(key), catalogue.replaced.get(key)
        if old is not None:
            since = f" since Spark {old.since}" if old.since else ""
            remedy = f"Use {old.by} instead." if old.by else old.note
            yield f"{key} is not to be used any more{since}. {remedy}".strip()
        elif setting is not None:
            if (wanted := why_not_taken(setting, value)) is not None:
                yield f"{key} takes {wanted}. {quoted(value)} is not."
        elif not catalogue.knows(key):
            if alike := catalogue.suggest(key):
                yield f"{spark} does not know {key}. Did you mean {' or '.join(alike)}?"
            elif not foreign:
                yield f"{spark} does not know {key}. It counts only where a library reads it."
