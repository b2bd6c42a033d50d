"""Measurements as the probe would hand them over, made from a few ratios."""

from __future__ import annotations

from typing import Any

from forkful.advisor import Cost, Measurements, Scaling, Spread

SMALL = Cost(100, 0, 5e-6)
Ways = dict[int, float]


def spread(middle: float, off: float = 0.02, count: int = 7) -> Spread:
    return Spread(middle, middle * (1 - off), middle * (1 + off), count)


def measured(
    wall: float = 0.01,
    *,
    cpu: float = 1.0,
    gil: float | None = 0.99,
    threads: Ways | None = None,
    processes: Ways | None = None,
    shared: Ways | None = None,
    tasks: Ways | None = None,
    off: float = 0.02,
    count: int = 7,
    all_cpu: float | None = None,
    free: bool = False,
    queued: float = 0.0,
    threads_queued: float = 0.0,
    **others: Any,
) -> Measurements:
    """cpu, gil, all_cpu: shares of `wall`. threads and the like: speed-ups by number of workers. off: how far the quartiles are.
    queued, threads_queued: the share of the processes', or threads', time in which they waited for a CPU."""

    def scalings(ways: Ways | None, queued: float = queued) -> tuple[Scaling, ...]:
        return tuple(Scaling(n, 100, spread(times / wall, off, count), queued) for n, times in (ways or {}).items())

    fields: dict[str, Any] = {
        "function": "module:function",
        "inputs": 1,
        "cpus": 2,
        "gil": not free,
        "once": False,
        "budget": 5.0,
        "spent": 4.0,
        "first": wall,
        "wall": spread(wall, off, count),
        "cpu": cpu * wall,
        "all_cpu": (cpu if all_cpu is None else all_cpu) * wall,
        "gil_share": None if free else gil,
        "gil_margin": 0.03,
        "arguments": SMALL,
        "result": SMALL,
        "process_start": 0.05,
        "threads": scalings(threads, threads_queued),
        "processes": scalings(processes),
        "shared": scalings(shared),
        "tasks": scalings(tasks),
    }
    return Measurements(**{**fields, **others})
