"""What the launcher does in the notebook: names, waiting, interrupting, telling."""

from __future__ import annotations

import ast
import io
import re
import sys
import time
import tokenize
from contextlib import suppress
from typing import Any, Dict, Optional

from .cells import JOB_TAG
from .failure import SparkStartError
from .start import SparkStart

NAMES = ("spark", "sc", "sql")
COMM_TARGET = "pyspark-kernels"

_WAITING_WORDS = {*NAMES, "getOrCreate", "SparkContext"}
_CANCEL_PAUSES = (0.1, 0.3, 1)


class StandIn:
    """Takes the place of `spark`, `sc` or `sql` until Spark is there, and waits when touched."""

    def __init__(self, name: str, notebook: Notebook) -> None:
        self.__dict__.update(_StandIn__name=name, _StandIn__notebook=notebook)

    def __getattr__(self, attribute: str) -> Any:
        if re.match(r"__|_repr_|_ipython_", attribute):
            # Asked by whoever wants to display it; that is not a touch.
            raise AttributeError(attribute)
        return getattr(self.__notebook.real(self.__name), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Wait, and call the real thing."""
        return self.__notebook.real(self.__name)(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        return self.__notebook.real(self.__name)[key]

    def __repr__(self) -> str:
        return f"<{self.__name}: {self.__notebook.state()}>"


class Interruption(ast.NodeTransformer):
    """Puts KeyboardInterrupt in the place of a cell that was interrupted while it waited.

    IPython runs a cell whatever happens in the hooks before it.

    Attributes:
        pending: whether the cell that is compiled next was interrupted.
    """

    pending = False

    def visit_Module(self, module: ast.Module) -> ast.Module:
        """Replace the body of a cell."""
        if self.pending:
            module.body = ast.parse("raise KeyboardInterrupt").body
        return module


class Notebook:
    """What the launcher does in the notebook: names, waiting, interrupting, telling.

    Args:
        shell: IPython's shell.
        start: Spark as it comes up.
    """

    def __init__(self, shell: Any, start: SparkStart) -> None:
        self._shell = shell
        self._start = start
        self._told = False
        self._tagged: Any = None
        self._cell_tag: Optional[str] = None
        self._interruption = Interruption()
        self._stand_ins = {name: StandIn(name, self) for name in NAMES}
        shell.push(self._stand_ins, interactive=False)
        shell.ast_transformers.append(self._interruption)
        start.cells.attend(shell)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        start.before_stop = self._put_stand_ins_back

    def state(self) -> str:
        """Say how Spark is, without waiting."""
        if self._start.failure is not None:
            return str(self._start.failure).splitlines()[0]
        if self._start.rest is not None and self._start.rest.is_stopped:
            return f"Spark was stopped {self._start.rest.reason}, and starts when it is used"
        return "ready" if self._start.done else "Spark is starting"

    def real(self, name: str) -> Any:
        """Wait for the object that a name stands for.

        Raises:
            SparkStartError: when Spark failed, or has no such thing.
        """
        objects = self._start.wait()
        if name not in objects:
            raise SparkStartError(
                "Spark Connect has no SparkContext. Use spark, or a kernel with another master."
            )
        return objects[name]

    def _before_cell(self, info: Any) -> None:
        touches = names_spark(info.raw_cell or "")
        if touches:
            try:
                if self._start.rest is not None:
                    self._start.rest.try_again()
                self._start.settle()
            except KeyboardInterrupt:
                self._interruption.pending = True
        if self._start.objects:
            self._replace_stand_ins()
            self._tag_jobs()
            self._tell_return()
        elif not touches:
            # A cell that touches Spark gets the failure as its own error.
            self._tell_failure()

    def _after_cell(self, result: Any) -> None:
        self._interruption.pending = False
        self._told = self._told or isinstance(result.error_in_exec, SparkStartError)
        self._tell_failure()
        self._tell_return()
        if _was_interrupted(result.error_in_exec):
            self._cancel_jobs()
        hint = self._start.rest and self._start.rest.hint(result.error_in_exec)
        if hint:
            print(hint, file=sys.stderr)

    def _tell_return(self) -> None:
        notice = self._start.rest and self._start.rest.notice()
        if notice:
            print(notice)

    def _tell_failure(self) -> None:
        if self._start.failure is not None and not self._told:
            print(self._start.failure, file=sys.stderr)
            self._told = True

    def _replace_stand_ins(self) -> None:
        for name, real in self._start.objects.items():
            # A name that the person has given to something else stays theirs.
            if self._shell.user_ns.get(name) is self._stand_ins[name]:
                self._shell.user_ns[name] = real

    def _put_stand_ins_back(self) -> None:
        self._told = False
        self._tagged = None
        for name, real in self._start.objects.items():
            if self._shell.user_ns.get(name) is real:
                self._shell.user_ns[name] = self._stand_ins[name]

    def _tag_jobs(self) -> None:
        """Mark the jobs of cells, which run in this thread, so that an interrupt ends no others."""
        current = _running_spark(self._start.objects)
        if current is None:
            return
        if current is not self._tagged:
            if "sc" in self._start.objects:
                current.addJobTag(JOB_TAG)
                _activate(self._start.objects["spark"])
            else:
                current.addTag(JOB_TAG)
            self._tagged, self._cell_tag = current, None
        if "sc" in self._start.objects:
            self._tag_cell(current)

    def _tag_cell(self, context: Any) -> None:
        """Mark the jobs of this cell, so that they can be shown under it."""
        from py4j.protocol import Py4JError

        tag = self._start.cells.tag()
        # Where the JVM ends at this moment, the cell itself will hear of it.
        with suppress(Py4JError, OSError):
            if tag != self._cell_tag:
                if self._cell_tag is not None:
                    context.removeJobTag(self._cell_tag)
                context.addJobTag(tag)
                self._cell_tag = tag

    def _cancel_jobs(self) -> None:
        # An interrupted call takes its thread in the JVM along, and the mark with it.
        self._tagged = None
        current = _running_spark(self._start.objects)
        if current is None:
            return
        if "sc" in self._start.objects:
            _cancel_on_a_new_connection(current)
        else:
            current.interruptTag(JOB_TAG)


def _was_interrupted(error: Optional[BaseException]) -> bool:
    """Tell whether an interrupt ended a cell, be it behind an error of PySpark's cleaning up."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _cancel_on_a_new_connection(context: Any) -> None:
    """Cancel the jobs of cells; py4j closed its connection and may refuse the next for a moment."""
    from py4j.protocol import Py4JNetworkError

    for pause in _CANCEL_PAUSES:
        try:
            context.cancelJobsWithTag(JOB_TAG)
        except Py4JNetworkError:
            time.sleep(pause)
        else:
            return
    print("Spark's job could not be cancelled and goes on. See Spark's UI.", file=sys.stderr)


def _running_spark(objects: Dict[str, Any]) -> Any:
    """Give what can mark jobs: the SparkContext that runs, or the session of Spark Connect."""
    if "sc" not in objects:
        return objects.get("spark")
    from pyspark import SparkContext

    # The notebook may have stopped ours and started another; without its JVM none of them runs.
    alive = SparkContext._gateway.proc.poll() is None
    return SparkContext._active_spark_context if alive else None


def _activate(session: Any) -> None:
    """Let SparkSession.getActiveSession(), which goes by thread, find the session in this one."""
    if session.sparkContext._jsc is not None:
        session._jvm.org.apache.spark.sql.SparkSession.setActiveSession(session._jsparkSession)


def names_spark(code: str) -> bool:
    """Tell whether a cell names what Spark brings; comments and strings do not count."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        # A magic, or a cell that IPython will refuse.
        return not _WAITING_WORDS.isdisjoint(re.findall(r"\w+", code))
    # What follows a dot is somebody else's: `from pyspark.sql import functions` needs no Spark.
    names = {
        token.string
        for before, token in zip([None, *tokens], tokens)
        if token.string not in NAMES or before is None or before.string != "."
    }
    return not _WAITING_WORDS.isdisjoint(names)


def serve_comm(kernel: Any, start: SparkStart) -> None:
    """Answer the comm `pyspark-kernels` with the status, now and at every change."""

    def opened(comm: Any, message: Any) -> None:
        forget = start.status.listen(lambda content: comm.send(content))
        comm.on_close(lambda message: forget())
        # Jobs that run were not looked at while nobody listened.
        start.cells.woken.set()

    kernel.comm_manager.register_target(COMM_TARGET, opened)
