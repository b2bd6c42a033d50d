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


SUBJECTS: dict[str, type[Standard]] = {"stdlib": Standard, "forkful": Forkful, "pebble": Pebble}
