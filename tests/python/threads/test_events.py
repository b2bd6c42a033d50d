"""Events."""

from __future__ import annotations

import threading as std_threading
import weakref
from unittest import mock

import pytest
from eventually import eventually
from sleeping import sleeps

from forkful import threading


def test_who_was_let_go_stays_let_go():
    event, results = threading.Event(), []
    threads = [std_threading.Thread(target=lambda: results.append(event.wait(60))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: all(sleeps(thread.native_id) for thread in threads))
    event.set()
    event.clear()
    for thread in threads:
        thread.join()
    assert results == [True] * 5
    assert not event.is_set() and event.wait(0) is False


def test_each_set_lets_each_waiter_go():
    first, second, rounds = threading.Event(), threading.Event(), 3000

    def other():
        for _ in range(rounds):
            assert first.wait(60)
            first.clear()
            second.set()

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(rounds):
        first.set()
        assert second.wait(60)
        second.clear()
    assert thread.result(60) is None


def test_set_and_clear_in_a_storm_lose_nobody():
    event, stop = threading.Event(), []

    def storm():
        while not stop:
            event.set()
            event.clear()

    stormers = [std_threading.Thread(target=storm) for _ in range(2)]
    for thread in stormers:
        thread.start()
    for _ in range(50):
        assert event.wait(60)
    stop.append(True)
    for thread in stormers:
        thread.join()


@pytest.mark.parametrize("timeout", [0, -5, float("nan"), 0.01])
def test_a_timeout_ends_in_false(timeout):
    assert threading.Event().wait(timeout) is False


def test_a_timeout_that_no_lock_takes_is_refused_unless_the_event_is_set():
    event = threading.Event()
    with pytest.raises(OverflowError):
        event.wait(1e100)
    event.set()
    assert event.wait(1e100) is True


def test_programs_subclass_mock_and_decorate_events():
    class Named(threading.Event):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def set(self):
            self.sets = getattr(self, "sets", 0) + 1
            super().set()

    event = Named("x")
    event.set()
    assert (event.name, event.sets, event.is_set()) == ("x", 1, True)
    with mock.patch.object(event, "wait", return_value="mocked"):
        assert event.wait() == "mocked"
    assert weakref.ref(event)() is event
    spec = mock.create_autospec(threading.Event, instance=True)
    spec.is_set.return_value = False
    assert spec.is_set() is False


def test_events_cannot_be_pickled_or_copied():
    import copy
    import pickle

    for thing in (threading.Event(), threading.Semaphore(), threading.Condition(), threading.Barrier(2)):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(thing)
        with pytest.raises(TypeError, match="pickle"):
            copy.copy(thing)
