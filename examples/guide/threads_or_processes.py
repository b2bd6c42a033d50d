"""Measures what threads and processes cost, and what they gain, side by side.

    python threads_or_processes.py [SCALE]

SCALE makes every task that many times as large; without it, the whole takes about four seconds.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from forkful import ProcessPoolExecutor, ThreadPoolExecutor

SCALE = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
WORKERS = 4


def compute(steps):
    return sum(n * n for n in range(steps))


def own_memory(process="self"):
    """The megabytes of a process that it shares with no other, or None where the kernel does not tell."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


def seconds(call, *arguments, times=1):
    """The median of some runs."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call(*arguments)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def first_result(pool):
    with pool(1) as executor:
        executor.submit(abs, -1).result()


def called(executor, function, *arguments):
    executor.submit(function, *arguments).result()


def all_of(executor, function, items):
    list(executor.map(function, items))


def memory_of_a_worker(executor, before):
    if isinstance(executor, ProcessPoolExecutor):
        each = [own_memory(worker.pid) for worker in executor.workers()]
        return None if None in each else statistics.mean(each)
    after = own_memory()
    return None if None in (before, after) else max(after - before, 0) / WORKERS


def measured(pool):
    """What a pool of this kind takes for each thing, as pairs of a name and a text."""
    yield "the first result of a new pool", seconds(first_result, pool, times=3)
    before = own_memory()
    with pool(WORKERS) as executor:
        all_of(executor, time.sleep, [0.05] * WORKERS)  # all workers are there now
        yield "memory of one worker", memory_of_a_worker(executor, before)
        yield "a small call, there and back", seconds(called, executor, abs, -1, times=200)
        numbers, text = list(range(int(500_000 * SCALE))), bytes(int(50_000_000 * SCALE))
        yield f"a call with {len(numbers):,} numbers in a list", seconds(called, executor, len, numbers, times=3)
        yield f"a call with {len(text) // 1_000_000} MB of bytes", seconds(called, executor, len, text, times=3)
        yield f"{WORKERS} tasks that wait", seconds(all_of, executor, time.sleep, [0.2 * SCALE] * WORKERS)
        yield f"{WORKERS} tasks that compute", seconds(all_of, executor, compute, [int(3_000_000 * SCALE)] * WORKERS)


def one_after_the_other():
    yield f"{WORKERS} tasks that wait", seconds(list, map(time.sleep, [0.2 * SCALE] * WORKERS))
    yield f"{WORKERS} tasks that compute", seconds(list, map(compute, [int(3_000_000 * SCALE)] * WORKERS))


def written(name, value):
    if value is None:
        return "-"
    if name.startswith("memory"):
        return f"{value:.1f} MB" if value >= 1 else f"{value * 1024:.0f} KB"
    if value < 0.001:
        return f"{value * 1e6:.0f} us"
    return f"{value * 1e3:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def main():
    columns = {
        "serial": dict(one_after_the_other()),
        "threads": dict(measured(ThreadPoolExecutor)),
        "processes": dict(measured(ProcessPoolExecutor)),
    }
    print(f"{'':42}" + "".join(f"{kind:>12}" for kind in columns))
    for name in columns["threads"]:
        print(f"{name:42}" + "".join(f"{written(name, column.get(name)):>12}" for column in columns.values()))
    print(f"\nThis program may use {len(os.sched_getaffinity(0))} CPUs; no way computes on more than that.")


if __name__ == "__main__":
    main()
