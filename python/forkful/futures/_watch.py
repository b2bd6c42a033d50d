"""A thread that looks on while first calls run: how much is computed, and how long the interpreter's lock is held.

There only as long as somebody waits for what it finds; an executor that has learned its functions has no timer. Does not know:
functions, pools, what is made of the figures.
"""

from __future__ import annotations

import math
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


_ENOUGH = 0.008
"""Seconds of computing without which nothing is known."""
_MOST = 0.7
"""Of what the threads compute, so much must be by the function that it is asked of."""


class Watch:
    """Looks at some threads."""

    def __init__(self, threads: set[threading.Thread], free: float) -> None:
        """free: the share from which on the lock counts as held."""
        self._threads = threads
        self._free = free
        self._before = 0.0
        self._begun = 0.0
        self._sampling = Sampling(_INTERVAL)
        self._over = threading.Event()

    def run(self, tell: Callable[[float | None, float], bool]) -> None:
        """Calls ``tell(CPUs that the threads use, share of the time in which the lock was held)`` until it says no.

        In the end, however it comes, it is called with None for the first.
        """
        pause = _TICK
        try:
            self._before = before = self._computed()
            with self._sampling:
                self._begun = at = time.monotonic()
                while True:
                    if self._over.wait(pause):
                        tell(None, 0.5)
                        return
                    pause = min(_LONGEST_TICK, 1.5 * pause)
                    now, then = self._computed(), time.monotonic()
                    use = self._sampling.use()
                    if not tell((now - before) / (then - at), use.share if use.asks >= _ASKS else 0.5):
                        return
                    before, at = now, then
        except BaseException:
            tell(None, 0.5)
            raise

    def end(self) -> None:
        """Has `run` return soon."""
        self._over.set()

    def lock(self, own: float = math.inf) -> float | None:
        """The time in which the interpreter's lock was held, by anybody, as a share of what the threads have computed; 0 to 1.

        None as long as that may be much or little: on a busy machine whoever asks for the lock comes too late for a short call.
        own: seconds of the computing that the question is about; None if others have computed much beside it.
        """
        use, computed = self._sampling.use_now(), self._computed() - self._before
        if use.asks < _ASKS or computed < _ENOUGH or own < _MOST * computed:
            return None
        # Far fewer than there should be: it had to wait for a CPU, and asked when the others had one no more.
        if use.held == 0 and use.asks < 0.6 * (time.monotonic() - self._begun) / _INTERVAL:
            return None
        share, off = use.share * use.elapsed / computed, use.margin * use.elapsed / computed
        return min(1.0, share) if share + off < self._free or share - off > self._free else None

    def is_crowded(self, own: float) -> bool:
        """Whether others have computed so much that nothing will be known by `lock`."""
        computed = self._computed() - self._before
        return computed >= _ENOUGH and own < _MOST * computed

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
