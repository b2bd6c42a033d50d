"""What goes wrong in the workers of `multiprocessing.pool`'s pools, each where another pool hangs, by the name of its issue."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from child import Child
from eventually import eventually

from forkful import WorkerDied
from forkful.futures.process import BrokenProcessPool
from forkful.futures.thread import BrokenThreadPool
from forkful.multiprocessing import pool as pools

METHODS = ["fork", "forkserver", "spawn"]


def square(x: int) -> int:
    return x * x


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def die_at_three(x: int) -> int:
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return x


def make_pool(method: str, *args: Any, **kwargs: Any) -> Any:
    return pools.Pool(*args, context=multiprocessing.get_context(method), **kwargs)


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """Each way to start a process."""
    return str(request.param)


@pytest.fixture
def pool(method: str) -> Iterator[Any]:
    """Two processes."""
    with make_pool(method, 2) as made:
        yield made
    made.join()


# --- deaths ---


def test_a_worker_that_is_killed_fails_its_call(pool: Any) -> None:
    # cpython#96062, bpo-22393: the standard library starts another one, and whoever waits waits for ever.
    results = [pool.apply_async(die_at_three, (number,)) for number in range(8)]
    with pytest.raises(WorkerDied, match=r"die_at_three.*SIGKILL"):
        results.pop(3).get(60)
    assert [result.get(60) for result in results] == [0, 1, 2, 4, 5, 6, 7]
    assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_a_worker_that_is_killed_fails_its_map(pool: Any, chunksize: int | None) -> None:
    called: list[Any] = []
    result = pool.map_async(die_at_three, range(10), chunksize, called.append, called.append)
    with pytest.raises(WorkerDied):
        result.get(60)
    assert [type(one) for one in called] == [WorkerDied]
    assert pool.map(square, range(5), chunksize) == [0, 1, 4, 9, 16]


def test_a_worker_that_is_killed_fails_its_item(pool: Any) -> None:
    results = pool.imap(die_at_three, range(6))
    assert [results.next(60) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(WorkerDied):
        results.next(60)
    assert [results.next(60) for _ in range(2)] == [4, 5]
    got, died = [], 0
    unordered = pool.imap_unordered(die_at_three, range(6))
    for _ in range(6):
        try:
            got.append(unordered.next(60))
        except WorkerDied:
            died += 1
    assert (sorted(got), died) == ([0, 1, 2, 4, 5], 1)
    with pytest.raises(WorkerDied):
        list(pool.imap(die_at_three, range(20), 5))


def test_a_worker_may_be_killed_from_outside(pool: Any) -> None:
    running = [pool.apply_async(nap, (600,)) for _ in range(2)]
    assert eventually(lambda: pool._executor._crew.load() == (0, 2))
    before = pool._pool
    assert len(before) == 2
    os.kill(before[0].pid, signal.SIGKILL)
    assert eventually(lambda: any(result.ready() for result in running))
    failed = [result for result in running if result.ready()]
    assert len(failed) == 1
    with pytest.raises(WorkerDied) as caught:
        failed[0].get()
    assert caught.value.pid == before[0].pid
    assert eventually(lambda: not before[0].is_alive())
    assert before[0].exitcode == -signal.SIGKILL and before[1].is_alive()
    assert pool.apply(square, (3,)) == 9
    assert before[0].pid not in [worker.pid for worker in pool._pool]


def test_idle_workers_that_are_killed_are_replaced(pool: Any) -> None:
    for _ in range(3):
        # A worker that dies as soon as it is there counts as a failed start, and three of them in a row break the pool.
        assert eventually(lambda: all(worker.state == "idle" for worker in pool._executor.workers()))
        time.sleep(0.2)
        for worker in pool._pool:
            os.kill(worker.pid, signal.SIGKILL)
        assert pool.map(square, range(20), 1) == [x * x for x in range(20)]
    pool._repopulate_pool()
    assert eventually(lambda: len(pool._pool) == 2)


def test_workers_that_are_killed_before_the_first_task_are_replaced(method: str) -> None:
    with make_pool(method, 4) as pool:
        workers = pool._pool
        assert eventually(lambda: [worker.state for worker in pool._executor.workers()] == ["idle"] * 4)
        time.sleep(0.2)
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
        assert eventually(lambda: not any(worker.is_alive() for worker in workers))
        assert pool.map(square, range(20), 1) == [x * x for x in range(20)]
    pool.join()


def test_many_deaths_are_survived(pool: Any) -> None:
    results = [pool.apply_async(os._exit, (number % 5,)) for number in range(12)]
    for result in results:
        with pytest.raises(WorkerDied):
            result.get(60)
    assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]


def test_deaths_after_the_close_keep_nobody_waiting(method: str) -> None:
    pool = make_pool(method, 2)
    pool.map(square, range(4), 1)
    results = [pool.apply_async(nap, (0.2,)) for _ in range(6)]
    workers = pool._pool
    pool.close()
    for worker in workers:
        worker.kill()
    pool.join()
    ends = [outcome(result) for result in results]
    assert ends.count(WorkerDied) <= 2 and ends.count(0.2) >= 4


def outcome(result: Any) -> Any:
    try:
        return result.get(60)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("code", [None, 0, 1, "words"])
def test_a_task_that_exits_fails(pool: Any, code: Any) -> None:
    # The standard library's worker leaves by it, and its task is lost.
    with pytest.raises((SystemExit, WorkerDied)):
        pool.apply_async(sys.exit, (code,)).get(60)
    with pytest.raises((SystemExit, WorkerDied)):
        pool.map_async(sys.exit, [code] * 3).get(60)
    assert pool.apply(square, (3,)) == 9


# --- starts ---


def wrong() -> None:
    raise ArithmeticError("the initializer's own")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_initializer_that_raises_breaks_the_pool(method: str, capfd: pytest.CaptureFixture[str]) -> None:
    # The standard library starts workers without an end.
    pool = make_pool(method, 2, wrong)
    for _ in range(2):
        for result in (pool.apply_async(square, (1,)), pool.map_async(square, range(20))):
            with pytest.raises(BrokenProcessPool) as caught:
                result.get(60)
            assert isinstance(caught.value.__cause__, ArithmeticError) or "Arithmetic" in str(caught.value)
        for results in (pool.imap(square, range(3)), pool.imap_unordered(square, iter(range(3)))):
            with pytest.raises(BrokenProcessPool):
                results.next(60)
    called: list[Any] = []
    pool.apply_async(square, (1,), error_callback=called.append).wait(60)
    assert [isinstance(error, BrokenProcessPool) for error in called] == [True]
    pool.close()
    pool.join()
    capfd.readouterr()


def test_an_initializer_of_threads_that_raises_breaks_the_pool() -> None:
    pool = pools.ThreadPool(2, wrong)
    for result in (pool.apply_async(square, (1,)), pool.map_async(square, range(20))):
        with pytest.raises(BrokenThreadPool):
            result.get(60)
    pool.close()
    pool.join()


def test_an_initializer_that_exits_breaks_the_pool(method: str) -> None:
    pool = make_pool(method, 2, os._exit, (3,))
    with pytest.raises(BrokenProcessPool):
        pool.apply_async(square, (1,)).get(60)
    pool.terminate()
    pool.join()


def test_globals_are_those_of_the_moment_when_the_pool_was_made() -> None:
    global setting
    setting = "before"
    with make_pool("fork", 2) as pool:
        setting = "after"
        # Not by a function of this file, which is sent with what it uses.
        assert pool.map(told_by, [__name__] * 4, 1) == ["before"] * 4


setting = ""


def told_by(module: str) -> str:
    return str(sys.modules[module].setting)


# --- errors on their way ---


class TwoWords(Exception):
    """Can be pickled, and not be unpickled: its pickle has one word."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def raise_two_words(_: Any) -> None:
    raise TwoWords("hello", "there")


