"""The interface of multiprocessing on threads: the standard library's dummy package, with forkful's classes in it.

Knows: `forkful.threading`, `forkful.queue` and the thread pool. Does not know: processes.
"""

from __future__ import annotations

import sys
from multiprocessing.dummy import Array as Array
from multiprocessing.dummy import DummyProcess as DummyProcess
from multiprocessing.dummy import Namespace as Namespace
from multiprocessing.dummy import Value as Value
from multiprocessing.dummy import active_children as active_children
from multiprocessing.dummy import current_process as current_process
from multiprocessing.dummy import freeze_support as freeze_support
from multiprocessing.dummy import shutdown as shutdown
from threading import Lock as Lock
from threading import RLock as RLock

from forkful.multiprocessing.dummy.connection import Pipe as Pipe
from forkful.queue import Queue as Queue
from forkful.threading import Barrier as Barrier
from forkful.threading import BoundedSemaphore as BoundedSemaphore
from forkful.threading import Condition as Condition
from forkful.threading import Event as Event
from forkful.threading import Semaphore as Semaphore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "Queue",
    "RLock",
    "Semaphore",
    "active_children",
    "current_process",
    "freeze_support",
]

Process = DummyProcess
JoinableQueue = Queue
# A manager has these among its attributes, and the manager here is this module.
dict = dict
list = list


def Manager() -> Any:
    """This module: what a manager would share, threads have in common anyway."""
    return sys.modules[__name__]


def Pool(processes: int | None = None, initializer: Callable[..., Any] | None = None, initargs: Any = ()) -> Any:
    """A pool of threads."""
    from forkful.multiprocessing.pool import ThreadPool

    return ThreadPool(processes, initializer, initargs)
