"""Which files may be secrets of a person, and so are never carried.

Judged by names, in whatever case, and where a name is also that of ordinary data, by the content.
"""

from __future__ import annotations

import os
import re

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags to open what was a file: nothing waits should it be a pipe now."""

_FILES = frozenset(
    {
        ".boto",
        ".condarc",
        ".databrickscfg",
        ".dockercfg",
        ".env",
        ".git-credentials",
        ".htpasswd",
        ".my.cnf",
        ".netrc",
        ".npmrc",
        ".pgpass",
        ".pypirc",
        ".s3cfg",
        "_netrc",
        "application_default_credentials.json",
        "credentials.json",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "id_rsa",
        "kaggle.json",
        "pip.conf",
        "pip.ini",
    }
)
_SUFFIXES = (".jks", ".keytab", ".kdbx", ".p12", ".pfx", ".ppk")
_DIRECTORIES = frozenset({".aws", ".azure", ".docker", ".gnupg", ".kube", ".ssh"})
_PATTERNS = re.compile(
    # Templates of such a file are made to be handed on.
    r"\.env\.(?!(?:.*\.)?(?:dist|example|sample|template)$)|service[-_]?accounts?\b.*\.json$"
)
_BACKUPS = ("~", ".backup", ".bak", ".old", ".orig", ".save")
_BACKUP = re.compile(r"(?:~|\.(?:backup|bak|old|orig|save))+$")

_KEY_SUFFIXES = (".asc", ".crt", ".key", ".p8", ".pem")
_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
_INDEX_FILES = ("uv.toml",)
_USER_IN_ADDRESS = re.compile(rb"://[^/\s\"'@]+@")
_LOOKED_INTO_BYTES = 4 << 20
"""Bundles of certificates, which are no secret, have some hundred KB."""

_MAY_HOLD = "may hold credentials"


def of_directory(name: str) -> str | None:
    """Say why a directory may hold secrets, `None` when nothing tells of any."""
    return _MAY_HOLD if name.casefold() in _DIRECTORIES else None


def of_file(path: str, inside: str) -> str | None:
    """Say why a file may be a secret, `None` when nothing tells of one.

    Args:
        path: a regular file.
        inside: the part of its path, or of what it is called, that is to be judged.

    """
    folder, _, name = inside.casefold().rpartition("/")
    if folder and not _DIRECTORIES.isdisjoint(folder.split("/")):
        return _MAY_HOLD
    if name.endswith(_BACKUPS):
        name = _BACKUP.sub("", name)
    if name in _FILES or name.endswith(_SUFFIXES) or _PATTERNS.match(name):
        return _MAY_HOLD
    if name.endswith(_KEY_SUFFIXES):
        return _held(path, _KEY, "holds a private key")
    if name in _INDEX_FILES:
        return _held(path, _USER_IN_ADDRESS, "holds credentials in an address")
    return None


def _held(path: str, pattern: re.Pattern[bytes], reason: str) -> str | None:
    with os.fdopen(os.open(path, READ), "rb") as file:
        data = file.read(_LOOKED_INTO_BYTES + 1)
    if pattern.search(data):
        return reason
    too_large = len(data) > _LOOKED_INTO_BYTES
    return "is too large to make sure that it has no credentials" if too_large else None
