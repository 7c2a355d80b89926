"""What the product does, in order: validate, prepare, render, store.

The HTTP handlers and the command line both call this and nothing below it. Every method blocks on
the disk; the server calls them in threads.
"""

from __future__ import annotations

import json
import os
import pwd
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol, TypeAlias

from pydantic import JsonValue

from . import store
from .advice import advise
from .carry import (
    Archive,
    archives,
    carry,
    check_carry,
    find_archive,
    foreseen,
    is_carried,
    sweep,
)
from .config import KernelConfig, read_config
from .environments import (
    DEFAULT_ROOTS,
    EnvironmentFinder,
    Found,
    prepare,
    spark_home_problem,
    why_not_allowed,
)
from .errors import (
    CannotBeDone,
    FieldError,
    Invalid,
    Missing,
    NotAllowed,
    Taken,
    quoted,
)
from .fields import MAX_LABEL
from .models import KeptArchive, Kernel, KernelAddress, KernelArchive, Preview, Remark, Request
from .places import Place
from .progress import Report
from .ready import check_ready, make_ready
from .render import (
    METADATA_KEY,
    Carried,
    Kernelspec,
    NotReadable,
    is_ours,
    merge,
    read,
    read_carried,
    render,
)

FindArchive: TypeAlias = Callable[[Place, str], Archive | None]

_ASSETS = ("launcher.py", "logo-32x32.png", "logo-64x64.png")


class KernelSpecs(Protocol):
    """What we use of jupyter_client's KernelSpecManager."""

    def find_kernel_specs(self) -> dict[str, str]:
        """Map the name of every kernel to its directory."""

    def get_all_specs(self) -> dict[str, Any]:
        """Map the name of every readable kernel to its directory and content."""


@dataclass(frozen=True)
class _Users:
    """Who needs archives.

    Attributes:
        kernels: the kernels that refer to each archive, by its digest.
        undo: the digests of those that undo could need.
        unreadable: kernels of which nobody knows what they need.

    """

    kernels: defaultdict[str, list[KernelAddress]]
    undo: set[str]
    unreadable: list[KernelAddress]


