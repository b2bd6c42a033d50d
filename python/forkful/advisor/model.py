"""What speed to expect of threads and processes, from the shares and costs of single calls.

The bounds are those of a closed queue: no more than so many workers, no more than the CPUs there are, and no more than what only
one can do at a time, which is holding the interpreter's lock for threads and the sender's part of pickling for processes.

Knows: measurements. Does not know: which way is better.
"""

from __future__ import annotations

import math

from .measurements import Measurements

__all__ = [
    "LARGE",
    "SEND",
    "TINY",
    "WAITS",
    "busy",
    "computing",
    "crowded",
    "expected_processes",
    "expected_shared",
    "expected_tasks",
    "expected_threads",
    "gil_held",
    "gil_margin",
    "in_children",
    "most",
    "own_threads",
    "wanted_workers",
    "without_gil",
]

HAND_OVER = 3e-6
"""Seconds that one task takes its sender and its worker, by threads."""
SEND = 10e-6
"""The same by processes, for a task of its own."""
LARGE = 2**18
"""Bytes from which it pays to place an object once for all calls."""
TINY = 50e-6
"""Seconds of a call that is too small for a task of its own."""
WAITS = 0.1
"""A function that computes for a smaller share of its time waits."""
MOST_WAITING = 32
"""Threads that are tried for a function that waits."""


def busy(m: Measurements) -> float:
    """The share of a call in which its own thread used a CPU, 0 to 1."""
    # On a busy machine a call that computes looks like one that waits, unless the kernel says that it stood in a queue.
    undisturbed = max(m.wall.median - m.delayed, m.cpu)
    return min(1.0, m.cpu / undisturbed) if undisturbed > 0 else 1.0


def computing(m: Measurements) -> float:
    """How many CPUs a call keeps busy, with the threads and child processes that it has itself."""
    if m.wall.median <= 0:
        return 1.0
    own = busy(m)
    if own_threads(m):
        own = max(own, min(float(m.cpus), m.all_cpu / max(m.wall.median - m.delayed, m.cpu)))
    return own + m.children_cpu / m.wall.median


def in_children(m: Measurements) -> bool:
    """Whether most of what a call computes is computed by child processes of its own."""
    return m.children_cpu > max(m.cpu, m.all_cpu, 0.1 * m.wall.median)


def own_threads(m: Measurements) -> bool:
    """Whether the function has threads of its own that compute."""
    # A tenth of the wall time more than the calling thread's: the sampler and the interpreter's own threads are below that.
    return m.all_cpu > max(1.25 * m.cpu, m.cpu + 0.2 * m.wall.median) and m.wall.median > 1e-4


def crowded(m: Measurements) -> bool:
    """Whether other programs had so much of the CPUs that measured speeds say little of a function that computes.

    The shares and costs of single calls are as good as ever then: they count CPU time, and time in the kernel's queue apart.
    """
    if computing(m) < WAITS or m.wall.median < TINY:
        return False
    return m.others > 0.5 * m.cpus or m.delayed > 0.25 * m.wall.median


def gil_held(m: Measurements) -> float | None:
    """The share of a call in which nobody else could run Python, on a machine at rest; None where it is not known."""
    if not m.gil:
        return 0.0
    if m.gil_share is None:
        return None
    held, use = sum(_held_between(m, m.gil_share)) / 2, busy(m)
    # While it waits it seldom has the lock: a little more than it computes is what the samples are off.
    return use if use < held <= use + gil_margin(m) else held


def gil_margin(m: Measurements) -> float:
    """How far `gil_held` may be off."""
    if not m.gil or m.gil_share is None:
        return m.gil_margin
    low, high = _held_between(m, m.gil_share)
    return max(m.gil_margin, (high - low) / 2)


def _held_between(m: Measurements, share: float) -> tuple[float, float]:
    """What the lock's share would be without other programs, at least and at most.

    Whoever is kept from the CPU while he holds the lock keeps it for longer. Whoever has lost it to the sampler before holds
    it for a smaller share. Nobody knows which of the two it was.
    """
    cpu, delayed = m.gil_cpu, m.gil_delayed
    if cpu is None:
        cpu, delayed = m.cpu / m.wall.median, m.delayed / m.wall.median
    if delayed < 0.05 or cpu <= 0:
        return share, share
    return min(1.0, share / (cpu + delayed)) * busy(m), min(1.0, share / cpu) * busy(m)


def without_gil(m: Measurements) -> bool:
    """Whether it computes without the lock: where that is hard to see, only if the samples can't be wrong about it."""
    held, use, margin = gil_held(m), busy(m), gil_margin(m)
    if held is None:
        return False
    hard = use < 0.5 or margin > 2 * m.gil_margin
    return held + (margin if hard else 0.0) < 0.3 * use


def wanted_workers(m: Measurements) -> int:
    """How many workers it takes to keep all CPUs busy."""
    return max(m.cpus, min(MOST_WAITING, math.ceil(m.cpus / max(computing(m), 1e-3) - 0.3)))


def expected_threads(m: Measurements, workers: int) -> float | None:
    """Times the speed of one call after the other with so many threads; None where the lock's share is not known."""
    held = gil_held(m)
    if held is None or m.wall.median <= 0:
        return None
    wall = m.wall.median
    bounds = [
        workers * wall / (wall + HAND_OVER),
        m.cpus / max(computing(m), 1e-9),
        1 / max(held, 1e-9),
        wall / HAND_OVER,
    ]
    return min(bounds)


def most(m: Measurements, workers: int, *, tasks: bool = False) -> float:
    """Times the speed of one call after the other that so many workers can't exceed, or so many tasks on one event loop."""
    if not tasks:
        return max(1.0, min(float(workers), m.cpus / max(computing(m), 1e-9)))
    # Awaited one by one, each call also takes a start of the loop, some 30 us: of calls that wait that is no bound.
    return min(float(workers), 1 / busy(m)) if busy(m) > 0.5 else float(workers)


def expected_tasks(m: Measurements, tasks: int) -> float:
    """Times the speed of one call after the other with so many tasks on one event loop, which computes for one at a time."""
    return min(float(tasks), 1 / max(busy(m), 1e-3))


def expected_processes(m: Measurements, workers: int, *, shared: bool = False) -> float:
    """Times the speed of one call after the other with so many warm processes, the large objects placed once or not."""
    wall = m.wall.median
    if wall <= 0:
        return 1.0
    arguments = m.arguments.seconds
    if shared and m.arguments.size > 0:
        arguments *= max(0.0, 1 - m.shareable / m.arguments.size)
    cost = arguments + m.result.seconds
    # Half of it is the sender's, who is one; the rest is the worker's.
    bounds = [
        workers * wall / (wall + cost / 2 + SEND),
        m.cpus * wall / max(computing(m) * wall + cost + SEND, 1e-9),
        wall / (cost / 2 + SEND / 2),
    ]
    return min(bounds)


def expected_shared(m: Measurements, workers: int) -> float:
    """The same with the large objects that all calls have in common placed once."""
    return expected_processes(m, workers, shared=True)
