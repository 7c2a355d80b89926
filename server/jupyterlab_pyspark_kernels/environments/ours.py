"""Whether the server may run code of an environment, or write to it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from ..errors import shown
from ..owners import Guard
from .environment import PACKAGE_DIRECTORIES, Facts, examine
from .reading import Memory, read_settings


def why_not_ours(path: str, owners: Collection[int] = ()) -> str | None:
    """Say why the server must not run an environment's code, nor write to the environment.

    Whoever can change what the server runs, or put something else in its place, acts as the
    server's user. So these must belong to this user or to root, with no others who may write to
    them: the prefix, the interpreter with every link that leads to it, the directories of packages
    and of the library, and all directories above. The files in those directories are not looked at
    one by one. It is to be asked right before the code is run.

    Args:
        path: of the environment, or of its interpreter.
        owners: user ids that are trusted besides.

    Returns:
        a sentence, or `None` when it may be run and written to.

    """
    facts = examine(path, Memory())
    if facts is None or facts.broken is not None:
        return f"There is no Python in {shown(path)} that could be started."
    return Guard.of_user(owners).who_could_change(_parts(facts))


def why_not_ours_spark(home: str) -> str | None:
    """Say why the server must not run a Spark installation, as `why_not_ours` does."""
    parts = [f"{home}{part}" for part in ("", "/bin", "/jars", "/python", "/python/lib")]
    # Spark's scripts run the latter, which not every installation has.
    others = [f"{home}/conf", f"{home}/conf/spark-env.sh"]
    return Guard.of_user().who_could_change([*parts, *filter(os.path.lexists, others)])


def why_not_ours_java(home: str) -> str | None:
    """Say why the server must not run a Java; one that is not there runs nobody's code."""
    java = f"{home}/bin/java"
    return Guard.of_user().who_could_change([home, java]) if os.path.lexists(java) else None


def _parts(facts: Facts) -> Iterator[str]:
    yield facts.prefix
    yield os.path.dirname(facts.python)
    yield facts.python
    yield from facts.libraries
    if os.path.lexists(f"{facts.prefix}/pyvenv.cfg"):
        yield f"{facts.prefix}/pyvenv.cfg"
    base = os.path.dirname(os.path.dirname(os.path.realpath(facts.python)))
    python = f"python{'.'.join((facts.version or '').split('.')[:2])}"
    libraries = [f"{base}/{library}/{python}" for library in ("lib", "lib64")]
    yield from filter(os.path.isdir, libraries)
    settings = read_settings(f"{facts.prefix}/pyvenv.cfg")
    if settings is None or settings.get("include-system-site-packages", "").lower() == "true":
        # The base's packages run too; the last two are Debian's.
        shared = [f"{library}/{name}" for library in libraries for name in PACKAGE_DIRECTORIES]
        shared += [f"{base}/local/lib/{python}/dist-packages", f"{base}/lib/python3/dist-packages"]
        yield from filter(os.path.isdir, shared)