class KernelService:
    """Kernels, places and environments of one user.

    Args:
        specs: Jupyter's own list of kernels, asked whether a name or label is free.
        find_places: lists the places, the user's own first.
        environment_roots: directories with an environment in each subdirectory.
        workspace: the folder the user works in.
        allowed_environments: directories that environments must lie in; anywhere when empty.

    """

    def __init__(
        self,
        specs: KernelSpecs,
        find_places: Callable[[], list[Place]],
        environment_roots: Sequence[str] = DEFAULT_ROOTS,
        workspace: Path | None = None,
        allowed_environments: Sequence[str] = (),
    ) -> None:
        self._specs = specs
        self._allowed = allowed_environments
        self.places = find_places
        # Nobody takes a name or a label between the look whether it is free and the writing.
        self._alone = Lock()
        self._finder = EnvironmentFinder(environment_roots, workspace)

    # --- asking --------------------------------------------------------------------------------

    def environments(self) -> Found:
        """List the Python environments that were found."""
        return self._finder.find()

    def defaults(self) -> dict[str, JsonValue]:
        """Give the values that a new form begins with on this machine."""
        spark_home = os.environ.get("SPARK_HOME", "")
        if spark_home and spark_home_problem(spark_home) is None:
            return {"spark_home": spark_home}
        return {}

    def kernels(self, place_id: str | None = None) -> list[Kernel]:
        """List our kernels of all places or of one, and those that cannot be read.

        Raises:
            Invalid: when there is no such place.

        """
        found = self._specs.find_kernel_specs()
        # Many kernels share an archive, and what has changed since takes a walk over all files.
        look = cache(find_archive)
        kernels = []
        for place in self.places() if place_id is None else [self._place(place_id)]:
            for name in store.names(place):
                kernel = self._describe(place, name, found, look)
                if kernel is not None:
                    kernels.append(kernel)
        return kernels

    def kernel(self, place_id: str, name: str) -> Kernel:
        """Give one of our kernels.

        Raises:
            Missing: when it is not there, or is not ours.

        """
        place = self._place(place_id)
        found = self._specs.find_kernel_specs()
        kernel = self._describe(place, name, found, find_archive)
        if kernel is None:
            raise _missing(place, name)
        return kernel

    def preview(self, data: object, editing: bool = False) -> Preview:
        """Check a kernel as `create` or `edit` would, and give what they would write.

        Raises:
            KernelError: what is wrong with it.

        """
        config, place = self._checked(data, editing)
        spec = render(config, _user(), foreseen(config, place))
        return Preview(
            name=config.name,
            directory=str(place.kernels / config.name),
            kernel_json=spec,
            advice=_remarks(advise(config)),
        )

    # --- writing -------------------------------------------------------------------------------

    def create(self, data: object) -> Kernel | Request:
        """Write a new kernel, or give the request for it when its environment is packed first.

        Raises:
            KernelError: what is wrong; nothing has been written then.

        """
        if not is_carried(read_config(data)):
            return self._create(data)
        return _request("create", self._checked(data, editing=False)[0])

    def edit(self, place_id: str, name: str, data: object, etag: str) -> Kernel | Request:
        """Write a kernel anew, keeping what others added to its kernel.json.

        Args:
            place_id: the kernel's place.
            name: the kernel's name.
            data: the whole new KernelConfig.
            etag: of the version that the new one was made from.

        Returns:
            the new version, or the request for it when its environment is packed first.

        Raises:
            KernelError: what is wrong; the old version stays then.

        """
        store.check_etag(name, self._ours(self._place(place_id), name), etag)
        config = read_config(data)
        if (config.place, config.name) != (place_id, name):
            raise Invalid.at(
                "name",
                f"The kernel is {quoted(name)} in {place_id}; an edit cannot move it to "
                f"{quoted(config.name)} in {config.place}. Copy it instead.",
            )
        if not is_carried(config):
            return self._edit(data, etag)
        return _request("edit", self._checked(data, editing=True)[0], etag)

    def repack(self, place_id: str, name: str) -> Request:
        """Bring what a kernel's executors unpack to what its environment is now.

        Raises:
            KernelError: when that cannot be done.

        """
        kernel = self.kernel(place_id, name)
        request = kernel.config and self.edit(place_id, name, kernel.config, kernel.etag)
        if not isinstance(request, Request):
            raise Invalid.at("name", f"{quoted(name)} does not carry its environment.")
        # Whoever asks for it by name may have seen that the archive is damaged.
        return request.model_copy(update={"verify": True})

    def archives(self) -> list[KeptArchive]:
        """List the packed environments of all places, and who needs them."""
        users = self._users()
        return [
            KeptArchive(
                **vars(archive),
                place=place.id,
                used_by=users.kernels[archive.digest],
                kept_for_undo=archive.digest in users.undo,
            )
            for place in self.places()
            for archive in archives(place)
        ]

    def sweep(self, place_id: str | None = None) -> list[KeptArchive]:
        """Remove this user's packed environments that nothing refers to, and tell which they were.

        Args:
            place_id: only those of this place.

        Raises:
            NotAllowed: when a kernel cannot be read, so that nobody knows what it needs.
            KernelError: when the file system refuses.

        """
        users = self._users()
        if users.unreadable:
            names = ", ".join(f"{quoted(one.name)} in {one.place}" for one in users.unreadable)
            raise NotAllowed.at(
                "name",
                f"Nobody knows what these kernels need, as they cannot be read: {names}. Repair or "
                "remove them first.",
            )
        places = self.places() if place_id is None else [self._place(place_id)]
        return [
            KeptArchive(**vars(archive), place=place.id, used_by=[], kept_for_undo=False)
            for place in places
            if place.writable
            for archive in sweep(place, users.kernels.keys() | users.undo)
        ]

    def make_ready(self, path: str) -> Request:
        """Give the request to install into an environment what kernels need.

        Raises:
            KernelError: when that cannot or need not be done.

        """
        environment = check_ready(path)
        if (reason := why_not_allowed(environment.path, self._allowed)) is not None:
            raise CannotBeDone.at("environment", reason)
        return Request(
            kind="ready",
            title=f"Installing ipykernel into {environment.path}",
            environment=environment.path,
        )

    def carry_out(self, request: Request, report: Report) -> Kernel | None:
        """Do the long work that was asked for.

        Returns:
            the kernel that was written, if any.

        Raises:
            KernelError: why it cannot be done; nothing has been written then.
            Cancelled: when the report said so.

        """
        if request.kind == "ready":
            make_ready(str(request.environment), report)
            return None
        # It was checked before, perhaps before a restart of the server.
        config, place = self._checked(request.config, editing=request.kind == "edit")
        carried = carry(config, place, report, request.verify)
        if request.kind == "create":
            return self._create(request.config, carried)
        return self._edit(request.config, request.etag, carried)

    def copy(
        self, place_id: str, name: str, new_name: str, new_place: str | None = None
    ) -> Kernel | Request:
        """Create a kernel like another one, under a new name.

        Raises:
            KernelError: what is wrong; nothing has been written then.

        """
        config = self.kernel(place_id, name).config
        if config is None:
            raise Invalid.at("name", f"{quoted(name)} cannot be read, so it cannot be copied.")
        label = str(config["display_name"])
        suffix = f" ({new_name})"
        label = new_name if label == name else label[: MAX_LABEL - len(suffix)] + suffix
        place = new_place or place_id
        return self.create({**config, "name": new_name, "display_name": label, "place": place})

    def delete(self, place_id: str, name: str) -> None:
        """Take a kernel away; `undo` brings it back.

        Raises:
            KernelError: when it is not there, not ours, or not to be changed.

        """
        place = self._writable(place_id)
        self._ours(place, name)
        store.delete(place, name)

    def undo(self, place_id: str | None = None, name: str | None = None) -> Kernel:
        """Take back this user's last delete or edit.

        Args:
            place_id: take back the last one in this place.
            name: take back the last one of this kernel, so that a later change of another kernel,
                which perhaps cannot be taken back, does not stand before it.

        Raises:
            KernelError: when there is none, or it cannot be taken back.

        """
        places = self.places() if place_id is None else [self._place(place_id)]
        changes = [change for place in places for change in store.undos(place)]
        changes = [change for change in changes if name in (None, change.name)]
        if not changes:
            of = "" if name is None else f" of {quoted(name)}"
            raise Missing.at("name", f"There is nothing to undo{of}.")
        last = max(changes, key=lambda change: change.when)
        with self._alone:
            store.undo(last)
        return self.kernel(last.place.id, last.name)

    # --- below ---------------------------------------------------------------------------------

    def _users(self) -> _Users:
        """Tell who needs which archive.

        All places are looked at: a kernel that was copied still refers to the archive of the first.
        """
        users = _Users(defaultdict(list), set(), [])
        for place in self.places():
            for name, spec in store.specs(place):
                address = KernelAddress(place=place.id, name=name)
                if spec is None:
                    users.unreadable.append(address)
                elif (digest := _archive_of(spec)) is not None:
                    users.kernels[digest].append(address)
            users.undo.update(filter(None, map(_archive_of, store.kept_specs(place))))
        return users

    def _create(self, data: object, carried: Carried | None = None) -> Kernel:
        with self._alone:
            config, place = self._checked(data, editing=False)
            store.create(place, config.name, _files(render(config, _user(), carried)))
        return self.kernel(place.id, config.name)

    def _edit(self, data: object, etag: str, carried: Carried | None = None) -> Kernel:
        with self._alone:
            config, place = self._checked(data, editing=True)
            name = config.name
            old = self._ours(place, name).spec
            creator = old["metadata"][METADATA_KEY].get("created_by") or _user()
            before = render(_read_kernel(old, place.id, name), creator, read_carried(old))
            spec = merge(old, before, render(config, creator, carried))
            store.replace(place, name, _files(spec), etag)
        return self.kernel(place.id, name)

    def _checked(self, data: object, editing: bool) -> tuple[KernelConfig, Place]:
        """Go through the flow up to the writing."""
        config = read_config(data)
        place = self._writable(config.place)
        if not editing:
            self._check_free(config)
        self._check_label(config)
        check_carry(config)
        return prepare(config, self._allowed), place

    def _place(self, place_id: str) -> Place:
        for place in self.places():
            if place.id == place_id:
                return place
        known = ", ".join(place.id for place in self.places())
        raise Invalid.at("place", f"There is no place {quoted(place_id)}. Choose one of: {known}.")

    def _writable(self, place_id: str) -> Place:
        place = self._place(place_id)
        if place.reason is not None:
            raise NotAllowed.at("place", f"{place.reason} Or choose another place.")
        return place

    def _check_free(self, config: KernelConfig) -> None:
        # Jupyter folds case and takes the first of equal names, so any such kernel would hide
        # another or be hidden.
        where = self._specs.find_kernel_specs().get(config.name)
        if where is None:
            here = [place.kernels for place in self.places() if store.exists(place, config.name)]
            where = str(here[0] / config.name) if here else None
        if where is not None:
            raise Taken.at(
                "name", f"{quoted(config.name)} exists already in {where}. Choose another name."
            )

    def _check_label(self, config: KernelConfig) -> None:
        for name, found in self._specs.get_all_specs().items():
            label = found["spec"].get("display_name")
            if name != config.name and _alike(label, config.display_name):
                raise Taken.at(
                    "display_name",
                    f"The kernel {quoted(name)} is called {quoted(label)} already. "
                    "Choose another name, so that they can be told apart.",
                )

    def _ours(self, place: Place, name: str) -> store.StoredKernel:
        try:
            stored = store.read(place, name)
        except store.Unreadable as error:
            raise NotAllowed.at("name", f"{quoted(name)} is not changed: {error}.") from None
        if not is_ours(stored.spec):
            raise NotAllowed.at(
                "name", f"{quoted(name)} was not made here, so it is not changed here."
            )
        return stored

    def _describe(
        self, place: Place, name: str, found: Mapping[str, str], look: FindArchive
    ) -> Kernel | None:
        first = Path(found.get(name.lower(), place.kernels / name))
        hidden_by = None if first == place.kernels / name else str(first)
        try:
            stored = store.read(place, name)
            if not is_ours(stored.spec):
                return None
            return _kernel(place, name, stored, hidden_by, look)
        except Missing:
            return None
        except (store.Unreadable, NotReadable, Invalid) as error:
            return _unreadable(place, name, hidden_by, str(error))


