"""The ends of `multiprocessing.pool`'s pools: closed, terminated, forgotten, interrupted, at the interpreter's exit."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from child import Child
from eventually import eventually

from forkful.futures.process import BrokenProcessPool
from forkful.multiprocessing import pool as pools

KINDS = ["fork", "forkserver", "spawn", "threads"]
PROCESSES = KINDS[:3]


def square(x: int) -> int:
    return x * x


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def make_pool(kind: str, *args: Any, **kwargs: Any) -> Any:
    if kind == "threads":
        return pools.ThreadPool(*args, **kwargs)
    return pools.Pool(*args, context=multiprocessing.get_context(kind), **kwargs)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:  # type: ignore[override]
    """Processes of each start method, and threads."""
    return str(request.param)


def jobs_of(pool: Any) -> list[Callable[[], Any]]:
    return [
        lambda: pool.apply(square, (1,)),
        lambda: pool.apply_async(square, (1,)),
        lambda: pool.map(square, [1]),
        lambda: pool.map_async(square, [1]),
        lambda: pool.starmap(pow, [(1, 1)]),
        lambda: pool.starmap_async(pow, [(1, 1)]),
        lambda: pool.imap(square, [1]),
        lambda: pool.imap_unordered(square, [1]),
        lambda: pool.__enter__(),
    ]


@pytest.mark.parametrize("end", ["close", "terminate"])
def test_an_ended_pool_takes_nothing(kind: str, end: str) -> None:
    pool = make_pool(kind, 1)
    getattr(pool, end)()
    for job in jobs_of(pool):
        with pytest.raises(ValueError, match="Pool not running"):
            job()
    pool.join()
    pool.join()
    pool.close()
    pool.terminate()
    pool.join()


def test_a_running_pool_cannot_be_joined(kind: str) -> None:
    with make_pool(kind, 1) as pool, pytest.raises(ValueError, match="Pool is still running"):
        pool.join()


def test_joining_waits_for_everything(kind: str) -> None:
    pool = make_pool(kind, 2)
    called: list[Any] = []
    single = pool.apply_async(nap, (0.2,), callback=called.append)
    mapped = pool.map_async(square, range(50), 1)
    iterator = pool.imap_unordered(square, iter(range(3000)))
    slow = pool.imap(square, trickle(20))
    pool.close()
    pool.join()
    assert called == [0.2] and single.ready()
    assert mapped.ready() and mapped.get() == [x * x for x in range(50)]
    assert sorted(iterator) == [x * x for x in range(3000)]
    assert list(slow) == [x * x for x in range(20)]
    if kind != "threads":
        assert pool._pool == []


def trickle(length: int) -> Iterator[int]:
    for number in range(length):
        time.sleep(0.01)
        yield number


@pytest.mark.parametrize("maxtasks", [1, 3])
@pytest.mark.parametrize("method", PROCESSES)
def test_workers_of_a_short_life_do_all_that_was_accepted(method: str, maxtasks: int) -> None:
    # bpo-10332: `join` hung when the pool was closed before the last worker had been replaced.
    pool = make_pool(method, 3, maxtasksperchild=maxtasks)
    results = [pool.apply_async(square, (number,)) for number in range(9)]
    pool.close()
    pool.join()
    assert [result.get(60) for result in results] == [x * x for x in range(9)]


def test_what_is_outstanding_at_the_end_raises(kind: str) -> None:
    pool = make_pool(kind, 1)
    stuck = threading.Event()
    pool.apply(square, (1,))
    begun, held = threading.Event(), threading.Event()
    if kind == "threads":
        running = pool.apply_async(lambda: (begun.set(), held.wait(120)))
        assert begun.wait(60)
    else:
        running = pool.apply_async(nap, (600,))
        assert eventually(lambda: pool._executor._crew.load()[1])
    called: list[Any] = []
    waiting = pool.apply_async(square, (1,), callback=called.append, error_callback=called.append)
    mapped = pool.map_async(square, range(20))
    ordered, unordered = pool.imap(square, range(3)), pool.imap_unordered(square, range(3))

    def source() -> Iterator[int]:
        stuck.wait(120)
        yield 1

    fed, fed_unordered = pool.imap(square, source()), pool.imap_unordered(square, source())
    time.sleep(0.2)
    pool.terminate()
    for result in (waiting, mapped):
        with pytest.raises(multiprocessing.ProcessError, match="terminated before"):
            result.get(60)
        assert result.ready() and not result.successful()
    for results in (ordered, unordered, fed, fed_unordered):
        with pytest.raises(multiprocessing.ProcessError, match="terminated before"):
            results.next(60)
    if kind == "threads":
        held.set()
        assert running.get(60) == (None, True)  # nobody can stop it
    else:
        with pytest.raises(BrokenProcessPool, match="the pool was ended while"):
            running.get(60)
    pool.join()
    stuck.set()
    assert called == []


def test_whoever_waits_for_the_next_input_hears_of_the_end(kind: str) -> None:
    pool = make_pool(kind, 1)
    stuck = threading.Event()

    def source() -> Iterator[int]:
        stuck.wait(120)
        yield 1

    said: list[BaseException] = []

    def read(results: Any) -> None:
        try:
            next(results)
        except BaseException as error:
            said.append(error)

    iterators = [pool.imap(square, source()), pool.imap_unordered(square, source())]
    readers = [threading.Thread(target=read, args=(results,)) for results in iterators]
    for reader in readers:
        reader.start()
    time.sleep(0.1)
    pool.terminate()
    for reader in readers:
        reader.join(60)
    assert [type(error) for error in said] == [multiprocessing.ProcessError] * 2
    pool.join()
    stuck.set()


def test_a_block_ends_its_pool(kind: str) -> None:
    with make_pool(kind, 2) as pool:
        assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
    assert pool._state == "TERMINATE"
    pool.join()


@pytest.mark.parametrize("method", PROCESSES)
def test_a_worker_that_handles_sigterm_is_killed_all_the_same(method: str) -> None:
    pool = make_pool(method, 1, ignore_sigterm)
    running = pool.apply_async(nap, (600,))
    assert eventually(lambda: pool._executor._crew.load()[1])
    pool.terminate()
    pool.join()
    with pytest.raises(BrokenProcessPool):
        running.get(60)


def ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@pytest.mark.parametrize("method", PROCESSES)
def test_a_pool_may_be_terminated_with_all_it_has_to_do(method: str) -> None:
    # bpo-42500 and its like: whoever fed the tasks stood in the way.
    pool = make_pool(method, 2)
    result = pool.map_async(nap, [60.0] * 5000, chunksize=1)
    endless = pool.imap_unordered(nap, iter(lambda: 60.0, None))
    time.sleep(0.1)
    pool.terminate()
    pool.join()
    with pytest.raises((multiprocessing.ProcessError, BrokenProcessPool)):
        result.get(60)
    with pytest.raises((multiprocessing.ProcessError, BrokenProcessPool)):
        endless.next(60)


def test_a_pool_is_not_to_be_pickled(kind: str) -> None:
    said = "pool objects cannot be passed between processes or pickled"
    with make_pool(kind, 1) as pool, pytest.raises(NotImplementedError, match=said):
        pickle.dumps(pool)


def test_a_pool_that_is_forgotten_says_so_and_does_its_work(kind: str) -> None:
    pool = make_pool(kind, 1)
    result = pool.apply_async(nap, (0.2,))
    pending = pool.apply_async(square, (3,))
    iterator = pool.imap(square, iter(range(2000)))
    gone = weakref.ref(pool)
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool .*state=RUN"):
        del pool
        gc.collect()
    gc.collect()
    assert gone() is None
    assert result.get(60) == 0.2
    assert pending.get(60) == 9
    assert list(iterator) == [x * x for x in range(2000)]


@pytest.mark.parametrize("method", PROCESSES)
def test_the_workers_of_a_forgotten_pool_leave(method: str) -> None:
    pool = make_pool(method, 2)
    pids = [worker.pid for worker in pool._pool]
    with pytest.warns(ResourceWarning):
        del pool
        gc.collect()
    assert eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def test_a_callback_may_end_its_pool(kind: str) -> None:
    pool = make_pool(kind, 1)
    said: list[BaseException] = []

    def end(_: Any) -> None:
        pool.terminate()
        try:
            pool.join()
        except RuntimeError as error:
            said.append(error)

    pool.apply_async(square, (1,), callback=end).wait(60)
    assert [str(error) for error in said] == ["cannot join current thread"]
    pool.join()


# --- the interpreter's exit ---

GLOBAL = """
    import multiprocessing, sys, time
    from forkful.multiprocessing.pool import Pool, ThreadPool

    class Holder:
        def __init__(self, pool):
            self.pool = pool

    def make(kind):
        if kind == "threads":
            return ThreadPool(2)
        return Pool(2, context=multiprocessing.get_context(kind))

    if __name__ == "__main__":
        problem = Holder(make(sys.argv[1]))
        print(problem.pool.map(float, range(3)))
        end = sys.argv[2]
        if end == "busy":
            left = problem.pool.map_async(time.sleep, [600] * 10)
            time.sleep(0.1)
        elif end == "feeding":
            left = problem.pool.imap(time.sleep, iter(lambda: 600, None))
            time.sleep(0.1)
        elif end == "closed":
            left = problem.pool.apply_async(time.sleep, (600,))
            time.sleep(0.1)
            problem.pool.close()
