"""Says in words what the rules have found.

Knows: measurements, units and the model. Does not know: how the choice was made.
"""

from __future__ import annotations

from .measurements import Measurements
from .model import LARGE, busy, computing, gil_held, in_children, own_threads, without_gil
from .units import percent, seconds, size, times
from .verdict import Choice

__all__ = [
    "CALLED",
    "asyncio_sentence",
    "endless",
    "hints",
    "lazy_reason",
    "many_waits",
    "raised",
    "reason",
    "sentence",
]

CALLED: dict[Choice, str] = {
    "inline": "direct calls",
    "threads": "threads",
    "processes": "processes",
    "processes with share": "processes with share()",
    "asyncio": "asyncio",
    "nothing to judge": "nothing",
}


def sentence(m: Measurements, choice: Choice, workers: int, why: str, speedup: float) -> str:
    """The verdict in one sentence."""
    if choice == "inline":
        return f"{'Await' if m.lazy == 'coroutine' else 'Call'} it directly: {why}."
    what = {
        "asyncio": f"asyncio, {workers} tasks at a time",
        "threads": f"{workers} thread{'s' if workers > 1 else ''}",
        "processes": f"{workers} process{'es' if workers > 1 else ''}",
        "processes with share": f"{workers} process{'es' if workers > 1 else ''} with share()",
    }[choice]
    where = f" on {m.cpus} CPU{'s' if m.cpus > 1 else ''}" if computing(m) >= 0.1 else ""
    return f"Use {what}: {why}; expect {times(speedup)} times the speed of one call after the other{where}."


def reason(m: Measurements, choice: Choice, cause: str, rival: float | None) -> str:
    """What the function does that makes this choice the right one."""
    if choice == "inline":
        return _inline(m, cause, rival)
    does = _does(m)
    waits = computing(m) < 0.1 or in_children(m)
    if choice == "asyncio":
        return f"{does}, and one event loop awaits them all"
    if choice == "threads":
        if waits:
            return f"{does}, and threads wait side by side"
        if not m.gil:
            return f"{does}, and this interpreter has no GIL, so threads compute side by side"
        if gil_held(m) is None:
            return f"{does}, threads were faster than direct calls, and nothing has to be pickled"
        if cause == "computes, but without the GIL":
            return f"{does}, so threads compute side by side and nothing has to be pickled"
        if busy(m) >= 0.9 and (gil_held(m) or 0.0) < 0.8:
            return f"{does}, so threads compute side by side for the rest of it, and nothing has to be pickled"
        if busy(m) >= 0.9:
            return f"{does}, but threads were faster than that allows"
        return f"{does}, so threads fill each other's pauses and nothing has to be pickled"
    if waits:
        way = f"{does}, and processes were faster at that than threads"
    elif cause == "computes, and threads hold each other up":
        way = f"{does}, but threads hold each other up all the same"
    elif not m.gil:
        way = f"{does}, and although there is no GIL processes were faster than threads"
    elif gil_held(m) is None:
        way = f"{does}, most likely in Python"
    else:
        way = f"{does}, so threads take turns"
    if choice == "processes with share":
        way += f", and each call takes the same {size(m.shareable)}, which share() sends once"
    return way


def _does(m: Measurements) -> str:
    """What the function does with its time."""
    use, held = busy(m), gil_held(m)
    subject = "with its result consumed it" if m.lazy == "generator" else "it"
    if computing(m) < 0.1:
        return f"{subject} waits {percent(1 - use)} of the time"
    if in_children(m):
        return f"{subject} waits for child processes, which keep {times(m.children_cpu / m.wall.median)} CPUs busy"
    if not m.gil:
        return f"{subject} computes {percent(use)} of the time"
    if own_threads(m):
        return f"{subject} computes on threads of its own, {times(computing(m))} CPUs busy in all"
    if held is None:
        return f"{subject} computes {percent(use)} of the time"
    if without_gil(m):
        part = "" if use >= 0.9 else f"{percent(use)} of the time, "
        without = f"without the GIL (held {percent(held)} of the time)"
        return f"{subject} computes {part}{without}, as numpy, hashing and compression do"
    if use < 0.9:
        return f"{subject} waits {percent(1 - use)} of the time and holds the GIL {percent(held)}"
    where = " in Python" if held > 0.7 else ""
    return f"{subject} computes{where} and holds the GIL {percent(held)} of the time"


def _inline(m: Measurements, cause: str, rival: float | None) -> str:
    wall = m.wall.median
    best = "" if rival is None else f", and the best other way reached {times(rival)} times its speed"
    shipping = m.arguments.seconds + m.result.seconds
    if cause == "too small to ship":
        return f"a call takes {seconds(wall)}, which is too small to ship to a worker{best}"
    if cause == "too dear to ship":
        load = size(m.arguments.size + m.result.size)
        sending = f"pickling its {load} of arguments and result {seconds(shipping)}"
        return f"a call takes {seconds(wall)}, and {sending}, which is too much for what it saves{best}"
    if cause == "has threads of its own":
        return f"it has threads of its own that keep {times(computing(m))} CPUs busy, so workers add nothing{best}"
    if cause == "computes, and there is one CPU":
        return "it computes, and there is one CPU, which more workers only share"
    if cause == "computes in Python, and processes can't run it":
        held = gil_held(m)
        turns = "" if held is None else f" and holds the GIL {percent(held)} of the time"
        return f"it computes in Python{turns}, so threads take turns, and processes can't run it"
    return f"{_does(m)}, but neither threads nor processes make it faster{best}"


