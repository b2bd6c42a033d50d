"""What an exec'ed nursery does before its first worker: stand on its own descriptors, and import what every worker will want.

Knows: how the main module is imported (`_child`). Does not know: workers, the nursery's loop.
"""

from __future__ import annotations

import importlib
import os
import sys

from . import _blas
from ._child import empty_main, import_main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# BLAS and OpenMP read these once, when they are loaded; one thread then means no thread that a fork would lose.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def stand_on_devnull() -> None:
    """Read nothing from the terminal; have something at 0, 1 and 2, so that no other descriptor lands there."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)


def preload(data: dict[str, Any], parent: int) -> tuple[list[str], str]:
    """Import what every worker will want; returns what to note, and what keeps every worker from starting.

    `parent` is the pidfd of the pool's process: this one ends with it meanwhile, however long an import takes.
    """
    engine = _watching(parent)
    try:
        return _import_all(data)
    finally:
        if engine is not None:
            engine.unwatch_parent()


def _watching(parent: int) -> Any:
    """End with the parent while nobody here polls its pidfd: by a thread of the engine's, which is returned if it can.

    It needs no interpreter, and is gone before anybody counts threads or forks. The kernel's PDEATHSIG would kill as soon as
    the thread ends that made the pool.
    """
    try:
        engine: Any = importlib.import_module("forkful._engine")
        engine.watch_parent(os.dup(parent))
    except (ImportError, AttributeError, OSError):
        return None
    return engine


def _import_all(data: dict[str, Any]) -> tuple[list[str], str]:
    notes: list[str] = []
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        if data["main"] == "imported":
            import_main(data["preparation"])
        else:
            empty_main()
            sys.path[:] = data["preparation"]["sys_path"]
    except BaseException:
        import traceback

        return notes, "the main module could not be imported:\n" + traceback.format_exc()
    # The workers' own module only saves them time: if it cannot be had, they will say so themselves.
    for name in (*data["preload"], *data["warm"]):
        try:
            importlib.import_module(name)
        except BaseException as error:
            if name in data["preload"]:
                notes.append(f"preloading {name} failed: {type(error).__name__}: {error}")
    if _blas.is_loaded():
        _blas.look()
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return notes, ""
