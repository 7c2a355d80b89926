"""The kernels of one user: found, read, and checked before they are written.

Nothing is written here. Every method blocks on the disk.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from pydantic import JsonValue

from . import store
from .carry import check_carry, is_carried
from .config import KernelConfig, read_config
from .environments import DEFAULT_ROOTS, EnvironmentFinder, Found, prepare, spark_home_problem
from .errors import Invalid, KernelError, Missing, NotAllowed, Taken, quoted
from .identity import check_identity
from .listing import Listing
from .models import Kernel, KernelAddress
from .moving import check_reach
from .places import Place
from .policy import Offers, Policy
from .render import Kernelspec, NotReadable, is_ours, read
from .secrecy import check_secrets


class KernelSpecs(Protocol):
    """What we use of jupyter_client's KernelSpecManager."""

    def find_kernel_specs(self) -> dict[str, str]:
        """Map the name of every kernel to its directory."""

    def get_all_specs(self) -> dict[str, Any]:
        """Map the name of every readable kernel to its directory and content."""


class Kernels:
    """Kernels, places and environments of one user.

    Args:
        specs: Jupyter's own list of kernels, asked whether a name or label is free.
        find_places: lists the places, the user's own first.
        environment_roots: directories with an environment in each subdirectory.
        workspace: the folder the user works in.
        allowed_environments: directories that environments must lie in; anywhere when empty.
        policy: what the administrator has settled.

    """

    def __init__(
        self,
        specs: KernelSpecs,
        find_places: Callable[[], list[Place]],
        environment_roots: Sequence[str] = DEFAULT_ROOTS,
        workspace: Path | None = None,
        allowed_environments: Sequence[str] = (),
        policy: Policy | None = None,
    ) -> None:
        self._specs = specs
        self._allowed = allowed_environments
        self._policy = policy or Policy()
        self._find_places = find_places
        self._finder = EnvironmentFinder(environment_roots, workspace)

    def places(self) -> list[Place]:
        """List where kernels can lie, and why this user may not write to some of it."""
        return self._policy.places(self._find_places())

    def templates(self) -> Offers:
        """List what the administrator offers to begin with."""
        return self._policy.offers()

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
        listing = Listing(self._specs.find_kernel_specs())
        places = self.places() if place_id is None else [self._place(place_id)]
        found = (listing.describe(place, name) for place in places for name in store.names(place))
        return self._with_templates([kernel for kernel in found if kernel is not None])

    def kernel(self, place_id: str, name: str) -> Kernel:
        """Give one of our kernels.

        Raises:
            Missing: when it is not there, or is not ours.

        """
        place = self._place(place_id)
        kernel = Listing(self._specs.find_kernel_specs()).describe(place, name)
        if kernel is None:
            raise _missing(place, name)
        return self._with_templates([kernel])[0]

    # --- below ---------------------------------------------------------------------------------

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

    def _ours(self, place: Place, name: str) -> store.StoredKernel:
        stored = store.read_to_change(place, name)
        if not is_ours(stored.spec):
            raise NotAllowed.at(
                "name", f"{quoted(name)} was not made here, so it is not changed here."
            )
        return stored

    def _checked(
        self, data: object, old: KernelAddress | None = None
    ) -> tuple[KernelConfig, Place]:
        """Go through the flow up to the writing.

        Args:
            data: a KernelConfig.
            old: where the kernel lies already, if it does.

        """
        config = self._admit(data, old)
        place = self._writable(config.place)
        self._policy.check_place(config, place)
        if old != KernelAddress(place=config.place, name=config.name):
            self._check_free(config, old)
        self._check_label(config, old)
        check_secrets(config)
        check_identity(config)
        check_carry(config)
        config = prepare(config, self._allowed)
        if old is not None and old.place != place.id:
            check_reach(config, place)
        return config, place

    def _draft(self, data: object) -> KernelConfig:
        """Check what matters to a test; a name that is taken does not."""
        config = self._admit(data)
        check_secrets(config)
        check_identity(config)
        check_carry(config)
        place = self._writable if is_carried(config) else self._place
        place(config.place)
        return prepare(config, self._allowed)

    def _admit(self, data: object, old: KernelAddress | None = None) -> KernelConfig:
        """Hold what was asked for against what the administrator has settled.

        Args:
            data: the kernel as it was asked for.
            old: where the kernel lies that it takes the place of, if there is one.

        """
        return self._policy.admit(data, None if old is None else self._before(old))

    def _before(self, old: KernelAddress) -> KernelConfig | None:
        try:
            stored = self._ours(self._place(old.place), old.name)
            return read_kernel(stored.spec, old.place, old.name)
        except KernelError:
            # Whatever is wrong with it, the change itself will say.
            return None

    def _with_templates(self, kernels: list[Kernel]) -> list[Kernel]:
        """Tell of each kernel what has become of its template."""
        catalog = self._policy.catalog()
        return [
            kernel
            if kernel.config is None
            else kernel.model_copy(
                update={"outdated": self._policy.outdated(kernel.config.get("template"), catalog)}
            )
            for kernel in kernels
        ]

    def _check_free(self, config: KernelConfig, old: KernelAddress | None) -> None:
        # Jupyter folds case and takes the first of equal names, so any such kernel would hide
        # another or be hidden.
        known = self._specs.find_kernel_specs().get(config.name)
        here = [place.kernels / config.name for place in self.places()]
        taken = [Path(known)] if known is not None else []
        taken += [path for path in here if os.path.lexists(path)]
        own = None if old is None else self._place(old.place).kernels / old.name
        where: list[Path | str] = [path for path in taken if path != own]
        if config.name == NATIVE_KERNEL_NAME:
            # Jupyter offers it without any directory, unless it is told not to for the moment.
            where.append("Jupyter itself")
        for path in where:
            raise Taken.at(
                "name", f"{quoted(config.name)} exists already in {path}. Choose another name."
            )

    def _check_label(self, config: KernelConfig, old: KernelAddress | None) -> None:
        own = {config.name, old.name if old is not None else config.name}
        for name, found in self._specs.get_all_specs().items():
            label = found["spec"].get("display_name")
            if name not in own and _alike(label, config.display_name):
                raise Taken.at(
                    "display_name",
                    f"The kernel {quoted(name)} is called {quoted(label)} already. "
                    "Choose another name, so that they can be told apart.",
                )


def read_kernel(spec: Kernelspec, place_id: str, name: str) -> KernelConfig:
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


def _missing(place: Place, name: str) -> Missing:
    return Missing.at("name", f"There is no kernel {quoted(name)} of ours in {place.id}.")


def _alike(label: object, other: str) -> bool:
    return isinstance(label, str) and _folded(label) == _folded(other)


def _folded(label: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())
