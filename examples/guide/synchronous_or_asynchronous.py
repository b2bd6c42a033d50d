"""Measures when a program hears of its answers, and what it can do until then, in four ways of asking.

    python synchronous_or_asynchronous.py [SCALE]

SCALE makes every question take that many times as long; without it, the whole takes about three seconds.
"""

import asyncio
import sys
import time

from forkful import ThreadPoolExecutor, as_completed, wait

SCALE = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
SLOWNESS = {"A": 0.6, "B": 0.2, "C": 0.4, "D": 0.1}
STEP = 0.01


def ask(name):
    """A question that somebody else answers after a while."""
    time.sleep(SLOWNESS[name] * SCALE)
    return name


def result_in_order(executor, heard):
    """Synchronous: waits for the first answer, then for the second one, and so on."""
    for future in [executor.submit(ask, name) for name in SLOWNESS]:
        heard(future.result())
    return 0


def completed_first(executor, heard):
    """Synchronous as well, but takes each answer when it comes."""
    for future in as_completed([executor.submit(ask, name) for name in SLOWNESS]):
        heard(future.result())
    return 0


def callbacks(executor, heard):
    """Asynchronous: says what is to be done with each answer, and goes on with its own work."""
    futures = [executor.submit(ask, name) for name in SLOWNESS]
    for future in futures:
        future.add_done_callback(lambda done: heard(done.result()))
    steps = 0
    while not all(future.done() for future in futures):
        time.sleep(STEP * SCALE)  # stands for a piece of the program's own work
        steps += 1
    wait(futures)
    return steps


def awaiting(executor, heard):
    """Asynchronous in one thread: each coroutine reads like synchronous code, and lets the others go on while it waits."""

    async def one(name):
        heard(await executor.submit(ask, name))

    async def own_work():
        nonlocal steps
        while True:
            await asyncio.sleep(STEP * SCALE)
            steps += 1

    async def main():
        working = asyncio.create_task(own_work())
        await asyncio.gather(*(one(name) for name in SLOWNESS))
        working.cancel()

    steps = 0
    asyncio.run(main())
    return steps


WAYS = {
    "result(), in order": result_in_order,
    "as_completed": completed_first,
    "add_done_callback": callbacks,
    "await, in asyncio": awaiting,
}


def main():
    print(f"{'':22}{'first answer':>14}{'last answer':>14}{'order':>10}{'own steps meanwhile':>22}")
    for name, way in WAYS.items():
        heard = []
        start = time.perf_counter()
        with ThreadPoolExecutor(len(SLOWNESS)) as executor:
            steps = way(executor, lambda answer: heard.append((answer, time.perf_counter() - start)))  # noqa: B023
        order = " ".join(answer for answer, _ in heard)
        print(f"{name:22}{heard[0][1]:12.2f} s{heard[-1][1]:12.2f} s{order:>10}{steps:22}")


if __name__ == "__main__":
    main()
