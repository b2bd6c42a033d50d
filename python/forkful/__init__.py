"""Python's parallel toolbox on a Rust engine."""

from __future__ import annotations

import sys
from importlib import import_module

from ._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._install import install, uninstall
    from ._share import Shared, share
    from ._stats import Histogram, PoolStats, TaskStats, WorkerRecord, WorkerStats
    from .advisor import Advice, advise
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
    from .futures._base import progress
    from .futures.auto import AutoExecutor, Decision
    from .futures.process import ProcessPoolExecutor, TaskKilled, TaskTimeout, WorkerDied

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Advice",
    "AutoExecutor",
    "BrokenExecutor",
    "CancelledError",
    "Decision",
    "Executor",
    "Future",
    "Histogram",
    "InvalidStateError",
    "PoolStats",
    "ProcessPoolExecutor",
    "Shared",
    "TaskKilled",
    "TaskStats",
    "TaskTimeout",
    "ThreadPoolExecutor",
    "TimeoutError",
    "WorkerDied",
    "WorkerRecord",
    "WorkerStats",
    "__version__",
    "advise",
    "as_completed",
    "install",
    "progress",
    "share",
    "uninstall",
    "wait",
]

# Loaded when it is named: a worker's start imports this package, and its first task waits for that.
_ROOMS = {
    **dict.fromkeys(("Advice", "advise"), "forkful.advisor"),
    "progress": "forkful.futures._base",
    **dict.fromkeys(("AutoExecutor", "Decision"), "forkful.futures.auto"),
    **dict.fromkeys(("install", "uninstall"), "forkful._install"),
    **dict.fromkeys(("Shared", "share"), "forkful._share"),
    **dict.fromkeys(("Histogram", "PoolStats", "TaskStats", "WorkerRecord", "WorkerStats"), "forkful._stats"),
    **dict.fromkeys(("ProcessPoolExecutor", "TaskKilled", "TaskTimeout", "WorkerDied"), "forkful.futures.process"),
}

# The standard library's names, each a module of its own.
_MODULES = ("futures", "multiprocessing", "queue", "threading")


def __getattr__(name: str) -> Any:
    if name in __all__:
        value = getattr(import_module(_ROOMS.get(name, "forkful.futures")), name)
        # Found without this function from now on.
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f"forkful.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})


try:
    import_module("forkful._engine")
except ModuleNotFoundError:
    import_module("forkful.futures")  # says once what is missing
    for _name in ("queue", "threading"):
        sys.modules[f"forkful.{_name}"] = import_module(_name)
