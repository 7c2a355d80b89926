"""Asks a Spark which settings it knows; runs in the environment that has it, in a process alone.

Spark registers every setting that it reads in one map, as soon as the object that declares it is
initialised. So the JVM is started as PySpark starts it, without a SparkContext, and the map is read
by reflection. Which objects declare settings, and which keys Spark reads without declaring them, is
found in the constant pools of its classes. It needs the standard library of Python 3.8, PySpark,
and the folder `kernel` beside it.

Usage: settings_script.py OUTPUT, in a folder that nothing else is named after.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

# What runs in kernels lies beside the copy of this file that is run.
from kernel.installation import check_pyspark, choose  # type: ignore[import-not-found]
from kernel.jvm import stop  # type: ignore[import-not-found]
from kernel.options import SubmitOptions  # type: ignore[import-not-found]

_CONFIG = "org.apache.spark.internal.config"
_BUILDER = _CONFIG.replace(".", "/").encode() + b"/ConfigBuilder"

# A text of a constant pool: its tag, its length in two bytes, and itself.
_TEXT = re.compile(rb"\x01(..)(spark\.[A-Za-z0-9_.-]*)", re.DOTALL)

_NO_VALUE = "<undefined>"
_PROBES = ("1", "2", "1000", "true")
_NO_CHOICE = "no such value"
_CHOICES = re.compile(r"should be one of '?([\w., -]+?)'?(?:, but was|[.]|$)")
_UNITS = {
    "time": {1: "ms", 1000: "s", 60_000: "min", 3_600_000: "h", 86_400_000: "d"},
    "bytes": {1: "B", 1024: "KiB", 1024**2: "MiB", 1024**3: "GiB"},
}


# --- its classes -------------------------------------------------------------------------------


def scan(jars: str) -> tuple[list[str], set[str]]:
    """Find the objects that declare settings, and all keys and beginnings of keys that are named.

    Args:
        jars: the directory of Spark's jars.

    """
    objects: list[str] = []
    named: set[str] = set()
    for path in sorted(glob.glob(os.path.join(glob.escape(jars), "spark-*.jar"))):
        with zipfile.ZipFile(path) as jar:
            for name in jar.namelist():
                if not name.endswith(".class"):
                    continue
                content = jar.read(name)
                if name.endswith("$.class") and _BUILDER in content:
                    objects.append(name[: -len(".class")].replace("/", "."))
                named.update(_keys(content))
    return objects, named


def _keys(content: bytes) -> Iterator[str]:
    for found in _TEXT.finditer(content):
        length = int.from_bytes(found[1], "big")
        if length <= len(found[2]):
            yield found[2][:length].decode()


# --- its JVM -----------------------------------------------------------------------------------


class Spark:
    """A Spark's JVM.

    Args:
        jvm: py4j's view of it.

    """

    def __init__(self, jvm: Any) -> None:
        self._class = jvm.java.lang.Class

    def version(self) -> str:
        """Give Spark's version."""
        return str(self._module("org.apache.spark.package$").SPARK_VERSION())

    def initialise(self, names: list[str]) -> list[str]:
        """Initialise objects; give those that cannot be."""
        from py4j.protocol import Py4JJavaError

        failed = []
        for name in names:
            try:
                self._class.forName(name)
            except Py4JJavaError:
                # It may need a library that this Spark was installed without.
                failed.append(name)
        return failed

    def entries(self) -> list[Any]:
        """Give all settings that were declared."""
        return list(self._field(f"{_CONFIG}.ConfigEntry$", "knownConfigs").values())

    def replaced(self) -> dict[str, dict[str, str | None]]:
        """Give the keys that Spark does not know any more, or knows by another name."""
        found: dict[str, dict[str, str | None]] = {}
        sql = "org.apache.spark.sql.internal.SQLConf$"
        for name in ("deprecatedSQLConfigs", "removedSQLConfigs"):
            for key, old in _pairs(self._field(sql, name)):
                found[key] = {"by": None, "since": old.version(), "note": old.comment()}
        core = "org.apache.spark.SparkConf$"
        for key, old in _pairs(self._field(core, "deprecatedConfigs")):
            found[key] = {"by": None, "since": old.version(), "note": old.deprecationMessage()}
        for key, both in _pairs(self._field(core, "allAlternatives")):
            note = found[key]["note"] if key in found else ""
            found[key] = {"by": both._1(), "since": both._2().version(), "note": note}
        return found

    def _module(self, name: str) -> Any:
        return self._class.forName(name).getField("MODULE$").get(None)

    def _field(self, name: str, field: str) -> Any:
        found = self._class.forName(name).getDeclaredField(field)
        found.setAccessible(True)
        return found.get(self._module(name))


def _pairs(scala_map: Any) -> Iterator[tuple[str, Any]]:
    pairs = scala_map.iterator()
    while pairs.hasNext():
        pair = pairs.next()
        yield pair._1(), pair._2()


def describe(entry: Any) -> dict[str, Any]:
    """Tell what a setting is."""
    default = entry.defaultValueString()
    kind, unit, choices = _type(entry, default)
    return {
        "key": entry.key(),
        "type": kind,
        "unit": unit,
        "choices": choices,
        "default": None if default == _NO_VALUE else default,
        "help": entry.doc(),
        "since": entry.version() or None,
    }


