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
from eventually import eventually, never_before
from sleeping import sleeps
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

def later(number=signal.SIGINT):
    "Sends the signal as soon as the main thread sleeps."
    def send():
        eventually(lambda: sleeps(std.main_thread().native_id))
        os.kill(os.getpid(), number)
    thread = std.Thread(target=send, daemon=True)
    thread.start()
    return thread
"""


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_ctrl_c_ends_a_wait(run_clean, wait):
    out = run_clean(
        PRELUDE
        + f"""
try:
    later()
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
# A thread that sleeps for good need not be waited for.
os._exit(0)
"""
    )
    assert out == "interrupted\n"


@pytest.mark.parametrize(
    "wait", ["threading.Event().wait(0.3)", "queue.Queue().get(timeout=0.3)", "wait_in(threading.Condition())"]
)
def test_a_handler_that_returns_ends_no_wait(run_clean, wait):
    out = run_clean(
        PRELUDE
        + f"""
calls = []
def wait_in(condition):
    with condition:
        assert condition.wait(0.3) is False
signal.signal(signal.SIGUSR1, lambda *_: calls.append(1))
with never_before(0.3):
    sender = later(signal.SIGUSR1)
    try:
        {wait}
    except queue.Empty:
        pass
# On a slow machine the wait may be over before the signal comes.
sender.join()
assert eventually(lambda: calls)
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
later(signal.SIGUSR1)
assert event.wait(30)
q = queue.Queue()
signal.signal(signal.SIGUSR1, lambda *_: q.put("from the handler"))
later(signal.SIGUSR1)
assert q.get(timeout=30) == "from the handler"
condition = threading.Condition()
def notify(*_):
    with condition:
        condition.notify()
signal.signal(signal.SIGUSR1, notify)
later(signal.SIGUSR1)
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

def take():
    return q.get(timeout=0.01)

def stop(number, frame):
    # Only there: elsewhere an exception out of nowhere would break the test itself.
    if frame.f_code is take.__code__:
        raise Stop

signal.signal(signal.SIGUSR1, stop)
q, done, interrupted = queue.Queue(), [], 0

def kill():
    while not done:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.0005)

def produce():
    for number in range(3000):
        q.put(number)
        time.sleep(0)

other = threading.Thread(target=lambda: list(iter(q.get, None)))
killer, producer = threading.Thread(target=kill), threading.Thread(target=produce)
for thread in (other, killer, producer):
    thread.start()
while producer.is_alive() or interrupted < 20:
    try:
        take()
    except Stop:
        interrupted += 1
    except queue.Empty:
        pass
done.append(1)
killer.result(30)
# What nobody was told of would lie here for ever beside a consumer that sleeps.
assert eventually(lambda: not q.qsize())
q.put(None)
other.result(30)
"""
    )


@pytest.mark.parametrize(
    "wait, give",
    [
        ("q.get()", "q.put('news')"),
        ("wait_in(condition)", "notify()"),
        ("semaphore.acquire()", "semaphore.release()"),
    ],
    ids=["queue", "condition", "semaphore"],
)
def test_what_an_interrupted_waiter_was_told_goes_to_the_next(run_clean, wait, give):
    run_clean(
        PRELUDE
        + f"""
class Stop(Exception):
    pass

def wait_in(condition):
    with condition:
        return condition.wait()

def notify():
    with condition:
        condition.notify()

def stop(*_):
    # The one who is interrupted has waited longest, and is told.
    {give}
    raise Stop

q, condition, semaphore = queue.Queue(), threading.Condition(), threading.Semaphore(0)
signal.signal(signal.SIGUSR1, stop)
next_one = threading.Thread(target=lambda: {wait})

def conduct():
    assert eventually(lambda: sleeps(std.main_thread().native_id))
    next_one.start()
    assert eventually(lambda: sleeps(next_one.native_id))
    os.kill(os.getpid(), signal.SIGUSR1)

conductor = threading.Thread(target=conduct)
try:
    conductor.start()
    {wait}
    raise AssertionError("nobody was to be told here")
except Stop:
    pass
conductor.result(30)
assert next_one.result(30) in ("news", True)
"""
    )
