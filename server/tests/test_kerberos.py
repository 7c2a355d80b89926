"""The Kerberos ticket: files that a real KDC's kinit has written, and what is said of them."""

import base64
import os
import struct
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kdc import REALM, Kdc, missing_programs, running_kdc

from jupyterlab_pyspark_kernels import kerberos
from jupyterlab_pyspark_kernels.config import KernelConfig, read_config
from jupyterlab_pyspark_kernels.doctor import diagnose, diagnose_ticket
from jupyterlab_pyspark_kernels.kerberos import (
    State,
    Unreadable,
    cache_name,
    on_ticket,
    read_file,
    read_ticket,
    ticket_state,
)

KINIT = zlib.decompress(
    base64.b64decode(
        "eNpjZWHgYWBk4GBAAEYo5gpxDQ7RC3J19PEF8lgTczKTU4mTZgZinghdZ0dnD1dnfz83KyBfNLsoyTQ+"
        "OTkxOSM1Pjk/Ly0+JbEkEWROWmJxSXxiWWJmDpAnA1RWkl6ijzDcAcUeIgBzZWoxcV5hgmJUaTaIE9DE"
        "hYB8BY7CjbkV/FvO793S433nuA3jM94LwRGZ5ZNvqQtWzcg3XZXNuOImBL/XhLjAEdlljNMSmxgnGTQx"
        "9i1gZmJkXcgjjWTDInkDWZAw00IxAxFpqCOQFSxuYgwD6g0CKRJaCCQYFzUxurA0MTo0/TYtLT3MGXqw"
        "tMRZlmdl/+3fh5ZWGp2242ZYMvvu/6J5fW6seiWOdZvX2/p8DtHT3X9l2a7A2cca5vyYJR2w84qmb86q"
        "pzscJzzenfRgNnN9NXPDmW9V2foSq2OrLz0N058iEs9z8PSML9fUkmNNN+6dtu2/8SOtNQe0416rXD2a"
        "dY7b3NiCfbqHsUvKitqbexZPsbB+nyht1l55xmF//VSbBC3ZNOdrxh3iK18teV7AK8at8ehT2Na7a3gY"
        "au+sWd7neXX+lKU6l3MZ2sMleDrOtYm3nsmZmPJ8aYrkDUVv6UMKx+frxlqzTFzwZi3P2r5Hr+ZGinxd"
        "fu+3O9uDt64PkqIqHN+vMz3rndveFvVebH7WdhP1hXnfHn11+WG5m/19KN/Xdva7FlskTobUbzZZstSO"
        "Xf31d4c36mce37Od9zg15aHjkWlHzDvYzFyEJEBxAwCGrPp/"
    )
)
"""What kinit of MIT Kerberos 1.20 wrote for alice@TEST.REALM, of a realm that is gone."""

UNTIL = datetime(2026, 11, 21, 19, 21, 13, tzinfo=timezone.utc)


@pytest.fixture
def hadoop(tmp_path: Path) -> Path:
    """A Hadoop configuration that asks for Kerberos."""
    folder = tmp_path / "hadoop"
    folder.mkdir()
    (folder / "core-site.xml").write_text(
        "<configuration><property><name>hadoop.security.authentication</name>"
        "<value>kerberos</value></property></configuration>"
    )
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "cache"
    path.write_bytes(KINIT)
    return path


def kernel(hadoop: Path, **data: Any) -> KernelConfig:
    env = {"HADOOP_CONF_DIR": str(hadoop), **data.pop("env", {})}
    return read_config({"name": "k", "environment": "/env", "master": "yarn", "env": env, **data})


def state(config: KernelConfig, cache: object, left: timedelta) -> State:
    found = ticket_state(config, {"KRB5CCNAME": str(cache)}, UNTIL - left)
    assert found is not None
    return found


# --- reading ------------------------------------------------------------------------------------


def test_a_cache_of_kinit_is_read() -> None:
    ticket = read_file(KINIT)
    assert ticket == kerberos.Ticket("alice@TEST.REALM", UNTIL)


def test_a_cache_that_is_cut_off_is_told_wherever_the_cut_is() -> None:
    ends = {len(KINIT)}
    for end in range(len(KINIT)):
        try:
            read_file(KINIT[:end])
        except Unreadable as error:
            assert str(error) in (
                "is cut off",
                "is no cache of Kerberos tickets",
                "holds no ticket",
            )
        else:
            ends.add(end)
    # A cut between two tickets looks like the end.
    assert len(ends) <= 3


@given(st.binary(max_size=400) | st.binary(max_size=400).map(lambda tail: KINIT[:60] + tail))
def test_no_content_does_more_than_be_refused(content: bytes) -> None:
    with suppress(Unreadable):
        read_file(content)


@given(st.integers(0, len(KINIT) - 1), st.integers(0, 255))
def test_a_byte_that_is_wrong_takes_neither_time_nor_memory(at: int, byte: int) -> None:
    content = bytearray(KINIT)
    content[at] = byte
    with suppress(Unreadable):
        read_file(bytes(content))


# --- finding ------------------------------------------------------------------------------------


