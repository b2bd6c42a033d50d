"""Puts forkful's executors in the standard library's place, so that unchanged programs find them.

Knows: `forkful.futures`. Does not know: the command line, which is only one of its callers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from types import ModuleType

from forkful.futures import ThreadPoolExecutor, as_completed, wait


# Every module-level place in which a program, asyncio or the standard library itself looks these names up.
# `concurrent.futures` copies `wait` and `as_completed` from `_base` when it is imported, and fetches
# `ThreadPoolExecutor` from `thread` when it is first asked for it, so both ends of each road are listed.
def _places() -> Iterator[tuple[ModuleType, str, object]]:
    # What processes need is loaded here and not with this module: a program that only imports forkful may want none.
    import concurrent.futures.process

    from forkful.futures import ProcessPoolExecutor

    for name, ours in (
        ("ThreadPoolExecutor", ThreadPoolExecutor),
        ("ProcessPoolExecutor", ProcessPoolExecutor),
        ("wait", wait),
        ("as_completed", as_completed),
    ):
        yield concurrent.futures, name, ours
    yield concurrent.futures.thread, "ThreadPoolExecutor", ThreadPoolExecutor
    yield concurrent.futures.process, "ProcessPoolExecutor", ProcessPoolExecutor
    yield concurrent.futures._base, "wait", wait
    yield concurrent.futures._base, "as_completed", as_completed


_ABSENT = object()

# What stood in each place before; empty while the standard library has its own.
_before: dict[tuple[str, str], object] = {}
_lock = threading.Lock()


def _fresh_lock() -> None:
    global _lock
    _lock = threading.Lock()


# Another thread may hold the lock at the very moment of a fork, and will not be there to release it.
os.register_at_fork(after_in_child=_fresh_lock)


def install() -> None:
    """Put forkful's executors, `wait` and `as_completed` into `concurrent.futures`.

    From here on whoever looks these names up in `concurrent.futures`, or in its `thread`, `process` or `_base` module, gets
    forkful's, and so does asyncio, whose `to_thread` and `run_in_executor` make their pool by that name.

    Everything else stays the standard library's: `Future` and `Executor` (forkful's are subclasses of them, so
    `isinstance` and `except` clauses keep working), the errors and constants, and `InterpreterPoolExecutor`.

    What was looked up earlier stays as it was: a module that has already run
    `from concurrent.futures import ThreadPoolExecutor` keeps the standard library's class, and so do pools and
    subclasses that exist. So call it first, or use `python -m forkful run`, which does.

    Calling it again changes nothing. Any thread may call it. The change is this process's own: it is inherited
    through `fork`, not by children that start a new interpreter.
    """
    _bind_subclasses()
    with _lock:
        if _before:
            return
        for module, name, ours in _places():
            _before[module.__name__, name] = vars(module).get(name, _ABSENT)
            setattr(module, name, ours)


def uninstall() -> None:
    """Give `concurrent.futures` back its own names, exactly as `install` found them.

    Pools made in between keep running. A name that somebody else has replaced since is left as they set it.
    Calling it again, or without `install`, changes nothing.
    """
    with _lock:
        for module, name, ours in _places():
            before = _before.pop((module.__name__, name), ours)
            if before is ours or vars(module).get(name, _ABSENT) is not ours:
                continue
            if before is _ABSENT:
                # The lazy name had not been fetched yet: without it the module's own __getattr__ serves again.
                delattr(module, name)
            else:
                setattr(module, name, before)


def _bind_subclasses() -> None:
    """Let the standard library's own subclasses of its thread pool be made while it is still its own.

    `InterpreterPoolExecutor` (3.14) names its base class when its module is first imported, which is at its first
    use. On forkful's class its tasks would run in plain threads, without an interpreter of their own.
    """
    try:
        import concurrent.futures.interpreter  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError:
        pass
