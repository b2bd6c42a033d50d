"""A forgotten pool is collected, whatever cycle it stands in, and its processes end; but not before its tasks are done."""

from __future__ import annotations

import gc
import os
import signal
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from child import run_clean
from eventually import eventually

from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]


class Holder:
    """Holds a pool, which does not travel with it."""

    pool: ProcessPoolExecutor | None = None
    future: Any = None

    def __reduce__(self) -> Any:
        return Holder, ()

    def __call__(self, *_: object) -> None:
        """As initializer, callback or task."""


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def family(pool: ProcessPoolExecutor, method: str) -> list[int]:
    """The pool's own processes: its worker, and the template; a zygote serves others."""
    assert eventually(pool.workers)
    pids = [worker.pid for worker in pool.workers()]
    return pids + [parent_of(pid) for pid in pids if method == "fork"]


def is_collected(reference: weakref.ref[Any], pids: list[int]) -> bool:
    gc.collect()
    return reference() is None and all(state_of(pid) in ("gone", "Z") for pid in pids)


def from_its_initializer(method: str) -> ProcessPoolExecutor:
    holder = Holder()
    holder.pool = ProcessPoolExecutor(1, start_method=method, initializer=holder)
    holder.pool.submit(pow, 2, 2).result(timeout=60)
    return holder.pool


def from_its_initargs(method: str) -> ProcessPoolExecutor:
    holder = Holder()
    holder.pool = ProcessPoolExecutor(1, start_method=method, initializer=id, initargs=(holder,))
    holder.pool.submit(pow, 2, 2).result(timeout=60)
    return holder.pool


def from_a_task(method: str) -> ProcessPoolExecutor:
    holder = Holder()
    holder.pool = ProcessPoolExecutor(1, start_method=method)
    holder.future = holder.pool.submit(holder)
    assert holder.future.result(timeout=60) is None
    return holder.pool


def from_a_closure(method: str) -> ProcessPoolExecutor:
    holder = Holder()
    holder.pool = ProcessPoolExecutor(1, start_method=method)
    holder.future = holder.pool.submit(lambda: holder is not None)
    assert holder.future.result(timeout=60)
    return holder.pool


def from_a_task_that_can_not_be_sent(method: str) -> ProcessPoolExecutor:
    holder = Holder()
    pool = holder.pool = ProcessPoolExecutor(1, start_method=method)
    holder.future = pool.submit(lambda: pool)
    assert holder.future.exception(timeout=60) is not None
    pool.submit(pow, 2, 2).result(timeout=60)
    return pool


def from_a_callback(method: str) -> ProcessPoolExecutor:
    holder = Holder()
    holder.pool = ProcessPoolExecutor(1, start_method=method)
    holder.future = holder.pool.submit(pow, 2, 2)
    holder.future.add_done_callback(holder)
    assert holder.future.result(timeout=60) == 4
    return holder.pool


def from_a_callback_of_what_runs(method: str) -> ProcessPoolExecutor:
    holder = Holder()
    holder.pool = ProcessPoolExecutor(1, start_method=method)
    holder.future = holder.pool.submit(time.sleep, 0.2)
    holder.future.add_done_callback(holder)
    return holder.pool


WAYS = [
    from_its_initializer,
    from_its_initargs,
    from_a_task,
    from_a_closure,
    from_a_task_that_can_not_be_sent,
    from_a_callback,
    from_a_callback_of_what_runs,
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", WAYS)
def test_a_pool_that_is_reached_from_its_own_things_only(
    way: Callable[[str], ProcessPoolExecutor], method: str
) -> None:
    pool = way(method)
    pids, reference = family(pool, method), weakref.ref(pool)
    gc.collect()
    assert reference() is pool and state_of(pids[0]) not in ("gone", "Z")
    del pool
    assert eventually(lambda: is_collected(reference, pids))


def test_kept_futures_keep_no_pool() -> None:
    pool = from_its_initializer("fork")
    kept = [pool.submit(pow, 2, 3), pool.submit(pow, 0, -1), pool.submit(os._exit, 3)]
    kept[2].exception(timeout=60)
    pool.submit(pow, 2, 2).result(timeout=60)
    pids, reference = family(pool, "fork"), weakref.ref(pool)
    del pool
    assert eventually(lambda: is_collected(reference, pids))
    assert kept[0].result() == 8
    assert isinstance(kept[1].exception(), ZeroDivisionError)
    assert kept[2].exception().exit_code == 3


@pytest.mark.parametrize("method", ["fork", "zygote"])
def test_a_forgotten_pool_finishes_its_tasks_even_if_its_nursery_dies(method: str) -> None:
    pool = ProcessPoolExecutor(1, start_method=method)
    worker = pool.submit(os.getpid).result(timeout=60)
    first = pool.submit(time.sleep, 60)
    assert eventually(first.running)
    rest = [pool.submit(pow, n, 2) for n in range(50)]
    reference = weakref.ref(pool)
    del pool
    # Another thread may have it in its hand for a moment.
    assert eventually(lambda: gc.collect() >= 0 and reference() is None)
    os.kill(parent_of(worker), signal.SIGKILL)
    assert first.exception(timeout=60) is not None
    assert [future.result(timeout=60) for future in rest] == [n * n for n in range(50)]


@pytest.mark.parametrize("end", ["forgotten", "not waited for", "kept"])
def test_the_interpreters_exit_waits_for_the_tasks(run_clean: Any, tmp_path: Path, end: str) -> None:
    run_clean(
        """
        import sys, time
        from pathlib import Path
        from forkful import ProcessPoolExecutor
        def slow():
            time.sleep(0.3)
            Path(sys.argv[1]).touch()
        if __name__ == "__main__":
            pool = ProcessPoolExecutor(1)
            pool.submit(slow)
            if sys.argv[2] == "not waited for":
                pool.shutdown(wait=False)
            if sys.argv[2] != "kept":
                del pool
        """,
        str(tmp_path / "ran"),
        end,
    )
    assert (tmp_path / "ran").exists()


RACE = """
import gc, sys
from forkful import ProcessPoolExecutor

called = 0

def call(future):
    global called
    called += 1

if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        pool.submit(abs, 1).result()
        gc.freeze()
        rounds = int(sys.argv[1])
        for _ in range(rounds):
            futures = [pool.submit(abs, n) for n in range(300)]
            for future in futures:
                for _ in range(8):
                    future.add_done_callback(call)
            while not futures[-1].done():
                gc.collect()
            gc.collect()
    print(called == rounds * 300 * 8)
"""


@pytest.mark.parametrize("rounds", [600, pytest.param(20000, marks=pytest.mark.stress)])
def test_the_collector_looks_at_futures_that_another_thread_finishes(rounds: int) -> None:
    assert run_clean(RACE, str(rounds)).splitlines() == ["True"]
