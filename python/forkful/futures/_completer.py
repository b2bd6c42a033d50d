"""The threads behind pools of processes: one that serves all of them, and one per pool for its callbacks.

The first is there from a pool's first task on, the others while there are calls. Both are waited for at a pool's end, and when
the interpreter ends.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref

from forkful import _engine
from forkful._errors import explained

# Reentrant: a signal handler or a finalizer may make a pool, or shut one down, while its thread holds it.
_lock = threading.RLock()
# Weakly, as a thread that has ended must not look like one that was left behind.
_thread: weakref.ReferenceType[threading.Thread] | None = None
_callers: weakref.WeakValueDictionary[int, threading.Thread] = weakref.WeakValueDictionary()


def send() -> None:
    """Starts it for a pool that has work from now on, if there is none; OSError where there can be no thread."""
    global _thread
    # Held until it runs: whoever comes second must not rely on one that then can't be started.
    with _lock:
        ticket = _engine.claim_completer()
        if ticket is None:
            return
        thread = threading.Thread(target=_engine.serve, args=(ticket,), name="forkful-completer", daemon=True)
        try:
            thread.start()
        except BaseException as error:
            _engine.disclaim_completer()
            if type(error) is RuntimeError:
                # There may be no more threads: the interpreter does not say why.
                raise explained("a process pool can't be made", OSError(errno.EAGAIN, str(error))) from None
            raise
        _thread = weakref.ref(thread)


def release() -> None:
    """Waits until it has ended if no pool is left; another pool may be made meanwhile, with a completer of its own."""
    with _lock:
        thread = last() if _engine.relieve_completer() else None
    if thread is not None and thread is not threading.current_thread():
        thread.join()


def join() -> None:
    """Waits until it has ended, and the callers: all pools are finished, those that nobody holds any more too."""
    thread = last()
    if thread is not None:
        thread.join()
    for caller in list(_callers.values()):
        caller.join()


def hire(number: int, place: _engine.CallerPlace) -> None:
    """Starts the thread that makes the calls of the pool with this number."""
    thread = threading.Thread(target=place.serve, name="forkful-callbacks", daemon=True)
    _callers[number] = thread
    try:
        thread.start()
    except BaseException:
        del _callers[number]
        raise


def dismiss(crew: _engine.ProcessCrew) -> None:
    """Waits until that thread has made its calls and ended, if this is not it. The pool has ended."""
    number = crew.let_caller_go()
    thread = None if number is None else _callers.pop(number, None)
    if thread is not None:
        thread.join()


def last() -> threading.Thread | None:
    """The one that was started last, if it is still there."""
    return None if _thread is None else _thread()


def _fresh_start() -> None:
    """In a forked child, where the thread is not, and another one may have held the lock."""
    global _lock, _thread, _callers
    _lock, _thread, _callers = threading.RLock(), None, weakref.WeakValueDictionary()


os.register_at_fork(after_in_child=_fresh_start)
