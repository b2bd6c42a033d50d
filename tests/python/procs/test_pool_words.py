"""What a death says: each field and each sentence is about this death, and what could not be known is said to be unknown."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from sizes import resident

from forkful import ProcessPoolExecutor, WorkerDied, _line

METHODS = ["fork", "zygote", "spawn"]


def square(x: int) -> int:
    return x * x


def read_nothing() -> None:
    ctypes.string_at(0)


def give_up() -> None:
    os.abort()


def die_silently() -> None:
    faulthandler.disable()
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def grow(path: str, megabytes: int) -> str:
    if os.path.exists(path):
        return "small enough"
    Path(path).touch()
    block = bytearray(megabytes << 20)
    for at in range(0, len(block), 4096):
        block[at] = 1
    time.sleep(60)
    return "never"


def kill_the_nursery(pool: int) -> None:
    nursery = os.getppid()
    assert nursery not in (pool, 1)
    os.kill(nursery, signal.SIGKILL)
    time.sleep(60)


def note_and_nap(path: Path) -> None:
    path.touch()
    time.sleep(60)


def death_of(pool: ProcessPoolExecutor, fn: object, *args: object) -> WorkerDied:
    error = pool.submit(fn, *args).exception(timeout=60)  # type: ignore[arg-type]
    assert isinstance(error, WorkerDied)
    return error


@pytest.mark.parametrize("method", METHODS)
def test_each_crash_has_its_own_stack(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        first, second = death_of(pool, read_nothing), death_of(pool, give_up)
        assert (first.signal, second.signal) == (signal.SIGSEGV, signal.SIGABRT)
        assert first.stack and "in read_nothing" in first.stack
        assert second.stack and "in give_up" in second.stack and "read_nothing" not in second.stack
        # No stack could be had, and the last one's is not told in its place.
        third = death_of(pool, die_silently)
        assert (third.signal, third.stack) == (signal.SIGSEGV, None)
        assert "in give_up" not in str(third)


def test_what_is_unknown_is_said_to_be(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as pool:
        silent = death_of(pool, die_silently)
        assert silent.peak_memory and "peak memory" in str(silent) and "no stack could be had" in str(silent)
        error = pool.with_options(timeout=0.3).submit(time.sleep, 60).exception(timeout=60)
        assert "its stack:" in str(error) and "no stack" not in str(error)


@pytest.mark.parametrize("method", METHODS)
def test_a_nurserys_death_is_told_as_that(method: str) -> None:
    # Once in a while it dies before it could tell of the worker's birth.
    with ProcessPoolExecutor(1, start_method=method) as pool:
        assert pool.submit(square, 2).result(timeout=60) == 4
        error = death_of(pool, kill_the_nursery, os.getpid())
        assert "ended with the process that had made it, which died" in str(error)
        assert error.peak_memory is None and "peak memory unknown" in str(error)
        assert "perhaps the kernel" not in str(error)
        assert pool.submit(square, 3).result(timeout=60) == 9


def test_a_memory_limit_is_named_and_retried(tmp_path: Path) -> None:
    limit = (resident() & -1 << 20) + (200 << 20)
    with ProcessPoolExecutor(1, memory_limit=limit, memory_sampling=0.05) as pool:
        error = death_of(pool, grow, str(tmp_path / "one"), 400)
        assert (
            f"memory_limit={limit}" in str(error)
            and f"{limit >> 20} MiB" in str(error)
            and "every 0.05 s" in str(error)
        )
        again = pool.with_options(retries=1).submit(grow, str(tmp_path / "two"), 400)
        assert again.result(timeout=60) == "small enough"
        assert pool.stats().retried == 1


def test_a_worker_of_whose_birth_nobody_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, begun, died = _line.Line.send, tmp_path / "begun", tmp_path / "died"

    def send(line: Any, data: bytes, fds: Any = ()) -> None:
        # In the template, which has inherited this: it has forked, and the worker begins the task meanwhile.
        if data[0] == ord("s") and not died.exists():
            assert eventually(begun.exists)
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        real(line, data, fds)

    monkeypatch.setattr(_line.Line, "send", send)
    with ProcessPoolExecutor(1, start_method="fork") as pool:
        error = death_of(pool, note_and_nap, begun)
        assert "ended with the process that had made it" in str(error) and error.pid
        assert pool.submit(square, 3).result(timeout=60) == 9
