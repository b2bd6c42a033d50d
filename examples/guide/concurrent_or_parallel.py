"""Measures what "at the same time" means for four tasks: how many are in progress, and how many compute.

    python concurrent_or_parallel.py [SCALE]

SCALE makes every task that many times as long; without it, the whole takes about four seconds.
"""

import sys
import time

from forkful import ProcessPoolExecutor, ThreadPoolExecutor

SCALE = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
TASKS = 4


def wait(scale):
    """Does nothing until an answer comes, as a request over the network does."""
    time.sleep(0.2 * scale)


def compute(scale):
    """Keeps a CPU busy with plain Python."""
    return sum(n * n for n in range(int(3_000_000 * scale)))


def observed(task, scale):
    """Runs a task; returns when it began, when it ended, and for how many seconds it had a CPU."""
    began, used = time.perf_counter(), time.thread_time()
    task(scale)
    return began, time.perf_counter(), time.thread_time() - used


def most_in_progress(spans):
    """How many of the tasks had begun and not ended, at the moment when these were most."""
    return max(sum(began <= moment < ended for began, ended, _ in spans) for moment, _, _ in spans)


def show(how, run, task):
    start = time.perf_counter()
    spans = list(run(observed, [task] * TASKS, [SCALE] * TASKS))
    seconds = time.perf_counter() - start
    computing = sum(cpu for _, _, cpu in spans) / seconds
    print(f"{how:24}{seconds:8.2f} s {most_in_progress(spans):12} {computing:12.1f}")


def main():
    with ThreadPoolExecutor(TASKS) as threads, ProcessPoolExecutor(TASKS) as processes:
        # The workers are started before the clock is: what a start costs is another page's matter.
        for pool in (threads, processes):
            list(pool.map(time.sleep, [0.05] * TASKS))
        for task in (wait, compute):
            print(f"{f'{TASKS} tasks that {task.__name__}':24}{'time':>10} {'in progress':>12} {'computing':>12}")
            show("one after the other", map, task)
            show(f"{TASKS} threads", threads.map, task)
            show(f"{TASKS} processes", processes.map, task)
            print()
    print('"in progress" above 1 is concurrency; "computing" above 1 is parallelism.')


if __name__ == "__main__":
    main()
