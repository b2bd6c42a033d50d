"""What is measured of process pools: one function per measure, each called once in a process of its own.

    python process_work.py FUNCTION SUBJECT '{"parameter": value}'     prints {"metric": value} and ends

As in work.py, nothing is taken down in an orderly way, except that no process may be left: all descendants are killed.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import process_tasks as tasks_
from process_subjects import NotThere, load

Metrics = dict[str, float]
now = time.perf_counter


def latency(subject: Any, tasks: int, place: str, workers: int, payload: int = 0) -> Metrics:
    """Submit one task and wait for it, again and again; a payload is sent there and back."""
    if place == "one-cpu":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    submit = subject(workers).submit
    call: tuple[Any, ...] = (tasks_.echo, os.urandom(payload)) if payload else (tasks_.noop,)
    warm(submit, call)
    if place == "apart":
        pin_apart()
        warm(submit, call)
    times = []
    end = now() + 3
    while len(times) < tasks and now() < end:
        start = now()
        submit(*call).result()
        times.append(now() - start)
    times.sort()
    return {f"p{part} us": times[len(times) * part // 100] * 1e6 for part in (50, 90, 99)}


def warm(submit: Any, call: tuple[Any, ...]) -> None:
    end = now() + 0.5
    for _ in range(500):
        submit(*call).result()
        if now() > end:
            break


def pin_apart() -> None:
    """This process's threads on the first CPU, all of its descendants on the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    for pid, cpus in [(os.getpid(), {first}), *((pid, set(others)) for pid in descendants())]:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(thread), cpus)


def throughput(subject: Any, tasks: int, workers: int, carried: bool = False) -> Metrics:
    """Submit many small tasks and wait for all of them; where `carried`, what they call has no name of its own."""
    pool = subject(workers)
    function = functools.partial(tasks_.identity) if carried else tasks_.identity
    pool.all(function, list(range(500)))
    values = list(range(tasks))
    start = now()
    pool.all(function, values)
    return {"tasks/s": tasks / (now() - start)}


def mapped(subject: Any, tasks: int, workers: int) -> Metrics:
    """The sum of what a map over many tiny items yields, beside the builtin map in this process; the best of three."""
    values = range(tasks)
    alone = min(seconds_of(lambda: sum(map(tasks_.increment, values))) for _ in range(3))
    pool = subject(workers)
    sum(pool.mapped(tasks_.increment, range(1000)))
    taken = min(seconds_of(lambda: sum(pool.mapped(tasks_.increment, values))) for _ in range(3))
    return {"k items/s": tasks / taken / 1e3, "ns/item": taken / tasks * 1e9, "times the builtin's": taken / alone}


def lazily(subject: Any, tasks: int, workers: int, buffersize: int) -> Metrics:
    """The sum of what a map over many tiny items yields that reads its input as results are taken; the best of three."""
    pool = subject(workers)
    sum(pool.lazily(tasks_.increment, iter(range(1000)), buffersize))
    taken = min(
        seconds_of(lambda: sum(pool.lazily(tasks_.increment, iter(range(tasks)), buffersize))) for _ in range(3)
    )
    return {"k items/s": tasks / taken / 1e3}


def seconds_of(work: Callable[[], object]) -> float:
    start = now()
    work()
    return now() - start


def useful(subject: Any, tasks: int, workers: int, each: float) -> Metrics:
    """How many cores' worth of the tasks' own work is done while tasks of a few microseconds go through the pool."""
    turns = tasks_.turns_for(each)
    pool = subject(workers)
    pool.all(tasks_.burn, [turns] * 500)
    start = now()
    pool.all(tasks_.burn, [turns] * tasks)
    return {"useful cores": tasks * each / (now() - start)}


def beside(subject: Any, tasks: int, workers: int, long: float) -> Metrics:
    """Short tasks while another worker has a long one: the slowest of them."""
    pool = subject(workers)
    submit = pool.submit
    # All workers are there before: their start is another measure's.
    pool.all(tasks_.sleep, [0.02] * (4 * workers))
    warm(submit, (tasks_.noop,))
    occupied = submit(tasks_.sleep, long)
    # Give it the time to begin.
    time.sleep(0.1)
    slowest, end = 0.0, now() + long * 0.8
    for _ in range(tasks):
        start = now()
        for future in [submit(tasks_.noop) for _ in range(8)]:
            future.result()
        slowest = max(slowest, now() - start)
        if now() > end:
            break
    del occupied
    return {"slowest ms": slowest * 1e3}


def first(subject: Any, workers: int, preload: list[str]) -> Metrics:
    """From making an executor to its first result; then the same for a second one, when the first is shut down."""
    modules = tuple(name for name in preload if importlib.util.find_spec(name))
    for name in modules:
        __import__(name)
    took = []
    for _ in range(2):
        start = now()
        pool = subject(workers, modules)
        pool.submit(tasks_.noop).result()
        took.append(now() - start)
        pool.close()
    return {"first ms": took[0] * 1e3, "second ms": took[1] * 1e3}


def idle(subject: Any, seconds: float, workers: int) -> Metrics:
    """How often the pool's threads and processes sleep anew, in a time in which there is nothing to do."""
    pool = subject(workers)
    pool.all(tasks_.sleep, [0.01] * (4 * workers))
    time.sleep(1)
    before = switches()
    time.sleep(seconds)
    after = switches()
    return {"wake-ups/s": sum(after[thread] - before.get(thread, 0) for thread in after) / seconds}


def switches() -> dict[str, int]:
    """Voluntary context switches so far, of every thread but this one, in this process and its descendants."""
    counts = {}
    for pid in [os.getpid(), *descendants()]:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                if int(thread) != os.getpid():
                    with open(f"/proc/{pid}/task/{thread}/status") as file:
                        counts[thread] = sum(int(line.split()[1]) for line in file if line.startswith("voluntary"))
        except FileNotFoundError:
            continue
    return counts


def pending(subject: Any, tasks: int, workers: int) -> Metrics:
    """Submit while every worker is busy, and keep the futures."""
    pool = subject(workers)
    submit = pool.submit
    pool.all(tasks_.identity, list(range(500)))
    for _ in range(workers):
        submit(tasks_.sleep, 600)
    time.sleep(0.3)
    futures: list[Any] = [None] * tasks
    before = resident()
    start = now()
    for i in range(tasks):
        futures[i] = submit(tasks_.identity, i)
    took = now() - start
    after = resident()
    return {"us/submit": took / tasks * 1e6, "MB/million": (after - before) / tasks}


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descendants() -> list[int]:
    """All processes that this one has started, and those that they have."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(parent, []).append(int(name))
    found = []
    look = [os.getpid()]
    while look:
        children = parents.get(look.pop(), [])
        found += children
        look += children
    return found


def run(functions: Mapping[str, Any], load: Callable[[str], Any] = load) -> None:
    """Does what the command line says with one of these functions, and ends the process and all that it has started."""
    function, subject, parameters = sys.argv[1], load(sys.argv[2]), json.loads(sys.argv[3])
    try:
        metrics = functions[function](subject, **parameters)
    except NotThere as missing:
        metrics = {"lacks": str(missing)}
    # On a line of its own: some of the pools print, too.
    print("\n" + json.dumps(metrics), flush=True)
    for pid in descendants():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    os._exit(0)


if __name__ == "__main__":
    run(globals())
