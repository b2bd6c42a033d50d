"""Memory goes back where it can, and no task waits for memory that nobody gives back."""

from __future__ import annotations

import copyreg
import os
import random
import signal
import time
from typing import Any

import numpy as np
import pytest
from eventually import eventually

from forkful import ProcessPoolExecutor

COUNT = 100_000
BYTES = 8 * COUNT
KEPT: list[Any] = []


def itself(value: Any) -> Any:
    return value


def total(value: Any) -> float:
    return float(value.sum())


def nap(seconds: float) -> None:
    time.sleep(seconds)


def buffers(pool: Any) -> Any:
    return pool.stats().buffers


def is_quiet(pool: Any) -> bool:
    now = buffers(pool)
    return bool((now.segments, now.views, now.held, now.warm) == (0, 0, 0, 0))


def test_a_full_arena_keeps_no_task_from_an_idle_worker() -> None:
    value = np.ones(COUNT)
    with ProcessPoolExecutor(2, arena_limit=2 * BYTES) as pool:
        held = [pool.submit(itself, value).result() for _ in range(6)]
        # It may run for ever, and gives nothing back.
        endless = pool.submit(nap, 600)
        assert eventually(endless.running)
        for _ in range(3):
            assert pool.submit(total, value).result(timeout=30) == COUNT
        waiting = [pool.submit(total, value) for _ in range(4)]
        assert [future.result(timeout=30) for future in waiting] == [COUNT] * 4
        assert len(held) == 6 and not endless.done()
        pool.kill_workers()


def test_a_task_that_waits_for_memory_costs_no_time() -> None:
    value = np.ones(COUNT)
    with ProcessPoolExecutor(1, arena_limit=2 * BYTES) as pool:
        held = [pool.submit(itself, value).result() for _ in range(6)]
        endless = pool.submit(nap, 2)
        waiting = pool.submit(total, value)
        assert eventually(lambda: endless.running() or endless.done())
        before = time.process_time()
        time.sleep(1.5)
        used = time.process_time() - before
        # A background that asks again and again used all of a CPU.
        assert used < 0.5 or endless.done(), used
        assert waiting.result() == COUNT and len(held) == 6


def test_a_view_that_outlives_its_pool_keeps_nothing_else() -> None:
    value = np.ones(20 * COUNT)
    with ProcessPoolExecutor(2) as pool:
        for _ in range(3):
            assert pool.submit(total, value).result() == 20 * COUNT
        views = [pool.submit(itself, np.ones(COUNT)).result() for _ in range(3)]
    assert buffers(pool).warm == 0
    while views:
        assert (views.pop() == 1).all()
        now = buffers(pool)
        assert (now.warm, now.views) == (0, len(views))


def keep() -> None:
    KEPT.clear()
    KEPT.append(np.ones(COUNT))


def forget() -> None:
    KEPT.clear()


def test_what_a_task_forgets_long_after_it_was_made_goes_back() -> None:
    with ProcessPoolExecutor(1) as pool:
        for _ in range(20):
            pool.submit(keep).result()
            if buffers(pool).held:
                break
            time.sleep(0.05)
        # Until nothing is expected any more.
        time.sleep(3)
        pool.submit(forget).result()
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def keep_in_a_thread(value: Any) -> None:
    import threading

    def look() -> None:
        time.sleep(0.5)
        assert value[0] == 1

    threading.Thread(target=look).start()


def test_what_a_thread_lets_go_of_while_its_worker_sleeps_goes_back() -> None:
    with ProcessPoolExecutor(1) as pool:
        pool.submit(keep_in_a_thread, np.ones(COUNT)).result()
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def made(value: float) -> Any:
    return np.full(COUNT, value)


def resized_in_a_child() -> bytes:
    own = np.full(COUNT, 3.0)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            own.resize(2 * COUNT, refcheck=False)
            right = own[COUNT - 1] == 3 and own[COUNT] == 0
            os.write(write, b"right" if right else b"wrong")
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(read, 1000)
    os.close(read)
    os.close(write)
    return said


def test_a_child_of_a_task_may_resize_what_was_born_in_a_segment() -> None:
    with ProcessPoolExecutor(1, start_method="fork") as pool:
        for _ in range(4):
            pool.submit(made, 1.0).result()
        assert [pool.submit(resized_in_a_child).result() for _ in range(3)] == [b"right"] * 3


def test_a_fork_makes_large_results_private_piece_by_piece() -> None:
    with ProcessPoolExecutor(1) as pool:
        result = pool.submit(np.arange, 5_000_000.0).result()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.read(read, 1)
                right = bool((result == np.arange(5_000_000.0)).all())
                os._exit(0 if right else 1)
            finally:
                os._exit(2)
        result += 1
        os.write(write, b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.close(read)
        os.close(write)
        assert (result == np.arange(1, 5_000_001.0)).all()
        del result
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def test_what_a_program_registers_for_its_views_counts() -> None:
    before = copyreg.dispatch_table.get(memoryview)
    copyreg.pickle(memoryview, lambda view: (bytes, (b"as registered",)))
    try:
        with ProcessPoolExecutor(1) as pool:
            assert pool.submit(itself, memoryview(b"other")).result() == b"as registered"
    finally:
        del copyreg.dispatch_table[memoryview]
        if before is not None:
            copyreg.dispatch_table[memoryview] = before


def test_books_of_a_pool_that_breaks_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKFUL_CRASH_AT", "claim.done:1")
    pool = ProcessPoolExecutor(1, start_method="fork", on_crash="break")
    futures = [pool.submit(total, np.ones(COUNT)) for _ in range(4)]
    assert all(isinstance(future.exception(), Exception) for future in futures)
    pool.shutdown()
    assert buffers(pool).segments == 0


def fork_with(value: Any) -> float:
    child = os.fork()
    if child == 0:
        value[:] = -1
        os._exit(0)
    os.waitpid(child, 0)
    return float(value[-1])


def test_what_comes_after_a_fork_is_right_to_its_last_page() -> None:
    assert BYTES % 4096, "the last page is not full"
    with ProcessPoolExecutor(1, start_method="fork") as pool:
        for nth in range(4):
            assert pool.submit(fork_with, np.full(COUNT, float(nth))).result() == nth
            for more in range(3):
                value = np.full(COUNT, 10.0 * nth + more)
                assert pool.submit(total, value).result() == value.sum()
                back = pool.submit(itself, value).result()
                assert (back == value).all()


class Alarm(Exception):
    pass


def ring(*_: Any) -> None:
    raise Alarm


def interrupted(seconds: float, argument: Any) -> Any:
    """A result to be lent, one to be copied, and a signal while that is done."""
    own, held = np.full(COUNT, 2.0), np.full(2 * COUNT, 3.0)
    KEPT[:] = [held]
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return own, held, argument


def calm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    KEPT.clear()


def test_signals_while_a_result_is_sent_lose_nothing() -> None:
    chance = random.Random(3)
    with ProcessPoolExecutor(1) as pool:
        for _ in range(200):
            seconds = chance.choice([1e-5, 1e-4, 3e-4, 1e-3])
            future = pool.submit(interrupted, seconds, np.ones(COUNT))
            error = future.exception()
            assert error is None or isinstance(error, Alarm), error
            if error is None:
                assert [float(one[-1]) for one in future.result()] == [2, 3, 1]
        del future, error
        for _ in range(5):
            pool.submit(calm).exception()
        assert pool.stats().deaths == 0
        assert eventually(lambda: is_quiet(pool)), buffers(pool)
