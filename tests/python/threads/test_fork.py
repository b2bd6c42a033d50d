"""What a forked child finds of primitives that the parent's other threads were using."""

from __future__ import annotations

import pytest
from forking import run_forking


def run(script):
    return run_forking(
        "from eventually import eventually\nfrom sleeping import sleeps\nfrom forkful import queue, threading as own\n"
        + script
    )


def test_events_and_conditions_serve_a_child_whose_waiters_are_gone():
    run(
        """
event, condition = own.Event(), own.Condition()
semaphore, q = own.Semaphore(0), queue.Queue()
barrier = own.Barrier(2)

def wait():
    with condition:
        condition.wait()

threads = [
    threading.Thread(target=target, daemon=True) for target in (event.wait, wait, semaphore.acquire, q.get, barrier.wait)
]
for thread in threads:
    thread.start()
assert eventually(lambda: all(sleeps(thread.native_id) for thread in threads))

def child():
    # A notification goes to a thread of the child, not to one that was left behind.
    done = []
    def wait_here():
        with condition:
            done.append(condition.wait(30))
    thread = threading.Thread(target=wait_here)
    thread.start()
    while len(condition._waiters) < 2:
        time.sleep(0.001)
    with condition:
        condition.notify()
    thread.join()
    assert done == [True]
    semaphore.release()
    assert semaphore.acquire(timeout=30) and semaphore._value == 0
    thread = own.Thread(target=q.get)
    thread.start()
    time.sleep(0.02)
    q.put(1)
    assert thread.result(30) == 1
    event.set()
    assert event.wait(30)
    event.clear()
    assert not event.wait(0.01)
    barrier.reset()
    thread = own.Thread(target=barrier.wait)
    thread.start()
    assert barrier.wait(30) + thread.result(30) == 1

in_child(child)
# The parent's are as they were.
event.set(); semaphore.release(); q.put(1); barrier.wait(30)
with condition:
    condition.notify()
"""
    )


@pytest.mark.parametrize(
    "make", ["own.Event()", "own.Condition()", "own.Condition(threading.Lock())", "queue.Queue().not_empty"]
)
def test_reinit_makes_it_as_new(make):
    run(
        f"""
thing = {make}
if hasattr(thing, "acquire"):
    holding = threading.Thread(target=thing.acquire)
    holding.start()
    holding.join()

def child():
    thing._at_fork_reinit()
    if hasattr(thing, "acquire"):
        assert thing.acquire(timeout=30)
        thing.notify_all()
        thing.release()
    else:
        thing.set()
        assert thing.wait(30)

in_child(child)
"""
    )


def test_forks_while_others_wait_and_notify():
    run(
        """
event, q, semaphore = own.Event(), queue.Queue(3), own.Semaphore(1)
stop = []

def busy():
    while not stop:
        with semaphore:
            event.set()
            event.clear()
        try:
            q.put(1, timeout=0.01)
        except queue.Full:
            pass

def drain():
    while not stop:
        try:
            q.get(timeout=0.01)
        except queue.Empty:
            pass

threads = [threading.Thread(target=target) for target in (busy, busy, drain)]
for thread in threads:
    thread.start()

def child():
    event.set()
    assert event.wait(30)
    fresh = queue.Queue(1)
    fresh.put(1)
    assert fresh.get() == 1
    # Nobody was inside with the queue's mutex, as nobody lets the interpreter's lock go there.
    q.qsize()

for _ in range(30):
    in_child(child)
stop.append(1)
for thread in threads:
    thread.join()
"""
    )


def test_a_thread_of_the_parent_has_no_result_in_the_child():
    run(
        """
gate = own.Event()
thread = own.Thread(target=gate.wait)
thread.start()
in_child(lambda: raises(RuntimeError, thread.result, 30))
gate.set()
assert thread.result(30) is True
"""
    )
