"""The ends that a map over threads may come to: a shutdown, a broken pool, forks, the interpreter's exit, Ctrl-C."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError
from typing import Any

import pytest
from subject import BrokenThreadPool

from forkful import ThreadPoolExecutor

Make = Callable[..., ThreadPoolExecutor]


def test_a_shutdown_runs_or_cancels_what_is_left(make: Make, gate: Any) -> None:
    pool, seen = make(2), []
    results = pool.map(seen.append, range(50_000))
    pool.shutdown(wait=True)
    assert len(seen) == 50_000 and len(list(results)) == 50_000
    pool, begun = make(1), threading.Event()

    def step(x: int) -> int:
        begun.set()
        gate.wait()
        return x

    results = pool.map(step, range(1000))
    behind = pool.map(step, range(10))
    begun.wait()
    pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(CancelledError):
        next(behind)
    gate.set()
    assert next(results) == 0
    with pytest.raises(CancelledError):
        next(results)
    assert list(results) == list(behind) == []
    assert pool.stats().pending == 0


def test_a_failing_initializer_breaks_the_map(make: Make) -> None:
    def fail() -> None:
        raise ValueError("never mind")

    with pytest.raises(BrokenThreadPool):
        list(make(2, initializer=fail).map(operator.neg, range(1000)))
    with pytest.raises(BrokenThreadPool):
        list(make(2, initializer=fail).map(operator.neg, iter(range(1000)), buffersize=5))


def test_a_map_is_its_own_processs(make: Make, gate: Any) -> None:
    def step(x: int) -> None:
        # Not all of them can be done by the fork.
        if x > 1:
            gate.wait()

    pools = make(1), make(1)
    results = pools[0].map(step, range(50))
    lazy = pools[1].map(step, range(50), buffersize=4)
    next(results)
    pid = os.fork()
    if pid == 0:
        refused = 0
        for inherited in (results, lazy):
            try:
                list(inherited)
            except BrokenExecutor as error:
                refused += "before os.fork()" in str(error)
            del inherited
        del results, lazy
        os._exit(0 if refused == 2 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    gate.set()
    assert len(list(results)) == 49 and len(list(lazy)) == 50


FORKS = """
import os
from forkful import ThreadPoolExecutor

def step(x):
    if x % 10:
        return x
    pid = os.fork()
    if pid == 0:
        return x  # on the child's only thread, which ends with it
    return os.waitpid(pid, 0)[1]

with ThreadPoolExecutor(2) as pool:
    assert list(pool.map(step, range(40))) == [0 if x % 10 == 0 else x for x in range(40)]
print("done")
"""


def test_an_item_may_fork(run_clean: Callable[..., str]) -> None:
    assert run_clean(FORKS).split() == ["done"]


EXIT = """
import sys
from forkful import ThreadPoolExecutor

count = 0

def step(x):
    global count
    count += 1
    if x == 99_999:
        print(count)

ThreadPoolExecutor(1).map(step, range(100_000))
"""


def test_the_interpreters_end_waits_for_all_items(run_clean: Callable[..., str]) -> None:
    assert run_clean(EXIT).split() == ["100000"]


INTERRUPT = """
import os, signal, threading, time
from forkful import ThreadPoolExecutor

begun, gate, ended = threading.Event(), threading.Event(), threading.Event()
seen = []

def step(x):
    seen.append(x)
    begun.set()
    gate.wait()

def read():
    next(results)

def handler(number, frame):
    # Only amid the wait: before it, nobody reads, and nothing is ended.
    if not ended.is_set() and (frame.f_code, frame.f_lineno) == (read.__code__, read.__code__.co_firstlineno + 1):
        ended.set()
        raise KeyboardInterrupt

def interrupt():
    begun.wait()
    while not ended.wait(0.1):
        os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, handler)
pool = ThreadPoolExecutor(1)
results = pool.map(step, range(1000))
threading.Thread(target=interrupt).start()
try:
    read()
except KeyboardInterrupt:
    print("interrupted")
gate.set()
pool.shutdown()
print(seen)
"""


def test_ctrl_c_ends_the_wait_and_begins_nothing_more(run_clean: Callable[..., str]) -> None:
    assert run_clean(INTERRUPT).split() == ["interrupted", "[0]"]


ENDLESS = """
import collections, itertools, operator, os, signal, sys, threading, time
from forkful import ThreadPoolExecutor

def interrupt():
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)

with ThreadPoolExecutor(2) as pool:
    try:
        threading.Thread(target=interrupt).start()
        if sys.argv[1] == "read":
            collections.deque(pool.map(operator.neg, itertools.count(), buffersize=10), maxlen=0)
        else:
            pool.map(operator.neg, itertools.cycle([1]))
    except KeyboardInterrupt:
        print("interrupted")
        pool.shutdown(cancel_futures=True)
"""


@pytest.mark.parametrize("what", ["read", "taken"])
def test_ctrl_c_ends_loops_that_are_not_pythons_own(run_clean: Callable[..., str], what: str) -> None:
    assert run_clean(ENDLESS, what).split() == ["interrupted"]
