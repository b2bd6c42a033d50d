"""Python's parallel toolbox on a Rust engine."""

from __future__ import annotations

from ._install import install, uninstall
from ._stats import Histogram, PoolStats, TaskStats, WorkerStats
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
    "TaskStats",
    "ThreadPoolExecutor",
    "TimeoutError",
    "WorkerStats",
    "__version__",
    "as_completed",
    "install",
    "uninstall",
    "wait",
]
