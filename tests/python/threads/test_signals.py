"""Signals end waits in the main thread, and a lock that was given up for a wait is held again."""

from __future__ import annotations

import pytest

WAITS = {
    "event": "threading.Event().wait()",
    "event-timeout": "threading.Event().wait(1e6)",
    "condition": "wait_in(threading.Condition())",
    "condition-lock": "wait_in(threading.Condition(threading.Lock()))",
    "semaphore": "threading.Semaphore(0).acquire()",
    "semaphore-with": "threading.Semaphore(0).__enter__()",
    "barrier": "threading.Barrier(2).wait()",
    "get": "queue.Queue().get()",
    "get-timeout": "queue.Queue().get(timeout=1e6)",
    "put": "full().put(1)",
    "join": "full().join()",
    "mutex": "held().acquire()",
    "get-held": "blocked().get()",
    "thread": "sleeping().result()",
}

PRELUDE = """
import os, signal, sys, threading as std, time
from forkful import queue, threading

def wait_in(condition):
    with condition:
        try:
            condition.wait()
        finally:
            assert condition._is_owned()

def full():
    q = queue.Queue(1)
    q.put(0)
    return q

def held():
    mutex = queue.Queue().mutex
    mutex.acquire()
    return mutex

def blocked():
    q = queue.Queue()
    q.mutex.acquire()
    return q

def sleeping():
    thread = threading.Thread(target=time.sleep, args=(1000,), daemon=True)
    thread.start()
    return thread

def later(seconds=0.1, number=signal.SIGINT):
    def send():
        time.sleep(seconds)
        os.kill(os.getpid(), number)
    std.Thread(target=send, daemon=True).start()
"""


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_ctrl_c_ends_a_wait(run_clean, wait):
    out = run_clean(
        PRELUDE
        + f"""
later()
try:
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
# A thread that sleeps for good need not be waited for.
os._exit(0)
"""
    )
    assert out == "interrupted\n"


@pytest.mark.parametrize("wait", ["threading.Event().wait(0.3)", "queue.Queue().get(timeout=0.3)", "wait_in(threading.Condition())"])
def test_a_handler_that_returns_ends_no_wait(run_clean, wait):
    out = run_clean(
        PRELUDE
        + f"""
calls = []
def wait_in(condition):
    with condition:
        assert condition.wait(0.3) is False
signal.signal(signal.SIGUSR1, lambda *_: calls.append(1))
later(0.05, signal.SIGUSR1)
start = time.monotonic()
try:
    {wait}
except queue.Empty:
    pass
assert time.monotonic() - start >= 0.3
print(len(calls))
"""
    )
    assert out == "1\n"


def test_a_handler_may_use_what_is_waited_for(run_clean):
    run_clean(
        PRELUDE
        + """
event = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: event.set())
later(0.05, signal.SIGUSR1)
assert event.wait(30)
q = queue.Queue()
signal.signal(signal.SIGUSR1, lambda *_: q.put("from the handler"))
later(0.05, signal.SIGUSR1)
assert q.get(timeout=30) == "from the handler"
condition = threading.Condition()
def notify(*_):
    with condition:
        condition.notify()
signal.signal(signal.SIGUSR1, notify)
later(0.05, signal.SIGUSR1)
with condition:
    assert condition.wait(30)
"""
    )


def test_a_storm_of_signals_loses_nothing(run_clean):
    run_clean(
        PRELUDE
        + """
calls = []
signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
q, count = queue.Queue(2), 5000
thread = threading.Thread(target=lambda: [q.put(number) for number in range(count)])
thread.start()
assert [q.get(timeout=60) for _ in range(count)] == list(range(count))
semaphore = threading.Semaphore(0)
thread = threading.Thread(target=lambda: [semaphore.release() for _ in range(count) if not time.sleep(0)])
thread.start()
for _ in range(count):
    assert semaphore.acquire(timeout=60)
signal.setitimer(signal.ITIMER_REAL, 0)
assert semaphore._value == 0 and calls
"""
    )


def test_interrupted_waiters_pass_on_what_they_were_told(run_clean):
    run_clean(
        PRELUDE
        + """
class Stop(Exception):
    pass

def stop(*_):
    raise Stop

signal.signal(signal.SIGUSR1, stop)
q, taken, done, interrupted = queue.Queue(), [], [], 0

def consume():
    while True:
        item = q.get()
        if item is None:
            return
        taken.append(item)

def kill():
    while not done:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.0005)

other = threading.Thread(target=consume)
other.start()
killer = threading.Thread(target=kill)
producer = threading.Thread(target=lambda: [q.put(number) or time.sleep(0) for number in range(3000)])
mine = []
try:
    killer.start()
except Stop:
    pass
while True:
    try:
        producer.start()
        break
    except Stop:
        pass
    except RuntimeError:
        break
while len(taken) + len(mine) < 3000:
    try:
        # An item that was taken is noted by the very call, as an exception may come at any moment behind it.
        mine.extend(iter(lambda: q.get(timeout=0.05), None))
    except Stop:
        interrupted += 1
    except queue.Empty:
        if not producer.is_alive():
            break
while True:
    try:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        break
    except Stop:
        pass
done.append(1)
q.put(None)
other.join(30)
assert not other.is_alive() and interrupted
# No item may be left behind; one that was on its way when the exception came may be lost, as with every call.
assert q.qsize() == 0
"""
    )
