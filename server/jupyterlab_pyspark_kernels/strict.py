"""Jupyter's own list without the kernels that somebody else could change, for hubs that want it.

An administrator sets it in `jupyter_server_config`:

    c.ServerApp.kernel_spec_manager_class = "jupyterlab_pyspark_kernels.strict.TrustedKernels"
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from .listing import Listing
from .places import Place, directory_place, jupyter_places


class TrustedKernels(KernelSpecManager):
    """Offers and starts only what this user, root, or a shared place's owner could change.

    One that is hidden takes no name: the next of the same name, such as Jupyter's native kernel, is
    offered in its place.
    """

    def everything(self) -> KernelSpecManager:
        """Give Jupyter's list as it would be with the hidden ones."""
        return self._searching(self.kernel_dirs, self.ensure_native_kernel)

    def find_kernel_specs(self) -> dict[str, str]:
        """Map the name of every kernel that can be trusted to its directory."""
        is_trusted = _judge()
        found: dict[str, str] = {}
        for directory in self._directories():
            for name, path in directory.find_kernel_specs().items():
                if name not in found and is_trusted(path):
                    found[name] = path
        return found

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Give a kernelspec, which is what starting a kernel begins with.

        Raises:
            NoSuchKernel: also when the kernel cannot be trusted.

        """
        name, is_trusted = kernel_name.lower(), _judge()
        for directory in self._directories():
            path = directory.find_kernel_specs().get(name)
            if path is not None and is_trusted(path):
                spec: KernelSpec = directory.get_kernel_spec(name)
                # Two directories may have one name but for the case.
                if spec.resource_dir == path:
                    return spec
        raise NoSuchKernel(kernel_name)

    def get_all_specs(self) -> dict[str, Any]:
        """Map the name of every kernel that can be trusted to its directory and content.

        Each is judged once: Jupyter's own way asks for one after the other.
        """
        trusted = self.find_kernel_specs()
        return {
            name: found
            for directory in self._directories()
            for name, found in directory.get_all_specs().items()
            if trusted.get(name) == found["resource_dir"]
        }

    def _directories(self) -> list[KernelSpecManager]:
        """Give each directory that Jupyter searches, in its order, and what it has without any."""
        searched = [self._searching([path], False) for path in self.kernel_dirs]
        return [*searched, self._searching([], self.ensure_native_kernel)]

    def _searching(self, directories: list[str], native: bool) -> KernelSpecManager:
        return KernelSpecManager(
            parent=self.parent,
            log=self.log,
            kernel_dirs=directories,
            ensure_native_kernel=native,
            allowed_kernelspecs=self.allowed_kernelspecs,
            kernel_spec_class=self.kernel_spec_class,
        )


def _judge() -> Callable[[str], bool]:
    """Judge kernels by their directories, as our own list does."""
    listing = Listing({})
    known = {place.kernels: place for place in jupyter_places()}

    @cache
    def place(kernels: Path) -> Place:
        return known.get(kernels) or directory_place(kernels)

    def is_trusted(path: str) -> bool:
        directory = Path(path)
        return listing.why_untrusted(place(directory.parent), directory.name) is None

    return is_trusted
