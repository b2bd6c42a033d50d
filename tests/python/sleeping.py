"""Whether a thread, or a process, sleeps in what it waits for."""

from __future__ import annotations

import time
from pathlib import Path


def sleeps(thread: int, process: int | str = "self") -> bool:
    """Of a thread by its native number, of any process: whether it sleeps, and has been left alone for 20 ms.

    Who merely waits for the interpreter's lock doesn't: he wakes every 5 ms to ask for it.
    """
    before = _rest(thread, process)
    time.sleep(0.02)
    return before is not None and before == _rest(thread, process)


def sleeps_on_a_word(pid: int) -> bool:
    """Whether a process's first thread sleeps in a futex, as in a lock; not for a time, and not for a descriptor.

    The one to ask of who wakes now and then to look whether a holder is dead.
    """
    return "futex" in Path(f"/proc/{pid}/wchan").read_text()


def _rest(thread: int, process: int | str) -> tuple[str, ...] | None:
    """How often it has gone to sleep and was sent to sleep; None if it is awake, or gone."""
    try:
        lines = Path(f"/proc/{process}/task/{thread}/status").read_text().splitlines()
    except OSError:
        return None
    said = dict(line.split(":", 1) for line in lines)
    if said["State"].split()[0] != "S":
        return None
    return said["voluntary_ctxt_switches"], said["nonvoluntary_ctxt_switches"]
