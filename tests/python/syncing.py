"""What the other processes do in the tests of shared locks and events; imported by name in children of every kind."""

from __future__ import annotations

import os
import random
import signal
import time
import warnings
from typing import Any

from eventually import eventually
from sleeping import sleeps_on_a_word

from forkful import _engine
from forkful.multiprocessing import synchronize

WATCHDOG = 30.0


def use(primitive: Any, answers: Any) -> None:
    """Does with it what its kind is for, and tells what came of it."""
    if isinstance(primitive, (synchronize.Event, synchronize.Barrier)):
        answers.put(primitive.wait(WATCHDOG))
    elif isinstance(primitive, synchronize.Condition):
        with primitive:
            answers.put("waits")
            answers.put(primitive.wait(WATCHDOG))
    else:
        answers.put("comes")
        answers.put(primitive.acquire(timeout=WATCHDOG))
        primitive.release()


def once(primitive: Any) -> Any:
    """The same as a task, which returns."""
    got = primitive.acquire(timeout=WATCHDOG)
    primitive.release()
    return got, repr(primitive)


def wait_for(event: Any) -> bool:
    return bool(event.wait(WATCHDOG))


def set_it(event: Any) -> None:
    event.set()


def hold(lock: Any, held: Any, times: int = 1) -> None:
    """Takes it, says so, and never gives it back."""
    for _ in range(times):
        lock.acquire()
    held.set()
    time.sleep(1000)


def give_back(lock: Any) -> None:
    lock.release()


def crash_at(point: str, lock: Any, action: str) -> None:
    """Dies at a named instruction of one call."""
    warnings.simplefilter("ignore")
    if action == "release_late":
        lock.acquire()
        assert eventually(lambda: sleeps_on_a_word(os.getppid()))  # it waits
    elif action == "notify_all":
        lock.acquire()
    _engine.arm_crash(point)
    getattr(lock, action.removesuffix("_late"))()
    os._exit(7)


def hammer(lock: Any, inside: Any, count: Any, seed: int) -> None:
    """Takes and gives back as fast as it can, and checks that nobody else is inside. `inside` is cleared by who recovers."""
    warnings.simplefilter("ignore")
    me, dice = os.getpid(), random.Random(seed)
    died = lock.owner_died
    while True:
        lock.acquire()
        if lock.owner_died != died:
            died = lock.owner_died
        elif inside[0] not in (0, died or 0):
            inside[1] += 1
        inside[0] = me
        for _ in range(dice.randrange(40)):
            pass
        if inside[0] != me:
            inside[1] += 1
        inside[0] = 0
        count[0] += 1
        lock.release()


def hand_over(mine: Any, theirs: Any, count: Any) -> None:
    """Ping-pong by two semaphores, for ever."""
    while True:
        mine.acquire()
        count[0] += 1
        theirs.release()


def consume(condition: Any, items: Any, taken: Any) -> None:
    """Waits for items under a condition, and takes them one by one, for ever."""
    warnings.simplefilter("ignore")
    while True:
        with condition:
            while items[0] == 0:
                condition.wait()
            items[0] -= 1
            taken[0] += 1


def interrupt(pid: int, after: Any) -> None:
    """Sends SIGINT as soon as the other one sleeps, again and again until it is told to stop."""
    while not after.wait(0.02):
        os.kill(pid, signal.SIGINT)


def give_all_back(locks: Any) -> None:
    for lock in locks:
        lock.release()


def notify(condition: Any) -> None:
    with condition:
        condition.notify()


def tell_mark(primitive: Any, answers: Any) -> None:
    answers.put((type(primitive).__name__, primitive.mark))


class SpecialLock(synchronize.Lock):
    pass


class SpecialRLock(synchronize.RLock):
    pass


class SpecialSemaphore(synchronize.Semaphore):
    pass


class SpecialBoundedSemaphore(synchronize.BoundedSemaphore):
    pass


class SpecialCondition(synchronize.Condition):
    pass


class SpecialEvent(synchronize.Event):
    pass


def notify_and_die(condition: Any) -> None:
    """Dies inside of the lock, after it has notified."""
    with condition:
        condition.notify()
        kill_myself()


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Waiting:
    """Waits under a condition."""

    def __init__(self, condition: Any) -> None:
        self.condition = condition

    def __call__(self) -> None:
        with self.condition:
            self.condition.wait()


def mappings() -> tuple[int, int]:
    """How many slabs this process has mapped, and how many descriptors it has."""
    with open("/proc/self/maps") as maps:
        mapped = sum("forkful-sync" in line for line in maps)
    return mapped, len(os.listdir("/proc/self/fd"))
