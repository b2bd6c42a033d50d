"""Who has a segment, and until when: the arena's own books say."""

from __future__ import annotations

import gc
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eventually import eventually

from forkful import ProcessPoolExecutor
from forkful.futures._base import wait

COUNT = 100_000
BYTES = 8 * COUNT
KEPT: list[Any] = []


def made(value: float = 1.0) -> Any:
    return np.full(COUNT, value)


def total(value: Any) -> float:
    return float(value.sum())


def kept(value: float = 1.0) -> Any:
    KEPT[:] = [np.full(COUNT, value)]
    return KEPT[0]


def keep_argument(value: Any) -> float:
    KEPT[:] = [value]
    return float(value[0])


def look_at_kept() -> float:
    return float(KEPT[0].sum())


def write_to_kept(value: float) -> None:
    KEPT[0][:] = value


def forget() -> None:
    KEPT.clear()


def added(value: Any) -> Any:
    value += 1
    return value


def itself(value: Any) -> Any:
    return value


def wait_for(gate: Path) -> int:
    while not gate.exists():
        time.sleep(0.001)
    return os.getpid()


def buffers(pool: Any) -> Any:
    return pool.stats().buffers


def is_quiet(pool: Any) -> bool:
    """Nothing is lent, and the memory has gone back."""
    now = buffers(pool)
    return bool((now.segments, now.views, now.held, now.warm) == (0, 0, 0, 0))


def test_nothing_is_lost_and_memory_goes_back() -> None:
    with ProcessPoolExecutor(2) as pool:
        value = made()
        for _ in range(5):
            assert [pool.submit(total, value).result() for _ in range(10)] == [COUNT] * 10
            assert all((result == 1).all() for result in [pool.submit(made).result() for _ in range(10)])
            assert all(future.result()[0] == 2 for future in [pool.submit(added, value) for _ in range(10)])
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def test_a_result_that_a_task_makes_is_not_copied() -> None:
    with ProcessPoolExecutor(1) as pool:
        for _ in range(3):
            pool.submit(made).result()
        before = buffers(pool)
        for _ in range(10):
            assert (pool.submit(made, 3.0).result() == 3).all()
        after = buffers(pool)
        assert (after.lent - before.lent, after.copied - before.copied) == (10, 0)


def test_an_argument_that_comes_back_is_copied_once() -> None:
    with ProcessPoolExecutor(1) as pool:
        value = made()
        for back in (added, itself):
            before = buffers(pool)
            for _ in range(5):
                pool.submit(back, value).result()
            after = buffers(pool)
            assert (after.lent - before.lent, after.copied - before.copied) == (5, 5)


def test_arrays_are_not_born_in_segments_where_that_is_switched_off() -> None:
    with ProcessPoolExecutor(1, born_shared=False) as pool:
        for _ in range(5):
            assert (pool.submit(made).result() == 1).all()
        assert buffers(pool).lent == 0
    with ProcessPoolExecutor(1, arena_limit=0) as pool:
        value = made()
        assert pool.submit(total, value).result() == COUNT
        assert (pool.submit(itself, value).result() == 1).all()
        now = buffers(pool)
        assert (now.lent, now.copied) == (0, 0) and now.in_band == 3


def test_with_room_enough_nothing_takes_the_slower_way() -> None:
    chance = random.Random(3)
    with ProcessPoolExecutor(2) as pool:
        for _ in range(30):
            sizes = [chance.randrange(9_000, 120_000) for _ in range(6)]
            futures = [pool.submit(added, np.full(size, 1.0)) for size in sizes]
            futures += [pool.submit(of_size, size) for size in sizes]
            assert [len(future.result()) for future in futures] == sizes * 2
        assert buffers(pool).in_band == 0


def of_size(size: int) -> Any:
    return np.full(size, 1.0) * 2


