"""Puts forkful under CPython's tests, and proves that it is there.

Five things make the tests meet forkful and not the standard library:

1. `forkful.install()` before a test module is imported, so that `executor_type = futures.ThreadPoolExecutor` in its
   class bodies already names ours.
2. `Future` in the namespaces of the test modules and of asyncio.tasks (run_coroutine_threadsafe), with the futures
   that test modules made at import. Not in `concurrent.futures` itself, where install() leaves it, as a process pool's
   futures are of that class. `create_future` in the tests builds a future in a given state by assigning private
   attributes; ours reaches the same states by the public road.
3. Scripts that a test starts with `assert_python_ok("-c", code)` get a first line that installs forkful. The tests
   run them with `-I`, which ignores PYTHONPATH, so a sitecustomize would not be seen; forkful has to be importable
   from the venv itself.
4. `_executor_manager_thread` and `_call_queue` of a process pool, which tests join to see that a pool has ended that they
   have forgotten or not waited for. There is no such thread and no such queue; to join either is to wait for the pool's end.
5. For the suites of threading and queue: our classes in `threading` itself, before the tests' modules are imported, in the
   scripts that they start too, and our module as the `queue` of test_queue's classes. `Thread` among them, so that threads
   of the standard library's tests are ours, and each thread's own event. Tests of SimpleQueue, which is re-exported, and of
   test_queue's private copies of the standard library's module keep those.

The tests of multiprocessing find forkful by the first alone: their class bodies take `multiprocessing.Queue` and so on when
they are imported, and children are told by their parents to install it too.
"""

from __future__ import annotations

import asyncio.tasks
import concurrent.futures
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Any

STATES = ("PENDING", "RUNNING", "CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED")

PRELUDE = (
    "import concurrent.futures as _cf, forkful as _ff; _ff.install(); "
    "assert _cf.ThreadPoolExecutor is _ff.ThreadPoolExecutor; del _cf, _ff\n"
)

THREADS = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Semaphore", "Thread", "Timer")

THREADS_PRELUDE = (
    "import threading as _t, forkful.threading as _f; "
    f"[setattr(_t, _n, getattr(_f, _n)) for _n in {THREADS!r}]; "
    "assert _t.Event.__module__ == 'forkful.threading'; del _t, _f\n"
)


class NotInUse(Exception):
    """The tests would have run against the standard library."""


def create_future(state: str = "PENDING", exception: BaseException | None = None, result: object = None) -> Any:
    """A forkful future in the given state, reached by its public methods."""
    import forkful

    assert state in STATES, state
    future: Any = forkful.Future()
    if state == "RUNNING":
        future.set_running_or_notify_cancel()
    elif state == "CANCELLED":
        future.cancel()
    elif state == "CANCELLED_AND_NOTIFIED":
        future.cancel()
        future.set_running_or_notify_cancel()
    elif state == "FINISHED":
        if exception is not None:
            future.set_exception(exception)
        else:
            future.set_result(result)
    return future


class _End:
    """The end of a pool, to be joined; keeps the executor as little as the standard library's thread does."""

    def __init__(self, executor: Any) -> None:
        self._roster = executor._crew.roster()

    def join(self) -> None:
        # The runner's watchdog has the last word.
        while not self._roster.is_finished():
            time.sleep(0.002)

    join_thread = join


def install() -> None:
    """Steps 1 and 4."""
    import forkful

    forkful.install()
    for name in ("_executor_manager_thread", "_call_queue"):
        setattr(forkful.ProcessPoolExecutor, name, property(_End))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(int)
    if concurrent.futures.ThreadPoolExecutor is not forkful.ThreadPoolExecutor:
        raise NotInUse("forkful.install() left concurrent.futures.ThreadPoolExecutor alone")
    if type(future) is not forkful.Future:
        raise NotInUse(f"submit() made a {type(future).__module__}.{type(future).__qualname__}")
    if forkful.Future.__init__ is concurrent.futures._base.Future.__init__:
        raise NotInUse("forkful.Future is the standard library's")


def install_threads() -> None:
    """Step 5, before the tests' modules are imported."""
    import forkful.threading

    for name in THREADS:
        setattr(threading, name, getattr(forkful.threading, name))


