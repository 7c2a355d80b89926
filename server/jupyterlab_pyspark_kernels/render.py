"""KernelConfig ⇄ kernelspec: what a kernel's `kernel.json` says, and what one says of its kernel.

Both directions are pure. `render` writes plain Jupyter: any program that reads kernelspecs can
start the kernel. `read` prefers the configuration that we left in the metadata and otherwise reads
the PySpark kernels that people write by hand.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from .clusters import parse_master
from .config import AT_LAUNCH, CONF_KEYS, KernelConfig
from .errors import Invalid
from .identity import labels_as_settings
from .jsontext import parse_json
from .kernel.driver import DRIVER_START_VARIABLE
from .kernel.facts import PER_USER
from .kernel.secrets import SECRETS_VARIABLE
from .kernel.start import IDLE_VARIABLE
from .submit import PROXY_USER, SHELL, Submission, parse

Kernelspec = dict[str, Any]
"""The content of a kernel.json."""

METADATA_KEY = "pyspark_kernels"
LAUNCHER = "launcher.py"
METADATA_VERSION = 1

UNPACKED = "environment"
"""What the unpacked archive is called in the folder that an executor works in."""

_ARCHIVE_KEY = "archive"

_ADDRESS_FIELDS = {"name", "place"}
"""Told by where the kernel lies, so that a copied directory does not lie about itself."""

HASH_SEED = "PYTHONHASHSEED"

_IDLE_FIELDS = {"release": "idle_release_minutes", "stop": "idle_stop_minutes"}
_PYSPARK_ENV = {"PYSPARK_SUBMIT_ARGS", "SPARK_HOME"}
"""Variables by which a kernel that was written by hand is known to be one of PySpark."""

FOR_THE_LAUNCHER = {PER_USER, DRIVER_START_VARIABLE, IDLE_VARIABLE, SECRETS_VARIABLE}
"""Variables that say nothing to anybody but our launcher."""

MAX_SUBMIT_ARGS = 96 * 1024
"""Bytes of PYSPARK_SUBMIT_ARGS. Linux starts no process with a variable of 128 KiB (execve(2),
MAX_ARG_STRLEN), and the JVM gets each setting with its quoting."""

MAX_ENV = 256 * 1024
"""Bytes of all variables that a person sets. Linux counts them against a quarter of the stack's
limit, 2 MiB by default, which the server's own variables share (execve(2))."""


class NotReadable(ValueError):
    """A kernelspec that does not describe a PySpark kernel."""


@lru_cache(maxsize=1024)
def interpreter(environment: str) -> str:
    """Give the Python of an environment, which may itself be named by its Python."""
    path = PurePosixPath(environment)
    if path.parent.name == "bin" and re.fullmatch(r"python[0-9.]*", path.name):
        return environment
    return str(path / "bin" / "python")


@dataclass(frozen=True)
class Carried:
    """The archive that executors unpack.

    Attributes:
        digest: what it is called in the place that keeps it.
        uri: where Spark fetches it: a path on this machine, or a Hadoop file system's URI.

    """

    digest: str
    uri: str


def render(config: KernelConfig, created_by: str, carried: Carried | None = None) -> Kernelspec:
    """Make the kernelspec of a kernel.

    Args:
        config: the kernel, its paths already absolute.
        created_by: the name of the user who makes it.
        carried: the packed environment, for a kernel that carries it.

    """
    python = interpreter(config.environment)
    variables = environment_variables(config, carried)
    ours: dict[str, Any] = {
        "version": METADATA_VERSION,
        "config": config.model_dump(exclude=_ADDRESS_FIELDS, exclude_none=True),
        "created_by": created_by,
    }
    if carried is not None:
        ours[_ARCHIVE_KEY] = {"digest": carried.digest, "uri": carried.uri}
    profile = [f"--profile={config.ipython_profile}"] if config.ipython_profile else []
    return {
        "argv": [python, f"{{resource_dir}}/{LAUNCHER}", "-f", "{connection_file}", *profile],
        "display_name": config.display_name,
        "language": "python",
        "interrupt_mode": "signal",
        "env": {name: _escaped(value) for name, value in variables.items()},
        "metadata": {"debugger": True, METADATA_KEY: ours},
    }


