"""`jupyter pyspark-kernels …` ⇄ service, and nothing else.

The options of `create` and `edit` are derived from KernelConfig. Long options may be written with
dashes or underscores, and any `--spark.key value` is a setting, as in the original script.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from pydantic import BaseModel

from .config import CONF_KEYS, KernelConfig
from .errors import FieldError, Invalid, KernelError, Missing, NotAllowed, quoted
from .places import Place, directory_place, jupyter_places
from .service import Kernel, KernelService

DONE, FAILED, WRONG_INPUT = 0, 1, 2
_WRONG_INPUT_STATUSES = {400, 404, 409, 422}

_MAPPINGS = {"conf": "KEY=VALUE", "env": "NAME=VALUE"}
_SHORT = {
    "name": ("-k", "--kernel-name"),
    "environment": ("-e", "--venv-dir-path"),
    "master": ("--spark-master",),
}
"""What the original script calls these fields."""

_SEPARATE = {"place"}
"""Fields that have an option of their own kind."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        the exit code: 0 done, 1 failed, 2 wrong input.

    """
    given, settings = _split_settings(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    if settings and not hasattr(options, "conf"):
        _parser().error(f"--{next(iter(settings))} belongs to create and edit only")
    options.settings = settings
    try:
        options.run(_service(options), options)
    except KernelError as error:
        _print_error(error, options.json)
        return WRONG_INPUT if error.status in _WRONG_INPUT_STATUSES else FAILED
    return DONE


def _split_settings(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Take `--spark.key value` out, and write the other long options with dashes."""
    rest: list[str] = []
    settings: dict[str, str] = {}
    remaining = iter(arguments)
    for argument in remaining:
        option, equals, value = argument.partition("=")
        if option.startswith("--spark."):
            settings[option.removeprefix("--")] = value if equals else next(remaining, "")
        elif option.startswith("--"):
            rest.append(option.replace("_", "-") + equals + value)
        else:
            rest.append(argument)
    return rest, settings


# --- what can be said --------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter pyspark-kernels",
        description="Create and manage PySpark kernels.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = _command(commands, "create", _create, "Write a new kernel.")
    _add_fields(create)
    create.add_argument(
        "--dry-run", action="store_true", help="show the kernel.json, write nothing"
    )
    _command(commands, "list", _list, "List the kernels of all places.")
    show = _command(commands, "show", _show, "Show one kernel.")
    edit = _command(commands, "edit", _edit, "Change some fields of a kernel.")
    _add_fields(edit)
    edit.add_argument(
        "--unset",
        action="append",
        default=[],
        metavar="FIELD",
        help="a field, spark.* setting or environment variable to take out",
    )
    copy = _command(commands, "copy", _copy, "Create a kernel like another one.")
    remove = _command(commands, "remove", _remove, "Take a kernel away; undo brings it back.")
    undo = _command(commands, "undo", _undo, "Take back the last remove or edit.")
    for command in (show, edit, copy, remove):
        command.add_argument("kernel", metavar="NAME", help="the kernel's name")
    undo.add_argument("kernel", metavar="NAME", nargs="?", help="only the last one of this kernel")
    copy.add_argument("new", metavar="NEW", help="the new kernel's name")
    return parser


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--place", help="id of the place, as list shows it")
    parser.add_argument(
        "-d",
        "--kernels-dir",
        "--kernels-dir-path",
        type=Path,
        help="a kernels directory, in place of --place",
    )
    return parser


def _add_fields(parser: argparse.ArgumentParser) -> None:
    fields = parser.add_argument_group("the kernel")
    for name, field in KernelConfig.model_fields.items():
        if name in _SEPARATE:
            continue
        text = (field.description or "").replace("%", "%%")
        options = (*_SHORT.get(name, ()), f"--{name.replace('_', '-')}")
        if name in _MAPPINGS:
            fields.add_argument(
                *options, action="append", default=[], metavar=_MAPPINGS[name], help=text
            )
        else:
            fields.add_argument(*options, dest=name, help=text)
    fields.add_argument(
        "--spark.KEY", dest="_", metavar="VALUE", help="any Spark setting, like --conf KEY=VALUE"
    )


def _config_data(options: argparse.Namespace) -> dict[str, Any]:
    """Collect what was given of a KernelConfig."""
    data = {
        name: getattr(options, name)
        for name in KernelConfig.model_fields
        if name not in _SEPARATE and name not in _MAPPINGS and getattr(options, name) is not None
    }
    conf = {**_pairs("conf", options.conf), **options.settings}
    return {**data, "conf": conf, "env": _pairs("env", options.env)}


