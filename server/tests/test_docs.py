"""The guides: what they say to type works, and the site has an entry for everything there is."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from guides import MASTER, ROOT, SHELL, Block, Stage, blocks, commands, mistakes, pages
from hub import why_no_hub
from jsonschema import Draft202012Validator
from jupyter_events import EventLogger
from jupyterhub.spawner import Spawner
from traitlets.config import Config, Configurable

from jupyterlab_pyspark_kernels import cli
from jupyterlab_pyspark_kernels.app import PySparkKernels
from jupyterlab_pyspark_kernels.config import KernelConfig
from jupyterlab_pyspark_kernels.kernel.rules import read_rules
from jupyterlab_pyspark_kernels.templates import parse

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN = sorted({block.page for block in BLOCKS if block.is_run})
TESTS = ROOT / "server/tests"
SCHEMAS = ROOT / "server/jupyterlab_pyspark_kernels"
LANGUAGES = {*SHELL, "python", "json", "yaml", "text"}
CONFIGURED: dict[str, type[Configurable]] = {
    "PySparkKernels": PySparkKernels,
    "Spawner": Spawner,
    "EventLogger": EventLogger,
}


def named(thing: Path | Block) -> str:
    return thing.where if isinstance(thing, Block) else str(thing.relative_to(ROOT))


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


# --- what is typed -----------------------------------------------------------------------------


@pytest.mark.parametrize("page", RUN, ids=named)
def test_what_a_page_says_works(
    page: Path,
    pyspark_environment: Path,
    connect_environment: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    found = [block for block in blocks(page) if block.is_run]
    if any("as root" in block.marks for block in found) and (why := why_no_hub()):
        pytest.skip(why)
    asks = any(MASTER in block.text for block in found)
    master = request.getfixturevalue("spark_cluster").master if asks else None
    environments = {"spark": pyspark_environment, "connect": connect_environment}
    Stage(tmp_path, environments, master).play(page, found)


@pytest.mark.parametrize("block", BLOCKS, ids=named)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES
    assert len({"run by", "not run", "in a notebook of"} & block.marks.keys()) <= 1
    if "not run" in block.marks:
        assert len(block.marks["not run"].split()) >= 2, "say why"
    if "run by" in block.marks:
        file, _, test = block.marks["run by"].partition("::")
        assert re.search(rf"(?m)^def {re.escape(test)}\(", (TESTS / f"{file}.py").read_text())


def test_what_is_not_run_is_right_as_far_as_can_be_seen(tmp_path: Path) -> None:
    texts = [commands(block) for block in of(*SHELL) if not block.is_run]
    assert texts
    assert mistakes(texts, tmp_path) == ""
    assert mistakes(["cat $1\n", "if then\n"], tmp_path).count("In ") >= 1


@pytest.mark.parametrize("block", of("python"), ids=named)
def test_python_is_right(block: Block) -> None:
    code = compile(block.text, block.where, "exec")
    if "in a notebook of" in block.marks or "not run" in block.marks:
        return
    config = Config()
    exec(code, {"c": config})
    for section, values in config.items():
        assert set(values) <= set(CONFIGURED[section].class_trait_names(config=True))


@pytest.mark.parametrize("block", of("json"), ids=named)
def test_json_is_right(block: Block, tmp_path: Path) -> None:
    content = json.loads(block.text)
    (key,) = content
    if key == "PySparkKernels":
        assert set(content[key]) <= set(PySparkKernels.class_trait_names(config=True))
    elif key == "rules":
        (tmp_path / "site.json").write_text(block.text)
        rules, problems = read_rules(tmp_path / "site.json")
        assert (len(rules), problems) == (len(content[key]), [])
    else:
        extension, _, plugin = key.partition(":")
        assert extension == "jupyterlab-pyspark-kernels"
        schema = json.loads((ROOT / f"schema/{plugin}.json").read_text())
        Draft202012Validator(schema).validate(content[key])


@pytest.mark.parametrize("block", of("yaml"), ids=named)
def test_yaml_is_a_template(block: Block) -> None:
    parse(block.text.encode())
    schema = json.loads((SCHEMAS / "template.schema.json").read_text())
    Draft202012Validator(schema).validate(yaml.safe_load(block.text))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    """The site's own check knows nothing of the README, and of no folder."""
    text = re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = link.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if heading and target.suffix == ".md":
            headings = re.findall(r"(?m)^#+ (.*)$", target.read_text())
            assert heading in {anchor(one) for one in headings}, link


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_picture_is_taken_and_shown() -> None:
    pictures = {path.stem for path in (ROOT / "docs/images").iterdir()}
    taken = (ROOT / "ui-tests/tests/docs.spec.ts").read_text()
    shown = "".join(page.read_text() for page in PAGES)
    assert pictures == set(re.findall(r"picture\(\s*\w+,\s*'([\w-]+)'", taken))
    assert pictures == set(re.findall(r"images/([\w-]+)\.png\)", shown))