def _read_kernel(spec: Kernelspec, place_id: str, name: str) -> KernelConfig:
    """Read what a kernel of ours was made from.

    Raises:
        NotAllowed: when that has been damaged, so that an edit would lose what is there.

    """
    try:
        return read_config({**read(spec), "name": name, "place": place_id})
    except (NotReadable, Invalid) as error:
        raise NotAllowed.at(
            "name",
            f"{quoted(name)} cannot be edited, as what it was made from cannot be read: {error}. "
            "Repair its kernel.json, or remove it and create it anew.",
        ) from None


def _request(kind: Literal["create", "edit"], config: KernelConfig, etag: str = "") -> Request:
    doing = "Creating" if kind == "create" else "Changing"
    return Request(
        kind=kind,
        title=f"{doing} “{config.display_name}”",
        place=config.place,
        name=config.name,
        etag=etag,
        environment=config.environment,
        config=config.model_dump(),
    )


def _archive_of(spec: Kernelspec) -> str | None:
    carried = read_carried(spec) if is_ours(spec) else None
    return None if carried is None else carried.digest


def _kernel_archive(place: Place, spec: Kernelspec, look: FindArchive) -> KernelArchive | None:
    carried = read_carried(spec)
    if carried is None:
        return None
    archive = look(place, carried.digest)
    gone = None if _is_elsewhere(carried.uri) else "The archive is gone."
    return KernelArchive(
        digest=carried.digest,
        uri=carried.uri,
        bytes=archive and archive.bytes,
        drift=archive.drift if archive else gone,
    )


