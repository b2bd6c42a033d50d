"""Each module that has a part of the engine tells it of forks, also where no other one is imported."""

from __future__ import annotations

import pytest

MODULES = [
    "forkful.threading",
    "forkful.queue",
    "forkful.multiprocessing.synchronize",
    "forkful.multiprocessing.queues",
    "forkful.multiprocessing.connection",
]

QUIET = """
import os, signal, sys, threading, time, warnings
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
"""


@pytest.mark.parametrize("module", MODULES)
def test_a_module_by_itself_has_forks_told_to_the_engine(run_clean, module):
    run_clean(f"import sys, {module}\nassert 'forkful._hooks' in sys.modules")


def test_a_child_notifies_its_own_threads_and_not_those_left_behind(run_clean):
    run_clean(
        QUIET
        + """
from forkful.threading import Condition
condition = Condition()

def wait(done):
    with condition:
        done.append(condition.wait(30))

threading.Thread(target=wait, args=([],), daemon=True).start()
while not condition._waiters:
    time.sleep(0.001)
pid = os.fork()
if pid == 0:
    done = []
    thread = threading.Thread(target=wait, args=(done,))
    thread.start()
    while len(condition._waiters) < 2:
        time.sleep(0.001)
    with condition:
        condition.notify()
    thread.join()
    os._exit(0 if done == [True] else 1)
assert os.waitpid(pid, 0)[1] == 0
with condition:
    condition.notify()
"""
    )


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_child_forked_by_a_handler_amid_a_wait_takes_the_lock_in_its_own_name(run_clean, kind):
    run_clean(
        QUIET
        + f"""
from forkful.multiprocessing.synchronize import {kind} as Kind
"""
        + """
lock, held, go = Kind(), threading.Event(), threading.Event()

def hold():
    with lock:
        held.set()
        go.wait(30)

thread = threading.Thread(target=hold)
thread.start()
held.wait(30)
pids = []

def fork(*_):
    pids.append(os.fork())
    if pids[0]:
        go.set()

signal.signal(signal.SIGALRM, fork)
signal.setitimer(signal.ITIMER_REAL, 0.1)
lock.acquire()
if pids[0] == 0:
    code = 1
    try:
        code = 0 if lock._is_mine() else 2
        lock.release()
    finally:
        os._exit(code)
assert lock._is_mine()
lock.release()
assert os.waitpid(pids[0], 0)[1] == 0
"""
    )


def test_a_signal_ends_a_wait_in_the_child_of_another_thread(run_clean):
    run_clean(
        QUIET
        + """
from forkful.multiprocessing.queues import Empty, Queue
queue = Queue()

class Rang(Exception):
    pass

def ring(*_):
    raise Rang

def child():
    signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        queue.get(timeout=20)
    except Rang:
        return 0
    return 1

def fork(codes):
    # Here it is found out that this is not the main thread, which in the child it is.
    try:
        queue.get(timeout=0.1)
    except Empty:
        pass
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = child()
        finally:
            os._exit(code)
    codes.append(os.waitpid(pid, 0)[1])

codes = []
thread = threading.Thread(target=fork, args=(codes,))
thread.start()
thread.join()
assert codes == [0]
"""
    )
