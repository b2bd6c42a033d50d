"""Runs the subjects, each time in a new process, in turns.

Knows: processes, watchdogs, whose turn it is. Does not know: what is measured in there.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from forkful import __version__, _engine
from forkful.comparison.measures import PACKAGES, Measure
from forkful.comparison.results import Result

WATCHDOG = 60.0
"""Seconds after which a subject is given up."""

# The child sees what its parent sees, wherever that came from, and nothing of the directory that it stands in.
_BOOT = "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); from forkful.comparison.work import main; main()"


class Failed(Exception):
    """A subject without a figure; says why, in a line."""


def once(measure: Measure, subject: str, workers: int, seconds: float) -> float:
    """One figure, from a process of its own."""
    command = [sys.executable, "-c", _BOOT, "\n".join(sys.path)]
    command += [measure.work, measure.kind, subject, str(workers), str(seconds)]
    # joblib leaves a copy of each large array where it would put them itself.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        TemporaryDirectory(prefix="forkful-bench-", dir=memory, ignore_cleanup_errors=True) as folder,
        TemporaryFile("w+", errors="replace") as complaints,
    ):
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env={**os.environ, "JOBLIB_TEMP_FOLDER": folder},
            # A group of its own: Ctrl-C is for us, and what it starts ends with it.
            start_new_session=True,
        )
        try:
            said, _ = running.communicate(timeout=WATCHDOG)
        except subprocess.TimeoutExpired:
            raise Failed(f"gave no answer in {WATCHDOG:g} s") from None
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.communicate()
        complaints.seek(0)
        lines = complaints.read().strip().splitlines()
    return _answer(said, running.returncode, lines)


def _answer(said: str, status: int, complaints: list[str]) -> float:
    if status:
        raise Failed(complaints[-1] if complaints else f"ended with status {status}")
    try:
        # The last line is the figure's; before it stands what a pool may have printed.
        answer: dict[str, Any] = json.loads(said.rstrip().rpartition("\n")[2])
    except ValueError:
        raise Failed("gave no figure") from None
    if "lacks" in answer:
        raise Failed(f"lacks {answer['lacks']}")
    return float(answer["value"])


def compare(
    measures: list[Measure],
    rounds: int,
    ask: Callable[[Measure, str], float],
    tell: Callable[[Measure, str], None],
    there: Callable[[str], bool],
) -> list[Result]:
    """All rounds of all measures; `tell` hears of each that begins, `ask` gives the figure or raises Failed."""
    results = []
    for measure in measures:
        subjects = [name for name in measure.subjects if there(name)]
        result = Result(measure)
        for turn in range(rounds):
            # Who begins changes, so that nobody always has the machine that the others have warmed.
            first = turn % len(subjects)
            for subject in subjects[first:] + subjects[:first]:
                tell(measure, subject)
                if subject in result.failures:
                    continue
                try:
                    result.samples.setdefault(subject, []).append(ask(measure, subject))
                except Failed as failed:
                    # It would fail again.
                    result.failures[subject] = str(failed)
                    result.samples.pop(subject, None)
        results.append(result)
    return results


def is_there(subject: str) -> bool:
    """Whether a subject is installed."""
    return subject not in PACKAGES or find_spec(subject) is not None


def environment(rounds: int, seconds: float) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "forkful": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cpus": _engine.usable_cpus(),
        "load_before": round(os.getloadavg()[0], 2),
        "packages": {name: found for name in ("numpy", *PACKAGES) if (found := _version(name))},
        "rounds": rounds,
        "seconds_each": seconds,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
