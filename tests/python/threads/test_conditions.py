"""Condition variables over any lock."""

from __future__ import annotations

import gc
import queue as std_queue
import threading as std_threading
import time
import weakref

import pytest
from eventually import eventually, never_before

from forkful import threading

LOCKS = {
    "default": lambda: None,
    "rlock": std_threading.RLock,
    "lock": std_threading.Lock,
    "pure-rlock": std_threading._RLock,
    "semaphore": lambda: std_threading.Semaphore(1),
    "ours": lambda: threading.Semaphore(1),
    "condition": threading.Condition,
}


@pytest.fixture(params=LOCKS)
def condition(request):
    return threading.Condition(LOCKS[request.param]())


def in_threads(count, function):
    threads = [std_threading.Thread(target=function, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def waiters(condition, count):
    """Lets so many threads wait, in order; returns where each is noted when it goes on, and the threads."""
    done: list[int] = []
    threads = []
    for number in range(count):

        def wait(number=number):
            with condition:
                condition.wait()
                done.append(number)

        threads += in_threads(1, wait)
        assert eventually(lambda number=number: len(condition._waiters) == number + 1)
    return done, threads


def test_the_first_to_wait_goes_first(condition):
    done, threads = waiters(condition, 4)
    for number in range(4):
        with condition:
            condition.notify()
        assert eventually(lambda number=number: done == list(range(number + 1)))
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_exactly_so_many_are_notified(count):
    condition = threading.Condition()
    done, threads = waiters(condition, 5)
    with condition:
        condition.notify(count)
    going = min(count, 5)
    assert eventually(lambda: len(done) == going)
    time.sleep(0.02)
    assert len(done) == going and len(condition._waiters) == 5 - going
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join()
    assert len(done) == 5


def test_who_has_not_the_lock_is_refused(condition):
    for method, verb in ((condition.wait, "wait"), (condition.notify, "notify"), (condition.notify_all, "notify")):
        with pytest.raises(RuntimeError, match=f"cannot {verb} on un-acquired lock"):
            method()


def test_a_recursive_lock_is_given_back_whole_and_taken_again_whole():
    condition = threading.Condition()
    with condition, condition, condition:
        thread = std_threading.Thread(target=lambda: condition.acquire() and (condition.notify(), condition.release()))
        thread.start()
        assert condition.wait(30)
        thread.join()
        condition.release()
        condition.release()
        assert condition._is_owned()
        condition.release()
        assert not condition._is_owned()
        for _ in range(3):
            condition.acquire()


def test_a_lock_that_offers_the_three_methods_has_them_called():
    calls = []

    class Offering:
        def __init__(self):
            self.lock = std_threading.Lock()
            self.acquire, self.release = self.lock.acquire, self.lock.release

        def __enter__(self):
            calls.append("enter")
            return self.acquire()

        def __exit__(self, *args):
            calls.append(("exit", args))
            self.release()

        def _is_owned(self):
            calls.append("owned")
            return self.lock.locked()

        def _release_save(self):
            calls.append("save")
            self.release()
            return "state"

        def _acquire_restore(self, state):
            calls.append(state)
            self.acquire()

    condition = threading.Condition(Offering())
    with condition:
        assert condition.wait(0.001) is False
    assert calls == ["enter", "owned", "save", "state", ("exit", (None, None, None))]


def test_what_the_lock_raises_is_raised_and_nobody_waits_any_more():
    class Broken:
        def acquire(self, *_):
            return True

        def release(self):
            raise OSError("no")

        def _is_owned(self):
            return True

    condition = threading.Condition(Broken())
    with pytest.raises(OSError, match="no"):
        condition.wait()
    assert len(condition._waiters) == 0


@pytest.mark.parametrize("timeout", [0, -1, -1e300, float("nan"), 0.0])
def test_without_time_nothing_is_waited_for(condition, timeout):
    with condition:
        assert condition.wait(timeout) is False


@pytest.mark.parametrize(
    "timeout, error",
    [
        (1e100, OverflowError),
        (std_threading.TIMEOUT_MAX * 2, OverflowError),
        ("1", TypeError),
        (10**400, OverflowError),
    ],
)
def test_timeouts_that_no_lock_takes_are_refused_in_the_standard_words(timeout, error):
    def refused(module):
        condition = module.Condition()
        with condition:
            with pytest.raises(error) as caught:
                condition.wait(timeout)
            assert condition._is_owned()
        assert len(condition._waiters) == 0
        return str(caught.value)

    assert refused(threading) == refused(std_threading)


def test_a_timeout_may_be_any_number():
    from fractions import Fraction

    class Index:
        def __index__(self):
            return 0

        def __gt__(self, other):
            return True

    condition = threading.Condition()
    with condition:
        assert condition.wait(Index()) is False
        with pytest.raises(TypeError):
            condition.wait(Fraction(1, 100))


def test_a_timeout_is_neither_early_nor_endless():
    condition = threading.Condition()
    with condition, never_before(0.05):
        assert condition.wait(0.05) is False


def test_wait_for_returns_what_the_predicate_said():
    condition = threading.Condition()
    with condition:
        assert condition.wait_for(lambda: "yes") == "yes"
        assert condition.wait_for(lambda: 0, timeout=0.01) == 0
    state = []

    def fill():
        for number in range(3):
            with condition:
                state.append(number)
                condition.notify()

    thread = std_threading.Thread(target=fill)
    with condition:
        thread.start()
        assert condition.wait_for(lambda: len(state) == 3, timeout=30)
    thread.join()


def test_a_subclass_may_override_wait_and_has_attributes():
    class Counting(threading.Condition):
        waits = 0

        def __init__(self, name):
            super().__init__(std_threading.Lock())
            self.name = name

        def wait(self, timeout=None):
            self.waits += 1
            return super().wait(timeout)

    condition = Counting("x")
    with condition:
        condition.wait_for(lambda: condition.waits == 1, timeout=0.02)
    assert condition.waits == 1 and condition.name == "x"
    assert weakref.ref(condition)() is condition
    condition.acquire = lambda: "patched"
    assert condition.acquire() == "patched"


def test_a_subclass_that_forgets_init_is_told():
    class Forgetful(threading.Condition):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match="__init__"):
        Forgetful().wait()


@pytest.mark.parametrize(
    "release",
    [
        lambda c: c.release(),
        lambda c: c.__exit__(None, None, None),
        lambda c: c._lock.release(),
        lambda c: (c.wait(0), c.release()),
        lambda c: (c.wait(0.05), c.release()),
        lambda c: c._release_save(),
    ],
    ids=["release", "exit", "lock", "wait-0", "wait", "save"],
)
def test_whoever_was_notified_goes_on_however_the_lock_is_released(release):
    condition = threading.Condition()

    def wait():
        with condition:
            return condition.wait(60)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(condition._waiters) == 3)
    time.sleep(0.01)
    condition.acquire()
    condition.notify()
    condition.notify_all()
    release(condition)
    assert [thread.result(30) for thread in threads] == [True] * 3


