"""What the rules say of a function, as plain values.

Knows: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Choice", "Verdict"]

Choice = Literal["inline", "threads", "processes", "processes with share", "asyncio", "nothing to judge"]
"""`inline`: call it directly. `nothing to judge`: it raised, or has no end."""


@dataclass(frozen=True)
class Verdict:
    """Which way to call a function, and how sure that is."""

    choice: Choice
    """`inline`, `threads`, `processes`, `processes with share`, `asyncio`, or `nothing to judge` if it raised or has no end."""
    cause: str
    """Why, in a few words that are the same for all functions of this kind, such as `waits` or `computes in Python`."""
    workers: int
    """How many threads, processes or, with `asyncio`, tasks at a time; 1 for `inline`."""
    speedup: float | None
    """How many times the speed of one call after the other is to be expected; None where nothing is known."""
    low: float | None
    """The same at the lower quartile of what was measured."""
    high: float | None
    """The same at the upper quartile."""
    measured: bool
    """Whether `speedup` was measured; else it follows from the shares and costs of the calls that were."""
    runner_up: Choice | None
    """The next best way, where there is one."""
    lead: float | None
    """How many times as fast as the runner-up the choice is; below 1 where it was preferred as the simpler of two equals."""
    doubts: tuple[str, ...]
    """Why it is unsure, in sentences."""
    reason: str
    """What the function does that makes it so."""
    sentence: str
    """All in one sentence."""
    hints: tuple[str, ...] = ()
    """What else is worth knowing, in sentences."""

    @property
    def sure(self) -> bool:
        """Whether measuring again would say the same."""
        return not self.doubts

    @property
    def label(self) -> str:
        """The choice with its cause: `threads (waits)`."""
        return f"{self.choice} ({self.cause})"
