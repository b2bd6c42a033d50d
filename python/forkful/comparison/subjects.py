"""The pools that are measured, behind one small interface, each used as its documentation says and with its defaults."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any


class Standard:
    """The standard library's executors."""

    package = "concurrent.futures"
    processes = "multiprocessing"

    def __init__(self, kind: str, workers: int) -> None:
        name = "ThreadPoolExecutor" if kind == "threads" else "ProcessPoolExecutor"
        self.workers = workers
        self.pool: Any = getattr(import_module(self.package), name)(workers)

    def one(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of one task."""
        return self.pool.submit(function, *arguments).result()

    def all(self, function: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
        """The results of a task for each value."""
        submit = self.pool.submit
        return [future.result() for future in [submit(function, value) for value in values]]

    def mapped(self, function: Callable[[Any], Any], values: range) -> Iterable[Any]:
        """The same for many tiny tasks, in the quickest way that a user would write."""
        # multiprocessing.Pool's choice; threads have no chunks.
        results: Iterable[Any] = self.pool.map(function, values, chunksize=-(-len(values) // (4 * self.workers)))
        return results

    def close(self) -> None:
        self.pool.shutdown()

    @classmethod
    def context(cls) -> Any:
        """Where its Process and Queue are."""
        return import_module(cls.processes)


class Forkful(Standard):
    """forkful's executors."""

    package = "forkful"
    processes = "forkful.multiprocessing"

    def mapped(self, function: Callable[[Any], Any], values: range) -> Iterable[Any]:
        results: Iterable[Any] = self.pool.map(function, values)
        return results


class Loky(Standard):
    """loky's executor of processes."""

    package = "loky"


class Pebble(Standard):
    """pebble's pools, which can stop tasks that run too long."""

    def __init__(self, kind: str, workers: int) -> None:
        pebble: Any = import_module("pebble")
        self.pool = pebble.ThreadPool(workers) if kind == "threads" else pebble.ProcessPool(workers)

    def one(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._submit(function, *arguments).result()

    def all(self, function: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
        return [future.result() for future in [self._submit(function, value) for value in values]]

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.pool.schedule(function, args=arguments)

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Joblib(Standard):
    """joblib's Parallel. It has no futures: each call waits; it gathers small tasks into batches by itself."""

    def __init__(self, kind: str, workers: int) -> None:
        joblib: Any = import_module("joblib")
        # With one job it would run everything in this thread.
        self.pool = joblib.Parallel(n_jobs=max(workers, 2), backend="threading" if kind == "threads" else "loky")
        self.pool.__enter__()
        self.delayed = joblib.delayed

    def one(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.pool([self.delayed(function)(*arguments)])[0]

    def all(self, function: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
        task = self.delayed(function)
        results: list[Any] = self.pool(task(value) for value in values)
        return results

    def mapped(self, function: Callable[[Any], Any], values: range) -> Iterable[Any]:
        return self.all(function, values)

    def close(self) -> None:
        self.pool.__exit__(None, None, None)


class Serial(Standard):
    """A loop in this thread: what there is to be gained at all."""

    def __init__(self, kind: str, workers: int) -> None:
        pass

    def all(self, function: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
        return [function(value) for value in values]

    def close(self) -> None:
        pass


_SUBJECTS: dict[str, type[Standard]] = {
    "forkful": Forkful,
    "stdlib": Standard,
    "loky": Loky,
    "joblib": Joblib,
    "pebble": Pebble,
    "serial": Serial,
}


def load(name: str, kind: str) -> type[Standard]:
    """The subject, with everything imported that its pools need, so that no clock sees it."""
    subject = _SUBJECTS[name]
    if kind == "processes" and name != "serial":
        multiprocessing.get_context()
    # The package loads them when they are first asked for.
    import_module("concurrent.futures.process" if kind == "processes" else "concurrent.futures.thread")
    if name == "forkful":
        import_module("forkful.futures.process" if kind == "processes" else "forkful.futures.thread")
    elif name in ("loky", "pebble", "joblib"):
        import_module(name)
    return subject
