"""A worker as the executor's `_processes` shows it: what programs ask of a `multiprocessing.Process`.

Knows: the roster. Does not know: executors.
"""

from __future__ import annotations

import os
import signal
import time
import weakref
from typing import TYPE_CHECKING

from forkful import _kernel

if TYPE_CHECKING:
    from forkful import _engine

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """A worker. It knows the pool's roster and not its executor, which may be forgotten, and then ends, while this is kept."""

    def __init__(self, roster: _engine.ProcessRoster, pid: int, name: str) -> None:
        self._roster = roster
        self.pid = self.ident = pid
        self.name = name
        self.daemon = False
        self._sentinel: int | None = None
        self._close: weakref.finalize[[int], WorkerProcess] | None = None

    def is_alive(self) -> bool:
        """Whether it was not seen to end."""
        return self._roster.exit_of(self.pid) == "alive"

    @property
    def exitcode(self) -> int | None:
        """What it exited with, or the signal that killed it as a negative number; None while it lives, or if nobody knows."""
        code = self._roster.exit_of(self.pid)
        return code if isinstance(code, int) else None

    @property
    def sentinel(self) -> int:
        """A descriptor that is ready to be read once it has ended, for `multiprocessing.connection.wait`; this object's."""
        if self._sentinel is None:
            fd = _kernel.pidfd_open(self.pid) if self.is_alive() else -1
            if fd < 0 or not self.is_alive():
                # The number may be another process's by now: an end of file says the same.
                if fd >= 0:
                    os.close(fd)
                fd, other = os.pipe()
                os.close(other)
            self._sentinel = fd
            self._close = weakref.finalize(self, os.close, fd)
        return self._sentinel

    def close(self) -> None:
        """Gives the sentinel back; ValueError while the process lives, as `multiprocessing` has it."""
        if self.is_alive():
            raise ValueError(
                "Cannot close a process while it is still running. You should first call join() or terminate()."
            )
        if self._close is not None:
            self._close()
        self._sentinel = self._close = None

    def _send(self, number: int) -> None:
        if not self.is_alive():
            return
        try:
            pidfd = _kernel.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # Looked at once more, as the number may have been another process's when it was opened.
            if self.is_alive():
                _kernel.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self._send(signal.SIGKILL)

    def join(self, timeout: float | None = None) -> None:
        """Waits until it has ended, at most `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.is_alive() and (end is None or time.monotonic() < end):
            time.sleep(0.002)

    def __repr__(self) -> str:
        return f"<WorkerProcess name={self.name!r} pid={self.pid} {'running' if self.is_alive() else 'stopped'}>"
