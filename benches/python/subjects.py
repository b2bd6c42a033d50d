"""The thread pools that are measured, behind one small interface."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any


class Standard:
    """The standard library's ThreadPoolExecutor."""

    wait: Callable[..., Any] = staticmethod(concurrent.futures.wait)
    as_completed: Callable[..., Iterable[Any]] = staticmethod(concurrent.futures.as_completed)

    def __init__(self, workers: int) -> None:
        self.pool: Any = concurrent.futures.ThreadPoolExecutor(workers)
        self.submit = self.pool.submit

    def in_loop(self, loop: Any, function: Callable[..., Any]) -> Any:
        return loop.run_in_executor(self.pool, function)

    def mapped(self, function: Callable[..., Any], values: range) -> Iterable[Any]:
        """The results for all values, in order, in the quickest way that a user would write."""
        return self.pool.map(function, values)


class Forkful(Standard):
    """forkful's, with its own `wait` and `as_completed`."""

    def __init__(self, workers: int) -> None:
        import forkful

        self.pool = forkful.ThreadPoolExecutor(workers)
        self.submit = self.pool.submit
        self.wait = forkful.wait
        self.as_completed = forkful.as_completed


class Pebble(Standard):
    """pebble's ThreadPool, which has another interface; its futures are served by the standard library's `wait`."""

    def __init__(self, workers: int) -> None:
        import pebble

        self.pool = pebble.ThreadPool(max_workers=workers)
        self.submit = self.pool.schedule

    def in_loop(self, loop: Any, function: Callable[..., Any]) -> Any:
        import asyncio

        return asyncio.wrap_future(self.pool.schedule(function), loop=loop)


class Multiprocessing(Standard):
    """`multiprocessing.pool.ThreadPool`, which cuts the input of its `map` into four chunks per worker; it has no futures."""

    def __init__(self, workers: int) -> None:
        from multiprocessing.pool import ThreadPool

        self.pool = ThreadPool(workers)


class Joblib(Standard):
    """joblib's Parallel over threads; it has no futures either."""

    def __init__(self, workers: int) -> None:
        import joblib

        # With one job it would run everything in this thread.
        assert workers > 1
        self.pool = joblib.Parallel(n_jobs=workers, backend="threading")
        self.pool.__enter__()
        self.delayed = joblib.delayed

    def mapped(self, function: Callable[..., Any], values: range) -> Iterable[Any]:
        task = self.delayed(function)
        results: Iterable[Any] = self.pool(task(value) for value in values)
        return results


SUBJECTS: dict[str, type[Standard]] = {
    "stdlib": Standard,
    "forkful": Forkful,
    "pebble": Pebble,
    "multiprocessing": Multiprocessing,
    "joblib": Joblib,
}
