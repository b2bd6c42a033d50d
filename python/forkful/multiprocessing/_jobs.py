"""What can be asked of a pool: the methods of `multiprocessing.pool.Pool` that make jobs.

Knows: results, feeds, what submits to an executor. Does not know: which executor, and how a pool begins and ends.
"""

from __future__ import annotations

import multiprocessing.pool as _standard
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from forkful.futures._base import check_buffersize

from ._callbacks import Caller
from ._feeding import Ahead, Intake, batches, is_plain
from ._results import ApplyResult, IMapIterator, IMapUnorderedIterator, MapResult, failed

__all__ = ["Jobs"]

_RUN = _standard.RUN
_MOST = 8192
"""Items of a chunk whose size nobody has named: fewer take longer to hand over than to run, more keep others waiting."""


class Jobs(_standard.Pool):
    """The jobs of a pool."""

    _state: str
    _processes: int
    _maxtasksperchild: int | None
    _executor: Any
    _intake: Intake
    _caller: Caller

    def _check_running(self) -> None:
        if self._state != _RUN:
            raise ValueError("Pool not running")

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> Any:
        """``func(*args, **kwds)``, in the pool."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> Any:
        """The same without waiting; its result.

        callback, error_callback: called with the value, or with what was raised, in one thread for all of the pool.
        """
        if self._state != _RUN:
            raise ValueError("Pool not running")
        try:
            future = self._executor.submit(func, *args, **kwds)
        except OSError:
            raise
        except Exception as error:
            # Of a call that can't be made as well: its result says so.
            future = self._intake.refused(error)
        return ApplyResult(future, self._caller, callback, error_callback)

    def map(self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int | None = None) -> Any:
        """``list(map(func, iterable))``, in the pool."""
        return self._map_async(func, iterable, False, chunksize).get()

    def starmap(self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None) -> Any:
        """``list(starmap(func, iterable))``, in the pool."""
        return self._map_async(func, iterable, True, chunksize).get()

    def map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> Any:
        """`map` without waiting; its result."""
        return self._map_async(func, iterable, False, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> Any:
        """`starmap` without waiting; its result."""
        return self._map_async(func, iterable, True, chunksize, callback, error_callback)

    def _map_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        spread: bool,
        chunksize: int | None = None,
        callback: Any = None,
        error_callback: Any = None,
    ) -> MapResult:
        self._check_running()
        items: Any = iterable
        if not is_plain(iterable):
            if not hasattr(iterable, "__len__"):
                items = list(iterable)
            else:
                # As the standard library does not read these here, what they raise is for the result to say.
                try:
                    items = list(iterable)
                except Exception as error:
                    return MapResult([failed(error)], 1, True, self._caller, callback, error_callback)
        if chunksize is None:
            chunksize = -(-len(items) // (self._processes * 4))
            if self._maxtasksperchild is None:
                # The workers begin while the rest is pickled, and results are read while others run.
                chunksize = min(chunksize, _MOST)
        if not items:
            chunksize = 0
        elif chunksize < 1:
            # There it would wait for nothing, and give a list of None.
            raise ValueError(f"Chunksize must be 1+, not {chunksize!r}")
        single = chunksize == 1
        submit = self._submitter(func, spread, single)
        parts: list[Any] = []
        for at in range(0, len(items), chunksize or 1):
            try:
                parts.append(submit(items[at] if single else items[at : at + chunksize]))
            except OSError:
                raise
            except Exception as error:
                parts.append(self._intake.refused(error))
        return MapResult(parts, chunksize, single, self._caller, callback, error_callback)

    def _submitter(self, func: Callable[..., Any], spread: bool, single: bool) -> Callable[[Any], Any]:
        """What submits a chunk, or an item that travels alone."""
        if not single:
            return partial(self._executor._crew.submit_chunk, spread, func)
        submit = self._executor.submit
        return (lambda item: submit(func, *item)) if spread else partial(submit, func)

    def imap(  # type: ignore[override]
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1, *, buffersize: int | None = None
    ) -> Any:
        """An iterator over the results, in order, which takes them as they come.

        chunksize: so many items travel together. 1: `next` of the iterator takes a timeout.
        buffersize: at most so many tasks are submitted ahead of what was taken. None: the input is read by a thread of its own,
            whether anybody takes results or not, as far ahead as keeps the workers busy.
        """
        return self._imap(IMapIterator, func, iterable, chunksize, buffersize)

    def imap_unordered(  # type: ignore[override]
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int = 1, *, buffersize: int | None = None
    ) -> Any:
        """The same, each result as soon as it is there."""
        return self._imap(IMapUnorderedIterator, func, iterable, chunksize, buffersize)

    def _imap(
        self,
        kind: Callable[..., IMapIterator],
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[Any]:
        self._check_running()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize!r}")
        check_buffersize(buffersize)
        submit = self._submitter(func, False, chunksize == 1)
        items = iterable if chunksize == 1 else batches(iterable, chunksize)
        if buffersize is None:
            results = kind()
            self._intake.feed(results, submit, items)
        else:
            ahead = Ahead(self._intake, submit, items)
            results = kind(ahead.refill)
            ahead.fill(results, buffersize)
        return results if chunksize == 1 else (item for chunk in results for item in chunk)
