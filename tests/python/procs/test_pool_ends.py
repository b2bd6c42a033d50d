"""A pool that its owner ends by force: whoever runs is stopped, heard of or not, and nothing is run again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from eventually import eventually

from forkful import ProcessPoolExecutor, TaskKilled, WorkerDied

METHODS = ["fork", "zygote", "spawn"]
HOW = ["terminate_workers", "kill_workers"]


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def note_and_nap(path: str) -> None:
    with open(path, "a") as file:
        file.write("x")
    Path(f"{path}.done").touch()
    time.sleep(60)


def ignore_sigterm(path: str) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(path).touch()
    time.sleep(0.5)
    return 1


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", HOW)
def test_workers_are_ended_and_the_pool_with_them(method: str, how: str) -> None:
    pool = ProcessPoolExecutor(2, start_method=method)
    pids = {pool.submit(os.getpid).result(timeout=60)}
    running = [pool.submit(nap, 60) for _ in range(2)]
    assert eventually(lambda: all(future.running() for future in running))
    waiting = [pool.submit(nap, 0) for _ in range(5)]
    pids |= {record.pid for record in pool.workers()}
    getattr(pool, how)()
    for future in running:
        error = future.exception(timeout=60)
        assert type(error) is WorkerDied and error.task == "nap" and "the pool was ended" in str(error)
        assert error.signal == (signal.SIGTERM if how == "terminate_workers" else signal.SIGKILL)
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(RuntimeError):
        pool.submit(nap, 0)
    pool.shutdown(wait=True)
    assert all(map(is_gone, pids))
    getattr(pool, how)()


@pytest.mark.parametrize("method", ["fork", "zygote"])
@pytest.mark.parametrize("how", HOW)
def test_a_worker_whose_birth_was_not_heard_of_is_ended_too(method: str, how: str) -> None:
    for _ in range(30):
        pool = ProcessPoolExecutor(1, start_method=method)
        future = pool.submit(nap, 60)
        # Nobody sleeps here: the worker is at work before the watcher has read that it was born.
        while not future.running():
            pass
        getattr(pool, how)()
        assert type(future.exception(timeout=60)) is WorkerDied
        pool.shutdown()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", HOW)
def test_a_worker_that_is_being_born_is_ended_too(method: str, how: str, tmp_path: Path) -> None:
    pool = ProcessPoolExecutor(1, start_method=method)
    future = pool.submit(note_and_nap, str(tmp_path / "begun"))
    getattr(pool, how)()
    pool.shutdown(wait=True)
    assert future.cancelled() or type(future.exception(timeout=60)) is WorkerDied


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", HOW)
def test_nothing_is_run_again(method: str, how: str, tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    pool = ProcessPoolExecutor(1, start_method=method)
    future = pool.with_options(retries=3).submit(note_and_nap, str(path))
    picky = pool.with_options(retries=3, retry_on=WorkerDied).submit(note_and_nap, str(path))
    assert eventually(Path(f"{path}.done").exists)
    getattr(pool, how)()
    error = future.exception(timeout=60)
    assert type(error) is WorkerDied and error.attempts == 1
    assert picky.cancelled() or eventually(picky.cancelled)
    pool.shutdown(wait=True)
    assert path.read_text() == "x" and pool.stats().retried == 0


def test_an_error_that_would_be_retried_is_not_when_the_pool_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    pool = ProcessPoolExecutor(1)
    future = pool.with_options(retries=3, retry_on=WorkerDied).submit(note_and_nap, str(path))
    assert eventually(Path(f"{path}.done").exists)
    pool.kill_workers()
    assert isinstance(future.exception(timeout=60), WorkerDied)
    pool.shutdown(wait=True)
    assert path.read_text() == "x"


def test_who_ignores_sigterm_finishes(tmp_path: Path) -> None:
    path = tmp_path / "ignores"
    pool = ProcessPoolExecutor(1)
    future = pool.submit(ignore_sigterm, str(path))
    assert eventually(path.exists)
    pool.terminate_workers()
    assert future.result(timeout=60) == 1
    pool.shutdown(wait=True)


@pytest.mark.parametrize("method", METHODS)
def test_a_task_can_be_killed_before_its_worker_was_heard_of(method: str) -> None:
    for _ in range(10):
        pool = ProcessPoolExecutor(1, start_method=method)
        future = pool.submit(nap, 60)
        while not future.running():
            pass
        assert future.kill()
        assert isinstance(future.exception(), TaskKilled)
        # Which costs nobody else anything.
        assert pool.submit(nap, 0).result(timeout=60) == 0
        pool.shutdown()


STOPPING = """
import os, signal

def stop():
    # The nursery alone, when it has made a worker and not said so.
    if os.getpid() != int(os.environ["PROGRAM"]):
        os.kill(os.getpid(), signal.SIGSTOP)

os.register_at_fork(after_in_parent=stop)
"""


@pytest.mark.parametrize("method", ["fork", "zygote"])
@pytest.mark.parametrize("how", [*HOW, "kill"])
def test_a_nursery_that_is_stopped_before_it_tells_of_a_worker(
    method: str, how: str, tmp_path: Path, run_clean: Callable[..., str]
) -> None:
    (tmp_path / "stopping.py").write_text(STOPPING)
    text = """
        import os, signal, sys, time
        from pathlib import Path
        os.environ.setdefault("PROGRAM", str(os.getpid()))
        sys.path.append(sys.argv[3])
        import stopping
        from forkful import ProcessPoolExecutor

        if __name__ == "__main__":
            method, how = sys.argv[1:3]
            preload = {"preload": ["stopping"]} if method == "zygote" else {}
            pool = ProcessPoolExecutor(1, start_method=method, **preload)
            future = pool.submit(time.sleep, 600)
            while not future.running(): time.sleep(0.001)
            if how == "kill":
                print(future.kill())
                pool.kill_workers()
            else:
                getattr(pool, how)()
            print(type(future.exception()).__name__)
            pool.shutdown(wait=True)
            for list in Path("/proc/self/task").glob("*/children"):
                for pid in list.read_text().split():
                    os.kill(int(pid), signal.SIGCONT)
    """
    told = run_clean(text, method, how, str(tmp_path))
    assert told == ("True\nTaskKilled\n" if how == "kill" else "WorkerDied\n")


@pytest.mark.parametrize("method", ["fork", "zygote"])
@pytest.mark.parametrize("how", HOW)
def test_a_nursery_that_is_stopped_before_it_makes_a_worker_is_not_waited_for(method: str, how: str) -> None:
    pool = ProcessPoolExecutor(1, start_method=method)
    nursery = pool.submit(os.getppid).result(timeout=60)
    assert eventually(pool.workers)
    worker = pool.workers()[0].pid
    os.kill(nursery, signal.SIGSTOP)
    try:
        os.kill(worker, signal.SIGKILL)
        assert eventually(lambda: not pool.workers())
        future = pool.submit(nap, 60)
        getattr(pool, how)()
        with pytest.raises((CancelledError, WorkerDied)):
            future.result(timeout=60)
        pool.shutdown(wait=True)
    finally:
        if not is_gone(nursery):
            os.kill(nursery, signal.SIGCONT)
