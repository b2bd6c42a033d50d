"""How a task in another process can end badly, in words that say what to do."""

from __future__ import annotations

import pickle
import signal as _signal
import sys
from collections.abc import Mapping
from concurrent.futures import TimeoutError as _FuturesTimeout
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from . import _engine

__all__ = ["OwnerDiedWarning", "TaskKilled", "TaskTimeout", "WorkerDied", "explained", "from_end"]


class WorkerDied(BrokenProcessPool):
    """A worker process died while it ran this task; the other tasks of the pool never notice.

    What could not be known is None.
    """

    task: str | None = None
    """The task's name, else its function's."""
    pid: int | None = None
    """The worker's process."""
    exit_code: int | None = None
    """What it exited with, if it did."""
    signal: int | None = None
    """What killed it, if a signal did."""
    ran_for: float | None = None
    """Seconds from the task's beginning to the death."""
    peak_memory: int | None = None
    """The worker's largest resident size in bytes."""
    stack: str | None = None
    """Its Python stack: there is one for fatal signals (SIGSEGV, SIGABRT, ...) and where forkful itself killed."""
    out_of_memory: bool = False
    """Whether the kernel's OOM killer is the likely cause."""
    attempts: int = 1
    """How often the task was begun."""

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, vars(self))


class TaskKilled(WorkerDied):
    """The task was stopped by `future.kill()`, and its worker with it."""


class OwnerDiedWarning(RuntimeWarning):
    """The process that held this lock died; the lock has gone to the next one, and what it guards may be half changed."""


if sys.version_info >= (3, 11):
    _Timeout = TimeoutError
else:

    class _Timeout(_FuturesTimeout, TimeoutError):
        pass


class TaskTimeout(_Timeout):
    """The task ran longer than `with_options(timeout=)` allows, and was stopped; fields as `WorkerDied` has them."""

    task: str | None = None
    pid: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    ran_for: float | None = None
    peak_memory: int | None = None
    stack: str | None = None
    out_of_memory: bool = False
    attempts: int = 1

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.args, vars(self))


def _rebuild(cls: type[BaseException], args: tuple[Any, ...], fields: dict[str, Any]) -> BaseException:
    error = cls.__new__(cls, *args)
    error.args = args
    vars(error).update(fields)
    return error


def explained(what: str, error: OSError) -> OSError:
    """The same error with what could not be done, and with the way out where the engine knows one."""
    if error.errno is None or (advice := _engine.advice(error.errno)) is None or advice in str(error):
        return error
    return OSError(error.errno, f"{what}: {error.strerror}; {advice}")


def from_end(facts: Mapping[str, Any]) -> Any:
    """The exception of a task that ended otherwise than by its worker's word; raises it."""
    end = facts["end"]
    if end == "died":
        raise _death(facts)
    if end == "broken":
        raise _broken(facts)
    if end == "too long":
        raise ValueError(
            f"the arguments of this task take {facts['bytes']} bytes, and this pool can hand over {facts['limit']} at most; "
            "raise RLIMIT_FSIZE (ulimit -f), RLIMIT_AS or the limit of the memory control group (cgroup), whichever is low, or "
            "write the data to a file and send its name"
        )
    if end == "no room":
        raise MemoryError(
            f"the arguments of this task take {facts['bytes']} bytes, and the memory control group (cgroup) of this process has "
            f"{facts['room']} left: the kernel would kill for them. Raise its limit, or write the data to a file and send its "
            "name"
        )
    if end == "no memory":
        raise MemoryError(f"this process had no memory for the {facts['bytes']} bytes of the task's result")
    raise BrokenProcessPool("the pool ended before this task began")


def _broken(facts: Mapping[str, Any]) -> BrokenProcessPool:
    if facts.get("pid") is not None:
        # One that hung at its start is killed by the pool: how it ended says nothing, but where it stood.
        hung = facts["doom"] == "start"
        where = f"worker process {facts['pid']} was stopped" if hung else _exit(facts)
        stack = f"\n\nits stack:\n{_own_part(facts['stack'])}" if hung and facts["stack"] else ""
        error: BrokenProcessPool = WorkerDied(f"the process pool is broken: {facts['text']}: {where}{stack}")
        _fill(error, facts)
    else:
        error = BrokenProcessPool(f"the process pool is broken: {facts['text']}")
    cause = facts.get("cause")
    if cause is not None:
        try:
            error.__cause__ = pickle.loads(cause)
        except Exception as unreadable:
            error.__cause__ = unreadable
    return error


