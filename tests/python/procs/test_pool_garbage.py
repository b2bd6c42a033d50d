"""A task that writes over the memory that workers share with their pool costs as little as can be, and blames nobody else."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
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


def nap_behind(gate: Path, seconds: float, value: Any = None) -> Any:
    """The same from the moment that the gate is there, however slow the machine is."""
    assert eventually(gate.exists)
    return nap(seconds, value)


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


def scribble(part: str, byte: int, gate: Path | None = None) -> int:
    """Over a whole part; then opens the gate."""
    _, start, end = shared()
    first, size = PARTS[part]
    ctypes.memset(start + first, byte, min(end - start - first, size))
    if gate is not None:
        gate.touch()
    return 1


def scribble_over_the_parents() -> None:
    ctypes.memset(shared()[0], 0xA5, 64)


@pytest.mark.parametrize(("part", "byte"), [(part, byte) for part in PARTS for byte in (0xA5, 1, 0)])
def test_garbage_is_survived(part: str, byte: int, tmp_path: Path) -> None:
    with ProcessPoolExecutor(WORKERS) as pool:
        assert pool.submit(square, 1).result(timeout=60) == 1
        other = pool.submit(nap_behind, tmp_path / "gate", 0.5, "other")
        assert eventually(other.running)
        guilty = pool.submit(scribble, part, byte, tmp_path / "gate")
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


SLOT, READY, TAKEN = 256, 1, 2
# From the first byte of what is the parents' and of what is everybody's.
TAIL, HINT, LEADER, SLEEPERS = 256, 0, 256, 384


def ready_slots(start: int) -> Iterator[ctypes.c_uint64]:
    first = start + PARTS["slots"][0]
    words = (ctypes.c_uint64.from_address(first + at) for at in range(0, SLOTS, SLOT))
    return (word for word in words if word.value & 0xF == READY)


def stray(where: str, gate: Path) -> int:
    """A single word or two, when two tasks wait and their pool sleeps; says how many tasks it has hit, and opens the gate."""
    try:
        return hit(where)
    finally:
        gate.touch()


def hit(where: str) -> int:
    header, start, _ = shared()
    assert eventually(lambda: len([*ready_slots(start)]) >= 2)
    time.sleep(0.1)
    found = [*ready_slots(start)][:2]
    if where == "names":
        # Each of the two workers is said to have one: this one, and the one that does something else.
        for worker, word in enumerate(found):
            word.value = word.value & ~0xFFFFF | worker << 4 | TAKEN
        return 2
    if where == "hint":
        ctypes.c_uint64.from_address(start + HINT).value = ctypes.c_uint64.from_address(header + TAIL).value
    elif where == "sleepers":
        ctypes.memset(start + SLEEPERS, 0, 128)
    elif where == "leader":
        ctypes.c_uint64.from_address(start + LEADER).value = 0
    elif where == "slot":
        ctypes.memset(ctypes.addressof(found[0]), 0xA5, SLOT)
    else:
        found[0].value = int(where, 0)
    return 1


def by_result(future: Future[Any]) -> None:
    future.exception(timeout=60)


def by_looking(future: Future[Any]) -> None:
    assert eventually(future.done)


def by_callback(future: Future[Any]) -> None:
    called = threading.Event()
    future.add_done_callback(lambda _: called.set())
    assert called.wait(60)


@pytest.mark.parametrize("wait", [by_result, by_looking, by_callback])
@pytest.mark.parametrize("where", ["0", "0x1234567890abcdef", "slot", "hint", "sleepers", "leader", "names"])
def test_a_stray_word_lets_no_task_hang(where: str, wait: Callable[[Future[Any]], None], tmp_path: Path) -> None:
    with ProcessPoolExecutor(WORKERS) as pool:
        assert [pool.submit(square, n).result(timeout=60) for n in range(WORKERS)] == [0, 1]
        other = pool.submit(nap_behind, tmp_path / "gate", 0.4, "other")
        assert eventually(other.running)
        guilty = pool.submit(stray, where, tmp_path / "gate")
        waiting = [pool.submit(square, n) for n in range(4)]
        for future in (*waiting, guilty, other):
            wait(future)
        assert other.result() == "other"
        lost = [future for future in waiting if future.exception()]
        assert len(lost) <= guilty.result()
        for future in lost:
            assert isinstance(future.exception(), WorkerDied) and "held garbage" in str(future.exception())
        assert [future.result() for future in waiting if not future.exception()] == [
            n * n for n, future in enumerate(waiting) if not future.exception()
        ]
        if where == "names":
            # Whoever is named may have begun it, for all that is known.
            assert len(lost) == 2
        assert [pool.submit(square, n).result(timeout=60) for n in range(9)] == [n * n for n in range(9)]
        assert pool.stats().pending == pool.stats().running == 0


@pytest.mark.parametrize("where", ["0", "0x1234567890abcdef", "hint", "names"])
def test_a_stray_word_stops_no_pool_that_is_never_at_rest(where: str, tmp_path: Path) -> None:
    with ProcessPoolExecutor(WORKERS) as pool:
        other = pool.submit(nap_behind, tmp_path / "gate", 0.2, "other")
        assert eventually(other.running)
        guilty = pool.submit(stray, where, tmp_path / "gate")
        # More than the ring has slots, so that the way round comes to the one that was hit.
        futures = [pool.submit(square, n) for n in range(10_000)]
        errors = [error for future in futures if (error := future.exception(timeout=60))]
        assert len(errors) <= guilty.result(timeout=60) and all(isinstance(error, WorkerDied) for error in errors)
        assert other.result(timeout=60) == "other"


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
def test_a_stray_write_to_what_is_the_parents_ends_its_own_worker(method: str, tmp_path: Path) -> None:
    with ProcessPoolExecutor(WORKERS, start_method=method) as pool:
        other = pool.submit(nap_behind, tmp_path / "gate", 0, "other")
        assert eventually(other.running)
        error = pool.submit(scribble_over_the_parents).exception(timeout=60)
        assert isinstance(error, WorkerDied) and error.signal == signal.SIGSEGV
        assert error.stack and "in scribble_over_the_parents" in error.stack
        (tmp_path / "gate").touch()
        assert other.result(timeout=60) == "other"
        assert pool.submit(square, 3).result(timeout=60) == 9


def test_without_retries_nothing_runs_twice(tmp_path: Path) -> None:
    counts = [tmp_path / str(n) for n in range(20)]
    with ProcessPoolExecutor(WORKERS) as pool:
        assert pool.submit(square, 1).result(timeout=60) == 1
        other = pool.submit(mark, tmp_path / "other", tmp_path / "gate")
        assert eventually(other.running)
        guilty = pool.submit(scribble, "everything", 0xA5, tmp_path / "gate")
        futures = [other, *(pool.submit(mark, path) for path in counts)]
        assert isinstance(guilty.exception(timeout=60), WorkerDied)
        for future, path in zip(futures, [tmp_path / "other", *counts], strict=True):
            error = future.exception(timeout=60)
            begun = path.read_text().count("begun") if path.exists() else 0
            assert begun == 1 if error is None else begun <= 1


def mark(path: Path, gate: Path | None = None) -> None:
    with path.open("a") as file:
        file.write("begun\n")
    if gate is not None:
        nap_behind(gate, 0.3)
