"""The kernel's process: IPython first, and Spark when it can answer."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path
from typing import Any, Callable, List

from .failure import describe, explain
from .installation import choose
from .memory import remember_use
from .notebook import Notebook, serve_comm
from .requests import Requests
from .start import SparkStart
from .status import Status


def connection_file(arguments: List[str]) -> Path:
    """Find the connection file among the arguments that Jupyter gives a kernel."""
    if "-f" not in arguments[:-1]:
        sys.exit("launcher.py is started by Jupyter, with: -f CONNECTION_FILE")
    return Path(arguments[arguments.index("-f") + 1]).absolute()


def _before_shutdown(kernel: Any, action: Callable[[], None]) -> None:
    """Let something be done when Jupyter ends the kernel: ipykernel then ends Spark's JVM first."""
    shut_down = kernel.do_shutdown

    def act_then(restart: bool) -> Any:
        action()
        return shut_down(restart)

    kernel.do_shutdown = act_then


def run(arguments: List[str]) -> None:
    """Run the kernel until Jupyter ends it.

    Args:
        arguments: as Jupyter gives them to a kernel.
    """
    choose()
    status = Status(connection_file(arguments))
    start = SparkStart(status)
    try:
        from ipykernel.kernelapp import IPKernelApp
    except ImportError as error:
        words = describe(error, "")
        status.update(stage="failed", words=words, **explain(words, "", None)._asdict())
        raise

    app = IPKernelApp.instance()
    app.initialize(arguments)
    Notebook(app.shell, start)
    serve_comm(app.kernel, start)
    Requests(app.kernel, {"cancel": start.cancel, "stop": lambda content: start.stop()})
    _before_shutdown(app.kernel, start.finish)
    atexit.register(status.close)
    start.remembers = remember_use()
    # Only now: a JVM that starts earlier takes the processor from the kernel, whose first answer
    # then comes a quarter later, and Spark is there no sooner.
    start.begin()
    app.start()
