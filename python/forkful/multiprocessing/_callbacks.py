"""The thread that makes the callbacks of one pool, one after the other, in the order in which their jobs were done.

Done callbacks of futures can't do this themselves: they run wherever a task ends, and in the thread that submits if it has ended
before. The thread is there while callbacks are expected, and a moment longer.

Does not know: pools, futures, what is called.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["Caller"]

_LINGER = 1.0
"""Seconds that the thread stays when nothing is expected."""


class Caller:
    """Makes calls in its thread; what they raise is shown by `threading.excepthook`."""

    def __init__(self) -> None:
        # Reentrant: a signal handler may submit while its thread holds it.
        self._lock = threading.RLock()
        self._expected: dict[Any, Callable[[], object]] = {}
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._leaving = False
        self.tell = self._done.put
        """Has the call made that is expected under this key. Any thread may say so, and waits for nothing."""
        self.is_over = False
        """Whether the pool was terminated: what fails by that is nobody's news."""

    def expect(self, key: Any, call: Callable[[], object]) -> None:
        """Takes note of a call that `tell` is going to ask for."""
        with self._lock:
            self._expected[key] = call
            if self._thread is not None:
                return
            thread = self._thread = threading.Thread(target=self._serve, name="forkful-pool-callbacks", daemon=True)
            try:
                # Under the lock: whoever comes second must not rely on one that then can't be started.
                thread.start()
            except BaseException:
                self._thread = None
                del self._expected[key]
                raise

    def is_here(self) -> bool:
        """Whether the calling thread is the one that makes the calls."""
        return threading.current_thread() is self._thread

    def join(self) -> None:
        """Waits until all has been called that is expected, and the thread has left. Not to be called in a callback."""
        with self._lock:
            thread = self._thread
            self._leaving = True
        if thread is not None:
            self._done.put(None)
            thread.join()

    def _serve(self) -> None:
        while True:
            try:
                # What is expected comes, and a wait for it costs nothing.
                key = self._done.get(timeout=None if self._expected else 0 if self._leaving else _LINGER)
            except Empty:
                with self._lock:
                    if self._expected:
                        continue
                    self._thread = None
                    return
            call = self._expected.pop(key, None)
            if call is None:
                continue
            try:
                call()
            except BaseException:
                kind, error, trace = sys.exc_info()
                assert kind is not None
                threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))
                del kind, error, trace
            del key, call
