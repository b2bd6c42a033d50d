"""The early ends of `map_async`: nothing runs on, nothing waits, and asynchronous inputs are closed where they were read."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import time
import weakref
from functools import partial

import pytest
from aio_tasks import begin_and_sleep, begun, double, is_alive, soon, turns

from forkful import ProcessPoolExecutor, TaskTimeout, ThreadPoolExecutor, WorkerDied


class Endless:
    """An asynchronous generator's life, as its `finally` tells it."""

    def __init__(self) -> None:
        self.closed = False

    async def __call__(self, *first):
        try:
            for value in first:
                yield value
            while True:
                await asyncio.sleep(0.001)
                yield first[-1]
        finally:
            await asyncio.sleep(0)
            self.closed = True


@pytest.fixture
def processes():
    with ProcessPoolExecutor(2) as pool:
        yield pool


def quick_then_long(path, number):
    if number:
        begin_and_sleep(f"{path}{number}")
    return number


def test_break_stops_what_runs(run, processes, tmp_path):
    async def main():
        source = Endless()
        async for result in processes.map_async(partial(quick_then_long, str(tmp_path / "n")), source(0, 1, 2)):
            assert result == 0
            pid = await begun(tmp_path / "n1")
            break
        await soon(lambda: not is_alive(pid) and source.closed)
        assert await processes.submit(double, 2) == 4

    run(main())


def test_aclose_stops_what_runs_before_it_returns(run, processes, tmp_path):
    async def main():
        source = Endless()
        results = processes.map_async(partial(quick_then_long, str(tmp_path / "n")), source(0, 1, 2))
        assert await results.__anext__() == 0
        pids = [await begun(tmp_path / f"n{n}") for n in (1, 2)]
        await results.aclose()
        assert source.closed and not any(map(is_alive, pids))
        await results.aclose()
        with pytest.raises(StopAsyncIteration):
            await results.__anext__()

    run(main())


def test_aclose_before_the_first_result_runs_nothing(run, executor):
    async def main():
        source = Endless()
        results = executor.map_async(double, source(1))
        await results.aclose()
        with pytest.raises(StopAsyncIteration):
            await results.__anext__()
        assert executor.stats().submitted == 0

    run(main())


def test_aclose_ends_a_task_that_is_reading(run, make, gate):
    async def main():
        results = make(1).map_async(gate_wait(gate), [1, 2])
        reading = asyncio.ensure_future(results.__anext__())
        await turns()
        await results.aclose()
        with pytest.raises(StopAsyncIteration):
            await reading
        gate.set()

    run(main())


def gate_wait(gate):
    return partial(wait_for_gate, gate)


def wait_for_gate(gate, number):
    gate.wait()
    return number


def test_a_cancelled_reader_stops_what_runs(run, processes, tmp_path):
    async def read():
        async for _ in processes.map_async(partial(quick_then_long, str(tmp_path / "n")), [1, 2, 3, 4]):
            pass

    async def main():
        task = asyncio.ensure_future(read())
        pids = [await begun(tmp_path / f"n{n}") for n in (1, 2)]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(map(is_alive, pids))
        assert not (tmp_path / "n3").exists()

    run(main())


def test_an_error_stops_the_others(run, processes, tmp_path):
    async def main():
        with pytest.raises(ValueError):
            async for _ in processes.map_async(
                partial(fail_when_begun, str(tmp_path / "n")), [1, 2, 3], buffersize=3, ordered=False
            ):
                pass
        assert not is_alive(int((tmp_path / "n1").read_text()))

    run(main())


def fail_when_begun(path, number):
    import os
    import time

    if number == 1:
        begin_and_sleep(f"{path}1")
    while not os.path.exists(f"{path}1"):
        time.sleep(0.001)
    raise ValueError(number)


def test_threads_leave_undone_what_has_not_begun(run, gate):
    done = []

    def work(number):
        gate.wait()
        done.append(number)

    async def main():
        async with ThreadPoolExecutor(1) as pool:
            results = pool.map_async(work, range(10), buffersize=10)
            reading = asyncio.ensure_future(results.__anext__())
            await soon(lambda: pool.stats().submitted == 10 and pool.stats().running)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            gate.set()
        assert done == [0]

    run(main())


def test_nobody_holds_it_any_more(run, processes, tmp_path):
    async def main():
        source = Endless()
        results = processes.map_async(partial(quick_then_long, str(tmp_path / "n")), source(0, 1, 2))
        await results.__anext__()
        pid = await begun(tmp_path / "n1")
        del results
        gc.collect()
        await soon(lambda: not is_alive(pid) and source.closed)

    run(main())


def test_the_end_of_the_loop_closes_it(processes, tmp_path):
    kept = []

    async def main():
        results = processes.map_async(partial(quick_then_long, str(tmp_path / "n")), [0, 1])
        kept.append(results)
        await results.__anext__()
        kept.append(await begun(tmp_path / "n1"))

    asyncio.run(main())
    assert not is_alive(kept[1])


