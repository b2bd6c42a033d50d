"""`forkful which`: the command, over the real probe where it matters and a stand-in elsewhere."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from advisor.measured import measured
from click.testing import CliRunner, Result
from eventually import WATCHDOG, eventually

from forkful.advisor import Measurements, probe
from forkful.cli import which

SOURCE = """
import os
import sys
import time


def waits(seconds=0.005):
    print("from the function")
    time.sleep(seconds)


def raises(number):
    return 1 // number


def begins(path):
    open(path, "w").close()
    time.sleep(0.05)


def needs(first, *, second):
    pass
"""
COMMAND = [sys.executable, "-c", "from forkful.cli.which import command; command(prog_name='forkful which')"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "asked.py").write_text(SOURCE)
    yield tmp_path
    sys.modules.pop("asked", None)


class Fake:
    """Stands in for the probe."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.found = measured(threads={2: 0.97}, processes={2: 1.9})

    def __call__(self, fn: Any, calls: Any, **options: Any) -> Measurements:
        self.asked.append((fn.__name__, calls, options["budget"], options["once"]))
        return self.found


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(probe, "measure", made)
    return made


def which_of(*words: str) -> Result:
    # As the group calls it: click keeps the help option that a command has made first.
    return CliRunner().invoke(which.command, words, help_option_names=["-h", "--help"])


def test_help_has_examples_and_exit_codes() -> None:
    done = which_of("--help")
    assert done.exit_code == 0
    for words in ("forkful which script.py:parse", "--setup", "Exit status:", "130  interrupted", "[default: 5s]"):
        assert words in done.output
    assert max(map(len, done.output.splitlines())) <= 80


def test_a_verdict(fake: Fake) -> None:
    done = which_of("asked:waits")
    assert done.exit_code == 0
    assert done.output.startswith("Use 2 processes: it computes in Python")
    assert "x 1.9" in done.output and "\x1b" not in done.output
    assert fake.asked == [("waits", [((), {})], 5.0, False)]


