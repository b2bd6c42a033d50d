"""The guide has the same pages, programs and sections in English and in Korean, and its programs run."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

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


class Stepping:
    """A module with another `sleep`."""

    def __init__(self, module: Any, sleep: Any) -> None:
        self._module = module
        self.sleep = sleep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def test_the_program_says_what_is_certain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Answers are heard in the order in which they come, but in that of the questions where these are waited for one by one.

    How long a question takes is not left to the scheduler: each answer is given when the one before it has been heard, or, where
    only the first question is listened to, has been given. The first one is given while the program does something else.
    """
    path = ROOT / "examples" / "guide" / "synchronous_or_asynchronous.py"
    spec = importlib.util.spec_from_file_location("synchronous_or_asynchronous", path)
    assert spec and spec.loader
    program = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "argv", [str(path)])
    spec.loader.exec_module(program)
    answers = sorted(program.SLOWNESS, key=program.SLOWNESS.get)
    given = {name: threading.Event() for name in answers}
    in_order = False

    def after(name: str) -> None:
        for following in answers[answers.index(name) + 1 :][:1]:
            given[following].set()

    def ask(name: str) -> str:
        assert given[name].wait(WATCHDOG)
        if in_order:
            after(name)
        return name

    def watched(way: Any) -> Any:
        def asked(executor: Any, heard: Any) -> Any:
            nonlocal in_order
            in_order = way is program.result_in_order
            for event in given.values():
                event.clear()
            pauses = 0
            if way in (program.result_in_order, program.completed_first):
                given[answers[0]].set()

            def pause() -> None:
                # The second one comes after the first step.
                nonlocal pauses
                pauses += 1
                if pauses == 2:
                    given[answers[0]].set()

            async def sleep(seconds: float) -> None:
                pause()
                await asyncio.sleep(seconds)

            monkeypatch.setattr(program, "time", Stepping(time, lambda seconds: (pause(), time.sleep(seconds))))
            monkeypatch.setattr(program, "asyncio", Stepping(asyncio, sleep))
            return way(executor, lambda answer: (heard(answer), in_order or after(answer)))

        return asked

    monkeypatch.setattr(program, "ask", ask)
    monkeypatch.setattr(program, "WAYS", {name: watched(way) for name, way in program.WAYS.items()})
    program.main()
    table = {line[:22].strip(): line for line in capsys.readouterr().out.splitlines()[1:]}
    assert "A B C D" in table["result(), in order"]
    for way in ("as_completed", "add_done_callback", "await, in asyncio"):
        assert "D B C A" in table[way]
    steps = {way: int(line.split()[-1]) for way, line in table.items()}
    assert steps["result(), in order"] == steps["as_completed"] == 0
    assert steps["add_done_callback"] > 0 and steps["await, in asyncio"] > 0
