"""The arguments of spark-submit, as they stand on its command line and in PYSPARK_SUBMIT_ARGS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

SHELL = "pyspark-shell"
"""What PySpark calls the program that a notebook or a shell is."""

_ARCHIVES_OPTION = "--archives"
"""Stands for a setting that depends on the master (`SparkSubmit.prepareSubmitEnvironment`)."""

_SETTINGS = {
    "--master": "spark.master",
    "--remote": "spark.master",
    "--name": "spark.app.name",
    "--driver-memory": "spark.driver.memory",
    "--executor-memory": "spark.executor.memory",
    "--executor-cores": "spark.executor.cores",
    "--num-executors": "spark.executor.instances",
    "--total-executor-cores": "spark.cores.max",
    "--deploy-mode": "spark.submit.deployMode",
    "--queue": "spark.yarn.queue",
    "--jars": "spark.jars",
    "--packages": "spark.jars.packages",
    "--repositories": "spark.jars.repositories",
    "--exclude-packages": "spark.jars.excludes",
    "--py-files": "spark.submit.pyFiles",
    "--files": "spark.files",
    "--archives": _ARCHIVES_OPTION,
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-library-path": "spark.driver.extraLibraryPath",
    "--principal": "spark.kerberos.principal",
    "--keytab": "spark.kerberos.keytab",
}
"""Options and the settings they stand for (`SparkSubmitArguments`)."""

PROXY_USER = "--proxy-user"
"""Stands for no setting at all."""

_SWITCHES = {"--supervise", "--verbose", "-v", "--help", "-h", "--version", "--usage-error"}
_SWITCHES |= {"--load-spark-defaults"}
"""Options that take no value (`SparkSubmitOptionParser`)."""


@dataclass(frozen=True)
class Submission:
    """What a command line of spark-submit says.

    Attributes:
        conf: the settings, whichever way they were given.
        others: the options that stand for no setting, with their values as far as they have one.
        program: what is run, with its own arguments.
        proxy_user: the user that Spark works as, if another.

    """

    conf: dict[str, str]
    others: list[tuple[str, str | None]]
    program: list[str]
    proxy_user: str | None = None


def parse(arguments: Iterable[str]) -> Submission:
    """Read the arguments that follow the name of the program."""
    words = list(arguments)
    conf: dict[str, str] = {}
    short: dict[str, str] = {}
    others: list[tuple[str, str | None]] = []
    proxy_user = None
    while words and words[0].startswith("-"):
        option, equals, joined = words.pop(0).partition("=")
        if option in _SWITCHES:
            others.append((option, None))
            continue
        known = option in _SETTINGS or option in ("--conf", "-c", PROXY_USER)
        value = joined if equals else _value(words, known)
        if not known:
            others.append((option, value))
        elif option == PROXY_USER:
            proxy_user = value
        elif option in _SETTINGS:
            short[_SETTINGS[option]] = value or ""
        else:
            key, equals, value = (value or "").partition("=")
            if equals:
                conf[key] = value
            else:
                others.append((option, key))
    # --conf wins over the short options, in either order (SparkSubmitArguments).
    return Submission(_with_archives({**short, **conf}), others, words, proxy_user)


def _value(words: list[str], known: bool) -> str | None:
    # Nobody knows whether an unknown option has a value; what begins with a dash is none.
    if words and (known or not words[0].startswith("-")):
        return words.pop(0)
    return None


def _with_archives(conf: dict[str, str]) -> dict[str, str]:
    """Put what the option --archives said into the setting that the master takes them from."""
    archives = conf.pop(_ARCHIVES_OPTION, None)
    if archives is not None:
        on_yarn = conf.get("spark.master") == "yarn"
        conf.setdefault("spark.yarn.dist.archives" if on_yarn else "spark.archives", archives)
    return conf
