"""A cancelled coroutine and the task that it awaits: withdrawn, stopped with its process, or left to its thread."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import pytest
from aio_tasks import begin_and_sleep, begin_and_wait, begun, double, is_alive, soon, turns

from forkful import Future, ProcessPoolExecutor, TaskKilled, ThreadPoolExecutor


@pytest.fixture
def processes():
    with ProcessPoolExecutor(2) as pool:
        yield pool


def test_a_task_in_a_process_is_stopped_before_the_cancellation_arrives(run, processes, tmp_path):
    async def main():
        future = processes.submit(begin_and_sleep, str(tmp_path / "begun"))
        task = asyncio.ensure_future(future)
        pid = await begun(tmp_path / "begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_alive(pid)
        assert type(future.exception()) is TaskKilled
        assert await processes.submit(double, 4) == 8

    run(main())


def test_a_task_in_a_thread_goes_on(run, tmp_path):
    gate = threading.Event()

    async def main():
        with ThreadPoolExecutor(1) as pool:
            try:
                future = pool.submit(begin_and_wait, str(tmp_path / "begun"), gate)
                task = asyncio.ensure_future(future)
                await begun(tmp_path / "begun")
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert future.running()
            finally:
                gate.set()
            assert await future == "opened"

    run(main())


def test_a_task_that_has_not_begun_is_cancelled(run, blocked):
    async def main():
        future = blocked.submit(double, 1)
        task = asyncio.ensure_future(future)
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()

    run(main())


def test_wait_for_stops_the_task(run, processes, tmp_path):
    async def main():
        future = processes.submit(begin_and_sleep, str(tmp_path / "begun"))
        pid = await begun(tmp_path / "begun")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(future, 0.01)
        assert not is_alive(pid)

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="new in 3.11")
def test_a_timeout_stops_the_task(run, processes, tmp_path):
    async def main():
        future = processes.submit(begin_and_sleep, str(tmp_path / "begun"))
        pid = await begun(tmp_path / "begun")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await future
        assert not is_alive(pid)
        assert asyncio.current_task().cancelling() == 0

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="new in 3.11")
def test_a_failing_sibling_in_a_task_group_stops_the_task(run, processes, tmp_path):
    async def sleeper():
        await processes.submit(begin_and_sleep, str(tmp_path / "begun"))

    async def failing():
        await processes.submit(int, "no number")

    async def main():
        with pytest.raises(BaseExceptionGroup) as caught:  # noqa: F821
            async with asyncio.TaskGroup() as group:
                group.create_task(sleeper())
                pid = await begun(tmp_path / "begun")
                group.create_task(failing())
        assert [type(error) for error in caught.value.exceptions] == [ValueError]
        assert not is_alive(pid)

    run(main())


def test_a_cancelled_gather_stops_all(run, processes, tmp_path):
    async def main():
        paths = [tmp_path / "one", tmp_path / "two"]
        futures = [processes.submit(begin_and_sleep, str(path)) for path in paths]
        futures += [processes.submit(double, 1) for _ in range(20)]
        task = asyncio.gather(*futures)
        pids = [await begun(path) for path in paths]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon(lambda: all(future.done() for future in futures))
        assert not any(map(is_alive, pids))

    run(main())


def test_shield_protects_the_running_task(run, executor, gate, tmp_path):
    async def main():
        future = executor.submit(begin_and_wait, str(tmp_path / "begun"), gate)
        task = asyncio.ensure_future(asyncio.shield(future))
        await begun(tmp_path / "begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        assert await future == "opened"

    run(main())


def test_another_one_who_awaits_the_stopped_task_is_told(run, processes, tmp_path):
    async def main():
        future = processes.submit(begin_and_sleep, str(tmp_path / "begun"))
        one, other = asyncio.ensure_future(future), asyncio.ensure_future(future)
        await begun(tmp_path / "begun")
        one.cancel()
        with pytest.raises(TaskKilled, match="kill"):
            await other
        assert await asyncio.gather(one, return_exceptions=True)
        assert one.cancelled()

    run(main())


def test_a_stopped_task_is_not_tried_again(run, processes, tmp_path):
    async def main():
        future = processes.with_options(retries=5).submit(begin_and_sleep, str(tmp_path / "begun"))
        await begun(tmp_path / "begun")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(future, 0.01)
        assert type(future.exception()) is TaskKilled

    run(main())


def test_a_task_on_its_way_to_a_worker_is_caught_too(run, processes):
    async def main():
        await processes.submit(double, 1)
        for number in range(20):
            future = processes.submit(time.sleep, 60)
            task = asyncio.ensure_future(future)
            await turns(1 + number % 5)
            if number % 4 == 3:
                time.sleep(0.0001 * number)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() and future.done()
        assert await processes.submit(double, 2) == 4

    run(main())


def test_a_second_cancellation_does_not_wait_for_the_end(run, processes, tmp_path, monkeypatch):
    from forkful.futures import _awaiting

    held, kill = threading.Event(), _awaiting._kill

    def later(future):
        held.wait()
        kill(future)

    monkeypatch.setattr(_awaiting, "_kill", later)

    async def main():
        future = processes.submit(begin_and_sleep, str(tmp_path / "begun"))
        task = asyncio.ensure_future(future)
        await begun(tmp_path / "begun")
        task.cancel()
        await turns()
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.running()
        held.set()
        await soon(future.done)

    run(main())


def test_who_waits_for_the_end_does_so_for_a_while_only(run, processes, tmp_path, monkeypatch):
    from forkful.futures import _awaiting

    monkeypatch.setattr(_awaiting, "_kill", lambda future: None)
    monkeypatch.setattr(_awaiting, "PATIENCE", 0.01)

    async def main():
        future = processes.submit(begin_and_sleep, str(tmp_path / "begun"))
        await begun(tmp_path / "begun")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(future, 0.01)
        assert future.running() and future.kill()

    run(main())


async def some(count):
    for number in range(count):
        yield number


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in 3.12")
def test_eager_tasks(run, processes, tmp_path):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        assert await asyncio.gather(*[processes.submit(double, n) for n in range(5)]) == [0, 2, 4, 6, 8]
        for numbers in (range(5), some(5)):
            assert [result async for result in processes.map_async(double, numbers)] == [0, 2, 4, 6, 8]
        future = processes.submit(begin_and_sleep, str(tmp_path / "begun"))
        task = asyncio.ensure_future(future)
        pid = await begun(tmp_path / "begun")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_alive(pid)

    run(main())


def test_a_future_of_nobodys_is_left_alone_by_a_cancellation(run):
    async def main():
        future = Future()
        future.set_running_or_notify_cancel()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(future, 0.01)
        future.set_result(3)
        assert await future == 3

    run(main())


def test_a_loop_that_ends_stops_what_its_tasks_await(processes, tmp_path):
    pids = []

    async def main():
        task = asyncio.ensure_future(processes.submit(begin_and_sleep, str(tmp_path / "begun")))
        pids.append(await begun(tmp_path / "begun"))
        return task

    task = asyncio.run(main())
    assert task.cancelled() and not is_alive(pids[0])
