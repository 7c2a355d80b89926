"""Puts archives on a Hadoop file system, by the Hadoop client that every Spark brings along."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import CannotBeDone, FieldError
from .process import run
from .progress import Progress, Report

_SHELL = "org.apache.hadoop.fs.FsShell"


def put_once(
    archive: Path, directory: str, client: Sequence[str], env: Mapping[str, str], report: Report
) -> str:
    """Put an archive into a folder of a Hadoop file system, unless it is there already.

    The name of an archive tells its content, so one that is there needs no second look. FsShell
    writes under another name and renames, so nobody meets half an archive.

    Args:
        archive: the file.
        directory: the URI of the folder, which is made when it is missing.
        client: what `hadoop_client` gives.
        env: the kernel's variables, such as HADOOP_CONF_DIR.
        report: hears what the client prints.

    Returns:
        the URI of the archive there.

    Raises:
        CannotBeDone: when the file system refuses.
        Cancelled: when the report said so.

    """
    target = f"{directory}/{archive.name}"
    report.progress(Progress(f"Putting the archive into {directory}"))
    if run([*client, "-test", "-e", target], report, env)[0] == 0:
        return target
    for arguments in (["-mkdir", "-p", directory], ["-put", str(archive), target]):
        code, said = run([*client, *arguments], report, env)
        # Another kernel may have put the same archive there meanwhile.
        if code != 0 and run([*client, "-test", "-e", target], report, env)[0] != 0:
            raise CannotBeDone(
                [
                    FieldError(
                        "archive_directory",
                        f"The archive cannot be put into {directory}: {said}. Check the folder's "
                        "name, your rights there and HADOOP_CONF_DIR.",
                    )
                ]
            )
    return target


def hadoop_client(jars: Path, env: Mapping[str, str]) -> list[str]:
    """Give the command that speaks with Hadoop file systems, without its arguments.

    Args:
        jars: Spark's own jars, which hold the Hadoop client.
        env: the kernel's variables: JAVA_HOME, HADOOP_CONF_DIR.

    Raises:
        CannotBeDone: when there is no Java.

    """
    home = env.get("JAVA_HOME") or os.environ.get("JAVA_HOME")
    java = shutil.which(f"{home}/bin/java" if home else "java")
    if java is None:
        raise CannotBeDone.at(
            "archive_directory",
            "There is no Java here to reach a Hadoop file system with. Install Java 17 or newer, "
            "or set JAVA_HOME.",
        )
    conf_dir = env.get("HADOOP_CONF_DIR") or os.environ.get("HADOOP_CONF_DIR") or ""
    class_path = os.pathsep.join(filter(None, [conf_dir, f"{jars}/*"]))
    return [java, "-cp", class_path, _SHELL]