def _death(facts: Mapping[str, Any]) -> BaseException:
    doom = facts["doom"]
    label = _label(facts)
    after = " after an unknown time" if facts["ran"] is None else f" after {facts['ran']:.3g} s"
    kind: type[BaseException] = WorkerDied
    if doom == "timeout":
        kind = TaskTimeout
        text = f"{label} ran longer than its timeout and was stopped{after} (worker process {facts['pid']})"
    elif doom == "killed":
        kind = TaskKilled
        text = f"{label} was stopped by kill(){after} (worker process {facts['pid']})"
    elif doom == "memory":
        text = (
            f"{label} was stopped{after}: worker process {facts['pid']} had grown to {_bytes(facts['memory'])}, more than "
            f"memory_limit={facts['memory_limit']} allows ({_bytes(facts['memory_limit'])}, looked at every "
            f"{facts['sampling']:.3g} s)"
        )
    elif doom == "garbage" and facts["known"]:
        text = (
            f"{label} was stopped{after}: what worker process {facts['pid']} shares with its pool held garbage; this task, or "
            "another one that ran at the same time, wrote over it"
        )
    elif doom == "garbage":
        text = (
            f"{label} is lost: the memory that the pool shares with its workers held garbage, and whether one of them had begun "
            "this task could not be known; a task that ran at the time wrote over it"
        )
    elif doom == "end":
        text = f"the pool was ended while {label} ran: {_exit(facts)}{after}"
    else:
        text = f"the worker process died while it ran {label}: {_exit(facts)}{after}"
        if facts["out_of_memory"]:
            text += "; the kernel killed a process for lack of memory meanwhile, which is the likely cause"
        elif facts["signal"] == _signal.SIGKILL and not facts["bereft"]:
            text += "; somebody killed it, perhaps the kernel for lack of memory"
    text += "; peak memory unknown" if facts["peak"] is None else f"; peak memory {_bytes(facts['peak'])}"
    text += f"\n\nits stack:\n{_own_part(facts['stack'])}" if facts["stack"] else "; no stack could be had"
    error = kind(text)
    _fill(error, facts)
    return error


def _fill(error: Any, facts: Mapping[str, Any]) -> None:
    error.task = _name(facts)
    error.pid = facts["pid"] if facts["known"] else None
    error.exit_code = facts["exit_code"]
    error.signal = facts["signal"]
    error.ran_for = facts["ran"]
    error.peak_memory = facts["peak"]
    error.stack = facts["stack"] and _own_part(facts["stack"])
    error.out_of_memory = facts["out_of_memory"]
    error.attempts = facts["attempts"]


def _own_part(stack: str) -> str:
    """A stack without the frames that lead to every task."""
    lines = stack.strip("\0").rstrip().splitlines()
    for at, line in enumerate(lines):
        if line.endswith(" in main") and "_worker.py" in line:
            return "\n".join(lines[:at] or lines)
    return "\n".join(lines)


def _name(facts: Mapping[str, Any]) -> str | None:
    func = facts.get("func")
    return (
        facts.get("name") or getattr(func, "__qualname__", None) or (None if func is None else type(func).__qualname__)
    )


def _label(facts: Mapping[str, Any]) -> str:
    name = _name(facts)
    return "a task" if name is None else f"task {name!r}"


def _exit(facts: Mapping[str, Any]) -> str:
    pid = f"process {facts['pid']}"
    if facts["bereft"] and facts["signal"] in (None, _signal.SIGKILL) and facts["exit_code"] is None:
        # Its own end is the kernel's doing, and nobody is left who could have been told of it.
        return f"{pid} ended with the process that had made it, which died; how that came could not be known"
    if facts["signal"] is not None:
        try:
            name = _signal.Signals(facts["signal"]).name
        except ValueError:
            name = f"signal {facts['signal']}"
        return f"{pid} was killed by {name}"
    if facts["exit_code"] is not None:
        return f"{pid} exited with code {facts['exit_code']}"
    return f"{pid} ended, and how could not be known"


def _bytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
