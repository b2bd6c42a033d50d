"""`async with` an executor: the loop goes on while it ends, and no way out leaves work or workers behind."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from aio_tasks import begin_and_sleep, begin_and_wait, begun, double, is_alive, soon, turns
from conftest import ExecutorKind

from forkful import AutoExecutor, ProcessPoolExecutor, ThreadPoolExecutor


def test_the_block_has_the_executor_and_waits_for_what_was_submitted(run, kind):
    async def main():
        made = kind(2)
        async with made as pool:
            assert pool is made
            assert await asyncio.wrap_future(pool.submit(double, 4)) == 8
            left = [pool.submit(time.sleep, 0.01) for _ in range(6)]
        assert all(future.done() and not future.cancelled() for future in left)
        with pytest.raises(RuntimeError, match="shutdown"):
            pool.submit(double, 1)

    run(main())


def test_the_loop_goes_on_meanwhile(run, kind: ExecutorKind, gate):
    async def main():
        async def opens():
            await turns(5)
            gate.set()

        opener = asyncio.ensure_future(opens())
        async with kind(1) as pool:
            future = pool.submit(gate.wait)
        assert future.result(0) is True
        await opener

    run(main())


def test_an_exception_cancels_what_has_not_begun_and_ends_processes(run, tmp_path):
    async def main():
        with pytest.raises(KeyError):
            async with ProcessPoolExecutor(1) as pool:
                running = pool.submit(begin_and_sleep, str(tmp_path / "begun"))
                waiting = [pool.submit(double, n) for n in range(100)]
                pid = await begun(tmp_path / "begun")
                raise KeyError
        assert not is_alive(pid)
        assert running.done() and not running.cancelled()
        assert all(future.cancelled() for future in waiting)

    run(main())


def test_an_exception_cancels_what_has_not_begun_and_waits_for_threads(run, tmp_path):
    gate = threading.Event()

    async def main():
        async def opens():
            await soon(lambda: all(future.cancelled() for future in waiting))
            gate.set()

        with pytest.raises(KeyError):
            async with ThreadPoolExecutor(1) as pool:
                running = pool.submit(begin_and_wait, str(tmp_path / "begun"), gate)
                waiting = [pool.submit(double, n) for n in range(100)]
                await begun(tmp_path / "begun")
                opener = asyncio.ensure_future(opens())
                raise KeyError
        assert running.result(0) == "opened"
        assert all(future.cancelled() for future in waiting)
        await opener

    run(main())


def test_an_automatic_executor_ends_its_processes_too(run, tmp_path):
    async def main():
        with pytest.raises(KeyError):
            async with AutoExecutor(1) as pool:
                there = pool.with_options(where="processes")
                running = there.submit(begin_and_sleep, str(tmp_path / "begun"))
                waiting = [there.submit(double, n) for n in range(100)]
                pid = await begun(tmp_path / "begun")
                raise KeyError
        assert not is_alive(pid)
        assert running.done() and not running.cancelled()
        assert all(future.cancelled() for future in waiting)

    run(main())


def test_a_cancellation_in_the_block_leaves_no_worker(run, tmp_path):
    pools = []

    async def block():
        async with ProcessPoolExecutor(2) as pool:
            pools.append(pool)
            futures = [pool.submit(begin_and_sleep, str(tmp_path / str(n))) for n in range(9)]
            await asyncio.gather(*futures)

    async def main():
        task = asyncio.ensure_future(block())
        pids = [await begun(tmp_path / str(n)) for n in range(2)]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(map(is_alive, pids))
        assert pools[0].workers() == []

    run(main())


def test_a_cancellation_while_it_waits_leaves_no_worker(run, tmp_path):
    async def block():
        async with ProcessPoolExecutor(1) as pool:
            futures.extend(pool.submit(begin_and_sleep, str(tmp_path / str(n))) for n in range(3))

    async def main():
        task = asyncio.ensure_future(block())
        pid = await begun(tmp_path / "0")
        await turns()
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_alive(pid)
        assert [future.cancelled() for future in futures] == [False, True, True]

    futures = []
    run(main())


def test_a_second_cancellation_does_not_wait_for_threads(run, tmp_path):
    gate, futures = threading.Event(), []

    async def block():
        async with ThreadPoolExecutor(1) as pool:
            futures.append(pool.submit(begin_and_wait, str(tmp_path / "begun"), gate))
            futures.append(pool.submit(double, 1))

    async def main():
        try:
            task = asyncio.ensure_future(block())
            await begun(tmp_path / "begun")
            task.cancel()
            await soon(futures[1].cancelled)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert futures[0].running()
        finally:
            gate.set()
        assert await futures[0] == "opened"

    run(main())


def test_views_refuse_it_as_they_refuse_with(run, executor):
    async def main():
        with pytest.raises(RuntimeError, match="view"):
            async with executor.with_options(name="view"):
                pass

    run(main())


@pytest.mark.parametrize("make", [ThreadPoolExecutor, AutoExecutor])
def test_a_thread_of_the_pool_itself_is_refused_and_does_not_hang(make):
    pool = make(1)

    async def main():
        async with pool:
            pass

    with pytest.raises(RuntimeError, match="current thread"):
        pool.submit(asyncio.run, main()).result()
    pool.shutdown()


def test_a_failing_shutdown_is_told(run):
    class Failing(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait, cancel_futures=cancel_futures)
            raise OSError("told")

    async def main():
        with pytest.raises(OSError, match="told"):
            async with Failing(1):
                pass

    run(main())


def test_where_there_can_be_no_thread_it_still_ends(run, monkeypatch):
    async def main():
        async with ThreadPoolExecutor(1) as pool:
            future = pool.submit(double, 3)
            assert await future == 6
            monkeypatch.setattr(threading.Thread, "start", refuse)
        monkeypatch.undo()
        with pytest.raises(RuntimeError, match="shutdown"):
            pool.submit(double, 1)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    run(main())


def test_a_forked_child_is_told_instead_of_waiting(run_clean, tmp_path):
    text = """
        import asyncio, os, sys, time, warnings
        from concurrent.futures import BrokenExecutor
        from forkful import Future, ProcessPoolExecutor, ThreadPoolExecutor

        warnings.simplefilter("ignore")  # of forks beside threads

        def until(path):
            while not os.path.exists(path):
                time.sleep(0.001)

        async def child(pool, future):
            try:
                await future
            except BrokenExecutor:
                print("told", flush=True)
            try:
                async with pool:
                    async for _ in pool.map_async(abs, [1]):
                        pass
            except BrokenExecutor:
                print("told", flush=True)
            own = Future()
            asyncio.get_running_loop().call_soon(own.set_result, "own")
            print(await own, flush=True)

        for cls in (ThreadPoolExecutor, ProcessPoolExecutor):
            with cls(1) as pool:
                path = os.path.join(sys.argv[1], cls.__name__)
                future = pool.submit(until, path)
                pid = os.fork()
                if not pid:
                    asyncio.run(child(pool, future))
                    os._exit(0)
                os.waitpid(pid, 0)
                open(path, "w").close()
    """
    assert run_clean(text, str(tmp_path)).split() == ["told", "told", "own"] * 2