def test_a_loop_that_is_gone_harms_nobody(caplog, gate):
    with ThreadPoolExecutor(1) as pool:
        loop = asyncio.new_event_loop()
        results = pool.map_async(gate_wait(gate), [1, 2, 3], buffersize=2)
        reading = loop.create_task(results.__anext__())
        loop.run_until_complete(turns())
        reading.cancel()
        loop.run_until_complete(asyncio.gather(reading, return_exceptions=True))
        other = pool.map_async(gate_wait(gate), [1, 2, 3])
        step = other.__anext__()

        async def first_step():
            step.send(None)

        loop.run_until_complete(first_step())
        loop.close()
        gate.set()
    step.close()
    del results, other
    gc.collect()
    assert caplog.text == ""


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_coroutine_that_is_thrown_away_waits_for_nothing(monkeypatch, gate, asynchronous):
    async def numbers():
        yield 1
        await asyncio.sleep(60)

    complaints = []
    monkeypatch.setattr("sys.unraisablehook", complaints.append)
    with ThreadPoolExecutor(1) as pool:
        loop = asyncio.new_event_loop()
        results = pool.map_async(gate_wait(gate), numbers() if asynchronous else [1, 2, 3])
        reading = loop.create_task(results.__anext__())
        loop.run_until_complete(turns())
        left = asyncio.all_tasks(loop)
        loop.close()
        try:
            for task in left:
                task._log_destroy_pending = False
                task.get_coro().close()
        finally:
            gate.set()
    del results, reading, left, task
    gc.collect()
    assert complaints == []


def test_an_input_that_can_not_be_closed_is_told_to_the_loop(run, executor):
    async def stubborn():
        try:
            yield 1
            yield 2
        finally:
            raise OSError("stubborn")

    async def main():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
        async with executor.map_async(double, stubborn(), buffersize=1) as results:
            assert await results.__anext__() == 2
        assert [str(error) for error in told] == ["stubborn"]

    run(main())


def test_an_input_that_swallows_its_cancellation_submits_nothing_more(run, executor):
    async def main():
        async def stubborn():
            yield 1
            for number in itertools.count(2):
                try:
                    await asyncio.sleep(0 if closing.is_set() else 60)
                except asyncio.CancelledError:
                    pass
                yield number

        closing = asyncio.Event()
        async with executor.map_async(double, stubborn(), buffersize=8) as results:
            assert await results.__anext__() == 2
            await turns()
            submitted = executor.stats().submitted
            closing.set()
        assert executor.stats().submitted == submitted

    run(main())


def test_a_map_that_is_over_keeps_no_executor_alive(run):
    async def main():
        pool = ThreadPoolExecutor(1)
        results = pool.map_async(double, [1, 2])
        assert [result async for result in results] == [2, 4]
        reference = weakref.ref(pool)
        del pool
        gc.collect()
        assert reference() is None
        assert [result async for result in results] == []

    run(main())


def test_a_deadline_of_a_view_holds_for_each_item(run, processes):
    async def main():
        # Long enough for the first item, of which a busy machine may make an exception: then it is given longer.
        for seconds in (0.05, 1, 20):
            results = processes.with_options(timeout=seconds).map_async(time.sleep, [0, 60])
            try:
                assert await results.__anext__() is None
            except TaskTimeout:
                continue
            with pytest.raises(TaskTimeout) as caught:
                await results.__anext__()
            break
        assert caught.value.__notes__ == ["item 1 of map"]

    run(main())


def test_a_worker_that_dies_costs_the_items_that_travelled_with_it(run, processes):
    async def main():
        results = processes.map_async(die_at_four, range(9), chunksize=3)
        assert [await results.__anext__() for _ in range(3)] == [0, 1, 2]
        with pytest.raises(WorkerDied) as caught:
            await results.__anext__()
        assert caught.value.__notes__[-1] == "items 3 to 5 of map"

    run(main())


def die_at_four(number):
    if number == 4:
        os._exit(3)
    return number


class Plain:
    """What can be weakly referred to."""


class Failure(ValueError):
    """The same as an error."""


def make_plain(number):
    return Plain()


def fail(number):
    raise Failure(number)


def test_what_was_handed_over_is_nobodys_here_and_errors_are_in_no_cycle(executor):
    async def main():
        left = []
        gc.disable()
        try:
            left.append(weakref.ref(await executor.submit(make_plain, 1)))
            async for result in executor.map_async(make_plain, range(3)):
                left.append(weakref.ref(result))
                del result
            for numbers in ([1, 2], Endless()(1)):
                try:
                    async for _ in executor.map_async(fail, numbers):
                        pass
                except Failure as error:
                    left.append(weakref.ref(error))
            try:
                await executor.submit(fail, 1)
            except Failure as error:
                left.append(weakref.ref(error))
            await soon(lambda: not any(reference() for reference in left))
        finally:
            gc.enable()

    asyncio.run(main())
