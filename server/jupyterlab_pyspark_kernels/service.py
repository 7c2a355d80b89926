"""What the product does, in order: validate, prepare, render, store.

The HTTP handlers and the command line both call this and nothing below it. Every method blocks on
the disk; the server calls them in threads.
"""

from __future__ import annotations

import json
import os
import pwd
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from . import store
from .advice import advise
from .config import KernelConfig, read_config
from .environments import (
    DEFAULT_ROOTS,
    Environment,
    find_environments,
    prepare,
    spark_home_problem,
)
from .errors import FieldError, Invalid, Missing, NotAllowed, Taken, quoted
from .fields import MAX_LABEL
from .places import USER, Place
from .render import METADATA_KEY, Kernelspec, NotReadable, is_ours, merge, read, render

_ASSETS = ("launcher.py", "logo-32x32.png", "logo-64x64.png")


class KernelSpecs(Protocol):
    """What we use of jupyter_client's KernelSpecManager."""

    def find_kernel_specs(self) -> dict[str, str]:
        """Map the name of every kernel to its directory."""

    def get_all_specs(self) -> dict[str, Any]:
        """Map the name of every readable kernel to its directory and content."""


class Remark(BaseModel):
    """An error or a piece of advice, and the field it belongs to."""

    field: str = Field(description="A field of KernelConfig; empty when it is none of them.")
    message: str


class Kernel(BaseModel):
    """A PySpark kernel as it lies in one of the places."""

    model_config = ConfigDict(frozen=True)

    name: str
    place: str = Field(description="The id of the place.")
    display_name: str
    config: Annotated[
        dict[str, JsonValue] | None,
        WithJsonSchema(
            {"anyOf": [{"$ref": "#/components/schemas/KernelConfig"}, {"type": "null"}]}
        ),
    ] = Field(description="What it was made from; null when that cannot be read.")
    etag: str = Field(description="What an edit gives as If-Match.")
    created_by: str
    writable: bool = Field(description="Whether this user can change it.")
    edited_by_hand: bool = Field(
        description="Whether kernel.json differs from what we would write."
    )
    hidden_by: str | None = Field(
        description="The directory of another kernel of the same name that Jupyter finds first."
    )
    problem: str | None = Field(description="Why Jupyter cannot read it; null when it can.")


class Preview(BaseModel):
    """What would be written, were the kernel created now."""

    name: str
    directory: str
    kernel_json: dict[str, JsonValue]
    advice: list[Remark]


class KernelService:
    """Kernels, places and environments of one user.

    Args:
        specs: Jupyter's own list of kernels, asked whether a name or label is free.
        find_places: lists the places, the user's own first.
        environment_roots: directories with an environment in each subdirectory.
        workspace: the folder the user works in.

    """

    def __init__(
        self,
        specs: KernelSpecs,
        find_places: Callable[[], list[Place]],
        environment_roots: Sequence[str] = DEFAULT_ROOTS,
        workspace: Path | None = None,
    ) -> None:
        self._specs = specs
        self.places = find_places
        # Nobody takes a name or a label between the look whether it is free and the writing.
        self._alone = Lock()
        self._environment_roots = environment_roots
        self._workspace = workspace

    # --- asking --------------------------------------------------------------------------------

    def environments(self) -> list[Environment]:
        """List the Python environments that were found."""
        return find_environments(self._environment_roots, self._workspace)

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
        kernels = []
        for place in self.places() if place_id is None else [self._place(place_id)]:
            for name in store.names(place):
                kernel = self._describe(place, name, found)
                if kernel is not None:
                    kernels.append(kernel)
        return kernels

    def kernel(self, place_id: str, name: str) -> Kernel:
        """Give one of our kernels.

        Raises:
            Missing: when it is not there, or is not ours.

        """
        place = self._place(place_id)
        kernel = self._describe(place, name, self._specs.find_kernel_specs())
        if kernel is None:
            raise _missing(place, name)
        return kernel

    def preview(self, data: object, editing: bool = False) -> Preview:
        """Check a kernel as `create` or `edit` would, and give what they would write.

        Raises:
            KernelError: what is wrong with it.

        """
        config, place = self._checked(data, editing)
        spec = render(config, _user())
        return Preview(
            name=config.name,
            directory=str(place.kernels / config.name),
            kernel_json=spec,
            advice=_remarks(advise(config)),
        )

    # --- writing -------------------------------------------------------------------------------

    def create(self, data: object) -> Kernel:
        """Write a new kernel.

        Raises:
            KernelError: what is wrong; nothing has been written then.

        """
        with self._alone:
            config, place = self._checked(data, editing=False)
            store.create(place, config.name, _files(render(config, _user())))
        return self.kernel(place.id, config.name)

    def edit(self, place_id: str, name: str, data: object, etag: str) -> Kernel:
        """Write a kernel anew, keeping what others added to its kernel.json.

        Args:
            place_id: the kernel's place.
            name: the kernel's name.
            data: the whole new KernelConfig.
            etag: of the version that the new one was made from.

        Raises:
            KernelError: what is wrong; the old version stays then.

        """
        old = self._ours(self._place(place_id), name)
        creator = old.spec["metadata"][METADATA_KEY].get("created_by") or _user()
        before = render(_read_kernel(old.spec, place_id, name), creator)
        with self._alone:
            config, place = self._checked(data, editing=True)
            if (config.place, config.name) != (place_id, name):
                raise Invalid.at(
                    "name",
                    f"The kernel is {quoted(name)} in {place_id}; an edit cannot move it to "
                    f"{quoted(config.name)} in {config.place}. Copy it instead.",
                )
            spec = merge(old.spec, before, render(config, creator))
            store.replace(place, name, _files(spec), etag)
        return self.kernel(place.id, name)

    def copy(self, place_id: str, name: str, new_name: str, new_place: str | None = None) -> Kernel:
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

    def _checked(self, data: object, editing: bool) -> tuple[KernelConfig, Place]:
        """Go through the flow up to the writing."""
        config = read_config(data)
        place = self._writable(config.place)
        if not editing:
            self._check_free(config)
        self._check_label(config)
        return prepare(config), place

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

    def _describe(self, place: Place, name: str, found: Mapping[str, str]) -> Kernel | None:
        first = Path(found.get(name.lower(), place.kernels / name))
        hidden_by = None if first == place.kernels / name else str(first)
        try:
            stored = store.read(place, name)
            if not is_ours(stored.spec):
                return None
            return _kernel(place, name, stored, hidden_by)
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


def _kernel(place: Place, name: str, stored: store.StoredKernel, hidden_by: str | None) -> Kernel:
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
        edited_by_hand=render(config, created_by) != stored.spec,
        hidden_by=hidden_by,
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


__all__ = ["USER", "Kernel", "KernelService", "Preview", "Remark"]
