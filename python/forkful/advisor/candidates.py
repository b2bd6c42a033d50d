"""The ways in which a function can be called, each with the speed that was measured or is to be expected.

Knows: measurements and the model. Does not know: which way is better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .measurements import Measurements, Scaling
from .model import (
    LARGE,
    WAITS,
    computing,
    crowded,
    expected_processes,
    expected_shared,
    expected_tasks,
    expected_threads,
    most,
    wanted_workers,
)
from .verdict import Choice

__all__ = ["NOTICED", "ORDER", "Way", "candidates", "without_others"]

ORDER: tuple[Choice, ...] = ("inline", "asyncio", "threads", "processes", "processes with share")
"""From the simplest to the most demanding."""
_GUESS = 0.25
"""How far the model may be off: caches and the bandwidth of the memory are not in it."""
_FAR_WORSE = 0.35
"""A way that reaches so much less of what is expected of it than others do is held up by more than other programs."""
NOTICED = 0.1
"""A smaller part of the time that other programs took is left in the measurements."""

Expected = Callable[[Measurements, int], "float | None"]
"""What the model says of so many workers."""


@dataclass(frozen=True)
class Way:
    """One way to call the function, as times the speed of one call after the other."""

    choice: Choice
    workers: int
    speedup: float
    low: float
    high: float
    expected: float | None
    """What the model says; None where it can say nothing."""
    measured: bool
    repeats: int
    seen: float | None = None
    """The speed-up that was measured; `speedup` may differ where other programs had the CPUs."""
    reached: float = 1.0
    """The part of what the model says, at the number of workers that came nearest to it."""


def candidates(m: Measurements, *, explained: bool) -> list[Way]:
    """All ways that are possible, in `ORDER`; the first is `inline`.

    explained: whether the sampled share of the lock can be right; one that the threads' own speed refutes explains nothing.
    """
    ways = _ways(m, explained)
    return _at_rest(ways) if crowded(m) else ways


def _ways(m: Measurements, explained: bool) -> list[Way]:
    middle, low, high = m.wall.median, m.wall.low, m.wall.high
    inline = Way(
        "inline",
        1,
        1.0,
        middle / high if high > 0 else 1.0,
        middle / low if low > 0 else 1.0,
        1.0,
        True,
        m.wall.count,
    )
    if middle <= 0:
        return [inline]
    ways = [inline]
    if m.tasks:
        ways.append(_measured(m, "asyncio", m.tasks, expected_tasks))
    if m.threads_refused is not None:
        pass
    elif m.threads:
        ways.append(_measured(m, "threads", m.threads, expected_threads if explained else _unknown))
    else:
        workers = wanted_workers(m)
        ways += _guessed("threads", workers, expected_threads(m, workers))
    if m.refused is not None:
        return ways
    if m.processes:
        ways.append(_measured(m, "processes", m.processes, expected_processes))
    elif m.arguments.error is None and m.result.error is None and not (m.threads and computing(m) < WAITS):
        # What waits is as fast in processes as in threads that were measured, and no faster.
        workers = min(wanted_workers(m), 4 * m.cpus)
        ways += _guessed("processes", workers, expected_processes(m, workers))
    if m.shared:
        ways.append(_measured(m, "processes with share", m.shared, expected_shared))
    elif m.shareable >= LARGE and not m.processes and m.arguments.error is None and m.result.error is None:
        workers = min(wanted_workers(m), 4 * m.cpus)
        ways += _guessed("processes with share", workers, expected_shared(m, workers))
    return ways


def _best(m: Measurements, scalings: Sequence[Scaling], expected: Expected) -> Scaling:
    """The fewest workers that do all but a twentieth of what the best number does."""
    speeds = [scaling.rate.median for scaling in scalings]
    if crowded(m):
        known = [expected(m, scaling.workers) for scaling in scalings]
        speeds = [speed if speed is not None else 1.0 for speed in known]
    enough = 0.95 * max(speeds)
    good = [scaling for scaling, speed in zip(scalings, speeds, strict=True) if speed >= enough]
    return min(good, key=lambda scaling: scaling.workers)


def _at_rest(ways: list[Way]) -> list[Way]:
    """The ways as they would be without the other programs: as the model has them, but for one that did far worse than those."""
    usual = min(
        1.0, max((way.reached for way in ways if way.expected is not None and way.expected >= 1.5), default=1.0)
    )
    found = []
    for way in ways:
        if way.choice == "inline" or not way.measured or way.expected is None:
            found.append(way)
        elif way.reached < _FAR_WORSE * usual:
            found.append(replace(way, speedup=way.speedup / usual, low=way.low / usual, high=way.high / usual))
        else:
            low, high = (1 - _GUESS) * way.expected, (1 + _GUESS) * way.expected
            found.append(replace(way, speedup=way.expected, low=low, high=high, measured=False))
    return found


def _measured(m: Measurements, choice: Choice, scalings: Sequence[Scaling], model: Expected) -> Way:
    best = _best(m, scalings, model)
    rate, wall, expected = best.rate, m.wall.median, model(m, best.workers)
    there = without_others(m, best, expected)
    reached = [
        scaling.rate.median * wall * without_others(m, scaling, known) / known
        for scaling in scalings
        if (known := model(m, scaling.workers))
    ]
    limit = most(m, best.workers, tasks=choice == "asyncio")
    return Way(
        choice,
        best.workers,
        min(rate.median * wall * there, limit),
        min(rate.low * wall * there, limit),
        min(rate.high * wall * there, limit),
        expected,
        True,
        rate.count,
        rate.median * wall,
        max(reached, default=1.0),
    )


def _unknown(m: Measurements, workers: int) -> None:
    return None


def without_others(m: Measurements, scaling: Scaling, expected: float | None) -> float:
    """What to multiply a measured speed-up with where other programs had the CPUs.

    On a machine with one free CPU of two, two workers that compute are no faster than one, and that says nothing of the function.
    """
    if expected is None or scaling.rate.median <= 0 or scaling.workers * computing(m) > 1.01 * m.cpus:
        return 1.0  # of more workers than there are CPUs for, each stands in the others' way
    seen = scaling.rate.median * m.wall.median
    alone = max(m.wall.median - m.delayed, m.cpu)
    queued = min(scaling.delayed, 0.8)
    together = scaling.workers / scaling.rate.median
    # What a call computes it has to compute on an idle machine too; only the queue before it is gone.
    together = max(together - m.cpu * queued / (1 - queued), alone)
    # Never past what the model lets expect, nor away from it: whose turn it is in the queue is known, but not who waits for him.
    low, high = sorted((seen, expected))
    speedup = min(max(scaling.workers * alone / together, low), high)
    return speedup / seen if abs(speedup / seen - 1) > NOTICED else 1.0


def _guessed(choice: Choice, workers: int, expected: float | None) -> list[Way]:
    if expected is None:
        return []
    return [Way(choice, workers, expected, (1 - _GUESS) * expected, (1 + _GUESS) * expected, expected, False, 0)]
