"""What nested submits leave behind: no surplus threads, no results, nothing unfinished."""

import threading
import weakref

import pytest
import subject
from eventually import eventually

pytestmark = pytest.mark.skipif(subject.REFERENCE, reason="the standard library deadlocks")


@pytest.fixture
def one(make):
    """One worker."""
    return make(1, "one")


def threads_of(prefix):
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def test_surplus_threads_leave_when_they_are_no_longer_needed(one):
    def chain(left):
        return 0 if left == 0 else 1 + one.submit(chain, left - 1).result(timeout=1000)

    assert one.submit(chain, 30).result() == 30
    assert eventually(lambda: len(threads_of("one")) <= 1)
    assert eventually(lambda: len([thread for thread in one._threads if thread.is_alive()]) <= 1)
    assert one.submit(abs, -1).result() == 1


def test_a_tree_on_one_worker_needs_no_crowd(one):
    most = []

    def fib(n):
        most.append(len(threads_of("one")))
        if n < 2:
            return n
        left, right = one.submit(fib, n - 1), one.submit(fib, n - 2)
        return left.result() + right.result()

    assert one.submit(fib, 10).result() == 55
    assert max(most) == 1


def test_surplus_threads_do_not_raise_the_number_of_workers(one, gate):
    def parent():
        child = one.submit(abs, -1)
        return child.result(timeout=1000)

    for _ in range(5):
        one.submit(parent).result()
    assert eventually(lambda: len(threads_of("one")) <= 1)
    submitted = [one.submit(gate.wait) for _ in range(5)]
    assert eventually(submitted[0].running)
    assert sum(future.running() for future in submitted) == 1


class Thing:
    """Something that can be watched disappearing."""


def test_a_loop_of_nested_submits_does_not_collect_results(one):
    def parent():
        watched = []
        for _ in range(1000):
            watched.append(weakref.ref(one.submit(Thing).result()))
        return sum(reference() is not None for reference in watched)

    assert one.submit(parent).result() <= 1


def test_shutdown_waits_for_nested_work(make):
    executor = make(1)
    begun = threading.Event()

    def parent():
        child = executor.submit(abs, -5)
        begun.set()
        return child.result()

    future = executor.submit(parent)
    begun.wait()
    executor.shutdown()
    assert future.result(0) == 5
