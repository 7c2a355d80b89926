"""What an audit is told: who asked for what, and what came of it; nothing of a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .events import AUDIT_SCHEMA_ID
from .fields import NAME_PATTERN, template_name
from .policy import own_identity
from .tasks import Task

ACCEPTED, FIRST_ERROR, FIRST_FAILURE = 202, 400, 500
_PLACE = r"[a-z0-9][a-z0-9.-]{0,254}"


def request_event(
    action: str, status: int, user: str | None, told: Mapping[str, Any]
) -> dict[str, Any]:
    """Give the event of a request that was answered.

    Args:
        action: what was asked for.
        status: of the answer.
        user: whom the server authenticated, if anybody.
        told: what is known of the kernel and the task. What is not a plain name is left out: it
            may be anything that somebody sent.

    """
    outcome = "begun" if status == ACCEPTED else "done"
    if status >= FIRST_ERROR:
        outcome = "refused" if status < FIRST_FAILURE else "failed"
    data = {"action": action, "outcome": outcome, "status": status, "user": user, **_names(told)}
    return _event(data)


def task_end_event(task: Task) -> dict[str, Any]:
    """Give the event of a task that has come to its end."""
    kernel = {} if task.kernel is None else task.kernel.model_dump()
    return _event({"action": task.kind, "outcome": task.state, "task": task.id, **_names(kernel)})


def _event(data: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in data.items() if value is not None}
    facts = own_identity().facts
    os_user = facts.get("user", facts["uid"])
    return {"schema_id": AUDIT_SCHEMA_ID, "data": {**known, "os_user": os_user}}


def _names(told: Mapping[str, Any]) -> dict[str, str]:
    name_pattern = NAME_PATTERN.strip("^$")
    patterns = {
        "place": _PLACE,
        "name": name_pattern,
        "to_place": _PLACE,
        "to_name": name_pattern,
        "task": "[0-9a-f]{32}",
        "application": "[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    }
    found = {
        name: told[name]
        for name, pattern in patterns.items()
        if isinstance(told.get(name), str) and re.fullmatch(pattern, told[name])
    }
    template = told.get("template")
    if isinstance(template, str) and template_name(template) is not None:
        found["template"] = template
    return found
