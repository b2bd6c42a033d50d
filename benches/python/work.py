"""What is measured: one function per measure, each called once in a process of its own.

    python work.py FUNCTION SUBJECT '{"parameter": value}'     prints {"metric": value} and ends

A function builds what it needs, warms it up, measures, and returns its metrics. Nothing is cleaned up: the process ends
with os._exit, because taking a million futures down again is not what is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from subjects import SUBJECTS

Metrics = dict[str, float]
now = time.perf_counter


def noop() -> None:
    pass


def throughput(subject: Any, tasks: int, workers: int) -> Metrics:
    """Submit many tasks that do nothing and wait for all of them."""
    pool = subject(workers)
    submit = pool.submit
    for future in [submit(noop) for _ in range(1000)]:
        future.result()
    start = now()
    for future in [submit(noop) for _ in range(tasks)]:
        future.result()
    return {"tasks/s": tasks / (now() - start)}


def latency(subject: Any, tasks: int) -> Metrics:
    """Submit one task and wait for it, again and again."""
    submit = subject(1).submit
    for _ in range(tasks // 10):
        submit(noop).result()
    times = []
    for _ in range(tasks):
        start = now()
        submit(noop).result()
        times.append(now() - start)
    times.sort()
    return {"p50 us": times[tasks // 2] * 1e6, "p99 us": times[tasks * 99 // 100] * 1e6}


def pending(subject: Any, tasks: int, workers: int) -> Metrics:
    """Submit while every worker is busy, and keep the futures."""
    pool = subject(workers)
    submit = pool.submit
    for future in [submit(noop) for _ in range(1000)]:
        future.result()
    gate, busy = threading.Event(), threading.Barrier(workers + 1)

    def occupy() -> None:
        busy.wait()
        gate.wait()

    for _ in range(workers):
        submit(occupy)
    busy.wait()
    # The list that holds the futures is there before, its pages touched: it is not part of their price.
    futures: list[Any] = [noop] * tasks
    before = resident()
    start = now()
    for i in range(tasks):
        futures[i] = submit(noop)
    took = now() - start
    after = resident()
    return {"us/submit": took / tasks * 1e6, "bytes/future": (after - before) / tasks}


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def collect(subject: Any, how: str, tasks: int, workers: int) -> Metrics:
    """Wait with `wait` or `as_completed` for many futures, none of which is done at the start."""
    pool = subject(workers)
    gate, busy = threading.Event(), threading.Barrier(workers + 1)

    def occupy() -> None:
        busy.wait()
        gate.wait()

    for _ in range(workers):
        pool.submit(occupy)
    busy.wait()
    futures = [pool.submit(noop) for _ in range(tasks)]
    start = now()
    gate.set()
    done = len(pool.wait(futures).done) if how == "wait" else sum(1 for _ in pool.as_completed(futures))
    took = now() - start
    assert done == tasks
    return {"us/future": took / tasks * 1e6}


def gather(subject: Any, tasks: int, workers: int) -> Metrics:
    """Gather many calls of `run_in_executor` in an event loop."""
    pool = subject(workers)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(pool.in_loop(loop, noop) for _ in range(100)))
        start = now()
        await asyncio.gather(*(pool.in_loop(loop, noop) for _ in range(tasks)))
        return now() - start

    return {"tasks/s": tasks / asyncio.run(main())}


def idle(subject: Any, seconds: float, workers: int) -> Metrics:
    """Count how often the threads of an idle pool are scheduled: each context switch is a wake-up."""
    pool = subject(workers)
    # Short naps, so that every worker has had something to do.
    for future in [pool.submit(lambda: time.sleep(0.01)) for _ in range(4 * workers)]:
        future.result()
    time.sleep(0.5)
    before = switches()
    time.sleep(seconds)
    after = switches()
    return {"wake-ups/s": sum(after[thread] - before.get(thread, 0) for thread in after) / seconds}


def switches() -> dict[str, int]:
    """Context switches so far, of every thread but this one, the main thread."""
    counts = {}
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != os.getpid():
            with open(f"/proc/self/task/{thread}/status") as file:
                counts[thread] = sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return counts


def increment(number: int) -> int:
    return number + 1


def mapped(subject: Any, tasks: int, workers: int) -> Metrics:
    """The sum of what a map over many tiny items yields, beside the builtin map; the best of three."""
    values = range(tasks)
    alone = min(seconds_of(lambda: sum(map(increment, values))) for _ in range(3))
    pool = subject(workers)
    sum(pool.mapped(increment, range(1000)))
    taken = min(seconds_of(lambda: sum(pool.mapped(increment, values))) for _ in range(3))
    return {"k items/s": tasks / taken / 1e3, "ns/item": taken / tasks * 1e9, "times the builtin's": taken / alone}


def seconds_of(work: Callable[[], object]) -> float:
    start = now()
    work()
    return now() - start


def nested(subject: Any, n: int, workers: int) -> Metrics:
    """Compute a Fibonacci number, each call of which submits two more to the same pool and waits for them."""
    submit = subject(workers).submit
    calls = 0

    def fib(n: int) -> int:
        nonlocal calls
        calls += 1
        if n < 2:
            return n
        one, other = submit(fib, n - 1), submit(fib, n - 2)
        result: int = one.result() + other.result()
        return result

    start = now()
    submit(fib, n).result()
    return {"tasks/s": calls / (now() - start), "threads": threading.active_count() - 1}


def main() -> None:
    function, subject, parameters = sys.argv[1], SUBJECTS[sys.argv[2]], json.loads(sys.argv[3])
    if parameters.pop("one_cpu", False):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(json.dumps(globals()[function](subject, **parameters)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
