"""What is measured of large arguments and results: one function per measure, each called once in a process of its own.

    python large_work.py FUNCTION SUBJECT '{"parameter": value}'     prints {"metric": value} and ends

As in process_work.py. `options` are keywords of one subject's constructor.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import process_tasks as tasks_
from process_work import Metrics, descendants, run

now = time.perf_counter

NOTHING: dict[str, Any] = {}


def started(subject: Any, workers: int, options: dict[str, Any]) -> Any:
    """A pool whose workers have all had small tasks, and know numpy."""
    import numpy

    pool = subject(workers, **options)
    pool.all(tasks_.sleep, [0.02] * (4 * workers))
    pool.all(tasks_.total, [numpy.ones(8) for _ in range(20 * workers)])
    return pool


def timed(once: Callable[[], float], tasks: int) -> list[float]:
    """Milliseconds of a few calls, the first two left out: as many as there are tasks, or as 6 s allow."""
    times: list[float] = []
    end = now() + 6
    while len(times) < 5 or (len(times) < tasks + 2 and now() < end):
        times.append(once() * 1e3)
    return times[2:]


def argument(subject: Any, tasks: int, bytes: int, workers: int, options: dict[str, Any] = NOTHING) -> Metrics:
    """An array goes to the worker, which sums it; a new one each time, as some pools remember what they have sent."""
    import numpy

    pool = started(subject, workers, options)
    length = bytes // 8

    def once() -> float:
        array = numpy.ones(length)
        start = now()
        found = pool.submit(tasks_.total, array).result()
        took = now() - start
        assert found == length
        return took

    return {"ms": statistics.median(timed(once, tasks))}


def first(subject: Any, bytes: int, workers: int, options: dict[str, Any] = NOTHING) -> Metrics:
    """The first large array that a pool ever sees."""
    import numpy

    pool = started(subject, workers, options)
    array = numpy.ones(bytes // 8)
    start = now()
    pool.submit(tasks_.total, array).result()
    return {"ms": (now() - start) * 1e3}


def result(subject: Any, tasks: int, bytes: int, workers: int, options: dict[str, Any] = NOTHING) -> Metrics:
    """The worker makes an array and returns it; its reader looks at each of its pages."""
    pool = started(subject, workers, options)
    length = bytes // 8

    def once() -> float:
        start = now()
        array = pool.submit(tasks_.ones, length).result()
        found = array[::4096].sum()
        took = now() - start
        assert found == len(array[::4096])
        return took

    return {"ms": statistics.median(timed(once, tasks))}


def shared(subject: Any, tasks: int, bytes: int, workers: int, options: dict[str, Any] = NOTHING) -> Metrics:
    """Tasks that take a number out of one large array that all of them are given, beside tasks that take a small number."""
    import numpy

    pool = started(subject, workers, options)
    array = pool.shared(numpy.ones(bytes // 8))
    small, large = [], []
    for _ in range(22 if tasks > 20 else 3):
        small.append(seconds_for(pool, tasks, lambda index: (tasks_.number, index)))
        large.append(seconds_for(pool, tasks, lambda index: (tasks_.number_in, array, index)))
    each = [statistics.median(times[1:]) / tasks * 1e6 for times in (small, large)]
    return {"us/task": each[1], "times small": each[1] / each[0]}


def seconds_for(pool: Any, tasks: int, call: Callable[[int], tuple[Any, ...]]) -> float:
    start = now()
    for future in [pool.submit(*call(index)) for index in range(tasks)]:
        future.result()
    return now() - start


def sweep(
    subject: Any, kind: str, least: int, most: int, workers: int, seconds: float, options: dict[str, Any] = NOTHING
) -> Metrics:
    """There and back in sizes that double: bytes that are returned as they are, or an array whose negative is returned."""
    import numpy

    pool = started(subject, workers, options)
    call: Callable[[Any], object] = tasks_.echo if kind == "bytes" else tasks_.negative
    metrics: Metrics = {}
    steps = [0.0]
    size = least
    before = None
    while size <= most:
        value = os.urandom(size) if kind == "bytes" else numpy.ones(size // 8)
        metrics[f"us at {size >> 10} KB"] = took = median_of(partial(there_and_back, pool, call, value), seconds)
        # Where forkful goes over to segments, and all sizes around it.
        if before and 64 << 10 <= size <= 2 << 20:
            steps.append(took / before)
        before = took
        size *= 2
    metrics["step at the crossover"] = max(steps)
    return metrics


def there_and_back(pool: Any, call: Callable[[Any], object], value: Any) -> None:
    pool.submit(call, value).result()


def median_of(once: Callable[[], object], seconds: float) -> float:
    """Microseconds of what is repeated for a while, four times at least, and done twice before."""
    once()
    once()
    times: list[float] = []
    end = now() + seconds
    while len(times) < 4 or now() < end:
        start = now()
        once()
        times.append(now() - start)
    return statistics.median(times) * 1e6


def memory(
    subject: Any, tasks: int, bytes: int, workers: int, seconds: float, options: dict[str, Any] = NOTHING
) -> Metrics:
    """What is left in memory of many transfers there and back, when nothing has happened for a while."""
    import numpy

    pool = started(subject, workers, options)
    array = numpy.ones(bytes // 8)
    own, theirs = residents()
    start = now()
    for _ in range(tasks):
        back = pool.submit(tasks_.negative, array).result()
        assert back[-1] == -1
    took = now() - start
    del back
    time.sleep(seconds)
    own_after, theirs_after = residents()
    return {
        "ms/transfer": took / tasks * 1e3,
        "parent grown %": (own_after / own - 1) * 100,
        "workers grown %": (theirs_after / theirs - 1) * 100,
        **pool.counts(),
    }


def residents() -> tuple[int, int]:
    """Resident bytes of this process, and of all that it has started."""
    own, theirs = 0, 0
    for pid in [os.getpid(), *descendants()]:
        try:
            with open(f"/proc/{pid}/statm") as file:
                pages = int(file.read().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if pid == os.getpid():
            own = pages
        else:
            theirs += pages
    size = os.sysconf("SC_PAGE_SIZE")
    return own * size, theirs * size


if __name__ == "__main__":
    run(globals())
