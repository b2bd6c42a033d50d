"""What becomes of pools when the interpreter ends: threads that it waits for have them until they end, then they are terminated.

Does not know: pools, but that they have a state and an end.
"""

from __future__ import annotations

import concurrent.futures.process as _processes
import concurrent.futures.thread as _threads
import threading
import weakref
from collections.abc import Callable
from typing import Any

from forkful.futures.process import run_at_exit

__all__ = ["attend"]

_pools: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()


def attend(pool: Any, finish: Callable[[Any], object]) -> None:
    """Has ``finish(pool)`` called then, if the pool still lives."""
    _pools[pool] = finish


def _end_all() -> None:
    # Those of executors end when hooks are run that come after this one.
    theirs: set[Any] = {*_threads._threads_queues, *_processes._threads_wakeups}
    while threads := [thread for thread in threading.enumerate() if _is_waited_for(thread) and thread not in theirs]:
        for thread in threads:
            thread.join()
    for pool, finish in list(_pools.items()):
        finish(pool)


def _is_waited_for(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread() and thread is not threading.current_thread()


run_at_exit(_end_all)
