"""Callbacks of futures and the end of their pool: whoever waits for the one has waited for the others."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from gates import behind

from forkful import ProcessPoolExecutor, WorkerDied

METHODS = ["fork", "zygote", "spawn"]


def square(x: int) -> int:
    return x * x


def fail(path: str) -> None:
    with open(path, "a") as file:
        file.write("x")
    raise ValueError(path)


def log(count: int) -> None:
    for n in range(count):
        logging.getLogger("worker.log").warning("line %d", n)


@pytest.mark.parametrize("method", METHODS)
def test_shutdown_waits_for_callbacks(method: str) -> None:
    done: list[int] = []

    def slow(future: Future[int]) -> None:
        time.sleep(0.05)
        done.append(future.result())

    with ProcessPoolExecutor(2, start_method=method) as pool:
        for n in range(5):
            pool.submit(square, n).add_done_callback(slow)
    assert sorted(done) == [0, 1, 4, 9, 16]


def test_shutdown_waits_for_callbacks_of_watched_and_cancelled_futures() -> None:
    done: list[bool] = []

    def slow(future: Future[None]) -> None:
        time.sleep(0.05)
        done.append(future.cancelled())

    pool = ProcessPoolExecutor(1)
    futures = [pool.submit(time.sleep, 0.1) for _ in range(4000)][-3:]
    for future in futures:
        assert future._condition is not None
        future.add_done_callback(slow)
    pool.shutdown(cancel_futures=True)
    assert done == [True] * 3


def test_shutdown_may_be_called_by_a_callback() -> None:
    ended = threading.Event()
    pool, other = ProcessPoolExecutor(1), ProcessPoolExecutor(1)
    other.submit(square, 1).result(timeout=60)

    def end(_: Any) -> None:
        pool.shutdown(wait=True)
        other.shutdown(wait=True)
        ended.set()

    pool.submit(square, 2).add_done_callback(end)
    assert ended.wait(60)
    pool.shutdown()


def test_a_callback_may_submit(caplog: pytest.LogCaptureFixture) -> None:
    more: list[Future[int]] = []
    with ProcessPoolExecutor(1) as pool, ProcessPoolExecutor(1) as other:

        def submit(future: Future[int]) -> None:
            more.append(other.submit(square, future.result()))
            if future.result() < 1000:
                more.append(pool.submit(square, future.result()))
                more[-1].add_done_callback(submit)

        first = pool.submit(square, 2)
        first.add_done_callback(submit)
        # The last one of the chain is submitted by a callback, which an early end would refuse.
        while len(more) < 7:
            time.sleep(0.001)
    assert [future.result() for future in more] == [16, 16, 256, 256, 65536, 65536, 2**32]
    assert not caplog.records


def test_a_callback_that_raises_delays_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with ProcessPoolExecutor(1) as pool:
        pool.submit(square, 2).add_done_callback(lambda future: 1 / 0)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


def test_a_wait_for_callbacks_can_be_interrupted_by_its_deadline(tmp_path: Path) -> None:
    pool, gate = ProcessPoolExecutor(1), threading.Event()
    # A callback of what is done already would be called here.
    pool.submit(behind, tmp_path / "gate", square, 2).add_done_callback(lambda _: gate.wait(60))
    (tmp_path / "gate").touch()
    pool.shutdown(wait=False)
    assert not pool._crew.join(0.3)
    gate.set()
    assert pool._crew.join(60)


def test_shutdown_waits_for_the_workers_last_words(caplog: pytest.LogCaptureFixture) -> None:
    with ProcessPoolExecutor(1, relay_logs=True) as pool:
        pool.submit(log, 50)
    assert [record.getMessage() for record in caplog.records] == [f"line {n}" for n in range(50)]


@pytest.mark.parametrize("times", range(20))
def test_shutdown_waits_for_all_attempts(times: int, tmp_path: Path) -> None:
    path = str(tmp_path / "attempts")
    with ProcessPoolExecutor(1) as pool:
        future = pool.with_options(retries=3, retry_on=ValueError).submit(fail, path)
    assert future.done() and isinstance(future.exception(), ValueError)
    assert Path(path).read_text() == "xxxx"


def test_a_held_task_that_is_cancelled_lets_the_pool_end() -> None:
    with ProcessPoolExecutor(1) as pool:
        patient = pool.with_options(retries=3, retry_on=ValueError)
        futures = [patient.submit(time.sleep, 0.01) for _ in range(50)]
        pool.shutdown(wait=False)
        for future in futures:
            future.cancel()
    assert all(future.done() for future in futures)


def test_asyncio_is_told_before_the_pool_ends() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(2) as pool:
            asked = [loop.run_in_executor(pool, square, n) for n in range(20)]
        return await asyncio.gather(*asked)

    assert asyncio.run(main()) == [n * n for n in range(20)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("forgotten", [False, True])
def test_interpreter_exit_waits_for_tasks_and_callbacks(run_clean: Any, method: str, forgotten: bool) -> None:
    text = """
        import sys, time
        from forkful import ProcessPoolExecutor
        def work():
            time.sleep(0.3)
            print("worked", flush=True)
        def last(future):
            time.sleep(0.3)
            print("called", flush=True)
        if __name__ == "__main__":
            pool = ProcessPoolExecutor(1, start_method=sys.argv[1])
            pool.submit(work).add_done_callback(last)
            if sys.argv[2] == "True":
                del pool
    """
    assert run_clean(text, method, str(forgotten)) == "worked\ncalled\n"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["recycle", "retry", "die", "watch"])
def test_a_callback_may_wait_for_another_pool(method: str, way: str) -> None:
    options: dict[str, Any] = {"max_tasks_per_child": 1} if way == "recycle" else {}
    done, got = threading.Event(), []

    def wait(_: Any) -> None:
        for _ in range(3):
            try:
                if way == "retry":
                    got.append(other.with_options(retries=1, retry_on=ValueError).submit(int, "x").result())
                elif way == "watch":
                    future = other.submit(square, 3)
                    got.append(future._condition is not None and future.result())
                else:
                    got.append(other.submit(*((os._exit, 3) if way == "die" else (square, 3))).result())
            except (ValueError, WorkerDied) as error:
                got.append(type(error).__name__)
        done.set()

    pool, other = ProcessPoolExecutor(1, start_method=method), ProcessPoolExecutor(1, start_method=method, **options)
    with pool, other:
        other.submit(square, 1).result()
        pool.submit(square, 2).add_done_callback(wait)
        assert done.wait(60)
    assert got == [{"retry": "ValueError", "die": "WorkerDied"}.get(way, 9)] * 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", ["recycle", "die"])
def test_a_callback_may_wait_for_room_in_its_own_pool(method: str, way: str) -> None:
    done = threading.Event()
    options: dict[str, Any] = {"max_tasks_per_child": 1} if way == "recycle" else {}
    more: list[Future[Any]] = []

    def submit(_: Any) -> None:
        for n in range(5):
            more.append(pool.submit(*((os._exit, 3) if way == "die" and n == 1 else (square, n))))
        done.set()

    with ProcessPoolExecutor(1, start_method=method, max_pending=1, **options) as pool:
        pool.submit(square, 2).add_done_callback(submit)
        assert done.wait(60)
    assert [future.exception() is None for future in more] == [True, way != "die", True, True, True]


def test_a_callback_that_blocks_holds_up_no_other_pool(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    gate, order = threading.Event(), []
    with ProcessPoolExecutor(1) as pool, ProcessPoolExecutor(1, max_tasks_per_child=2, relay_logs=True) as other:
        first = pool.submit(behind, tmp_path / "gate", square, 2)
        first.add_done_callback(lambda _: (gate.wait(60), order.append("late")))
        (tmp_path / "gate").touch()
        for n in range(6):
            other.submit(square, n).add_done_callback(lambda _: order.append("soon"))
        other.submit(log, 1).add_done_callback(lambda _: gate.set())
    assert order == ["soon"] * 6 + ["late"]
    assert [record.getMessage() for record in caplog.records] == ["line 0"]


def test_callbacks_of_a_pool_run_one_after_the_other() -> None:
    inside, most, threads = [0], [0], set()

    def call(_: Any) -> None:
        threads.add(threading.current_thread().name)
        if threading.current_thread() is threading.main_thread():
            return  # the future was done when this was added
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.0005)
        inside[0] -= 1

    with ProcessPoolExecutor(2) as pool:
        for n in range(200):
            pool.submit(square, n).add_done_callback(call)
        time.sleep(0.15)  # its thread may have left meanwhile
        for n in range(200):
            pool.submit(square, n).add_done_callback(call)
    assert most == [1]
    assert threads - {"MainThread"} == {"forkful-callbacks"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("forkful")]


def waits() -> int:
    """How often this thread has gone to sleep."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def test_reading_in_a_callback_waits_for_no_callback(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as pool:
        assert eventually(pool.submit(behind, tmp_path / "gate", square, 1).running)
        futures = [pool.submit(square, n) for n in range(200)]
        read: list[bool] = []
        for future in futures:
            future.add_done_callback(lambda future: read.append(future.cancelled() or future.result() >= 0))
        before = waits()
        assert sum(future.cancel() for future in futures) > 150
        # Each of them would have slept.
        assert waits() - before < 100
        (tmp_path / "gate").touch()
    assert read == [True] * 200


