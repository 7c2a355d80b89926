"""`jupyter pyspark-kernels …` ⇄ service, and nothing else.

The options of `create` and `edit` are derived from KernelConfig. Long options may be written with
dashes or underscores, and any `--spark.key value` is a setting, as in the original script.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager

from .config import CONF_KEYS, KernelConfig
from .console import Console, flat, print_error, print_value, printable, table
from .environments import inspect_environment
from .errors import FieldError, Invalid, KernelError, Missing, NotAllowed, quoted
from .hocon import from_template
from .models import Kernel, Request
from .places import Place, directory_place, jupyter_places
from .progress import Cancelled
from .service import KernelService

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
    except (KeyboardInterrupt, Cancelled):
        print("Cancelled.", file=sys.stderr)
        return FAILED
    except KernelError as error:
        print_error(error, options.json)
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
        "-t",
        "--kernels-template-path",
        dest="template",
        type=Path,
        metavar="FILE",
        help="a HOCON template of the original script; the other options win over it",
    )
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
    repack = _command(commands, "repack", _repack, "Pack anew what a kernel's executors unpack.")
    _command(commands, "environments", _environments, "List the Python environments found.")
    ready = _command(commands, "ready", _ready, "Install ipykernel into an environment.")
    ready.add_argument("environment", metavar="PATH", help="the environment, or its Python")
    ready.add_argument("--yes", action="store_true", help="install without asking")
    archives = _command(commands, "archives", _archives, "List the packed environments.")
    archives.add_argument(
        "--sweep", action="store_true", help="remove those of yours that no kernel refers to"
    )
    undo = _command(commands, "undo", _undo, "Take back the last remove or edit.")
    for command in (show, edit, copy, remove, repack):
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
        if field.annotation is bool:
            action = argparse.BooleanOptionalAction
            fields.add_argument(*options, dest=name, action=action, default=None, help=text)
        elif name in _MAPPINGS:
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
    given = {**_config_data(options), "place": _place_id(service, options) or "user"}
    data, remarks = (
        (given, []) if options.template is None else from_template(options.template, given)
    )
    preview = service.preview(data)
    for remark in remarks:
        print(printable(remark.message), file=sys.stderr)
    if options.dry_run:
        print_value(preview, options.json, json.dumps(preview.kernel_json, indent=1))
        return
    kernel = _done(service, service.create(data))
    hints = [f"Hint ({remark.field}): {remark.message}" for remark in preview.advice]
    print_value(kernel, options.json, "\n".join([f"Created {preview.directory}", *hints]))


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
    print_value(kernels, options.json, table(rows))


def _show(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    rows = [(field, flat(value)) for field, value in (kernel.config or {}).items()]
    if kernel.archive is not None:
        rows += [("archive", kernel.archive.uri), ("drift", kernel.archive.drift or "none")]
    rows += [("created_by", kernel.created_by), ("problem", kernel.problem or "none")]
    print_value(kernel, options.json, table(rows))


def _edit(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    if kernel.config is None:
        raise NotAllowed.at(
            "name", f"{quoted(kernel.name)} cannot be edited: {kernel.problem}. Repair it by hand."
        )
    new = _merged(kernel.config, _config_data(options), options.unset)
    edited = _done(service, service.edit(kernel.place, kernel.name, new, kernel.etag))
    print_value(edited, options.json, f"Edited {edited.name}")


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
    copied = _done(service, service.copy(kernel.place, kernel.name, options.new, place))
    print_value(copied, options.json, f"Created {copied.name} in {copied.place}")


def _done(service: KernelService, outcome: Kernel | Request) -> Kernel:
    """Do long work here and now, and tell of it beside the output."""
    if isinstance(outcome, Kernel):
        return outcome
    kernel = service.carry_out(outcome, Console())
    if kernel is None:
        raise AssertionError(f"{outcome.kind} writes no kernel")
    return kernel


def _repack(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    packed = _done(service, service.repack(kernel.place, kernel.name))
    print_value(packed, options.json, f"Packed {packed.config and packed.config['environment']}")


def _environments(service: KernelService, options: argparse.Namespace) -> None:
    found = service.environments()
    rows = [("ENVIRONMENT", "KIND", "PYTHON", "PYSPARK", "IPYKERNEL", "")]
    rows += [
        (
            environment.path,
            environment.kind,
            environment.python_version or "",
            environment.packages.get("pyspark", ""),
            environment.packages.get("ipykernel", ""),
            environment.problem or "",
        )
        for environment in found.environments
    ]
    for root in found.unanswered:
        print(printable(f"{root} does not answer."), file=sys.stderr)
    print_value(found.environments, options.json, table(rows))


def _ready(service: KernelService, options: argparse.Namespace) -> None:
    path = str(Path(options.environment).expanduser().absolute())
    environment = inspect_environment(path)
    if environment is None or environment.problem is not None:
        request = service.make_ready(path)
        if not options.yes and not _confirmed(f"{request.title}?"):
            raise NotAllowed.at("", "Nothing was installed. Give --yes to install without asking.")
        service.carry_out(request, Console())
        environment = inspect_environment(path)
    if environment is None:
        raise Missing.at("environment", f"{quoted(path)} is gone.")
    print_value(environment, options.json, f"{environment.path} is ready")


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _archives(service: KernelService, options: argparse.Namespace) -> None:
    archives = service.sweep(_place_id(service, options)) if options.sweep else service.archives()
    rows = [("ARCHIVE", "MIB", "PYTHON", "ENVIRONMENT", "USED BY", "")]
    rows += [
        (
            archive.path,
            f"{archive.bytes / 1024**2:.1f}",
            archive.python_version,
            archive.environment,
            ", ".join(kernel.name for kernel in archive.used_by)
            or ("undo" if archive.kept_for_undo else "nothing"),
            "removed" if options.sweep else archive.drift or "",
        )
        for archive in archives
    ]
    print_value(archives, options.json, table(rows))


def _remove(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    service.delete(kernel.place, kernel.name)
    print_value(kernel, options.json, f"Removed {kernel.name}; undo brings it back")


def _undo(service: KernelService, options: argparse.Namespace) -> None:
    kernel = service.undo(_place_id(service, options), options.kernel)
    print_value(kernel, options.json, f"{kernel.name} in {kernel.place} is as it was before")


if __name__ == "__main__":
    sys.exit(main())
