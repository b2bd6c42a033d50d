"""The end of a program while daemon threads wait, or are busy, in what several processes share."""

from __future__ import annotations

import pytest

STATES = {
    "lock": "held.acquire()",
    "rlock": "other.acquire()",
    "event": "own.Event().wait()",
    "barrier": "own.Barrier(2).wait()",
    "condition": "wait_in(own.Condition())",
    "condition-of-threads": "wait_in(own.Condition(threading.Lock()))",
    "action": "own.Barrier(1, lambda: forever(int)).wait()",
    "get": "queues.Queue().get()",
    "receive": "pipe[0].recv()",
    "pickles": "queue.put(Slowly(own_part=True))",
    "unpickles": "(queue.put(Slowly()), queue.get())",
    "sends": "pipe[1].send(Slowly(own_part=True))",
    "receives": "(pipe[1].send(Slowly()), pipe[0].recv())",
    "busy-lock": "forever(lambda: held.acquire(timeout=0.0005))",
    "busy-rlock": "forever(lambda: other.acquire(timeout=0.0005))",
    "busy-semaphore": "forever(lambda: own.Semaphore(0).acquire(timeout=0.0005))",
    "busy-release": "forever(lambda: (bounded.acquire(), bounded.release()))",
    "busy-event": "forever(lambda: own.Event().wait(0.0005))",
    "busy-condition": "forever(lambda: nap_in(condition))",
    "busy-barrier": "forever(lambda: (brief(), barrier.reset(), barrier.abort()))",
    "busy-get": "forever(lambda: brief_get())",
    "busy-put": "forever(lambda: brief_put())",
    "busy-poll": "forever(lambda: queue._poll(0.0005))",
    "busy-task": "forever(lambda: (joinable.put(1), joinable.get(), joinable.task_done(), joinable.join()))",
    "busy-pipe": "forever(lambda: pipe[0].poll(0.0005))",
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_the_program_ends_well(run_clean, state):
    run_clean(
        f"""
import sys, threading, time
from queue import Empty, Full
from threading import BrokenBarrierError
from forkful.multiprocessing import connection, queues, synchronize as own

class Slowly:
    "Takes long to be pickled, or to be read again."
    def __init__(self, own_part=False):
        self.own_part = own_part
    def __reduce__(self):
        if self.own_part:
            forever(int)
        return forever, (int,)

def wait_in(condition):
    with condition:
        condition.wait()

def nap_in(condition):
    with condition:
        condition.notify_all()
        condition.wait(0.001)

def forever(call):
    while True:
        call()

def brief():
    try:
        barrier.wait(0.0005)
    except BrokenBarrierError:
        pass

def brief_get():
    try:
        queue.get(timeout=0.0005)
    except Empty:
        pass

def brief_put():
    try:
        full.put(2, timeout=0.0005)
    except Full:
        pass

held, other, condition, barrier = own.Lock(), own.RLock(), own.Condition(), own.Barrier(3)
held.acquire()
bounded = own.BoundedSemaphore(1)
queue, full, joinable = queues.Queue(), queues.Queue(1), queues.JoinableQueue()
full.put(1)
pipe = connection.Pipe()

def hold():
    other.acquire()
    time.sleep(1000)

class Slow:
    "Makes the finalization of the interpreter last, so that threads have time to meet it."
    def __del__(self, sleep=time.sleep):
        sleep(0.1)

sys.modules["slow"] = Slow()
threading.Thread(target=hold, daemon=True).start()
time.sleep(0.01)
for target in (lambda: {state}, lambda: {state}):
    threading.Thread(target=target, daemon=True).start()
time.sleep(0.05)
"""
    )
