"""`map_async`: the results, their order, and what is read ahead of whoever takes them."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from contextvars import ContextVar
from functools import partial

import pytest
from aio_tasks import double, fail_at, soon, turns

from forkful import ProcessPoolExecutor, ThreadPoolExecutor

variable: ContextVar[str] = ContextVar("variable", default="nobody's")


class Source:
    """An endless asynchronous input that counts what was taken, and says whether it was closed."""

    def __init__(self, pause: float = 0.0) -> None:
        self.taken = 0
        self.closed = False
        self.pause = pause

    async def numbers(self):
        task = asyncio.current_task()
        try:
            for number in itertools.count():
                await asyncio.sleep(self.pause)
                self.taken += 1
                yield number
        finally:
            await asyncio.sleep(0)
            assert asyncio.current_task() is task
            self.closed = True


class Counting:
    """An endless ordinary input that counts what was taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.taken += 1
        return self.taken - 1


async def some(*numbers):
    for number in numbers:
        await asyncio.sleep(0)
        yield number


@pytest.mark.parametrize("chunksize", [None, 1, 3, 100])
@pytest.mark.parametrize("ordered", [True, False])
def test_results_of_ordinary_and_asynchronous_inputs(run, executor, chunksize, ordered):
    async def main():
        for numbers in (range(10), some(*range(10)), iter(range(10))):
            results = [
                result async for result in executor.map_async(double, numbers, chunksize=chunksize, ordered=ordered)
            ]
            assert (results if ordered else sorted(results)) == [2 * n for n in range(10)]

    run(main())


def test_several_inputs_end_with_the_shortest(run, executor):
    async def main():
        async def collect(*inputs):
            return [result async for result in executor.map_async(pow, *inputs)]

        assert await collect([2, 3, 4], [2, 2, 2]) == [4, 9, 16]
        assert await collect([2, 3, 4], some(2, 2)) == [4, 9]
        assert await collect(some(2, 3), itertools.repeat(2)) == [4, 9]
        assert await collect(some(2, 3), some(2, 2, 2)) == [4, 9]
        assert await collect() == []
        assert await collect([], []) == []

    run(main())


def test_unordered_results_come_as_they_are_there(run, make, gate):
    async def main():
        pool = make(2)
        results = pool.map_async(partial(slow_first, gate), range(4), ordered=False)
        assert sorted([await results.__anext__() for _ in range(3)]) == [1, 2, 3]
        gate.set()
        assert [result async for result in results] == [0]

    run(main())


def slow_first(gate, number):
    if number == 0:
        gate.wait()
    return number


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("chunksize", [None, 2])
def test_a_slow_consumer_holds_the_input_back(run, executor, asynchronous, chunksize):
    async def main():
        source = Source() if asynchronous else Counting()
        numbers = source.numbers() if asynchronous else source
        handed = 0
        async with executor.map_async(double, numbers, buffersize=4, chunksize=chunksize) as results:
            async for result in results:
                assert result == 2 * handed
                handed += 1
                await asyncio.sleep(0.005)
                assert source.taken - handed <= 4
                if handed == 8:
                    break
        assert not asynchronous or source.closed

    run(main())


def test_two_items_per_worker_are_ahead_where_nothing_is_said(run, make):
    async def main():
        async def ahead(executor, **options):
            source = Counting()
            async with executor.map_async(double, source, **options) as results:
                await results.__anext__()
                return source.taken - 1

        pool = make(3)
        parts = 5 if isinstance(pool, ProcessPoolExecutor) else 1
        assert await ahead(pool) == 6
        assert await ahead(pool.with_options(name="view")) == 6
        assert await ahead(pool, chunksize=5) in range(6 * parts - parts, 6 * parts + 1)
        assert await ahead(pool, buffersize=1) == 1

    run(main())


def test_a_slow_input_holds_no_result_up(run, executor):
    async def main():
        opened = asyncio.Event()

        async def numbers():
            yield 1
            yield 2
            await opened.wait()
            yield 3

        for chunksize in (None, 2, 100):
            opened.clear()
            results = executor.map_async(double, numbers(), chunksize=chunksize)
            assert [await results.__anext__() for _ in range(2)] == [2, 4]
            opened.set()
            assert [result async for result in results] == [6]

    run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("chunksize", [None, 3])
