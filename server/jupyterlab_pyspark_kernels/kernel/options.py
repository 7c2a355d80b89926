"""What PYSPARK_SUBMIT_ARGS says to the launcher; the rest is Spark's business."""

from __future__ import annotations

import os
import re
import shlex


class SubmitOptions:
    """What PYSPARK_SUBMIT_ARGS says to this file; the rest is Spark's business."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens = shlex.split(text)
        pairs = list(zip(tokens, tokens[1:]))
        self.remote = next((value for option, value in pairs if option == "--remote"), None)
        master = next((value for option, value in pairs if option == "--master"), None)
        self.master = self.remote or master or "local[*]"
        settings = [value.partition("=") for option, value in pairs if option == "--conf"]
        self.conf = {key: value for key, _, value in settings}
        self.properties_file = next(
            (value for key, value in pairs if key == "--properties-file"), None
        )


def submit_options() -> SubmitOptions:
    """Read the options that the kernel was given."""
    return SubmitOptions(os.environ.get("PYSPARK_SUBMIT_ARGS", ""))


def without_token(master: str) -> str:
    """Give a master without the parameters of Spark Connect, of which one is a password."""
    return master.partition(";")[0] if master.startswith("sc://") else master


def is_local(master: str) -> bool:
    """Tell whether the driver itself does the work of executors."""
    return re.match(r"local(\[|$)", master) is not None
