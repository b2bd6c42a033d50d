"""What stretches of calls, made one after the other, take.

Knows: clocks, the sampler of the interpreter's lock. Does not know: which function it is, or why it is called.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from forkful._gil import GilUse, Sampling

from .calling import Input

__all__ = ["Meter", "Others", "Raised", "Stretch", "in_queue", "quartiles", "run", "visit"]

_CHUNK = 4096
_TINY = 1e-4
"""Seconds of a call from which on the loop's own cost is no matter."""
_delay_file = "/proc/thread-self/schedstat"


class Raised(Exception):
    """A call raised `error`; `place` is the input's, among those that were given."""

    def __init__(self, error: BaseException, place: int) -> None:
        super().__init__(error, place)
        self.error = error
        self.place = place


@dataclass(frozen=True)
class Stretch:
    """Sums over some calls: seconds all of them."""

    calls: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    all_cpu: float = 0.0
    delayed: float = 0.0
    children_cpu: float = 0.0
    gil: GilUse | None = None

    def __add__(self, other: Stretch) -> Stretch:
        return Stretch(
            self.calls + other.calls,
            self.wall + other.wall,
            self.cpu + other.cpu,
            self.all_cpu + other.all_cpu,
            self.delayed + other.delayed,
            self.children_cpu + other.children_cpu,
            _both(self.gil, other.gil),
        )


def _both(one: GilUse | None, other: GilUse | None) -> GilUse | None:
    if one is None or other is None:
        return one or other
    return GilUse(one.elapsed + other.elapsed, one.waited + other.waited, one.asks + other.asks, one.held + other.held)


class Meter:
    """Measures a block. A context manager: `stretch` says what was found, once the block is over."""

    def __init__(self, *, sampled: bool) -> None:
        """sampled: with an eye on the interpreter's lock."""
        self._sampling = Sampling() if sampled else None

    def __enter__(self) -> Meter:
        if self._sampling is not None:
            self._sampling.__enter__()
        self._begun = _now()
        return self

    def __exit__(self, *_: object) -> None:
        ended = _now()
        self._use = None
        if self._sampling is not None:
            # A long call that never lets the lock go is over before the one ask that it kept waiting is counted.
            self._use = self._sampling.use_now()
            self._sampling.__exit__()
        self._sums = [max(0.0, after - before) for before, after in zip(self._begun, ended, strict=True)]

    def stretch(self, calls: int) -> Stretch:
        """What the block took, in which so many calls were made.

        The loop's own cost is taken off, as tiny functions cost no more than that.
        """
        children, delayed, all_cpu, cpu, wall = self._sums
        own = min(_loop_cost() * calls, wall / 2) if wall < calls * _TINY else 0.0
        return Stretch(
            calls,
            wall - own,
            max(0.0, cpu - own),
            max(0.0, all_cpu - own),
            min(delayed, wall - own),
            children,
            self._use,
        )


def run(call: Callable[..., Any], inputs: Sequence[Input], count: int, *, sampled: bool = False) -> Stretch:
    """Makes `count` calls with the inputs in turn. Raises `Raised`, and KeyboardInterrupt as it is."""
    args: Any = None
    try:
        with Meter(sampled=sampled) as meter:
            for args, kwargs in islice(cycle(inputs), count):
                call(*args, **kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        place = next((place for place, (known, _) in enumerate(inputs) if known is args), 0)
        raise Raised(error, place) from error
    return meter.stretch(count)


def visit(
    call: Callable[..., Any], inputs: Sequence[Input], seconds: float, *, sampled: bool = False
) -> tuple[Stretch, list[float]]:
    """Makes one call with each input until so many seconds are over; also how long each of them took. Raises as `run` does."""
    times: list[float] = []
    try:
        with Meter(sampled=sampled) as meter:
            last = begun = time.perf_counter()
            for args, kwargs in inputs:
                call(*args, **kwargs)
                now = time.perf_counter()
                times.append(now - last)
                last = now
                if now - begun > seconds:
                    break
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Raised(error, len(times)) from error
    return meter.stretch(len(times)), times


def _now() -> tuple[float, ...]:
    return _children(), _delay(), time.process_time(), time.thread_time(), time.perf_counter()


class Others:
    """What other programs use of the CPUs, from now on."""

    def __init__(self, cpus: int) -> None:
        """cpus: how many this process may use at a time; in a container it may run on more of them."""
        self._spare = max(0, len(os.sched_getaffinity(0)) - cpus)
        self._before = self._read()

    def cpus(self, workers: float) -> float:
        """CPUs that this process went without, on average. workers: seconds that its worker processes have computed."""
        after = self._read()
        elapsed = after[0] - self._before[0]
        if self._before[1] is None or after[1] is None or elapsed <= 0.05:
            return 0.0
        busy = after[1] - self._before[1]
        # Of child processes the kernel counts those that are gone, and not those of another process that made them.
        own = after[2] - self._before[2] + max(after[3] - self._before[3], workers)
        return max(0.0, (busy - own) / elapsed - self._spare)

    def _read(self) -> tuple[float, float | None, float, float]:
        return time.perf_counter(), _busy(), time.process_time(), _children()


def _busy() -> float | None:
    """Seconds that the CPUs of this process have been busy since the machine's start."""
    try:
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        with open("/proc/stat", encoding="ascii") as file:
            rows = [line.split() for line in file if line.startswith("cpu")]
        # user nice system idle iowait irq softirq steal; guests are in user already.
        ticks = sum(sum(map(int, row[1:4])) + sum(map(int, row[6:9])) for row in rows if row[0] in mine)
        return ticks / os.sysconf("SC_CLK_TCK") if rows else None
    except (OSError, ValueError):
        return None


_cost: float | None = None


def _loop_cost() -> float:
    """Seconds that one turn of the loop takes without the call."""
    global _cost
    if _cost is None:
        inputs: list[Input] = [((), {})]
        taken = []
        for _ in range(5):
            begun = time.perf_counter()
            for _args, _kwargs in islice(cycle(inputs), _CHUNK):
                pass
            taken.append((time.perf_counter() - begun) / _CHUNK)
        _cost = min(taken)
    return _cost


def _children() -> float:
    """CPU seconds of child processes that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _delay() -> float:
    """Seconds that this thread was ready to run without a CPU; without it a busy machine would look like a waiting function."""
    global _delay_file
    if not _delay_file:
        return 0.0
    try:
        with open(_delay_file, "rb") as file:
            return int(file.read().split()[1]) * 1e-9
    except (OSError, ValueError, IndexError):
        _delay_file = ""  # this kernel doesn't count it
        return 0.0


def in_queue(threads: Iterable[str]) -> tuple[float, float]:
    """Seconds that threads, named by their folders in /proc, have run, and that they were ready to run without a CPU."""
    ran = stood = 0
    for thread in threads:
        try:
            with open(f"{thread}/schedstat", "rb") as file:
                fields = file.read().split()
            ran, stood = ran + int(fields[0]), stood + int(fields[1])
        except (OSError, ValueError, IndexError):
            pass  # it is gone, or this kernel doesn't count it
    return ran * 1e-9, stood * 1e-9


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median and lower and upper quartile, interpolated."""
    ordered = sorted(values)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

    return at(0.5), at(0.25), at(0.75)
