"""What can be asked about a kernel, stored or only described. Nothing is changed by it."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore, Lock

from jupyter_core.paths import jupyter_runtime_dir

from . import store
from .advice import advise
from .applications import Known, Survey
from .capacity import ClusterReport, look, read_question
from .carry import foreseen
from .catalogue import Catalogue, Settings, Spark, ask, check_spark, kept
from .compare import Comparison, compare
from .config import KernelConfig, read_config
from .doctor import (
    Diagnosis,
    diagnose,
    diagnose_files,
    diagnose_ticket,
    diagnose_unreadable,
    latest,
)
from .effective import Effective, defaults_path, effective, read_defaults, site_settings
from .environments import prepare
from .errors import Busy, FieldError, Invalid, KernelError, NotAllowed, quoted
from .export import export
from .history import last_diagnoses, last_runs
from .kerberos import on_ticket
from .kernel.status import STATUS_DIRECTORY
from .kernels import Kernels
from .models import Applications, Export, KernelAddress, Preview, Remark, Request
from .owners import user_name
from .places import USER, own_directory
from .progress import Report
from .receipts import KernelReceipt, Suggestion, suggest
from .render import Carried, NotReadable, is_ours, read, read_carried, render, settings
from .siblings import Held, ask_siblings

_ASKING = BoundedSemaphore(2)
"""So many clusters are asked at the same time: each may keep a thread for seconds."""

_READING = Lock()
"""One JVM at a time; the second who asks the same Spark finds the answer kept."""

_NAMELESS = "PySpark"
"""What a kernel without a name is called for a moment."""

_OF_SPARK = ("environment", "spark_home", "env")
"""The fields that tell which Spark a kernel has, and how it is started."""


class Questions(Kernels):
    """Kernels that can be asked about."""

    def preview(self, data: object, editing: bool = False) -> Preview:
        """Check a kernel as `create` or `edit` would, and give what they would write.

        Raises:
            KernelError: what is wrong with it.

        """
        config, place = self._checked(data, _own_address(data) if editing else None)
        spec = render(config, user_name(os.getuid()), foreseen(config, place))
        defaults = site_settings(config, os.environ)
        return Preview(
            name=config.name,
            directory=str(place.kernels / config.name),
            kernel_json=spec,
            advice=_remarks(
                [
                    *on_ticket(config, os.environ),
                    *advise(config, self._catalogue(config), defaults),
                ]
            ),
        )

    def export(self, place_id: str, name: str, form: str) -> Export:
        """Give a kernel as text, without what looks like a secret.

        Raises:
            KernelError: when it is not there or cannot be read, or there is no such format.

        """
        kernel = self.kernel(place_id, name)
        if kernel.config is None:
            raise Invalid.at("name", f"{quoted(name)} cannot be read, so it cannot be exported.")
        archive = kernel.archive
        carried = None if archive is None else Carried(archive.digest, archive.uri)
        return export(read_config(kernel.config), carried, form)

    def cluster(self, data: object) -> ClusterReport:
        """Ask a kernel's cluster what it has, and tell whether the kernel's executors fit.

        That it does not answer is part of the report. It blocks for seconds.

        Args:
            data: a KernelConfig, of which other fields may be missing or wrong still.

        Raises:
            Invalid: when a field that the report depends on is wrong.
            Busy: when others are being asked already.

        """
        config = read_question(data)
        if not _ASKING.acquire(blocking=False):
            raise Busy.at("master", "Clusters are being asked already. Ask again in a moment.")
        try:
            return look(config, self._defaults(data))
        finally:
            _ASKING.release()

    def settings(self, data: object) -> Settings | Request:
        """Give the settings that a Spark knows, or the request to ask it for them.

        Args:
            data: a KernelConfig, of which nothing counts but the environment, the Spark home, and
                JAVA_HOME among the variables.

        Raises:
            KernelError: when that Spark cannot or may not be asked.

        """
        config = prepare(_only(data, _OF_SPARK), self._allowed)
        if (catalogue := self._catalogue(config)) is not None:
            return catalogue.shown()
        spark = _spark(config)
        check_spark(spark)
        return Request(
            kind="settings",
            title=f"Reading the settings of the Spark in {spark.name}",
            environment=config.environment,
            config={name: getattr(config, name) for name in _OF_SPARK},
        )

    def effective(self, data: object, everything: bool = False) -> Effective:
        """Give a kernel's effective configuration; what its Spark says of it when that was asked.

        Args:
            data: a KernelConfig, which may lack its name still.
            everything: whether to list also what only Spark's default sets.

        Raises:
            KernelError: what is wrong with it.

        """
        config = prepare(_only(data, KernelConfig.model_fields), self._allowed)
        place = self._place(config.place)
        path = defaults_path(config, os.environ)
        return effective(
            config,
            None if path is None else read_defaults(path),
            self._catalogue(config),
            carried=foreseen(config, place),
            by_template=self._policy.settled(config),
            variables=os.environ,
            everything=everything,
        )

    def compare(self, left: KernelAddress, right: KernelAddress) -> Comparison:
        """Tell two kernels apart.

        Raises:
            KernelError: when one of them is not there, or cannot be read.

        """
        configs = []
        for address in (left, right):
            config = self.kernel(address.place, address.name).config
            if config is None:
                raise Invalid.at(
                    "name", f"{quoted(address.name)} cannot be read, so it cannot be compared."
                )
            configs.append(config)
        return compare(*configs)

    def doctor(self, place_id: str, name: str) -> list[Diagnosis]:
        """Tell why a notebook of a kernel has no Spark, or would have none; nothing when it has.

        What the kernel names and is not there comes first; then what was met last, by a notebook or
        by a test.

        Raises:
            KernelError: when there is no such kernel, or it is not ours.

        """
        place = self._place(place_id)
        try:
            stored = store.read(place, name)
            if not is_ours(stored.spec):
                raise NotAllowed.at(
                    "name",
                    f"{quoted(name)} in {place.id} is no PySpark kernel of ours, so nothing is "
                    "known of it. Import it first.",
                )
            config = read_config({**read(stored.spec), "name": name, "place": place.id})
        except (store.Unreadable, NotReadable, Invalid) as error:
            return diagnose_unreadable(str(error))
        carried = read_carried(stored.spec)
        found = diagnose_files(config, None if carried is None else carried.uri)
        found += diagnose_ticket(config)
        met = _last_met(place.kernels / name, stored.etag, config)
        known = {diagnosis.rule for diagnosis in found}
        return found + [diagnosis for diagnosis in met if diagnosis.rule not in known]

    def receipt(self, place_id: str, name: str) -> KernelReceipt:
        """Tell what the last Spark of a kernel used, and what size would have done.

        Raises:
            KernelError: when there is no such kernel, or it cannot be read.

        """
        kernel = self.kernel(place_id, name)
        if kernel.config is None:
            raise Invalid.at("name", f"{quoted(name)} cannot be read, so nothing is known of it.")
        runs = last_runs(self._place(place_id).kernels / name)
        config = read_config(kernel.config)
        suggestion = suggest(config, runs)
        changes, errors = self._policy.within(config, suggestion.changes)
        settled = {error.field for error in errors}
        remarks = [remark for remark in suggestion.remarks if remark.field not in settled]
        return KernelReceipt(
            receipt=runs[-1] if runs else None,
            runs=len(runs),
            suggestion=Suggestion(changes=changes, remarks=[*remarks, *_remarks(errors)]),
        )

    def applications(self, here: Mapping[str, Held]) -> Applications:
        """List this user's Spark applications, with those that have no kernel any longer.

        Other servers of the user and clusters are asked; it blocks for seconds.

        Args:
            here: the kernels of this server.

        """
        return self._survey(here).shown()

    # --- below ---------------------------------------------------------------------------------

    def _survey(self, here: Mapping[str, Held]) -> Survey:
        runtime = Path(jupyter_runtime_dir())
        return Survey(runtime, here, ask_siblings(runtime), dict(self._known()))

    def _known(self) -> Iterator[tuple[str, Known]]:
        """Give what applications depend on of every kernel, by its directory."""
        folders = {place.id: place.kernels for place in self.places()}
        for kernel in self.kernels():
            config, of_spark = None, {}
            if kernel.config is not None:
                with suppress(KernelError):
                    # It may come from a version with other rules.
                    config = read_config(kernel.config)
                    of_spark = {**site_settings(config, os.environ), **settings(config)}
            directory = str(folders[kernel.place] / kernel.name)
            yield directory, Known(kernel.display_name, config, of_spark)

    def _ask(self, request: Request, report: Report) -> None:
        config = prepare(_only(request.config, _OF_SPARK), self._allowed)
        with _READING:
            ask(_settings_folder(), _spark(config), report)

    def _defaults(self, data: object) -> Mapping[str, str]:
        """Give what spark-defaults.conf says; nothing as long as nobody knows which Spark it is."""
        try:
            config = prepare(_only(data, _OF_SPARK), self._allowed)
        except KernelError:
            # The form says what is wrong with it.
            return {}
        return site_settings(config, os.environ)

    def _catalogue(self, config: KernelConfig) -> Catalogue | None:
        return kept(_settings_folder(), _spark(config))


def _own_address(data: object) -> KernelAddress | None:
    """Give where a kernel lies by what is said of it, before a template has filled in the rest."""
    if not isinstance(data, Mapping):
        return None
    return KernelAddress(place=str(data.get("place") or USER), name=str(data.get("name") or ""))


def _only(data: object, fields: Container[str]) -> KernelConfig:
    """Check some fields of a kernel that has no name yet, and none that is taken."""
    if not isinstance(data, Mapping):
        return read_config(data)
    given = {name: value for name, value in data.items() if name in fields and name != "name"}
    label = given.get("display_name") or _NAMELESS
    return read_config({**given, "name": "nameless", "display_name": label})


def _spark(config: KernelConfig) -> Spark:
    return Spark(config.environment, config.spark_home, config.env.get("JAVA_HOME"))


def _settings_folder() -> Path:
    return own_directory() / "settings"


def _last_met(kernel: Path, etag: str, config: KernelConfig) -> list[Diagnosis]:
    """Give what the last notebook or test of a kernel met, whichever was later."""
    tested = last_diagnoses(kernel, etag)
    left = latest(Path(jupyter_runtime_dir()) / STATUS_DIRECTORY, kernel)
    try:
        changed = os.path.getmtime(kernel / store.KERNEL_JSON)
    except FileNotFoundError:
        # The kernel was taken away at this moment.
        return []
    if left is not None and left.when < changed:
        # It is of an earlier version.
        left = None
    if left is None or (tested is not None and tested[0] > left.when):
        return [] if tested is None else tested[1]
    return diagnose(left.status, left.log, config)


def _remarks(errors: Sequence[FieldError]) -> list[Remark]:
    return [Remark(field=error.field, message=error.message) for error in errors]
