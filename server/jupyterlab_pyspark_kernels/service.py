"""What the product does, in order: validate, prepare, render, store.

The HTTP handlers and the command line both call this and nothing below it. Every method blocks on
the disk; the server calls them in threads.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from threading import Lock
from typing import Literal

from . import store
from .carry import archives, carry, is_carried, sweep
from .config import KernelConfig
from .environments import why_not_allowed
from .errors import CannotBeDone, Invalid, Missing, NotAllowed, quoted
from .fields import MAX_LABEL
from .flight import Flight, fly
from .history import follow, remember_test
from .kernel import contents
from .kernels import read_kernel
from .models import KeptArchive, Kernel, KernelAddress, Request
from .moving import moved, read_move
from .owners import user_name
from .places import Place
from .progress import Report
from .questions import Questions
from .ready import check_ready, make_ready
from .render import (
    METADATA_KEY,
    Carried,
    Kernelspec,
    NotReadable,
    is_ours,
    merge,
    read_carried,
    read_start,
    render,
)
from .siblings import Held

_LOGOS = ("logo-32x32.png", "logo-64x64.png")


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


_ALONE = Lock()
"""Nobody takes a name or a label between the look whether it is free and the writing."""


class KernelService(Questions):
    """All that can be done with the kernels of one user."""

    def create(self, data: object) -> Kernel | Request:
        """Write a new kernel, or give the request for it when its environment is packed first.

        Raises:
            KernelError: what is wrong; nothing has been written then.

        """
        if not is_carried(self._admit(data)):
            return self._create(data)
        return _request("create", self._checked(data)[0])

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
        old = KernelAddress(place=place_id, name=name)
        config = self._admit(data, old)
        if (config.place, config.name) != (place_id, name):
            raise Invalid.at(
                "name",
                f"The kernel is {quoted(name)} in {place_id}; an edit cannot move it to "
                f"{quoted(config.name)} in {config.place}. Copy it instead.",
            )
        if not is_carried(config):
            return self._edit(old, data, etag)
        return _request("edit", self._checked(data, old)[0], old, etag)

    def move(self, place_id: str, name: str, data: object, etag: str) -> Kernel | Request:
        """Give a kernel another name or another place, or give the request for it.

        Args:
            place_id: the kernel's place.
            name: the kernel's name.
            data: what of place, name and display_name is to be another one.
            etag: of the version that is to be moved.

        Returns:
            the kernel as it is now, or the request for it when its environment is packed first.

        Raises:
            KernelError: what is wrong; the kernel stays as and where it is then.

        """
        place = self._writable(place_id)
        stored = self._ours(place, name)
        store.check_etag(name, stored, etag)
        old = KernelAddress(place=place_id, name=name)
        new = moved(read_kernel(stored.spec, place_id, name), read_move(data))
        if (new["place"], new["name"]) == (place_id, name):
            return self.edit(place_id, name, new, etag)
        config, to = self._checked(new, old)
        carried = read_carried(stored.spec)
        if is_carried(config) and (to != place or carried is None):
            return _request("move", config, old, etag)
        return self._move(old, new, etag, carried)

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

    def test(self, place_id: str, name: str) -> Request:
        """Give the request for a flight test of a kernel, as it lies in its place.

        Raises:
            KernelError: when it is not there, or cannot be read.

        """
        kernel = self.kernel(place_id, name)
        if kernel.config is None:
            raise Invalid.at("name", f"{quoted(name)} cannot be read, so it cannot be tested.")
        if not kernel.ours:
            raise NotAllowed.at(
                "name",
                f"{quoted(name)} was not made here, so it cannot be tested. Import it first.",
            )
        self._startable(self._place(place_id), name)
        return Request(
            kind="test",
            title=f"Testing “{kernel.display_name}”",
            place=place_id,
            name=name,
            environment=str(kernel.config["environment"]),
        )

    def test_draft(self, data: object) -> Request:
        """Give the request for a flight test of a kernel that was not written.

        Raises:
            KernelError: what is wrong with it.

        """
        config = self._draft(data)
        return Request(
            kind="test",
            title=f"Testing “{config.display_name}”",
            place=config.place,
            environment=config.environment,
            config=config.model_dump(),
        )

    def carry_out(self, request: Request, report: Report) -> Kernel | Flight | None:
        """Do the long work that was asked for.

        Returns:
            the kernel that was written, or what came of a test, if any.

        Raises:
            KernelError: why it cannot be done; nothing has been written then.
            Cancelled: when the report said so.

        """
        if request.kind == "ready":
            make_ready(str(request.environment), report)
            return None
        if request.kind == "test":
            return self._fly(request, report)
        if request.kind == "settings":
            self._ask(request, report)
            return None
        # It was checked before, perhaps before a restart of the server.
        old = KernelAddress(place=str(request.place), name=str(request.name))
        before = None if request.kind == "create" else old
        config, place = self._checked(request.config, before)
        carried = carry(config, place, report, request.verify)
        if request.kind == "create":
            return self._create(request.config, carried)
        if request.kind == "edit":
            return self._edit(old, request.config, request.etag, carried)
        return self._move(old, request.config, request.etag, carried)

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
        new = {**config, "name": new_name, "display_name": label, "place": place}
        # What a template says of whoever makes a kernel, it says anew of whoever copies one.
        return self.create(self._policy.renewed(new))

    def delete(self, place_id: str, name: str) -> None:
        """Take a kernel away; `undo` brings it back.

        Raises:
            KernelError: when it is not there, not ours, or not to be changed.

        """
        place = self._writable(place_id)
        self._ours(place, name)
        store.delete(place, name)

    def end_application(self, here: Mapping[str, Held], identity: str) -> None:
        """End an application of this user that has no kernel of this server.

        Args:
            here: the kernels of this server.
            identity: what the list calls it.

        Raises:
            KernelError: when there is none, or it cannot be ended from here.

        """
        self._survey(here).end(identity)

    def undo(self, place_id: str | None = None, name: str | None = None) -> Kernel:
        """Take back this user's last delete, edit or move.

        Args:
            place_id: take back the last one in this place.
            name: take back the last one of this kernel, so that a later change of another kernel,
                which perhaps cannot be taken back, does not stand before it.

        Raises:
            KernelError: when there is none, or it cannot be taken back.

        """
        place = None if place_id is None else self._place(place_id)
        found = [change for one in self.places() for change in store.undos(one)]
        changes = [change for change in found if change.concerns(place, name)]
        if not changes:
            of = "" if name is None else f" of {quoted(name)}"
            raise Missing.at("name", f"There is nothing to undo{of}.")
        last = max(changes, key=lambda change: change.when)
        for one in self.places():
            if one.id == last.place.id or (last.moved and one.kernels == last.moved[0]):
                self._writable(one.id)
        with _ALONE:
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
        with _ALONE:
            config, place = self._checked(data)
            store.create(
                place, config.name, _files(render(config, user_name(os.getuid()), carried))
            )
        return self.kernel(place.id, config.name)

    def _edit(
        self, old: KernelAddress, data: object, etag: str, carried: Carried | None = None
    ) -> Kernel:
        with _ALONE:
            config, place = self._checked(data, old)
            spec = self._rewritten(place, config.name, config, carried)
            store.replace(place, config.name, _files(spec), etag)
        return self.kernel(place.id, config.name)

    def _move(self, old: KernelAddress, data: object, etag: str, carried: Carried | None) -> Kernel:
        with _ALONE:
            config, to = self._checked(data, old)
            place = self._writable(old.place)
            files = _files(self._rewritten(place, old.name, config, carried))
            if to == place:
                store.rename(place, old.name, config.name, files, etag)
            else:
                store.move(place, old.name, to, config.name, files, etag)
        with suppress(OSError):
            # The kernel has moved; a disk that is full, or a home that is closed, loses only that.
            follow(place.kernels / old.name, to.kernels / config.name)
        return self.kernel(to.id, config.name)

    def _rewritten(
        self, place: Place, name: str, config: KernelConfig, carried: Carried | None
    ) -> Kernelspec:
        """Give the kernelspec of a new version, with what others added to the old one."""
        old = self._ours(place, name).spec
        creator = old["metadata"][METADATA_KEY].get("created_by") or user_name(os.getuid())
        before = render(read_kernel(old, place.id, name), creator, read_carried(old))
        return merge(old, before, render(config, creator, carried))

    def _startable(self, place: Place, name: str) -> store.StoredKernel:
        stored = self._ours(place, name)
        try:
            read_start(stored.spec)
        except NotReadable as error:
            raise NotAllowed.at(
                "name",
                f"{quoted(name)} cannot be started: {error}. "
                "Repair its kernel.json, or remove it and create it anew.",
            ) from None
        return stored

    def _fly(self, request: Request, report: Report) -> Flight:
        if request.config is None:
            place, name = self._place(str(request.place)), str(request.name)
            stored = self._startable(place, name)
            config = read_kernel(stored.spec, place.id, name)
            flight = fly(stored.spec, report, config=config)
            try:
                remember_test(place.kernels / name, stored.etag, flight)
            except OSError as error:
                # Its result counts; that it is not shown later is for the log.
                report.log(f"The result cannot be kept: {error.strerror}.")
            return flight
        config = self._draft(request.config)
        place = self._place(config.place)
        carried = carry(config, place, report) if is_carried(config) else None
        return fly(render(config, user_name(os.getuid()), carried), report, config=config)


_DOING = {"create": "Creating", "edit": "Changing", "move": "Moving"}


def _request(
    kind: Literal["create", "edit", "move"],
    config: KernelConfig,
    old: KernelAddress | None = None,
    etag: str = "",
) -> Request:
    return Request(
        kind=kind,
        title=f"{_DOING[kind]} “{config.display_name}”",
        place=old.place if old else config.place,
        name=old.name if old else config.name,
        etag=etag,
        environment=config.environment,
        config=config.model_dump(),
    )


def _archive_of(spec: Kernelspec) -> str | None:
    carried = read_carried(spec) if is_ours(spec) else None
    return None if carried is None else carried.digest


def _files(spec: Kernelspec) -> dict[str, bytes]:
    assets = files(__package__)
    logos = {name: assets.joinpath(name).read_bytes() for name in _LOGOS}
    text = json.dumps(spec, indent=1, ensure_ascii=False, allow_nan=False)
    return {**contents(), **logos, store.KERNEL_JSON: f"{text}\n".encode()}
