"""A pool that its owner ends by force: whoever runs is stopped, heard of or not, and nothing is run again."""

from __future__ import annotations

import os
import signal
import time
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
