"""Shared locks, semaphores and conditions among processes that are killed at random: nobody hangs, and nobody is doubled."""

from __future__ import annotations

import mmap
import multiprocessing
import struct
import time
import warnings

import pytest
import subject
import syncing
from eventually import eventually

from forkful.multiprocessing import synchronize as own

pytestmark = [
    pytest.mark.skipif(subject.REFERENCE, reason="tests forkful's own"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

fork = multiprocessing.get_context("fork")


class Counters:
    """Numbers that processes share by inheritance."""

    def __init__(self, count):
        self.memory = mmap.mmap(-1, 8 * count)

    def __getitem__(self, at):
        return struct.unpack_from("q", self.memory, 8 * at)[0]

    def __setitem__(self, at, value):
        struct.pack_into("q", self.memory, 8 * at, value)


def advances(count):
    before = count[0]
    return eventually(lambda: count[0] > before)


def kill_hammers(lock, kills):
    inside, count = Counters(2), Counters(1)

    def start(seed):
        process = fork.Process(target=syncing.hammer, args=(lock, inside, count, seed))
        process.start()
        return process

    processes = [start(seed) for seed in range(3)]
    try:
        for number in range(kills):
            assert advances(count), f"nobody goes on after {number} kills"
            time.sleep(0.0005 * (number % 5))
            processes[number % 3].kill()
            processes[number % 3].join()
            processes[number % 3] = start(number)
        assert advances(count)
    finally:
        for process in processes:
            process.kill()
            process.join()
    assert inside[1] == 0, "two were inside at once"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert lock.acquire(timeout=syncing.WATCHDOG)


def kill_hand_overs(kills):
    """Two processes hand a permit to and fro; after a kill, what died with the victim is made up for."""
    one, two, count = own.Semaphore(1), own.Semaphore(0), Counters(1)

    def start(number):
        pair = (one, two) if number == 0 else (two, one)
        process = fork.Process(target=syncing.hand_over, args=(*pair, count))
        process.start()
        return process

    processes = [start(0), start(1)]
    lost = 0
    try:
        for number in range(kills):
            assert advances(count), f"nobody goes on after {number} kills"
            processes[number % 2].kill()
            processes[number % 2].join()
            processes[number % 2] = start(number % 2)
            # The victim may have taken the permit and not given it; then both wait, and nothing moves.
            before = count[0]
            deadline = time.monotonic() + 0.2
            while count[0] == before and time.monotonic() < deadline:
                time.sleep(0.001)
            if count[0] == before and one.get_value() + two.get_value() == 0:
                lost += 1
                one.release()
        assert advances(count)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return lost


class Announcements:
    """Whether no item is left. After a death inside of the lock, which `owner_died` tells of, the items are announced anew."""

    def __init__(self, condition, items):
        self.condition, self.items, self.heard = condition, items, None

    def settled(self):
        if self.items[0] == 0:
            return True
        with self.condition:
            died = self.condition.owner_died
            if died != self.heard:
                self.heard = died
                self.condition.notify_all()
        return False


def kill_consumers(kills):
    """Consumers wait under a condition; each item that is announced is taken by one of those who live."""
    condition, items, taken = own.Condition(), Counters(1), Counters(1)

    def start():
        process = fork.Process(target=syncing.consume, args=(condition, items, taken))
        process.start()
        return process

    announcements = Announcements(condition, items)
    processes = [start() for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for number in range(kills):
                with condition:
                    items[0] += 1
                    condition.notify()
                if number % 3 == 0:
                    time.sleep(0.001)
                processes[number % 3].kill()
                processes[number % 3].join()
                processes[number % 3] = start()
                assert eventually(announcements.settled), f"an item lies there after {number} kills"
        finally:
            for process in processes:
                process.kill()
                process.join()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_kills_at_random_leave_one_holder_at_a_time_and_nobody_behind(kind):
    kill_hammers(getattr(own, kind)(), 60)


def test_kills_at_random_lose_no_wake_of_a_semaphore():
    kill_hand_overs(40)


def test_kills_at_random_lose_no_notification():
    kill_consumers(60)


@pytest.mark.stress
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_thousands_of_kills_of_holders(kind):
    kill_hammers(getattr(own, kind)(), 3000)


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_thousands_of_kills_of_hand_overs():
    kill_hand_overs(1000)


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_thousands_of_kills_of_consumers():
    kill_consumers(3000)
