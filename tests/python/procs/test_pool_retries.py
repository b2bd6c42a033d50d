"""What is run again, what is not, and what `kill()` says: over real processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from gates import behind

from forkful import Future, ProcessPoolExecutor, TaskKilled, TaskTimeout, WorkerDied

METHODS = ["fork", "zygote", "spawn"]


class Awkward(Exception):
    """Can be pickled, and not unpickled."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a}{b}")


class Holder(Exception):
    """Can't be pickled with what it holds."""


def count(path: str) -> int:
    """How often this was called with that path, now included."""
    with open(path, "a") as file:
        file.write("x")
    return os.path.getsize(path)


def calls(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def note_and_nap(path: str) -> None:
    count(path)
    time.sleep(60)


def raise_twice(path: str, kind: Any, *args: Any) -> str:
    if count(path) < 3:
        raise kind(*args)
    return "well"


def raise_holder(path: str) -> str:
    return raise_twice(path, Holder, threading.Lock())


def die_twice(path: str) -> str:
    if count(path) < 3:
        os._exit(3)
    return "well"


def hang_twice(path: str) -> str:
    if count(path) < 3:
        time.sleep(60)
    return "well"


def raise_soon(seconds: float) -> None:
    time.sleep(seconds)
    raise ValueError("soon")


def running(future: Future[Any]) -> bool:
    return eventually(future.running)


# --- kill() ---


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("retry_on", [WorkerDied, TaskKilled, Exception, ValueError, None])
def test_what_is_killed_is_not_run_again(method: str, retry_on: Any, tmp_path: Path) -> None:
    path = tmp_path / "calls"
    with ProcessPoolExecutor(1, start_method=method) as pool:
        future = pool.with_options(retries=3, retry_on=retry_on).submit(note_and_nap, str(path))
        assert eventually(lambda: calls(path))
        assert future.kill() is True
        assert type(future.exception(timeout=60)) is TaskKilled
        assert future.exception().attempts == 1  # type: ignore[union-attr]
        # Which was not this call's doing.
        assert future.kill() is False
        assert pool.submit(abs, -2).result(timeout=60) == 2
        assert calls(path) == 1 and pool.stats().retried == 0


@pytest.mark.parametrize("retry_on", [WorkerDied, ValueError, None])
def test_a_callback_is_told_the_truth_of_a_kill(retry_on: Any) -> None:
    with ProcessPoolExecutor(2) as pool:
        future = pool.with_options(retries=3, retry_on=retry_on).submit(time.sleep, 60)
        assert running(future)
        told: list[bool] = []
        over = threading.Event()

        def kill(_: object) -> None:
            told.append(future.kill())
            over.set()

        pool.submit(abs, -1).add_done_callback(kill)
        assert over.wait(60)
        assert told == [True] and type(future.exception(timeout=60)) is TaskKilled


@pytest.mark.parametrize("retry_on", [WorkerDied, ValueError, None])
def test_a_kill_that_races_the_end_tells_the_truth(retry_on: Any) -> None:
    with ProcessPoolExecutor(2) as pool:
        view = pool.with_options(retries=2, retry_on=retry_on)
        told = {True: 0, False: 0}
        for n in range(60):
            future = view.submit(raise_soon, (n % 12) * 0.0004)
            while not future.running() and not future.done():
                pass
            killed = future.kill()
            error = future.exception(timeout=60)
            assert type(error) is (TaskKilled if killed else ValueError), (killed, error)
            told[killed] += 1
        stats = pool.stats()
        assert stats.submitted == stats.done + stats.failed + stats.cancelled == 60
    assert sum(told.values()) == 60


def test_what_waits_is_not_killed_and_is_retried_as_before(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as pool:
        blocker = pool.submit(time.sleep, 60)
        assert running(blocker)
        waiting = pool.with_options(retries=2).submit(die_twice, str(tmp_path / "calls"))
        assert waiting.kill() is False
        assert blocker.kill() is True
        assert waiting.result(timeout=60) == "well"


# --- retry_on ---


@pytest.mark.parametrize("method", METHODS)
def test_an_exception_that_can_not_be_sent_is_known_by_its_class(method: str, tmp_path: Path) -> None:
    def submit(retry_on: Any, fn: Callable[..., str], *args: Any) -> Future[str]:
        path = tmp_path / str(len(os.listdir(tmp_path)))
        path.touch()
        return pool.with_options(retries=2, retry_on=retry_on).submit(fn, str(path), *args)

    class Local(Awkward):
        pass

    with ProcessPoolExecutor(1, start_method=method) as pool:
        assert submit(Awkward, raise_twice, Awkward, 1, 2).result(timeout=60) == "well"
        assert submit(Holder, raise_holder).result(timeout=60) == "well"
        assert submit((KeyError, Exception), raise_holder).result(timeout=60) == "well"
        assert submit(Local, raise_twice, Local, 1, 2).result(timeout=60) == "well"
        assert submit(Awkward, raise_twice, Local, 1, 2).result(timeout=60) == "well"
        assert pool.stats().retried == 10
        # What stands in for it is a TypeError, as a lock can't be pickled; the task has raised none.
        error = submit(TypeError, raise_holder).exception(timeout=60)
        assert type(error) is TypeError and "Holder" in str(error)
        error = submit(Local, raise_twice, Awkward, 1, 2).exception(timeout=60)
        assert "Awkward" in str(error)
        assert pool.stats().retried == 10


@pytest.mark.parametrize("method", METHODS)
def test_deadlines_and_deaths_are_retried_where_they_are_named(method: str, tmp_path: Path) -> None:
    # Imports this module before the first task, whose time would count it.
    with ProcessPoolExecutor(1, start_method=method, initializer=calls, initargs=(tmp_path,)) as pool:
        named = pool.with_options(timeout=1.0, retries=2, retry_on=TaskTimeout)
        assert named.submit(hang_twice, str(tmp_path / "a")).result(timeout=60) == "well"
        error = pool.with_options(timeout=0.2, retries=2).submit(hang_twice, str(tmp_path / "b")).exception(timeout=60)
        assert isinstance(error, TaskTimeout) and error.attempts == 1
        deaths = pool.with_options(retries=2, retry_on=WorkerDied)
        assert deaths.submit(die_twice, str(tmp_path / "c")).result(timeout=60) == "well"
        error = pool.with_options(retries=1, retry_on=Exception).submit(os._exit, 3).exception(timeout=60)
        assert isinstance(error, WorkerDied) and error.attempts == 2


def test_a_callback_may_wait_for_another_ones_retry(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2) as pool:
        retried = pool.with_options(retries=2, retry_on=ValueError).submit(raise_twice, str(tmp_path / "a"), ValueError)
        told: list[str] = []
        over = threading.Event()

        def wait(_: object) -> None:
            told.append(retried.result(timeout=60))
            over.set()

        pool.submit(abs, -1).add_done_callback(wait)
        assert over.wait(90) and told == ["well"]


@pytest.mark.parametrize("priority", [0, 5])
def test_a_retry_that_waits_can_be_cancelled(priority: int, tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as pool:
        view = pool.with_options(retries=1, retry_on=ValueError, priority=priority)
        first = view.submit(behind, tmp_path / "gate", raise_soon, 0)
        assert running(first)
        blocker = pool.submit(time.sleep, 60)
        (tmp_path / "gate").touch()
        # It is no more with the worker that has the other one, and before it in no queue.
        assert running(blocker)
        assert eventually(first.cancel) and first.cancelled()
        assert blocker.kill()
        stats = pool.stats()
        assert (stats.submitted, stats.failed, stats.cancelled, stats.retried) == (2, 1, 1, 1)


# --- numbers ---


@pytest.mark.parametrize("method", METHODS)
def test_tasks_are_counted_and_not_their_attempts(method: str, tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        path = iter(str(tmp_path / str(n)) for n in range(9))
        assert pool.with_options(retries=5, retry_on=ValueError).submit(raise_twice, next(path), ValueError).result(60)
        assert pool.with_options(retries=5).submit(die_twice, next(path)).result(60)
        assert pool.with_options(retries=5, retry_on=Exception).submit(die_twice, next(path)).result(60)
        assert pool.stats().retried == 6
        assert pool.with_options(retries=1, retry_on=ValueError).submit(raise_soon, 0).exception(60)
        assert pool.with_options(retries=1).submit(os._exit, 3).exception(60)
        assert pool.submit(raise_soon, 0).exception(60)
        stats = pool.stats()
        assert (stats.submitted, stats.done, stats.failed, stats.cancelled) == (6, 3, 3, 0)
        assert (stats.retried, stats.deaths, stats.pending, stats.running) == (8, 6, 0, 0)
