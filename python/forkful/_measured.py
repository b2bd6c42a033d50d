"""A call that is measured in a worker process, where nothing else runs, with what comes back beside its value.

Knows: how the interpreter's lock is sampled. Does not know: executors, what is made of the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forkful._gil import GilUse

__all__ = ["Measured", "looked_at", "measured"]


class Measured:
    """A value, and what its call took: seconds (without those of waiting for a CPU), seconds of CPU time, the lock's use."""

    __slots__ = ("cpu", "use", "value", "wall")

    def __init__(self, value: Any, wall: float, cpu: float, use: tuple[float, float, int, int]) -> None:
        self.value = value
        self.wall = wall
        self.cpu = cpu
        self.use = use

    def __reduce__(self) -> tuple[Any, ...]:
        return Measured, (self.value, self.wall, self.cpu, self.use)


def measured(interval: float, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Measured:
    """Calls ``fn(*args, **kwargs)``, asking for the lock every `interval` seconds; what it raises is raised."""
    from forkful._gil import Sampling

    with Sampling(interval) as sampling:
        put_off = _put_off()
        # What was found until now, while this thread may have waited for a CPU without the lock, is not the call's.
        before, wall, cpu = sampling.use(), time.perf_counter(), time.thread_time()
        value = fn(*args, **(kwargs or {}))
        cpu = time.thread_time() - cpu
        wall = time.perf_counter() - wall
        use = sampling.use_now().since(before)
    put_off = _put_off() - put_off
    elapsed = looked_at(interval, use, put_off)
    return Measured(value, max(cpu, wall - put_off), cpu, (elapsed, use.waited, use.asks, use.held))


def looked_at(interval: float, use: GilUse, put_off: float) -> float:
    """The seconds that the asks stand for, without those in which the call waited for a CPU.

    While it did, it may have given up the lock, which it would have had.
    """
    # An ask stands for the gap that was drawn before it, however late it came. With the wait alone, which goes on for as long as
    # whoever asks has no CPU himself, one ask of ten that came late would say that the lock was held all the time.
    gaps = use.elapsed - use.waited
    return use.waited + max(gaps - put_off, min(gaps, use.asks * interval))


def _put_off() -> float:
    """Seconds that this thread could have run and had no CPU: else calls on a busy machine would look as if they waited."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) * 1e-9
    except (OSError, ValueError, IndexError):
        return 0.0  # a kernel that does not count it
