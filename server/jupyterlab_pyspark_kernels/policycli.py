"""`jupyter pyspark-kernels policy …`: what an administrator asks of templates."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from .administration import configured
from .console import print_value, table
from .errors import Invalid, KernelError
from .policy import Identity, Offer, OfferedRule, Policy, offer, own_identity
from .templates import (
    FACTS,
    SUFFIXES,
    Broken,
    ClusterFile,
    Template,
    TemplateFile,
    make_template,
    read_file,
)


class Verdict(BaseModel):
    """What is to be said of a file."""

    file: str
    problems: list[str] = Field(description="What is wrong with it; empty when it can be used.")
    offer: Offer | None = Field(description="What it settles, were it used now.")


class Listed(BaseModel):
    """The templates that are used, and the files that are not."""

    templates: list[str]
    required: bool
    ignored: list[dict[str, str]]


class HasProblems(Exception):
    """A file that cannot be used, of which everything has been printed."""


def add_policy_commands(commands: Any) -> None:
    """Add the command, and those below it, to the parser."""
    text = "Templates, for administrators."
    parser = commands.add_parser("policy", help=text, description=text, allow_abbrev=False)
    below = parser.add_subparsers(required=True, metavar="COMMAND")
    test = _add(below, "test", _test, "Tell what is wrong with a file, or what it settles.")
    test.add_argument("file", type=Path, metavar="FILE", help="a template, or a named cluster")
    _add(below, "list", _list, "List the templates, and the files that are not used, with why.")


def _add(below: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = below.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    parser.set_defaults(run=run, kernels_dir=None, place=None)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parser


def _test(_service: object, options: argparse.Namespace) -> None:
    file: Path = options.file
    if not file.is_file():
        raise Invalid.at("", f"{file} is not a file. Give the path of a template.")
    problems: list[str] = []
    offered = None
    try:
        offered = offer(_template(file), _anybody())
    except (Broken, KernelError) as error:
        problems = str(error).splitlines()
    except OSError as error:
        problems = [f"it cannot be read: {error.strerror}"]
    verdict = Verdict(file=str(file), problems=problems, offer=offered)
    lines = [f"{file}: {problem}" for problem in problems] or [f"{file} can be used."]
    if offered is not None:
        lines.append(table(_rows(offered)))
    print_value(verdict, options.json, "\n".join(lines))
    if problems:
        raise HasProblems


def _template(file: Path) -> Template:
    """Read a template with the clusters beside it; of a cluster, make one that has nothing else."""
    content = read_file(file)
    if isinstance(content, ClusterFile):
        only = TemplateFile(version=1, title=content.title or file.stem, cluster=file.stem)
        return make_template(file.stem, only, {file.stem: content})
    beside = {path.stem: path for path in sorted(file.parent.iterdir()) if path.suffix in SUFFIXES}
    if content.cluster is None or content.cluster not in beside:
        return make_template(file.stem, content, {})
    cluster = read_file(beside[content.cluster])
    if not isinstance(cluster, ClusterFile):
        raise Broken(f"cluster: {beside[content.cluster]} is a template and no cluster")
    return make_template(file.stem, content, {content.cluster: cluster})


def _anybody() -> Identity:
    """Give somebody of whom everything is known."""
    own = own_identity()
    return Identity({**dict.fromkeys(FACTS, "someone"), **own.facts}, own.groups)


def _rows(offered: Offer) -> list[tuple[str, str, str]]:
    rows = [("SETTING", "IS", "WHY")]
    rows += [(rule.setting, _said(rule), rule.reason) for rule in offered.rules]
    for choice in (*offered.sizes, *offered.options):
        chosen = f"with {choice.name}"
        rows += [(rule.setting, f"{_said(rule)} {chosen}", "") for rule in choice.rules]
    return rows


def _said(rule: OfferedRule) -> str:
    if rule.locked:
        return "never set" if rule.value is None else f"always {rule.value}"
    words = [f"{rule.value} unless given"] if rule.value is not None else []
    words += [f"at least {rule.min}"] if rule.min is not None else []
    words += [f"at most {rule.max}"] if rule.max is not None else []
    words += [f"one of {', '.join(rule.one_of)}"] if rule.one_of is not None else []
    return ", ".join(words) or "anything"


def _list(_service: object, options: argparse.Namespace) -> None:
    policy = Policy(configured())
    catalog = policy.catalog()
    listed = Listed(
        templates=[template.reference for template in catalog.templates.values()],
        required=policy.administration.require_template,
        ignored=[{"path": one.path, "reason": one.reason} for one in catalog.problems],
    )
    rows = [("TEMPLATE", "TITLE")]
    rows += [(one.reference, one.file.title) for one in catalog.templates.values()]
    lines = [table(rows)]
    lines += [f"Not used: {one.path}: {one.reason}" for one in catalog.problems]
    if listed.required:
        lines.append("Kernels are made from templates only.")
    print_value(listed, options.json, "\n".join(lines))
