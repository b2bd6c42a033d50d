"""The tasks that the process pools run: in a module of their own, so that every pool sends them by reference."""

from __future__ import annotations

import time
from typing import Any


def noop() -> None:
    pass


def identity(value: object) -> object:
    return value


def increment(number: int) -> int:
    return number + 1


def echo(payload: bytes) -> bytes:
    return payload


def burn(turns: int) -> None:
    """Computes for a while; how long, `turns_for` has found out."""
    for _ in range(turns):
        pass


def turns_for(seconds: float) -> int:
    """How many turns of `burn` take so long here, undisturbed."""
    turns = 1000
    times = []
    for _ in range(200):
        start = time.perf_counter()
        burn(turns)
        times.append(time.perf_counter() - start)
    return max(round(turns * seconds / min(times)), 1)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def total(array: Any) -> float:
    return float(array.sum())


def ones(length: int) -> Any:
    import numpy

    return numpy.ones(length)


def negative(array: Any) -> Any:
    return -array


def number(index: int) -> float:
    return float(index)


def number_in(array: Any, index: int) -> float:
    # forkful's handle of a shared object has it there.
    return float(getattr(array, "value", array)[index])