# --- the site ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `npm run docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", "."]
    told = subprocess.run([*command, folder], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return folder


def headings(page: Path) -> set[str]:
    found = re.findall(r"(?s)<h\d>(.*?)<a class=\"headerlink\"", page.read_text())
    return {html.unescape(re.sub("<.*?>", "", heading)) for heading in found}


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in PAGES:
        if page != ROOT / "README.md":
            assert (site / page.relative_to(ROOT)).with_suffix(".html").is_file(), page
    assert 'url=docs/index.html"' in (site / "index.html").read_text()
    assert (site / "docs/index.html").is_file()


def test_the_reference_has_every_route(site: Path) -> None:
    paths: dict[str, Any] = yaml.safe_load((SCHEMAS / "openapi.yaml").read_text())["paths"]
    routes = {
        f"{verb.upper()} {path}"
        for path, verbs in paths.items()
        for verb in verbs
        if verb != "parameters"
    }
    assert routes <= headings(site / "docs/reference/rest.html")


def test_the_reference_has_every_command_and_option(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = site / "docs/reference/cli.html"
    text = html.unescape(re.sub("<.*?>", "", page.read_text()))

    def told(*words: str) -> str:
        with pytest.raises(SystemExit):
            cli.parser().parse_args([*words, "--help"])
        return capsys.readouterr().out

    names = re.findall(r"(?m)^    (\w+) ", told())
    assert len(names) > 20
    for name in names:
        below = re.findall(r"(?m)^    (\w+) ", told(name)) if name == "policy" else []
        assert {f"{name} {one}" for one in below} or {name} <= headings(page)
        for option in re.findall(r"--[a-zA-Z.-]+\w", told(name)):
            assert option in text or option == "--help"


def test_the_reference_has_every_setting(site: Path) -> None:
    page = site / "docs/reference/settings.html"
    found = headings(page)
    assert {field.title for field in KernelConfig.model_fields.values()} <= found
    assert {f"PySparkKernels.{name}" for name in PySparkKernels.class_own_traits(config=True)} <= (
        found
    )
    notebook = json.loads((ROOT / "schema/notebook.json").read_text())["properties"]
    assert {one["title"] for one in notebook.values()} <= found


def test_the_reference_has_every_variable_of_the_server() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    listed = set(re.findall(r"(?m)^\| `(PYSPARK_KERNELS_\w+)`", text))
    told = "".join((ROOT / name).read_text() for name in ("docs/hub.md", "docs/templates.md"))
    told += (ROOT / "docs/rules.md").read_text()
    assert listed == set(re.findall(r"PYSPARK_KERNELS_\w+", told))


def test_the_reference_has_every_key_of_a_template_and_every_rule(site: Path) -> None:
    template = (site / "docs/reference/template.html").read_text()
    for part in json.loads((SCHEMAS / "template.schema.json").read_text())["$defs"].values():
        assert all(f">{key}<" in template for key in part["properties"])
    rules = (site / "docs/reference/rules.html").read_text()
    known = json.loads((SCHEMAS / "kernel/rules.json").read_text())["rules"]
    assert all(f">{rule['id']}<" in rules for rule in known)