def adopt_threads(modules: list[types.ModuleType]) -> None:
    """Step 5 for the namespaces of imported test modules; raises NotInUse where it has not worked."""
    import forkful.queue

    found = 0
    for module in modules:
        names = vars(module)
        for name in ("assert_python_ok", "assert_python_failure"):
            if isinstance(names.get(name), types.FunctionType):
                names[name] = _installed_in_child(names[name], THREADS_PRELUDE)
        for name, value in names.items():
            if not isinstance(value, type):
                continue
            if isinstance(vars(value).get("queue"), types.ModuleType) and "Simple" not in name:
                value.queue = forkful.queue  # type: ignore[attr-defined]
                found += 1
            for attribute in ("condtype", "eventtype", "semtype", "barriertype"):
                if attribute in vars(value):
                    if not getattr(value, attribute).__module__.startswith("forkful."):
                        raise NotInUse(f"{module.__name__}.{name}.{attribute} is not forkful's")
                    found += 1
    if not found:
        raise NotInUse("no class of these tests is about ours")


class _Futures(types.ModuleType):
    """`concurrent.futures` as a test module sees it: itself, but for the Future that it makes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(concurrent.futures, name)


def _concurrent() -> types.ModuleType:
    import forkful

    package, futures = types.ModuleType("concurrent"), _Futures("concurrent.futures")
    futures.Future = forkful.Future  # type: ignore[attr-defined]
    package.futures = futures  # type: ignore[attr-defined]
    return package


def _ready_made(original: Any) -> Any:
    """Ours for a future that the test module made in a known state when it was imported."""
    return create_future(original._state, original._exception, original._result)


def adopt(modules: list[types.ModuleType]) -> None:
    """Steps 2 and 3 for the namespaces of imported test modules, all of a suite's at once."""
    import forkful

    theirs = concurrent.futures._base.Future
    replaced: dict[int, Any] = {}
    # The tests of multiprocessing are written in one module, from which those of each start method are made.
    written = [module for module in [sys.modules.get("test._test_multiprocessing")] if module is not None]
    for module in [*modules, *written, asyncio.tasks]:
        names = vars(module)
        if names.get("concurrent") is concurrent:
            names["concurrent"] = _concurrent()
        if names.get("Future") is theirs:
            names["Future"] = forkful.Future
        if isinstance(names.get("create_future"), types.FunctionType):
            names["create_future"] = create_future
        if isinstance(names.get("assert_python_ok"), types.FunctionType):
            names["assert_python_ok"] = _installed_in_child(names["assert_python_ok"], PRELUDE)
        for name, value in list(names.items()):
            # One stand-in per original, so that modules that share a future go on sharing it.
            if name.endswith("_FUTURE") and isinstance(value, theirs) and not isinstance(value, forkful.Future):
                names[name] = replaced.setdefault(id(value), _ready_made(value))


def _installed_in_child(assert_python_ok: Callable[..., Any], prelude: str) -> Callable[..., Any]:
    def with_forkful(*args: Any, **env_vars: Any) -> Any:
        if len(args) >= 2 and args[-2] == "-c":
            args = (*args[:-1], prelude + args[-1])
        return assert_python_ok(*args, **env_vars)

    return with_forkful


def check(modules: list[types.ModuleType]) -> None:
    """Raises NotInUse unless every name by which these modules reach futures and executors is ours."""
    import forkful

    for module in modules:
        for name, value in vars(module).items():
            where = f"{module.__name__}.{name}"
            if getattr(value, "TYPE", None) == "processes":
                made = [value.Queue.__self__, value.Lock.__self__, value.Pool.__self__, value.Process]
                if any(
                    not (each if isinstance(each, type) else type(each)).__module__.startswith("forkful.")
                    for each in made
                ):
                    raise NotInUse(f"{where} makes the standard library's objects")
            future = value.futures.Future if name == "concurrent" else value if name == "Future" else None
            if future is not None and future is not forkful.Future:
                raise NotInUse(f"{where} is not forkful's")
            if name.endswith("_FUTURE") and not isinstance(value, forkful.Future):
                raise NotInUse(f"{where} is not a forkful future")
            executor = getattr(value, "executor_type", None) if isinstance(value, type) else None
            if executor is not None and name.startswith("ProcessPool") and executor is not forkful.ProcessPoolExecutor:
                raise NotInUse(f"{where}.executor_type is not forkful's")
            if executor is not None and name.startswith("ThreadPool") and executor is not forkful.ThreadPoolExecutor:
                raise NotInUse(f"{where}.executor_type is not forkful's")
