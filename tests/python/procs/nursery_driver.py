"""Speaks the parent's side of the nursery's protocol, for scripts that want workers without an engine."""

from __future__ import annotations

import array
import importlib.machinery
import importlib.util
import os
import socket
import textwrap
from typing import Any

from child import Outcome, run_script

PRELUDE = """
import multiprocessing, os, signal, sys, threading, time
from forkful._launch import launch
from forkful._request import recapture
from procs.nursery_driver import Pool, obey
"""


def _quiet() -> str:
    # Without its engine the package says so when it is imported, here too, and the nursery needs none.
    package = importlib.util.find_spec("forkful")
    places = (package and package.submodule_search_locations) or []
    return "error" if importlib.machinery.PathFinder.find_spec("forkful._engine", list(places)) else "ignore"


def run_nursery(script: str, *args: str, warnings: str = "", seconds: float = 60) -> Outcome:
    """Runs a script after the prelude."""
    return run_script(PRELUDE + textwrap.dedent(script), *args, warnings=warnings or _quiet(), seconds=seconds)


def said(script: str, *args: str) -> str:
    """The output of a script that ends well and quietly."""
    outcome = run_nursery(script, *args)
    assert (outcome.returncode, outcome.stderr) == (0, ""), str(outcome)
    return outcome.stdout


def obey(index: int, generation: int, request: dict[str, Any], link: int, bell: int, dump: int) -> None:
    """A worker that runs the code it was sent."""
    exec(textwrap.dedent(request["code"]), dict(globals(), **locals()))


class Pool:
    """One nursery, and what it has said."""

    def __init__(self, method: str, request: Any = (), run: Any = obey, main: str = "", **options: Any) -> None:
        from forkful import _launch

        if isinstance(request, str):
            request = {"code": request}
        main = main or ("inherited" if method == "fork" else "imported")
        self.launch = _launch.launch(method, dict(request), run=run, main=main, **options)  # type: ignore[arg-type]
        self.pid, self.pidfd, self.request = self.launch.pid, self.launch.pidfd, self.launch.request
        self.socket = socket.socket(fileno=self.launch.control)
        self.notes: list[str] = []
        self.pidfds: dict[int, int] = {}

    def __del__(self) -> None:
        if hasattr(self, "socket"):
            self.close()

    def close(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def start(self, index: int = 0, stdio: tuple[int, ...] = (0, 1, 2), drop: int = 0) -> None:
        from forkful._line import START

        made = [os.memfd_create("dump")]
        fds = [self.request, *made]
        if self.launch.needs_fds:
            made += [os.memfd_create("link"), os.memfd_create("bell")]
            fds += [*made[1:], *stdio, *self.launch.extra_fds]
        rights = array.array("i", fds[: len(fds) - drop])
        self.socket.sendmsg([START.pack(ord("S"), index, 7)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        for fd in made:
            os.close(fd)

    def quit(self) -> None:
        from forkful._line import QUIT

        self.socket.send(QUIT.pack(ord("Q")))

    def hear(self) -> tuple[Any, ...]:
        from forkful._line import EXITED, FAILED, NOTE, STARTED

        try:
            data, rights, _, _ = self.socket.recvmsg(1 << 16, 1024, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            # It has gone with a message of ours unread, which is told once, and before what it had said itself.
            return self.hear()
        if not data:
            return ("end",)
        if data[:1] == b"s":
            _, index, generation, pid = STARTED.unpack(data)
            (self.pidfds[pid],) = array.array("i", rights[0][2])
            return "started", pid, index, generation
        if data[:1] == b"x":
            _, pid, status, peak = EXITED.unpack(data)
            return "exited", pid, os.waitstatus_to_exitcode(status), peak
        if data[:1] == b"f":
            return "failed", data[FAILED.size :].decode(), *FAILED.unpack_from(data)[2:]
        if data[:1] == b"n":
            self.notes.append(data[NOTE.size :].decode())
            return ("note",)
        assert data[:1] == b"r", data
        return ("ready",)

    def until(self, kind: str) -> tuple[Any, ...]:
        while True:
            heard = self.hear()
            if heard[0] == kind:
                return heard
            assert heard[0] in ("note", "ready", "started", "exited"), heard

    def worker(self, index: int = 0, **options: Any) -> int:
        """The pid of a new one."""
        self.start(index, **options)
        return int(self.until("started")[1])

    def ended(self) -> int:
        """The exit code of the next one to end."""
        return int(self.until("exited")[2])

    def once(self, index: int = 0, **options: Any) -> int:
        """The exit code of a new one."""
        self.worker(index, **options)
        return self.ended()
