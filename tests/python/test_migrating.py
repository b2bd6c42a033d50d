"""What docs/migrating.md shows of another library prints the same as what it shows of forkful.

Its `python` blocks are run with those of all pages; its `py` blocks, the other library's ways, run here, where that library is
installed.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "migrating.md"
WATCHDOG = 100
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```\s*$|^(##) From (.*?)$", re.MULTILINE | re.DOTALL)


@dataclass
class Section:
    """What stands under one library's heading."""

    library: str
    before: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)


def page() -> tuple[str, list[Section]]:
    """The definitions at the page's head, and its sections."""
    definitions, sections = "", []
    waiting = False
    for language, text, heading, library in BLOCK.findall(PAGE.read_text()):
        if heading:
            sections.append(Section(library))
        elif language == "python" and not sections:
            definitions += text
        elif language == "py":
            assert not waiting, "two blocks of another library without one of forkful"
            sections[-1].before.append(text)
            waiting = True
        elif language == "text" and waiting:
            sections[-1].printed.append(text)
            waiting = False
    return definitions, sections


DEFINITIONS, SECTIONS = page()


def needs(source: str) -> set[str]:
    """The packages that a program imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def test_every_library_has_both_ways() -> None:
    assert [section.library for section in SECTIONS] == [
        "concurrent.futures",
        "multiprocessing",
        "joblib",
        "loky",
        "pebble",
        "Ray",
    ]
    for section in SECTIONS:
        assert section.before and len(section.before) == len(section.printed)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.library)
def test_the_other_way_prints_the_same(section: Section, tmp_path: Path) -> None:
    source = "".join(section.before)
    missing = {name for name in needs(source) if not find_spec(name)}
    if missing:
        pytest.skip(f"needs {', '.join(sorted(missing))}")
    script = tmp_path / "before.py"
    script.write_text(DEFINITIONS + 'if __name__ == "__main__":\n' + textwrap.indent(source, "    "))

    # Warnings are the other libraries' own affair; and what waits in a buffer would come twice from those that fork after it.
    done = subprocess.run(
        [sys.executable, "-u", "-W", "ignore", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(section.printed)
