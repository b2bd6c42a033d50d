"""`threading` on the engine: its conditions, events, semaphores and barriers, and threads that have a result.

Knows: `forkful._engine`, `threading`. Does not know: futures, pools.

Differs from CPython in:

- `Condition`, `Event`, `Semaphore`, `BoundedSemaphore`, `Barrier` and `Timer` are compiled, or stand on what is; they are
  subclasses of the standard library's, with none of its locks inside. A waiter sleeps on a word of its own.
- `Thread` has `result` and `exception`.
- A notification is never lost: one whose waiter's time is up at the same moment counts as in time, and one whose waiter was
  interrupted goes to the next.
- A semaphore's release gives its permit to a waiter who has been woken in vain for a millisecond, so nobody starves.

Everything else is the standard library's own.
"""

from __future__ import annotations

import sys
import threading as _threading
import types
from threading import (
    TIMEOUT_MAX,
    BrokenBarrierError,
    ExceptHookArgs,
    Lock,
    RLock,
    ThreadError,
    active_count,
    current_thread,
    enumerate,
    get_ident,
    get_native_id,
    getprofile,
    gettrace,
    local,
    main_thread,
    setprofile,
    settrace,
    stack_size,
)

from forkful import (
    _engine,
    _hooks,  # noqa: F401 - a fork is told to the engine
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from threading import excepthook
    from typing import Any

__all__ = [
    "TIMEOUT_MAX",
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Event",
    "ExceptHookArgs",
    "Lock",
    "RLock",
    "Semaphore",
    "Thread",
    "ThreadError",
    "Timer",
    "active_count",
    "current_thread",
    "enumerate",
    "excepthook",
    "get_ident",
    "get_native_id",
    "getprofile",
    "gettrace",
    "local",
    "main_thread",
    "setprofile",
    "settrace",
    "stack_size",
]
# What newer versions have besides, as `settrace_all_threads`.
__all__ += [name for name in _threading.__all__ if name not in __all__]


class _Named:
    """Called by the name that programs know: `<threading.Event at ...>`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__().replace("<forkful.", "<", 1)


class Condition(_engine.ConditionBase, _threading.Condition):
    """A condition variable over any lock; an `RLock` of its own if there is none."""


class Event(_Named, _engine.EventBase, _threading.Event):
    """A flag that threads wait for."""


class Semaphore(_Named, _engine.SemaphoreBase, _threading.Semaphore):
    """A number of permits; `acquire` waits for one."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)

    def __exit__(self, *_: object) -> None:
        self.release()


class BoundedSemaphore(Semaphore, _threading.BoundedSemaphore):
    """A semaphore that refuses to be released more often than it was acquired."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._bind()


class Barrier(_Named, _engine.BarrierBase, _threading.Barrier):
    """Where threads wait until so many of them have come."""


class Thread(_threading.Thread):
    """A thread whose `run` has a result: what its target, or an overridden `run`, returned or raised.

    What it raises goes to `threading.excepthook` as well, as with every thread.
    """

    _outcome: tuple[bool, Any] | None = None

    def run(self) -> Any:
        """Calls the target, and returns what it returns."""
        try:
            if self._target is not None:  # type: ignore[attr-defined]
                return self._target(*self._args, **self._kwargs)  # type: ignore[attr-defined]
        finally:
            # The target may well know this thread: without this the two would keep each other alive.
            del self._target, self._args, self._kwargs  # type: ignore[attr-defined]

    def start(self) -> None:
        """Starts the thread, once."""
        if self._started.is_set():  # type: ignore[attr-defined]
            return super().start()  # which refuses
        own, run = vars(self).get("run"), self.run

        def restore() -> None:
            # As it was before, for whoever looks at the thread.
            if own is None:
                del self.run
            else:
                self.run = own  # type: ignore[method-assign]

        def noting() -> None:
            restore()
            try:
                self._outcome = (False, run())
            except BaseException as error:
                self._outcome = (True, error)
                raise

        self.run = noting  # type: ignore[method-assign]
        try:
            super().start()
        except Exception:
            # What a signal handler raises comes while the thread is on its way; else it could not be started.
            if self.ident is None and self not in _threading._limbo:  # type: ignore[attr-defined]
                restore()
            raise

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the thread's end and returns what `run` returned, or raises what it raised.

        TimeoutError when the thread is not over after `timeout` seconds, RuntimeError when it was never started or is the
        caller's own.
        """
        raised, value = self._ended(timeout)
        if not raised:
            return value
        try:
            raise value
        finally:
            # The traceback knows this frame, and the frame the error.
            del value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits for the thread's end and returns what `run` raised, None if it returned."""
        raised, value = self._ended(timeout)
        return value if raised else None

    def _ended(self, timeout: float | None) -> tuple[bool, Any]:
        self.join(timeout)
        if self.is_alive():
            raise TimeoutError(f"{self.name} is still running")
        if self._outcome is None:
            # After a fork all threads but one are gone, whatever they were about to return.
            raise RuntimeError(f"{self.name} has no result: it did not end in this process")
        return self._outcome


class Timer(Thread, _threading.Timer):
    """A thread that calls a function after `interval` seconds, unless it is cancelled before; its result is the function's."""

    def __init__(
        self,
        interval: float,
        function: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        Thread.__init__(self)
        self.interval = interval
        self.function = function
        self.args = args if args is not None else []
        self.kwargs = kwargs if kwargs is not None else {}
        self.finished = Event()

    def run(self) -> Any:
        self.finished.wait(self.interval)
        try:
            if not self.finished.is_set():
                return self.function(*self.args, **self.kwargs)
        finally:
            self.finished.set()


def __getattr__(name: str) -> Any:
    """What is public in the standard library's module but not in its `__all__`, and what programs reach for besides."""
    return getattr(_threading, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_threading)})


class _Module(types.ModuleType):
    """Assigning `excepthook` here assigns it in the standard library's module, where threads look it up."""

    @property
    def excepthook(self) -> Any:
        return _threading.excepthook

    @excepthook.setter
    def excepthook(self, hook: Any) -> None:
        _threading.excepthook = hook


sys.modules[__name__].__class__ = _Module
