"""How the pool's process gets a nursery: what it does before a fork, and what it sends to an exec'ed one.

Knows: `_nursery` and `_child`, which run at the other end. Does not know: pools. The protocol on the control socket is the
caller's from here on.
"""

from __future__ import annotations

import array
import logging
import os
import pickle
import select
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import util
from typing import Any

from . import _kernel, _tracker
from ._child import replace_streams
from ._kernel import close, memfd, own
from ._line import ATTACH
from ._nursery import template
from ._request import Carrier, Main, Method, authority, birth_of, environment, packed

# How long a fork waits for the locks of logging's handlers. Measured with 50 threads that log: with 0.2 s
# 5 of 100 workers still hung, with 2 s none of 360.
_PATIENCE = 2.0

_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}


@dataclass(frozen=True)
class Launch:
    """A running nursery. Every descriptor is close-on-exec and the caller's."""

    control: int
    """Our end of the SOCK_SEQPACKET pair. To end the nursery's service, shutdown(2) it before it is closed: a close
    alone is not seen while a fork of this process, made at whatever moment, has a copy."""
    request: int
    """What each START carries first: a memfd."""
    pid: int
    """Of the nursery; a zygote's is the same for many launches, and is reaped here."""
    pidfd: int
    needs_fds: bool
    """Whether START carries link, bell, our fds 0-2 and `extra_fds`."""
    extra_fds: tuple[int, ...] = ()
    """Behind the seven that have names, for the life of the pool: the resource tracker's, then the arguments'."""


def launch(
    method: Method,
    request: dict[str, Any],
    *,
    run: Callable[..., None],
    preload: Sequence[str] = (),
    main: Main,
    start: Callable[[], bytes] | None = None,
) -> Launch:
    """Start, or join, a nursery whose workers call `run(index, generation, request, link, bell, dump)`.

    `start` makes `request["start"]`, and is called where multiprocessing's locks and connections can be pickled.

    A fork is the caller's own, from this thread: its thread-locals and context are the workers' too. For the others `run`
    is found by its module and name.
    """
    if method == "fork":
        return _fork(request, run)
    if main == "inherited":
        raise ValueError(f"a worker started by {method} inherits no main module")
    return _join(method, request, run, tuple(preload) if method == "zygote" else (), main, start)


# --- fork ---


def _fork(request: dict[str, Any], run: Callable[..., None]) -> Launch:
    with ExitStack() as undo:
        # Nothing is pickled: locks, connections and closures among the arguments are the template's by inheritance.
        marker = memfd(undo, packed({}, {"inherited": True}))
        ours, theirs = _pair(undo)
        # Before the fork, so that it names this process even if it is gone a moment later.
        parent = own(undo, _kernel.pidfd_open(os.getpid()))
        _kernel.pidfd_send_signal(parent, 0)
        birth = birth_of("fork", request)
        with _quiet_logging() as missed, _blocked(signal.valid_signals() - _FAULTS) as mask:
            util._flush_std_streams()  # type: ignore[attr-defined]
            # Not imported as long as nothing is shared.
            shares: Any = sys.modules.get("forkful._share")
            if shares is not None:
                shares.offer_shared()
            with _no_false_alarm():
                pid = _kernel.fork()
            if pid == 0:
                try:
                    os.close(ours)
                    _hide_controls()
                    if shares is not None:
                        shares.disinherit_shared()
                    replace_streams(missed)
                    template(theirs, parent, birth, run, request, mask)
                finally:
                    os._exit(1)
        pidfd = own(undo, _watched(pid))
        os.close(theirs)
        os.close(parent)
        undo.pop_all()
        return Launch(ours, marker, pid, pidfd, needs_fds=False)


@contextmanager
def _no_false_alarm() -> Iterator[None]:
    """Leave out the warning of 3.12 about a fork with other threads where those are this package's own, which expect it."""
    others = [thread for thread in threading.enumerate() if not thread.name.startswith("forkful-")]
    if len(others) > 1:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextmanager
