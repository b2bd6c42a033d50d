"""multiprocessing on the engine: every public name of the standard library's package.

Knows: `context`, whose default serves the functions here. Does not know: its other modules, each
loaded at its first use.
"""

from __future__ import annotations

import multiprocessing as _theirs
import sys as _sys
from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec

_MODULES = (
    "connection",
    "dummy",
    "forkserver",
    "heap",
    "managers",
    "pool",
    "popen_fork",
    "popen_forkserver",
    "popen_spawn_posix",
    "queues",
    "resource_sharer",
    "resource_tracker",
    "shared_memory",
    "sharedctypes",
    "spawn",
    "synchronize",
    "util",
)

if _find_spec("forkful._engine") is None:
    # No engine for this system: programs run all the same, as before.
    for _name in ("context", "process", "reduction", *_MODULES, "dummy.connection"):
        _sys.modules[f"{__name__}.{_name}"] = _import_module(f"multiprocessing.{_name}")

from forkful.multiprocessing import context as context  # noqa: E402
from forkful.multiprocessing import process as process  # noqa: E402
from forkful.multiprocessing import reduction as reduction  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from forkful._errors import OwnerDiedWarning

# Levels of multiprocessing's logger.
SUBDEBUG = 5
SUBWARNING = 25

_default: Any = context._default_context

active_children = _default.active_children
allow_connection_pickling = _default.allow_connection_pickling
Array = _default.Array
AuthenticationError = context.AuthenticationError
Barrier = _default.Barrier
BoundedSemaphore = _default.BoundedSemaphore
BufferTooShort = context.BufferTooShort
Condition = _default.Condition
cpu_count = _default.cpu_count
current_process = _default.current_process
Event = _default.Event
freeze_support = _default.freeze_support
get_all_start_methods = _default.get_all_start_methods
get_context = _default.get_context
get_logger = _default.get_logger
get_start_method = _default.get_start_method
JoinableQueue = _default.JoinableQueue
Lock = _default.Lock
log_to_stderr = _default.log_to_stderr
Manager = _default.Manager
parent_process = _default.parent_process
Pipe = _default.Pipe
Pool = _default.Pool
Process = context.Process
ProcessError = context.ProcessError
Queue = _default.Queue
RawArray = _default.RawArray
RawValue = _default.RawValue
reducer = _default.reducer
RLock = _default.RLock
Semaphore = _default.Semaphore
set_executable = _default.set_executable
set_forkserver_preload = _default.set_forkserver_preload
set_start_method = _default.set_start_method
SimpleQueue = _default.SimpleQueue
TimeoutError = context.TimeoutError
Value = _default.Value

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "OwnerDiedWarning",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
]
# What a later interpreter's contexts can do besides.
for _name in sorted({*_theirs.__all__}.difference(__all__)):
    globals()[_name] = getattr(_default, _name)
    __all__ += [_name]


def __getattr__(name: str) -> Any:
    # The standard library has these as soon as somebody has imported them; here nobody needs to.
    if name in _MODULES:
        return _import_module(f"{__name__}.{name}")
    if name == "OwnerDiedWarning":
        return _import_module("forkful._errors").OwnerDiedWarning
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
