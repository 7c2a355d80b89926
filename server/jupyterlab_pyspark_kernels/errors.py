"""What can be wrong with a request, as data: the HTTP and command line layers only translate it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import Self


def quoted(value: object) -> str:
    """Quote a value for a message: nothing invisible in it, and never longer than a line."""
    text = value if isinstance(value, str) else str(value)
    short = text if len(text) <= 60 else f"{text[:57]}…"
    return f"“{short if short.isprintable() else short.encode('unicode_escape').decode()}”"


def shown(path: str) -> str:
    """Give a path for a message, with nothing in it that cannot be seen or sent."""
    return path if path.isprintable() else path.encode("unicode_escape").decode()


def why(error: OSError | ValueError) -> str:
    """Say why a path cannot be looked at, without the path."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong, and where.

    Attributes:
        field: the `KernelConfig` field the person has to change, `""` when it is none of them.
        message: what is wrong with which value, and the remedy, in full sentences.

    """

    field: str
    message: str


class KernelError(Exception):
    """A request that cannot be carried out, through no fault of the program.

    Attributes:
        status: the HTTP status the server answers with.
        reason: a fixed word for programs, independent of the message's wording.
        errors: what is wrong, field by field; never empty.

    """

    status = 400
    reason = "invalid"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(error.message for error in self.errors))

    @classmethod
    def at(cls, field: str, message: str) -> Self:
        """Make the error for one field."""
        return cls([FieldError(field, message)])


class Invalid(KernelError):
    """A value that is wrong by itself, whatever the machine looks like."""


class NotAllowed(KernelError):
    """The person, or the server on their behalf, may not do this."""

    status = 403
    reason = "not-allowed"


class Locked(NotAllowed):
    """The administrator has settled what was asked for."""

    reason = "locked"


class Missing(KernelError):
    """What was asked for is not there."""

    status = 404
    reason = "missing"


class Taken(KernelError):
    """A kernel's name or label exists already."""

    status = 409
    reason = "taken"


class EditedMeanwhile(KernelError):
    """The kernel is not the one the editor started from."""

    status = 412
    reason = "edited-meanwhile"


class TooLarge(KernelError):
    """The request's body exceeds the limit."""

    status = 413
    reason = "too-large"


class NotJson(KernelError):
    """The request's body is not declared as JSON."""

    status = 415
    reason = "not-json"


class CannotBeDone(KernelError):
    """Every value is well formed, but this machine lacks what they name."""

    status = 422
    reason = "cannot-be-done"


class Busy(KernelError):
    """Too much is being done already."""

    status = 429
    reason = "busy"


class StorageFailed(KernelError):
    """The file system failed in a way that no other value would avoid."""

    status = 503
    reason = "storage-failed"


class DiskFull(KernelError):
    """No room is left where the kernel would be written."""

    status = 507
    reason = "disk-full"
