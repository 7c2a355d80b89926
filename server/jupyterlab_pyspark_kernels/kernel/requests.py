"""What the launcher is asked while a cell runs, over the kernel's control channel.

Messages of a comm wait until the cell has ended, so whoever wants to cancel a job of it, or to stop
Spark, sends a `pyspark_kernels_request` with `{"request": name, …}`. It is answered at once, by a
`pyspark_kernels_reply` with `{"status": "ok"}` or `{"status": "error", "evalue": why}`; what comes
of it is told by the status.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Mapping

REQUEST, REPLY = "pyspark_kernels_request", "pyspark_kernels_reply"

Handler = Callable[[Mapping[str, Any]], None]


class Requests:
    """Answers requests, each in a thread of its own: an interrupt comes by the same channel.

    Args:
        kernel: ipykernel's.
        handlers: what is done, by the name of the request; they get its content.
    """

    def __init__(self, kernel: Any, handlers: Dict[str, Handler]) -> None:
        self._kernel = kernel
        self._handlers = handlers
        kernel.control_handlers[REQUEST] = self._answer

    def _answer(self, stream: Any, ident: Any, message: Mapping[str, Any]) -> None:
        content = message["content"]
        name = content.get("request")
        handler = self._handlers.get(name)
        answer = {"status": "ok"}
        if handler is None:
            answer = {"status": "error", "evalue": f"{name!r} is no request of this kernel"}
        self._kernel.session.send(stream, REPLY, answer, message, ident=ident)
        if handler is not None:
            threading.Thread(
                target=handler, args=(content,), name=f"pyspark-kernels-{name}", daemon=True
            ).start()
