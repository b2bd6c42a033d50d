"""Decides from measurements which way to call a function.

What was measured decides. What the shares and costs of single calls let expect (`model`) stands in for what could not be
measured, settles what the measurements leave open, and raises a doubt where the two contradict each other.

Knows: measurements, the model and the ways. Does not know: how measurements are made.
"""

from __future__ import annotations

from . import wording
from .candidates import Way, candidates
from .doubts import CLEAR, doubts, too_fast
from .measurements import Measurements
from .model import WAITS, busy, computing, gil_held, in_children, own_threads, without_gil
from .verdict import Verdict

__all__ = ["judge"]

CLEAR_AGAINST_MODEL = 1.25
"""The lead that it takes where the model says that there is none: a machine that is busy with something else makes such ones."""
HINT_OF_A_LEAD = 1.03
"""The lead that is enough where the model lets expect a large one: the CPUs may be busy with something else."""
THOUSANDS = 1000
"""So many calls that wait at the same time are a case for an event loop."""
PER_AWAIT = 50e-6
"""Seconds of CPU time that an event loop takes for one task with one wait."""


def judge(m: Measurements) -> Verdict:
    """Which way to call a function that was measured so."""
    if not m.judged:
        return _nothing(m)
    if _awaited(m) and not m.tasks and computing(m) < 0.5:
        return _unmeasured_coroutine(m)
    ways = candidates(m, explained=not too_fast(m))
    chosen = ways[0]
    # From the simplest to the most demanding: each has to earn its place.
    for way in ways[1:]:
        if _beats(way, chosen):
            chosen = way
    others = [way for way in ways if way is not chosen]
    runner_up = max(others, key=lambda way: way.speedup, default=None)
    verdict = _verdict(m, chosen, runner_up, doubts(m, chosen, runner_up, ways))
    return _for_thousands(m, verdict)


def _awaited(m: Measurements) -> bool:
    return m.lazy in ("coroutine", "async generator")


def _beats(way: Way, simpler: Way) -> bool:
    """Whether `way` is faster than a simpler one by so much that it is worth it."""
    if simpler.speedup <= 0:
        return way.speedup > 0
    lead = way.speedup / simpler.speedup
    modelled = None
    if way.expected is not None and simpler.expected is not None and simpler.expected > 0:
        modelled = way.expected / simpler.expected
    if not (way.measured and simpler.measured):
        return lead >= CLEAR_AGAINST_MODEL
    apart = way.low > simpler.high
    if modelled is None:
        return lead >= CLEAR and (apart or lead >= CLEAR_AGAINST_MODEL)
    if modelled >= CLEAR:
        # The two agree, or the measurement says nothing against it.
        return lead >= CLEAR or (modelled >= CLEAR_AGAINST_MODEL and lead >= HINT_OF_A_LEAD)
    return lead >= CLEAR_AGAINST_MODEL and apart


def _cause(m: Measurements, chosen: Way) -> str:
    """Why, in a few words that are the same for all functions of a kind."""
    if chosen.choice == "inline":
        return _obstacle(m)
    use = busy(m)
    if computing(m) < WAITS:
        return "waits"
    if in_children(m):
        return "waits for its child processes"
    if chosen.choice == "asyncio":
        return "waits and computes"
    native = without_gil(m)
    if chosen.choice == "threads":
        if not m.gil:
            return "computes, and there is no GIL"
        if native:
            return "computes, but without the GIL"
        return "waits and computes" if use < 0.9 else "computes, in part without the GIL"
    if native:
        return "computes, and threads hold each other up"
    return "computes in Python" if use >= 0.9 else "computes in Python and waits"


