"""What there is to doubt in a choice: too few measurements, too small a lead, and what can't both be right.

Knows: measurements, the model and the ways. Does not know: how the choice was made.
"""

from __future__ import annotations

from collections.abc import Sequence

from .candidates import NOTICED, ORDER, Way, without_others
from .measurements import Measurements
from .model import TINY, WAITS, computing, crowded, expected_threads, gil_held, gil_margin, most
from .units import percent, seconds, times
from .wording import CALLED

__all__ = ["CLEAR", "doubts", "too_fast"]

CLEAR = 1.10
"""A lead below this is none."""


def doubts(m: Measurements, chosen: Way, runner_up: Way | None, ways: Sequence[Way]) -> tuple[str, ...]:
    """Sentences without an end. ways: all of them, the chosen one and its runner-up too."""
    found = []
    if crowded(m):
        seen = "" if chosen.seen is None else f", and not the {times(chosen.seen)} times that were measured"
        found.append(
            "other programs had the CPUs: the speed is what the CPU time, the GIL's share and the pickles of single calls let "
            f"expect{seen}"
        )
    elif not chosen.measured:
        found.append(
            f"{_name(chosen)} were not measured: the speed is what the time, the GIL's share and the pickles of single calls "
            "let expect"
        )
    elif runner_up is not None and not runner_up.measured and runner_up.high * CLEAR > chosen.low:
        found.append(f"{_name(runner_up)} were not measured, and may be faster")
    unknown = gil_held(m) is None and not m.threads and m.threads_refused is None
    if unknown and computing(m) >= WAITS and m.wall.median >= TINY and chosen.choice != "threads":
        found.append("neither the GIL's share nor threads were measured, and threads may be as fast, or faster")
    if m.wall.count <= 1 or (chosen.measured and chosen.repeats <= 1):
        found.append("there was time, or input, for a single measurement only, which shows no spread")
    if runner_up is not None and chosen.measured and runner_up.measured and not _equals(chosen, runner_up):
        if chosen.speedup < CLEAR * runner_up.speedup:
            found.append(
                f"the lead over {CALLED[runner_up.choice]} is smaller than a tenth, which the next measurement may turn round"
            )
        elif chosen.low <= runner_up.high:
            found.append(
                f"the middle halves of what was measured for {CALLED[chosen.choice]} and {CALLED[runner_up.choice]} overlap"
            )
    limit = most(m, chosen.workers, tasks=chosen.choice == "asyncio")
    if chosen.measured and chosen.seen is not None and chosen.seen > (1 + NOTICED) * limit:
        found.append(
            f"{times(chosen.seen)} times the speed was measured, and {times(limit)} is the most that is possible: the calls that "
            "were made one after the other were held up, or are dearer one by one"
        )
    elif chosen.measured and chosen.seen is not None and abs(chosen.speedup / chosen.seen - 1) > NOTICED:
        found.append(
            f"other programs had the CPUs part of the time: {times(chosen.seen)} times was measured, and {times(chosen.speedup)} "
            "is what it comes to without them"
        )
    if m.remembers and m.inputs > 1:
        found.append(
            "it seems to remember its answers, and a new input takes longer than what was measured: with each input used once "
            "(--once, once=True) no call is repeated"
        )
    elif m.remembers:
        found.append(
            f"it may remember its answer, as the first call took {seconds(m.first)} and later ones {seconds(m.wall.median)}: "
            "more inputs would tell"
        )
    found += _contradictions(m, chosen, ways)
    return tuple(found)


def _contradictions(m: Measurements, chosen: Way, ways: Sequence[Way]) -> list[str]:
    """Where the sampled share of the lock, or the cost of a call, and the measured speed can't both be right."""
    if crowded(m):
        return []
    found = too_fast(m) or _too_slow(m)
    # What is waited for may have limits of its own, which are no contradiction.
    if found or computing(m) < WAITS:
        return found
    for way in ways:
        if way.choice == "inline" or not way.measured or way.expected is None:
            continue
        if way.high < 0.6 * way.expected and way.expected > CLEAR * chosen.speedup:
            return [
                f"{times(way.expected)} times the speed was to be expected of {CALLED[way.choice]}, and {times(way.speedup)} was "
                "measured: other programs may have used the CPUs, or the calls hold each other up"
            ]
    return []


def too_fast(m: Measurements) -> list[str]:
    """Threads that did what a lock held for so long does not allow."""
    held = gil_held(m) or 0.0
    surely = held - gil_margin(m)
    # Two threads get two shares of the CPUs of a busy machine.
    if surely <= WAITS or crowded(m):
        return []
    most = 1 / surely
    # On a busy machine a single call is slow because it stands in a queue, and several threads get a larger part of the CPUs.
    undisturbed = max(m.wall.median - m.delayed, m.cpu)
    for scaling in m.threads:
        if scaling.rate.low * undisturbed > 1.3 * most:
            reached = scaling.rate.median * m.wall.median
            return [
                f"the GIL was seen held {percent(held)} of the time, which allows {times(most)} times the speed at most, but "
                f"{scaling.workers} threads reached {times(reached)}"
            ]
    return []


def _too_slow(m: Measurements) -> list[str]:
    """Threads that did not do what a lock that is hardly held allows."""
    threads = [scaling for scaling in m.threads if scaling.workers <= max(2, m.cpus)]
    held = gil_held(m)
    if not m.gil or held is None or not threads or computing(m) <= WAITS:
        return []
    most = max(threads, key=lambda scaling: scaling.workers)
    # With the lock held for as long as it may have been: a wide margin contradicts nothing.
    expected = min(expected_threads(m, most.workers) or 1.0, 1 / max(held + gil_margin(m), 1e-9))
    best = most.rate.high * m.wall.median * without_others(m, most, expected)
    if expected <= CLEAR or best >= 0.6 * expected:
        return []
    reached = most.rate.median * m.wall.median
    return [
        f"the GIL was seen held {percent(held)} of the time only, but {most.workers} threads reached {times(reached)} times the "
        f"speed and not {times(expected)}: another lock, the memory, or other programs held them up"
    ]


def _name(way: Way) -> str:
    return {"inline": "Direct calls", "asyncio": "Tasks of asyncio", "threads": "Threads"}.get(way.choice, "Processes")


def _equals(chosen: Way, other: Way) -> bool:
    """Whether the chosen one is the simpler of two that are as fast as each other, by measurement and by the model."""
    if ORDER.index(chosen.choice) > ORDER.index(other.choice) or chosen.speedup * CLEAR < other.speedup:
        return False
    if chosen.expected is None or other.expected is None:
        return True
    return chosen.expected * CLEAR >= other.expected
