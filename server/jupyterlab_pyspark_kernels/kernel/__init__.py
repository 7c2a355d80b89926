"""What runs in a kernel: these files are copied into every kernel's directory.

They need the standard library of Python 3.8, ipykernel and PySpark, and nothing of the server.
"""

from importlib.resources import files

FILES = tuple(
    sorted(
        file.name
        for file in files(__package__).iterdir()
        if file.name.endswith((".py", ".json")) and not file.name.startswith("_")
    )
)
"""The names of what is copied."""


def contents() -> dict[str, bytes]:
    """Give what is copied, by name."""
    folder = files(__package__)
    return {name: folder.joinpath(name).read_bytes() for name in FILES}