def test_an_exception_comes_in_the_place_of_its_item(run, executor, chunksize, asynchronous):
    async def main():
        numbers = some(*range(9)) if asynchronous else range(9)
        results = executor.map_async(partial(fail_at, at=4), numbers, chunksize=chunksize)
        assert [await results.__anext__() for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(ValueError, match="number 4") as caught:
            await results.__anext__()
        assert caught.value.__notes__ == ["item 4 of map"]
        with pytest.raises(StopAsyncIteration):
            await results.__anext__()

    run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_input_that_fails_does_so_after_the_results_before(run, executor, asynchronous):
    async def failing():
        yield 1
        yield 2
        raise OSError("the input")

    def failing_at_once():
        yield 1
        yield 2
        raise OSError("the input")

    async def main():
        seen = []
        with pytest.raises(OSError, match="the input"):
            async for result in executor.map_async(double, failing() if asynchronous else failing_at_once()):
                seen.append(result)
        assert seen == [2, 4]

    run(main())


def test_an_executor_that_is_shut_down_says_so(run, executor):
    async def main():
        executor.shutdown()
        with pytest.raises(RuntimeError, match="shutdown"):
            async for _ in executor.map_async(double, [1]):
                pass

    run(main())


def test_a_call_can_not_end_the_iteration(run, make):
    def ends(number):
        raise StopAsyncIteration if number else StopIteration

    async def main():
        with ThreadPoolExecutor(1) as pool:
            for number in (0, 1):
                with pytest.raises(RuntimeError, match=r"StopAsyncIteration|StopIteration"):
                    async for _ in pool.map_async(ends, [number]):
                        pass

    run(main())


def test_bad_arguments_are_refused_at_once(executor):
    async def coroutine(number):
        return number

    for fn in (coroutine, partial(coroutine, 1)):
        with pytest.raises(TypeError, match=r"coroutine function.*asyncio.run"):
            executor.map_async(fn, [1])
    with pytest.raises(TypeError, match=r"iterables\[1\] is of type int"):
        executor.map_async(double, [1], 2)
    with pytest.raises(TypeError, match="fn is of type int"):
        executor.map_async(3, [1])
    with pytest.raises(ValueError, match="buffersize"):
        executor.map_async(double, [1], buffersize=0)
    with pytest.raises(TypeError, match="buffersize"):
        executor.map_async(double, [1], buffersize="1")
    with pytest.raises(ValueError, match="chunksize"):
        executor.map_async(double, [1], chunksize=0)


def test_it_is_read_by_one_task_in_one_loop(run, make, gate):
    async def main():
        results = make(1).map_async(partial(slow_first, gate), range(3))
        reading = asyncio.ensure_future(results.__anext__())
        await turns()
        with pytest.raises(RuntimeError, match="another task"):
            await results.__anext__()
        gate.set()
        assert await reading == 0
        caught = []

        def elsewhere():
            try:
                asyncio.run(anext_of(results))
            except RuntimeError as error:
                caught.append(str(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await soon(lambda: not thread.is_alive())
        assert "another event loop" in caught[0]
        assert [result async for result in results] == [1, 2]

    async def anext_of(results):
        return await results.__anext__()

    run(main())


def test_outside_asyncio_it_is_refused_clearly(executor):
    step = executor.map_async(double, [1]).__anext__()
    with pytest.raises(RuntimeError, match=r"asyncio.*use map"):
        step.send(None)


def test_others_run_where_all_results_are_there(run):
    async def main():
        turned = 0

        async def other():
            nonlocal turned
            while True:
                turned += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        with ThreadPoolExecutor(1) as pool:
            async for number in pool.map_async(double, range(200), buffersize=200):
                if not number:
                    # In the loop's own thread, on purpose: all of the results are there by then.
                    time.sleep(0.05)
                    before = turned
        assert turned - before >= 4
        task.cancel()

    run(main())


def test_context_variables_are_those_of_the_reader(run, make):
    async def main():
        pool = make(1, propagate_context=True)
        variable.set("the reader's")
        for numbers in ([1], some(1)):
            assert [value async for value in pool.map_async(read, numbers)] == ["the reader's"]

    run(main())


def read(number):
    return variable.get()


def test_a_bounded_queue_does_not_hold_up_the_loop(run, make, gate, request):
    if request.node.callspec.params["kind"].name == "auto":
        pytest.skip("it has no max_pending")

    async def main():
        pool = make(1, max_pending=3)
        results = pool.map_async(partial(slow_first, gate), range(10), buffersize=100)
        reading = asyncio.ensure_future(results.__anext__())
        # In the loop's thread: it would not come to this if `submit` waited.
        await soon(lambda: pool.stats().running == 1)
        gate.set()
        assert await reading == 0
        assert [result async for result in results] == list(range(1, 10))

    run(main())
