"""The numbers of a pool, as `ThreadPoolExecutor.stats()` returns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["BufferStats", "Histogram", "PoolStats", "TaskStats", "WorkerRecord", "WorkerStats"]


@dataclass(frozen=True)
class Histogram:
    """How often something took how long.

    Buckets are two per doubling, from 64 ns on; durations are in seconds.
    """

    total: float
    """Sum of all durations, in seconds."""
    buckets: tuple[tuple[float, int], ...]
    """(exclusive upper bound in seconds, count), rising; empty ends are left out."""

    @property
    def count(self) -> int:
        """How many were recorded."""
        return sum(count for _, count in self.buckets)

    @property
    def mean(self) -> float:
        """The average in seconds; 0.0 when nothing was recorded."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, q: float) -> float:
        """An upper bound, in seconds, of the shortest `q` of the durations, 0 <= q <= 1; 0.0 when nothing was recorded.

        It is at most 1.5 times the true quantile, as wide as a bucket is.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"q must be between 0 and 1, not {q!r}")
        wanted = q * self.count
        seen = 0
        for bound, count in self.buckets:
            seen += count
            if seen >= wanted:
                return bound
        return 0.0


@dataclass(frozen=True)
class WorkerStats:
    """One worker thread."""

    name: str
    """The thread's name."""
    tasks: int
    """Tasks that it finished."""
    busy: float
    """Seconds that it spent in tasks."""
    idle: float
    """Seconds that it waited for one."""


@dataclass(frozen=True)
class TaskStats:
    """All tasks of one name; see `with_options(name=...)`."""

    calls: int
    """Finished calls, repeated ones counted each."""
    wall: float
    """Seconds from beginning to end, all calls together."""
    cpu: float
    """Seconds of CPU time that the calls used themselves; far below `wall`, they waited."""


@dataclass(frozen=True)
class BufferStats:
    """Large buffers, and the segments of shared memory that they travel in."""

    lent: int
    """Results that were not copied: the task had nothing else that held them, and they lay in a segment already."""
    copied: int
    """Arguments and results that were copied into a segment, once."""
    in_band: int
    """Those for which there was no segment, as too many were in use: they took the slower way."""
    segments: int
    """Segments in use now: by tasks, by workers, by results that this process holds."""
    views: int
    """Those of them that this process holds, as results that somebody has read or will read."""
    held: int
    """Bytes of the segments in use."""
    warm: int
    """Bytes of free segments that have memory still; it goes back to the system 2 s after the last use."""


@dataclass(frozen=True)
class PoolStats:
    """What a pool did until now.

    `submitted == done + failed + cancelled + running + pending`, but for tasks that move while the numbers are read.
    """

    submitted: int
    """Tasks accepted."""
    pending: int
    """Tasks that wait for a worker."""
    running: int
    """Tasks that are being run."""
    done: int
    """Tasks that returned."""
    failed: int
    """Tasks that raised."""
    cancelled: int
    """Tasks cancelled before they began."""
    workers: tuple[WorkerStats, ...]
    """The worker threads that are alive."""
    queue_wait: Histogram
    """From submission to beginning."""
    run_time: Histogram
    """From beginning to end; for the shortest tasks it holds the engine's own 0.2 us as well."""
    tasks: Mapping[str, TaskStats]
    """Tasks by the name that they were given."""
    deaths: int = 0
    """Worker processes that died out of order."""
    retried: int = 0
    """How often tasks were run again: after their worker's death, or for what `retry_on` names."""
    buffers: BufferStats | None = None
    """Of a pool of processes."""


@dataclass(frozen=True)
class WorkerRecord:
    """What a worker process is doing."""

    name: str
    """The process's name."""
    pid: int
    """Its number."""
    state: str
    """starting, idle, running, leaving; unknown where its memory was written over."""
    task: str | None
    """The name of the task that it runs, else of the task's function."""
    since: float
    """Seconds that it has run the task, or been idle."""
    memory: int | None
    """Its resident size in bytes, without shared memory; None if it has just ended."""
    tasks: int
    """Tasks that it finished."""
    busy: float
    """Seconds that it spent in finished tasks."""
    idle: float
    """Seconds that it waited for one."""


def pool_stats(snapshot: Mapping[str, Any], prefix: str) -> PoolStats:
    """Gives the engine's snapshot its classes; `prefix` is all of a thread's name but its number."""

    def histogram(numbers: tuple[float, list[tuple[float, int]]]) -> Histogram:
        total, buckets = numbers
        return Histogram(total, tuple(buckets))

    return PoolStats(
        submitted=snapshot["submitted"],
        pending=snapshot["pending"],
        running=snapshot["running"],
        done=snapshot["done"],
        failed=snapshot["failed"],
        cancelled=snapshot["cancelled"],
        workers=tuple(
            WorkerStats(f"{prefix}{index}", tasks, busy, idle) for index, tasks, busy, idle in snapshot["workers"]
        ),
        queue_wait=histogram(snapshot["queue_wait"]),
        run_time=histogram(snapshot["run_time"]),
        tasks={name: TaskStats(*numbers) for name, numbers in snapshot["tasks"].items()},
    )


def process_stats(snapshot: Mapping[str, Any], prefix: str) -> PoolStats:
    """The same for a pool of processes, which are counted from 1."""
    workers = [(seat + 1, tasks, busy, idle) for seat, _, tasks, busy, idle in snapshot["workers"]]
    plain = pool_stats({**snapshot, "workers": workers}, prefix)
    buffers = BufferStats(**snapshot["buffers"])
    return replace(plain, deaths=snapshot["deaths"], retried=snapshot["retried"], buffers=buffers)
