"""How an executor that chooses ends: what is held then, and who still looks on.

Knows: what a desk holds. Does not know: where calls run, why.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._functions import Function, Functions
    from ._watch import Watch
    from .process import ProcessPoolExecutor
    from .thread import ThreadPoolExecutor

__all__ = ["Closing"]


class Closing:
    """The part of a desk that ends it."""

    lock: threading.RLock
    settled: threading.Condition
    threads: ThreadPoolExecutor
    functions: Functions
    closed: bool
    held: int
    doubles: int
    _processes: ProcessPoolExecutor | None
    _making: threading.RLock
    _waiting: set[Function]
    _watching: Watch | None
    _watcher: threading.Thread | None

    def busy(self) -> bool:
        """Whether calls are held, or have doubles in processes."""
        return self.held > 0 or self.doubles > 0

    def close(self, cancel: bool = False) -> None:
        """Takes no more calls; the pools are closed when nothing is held any more."""
        with self.lock:
            self.closed = True
            self.functions.table.clear()
        if cancel:
            self.cancel_held()
        self._look_for_end()

    def cancel_held(self) -> None:
        """Cancels what is held."""
        with self.lock:
            futures = [future for function in self._waiting for *_, future, _ in function.held]
            for function in self._waiting:
                function.held.clear()
                function.rest()
            self._waiting.clear()
            self.held = 0
        for future in futures:
            future.cancel()

    def wait(self) -> None:
        """Until nothing is held."""
        with self.lock:
            while self.busy():
                self.settled.wait()

    def end_watch(self) -> None:
        """Has nobody look on any more, which may not go on while the interpreter ends: it asks for its lock."""
        with self.lock:
            watch, watcher = self._watching, self._watcher
        if watch is not None:
            watch.end()
        if watcher is not None and watcher.ident is not None and watcher is not threading.current_thread():
            watcher.join()

    def inherit(self) -> None:
        """In a forked child: whoever had a lock is not there."""
        self.lock = threading.RLock()
        self.settled = threading.Condition(self.lock)
        self._making = threading.RLock()
        self._watching = self._watcher = None

    def _look_for_end(self) -> None:
        with self.lock:
            if self.busy():
                return
            self.settled.notify_all()
            if not self.closed:
                return
        self.threads.shutdown(wait=False)
        if self._processes is not None:
            self._processes.shutdown(wait=False)
