"""Pools whose workers are killed at random moments: every job ends, and the pool goes on."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from forkful import WorkerDied
from forkful.multiprocessing import pool as pools


def work(x: int) -> int:
    end = time.perf_counter() + (x % 7) * 0.0005
    while time.perf_counter() < end:
        pass
    return x * x


def killer(pool: Any, stop: threading.Event, kills: list[int], enough: Callable[[], bool]) -> None:
    chance = random.Random(7)
    # No more than is wanted: each costs a start, which takes long on a busy machine.
    while not stop.wait(chance.random() * 0.02) and not enough():
        # Three in a row that die before their first task would break the pool, and should; and something is to be done between.
        least = chance.randrange(1, 12)
        workers = [worker.pid for worker in pool._executor.workers() if worker.tasks >= least]
        if workers:
            try:
                os.kill(chance.choice(workers), signal.SIGKILL)
                kills.append(1)
            except ProcessLookupError:
                pass


def taken(results: Any, count: int) -> int:
    """Reads so many results; how many were lost."""
    lost = 0
    for _ in range(count):
        try:
            results.next(60)
        except WorkerDied:
            lost += 1
    with pytest.raises(StopIteration):
        results.next(60)
    return lost


def storm(method: str, kills_wanted: int) -> None:
    kills: list[int] = []
    stop = threading.Event()
    ends = {"done": 0, "lost": 0}

    def enough() -> bool:
        # Those that were idle have lost nothing.
        return len(kills) >= kills_wanted and ends["lost"] > 0

    pool = pools.Pool(2, context=multiprocessing.get_context(method))
    thread = threading.Thread(target=killer, args=(pool, stop, kills, enough))
    thread.start()
    give_up = time.monotonic() + 90
    try:
        while not enough() and time.monotonic() < give_up:
            jobs = [
                pool.map_async(work, range(40)),
                pool.map_async(work, range(40), 1),
                *[pool.apply_async(work, (x,)) for x in range(20)],
            ]
            ordered, unordered = pool.imap(work, iter(range(40))), pool.imap_unordered(work, range(40))
            for job in jobs:
                try:
                    job.get(60)
                    ends["done"] += 1
                except WorkerDied:
                    ends["lost"] += 1
            lost = taken(ordered, 40) + taken(unordered, 40)
            ends["lost"] += lost
            ends["done"] += 80 - lost
    finally:
        stop.set()
        thread.join(60)
    assert pool.map(work, range(40)) == [x * x for x in range(40)]
    pool.close()
    pool.join()
    assert len(kills) >= kills_wanted, kills
    assert ends["lost"] and ends["done"]
    # A death costs what its worker was at, and no more.
    assert ends["lost"] <= len(kills), (ends, len(kills))


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_every_job_ends_however_its_worker_does(method: str) -> None:
    storm(method, {"fork": 40, "forkserver": 15, "spawn": 6}[method])


@pytest.mark.stress
@pytest.mark.timeout(600)
def test_a_thousand_deaths() -> None:
    for _ in range(10):
        storm("fork", 100)
