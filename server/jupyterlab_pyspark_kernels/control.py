"""Asks a kernel's launcher something over the control channel, which is free while a cell runs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from queue import Empty
from typing import Any

from .applications import GONE, STARTING, stage_of
from .errors import CannotBeDone, quoted
from .kernel.requests import REPLY, REQUEST

_ANSWER_SECONDS = 10.0
_STOP_SECONDS = 60.0
"""Longer than the launcher gives a Spark that does not stop by itself."""

_POLL_SECONDS = 0.2


async def stop_spark(client: Any, runtime: Path, kernel: str) -> None:
    """Stop the Spark of a kernel, which keeps Python's variables; nothing is done without one.

    Args:
        client: jupyter_client's asynchronous client of the kernel.
        runtime: the directory of the kernels' connection files.
        kernel: the id.

    Raises:
        CannotBeDone: when there is none yet, or the kernel does not do it.

    """
    stage = await asyncio.to_thread(stage_of, runtime, kernel)
    if stage in GONE:
        return
    if stage in STARTING:
        raise CannotBeDone.at(
            "",
            "Spark is starting in this kernel. Stop it when it is there, or shut the kernel down.",
        )
    await _ask(client, "stop")
    deadline = time.monotonic() + _STOP_SECONDS
    while await asyncio.to_thread(stage_of, runtime, kernel) not in GONE:
        if time.monotonic() > deadline:
            raise CannotBeDone.at(
                "", "Spark does not stop. Look at its log, or shut the kernel down."
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _ask(client: Any, request: str) -> None:
    channels = ("shell", "iopub", "stdin", "hb")
    client.start_channels(**dict.fromkeys(channels, False), control=True)
    try:
        message = client.session.msg(REQUEST, {"request": request})
        client.control_channel.send(message)
        content = await _answer(client, message["header"]["msg_id"])
    except Empty:
        raise CannotBeDone.at(
            "",
            "The kernel does not answer: it is very busy, or was made by an earlier version. Edit "
            "and restart the kernel, or shut it down.",
        ) from None
    finally:
        client.stop_channels()
    if content.get("status") != "ok":
        raise CannotBeDone.at("", f"The kernel refuses: {quoted(content.get('evalue'))}.")


async def _answer(client: Any, message_id: str) -> dict[str, Any]:
    """Wait for the answer to a message.

    Raises:
        Empty: when it does not come.

    """
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        left = max(0.0, deadline - time.monotonic())
        reply = await client.get_control_msg(timeout=left)
        if reply["parent_header"].get("msg_id") == message_id and reply["msg_type"] == REPLY:
            content: dict[str, Any] = reply["content"]
            return content
