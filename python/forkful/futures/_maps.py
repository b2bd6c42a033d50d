"""`map` of a pool of processes: which of its items may travel together, and in which way.

Knows: the feed, and what it needs to know of an executor. Does not know: how that is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from forkful import _engine

from ._base import Executor
from ._chunks import chunks, flat, run_chunk
from ._feed import Feed

__all__ = ["MapsInParts"]

T = TypeVar("T")

_MANY = 16
"""Results of one part: more of them than this are small, as they and their items took a millisecond together."""


class MapsInParts(Executor):
    """An executor of processes, or a view on one."""

    def _mapping(self) -> tuple[Any, _engine.TaskOptions | None]:
        """Whose workers run the items, and with which options: a view says something else."""
        return self, None

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
        deadline = None if timeout is None else time.monotonic() + timeout
        executor, options = self._mapping()
        if chunksize is None and buffersize is None and _may_travel_together(executor, options):
            feed = _feed_of(executor, options, fn, iterables, spread)
            return flat(feed.results(deadline, ordered), _MANY)
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
    if executor._shutdown_thread or executor._crew.is_inherited():
        executor.submit(fn)  # which says why not
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
