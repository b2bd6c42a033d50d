"""The demo runs to its end, in small, and fails where an unchanged program or a job says something else than it should."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from eventually import eventually
from living import alive

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WATCHDOG = 100

console = pytest.importorskip("rich.console")


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    spec = importlib.util.spec_from_file_location("demo", EXAMPLES / "demo.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Its functions go to processes, which look them up by name.
    monkeypatch.setitem(sys.modules, "demo", module)
    spec.loader.exec_module(module)
    return module


def test_quick(tmp_path: Path) -> None:
    """With the real programs and jobs; in a copy of the folder, so that the chart of the checkout stays what it is."""
    copy = tmp_path / "examples"
    copy.mkdir()
    for program in EXAMPLES.glob("*.py"):
        (copy / program.name).write_text(program.read_text())

    done = subprocess.run(
        [sys.executable, str(copy / "demo.py"), "quick"],
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        env={**os.environ, "NO_COLOR": "1"},
    )

    # Where it draws for the first time matplotlib may tell of its caches.
    errors = [line for line in done.stderr.splitlines() if "atplotlib" not in line]
    assert (errors, done.returncode) == ([], 0)
    lines = done.stdout.splitlines()
    assert sum("done!" in line for line in lines) == 2
    for row in ("sleeping sums, python", "sleeping sums, forkful run", "fetch 9 pages", "count words in 4 files"):
        of_it = [line for line in lines if row in line and "│" in line]
        assert len(of_it) == 1 and re.search(r"\d\.\d\d s", of_it[0]), done.stdout
    assert sum(line.startswith("which: ") and line.endswith(".") for line in lines) == 2, done.stdout
    chart = tmp_path / "demo.png"
    if importlib.util.find_spec("matplotlib"):
        assert f"The chart: {chart}" in done.stdout
        assert chart.read_bytes().startswith(b"\x89PNG")
    else:
        assert "matplotlib is not installed" in done.stdout


def test_a_program_that_says_something_else(
    demo: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = [sys.executable, "-c"]
    same = {"python": [*python, "print('0.10 seconds')"], "forkful run": [*python, "print('0.20 seconds')"]}
    monkeypatch.setattr(demo, "WAYS", same)
    took, alike = demo.unchanged("script.py")
    assert alike and set(took) == set(same)

    other = {**same, "forkful run": [*python, "print('0.20 hours')"]}
    failing = {way: [*python, "raise SystemExit(1)"] for way in same}
    for ways in (other, failing):
        monkeypatch.setattr(demo, "WAYS", ways)
        assert not demo.unchanged("script.py")[1]
    assert "did not say the same" in capsys.readouterr().out


def test_a_job_whose_results_differ(demo: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    good = demo.Job("add", abs, [-1, 2])
    demo.measure(good, 1)
    assert good.same and set(good.times) == {"serial", "threads", "processes"}

    # Another number in each process.
    bad = demo.Job("pid", _pid, [0])
    demo.measure(bad, 1)
    assert not bad.same
    assert "were not the same" in capsys.readouterr().out


def _pid(_: int) -> int:
    return os.getpid()


def test_the_table_marks_the_fastest(demo: types.ModuleType) -> None:
    job = demo.Job("wait", abs, [1], {"serial": 4.0, "threads": 1.0, "processes": 2.0}, choice="threads")
    table = demo.table({}, [job], 80)
    cells = [list(column.cells)[-1] for column in table.columns]
    assert cells == ["wait", "4.00 s", "[bold green]1.00 s 4.0 x[/bold green]", "2.00 s 2.0 x", "threads"]


def test_a_narrow_terminal_has_every_word_of_the_table(demo: types.ModuleType) -> None:
    times = {"serial": 4.0, "threads": 1.0, "processes": 2.0}
    job = demo.Job("count words in 60 files", abs, [1], times, choice="processes, unsure")
    programs = {name: dict.fromkeys(demo.WAYS, 3.0) for name in demo.SUMS}
    shown = io.StringIO()
    console.Console(width=60, file=shown).print(demo.table(programs, [job], 60))
    lines = shown.getvalue().splitlines()
    assert {"processes,", "unsure", "words", "4.0 x", "2.0 x", "4.00 s"} <= {
        word.strip() for line in lines for cell in line.split("│") for word in (cell, *cell.split())
    }
    assert max(map(len, lines)) <= 60


def test_ctrl_c_leaves_no_process_of_a_program(
    demo: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    begun = []

    def interrupted(running: subprocess.Popen[str]) -> tuple[str, str]:
        assert running.stdout
        begun.append(int(running.stdout.readline()))
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demo.run([sys.executable, str(program)])
    assert eventually(lambda: not alive(begun[0]))
