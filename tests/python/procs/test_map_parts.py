"""`map` finds its own chunk size: whatever it finds, each item has its own end, at its place."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any

import pytest
from child import run_clean
from eventually import eventually

from forkful import ProcessPoolExecutor, WorkerDied

METHODS = ["fork", "zygote", "spawn"]


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2) as pool:
        yield pool


def increase(x: int) -> int:
    return x + 1


def add(x: int, y: int) -> int:
    return x + y


def fails_at(places: set[int], x: int) -> int:
    if x in places:
        raise ValueError(x)
    return x


def mark(path: str, x: int) -> int:
    """Says that it ran; fails at every hundredth."""
    with open(path, "ab") as file:
        file.write(b"%6d\n" % x)
    if x % 100 == 0:
        raise ValueError(x)
    return x


def sometimes_slow(x: int) -> int:
    if x % 500 == 499:
        time.sleep(0.02)
    return x


def at_place(place: int, at: int, answer: Callable[[], Any]) -> Any:
    return answer() if at == place else at


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("it stays here")


def dies_at(place: int, x: int) -> int:
    if x == place:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize("count", [0, 1, 2, 9, 1000, 100_000])
def test_results_come_in_order(pool: ProcessPoolExecutor, count: int) -> None:
    assert list(pool.map(increase, range(count))) == list(range(1, count + 1))
    assert list(pool.map(add, range(count), range(count + 5))) == list(range(0, 2 * count, 2))
    assert list(pool.map(increase, iter(range(count)))) == list(range(1, count + 1))


@pytest.mark.parametrize("method", METHODS)
def test_quick_items_travel_together(method: str) -> None:
    with ProcessPoolExecutor(2, start_method=method) as pool:
        base = 5
        assert list(pool.map(lambda x: x + base, range(100_000))) == list(range(5, 100_005))
        assert pool.stats().submitted < 5000


def test_items_that_are_suddenly_slow_come_back(pool: ProcessPoolExecutor) -> None:
    assert list(pool.map(sometimes_slow, range(20_000))) == list(range(20_000))


@pytest.mark.parametrize("place", [0, 1, 40, 5000, 49_999])
def test_an_exception_is_raised_at_its_place(pool: ProcessPoolExecutor, place: int) -> None:
    from functools import partial

    results, got = pool.map(partial(fails_at, {place, 49_999}), range(50_000)), []
    with pytest.raises(ValueError) as caught:
        got.extend(results)
    assert got == [] or got == list(range(place))
    assert caught.value.args == (place,)
    assert caught.value.__notes__ == [f"item {place} of map"]
    assert "fails_at" in str(caught.value.__cause__) and "_items.py" not in str(caught.value.__cause__)
    with pytest.raises(StopIteration):
        next(results)


def test_results_before_an_exception_are_taken_first(pool: ProcessPoolExecutor) -> None:
    from functools import partial

    results, got = pool.map(partial(fails_at, {40_000}), range(50_000)), []
    with pytest.raises(ValueError):
        for result in results:
            got.append(result)
    assert got == list(range(40_000))


def test_all_items_run_whatever_fails_and_whoever_looks(tmp_path: Path) -> None:
    from functools import partial

    path = str(tmp_path / "marks")
    with ProcessPoolExecutor(2) as pool:
        pool.map(partial(mark, path), range(3000))
    assert sorted(map(int, Path(path).read_text().split())) == list(range(3000))


@pytest.mark.parametrize("wait", [True, False])
def test_a_shutdown_pool_runs_what_was_mapped(tmp_path: Path, wait: bool) -> None:
    from functools import partial

    path = str(tmp_path / "marks")
    pool = ProcessPoolExecutor(2)
    results = pool.map(partial(mark, path), range(1, 100))
    pool.shutdown(wait=wait)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.map(increase, range(10))
    assert list(results) == list(range(1, 100))


def test_a_result_or_an_argument_that_cant_be_pickled_costs_its_item_alone(pool: ProcessPoolExecutor) -> None:
    items: list[Any] = list(range(5000))
    items[4000] = Unpicklable()
    results, got = pool.map(repr, items), []
    with pytest.raises(TypeError, match="it stays here"):
        for result in results:
            got.append(result)
    assert got == [repr(n) for n in range(4000)]
    answers: list[Any] = [int] * 5000
    answers[4000] = Unpicklable
    got = []
    with pytest.raises(TypeError, match="it stays here") as caught:
        for result in pool.map(at_place, [4000] * 5000, range(5000), answers):
            got.append(result)
    assert got == list(range(4000))
    assert caught.value.__notes__ == ["item 4000 of map"]


def test_a_death_says_which_items_it_may_have_been() -> None:
    with ProcessPoolExecutor(2) as pool:
        got = []
        with pytest.raises(WorkerDied) as caught:
            for result in pool.map(dies_at, [30_000] * 50_000, range(50_000)):
                got.append(result)
        (note,) = caught.value.__notes__
        numbers = [int(word) for word in note.split() if word.isdigit()]
        assert numbers[0] <= 30_000 <= numbers[-1]
        assert got == list(range(numbers[0]))
        assert list(pool.map(increase, range(1000))) == list(range(1, 1001))


def test_a_deadline_ends_the_iterator() -> None:
    with ProcessPoolExecutor(1) as pool:
        results = pool.map(time.sleep, [0, 0, 60], timeout=0.5)
        # What is done by then can be had, however late it is asked for.
        assert eventually(lambda: pool.stats().done >= 2)
        assert next(results) is None
        with pytest.raises(FutureTimeoutError):
            list(results)
        pool.kill_workers()


def test_closing_and_cancelling_end_the_work(tmp_path: Path) -> None:
    from functools import partial

    path = tmp_path / "marks"
    with ProcessPoolExecutor(1) as pool:
        results = pool.map(partial(mark, str(path)), range(1, 100_000))
        assert next(results) == 1
        results.close()  # type: ignore[attr-defined]
    assert len(path.read_bytes().split()) < 90_000
    pool = ProcessPoolExecutor(1)
    results = pool.map(time.sleep, [0.01] * 100_000)
    pool.shutdown(cancel_futures=True)
    with pytest.raises(CancelledError):
        list(results)


def test_a_broken_pool_breaks_the_map() -> None:
    pool = ProcessPoolExecutor(1)
    results = pool.map(time.sleep, [0.01] * 100_000)
    next(results)
    pool.kill_workers()
    with pytest.raises((WorkerDied, CancelledError)):
        list(results)


class Counting(ProcessPoolExecutor):
    calls = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        return super().submit(fn, *args, **kwargs)


def test_a_submit_of_ones_own_sees_every_item() -> None:
    with Counting(1) as pool:
        assert list(pool.map(increase, range(100))) == list(range(1, 101))
        assert pool.calls == 100
    with ProcessPoolExecutor(1) as plain:
        calls = []
        submit = plain.submit
        plain.submit = lambda fn, /, *args: calls.append(1) or submit(fn, *args)  # type: ignore[method-assign, assignment, func-returns-value]
        assert list(plain.map(increase, range(100))) == list(range(1, 101))
        assert len(calls) == 100


def test_what_is_asked_per_task_is_given_per_item(pool: ProcessPoolExecutor) -> None:
    before = pool.stats().submitted
    assert list(pool.with_options(timeout=30).map(increase, range(100))) == list(range(1, 101))
    assert pool.stats().submitted - before == 100
    assert list(pool.with_options(priority=1).map(increase, range(10_000))) == list(range(1, 10_001))
    with ProcessPoolExecutor(1, max_tasks_per_child=50, start_method="fork") as recycled:
        pids = set(recycled.map(lambda _: os.getpid(), range(150)))
    assert len(pids) == 3


def test_a_chunksize_still_rules(pool: ProcessPoolExecutor) -> None:
    before = pool.stats().submitted
    assert list(pool.map(increase, range(100), chunksize=10)) == list(range(1, 101))
    assert pool.stats().submitted - before == 10


def test_a_forgotten_pool_runs_what_was_mapped_and_ends(tmp_path: Path) -> None:
    from functools import partial

    path = tmp_path / "marks"
    pool = ProcessPoolExecutor(1)
    known = weakref.ref(pool)
    results = pool.map(partial(mark, str(path)), range(1, 100))
    del pool
    gc.collect()
    assert known() is None
    assert list(results) == list(range(1, 100))


EXIT = """
import sys
from forkful import ProcessPoolExecutor

