"""`map` of a pool of processes: which of its items may travel together, and in which way.

Knows: the feed, and what it needs to know of an executor. Does not know: how that is made.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from forkful import _engine

from ._base import Executor, check_buffersize
from ._chunks import chunks, flat, run_chunk
from ._feed import Feed
from ._window import Window

__all__ = ["MapsInParts"]

T = TypeVar("T")

_ROOM = 256
"""Items per worker that `buffersize` must leave room for: parts of fewer are so small that they cost more than tasks do."""
_MANY = 16
"""Results of one part: more of them than this are small, as they and their items took a millisecond together."""


class MapsInParts(Executor):
    """An executor of processes, or a view on one."""

    def _mapping(self) -> tuple[Any, _engine.TaskOptions | None]:
        """Whose workers run the items, and with which options: a view says something else."""
        return self, None

    def _async_part(self, chunksize: int | None) -> int:
        return chunksize or 1

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
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        check_buffersize(buffersize)
        deadline = None if timeout is None else time.monotonic() + timeout
        executor, options = self._mapping()
        if chunksize is None and _may_travel_together(executor, options):
            if buffersize is None:
                feed = _feed_of(executor, options, fn, iterables, spread)
                return flat(feed.results(deadline, ordered), _MANY)
            if buffersize >= _ROOM * executor._max_workers:
                return _lazily(executor, options, fn, iterables, spread, deadline, buffersize, ordered)
        if chunksize is None or chunksize == 1:
            return super()._map(fn, iterables, spread, timeout, None, buffersize, ordered)
        calls = map(tuple, iterables[0]) if spread else zip(*iterables, strict=False)
        parts = chunks(calls, chunksize)
        return flat(super()._map(partial(run_chunk, fn), (parts,), False, timeout, None, buffersize, ordered))


def _may_travel_together(executor: Any, options: _engine.TaskOptions | None) -> bool:
    """Not where somebody has taken `submit` over, or has asked for something per task."""
    own = type(executor).submit is _engine.ProcessPool.submit and "submit" not in vars(executor)
    return own and executor._max_tasks_per_child is None and (options is None or not options.per_task)


def _feed_of(
    executor: Any,
    options: _engine.TaskOptions | None,
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    spread: bool,
) -> Feed:
    """The feed of a map, under way."""
    _check_open(executor, fn)
    items: Sequence[Any]
    if spread:
        items = list(map(tuple, iterables[0]))
    elif len(iterables) == 1:
        # What can't change need not be copied, and a part of a range is a range.
        items = iterables[0] if type(iterables[0]) in (range, tuple) else list(iterables[0])  # type: ignore[assignment]
    else:
        items, spread = list(zip(*iterables, strict=False)), True
    feed = Feed(partial(executor._crew.submit_rest, options), fn, items, spread, executor._max_workers)
    feed.fill()
    feed.raise_error()
    return feed


def _lazily(
    executor: Any,
    options: _engine.TaskOptions | None,
    fn: Callable[..., T],
    iterables: tuple[Iterable[Any], ...],
    spread: bool,
    deadline: float | None,
    buffersize: int,
    ordered: bool,
) -> Iterator[T]:
    """The results of a map that reads its input as they are taken; the first items are under way."""
    calls: Iterator[Any]
    if spread:
        calls = map(tuple, iterables[0])
    elif len(iterables) == 1:
        calls = iter(iterables[0])
    else:
        calls, spread = zip(*iterables, strict=False), True
    feed = Feed(None, fn, Window(), spread, executor._max_workers)
    # A forgotten executor is not kept alive by an iterator that nobody finishes.
    refill = partial(_refill, weakref.ref(executor), options, fn, calls, feed)
    while feed.taken() < buffersize and refill():
        pass
    return feed.results_lazily(refill, deadline, ordered)


def _refill(
    executor: weakref.ref[Any],
    options: _engine.TaskOptions | None,
    fn: Callable[..., Any],
    calls: Iterator[Any],
    feed: Feed,
) -> bool:
    """Takes one more item of the input; whether there was one."""
    alive = executor()
    if alive is not None:
        for item in calls:
            _check_open(alive, fn)
            if not feed.hold(item):
                feed.add(partial(alive._crew.submit_rest, options), item)
            return True
    return False


def _check_open(executor: Any, fn: Callable[..., Any]) -> None:
    if executor._shutdown_thread or executor._crew.is_inherited():
        executor.submit(fn)  # which says why not
