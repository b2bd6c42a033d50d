"""Runs a module's `main` in a new interpreter, under a watchdog, and hears what it says.

Knows: what a child has to see to find what its parent finds. Does not know: what is run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# The path is the parent's, wherever that came from: a child of `-m` or `-c` would look into the current directory first.
# And it ends with its parent, also with one that is killed, or interrupted while it starts us.
_BOOT = """\
import os, sys
sys.path[:] = sys.argv.pop(1).split("\\n")
parent, module = int(sys.argv.pop(1)), sys.argv.pop(1)
from importlib import import_module
try:
    from forkful._engine import die_with
except ImportError:
    pass
else:
    die_with(parent) or os._exit(1)
import_module(module).main()
"""


@dataclass(frozen=True)
class Answer:
    """How it ended, and what it said."""

    status: int | None
    """As `subprocess` counts; None where the watchdog has ended it."""
    said: str
    """Its standard output."""
    complaint: str
    """The last line of its standard error."""

    @property
    def last_line(self) -> str:
        """The last line that it said: before it stands what others may have printed."""
        return self.said.rstrip().rpartition("\n")[2]


def run(module: str, arguments: Sequence[str], *, seconds: float, more: Mapping[str, str] | None = None) -> Answer:
    """Call ``module.main()`` in a process of its own.

    module: its full name; it finds `arguments` in ``sys.argv[1:]``.
    seconds: after them it is killed, with all that it has started.
    more: variables for its environment, beside this process's own.
    """
    command = [sys.executable, "-c", _BOOT, "\n".join(sys.path), str(os.getpid()), module, *arguments]
    with _leash() as leash:
        # No temporary file for what it complains of: there may be no room for one, which is what a doctor has to tell.
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **(more or {})},
            # A group of its own: Ctrl-C is for us, and what it starts ends with it.
            start_new_session=True,
            pass_fds=(leash,),
        )
        said, complaints, hung = "", "", False
        try:
            with contextlib.suppress(OSError):
                fcntl.fcntl(leash, fcntl.F_SETOWN, -running.pid)
                fcntl.fcntl(leash, fcntl.F_SETSIG, signal.SIGKILL)
                fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | fcntl.FASYNC)
            said, complaints = running.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            hung = True
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.communicate()
    lines = complaints.strip().splitlines()
    return Answer(None if hung else running.returncode, said, lines[-1] if lines else "")


@contextlib.contextmanager
def _leash() -> Iterator[int]:
    """A pipe that nobody writes to, whose end the kernel is to tell to those who hold it: by killing them.

    The child ends with us by itself; its own children, another package's workers say, would outlive us if a signal ended us.
    """
    reader, writer = os.pipe()
    try:
        yield reader
        # All went well: what is left may end in its own time, as trackers do, which clean up.
        with contextlib.suppress(OSError):
            fcntl.fcntl(reader, fcntl.F_SETFL, fcntl.fcntl(reader, fcntl.F_GETFL) & ~fcntl.FASYNC)
    finally:
        os.close(reader)
        os.close(writer)
