"""Ctrl-C in `async with` a pool of processes: the program ends, and no worker is left."""

from __future__ import annotations

import os
import signal
import time

import pytest
from child import Child
from eventually import WATCHDOG, eventually
from living import members

PROGRAM = """
    import asyncio, os, sys, time
    from forkful import ProcessPoolExecutor
    from forkful.futures import process

    def nap():
        try:
            os.write(1, b"ready\\n")
            time.sleep(1000)
        except KeyboardInterrupt:
            os.write(1, b"interrupted\\n")
            raise

    def stubborn():
        said = False
        while True:
            try:
                said = said or os.write(1, b"ready\\n")
                time.sleep(1000)
            except KeyboardInterrupt:
                pass

    async def awaiting(pool, task):
        async with pool:
            await asyncio.gather(*[pool.submit(task) for _ in range(6)])

    async def leaving(pool, task):
        async with pool:
            for _ in range(6):
                pool.submit(task)

    async def mapping(pool, task):
        async with pool:
            async for _ in pool.map_async(lambda _: task(), range(100)):
                pass

    if __name__ == "__main__":
        if len(sys.argv) > 3:
            process._INTERRUPTED_SECONDS = float(sys.argv[3])
        pool = ProcessPoolExecutor(2, start_method="fork")
        asyncio.run(globals()[sys.argv[1]](pool, globals()[sys.argv[2]]))
"""


@pytest.mark.parametrize(
    ("way", "task", "whom"),
    [
        ("awaiting", "nap", "parent"),
        ("leaving", "nap", "group"),
        ("leaving", "stubborn", "parent"),
        ("mapping", "stubborn", "group"),
    ],
)
def test_it_ends_the_block(way: str, task: str, whom: str) -> None:
    with Child(PROGRAM, way, task) as child:
        child.await_line("ready")
        time.sleep(0.1)
        (os.killpg if whom == "group" else os.kill)(child.process.pid, signal.SIGINT)
        outcome = child.outcome()
        # The pipes are closed, and so nobody is left who had them; nor is anybody of the group.
        assert eventually(lambda: not members(child.process.pid))
    assert outcome.returncode == -signal.SIGINT, str(outcome)
    assert outcome.stderr.rstrip().endswith("KeyboardInterrupt"), str(outcome)
    assert "_worker.py" not in outcome.stderr and "never retrieved" not in outcome.stderr, str(outcome)


def test_tasks_are_interrupted_before_they_are_killed() -> None:
    # They get all the time that a busy machine takes for it.
    with Child(PROGRAM, "leaving", "nap", str(WATCHDOG)) as child:
        child.await_line("ready")
        time.sleep(0.1)
        os.kill(child.process.pid, signal.SIGINT)
        outcome = child.outcome()
    assert "interrupted" in outcome.stdout, str(outcome)


def test_another_one_ends_it_at_once() -> None:
    with Child(PROGRAM, "leaving", "stubborn") as child:
        child.await_line("ready")
        for _ in range(3):
            time.sleep(0.1)
            try:
                os.kill(child.process.pid, signal.SIGINT)
            except ProcessLookupError:
                break
        outcome = child.outcome()
        assert eventually(lambda: not members(child.process.pid))
    assert outcome.returncode == -signal.SIGINT, str(outcome)
