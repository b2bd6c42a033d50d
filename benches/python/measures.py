"""The list of measures, each with the target that it is held against."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# {subject: {metric: median}}
Medians = dict[str, dict[str, float]]

# An interpreter that was built with profile-guided optimisation leaves a pool less to gain.
PGO = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
THROUGHPUT = 15 if PGO else 25


@dataclass(frozen=True)
class Target:
    """What forkful is to reach: `factor` says how many times over it was reached, so 1 or more is met."""

    metric: str
    words: str
    factor: Callable[[Medians], float]
    subject: str = "forkful"
    """Whose it is, where there is more than one of forkful's."""
    against: tuple[str, ...] = ("stdlib",)
    """Whose figures it is made of besides."""


@dataclass(frozen=True)
class Measure:
    """One function of work.py with its parameters."""

    name: str
    title: str
    work: str
    parameters: dict[str, Any]
    targets: tuple[Target, ...] = ()
    only: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Parameters of single subjects; where it is given, the subjects that are measured."""
    needs: tuple[str, ...] = ()
    """Packages without which it is skipped."""


def _times(metric: str, factor: float) -> Target:
    return Target(
        metric,
        f"{factor:g} x stdlib's",
        lambda m: m["forkful"][metric] / m["stdlib"][metric] / factor,
    )


def _at_most(metric: str, limit: float) -> Target:
    return Target(metric, f"at most {limit:g}", lambda m: limit / max(m["forkful"][metric], 1e-9))


def _part(metric: str, part: float, words: str, of: str | None = None) -> Target:
    return Target(metric, words, lambda m: m["stdlib"][of or metric] * part / m["forkful"][metric])


BUSY = {"workers": 2}
FUTURES: dict[str, dict[str, Any]] = {"stdlib": {}, "forkful": {}, "pebble": {}}
"""Those whose tasks have futures."""

MEASURES = (
    *(
        Measure(
            f"throughput-{workers}",
            f"100,000 no-op submits, waiting for all, {workers} worker{'s' * (workers > 1)}",
            "throughput",
            {"tasks": 100_000, "workers": workers},
            (_times("tasks/s", THROUGHPUT),),
            FUTURES,
        )
        for workers in (1, 2, 4)
    ),
    Measure(
        "latency",
        "submit().result(), hot, every CPU allowed",
        "latency",
        {"tasks": 20_000},
        (_part("p50 us", 1 / 8, "1/8 of stdlib's"), _part("p99 us", 1, "stdlib's p50", of="p50 us")),
        FUTURES,
    ),
    Measure(
        "latency-one-cpu",
        "submit().result(), hot, one CPU allowed",
        "latency",
        {"tasks": 20_000, "one_cpu": True},
        (_part("p50 us", 1, "stdlib's p50"), _part("p99 us", 1, "stdlib's p99")),
        FUTURES,
    ),
    Measure(
        "pending",
        "submit while 2 workers are busy",
        "pending",
        BUSY,
        (_at_most("us/submit", 0.5), _at_most("bytes/future", 160)),
        {"stdlib": {"tasks": 200_000}, "forkful": {"tasks": 1_000_000}, "pebble": {"tasks": 200_000}},
    ),
    *(
        Measure(
            f"{how.replace('_', '-')}-{tasks // 1000}k",
            f"{how} over {tasks:,} futures",
            "collect",
            {"how": how, "tasks": tasks, **BUSY},
            only=FUTURES,
        )
        for how in ("wait", "as_completed")
        for tasks in (10_000, 100_000)
    ),
    Measure(
        "gather",
        "asyncio.gather over 20,000 x run_in_executor",
        "gather",
        {"tasks": 20_000, **BUSY},
        (_times("tasks/s", 1),),
        FUTURES,
    ),
    *(
        Measure(
            f"thread-map-{workers}",
            f"the sum of a map over many tiny items, {workers} worker{'s' * (workers > 1)}",
            "mapped",
            {"workers": workers},
            (_times("k items/s", 25),),
            {
                "stdlib": {"tasks": 100_000},
                "forkful": {"tasks": 1_000_000},
                "multiprocessing": {"tasks": 1_000_000},
                **({"joblib": {"tasks": 50_000}} if workers > 1 else {}),
            },
        )
        for workers in (1, 4)
    ),
    Measure(
        "idle",
        "wake-ups of an idle pool, 4 workers, 10 s",
        "idle",
        {"seconds": 10, "workers": 4},
        (Target("wake-ups/s", "none", lambda m: float(m["forkful"]["wake-ups/s"] == 0)),),
        FUTURES,
    ),
    Measure(
        "nested-12",
        "fib(12), each call submits two; forkful 1 worker, stdlib as many as it wants",
        "nested",
        {"n": 12},
        (),
        {"stdlib": {"workers": 6000}, "forkful": {"workers": 1}},
    ),
    Measure(
        "nested-18",
        "fib(18), 1 worker, which only forkful finishes",
        "nested",
        {"n": 18, "workers": 1},
        (),
        {"forkful": {}},
    ),
)

# What must hold between two measures: their growth per future when there are ten times as many.
LINEAR = (("wait-10k", "wait-100k", "us/future"), ("as-completed-10k", "as-completed-100k", "us/future"))
