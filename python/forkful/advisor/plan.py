"""What to try, decided from a few numbers.

Knows: nothing. All functions are pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Attempt", "attempts", "calls_for", "fitting", "groups", "order", "share_out"]

MOSTLY_COMPUTES = 0.7
"""From this CPU share on, more workers than CPUs have nothing to gain."""
HARDLY_COMPUTES = 0.2
_MOST_PROCESSES = 16
_MOST_STEPS = 4
_MOST_CALLS = 200_000


@dataclass(frozen=True)
class Attempt:
    """One way to run the calls."""

    way: str
    """"threads", "processes", "shared" or "tasks"."""
    workers: int
    call: float
    """Seconds that each worker will need for one call, when all of them work."""


def steps(cpus: int) -> list[int]:
    """Worker counts from 2 to the CPUs: all of few, else some that double."""
    if cpus <= 4:
        return list(range(2, cpus + 1))
    doubled = [2**power for power in range(1, cpus.bit_length()) if 2**power < cpus]
    while len(doubled) >= _MOST_STEPS:
        del doubled[len(doubled) // 2]
    return [*doubled, cpus]


def counts(cpus: int, cpu_share: float) -> tuple[list[int], list[int]]:
    """Worker counts to try, of threads and of processes."""
    threads = processes = steps(cpus) or [2]
    if cpu_share < MOSTLY_COMPUTES:
        more = [2 * cpus, 4 * cpus]
        few = [count for count in more if count <= max(_MOST_PROCESSES, cpus)]
        threads, processes = threads + more, processes + few
    if cpu_share < HARDLY_COMPUTES:
        threads = [*threads, 8, 32]
    return sorted({*threads} - {1}), sorted({*processes} - {1})


def attempts(
    *,
    cpus: int,
    call: float,
    cpu_share: float,
    gil_share: float | None,
    send: float,
    processes: bool,
    shared: bool,
    tasks: bool,
) -> list[Attempt]:
    """All ways to try, those that tell most first.

    call: seconds of a call alone. gil_share: None without such a lock. send: seconds to pickle what a call takes and gives.
    """
    threads, procs = counts(cpus, cpu_share)
    if tasks:
        threads, procs = [max(2, cpus)], [max(2, cpus)]
    # How long a call will take when so many run: each of these is one at a time, or so many as there are CPUs.
    turns = 0.0 if gil_share is None else gil_share * min(1.0, cpu_share + 0.05)
    found: list[Attempt] = []
    for count in procs if processes else ():
        each = call * max(1.0, count * cpu_share / cpus) + send * count
        found.append(Attempt("processes", count, each))
        if shared and count == max(2, cpus):
            found.append(Attempt("shared", count, call * max(1.0, count * cpu_share / cpus)))
    for count in threads:
        found.append(Attempt("threads", count, call * max(1.0, count * max(turns, cpu_share / cpus))))
    if tasks:
        for count in (8,) if cpu_share > MOSTLY_COMPUTES else (2, 8, 32, 128):
            found.append(Attempt("tasks", count, call * max(1.0, count * cpu_share)))
    # Where there is time for one way only, it is the one that suits by all that is known.
    likely, other = ("processes", "threads") if turns > 0.5 else ("threads", "processes")
    both = max(2, cpus)
    first = {("tasks", 8): 0, (likely, both): 1, (other, both): 2, ("shared", both): 3}
    if cpu_share < HARDLY_COMPUTES:
        first["threads", threads[-1]] = 3
    return sorted(found, key=lambda one: first.get((one.way, one.workers), 4 if one.way != "processes" else 5))


def fitting(found: list[Attempt], seconds: float) -> list[Attempt]:
    """Those, from the first on, of which one call for each worker fits into so many seconds."""
    kept: list[Attempt] = []
    left = seconds
    for attempt in found:
        if attempt.call <= left:
            kept.append(attempt)
            left -= attempt.call
    return kept


def calls_for(seconds: float, rate: float, workers: int, inputs: int) -> int:
    """How many calls to make in about so many seconds: a multiple of the workers, and of the inputs too if that is not far."""
    wanted = min(max(1, round(seconds * rate)), _MOST_CALLS)
    both = math.lcm(workers, inputs)
    rounds = max(1, round(wanted / both))
    if rounds * both <= min(2 * seconds * rate, 2 * _MOST_CALLS):
        return rounds * both
    return max(workers, wanted // workers * workers)


def order(count: int) -> list[int]:
    """All places from 0 on, in an order whose beginnings are spread evenly: inputs are often sorted."""
    step = max(1, round(count * 0.618))
    while math.gcd(step, count) != 1:
        step += 1
    return [place * step % count for place in range(count)]


def share_out(places: list[int], workers: int, *, computes: bool) -> tuple[list[int], list[int], list[int]]:
    """Places for serial calls, for threads and for processes, each place once; the ways' are multiples of the workers.

    computes: where there is enough for one way only, it is processes.
    """
    rounds = max((len(places) - len(places) // 3) // (2 * workers), int(len(places) > 2 * workers))
    if rounds:
        size = rounds * workers
        serial = len(places) - 2 * size
        return places[:serial], places[serial : serial + size], places[serial + size :]
    if len(places) > workers:
        serial = len(places) - workers
        rest = places[serial:]
        return (places[:serial], [], rest) if computes else (places[:serial], rest, [])
    return places, [], []


def groups(places: list[int], workers: int) -> list[list[int]]:
    """Places in up to three parts, multiples of the workers all of them."""
    rounds = len(places) // workers
    parts = min(3, rounds)
    cuts = [rounds * part // parts * workers for part in range(parts + 1)] if parts else [0]
    return [places[begin:end] for begin, end in pairwise(cuts)]
