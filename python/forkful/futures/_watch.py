"""A thread that looks on while first calls run: how much is computed, and how long the interpreter's lock is held.

There only as long as somebody waits for what it finds; an executor that has learned its functions has no timer. Does not know:
functions, pools, what is made of the figures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from forkful._gil import Sampling

__all__ = ["Watch"]

_INTERVAL = 0.0005
"""Seconds between two asks for the lock, on average: first calls may be short."""
_TICK, _LONGEST_TICK = 0.002, 0.02
"""Seconds between two looks: the first, and the longest."""
_ASKS = 5
"""How often the lock must have been asked for before the answer counts."""


class Watch:
    """Looks at some threads."""

    def __init__(self, threads: set[threading.Thread]) -> None:
        self._threads = threads
        self._sampling = Sampling(_INTERVAL)

    def run(self, tell: Callable[[float | None, float | None], bool]) -> None:
        """Calls ``tell(CPUs that the threads use, share of the time in which the lock was held or None)`` until it says no.

        In the end, however it comes, it is called with None for the first.
        """
        pause = _TICK
        try:
            with self._sampling:
                before, at = self._computed(), time.monotonic()
                while True:
                    time.sleep(pause)
                    pause = min(_LONGEST_TICK, 1.5 * pause)
                    now, then = self._computed(), time.monotonic()
                    if not tell((now - before) / (then - at), self.lock()):
                        return
                    before, at = now, then
        except BaseException:
            tell(None, None)
            raise

    def lock(self) -> float | None:
        """The share of the time in which the interpreter's lock was held, 0 to 1; None before that can be said."""
        use = self._sampling.use()
        return use.share if use.asks >= _ASKS else None

    def _computed(self) -> float:
        """Seconds of CPU time that the threads have used.

        From the kernel's files: the clock of a thread that has just ended may not be asked, as the C library would crash.
        """
        total = 0
        for thread in list(self._threads):
            try:
                with open(f"/proc/self/task/{thread.native_id}/schedstat") as file:
                    total += int(file.read().split()[0])
            except (OSError, ValueError, IndexError):
                pass  # it has ended
        return total * 1e-9
