"""The ways to run calls several at a time: threads, processes, processes with shared arguments, tasks of asyncio.

Knows: the public executors. Does not know: how many calls, or when.
"""

from __future__ import annotations

import concurrent.futures
import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle, islice
from typing import Any

from forkful._share import Shared, share
from forkful.futures import ThreadPoolExecutor
from forkful.futures.process import ProcessPoolExecutor

from .calling import Input, Subject, complete, stay, to_its_end
from .meters import in_queue

__all__ = ["Processes", "SharedArguments", "Tasks", "Threads", "TooLong", "Way"]

_START_SECONDS = 60.0
_STAY = 0.01


class TooLong(Exception):
    """Calls did not end in time, where alone they do."""


class Way(ABC):
    """Runs calls by so many workers at a time."""

    name = ""

    def __init__(self, subject: Subject, workers: int) -> None:
        self.subject = subject
        self.workers = workers
        self.rates: list[float] = []
        """One for each repetition, in calls per second."""
        self.calls = 0
        self.ready = False
        """Whether its workers are there."""
        self.ran = 0.0
        """Seconds that its workers have used a CPU in all repetitions."""
        self.stood = 0.0
        """Seconds that they were ready to, while others had it."""
        self.computed = 0.0
        """Seconds of CPU time that its processes have used from their start to their end."""

    @property
    def label(self) -> str:
        """For a progress bar."""
        return f"{self.workers} {self.name}"

    def start(self) -> float:
        """Makes the workers; the seconds until the first of them had answered."""
        return 0.0

    def run(self, inputs: Sequence[Input], count: int, limit: float) -> float:
        """Makes so many calls with the inputs in turn, and returns the seconds that they took together.

        Raises what a call raises; `TooLong` after `limit` seconds.
        """
        before = in_queue(self._threads())
        took = self._run(inputs, count, limit)
        after = in_queue(self._threads())
        self.ran += max(0.0, after[0] - before[0])
        self.stood += max(0.0, after[1] - before[1])
        return took

    @abstractmethod
    def _run(self, inputs: Sequence[Input], count: int, limit: float) -> float:
        """The seconds that so many calls took."""

    def _threads(self) -> list[str]:
        """The workers' threads, as the folders that they have in /proc."""
        return ["/proc/thread-self"]

    def stop(self, error: BaseException | None = None) -> None:  # noqa: B027 - tasks have nothing to be let go
        """Lets the workers go; error: what else ends here, if it is an interrupt."""


class _Pooled(Way):
    _pool: Any = None

    def _rows(self, inputs: list[Input]) -> tuple[Callable[..., Any], list[tuple[Any, ...]]]:
        return self.subject.rows(inputs)

    def _run(self, inputs: Sequence[Input], count: int, limit: float) -> float:
        fn, rows = self._rows(list(islice(cycle(inputs), count)))
        begun = time.perf_counter()
        results = self._pool.starmap(fn, rows, timeout=limit)
        try:
            # Taken and forgotten, as results may be large.
            deque(results, maxlen=0)
        except concurrent.futures.TimeoutError:
            if time.perf_counter() - begun < limit:
                raise  # the function's own
            self._give_up()
            raise TooLong from None
        return time.perf_counter() - begun

    @abstractmethod
    def _give_up(self) -> None:
        """Lets go of calls that did not end in time."""


class Threads(_Pooled):
    """A pool of threads."""

    name = "threads"

    def start(self) -> float:
        # A thread can't be stopped: one that hangs shall not hold up the end of the program too.
        self._pool = ThreadPoolExecutor(self.workers, "forkful-advisor", daemon=True)
        begun = time.perf_counter()
        deque(self._pool.map(stay, [_STAY] * self.workers), maxlen=0)
        return time.perf_counter() - begun - _STAY

    def _threads(self) -> list[str]:
        return [f"/proc/self/task/{thread.native_id}" for thread in list(self._pool._threads)] if self._pool else []

    def _give_up(self) -> None:
        pool, self._pool = self._pool, None
        pool.shutdown(wait=False, cancel_futures=True)

    def stop(self, error: BaseException | None = None) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=error is None, cancel_futures=True)
            self._pool = None


