"""How the input of `imap` gets into a pool: read by a thread of its own, as far ahead as keeps the workers busy.

Does not know: pools, results; where a future goes is said by whoever starts a feed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from itertools import islice, starmap
from typing import Any, Protocol, TypeGuard

from forkful import _engine

from ._results import failed, terminated

__all__ = ["Ahead", "Intake", "batches", "is_plain", "run_all", "run_all_spread"]

_INLINE = 1024
"""Items of a plain sequence that are submitted at once, in the thread that calls: it takes about a millisecond."""
_SOON = 0.001
"""Seconds: where the workers need less for half of what is ahead, the feeder goes further ahead."""
_LATE = 0.05
"""And less far, where they need more than so many."""
_FARTHEST = 4096


Submit = Callable[[Any], Any]
"""Submits the call of an item; the call's future."""


class Sink(Protocol):
    """Where the futures of an input go."""

    def add(self, future: Any) -> None:
        """One more."""

    def finish(self) -> None:
        """That was all."""


class Intake:
    """What of a pool must outlive it: the executor, and the feeds under way."""

    def __init__(self, executor: Any, ahead: int, why_broken: Callable[[], BaseException | None]) -> None:
        """`ahead`: calls that are submitted before the first is waited for, at least."""
        self._executor = executor
        self._why_broken = why_broken
        self._ahead = ahead
        # Reentrant: a signal handler may submit while its thread holds it.
        self._lock = threading.RLock()
        self._feeds: dict[threading.Thread, Sink] = {}
        self._closing = False
        self.terminated = False

    def refused(self, error: Exception) -> Any:
        """A future that says why a call can't be submitted."""
        if isinstance(error, BrokenExecutor):
            cause = self._why_broken()
            if cause is not None and error.__cause__ is None:
                error.__cause__ = cause
        elif self.terminated:
            error = terminated()
        return failed(error)

    def feed(self, sink: Sink, submit: Submit, items: Iterable[Any]) -> None:
        """Submits the calls of all items; returns at once where that takes long."""
        if is_plain(items) and len(items) <= _INLINE:
            for item in items:
                try:
                    future = submit(item)
                except Exception as error:
                    future = self.refused(error)
                sink.add(future)
            sink.finish()
            return
        thread = threading.Thread(target=self._run, args=(sink, submit, items), name="forkful-pool-feeder", daemon=True)
        with self._lock:
            self._feeds[thread] = sink
        try:
            thread.start()
        except RuntimeError as error:
            sink.add(failed(error))
            self._leave(thread, sink)

    def _run(self, sink: Sink, submit: Submit, items: Iterable[Any]) -> None:
        try:
            self._submit_all(sink, submit, items)
        except BaseException as error:
            # Raised by the input: whoever reads the results is told in their place.
            sink.add(failed(error))
        finally:
            self._leave(threading.current_thread(), sink)

    def _submit_all(self, sink: Sink, submit: Submit, items: Iterable[Any]) -> None:
        least = half = max(1, self._ahead // 2)
        ahead: list[Any] = []
        since = time.monotonic()
        for item in items:
            if self.terminated:
                return
            try:
                future = submit(item)
            except Exception as error:
                future = self.refused(error)
            sink.add(future)
            ahead.append(future)
            del future
            if len(ahead) < 2 * half:
                continue
            # Half of them, whichever: one that is slow keeps nobody from the others.
            arrivals = _engine.Gathering.of(ahead)
            assert arrivals is not None
            for _ in range(half):
                arrivals.next()
            arrivals.close()
            ahead = [future for future in ahead if not future.done()]
            # Large items are slow as well: so few of them lie in memory at a time.
            now = time.monotonic()
            if now - since < _SOON:
                half = min(2 * half, _FARTHEST)
            elif now - since > _LATE:
                half = max(half // 2, least)
            since = now

    def _leave(self, thread: threading.Thread, sink: Sink) -> None:
        with self._lock:
            mine = self._feeds.pop(thread, None) is not None
            last = self._closing and not self._feeds
        if mine:
            sink.finish()
        if last:
            self._executor.shutdown(wait=False)

    def close(self) -> None:
        """No more work but what the feeds still bring."""
        with self._lock:
            self._closing = True
            if self._feeds:
                return
        self._executor.shutdown(wait=False)

    def abort(self) -> None:
        """The pool is terminated: whoever reads what a feed would have brought is told."""
        self.terminated = True
        with self._lock:
            feeds = list(self._feeds.values())
            self._feeds.clear()
        for sink in feeds:
            sink.add(failed(terminated()))
            sink.finish()

    def is_closed(self) -> bool:
        """Whether there is to be no more work."""
        return self._closing or self.terminated

    def join(self) -> None:
        """Waits for the feeds."""
        while True:
            with self._lock:
                threads = list(self._feeds)
            if not threads:
                return
            for thread in threads:
                thread.join()


class Ahead:
    """An input that is read as results are taken, by whoever takes them."""

    def __init__(self, intake: Intake, submit: Submit, items: Iterable[Any]) -> None:
        self._intake, self._submit, self._items = intake, submit, iter(items)
        self._sink: Sink | None = None

    def fill(self, sink: Sink, count: int) -> None:
        """Submits the first calls; where the others go is known from now on."""
        self._sink = sink
        while count and self._sink is not None:
            self.refill()
            count -= 1

    def refill(self) -> None:
        """Submits one more call, if there is one."""
        sink = self._sink
        if sink is None:
            return
        try:
            for item in self._items:
                if self._intake.is_closed():
                    raise ValueError("Pool not running")
                sink.add(self._submit(item))
                return
        except Exception as error:
            sink.add(self._intake.refused(error))
        self._sink = None
        sink.finish()


def is_plain(items: Iterable[Any]) -> TypeGuard[Sequence[Any]]:
    """Whether reading it has no effect that anybody could see."""
    return type(items) in (list, tuple, range)


def batches(iterable: Iterable[Any], size: int) -> Iterable[Sequence[Any]]:
    """The items in batches of so many; one that is cut short by an error is lost with it."""
    if is_plain(iterable) and len(iterable) <= _INLINE * size:
        return [iterable[at : at + size] for at in range(0, len(iterable), size)]
    return _batches(iterable, size)


def _batches(iterable: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(iterable)
    while batch := list(islice(rest, size)):
        yield batch


def run_all(fn: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
    """A chunk in a thread; a process runs it in the engine."""
    return list(map(fn, items))


def run_all_spread(fn: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
    """The same where each item is the arguments of a call."""
    return list(starmap(fn, items))