class Unreadable:
    """A result that can be sent and not be read."""

    def __reduce__(self) -> Any:
        return (explode, ())


def explode() -> None:
    raise LookupError("unreadable")


def unreadable(_: Any) -> Any:
    return Unreadable()


def test_an_exception_that_cannot_be_read_is_told_of(pool: Any) -> None:
    # bpo-9400 and its like: the thread that reads results ends by it.
    for result in (pool.apply_async(raise_two_words, (1,)), pool.map_async(raise_two_words, range(9))):
        with pytest.raises(Exception, match="hello there"):
            result.get(60)
    for results in (pool.imap(raise_two_words, [1]), pool.imap_unordered(raise_two_words, [1])):
        with pytest.raises(Exception, match="hello there"):
            results.next(60)
    assert pool.apply(square, (3,)) == 9


def test_a_result_that_cannot_be_read_is_an_error_of_its_job(pool: Any) -> None:
    for result in (pool.apply_async(unreadable, (1,)), pool.map_async(unreadable, range(9))):
        with pytest.raises(LookupError, match="unreadable"):
            result.get(60)
    assert pool.apply(square, (3,)) == 9


def test_a_large_error_of_a_map_does_not_stop_it(method: str) -> None:
    # bpo-23992: the rest of a map whose first chunk had raised filled the pipe.
    pool = make_pool(method, 2)
    with pytest.raises(ValueError, match="x" * 100):
        pool.map(raise_large, range(2), 1)
    pool.close()
    pool.join()


