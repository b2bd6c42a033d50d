"""The list of measures of large arguments and results, each with the target that it is held against."""

from __future__ import annotations

from typing import Any

from measures import Measure, Target

MB = 1 << 20
# Megabytes as numpy's users count them: twelve and a half million doubles.
ARRAY = 100_000_000
SIZES = [1024 << doubling for doubling in range(17)]

NUMPY = ("numpy",)
# joblib runs a single worker's tasks in the parent, so it gets two.
JOBLIB = {"joblib": {"workers": 2}}


def _slower(metric: str, times: float, whose: str = "stdlib") -> Target:
    """`whose` takes at least so many times as long."""
    words = f"1/{times:g} of {whose}'s" if times != 1 else f"{whose}'s"
    return Target(metric, words, lambda m: m[whose][metric] / m["forkful"][metric] / times, against=(whose,))


def _most(metric: str, value: float) -> Target:
    return Target(metric, f"at most {value:g}", lambda m: value / max(m["forkful"][metric], 1e-9), against=())


def _none(metric: str) -> Target:
    return Target(metric, "none", lambda m: float(m["forkful"][metric] == 0), against=())


def _everybody(tasks: int, slow: int) -> dict[str, dict[str, Any]]:
    return {
        **{subject: {"tasks": tasks} for subject in ("forkful", "ray")},
        **{subject: {"tasks": slow} for subject in ("stdlib", "multiprocessing", "loky", "mpire", "dask")},
        "joblib": {"tasks": slow, "workers": 2},
    }


def _sweep(kind: str, title: str, needs: tuple[str, ...]) -> Measure:
    return Measure(
        f"process-{kind}",
        title,
        "sweep",
        {"kind": kind, "least": SIZES[0], "most": SIZES[-1], "workers": 1, "seconds": 0.15},
        # Twice the size is twice the work, and a little more where it no longer fits into a cache.
        (*(_slower(f"us at {size >> 10} KB", 1) for size in SIZES), _most("step at the crossover", 2.5)),
        {
            **{subject: {} for subject in ("stdlib", "multiprocessing", "forkful", "loky", "mpire", "dask", "ray")},
            **JOBLIB,
        },
        needs,
    )


MEASURES = (
    Measure(
        "process-array-argument",
        "100 MB of doubles go to the worker, which sums them, warm",
        "argument",
        {"bytes": ARRAY, "workers": 1},
        (_slower("ms", 20), _slower("ms", 1, "ray")),
        _everybody(40, 8),
        NUMPY,
    ),
    Measure(
        "process-array-result",
        "100 MB of doubles made by the worker (numpy.ones) and returned, warm; their reader looks at one in 4096",
        "result",
        {"bytes": ARRAY, "workers": 1},
        (_slower("ms", 40), _slower("ms", 5, "ray")),
        _everybody(40, 8),
        NUMPY,
    ),
    Measure(
        "process-array-result-elsewhere",
        "the same, made where the worker's memory usually is (born_shared=False)",
        "result",
        {"bytes": ARRAY, "workers": 1},
        (_slower("ms", 20),),
        {"stdlib": {"tasks": 8}, "forkful": {"tasks": 40, "options": {"born_shared": False}}},
        NUMPY,
    ),
    Measure(
        "process-array-first",
        "the first 100 MB of doubles that a pool ever sees, to a worker that has had small tasks",
        "first",
        {"bytes": ARRAY, "workers": 1},
        (_slower("ms", 3),),
        {
            **{subject: {} for subject in ("stdlib", "multiprocessing", "forkful", "loky", "mpire", "dask", "ray")},
            **JOBLIB,
        },
        NUMPY,
    ),
    Measure(
        "process-shared",
        "100 tasks over one array of 100 MB that they share, beside 100 tasks over a number",
        "shared",
        {"bytes": ARRAY, "workers": 1},
        (_most("times small", 2),),
        {"stdlib": {"tasks": 10}, "forkful": {"tasks": 100}, "dask": {"tasks": 100}, "ray": {"tasks": 100}},
        NUMPY,
    ),
    _sweep("bytes", "bytes there and back, 1 KB to 64 MB", NUMPY),
    _sweep("arrays", "an array goes to the worker and its negative comes back, 1 KB to 64 MB", NUMPY),
    Measure(
        "process-array-memory",
        "arrays of 50 MB there and back, then 3 s of nothing: what is left of them in memory",
        "memory",
        {"bytes": ARRAY // 2, "workers": 2, "seconds": 3},
        (
            _most("parent grown %", 10),
            _most("workers grown %", 10),
            _none("segments left"),
            _none("views left"),
        ),
        {
            "stdlib": {"tasks": 60},
            "forkful": {"tasks": 1000},
            "loky": {"tasks": 60},
            "mpire": {"tasks": 60},
            "ray": {"tasks": 200},
        },
        NUMPY,
    ),
)
