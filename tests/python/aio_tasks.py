"""Calls for the workers of these tests, and what is asked about them."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from eventually import WATCHDOG


def begin_and_sleep(path: str, seconds: float = 60.0) -> None:
    """Leaves the number of its process in a file, whole from the first moment on."""
    Path(path + ".new").write_text(str(os.getpid()))
    os.rename(path + ".new", path)
    time.sleep(seconds)


def begin_and_wait(path: str, gate: Any) -> str:
    """The same, and waits for a gate."""
    begin_and_sleep(path, 0)
    gate.wait()
    return "opened"


def fail_at(number: int, at: int) -> int:
    if number == at:
        raise ValueError(f"number {number}")
    return number


def double(number: int) -> int:
    return 2 * number


async def turns(count: int = 3) -> None:
    """Lets others run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def soon(predicate: Any) -> None:
    """Waits without holding up the loop until something is true; whoever was made a task before has had its turn by then."""
    await turns()
    give_up = time.monotonic() + WATCHDOG
    while not predicate():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.002)


async def begun(path: Path) -> int:
    """Waits until a task has begun; its process."""
    await soon(path.exists)
    return int(path.read_text())


def is_alive(pid: int) -> bool:
    """Whether there is such a process that still runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
