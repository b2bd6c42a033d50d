"""Memory goes back where it can, and no task waits for memory that nobody gives back."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
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
        assert eventually(endless.running)
        before = time.process_time()
        time.sleep(1.5)
        used = time.process_time() - before
        # A background that asks again and again used all of a CPU.
        assert used < 0.5 or endless.done(), used
        assert waiting.result() == COUNT and len(held) == 6


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
