"""`queue` on the engine: `Queue`, `LifoQueue` and `PriorityQueue`, with `shutdown` on every Python.

Knows: `forkful._engine`, `forkful.threading`, `queue`. Does not know: processes, pools.

Differs from CPython in:

- `put` and `get` are compiled. A subclass that overrides `_init`, `_put`, `_get` or `_qsize` has them called, under the mutex,
  by the same code.
- `mutex` is a lock of our own. `not_empty`, `not_full` and `all_tasks_done` are made when they are first asked for, over it.
- A getter or putter that was woken in vain waits in front of the others again, and not behind them.

`SimpleQueue`, `Empty`, `Full` and, where there is one, `ShutDown` are the standard library's own.
"""

from __future__ import annotations

import queue as _queue
from queue import Empty, Full, SimpleQueue

from forkful import (
    _engine,
    _hooks,  # noqa: F401 - a fork is told to the engine
)
from forkful.threading import Condition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    _AnyQueue: TypeAlias = _queue.Queue[Any]
    _AnyPriorityQueue: TypeAlias = _queue.PriorityQueue[Any]
    _AnyLifoQueue: TypeAlias = _queue.LifoQueue[Any]
else:
    _AnyQueue, _AnyPriorityQueue, _AnyLifoQueue = _queue.Queue, _queue.PriorityQueue, _queue.LifoQueue

__all__ = ["Empty", "Full", "LifoQueue", "PriorityQueue", "Queue", "ShutDown", "SimpleQueue"]


if not TYPE_CHECKING and hasattr(_queue, "ShutDown"):
    ShutDown = _queue.ShutDown
else:

    class ShutDown(Exception):
        """Raised by `put` and `get` of a queue that was shut down."""


_engine.set_queue_words(Condition, ShutDown)


class Queue(_engine.QueueBase, _AnyQueue):
    """A queue between threads, first in, first out; endless if `maxsize` is 0 or less."""

    _order = 0

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)

    def put_nowait(self, item: Any) -> None:
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        return self.get(block=False)


class PriorityQueue(Queue, _AnyPriorityQueue):
    """A queue from which the smallest item comes first."""

    _order = 2


class LifoQueue(Queue, _AnyLifoQueue):
    """A queue from which the newest item comes first."""

    _order = 1


def __getattr__(name: str) -> Any:
    return getattr(_queue, name)
