"""Waits until something has become true, without asking how soon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WATCHDOG = 30.0
"""Seconds after which a test that waits is given up. A hang, not a slow machine, is what reaches it."""


def eventually(predicate: Callable[[], object]) -> bool:
    """True as soon as `predicate()` is, False when the watchdog bites first."""
    give_up = time.monotonic() + WATCHDOG
    while not predicate():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.001)
    return True


@contextmanager
def never_before(seconds: float) -> Iterator[None]:
    """What it surrounds lasts so long at least: a promise of every timeout, which no slow machine can break."""
    start = time.monotonic()
    yield
    lasted = time.monotonic() - start
    assert lasted >= seconds, f"over after {lasted} s, before the {seconds} s asked for"