def test_a_release_within_another_one_lets_nobody_go_for_good():
    condition = threading.Condition()
    done, threads = waiters(condition, 1)
    with condition:
        with condition:
            condition.notify()
        time.sleep(0.02)
        assert done == []
    for thread in threads:
        thread.join(30)
    assert done == [0]


def test_the_standard_library_waits_on_ours():
    """A queue of the standard library's whose conditions are ours."""
    queue = std_queue.Queue()
    queue.not_empty = threading.Condition(queue.mutex)
    thread = std_threading.Timer(0.02, queue.put, [1])
    thread.start()
    assert queue.get(timeout=30) == 1
    thread.join()


def test_a_condition_in_a_cycle_is_collected():
    class Lock:
        def acquire(self, *_):
            return True

        def release(self):
            pass

    lock = Lock()
    condition = lock.condition = threading.Condition(lock)
    condition.self = condition
    watch = weakref.ref(lock), weakref.ref(condition)
    del lock, condition
    gc.collect()
    assert [ref() for ref in watch] == [None, None]


def test_thousands_of_waits_leave_nothing_behind():
    condition = threading.Condition()
    turn = [0]
    rounds = 5000

    def other():
        with condition:
            for _ in range(rounds):
                while turn[0] != 1:
                    condition.wait()
                turn[0] = 0
                condition.notify()

    thread = std_threading.Thread(target=other)
    thread.start()
    with condition:
        for _ in range(rounds):
            turn[0] = 1
            condition.notify()
            while turn[0] != 0:
                assert condition.wait(60)
    thread.join()
    assert len(condition._waiters) == 0
