"""max_pending=: submit holds back while so many tasks wait."""

import os
import signal
import threading

import pytest
from eventually import eventually
from subject import REFERENCE, ThreadPoolExecutor

pytestmark = pytest.mark.skipif(REFERENCE, reason="beyond the standard library")


@pytest.fixture
def full(make, gate):
    """One worker, busy, and the two tasks that may wait."""
    executor = make(1, max_pending=2)
    assert eventually(executor.submit(gate.wait).running)
    executor.submit(int)
    executor.submit(int)
    return executor


def in_thread(function, *args):
    """Runs `function` in a thread; its outcome, result or exception, appears in the list."""
    outcome = []

    def run():
        try:
            outcome.append(function(*args))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_submit_blocks_while_the_queue_is_full(full, gate):
    thread, outcome = in_thread(full.submit, abs, -1)
    thread.join(0.03)
    assert thread.is_alive()
    assert full._work_queue.qsize() == 2
    gate.set()
    thread.join()
    assert outcome[0].result() == 1


def test_submit_does_not_block_below_the_limit(make, gate):
    executor = make(1, max_pending=3)
    assert eventually(executor.submit(gate.wait).running)
    submitted = [executor.submit(abs, -number) for number in range(3)]
    gate.set()
    assert [future.result() for future in submitted] == [0, 1, 2]


def test_everything_runs_in_the_end_and_in_order(make):
    executor, order = make(1, max_pending=1), []
    for number in range(500):
        executor.submit(order.append, number)
    executor.shutdown()
    assert order == list(range(500))


def test_the_limit_holds_with_many_submitters(make):
    executor, most = make(2, max_pending=5), []

    def submit_many():
        for number in range(200):
            executor.submit(abs, number)
            most.append(executor._work_queue.qsize())

    threads = [threading.Thread(target=submit_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    executor.shutdown()
    assert max(most) <= 5
    assert executor.stats().done == 800


def test_a_signal_interrupts_a_submit_that_is_held_back(full, gate):
    class Rang(Exception):
        pass

    def handler(number, frame):
        raise Rang

    before = signal.signal(signal.SIGUSR1, handler)
    timer = threading.Timer(0.03, os.kill, [os.getpid(), signal.SIGUSR1])
    seen = []
    try:
        with pytest.raises(Rang):
            timer.start()
            full.submit(seen.append, 1)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert full._work_queue.qsize() == 2
    gate.set()
    full.shutdown()
    assert seen == []


def test_the_pools_own_threads_are_never_held_back(make):
    executor = make(1, max_pending=1)
    children = executor.submit(lambda: [executor.submit(abs, -number) for number in range(50)]).result()
    assert [child.result() for child in children] == list(range(50))


def test_callbacks_in_the_pools_threads_are_never_held_back(full, gate):
    children = []
    first = full.submit
    thread, outcome = in_thread(first, int)
    gate.set()
    thread.join()
    outcome[0].add_done_callback(lambda _: children.extend([full.submit(abs, -number) for number in range(10)]))
    assert eventually(lambda: len(children) == 10)
    assert [child.result() for child in children] == list(range(10))


def test_nested_work_finishes_under_a_limit_of_one(make):
    executor = make(1, max_pending=1)

    def chain(depth):
        return depth and 1 + executor.submit(chain, depth - 1).result()

    assert executor.submit(chain, 60).result() == 60


def test_shutdown_wakes_a_submit_that_is_held_back(full, gate):
    thread, outcome = in_thread(full.submit, abs, -1)
    thread.join(0.02)
    full.shutdown(wait=False)
    thread.join()
    assert isinstance(outcome[0], RuntimeError)
    gate.set()


def test_map_is_held_back_too(make):
    assert list(make(2, max_pending=2).map(abs, range(300))) == list(range(300))


def test_views_share_the_limit(full, gate):
    thread, outcome = in_thread(full.with_options(priority=-1).submit, abs, -1)
    thread.join(0.02)
    assert thread.is_alive()
    gate.set()
    thread.join()
    assert outcome[0].result() == 1


def test_a_broken_pool_wakes_a_submit_that_is_held_back(make, gate, caplog):
    def fail_at_the_gate():
        gate.wait()
        raise ValueError

    executor = make(1, initializer=fail_at_the_gate, max_pending=2)
    executor.submit(int), executor.submit(int)
    thread, outcome = in_thread(executor.submit, int)
    thread.join(0.02)
    gate.set()
    thread.join()
    error = outcome[0] if isinstance(outcome[0], BaseException) else outcome[0].exception()
    assert isinstance(error, RuntimeError)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit):
    with pytest.raises(ValueError, match="max_pending"):
        ThreadPoolExecutor(1, max_pending=limit)


def test_a_limit_that_is_no_integer_is_refused():
    with pytest.raises(TypeError):
        ThreadPoolExecutor(1, max_pending="2")


def test_no_limit_means_no_limit(make, gate):
    executor = make(1, max_pending=None)
    executor.submit(gate.wait)
    submitted = [executor.submit(int) for _ in range(5000)]
    gate.set()
    assert submitted[-1].result() == 0
