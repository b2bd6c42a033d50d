"""Futures and the executor's contract: `concurrent.futures._base` over the engine.

Differs from CPython in: a future can be awaited by itself; `Executor.map` has `buffersize` on every version; a cancelled task of
a pool counts as done for `wait` and `as_completed` at once, not when a worker comes upon it.
"""

from __future__ import annotations

import concurrent.futures
import time
import weakref
from collections import deque
from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    BrokenExecutor,
    CancelledError,
    InvalidStateError,
    TimeoutError,
)
from concurrent.futures._base import DoneAndNotDoneFutures
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from forkful import _engine
from forkful._items import add_note

from ._awaiting import awaited, running_loop
from ._progress import bar

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ._async_map import AsyncMap

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "BrokenExecutor",
    "CancelledError",
    "Executor",
    "Future",
    "InvalidStateError",
    "TimeoutError",
    "as_completed",
    "progress",
    "wait",
]

T = TypeVar("T")

# The standard library's own, whatever `install` puts in their place later: they wait for futures of several makes.
_standard_wait = concurrent.futures.wait
_standard_as_completed = concurrent.futures.as_completed


class Future(_engine.FutureBase[T], concurrent.futures.Future[T]):
    """The result of a task, sooner or later.

    A true `concurrent.futures.Future`, with the same methods, and awaitable in asyncio: ``await future``.
    """

    __slots__ = ()

    def __init__(self) -> None:
        """A future that its maker completes; executors make their own."""
        # The standard library's would make a condition and a list for each future.

    def __await__(self) -> Generator[Any, None, T]:
        """Waits in an event loop of asyncio.

        A cancelled future cancels the awaiting task. A cancelled awaiting task cancels the future if that has not begun; a task
        that runs in a process is stopped, as by `kill`, and waited for until it has ended (a second at most); one that runs in a
        thread goes on, unheeded. `asyncio.shield` keeps the cancellation away.
        """
        try:
            if not self.done():
                yield from awaited(self)
            if self.cancelled():
                import asyncio

                raise asyncio.CancelledError
            return self.result()
        finally:
            # Breaks the cycle of an exception, its traceback and this frame.
            del self


_engine.set_future_class(Future)


def wait(
    fs: Iterable[concurrent.futures.Future[T]],
    timeout: float | None = None,
    return_when: str = ALL_COMPLETED,
) -> DoneAndNotDoneFutures[T]:
    """Waits for futures, as `concurrent.futures.wait` does; futures of both makes may be mixed.

    `timeout` is in seconds, None for ever. Returns the named tuple ``(done, not_done)`` of two sets.
    """
    futures = list(fs)
    if return_when == ALL_COMPLETED:
        complete = _engine.wait_all(futures, timeout)
        if complete:
            return DoneAndNotDoneFutures(set(futures), set())
    elif return_when in (FIRST_COMPLETED, FIRST_EXCEPTION):
        complete = _wait_first(futures, timeout, return_when == FIRST_EXCEPTION)
    else:
        raise ValueError(f"Invalid return condition: {return_when!r}")
    if complete is None:
        return _standard_wait(futures, timeout, return_when)
    return DoneAndNotDoneFutures(*_engine.partition(futures))


def _wait_first(futures: list[Any], timeout: float | None, only_exceptions: bool) -> bool | None:
    """Waits until one future has come, or one that raised; None if they are not all the engine's."""
    if not futures:
        return True
    gathering = _engine.Gathering.of(futures)
    if gathering is None:
        return None
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while len(gathering):
            left = None if deadline is None else deadline - time.monotonic()
            future = gathering.next(left)
            if future is None:
                return False
            # By what its process has said of it: nothing is unpickled by whoever only waits.
            if not only_exceptions or _engine.has_failed(future):
                return True
    finally:
        gathering.close()
    return True


