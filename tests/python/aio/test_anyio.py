"""Under anyio's asyncio backend: task groups, cancel scopes, and what other libraries' inputs bring along."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from aio_tasks import begin_and_sleep, begun, double, fail_at, is_alive, soon

from forkful import Future, ProcessPoolExecutor, TaskKilled, ThreadPoolExecutor

anyio = pytest.importorskip("anyio", reason="anyio is not installed here")


@pytest.fixture
def run():
    return lambda main: anyio.run(main, backend="asyncio")


@pytest.fixture
def processes():
    with ProcessPoolExecutor(2) as pool:
        yield pool


def test_task_groups(run, executor):
    async def main():
        results = {}

        async def one(pool, number):
            results[number] = await pool.submit(double, number)

        async with executor as pool, anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(one, pool, number)
        assert results == {number: 2 * number for number in range(50)}

    run(main)


def test_a_failing_sibling_stops_the_task(run, processes, tmp_path):
    futures = []

    async def sleeper():
        futures.append(processes.submit(begin_and_sleep, str(tmp_path / "begun")))
        await futures[0]

    async def main():
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(sleeper)
                await begun(tmp_path / "begun")
                await processes.submit(int, "no number")
        except BaseException as error:
            assert [type(one) for one in error.exceptions] == [ValueError]
        else:
            raise AssertionError("nothing was raised")
        await soon(futures[0].done)
        assert type(futures[0].exception()) is TaskKilled

    run(main)


def test_a_cancel_scope_stops_the_task_and_is_not_swallowed(run, processes, tmp_path):
    async def main():
        future = processes.submit(begin_and_sleep, str(tmp_path / "begun"))
        pid = await begun(tmp_path / "begun")
        reached = False
        with anyio.move_on_after(0.01) as scope:
            await future
            reached = True
        assert scope.cancelled_caught and not reached
        await soon(lambda: not is_alive(pid))
        assert await processes.submit(double, 2) == 4
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await processes.submit(time.sleep, 60)

    run(main)


def test_a_shielded_scope_protects_the_task(run, executor, gate):
    async def main():
        async def opens():
            await soon(lambda: outer.cancel_called)
            gate.set()

        async with anyio.create_task_group() as group:
            with anyio.move_on_after(0.01) as outer, anyio.CancelScope(shield=True):
                group.start_soon(opens)
                assert await executor.submit(wait_and_say, gate) == "said"
        assert outer.cancel_called

    run(main)


def wait_and_say(gate):
    gate.wait()
    return "said"


def test_a_cancelled_block_leaves_no_process(run, tmp_path):
    async def main():
        with anyio.CancelScope() as scope:
            async with ProcessPoolExecutor(2) as pool, anyio.create_task_group() as group:
                futures = [pool.submit(begin_and_sleep, str(tmp_path / str(n))) for n in range(9)]
                pids = [await begun(tmp_path / str(n)) for n in range(2)]
                group.start_soon(partial(anyio.sleep, 60))
                scope.cancel()
        assert scope.cancelled_caught
        await soon(lambda: all(future.done() for future in futures))
        await soon(lambda: not any(map(is_alive, pids)))

    run(main)


def test_map_async_over_an_input_with_a_scope_of_its_own(run, executor):
    async def numbers():
        send, receive = anyio.create_memory_object_stream(2)

        async def produce():
            async with send:
                for number in range(1000):
                    await send.send(number)

        async with anyio.create_task_group() as group, receive:
            group.start_soon(produce)
            async for number in receive:
                with anyio.move_on_after(60):
                    yield number
            group.cancel_scope.cancel()

    async def main():
        async with anyio.create_task_group() as group:
            seen = []

            async def read():
                async with executor.map_async(double, numbers()) as results:
                    async for result in results:
                        seen.append(result)
                        if len(seen) == 20:
                            break

            group.start_soon(read)
        assert seen == [2 * number for number in range(20)]
        with anyio.move_on_after(0.02) as scope:
            async for _ in executor.map_async(slowly, iter(int, 1)):
                pass
        assert scope.cancelled_caught
        with pytest.raises(ValueError, match="number 3"):
            async for _ in executor.map_async(partial(fail_at, at=3), range(10)):
                pass

    run(main)


def slowly(number):
    time.sleep(0.002)
    return number


def test_anyios_own_threads_beside_it(run, executor):
    async def main():
        async with anyio.create_task_group() as group:
            both = []

            async def theirs():
                both.append(await anyio.to_thread.run_sync(double, 2))

            async def ours():
                both.append(await executor.submit(double, 2))

            for _ in range(20):
                group.start_soon(theirs)
                group.start_soon(ours)
        assert both == [4] * 40

        def in_their_thread():
            return anyio.from_thread.run(awaits_ours)

        async def awaits_ours():
            return await executor.submit(double, 3)

        assert await anyio.to_thread.run_sync(in_their_thread) == 6

    run(main)


def test_trio_is_refused_clearly():
    pytest.importorskip("trio", reason="trio is not installed here")

    async def main():
        with pytest.raises(RuntimeError, match="asyncio"):
            await Future()
        with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="asyncio"):
            async for _ in pool.map_async(double, [1]):
                pass
        with pytest.raises(RuntimeError, match="asyncio"):
            async with ThreadPoolExecutor(1):
                pass

    anyio.run(main, backend="trio")


def test_a_thread_without_a_loop_is_refused_clearly():
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            future = pool.submit(gate.wait)
            with pytest.raises(RuntimeError, match=r"asyncio only.*result"):
                future.__await__().send(None)
            with pytest.raises(RuntimeError, match=r"asyncio only.*use with"):
                pool.__aenter__().send(None)
        finally:
            gate.set()
