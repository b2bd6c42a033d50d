"""What becomes of pools at the interpreter's exit, and in a forked child.

At the exit the threads that it waits for have their pools until they end; only then are the pools terminated.

Does not know: what a pool is.
"""

from __future__ import annotations

import concurrent.futures.process as _processes
import concurrent.futures.thread as _threads
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from forkful.futures.process import run_at_exit

__all__ = ["attend"]

_Call = Callable[[Any], object]
_pools: weakref.WeakKeyDictionary[Any, tuple[_Call, _Call]] = weakref.WeakKeyDictionary()


def attend(pool: Any, leave: _Call, disown: _Call) -> None:
    """Has ``leave(pool)`` called at the exit and ``disown(pool)`` in a forked child, if the pool still lives."""
    _pools[pool] = leave, disown


def _end_all() -> None:
    # Those of executors end when hooks are run that come after this one.
    theirs: set[Any] = {*_threads._threads_queues, *getattr(_processes, "_threads_wakeups", ())}
    while threads := [thread for thread in threading.enumerate() if _is_waited_for(thread) and thread not in theirs]:
        for thread in threads:
            thread.join()
    for pool, (leave, _) in list(_pools.items()):
        leave(pool)


def _is_waited_for(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread() and thread is not threading.current_thread()


def _disown_all() -> None:
    for pool, (_, disown) in list(_pools.items()):
        disown(pool)


run_at_exit(_end_all)
os.register_at_fork(after_in_child=_disown_all)
