"""A worker as `_processes` shows it: what programs ask of a `multiprocessing.Process`."""

from __future__ import annotations

import os
import signal
import time

from forkful import _engine


class WorkerProcess:
    """A worker. It knows the pool's roster and not its executor, which may be forgotten, and then ends, while this is kept."""

    def __init__(self, roster: _engine.ProcessRoster, pid: int, name: str) -> None:
        self._roster = roster
        self.pid = self.ident = pid
        self.name = name
        self.daemon = False

    def is_alive(self) -> bool:
        """Whether it was not seen to end."""
        return any(pid == self.pid for _, pid in self._roster.pids())

    def _send(self, number: int) -> None:
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

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
