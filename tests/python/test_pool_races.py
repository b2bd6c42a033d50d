"""Moments between two steps that once lost a task, a thread or a count."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import time
import weakref

import pytest
import subject
from eventually import eventually
from subject import ThreadPoolExecutor, futures

pytestmark = pytest.mark.skipif(subject.REFERENCE, reason="forkful's own options and numbers")


def test_shutdown_waits_for_a_task_that_was_accepted_while_its_thread_was_started():
    for spin in range(200):
        pool, ran, go, accepted = ThreadPoolExecutor(1), [], threading.Event(), []

        def job(ran=ran):
            time.sleep(0.001)
            ran.append(1)

        def other(pool=pool, go=go, accepted=accepted, job=job):
            go.set()
            try:
                accepted.append(pool.submit(job))
            except RuntimeError:
                pass

        thread = threading.Thread(target=other)
        thread.start()
        go.wait()
        for _ in range(spin * 10):
            pass
        pool.shutdown(wait=True)
        finished = bool(ran)
        thread.join()
        assert finished or not accepted or accepted[0].done()
        # Accepted after the shutdown had begun to wait is not possible: then it was refused.
        assert finished == bool(accepted)


def test_a_pool_cannot_wait_for_its_own_thread():
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="current thread"):
        pool.submit(pool.shutdown).result()


def test_threads_that_stood_in_for_waiting_ones_are_out_of_the_books():
    with ThreadPoolExecutor(1) as pool:

        def nest(depth):
            if depth == 0:
                return 1
            children = [pool.submit(nest, depth - 1) for _ in range(2)]
            futures.wait(children)
            return sum(child.result(60) for child in children)

        for _ in range(20):
            assert pool.submit(nest, 3).result() == 8
        assert eventually(lambda: len(pool._threads) == 1)


def test_a_cancelled_neighbour_does_not_hide_a_task_from_a_resting_worker():
    with ThreadPoolExecutor(1) as pool:
        for delay in range(2000):
            pool.submit(int).result()
            for _ in range(delay % 400):
                pass
            cancelled, kept = pool.submit(int), pool.submit(int)
            cancelled.cancel()
            assert kept.result(60) == 0


def test_a_callback_that_ends_the_program_does_not_lose_the_other_cancellations():
    gate = threading.Event()
    pool = ThreadPoolExecutor(1)
    pool.submit(gate.wait)
    waiting = [pool.submit(abs, -1) for _ in range(5)]

    def interrupt(_):
        raise KeyboardInterrupt

    waiting[1].add_done_callback(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            pool.shutdown(wait=False, cancel_futures=True)
        assert all(future.cancelled() for future in waiting)
    finally:
        gate.set()
        pool.shutdown()


def test_nothing_is_running_after_a_failing_initializer_or_a_result_set_by_hand():
    def fail():
        raise ValueError

    pool = ThreadPoolExecutor(1, initializer=fail)
    broken = pool.submit(int)
    assert broken.exception() is not None
    pool.shutdown()
    stats = pool.stats()
    assert (stats.submitted, stats.failed, stats.running, stats.pending) == (1, 1, 0, 0)

    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate.wait)
        by_hand, begun = pool.submit(int), pool.submit(int)
        by_hand.set_result(1)
        begun.set_running_or_notify_cancel()
        begun.set_result(2)
        gate.set()
    stats = pool.stats()
    assert (stats.submitted, stats.done, stats.running, stats.pending) == (3, 3, 0, 0)


def test_an_object_whose_method_is_the_initializer_is_collected():
    class Server:
        def __init__(self):
            self.pool = ThreadPoolExecutor(1, initializer=self.prepare)

        def prepare(self):
            pass

    server = Server()
    server.pool.submit(int).result()
    server.pool.shutdown()
    gone = weakref.ref(server)
    del server
    gc.collect()
    assert gone() is None


def test_as_completed_keeps_no_yielded_future_of_another_make():
    class Thing:
        pass

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        made = [pool.submit(Thing) for _ in range(4)]
        things = [weakref.ref(future.result()) for future in made]
        source, left = iter(made), len(made)
        del made
        for future in futures.as_completed(source):
            del future
            left -= 1
            # The pool's own thread may still hold the last one for a moment.
            assert eventually(lambda left=left: sum(thing() is not None for thing in things) <= left)
        del source


def test_the_number_of_workers_may_be_a_fraction():
    with ThreadPoolExecutor(1.5) as pool:
        assert pool.submit(abs, -1).result() == 1


def test_options_reach_a_submit_that_was_replaced_on_the_executor():
    seen = []
    with ThreadPoolExecutor(1) as pool:
        original = pool.submit

        def submit(function, *args):
            seen.append(function)
            return original(function, *args)

        pool.submit = submit
        assert pool.with_options(name="named").submit(abs, -1).result() == 1
    assert len(seen) == 1
    assert pool.stats().tasks["named"].calls == 1


def test_a_waiter_that_raises_loses_neither_the_result_nor_the_callbacks():
    class Waiter:
        def add_result(self, future):
            raise ValueError("a broken waiter")

    future, called = futures.Future(), []
    future._waiters.append(Waiter())
    future.add_done_callback(called.append)
    future.set_result(7)
    assert future.result(60) == 7
    assert called == [future]
