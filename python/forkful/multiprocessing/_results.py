"""The results of a pool's jobs: `AsyncResult` and its kin, over futures.

Differs from CPython in: what was outstanding when its pool was terminated raises instead of hanging; the exception of a callback
is reported, and the next one is called all the same; no thread hands results over, whoever waits reads them.

Knows: futures, how a worker's errors look. Does not know: pools, or who submits.
"""

from __future__ import annotations

import multiprocessing.pool as _standard
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as _FutureTimeout
from concurrent.futures.process import _RemoteTraceback
from multiprocessing import ProcessError, TimeoutError
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from forkful import _engine
from forkful._worker import UNSENT
from forkful.futures import Future

if TYPE_CHECKING:
    from ._callbacks import Caller

__all__ = ["ApplyResult", "IMapIterator", "IMapUnorderedIterator", "MapResult", "failed", "terminated"]

RemoteTraceback: Any = _standard.RemoteTraceback  # type: ignore[attr-defined]
MaybeEncodingError: Any = _standard.MaybeEncodingError  # type: ignore[attr-defined]


def terminated() -> ProcessError:
    """What the result of a job raises that its pool's `terminate` has come before."""
    return ProcessError("the pool was terminated before this job was done")


def failed(error: BaseException) -> Future[Any]:
    """A future that has failed: for what could not be submitted, so that its result says why."""
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


class _Words(str):
    """Its own repr: what `MaybeEncodingError` wants the repr of is known by that alone."""

    def __repr__(self) -> str:
        return str(self)


def _is_of(future: Future[Any], error: BaseException) -> bool:
    """Whether waiting for this future raised its own error, and not a signal handler's or that of a timeout."""
    return future.done() and (future.cancelled() or future.exception() is error)


def _failure(future: Future[Any]) -> BaseException | None:
    """What a future that is done has failed with, in `multiprocessing`'s terms."""
    if future.cancelled():
        return terminated()
    error = future.exception()
    if error is None:
        return None
    cause = error.__cause__
    if type(cause) is _RemoteTraceback:
        error.__cause__ = RemoteTraceback(cause.tb)
    words = getattr(error, "__dict__", {}).get(UNSENT)
    if words is not None:
        unsent: BaseException = MaybeEncodingError(*map(_Words, words))
        unsent.__cause__ = error
        return unsent
    return error


class ApplyResult(_standard.ApplyResult):  # type: ignore[type-arg]
    """The result of one call."""

    def __init__(self, future: Future[Any], caller: Caller, callback: Any, error_callback: Any) -> None:
        # The standard library's makes an event for each.
        self._future = future
        self._gate: Any = None
        if callback or error_callback:
            self._attend(future, caller, callback, error_callback)
            future.add_done_callback(caller.tell)

    def _attend(self, key: Any, caller: Caller, callback: Any, error_callback: Any) -> None:
        """It is not ready before its callback has been made, in the caller's thread."""
        self._gate = threading.Lock()
        self._gate.acquire()
        self._told = False
        self._caller, self._callback, self._error_callback = caller, callback, error_callback
        caller.expect(key, self._call_back)

    def _call_back(self) -> None:
        try:
            error = self._error()
            if error is None:
                if self._callback:
                    self._callback(self._result(None))
            elif self._error_callback and not self._caller.is_over:
                self._error_callback(error)
        finally:
            self._callback = self._error_callback = None
            self._told = True
            self._gate.release()

    def _await_told(self, timeout: float | None) -> bool:
        if not self._told:
            if not self._gate.acquire(timeout=-1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX)):
                return False
            # For the next one who waits.
            self._gate.release()
        return True

    def ready(self) -> bool:
        """Whether the call has been made, and its callback too."""
        return self._is_done() if self._gate is None else self._told

    def successful(self) -> bool:
        """Whether it raised nothing; ValueError if it is not ready."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error() is None

    def wait(self, timeout: float | None = None) -> None:
        """Waits until it is ready, at most `timeout` seconds."""
        if self._gate is None:
            self._wait(timeout)
        else:
            self._await_told(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """The result, or what the call raised; `multiprocessing.TimeoutError` if it is not there within `timeout` seconds."""
        if self._gate is not None:
            if not self._await_told(timeout):
                raise TimeoutError
            timeout = None
        return self._result(timeout)

    # What the futures say.

    def _is_done(self) -> bool:
        return self._future.done()

    def _wait(self, timeout: float | None) -> bool:
        return bool(_engine.wait_all([self._future], timeout))

    def _error(self) -> BaseException | None:
        return _failure(self._future)

    def _result(self, timeout: float | None) -> Any:
        future = self._future
        try:
            return future.result(timeout)
        except BaseException as error:
            if not _is_of(future, error):
                if isinstance(error, _FutureTimeout):
                    raise TimeoutError from None
                raise
        _raised(future)


class MapResult(ApplyResult, _standard.MapResult):  # type: ignore[type-arg]
    """The results of a map. It is ready when all its calls have been made, even if one of the first raised."""

    def __init__(
        self,
        parts: Sequence[Future[Any]],
        chunksize: int,
        single: bool,
        caller: Caller,
        callback: Any,
        error_callback: Any,
    ) -> None:
        """`single`: each part is one item, and its result that item's; otherwise it is a list."""
        self._parts: Sequence[Future[Any]] = parts
        self._chunksize = chunksize
        self._single = single
        self._gate = None
        self._lock = threading.Lock()
        self._seen = self._gathered = 0
        self._values: list[Any] = []
        self._first: BaseException | None = None
        if parts and (callback or error_callback):
            self._attend(self, caller, callback, error_callback)
            self._open = len(parts)
            for part in parts:
                part.add_done_callback(self._part_is_done)

    def _part_is_done(self, _: object) -> None:
        with self._lock:
            self._open -= 1
            left = self._open
        if not left:
            self._caller.tell(self)

    @property
    def _number_left(self) -> int:
        """Parts that are not done: programs show their progress by it."""
        return sum(not part.done() for part in self._parts)

    def _is_done(self) -> bool:
        parts, seen = self._parts, self._seen
        while seen < len(parts) and parts[seen].done():
            seen += 1
        self._seen = max(seen, self._seen)
        return seen >= len(parts)

    def _wait(self, timeout: float | None) -> bool:
        if timeout is not None:
            return bool(_engine.wait_all(list(self._parts), timeout))
        # One by one: a thread of the pool runs what is queued, instead of keeping others from it.
        for part in self._parts:
            _outcome(part)
        return True

    def _gather(self) -> None:
        with self._lock:
            parts, values = self._parts, self._values
            for part in parts[self._gathered :]:
                value, error = _outcome(part)
                self._gathered += 1
                if error is not None:
                    self._first = self._first or error
                elif self._single:
                    values.append(value)
                else:
                    values.extend(value)
            self._parts = ()

    def _error(self) -> BaseException | None:
        self._gather()
        return self._first

    def _result(self, timeout: float | None) -> Any:
        if timeout is not None and not self._wait(timeout):
            raise TimeoutError
        if self._parts:
            self._wait(None)
            self._gather()
        if self._first is None:
            return self._values
        try:
            raise self._first
        finally:
            del self


