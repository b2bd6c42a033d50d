"""Workers that die, hang or lie with large buffers in their hands: every loan comes back, and no other task notices."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from eventually import eventually

from forkful import ProcessPoolExecutor, TaskTimeout, WorkerDied

COUNT = 100_000
POINTS = ["task.read", "task.begun", "task.ran", "outcome.written", "outcome.committed", "claim.done"]


def made(value: float) -> Any:
    return np.full(COUNT, value)


def added(value: Any, more: float) -> Any:
    value += more
    return value


def total(value: Any) -> float:
    return float(value.sum())


def die_with(value: Any) -> None:
    value[:] = 0
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(value: Any, flag: str) -> float:
    if not os.path.exists(flag):
        with open(flag, "w"):
            value[:] = 0
            os.kill(os.getpid(), signal.SIGKILL)
    return float(value.sum())


def sleep_with(value: Any) -> None:
    time.sleep(60)


def is_quiet(pool: Any) -> bool:
    now = pool.stats().buffers
    return bool((now.segments, now.views, now.held, now.warm) == (0, 0, 0, 0))


def test_a_death_gives_back_what_its_task_had(tmp_path: Any) -> None:
    value = made(1.0)
    with ProcessPoolExecutor(2) as pool:
        for nth in range(5):
            with pytest.raises(WorkerDied):
                pool.submit(die_with, value).result()
            assert pool.submit(total, value).result() == COUNT
            stubborn = pool.with_options(retries=1)
            # The second attempt finds the argument as it was, whatever the first one has written.
            assert stubborn.submit(die_once, value, str(tmp_path / str(nth))).result() == COUNT
        with pytest.raises(TaskTimeout):
            pool.with_options(timeout=0.1).submit(sleep_with, value).result()
        assert eventually(lambda: is_quiet(pool)), pool.stats().buffers


def test_kills_in_the_middle_of_transfers() -> None:
    chance = random.Random(7)
    over = threading.Event()
    deaths = 0
    with ProcessPoolExecutor(2, start_method="fork") as pool:

        def strike() -> None:
            nonlocal deaths
            while not over.wait(chance.uniform(0.005, 0.03)):
                # Three that are killed before their first task break the pool.
                workers = [worker for worker in pool.workers() if worker.tasks]
                if workers:
                    try:
                        os.kill(chance.choice(workers).pid, signal.SIGKILL)
                        deaths += 1
                    except ProcessLookupError:
                        pass

        thread = threading.Thread(target=strike)
        thread.start()
        try:
            stubborn = pool.with_options(retries=1000)
            give_up = time.monotonic() + 8
            nth = 0
            # Some deaths there must be, and as many more as the time allows.
            while deaths < 100 and (deaths <= 10 or time.monotonic() < give_up):
                values = [made(float(nth + place)) for place in range(6)]
                futures = [stubborn.submit(added, value, 1.0) for value in values]
                born = [stubborn.submit(made, float(nth)) for _ in range(4)]
                for place, future in enumerate(futures):
                    assert (future.result() == nth + place + 1).all()
                    assert (values[place] == nth + place).all()
                for future in born:
                    assert (future.result() == nth).all()
                nth += 1
        finally:
            over.set()
            thread.join()
        futures = born = future = None  # type: ignore[assignment]
        assert deaths > 10
        assert eventually(lambda: is_quiet(pool)), pool.stats().buffers


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_a_named_instruction(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKFUL_CRASH_AT", f"{point}:5")
    with ProcessPoolExecutor(2, start_method="fork") as pool:
        stubborn = pool.with_options(retries=1000)
        values = [made(float(place)) for place in range(30)]
        futures = [stubborn.submit(added, value, 1.0) for value in values]
        for place, future in enumerate(futures):
            assert (future.result() == place + 1).all()
        assert pool.stats().deaths > 0
        del futures, future
        monkeypatch.delenv("FORKFUL_CRASH_AT")
        assert eventually(lambda: is_quiet(pool)), pool.stats().buffers


def scribble(value: Any) -> float:
    """Writes as far as a stray pointer in a task might: behind its own argument."""
    import ctypes

    address = value.__array_interface__["data"][0]
    ctypes.memset(address + value.nbytes, 0x55, 4096)
    return float(value.sum())


def test_a_write_behind_one_s_own_argument_costs_no_other_task() -> None:
    with ProcessPoolExecutor(2) as pool:
        values = [made(float(place)) for place in range(8)]
        for _ in range(3):
            futures = [pool.submit(scribble, value) for value in values]
            assert [future.result() for future in futures] == [place * COUNT for place in range(8)]
        assert eventually(lambda: is_quiet(pool)), pool.stats().buffers


def test_memory_limits_do_not_count_what_is_lent() -> None:
    value = np.ones(40_000_000)
    # Not forked: such a worker has what its parent has.
    with ProcessPoolExecutor(1, start_method="zygote", memory_limit=250 << 20, memory_sampling=0.01) as pool:
        for _ in range(3):
            assert pool.submit(slow_total, value).result() == 40_000_000
        assert pool.stats().deaths == 0


def hoard() -> None:
    kept = []
    for _ in range(50):
        kept.append(np.ones(2_000_000))
        time.sleep(0.02)
    # More than it may have; until somebody sees it.
    time.sleep(60)


def test_memory_limits_count_what_a_task_makes() -> None:
    with ProcessPoolExecutor(1, start_method="zygote", memory_limit=250 << 20, memory_sampling=0.01) as pool:
        for _ in range(3):
            pool.submit(made, 1.0).result()
        death = pool.submit(hoard).exception()
        assert isinstance(death, WorkerDied) and "memory_limit" in str(death)


def slow_total(value: Any) -> float:
    found = float(value.sum())
    time.sleep(0.1)
    return found


def test_shutdown_with_large_tasks_under_way() -> None:
    value = np.ones(1_000_000)
    for cancel in (False, True):
        pool = ProcessPoolExecutor(2)
        futures = [pool.submit(total, value) for _ in range(40)]
        pool.shutdown(wait=True, cancel_futures=cancel)
        assert all(future.cancelled() or future.result() == 1_000_000 for future in futures)
        assert cancel or not any(future.cancelled() for future in futures)


def test_many_threads_submit_large_ones() -> None:
    values = [made(float(place)) for place in range(4)]
    with ProcessPoolExecutor(2) as pool:
        failures: list[Any] = []

        def work(place: int) -> None:
            for _ in range(30):
                if pool.submit(total, values[place]).result() != place * COUNT:
                    failures.append(place)
                if not (pool.submit(added, values[place], 2.0).result() == place + 2).all():
                    failures.append(place)

        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert eventually(lambda: is_quiet(pool)), pool.stats().buffers


def test_a_buffer_that_is_no_plain_memory_says_so() -> None:
    class Odd:
        def __reduce_ex__(self, protocol: Any) -> Any:
            import pickle

            return bytes, (pickle.PickleBuffer(np.arange(400_000.0)[::2]),)

    with ProcessPoolExecutor(1) as pool:
        error = pool.submit(total, Odd()).exception()
        assert isinstance(error, Exception) and "contiguous" in str(error)
        assert pool.submit(total, made(1.0)).result() == COUNT
