"""Barriers."""

from __future__ import annotations

import gc
import threading as std_threading
import time
import weakref

import pytest
from eventually import eventually

from forkful import threading


def party(barrier, count, *args):
    """So many threads that wait; their ends."""
    threads = [threading.Thread(target=barrier.wait, args=args) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


@pytest.fixture(autouse=True)
def quiet():
    """Threads that end with an exception say so on stderr, which is no matter here."""
    before, std_threading.excepthook = std_threading.excepthook, lambda args: None
    yield
    std_threading.excepthook = before


def test_everybody_goes_at_once_with_a_number_of_his_own():
    barrier = threading.Barrier(5)
    for _ in range(50):
        threads = party(barrier, 4)
        mine = barrier.wait(60)
        assert sorted([mine, *(thread.result(60) for thread in threads)]) == [0, 1, 2, 3, 4]
    assert barrier.n_waiting == 0


def test_rounds_do_not_mix():
    barrier, rounds, count = threading.Barrier(3), 500, [0] * 3

    def run(number):
        for turn in range(rounds):
            count[number] = turn
            barrier.wait(60)
            assert set(count) == {turn}
            barrier.wait(60)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.result(60)


def test_the_action_is_over_before_anybody_goes():
    seen = []

    def act():
        time.sleep(0.02)
        seen.append(1)

    barrier = threading.Barrier(3, act)

    def run():
        barrier.wait(60)
        return len(seen)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert [thread.result(60) for thread in threads] == [1, 1, 1]


def test_who_comes_during_the_action_belongs_to_the_next_round():
    acting, go = threading.Event(), threading.Event()

    def act():
        acting.set()
        go.wait(60)

    barrier = threading.Barrier(2, act)
    first = party(barrier, 2)
    assert acting.wait(60)
    late = party(barrier, 2)
    time.sleep(0.02)
    assert not any(thread._outcome for thread in [*first, *late])
    go.set()
    assert sorted(thread.result(60) for thread in first) == [0, 1]
    assert sorted(thread.result(60) for thread in late) == [0, 1]


def test_an_action_that_raises_breaks_the_barrier():
    barrier = threading.Barrier(2, lambda: 1 / 0)
    (thread,) = party(barrier, 1)
    assert eventually(lambda: barrier.n_waiting == 1)
    with pytest.raises(ZeroDivisionError):
        barrier.wait(60)
    assert isinstance(thread.exception(60), std_threading.BrokenBarrierError)
    assert barrier.broken
    barrier.reset()
    assert not barrier.broken


def test_one_whose_time_is_up_breaks_it_for_all():
    barrier = threading.Barrier(3)
    (thread,) = party(barrier, 1)
    assert eventually(lambda: barrier.n_waiting == 1)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert isinstance(thread.exception(60), threading.BrokenBarrierError)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()


def test_the_usual_timeout():
    barrier = threading.Barrier(2, timeout=0.01)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    (thread,) = party(barrier, 1, 60)
    assert barrier.wait(60) + thread.result(60) == 1


def test_reset_sends_waiters_away_and_starts_anew():
    barrier = threading.Barrier(3)
    threads = party(barrier, 2)
    assert eventually(lambda: barrier.n_waiting == 2)
    barrier.reset()
    assert all(isinstance(thread.exception(60), threading.BrokenBarrierError) for thread in threads)
    assert not barrier.broken and barrier.n_waiting == 0
    threads = party(barrier, 2)
    assert {barrier.wait(60), *(thread.result(60) for thread in threads)} == {0, 1, 2}


def test_abort():
    barrier = threading.Barrier(2)
    (thread,) = party(barrier, 1)
    assert eventually(lambda: barrier.n_waiting == 1)
    barrier.abort()
    assert isinstance(thread.exception(60), threading.BrokenBarrierError)
    assert barrier.broken and barrier.n_waiting == 0


def test_the_standard_refusals():
    for parties in (0, -1):
        with pytest.raises(ValueError, match="parties must be > 0"):
            threading.Barrier(parties)
    assert threading.Barrier(7).parties == 7
    with pytest.raises(AttributeError):
        threading.Barrier(7).parties = 8
    barrier = threading.Barrier(2)
    with pytest.raises(OverflowError):
        barrier.wait(1e100)
    assert barrier.n_waiting == 0


def test_a_barrier_whose_action_knows_it_is_collected():
    class Acting:
        def act(self):
            pass

    acting = Acting()
    acting.barrier = threading.Barrier(2, acting.act)
    watch = weakref.ref(acting)
    del acting
    gc.collect()
    assert watch() is None
