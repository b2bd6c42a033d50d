"""The examples say the same under python and under `python -m forkful run`, times and order of arrival apart."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WATCHDOG = 100

SUMS = ["1 + 2 = 3 (… seconds)", "3 + 4 = 7 (… seconds)", "5 + 6 = 11 (… seconds)"]
SAID = {
    "sleeping_sums_threads.py": [*SUMS, "done!", "execution time: … seconds"],
    "sleeping_sums_processes.py": [*SUMS, "done!", "execution time: … seconds"],
    "fetch_pages.py": [
        "serial: 36 pages, 4 missing, 149007 bytes, 0305fbb252f43933",
        "time: … seconds",
        "8 threads: 36 pages, 4 missing, 149007 bytes, 0305fbb252f43933",
        "time: … seconds",
        "the same pages",
    ],
}
WAYS = {"python": [], "forkful": ["-m", "forkful", "run"]}
ARGUMENTS = {"fetch_pages.py": ["40", "8"]}


def test_every_example_is_listed() -> None:
    assert sorted([*SAID, "word_counts.py", "night_sky.py"]) == sorted(
        path.name for path in EXAMPLES.glob("*.py") if path.name != "demo.py"
    )


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[tuple[str, str], subprocess.Popen[str]]]:
    """Every example, running both ways; all at once, since most of them sleep most of the time."""
    started = {
        (name, way): subprocess.Popen(
            [sys.executable, *command, str(EXAMPLES / name), *ARGUMENTS.get(name, [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in SAID
        for way, command in WAYS.items()
    }
    yield started
    for program in started.values():
        with program:
            program.kill()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SAID)
def test_says(name: str, way: str, programs: dict[tuple[str, str], subprocess.Popen[str]]) -> None:
    program = programs[name, way]
    stdout, stderr = program.communicate(timeout=WATCHDOG)

    assert (stderr, program.returncode) == ("", 0)
    lines = re.sub(r"\d+\.\d+ seconds", "… seconds", stdout).splitlines()
    # The sums of three threads arrive in any order; all that follows them has its own.
    assert sorted(lines[:3]) + lines[3:] == sorted(SAID[name][:3]) + SAID[name][3:]


@pytest.mark.parametrize("name", SAID)
def test_is_an_unchanged_program(name: str) -> None:
    tree = ast.parse((EXAMPLES / name).read_text())
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)


def test_the_words_are_counted_alike_in_threads_and_processes() -> None:
    command = [sys.executable, "-m", "forkful", "run", str(EXAMPLES / "word_counts.py"), "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG)
    assert done.returncode == 0, done.stderr
    # What is counted is this interpreter's own library, so the numbers are its version's.
    assert done.stdout.count("the same words") == 2, done.stdout


def test_the_stars_are_the_same_when_whole_arrays_go_to_processes() -> None:
    pytest.importorskip("numpy")
    command = [sys.executable, "-m", "forkful", "run", str(EXAMPLES / "night_sky.py"), "3", "300", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WATCHDOG)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.endswith("the same stars\n"), done.stdout
