"""The list of measures of the executor that chooses, held against the better of those that do not."""

from __future__ import annotations

from measures import Measure, Target

FIXED = ("forkful-threads", "forkful-processes")
SLACK = 1.15
"""It may take so many times what the better one takes."""


def _near(metric: str) -> Target:
    return Target(
        metric,
        "15 % over the better one's at most",
        lambda m: SLACK * min(m[subject][metric] for subject in FIXED) / m["forkful"][metric],
        against=FIXED,
    )


def _better(metric: str) -> Target:
    return Target(
        metric,
        "less than either",
        lambda m: min(m[subject][metric] for subject in FIXED) / m["forkful"][metric],
        against=FIXED,
    )


def _measure(name: str, title: str, mix: list[str], tasks: int, *targets: Target) -> Measure:
    return Measure(
        f"auto-{name}", title, "mixed", {"mix": mix, "tasks": tasks}, targets or (_near("ms first"), _near("ms"))
    )


MEASURES = (
    _measure("waiting", "120 tasks that wait for 20 ms", ["nap"], 120),
    _measure("computing", "120 tasks of some ms of Python", ["compute"], 120),
    _measure("free", "120 tasks of some ms of zlib", ["squeeze"], 120),
    _measure("tiny", "50,000 tasks that add 1", ["tiny"], 50_000),
    _measure("large", "500 tasks that look at the first of a million bytes", ["head"], 500),
    _measure(
        "mixed",
        "100 tasks that wait, 100 of Python, 50 of zlib, one after the other",
        ["nap", "compute", "nap", "compute", "squeeze"],
        250,
        _better("ms first"),
        _better("ms"),
    ),
)
