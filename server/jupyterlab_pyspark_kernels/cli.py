"""`jupyter pyspark-kernels …` ⇄ service, and nothing else.

The options of `create` and `edit` are derived from KernelConfig. Long options may be written with
dashes or underscores, and any `--spark.key value` is a setting, as in the original script.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import jupyter_runtime_dir

from .administration import configured
from .catalogue import Setting
from .config import CONF_KEYS, KernelConfig
from .console import Console, flat, print_error, print_value, printable, table
from .control import stop_spark
from .doctor import Diagnosis, site_rules
from .environments import Environment, inspect_environment, speaks_connect_only
from .errors import FieldError, Invalid, KernelError, Missing, NotAllowed, quoted
from .flight import Flight
from .hocon import from_template
from .importing import MAX_TEXT, check_draft, import_text
from .jsontext import parse_json
from .models import ExportFormat, Kernel, KernelAddress, KernelTest, Remark, Request
from .places import Place, directory_place, jupyter_places
from .policy import Policy
from .policycli import HasProblems, add_policy_commands
from .progress import Cancelled
from .receipts import Receipt
from .service import KernelService
from .siblings import Held, ask_siblings

DONE, FAILED, WRONG_INPUT = 0, 1, 2
_WRONG_INPUT_STATUSES = {400, 404, 409, 413, 422}

_LISTS = {"choices", "per_user"}
_MAPPINGS = {
    "conf": "KEY=VALUE",
    "env": "NAME=VALUE",
    "labels": "NAME=VALUE",
    "secrets": "NAME=REFERENCE",
}
_SHORT = {
    "name": ("-k", "--kernel-name"),
    "environment": ("-e", "--venv-dir-path"),
    "master": ("--spark-master",),
    "choices": ("--choice",),
    "labels": ("--label",),
    "secrets": ("--secret",),
}
"""What the original script calls these fields, and one of many is called."""

_SEPARATE = {"place"}
"""Fields that have an option of their own kind."""


class _NotPassed(Exception):
    """A test that went to its end and did not pass; everything has been printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        the exit code: 0 done, 1 failed, 2 wrong input.

    """
    given, settings = _split_settings(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    if settings and not hasattr(options, "conf"):
        parser().error(f"--{next(iter(settings))} belongs to create, edit, import and cluster only")
    options.settings = settings
    try:
        options.run(_service(options), options)
    except (KeyboardInterrupt, Cancelled):
        print("Cancelled.", file=sys.stderr)
        return FAILED
    except (_NotPassed, HasProblems):
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


def parser() -> argparse.ArgumentParser:
    """Give the parser of all commands, which the reference is made from as well."""
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
        dest="hocon",
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
    cluster = _command(
        commands, "cluster", _cluster, "Ask a cluster what it has, and how many executors fit."
    )
    _add_fields(cluster)
    copy = _command(commands, "copy", _copy, "Create a kernel like another one.")
    rename = _command(commands, "rename", _rename, "Give a kernel another name.")
    rename.add_argument("--display-name", help="what the launcher calls it from now on")
    promote = _command(commands, "promote", _promote, "Bring a kernel to another place.")
    promote.add_argument(
        "--to", required=True, metavar="PLACE", help="id of the new place, or its kernels directory"
    )
    exported = _command(commands, "export", _export, "Print a kernel as text, without secrets.")
    exported.add_argument(
        "--format", choices=get_args(ExportFormat), default="kernel", help="default: kernel"
    )
    imported = _command(
        commands,
        "import",
        _import,
        "Read a spark-submit line, a kernel.json or a kernel file, and print the kernel's fields.",
    )
    imported.add_argument("file", metavar="FILE", help="the file, or - for standard input")
    imported.add_argument("--create", action="store_true", help="create the kernel")
    _add_fields(imported)
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
    test = _command(commands, "test", _test, "Start a kernel, and run a task on every executor.")
    tested = test.add_mutually_exclusive_group(required=True)
    tested.add_argument("kernel", metavar="NAME", nargs="?", help="the kernel's name")
    tested.add_argument(
        "--draft", type=Path, metavar="FILE", help="a JSON file with the fields of a kernel"
    )
    doctor = _command(commands, "doctor", _doctor, "Tell why a kernel's last notebook failed.")
    receipt = _command(
        commands, "receipt", _receipt, "Show what a kernel's last Spark used, and a size for it."
    )
    settings = _command(commands, "settings", _settings, "List the settings that a Spark knows.")
    settings.add_argument("key", metavar="KEY", nargs="?", help="only those with this in their key")
    for name in ("environment", "spark_home"):
        _add_field(settings, name)
    effective = _command(
        commands, "effective", _effective, "Show every setting of a kernel and where it is set."
    )
    effective.add_argument("--all", action="store_true", help="also what only Spark's default sets")
    compare = _command(commands, "compare", _compare, "Show what tells two kernels apart.")
    compare.add_argument("--all", action="store_true", help="also what is the same")
    undo = _command(commands, "undo", _undo, "Take back the last remove, edit, rename or promote.")
    _command(commands, "applications", _applications, "List your Spark applications.")
    stop = _command(
        commands, "stop", _stop, "Stop a Spark application; its kernel keeps its variables."
    )
    stop.add_argument("application", metavar="ID", help="as applications shows it")
    add_policy_commands(commands)
    named = (show, edit, copy, rename, promote, exported, remove, repack, doctor, receipt)
    for command in (*named, effective, compare):
        command.add_argument("kernel", metavar="NAME", help="the kernel's name")
    undo.add_argument("kernel", metavar="NAME", nargs="?", help="only the last one of this kernel")
    compare.add_argument("other", metavar="OTHER", help="the second kernel's name")
    copy.add_argument("new", metavar="NEW", help="the new kernel's name")
    rename.add_argument("new", metavar="NEW", help="the kernel's new name")
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
    for name in KernelConfig.model_fields:
        if name not in _SEPARATE:
            _add_field(fields, name)
    fields.add_argument(
        "--spark.KEY", dest="_", metavar="VALUE", help="any Spark setting, like --conf KEY=VALUE"
    )


def _add_field(parser: argparse._ActionsContainer, name: str) -> None:
    field = KernelConfig.model_fields[name]
    text = (field.description or "").replace("%", "%%")
    options = (*_SHORT.get(name, ()), f"--{name.replace('_', '-')}")
    if field.annotation is bool:
        action = argparse.BooleanOptionalAction
        parser.add_argument(*options, dest=name, action=action, default=None, help=text)
    elif name in _LISTS:
        parser.add_argument(*options, dest=name, action="append", metavar="NAME", help=text)
    elif name in _MAPPINGS:
        parser.add_argument(
            *options,
            dest=name,
            action="append",
            default=[],
            metavar=_MAPPINGS[name],
            help=text,
        )
    else:
        parser.add_argument(*options, dest=name, help=text)


def _config_data(options: argparse.Namespace) -> dict[str, Any]:
    """Collect what was given of a KernelConfig."""
    data = {
        name: getattr(options, name)
        for name in KernelConfig.model_fields
        if name not in _SEPARATE and name not in _MAPPINGS and getattr(options, name) is not None
    }
    groups = {name: _pairs(name, getattr(options, name)) for name in _MAPPINGS}
    return {**data, **groups, "conf": {**groups["conf"], **options.settings}}


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
    kernels_dir = options.kernels_dir or _directory(getattr(options, "to", ""))
    policy = Policy(configured())
    return KernelService(KernelSpecManager(), lambda: _places(kernels_dir), policy=policy)


def _directory(place: str) -> Path | None:
    """Give the kernels directory that a place is named by; ids have no slash."""
    return Path(place) if "/" in place else None


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
    data, remarks = (given, []) if options.hocon is None else from_template(options.hocon, given)
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
    head = ("NAME", "PLACE", "OWNER", "MASTER", "ENVIRONMENT", "LAST USED", "LAST TEST", "")
    rows = [head, *map(_row, kernels)]
    print_value(kernels, options.json, table(rows))


def _row(kernel: Kernel) -> tuple[str, ...]:
    config = kernel.config or {}
    return (
        kernel.name,
        kernel.place,
        kernel.owner,
        str(config.get("master", "")),
        str(config.get("environment", "")),
        (kernel.last_used or "")[:10],
        _last_test(kernel.last_test),
        "; ".join(_marks(kernel)),
    )


def _last_test(test: KernelTest | None) -> str:
    if test is None:
        return ""
    return f"{'passed' if test.passed else 'failed'}{', outdated' if test.outdated else ''}"


def _marks(kernel: Kernel) -> Iterator[str]:
    """Tell what is the matter with a kernel."""
    if kernel.broken is not None:
        yield f"broken: {kernel.broken}"
    if kernel.untrusted is not None:
        yield f"untrusted: {kernel.untrusted}"
    if kernel.hidden_by is not None:
        yield f"hidden by {kernel.hidden_by}"
    if not kernel.ours and kernel.problem is None:
        yield "written by hand"


def _show(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    rows = [(field, flat(value)) for field, value in (kernel.config or {}).items()]
    if kernel.archive is not None:
        rows += [("archive", kernel.archive.uri), ("drift", kernel.archive.drift or "none")]
    rows += [("created_by", kernel.created_by), ("owner", kernel.owner)]
    rows += [("last_used", kernel.last_used or "never")]
    if kernel.last_test is not None:
        rows += [("last_test", f"{_last_test(kernel.last_test)}: {kernel.last_test.verdict}")]
    rows += [("marks", "; ".join(_marks(kernel)) or "none")]
    rows += [("outdated", kernel.outdated)] if kernel.outdated is not None else []
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
    groups = {field: {**old.get(field, {}), **given[field]} for field in _MAPPINGS}
    new: dict[str, Any] = {**kept, **given, **groups}
    fields = {key: field for field, key in CONF_KEYS.items()}
    for name in unset:
        name = fields.get(name, name)
        mappings = [new.get(field, {}) for field in _MAPPINGS]
        holders = [holder for holder in (new, *mappings) if name in holder]
        if not holders:
            raise Invalid.at(
                "", f"--unset {quoted(name)}: the kernel has no such field or setting."
            )
        for holder in holders:
            del holder[name]
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
    if not isinstance(kernel, Kernel):
        raise AssertionError(f"{outcome.kind} writes no kernel")
    return kernel


def _rename(service: KernelService, options: argparse.Namespace) -> None:
    _move(service, options, {"name": options.new, "display_name": options.display_name})


def _promote(service: KernelService, options: argparse.Namespace) -> None:
    directory = _directory(options.to)
    found = (place.id for place in service.places() if directory and _same(place, directory))
    _move(service, options, {"place": next(found, options.to)})


def _move(service: KernelService, options: argparse.Namespace, move: Mapping[str, Any]) -> None:
    old = _find(service, options)
    kernel = _done(service, service.move(old.place, old.name, move, old.etag))
    text = f"{old.name} in {old.place} is {kernel.name} in {kernel.place} now"
    print_value(kernel, options.json, text)


def _export(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    exported = service.export(kernel.place, kernel.name, options.format)
    if not options.json:
        _tell(exported.remarks)
    print_value(exported, options.json, exported.text.removesuffix("\n"))


def _import(service: KernelService, options: argparse.Namespace) -> None:
    found = import_text(_text(options.file))
    data = _merged(found.config, _config_data(options), [])
    if not options.create:
        found = check_draft(data, found.remarks)
        if not options.json:
            _tell(found.remarks)
        print_value(found, options.json, json.dumps(found.config, indent=1, ensure_ascii=False))
        return
    _tell(found.remarks)
    data["place"] = _place_id(service, options) or "user"
    kernel = _done(service, service.create(data))
    print_value(kernel, options.json, f"Created {kernel.name} in {kernel.place}")


def _tell(remarks: Sequence[Remark]) -> None:
    for remark in remarks:
        where = f"{remark.field}: " if remark.field else ""
        print(printable(where + remark.message), file=sys.stderr)


def _text(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.buffer.read(MAX_TEXT * 4 + 1).decode()
        with Path(file).open("rb") as opened:
            return opened.read(MAX_TEXT * 4 + 1).decode()
    except (OSError, ValueError) as error:
        raise Invalid.at("", f"{quoted(file)} cannot be read: {error}. Give a text file.") from None


def _repack(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    packed = _done(service, service.repack(kernel.place, kernel.name))
    print_value(packed, options.json, f"Packed {packed.config and packed.config['environment']}")


def _test(service: KernelService, options: argparse.Namespace) -> None:
    if options.draft is not None:
        request = service.test_draft(_draft(options.draft))
    else:
        kernel = _find(service, options)
        request = service.test(kernel.place, kernel.name)
    flight = service.carry_out(request, Console())
    if not isinstance(flight, Flight):
        raise AssertionError("a test gives a flight")
    seconds = [(f"  {stage.name}", f"{stage.seconds:.1f} s") for stage in flight.stages]
    sides = [("  driver", flight.driver), *(("  executor", side) for side in flight.executors)]
    told = [
        (name, f"Python {side.python}, Java {side.java}, Spark {side.spark} on {side.host}")
        for name, side in sides
        if side is not None
    ]
    text = [flight.verdict, *map(_told, flight.diagnoses), table([*seconds, *told])]
    print_value(flight, options.json, "\n".join(text))
    if not flight.passed:
        raise _NotPassed


def _draft(file: Path) -> Any:
    try:
        return parse_json(file.read_bytes(), "The draft")
    except OSError as error:
        raise Invalid.at("", f"{file} cannot be read: {error}. Give a JSON file.") from None


def _doctor(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    found = service.doctor(kernel.place, kernel.name)
    for problem in site_rules()[1]:
        Console().log(problem)
    nothing = f"Nothing is known to be wrong with {kernel.name}. See also: pyspark-kernels test."
    print_value(found, options.json, "\n".join(map(_told, found)) or nothing)


def _told(diagnosis: Diagnosis) -> str:
    lines = [diagnosis.cause, diagnosis.fix, diagnosis.command and f"$ {diagnosis.command}"]
    evidence = diagnosis.evidence and f"Seen: {diagnosis.evidence}"
    return "\n  ".join(line for line in [*lines, evidence] if line)


def _receipt(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    found = service.receipt(kernel.place, kernel.name)
    lines = [table(_figures(found.receipt))] if found.receipt else []
    for remark in found.suggestion.remarks:
        value = found.suggestion.changes.get(remark.field)
        option = f"--{remark.field.replace('_', '-')} {value}: " if value is not None else ""
        lines.append(f"Hint: {option}{remark.message}")
    print_value(found, options.json, "\n".join(lines))


def _figures(receipt: Receipt) -> list[tuple[str, str]]:
    heap = "driver heap" if receipt.local else "executor heap"
    rows = [
        ("ended", f"{receipt.at:%Y-%m-%d %H:%M} UTC, {receipt.ended}"),
        ("core-seconds", f"{receipt.task_seconds:g} of {receipt.core_seconds:g} used"),
        ("idle", f"{receipt.idle:.0%}"),
        ("time", f"{receipt.seconds:g} s, jobs ran for {receipt.busy_seconds:g} s"),
        ("executors", f"{receipt.executors} at most, {receipt.cores} cores each"),
        (heap, f"{receipt.peak_mib} of {receipt.memory_mib} MiB at least"),
    ]
    if not receipt.local:
        peak, given = receipt.driver_peak_mib, receipt.driver_memory_mib
        rows.append(("driver heap", f"{peak} of {given} MiB at least"))
    jobs, stages, tasks = receipt.failed_jobs, receipt.failed_stages, receipt.failed_tasks
    rows += [
        ("spilled", f"{receipt.spilled_mib} MiB"),
        ("failed", f"{jobs} jobs, {stages} stages, {tasks} tasks"),
    ]
    return rows


def _environments(service: KernelService, options: argparse.Namespace) -> None:
    found = service.environments()
    rows = [("ENVIRONMENT", "KIND", "PYTHON", "PYSPARK", "IPYKERNEL", "")]
    rows += [
        (
            environment.path,
            environment.kind,
            environment.python_version or "",
            _pyspark(environment),
            environment.packages.get("ipykernel", ""),
            environment.problem or "",
        )
        for environment in found.environments
    ]
    for root in found.unanswered:
        print(printable(f"{root} does not answer."), file=sys.stderr)
    print_value(found.environments, options.json, table(rows))


def _pyspark(environment: Environment) -> str:
    packages = environment.packages
    if speaks_connect_only(packages):
        return f"{packages['pyspark-client']} (Spark Connect only)"
    return packages.get("pyspark", "")


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


def _cluster(service: KernelService, options: argparse.Namespace) -> None:
    report = service.cluster(_config_data(options))
    rows = []
    if (found := report.capacity) is not None:
        rows += [
            ("nodes", str(found.node_count)),
            ("cores", f"{found.cores_free:g} of {found.cores_total:g} free"),
            ("memory", f"{found.memory_free_mib} of {found.memory_total_mib} MiB free"),
            ("waiting", str(found.waiting)),
            *(("queue", queue.name) for queue in found.queues),
        ]
        if (node := found.largest_node) is not None:
            rows += [("largest", f"{node.memory_free_mib} MiB and {node.cores_free:g} cores free")]
    lines = [table(rows)] if rows else []
    lines += [line for line in (report.problem, report.summary) if line]
    if report.fit is not None:
        lines += [f"Hint ({advice.field}): {advice.message}" for advice in report.fit.advice]
    print_value(report, options.json, "\n".join(lines))


def _settings(service: KernelService, options: argparse.Namespace) -> None:
    asked = {name: getattr(options, name) for name in ("environment", "spark_home")}
    settings = service.settings(asked)
    if isinstance(settings, Request):
        service.carry_out(settings, Console())
        settings = service.settings(asked)
    if isinstance(settings, Request):
        raise AssertionError("what a Spark told is kept")
    part = (options.key or "").lower()
    found = [setting for setting in settings.settings if part in setting.key.lower()]
    if not found:
        raise Missing.at(
            "conf",
            f"Spark {settings.spark_version} documents no setting with {quoted(part)} in its key.",
        )
    if any(setting.key == options.key for setting in found):
        found = [setting for setting in found if setting.key == options.key]
    rows = [("SETTING", "TYPE", "DEFAULT")]
    rows += [(setting.key, setting.type, setting.default or "") for setting in found]
    text = table(rows) if len(found) > 1 else _explained(found[0])
    print_value(settings.model_copy(update={"settings": found}), options.json, text)


def _explained(setting: Setting) -> str:
    """Tell all of one setting."""
    facts = {
        "type": setting.type,
        "unit of a bare number": setting.unit,
        "one of": setting.choices and ", ".join(setting.choices),
        "default": setting.default,
        "since Spark": setting.since,
    }
    rows = [(f"  {name}", value) for name, value in facts.items() if value]
    return "\n".join(filter(None, [setting.key, setting.help, table(rows)]))


def _effective(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    if kernel.config is None:
        raise Invalid.at("name", f"{quoted(kernel.name)} cannot be read: {kernel.problem}.")
    found = service.effective(kernel.config, options.all)
    rows = [("SETTING", "VALUE", "ORIGIN", "SPARK'S DEFAULT", "OVERRIDES")]
    for row in found.rows:
        others = "; ".join(f"{one.value} ({one.place})" for one in row.overridden)
        rows.append((row.key, row.value, f"{row.origin}: {row.place}", row.default or "", others))
    for remark in found.remarks:
        print(printable(remark.message), file=sys.stderr)
    print_value(found, options.json, table(rows))


def _compare(service: KernelService, options: argparse.Namespace) -> None:
    left = _find(service, options)
    options.kernel = options.other
    right = _find(service, options)
    found = service.compare(
        *(KernelAddress(place=kernel.place, name=kernel.name) for kernel in (left, right))
    )
    told = [row for row in found.rows if options.all or not row.same]
    rows = [("", left.name, right.name)]
    rows += [(row.field, row.left or "", row.right or "") for row in told]
    print_value(found, options.json, table(rows) if told else "They are the same.")


def _applications(service: KernelService, options: argparse.Namespace) -> None:
    found = service.applications(_held())
    rows = [("ID", "KERNEL", "NAME", "MASTER", "CORES", "STAGE", "NOTEBOOK")]
    rows += [
        (
            *(one.id, one.kernel, one.name, one.master or "", str(one.cores or "")),
            *(one.stage or "", one.path or ""),
        )
        for one in found.applications
    ]
    print_value(found, options.json, "\n".join([table(rows), *found.notes]))


def _stop(service: KernelService, options: argparse.Namespace) -> None:
    held = _held()
    if options.application in held:
        runtime = Path(jupyter_runtime_dir())
        file = runtime / f"kernel-{options.application}.json"
        asyncio.run(_stop_spark(file, options.application))
    else:
        service.end_application(held, options.application)
    if not options.json:
        print(f"{printable(options.application)} is stopped")


async def _stop_spark(connection_file: Path, kernel: str) -> None:
    client = AsyncKernelClient(connection_file=str(connection_file))
    client.load_connection_file()
    await stop_spark(client, connection_file.parent, kernel)


def _held() -> Mapping[str, Held]:
    """Give the kernels of all servers: the command line is none itself."""
    return ask_siblings(Path(jupyter_runtime_dir())).kernels


def _remove(service: KernelService, options: argparse.Namespace) -> None:
    kernel = _find(service, options)
    service.delete(kernel.place, kernel.name)
    print_value(kernel, options.json, f"Removed {kernel.name}; undo brings it back")


def _undo(service: KernelService, options: argparse.Namespace) -> None:
    kernel = service.undo(_place_id(service, options), options.kernel)
    print_value(kernel, options.json, f"{kernel.name} in {kernel.place} is as it was before")


if __name__ == "__main__":
    sys.exit(main())
