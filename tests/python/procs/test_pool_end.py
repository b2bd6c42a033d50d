"""How a pool ends: everybody has heard, nothing is left behind, and the next one begins anew."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually

from forkful import ProcessPoolExecutor
from forkful.futures import _completer
from forkful.futures.process import BrokenProcessPool

METHODS = ["fork", "zygote", "spawn"]


def fail(n: int) -> None:
    raise ValueError(n)


def slowly(n: int) -> int:
    time.sleep(0.01)
    return n


def completers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "forkful-completer"]


@pytest.fixture
def alone() -> None:
    """No pool of an earlier test is on its way to its end."""
    assert eventually(lambda: gc.collect() >= 0 and not completers() and not threads_of_ours())


def threads_of_ours() -> list[str]:
    # A thread that was joined may be on the kernel's list for a moment more.
    return [name for name in belongings()[0] if name.startswith("forkful-")]


@pytest.mark.usefixtures("alone")
def test_the_completer_ends_with_the_last_pool() -> None:
    # Pools that were never used end while it starts, the others while it works.
    for n in range(300):
        with ProcessPoolExecutor(1) as pool:
            if n % 10 == 0:
                pool.submit(int).add_done_callback(id)
        assert eventually(lambda: not completers()), n


def test_a_pool_made_while_the_last_one_ends_is_served() -> None:
    for n in range(100):
        with ProcessPoolExecutor(1):
            pass
        called = threading.Event()
        # Only the completer calls it: nobody waits for the future.
        with ProcessPoolExecutor(1) as pool:
            pool.submit(int).add_done_callback(lambda _, called=called: called.set())
            assert called.wait(60), n


@pytest.mark.usefixtures("alone")
def test_a_completer_that_cannot_start_is_sent_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        with ProcessPoolExecutor(1) as pool:
            with pytest.raises(OSError, match=r"can't start new thread.*RLIMIT_NPROC"):
                pool.submit(int)
            with pytest.raises(BrokenProcessPool, match="can't start new thread"):
                pool.submit(int)
    called = threading.Event()
    with ProcessPoolExecutor(1) as pool:
        pool.submit(int).add_done_callback(lambda _: called.set())
        assert called.wait(60)


def test_all_callbacks_have_run_when_shutdown_returns() -> None:
    for _ in range(20):
        called = []

        def call(future: Future[int], called: list[int] = called) -> None:
            time.sleep(0.001)
            called.append(future.result())

        with ProcessPoolExecutor(2) as pool:
            for n in range(20):
                pool.submit(abs, n).add_done_callback(call)
        assert sorted(called) == list(range(20))


@pytest.mark.parametrize("watched", [False, True])
def test_all_that_shutdown_cancels_is_cancelled_when_it_returns(watched: bool) -> None:
    pool = ProcessPoolExecutor(1)
    called: list[Future[Any]] = []
    pool.submit(int).result(timeout=60)
    futures: list[Any] = [pool.submit(slowly, n) for n in range(20_000)]
    for future in futures[-1000:]:
        future.add_done_callback(called.append)
        if watched:
            # As the standard library's own wait() does.
            assert future._condition
    pool.shutdown(wait=True, cancel_futures=True)
    assert all(future.done() for future in futures)
    assert all(future.cancelled() for future in futures[-1000:])
    assert called == futures[-1000:] or {*called} == {*futures[-1000:]}


def test_a_retry_is_not_lost_in_a_shutdown() -> None:
    for _ in range(100):
        with ProcessPoolExecutor(1) as pool:
            view = pool.with_options(retries=2, retry_on=ValueError)
            futures = [view.submit(fail, n) for n in range(3)]
        # It hung here: the workers had been sent away while it was decided whether to try again.
        assert [future.exception(timeout=60).args for future in futures] == [(0,), (1,), (2,)]


def in_a_callback(pool: ProcessPoolExecutor, act: Callable[[], object]) -> threading.Event:
    over = threading.Event()

    def call(_: Future[int]) -> None:
        act()
        over.set()

    pool.submit(slowly, 1).add_done_callback(call)
    return over


@pytest.mark.usefixtures("alone")
def test_a_callback_may_shut_its_own_pool_down() -> None:
    pool = ProcessPoolExecutor(1)
    assert in_a_callback(pool, pool.shutdown).wait(60)
    pool.shutdown()
    assert eventually(lambda: not completers())


def test_a_callback_may_wait_for_another_pool_and_its_callbacks() -> None:
    called: list[int] = []

    def another() -> None:
        with ProcessPoolExecutor(1) as inner:
            view = inner.with_options(retries=1, retry_on=ValueError)
            inner.submit(slowly, 2).add_done_callback(lambda future: called.append(future.result()))
            view.submit(fail, 3).add_done_callback(lambda future: called.append(future.exception().args[0]))
            # The outer one can't end before this callback has, and says so by returning.
            pool.shutdown()

    pool = ProcessPoolExecutor(1)
    assert in_a_callback(pool, another).wait(60)
    assert sorted(called) == [2, 3]
    pool.shutdown()


def test_a_forgotten_executor_ends_though_its_workers_are_looked_at() -> None:
    pool = ProcessPoolExecutor(1)
    future = pool.submit(slowly, 5)
    (worker,) = pool._processes.values()
    del pool
    assert future.result(timeout=60) == 5
    worker.join(60)
    assert not worker.is_alive()


@pytest.mark.parametrize(
    "leave", ["pass", "pool.shutdown(wait=False)", "del pool", "pool.shutdown(wait=False); del pool"]
)
@pytest.mark.parametrize("method", METHODS)
def test_work_is_done_before_the_exit(run_clean: Callable[..., str], method: str, leave: str) -> None:
    text = """
        import logging, os, sys, time
        from forkful import ProcessPoolExecutor

        def work():
            time.sleep(0.3)
            logging.getLogger("work").warning("logged")
            os.write(1, b"worked\\n")

        if __name__ == "__main__":
            logging.basicConfig(stream=sys.stdout, format="%(message)s")
            pool = ProcessPoolExecutor(1, start_method=sys.argv[1], relay_logs=True)
            pool.submit(work).add_done_callback(lambda _: os.write(1, b"called\\n"))
            LEAVE
    """.replace("LEAVE", leave)
    assert sorted(run_clean(text, method).splitlines()) == ["called", "logged", "worked"]


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_said_of_our_sockets_at_the_exit(run_clean: Callable[..., str], method: str) -> None:
    text = """
        import sys
        # Held by the main module it goes among the last, when sockets that nobody has closed are still warned of.
        import forkful._launch
        from forkful import ProcessPoolExecutor

        if __name__ == "__main__":
            kept = ProcessPoolExecutor(1, start_method=sys.argv[1])
            with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
                print(pool.submit(abs, -1).result() + kept.submit(abs, -2).result())
    """
    assert run_clean(text, method, warnings="default") == "3\n"


@pytest.mark.usefixtures("alone")
def test_no_thread_is_left_when_the_last_pool_is_shut_down() -> None:
    for n in range(100):
        with ProcessPoolExecutor(1) as pool:
            if n % 2:
                pool.submit(int).add_done_callback(id)
        assert eventually(lambda: not threads_of_ours()), n
        assert not completers(), n


def test_forks_before_between_and_after_pools_are_not_warned_of(run_clean: Callable[..., str]) -> None:
    text = """
        import os, sys, time
        from forkful import ProcessPoolExecutor

        def fork():
            # A thread that was joined may be on the kernel's list for a moment more, and the interpreter counts that.
            while len(os.listdir("/proc/self/task")) > 1:
                time.sleep(0.001)
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)

        if __name__ == "__main__":
            pool = ProcessPoolExecutor(1)
            fork()
            for _ in range(20):
                with ProcessPoolExecutor(1) as pool:
                    pool.submit(int).result()
                fork()
            print("none")
    """
    assert run_clean(text) == "none\n"


def belongings() -> tuple[list[str], list[str], int]:
    """Names of threads, of what descriptors are open, and the number of mappings of ours."""
    # By number, as the list itself has one that is gone.
    fds = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if os.path.lexists(path)]
    tasks = []
    for path in Path("/proc/self/task").iterdir():
        try:
            tasks.append((path / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that was joined, and that the kernel was just letting go
    maps = sum("forkful" in line for line in Path("/proc/self/maps").read_text().splitlines())
    kinds = [fd.partition(":")[0] if fd.startswith(("socket", "pipe")) else fd for fd in fds]
    return sorted(tasks), sorted(kinds), maps


def surplus(before: tuple[list[str], list[str], int]) -> object:
    """What there is more of than before; what went meanwhile was an earlier test's."""
    tasks, kinds, maps = belongings()
    return Counter(tasks) - Counter(before[0]) or Counter(kinds) - Counter(before[1]) or max(0, maps - before[2])


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(("method", "count"), [("fork", 200), ("zygote", 100), ("spawn", 20)])
def test_many_pools_leave_nothing_behind(method: str, count: int) -> None:
    kept: list[Any] = []

    def once(use: bool) -> None:
        with ProcessPoolExecutor(2, start_method=method) as pool:
            if use:
                # Results, unlike executors, are kept by programs in great numbers.
                kept.extend([pool.submit(abs, -1), pool.submit(fail, 1)])

    once(use=True)
    gc.collect()
    before = belongings()
    for n in range(count):
        once(use=n % 2 == 0)
    del n
    assert eventually(lambda: gc.collect() >= 0 and not surplus(before)), (before, belongings())
    assert {future.result(timeout=60) for future in as_completed(kept) if not future.exception()} == {1}


def test_an_idle_pool_makes_no_wake_ups() -> None:
    def wake_ups() -> dict[str, int]:
        found = {}
        for path in Path("/proc/self/task").iterdir():
            try:
                status = dict(line.split(":", 1) for line in (path / "status").read_text().splitlines())
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread that has ended
            if status["Name"].strip().startswith("forkful-") or int(path.name) == completer:
                found[path.name] = int(status["voluntary_ctxt_switches"])
        for worker in pool.workers():
            lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
            status = dict(line.split(":", 1) for line in lines)
            found[f"worker {worker.pid}"] = int(status["voluntary_ctxt_switches"])
        return found

    def rests() -> bool:
        before = wake_ups()
        time.sleep(0.5)
        return wake_ups() == before

    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(slowly, range(10))) == list(range(10))
        thread = _completer.last()
        assert thread is not None
        completer = thread.native_id
        del thread
        # A result may be here before the word of its worker's birth.
        assert eventually(lambda: len(wake_ups()) >= 3)
        assert eventually(rests), wake_ups()