def as_completed(
    fs: Iterable[concurrent.futures.Future[T]],
    timeout: float | None = None,
) -> Iterator[concurrent.futures.Future[T]]:
    """Yields futures as they come, as `concurrent.futures.as_completed` does, each once, and keeps none that it has yielded.

    Raises TimeoutError when `timeout` seconds after the first `next()` some are missing.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    futures = list(dict.fromkeys(fs))
    total = len(futures)
    gathering = _engine.Gathering.of(futures)
    # bpo-27144: nobody but the caller may keep a future that has been yielded.
    if gathering is None:
        standard = _standard_as_completed(futures, timeout)
        del futures, fs
        yield from standard
        return
    del futures, fs
    try:
        while len(gathering):
            left = None if deadline is None else deadline - time.monotonic()
            found = [gathering.next(left)]
            if found[0] is None:
                raise TimeoutError(f"{len(gathering)} (of {total}) futures unfinished")
            yield found.pop()
    finally:
        gathering.close()


def progress(fs: Iterable[concurrent.futures.Future[T]], **options: Any) -> Iterator[concurrent.futures.Future[T]]:
    """Yields futures as they come, as `as_completed` does, with a bar of how many have; ``list(progress(fs))`` waits for all.

    options: tqdm's, for example ``desc="pages"``. ImportError where tqdm is not installed.
    """
    futures = list(fs)
    return bar(as_completed(futures), len(futures), **options)


class Executor(concurrent.futures.Executor):
    """What every executor can do: `submit`, `map` and its kin, `shutdown`."""

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[T]:
        """Like ``map(fn, *iterables)``, with the calls run by this executor; results come in order.

        timeout: seconds, counted from this call, after which `next()` raises TimeoutError. None: for ever.
        chunksize: so many calls travel together, as one task; threads, which need none, ignore it. None: processes take as many
            as need about a millisecond, found out while they run.
        buffersize: at most so many results are waited for; the iterables, which may be endless, are then read as results
            are taken. None: they are read at once.
        progress: show a bar of the results that were taken, by tqdm.

        An exception is raised in the place of its item, and says in a note which one it was.
        """
        results = self._map(fn, iterables, False, timeout, chunksize, buffersize, True)
        return _shown(results, iterables if buffersize is None else (), progress)

    def map_unordered(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[T]:
        """The same, but each result comes as soon as it is there."""
        results = self._map(fn, iterables, False, timeout, chunksize, buffersize, False)
        return _shown(results, iterables if buffersize is None else (), progress)

    def starmap(
        self,
        fn: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        *,
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        progress: bool = False,
    ) -> Iterator[T]:
        """Like `map`, with the arguments of each call as one item: ``starmap(pow, [(2, 5), (3, 2)])``."""
        results = self._map(fn, (iterable,), True, timeout, chunksize, buffersize, True)
        return _shown(results, (iterable,) if buffersize is None else (), progress)

    def submit_many(self, fn: Callable[..., T], *iterables: Iterable[Any]) -> list[concurrent.futures.Future[T]]:
        """Submits a call for each item, as ``map(fn, *iterables)`` makes them; returns their futures in order."""
        return [self.submit(fn, *args) for args in zip(*iterables, strict=False)]

    def map_async(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any] | AsyncIterable[Any],
        buffersize: int | None = None,
        chunksize: int | None = None,
        ordered: bool = True,
    ) -> AsyncMap[T]:
        """`map` for ``async for``: an asynchronous iterator of the results, with `aclose`; nothing runs before it is first read.

        iterables: ordinary or asynchronous ones, also endless, which are read as results are taken. An ordinary one is read in
            the event loop's thread, and must not block; asynchronous ones are read by a task of their own, and closed at the end.
        buffersize: at most so many items are taken whose results have not been. None: two per worker, or two parts of
            `chunksize` items. Never more than the pool's `max_pending`, where `submit` would hold up the loop.
        chunksize: so many items travel to a process together, as one task; threads, which need none, ignore it. None: one.
        ordered: results come in the order of the items; False: as soon as they are there.

        An exception is raised in the place of its item, says in a note which one it was, and ends the iterator. When the iterator
        ends early, by that, by `aclose`, a cancellation or because nobody holds it any more, what has not begun is cancelled, and
        what runs in processes is stopped. TypeError for what can't be iterated, and for a coroutine function.
        """
        from ._async_map import AsyncMap

        check_buffersize(buffersize)
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        size = self._async_part(chunksize)
        return AsyncMap(self.submit, fn, iterables, self._async_bound(size, buffersize), size, ordered)

    def _async_part(self, chunksize: int | None) -> int:
        """How many items of `map_async` are one task."""
        return 1

    def _async_bound(self, size: int, buffersize: int | None) -> int:
        """How many items `map_async` may be ahead, in parts of `size`."""
        if buffersize is None:
            buffersize = 2 * size * (getattr(self, "_max_workers", 0) or _engine.usable_cpus())
        most: int | None = getattr(self, "_max_pending", None)
        # So `submit` does not wait, and the loop with it, unless others fill the pool as well.
        return buffersize if most is None else min(buffersize, most * size)

    async def __aenter__(self) -> Self:
        """Like ``with``, in a coroutine of asyncio: ``async with ThreadPoolExecutor() as executor``."""
        running_loop("async with an executor is for asyncio only; elsewhere use with")
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shuts the executor down when what was submitted is done, without blocking the event loop meanwhile.

        If the block is left by an exception or a cancellation, or this wait is cancelled, then what has not begun is cancelled
        and what runs in processes ended; what runs in threads is waited for, until another cancellation comes.
        """
        from ._leaving import leave

        await leave(self, error)

    def _is_own_thread(self) -> bool:
        """Whether the calling thread is one that `shutdown` would wait for."""
        return False

    def _end_running(self, error: BaseException) -> None:
        """Ends what runs, as far as that can be done, because of `error`. May take a while; called in a thread of nobody's."""

    def _map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        spread: bool,
        timeout: float | None,
        chunksize: int | None,
        buffersize: int | None,
        ordered: bool,
    ) -> Iterator[T]:
        """What all of them come to. `spread`: the one iterable has tuples of arguments."""
        check_buffersize(buffersize)
        deadline = None if timeout is None else time.monotonic() + timeout
        calls: Iterator[tuple[Any, ...]]
        calls = map(tuple, iterables[0]) if spread else zip(*iterables, strict=False)
        window: deque[concurrent.futures.Future[T]] = deque()
        refill: Callable[[], concurrent.futures.Future[T] | None] | None = None
        if buffersize is None:
            window.extend(self.submit(fn, *args) for args in calls)
        else:
            for args in calls:
                window.append(self.submit(fn, *args))
                if len(window) == buffersize:
                    break
            # A forgotten executor is not kept alive by an iterator that nobody finishes.
            refill = partial(_submit_next, weakref.ref(self), fn, calls)
        return (_results if ordered else _results_as_they_come)(window, deadline, refill)


