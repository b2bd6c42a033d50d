"""What the tests of the executor that chooses submit: functions of which it is plain where they belong."""

from __future__ import annotations

import os
import threading
import time
import zlib
from typing import Any

DATA = bytes(range(256)) * 20_000
SEEN: dict[int, int] = {}
MODE = {"waits": False}


def compute(rounds: int) -> int:
    """In Python, with the interpreter's lock in hand; 100,000 rounds take some milliseconds."""
    total = 0
    for number in range(rounds):
        total += number * number
    return total


def pid_and_compute(rounds: int) -> int:
    compute(rounds)
    return os.getpid()


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def squeeze(level: int) -> int:
    """Computes without the lock."""
    zlib.compress(DATA, level)
    return os.getpid()


def nothing() -> int:
    return os.getpid()


def compute_and_note(number: int) -> int:
    compute(100_000)
    SEEN[number] = number
    return os.getpid()


def compute_a_generator(rounds: int) -> Any:
    compute(rounds)
    return (number for number in range(3))


def compute_with(lock: Any, rounds: int) -> int:
    with lock:
        compute(rounds)
    return os.getpid()


def compute_and_fail(rounds: int) -> None:
    compute(rounds)
    raise ValueError(f"after {rounds} rounds")


def compute_or_nap(rounds: int) -> int:
    """One or the other, by what it is given."""
    if rounds:
        compute(rounds)
    else:
        time.sleep(0.005)
    return os.getpid()


def compute_sometimes_unsendable(number: int) -> Any:
    """A result that can't be sent back, only in another process than that of the tests."""
    compute(100_000)
    return threading.Lock() if os.environ.get("FORKFUL_TEST_PARENT") != str(os.getpid()) else number


def die(parent: int) -> int:
    """Ends its process, unless that is `parent`."""
    compute(100_000)
    if os.getpid() != parent:
        os._exit(3)
    return parent
