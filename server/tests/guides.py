"""What the guides say to type, read out of their Markdown and run as a reader would.

What a block is for stands before it, in comments that no reader sees:

- nothing: it is run, after the blocks above it on its page, by one shell in a home of its own;
- `<!-- as root -->`: the same, and its page is run by root, with an /etc and a /srv of its own;
- `<!-- first: COMMANDS -->`: run before it, to make what the reader is taken to have; `$ROOT` is
  the checkout;
- `<!-- in a notebook of: NAME -->`: Python, run as a cell of that kernel;
- `<!-- run by: test_x::test_y -->`: that test runs it, or does what it says;
- `<!-- not run: REASON -->`: nothing can run it here. It is read for mistakes all the same.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hub import namespaces
from kernels import LIMIT_SECONDS, SHORT_LIVED
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
MASTER = "spark://master:7077"
"""The standalone cluster of the guides; the tests have one at another address."""

SHELL = {"sh", "bash", "console"}
MARKS = ("as root", "first", "in a notebook of", "run by", "not run")

CELL = """
import sys
import nbformat
from nbclient import NotebookClient
cell = nbformat.v4.new_code_cell(sys.stdin.read())
NotebookClient(
    nbformat.v4.new_notebook(cells=[cell]), kernel_name=sys.argv[1], timeout=%d
).execute()
"""

END = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"
"""What a page has started in the background ends with it."""

ROOM = """
mkdir "$HOME/../etc" "$HOME/../srv"
cp -a /etc/. "$HOME/../etc"
mount --bind "$HOME/../etc" /etc
mount --bind "$HOME/../srv" /srv
PATH=$PATH:/usr/sbin:/sbin
"""


@dataclass(frozen=True)
class Block:
    """A block of code in a guide.

    Attributes:
        page: the guide.
        line: where it begins there.
        language: as the fence names it.
        text: what is in it.
        marks: what the comments before it say, by their first words.

    """

    page: Path
    line: int
    language: str
    text: str
    marks: Mapping[str, str]

    @property
    def where(self) -> str:
        """Say where it is."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether the page's shell runs it."""
        if {"run by", "not run"} & self.marks.keys():
            return False
        return self.language in SHELL or "in a notebook of" in self.marks


def pages() -> list[Path]:
    """Give every guide, wherever it lies."""
    patterns = ("*.md", "docs/**/*.md", "deploy/*.md", "deploy/*/*.md", "benchmarks/*.md")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def blocks(page: Path) -> list[Block]:
    """Read the blocks of a guide, but for directives of the site."""
    found: list[Block] = []
    marks: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        if token.type == "html_block":
            _add_marks(marks, page, token.content)
        elif token.type == "fence":
            line = (token.map or [0])[0] + 1
            language = token.info.strip()
            if not language.startswith("{"):
                found.append(Block(page, line, language, token.content, marks))
            marks = {}
        elif token.type not in {"list_item_open", "bullet_list_open", "ordered_list_open"}:
            marks = {}
    return found


def _add_marks(marks: dict[str, str], page: Path, html: str) -> None:
    for comment in re.findall(r"(?s)<!--\s*(.*?)\s*-->", html):
        word, _, rest = comment.partition(":")
        assert word in MARKS, f"{page}: “{comment}” is none of {', '.join(MARKS)}"
        marks[word] = "\n".join([*filter(None, [marks.get(word)]), rest.strip()])


def commands(block: Block) -> str:
    """Give what a block says to type; of a console, what follows its prompts."""
    if block.language != "console":
        return block.text
    typed = re.findall(r"(?m)^\$ (.*(?:\\\n.*)*)$", block.text)
    return "".join(f"{line}\n" for line in typed)


def printed(block: Block) -> list[str]:
    """Give the lines that a console is to print, without spaces; “…” stands for any others."""
    lines = [line for line in block.text.splitlines() if not line.startswith("$ ")]
    return [squeezed(line) for line in lines if line != "…"]


def squeezed(text: str) -> str:
    """Give a text with one space where there are more."""
    return " ".join(text.split())


@dataclass(frozen=True)
class Stage:
    """What a reader has: a home, environments by their names, and perhaps a cluster."""

    folder: Path
    environments: Mapping[str, Path]
    master: str | None

    def play(self, page: Path, found: Sequence[Block]) -> None:
        """Run the blocks of a page in order; all have to succeed and to print what they say."""
        home, work = self.folder / "home", self.folder / "work"
        (home / "venvs").mkdir(parents=True)
        for name, environment in self.environments.items():
            (home / "venvs" / name).symlink_to(environment)
        beside = page.parent.is_relative_to(ROOT / "deploy")
        if beside:
            subprocess.run(["cp", "-a", page.parent, work], check=True)
        else:
            work.mkdir()
        as_root = any("as root" in block.marks for block in found)
        script = self.folder / "page.sh"
        text = "".join(self._said(number, block) for number, block in enumerate(found))
        script.write_text(f"set -euo pipefail\n{END}\n{ROOM if as_root else ''}\n{text}")
        told = subprocess.run(
            [*(namespaces() if as_root else ()), "bash", script],
            cwd=work,
            env=self._environ(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=5 * LIMIT_SECONDS,
            check=False,
        )
        assert told.returncode == 0, told.stdout
        for number, block in enumerate(found):
            if block.language == "console":
                output = squeezed((self.folder / f"printed-{number}").read_text())
                for line in printed(block):
                    assert line in output, block.where

    def _said(self, number: int, block: Block) -> str:
        lines = [f"echo ▸ {block.where}", block.marks.get("first", "")]
        if "in a notebook of" in block.marks:
            kernel = shlex.quote(block.marks["in a notebook of"])
            lines.append(f"cell {kernel} <<'END OF CELL'\n{block.text}END OF CELL")
        elif block.language == "console":
            file = shlex.quote(str(self.folder / f"printed-{number}"))
            lines.append(f"{{\n{commands(block)}}} >{file} 2>&1 || {{ cat {file}; exit 1; }}")
        else:
            lines.append(block.text)
        text = "\n".join([*lines, ""])
        return text.replace(MASTER, self.master) if self.master else text

    def _environ(self, home: Path) -> dict[str, str]:
        programs = self.folder / "bin"
        programs.mkdir()
        cell = programs / "cell"
        cell.write_text(f"#!{sys.executable}\n{CELL % LIMIT_SECONDS}")
        cell.chmod(0o755)
        own = (programs, Path(sys.executable).parent)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("JUPYTER", "PYSPARK_KERNELS_TEST", "XDG_"))
        }
        return {
            **kept,
            "HOME": str(home),
            "ROOT": str(ROOT),
            "PATH": os.pathsep.join([*map(str, own), os.environ["PATH"]]),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "JAVA_TOOL_OPTIONS": SHORT_LIVED,
        }


def mistakes(texts: Iterable[str], folder: Path) -> str:
    """Give what bash and shellcheck have to say of commands that nothing runs."""
    told = []
    for number, text in enumerate(texts):
        file = folder / f"{number}.sh"
        file.write_text(text)
        for judge in (["bash", "-n"], ["shellcheck", "--shell=bash", "--exclude=SC2155"]):
            found = subprocess.run([*judge, file], capture_output=True, text=True, check=False)
            told.append(found.stdout + found.stderr if found.returncode else "")
    return "".join(told)
