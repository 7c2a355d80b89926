"""What the administrator configured: the same for the server and for the command line.

The server hands over its traits. The command line reads them where the server does, in
`jupyter_server_config` on Jupyter's configuration path. Both add what the environment says, which
whoever starts them sets: a JupyterHub for all of its servers and for the terminals in them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from jupyter_core.application import JupyterApp
from traitlets.config import Config

from .errors import CannotBeDone, quoted
from .policy import Administration

SECTION = "PySparkKernels"
"""The class of the server extension, as configuration files name it."""

_PREFIX = "PYSPARK_KERNELS_"
_YES = {"1", "true", "yes"}


def administration(
    directories: Iterable[str] = (),
    administrators: Iterable[str] = (),
    require_template: bool = False,
    may_share: Iterable[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Administration:
    """Put together what the configuration and the environment say; neither takes from the other."""

    def more(name: str) -> list[str]:
        return [item for item in environ.get(_PREFIX + name, "").split(os.pathsep) if item]

    return Administration(
        directories=(*more("TEMPLATE_DIRECTORIES"), *directories),
        administrators=(*more("TEMPLATE_ADMINISTRATORS"), *administrators),
        require_template=require_template
        or environ.get(f"{_PREFIX}REQUIRE_TEMPLATE", "").lower() in _YES,
        may_share=(*more("MAY_SHARE"), *may_share),
    )


class _Reader(JupyterApp):
    """Reads the server's configuration files; nothing else of an application is used."""

    name = "jupyter-server"
    config_file_name = "jupyter_server_config"
    raise_config_file_errors = True


def configured(environ: Mapping[str, str] = os.environ) -> Administration:
    """Read for the command line what the server would be told.

    Raises:
        CannotBeDone: when a configuration file cannot be read: what it settles is not known then.

    """
    reader = _Reader()
    try:
        reader.load_config_file(suppress_errors=False)
    except Exception as error:
        raise CannotBeDone.at(
            "", f"jupyter_server_config cannot be read: {quoted(error)}. Repair it first."
        ) from error
    found: Mapping[str, Any] = reader.config.get(SECTION, Config())
    return administration(
        directories=found.get("template_directories", ()),
        administrators=found.get("template_administrators", ()),
        require_template=bool(found.get("require_template", False)),
        may_share=found.get("may_share", ()),
        environ=environ,
    )