def test_what_a_task_keeps_is_its_own() -> None:
    with ProcessPoolExecutor(1) as pool:
        for _ in range(3):
            result = pool.submit(kept, 4.0).result()
        pool.submit(write_to_kept, 9.0).result()
        assert (result == 4).all()
        result[:] = 5
        assert pool.submit(look_at_kept).result() == 9 * COUNT
        assert pool.submit(keep_argument, made(6.0)).result() == 6
        for _ in range(20):
            assert pool.submit(total, made(7.0)).result() == 7 * COUNT
        assert pool.submit(look_at_kept).result() == 6 * COUNT
        del result
        pool.submit(forget).result()
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def in_a_cycle() -> Any:
    value = made(2.0)
    ring: list[Any] = [value]
    ring.append(ring)
    return value


def in_a_thread() -> Any:
    import threading

    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(made(2.0)))
    thread.start()
    thread.join()
    return found.pop()


def resized(up: bool) -> Any:
    value = np.full(COUNT, 2.0)
    value.resize(COUNT * 2 if up else COUNT // 2 + 10, refcheck=False)
    value[:] = 2
    return value


def grown() -> Any:
    return np.fromiter((2.0 for _ in range(COUNT)), dtype=np.float64)


def part_of_large() -> Any:
    return np.full(COUNT * 20, 2.0)[:COUNT]


def overlapping() -> Any:
    value = np.full(COUNT, 2.0)
    return value[:-5], value[5:]


def halves() -> Any:
    value = np.full(COUNT, 2.0)
    return value[: COUNT // 2], value[COUNT // 2 :]


def twice() -> Any:
    value = np.full(COUNT, 2.0)
    return value, value


def read_only() -> Any:
    value = np.full(COUNT, 2.0)
    value.flags.writeable = False
    return value


def zeros_plus_two() -> Any:
    # A recycled segment is full of what was there before.
    value = np.zeros(COUNT)
    assert not value.any()
    return value + 2


def from_bytes() -> Any:
    return np.frombuffer(np.full(COUNT, 2.0).tobytes())


SHAPES = [
    in_a_cycle,
    in_a_thread,
    grown,
    part_of_large,
    overlapping,
    halves,
    twice,
    read_only,
    zeros_plus_two,
    from_bytes,
]


@pytest.mark.parametrize("make", SHAPES)
def test_whatever_holds_it_the_values_are_right_and_nothing_is_lost(make: Any) -> None:
    with ProcessPoolExecutor(1) as pool:
        results = [pool.submit(make).result() for _ in range(6)]
        for result in results:
            for one in result if isinstance(result, tuple) else [result]:
                assert (one == 2).all()
                assert one.flags.writeable == (make not in (read_only, from_bytes))
        if make is overlapping:
            one, two = results[0]
            one[:] = 9
            assert (two == 2).all()
        if make is twice:
            assert results[0][0] is results[0][1]
        one = two = result = None
        results.clear()
        pool.submit(gc.collect).result()
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


@pytest.mark.parametrize("up", [False, True])
def test_arrays_that_are_resized(up: bool) -> None:
    with ProcessPoolExecutor(1) as pool:
        for _ in range(5):
            result = pool.submit(resized, up).result()
            assert (result == 2).all() and len(result) == (COUNT * 2 if up else COUNT // 2 + 10)


def test_results_outlive_their_pool_and_their_worker() -> None:
    with ProcessPoolExecutor(1, max_tasks_per_child=2, start_method="fork") as pool:
        results = [pool.submit(made, float(nth)).result() for nth in range(12)]
        assert all((result == nth).all() for nth, result in enumerate(results))
    pool = None  # type: ignore[assignment]
    gc.collect()
    for nth, result in enumerate(results):
        assert (result == nth).all()
        result += 1
        assert (result == nth + 1).all()


def test_results_nobody_reads_are_given_back() -> None:
    with ProcessPoolExecutor(2) as pool:
        futures = [pool.submit(made) for _ in range(50)]
        wait(futures)
        assert buffers(pool).views > 0
        del futures
        gc.collect()
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def test_waiting_tasks_take_no_segments(tmp_path: Path) -> None:
    value, gate = np.ones(1_000_000), tmp_path / "gate"
    with ProcessPoolExecutor(2) as pool:
        blocked = [pool.submit(wait_for, gate) for _ in range(2)]
        try:
            # Each has a worker, however long the second one takes to be born.
            assert eventually(lambda: all(future.running() for future in blocked))
            futures = [pool.submit(total, value) for _ in range(1000)]
            assert buffers(pool).segments <= 4
            assert all(future.cancel() for future in futures[100:])
        finally:
            gate.touch()
        assert [future.result() for future in futures[:100]] == [1_000_000] * 100
        assert len({future.result() for future in blocked}) == 2
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def test_cancelled_tasks_give_back_what_they_had(tmp_path: Path) -> None:
    value = made()
    with ProcessPoolExecutor(1) as pool:
        for nth in range(5):
            gate = tmp_path / str(nth)
            blocker = pool.submit(wait_for, gate)
            futures = [pool.submit(total, value) for _ in range(20)]
            cancelled = [future.cancel() for future in futures]
            gate.touch()
            assert all(future.cancelled() or future.result() == COUNT for future in futures)
            assert any(cancelled)
            blocker.result()
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def test_an_arena_that_is_full_has_another_way() -> None:
    value = made(2.0)
    with ProcessPoolExecutor(2, arena_limit=2 * BYTES) as pool:
        results = [pool.submit(itself, value).result() for _ in range(12)]
        results += [pool.submit(made, 2.0).result() for _ in range(12)]
        assert all((result == 2).all() for result in results)
        now = buffers(pool)
        assert now.in_band > 0 and now.held <= 2 * 1.2 * BYTES
        results.clear()
        before = buffers(pool).in_band
        assert eventually(lambda: buffers(pool).views == 0)
        for _ in range(5):
            pool.submit(total, value).result()
        assert buffers(pool).in_band == before
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


# --- forks ---


def forking(value: Any) -> tuple[float, float]:
    """A child of this task writes to what the task has; the task must not see it, nor anybody else."""
    own = made(3.0)
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        value[:] = 100
        own[:] = 100
        fresh = [made(50.0) for _ in range(4)]
        os.write(go, b"x")
        os._exit(0 if all((one == 50).all() for one in fresh) else 1)
    os.read(ready, 1)
    _, status = os.waitpid(child, 0)
    os.close(ready)
    os.close(go)
    assert status == 0
    return float(value.sum()), float(own.sum())


def fork_and_return(value: Any) -> Any:
    child = os.fork()
    if child == 0:
        value[:] = 100
        os._exit(0)
    os.waitpid(child, 0)
    value += 1
    return value


@pytest.mark.parametrize("method", ["fork", "zygote"])
def test_a_task_that_forks(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        for _ in range(4):
            pool.submit(made).result()
            assert pool.submit(forking, made()).result() == (COUNT, 3 * COUNT)
            assert (pool.submit(fork_and_return, made()).result() == 2).all()
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def test_a_child_of_the_parent_has_its_own_and_returns_nothing() -> None:
    with ProcessPoolExecutor(1) as pool:
        for _ in range(3):
            result = pool.submit(made, 4.0).result()
        go_read, go_write = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.read(go_read, 1)
                right = bool((result == 4).all())
                result[:] = 8
                right = right and bool((result == 8).all())
                del result
                gc.collect()
                code = 0 if right else 2
            finally:
                os._exit(code)
        result[:] = 5
        assert (result == 5).all()
        del result
        # What was the segment is lent again and again.
        for _ in range(10):
            assert (pool.submit(made, 6.0).result() == 6).all()
        os.write(go_write, b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.close(go_read)
        os.close(go_write)
        assert eventually(lambda: is_quiet(pool)), buffers(pool)


def test_a_second_pool_forks_while_results_are_held() -> None:
    with ProcessPoolExecutor(1, start_method="fork") as first:
        results = [first.submit(made, float(nth)).result() for nth in range(4)]
        with ProcessPoolExecutor(1, start_method="fork") as second:
            sums = [second.submit(total, result).result() for result in results]
            assert sums == [nth * COUNT for nth in range(4)]
        for result in results:
            result += 1
        assert [total(result) for result in results] == [(nth + 1) * COUNT for nth in range(4)]
        results.clear()
        del result
        assert eventually(lambda: is_quiet(first)), buffers(first)
