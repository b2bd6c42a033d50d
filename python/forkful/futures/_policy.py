"""Where the calls of a function should run, by what was measured of them.

Pure: from values to a verdict. The model is that of a queue's bottleneck: side by side, calls take as long as what they
share lets
them, and that is the interpreter's lock, the workers, or the CPUs. Knows: no executor, no clock. Does not know: how things
were measured.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FREE", "IDLE", "Alone", "Machine", "Seen", "Verdict", "decide", "has_changed"]

SMALL = 20e-6
"""Seconds of computing below which a call stays here: sending it takes this process a tenth of that at least, and its answer
too."""
WAITING = 0.15
"""A call that computes for a smaller share of its time waits."""
CERTAINLY_WAITING = 0.03
"""The same where others may have the lock, or the CPUs."""
MUCH = 1e-3
"""Seconds of computing from which on it is worth to be sure."""
FREE = 0.3
"""The lock is free, if it was held for a smaller share of the time."""
IDLE = 0.2
"""Threads that use fewer CPUs than that together wait."""
GAIN = 0.8
"""Processes are chosen where their calls take at most this share of what threads would: copies and lost memory are not for
nothing."""
SENDING = 15e-6
"""Seconds that a call costs this process besides its pickles."""
SHIFT = 4.0
"""A function has changed when it computes so many times longer, or shorter."""


@dataclass(frozen=True)
class Machine:
    """What an executor has to work with."""

    threads: int
    processes: int
    cpus: int
    gil: bool = True
    """Whether threads of this interpreter take turns."""


@dataclass(frozen=True)
class Alone:
    """Calls in a worker process, which runs nothing else: nobody else is in these figures. Per call, in seconds."""

    wall: float
    cpu: float
    held: float
    """The share of that time in which the interpreter's lock was held, 0 to 1."""
    shipping: float
    """What it cost this process to pickle arguments and read results."""
    sure: bool = True
    """Whether `held` was measured; else all computing is taken for Python's own, as nobody came to ask for the lock in time."""


@dataclass(frozen=True)
class Seen:
    """Calls in threads of this process, whatever else ran beside them. Per call, in seconds."""

    wall: float
    cpu: float
    """CPU time of their own threads; it does not grow by waiting for others, as `wall` does."""
    lock: float | None = None
    """How long the interpreter's lock was held, as a share of what the pool's threads computed; None if that is not known."""
    alone: Alone | None = None
    unfit: str = ""
    """Why the calls can't go to a process, if so."""


@dataclass(frozen=True)
class Verdict:
    """Where calls should run."""

    place: str
    """"threads", "processes", or "probe": not to be told before a call has run alone."""
    reason: str


def decide(seen: Seen, machine: Machine) -> Verdict:
    """Where the calls of a function should run."""
    if not machine.gil:
        return Verdict("threads", "this interpreter has no lock that threads would have to share")
    if seen.alone is not None:
        return _by_model(seen.alone, machine)
    if seen.cpu < SMALL and seen.cpu >= CERTAINLY_WAITING * seen.wall:
        return Verdict("threads", f"it computes {_time(seen.cpu)} a call, too little to be sent to a process")
    if seen.cpu < _waiting(seen, machine) * seen.wall:
        return Verdict(
            "threads", f"it waits: it computes for {_share(seen.cpu, seen.wall)} of its {_time(seen.wall)} a call"
        )
    if seen.unfit:
        return Verdict("threads", seen.unfit)
    if machine.processes < 2:
        return Verdict("threads", "there is one process at most, which would gain nothing over threads")
    if seen.lock is not None and seen.lock < FREE:
        return Verdict(
            "threads",
            f"it computes {_time(seen.cpu)} a call without the interpreter's lock, which was held {seen.lock:.0%} of such times",
        )
    return Verdict(
        "probe", "it computes, and whether it holds the interpreter's lock is found out by a call in a process"
    )


def _waiting(seen: Seen, machine: Machine) -> float:
    """The share of its time below which a call's computing counts as waiting."""
    if seen.lock is not None and seen.lock < 0.5:
        return WAITING
    # Beside others who have the lock, or the CPUs, a call that computes takes as many times longer as there are of them. If it
    # computes much, a call alone in a process is not too much to ask.
    return min(CERTAINLY_WAITING if seen.cpu < MUCH else CERTAINLY_WAITING / 6, 0.5 / (machine.threads + 1))


def _by_model(alone: Alone, machine: Machine) -> Verdict:
    """By what a call takes when many of them run side by side, here and there."""
    held = alone.held * alone.wall
    cpus = max(1, min(machine.cpus, machine.threads))
    here = max(held, alone.wall / machine.threads, alone.cpu / cpus)
    there = max(alone.shipping + SENDING, alone.wall / machine.processes, alone.cpu / machine.cpus)
    if there <= GAIN * here:
        how = f"alone it holds the interpreter's lock for {_share(held, alone.wall)} of its {_time(alone.wall)} a call"
        if not alone.sure:
            how = f"{_time(alone.cpu)} a call, in which nobody came to see whether it holds the interpreter's lock"
        return Verdict("processes", f"it computes in Python: {how}, and sending it costs {_time(alone.shipping)}")
    if alone.shipping + SENDING > GAIN * here:
        return Verdict(
            "threads",
            f"sending a call to a process and back costs {_time(alone.shipping)}, and it takes {_time(alone.wall)}",
        )
    if alone.held < FREE and alone.cpu >= WAITING * alone.wall:
        return Verdict(
            "threads",
            f"it computes without the interpreter's lock, which it holds for {_share(held, alone.wall)} of its "
            f"{_time(alone.wall)} a call",
        )
    if alone.cpu < WAITING * alone.wall:
        return Verdict(
            "threads", f"it waits: it computes for {_share(alone.cpu, alone.wall)} of its {_time(alone.wall)} a call"
        )
    return Verdict(
        "threads",
        f"{machine.threads} threads and {machine.processes} processes would take about as long for it: it holds the "
        f"interpreter's lock for {_share(held, alone.wall)} of its {_time(alone.wall)} a call",
    )


def has_changed(before: Seen | Alone, now: Seen, place: str) -> bool:
    """Whether calls have become others than those by which it was decided. `now` is what the calls have cost since, where
    they ran."""
    small = max(before.cpu, now.cpu) < SMALL
    if not small and not before.cpu / SHIFT <= now.cpu <= before.cpu * SHIFT:
        # More or less of waiting's little computing, or of what is too little to be sent, decides nothing.
        return place == "processes" or now.cpu >= MUCH or (now.cpu >= SMALL and now.cpu >= WAITING * now.wall)
    # In threads the wall time has everybody else in it. A worker has one task at a time, but may wait for a CPU.
    waits = now.cpu < CERTAINLY_WAITING * now.wall and before.cpu >= CERTAINLY_WAITING * before.wall
    return place == "processes" and waits


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return "less than 1 us"


def _share(part: float, whole: float) -> str:
    return f"{min(1.0, part / whole):.0%}" if whole > 0 else "0%"