def check_buffersize(buffersize: int | None) -> None:
    """Refuses what is no bound for `map`."""
    if buffersize is not None:
        if not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize < 1:
            raise ValueError("buffersize must be None or > 0")


def _shown(results: Iterator[T], iterables: tuple[Any, ...], progress: bool) -> Iterator[T]:
    """With a bar, if that is wanted."""
    if not progress:
        return results
    lengths = [len(iterable) for iterable in iterables if hasattr(iterable, "__len__")]
    return bar(results, min(lengths, default=None))


def _submit_next(
    executor: weakref.ref[Executor], fn: Callable[..., T], calls: Iterator[tuple[Any, ...]]
) -> concurrent.futures.Future[T] | None:
    alive = executor()
    if alive is not None:
        for args in calls:
            return alive.submit(fn, *args)
    return None


def _results(
    window: deque[concurrent.futures.Future[T]],
    deadline: float | None,
    refill: Callable[[], concurrent.futures.Future[T] | None] | None,
) -> Iterator[T]:
    """The results of the futures in `window`, in order; what is left of them is cancelled when the iterator ends early."""
    place = 0
    try:
        while window:
            if refill is not None:
                more = refill()
                if more is not None:
                    window.append(more)
                del more
            left = None if deadline is None else deadline - time.monotonic()
            yield _take_result(window.popleft(), left, place)
            place += 1
    finally:
        for future in window:
            future.cancel()


def _results_as_they_come(
    window: deque[concurrent.futures.Future[T]],
    deadline: float | None,
    refill: Callable[[], concurrent.futures.Future[T] | None] | None,
) -> Iterator[T]:
    """The same, as they are done."""
    come: SimpleQueue[tuple[concurrent.futures.Future[T], int]] = SimpleQueue()
    waiting: dict[int, concurrent.futures.Future[T]] = {}
    place = 0

    def wait_for(future: concurrent.futures.Future[T]) -> None:
        nonlocal place
        at, place = place, place + 1
        waiting[at] = future
        # Who is told must not keep the future: the callback has it.
        future.add_done_callback(lambda future: come.put((future, at)))

    try:
        while window:
            wait_for(window.popleft())
        while waiting:
            if refill is not None:
                more = refill()
                if more is not None:
                    wait_for(more)
                del more
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                future, at = come.get(timeout=left)
            except Empty:
                raise TimeoutError from None
            del waiting[at]
            yield _take_result(future, None, at)
            del future
    finally:
        for future in waiting.values():
            future.cancel()


def _take_result(future: concurrent.futures.Future[T], timeout: float | None, place: int) -> T:
    """The result, after which nobody here knows the future; it is cancelled if it does not come in time."""
    try:
        try:
            return future.result(timeout)
        except CancelledError:
            raise
        except BaseException as error:
            if future.done() and not future.cancelled():
                add_note(error, f"item {place} of map")
            raise
        finally:
            future.cancel()
    finally:
        # Breaks the cycle of an exception, its traceback and this frame.
        del future