def test_who_takes_a_result_finds_its_callbacks_called() -> None:
    def is_called_first() -> bool:
        called: list[bool] = []
        gate = pool.submit(time.sleep, 0.01)
        gate.add_done_callback(lambda _: (time.sleep(0.03), called.append(True)))
        gate.result()
        return called == [True]

    with ProcessPoolExecutor(1) as pool:
        # Only so long as they don't take too long, which on a busy machine a few of them may.
        assert any(is_called_first() for _ in range(20))


def test_who_takes_a_result_waits_for_no_callback_that_waits_for_him(tmp_path: Path) -> None:
    gate = threading.Event()
    with ProcessPoolExecutor(1) as pool:
        # A callback of what is done already would be called here.
        futures = [pool.submit(behind, tmp_path / "gate", square, n) for n in range(3)]
        futures[0].add_done_callback(lambda _: gate.wait(60))
        (tmp_path / "gate").touch()
        assert [future.result() for future in futures] == [0, 1, 4]
        assert not gate.is_set()
        gate.set()


def test_callbacks_that_wait_for_the_waiter_cost_him_little(tmp_path: Path) -> None:
    lock, called = threading.Lock(), []

    def call(_: Any) -> None:
        with lock:
            called.append(True)

    with ProcessPoolExecutor(1) as pool:
        before = waits()
        for n in range(40):
            with lock:
                future = pool.submit(behind, tmp_path / f"gate{n}", square, n)
                future.add_done_callback(call)
                (tmp_path / f"gate{n}").touch()
                assert future.result() == n * n
            while len(called) <= n:
                time.sleep(0.01)
        # It looks every 0.1 ms, for 100 ms: once, and not for each of them.
        assert waits() - before < 15_000