def test_the_cache_is_where_kinit_writes_it(tmp_path: Path) -> None:
    own = f"FILE:/tmp/krb5cc_{os.getuid()}"
    (tmp_path / "empty").touch()
    nothing = {"KRB5_CONFIG": str(tmp_path / "empty")}
    assert cache_name(nothing) == own
    assert cache_name({**nothing, "KRB5CCNAME": "/x/y"}) == "FILE:/x/y"
    assert cache_name({**nothing, "KRB5CCNAME": "KCM:"}) == "KCM:"
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "kcm.conf").write_text(
        "[realms]\n default_ccache_name = no\n[libdefaults]\n"
        " default_ccache_name = KEYRING:persistent:%{uid}\n"
    )
    (tmp_path / "conf.d" / "a.rpmsave").write_text(
        "[libdefaults]\n default_ccache_name = FILE:/no\n"
    )
    (tmp_path / "krb5.conf").write_text(
        f"includedir {tmp_path}/conf.d\n# [libdefaults]\n[libdefaults]\n"
        "  # default_ccache_name = no\n  default_ccache_name = FILE:/later\n"
    )
    named = {"KRB5_CONFIG": str(tmp_path / "krb5.conf")}
    # What is said first counts, and what is included stands where it is included.
    assert cache_name(named) == f"KEYRING:persistent:{os.getuid()}"


def test_a_configuration_that_includes_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "krb5.conf"
    path.write_text(
        f"include {path}\ninclude {path}\n[libdefaults]\n default_ccache_name = FILE:/a\n"
    )
    assert cache_name({"KRB5_CONFIG": str(path)}) == "FILE:/a"


# --- saying -------------------------------------------------------------------------------------


def test_who_needs_no_ticket_hears_nothing(hadoop: Path, tmp_path: Path) -> None:
    simple = tmp_path / "simple"
    simple.mkdir()
    (simple / "core-site.xml").write_text("<configuration/>")
    keytab = {"principal": "me@R", "keytab": "/me.keytab"}
    for config in (
        *(kernel(hadoop, master="local[1]"), kernel(hadoop, master="spark://h:7077")),
        *(kernel(simple), kernel(tmp_path / "nowhere"), kernel(hadoop, **keytab)),
        read_config({"name": "k", "environment": "/env", "master": "yarn"}),
    ):
        assert ticket_state(config, {}) is None
        assert list(on_ticket(config, {})) == []


def test_a_ticket_is_told_with_its_owner_its_end_and_the_remedy(hadoop: Path, cache: Path) -> None:
    config, local = kernel(hadoop), UNTIL.astimezone().strftime("%Y-%m-%d %H:%M")
    whose = f"The Kerberos ticket of alice@TEST.REALM in FILE:{cache}"
    good = state(config, cache, timedelta(hours=5))
    assert good == State("good", f"{whose} is good until {local}.")
    soon = state(config, cache, timedelta(minutes=30))
    assert (soon.kind, soon.sentence.startswith(f"{whose} expires soon, at {local}.")) == (
        "soon",
        True,
    )
    gone = state(config, cache, -timedelta(seconds=1))
    assert (gone.kind, gone.sentence.startswith(f"{whose} expired at {local}.")) == (
        "expired",
        True,
    )
    none = state(config, f"{cache}-not", timedelta())
    assert none.sentence.startswith(
        f"This Hadoop asks for a Kerberos ticket, and FILE:{cache}-not is not there."
    )
    for one in (soon, gone, none):
        assert "kinit" in one.sentence
    cache.write_bytes(b"nothing of the kind")
    assert "is no cache of Kerberos tickets" in state(config, cache, timedelta()).sentence


def test_the_kernels_own_variables_win(hadoop: Path, cache: Path) -> None:
    config = kernel(hadoop, env={"KRB5CCNAME": f"FILE:{cache}"})
    found = ticket_state(config, {"KRB5CCNAME": "FILE:/nowhere"}, UNTIL - timedelta(hours=3))
    assert found is not None
    assert found.kind == "good"


def test_a_cache_that_java_cannot_see_is_told(hadoop: Path) -> None:
    for name in ("KCM:0", "MEMORY:x"):
        found = state(kernel(hadoop), name, timedelta())
        assert found.kind == "none"
        assert name in found.sentence


