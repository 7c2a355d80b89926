"""What a test's JupyterHub starts with, as root and in namespaces of its own.

It makes real users of the system, in a copy of /etc that only these processes see, and opens what
is closed to them, such as a Python below /root, for nobody else. The machine stays as it is, and
with the last process all is gone. In a user namespace, its root is an ordinary user.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

PAM = "pyspark-kernels-hub"
"""The PAM service that asks for the users' passwords."""

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
"""Where the programs are, also for those whose own path has none for administrators."""

PROGRAMS = ("unshare", "mount", "useradd", "groupadd", "chpasswd", "chgrp")
"""What has to be installed."""


def main(plan: dict[str, Any]) -> None:
    """Furnish the room, and become JupyterHub in it."""
    os.environ["PATH"] = PATH
    open_ways([Path(path) for path in plan["needed"]])
    own_etc(Path(plan["hub"]) / "etc")
    for member in plan["members"]:
        add_member(member["name"], member["password"], member["groups"], plan["homes"])
    if "shared" in plan:
        share(Path(plan["shared"]), plan["group"])
    # What the users' servers write is closed to others, if nobody sees to it.
    os.umask(0o077)
    os.chdir(plan["hub"])
    os.execv(plan["command"][0], plan["command"])


def run(*command: str, text: str = "") -> None:
    subprocess.run(command, input=text, text=True, check=True)


def open_ways(paths: list[Path]) -> None:
    """Let everybody reach some directories, and nothing else that lies beside them."""
    behind: dict[Path, dict[Path, int]] = defaultdict(dict)
    for path in {*paths, *(path.resolve() for path in paths)}:
        if (closed := first_closed(path)) is not None:
            behind[closed][path] = os.open(path, os.O_PATH)
    for closed, kept in behind.items():
        run("mount", "-t", "tmpfs", "-o", "mode=755", "none", str(closed))
        for path, fd in sorted(kept.items()):
            path.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["mount", "--no-canonicalize", "--rbind", f"/proc/self/fd/{fd}", str(path)],
                pass_fds=[fd],
                check=True,
            )
            os.close(fd)


def first_closed(path: Path) -> Path | None:
    """Give the first directory on the way to a path that others may not go through."""
    above = reversed(path.parents)
    return next((part for part in above if not os.stat(part).st_mode & 0o001), None)


def own_etc(copy: Path) -> None:
    shutil.copytree("/etc", copy, symlinks=True, ignore=closed)
    for name in ("shadow", "gshadow"):
        # In a user namespace, the machine's own cannot be read.
        (copy / name).touch(mode=0o600)
    run("mount", "--bind", str(copy), "/etc")
    rules = [f"{kind} required pam_unix.so" for kind in ("auth", "account")]
    Path("/etc/pam.d", PAM).write_text("\n".join([*rules, ""]))


def closed(directory: str, names: list[str]) -> list[str]:
    """Give what this root may not read."""
    paths = (Path(directory, name) for name in names)
    return [path.name for path in paths if not (path.is_symlink() or os.access(path, os.R_OK))]


def add_member(name: str, password: str, groups: list[str], homes: str) -> None:
    for group in groups:
        run("groupadd", "--force", group)
    run(
        *("useradd", "--create-home", "--base-dir", homes, "--shell", "/bin/sh"),
        *("--groups", ",".join(groups), name),
    )
    run("chpasswd", text=f"{name}:{password}\n")


def share(directory: Path, group: str) -> None:
    """Let a group write to a directory, and nobody of it remove what another has written."""
    for path in (directory, directory / "kernels"):
        run("chgrp", group, str(path))
        path.chmod(0o3775)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
