"""A task that writes over the memory that workers share with their pool costs as little as can be, and blames nobody else."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually

from forkful import ProcessPoolExecutor, WorkerDied

METHODS = ["fork", "zygote", "spawn"]
WORKERS = 2
PAGE, SLOTS = 4096, 4096 * 256
# From the first byte that a worker can write: control words, a page per worker, slots, a ring per worker.
PARTS = {
    "everything": (0, 1 << 30),
    "control": (0, PAGE),
    "pages": (PAGE, WORKERS * PAGE),
    "slots": ((1 + WORKERS) * PAGE, SLOTS),
    "rings": ((1 + WORKERS) * PAGE + SLOTS, 1 << 30),
}


def square(x: int) -> int:
    return x * x


def nap(seconds: float, value: Any = None) -> Any:
    time.sleep(seconds)
    return value


def shared() -> tuple[int, int, int]:
    """Where the memory of this worker's pool begins, and of what it can write the begin and the end."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    found = [re.match(r"([0-9a-f]+)-([0-9a-f]+) (r.)-s .*forkful-link", line) for line in lines]
    parts = [(int(part[1], 16), int(part[2], 16), part[3]) for part in found if part]
    # Those of older pools of this process are inherited, and are in one piece.
    for (start, end, access), (first, last, other) in pairwise(parts):
        if end == first and (access, other) == ("r-", "rw"):
            return start, first, last
    raise AssertionError(parts)


def scribble(part: str, byte: int) -> int:
    _, start, end = shared()
    first, size = PARTS[part]
    ctypes.memset(start + first, byte, min(end - start - first, size))
    return 1


def scribble_over_the_parents() -> None:
    ctypes.memset(shared()[0], 0xA5, 64)


@pytest.mark.parametrize(
    ("part", "byte"), [*((part, byte) for part in PARTS for byte in (0xA5, 1)), ("slots", 0), ("pages", 0)]
)
def test_garbage_is_survived(part: str, byte: int) -> None:
    with ProcessPoolExecutor(WORKERS) as pool:
        assert pool.submit(square, 1).result(timeout=60) == 1
        other = pool.submit(nap, 0.5, "other")
        assert eventually(other.running)
        guilty = pool.submit(scribble, part, byte)
        waiting = [pool.with_options(retries=3).submit(square, n) for n in range(50)]
        error = guilty.exception(timeout=60)
        assert error is None or (isinstance(error, WorkerDied) and error.ran_for != 0)
        error = other.exception(timeout=60)
        if error is None:
            assert other.result() == "other"
        else:
            # Whose task it was cannot be told, so it is not said to be this one's.
            assert isinstance(error, WorkerDied) and "held garbage" in str(error) and "'nap' wrote" not in str(error)
        if part == "control":
            assert other.result() == "other"
        assert [future.result(timeout=60) for future in waiting] == [n * n for n in range(50)]
        # The library is as it was, for functions that were known before, too.
        for n in range(3):
            assert pool.submit(square, n).result(timeout=60) == n * n
            assert pool.submit(lambda n=n: -n).result(timeout=60) == -n
        assert len(pool.workers()) <= WORKERS


def zero_the_control_page() -> int:
    time.sleep(0.1)
    return scribble("control", 0)


def test_a_waiter_whose_word_is_written_over_hears_of_his_outcome() -> None:
    with ProcessPoolExecutor(WORKERS) as pool:
        assert pool.submit(square, 1).result(timeout=60) == 1
        for _ in range(3):
            assert pool.submit(zero_the_control_page).result(timeout=60) == 1


def grow_the_dump() -> None:
    for name in os.listdir("/proc/self/fd"):
        link = Path("/proc/self/fd", name)
        if link.exists() and "forkful-dump" in os.readlink(link):
            os.ftruncate(int(name), 1 << 45)
    ctypes.string_at(0)


def test_a_dump_as_large_as_a_disk_is_read_as_far_as_it_is_text() -> None:
    with ProcessPoolExecutor(1) as pool:
        error = pool.submit(grow_the_dump).exception(timeout=60)
        assert isinstance(error, WorkerDied) and error.signal == signal.SIGSEGV
        assert error.stack and "in grow_the_dump" in error.stack and "\0" not in error.stack
        assert pool.submit(square, 3).result(timeout=60) == 9


@pytest.mark.parametrize("method", METHODS)
def test_a_stray_write_to_what_is_the_parents_ends_its_own_worker(method: str) -> None:
    with ProcessPoolExecutor(WORKERS, start_method=method) as pool:
        other = pool.submit(nap, 0.3, "other")
        assert eventually(other.running)
        error = pool.submit(scribble_over_the_parents).exception(timeout=60)
        assert isinstance(error, WorkerDied) and error.signal == signal.SIGSEGV
        assert error.stack and "in scribble_over_the_parents" in error.stack
        assert other.result(timeout=60) == "other"
        assert pool.submit(square, 3).result(timeout=60) == 9


def test_without_retries_nothing_runs_twice(tmp_path: Path) -> None:
    counts = [tmp_path / str(n) for n in range(20)]
    with ProcessPoolExecutor(WORKERS) as pool:
        assert pool.submit(square, 1).result(timeout=60) == 1
        other = pool.submit(mark, tmp_path / "other", 0.3)
        assert eventually(other.running)
        guilty = pool.submit(scribble, "everything", 0xA5)
        futures = [other, *(pool.submit(mark, path, 0) for path in counts)]
        assert isinstance(guilty.exception(timeout=60), WorkerDied)
        for future, path in zip(futures, [tmp_path / "other", *counts], strict=True):
            error = future.exception(timeout=60)
            begun = path.read_text().count("begun") if path.exists() else 0
            assert begun == 1 if error is None else begun <= 1


def mark(path: Path, seconds: float) -> None:
    with path.open("a") as file:
        file.write("begun\n")
    time.sleep(seconds)
