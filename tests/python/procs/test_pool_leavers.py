"""Workers that come and go: initializers that fail, finalizers of all kinds, replacement by number and by size."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from sizes import resident

from forkful import ProcessPoolExecutor, WorkerDied
from forkful.futures import process
from forkful.futures.process import BrokenProcessPool

METHODS = ["fork", "zygote", "spawn"]
KEPT: list[bytes] = []


def grow(size: int) -> int:
    KEPT.append(b"x" * size)
    return os.getpid()


def pid() -> int:
    return os.getpid()


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def fail(error: BaseException) -> None:
    raise error


def interrupt_self() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def note(path: str, then: Any = None, *args: Any) -> None:
    Path(path, str(os.getpid())).touch()
    if then is not None:
        then(*args)


def hang(path: str) -> None:
    Path(path, str(os.getpid())).touch()
    while True:
        time.sleep(60)


def leave_a_thread() -> int:
    threading.Thread(target=time.sleep, args=(600,)).start()
    return os.getpid()


def lose_exceptions() -> None:
    from forkful import _worker

    def dump_exception(self: object, error: BaseException) -> bytes:
        raise MemoryError

    _worker.Worker.dump_exception = dump_exception  # type: ignore[method-assign]


class Odd(Exception):
    pass


def raise_odd() -> None:
    raise Odd("odd")


def is_gone(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# --- replaced for its size ---


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pause", [0, 0.1])
def test_a_worker_that_has_grown_is_replaced(method: str, pause: float) -> None:
    # Where workers are forked from this process they begin with its size; the others are small.
    limit = (resident() if method == "fork" else 0) + (150 << 20)
    with ProcessPoolExecutor(1, start_method=method, max_memory_per_child=limit) as pool:
        first = pool.submit(pid).result(timeout=60)
        time.sleep(pause)
        # Sooner after the last look than looks are made, or not: it leaves, and not one task later.
        assert pool.submit(grow, 300 << 20).result(timeout=60) == first
        assert eventually(lambda: is_gone(first))
        second = pool.submit(pid).result(timeout=60)
        assert second != first
        assert [pool.submit(pid).result(timeout=60) for _ in range(20)] == [second] * 20
        assert pool.stats().deaths == 0


def test_workers_that_grow_are_replaced_between_many_tasks() -> None:
    with ProcessPoolExecutor(2, start_method="fork", max_memory_per_child=resident() + (100 << 20)) as pool:
        futures = [pool.submit(grow, 2 << 20) for _ in range(300)]
        pids = {future.result(timeout=60) for future in futures}
        assert len(pids) > 2 and pool.stats().deaths == 0
        assert pool.stats().done == 300


# --- initializers ---


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("error", [KeyboardInterrupt("mine"), SystemExit(3), GeneratorExit()])
def test_what_an_initializer_raises_is_the_cause(method: str, error: BaseException) -> None:
    with ProcessPoolExecutor(2, start_method=method, initializer=fail, initargs=(error,)) as pool:
        broken = pool.submit(abs, -1).exception(timeout=60)
        assert type(broken) is BrokenProcessPool and "initializer failed" in str(broken)
        assert type(broken.__cause__) is type(error) and broken.__cause__.args == error.args


@pytest.mark.parametrize("method", METHODS)
def test_a_real_interrupt_of_an_initializer_is_no_failure_of_its_own(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method, initializer=interrupt_self) as pool:
        broken = pool.submit(abs, -1).exception(timeout=60)
        assert isinstance(broken, WorkerDied) and broken.exit_code == 130 and broken.__cause__ is None


# --- finalizers ---


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "then",
    [(), (fail, ValueError("x")), (sys.exit, 3), (os._exit, 3), (fail, KeyboardInterrupt())],
    ids=["returns", "raises", "sys.exit", "os._exit", "interrupts"],
)
def test_finalizers_of_all_kinds(method: str, then: tuple[Any, ...], tmp_path: Path) -> None:
    finalizer = partial(note, str(tmp_path), *then)
    with ProcessPoolExecutor(1, start_method=method, max_tasks_per_child=2, finalizer=finalizer) as pool:
        pids = [pool.submit(pid).result(timeout=60) for _ in range(5)]
        assert len(set(pids)) == 3
        # It has said that it leaves: how, costs nobody a task.
        assert pool.stats().deaths == 0 and pool.stats().failed == 0
    assert {int(mark.name) for mark in tmp_path.iterdir()} == set(pids)
    assert all(map(is_gone, pids))


@pytest.mark.parametrize("method", METHODS)
def test_a_finalizer_that_hangs_does_not_keep_tasks_waiting(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LEAVING_SECONDS", 0.3)
    finalizer = partial(hang, str(tmp_path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pool = ProcessPoolExecutor(1, start_method=method, max_tasks_per_child=1, finalizer=finalizer)
        pids = [future.result(timeout=60) for future in [pool.submit(pid) for _ in range(3)]]
        assert len(set(pids)) == 3 and pool.stats().deaths == 0

        def told() -> list[str]:
            # From 3.12 on a fork beside other threads is warned of as well.
            return [str(w.message) for w in caught if w.category is RuntimeWarning]

        assert eventually(lambda: len(told()) >= 2)
    assert all(
        f"worker process {number} was to be replaced" in text for number, text in zip(pids, told(), strict=False)
    )
    # Nobody waits for the last one's place: it is waited for, as with the standard library.
    assert eventually(lambda: (tmp_path / str(pids[-1])).exists())
    pool.shutdown(wait=False)
    assert not is_gone(pids[-1])
    os.kill(pids[-1], signal.SIGKILL)
    pool.shutdown()


def test_a_thread_that_stays_does_not_keep_tasks_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LEAVING_SECONDS", 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ProcessPoolExecutor(1, start_method="fork", max_tasks_per_child=1) as pool:
            first, second = pool.submit(leave_a_thread), pool.submit(pid)
            assert first.result(timeout=60) != second.result(timeout=60)


# --- errors that nothing can send ---


@pytest.mark.parametrize("method", METHODS)
def test_an_error_that_can_not_be_told_is_named(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method, initializer=lose_exceptions) as pool:
        error = pool.submit(raise_odd).exception(timeout=60)
        assert type(error) is RuntimeError and f"{Odd.__module__}.Odd, and the worker could not send it" in str(error)
        assert pool.submit(abs, -1).result(timeout=60) == 1
