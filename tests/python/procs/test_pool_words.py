"""What a death says: each field and each sentence is about this death, and what could not be known is said to be unknown."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import time

import pytest

from forkful import ProcessPoolExecutor, WorkerDied

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
