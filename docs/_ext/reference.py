"""The reference, made from what the program itself says: nothing is written down twice.

A page says `{reference} NAME`; each function in SOURCES makes Markdown of one source.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from jupyterlab_pyspark_kernels import cli
from jupyterlab_pyspark_kernels.app import PySparkKernels
from jupyterlab_pyspark_kernels.config import CONF_KEYS
from jupyterlab_pyspark_kernels.schemas import ROOT, config_schema

PACKAGE = ROOT / "server/jupyterlab_pyspark_kernels"

Schema = Mapping[str, Any]


# --- Markdown ----------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Write a text so that Markdown takes no part of it for its own."""
    return re.sub(r"([\\`*_\[\]<>|{}$#~])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Write what is typed; a bar would end the cell of a table."""
    return f"`{text}`".replace("|", r"\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a table, or nothing where it would be empty."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if lines:
        yield from ("| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *lines, "")


def heading(depth: int, anchor: str, title: str) -> Iterator[str]:
    """Write a heading that others link to."""
    yield from (f"({anchor})=", f"{'#' * depth} {title}", "")


def slug(*words: str) -> str:
    """Make an anchor."""
    return "-".join(filter(None, re.split(r"[^a-z0-9]+", " ".join(words).lower())))


def kind(schema: Schema) -> str:
    """Say in words what a JSON Schema takes."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{slug('model', name)})"
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return "one of " + ", ".join(code(str(value)) for value in schema["enum"])
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(map(kind, choices)))
    said = schema.get("type")
    if said == "array":
        return f"list of {kind(schema.get('items', {}))}"
    values = schema.get("additionalProperties")
    if said == "object" and isinstance(values, Mapping) and values:
        return f"object, its values {kind(values)}"
    return str(said or "any")


def extent(schema: Schema) -> str:
    """Say how large a number may be."""
    bounds = (("minimum", "at least"), ("maximum", "at most"))
    return "".join(f", {word} {schema[key]:,}" for key, word in bounds if key in schema)


def default(schema: Schema) -> str:
    """Say what holds when nothing is said; an empty value is none."""
    value = schema.get("default")
    return "" if value in (None, "", [], {}) else code(json.dumps(value, ensure_ascii=False))


def properties(schema: Schema) -> Iterator[str]:
    """Write the parts of an object."""
    needed = schema.get("required", ())
    yield from table(
        ("Name", "Takes", "Meaning"),
        (
            (
                code(name) + (" *" if name in needed else ""),
                kind(part) + extent(part),
                plain(part.get("description", ""))
                + (f" Default: {default(part)}." if default(part) else ""),
            )
            for name, part in schema.get("properties", {}).items()
        ),
    )


# --- the sources -------------------------------------------------------------------------------


def fields() -> Iterator[str]:
    """Write the fields of a kernel."""
    for name, schema in config_schema()["properties"].items():
        yield from heading(3, slug("field", name), plain(schema["title"]))
        yield from (plain(schema["description"]), "")
        facts = [("Name", code(name)), ("Takes", kind(schema) + extent(schema))]
        facts += [("Default", default(schema))] if default(schema) else []
        facts += [("Setting", code(CONF_KEYS[name]))] if name in CONF_KEYS else []
        facts += [("Example", code(str(one))) for one in schema.get("examples", [])[:1]]
        yield from (*(f":{key}: {value}" for key, value in facts), "")


def notebook() -> Iterator[str]:
    """Write what the settings editor has for notebooks."""
    schema = json.loads((ROOT / "schema/notebook.json").read_text())
    for name, setting in schema["properties"].items():
        yield from heading(3, slug("notebook", name), plain(setting["title"]))
        yield from (plain(setting["description"]), "")
        choices = ((code(one["const"]), plain(one["title"])) for one in setting["oneOf"])
        yield from table(("Value", "Shown"), choices)
        yield from (f"Default: {default(setting)}.", "")


def server() -> Iterator[str]:
    """Write what an administrator sets in the server's configuration."""
    own = PySparkKernels.class_own_traits(config=True)
    for name, trait in own.items():
        yield from heading(3, slug("server", name), code(f"PySparkKernels.{name}"))
        value = trait.default()
        yield from (plain(trait.help), "", f":Default: {code(json.dumps(value))}", "")


def commands() -> Iterator[str]:
    """Write every command of the command line."""
    for name, parser in _parsers(cli.parser()):
        yield from heading(2, slug("cli", name), code(name))
        usage = f"{parser.prog} {_usage(parser)}".strip()
        yield from (plain(parser.description or ""), "", "```text", usage, "```", "")
        for group in parser._action_groups:
            if group.title == "the kernel":
                yield from ("And [the fields of a kernel](#fields-of-a-kernel).", "")
            else:
                shown = (one for one in group._group_actions if one.dest != "help")
                what = "Argument" if group.title == "positional arguments" else "Option"
                yield from table((what, "Meaning"), map(_option, shown))


def field_options() -> Iterator[str]:
    """Write the options that the fields of a kernel have."""
    create = dict(_parsers(cli.parser()))["create"]
    (group,) = (one for one in create._action_groups if one.title == "the kernel")
    yield from table(("Option", "Meaning"), map(_option, group._group_actions))


def _parsers(
    parser: argparse.ArgumentParser, above: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                nested = list(_parsers(below, f"{above}{name} "))
                yield from nested or [(f"{above}{name}", below)]


def _usage(parser: argparse.ArgumentParser) -> str:
    """Write the arguments that stand by their place; the options have a table."""
    words = []
    for action in parser._get_positional_actions():
        name = str(action.metavar or action.dest)
        words.append(f"[{name}]" if action.nargs == "?" else name)
    return " ".join(["[OPTIONS]", *words])


def _option(action: argparse.Action) -> tuple[str, str]:
    name = str(action.metavar or action.dest.upper())
    if not action.option_strings:
        return code(name), plain(action.help or "")
    takes = "" if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction) else name
    if action.choices and action.metavar is None:
        takes = "|".join(map(str, action.choices))
    options = ", ".join(code(option) for option in action.option_strings)
    needed = " Required." if action.required else ""
    help_text = (action.help or "").replace("%%", "%")
    return f"{options} {code(takes) if takes else ''}".strip(), plain(help_text) + needed


def routes() -> Iterator[str]:
    """Write every route of the OpenAPI description."""
    description = _openapi()
    for path, verbs in description["paths"].items():
        shared = verbs.pop("parameters", [])
        for verb, route in verbs.items():
            title = f"{verb.upper()} {path}"
            yield from heading(3, slug("rest", verb, path), code(title))
            yield from (f"{plain(route['summary'])}.", "", plain(route.get("description", "")), "")
            yield from table(
                ("Parameter", "In", "Takes", "Meaning"),
                (
                    (
                        code(one["name"]) + (" *" if one.get("required") else ""),
                        one["in"],
                        kind(one["schema"]),
                        plain(one.get("description", "")),
                    )
                    for one in (*shared, *route.get("parameters", ()))
                ),
            )
            yield from _content("Body", route.get("requestBody", {}))
            yield from table(
                ("Answer", "Body", "Meaning"),
                (_answer(status, answer) for status, answer in route["responses"].items()),
            )


def _content(title: str, holder: Schema) -> Iterator[str]:
    for schema in _schemas(holder):
        yield from (f"{title}: {kind(schema)}", "", *properties(schema))


def _schemas(holder: Schema) -> list[Schema]:
    return [content["schema"] for content in holder.get("content", {}).values() if content]


def _answer(status: str, answer: Schema) -> tuple[str, str, str]:
    if "$ref" in answer:
        answer = _openapi()["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    bodies = " or ".join(map(kind, _schemas(answer)))
    return code(status), bodies, plain(answer["description"])


def models() -> Iterator[str]:
    """Write what routes take and give."""
    yield from _definitions(_openapi()["components"]["schemas"])


def template() -> Iterator[str]:
    """Write the format of templates and named clusters."""
    schema = json.loads((PACKAGE / "template.schema.json").read_text())
    first = ("TemplateFile", "ClusterFile")
    definitions = schema["$defs"]
    yield from _definitions({name: definitions[name] for name in (*first, *definitions)})


def _definitions(schemas: Mapping[str, Schema]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield from heading(3, slug("model", name), plain(name))
        yield from (plain(schema.get("description", "")), "")
        if "properties" in schema:
            yield from properties(schema)
        else:
            yield from (f"It is {kind(schema)}.", "")


def events() -> Iterator[str]:
    """Write the events that the server emits."""
    for file in sorted((PACKAGE / "events").glob("*.yaml")):
        schema = yaml.safe_load(file.read_text())
        yield from heading(3, slug("event", file.stem), plain(schema["title"]))
        yield from (plain(schema["description"]), "", code(schema["$id"]), "", *properties(schema))


def rules() -> Iterator[str]:
    """Write what the doctor knows."""
    known = json.loads((PACKAGE / "kernel/rules.json").read_text())["rules"]
    yield from table(
        ("Rule", "Cause", "What helps"),
        ((code(rule["id"]), plain(rule["cause"]), plain(rule["fix"])) for rule in known),
    )


def _openapi() -> dict[str, Any]:
    description: dict[str, Any] = yaml.safe_load((PACKAGE / "openapi.yaml").read_text())
    return description


SOURCES: Mapping[str, Callable[[], Iterator[str]]] = {
    source.__name__.replace("_", "-"): source
    for source in (
        *(fields, notebook, server, commands, field_options),
        *(routes, models, template, events, rules),
    )
}


class Reference(SphinxDirective):
    """Puts what is made from a source into a page."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Parse what was made as if it stood in the page."""
        for file in Path(PACKAGE).glob("**/*"):
            if file.suffix in {".py", ".json", ".yaml"}:
                self.env.note_dependency(file)
        text = "\n".join(SOURCES[self.arguments[0]]())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def lead_to_guides(app: Sphinx, page: nodes.document) -> None:
    """Let a link to a folder lead to the guide that speaks of it: its README, or the next above."""
    here = Path(app.env.doc2path(app.env.docname)).parent
    for link in page.findall(addnodes.pending_xref):
        folder = (here / link["reftarget"]).resolve()
        if link["reftype"] == "myst" and folder.is_dir():
            for above in (folder, *folder.parents):
                name = app.env.path2doc(above / "README.md")
                if name in app.env.found_docs:
                    link.attributes.update(
                        {"refdomain": "doc", "reftarget": name, "reftargetid": None}
                    )
                    break


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive, and of links to folders."""
    app.add_directive("reference", Reference)
    app.connect("doctree-read", lead_to_guides)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
