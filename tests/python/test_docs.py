"""Every code block of the README and of the documentation runs, and prints what is shown below it.

The Python blocks of a page are one program, run from top to bottom in a process of its own. A block of plain text that
directly follows a Python block is what that one prints. Console blocks are not run, as some of them take minutes, but
what they name has to exist.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(page for page in sorted(ROOT.glob("docs/**/*.md")) if "_build" not in page.parts),
    ROOT / "benches" / "README.md",
]
MEASURING = {"auto.md", "which.md", "synchronous-or-asynchronous.md"}
WATCHDOG = 60

FENCE = re.compile(r"^```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
CHECKED = {"python", "text", "console"}
# A block of `py` is another library's way, which test_migrating.py runs where that library is installed.
UNCHECKED = {"", "py", "rust", "toml", "sh", "{toctree}", "{eval-rst}"}

# Stand-ins in console blocks for the reader's own programs.
READERS_OWN = {"script.py", "your_file.py", "package.module", "folder-or-zip-file", "-", "-c"}


@dataclass
class Block:
    """One fenced block of a page."""

    language: str
    text: str
    line: int
    follows: int
    """How much other text lies between this block and the one before it."""


def blocks(page: Path) -> list[Block]:
    source = page.read_text()
    found = []
    end = 0
    for match in FENCE.finditer(source):
        between = source[end : match.start()].strip()
        line = source.count("\n", 0, match.start()) + 2
        found.append(Block(match["language"], match["text"], line, len(between)))
        end = match.end()
    return found


def program(page: Path) -> str:
    """The page's Python, with every line where it is on the page, so that tracebacks point there."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language == "python":
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.text.splitlines()
    return "\n".join(lines) + "\n"


def shown(page: Path) -> str:
    """All that the page says is printed."""
    before = None
    output = ""
    for block in blocks(page):
        if block.language == "text" and before == "python" and not block.follows:
            output += block.text
        before = block.language
    return output


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def measuring(page: Path) -> Any:
    """A page as a parameter; what it prints may hang on what its program measures, or on which of two sleeps ends first."""
    marks = [pytest.mark.measures] if page.name in MEASURING else []
    return pytest.param(page, marks=marks, id=named(page))


@pytest.mark.parametrize("page", [measuring(page) for page in PAGES if program(page).strip()])
def test_python_blocks(page: Path, tmp_path: Path) -> None:
    # Not the page's own name, which may be a module's that the program imports.
    script = tmp_path / (page.stem + "_page.py")
    script.write_text(program(page))

    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )

    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == shown(page)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_console_blocks_name_what_exists(page: Path) -> None:
    makefile = ROOT / "Makefile"
    words = set(re.findall(r"^([\w-]+):", makefile.read_text(), re.MULTILINE)) if makefile.exists() else set()
    for block in blocks(page):
        if block.language != "console":
            continue
        for line in block.text.splitlines():
            if not line.startswith("$ "):
                continue
            match shlex.split(line[2:], comments=True):
                case ["make", *targets]:
                    assert not makefile.exists() or {t for t in targets if "=" not in t} <= words, line
                case ["python", "-m", "forkful", "run", *rest] | ["forkful", "run", *rest] | ["python", *rest]:
                    what = rest[1] if rest[0] == "-m" else rest[0]
                    assert what in READERS_OWN or (ROOT / what).exists(), line
                case ["forkful" | ".venv/bin/forkful", "which", target, *_] if ".py:" in target:
                    file, _, function = target.partition(":")
                    if file not in READERS_OWN:
                        defined = re.findall(r"^def (\w+)", (ROOT / file).read_text(), re.MULTILINE)
                        assert function in defined, line


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_says_what_it_is(page: Path) -> None:
    source = page.read_text()
    assert len(re.findall(r"^```", source, re.MULTILINE)) == 2 * len(blocks(page))
    assert {block.language for block in blocks(page)} <= CHECKED | UNCHECKED