def test_an_inherited_future_owes_nobody_a_call(tmp_path: Path) -> None:
    gate = threading.Event()
    with ProcessPoolExecutor(1) as pool:
        # A callback of what is done already would be called here.
        future = pool.submit(behind, tmp_path / "gate", square, 3)
        future.add_done_callback(lambda _: gate.wait(60))
        (tmp_path / "gate").touch()
        assert future.result() == 9
        pid = os.fork()
        if pid == 0:
            before = waits()
            right = all(future.result() == 9 for _ in range(200))
            # 200 times, if it waited each time.
            os._exit(0 if right and waits() - before < 100 else 1)
        status = os.waitpid(pid, 0)[1]
        gate.set()
    assert status == 0


CHILD = """
import os, sys, threading
from forkful import ProcessPoolExecutor

def call(n, future):
    os.write(1, f"{n} {os.getpid() == parent}\\n".encode())
    if n == 0:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)

if __name__ == "__main__":
    parent = os.getpid()
    with ProcessPoolExecutor(1) as pool:
        gate = pool.submit(__import__("time").sleep, 0.3)
        for n in range(4):
            gate.add_done_callback(lambda future, n=n: call(n, future))
        for n in range(4, 8):
            pool.submit(abs, 1).add_done_callback(lambda future, n=n: call(n, future))
"""


def test_a_callback_that_forks_leaves_the_other_calls_to_the_parent(run_script: Any) -> None:
    done = run_script(CHILD, warnings="ignore")
    assert sorted(done.stdout.splitlines()) == [f"{n} True" for n in range(8)], done


INTERRUPTED = """
import atexit, os, signal, sys, threading, time
from forkful import ProcessPoolExecutor

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1)
    atexit.register(lambda: (pool.shutdown(), os.write(1, b"ended\\n")))
    begun = threading.Event()
    pool.submit(abs, 1).add_done_callback(lambda _: (begun.set(), time.sleep(3)))
    begun.wait()
    def interrupt():
        for _ in range(2):
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    time.sleep(60)
"""


def test_a_shutdown_after_an_interrupted_exit_ends(run_script: Any) -> None:
    assert "ended" in run_script(INTERRUPTED, warnings="ignore").stdout


def test_without_a_thread_for_them_callbacks_are_called_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "forkful-callbacks":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    told: list[str] = []
    with ProcessPoolExecutor(1) as pool:
        other = ProcessPoolExecutor(1)
        other.submit(square, 1).result()

        def end_the_other(_: Any) -> None:
            future = other.submit(square, 2)
            future.add_done_callback(lambda _: told.append("other"))
            while not future.done():
                time.sleep(0.001)
            # Whoever would have to be waited for is this very thread.
            other.shutdown()
            told.append("ended")

        pool.submit(square, 2).add_done_callback(end_the_other)
    other.shutdown()
    assert sorted(told) == ["ended", "other"]