def test_what_it_is_called_with(fake: Fake, folder: Path) -> None:
    (folder / "calls.jsonl").write_text('[1]\n{"seconds": 2}\n')
    for words in (
        ("--arg", "1.5", "--budget", "500ms"),
        ("--args-from", "calls.jsonl", "--once"),
        ("--setup", "[(n / 10,) for n in range(1, 3)]", "--budget", "2m"),
    ):
        assert which_of("asked.py:waits", *words).exit_code == 0
    assert fake.asked == [
        ("waits", [((1.5,), {})], 0.5, False),
        ("waits", [((1,), {}), ((), {"seconds": 2})], 5.0, True),
        ("waits", [((0.1,), {}), ((0.2,), {})], 120.0, False),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'TARGET'"),
        (["asked"], "must be module:function"),
        (["asked:wiats"], "did you mean 'waits'?"),
        (["asked:needs"], "needs(first, *, second) needs arguments"),
        (["asked:needs", "--arg", "1"], "do not fit needs(first, *, second)"),
        (["asked:waits", "--arg", "soon"], "--arg \"'soon'\""),
        (["asked:waits", "--arg", "'a' * 3"], "quotes of its own; what has to be computed"),
        (["asked:waits", "--arg", "1", "--setup", "1"], "give one of them"),
        (["asked:waits", "--args-from", "nowhere.jsonl"], "nowhere.jsonl"),
        (["asked:waits", "--setup", "1 +"], "no Python"),
        (["asked:waits", "--budget", "soon"], "write 5s, 500ms or 2m"),
        (["asked:waits", "--budget", "0"], "more than nothing"),
        (["asked:waits", "--budget", "5h"], "no duration"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(fake: Fake, words: list[str], said: str) -> None:
    done = which_of(*words)
    assert done.exit_code == 2
    # click breaks long lines.
    assert said in " ".join(done.output.split())
    assert fake.asked == []


@pytest.mark.parametrize(
    ("found", "words", "code"),
    [
        (measured(threads={2: 0.97}, processes={2: 1.9}), ["--strict"], 0),
        (measured(threads={2: 0.97}, processes={2: 1.05}), ["--strict"], 3),
        (measured(threads={2: 0.97}, processes={2: 1.05}), [], 0),
        (measured(raised="ValueError: no"), ["--strict"], 1),
        (measured(raised="ValueError: no"), ["--json"], 1),
    ],
)
def test_exit_codes(fake: Fake, found: Measurements, words: list[str], code: int) -> None:
    fake.found = found
    assert which_of("asked:waits", *words).exit_code == code


def test_an_interrupt(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(probe, "measure", interrupted)
    done = which_of("asked:waits")
    assert (done.exit_code, done.output) == (130, "interrupted\n")


def test_a_chart_that_cannot_be_drawn_is_told_before_anything_runs(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    done = which_of("asked:waits", "--plot", "chart.doc")
    assert done.exit_code == 2
    assert "must end in .png" in done.output or "pip install 'forkful[plot]'" in done.output
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    done = which_of("asked:waits", "--plot", "chart.png")
    assert done.exit_code == 2 and "pip install 'forkful[plot]'" in " ".join(done.output.split())
    assert fake.asked == []


def test_a_chart(fake: Fake, folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert which_of("asked:waits", "--plot", "chart.png").exit_code == 0
    assert (folder / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_a_terminal_gets_the_same_words(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.found = measured(threads={2: 0.97}, processes={2: 1.05}, notes=("a note",))
    plain = which_of("asked:waits").output
    monkeypatch.setattr(which, "_terminal", lambda stream: stream is sys.stdout)
    monkeypatch.setenv("COLUMNS", "200")
    assert sorted(which_of("asked:waits").output.replace("unsure:", "unsure").split()) == sorted(
        plain.replace("unsure:", "unsure").replace("hint:", "hint").replace("note:", "note").replace(" <", "").split()
    )


@pytest.mark.parametrize("name", ["breaks.py", "br-eaks.py"])
def test_a_module_that_raises_shows_its_own_lines_alone(name: str, folder: Path) -> None:
    (folder / name).write_text("def inner():\n    return {}['key']\ninner()\n")
    done = which_of(f"{name}:inner")
    assert done.exit_code == 1
    assert [line.split('"')[1] for line in done.output.splitlines() if "File " in line] == [str(folder / name)] * 2
    assert "KeyError: 'key'" in done.output
    assert done.output.rstrip().endswith("raised while it was imported")


# --- really run ---


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.measures
def test_json_is_alone_on_standard_output() -> None:
    # Enough time for it: the busier the machine, the more is enough.
    for budget in ("500ms", "2s", "10s"):
        done = run("asked.py:waits", "--json", "--budget", budget)
        assert done.returncode == 0, done.stderr
        label = json.loads(done.stdout)["verdict"]["label"]
        if label == "threads (waits)":
            break
    assert label == "threads (waits)"
    assert "from the function" in done.stderr


def test_what_the_function_prints_stays_where_it_is() -> None:
    done = run("asked:waits", "--budget", "300ms")
    assert "from the function" in done.stdout
    assert "Use " in done.stdout or "Call it" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_a_function_that_raises() -> None:
    done = run("asked:raises", "--arg", "0", "--budget", "300ms")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr and "in raises" in done.stderr
    assert "forkful/" not in done.stderr
    assert "it raised ZeroDivisionError" in done.stdout


def test_a_file_whose_name_is_no_module_reaches_workers_that_import_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "no-module.py").write_text("def loops():\n    return sum(n * n for n in range(20_000))\n")
    monkeypatch.setenv("FORKFUL_START_METHOD", "spawn")
    done = run("no-module.py:loops", "--json", "--budget", "1500ms")
    found = json.loads(done.stdout)["measurements"]
    assert found["refused"] is None, found["refused"]
    # On a machine that is very busy the workers may not be up in time.
    assert found["processes"] or any("left no time" in note for note in found["notes"]), found["notes"]


def test_ctrl_c_ends_it_quietly(folder: Path) -> None:
    begun = folder / "begun"
    asked = subprocess.Popen(
        [*COMMAND, "asked:begins", "--arg", repr(str(begun)), "--budget", "50s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert eventually(begun.exists)
    asked.send_signal(signal.SIGINT)
    out, err = asked.communicate(timeout=WATCHDOG)
    assert (asked.returncode, out, err) == (130, "", "interrupted\n")


@pytest.mark.parametrize("no_colour", [False, True])
def test_colours_are_for_terminals(no_colour: bool) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    env.pop("NO_COLOR", None)
    if no_colour:
        env["NO_COLOR"] = "1"
    with subprocess.Popen(
        [*COMMAND, "asked:waits", "--budget", "100ms"], stdout=theirs, stderr=subprocess.DEVNULL, env=env
    ) as asked:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break  # the other end is closed
            if not piece:
                break
            shown += piece
        os.close(ours)
    assert asked.returncode == 0
    assert b"Use " in shown or b"Call it" in shown
    assert (b"\x1b[1;3" in shown or b"\x1b[36m" in shown) != no_colour