"""


@pytest.mark.parametrize("end", ["idle", "busy", "feeding", "closed"])
def test_a_global_pool_lets_the_program_end(run_clean: Callable[..., str], kind: str, end: str) -> None:
    # bpo-38501, bpo-38744, bpo-39360.
    out = run_clean(GLOBAL, kind, end, warnings="ignore")
    assert out == "[0.0, 1.0, 2.0]\n"


@pytest.mark.parametrize("method", PROCESSES)
def test_a_thread_has_its_pool_after_the_main_thread_has_ended(run_clean: Callable[..., str], method: str) -> None:
    if method == "fork" and sys.version_info[:2] == (3, 12):
        pytest.skip("3.12 refuses every fork once its main thread has ended")
    out = run_clean(
        """
        import multiprocessing, sys, threading, time
        from forkful.multiprocessing.pool import Pool

        def work():
            time.sleep(0.3)
            print(first.map(abs, [-1, -2]))
            with Pool(2, context=multiprocessing.get_context(sys.argv[1])) as pool:
                print(pool.map(abs, [-3, -4]))

        if __name__ == "__main__":
            first = Pool(1, context=multiprocessing.get_context(sys.argv[1]))
            threading.Thread(target=work).start()
        """,
        method,
        warnings="ignore",
    )
    assert out == "[1, 2]\n[3, 4]\n"


@pytest.mark.parametrize("method", PROCESSES)
def test_workers_that_a_thread_of_an_executor_has_started_leave_in_silence(
    run_clean: Callable[..., str], method: str
) -> None:
    out = run_clean(
        """
        import multiprocessing, sys
        from concurrent.futures import ThreadPoolExecutor
        from forkful.multiprocessing.pool import Pool

        def work():
            with Pool(2, context=multiprocessing.get_context(sys.argv[1])) as pool:
                found = pool.map(abs, [-3, -4])
                pool.close()
                pool.join()
            return found

        if __name__ == "__main__":
            with ThreadPoolExecutor(1) as executor:
                print(executor.submit(work).result())
        """,
        method,
        warnings="ignore",
    )
    assert out == "[3, 4]\n"


@pytest.mark.parametrize("method", PROCESSES)
def test_ctrl_c_ends_a_map_once(method: str) -> None:
    script = """
        import multiprocessing, sys, time
        from forkful.multiprocessing.pool import Pool

        if __name__ == "__main__":
            with Pool(2, context=multiprocessing.get_context(sys.argv[1])) as pool:
                pool.map(abs, range(4))
                waiting = pool.map_async(time.sleep, [600] * 20)
                try:
                    print("ready", flush=True)
                    waiting.get()
                finally:
                    print("left", flush=True)
    """
    with Child(script, method) as child:
        child.await_line("ready")
        time.sleep(0.2)
        os.killpg(child.process.pid, signal.SIGINT)
        outcome = child.outcome()
    assert outcome.stdout == "left\n"
    assert outcome.stderr.count("Traceback") == 1, str(outcome)
    assert outcome.stderr.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("method", PROCESSES)
def test_ctrl_c_ends_a_program_with_a_global_pool(method: str) -> None:
    script = """
        import multiprocessing, sys, time
        from forkful.multiprocessing.pool import Pool

        if __name__ == "__main__":
            pool = Pool(2, context=multiprocessing.get_context(sys.argv[1]))
            pool.map(abs, range(4))
            print("ready", flush=True)
            pool.map(time.sleep, [600] * 20)
    """
    with Child(script, method, warnings="ignore") as child:
        child.await_line("ready")
        time.sleep(0.2)
        os.killpg(child.process.pid, signal.SIGINT)
        outcome = child.outcome()
    assert outcome.stderr.count("Traceback") == 1, str(outcome)
    assert outcome.stderr.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("method", PROCESSES)
def test_what_the_main_module_holds_ends_before_other_modules(run_clean: Callable[..., str], method: str) -> None:
    # A main module that was kept would be emptied after those that its objects' `__del__` names.
    out = run_clean(
        """
        import multiprocessing, sys
        from multiprocessing import util
        from forkful.multiprocessing.pool import Pool

        class Last:
            def __del__(self):
                print("has", util is not None and util.debug is not None)

        if __name__ == "__main__":
            with Pool(1, context=multiprocessing.get_context(sys.argv[1])) as pool:
                pool.apply(abs, (-1,))
            last = Last()
        """,
        method,
        warnings="ignore",
    )
    assert out == "has True\n"
