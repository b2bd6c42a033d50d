"""Semaphores, with and without a bound."""

from __future__ import annotations

import threading as std_threading
import time

import pytest
from eventually import eventually

from forkful import threading

BOTH = pytest.mark.parametrize("semaphore", [threading.Semaphore, threading.BoundedSemaphore])


@BOTH
def test_no_more_than_so_many_are_inside(semaphore):
    permits, inside, most = semaphore(3), [], []

    def work():
        for _ in range(30):
            with permits:
                inside.append(1)
                most.append(len(inside))
                time.sleep(0)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.result(60)
    assert 1 <= max(most) <= 3
    assert permits._value == 3


@BOTH
def test_what_is_given_and_taken_adds_up(semaphore):
    permits = semaphore(0) if semaphore is threading.Semaphore else semaphore(10**6)
    start = permits._value
    if start:
        for _ in range(1000):
            assert permits.acquire()
    taken = []

    def take():
        for _ in range(250):
            assert permits.acquire(timeout=60)
            taken.append(1)

    threads = [threading.Thread(target=take) for _ in range(4)]
    before = permits._value
    for thread in threads:
        thread.start()
    for _ in range(500):
        permits.release(2)
    for thread in threads:
        thread.result(60)
    assert len(taken) == 1000 and permits._value == before


@BOTH
def test_the_standard_refusals(semaphore):
    with pytest.raises(ValueError, match="semaphore initial value must be >= 0"):
        semaphore(-1)
    permits = semaphore()
    with pytest.raises(ValueError, match="can't specify timeout for non-blocking acquire"):
        permits.acquire(False, 1)
    with pytest.raises(ValueError, match="n must be one or more"):
        permits.release(0)
    with pytest.raises(TypeError):
        semaphore("2")
    assert permits.acquire() is True
    assert permits.acquire(blocking=False) is False
    assert permits.acquire(timeout=0.01) is False
    assert permits.acquire(timeout=-1) is False
    with pytest.raises(OverflowError):
        permits.acquire(timeout=1e100)
    assert permits._value == 0


def test_a_bound_is_kept():
    permits = threading.BoundedSemaphore(2)
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        permits.release()
    permits.acquire()
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        permits.release(2)
    permits.release()
    assert permits._value == permits._initial_value == 2


def test_a_bound_is_kept_while_somebody_waits():
    permits = threading.BoundedSemaphore(1)
    permits.acquire()
    thread = threading.Thread(target=permits.acquire)
    thread.start()
    time.sleep(0.02)
    with pytest.raises(ValueError, match="too many"):
        permits.release(2)
    permits.release()
    assert thread.result(60) is True
    permits.release()


@pytest.mark.parametrize("kind", ["semaphore", "mutex"])
def test_a_thread_that_gives_and_takes_in_a_loop_starves_nobody(kind):
    from forkful import queue

    lock = threading.Semaphore(1) if kind == "semaphore" else queue.Queue().mutex
    stop, entered = [], []

    def greedy():
        while not stop:
            lock.acquire()
            lock.release()

    def modest():
        for _ in range(20):
            lock.acquire()
            entered.append(1)
            lock.release()

    # Two greedy ones pass the permit to and fro, so there is hardly a moment at which it is free.
    threads = [threading.Thread(target=greedy) for _ in range(2)]
    waiting = threading.Thread(target=modest)
    for thread in [*threads, waiting]:
        thread.start()
    assert eventually(lambda: len(entered) == 20)
    stop.append(True)
    for thread in [*threads, waiting]:
        thread.result(60)


def test_a_subclass_has_its_own_ways():
    class Loud(threading.Semaphore):
        def __init__(self, value):
            self.said = []
            super().__init__(value=value)

        def release(self, n=1):
            self.said.append(n)
            super().release(n)

    permits = Loud(1)
    with permits:
        assert permits._value == 0
    assert permits.said == [1]


def test_a_waiter_whose_time_is_up_takes_nothing():
    permits = threading.Semaphore(0)
    threads = [threading.Thread(target=permits.acquire, kwargs={"timeout": 0.001 * i}) for i in range(40)]
    for thread in threads:
        thread.start()
    time.sleep(0.02)
    permits.release(40)
    taken = sum(thread.result(60) for thread in threads)
    assert permits._value == 40 - taken


def test_a_semaphore_of_the_standard_library_may_be_mixed_in():
    assert isinstance(threading.Semaphore(), std_threading.Semaphore)
    assert isinstance(threading.BoundedSemaphore(), std_threading.BoundedSemaphore)
