"""The table of CPython's suites: which of its test modules are run, and which of their classes."""

from __future__ import annotations

import importlib.util
import unittest
from collections.abc import Callable, Iterable
from dataclasses import dataclass

TestClass = type[unittest.TestCase]


@dataclass(frozen=True)
class Suite:
    """One `--suite`: module names are given without the leading `test.`."""

    modules: tuple[str, ...]
    wanted: Callable[[TestClass], bool]
    # Whether it is about threads and queues, and not about futures.
    threads: bool = False
    # A process for each module: run in one, asyncio's take three times as long, as each leaves state for the next.
    apart: bool = False
    # What of one module is run in a process of its own, as patterns over the names of its classes.
    split: tuple[str, ...] = ("*",)
    # Whether those processes run two at a time: these tests mostly sleep.
    beside: bool = False

    def parts(self) -> list[str]:
        """Patterns of tests, each for a process."""
        return [f"{module}.{each}" for module in self.present() for each in self.split_of(module)]

    def split_of(self, module: str) -> tuple[str, ...]:
        """The packages of newer Pythons are split as it is, in modules."""
        return ("*",) if "." in module else self.split

    def present(self) -> list[str]:
        """The suite's modules that this Python has; packagers often leave some of `test` out."""
        return [name for name in self.modules if _exists(f"test.{name}")]


def _exists(name: str) -> bool:
    """Whether there is such a module; a package's own are named one by one."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return False
    return spec is not None and spec.submodule_search_locations is None


def _threads_or_futures(cls: TestClass) -> bool:
    """Of test_concurrent_futures the classes about futures and thread pools; the rest is about processes."""
    import concurrent.futures

    if cls.__name__ == "FutureTests":
        return True
    return getattr(cls, "executor_type", None) is concurrent.futures.ThreadPoolExecutor


def _processes(cls: TestClass) -> bool:
    """Those about process pools: fork, forkserver and spawn."""
    import concurrent.futures

    if cls.__name__ == "FailingInitializerResourcesTest":
        return True
    return getattr(cls, "executor_type", None) is concurrent.futures.ProcessPoolExecutor


def _everything(cls: TestClass) -> bool:
    return True


def _names(package: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{package}.test_{name}" for name in names)


def _multiprocessing(method: str) -> Suite:
    """The tests of one start method: one module up to 3.11, a package from 3.12 on."""
    name = f"test_multiprocessing_{method}"
    return Suite(
        (name, *_names(name, ("manager", "misc", "processes", "threads"))),
        _everything,
        apart=True,
        split=("WithManager*", "WithProcesses*", "WithThreads*", "[!W]*"),
        beside=True,
    )


SUITES = {
    **{f"multiprocessing-{method}": _multiprocessing(method) for method in ("fork", "forkserver", "spawn")},
    "futures": Suite(
        # One module up to 3.11, a package from 3.12 on; each Python has one of the two.
        (
            "test_concurrent_futures",
            *_names(
                "test_concurrent_futures",
                ("as_completed", "future", "init", "shutdown", "thread_pool", "wait"),
            ),
        ),
        _threads_or_futures,
    ),
    "processes": Suite(
        (
            "test_concurrent_futures",
            *_names(
                "test_concurrent_futures",
                ("as_completed", "deadlock", "init", "process_pool", "shutdown", "wait"),
            ),
        ),
        _processes,
        apart=True,
    ),
    "asyncio": Suite(
        # The modules that make executors or concurrent futures, or whose loop falls back to the default executor.
        _names(
            "test_asyncio",
            (
                "base_events",
                "events",
                "futures",
                "futures2",
                "runners",
                "sendfile",
                "tasks",
                "threads",
                "timeouts",
            ),
        ),
        _everything,
        apart=True,
    ),
    "threading": Suite(("test_threading", "test_threading_local"), _everything, threads=True),
    "queue": Suite(("test_queue",), _everything, threads=True),
}