def environment_variables(config: KernelConfig, carried: Carried | None = None) -> dict[str, str]:
    """Give the variables the kernel's process must see, byte for byte."""
    python = interpreter(config.environment)
    secrets = {SECRETS_VARIABLE: json.dumps(config.secrets)} if config.secrets else {}
    # Spark unpacks the archive in the folder that each executor works in.
    executor_python = f"./{UNPACKED}/bin/python" if carried else config.executor_python
    # The launcher fills in whose names stand here: for everybody anew, from the system's own list
    # of users and not from a variable.
    per_user = " ".join(filled_in_at_launch(config))
    idle = idle_limits(config)
    return {
        # Equal text must hash equally in the driver and in every executor, or joins and
        # groupings by hash go wrong (SPARK-13330).
        HASH_SEED: "0",
        **config.env,
        **({PER_USER: per_user} if per_user else {}),
        **({IDLE_VARIABLE: idle} if idle else {}),
        **({DRIVER_START_VARIABLE: config.driver_start} if config.driver_start != "auto" else {}),
        **secrets,
        "PYSPARK_DRIVER_PYTHON": python,
        "PYSPARK_PYTHON": executor_python or python,
        "PYSPARK_SUBMIT_ARGS": submit_args(config, carried),
        # Empty rather than left out: a Spark of the server's own must not slip in.
        "SPARK_HOME": config.spark_home or "",
    }


def idle_limits(config: KernelConfig) -> str:
    """Give the idle policy as the launcher reads it, or nothing: `release=1800 stop=7200`."""
    given = {name: getattr(config, field) for name, field in _IDLE_FIELDS.items()}
    return " ".join(f"{name}={60 * value}" for name, value in given.items() if value is not None)


def _read_idle_limits(text: str) -> dict[str, int]:
    found = re.findall(r"(release|stop)=(\d{1,9})", text)
    return {_IDLE_FIELDS[name]: max(1, round(int(seconds) / 60)) for name, seconds in found}


def filled_in_at_launch(config: KernelConfig) -> list[str]:
    """Name the settings, variables and options that hold what the launcher fills in."""
    names = dict.fromkeys(config.per_user)
    if config.proxy_user is not None and AT_LAUNCH in config.proxy_user:
        names[PROXY_USER] = None
    for key, value in labels_as_settings(config).items():
        if AT_LAUNCH in value:
            names[key] = None
    return list(names)


def submit_args(config: KernelConfig, carried: Carried | None = None) -> str:
    """Give the text that PySpark splits, like a shell, into the arguments of spark-submit.

    Raises:
        Invalid: when there is more than a process can be given.
        AssertionError: when the quoted text does not read back as the same arguments.

    """
    option = parse_master(config.master).option
    tokens = [option, config.master]
    if config.proxy_user is not None:
        tokens += [PROXY_USER, config.proxy_user]
    for key, value in settings(config, carried).items():
        tokens += ["--conf", f"{key}={value}"]
    tokens.append(SHELL)
    text = shlex.join(tokens)
    if shlex.split(text) != tokens:
        raise AssertionError("the quoted submit arguments do not read back")
    _check_size(config, text)
    return text


def settings(config: KernelConfig, carried: Carried | None = None) -> dict[str, str]:
    """Give every `spark.*` setting of the kernel but its master."""
    fields = {
        key: str(value)
        for field, key in CONF_KEYS.items()
        if field != "master" and (value := getattr(config, field)) is not None
    }
    ours = {
        "spark.app.name": config.display_name,
        f"spark.executorEnv.{HASH_SEED}": config.env.get(HASH_SEED, "0"),
    }
    given = {**ours, **fields, **config.conf}
    given |= labels_as_settings(config)
    archives = parse_master(config.master).archives
    if carried is None or archives is None:
        return given
    others = [given[archives]] if given.get(archives) else []
    return {**given, archives: ",".join([*others, f"{carried.uri}#{UNPACKED}"])}


def _check_size(config: KernelConfig, text: str) -> None:
    size = len(text.encode())
    if size > MAX_SUBMIT_ARGS:
        raise Invalid.at(
            "conf",
            f"All settings together make {size // 1024} KiB, and a program's variable holds at "
            f"most {MAX_SUBMIT_ARGS // 1024} KiB. Move some to the spark-defaults.conf of the "
            "Spark installation.",
        )
    size = sum(len(name.encode()) + len(value.encode()) for name, value in config.env.items())
    if size > MAX_ENV:
        raise Invalid.at(
            "env",
            f"All variables together make {size // 1024} KiB. Use at most {MAX_ENV // 1024} KiB.",
        )


def _escaped(value: str) -> str:
    # Jupyter fills $NAME and ${NAME} when it starts a kernel and turns $$ into $
    # (string.Template in jupyter_client).
    return value.replace("$", "$$")


def _unescaped(value: str) -> str:
    return value.replace("$$", "$")


def merge(old: Kernelspec, before: Kernelspec, after: Kernelspec) -> Kernelspec:
    """Give `after` with everything that others added to a kernelspec of ours.

    Args:
        old: what lies on the disk.
        before: what we would write for the configuration in `old`.
        after: what we write now.

    """
    added_env = {k: v for k, v in _mapping(old, "env").items() if k not in before["env"]}
    return {
        **{key: value for key, value in old.items() if key not in before},
        **after,
        "env": {**added_env, **after["env"]},
        "metadata": {**_mapping(old, "metadata"), **after["metadata"]},
    }


def _mapping(spec: Kernelspec, key: str) -> dict[str, Any]:
    value = spec.get(key)
    return value if isinstance(value, dict) else {}


