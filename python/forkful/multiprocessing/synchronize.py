"""Locks, semaphores, conditions, events and barriers of several processes, which outlive those that are killed with them in hand.

The names and the behaviour are those of the standard library's multiprocessing.synchronize. What is more: a Lock, an RLock and
the lock of a Condition whose holder dies go to the next one, with an `OwnerDiedWarning` that names the dead process, and
`owner_died` says which one it was last. They lie in memory without a name, so that nothing of them stays behind.

Knows: the compiled primitives, multiprocessing's ways of sending things. Does not know: processes, queues, pools.
"""

from __future__ import annotations

import threading
import time
from multiprocessing import context, process, reduction
from typing import Any

from forkful import (
    _engine,
    _hooks,  # noqa: F401 - a fork is told to the engine
)
from forkful._errors import OwnerDiedWarning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "OwnerDiedWarning",
    "RLock",
    "SemLock",
    "Semaphore",
]

RECURSIVE_MUTEX, SEMAPHORE = 0, 1
SEM_VALUE_MAX = 2**31 - 1

# --- how they travel ---


class _File:
    """A file of cells in a pickle: one for all that lie in it, so that the descriptor travels once."""

    def __init__(self, fd: int) -> None:
        self._sent: Any = reduction.DupFd(fd)  # type: ignore[attr-defined, unused-ignore]
        self._opened: _engine.CellFile | None = None

    def open(self) -> _engine.CellFile:
        if self._opened is None:
            self._opened = _engine.CellFile(self._sent.detach())
        return self._opened

    def __getstate__(self) -> Any:
        return self._sent

    def __setstate__(self, sent: Any) -> None:
        self._sent = sent
        self._opened = None


def _placed(primitive: Any) -> tuple[_File, int]:
    """Where it lies, for a process that is being started or a task on its way."""
    context.assert_spawning(primitive)
    popen: Any = context.get_spawning_popen()
    fd, offset = primitive._hand_over()
    device, inode, _ = primitive._identity()
    files = vars(popen).setdefault("_forkful_cells", {})
    file = files.get((device, inode))
    if file is None:
        file = files[device, inode] = _File(fd)
    return file, offset


def _rebuild(kind: type[Any], place: tuple[_File, int], arguments: tuple[Any, ...], state: Any) -> Any:
    file, offset = place
    base: Any = kind._compiled
    primitive = base.__new__(kind, *arguments, place=(file.open(), offset))
    primitive._after_rebuild()
    if state:
        vars(primitive).update(state)
    return primitive


class _Travels:
    """What all of them have: a pickle for new processes and for tasks, and nothing for anybody else."""

    _compiled: type[Any]

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), _placed(self), self._arguments(), self._own_state())

    def _arguments(self) -> tuple[Any, ...]:
        return ()

    def _own_state(self) -> dict[str, Any]:
        """What a program has put into it; not its methods, which are bound to this process's object."""
        mine = {"acquire", "release"}
        return {name: value for name, value in vars(self).items() if name not in mine}

    def _after_rebuild(self) -> None:
        """Called where it arrives."""


class SemLock(_Travels):
    """What Lock, RLock and the semaphores have in common."""

    kind = SEMAPHORE
    name = None
    _is_fork_ctx = False

    @property
    def _semlock(self) -> Any:
        """The standard library's object behind, which is this one itself."""
        return self

    @property
    def handle(self) -> tuple[int, int, int]:
        """What tells it from every other one, the same in all processes."""
        identity: tuple[int, int, int] = self._identity()  # type: ignore[attr-defined]
        return identity

    def _name_of_holder(self, holder: str) -> str:
        if holder == "nobody":
            return "None"
        if holder == "thread":
            return "SomeOtherThread"
        if holder == "process":
            return "SomeOtherProcess"
        name = process.current_process().name
        thread = threading.current_thread().name
        return name if thread == "MainThread" else f"{name}|{thread}"


# --- locks ---


class Lock(SemLock, _engine.ProcessLock):
    """A lock that one process or thread takes and any may release. One whose holder dies goes to the next one."""

    maxvalue = 1
    _compiled = _engine.ProcessLock

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _engine.ProcessLock.__new__(cls)

    def __init__(self, *, ctx: Any = None) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(owner={self._name_of_holder(self._holder())})>"


class RLock(SemLock, _engine.ProcessRLock):
    """A lock that its thread may take again. One whose holder's process dies goes to the next one, which has it once."""

    kind = RECURSIVE_MUTEX
    maxvalue = 1
    _compiled = _engine.ProcessRLock

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _engine.ProcessRLock.__new__(cls)

    def __init__(self, *, ctx: Any = None) -> None:
        pass

    def __repr__(self) -> str:
        holder = self._holder()
        count = {"nobody": 0, "me": self._count()}.get(holder, "nonzero")
        return f"<{type(self).__name__}({self._name_of_holder(holder)}, {count})>"


# --- semaphores ---


class Semaphore(SemLock, _engine.ProcessSemaphore):
    """Permits that any process takes and gives. Nobody holds one; `last_acquired_by` says who took one last."""

    _compiled = _engine.ProcessSemaphore

    def __new__(cls, value: int = 1, *args: Any, **kwargs: Any) -> Any:
        return _engine.ProcessSemaphore.__new__(cls, value, SEM_VALUE_MAX)

    def __init__(self, value: int = 1, *, ctx: Any = None) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self._get_value()})>"