def _obstacle(m: Measurements) -> str:
    """Why nothing is faster than to call the function directly."""
    wall = m.wall.median
    shipping = m.arguments.seconds + m.result.seconds
    if wall < 50e-6:
        return "too small to ship"
    if own_threads(m):
        return "has threads of its own"
    if m.cpus == 1 and computing(m) > 0.5:
        return "computes, and there is one CPU"
    if _no_processes(m) and (gil_held(m) is None or (gil_held(m) or 0) > 0.5):
        return "computes in Python, and processes can't run it"
    if shipping > 0.3 * wall:
        return "too dear to ship"
    return "nothing is faster"


def _no_processes(m: Measurements) -> bool:
    return m.refused is not None or m.arguments.error is not None or m.result.error is not None


def _verdict(m: Measurements, chosen: Way, runner_up: Way | None, doubted: tuple[str, ...]) -> Verdict:
    cause = _cause(m, chosen)
    reason = wording.reason(m, chosen.choice, cause, runner_up.speedup if runner_up else None)
    lead = chosen.speedup / runner_up.speedup if runner_up is not None and runner_up.speedup > 0 else None
    return Verdict(
        choice=chosen.choice,
        cause=cause,
        workers=chosen.workers,
        speedup=chosen.speedup,
        low=chosen.low,
        high=chosen.high,
        measured=chosen.measured,
        runner_up=runner_up.choice if runner_up else None,
        lead=lead,
        doubts=doubted,
        reason=reason,
        sentence=wording.sentence(m, chosen.choice, chosen.workers, reason, chosen.speedup),
        hints=wording.hints(m, chosen.choice, chosen.workers, chosen.speedup),
    )


def _for_thousands(m: Measurements, verdict: Verdict) -> Verdict:
    """An event loop instead of threads, where thousands of calls wait for something that lets them all wait at once."""
    if (
        _awaited(m)
        or verdict.choice != "threads"
        or verdict.cause != "waits"
        or m.inputs < THOUSANDS
        or verdict.speedup is None
    ):
        return verdict
    in_vain = any(scaling.workers > verdict.workers for scaling in m.threads)
    held_up = in_vain or (verdict.measured and verdict.speedup < 0.5 * verdict.workers)
    wall = m.wall.median
    speedup = min(float(m.inputs), wall / (m.cpu + PER_AWAIT))
    if held_up or speedup < 2 * verdict.speedup:
        return verdict
    reason = wording.many_waits(m)
    return Verdict(
        choice="asyncio",
        cause="thousands of waits",
        workers=1,
        speedup=speedup,
        low=0.5 * speedup,
        high=speedup,
        measured=False,
        runner_up="threads",
        lead=speedup / verdict.speedup,
        doubts=("asyncio was not measured, as the function would have to be written with await", *verdict.doubts),
        reason=reason,
        sentence=wording.asyncio_sentence(reason, speedup, verdict.workers, verdict.speedup),
        hints=tuple(hint for hint in verdict.hints if "asyncio" not in hint),
    )


def _unmeasured_coroutine(m: Measurements) -> Verdict:
    """What can be said of a coroutine function of which only single calls were measured."""
    reason = wording.lazy_reason(m)
    return Verdict(
        choice="asyncio",
        cause="coroutine function" if m.lazy == "coroutine" else "async generator",
        workers=1,
        speedup=None,
        low=None,
        high=None,
        measured=False,
        runner_up=None,
        lead=None,
        doubts=("many of its tasks at a time were not measured",),
        reason=reason,
        sentence=f"Use asyncio: {reason}.",
        hints=wording.hints(m, "asyncio", 1, 1.0),
    )


def _nothing(m: Measurements) -> Verdict:
    reason = wording.endless(m) if m.endless else wording.raised(m)
    return Verdict(
        choice="nothing to judge",
        cause="it has no end" if m.endless else "it raised",
        workers=1,
        speedup=None,
        low=None,
        high=None,
        measured=False,
        runner_up=None,
        lead=None,
        doubts=(reason if m.endless else f"it raised {m.raised}",),
        reason=reason,
        sentence=f"There is nothing to judge: {reason}.",
        hints=(),
    )