def read_carried(spec: Mapping[str, Any]) -> Carried | None:
    """Read which archive a kernelspec of ours refers to."""
    found = spec["metadata"][METADATA_KEY].get(_ARCHIVE_KEY)
    if not isinstance(found, dict) or not {"digest", "uri"} <= found.keys():
        return None
    return Carried(str(found["digest"]), str(found["uri"]))


def is_ours(spec: Mapping[str, Any]) -> bool:
    """Tell whether we wrote this kernelspec."""
    metadata = spec.get("metadata")
    return isinstance(metadata, dict) and isinstance(metadata.get(METADATA_KEY), dict)


def is_pyspark(spec: Mapping[str, Any]) -> bool:
    """Tell whether a kernelspec is one of PySpark, whoever wrote it."""
    env = spec.get("env")
    return is_ours(spec) or (isinstance(env, dict) and not _PYSPARK_ENV.isdisjoint(env))


def read(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Read a kernelspec back as the data of a KernelConfig, without name and place.

    Raises:
        NotReadable: when it is not a PySpark kernel.

    """
    if is_ours(spec):
        config = spec["metadata"][METADATA_KEY].get("config")
        if not isinstance(config, dict):
            raise NotReadable("its metadata has no configuration")
        return config
    data, submission = read_by_hand(spec)
    unknown = [option for option, _ in submission.others] or submission.program[:1]
    if unknown and unknown != [SHELL]:
        raise NotReadable(f"its PYSPARK_SUBMIT_ARGS has the option {unknown[0]}, which is unknown")
    return data


def read_start(spec: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Give what a kernelspec starts: its arguments and its environment variables, as they stand.

    Raises:
        NotReadable: when they are none that a process could be started with.

    """
    argv, env = spec.get("argv"), spec.get("env")
    if not isinstance(argv, list) or not argv or not isinstance(env, dict):
        raise NotReadable("it has no arguments or no environment variables")
    texts = [*argv, *env, *env.values()]
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise NotReadable("its arguments or environment variables are not text")
    _read_submit_args(_unescaped(env.get("PYSPARK_SUBMIT_ARGS", "")))
    return argv, env


def read_by_hand(spec: Mapping[str, Any]) -> tuple[dict[str, Any], Submission]:
    """Read a kernelspec that a person wrote, as far as it can be understood.

    Returns:
        the data of a KernelConfig, which may be wrong, and what its PYSPARK_SUBMIT_ARGS say.

    Raises:
        NotReadable: when it is not a PySpark kernel.

    """
    argv, env = read_start(spec)
    values = {name: _unescaped(value) for name, value in env.items()}
    if not is_pyspark(spec):
        raise NotReadable("it sets neither SPARK_HOME nor PYSPARK_SUBMIT_ARGS")
    submission = _read_submit_args(values.get("PYSPARK_SUBMIT_ARGS", ""))
    python = argv[0]
    executor_python = values.get("PYSPARK_PYTHON", python)
    data: dict[str, Any] = {
        **_read_idle_limits(values.get(IDLE_VARIABLE, "")),
        "driver_start": values.get(DRIVER_START_VARIABLE),
        "display_name": spec.get("display_name", ""),
        "environment": python,
        "spark_home": values.get("SPARK_HOME", "").rstrip("/") or None,
        "executor_python": executor_python if executor_python != python else None,
        "ipython_profile": _profile(argv),
        "proxy_user": submission.proxy_user,
        "secrets": _read_secrets(values.get(SECRETS_VARIABLE)),
        "conf": submission.conf,
        "env": {name: value for name, value in values.items() if name not in _WRITTEN_BY_US},
        "per_user": values.get(PER_USER, "").split(),
    }
    return {field: value for field, value in data.items() if value}, submission


_WRITTEN_BY_US = {
    *FOR_THE_LAUNCHER,
    "PYSPARK_DRIVER_PYTHON",
    "PYSPARK_PYTHON",
    "PYSPARK_SUBMIT_ARGS",
    # The launcher finds PySpark by itself and starts the session instead of shell.py.
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "SPARK_HOME",
}


def _read_secrets(text: str | None) -> object:
    """Read what the launcher is told of secrets; whether it is right is checked where fields are.

    Raises:
        NotReadable: when it is no JSON.

    """
    try:
        return None if text is None else parse_json(text.encode(), SECRETS_VARIABLE)
    except Invalid:
        raise NotReadable(f"its {SECRETS_VARIABLE} is no JSON") from None


def _profile(argv: Iterable[str]) -> str | None:
    for argument in argv:
        if argument.startswith("--profile="):
            return argument.removeprefix("--profile=")
    return None


def _read_submit_args(text: str) -> Submission:
    try:
        return parse(shlex.split(text))
    except ValueError as error:
        raise NotReadable(f"its PYSPARK_SUBMIT_ARGS cannot be split: {error}") from None
