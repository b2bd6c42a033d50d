"""Puts forkful's names in the standard library's place, so that unchanged programs find them.

Knows: every module that has such names. Does not know: the command line, which is only one of its callers.

A module is changed when it is there: now if the program has imported it, else at the end of its import. So installing costs
little, and a child process that is installed loads no more than it would have loaded.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module
from importlib.util import find_spec

from forkful import _replaced
from forkful._arrivals import Arrivals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any


# --- the places: a namespace (a module, or a dict), a name in it, and what is ours ---


def _waiting(theirs: ModuleType, ours: ModuleType) -> Iterator[tuple[Any, str, object]]:
    # The package copies both when it is imported.
    for module in (theirs, sys.modules["concurrent.futures._base"]):
        for name in ("wait", "as_completed"):
            yield module, name, getattr(ours, name)


def _thread_pool(theirs: ModuleType, ours: ModuleType) -> Iterator[tuple[Any, str, object]]:
    # The package fetches it when it is first asked for it.
    _bind_subclasses()
    for module in (theirs, sys.modules["concurrent.futures"]):
        yield module, "ThreadPoolExecutor", ours.ThreadPoolExecutor


def _process_pool(theirs: ModuleType, ours: ModuleType) -> Iterator[tuple[Any, str, object]]:
    for module in (theirs, sys.modules["concurrent.futures"]):
        yield module, "ProcessPoolExecutor", ours.ProcessPoolExecutor


# The main thread is of the standard library's class, and stays an instance of `threading.Thread`.
_LEFT = {("threading", "Thread")}


def _names(theirs: ModuleType, ours: ModuleType) -> Iterator[tuple[Any, str, object]]:
    """All public names of which we have something else, those that stand in no `__all__` included."""
    for name, value in list(vars(theirs).items()):
        mine = value if name.startswith("_") else vars(ours).get(name, value)
        if mine is not value and callable(value) and callable(mine) and (theirs.__name__, name) not in _LEFT:
            yield theirs, name, mine


def _contexts(theirs: ModuleType, ours: ModuleType) -> Iterator[tuple[Any, str, object]]:
    yield from _names(theirs, ours)
    before, context = sys.modules["multiprocessing.context"], ours.context
    yield before, "_default_context", context._default_context
    for name in context._concrete_contexts:
        yield before._concrete_contexts, name, context._concrete_contexts[name]


def _preparation(theirs: ModuleType, ours: ModuleType) -> Iterator[tuple[Any, str, object]]:
    yield theirs, "get_preparation_data", ours.get_preparation_data


def _manager(theirs: ModuleType, ours: ModuleType) -> Iterator[tuple[Any, str, object]]:
    yield theirs, "get_context", ours.get_context
    # What its server makes is looked up there, and pickled by name for a server that is no fork.
    registry: Any = theirs.SyncManager._registry
    for typeid, (callable_, *rest) in list(registry.items()):
        entry = _TABLE.get(getattr(callable_, "__module__", ""))
        if entry is not None and entry[1] is _names:
            mine = getattr(import_module(entry[0]), callable_.__name__, callable_)
            if mine is not callable_:
                yield registry, typeid, (mine, *rest)


# Which module is changed when it is there, which of ours has to be there for that, and how.
_TABLE: dict[str, tuple[str, Callable[[ModuleType, ModuleType], Iterator[tuple[Any, str, object]]]]] = {
    "concurrent.futures": ("forkful.futures", _waiting),
    "concurrent.futures.thread": ("forkful.futures", _thread_pool),
    "concurrent.futures.process": ("forkful.futures.process", _process_pool),
    "threading": ("forkful.threading", _names),
    "queue": ("forkful.queue", _names),
    "multiprocessing": ("forkful.multiprocessing", _contexts),
    "multiprocessing.spawn": ("forkful._preparation", _preparation),
    "multiprocessing.managers": ("forkful.multiprocessing", _manager),
    **{
        f"multiprocessing.{name}": (f"forkful.multiprocessing.{name}", _names)
        for name in ("connection", "dummy", "pool", "queues", "shared_memory", "sharedctypes", "synchronize")
    },
}


# --- what stands there ---

_ABSENT = object()

# What stood in each place before, and what is ours; empty while the standard library has its own.
_before: list[tuple[Any, str, object, object]] = []
_changed: set[str] = set()
_lock = threading.Lock()
_arrivals: Arrivals | None = None


def _fresh_lock() -> None:
    global _lock
    _lock = threading.Lock()


# Another thread may hold the lock at the very moment of a fork, and will not be there to release it.
os.register_at_fork(after_in_child=_fresh_lock)


def install() -> None:
    """Put forkful's names into `concurrent.futures`, `threading`, `queue` and `multiprocessing`.

    From here on whoever looks up `ThreadPoolExecutor`, `wait`, `threading.Event`, `queue.Queue`, `multiprocessing.Pool` and so
    on gets forkful's, and so does asyncio, whose `to_thread` and `run_in_executor` make their pool by that name.

    The rest stays the standard library's: `Future` and `Executor` (forkful's are subclasses of them, so `isinstance` and
    `except` clauses keep working), the errors and constants, `threading.Thread`, and `InterpreterPoolExecutor`.

    What was looked up earlier stays as it was: a module that has already run
    `from concurrent.futures import ThreadPoolExecutor` keeps the standard library's class, and so do pools and
    subclasses that exist. So call it first, or use `python -m forkful run`, which does.

    Calling it again changes nothing. Any thread may call it. Children that multiprocessing or forkful's pools start are
    installed too, by whatever start method; other programs, as by `subprocess`, are not.
    """
    global _arrivals
    if find_spec("forkful._engine") is None:
        return  # all our names are the standard library's
    with _lock:
        if _arrivals is None:
            _arrivals = Arrivals((*_TABLE, *(ours for ours, _ in _TABLE.values())), _arrived)
            sys.meta_path.insert(0, _arrivals)
    # Not under the lock: an import waits for other threads' imports, at whose ends the lock is wanted.
    for name in _TABLE:
        if name in sys.modules:
            import_module(name)  # to the end, if another thread is in the middle of it
            _change(name)


def uninstall() -> None:
    """Give the standard library back its own names, exactly as `install` found them.

    What was made in between keeps running. A name that somebody else has replaced since is left as they set it.
    Calling it again, or without `install`, changes nothing.
    """
    global _arrivals
    with _lock:
        if _arrivals in sys.meta_path:
            sys.meta_path.remove(_arrivals)
        _arrivals = None
        _changed.clear()
        _replaced.forget()
        while _before:
            place, name, before, ours = _before.pop()
            names = _namespace(place)
            if names.get(name, _ABSENT) is not ours:
                continue
            if before is _ABSENT:
                # The lazy name had not been fetched yet: without it the module's own __getattr__ serves again.
                del names[name]
            else:
                names[name] = before


def _arrived(name: str) -> None:
    """A module of theirs or of ours has been imported. One of ours may be what several of theirs have waited for."""
    for theirs, (ours, _) in _TABLE.items():
        if name == theirs or (name == ours and theirs in sys.modules):
            _change(theirs)


def _change(theirs: str) -> None:
    arrivals = _arrivals
    ours, places = _TABLE[theirs]
    if arrivals is None or theirs in _changed or not arrivals.has(theirs):
        return
    if ours in sys.modules and not arrivals.has(ours):
        # It is being imported, and has just imported what it stands for: we come again at its own end.
        return
    module = sys.modules[theirs]
    replaced: dict[str, type] = {}
    there = list(places(module, import_module(ours)))
    with _lock:
        if _arrivals is not arrivals or theirs in _changed:
            return
        _changed.add(theirs)
        for place, name, mine in there:
            names = _namespace(place)
            before = names.get(name, _ABSENT)
            if before is mine:
                continue
            _before.append((place, name, before, mine))
            names[name] = mine
            if place is module and isinstance(before, type):
                replaced[name] = before
        if places is _names:
            _replaced.keep(module, replaced)


def _namespace(place: Any) -> dict[str, object]:
    return place if isinstance(place, dict) else vars(place)


def _bind_subclasses() -> None:
    """Let the standard library's own subclasses of its thread pool be made while it is still its own.

    `InterpreterPoolExecutor` (3.14) names its base class when its module is first imported, which is at its first
    use. On forkful's class its tasks would run in plain threads, without an interpreter of their own.
    """
    try:
        import concurrent.futures.interpreter  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError:
        pass
