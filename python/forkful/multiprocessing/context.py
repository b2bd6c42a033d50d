"""Contexts and process classes: the standard library's, whose factories make this package's objects.

There is one start method for both packages: the state is the standard library's default context, and ours looks there.

Knows: the modules of this package by name, each loaded by the factory that needs it. Does not know: `install`.
"""

from __future__ import annotations

import sys
from multiprocessing import context as _theirs
from multiprocessing.context import (
    AuthenticationError as AuthenticationError,
)
from multiprocessing.context import (
    BufferTooShort as BufferTooShort,
)
from multiprocessing.context import (
    ProcessError as ProcessError,
)
from multiprocessing.context import (
    TimeoutError as TimeoutError,
)
from multiprocessing.context import (
    assert_spawning as assert_spawning,
)
from multiprocessing.context import (
    get_spawning_popen as get_spawning_popen,
)
from multiprocessing.context import (
    set_spawning_popen as set_spawning_popen,
)

from forkful.multiprocessing import process as process
from forkful.multiprocessing import reduction as reduction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ()

# What a zygote imports as well, when the first child is on its way: most children are handed one of these.
AFTERWARDS = tuple(f"{__package__}.{name}" for name in ("synchronize", "queues", "connection"))

# Theirs as they were when this was imported, which is before anybody could have put ours in their place.
_their_default: Any = _theirs._default_context
_their_concrete: dict[str, Any] = dict(_theirs._concrete_contexts)  # type: ignore[attr-defined]


class BaseContext(_theirs.BaseContext):
    """What every context makes; only the names that are this package's own are written here."""

    def get_context(self, method: str | None = None) -> Any:
        """The context of a start method; this one if none is named."""
        if method is None:
            return self
        return _context_of(method)

    def Pipe(self, duplex: bool = True) -> Any:
        """Two connections, joined by a pipe."""
        from forkful.multiprocessing.connection import Pipe

        return Pipe(duplex)

    def Lock(self) -> Any:
        """A lock between processes and threads alike."""
        from forkful.multiprocessing.synchronize import Lock

        return Lock(ctx=self.get_context())

    def RLock(self) -> Any:
        """A lock that its holder may take again."""
        from forkful.multiprocessing.synchronize import RLock

        return RLock(ctx=self.get_context())

    def Condition(self, lock: Any = None) -> Any:
        """A condition over the lock; over an RLock of its own if none is given."""
        from forkful.multiprocessing.synchronize import Condition

        return Condition(lock, ctx=self.get_context())

    def Semaphore(self, value: int = 1) -> Any:
        """A counting semaphore."""
        from forkful.multiprocessing.synchronize import Semaphore

        return Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value: int = 1) -> Any:
        """A semaphore that refuses to be released more often than it was acquired."""
        from forkful.multiprocessing.synchronize import BoundedSemaphore

        return BoundedSemaphore(value, ctx=self.get_context())

    def Event(self) -> Any:
        """A flag that can be waited for."""
        from forkful.multiprocessing.synchronize import Event

        return Event(ctx=self.get_context())

    def Barrier(self, parties: int, action: Callable[..., Any] | None = None, timeout: float | None = None) -> Any:
        """A point that so many processes or threads pass together."""
        from forkful.multiprocessing.synchronize import Barrier

        return Barrier(parties, action, timeout, ctx=self.get_context())

    def Queue(self, maxsize: int = 0) -> Any:
        """A queue between processes."""
        from forkful.multiprocessing.queues import Queue

        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize: int = 0) -> Any:
        """A queue whose items can be reported as done."""
        from forkful.multiprocessing.queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self) -> Any:
        """A queue with put, get and empty."""
        from forkful.multiprocessing.queues import SimpleQueue

        return SimpleQueue(ctx=self.get_context())

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Any = (),
        maxtasksperchild: int | None = None,
    ) -> Any:
        """A pool of worker processes."""
        from forkful.multiprocessing.pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context())

    def RawValue(self, typecode_or_type: Any, *args: Any) -> Any:
        """A ctypes object in shared memory, without a lock."""
        from forkful.multiprocessing.sharedctypes import RawValue

        return RawValue(typecode_or_type, *args)

    def RawArray(self, typecode_or_type: Any, size_or_initializer: Any) -> Any:
        """A ctypes array in shared memory, without a lock."""
        from forkful.multiprocessing.sharedctypes import RawArray

        return RawArray(typecode_or_type, size_or_initializer)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
        """A ctypes object in shared memory with its lock."""
        from forkful.multiprocessing.sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context())

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:
        """A ctypes array in shared memory with its lock."""
        from forkful.multiprocessing.sharedctypes import Array

        return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())


class Process(_theirs.Process):
    """A process, started by the method in force."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return _default_context.get_context().Process._Popen(process_obj)


class ForkProcess(_theirs.ForkProcess):
    """A process that is forked from this one."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        if f"{__package__}.shared_memory" in sys.modules:
            from forkful import _tracker

            # Or the child, if it makes a block, would get a tracker of its own, which unlinks the block when it ends.
            _tracker.running()
        return _theirs.ForkProcess._Popen(process_obj)


class SpawnProcess(_theirs.SpawnProcess):
    """A process in an interpreter of its own."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from forkful import _tracker

        _tracker.running()
        return _theirs.SpawnProcess._Popen(process_obj)


class ForkServerProcess(_theirs.ForkServerProcess):
    """A process that a clean, single-threaded one forks on request."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from forkful.multiprocessing.popen_forkserver import Popen

        return Popen(process_obj, ForkServerProcess)


class DefaultContext(BaseContext, _theirs.DefaultContext):
    """The context of the method in force, which is the standard library's as well."""

    Process = Process

    def __init__(self, context: Any = None) -> None:
        # Nothing to keep: see the properties.
        pass

    @property
    def _default_context(self) -> Any:
        return _ours(_their_default._default_context)

    @property
    def _actual_context(self) -> Any:
        return _ours(_their_default._actual_context)

    @_actual_context.setter
    def _actual_context(self, context: Any) -> None:
        _their_default._actual_context = _their_concrete.get(getattr(context, "_name", ""), context)

    def get_context(self, method: str | None = None) -> Any:
        """The context of a start method; of the one in force, which is settled by this call, if none is named."""
        if method is not None:
            return _context_of(method)
        return _theirs.DefaultContext.get_context(self)


class ForkContext(BaseContext, _theirs.ForkContext):
    """Children are forks of this process."""

    Process = ForkProcess


class SpawnContext(BaseContext, _theirs.SpawnContext):
    """Children are interpreters of their own."""

    Process = SpawnProcess


class ForkServerContext(BaseContext, _theirs.ForkServerContext):
    """Children are forks of a clean process."""

    Process = ForkServerProcess


_concrete_contexts: dict[str, Any] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}
_default_context = DefaultContext()


def _context_of(method: str) -> Any:
    method = "forkserver" if method == "zygote" else method
    try:
        # Others add their own to the standard library's: loky does, and joblib with it.
        context = _concrete_contexts.get(method) or _theirs._concrete_contexts[method]  # type: ignore[attr-defined]
    except KeyError:
        raise ValueError(f"cannot find context for {method!r}") from None
    context._check_available()
    return context


def _ours(context: Any) -> Any:
    """Ours for theirs; a context of somebody else's making is left alone."""
    name = getattr(context, "_name", "")
    return _concrete_contexts[name] if context is _their_concrete.get(name, _ours) else context
