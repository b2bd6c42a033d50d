"""Runs the subjects, each time in a new process, in turns.

Knows: watchdogs, whose turn it is. Does not know: what is measured in there.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

from forkful import _aside, _engine
from forkful._version import __version__
from forkful.comparison.measures import PACKAGES, Measure
from forkful.comparison.results import Result

WATCHDOG = 60.0
"""Seconds after which a subject is given up."""


class Failed(Exception):
    """A subject without a figure; says why, in a line."""


def once(measure: Measure, subject: str, workers: int, seconds: float) -> float:
    """One figure, from a process of its own."""
    with _folder_of(subject) as more:
        answer = _aside.run(
            "forkful.comparison.work",
            [measure.work, measure.kind, subject, str(workers), str(seconds)],
            seconds=WATCHDOG,
            more=more,
        )
    if answer.status is None:
        raise Failed(f"gave no answer in {WATCHDOG:g} s")
    if answer.status:
        raise Failed(answer.complaint or f"ended with status {answer.status}")
    try:
        found: dict[str, Any] = json.loads(answer.last_line)
    except ValueError:
        raise Failed("gave no figure") from None
    if "lacks" in found:
        raise Failed(f"lacks {found['lacks']}")
    return float(found["value"])


@contextmanager
def _folder_of(subject: str) -> Iterator[dict[str, str]]:
    """joblib leaves a copy of each large array where it would put them itself; here they go at the end."""
    if subject != "joblib":
        yield {}
        return
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    try:
        folder = TemporaryDirectory(prefix="forkful-bench-", dir=memory, ignore_cleanup_errors=True)
    except OSError as error:
        raise Failed(f"needs a folder for arrays: {error}") from None
    with folder as name:
        yield {"JOBLIB_TEMP_FOLDER": name}


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
