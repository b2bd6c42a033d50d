"""The thread that makes the callbacks of one pool, one after the other, in the order in which their jobs were done.

It is started when there is something to call and leaves when there was nothing for a while. Done callbacks of futures can't do
this themselves: they run wherever a task ends, and in the thread that submits if it has ended before.

Does not know: pools, futures, what is called.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Caller"]

_LINGER = 1.0
"""Seconds that the thread stays without work."""


class Caller:
    """Makes calls in its thread; what they raise is shown by `threading.excepthook`."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._calls: deque[Callable[[], object]] = deque()
        self._thread: threading.Thread | None = None
        self._busy = False
        self.is_over = False
        """Whether its pool was terminated: what fails by that is nobody's news."""

    def put(self, call: Callable[[], object], _: object = None) -> None:
        """Has it called. Any thread may say so; nothing is waited for."""
        with self._changed:
            self._calls.append(call)
            if self._thread is not None:
                self._changed.notify_all()
                return
            thread = self._thread = threading.Thread(target=self._serve, name="forkful-pool-callbacks", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No more threads, or the interpreter ends: here and now, then.
            self._serve(linger=0.0)

    def join(self) -> None:
        """Waits until all has been called; RuntimeError inside a callback, which can't wait for itself."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("cannot join current thread")
        with self._changed:
            while self._calls or self._busy:
                self._changed.wait()

    def _serve(self, linger: float = _LINGER) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if not self._calls and not (linger and self._changed.wait_for(lambda: self._calls, linger)):
                    self._thread = None
                    return
                call = self._calls.popleft()
                self._busy = True
            try:
                call()
            except BaseException:
                kind, error, trace = sys.exc_info()
                assert kind is not None
                threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))
                del kind, error, trace
            del call
