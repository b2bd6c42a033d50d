"""The family's one resource tracker: its pipe at once, its process when the first worker is on its way.

Every process that multiprocessing execs is handed the tracker's pipe, or a second tracker would unlink shared memory when that
process ends. Starting the tracker takes an interpreter's start, beside which the zygote's own takes a fifth longer on two
CPUs. What is written meanwhile waits in the pipe.

Knows: multiprocessing's tracker. Does not know: nurseries.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from multiprocessing import resource_tracker, spawn, util
from typing import Any

__all__ = ["pipe", "running", "start"]

# What the tracker's process does. It clears away what a killed process has left, which is its business and nobody else's
# news; so is what somebody else has cleared away meanwhile.
_PROGRAM = r"""
import warnings
from multiprocessing.resource_tracker import main
warnings.filterwarnings("ignore", r"resource_tracker: There appear to be \d+ leaked shared_memory objects")
warnings.filterwarnings("ignore", r"resource_tracker: .*\[Errno 2\]")
main({reader})
"""

_tracker: Any = resource_tracker._resource_tracker
_IGNORED = (signal.SIGINT, signal.SIGTERM)

# The reading end of a pipe whose tracker has not been started yet, and the process that is to do it.
_waiting: tuple[int, int] | None = None


def pipe() -> int:
    """The descriptor by which the tracker is told of resources. Its process is there, or `start` makes it."""
    global _waiting
    with _tracker._lock:
        if _tracker._fd is None:
            if _waiting is not None:
                _drop()
            reader, writer = os.pipe()
            _tracker._fd, _tracker._pid = writer, None
            _waiting = reader, os.getpid()
    fd: int = _tracker.getfd()
    return fd


def running() -> None:
    """Has the tracker's process there, or on its way: what is written to its pipe now will be read whatever happens here."""
    pipe()
    start()


def start() -> None:
    """Starts the tracker's process, if its pipe waits for one."""
    global _waiting
    with _tracker._lock:
        if _waiting is None:
            return
        reader, owner = _waiting
        if owner != os.getpid() or _tracker._pid is not None:
            _drop()
            return
        _waiting = None
        passed = [reader]
        try:
            passed.append(sys.stderr.fileno())
        except Exception:
            pass  # closed, or replaced by something that is no file
        try:
            executable = os.fsencode(spawn.get_executable() or sys.executable)
            flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
            command = [executable, *flags, "-c", _PROGRAM.format(reader=reader)]
            # Inherited, so that no signal meets it before it has chosen to ignore these (bpo-33613).
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
            try:
                _tracker._pid = util.spawnv_passfds(executable, command, passed)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        finally:
            os.close(reader)


def _drop() -> None:
    global _waiting
    if _waiting is not None:
        reader, _ = _waiting
        _waiting = None
        try:
            os.close(reader)
        except OSError:
            pass


def _fresh_child() -> None:
    """In a forked child: the parent starts the tracker, and an end of the pipe here would hide its death."""
    _drop()


os.register_at_fork(after_in_child=_fresh_child)
# The interpreter waits for the tracker at its end, which must have been there.
atexit.register(start)
