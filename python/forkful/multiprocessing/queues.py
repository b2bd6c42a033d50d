"""Queues between processes, in shared memory: no thread feeds them, nothing is left to flush, and no kill breaks them.

differs from CPython in: an item is pickled by `put`, which raises what can't be pickled; what was put stays when its sender ends,
so joining a process before its items were taken waits for nothing; a process that is killed with a lock in its hand is replaced,
with an `OwnerDiedWarning`.

Knows: the compiled queue, multiprocessing's way of handing descriptors over, which subclasses want the standard library's.
Does not know: processes, pools, locks.
"""

from __future__ import annotations

import os
import types
import warnings
import weakref
from multiprocessing import context, reduction
from multiprocessing import queues as _standard
from queue import Empty, Full

from forkful import (
    _engine,
    _hooks,  # noqa: F401 - a fork is told to the engine
)
from forkful._byname import pickler
from forkful._cargo import pickled
from forkful._errors import OwnerDiedWarning
from forkful.multiprocessing._insides import ByInsides

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    _AnyQueue: TypeAlias = object
    _AnyJoinableQueue: TypeAlias = object
    _AnySimpleQueue: TypeAlias = object
else:
    _AnyQueue, _AnyJoinableQueue, _AnySimpleQueue = _standard.Queue, _standard.JoinableQueue, _standard.SimpleQueue

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]

_ANY_NUMBER = 2**31 - 1
"""What the standard library has for a queue without a maximum: the largest value of its semaphores."""


class _End:
    """What programs take from the standard library's queues for the ends of a pipe: to wait for several things at once, mostly.

    The descriptor can be read while items wait. Keeping it so costs each put and get a system call or two, from the first time on
    that anybody asks for it.
    """

    def __init__(self, queue: _Shared) -> None:
        self._queue = queue

    def fileno(self) -> int:
        """The descriptor, for `connection.wait`, `selectors` and event loops."""
        if self.closed:
            raise OSError("handle is closed")
        return self._queue._watch()

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether an item waits, or does so before the timeout."""
        if self.closed:
            raise OSError("handle is closed")
        return self._queue._poll(timeout)

    def recv(self) -> Any:
        """Takes an item."""
        return self._queue.get()

    def send(self, obj: Any) -> None:
        """Puts an item."""
        self._queue.put(obj)

    @property
    def closed(self) -> bool:
        """Whether the queue was closed in this process."""
        return self._queue._closed

    def close(self) -> None:
        """Closes the queue in this process."""
        self._queue.close()


class _Shared(_engine.SharedQueue, metaclass=ByInsides):
    """How a queue comes to another process: by inheritance only, as its memory has no name."""

    _maxsize: int

    def _start(self, maxsize: int) -> None:
        if maxsize <= 0:
            maxsize = _ANY_NUMBER
        self._maxsize = maxsize
        self._create(0 if maxsize >= _ANY_NUMBER else maxsize)

    def __getstate__(self) -> Any:
        context.assert_spawning(self)
        memory, ready = self._filenos()
        dup: Any = reduction.DupFd  # type: ignore[attr-defined, unused-ignore]
        return self._maxsize, dup(memory), dup(ready)

    def __setstate__(self, state: Any) -> None:
        self._maxsize, *pieces = state
        fds = [piece.detach() for piece in pieces]
        try:
            self._attach(*fds)
        finally:
            for fd in fds:
                os.close(fd)

    @property
    def _reader(self) -> _End:
        # The same one as long as anybody has it, as what `connection.wait` returns is compared with it. The queue itself does
        # not keep it: descriptors would stay open until the cycle of the two is found.
        known = self.__dict__.get("_end")
        end: _End | None = None if known is None else known()
        if end is None:
            end = _End(self)
            self.__dict__["_end"] = weakref.ref(end)
        return end

    _writer = _reader

    __class_getitem__: Any = classmethod(types.GenericAlias)


class Queue(_Shared, _AnyQueue):
    """A queue between processes, and between threads as well.

    maxsize: how many items wait at most; 0 or less for any number, which takes as much memory as they need, and gives it back.
    """

    def __init__(self, maxsize: int = 0, *, ctx: Any = None) -> None:
        self._start(maxsize)

    def put_nowait(self, obj: Any) -> None:
        """As ``put(obj, False)``."""
        return self.put(obj, False)

    def get_nowait(self) -> Any:
        """As ``get(False)``."""
        return self.get(False)

    def join_thread(self) -> None:
        """Nothing to wait for: what was put is in the queue. Only after `close`, as the standard library's."""
        assert self._closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Nothing to cancel."""


class JoinableQueue(Queue, _AnyJoinableQueue):
    """A queue that counts the items that were put and not yet reported as finished."""

    def task_done(self) -> None:
        """Reports one item as finished that was taken."""
        if not self._task_done():
            raise ValueError("task_done() called too many times")

    def join(self) -> None:
        """Waits until every item that was put has been reported as finished."""
        self._join()


class SimpleQueue(_Shared, _AnySimpleQueue):
    """A queue with the few methods that need no explanation."""

    def __init__(self, *, ctx: Any = None) -> None:
        self._start(0)

    def put(self, obj: Any) -> None:  # type: ignore[override]
        """Puts an item."""
        if self._closed:
            raise OSError("handle is closed")
        super().put(obj)

    def get(self) -> Any:  # type: ignore[override]
        """Takes an item, as soon as there is one."""
        if self._closed:
            raise OSError("handle is closed")
        return super().get()

    def empty(self) -> bool:
        """Whether no item waits."""
        if self._closed:
            raise OSError("handle is closed")
        return super().empty()


ByInsides.stand_for({Queue: _AnyQueue, JoinableQueue: _AnyJoinableQueue, SimpleQueue: _AnySimpleQueue})


def _pickled(value: Any) -> Any:
    return pickled(pickler, value)[0]


def _warn_of_death(pid: int) -> None:
    # The engine has put right what the dead one left, and tries again afterwards: where this raises, nothing was put or taken.
    text = (
        f"process {pid} died while it was using this queue: the queue is whole, and what the process had not put or taken "
        "completely is as if it had never begun"
    )
    warnings.warn(text, OwnerDiedWarning, stacklevel=2)


_engine.serve_queues(_pickled, _warn_of_death)
