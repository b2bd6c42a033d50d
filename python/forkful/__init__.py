"""Python's parallel toolbox on a Rust engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._install import install, uninstall
from ._stats import Histogram, PoolStats, TaskStats, WorkerRecord, WorkerStats
from ._version import __version__
from .futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
    TimeoutError,
    as_completed,
    wait,
)

if TYPE_CHECKING:
    from .futures.process import ProcessPoolExecutor, TaskKilled, TaskTimeout, WorkerDied

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenExecutor",
    "CancelledError",
    "Executor",
    "Future",
    "Histogram",
    "InvalidStateError",
    "PoolStats",
    "ProcessPoolExecutor",
    "TaskKilled",
    "TaskStats",
    "TaskTimeout",
    "ThreadPoolExecutor",
    "TimeoutError",
    "WorkerDied",
    "WorkerRecord",
    "WorkerStats",
    "__version__",
    "as_completed",
    "install",
    "uninstall",
    "wait",
]

# What brings `multiprocessing` with it is loaded when it is named.
_PROCESSES = ("ProcessPoolExecutor", "TaskKilled", "TaskTimeout", "WorkerDied")


def __getattr__(name: str) -> Any:
    if name in _PROCESSES:
        from .futures import process

        return getattr(process, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