def many_waits(m: Measurements) -> str:
    """Why an event loop."""
    waits = f"it waits {percent(1 - busy(m))} of the time"
    return f"{waits}, and written with await all {m.inputs:,} calls wait at once in one thread"


def asyncio_sentence(why: str, speedup: float, threads: int, reached: float) -> str:
    """The verdict for thousands of waits."""
    return (
        f"Use asyncio: {why}; expect up to {times(speedup)} times the speed of one call after the other, where {threads} threads "
        f"reach {times(reached)} with the function as it is."
    )


def lazy_reason(m: Measurements) -> str:
    """Why a function whose calls do nothing yet is a case for an event loop."""
    if m.lazy == "coroutine":
        return (
            "it is a coroutine function, so a call only makes a coroutine, and an event loop runs thousands of them at a time as "
            "long as they wait; what computes in them belongs into an executor"
        )
    return "it is an async generator, whose values only an event loop can take"


def raised(m: Measurements) -> str:
    """What happened instead of a measurement."""
    kind = (m.raised or "").partition(":")[0].strip() or "an exception"
    which = f" on input {m.raised_by + 1} of {m.inputs}" if m.inputs > 1 else ""
    return f"it raised {kind.rpartition('.')[2]}{which}"


def endless(m: Measurements) -> str:
    """What happened instead of a measurement of all that a generator yields."""
    return (
        f"it still yielded after {seconds(m.first)}, so give a larger budget if it ends, and if not a function that takes as "
        "much of it as one call needs"
    )


def hints(m: Measurements, choice: Choice, workers: int, speedup: float) -> tuple[str, ...]:
    """What else is worth knowing, in sentences."""
    wall = m.wall.median
    found = []
    for what, cost in (("arguments", m.arguments), ("result", m.result)):
        if cost.error is not None:
            found.append(f"Its {what} can't be sent to a process: {_line(cost.error)}.")
    if m.refused is not None and not found:
        found.append(f"Processes could not run it: {_line(m.refused)}.")
    if m.threads_refused is not None:
        found.append(f"Threads could not run it: {_line(m.threads_refused)}.")
    if m.changes_arguments and choice != "inline":
        found.append(
            "It changes the arguments that it is given: "
            + (
                "processes change copies of their own, so return what is wanted of the change."
                if choice.startswith("processes")
                else "where calls share them, they need a lock."
            )
        )
    if choice in ("processes", "processes with share") and m.process_start > 0 and speedup > 1 and wall > 0:
        calls = m.process_start / (wall * (1 - 1 / speedup))
        found.append(
            f"Starting the processes takes {seconds(m.process_start)}, which is earned back after {max(1, round(calls)):,} "
            f"call{'s' if round(calls) > 1 else ''}; keep the executor."
        )
    if choice.startswith("processes") and computing(m) < 0.1 and m.threads:
        found.append(
            "Threads held each other up, at a lock, a pool of connections or the like, and each process has one of its own: "
            "whether that is right is yours to see."
        )
    if choice == "processes with share":
        found.append("share() makes a handle, which is what you send: in the worker the object is its .value.")
    if choice == "processes" and m.shareable >= LARGE:
        found.append(
            f"Each call takes the same {size(m.shareable)}: share() places them once, which made no difference here "
            "but saves memory."
            if m.shared
            else f"Each call takes the same {size(m.shareable)}: share() places them once for all calls."
        )
    # Of many inputs the first may be a large one.
    if m.first > (3 if m.inputs == 1 else 10) * wall and m.first - wall > 1e-3 and m.wall.count > 1:
        found.append(
            f"The first call took {seconds(m.first)}, a later one {seconds(wall)}: it sets something up, which an executor's "
            "initializer can do once for each worker, or it remembers its answers."
        )
    if own_threads(m) and choice != "threads":
        found.append(
            f"It has threads of its own, which keep {times(computing(m))} CPUs busy: limit them (threadpoolctl, "
            "OMP_NUM_THREADS=1) where you want workers to share the CPUs instead."
        )
    if choice == "threads" and computing(m) < 0.02:
        found.append(
            "With thousands of such calls at a time asyncio pays, if the function can be written with await; up to some "
            "hundreds threads are as good, and the function stays as it is."
        )
    if choice.startswith("processes") and wall < 50e-6:
        found.append(
            "So small a call pays only where many travel together, as map() and starmap() send them; submitted one by one they "
            "would cost more than they save."
        )
    if choice == "inline" and m.cpus > 1 and wall < 50e-6:
        found.append("Let one task do many such calls: map() of an executor does so by itself where it pays.")
    tried = {"threads": m.threads, "asyncio": m.tasks}.get(choice, ())
    if computing(m) < 0.1 and any(scaling.workers > workers for scaling in tried):
        found.append(f"More than {workers} at a time did not help: what it waits for has a limit.")
    return tuple(found)


def _line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".")