class Processes(_Pooled):
    """A pool of processes."""

    name = "processes"

    def start(self) -> float:
        begun = time.perf_counter()
        self._pool = pool = ProcessPoolExecutor(self.workers).__enter__()
        try:
            pool.submit(os.getpid).result(_START_SECONDS)
            took = time.perf_counter() - begun
            # The others start when there is something to do for all of them.
            until = begun + _START_SECONDS
            while len(pool.workers()) < self.workers and time.perf_counter() < until:
                deque(pool.map(stay, [_STAY] * self.workers, chunksize=1, timeout=_START_SECONDS), maxlen=0)
        except concurrent.futures.TimeoutError:
            self._give_up()
            raise TooLong from None
        return took

    def _threads(self) -> list[str]:
        found = []
        for worker in self._pool.workers() if self._pool else []:
            with suppress(OSError):  # it is gone
                tasks = f"/proc/{worker.pid}/task"
                found += [f"{tasks}/{thread}" for thread in os.listdir(tasks)]
        return found

    def _give_up(self) -> None:
        pool, self._pool = self._pool, None
        pool.kill_workers()

    def stop(self, error: BaseException | None = None) -> None:
        if self._pool is not None:
            self.computed = in_queue(self._threads())[0]
            pool, self._pool = self._pool, None
            pool.__exit__(type(error) if error is not None else None, error, None)


class SharedArguments(Processes):
    """A pool of processes that is sent handles for some arguments, which are placed once."""

    name = "processes with share()"

    def __init__(self, subject: Subject, workers: int, places: Sequence[int | str]) -> None:
        """places: which arguments, by place or by keyword."""
        super().__init__(subject, workers)
        self._places = places
        self._handles: dict[int | str, Shared[Any]] = {}

    def _rows(self, inputs: list[Input]) -> tuple[Callable[..., Any], list[tuple[Any, ...]]]:
        if not self._handles:
            args, kwargs = inputs[0]
            for place in self._places:
                self._handles[place] = share(args[place] if isinstance(place, int) else kwargs[place])
        return _with_values, [(self.subject.fn, *self._sent(one)) for one in inputs]

    def _sent(self, one: Input) -> Input:
        args, kwargs = list(one[0]), dict(one[1])
        for place, handle in self._handles.items():
            if isinstance(place, int):
                args[place] = handle
            else:
                kwargs[place] = handle
        return tuple(args), kwargs

    def stop(self, error: BaseException | None = None) -> None:
        super().stop(error)
        for handle in self._handles.values():
            handle.close()
        self._handles.clear()


def _with_values(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In a worker: the call, with the objects instead of their handles."""
    return complete(fn, tuple(map(_value, args)), {name: _value(value) for name, value in kwargs.items()})


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Shared) else value


class Tasks(Way):
    """Tasks of asyncio on this thread's event loop, for coroutine functions."""

    name = "asyncio tasks"

    def _run(self, inputs: Sequence[Input], count: int, limit: float) -> float:
        begun = time.perf_counter()
        to_its_end(self._all(iter(list(islice(cycle(inputs), count))), limit))
        return time.perf_counter() - begun

    async def _all(self, todo: Any, limit: float) -> None:
        import asyncio

        async def work() -> None:
            for args, kwargs in todo:
                await _awaited(self.subject.fn(*args, **kwargs))

        workers = [asyncio.ensure_future(work()) for _ in range(self.workers)]
        try:
            done, late = await asyncio.wait(workers, timeout=limit, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
            if late:
                raise TooLong
        finally:
            for worker in workers:
                worker.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*workers, return_exceptions=True)


async def _awaited(result: Any) -> Any:
    if hasattr(result, "__aiter__"):
        return [item async for item in result]
    return await result
