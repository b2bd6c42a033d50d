"""The guide has the same pages, programs and sections in English and in Korean, and its programs run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGLISH, KOREAN = ROOT / "docs" / "guide", ROOT / "docs" / "ko"
PAGES = sorted(page.name for page in ENGLISH.glob("*.md"))
PROGRAMS = sorted((ROOT / "examples" / "guide").glob("*.py"))
WATCHDOG = 100

# Small enough to take no time, large enough for every line to be printed as ever.
SCALE = "0.03"

# What each program's table must have: names of rows, each with so many figures.
ROWS = {
    "concurrent_or_parallel.py": (["one after the other", "4 threads", "4 processes"], 3),
    "functions.py": (["look_up", "count_primes"], 5),
    "gil.py": (["time.sleep", "a socket", "zlib.compress", "hashlib.sha256", "json.dumps", "a Python loop"], 3),
    "synchronous_or_asynchronous.py": (
        ["result(), in order", "as_completed", "add_done_callback", "await, in asyncio"],
        3,
    ),
    "threads_or_processes.py": (
        ["the first result of a new pool", "a small call, there and back", "4 tasks that wait", "4 tasks that compute"],
        2,
    ),
}


def fenced(page: Path) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return re.findall(r"^```(\S*)[^\n]*\n(.*?)^```\s*$", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```\s*$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> list[int]:
    """The level of each heading, in order."""
    return [len(level) for level in re.findall(r"^(#+) ", prose(page), re.MULTILINE)]


def code(block: str) -> str:
    """A block without what may be said in another language: comments and the text of strings."""
    tree = ast.parse(block)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = "…"
    return ast.dump(tree)


def test_both_languages_have_the_same_pages() -> None:
    assert sorted(page.name for page in KOREAN.glob("*.md")) == PAGES
    assert len(PAGES) >= 6


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_sections(page: str) -> None:
    assert headings(KOREAN / page) == headings(ENGLISH / page)


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_programs(page: str) -> None:
    english, korean = fenced(ENGLISH / page), fenced(KOREAN / page)
    assert [language for language, _ in korean] == [language for language, _ in english]
    for (language, ours), (_, theirs) in zip(english, korean, strict=True):
        if language == "python":
            assert code(theirs) == code(ours)
        else:
            assert theirs == ours or language == "text"


@pytest.mark.parametrize("page", PAGES)
def test_the_korean_page_is_korean(page: str) -> None:
    said = re.sub(r"`[^`]*`|\([^)]*\)", "", prose(KOREAN / page))
    hangul, latin = len(re.findall("[가-힣]", said)), len(re.findall("[A-Za-z]", said))
    assert hangul > 2 * latin


def test_every_program_is_shown_in_both_languages() -> None:
    assert [program.name for program in PROGRAMS] == sorted(ROWS)
    for folder in (ENGLISH, KOREAN):
        shown = "".join(text for page in PAGES for language, text in fenced(folder / page) if language == "console")
        for program in PROGRAMS:
            assert f"$ python examples/guide/{program.name}\n" in shown, folder


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_the_program_measures(program: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), SCALE], capture_output=True, text=True, timeout=WATCHDOG
    )

    assert (done.stderr, done.returncode) == ("", 0)
    rows, figures = ROWS[program.name]
    lines = done.stdout.splitlines()
    for row in rows:
        of_it = [line for line in lines if line.startswith(row)]
        assert of_it, (row, done.stdout)
        for line in of_it:
            assert len(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", line.removeprefix(row))) >= figures, line


def test_the_program_says_what_is_certain() -> None:
    """Answers arrive in order of their slowness, but in that of the questions where these are waited for one by one."""
    program = ROOT / "examples" / "guide" / "synchronous_or_asynchronous.py"
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=WATCHDOG)
    table = {line[:22].strip(): line for line in done.stdout.splitlines()[1:]}
    assert "A B C D" in table["result(), in order"]
    for way in ("as_completed", "add_done_callback", "await, in asyncio"):
        assert "D B C A" in table[way]
    steps = {way: int(line.split()[-1]) for way, line in table.items()}
    assert steps["result(), in order"] == steps["as_completed"] == 0
    assert steps["add_done_callback"] > 0 and steps["await, in asyncio"] > 0
