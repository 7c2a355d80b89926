"""What all folders of deploy/ have in common."""

import re
import subprocess
from pathlib import Path

import pytest
from deploying import DEPLOY, run

SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
GUIDES = sorted(DEPLOY.rglob("*.md"))
FOLDERS = sorted(path for path in DEPLOY.iterdir() if path.is_dir())


def named(path: Path) -> str:
    return str(path.relative_to(DEPLOY))


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    options = [
        "--external-sources",
        f"--source-path={script.parent}",
        "--enable=quote-safe-variables",
    ]
    told = run(["shellcheck", *options, script], check=False)
    assert (told.output, told.code) == ("", 0)


def test_shellcheck_would_have_told(tmp_path: Path) -> None:
    (tmp_path / "x.sh").write_text("#!/usr/bin/env bash\nrm $1\n")
    assert run(["shellcheck", tmp_path / "x.sh"], check=False).code == 1


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_scripts_end_at_what_fails(script: Path) -> None:
    lines = [line for line in script.read_text().splitlines() if not line.startswith("#")]
    assert re.fullmatch(r"set -E?euo pipefail", next(filter(None, lines)))


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_a_guide_fits_on_a_page(folder: Path) -> None:
    # Without the comments, which nobody sees.
    read = re.sub(r"(?s) *<!--.*?-->\n\n", "", (folder / "README.md").read_text())
    assert len(read.splitlines()) <= 75


@pytest.mark.parametrize("guide", GUIDES, ids=named)
def test_links_of_the_guides_lead_somewhere(guide: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", guide.read_text()):
        path, _, heading = link.partition("#")
        target = (guide.parent / path).resolve()
        assert target.exists(), link
        if heading:
            headings = re.findall(r"(?m)^#+ (.*)$", target.read_text())
            anchors = [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings]
            assert heading in anchors, link


def test_each_folder_is_in_the_table() -> None:
    text = (DEPLOY / "README.md").read_text()
    assert all(f"]({folder.name}/README.md)" in text for folder in FOLDERS)


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.py")), ids=named)
def test_configuration_is_python(file: Path) -> None:
    compile(file.read_text(), str(file), "exec")


def test_what_is_run_can_be(tmp_path: Path) -> None:
    """What stands beside common.sh is run by its name, in the checkout as in the archive."""
    listed = subprocess.run(
        ["git", "ls-files", "--stage", "--", DEPLOY],
        cwd=DEPLOY,
        check=True,
        capture_output=True,
        text=True,
    )
    modes = {line.split("\t")[1]: line[:6] for line in listed.stdout.splitlines()}
    for path, mode in modes.items():
        is_run = path.endswith(".sh") and not path.endswith("common.sh")
        assert mode == ("100755" if is_run else "100644"), path
