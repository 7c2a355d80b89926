"""What all folders of deploy/ have in common."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from deploying import DEPLOY, run

SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
GUIDES = sorted(DEPLOY.rglob("*.md"))
INSTALLERS = [script for script in SCRIPTS if "\nenvironment() {" in script.read_text()]
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


def make_wheel(folder: Path, name: str, version: str) -> None:
    """Make a package that holds one empty module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": f"{name}.py,,\n",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)


@pytest.mark.parametrize("script", INSTALLERS, ids=named)
def test_packages_that_are_asked_for_later_are_installed(script: Path, tmp_path: Path) -> None:
    (function,) = re.findall(r"(?ms)^environment\(\) \{$.*?^\}$", script.read_text())
    for name, version in (("one", "1"), ("one", "2"), ("two", "1")):
        make_wheel(tmp_path, name, version)
    environ = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHON": sys.executable,
    }
    own = tmp_path / "own"

    def installed(*packages: str) -> list[str]:
        call = f'set -Eeuo pipefail\n{function}\nenvironment "$@"'
        run(["bash", "-c", call, "bash", own, "one", *packages], environ)
        listed = run([own / "bin/pip", "list", "--format=freeze", "--exclude=pip"]).output
        return [line for line in listed.split() if not line.startswith("setuptools")]

    assert installed("one==1") == ["one==1"]
    assert installed("one==2", "two") == ["one==2", "two==1"]
    # What somebody has added stays, and one that somebody else has made is left alone.
    run([own / "bin/pip", "install", "--quiet", "one==1"], environ)
    assert installed("one==2", "two") == ["one==1", "two==1"]
    (own / "packages.txt").unlink()
    assert installed("no-such-package") == ["one==1", "two==1"]


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
