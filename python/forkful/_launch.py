"""How the pool's process gets a nursery: what it does before a fork, and what it sends to an exec'ed one.

Knows: `_nursery` and `_child`, which run at the other end. Does not know: pools. The protocol on the control socket is the
caller's from here on.
"""

from __future__ import annotations

import array
import fcntl
import io
import logging
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import context, process, reduction, spawn, util
from multiprocessing.popen_forkserver import _DupFd
from pathlib import Path
from typing import Any, Literal

from . import _tracker
from ._byname import refuse_nameless
from ._child import PARTS, Birth, name_of, replace_streams, state
from ._nursery import ATTACH, template

# How long a fork waits for the locks of logging's handlers. Measured with 50 threads that log: with 0.2 s
# 5 of 100 workers still hung, with 2 s none of 360.
_PATIENCE = 2.0

# SCM_MAX_FD is 253 in one message, and seven have names.
_MOST_EXTRAS = 240

_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}

Method = Literal["fork", "zygote", "spawn"]
Main = Literal["inherited", "imported", "by-value"]


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


def _birth(method: Method, request: dict[str, Any]) -> Birth:
    me = process.current_process()
    identity: tuple[int, ...] = me._identity
    return Birth(method, request.get("name") or name_of(method), os.getpid(), me.name, identity)


# --- fork ---


def _fork(request: dict[str, Any], run: Callable[..., None]) -> Launch:
    with ExitStack() as undo:
        # Nothing is pickled: locks, connections and closures among the arguments are the template's by inheritance.
        marker = _memfd(undo, _packed({}, {"inherited": True}))
        ours, theirs = _pair(undo)
        # Before the fork, so that it names this process even if it is gone a moment later.
        parent = _own(undo, os.pidfd_open(os.getpid()))
        birth = _birth("fork", request)
        with _quiet_logging() as missed, _blocked(signal.valid_signals() - _FAULTS) as mask:
            util._flush_std_streams()  # type: ignore[attr-defined]
            with _no_false_alarm():
                pid = os.fork()
            if pid == 0:
                try:
                    os.close(ours)
                    _hide_controls()
                    replace_streams(missed)
                    template(theirs, parent, birth, run, request, mask)
                finally:
                    os._exit(1)
        pidfd = _own(undo, os.pidfd_open(pid))
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
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            pass
        os.close(self.master)
        os.close(self.pidfd)


_execs: dict[tuple[object, ...], _Exec] = {}
_lock = threading.Lock()
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
        carrier = _Carrier()
        undo.callback(carrier.close)
        carrier.keep(_tracker.pipe())
        carrier.named = 1
        environment = _environment(method, request, run, preload, main)
        if start is not None:
            with _authority(carrier):
                request = {**request, "start": start()}
        packed = _packed(environment, request, carrier)
        memfd = _memfd(undo, packed)
        ours, theirs = _pair(undo)
        preparation = environment["preparation"]
        place = preparation.get("init_main_from_name") or preparation.get("init_main_from_path")
        key = (method, preload, main, place, run.__module__, environment["executable"])
        with _lock:
            nursery = _attached(key, environment, theirs)
            pidfd = _own(undo, os.dup(nursery.pidfd))
        os.close(theirs)
        undo.pop_all()
        return Launch(ours, memfd, nursery.pid, pidfd, needs_fds=True, extra_fds=tuple(carrier.fds))


def _attached(key: tuple[object, ...], environment: dict[str, Any], control: int) -> _Exec:
    for _ in range(2):
        nursery = _execs.get(key)
        if nursery is not None and not nursery.lives():
            _execs.pop(key).bury()
            nursery = None
        if nursery is None:
            nursery = _execs[key] = _exec(environment)
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
    raise RuntimeError(
        f"the process that starts workers ({environment['birth']['method']}) dies as soon as it is started"
    )


def _exec(environment: dict[str, Any]) -> _Exec:
    birth = environment["birth"]
    data = {name: environment[name] for name in ("preparation", "preload", "main", "bootstrap", "executable", "flags")}
    data.update(
        method=birth["method"],
        signal_mask=environment["signal_mask"],
        # The module that the workers run: imported once instead of in each of them.
        warm=[name for name in [environment["run"].partition(":")[0]] if name != "__main__"],
    )
    with ExitStack() as undo, _authority(None):
        ours, theirs = _pair(undo)
        init = _memfd(undo, pickle.dumps(data))
        parent = _own(undo, os.pidfd_open(os.getpid()))
        tracker = _tracker.pipe()
        program = f"{environment['bootstrap']}import main; main({theirs}, {init}, {parent}, {tracker})"
        command = [environment["executable"], *environment["flags"], "-c", program]
        # The mask survives exec: Ctrl-C cannot end the interpreter before it has chosen to ignore it.
        with _blocked({signal.SIGINT}):
            pid = util.spawnv_passfds(os.fsencode(command[0]), command, (theirs, init, parent, tracker))
        pidfd = _own(undo, os.pidfd_open(pid))
        for fd in (theirs, init, parent):
            os.close(fd)
        undo.pop_all()
        return _Exec(ours, pid, pidfd)