def _pairs(field: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    errors = [
        FieldError(field, f"{quoted(name)} lacks a value. Write {_MAPPINGS[field]}.")
        for name, equals, _ in pairs
        if not equals
    ]
    if errors:
        raise Invalid(errors)
    return {name: value for name, _, value in pairs}


# --- the commands ------------------------------------------------------------------------------


def _service(options: argparse.Namespace) -> KernelService:
    # Read now: `copy` looks for its first kernel elsewhere than where the second goes.
    kernels_dir = options.kernels_dir
    return KernelService(KernelSpecManager(), lambda: _places(kernels_dir))


def _places(kernels_dir: Path | None) -> list[Place]:
    places = jupyter_places()
    if kernels_dir is None or any(_same(place, kernels_dir) for place in places):
        return places
    return [*places, directory_place(kernels_dir.absolute())]


def _same(place: Place, kernels_dir: Path) -> bool:
    return place.kernels.resolve() == kernels_dir.resolve()


def _place_id(service: KernelService, options: argparse.Namespace) -> str | None:
    if options.kernels_dir is None:
        return str(options.place) if options.place else None
    return next(place.id for place in service.places() if _same(place, options.kernels_dir))


def _find(service: KernelService, options: argparse.Namespace) -> Kernel:
    """Give the kernel of a name: where the options say, or in the first place that has it."""
    place = _place_id(service, options)
    if place is not None:
        return service.kernel(place, options.kernel)
    for kernel in service.kernels():
        if kernel.name == options.kernel:
            return kernel
    raise Missing.at(
        "name", f"There is no kernel {quoted(options.kernel)} of ours. See: pyspark-kernels list."
    )


def _create(service: KernelService, options: argparse.Namespace) -> None:
    data = {**_config_data(options), "place": _place_id(service, options) or "user"}
    preview = service.preview(data)
    if options.dry_run:
        _print(preview, options.json, json.dumps(preview.kernel_json, indent=1))
        return
    kernel = service.create(data)
    hints = [f"Hint ({remark.field}): {remark.message}" for remark in preview.advice]
    _print(kernel, options.json, "\n".join([f"Created {preview.directory}", *hints]))


def _list(service: KernelService, options: argparse.Namespace) -> None:
    kernels = service.kernels(_place_id(service, options))
    rows = [("NAME", "PLACE", "MASTER", "ENVIRONMENT", "")]
    for kernel in kernels:
        config = kernel.config or {}
        rows.append(
            (
                kernel.name,
                kernel.place,
                str(config.get("master", "")),
                str(config.get("environment", "")),
                kernel.problem or (f"hidden by {kernel.hidden_by}" if kernel.hidden_by else ""),
            )
        )
    _print(kernels, options.json, _table(rows))


def _show(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    rows = [(field, _flat(value)) for field, value in (kernel.config or {}).items()]
    rows += [("created_by", kernel.created_by), ("problem", kernel.problem or "none")]
    _print(kernel, options.json, _table(rows))


def _edit(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    if kernel.config is None:
        raise NotAllowed.at(
            "name", f"{quoted(kernel.name)} cannot be edited: {kernel.problem}. Repair it by hand."
        )
    new = _merged(kernel.config, _config_data(options), options.unset)
    edited = service.edit(kernel.place, kernel.name, new, kernel.etag)
    _print(edited, options.json, f"Edited {edited.name}")


def _merged(old: Mapping[str, Any], given: Mapping[str, Any], unset: list[str]) -> dict[str, Any]:
    # A setting that has a field of its own is known by either name.
    replaced = {field for field, key in CONF_KEYS.items() if key in given["conf"]}
    kept = {field: value for field, value in old.items() if field not in replaced}
    new: dict[str, Any] = {**kept, **given}
    for field in _MAPPINGS:
        new[field] = {**old.get(field, {}), **given[field]}
    fields = {key: field for field, key in CONF_KEYS.items()}
    for name in unset:
        name = fields.get(name, name)
        holders = [holder for holder in (new, new["conf"], new["env"]) if name in holder]
        if not holders:
            raise Invalid.at(
                "", f"--unset {quoted(name)}: the kernel has no such field or setting."
            )
        for holder in holders:
            del holder[name]
        # A group that was taken out whole is empty now.
        new = {"conf": {}, "env": {}, **new}
    return new


def _copy(service: KernelService, options: argparse.Namespace) -> None:
    place = _place_id(service, options)
    options.kernels_dir = options.place = None
    kernel = _find(service, options)
    copied = service.copy(kernel.place, kernel.name, options.new, place)
    _print(copied, options.json, f"Created {copied.name} in {copied.place}")


def _remove(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    service.delete(kernel.place, kernel.name)
    _print(kernel, options.json, f"Removed {kernel.name}; undo brings it back")


def _undo(service: KernelService, options: argparse.Namespace) -> None:
    kernel = service.undo(_place_id(service, options), options.kernel)
    _print(kernel, options.json, f"{kernel.name} in {kernel.place} is as it was before")


# --- printing ----------------------------------------------------------------------------------


def _print(value: BaseModel | Sequence[BaseModel], as_json: bool, text: str) -> None:
    if not as_json:
        print(_printable(text))
    elif isinstance(value, BaseModel):
        print(json.dumps(value.model_dump(mode="json"), indent=1))
    else:
        print(json.dumps([item.model_dump(mode="json") for item in value], indent=1))


def _print_error(error: KernelError, as_json: bool) -> None:
    errors = [{"field": item.field, "message": item.message} for item in error.errors]
    if as_json:
        body = {"message": str(error), "reason": error.reason, "errors": errors}
        print(json.dumps(body, indent=1), file=sys.stderr)
        return
    for item in error.errors:
        where = f"{item.field}: " if item.field else ""
        print(_printable(where + item.message), file=sys.stderr)


def _printable(text: str) -> str:
    """Escape what could move a terminal's cursor; kernels may be edited by hand."""
    return re.sub(r"[^\n\x20-\x7e\u00a0-\U0010ffff]", lambda found: f"\\x{ord(found[0]):02x}", text)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
