"""Environments on their way to executors: packed once, kept beside the kernels.

Each user has one directory of archives in each place: what one member of a group writes, the others
cannot sweep.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Set
from pathlib import Path

from . import archive
from .area import make_place
from .clusters import Connect, parse_master
from .config import KernelConfig
from .environments import why_not_ours
from .errors import CannotBeDone, FieldError, KernelError, NotAllowed
from .hadoop import hadoop_client, put_once
from .models import Archive
from .places import Place
from .progress import Report
from .render import UNPACKED, Carried, interpreter

_STORES = "archives-"


def is_carried(config: KernelConfig) -> bool:
    """Tell whether executors unpack the environment; a local master has none."""
    return config.carry and parse_master(config.master).archives is not None


def check_carry(config: KernelConfig) -> None:
    """Make sure that an environment can be carried as a kernel asks for.

    Raises:
        CannotBeDone: with the field and the remedy.

    """
    errors = []
    if config.carry and isinstance(parse_master(config.master), Connect):
        errors.append(
            FieldError(
                "carry",
                "A Spark Connect server starts the executors with a Python of its own. Leave this "
                "off, and install what is missing there.",
            )
        )
    if is_carried(config) and config.executor_python is not None:
        errors.append(
            FieldError(
                "executor_python",
                "The executors use the Python of the environment that is carried to them. Leave "
                "this empty, or do not carry the environment.",
            )
        )
    if config.archive_directory is not None and not config.carry:
        errors.append(
            FieldError(
                "archive_directory",
                "There is nothing to put there, as the environment is not carried. Leave this "
                "empty, or carry the environment.",
            )
        )
    if is_carried(config) and any(
        entry.endswith(f"#{UNPACKED}")
        for key in ("spark.archives", "spark.yarn.dist.archives")
        for entry in config.conf.get(key, "").split(",")
    ):
        errors.append(
            FieldError(
                "conf",
                f"An archive of yours is unpacked as #{UNPACKED}, where the carried environment "
                "goes. Give it another name.",
            )
        )
    if errors:
        raise CannotBeDone(errors)


def carry(config: KernelConfig, place: Place, report: Report, verify: bool = False) -> Carried:
    """Pack a kernel's environment, unless it is packed already, and put it where Spark fetches it.

    Args:
        config: the kernel.
        place: where the kernel goes.
        report: hears how far it is.
        verify: read an archive that is there already, and pack anew when it is damaged.

    Raises:
        KernelError: why it cannot be done; no kernel refers to anything half done.
        Cancelled: when the report said so.

    """
    if (reason := why_not_ours(config.environment)) is not None:
        # It is run once, to prove that the archive works.
        raise NotAllowed.at("environment", reason)
    if (found := re.search(r"[,#*?\[\]{}]", str(store_of(place)))) is not None:
        raise CannotBeDone.at(
            "place",
            f"The path of {store_of(place)} holds “{found[0]}”, which Spark takes for something "
            "else. Choose another place.",
        )
    # What is not there is told before the packing, which takes minutes.
    client = None if config.archive_directory is None else hadoop_client(_jars(config), config.env)
    make_place(place)
    packed = archive.pack(
        config.environment,
        store_of(place),
        prune=not config.carry_everything,
        report=report.progress,
        cancelled=report.cancelled,
        verify=verify,
    )
    for item in packed.record.left_out:
        report.log(f"Left out {item.path}: {item.reason}")
    uri = str(packed.path)
    if client is not None and config.archive_directory is not None:
        uri = put_once(packed.path, config.archive_directory, client, config.env, report)
    return Carried(packed.record.digest, uri)


def foreseen(config: KernelConfig, place: Place) -> Carried | None:
    """Give what `carry` would give, with … for what nobody knows before the packing."""
    if not is_carried(config):
        return None
    return Carried("…", f"{config.archive_directory or store_of(place)}/….tar.gz")


def store_of(place: Place) -> Path:
    """Give the directory of this user's archives in a place."""
    return place.beside(f"{_STORES}{os.getuid()}")


def archives(place: Place) -> list[Archive]:
    """List the archives of a place, of whichever user, with what has changed since."""
    return [
        _describe(found, _drift(found.record))
        for store in _stores(place)
        for found in archive.archives(store)
    ]


def find_archive(place: Place, digest: str) -> Archive | None:
    """Give the archive of a digest, when the place has it."""
    for store in _stores(place):
        if (found := archive.find(store, digest)) is not None:
            return _describe(found, _drift(found.record))
    return None


def sweep(place: Place, used: Set[str]) -> list[Archive]:
    """Remove this user's archives that nothing refers to, and tell which those were.

    Raises:
        KernelError: when the file system refuses.

    """
    return [_describe(found, None) for found in archive.remove_unused(store_of(place), used)]


def _stores(place: Place) -> Iterator[Path]:
    try:
        beside = place.beside(_STORES)
        yield from sorted(beside.parent.glob(f"{glob.escape(beside.name)}[0-9]*"))
    except OSError:
        # A place that this user may not look into holds nothing for them.
        return


def _describe(found: archive.Archive, drift: str | None) -> Archive:
    record = found.record
    return Archive(
        digest=record.digest,
        path=str(found.path),
        environment=record.environment,
        python_version=record.python_version,
        bytes=record.bytes_packed,
        files=record.files,
        created=record.created,
        left_out=[f"{item.path}: {item.reason}" for item in record.left_out],
        drift=drift,
    )


def _drift(record: archive.Record) -> str | None:
    try:
        return archive.drift(record, record.environment).sentence or None
    except KernelError as error:
        return str(error)


def _jars(config: KernelConfig) -> Path:
    """Give the directory of the jars of a kernel's Spark."""
    if config.spark_home is not None:
        return Path(config.spark_home) / "jars"
    prefix = Path(interpreter(config.environment)).parent.parent
    for jars in sorted(prefix.glob("lib*/python3*/site-packages/pyspark/jars")):
        return jars
    raise CannotBeDone.at(
        "archive_directory",
        f"{config.environment} has no Spark of its own to reach a Hadoop file system with. Give a "
        "Spark home, or leave this empty.",
    )
