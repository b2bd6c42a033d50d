"""Futures and the event loops that await them: how often they are woken, how many there are, and their end."""

import asyncio
import threading

import pytest
from subject import REFERENCE, Future, futures

pytestmark = pytest.mark.skipif(REFERENCE, reason="the standard library's futures cannot be awaited")


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often other threads woke it."""

    def __init__(self):
        super().__init__()
        self.wakeups = 0

    def call_soon_threadsafe(self, *args, **kwargs):
        self.wakeups += 1
        return super().call_soon_threadsafe(*args, **kwargs)


def soon(function, *args):
    timer = threading.Timer(0.005, function, args)
    timer.start()
    return timer


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


def run_counting(main):
    loop = CountingLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()


def test_a_burst_of_completions_wakes_the_loop_once():
    async def main(loop):
        made = [Future() for _ in range(1000)]
        tasks = [asyncio.ensure_future(future) for future in made]
        await turns()
        before = loop.wakeups

        def burst():
            for number, future in enumerate(made):
                future.set_result(number)

        thread = threading.Thread(target=burst)
        thread.start()
        # On purpose in the loop's own thread: it cannot turn while the burst lasts.
        thread.join()
        results = await asyncio.gather(*tasks)
        return loop.wakeups - before, results

    wakeups, results = run_counting(main)
    assert results == list(range(1000))
    assert wakeups == 1


def test_every_burst_wakes_the_loop_again():
    async def main(loop):
        for number in range(20):
            future = Future()
            # By the loop, which turns when the future is awaited: one that is done by then needs no wake-up.
            thread = threading.Thread(target=future.set_result, args=(number,))
            asyncio.get_running_loop().call_soon(thread.start)
            assert await future == number
            thread.join()
        return loop.wakeups

    assert run_counting(main) == 20


def test_many_loops_in_many_threads_await_the_same_futures(executor, gate):
    shared = [executor.submit(gate.wait) for _ in range(20)]
    seen = []

    async def main():
        seen.append(await asyncio.gather(*shared))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert seen == [[True] * 20] * 8


def test_a_loop_that_closed_meanwhile_harms_nobody(blocked, gate, caplog):
    future = blocked.submit(int)

    async def main():
        task = asyncio.ensure_future(asyncio.shield(asyncio.ensure_future(future)))
        await turns()
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(main())
    gate.set()
    blocked.shutdown()
    assert future.done()
    task.cancel()
    loop.run_until_complete(turns())
    loop.close()
    assert "closed" not in caplog.text


def test_finishing_after_the_loop_is_closed_is_quiet(blocked, gate, caplog):
    future = blocked.submit(int)

    async def main():
        step = future.__await__()
        next(step)
        return step

    step = asyncio.run(main())
    gate.set()
    assert futures.wait([future]).done == {future}
    blocked.shutdown()
    step.close()
    assert caplog.text == ""
