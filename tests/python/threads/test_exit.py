"""The end of a program while daemon threads wait, or are busy, in our primitives."""

from __future__ import annotations

import pytest

STATES = {
    "event": "own.Event().wait()",
    "event-timeout": "own.Event().wait(1000)",
    "condition": "wait_in(own.Condition())",
    "condition-lock": "wait_in(own.Condition(threading.Lock()))",
    "semaphore": "own.Semaphore(0).acquire()",
    "barrier": "own.Barrier(2).wait()",
    "get": "queue.Queue().get()",
    "put": "full().put(1)",
    "join": "full().join()",
    "hooked": "Hooked().get()",
    "mutex": "full().mutex.__enter__() and full().get()",
    "lock-of-condition": "enter_twice()",
    "result": "own.Thread(target=own.Event().wait, daemon=True).run() ",
    "busy-event": "forever(lambda: (event.set(), event.wait(), event.clear()))",
    "busy-naps": "forever(lambda: own.Event().wait(0.0005))",
    "busy-condition": "forever(lambda: nap_in(condition))",
    "busy-semaphore": "forever(lambda: (semaphore.release(), semaphore.acquire()))",
    "busy-queue": "forever(lambda: (shared.put(1), shared.get()))",
    "busy-bounded": "forever(lambda: bounded.put(1))",
    "busy-priority": "forever(lambda: (heap.put(Ponderous()), heap.get()))",
    "action": "own.Barrier(1, lambda: forever(int)).wait()",
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_the_program_ends_well(run_clean, state):
    run_clean(
        f"""
import sys, threading, time
from forkful import queue, threading as own

class Hooked(queue.Queue):
    def _qsize(self):
        return super()._qsize()

class Ponderous:
    def __lt__(self, other):
        time.sleep(0)
        return True

def full():
    q = queue.Queue(1)
    q.put(0)
    return q

def wait_in(condition):
    with condition:
        condition.wait()

def nap_in(condition):
    with condition:
        condition.notify_all()
        condition.wait(0.001)

def enter_twice():
    condition = own.Condition(threading.Lock())
    with condition:
        with condition:
            pass

def forever(call):
    while True:
        call()

event, condition, semaphore = own.Event(), own.Condition(), own.Semaphore(1)
shared, bounded, heap = queue.Queue(), queue.Queue(3), queue.PriorityQueue()
heap.put(Ponderous())

def drain():
    while True:
        bounded.get()

class Slow:
    "Makes the finalization of the interpreter last, so that threads have time to meet it."
    def __del__(self, sleep=time.sleep):
        sleep(0.1)

sys.modules["slow"] = Slow()
for target in (lambda: {state}, lambda: {state}, drain):
    threading.Thread(target=target, daemon=True).start()
time.sleep(0.05)
"""
    )
