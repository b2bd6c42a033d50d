"""Cuts the input of a `map` into parts and hands them in while others run: as many items at a time as take about a millisecond.

The first items go alone, and tell how long one takes. A few parts per worker are on their way at any moment; whenever one is done
the next is handed in, by the thread that runs the pool's callbacks, whether anybody takes results or not. A part whose items
take longer than expected comes back half done, and its rest is handed in anew: so an item that is suddenly slow holds up nobody
but itself.

Of an input that is read lazily, whoever takes results adds one item at a time. What is there while too few parts are on their way
goes at once; otherwise it waits for the next part that is done, and travels with what has come until then. So parts form by
themselves, and none waits for an item that the input has not given yet.

Knows: futures, the parts' outcomes, the window. Does not know: which executor runs them.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, TimeoutError
from functools import partial
from typing import Any

from forkful._items import Outcome, add_note, run_items

from ._window import Window

__all__ = ["Feed"]

_PART = 1_000_000
"""Nanoseconds that a part should take."""
_BUDGET = 4 * _PART
"""After so many a part is given back with what is left of it."""
_AHEAD = 4
"""Parts per worker that are on their way."""
_AHEAD_LAZILY = 2
"""The same where what is not on its way yet is bounded as well: it makes the larger parts."""

Submit = Callable[..., "Future[bytes]"]


class Feed:
    """The input of one map, and its parts. `submit` must work after the pool was shut down, as long as a part is under way."""

    def __init__(
        self, submit: Submit | None, fn: Callable[..., Any], items: Sequence[Any] | Window, spread: bool, workers: int
    ) -> None:
        """`items`: all of them; or a window, to which `add` brings them, each with the way to submit it."""
        self._submit = submit
        self._fn = fn
        self._items = items
        self._window = items if isinstance(items, Window) else None
        self._spread = spread
        self._workers = workers
        self._most = (_AHEAD if self._window is None else _AHEAD_LAZILY) * workers
        self._next = 0
        self._rests: deque[tuple[int, int]] = deque()
        self._parts: dict[int, tuple[Future[bytes], int]] = {}
        self._under_way: dict[int, tuple[int, float]] = {}
        self._ready: deque[int] = deque()
        self._open = 0
        self._cost = 0.0
        self._stopped = False
        self._error: BaseException | None = None
        # For a count that several threads change; nothing is called and nothing tracked is made under it.
        self._lock = threading.Lock()
        self._filling = threading.Lock()
        self._again = False
        self._changed = threading.Event()
        self._pid = os.getpid()

    def hold(self, item: Any) -> bool:
        """Brings one item of an input that is read lazily, if enough is on its way: it waits for the next part that is done."""
        with self._lock:
            if self._open < self._most:
                return False
            self._items.append(item)  # type: ignore[union-attr]
        return True

    def add(self, submit: Submit, item: Any) -> None:
        """The same where `hold` has not taken it: it goes at once."""
        with self._lock:
            self._submit = submit
            self._items.append(item)  # type: ignore[union-attr]
        self.fill()
        self.raise_error()

    def taken(self) -> int:
        """Items that are there or were."""
        return len(self._items)

    def fill(self) -> None:
        """Hands in parts until enough are on their way. Any thread may call it; one is at it at a time."""
        self._again = True
        while self._again and self._filling.acquire(blocking=False):
            try:
                self._again = False
                self._fill()
            finally:
                self._filling.release()

    def _fill(self) -> None:
        while self._open < self._most and not self._stopped:
            if self._rests:
                first, count = self._rests.popleft()
                size = self._size(count)
                if size < count:
                    self._rests.appendleft((first + size, count - size))
                    count = size
            elif self._next < len(self._items):
                first = self._next
                count = self._size(len(self._items) - first)
                self._next += count
            else:
                with self._lock:
                    let_go = None
                    if not self._open and self._next >= len(self._items):
                        let_go, self._submit = self._submit, None  # the pool may be forgotten now
                del let_go
                return
            self._hand_in(first, count)

    def _size(self, left: int) -> int:
        if not self._cost:
            return 1
        # Smaller towards the end, so that the workers finish together.
        return max(1, min(int(_PART / self._cost), -(-left // (2 * self._workers)), left))

    def _hand_in(self, first: int, count: int) -> None:
        submit = self._submit
        if submit is None:
            return
        begun = time.perf_counter_ns()
        try:
            future = submit(run_items, self._fn, self._items[first : first + count], first, self._spread, _BUDGET)
        except BaseException as error:
            self._stopped, self._error = True, error
            self._changed.set()
            if not isinstance(error, Exception):
                raise  # a Ctrl-C is not to wait for who takes the results
            return
        if count > 1 and future.done() and not future.cancelled() and future.exception() is not None:
            # One of them can't be pickled: only that one shall fail.
            self._rests.extendleft((first + place, 1) for place in reversed(range(count)))
            self._cost = max(self._cost, float(_PART))
            return
        took = (time.perf_counter_ns() - begun) / count
        with self._lock:
            self._open += 1
        self._under_way[first] = count, took
        self._parts[first] = future, count
        future.add_done_callback(partial(self._settle, first))
        self._changed.set()

    def _settle(self, first: int, future: Future[bytes]) -> None:
        """A part is done. Once: its callback comes first, or who takes its results, perhaps in another callback of the pool."""
        found = self._under_way.pop(first, None)
        if found is None:
            return
        count, took = found
        outcome = None
        try:
            if future.cancelled():
                self._stopped = True
            elif future.exception() is None:
                outcome = Outcome(future.result())
        except Exception:
            pass  # whoever takes the results is told; the others run on
        if outcome is not None:
            # What it costs to send them counts as well: large items travel in small parts.
            cost = outcome.nanos / outcome.done + took
            self._cost = cost if cost > self._cost else (self._cost + cost) / 2
            if self._window is not None:
                self._window.forget(first, outcome.done)
            if outcome.done < count:
                self._rests.append((first + outcome.done, count - outcome.done))
        with self._lock:
            self._open -= 1
        self._ready.append(first)
        self._changed.set()
        self.fill()

    def cancel(self) -> None:
        """Hands in no more, and cancels what has not begun. Takes no lock: a collection may call it anywhere."""
        self._stopped = True
        for future, _ in list(self._parts.values()):
            future.cancel()

    def raise_error(self) -> None:
        """Raises what the first parts could not be handed in for."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def results(self, deadline: float | None, ordered: bool = True) -> Iterator[list[Any]]:
        """The results, some at a time, in the order of the items or as they come; the deadline is on the monotonic clock.

        What is left is cancelled when the iterator ends early.
        """
        done = 0
        try:
            while done < len(self._items):
                place = done if ordered else self._next_ready(deadline)
                outcome = self._outcome(place, deadline)
                results, failures = outcome.results(), outcome.failures()
                done += outcome.done
                del outcome
                if failures:
                    place = min(failures)
                    yield results[:place]
                    raise failures.pop(place)
                yield results
                del results
        finally:
            self.cancel()

    def results_lazily(
        self, refill: Callable[[], object], deadline: float | None, ordered: bool = True
    ) -> Iterator[Any]:
        """The results one by one; `refill`, which may add an item, is called before each of them is waited for."""
        parts = self.results(deadline, ordered)
        ready: list[Any] = []
        yielded = 0
        try:
            while yielded < self.taken():
                refill()
                while not ready:
                    ready = next(parts)
                    # In place: nobody here keeps what was taken.
                    ready.reverse()
                yielded += 1
                yield ready.pop()
        finally:
            self.cancel()

    def _next_ready(self, deadline: float | None) -> int:
        """Where the part begins that was the next to be done."""
        while True:
            self._changed.clear()
            try:
                return self._ready.popleft()
            except IndexError:
                pass
            if self._stopped and not self._open:
                self.raise_error()
                raise CancelledError
            # Where the thread that would be told is waiting here itself, what is done is seen by looking.
            for first, (future, _) in list(self._parts.items()):
                if future.done():
                    self._settle(first, future)
            if self._ready:
                continue
            left = None if deadline is None else deadline - time.monotonic()
            if not self._changed.wait(left):
                raise TimeoutError

    def _outcome(self, place: int, deadline: float | None) -> Outcome:
        future, count = self._part(place, deadline)
        try:
            left = None if deadline is None else deadline - time.monotonic()
            try:
                return Outcome(future.result(left))
            except (TimeoutError, CancelledError):
                raise
            except BaseException as error:
                add_note(
                    error, f"item {place} of map" if count == 1 else f"items {place} to {place + count - 1} of map"
                )
                raise
            finally:
                if future.done() or future.cancel():
                    self._settle(place, future)
        finally:
            # Breaks the cycle of an exception, its traceback and this frame.
            del future

    def _part(self, place: int, deadline: float | None) -> tuple[Future[bytes], int]:
        while True:
            self._changed.clear()
            found = self._parts.pop(place, None)
            if found is not None:
                return found
            if self._stopped:
                self.raise_error()
                raise CancelledError
            if os.getpid() != self._pid:
                raise BrokenExecutor(
                    "this map was begun before a fork, in the parent, whose workers are not this process's"
                )
            self.fill()
            if place in self._parts:
                continue
            left = None if deadline is None else deadline - time.monotonic()
            if not self._changed.wait(left):
                raise TimeoutError