def _environment(
    method: Method, request: dict[str, Any], run: Callable[..., object], preload: tuple[str, ...], main: Main
) -> dict[str, Any]:
    """What a fork would inherit and an exec'ed worker must be sent."""
    birth = _birth(method, request)
    preparation: dict[str, Any] = spawn.get_preparation_data(birth.name)
    home = str(Path(__file__).resolve().parent.parent)
    # Strings only: whoever put something else there does not want it in a program's text.
    path = [place for place in preparation["sys_path"] if isinstance(place, str)]
    executable = spawn.get_executable() or sys.executable
    return {
        "birth": {name: getattr(birth, name) for name in Birth.FIELDS},
        "run": f"{run.__module__}:{run.__qualname__}",
        "preload": list(preload),
        "main": main,
        "preparation": preparation,
        "bootstrap": f"import sys; sys.path[:] = {[*path, *([home] if home not in path else [])]!a}; from forkful._nursery ",
        "executable": os.fsdecode(executable),
        "flags": subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]
        **state(),
    }


def recapture(request: int) -> int:
    """A memfd like `request`, with this process's environment as it is now, for workers that start from here on.

    Only for a nursery that needs fds: a template's workers have what it was forked with.
    """
    size = os.fstat(request).st_size
    data = os.pread(request, size, 0)
    first, _ = PARTS.unpack_from(data)
    before: dict[str, Any] = pickle.loads(data[PARTS.size : PARTS.size + first])
    birth = before["birth"]
    now = _environment(birth["method"], {"name": birth["name"]}, recapture, (), before["main"])
    for name in ("birth", "run", "preload", "main"):
        now[name] = before[name]
    # What the main module is was settled at the start.
    for name in ("init_main_from_name", "init_main_from_path"):
        now["preparation"].pop(name, None)
        if name in before["preparation"]:
            now["preparation"][name] = before["preparation"][name]
    with ExitStack() as undo, _authority(None):
        head = pickle.dumps(now)
        body = data[PARTS.size + first :]
        memfd = _memfd(undo, PARTS.pack(len(head), len(body)) + head + body)
        undo.pop_all()
        return memfd


# --- requests ---


class _Carrier:
    """Stands in for the process that multiprocessing's objects want to see when they are pickled."""

    DupFd = _DupFd

    def __init__(self) -> None:
        self.fds: list[int] = []
        self.named = 0
        """How many of them are not an argument's, and so not counted."""

    def keep(self, fd: int) -> None:
        # A copy, as replacements start long after the caller may have closed its own.
        self.fds.append(_above(os.dup(fd)))

    def duplicate_for_child(self, fd: int) -> int:
        if len(self.fds) >= _MOST_EXTRAS:
            raise ValueError(f"the arguments of the initializer hold more than {_MOST_EXTRAS - 1} file descriptors")
        self.keep(fd)
        return len(self.fds) - 1 - self.named

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.pop())


class _Pickler(reduction.ForkingPickler):  # type: ignore[misc, unused-ignore]
    """ForkingPickler, which refuses what would crash the worker."""

    def reducer_override(self, value: object) -> Any:
        refuse_nameless(value)
        return NotImplemented


@contextmanager
def _authority(carrier: _Carrier | None) -> Iterator[None]:
    """Let multiprocessing's objects be pickled; without a carrier only those that need no descriptor."""
    before = context.get_spawning_popen()
    popen: Any = carrier or _Carrier()
    context.set_spawning_popen(popen)
    try:
        yield
    finally:
        context.set_spawning_popen(before)


def _packed(environment: dict[str, Any], request: dict[str, Any], carrier: _Carrier | None = None) -> bytes:
    with _authority(carrier):
        head = pickle.dumps(environment)
        body = io.BytesIO()
        _Pickler(body, pickle.HIGHEST_PROTOCOL).dump(request)
    return PARTS.pack(len(head), body.tell()) + head + body.getbuffer()


# --- descriptors ---


def _own(undo: ExitStack, fd: int) -> int:
    """Close it if the rest fails; and never let it be 0, 1 or 2, which a child puts something else on."""
    fd = _above(fd)
    undo.callback(_close, fd)
    return fd


def _above(fd: int) -> int:
    if fd > 2:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass


def _pair(undo: ExitStack) -> tuple[int, int]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pair = _own(undo, ours.detach()), _own(undo, theirs.detach())
    # At once, as another thread may fork a template any moment; whoever is quicker still is why `Launch.control` is to
    # be shut down. A lock around the forks would be held while other libraries' fork hooks wait for theirs.
    _remember(pair[0])
    return pair


def _memfd(undo: ExitStack, content: bytes) -> int:
    fd = _own(undo, os.memfd_create("forkful-request"))
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return fd


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
    _lock = threading.Lock()
    for nursery in _execs.values():
        _close(nursery.master)
        _close(nursery.pidfd)
    _execs.clear()


os.register_at_fork(after_in_child=_fresh_start)