def test_the_doctor_says_kinit(hadoop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRB5CCNAME", str(cache) + "-not")
    (found,) = diagnose_ticket(kernel(hadoop))
    assert (found.rule, found.command) == ("no-kerberos-ticket", "kinit")
    assert "is not there" in found.cause
    monkeypatch.setenv("KRB5CCNAME", str(cache))
    for end, rules in ((1, ["kerberos-ticket-expired"]), (2**32 - 1, [])):
        old, new = (struct.pack(">I", when) for when in (int(UNTIL.timestamp()), end))
        cache.write_bytes(KINIT.replace(old, new))
        assert [found.rule for found in diagnose_ticket(kernel(hadoop))] == rules
    assert diagnose_ticket(kernel(hadoop, master="local[1]")) == []


GSS = "javax.security.sasl.SaslException: GSS initiate failed [Caused by GSSException: "
LOGS = [
    (
        f"{GSS}No valid credentials provided (Mechanism level: Failed to find any Kerberos tgt)]",
        "no-kerberos-ticket",
    ),
    (
        "Caused by: org.apache.hadoop.security.AccessControlException: Client cannot authenticate "
        "via:[TOKEN, KERBEROS]",
        "no-kerberos-ticket",
    ),
    (
        f"{GSS}No valid credentials provided (Mechanism level: Ticket expired (32) - PROCESS_TGS)]",
        "kerberos-ticket-expired",
    ),
    (
        "org.apache.hadoop.security.KerberosAuthException: Login failure for user: me@R from "
        "keytab /me.keytab javax.security.auth.login.LoginException",
        "keytab-refused",
    ),
    (
        "org.apache.hadoop.security.authorize.AuthorizationException: User: root is not allowed to "
        "impersonate alice",
        "may-not-impersonate",
    ),
]


@pytest.mark.parametrize(("line", "rule"), LOGS)
def test_what_hadoop_logs_is_known(line: str, rule: str) -> None:
    found = diagnose({"stage": "failed", "words": "x"}, f"a\n{line}\nb")
    assert (found[0].rule, found[0].evidence) == (rule, line[:300])


# --- with a real KDC ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    if missing := missing_programs():
        pytest.skip(f"there is no {', '.join(missing)}, so no KDC is started")
    with running_kdc(tmp_path_factory.mktemp("kdc")) as started:
        yield started


def test_a_ticket_of_a_real_kdc_is_seen_by_us_as_by_klist(kdc: Kdc, hadoop: Path) -> None:
    name = "spark/host.example.com"
    cache = f"FILE:{kdc.folder}/cc"
    kdc.ticket(name, kdc.keytab(name), cache, "5h")
    ticket = read_ticket(cache)
    assert ticket.principal == f"{name}@{REALM}"
    left = ticket.until - datetime.now(timezone.utc)
    assert timedelta(hours=4) < left <= timedelta(hours=5, minutes=1)
    listed = kdc.run("klist", "-c", cache)
    assert f"Default principal: {ticket.principal}" in listed
    assert ticket.until.astimezone().strftime("%H:%M:%S") in listed
    environ = {"KRB5CCNAME": cache}
    found = ticket_state(kernel(hadoop), environ)
    assert found is not None
    assert found.kind == "good"
    kdc.ticket(name, kdc.folder / "spark-host.example.com.keytab", cache, "10m")
    assert [error.field for error in on_ticket(kernel(hadoop), environ)] == ["master"]


def test_a_cache_that_is_a_directory_is_asked_of_klist(
    kdc: Kdc, hadoop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in kdc.environ.items():
        monkeypatch.setenv(variable, value)
    folder = kdc.folder / "caches"
    folder.mkdir(mode=0o700)
    cache = f"DIR:{folder}"
    kdc.ticket("bob", kdc.keytab("bob"), cache, "5h")
    ticket = read_ticket(cache)
    assert ticket.principal == f"bob@{REALM}"
    assert ticket.until - datetime.now(timezone.utc) > timedelta(hours=4)
    found = ticket_state(kernel(hadoop), {"KRB5CCNAME": cache})
    assert found is not None
    assert found.kind == "none"
    assert f"of bob@{REALM}" in found.sentence
    assert "Java looks at files only" in found.sentence


WHO = """
from pyspark.java_gateway import launch_gateway
jvm = launch_gateway().jvm
conf = jvm.org.apache.hadoop.conf.Configuration()
user = jvm.org.apache.hadoop.security.UserGroupInformation
user.setConfiguration(conf)
found = user.getLoginUser()
print("IS", found.getUserName(), found.hasKerberosCredentials())
"""


def test_hadoops_own_login_agrees(kdc: Kdc, hadoop: Path, pyspark_environment: Path) -> None:
    """Hadoop in Spark's JVM is who we say, or has no ticket when we say that there is none."""

    def who(cache: str) -> str:
        ran = subprocess.run(
            [str(pyspark_environment / "bin" / "python"), "-c", WHO],
            env={
                **kdc.environ,
                "KRB5CCNAME": cache,
                "HADOOP_CONF_DIR": str(hadoop),
                "PYSPARK_SUBMIT_ARGS": "pyspark-shell",
                "JAVA_TOOL_OPTIONS": f"-Djava.security.krb5.conf={kdc.environ['KRB5_CONFIG']}",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        return next(line for line in ran.stdout.splitlines() if line.startswith("IS"))

    keytab = kdc.keytab("carol")
    cache = f"FILE:{kdc.folder}/carol"
    kdc.ticket("carol", keytab, cache, "5h")
    assert who(cache) == f"IS carol@{REALM} True"
    assert state_kind(hadoop, cache) == "good"
    nobody = f"FILE:{kdc.folder}/nobody"
    assert who(nobody).endswith(" False")
    assert state_kind(hadoop, nobody) == "none"


def state_kind(hadoop: Path, cache: str) -> str:
    found = ticket_state(kernel(hadoop), {"KRB5CCNAME": cache})
    assert found is not None
    return found.kind
