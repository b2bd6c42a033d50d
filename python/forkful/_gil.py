"""How much of a stretch of time the interpreter's lock was held, with how far that may be off.

Knows: the engine's sampler. Does not know: who held the lock, or what for.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forkful import _engine

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GilUse", "Sampling", "has_gil"]

INTERVAL = 0.001
"""Seconds between two asks, on average."""

_NOTHING = 20e-6
"""Seconds within which the lock is taken where nobody has it."""

_SIGMAS = 1.96
"""95 of 100 such intervals have the true value in them."""


def has_gil() -> bool:
    """Whether threads of this interpreter take turns. False on a free-threaded one, unless a module has brought the lock back."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    return enabled is None or bool(enabled())


@dataclass(frozen=True)
class GilUse:
    """What a sampler found in a stretch of time."""

    elapsed: float
    """Seconds that were looked at."""
    waited: float
    """Seconds of them in which the sampler waited for the lock, so somebody had it."""
    asks: int
    """How often it asked."""
    held: int
    """How often somebody had the lock at that moment."""

    @property
    def share(self) -> float:
        """The share of the time in which somebody held the lock, 0 to 1; 0.5 when nothing was asked."""
        if not self.asks or self.elapsed <= 0:
            return 0.5
        # Between the asks as often as the asks say, during the waits all the time.
        return min(1.0, (self.waited + self._found() * (self.elapsed - self.waited)) / self.elapsed)

    @property
    def margin(self) -> float:
        """How far `share` may be off, at 95 %; 0.5 when nothing was asked."""
        if not self.asks or self.elapsed <= 0:
            return 0.5
        n, p, z = self.asks, self._found(), _SIGMAS
        # Wilson's interval, which stays honest at shares near 0 and 1 and at few asks.
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        off = abs(centre - p) + half
        return min(0.5, off * (self.elapsed - self.waited) / self.elapsed)

    def since(self, earlier: GilUse) -> GilUse:
        """What was found after `earlier`, in the same run."""
        return GilUse(
            self.elapsed - earlier.elapsed,
            self.waited - earlier.waited,
            self.asks - earlier.asks,
            self.held - earlier.held,
        )

    def _found(self) -> float:
        return self.held / self.asks


class Sampling:
    """Samples while a block runs: ``with Sampling() as sampling: work()``, then ``sampling.use()``."""

    def __init__(self, interval: float = INTERVAL) -> None:
        """interval: seconds between two asks, on average."""
        self._sampler = _engine.GilSampler(interval)

    def use(self) -> GilUse:
        """What was found until now, or until the end."""
        return GilUse(*self._sampler.read())

    def use_now(self) -> GilUse:
        """The same with the ask that is under way, for whoever has the lock and knows so that it waits for him.

        A short call that holds the lock is over before anybody who asked for it meanwhile can say that he waited.
        """
        waiting, use = self._sampler.waiting(), self.use()
        if waiting < _NOTHING:
            return use
        return GilUse(use.elapsed + waiting, use.waited + waiting, use.asks + 1, use.held + 1)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._sampler.stop()
