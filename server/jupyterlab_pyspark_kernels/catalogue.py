"""The settings that a Spark knows: asked of that Spark once, and kept.

The answer is kept on the disk by what the Spark is: where its jars lie, and their names, sizes and
times. So another version in the same place is asked anew, and nothing is ever out of date.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .environments import jars_of, why_not_ours, why_not_ours_java, why_not_ours_spark
from .errors import CannotBeDone, NotAllowed, StorageFailed, quoted
from .kernel import contents
from .process import run
from .progress import Cancelled, Progress, Report
from .render import interpreter

SECONDS = 60.0
"""How long a Spark may take to tell its settings; it takes about five."""

_MOST_BYTES = 8 * 1024 * 1024
"""Of an answer; that of Spark 4.3 has 0.4 MiB."""

_KEPT = 8
"""Answers that are kept on the disk."""

_SCRIPT = "settings_script.py"

_FAMILIES = re.compile(
    r"spark\.(?:(?:driver|executor|task|worker)\.resource\.|(?:shuffle|rpc|network|files)\.io\."
    r"|rpc\.[a-z]+\.|sql\.catalog\.|sql\.streaming\.stateStore\.rocksdb\.|security\.credentials\."
    r"|kubernetes\.authenticate\.|scheduler\.listenerbus\.eventqueue\.)."
)
"""Keys that Spark puts together, so that its classes do not name them."""

_TAGS = re.compile(r"</?(?:a|b|br|code|em|i|li|ol|p|pre|ul)\b[^<>]*/?>", re.IGNORECASE)
_ALIKE = 0.8
"""How alike a key must be to one that is suggested for it."""


class Setting(BaseModel):
    """A setting that Spark documents."""

    model_config = ConfigDict(frozen=True)

    key: str
    type: Literal["boolean", "integer", "decimal", "bytes", "time", "list", "text"]
    unit: str | None = Field(description="Of a number without one, such as MiB or s.")
    choices: list[str] | None = Field(description="The values it takes, when they are few.")
    default: str | None = Field(description="As Spark writes it; null when there is none.")
    help: str = Field(description="What Spark says of it; may be empty.")
    since: str | None = Field(description="The version of Spark that has it first.")


class Settings(BaseModel):
    """The settings that a Spark documents."""

    model_config = ConfigDict(frozen=True)

    spark_version: str
    settings: list[Setting] = Field(description="By their keys.")
    skipped: list[str] = Field(description="Parts of Spark that could not be asked.")


class Replaced(BaseModel):
    """A key that is not to be used any more."""

    model_config = ConfigDict(frozen=True)

    by: str | None
    since: str | None
    note: str


class Catalogue(Settings):
    """All that a Spark tells of its settings.

    Attributes:
        hidden: keys that it keeps to itself.
        named: other keys, and beginnings of keys, that its classes name.
        replaced: keys that are not to be used any more.
        pyspark: settings that PySpark sets when nobody else does.

    """

    model_config = ConfigDict(frozen=True, ignored_types=(cached_property,))

    hidden: list[str]
    named: list[str]
    replaced: dict[str, Replaced]
    pyspark: dict[str, str]

    def shown(self) -> Settings:
        """Give what people are to see of it."""
        return Settings(
            spark_version=self.spark_version, settings=self.settings, skipped=self.skipped
        )

    @cached_property
    def by_key(self) -> Mapping[str, Setting]:
        """The documented settings by their keys."""
        return {setting.key: setting for setting in self.settings}

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset([*self.by_key, *self.hidden, *self.named, *self.replaced])

    @cached_property
    def _beginnings(self) -> tuple[str, ...]:
        """Beginnings of keys that anybody may go on from, such as `spark.hadoop.`.

        Where Spark declares settings itself, as below `spark.sql.`, it also compares beginnings.
        """
        declared = [*self.by_key, *self.hidden]
        return tuple(
            beginning
            for beginning in self.named
            if beginning.endswith(".") and not any(key.startswith(beginning) for key in declared)
        )

    def knows(self, key: str) -> bool:
        """Tell whether Spark reads a key."""
        # Each beginning names at least one more part.
        return (
            key in self._known
            or key.startswith(self._beginnings)
            or _FAMILIES.match(key) is not None
        )

    def suggest(self, key: str) -> list[str]:
        """Give up to two known keys that somebody may have meant."""
        keys = [*self.by_key, *(name for name in self.named if not name.endswith("."))]
        usable = [name for name in keys if name not in self.replaced]
        folded = {name.lower(): name for name in usable}
        found = difflib.get_close_matches(key.lower(), folded, n=2, cutoff=_ALIKE)
        return [folded[name] for name in found]


# --- where a Spark lies ------------------------------------------------------------------------


@dataclass(frozen=True)
class Spark:
    """A Spark that can be asked.

    Attributes:
        environment: whose Python asks it.
        home: the installation; `None` for the environment's own PySpark.
        java_home: what a kernel's JAVA_HOME says; `None` for the server's own.

    """

    environment: str
    home: str | None = None
    java_home: str | None = None

    @property
    def root(self) -> str | None:
        """The directory that holds `jars`, and `conf` when there is one."""
        jars = jars_of(self.environment) if self.home is None else f"{self.home}/jars"
        return None if jars is None else os.path.dirname(jars)

    @property
    def name(self) -> str:
        """Where it lies, as a person would say it."""
        return self.home or self.environment


def identity(spark: Spark) -> str | None:
    """Give what tells a Spark from all others, `None` when it has no jars."""
    root = spark.root
    if root is None:
        return None
    jars = os.path.realpath(f"{root}/jars")
    try:
        found = sorted(
            (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns)
            for entry in os.scandir(jars)
            if entry.name.startswith("spark-") and entry.name.endswith(".jar")
        )
    except OSError:
        return None
    # Another script may ask for more.
    script = files(__package__).joinpath(_SCRIPT).read_bytes()
    told = hashlib.sha256(script + repr((jars, found)).encode())
    return told.hexdigest()[:32] if found else None


# --- what was kept -----------------------------------------------------------------------------


def kept(folder: Path, spark: Spark) -> Catalogue | None:
    """Give what a Spark told before, `None` when it has to be asked."""
    digest = identity(spark)
    if digest is None:
        return None
    path = folder / f"{digest}.json"
    try:
        return _load(path, path.stat().st_mtime_ns)
    except (OSError, ValidationError):
        # Damaged, or swept at this moment; it is asked anew.
        return None


@lru_cache(maxsize=4)
def _load(path: Path, _: int) -> Catalogue:
    return Catalogue.model_validate_json(path.read_bytes())


def _keep(folder: Path, digest: str, catalogue: Catalogue) -> None:
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        # A name of its own, as another server may write the same now; its mode is 0600.
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as new:
            new.write(catalogue.model_dump_json())
        Path(new.name).replace(folder / f"{digest}.json")
        old = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in old[_KEPT:]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed.at("", f"{folder} cannot be written to: {error.strerror}.") from error


# --- asking ------------------------------------------------------------------------------------


def check_spark(spark: Spark) -> None:
    """Look whether a Spark can and may be asked.

    Raises:
        CannotBeDone: when it has no jars.
        NotAllowed: when somebody else could have put code there that we would run.

    """
    if identity(spark) is None:
        field = "environment" if spark.home is None else "spark_home"
        raise CannotBeDone.at(
            field, f"{quoted(spark.name)} holds no jars of Spark, which would tell its settings."
        )
    if (reason := why_not_ours(spark.environment)) is not None:
        raise NotAllowed.at("environment", reason)
    if spark.home is not None and (reason := why_not_ours_spark(spark.home)) is not None:
        raise NotAllowed.at("spark_home", reason)
    java = spark.java_home
    if java is not None and (reason := why_not_ours_java(java)) is not None:
        raise NotAllowed.at("env", reason)


def ask(folder: Path, spark: Spark, report: Report, seconds: float = SECONDS) -> Catalogue:
    """Ask a Spark for its settings, and keep what it tells.

    Args:
        folder: where that is kept.
        spark: whom to ask.
        report: hears what the Spark prints.
        seconds: how long it may take.

    Raises:
        CannotBeDone: when it does not tell.
        NotAllowed: when it may not be run.
        StorageFailed: when the answer cannot be kept.
        Cancelled: when the report said so; nothing of it runs then.

    """
    if (catalogue := kept(folder, spark)) is not None:
        # Asked twice at once.
        return catalogue
    check_spark(spark)
    digest = str(identity(spark))
    report.progress(Progress(f"Reading the settings of the Spark in {spark.name}"))
    catalogue = _run(spark, _Limited(report, seconds))
    _keep(folder, digest, catalogue)
    return catalogue


def _run(spark: Spark, report: _Limited) -> Catalogue:
    with tempfile.TemporaryDirectory(prefix="pyspark-kernels-settings-") as scratch:
        scripts, answer = Path(scratch) / "scripts", Path(scratch) / "answer.json"
        (scripts / "kernel").mkdir(parents=True)
        (scripts / "kernel" / "__init__.py").touch()
        (scripts / _SCRIPT).write_bytes(files(__package__).joinpath(_SCRIPT).read_bytes())
        for name, content in contents().items():
            (scripts / "kernel" / name).write_bytes(content)
        # Without the user's own packages, as `-s` says, nothing but the environment is run.
        python = interpreter(spark.environment)
        env = {"SPARK_HOME": spark.home or "", "PYTHONDONTWRITEBYTECODE": "1"}
        if spark.java_home is not None:
            env["JAVA_HOME"] = spark.java_home
        command = [python, "-s", str(scripts / _SCRIPT), str(answer)]
        try:
            code, last = run(command, report, env, scratch)
        except Cancelled:
            if not report.is_late():
                raise
            raise _untold(spark, f"It took more than {report.seconds:g} s.") from None
        except OSError as error:
            raise _untold(spark, str(error)) from error
        if code != 0 or not answer.exists():
            raise _untold(spark, last)
        if answer.stat().st_size > _MOST_BYTES:
            raise _untold(spark, "It told too much.")
        try:
            return _read(answer.read_bytes())
        except ValidationError:
            raise _untold(spark, "It told what nobody understands.") from None


def _read(answer: bytes) -> Catalogue:
    catalogue = Catalogue.model_validate_json(answer)
    settings = [
        setting.model_copy(update={"help": " ".join(_TAGS.sub(" ", setting.help).split())})
        for setting in catalogue.settings
    ]
    return catalogue.model_copy(update={"settings": settings})


def _untold(spark: Spark, why: str) -> CannotBeDone:
    field = "environment" if spark.home is None else "spark_home"
    return CannotBeDone.at(
        field,
        f"The Spark in {quoted(spark.name)} did not tell its settings: {why} "
        "Everything else works without.",
    )


class _Limited:
    """Passes reports on, and says to stop when it takes too long."""

    def __init__(self, report: Report, seconds: float) -> None:
        self.seconds = seconds
        self._report = report
        self._end = time.monotonic() + seconds

    def is_late(self) -> bool:
        return time.monotonic() > self._end

    def progress(self, progress: Progress) -> None:
        self._report.progress(progress)

    def log(self, line: str) -> None:
        self._report.log(line)

    def cancelled(self) -> bool:
        return self._report.cancelled() or self.is_late()


# --- judging values ----------------------------------------------------------------------------

_VALUES: Mapping[str, tuple[re.Pattern[str], str]] = {
    "boolean": (re.compile("true|false", re.IGNORECASE), "true or false"),
    "integer": (re.compile("[+-]?[0-9]+"), "a whole number"),
    "decimal": (re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"), "a number"),
    "bytes": (
        re.compile("-?[0-9]+(?:b|[kmgtp]b?)?", re.IGNORECASE),
        "an amount of memory, such as 512m or 4g",
    ),
    "time": (
        re.compile("-?[0-9]+(?:us|ms|s|m|min|h|d)?", re.IGNORECASE),
        "an amount of time, such as 500ms, 30s or 5min",
    ),
}
"""What Spark reads as each type (`ConfigHelpers` and `JavaUtils` in its sources)."""


def why_not_taken(setting: Setting, value: str) -> str | None:
    """Say what a setting takes, when it does not take a value."""
    if "${" in value:
        # Spark fills in other settings and variables.
        return None
    pattern, wanted = _VALUES.get(setting.type, (None, ""))
    if pattern is not None and pattern.fullmatch(value.strip()) is None:
        return wanted
    if setting.choices is not None and value.upper() not in _upper(setting.choices):
        return f"one of {', '.join(setting.choices)}"
    return None


def _upper(choices: Sequence[str]) -> set[str]:
    return {choice.upper() for choice in choices}