def _outcome(future: Future[Any]) -> tuple[Any, BaseException | None]:
    """The value of a future or its error, waiting for it."""
    try:
        return future.result(), None
    except BaseException as error:
        if not _is_of(future, error):
            raise
    return None, _failure(future)


def _raised(future: Future[Any]) -> NoReturn:
    """Raises what a future has failed with."""
    try:
        raise _failure(future)  # type: ignore[misc]
    finally:
        # Breaks the cycle of an exception, its traceback and this frame.
        del future


class IMapIterator(_standard.IMapIterator):  # type: ignore[type-arg]
    """The results of `imap`, in order; `next` takes a timeout."""

    def __init__(self, refill: Callable[[], object] | None = None) -> None:
        """`refill` is called before a result is waited for, where the input is read as results are taken."""
        self._refill = refill
        # Two readers may wait at a time; a result is one's.
        self._reading = threading.Lock()
        self._more = threading.Condition(threading.Lock())
        self._come: deque[Future[Any]] = deque()
        self._added = 0
        self._length: int | None = None
        self._index = 0
        """Results that were taken."""

    def __iter__(self) -> IMapIterator:
        return self

    def __next__(self) -> Any:  # type: ignore[override]
        with self._reading:
            if self._refill is not None:
                self._refill()
            future = self._first(None)
            try:
                value = future.result()
            except BaseException as error:
                if not _is_of(future, error):
                    raise
            else:
                self._forget_first()
                return value
            self._forget_first()
        return _raised(future)

    def next(self, timeout: float | None = None) -> Any:
        """The next result, or what its call raised; `multiprocessing.TimeoutError` if it takes more than `timeout` seconds."""
        if timeout is None:
            return self.__next__()
        deadline = time.monotonic() + timeout
        if not self._reading.acquire(timeout=_left(deadline)):  # type: ignore[arg-type]
            raise TimeoutError
        try:
            if self._refill is not None:
                self._refill()
            future = self._first(deadline)
            if not _engine.wait_all([future], _left(deadline)):
                raise TimeoutError
            self._forget_first()
        finally:
            self._reading.release()
        value, error = _outcome(future)
        return value if error is None else _raised(future)

    def _first(self, deadline: float | None) -> Future[Any]:
        """The future that is next; it stays that if waiting for it is broken off."""
        if not self._come:
            with self._more:
                while not self._come:
                    if self._is_over():
                        raise StopIteration
                    if not self._more.wait(_left(deadline)):
                        raise TimeoutError
        return self._come[0]

    def _is_over(self) -> bool:
        return self._length is not None and self._index >= self._length

    def _forget_first(self) -> None:
        self._come.popleft()
        self._index += 1

    # What the feeder calls.

    def add(self, future: Future[Any]) -> None:
        """One more of its calls was submitted."""
        self._added += 1
        self._come.append(future)
        if len(self._come) == 1:
            with self._more:
                self._more.notify_all()

    def finish(self) -> None:
        """There are no more."""
        with self._more:
            self._length = self._added
            self._more.notify_all()


class IMapUnorderedIterator(IMapIterator, _standard.IMapUnorderedIterator):  # type: ignore[type-arg]
    """The results of `imap_unordered`, as they come."""

    def __init__(self, refill: Callable[[], object] | None = None) -> None:
        super().__init__(refill)
        self._done: SimpleQueue[Future[Any] | None] = SimpleQueue()

    def _first(self, deadline: float | None) -> Future[Any]:
        while not self._come:
            if self._is_over():
                raise StopIteration
            try:
                future = self._done.get(timeout=_left(deadline))
            except Empty:
                raise TimeoutError from None
            if future is not None:
                self._come.append(future)
        return self._come[0]

    def add(self, future: Future[Any]) -> None:
        """One more of its calls was submitted."""
        self._added += 1
        future.add_done_callback(self._done.put)

    def finish(self) -> None:
        """There are no more."""
        self._length = self._added
        # For a reader who waits for one more.
        self._done.put(None)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
