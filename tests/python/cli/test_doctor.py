"""`forkful doctor` on this machine, and where something has been taken away from it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from living import alive

from forkful import _engine
from forkful._aside import run as aside
from forkful.diagnosis import questions, trials

WATCHDOG = 100


def examined(before: Callable[[], None] | None = None) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "forkful", "doctor", "--json"],
        preexec_fn=before,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def found(report: dict[str, Any], words: str) -> dict[str, str]:
    (finding,) = [finding for finding in report["findings"] if words in finding["says"]]
    return dict(finding)


def test_this_machine() -> None:
    status, report = examined()
    assert {trial["name"]: trial["error"] for trial in report["facts"]["trials"]} == dict.fromkeys(trials.TRIALS)
    assert (status, report["counts"]["missing"]) == (0, 0)
    facts = report["facts"]
    assert facts["cpus_planned"] == _engine.usable_cpus()
    assert facts["cpus_allowed"] == len(os.sched_getaffinity(0))
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["descriptors"][0] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert set(facts["start_methods"]) == {"fork", "spawn", "forkserver"}
    assert facts["memory_total"] > facts["memory_available"] > 0
    assert facts["packages"]["click"] and facts["packages"]["rich"]


def test_few_descriptors_and_one_cpu() -> None:
    def narrow() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (38, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    status, report = examined(narrow)
    assert status == 0
    descriptors, cpus = found(report, "RLIMIT_NOFILE: 38"), found(report, "forkful plans with 1")
    assert descriptors["level"] == cpus["level"] == "warning"
    assert "ulimit -n" in descriptors["hint"] and "overlap waits" in cpus["hint"]


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # CPython 3.13.0 fails in such a folder to look up a name that a module lacks, and numpy does so where it is imported first.
    assert questions.ask().folder == os.getcwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert questions.ask().folder is None


def test_a_numpy_that_is_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise SystemError(f"{name} is out of order")

    monkeypatch.setattr(questions, "import_module", fail)
    assert questions._libraries() == {}


def test_what_is_missing_is_a_failure() -> None:
    def narrow() -> None:
        # Less than the memory that a pool shares with its workers.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, -1))

    status, report = examined(narrow)
    assert status == 1
    assert found(report, "a task in a forked worker")["level"] == "missing"
    assert "RLIMIT_FSIZE" in found(report, "a task in a forked worker")["says"]
    assert found(report, "RLIMIT_FSIZE: ")["hint"] == "lift it: ulimit -f unlimited"
    # Threads share memory without a file.
    assert found(report, "a task on a thread")["level"] == "ok"


def test_without_the_engine() -> None:
    code = "import sys, warnings; warnings.simplefilter('ignore'); sys.modules['forkful._engine'] = None\n"
    code += "from forkful.cli import main; sys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WATCHDOG)
    assert (done.returncode, done.stderr) == (1, "")
    assert "missing the engine can't be loaded" in done.stdout
    assert "pip install --force-reinstall forkful" in done.stdout
    assert done.stdout.endswith("1 missing, 0 warnings.\n") or "warning" in done.stdout
    assert "\x1b" not in done.stdout


HANGS = """
import os, subprocess, sys, time
def main():
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
    with open(sys.argv[1], 'w') as file:
        file.write(f'{child.pid}\\n')
    time.sleep(600)
"""


def test_what_hangs_is_ended_with_all_that_it_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hangs_for_ever.py").write_text(HANGS)
    monkeypatch.syspath_prepend(tmp_path)
    said = tmp_path / "pid"
    # Long enough for it to begin, of which a busy machine may make an exception: then it is given longer.
    for seconds in (2, 10, 40):
        answer = aside("hangs_for_ever", [str(said)], seconds=seconds)
        assert answer.status is None
        if said.exists():
            break
    pid = int(said.read_text())
    assert eventually(lambda: not alive(pid))


KILLED = """
import sys
from forkful._aside import run
run("hangs_for_ever", [sys.argv[1]], seconds=60)
"""


def test_what_it_has_started_ends_with_a_program_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "hangs_for_ever.py").write_text(HANGS)
    said = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(said)], cwd=tmp_path) as running:
        assert eventually(lambda: said.exists() and said.read_text().endswith("\n"))
        running.kill()
    pid = int(said.read_text())
    assert eventually(lambda: not alive(pid))


def test_a_machine_without_room_for_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert aside("forkful.diagnosis.trials", ["threads"], seconds=60).last_line == '{"error": null}'


def test_what_fails_says_its_last_line() -> None:
    answer = aside("forkful.no_such_module", [], seconds=60)
    assert answer.status == 1
    assert answer.complaint == "ModuleNotFoundError: No module named 'forkful.no_such_module'"
