"""A real KDC of MIT Kerberos on loopback, with principals, keytabs and tickets."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernels import free_port, wait_until

REALM = "TEST.REALM"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit", "klist")
"""Of Debian's packages krb5-kdc, krb5-admin-server and krb5-user."""


@dataclass
class Kdc:
    """A running KDC.

    Attributes:
        folder: everything of it lies in here.
        environ: the variables by which programs find it.

    """

    folder: Path
    environ: Mapping[str, str]

    def run(self, *command: str) -> str:
        """Run one of the programs."""
        return subprocess.run(
            command, env=self.environ, check=True, capture_output=True, text=True
        ).stdout

    def keytab(self, name: str) -> Path:
        """Make a principal, and give its keytab."""
        path = self.folder / f"{name.replace('/', '-')}.keytab"
        self.run("kadmin.local", "-q", f"addprinc -randkey {name}")
        self.run("kadmin.local", "-q", f"ktadd -k {path} {name}")
        path.chmod(0o600)
        return path

    def ticket(self, name: str, keytab: Path, cache: str, lifetime: str) -> None:
        """Get a ticket."""
        self.run("kinit", "-c", cache, "-l", lifetime, "-k", "-t", str(keytab), name)


def missing_programs() -> list[str]:
    """Give what is not on this machine."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


@contextmanager
def running_kdc(folder: Path) -> Iterator[Kdc]:
    """Start a KDC, and end it."""
    port = free_port()
    plugins = os.environ.get("PYSPARK_KERNELS_TEST_KDC_PLUGINS")
    modules = f"[dbmodules]\n db_module_dir = {plugins}\n" if plugins else ""
    (folder / "krb5.conf").write_text(
        f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n rdns = false\n"
        f" udp_preference_limit = 1\n[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n"
        f"{modules}"
    )
    (folder / "kdc.conf").write_text(
        f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n"
        f"[realms]\n {REALM} = {{\n  database_name = {folder}/principal\n"
        f"  key_stash_file = {folder}/stash\n  acl_file = {folder}/acl\n  max_life = 7d\n }}\n"
    )
    environ = {
        **os.environ,
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin",
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
    }
    kdc = Kdc(folder, environ)
    kdc.run("kdb5_util", "create", "-r", REALM, "-s", "-P", "master")
    with (folder / "kdc.log").open("wb") as log:
        daemon = subprocess.Popen(["krb5kdc", "-n"], env=environ, stdout=log, stderr=log)
    try:
        keytab = kdc.keytab("probe")

        def answers() -> bool:
            assert daemon.poll() is None, (folder / "kdc.log").read_text()
            try:
                kdc.ticket("probe", keytab, f"FILE:{folder}/probe", "1h")
            except subprocess.CalledProcessError:
                return False
            return True

        wait_until(answers)
        yield kdc
    finally:
        daemon.terminate()
        daemon.wait()