def _is_elsewhere(uri: str) -> bool:
    return not uri.startswith("/")


def _kernel(
    place: Place,
    name: str,
    stored: store.StoredKernel,
    hidden_by: str | None,
    look: FindArchive,
) -> Kernel:
    config = read_config({**read(stored.spec), "name": name, "place": place.id})
    created_by = str(stored.spec["metadata"][METADATA_KEY].get("created_by", ""))
    return Kernel(
        name=name,
        place=place.id,
        display_name=str(stored.spec.get("display_name", "")),
        config=config.model_dump(exclude_none=True),
        etag=stored.etag,
        created_by=created_by,
        writable=place.writable,
        edited_by_hand=render(config, created_by, read_carried(stored.spec)) != stored.spec,
        hidden_by=hidden_by,
        archive=_kernel_archive(place, stored.spec, look),
        problem=None,
    )


def _unreadable(place: Place, name: str, hidden_by: str | None, reason: str) -> Kernel:
    return Kernel(
        name=name,
        place=place.id,
        display_name=name,
        config=None,
        etag="",
        created_by="",
        writable=place.writable,
        edited_by_hand=True,
        hidden_by=hidden_by,
        archive=None,
        problem=reason,
    )


def _missing(place: Place, name: str) -> Missing:
    return Missing.at("name", f"There is no kernel {quoted(name)} of ours in {place.id}.")


def _remarks(errors: Sequence[FieldError]) -> list[Remark]:
    return [Remark(field=error.field, message=error.message) for error in errors]


def _alike(label: object, other: str) -> bool:
    return isinstance(label, str) and _folded(label) == _folded(other)


def _folded(label: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def _files(spec: Kernelspec) -> dict[str, bytes]:
    assets = files(__package__)
    content = {name: assets.joinpath(name).read_bytes() for name in _ASSETS}
    text = json.dumps(spec, indent=1, ensure_ascii=False, allow_nan=False)
    return {**content, store.KERNEL_JSON: f"{text}\n".encode()}


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # Containers run under numbers that nobody registered.
        return str(os.getuid())