def mark(x):
    with open(sys.argv[2], "ab") as file:
        file.write(b"x")

if __name__ == "__main__":
    ProcessPoolExecutor(2, start_method=sys.argv[1]).map(mark, range(3000))
"""


@pytest.mark.parametrize("method", METHODS)
def test_the_interpreters_end_waits_for_all_items(method: str, tmp_path: Path) -> None:
    path = tmp_path / "marks"
    run_clean(EXIT, method, str(path))
    assert len(path.read_bytes()) == 3000


def test_a_map_in_a_callback_and_in_many_threads(pool: ProcessPoolExecutor) -> None:
    got: list[list[int]] = []
    done = threading.Event()

    def call(_: Any) -> None:
        got.append(list(pool.map(increase, range(2000))))
        done.set()

    pool.submit(increase, 1).add_done_callback(call)
    threads = [threading.Thread(target=lambda: got.append(list(pool.map(increase, range(2000))))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done.wait(60)
    assert got == [list(range(1, 2001))] * 7


def test_large_items_travel_in_small_parts(pool: ProcessPoolExecutor) -> None:
    before = pool.stats().submitted
    assert list(pool.map(len, (b"x" * 4_000_000 for _ in range(60)))) == [4_000_000] * 60
    assert pool.stats().submitted - before > 20


def pipe_end(n: int) -> Any:
    import multiprocessing

    reader, writer = multiprocessing.Pipe(duplex=False)
    writer.send(n)
    writer.close()
    return reader if n % 7 == 3 else n


@pytest.mark.parametrize("method", METHODS)
def test_results_with_descriptors_arrive(method: str) -> None:
    with ProcessPoolExecutor(2, start_method=method) as pool:
        found = list(pool.map(pipe_end, range(200)))
        for n, result in enumerate(found):
            if n % 7 == 3:
                assert result.recv() == n
                result.close()
            else:
                assert result == n


def test_a_map_is_its_own_processs(pool: ProcessPoolExecutor) -> None:
    results = pool.map(time.sleep, [0.005] * 300)
    next(results)
    pid = os.fork()
    if pid == 0:
        try:
            list(results)
        except BrokenExecutor:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(list(results)) == 299