class BoundedSemaphore(Semaphore):
    """One that can't be released more often than acquired."""

    def __new__(cls, value: int = 1, *args: Any, **kwargs: Any) -> Any:
        return _engine.ProcessSemaphore.__new__(cls, value, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self._get_value()}, maxvalue={self.maxvalue})>"


# --- conditions ---


class _Count:
    """A number under the method by which the standard library's semaphores tell theirs."""

    def __init__(self, get_value: Callable[[], int]) -> None:
        self.get_value = get_value


class Condition(_Travels, _engine.ProcessCondition):
    """Waiting under a lock until somebody notifies; who waits at that moment goes on, in the order of arrival."""

    _compiled = _engine.ProcessCondition
    acquire: Callable[..., bool]
    release: Callable[[], None]

    def __new__(cls, lock: Any = None, *args: Any, **kwargs: Any) -> Any:
        return _engine.ProcessCondition.__new__(cls, RLock() if lock is None else lock)

    def __init__(self, lock: Any = None, *, ctx: Any = None) -> None:
        self._make_methods()

    def _make_methods(self) -> None:
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def _arguments(self) -> tuple[Any, ...]:
        return (self._lock,)

    def _after_rebuild(self) -> None:
        self._make_methods()

    # Programs, and the standard library's tests, ask how many wait by what its conditions are made of.

    @property
    def _sleeping_count(self) -> _Count:
        return _Count(self._waiting)

    @property
    def _woken_count(self) -> _Count:
        return _Count(int)

    _wait_semaphore = _woken_count

    @property
    def owner_died(self) -> int | None:
        """The pid of the last process that died with the lock in hand; None if none has."""
        pid: int | None = getattr(self._lock, "owner_died", None)
        return pid

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock}, {self._waiting()})>"

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Waits until the predicate holds; what it said last."""
        result = predicate()
        end = None if timeout is None else time.monotonic() + timeout
        left = None
        while not result:
            if end is not None:
                left = end - time.monotonic()
                if left <= 0:
                    break
            self.wait(left)
            result = predicate()
        return result

    # Over a lock that is none of ours: the standard library's, of processes or of threads, or anything with acquire and release.

    def _owns_other(self) -> bool:
        lock: Any = self._lock
        semlock = getattr(lock, "_semlock", None)
        if semlock is not None:
            return bool(semlock._is_mine())
        if hasattr(lock, "_is_owned"):
            return bool(lock._is_owned())
        if lock.acquire(False):
            lock.release()
            return False
        return True

    def _give_up(self) -> Callable[[], None]:
        """Releases the lock, however often it is taken; what takes it again."""
        lock: Any = self._lock
        if hasattr(lock, "_release_save"):
            state = lock._release_save()
            return lambda: lock._acquire_restore(state)
        semlock = getattr(lock, "_semlock", None)
        count = 1 if semlock is None else semlock._count()
        for _ in range(count):
            lock.release()

        def again() -> None:
            for _ in range(count):
                lock.acquire()

        return again

    def _wait_in_steps(self, timeout: float | None) -> bool:
        assert self._owns_other(), "must acquire() condition before using wait()"
        end = None if timeout is None else time.monotonic() + timeout
        place = self._enter()
        done = False
        try:
            while True:
                again = self._give_up()
                try:
                    roused = self._sleep(place, None if end is None else end - time.monotonic())
                finally:
                    again()
                if not roused or self._is_roused(place):
                    done = True
                    break
        finally:
            notified = self._leave(place, not done)
        return notified


# --- events and barriers ---


class Event(_Travels, _engine.ProcessEvent):
    """A flag that processes wait for; who waits when it is set goes on, even if it is cleared at once."""

    _compiled = _engine.ProcessEvent

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _engine.ProcessEvent.__new__(cls)

    def __init__(self, *, ctx: Any = None) -> None:
        pass

    def __repr__(self) -> str:
        status = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {status}>"


class _Gathering(_Travels, _engine.ProcessBarrier):
    """What processes share of a barrier."""

    _compiled = _engine.ProcessBarrier


class Barrier(threading.Barrier):
    """A place where so many wait for each other. One who is killed there counts for his round and breaks no later one."""

    def __init__(
        self,
        parties: int,
        action: Callable[[], Any] | None = None,
        timeout: float | None = None,
        *,
        ctx: Any = None,
    ) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        self._gathering = _Gathering(parties)
        self._action = action
        self._timeout = timeout

    def __getstate__(self) -> Any:
        return self._gathering, self._action, self._timeout

    def __setstate__(self, state: Any) -> None:
        self._gathering, self._action, self._timeout = state

    def wait(self, timeout: float | None = None) -> int:
        """Waits until all have come; how many had come before."""
        return self._gathering.wait(self._timeout if timeout is None else timeout, self._action)

    def reset(self) -> None:
        """Makes it new; those who wait find it broken."""
        self._gathering.reset()

    def abort(self) -> None:
        """Breaks it, until it is reset."""
        self._gathering.abort()

    @property
    def parties(self) -> int:
        """How many have to come."""
        return self._gathering.parties

    @property
    def n_waiting(self) -> int:
        """How many have."""
        return self._gathering.n_waiting

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._gathering.broken

    def __repr__(self) -> str:
        status = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}: {status}>"