def _type(entry: Any, default: str) -> tuple[str, str | None, list[str] | None]:
    """Tell the type of a setting by what its converter makes of values.

    Returns:
        the type, the unit of a bare number, and the values it takes when they are few.

    """
    for text in (default, *_PROBES):
        value, _ = _convert(entry, text)
        if value is not None:
            break
    else:
        return "text", None, _choices(entry)
    if isinstance(value, bool):
        return "boolean", None, None
    if isinstance(value, int):
        return (*_number(entry, text, value), None)
    if isinstance(value, float):
        return "decimal", None, None
    if not isinstance(value, str) and value.getClass().getName().startswith("scala.collection"):
        return "list", None, None
    return "text", None, _choices(entry)


def _convert(entry: Any, text: str) -> tuple[Any, str]:
    """Let a setting read a value; give what it made of it, or `None` and why it took nothing."""
    from py4j.protocol import Py4JJavaError

    try:
        value = entry.valueConverter().apply(text)
    except Py4JJavaError as error:
        return None, str(error.java_exception.getMessage())
    except ValueError:
        # py4j takes a decimal of Java for an integer, and cannot read it.
        return float(text), ""
    is_option = entry.getClass().getSimpleName() == "OptionalConfigEntry"
    return (value.get() if is_option else value), ""


def _number(entry: Any, text: str, value: int) -> tuple[str, str | None]:
    """Tell an amount of time or memory from a bare number, by how the setting writes it.

    Returns:
        the type, and the unit of a number that has none.

    """
    # In one call: on its way through Python a long would become an int.
    written = entry.stringConverter().compose(entry.valueConverter()).apply(text)
    amount = re.fullmatch("(-?[0-9]+)(ms|b)", written)
    if amount is None:
        return "integer", None
    kind = "time" if amount[2] == "ms" else "bytes"
    return kind, _UNITS[kind].get(int(amount[1]) // value) if value else None


def _choices(entry: Any) -> list[str] | None:
    _, why = _convert(entry, _NO_CHOICE)
    found = _CHOICES.search(why)
    choices = [choice.strip() for choice in found[1].split(",")] if found else []
    # Where some hold a comma themselves, nobody can tell them apart.
    return choices if choices and len(set(choices)) == len(choices) else None


# --- all of it ---------------------------------------------------------------------------------


def ask(jars: str, gateway: Any) -> dict[str, Any]:
    """Give all that a Spark tells of its settings."""
    spark = Spark(gateway.jvm)
    objects, named = scan(jars)
    skipped = spark.initialise(objects)
    entries = spark.entries()
    public = [entry for entry in entries if entry.isPublic() and not _is_for_tests(entry.key())]
    settings = [describe(entry) for entry in public]
    replaced = spark.replaced()
    for entry in public:
        for old in _items(entry.alternatives()):
            replaced.setdefault(old, {"by": entry.key(), "since": None, "note": ""})
    shown = {setting["key"] for setting in settings}
    hidden = {entry.key() for entry in entries} - shown
    return {
        "spark_version": spark.version(),
        "settings": sorted(settings, key=lambda setting: str(setting["key"])),
        "hidden": sorted(hidden),
        "named": sorted(named - shown - hidden),
        "replaced": replaced,
        "pyspark": pyspark_settings(),
        "skipped": skipped,
    }


def _is_for_tests(key: str) -> bool:
    return key.startswith(("spark.testing", "spark.test."))


def _items(scala_list: Any) -> list[str]:
    return [scala_list.apply(index) for index in range(scala_list.size())]


def pyspark_settings() -> dict[str, str]:
    """Give the settings that PySpark sets when nobody else does."""
    try:
        module = importlib.import_module("pyspark.core.context")
    except ImportError:
        # Before Spark 4.
        module = importlib.import_module("pyspark.context")
    return {key: str(value) for key, value in module.DEFAULT_CONFIGS.items()}


def main() -> None:
    """Ask the Spark of this process's environment."""
    choose()
    check_pyspark(SubmitOptions(""))
    from pyspark.find_spark_home import _find_spark_home
    from pyspark.java_gateway import launch_gateway

    with tempfile.NamedTemporaryFile(suffix=".conf") as empty:
        # In place of spark-defaults.conf, which may name packages that would be fetched now.
        options = ["--properties-file", empty.name, "--master", "local[1]", "pyspark-shell"]
        os.environ["PYSPARK_SUBMIT_ARGS"] = " ".join(options)
        gateway = launch_gateway(popen_kwargs={"stdout": sys.stderr, "stderr": subprocess.STDOUT})
    try:
        answer = ask(os.path.join(_find_spark_home(), "jars"), gateway)
    finally:
        gateway.shutdown()
        stop(gateway.proc)
    with open(sys.argv[1], "w", encoding="utf-8") as output:
        # Some defaults lie in the folder that the JVM was started in.
        output.write(json.dumps(answer).replace(os.getcwd(), "<the notebook's folder>"))


if __name__ == "__main__":
    main()
