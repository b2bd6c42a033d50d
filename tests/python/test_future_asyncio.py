"""Futures in event loops: awaited by themselves, wrapped, gathered, cancelled both ways."""

import asyncio
import sys
import threading

import pytest
from eventually import eventually
from subject import REFERENCE, Future

pytestmark = pytest.mark.skipif(REFERENCE, reason="the standard library's futures cannot be awaited")


def soon(function, *args):
    timer = threading.Timer(0.005, function, args)
    timer.start()
    return timer


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


def test_awaiting_gives_the_result():
    async def main():
        future = Future()
        soon(future.set_result, 42)
        return await future

    assert asyncio.run(main()) == 42


def test_awaiting_a_finished_future_gives_its_result():
    async def main():
        future = Future()
        future.set_result("ready")
        return await future, await future

    assert asyncio.run(main()) == ("ready", "ready")


def test_awaiting_raises_the_exception():
    error = KeyError("awaited")

    async def main():
        future = Future()
        soon(future.set_exception, error)
        await future

    with pytest.raises(KeyError) as caught:
        asyncio.run(main())
    assert caught.value is error


def test_awaiting_a_pools_task(executor):
    async def main():
        return await executor.submit(pow, 2, 10)

    assert asyncio.run(main()) == 1024


def test_awaiting_keeps_the_traceback_of_the_task(executor):
    def fails_in_the_pool():
        raise ValueError("there")

    async def main():
        await executor.submit(fails_in_the_pool)

    with pytest.raises(ValueError) as caught:
        asyncio.run(main())
    assert "fails_in_the_pool" in [entry.name for entry in caught.traceback]


def test_the_loop_goes_on_while_a_future_is_awaited(blocked, gate):
    async def main():
        future = blocked.submit(int)
        awaiting = asyncio.ensure_future(future)
        await turns()
        assert not awaiting.done()
        gate.set()
        return await awaiting

    assert asyncio.run(main()) == 0


def test_cancelling_the_awaiting_task_cancels_the_pending_future(blocked):
    async def main():
        future = blocked.submit(int)
        task = asyncio.ensure_future(future)
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return future

    assert asyncio.run(main()).cancelled()


def test_cancelling_the_awaiting_task_leaves_a_running_future_alone(executor, gate):
    async def main():
        future = executor.submit(gate.wait)
        assert eventually(future.running)
        task = asyncio.ensure_future(future)
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not future.cancelled()
        gate.set()
        return future

    assert asyncio.run(main()).result() is True


def test_wait_for_cancels_the_pending_future(blocked):
    async def main():
        future = blocked.submit(int)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(future, 0.01)
        return future

    assert asyncio.run(main()).cancelled()


def test_shield_protects_the_future(blocked, gate):
    async def main():
        future = blocked.submit(int)
        inner = asyncio.ensure_future(future)
        outer = asyncio.shield(inner)
        await turns()
        outer.cancel()
        await turns()
        assert not future.cancelled()
        gate.set()
        return await inner

    assert asyncio.run(main()) == 0


def test_cancelling_the_future_cancels_who_awaits_it(blocked):
    async def main():
        future = blocked.submit(int)
        task = asyncio.ensure_future(future)
        await turns()
        assert future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task

    assert asyncio.run(main()).cancelled()


def test_awaiting_a_cancelled_future_is_cancelled():
    async def main():
        future = Future()
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    asyncio.run(main())


def test_one_future_is_awaited_by_many_tasks():
    async def main():
        future = Future()
        tasks = [asyncio.ensure_future(future) for _ in range(20)]
        await turns()
        soon(future.set_result, 5)
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [5] * 20


def test_gather_over_a_thousand(executor):
    async def main():
        return await asyncio.gather(*[executor.submit(abs, -number) for number in range(1000)])

    assert asyncio.run(main()) == list(range(1000))


def test_gather_over_run_in_executor(executor):
    async def main():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*[loop.run_in_executor(executor, abs, -number) for number in range(1000)])

    assert asyncio.run(main()) == list(range(1000))


def test_awaiting_a_pending_future_outside_a_loop_is_refused_clearly():
    async def main():
        await Future()

    coroutine = main()
    with pytest.raises(RuntimeError, match="asyncio"):
        coroutine.send(None)


def test_default_executor_of_a_loop_takes_the_pool(make):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(make(2))
        numbers = await asyncio.gather(*[asyncio.to_thread(abs, -number) for number in range(200)])
        await loop.shutdown_default_executor()
        return numbers

    assert asyncio.run(main()) == list(range(200))


@pytest.mark.parametrize("done", [False, True])
def test_asyncio_wait_is_refused_where_it_would_wait_for_ever(done):
    async def main():
        future = Future()
        if done:
            future.set_result(1)
        else:
            soon(future.set_result, 1)
        if sys.version_info >= (3, 11):
            with pytest.raises(TypeError, match="ensure_future"):
                await asyncio.wait([future])
        ended, left = await asyncio.wait([asyncio.ensure_future(future)])
        return [task.result() for task in ended], left

    assert asyncio.run(main()) == ([1], set())
