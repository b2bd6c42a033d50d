"""Descriptors of processes and of nameless memory: what the kernel refuses is raised with the name of the call.

Knows: the engine, which has these calls for interpreters that were built without them, as portable ones are.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # a zygote's first worker waits for these imports: no more than it needs
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from typing import Any

# The interpreter has the name only if the C library did when it was built.
P_PIDFD: Any = getattr(os, "P_PIDFD", 3)


def pidfd_open(pid: int) -> int:
    """A descriptor of the process that has this number now."""
    return int(_named("pidfd_open", getattr(os, "pidfd_open", None), pid))


def memfd_create(name: str) -> int:
    """An empty file without a place in any file system."""
    return int(_named("memfd_create", getattr(os, "memfd_create", None), name))


def pidfd_send_signal(pidfd: int, number: int) -> None:
    """Sends a signal, which cannot hit a later process with the same number; 0 only asks whether that is possible."""
    _named("pidfd_send_signal", getattr(signal, "pidfd_send_signal", None), pidfd, number)


def fork() -> int:
    """`os.fork`; the child ends with this process even if it never gets out of somebody's fork hook.

    One that has begun to watch its parent calls `outlive_thread`.
    """
    engine = _the_engine()
    if engine is None:
        return int(_named("fork", os.fork))
    engine.guard_fork()
    try:
        return int(_named("fork", os.fork))
    finally:
        engine.unguard_fork()


def outlive_thread() -> None:
    """Unless that was the parent's first, a child need not end with the thread that forked it, as the kernel would have it."""
    engine = _the_engine()
    if engine is not None:
        engine.outlive_thread()


def _the_engine() -> Any:
    try:
        from . import _engine
    except ImportError:
        return None  # a nursery can do without
    return _engine


def _named(call: str, function: Callable[..., Any] | None, *arguments: Any) -> Any:
    try:
        if function is None:
            from . import _engine

            function = getattr(_engine, call)
        return function(*arguments)
    except OSError as error:
        raise OSError(error.errno, f"{call}: {error.strerror}") from None


def own(undo: ExitStack, fd: int) -> int:
    """Close it if the rest fails; and never let it be 0, 1 or 2, which a child puts something else on."""
    fd = above(fd)
    undo.callback(close, fd)
    return fd


def above(fd: int) -> int:
    """The same, with a number that stands for no stream."""
    if fd > 2:
        return fd
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def close(fd: int) -> None:
    """Closes it, unless somebody has."""
    try:
        os.close(fd)
    except OSError:
        pass


def memfd(undo: ExitStack, content: bytes) -> int:
    """A nameless file with this content."""
    fd = own(undo, memfd_create("forkful-request"))
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return fd
