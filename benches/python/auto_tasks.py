"""What the executor that chooses is measured with: tasks of which each belongs somewhere else."""

from __future__ import annotations

import time
import zlib

TEXT = b"".join(b"%d bottles of beer on the wall, " % number for number in range(20_000))


def nap(_: int) -> None:
    """Waits for 20 ms, as for a server's answer."""
    time.sleep(0.02)


def compute(number: int) -> int:
    """Some milliseconds of Python."""
    total = number
    for value in range(150_000):
        total += value * value
    return total


def squeeze(number: int) -> int:
    """Some milliseconds outside the interpreter's lock."""
    return len(zlib.compress(TEXT, 4)) + number


def tiny(number: int) -> int:
    return number + 1


def head(data: bytes) -> int:
    """Hardly anything, of a large argument."""
    return sum(data[:1000])


LARGE = [bytes([number]) * 1_000_000 for number in range(8)]


def arguments(kind: str, count: int) -> list[int] | list[bytes]:
    """For `count` tasks of this kind."""
    return [LARGE[number % len(LARGE)] for number in range(count)] if kind == "head" else list(range(count))
