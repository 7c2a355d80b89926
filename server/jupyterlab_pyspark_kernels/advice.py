"""What is allowed but probably not meant. Advice never stops anybody."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .clusters import Connect, Local, Standalone, parse_master
from .config import KernelConfig
from .errors import FieldError

_EXECUTOR_FIELDS = ("executor_memory", "executor_cores", "executor_instances")

_SECRET = re.compile(r"(?i)secret|password|passphrase|token|access[._-]?key|credential")
_NOT_SECRET = re.compile(r"(?i)(file|path|provider|class|enabled|expiry|renewal)s?$")


def advise(config: KernelConfig) -> list[FieldError]:
    """Say what a colleague who knows Spark would say of this kernel.

    Returns:
        the field each remark belongs to, and the remark in a sentence.

    """
    return [*_on_the_master(config), *_on_secrets(config)]


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


def _on_secrets(config: KernelConfig) -> Iterator[FieldError]:
    for field, names in (("conf", config.conf), ("env", config.env)):
        for name in names:
            if _SECRET.search(name) and not _NOT_SECRET.search(name):
                yield FieldError(
                    field,
                    f"{name} looks like a secret. Everybody who may use the kernel can read it: "
                    "set it in the server's environment or in a credential provider instead.",
                )
