"""How each figure is measured: one function per measure, called once in a process of its own.

Each warms up, measures for about as many seconds as it is given, at least once, and returns the median.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import median
from typing import Any

from forkful.comparison import tasks
from forkful.comparison.subjects import Standard, load

now = time.perf_counter

MEGABYTES = 100
NAP = 0.1
"""Seconds."""
BELOW = 300_000
"""The primes below it take half a second to find, on a machine of 2024."""
PIECES = 32


class Lacking(Exception):
    """What this machine does not have, and the measure needs."""


def latency(subject: type[Standard], kind: str, workers: int, seconds: float) -> float:
    """Microseconds for one task that does nothing, the next one begun when it is back."""
    pool = subject(kind, 1)
    one = pool.one
    for _ in _turns(seconds / 4, 100):
        one(tasks.noop)
    times = [_seconds_of(lambda: one(tasks.noop)) for _ in _turns(seconds, 100)]
    pool.close()
    return median(times) * 1e6


def throughput(subject: type[Standard], kind: str, workers: int, seconds: float) -> float:
    """Tasks per second, two thousand at a time."""
    pool = subject(kind, workers)
    pool.all(tasks.identity, range(500))
    rates = [2000 / _seconds_of(lambda: pool.all(tasks.identity, range(2000))) for _ in _turns(seconds)]
    pool.close()
    return median(rates)


def mapped(subject: type[Standard], kind: str, workers: int, seconds: float) -> float:
    """Items per second through the sum of a map."""
    items = range(10_000 if kind == "threads" else 100_000)
    pool = subject(kind, workers)
    sum(pool.mapped(tasks.increment, items[:1000]))
    rates = [len(items) / _seconds_of(lambda: sum(pool.mapped(tasks.increment, items))) for _ in _turns(seconds)]
    pool.close()
    return median(rates)


def array(subject: type[Standard], kind: str, workers: int, seconds: float) -> float:
    """Milliseconds for a large array that goes to a worker and is summed there; a new one each time, as some remember them."""
    available = _megabytes_available()
    if available is not None and available < 8 * MEGABYTES:
        raise Lacking(f"memory: it needs {8 * MEGABYTES} MB, and {available} are free")
    make: Callable[[], Any] = lambda: b"\1" * (MEGABYTES * 10**6)  # noqa: E731
    if find_spec("numpy"):
        import numpy

        make = lambda: numpy.ones(MEGABYTES * 10**6 // 8)  # noqa: E731
    pool = subject(kind, 1)
    pool.one(tasks.total, make())
    times = []
    for _ in _turns(seconds, 2):
        large = make()
        times.append(_seconds_of(lambda large=large: pool.one(tasks.total, large)))  # type: ignore[misc]
    pool.close()
    return median(times) * 1e3


def queue(subject: type[Standard], kind: str, workers: int, seconds: float) -> float:
    """Messages per second from another process to this one, from the word to begin to the last one's arrival."""
    made = subject.context()
    orders, messages = made.Queue(), made.Queue()
    producer = made.Process(target=_produce, args=(orders, messages), daemon=True)
    producer.start()

    def take(count: int) -> None:
        orders.put(count)
        get = messages.get
        for _ in range(count):
            get()

    take(1000)
    rates = [100_000 / _seconds_of(lambda: take(100_000)) for _ in _turns(seconds)]
    orders.put(0)
    producer.join()
    return median(rates)


def _produce(orders: Any, messages: Any) -> None:
    while count := orders.get():
        put = messages.put
        for number in range(count):
            put(number)


def sleeping(subject: type[Standard], kind: str, workers: int, seconds: float) -> float:
    """Milliseconds until all of three tasks have slept."""
    pool = subject(kind, 3)
    pool.all(tasks.nap, [0.0] * 3)
    times = [_seconds_of(lambda: pool.all(tasks.nap, [NAP] * 3)) for _ in _turns(seconds)]
    pool.close()
    return median(times) * 1e3


def computing(subject: type[Standard], kind: str, workers: int, seconds: float) -> float:
    """Milliseconds for a job in pieces that are of different length."""
    step = BELOW // PIECES
    pieces = [(start, start + step) for start in range(0, step * PIECES, step)]
    pool = subject(kind, workers)
    pool.all(tasks.piece, [(0, 100)] * workers)
    times = [_seconds_of(lambda: pool.all(tasks.piece, pieces)) for _ in _turns(seconds)]
    pool.close()
    return median(times) * 1e3


def first(subject: type[Standard], kind: str, workers: int, seconds: float) -> float:
    """Milliseconds from nothing to an executor's first result; once, as a second executor finds some of it done."""
    start = now()
    pool = subject(kind, workers)
    pool.one(tasks.noop)
    taken = now() - start
    pool.close()
    return taken * 1e3


def _turns(seconds: float, least: int = 1) -> Iterator[int]:
    """Counts until the time is over, and `least` turns are done."""
    end = now() + seconds
    turn = 0
    while turn < least or now() < end:
        yield turn
        turn += 1


def _seconds_of(work: Callable[[], object]) -> float:
    start = now()
    work()
    return now() - start


def _megabytes_available() -> int | None:
    with open("/proc/meminfo") as lines:
        return next((int(line.split()[1]) // 1000 for line in lines if line.startswith("MemAvailable:")), None)


_WORK: dict[str, Callable[[type[Standard], str, int, float], float]] = {
    function.__name__: function for function in (latency, throughput, mapped, array, queue, sleeping, computing, first)
}


def main() -> None:
    """Measure what the command line says, and print the figure as the last line."""
    work, kind, subject, workers, seconds = sys.argv[1:]
    try:
        answer = {"value": _WORK[work](load(subject, kind), kind, int(workers), float(seconds))}
    except Lacking as lacking:
        answer = {"lacks": str(lacking)}  # type: ignore[dict-item]
    print("\n" + json.dumps(answer), flush=True)