def _quiet_logging() -> Iterator[list[Any]]:
    """Fork while no other thread is inside a logging handler; yields those handlers that could not be had.

    The interpreter repairs logging's own locks in the child, but not the C lock of a handler's stream: a FileHandler that
    another thread was flushing would hang there for ever.

    Two locks that are wanted together are the chance of a deadlock, so nothing is waited for while something is held for
    longer than a moment. And a thread that holds logging's module lock and wants a handler (`dictConfig`) would meet the
    fork, which takes that lock: hence the look at it. Holding it until the fork is no way: another thread's fork has hooks
    that take locks before this one, which our fork then waits for.
    """
    give_up = time.monotonic() + _PATIENCE
    held: dict[Any, Any] = {}
    module: Any = logging._lock  # type: ignore[attr-defined]
    references: list[Any] = list(logging._handlerList)  # type: ignore[attr-defined]
    living = [handler for handler in (reference() for reference in references) if handler is not None]
    wanted = [handler for handler in living if getattr(handler, "lock", None) is not None]
    try:
        while wanted and time.monotonic() < give_up:
            refused = next((handler for handler in wanted if not _take(handler.lock, held, give_up)), None)
            if refused is None and module.acquire(blocking=False):
                module.release()
                break
            _release(held)
            if refused is None:
                if module.acquire(timeout=0.1):
                    module.release()
                continue
            # It comes first now: it is waited for with empty hands.
            wanted.remove(refused)
            wanted.insert(0, refused)
        yield [handler for handler in wanted if handler.lock not in held]
    finally:
        _release(held)


def _take(lock: Any, held: dict[Any, Any], give_up: float) -> bool:
    if lock not in held:
        # A lock that many threads fight for goes to whoever is running: all the time that is left may be too little.
        if not lock.acquire(timeout=0.1 if held else max(0.0, give_up - time.monotonic())):
            return False
        held[lock] = lock
    return True


def _release(held: dict[Any, Any]) -> None:
    while held:
        try:
            held.popitem()[1].release()
        except RuntimeError:
            pass  # repaired meanwhile by somebody's fork hook


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[set[int]]:
    """Keep signals from this thread: a new process must not run the parent's handlers before it has its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield set(before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- zygote and launcher ---


@dataclass(frozen=True)
class _Exec:
    """An exec'ed nursery that pools of this process share."""

    # A number: a socket object that lives until the interpreter ends would be warned of as unclosed.
    master: int
    pid: int
    pidfd: int

    def lives(self) -> bool:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return not poll.poll(0)

    def bury(self) -> None:
        try:
            os.waitid(_kernel.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            pass
        os.close(self.master)
        os.close(self.pidfd)


_execs: dict[tuple[object, ...], _Exec] = {}
# Reentrant: a signal handler, or a finalizer that a collection runs, may make a pool while its thread holds it.
_lock = threading.RLock()
# Control sockets that were handed out, by number, with the inode they had: the numbers are the callers' to close.
_controls: dict[int, int] = {}


def _join(
    method: Method,
    request: dict[str, Any],
    run: Callable[..., None],
    preload: tuple[str, ...],
    main: Main,
    start: Callable[[], bytes] | None,
) -> Launch:
    with ExitStack() as undo:
        carrier = Carrier()
        undo.callback(carrier.close)
        carrier.keep(_tracker.pipe())
        carrier.named = 1
        state = environment(method, request, run, preload, main)
        if start is not None:
            with authority(carrier):
                request = {**request, "start": start()}
        sent = memfd(undo, packed(state, request, carrier))
        ours, pid, pidfd = _attach(undo, state, tied=True)
        pidfd = own(undo, pidfd)
        undo.pop_all()
        return Launch(ours, sent, pid, pidfd, needs_fds=True, extra_fds=tuple(carrier.fds))


def attach(undo: ExitStack, state: dict[str, Any]) -> int:
    """Our end of a control socket to a zygote whose children are processes of their own, each of which may outlive us."""
    ours, _, pidfd = _attach(undo, state, tied=False)
    os.close(pidfd)
    return ours


def _attach(undo: ExitStack, state: dict[str, Any], *, tied: bool) -> tuple[int, int, int]:
    ours, theirs = _pair(undo)
    preparation = state["preparation"]
    place = preparation.get("init_main_from_name") or preparation.get("init_main_from_path")
    method, module = state["birth"]["method"], state["run"].partition(":")[0]
    key = (tied, method, tuple(state["preload"]), state["main"], place, module, state["executable"])
    with _lock:
        nursery = _attached(key, {**state, "tied": tied}, theirs)
        pidfd = os.dup(nursery.pidfd)
    os.close(theirs)
    return ours, nursery.pid, pidfd


def _attached(key: tuple[object, ...], state: dict[str, Any], control: int) -> _Exec:
    for _ in range(2):
        nursery = _execs.get(key)
        if nursery is not None and not nursery.lives():
            _execs.pop(key).bury()
            nursery = None
        if nursery is None:
            nursery = _exec(state)
            if key in _execs:
                # Somebody has made one in the middle of this. It has no pool yet, and its end is seen by nobody but the kernel.
                _kernel.pidfd_send_signal(nursery.pidfd, signal.SIGKILL)
                os.waitid(_kernel.P_PIDFD, nursery.pidfd, os.WEXITED)
                nursery.bury()
                nursery = _execs[key]
            _execs[key] = nursery
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [control]))]
        try:
            master = socket.socket(fileno=nursery.master)
            try:
                master.sendmsg([ATTACH.pack(ord("A"))], rights, socket.MSG_NOSIGNAL)
            finally:
                master.detach()
            return nursery
        except (BrokenPipeError, ConnectionError):
            # It was killed in between; its pidfd will say so at the next look.
            _execs.pop(key).bury()
    raise RuntimeError(f"the process that starts workers ({state['birth']['method']}) dies as soon as it is started")


