"""How much of the budget is left, and who wants to be told.

Knows: the clock. Does not know: what is done with the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Progress", "Timekeeper"]

Progress = Callable[[float, str], object]
"""Called with what is done, from 0 to 1, and what is being done, in words."""


class Timekeeper:
    """Counts from when it is made."""

    def __init__(self, budget: float, progress: Progress | None) -> None:
        """budget: in seconds."""
        self.budget = budget
        self._progress = progress
        self._begun = time.perf_counter()
        self.deadline = self._begun + budget
        """On the clock of `time.perf_counter`."""
        self._hurried = False

    def left(self) -> float:
        """Seconds until the deadline; below 0 past it."""
        return self.deadline - time.perf_counter()

    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._begun

    def give(self, seconds: float) -> None:
        """Has so many be left at least."""
        if not self._hurried:
            self.deadline = max(self.deadline, time.perf_counter() + seconds)

    def give_back(self, seconds: float) -> None:
        """So many were lost for no fault of those that are still to come."""
        if not self._hurried:
            self.deadline += seconds

    def hurry(self) -> None:
        """Nothing is left any more. Any thread may call it."""
        self._hurried = True
        self.deadline = 0.0

    def say(self, what: str) -> None:
        """Tells what is done now."""
        if self._progress is not None:
            self._progress(min(0.99, self.spent() / self.budget), what)

    def end(self) -> None:
        """Tells that all is done."""
        if self._progress is not None:
            self._progress(1.0, "done")
