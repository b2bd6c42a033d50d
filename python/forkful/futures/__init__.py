"""Drop-in for `concurrent.futures`: the same names, on the engine where it has them."""

from __future__ import annotations

import concurrent.futures as _standard
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if find_spec("forkful._engine") is not None:
    from ._base import (
        ALL_COMPLETED,
        FIRST_COMPLETED,
        FIRST_EXCEPTION,
        BrokenExecutor,
        CancelledError,
        Executor,
        Future,
        InvalidStateError,
        TimeoutError,
        as_completed,
        wait,
    )
    from .thread import ThreadPoolExecutor
else:
    # No engine for this system: programs run all the same, as fast as before.
    from concurrent.futures import (  # type: ignore[assignment]
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

    warnings.warn(
        "forkful's engine is not built for this system (it needs Linux and CPython 3.10 or newer): "
        "its names are those of the standard library",
        RuntimeWarning,
        stacklevel=2,
    )

if TYPE_CHECKING:
    from .process import ProcessPoolExecutor

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenExecutor",
    "CancelledError",
    "Executor",
    "Future",
    "InvalidStateError",
    "ProcessPoolExecutor",
    "ThreadPoolExecutor",
    "TimeoutError",
    "as_completed",
    "wait",
]

# Imported when they are asked for, as the standard library does: processes bring `multiprocessing` with them.
_STANDARD = ("InterpreterPoolExecutor",)

if hasattr(_standard, "InterpreterPoolExecutor"):
    __all__ += ["InterpreterPoolExecutor"]


def __getattr__(name: str) -> Any:
    if name == "ProcessPoolExecutor":
        if find_spec("forkful._engine") is None:
            return _standard.ProcessPoolExecutor
        from .process import ProcessPoolExecutor

        return ProcessPoolExecutor
    if name in _STANDARD and hasattr(_standard, name):
        return getattr(_standard, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
