"""What the measured pools are given to do; by itself, so that their workers import nothing else."""

from __future__ import annotations

import time
from typing import Any


def noop() -> None:
    """Nothing."""


def identity(value: int) -> int:
    """What it is given."""
    return value


def increment(value: int) -> int:
    """One more."""
    return value + 1


def nap(seconds: float) -> None:
    """Waits, and computes nothing."""
    time.sleep(seconds)


def primes(below: int, upto: int) -> int:
    """How many primes there are from `below` to `upto`, by division: computing in Python, with the lock held."""
    found = 0
    for number in range(max(below, 2), upto):
        divisor = 2
        while divisor * divisor <= number:
            if number % divisor == 0:
                break
            divisor += 1
        else:
            found += 1
    return found


def piece(bounds: tuple[int, int]) -> int:
    """`primes`, for those that call with one argument."""
    return primes(*bounds)


def total(array: Any) -> float:
    """Looks at all of a numpy array, or at each page of a bytes object."""
    return float(sum(array[::4096]) if isinstance(array, bytes) else array.sum())
