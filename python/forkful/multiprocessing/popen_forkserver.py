"""Starts a process by the forkserver method: a clean zygote, which has imported the main module once, forks it on request.

Knows: the zygote's protocol, and what multiprocessing asks of a `Popen`. Does not know: contexts and locks.
"""

from __future__ import annotations

import array
import io
import math
import os
import pickle
import select
import socket
import time
from contextlib import ExitStack, contextmanager
from multiprocessing import context as _context
from multiprocessing import forkserver as _forkserver
from multiprocessing import popen_forkserver as _theirs
from multiprocessing import process, reduction, util

from forkful import _kernel, _tracker
from forkful._child import PARTS
from forkful._launch import attach
from forkful._line import EXITED, FAILED, KILL, START, STARTED
from forkful._request import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["Popen"]

# SCM_MAX_FD is 253 in one message, and eight have names.
_MOST_FDS = 240
# What the standard library says when it can't know any more.
_UNKNOWN = 255
_LIMIT = 65_536


class Popen(_theirs.Popen):
    """A child of the zygote's. Its sentinel is the socket on which the zygote reports its end."""

    method = "forkserver"
    _fds: list[int]
    _pidfd = -1
    _orphaned = False

    def __init__(self, process_obj: Any, warm: Any = process.BaseProcess) -> None:
        # Its module is imported by the zygote, for all children.
        self._warm = warm
        super().__init__(process_obj)

    def duplicate_for_child(self, fd: int) -> int:
        """The place of the descriptor among those that are sent along."""
        if len(self._fds) >= _MOST_FDS:
            raise ValueError("too many fds")
        return super().duplicate_for_child(fd)

    def _launch(self, process_obj: Any) -> None:
        preload = _preload()
        with ExitStack() as undo:
            tracker = _tracker.pipe()
            state = environment("zygote", {"name": process_obj._name}, self._warm, preload, "imported")
            request = _kernel.memfd(undo, self._packed({**state, "bears": "process"}, process_obj))
            # Without "__main__" among the preloaded modules each child imports it for itself.
            main = "imported" if "__main__" in _names() else "by-value"
            control = attach(undo, {**state, "main": main})
            with _streams() as streams:
                # Where a pool's worker has its own descriptors, the request's stands in.
                _ask(control, [request] * 4 + streams + [tracker, *self._fds])
            self.pid, self._pidfd = _answer(control)
            undo.pop_all()
        os.close(request)
        self.sentinel = control
        self.finalizer = util.Finalize(self, _close, (control, self._pidfd))
        # Beside the child, which may want it.
        _tracker.start()

    def _packed(self, state: dict[str, Any], process_obj: Any) -> bytes:
        body = io.BytesIO()
        _context.set_spawning_popen(self)
        try:
            head = pickle.dumps(state)
            reduction.dump(process_obj, body)
        finally:
            _context.set_spawning_popen(None)
        return PARTS.pack(len(head), body.tell()) + head + body.getbuffer()

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The exit code, or None while it runs; waits for the end if `flag` is 0."""
        return self._look(0.0 if flag & os.WNOHANG else None)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, or None if it still runs after `timeout` seconds."""
        return self._look(timeout)

    def _look(self, timeout: float | None) -> int | None:
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            rest = None if end is None else max(0.0, end - time.monotonic())
            poll = select.poll()
            poll.register(self._pidfd if self._orphaned else self.sentinel, select.POLLIN)
            # Upwards, as a wait that ends early would be followed by one of no length.
            if not poll.poll(None if rest is None else math.ceil(rest * 1000)):
                break
            status = _UNKNOWN if self._orphaned else _report(self.sentinel)
            if status == _UNKNOWN and self._pidfd >= 0 and not self._orphaned:
                # The zygote was killed, but perhaps not its child, whose exit code nobody will tell.
                self._orphaned = True
            elif status is not None and self.returncode is None:
                self.returncode = status
        return self.returncode

    def _send_signal(self, sig: int) -> None:
        if self.returncode is not None:
            return
        try:
            if self._pidfd >= 0:
                # It can't hit another process, that has the number by now.
                _kernel.pidfd_send_signal(self._pidfd, sig)
            else:
                os.kill(self.pid, sig)
        except ProcessLookupError:
            pass
        except OSError:
            if self.wait(timeout=0.1) is None:
                raise


def _names() -> list[str]:
    names: list[str] = _forkserver._forkserver._preload_modules  # type: ignore[attr-defined]
    return names


def _preload() -> tuple[str, ...]:
    return tuple(name for name in _names() if name != "__main__")


# --- the zygote's socket ---


@contextmanager
def _socket(fd: int) -> Iterator[socket.socket]:
    """A socket object for a moment: one that lives on would be warned of as unclosed."""
    made = socket.socket(fileno=fd)
    try:
        yield made
    finally:
        made.detach()


@contextmanager
def _streams() -> Iterator[list[int]]:
    """Descriptors 0, 1 and 2, with nothing where this process has none."""
    with ExitStack() as undo:
        streams = []
        for fd in range(3):
            try:
                os.fstat(fd)
            except OSError:
                fd = _kernel.own(undo, os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
            streams.append(fd)
        yield streams


def _ask(control: int, fds: list[int]) -> None:
    with _socket(control) as line:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        line.sendmsg([START.pack(ord("S"), 0, 0)], rights, socket.MSG_NOSIGNAL)


def _answer(control: int) -> tuple[int, int]:
    """The child's number and descriptor; raises what kept it from starting."""
    with _socket(control) as line:
        try:
            while True:
                data, rights, _, _ = line.recvmsg(_LIMIT, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
                fds = array.array("i")
                for _level, _kind, packed in rights:
                    fds.frombytes(packed[: len(packed) - len(packed) % fds.itemsize])
                if not data:
                    raise RuntimeError("the process that starts others has ended")
                if data[0] == ord("s"):
                    pid: int = STARTED.unpack(data)[-1]
                    return pid, _kernel.above(fds[0]) if fds else -1
                if data[0] == ord("f"):
                    code = FAILED.unpack_from(data)[1]
                    said = data[FAILED.size :].decode(errors="replace")
                    raise OSError(code, said) if code else RuntimeError(said)
        except BaseException:
            # Nobody would wait for it.
            try:
                line.send(KILL.pack(ord("K"), 0, 0), socket.MSG_NOSIGNAL)
            except OSError:
                pass
            raise


def _report(control: int) -> int | None:
    """The exit code, as the zygote reports it in its last message; None if it has not."""
    with _socket(control) as line:
        try:
            # It is left there: others may be waiting for it, and what was a sentinel stays one.
            data = line.recv(_LIMIT, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
    if not data:
        return _UNKNOWN
    return os.waitstatus_to_exitcode(EXITED.unpack(data)[2]) if data[0] == ord("x") else None


def _close(control: int, pidfd: int) -> None:
    with _socket(control) as line:
        try:
            # A fork of this process may have a copy, for which a close alone would not be one.
            line.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    os.close(control)
    if pidfd >= 0:
        os.close(pidfd)
