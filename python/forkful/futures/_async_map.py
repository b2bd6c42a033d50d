"""`map` for ``async for``: a bounded number of calls ahead of whoever takes the results.

The reader of the results does all the work where the input is ordinary: it takes items, submits them and waits for the one
whose turn it is. An asynchronous input is read by a task of its own, the pump, always the same one: an asynchronous generator may
have opened a timeout or a task group around its `yield`, which must be left where it was entered.

Knows: futures, a `submit`. Does not know: executors.
"""

from __future__ import annotations

import concurrent.futures
import sys
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from forkful._items import Outcome, add_note, run_items
from forkful._loop import mailbox_of

from ._awaiting import PATIENCE, Done, running_loop, stop

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task
    from asyncio import Future as AsyncFuture

    from typing_extensions import Self

__all__ = ["AsyncMap"]

T = TypeVar("T")

_COROUTINE = 0x80 | 0x200
"""In the flags of code, as `inspect` has them: of a coroutine function, or of an asynchronous generator function."""
_AT_ONCE = 32
"""Results that are handed over without a turn of the loop, where all of them are there: others want to run as well."""
_NO_BUDGET = 2**62
"""Nanoseconds that a part may take: as long as it wants."""


class AsyncMap(AsyncIterator[T]):
    """The results of `Executor.map_async`, for one reader at a time, in one event loop."""

    def __init__(
        self,
        submit: Callable[..., concurrent.futures.Future[Any]],
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any] | AsyncIterable[Any], ...],
        bound: int,
        size: int,
        ordered: bool,
    ) -> None:
        """bound: items that may be ahead; size: items of one task; iterables: of ordinary and asynchronous ones, mixed."""
        if not callable(fn):
            raise TypeError(f"map_async calls a function for each item, but fn is {_kind(fn)}, which can't be called")
        plain: Any = fn
        while isinstance(plain, partial):
            plain = plain.func
        if getattr(getattr(plain, "__code__", None), "co_flags", 0) & _COROUTINE:
            raise TypeError(
                "map_async runs ordinary functions in the executor's workers, but fn is a coroutine function: await it in the "
                "event loop (asyncio.gather, a task group), or wrap it in a function that calls asyncio.run"
            )
        self._reading = False
        self._run: _Run[T] = _Run(
            submit, fn, [_iterator(place, it) for place, it in enumerate(iterables)], bound, size, ordered
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        run = self._run
        if self._reading:
            raise RuntimeError("this map_async is being read by another task; one reads it at a time")
        if run.loop is None and not run.over:
            run.begin()
            # The loop closes at its end what it has been told of, as it does with asynchronous generators.
            told = sys.get_asyncgen_hooks().firstiter
            if told is not None:
                told(self)  # type: ignore[arg-type]
        self._reading = True
        try:
            return await run.next()
        finally:
            self._reading = False

    async def aclose(self) -> None:
        """Ends the iterator: what has not begun is cancelled, what runs in a process is stopped, asynchronous inputs are closed.

        What a thread runs goes on. May be called again, and at any time; a task that is reading meanwhile gets no more results.
        """
        await self._run.close()

    async def __aenter__(self) -> Self:
        """``async with executor.map_async(...) as results``: closed when the block is left."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        run = getattr(self, "_run", None)
        if run is not None:
            run.abandon()


class _Part:
    """A task of one or several items."""

    __slots__ = ("count", "first", "future")

    def __init__(self, future: concurrent.futures.Future[Any], first: int, count: int) -> None:
        self.future = future
        self.first = first
        self.count = count


class _Run(Generic[T]):
    """A map under way. Apart from whoever reads it: its tasks know it and not the reader, whose loss ends it."""

    def __init__(
        self,
        submit: Callable[..., concurrent.futures.Future[Any]],
        fn: Callable[..., T],
        iterators: list[Any],
        bound: int,
        size: int,
        ordered: bool,
    ) -> None:
        self._submit: Any = submit
        self._fn: Any = fn
        self._iterators = iterators
        self._bound = bound
        self._size = min(size, bound)
        self._together = size > 1
        self._ordered = ordered
        self._pending: list[tuple[Any, ...]] = []
        self._taken = 0
        self._held = 0
        self._parts: dict[int, _Part] = {}
        self._come: deque[_Part] = deque()
        self._results: deque[Any] = deque()
        self._failure: BaseException | None = None
        self._exhausted = False
        self._error: BaseException | None = None
        self._at_once = 0
        self._pump: Task[None] | None = None
        self._news: AsyncFuture[None] | None = None
        self._room: AsyncFuture[None] | None = None
        self._killed: list[concurrent.futures.Future[Any]] = []
        self.over = False
        self.loop: AbstractEventLoop | None = None

    def begin(self) -> None:
        """Says in which loop it is read, and has asynchronous inputs read."""
        self.loop = running_loop("map_async is read inside asyncio only; elsewhere use map")
        self._box = mailbox_of(self.loop)
        if any(hasattr(iterator, "__anext__") for iterator in self._iterators):
            self._pump = self.loop.create_task(self._read())

    async def next(self) -> T:
        """The next result; whatever is raised ends the map."""
        if self.over:
            raise StopAsyncIteration
        if running_loop("map_async is read inside asyncio only; elsewhere use map") is not self.loop:
            raise RuntimeError("this map_async has begun in another event loop, and can only be read there")
        try:
            if self._at_once >= _AT_ONCE:
                import asyncio

                self._at_once = 0
                await asyncio.sleep(0)
            self._at_once += 1
            while not self._results:
                if self.over:
                    raise StopAsyncIteration
                if self._failure is not None:
                    raise _raisable(self._failure)
                if self._pump is None:
                    self._fill()
                part = self._next_done()
                if part is not None:
                    self._open(part)
                elif self._exhausted and not self._parts and not self._pending:
                    if self._error is not None:
                        raise _raisable(self._error)
                    raise StopAsyncIteration
                elif not self._parts and self._pending:
                    self._send()  # whoever waits does not wait for a part to be full
                else:
                    await self._wait_for_news()
        except GeneratorExit:
            # The coroutine is thrown away where it stands, mostly with its loop: it may wait for nothing more.
            self.abandon()
            raise
        except BaseException as error:
            try:
                await self.close()
                raise
            finally:
                # Breaks the cycle of an exception, its traceback and this frame.
                self._failure = self._error = part = None
                del error
        self._held -= 1
        result: T = self._results.popleft()
        if self._pump is None:
            # Before the result is handed over: the workers go on while it is looked at.
            self._fill()
        elif self._room is not None and not self._room.done():
            self._room.set_result(None)
        return result

    def _fill(self) -> None:
        """Takes items of ordinary inputs and submits them, as far as there is room."""
        while not self._exhausted and self._held + len(self._pending) < self._bound:
            if not self._pending and self._held + self._size > self._bound:
                return
            try:
                call = tuple([next(iterator) for iterator in self._iterators]) if self._iterators else None
            except StopIteration:
                call = None
            except Exception as error:
                # In its place: after the results of the items before it.
                self._error, call = error, None
            self._add(call)

    def _add(self, call: tuple[Any, ...] | None) -> None:
        """One more call, or the end of the input."""
        if self.over:
            return  # an input may have swallowed the pump's cancellation
        if call is None:
            self._exhausted = True
        else:
            self._pending.append(call)
        if self._pending and (call is None or len(self._pending) >= self._size):
            self._send()

    def _send(self) -> None:
        """Submits what has been taken."""
        calls, self._pending = self._pending, []
        first = self._taken
        try:
            if self._together:
                future = self._submit(run_items, self._fn, calls, first, True, _NO_BUDGET)
            else:
                future = self._submit(self._fn, *calls[0])
        except Exception as error:
            self._error, self._exhausted = error, True
            return
        part = _Part(future, first, len(calls))
        self._taken += part.count
        self._held += part.count
        self._parts[first] = part
        future.add_done_callback(partial(self._post, part))

    def _post(self, part: _Part, future: object) -> None:
        """In whatever thread has completed it."""
        self._box.post(partial(self._arrive, part))

    def _arrive(self, part: _Part) -> None:
        if self.over:
            return
        if not self._ordered:
            self._come.append(part)
        elif not any(first.future.done() for first in islice(self._parts.values(), 1)):
            return
        self._tell()

    def _tell(self) -> None:
        """Wakes the reader."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _wait_for_news(self) -> None:
        assert self.loop is not None
        self._news = self.loop.create_future()
        self._at_once = 0
        try:
            await self._news
        finally:
            self._news = None

    def _next_done(self) -> _Part | None:
        """A part that is done and whose turn it is; nobody here knows it from now on."""
        if not self._ordered:
            return self._parts.pop(self._come.popleft().first) if self._come else None
        for first, part in self._parts.items():
            return self._parts.pop(first) if part.future.done() else None
        return None

    def _open(self, part: _Part) -> None:
        """What has come of a part: results, and perhaps a failure behind them."""
        failures: dict[int, BaseException] = {}
        try:
            if self._together:
                outcome = Outcome(part.future.result())
                results, failures = outcome.results(), outcome.failures()
            else:
                results = [part.future.result()]
        except concurrent.futures.CancelledError:
            import asyncio

            # As whoever awaits a cancelled future gets it.
            self._failure = asyncio.CancelledError()
            return
        except BaseException as error:
            last = part.first + part.count - 1
            add_note(error, f"item {part.first} of map" if part.count == 1 else f"items {part.first} to {last} of map")
            self._failure = error
            return
        finally:
            # Breaks the cycle of an exception, its traceback and this frame.
            del part
        if failures:
            place = min(failures)
            self._failure, results = failures[place], results[:place]
        self._results.extend(results)

    async def _read(self) -> None:
        """The pump: takes items of inputs some of which are asynchronous."""
        error: BaseException | None = None
        thrown_away = False
        try:
            while not self.over:
                while self._held + max(self._size, len(self._pending) + 1) > self._bound:
                    assert self.loop is not None
                    self._room = self.loop.create_future()
                    await self._room
                call = []
                for iterator in self._iterators:
                    if hasattr(iterator, "__anext__"):
                        call.append(await iterator.__anext__())
                    else:
                        call.append(next(iterator))
                self._add(tuple(call))
                if self._pending and not self._parts:
                    self._tell()
                if self._exhausted:
                    return
        except (StopIteration, StopAsyncIteration):
            pass
        except GeneratorExit:
            thrown_away = True
            self.abandon()
            raise
        except BaseException as raised:
            error = raised
            if not isinstance(raised, Exception):
                raise
        finally:
            if not thrown_away:
                self._error = self._error or error
                # Breaks the cycle of an exception, its traceback and this frame.
                del error
                await self._close_inputs()

    async def _close_inputs(self) -> None:
        """The pump's end."""
        try:
            for iterator in self._iterators:
                aclose = getattr(iterator, "aclose", None)
                if aclose is not None:
                    await aclose()
        except Exception as raised:
            if self.over and self.loop is not None:
                # Nobody reads any more, and whoever closes it may have an exception of its own under way.
                message = "an asynchronous input of map_async could not be closed"
                self.loop.call_exception_handler({"message": message, "exception": raised})
            else:
                self._error = self._error or raised
        finally:
            self._add(None)
            self._tell()

    def stop(self) -> None:
        """Ends the map, in its loop's thread: nobody gets more results."""
        if self.over:
            return
        self.over = self._exhausted = True
        if self._pump is not None:
            self._pump.cancel()
        for part in self._parts.values():
            if stop(part.future):
                self._killed.append(part.future)
        self._parts.clear()
        self._pending.clear()
        self._come.clear()
        self._results.clear()
        # Whoever keeps the iterator keeps no executor.
        self._submit = self._fn = None
        self._tell()

    async def close(self) -> None:
        """The same, and waits until the pump has ended, and the processes that were stopped: for these a second at most."""
        import asyncio

        self.stop()
        pump = self._pump
        if pump is not None and pump is not asyncio.current_task():
            await asyncio.wait({pump})
            # Whoever reads has been told; the loop need not say it again.
            pump.cancelled() or pump.exception()
        until = time.monotonic() + PATIENCE
        while self._killed:
            await Done(self._killed.pop(), max(0.0, until - time.monotonic()))

    def abandon(self) -> None:
        """Nobody reads it any more; in any thread, at any moment."""
        if self.loop is None or self.over:
            return
        for part in tuple(self._parts.values()):
            part.future.cancel()
        self._box.post(self.stop)


def _iterator(place: int, iterable: Any) -> Any:
    """The iterator of an ordinary iterable or of an asynchronous one."""
    if hasattr(iterable, "__aiter__"):
        return iterable.__aiter__()
    try:
        return iter(iterable)
    except TypeError:
        raise TypeError(
            f"map_async takes iterables and asynchronous iterables, but iterables[{place}] is {_kind(iterable)}"
        ) from None


def _raisable(error: BaseException) -> BaseException:
    """What a coroutine may raise: the end of an iteration would be taken for its own."""
    if isinstance(error, (StopIteration, StopAsyncIteration)):
        wrapped = RuntimeError(f"a call or an input of map_async raised {type(error).__name__}")
        wrapped.__cause__ = error
        return wrapped
    return error


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"