def _exec(state: dict[str, Any]) -> _Exec:
    birth = state["birth"]
    data = {
        name: state[name] for name in ("preparation", "preload", "main", "bootstrap", "executable", "flags", "tied")
    }
    data.update(
        method=birth["method"],
        signal_mask=state["signal_mask"],
        # The module that the workers run: imported once instead of in each of them.
        warm=[name for name in [state["run"].partition(":")[0]] if name != "__main__"],
    )
    with ExitStack() as undo, authority(None):
        ours, theirs = _pair(undo)
        init = memfd(undo, pickle.dumps(data))
        parent = own(undo, _kernel.pidfd_open(os.getpid()))
        _kernel.pidfd_send_signal(parent, 0)
        tracker = _tracker.pipe()
        program = f"{state['bootstrap']}import main; main({theirs}, {init}, {parent}, {tracker})"
        command = [state["executable"], *state["flags"], "-c", program]
        # The mask survives exec: Ctrl-C cannot end the interpreter before it has chosen to ignore it.
        with _blocked({signal.SIGINT}):
            pid = util.spawnv_passfds(os.fsencode(command[0]), command, (theirs, init, parent, tracker))
        pidfd = own(undo, _watched(pid))
        for fd in (theirs, init, parent):
            os.close(fd)
        undo.pop_all()
        return _Exec(ours, pid, pidfd)


# --- descriptors ---


def _watched(pid: int) -> int:
    """The pidfd of a new child, which ends if there can be none."""
    try:
        return _kernel.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _pair(undo: ExitStack) -> tuple[int, int]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pair = own(undo, ours.detach()), own(undo, theirs.detach())
    # At once, as another thread may fork a template any moment; whoever is quicker still is why `Launch.control` is to
    # be shut down. A lock around the forks would be held while other libraries' fork hooks wait for theirs.
    _remember(pair[0])
    return pair


def _remember(control: int) -> None:
    for fd in list(_controls):
        if _inode(fd) != _controls.get(fd):
            _controls.pop(fd, None)
    _controls[control] = _inode(control)


def _inode(fd: int) -> int:
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return -1


def _hide_controls() -> None:
    """In a template: let go of other nurseries' sockets, or they would not see their end.

    Not by closing: their numbers belong to pools that were inherited, too, and would close whatever is there by then.
    """
    empty = os.open(os.devnull, os.O_RDWR)
    for fd, inode in _controls.items():
        if _inode(fd) == inode:
            os.dup2(empty, fd, inheritable=False)
    os.close(empty)
    _controls.clear()


def _fresh_start() -> None:
    """In a forked child: the nurseries are the parent's children, and its lock may be held by a thread that is not here."""
    global _lock
    _lock = threading.RLock()
    for nursery in _execs.values():
        close(nursery.master)
        close(nursery.pidfd)
    _execs.clear()


os.register_at_fork(after_in_child=_fresh_start)