def raise_large(_: Any) -> None:
    raise ValueError("x" * (1 << 20))


def test_lambdas_and_closures_can_be_sent(pool: Any) -> None:
    two = 2
    assert pool.map(lambda x: x * two, range(5)) == [0, 2, 4, 6, 8]
    assert list(pool.imap(lambda x: x + two, range(5), 2)) == [2, 3, 4, 5, 6]
    assert pool.starmap(lambda x, y: x + y + two, [(1, 1), [2, 2]]) == [4, 6]
    assert pool.apply(lambda *, word: word, kwds={"word": "yes"}) == "yes"


# --- pools in pools, and forks ---


def use_a_pool(method: str) -> list[int]:
    with make_pool(method, 2) as inner:
        return list(inner.map(square, range(4)))


def test_a_worker_may_have_a_pool(pool: Any, method: str) -> None:
    # "daemonic processes are not allowed to have children", says the standard library.
    assert pool.map(use_a_pool, [method] * 2, 1) == [[0, 1, 4, 9]] * 2


def test_a_thread_may_wait_for_its_own_pool() -> None:
    with pools.ThreadPool(1) as pool:

        def outer(depth: int) -> int:
            return 1 if depth == 0 else 1 + pool.apply(outer, (depth - 1,))

        assert pool.apply_async(outer, (5,)).get(60) == 6
        assert pool.apply_async(lambda: pool.map(square, range(30))).get(60) == [x * x for x in range(30)]
        assert pool.apply_async(lambda: list(pool.imap(square, range(30)))).get(60) == [x * x for x in range(30)]


def test_a_forked_child_is_told_that_the_pool_is_its_parent_s(method: str) -> None:
    script = """
        import multiprocessing, os, sys
        from forkful.multiprocessing.pool import Pool

        if __name__ == "__main__":
            pool = Pool(2, context=multiprocessing.get_context(sys.argv[1]))
            pool.map(abs, range(4))
            pid = os.fork()
            if not pid:
                for call in (lambda: pool.apply(abs, (-1,)), lambda: pool.map(abs, [1]), lambda: next(pool.imap(abs, [1]))):
                    try:
                        print(call())
                    except Exception as error:
                        print(type(error).__name__)
                pool.terminate()
                pool.join()
                sys.exit()
            os.waitpid(pid, 0)
            print(pool.map(abs, [-1, -2]))
            pool.close()
            pool.join()
    """
    with Child(script, method, warnings="ignore") as child:
        outcome = child.outcome()
    assert outcome.stdout.split() == ["BrokenProcessPool"] * 3 + ["[1,", "2]"], str(outcome)
    assert outcome.stderr == ""


def test_threads_that_make_and_end_pools_at_a_time(method: str) -> None:
    wrong: list[Any] = []

    def work(number: int) -> None:
        for _ in range(3):
            with make_pool(method, 1) as pool:
                if pool.map(square, range(3)) != [0, 1, 4]:
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_nothing_of_a_pool_is_left(run_clean: Callable[..., str], method: str) -> None:
    out = run_clean(
        """
        import gc, multiprocessing, os, sys, threading
        from forkful.multiprocessing.pool import Pool

        def use(method):
            got = []
            with Pool(2, context=multiprocessing.get_context(method)) as pool:
                pool.map(abs, range(4))
                pool.apply_async(abs, (1,), callback=got.append).wait()
                list(pool.imap(abs, iter(range(2000))))
            pool.join()

        if __name__ == "__main__":
            use(sys.argv[1])
            gc.collect()
            before = len(os.listdir("/proc/self/fd")), threading.active_count()
            for _ in range(5):
                use(sys.argv[1])
            gc.collect()
            print(before == (len(os.listdir("/proc/self/fd")), threading.active_count()), before[1])
        """,
        method,
    )
    assert out == "True 1\n"


class Undaemonic(multiprocessing.Process):
    """What programs have made so that a worker may have children."""

    daemon = property(lambda self: False, lambda self, value: None)  # type: ignore[assignment]


class UndaemonicContext(type(multiprocessing.get_context("fork"))):  # type: ignore[misc]
    """The same as a context."""

    Process = Undaemonic


class OwnProcess(pools.Pool):
    """The older way."""

    Process = Undaemonic  # type: ignore[assignment]


class OwnContext(pools.Pool):
    """The newer way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context"] = UndaemonicContext()
        super().__init__(*args, **kwargs)


@pytest.mark.parametrize("kind", [OwnProcess, OwnContext])
def test_pools_that_programs_have_made_for_nesting_work(kind: type) -> None:
    with kind(2) as pool:
        assert pool.map(use_a_pool, ["fork"] * 2, 1) == [[0, 1, 4, 9]] * 2
    pool.join()
