"""How the interpreter ends with pools alive: queued work runs, stuck daemons are left, codes and Ctrl-C are kept."""

import signal
import sys

import pytest
from child import Child, run_clean, run_script
from subject import REFERENCE

TIMES = 5
"""Runs of each state: bad exits are a matter of timing."""

beyond = pytest.mark.skipif(REFERENCE, reason="beyond the standard library")

# Each state is what the program is doing when its main thread ends. `pool` is a daemon pool of two workers,
# `go` an event that lets a task end once its future is prepared or forgotten.
QUIET = {
    "never used": "",
    "idle": "pool.submit(int).result()",
    "sleeping": "pool.submit(time.sleep, 1e6)",
    "waiting for an event": "pool.submit(threading.Event().wait)",
    "waiting for a future": "pool.submit(Future().result)",
    "waiting for a future with a timeout": "pool.submit(Future().result, 1e6)",
    "waiting in wait()": "pool.submit(futures.wait, [Future()])",
    "waiting for its own pool": "pool.submit(lambda: pool.submit(time.sleep, 1e6).result())",
    "both workers sleeping and a queue": "[pool.submit(time.sleep, 1e6) for _ in range(100)]",
    "a callback asleep": "pool.submit(go.wait).add_done_callback(lambda _: time.sleep(1e6)); go.set()",
    "a finalizer asleep": "pool.submit(lambda: (go.wait(), Sleeper())[1]); go.set()",
    "an initializer asleep": "ThreadPoolExecutor(1, daemon=True, initializer=time.sleep, initargs=(1e6,)).submit(int)",
}
BUSY = {
    "a Python loop": "pool.submit(loop)",
    "a hash of much": "pool.submit(hashing)",
    "compressing": "pool.submit(compressing)",
    "regular expressions": "pool.submit(matching)",
    "napping": "pool.submit(napping)",
    "a nested task in a loop": "pool.submit(lambda: pool.submit(loop).result())",
    "a callback in a loop": "pool.submit(go.wait).add_done_callback(lambda _: loop()); go.set()",
    "a finalizer in a loop": "pool.submit(lambda: (go.wait(), Looper())[1]); go.set()",
    "many tiny tasks": "[pool.submit(int) for _ in range(20000)]",
    "the user's threads submit": "users(lambda: pool.submit(int))",
    "the user's threads submit and wait": "users(lambda: pool.submit(int).result())",
    "the user's threads wait for ever": "users(Future().result)",
}

DAEMONS = """
import hashlib, re, sys, threading, time, zlib
from subject import Future, ThreadPoolExecutor, futures

def loop():
    while True:
        pass
def hashing():
    data = bytes(1 << 24)
    while True:
        hashlib.sha256(data).digest()
def compressing():
    data = bytes(1 << 20)
    while True:
        zlib.compress(data)
def matching():
    while True:
        re.match(r"(a?){{18}}a{{18}}", "a" * 18)
def napping():
    while True:
        time.sleep(0.0005)
class Sleeper:
    def __del__(self):
        time.sleep(1e6)
class Looper:
    def __del__(self):
        loop()
def users(function):
    def forever():
        while True:
            function()
    for _ in range(3):
        threading.Thread(target=forever, daemon=True).start()
class Slow:
    "Makes the finalization of the interpreter last, so that threads have time to meet it."
    def __del__(self, sleep=time.sleep):
        sleep(0.02)

pool, go = ThreadPoolExecutor(2, daemon=True), threading.Event()
{statement}
time.sleep(0.02)
sys.modules["slow"] = slow = Slow()
print("leaving")
sys.exit({code})
"""


@beyond
@pytest.mark.parametrize("statement", [*QUIET.values(), *BUSY.values()], ids=[*QUIET, *BUSY])
def test_exit_leaves_daemon_threads_alone(statement):
    if sys.version_info < (3, 11) and statement in BUSY.values():
        pytest.skip("3.10 crashes at exit by itself when daemon threads are busy in Python")
    for _ in range(TIMES):
        outcome = run_script(DAEMONS.format(statement=statement, code=0))
        assert outcome.returncode == 0, str(outcome)
        assert outcome.stdout == "leaving\n", str(outcome)
        assert outcome.stderr == "", str(outcome)


@beyond
def test_exit_with_stuck_daemon_threads_keeps_the_exit_code():
    assert run_script(DAEMONS.format(statement=QUIET["sleeping"], code=3)).returncode == 3


@beyond
def test_an_error_of_the_main_thread_is_still_shown_with_stuck_daemon_threads():
    outcome = run_script(DAEMONS.format(statement=QUIET["sleeping"], code=0).replace("sys.exit(0)", "1 / 0"))
    assert outcome.returncode == 1
    assert "ZeroDivisionError" in outcome.stderr
    assert "Fatal" not in outcome.stderr


@pytest.mark.parametrize("leave", ["", "del pool", "pool.shutdown(wait=False)"], ids=["kept", "forgotten", "shut down"])
def test_queued_tasks_all_run_before_the_exit(leave):
    out = run_clean(
        f"""
        import os
        from subject import ThreadPoolExecutor
        pool = ThreadPoolExecutor(2)
        for _ in range(3000):
            pool.submit(os.write, 1, b".")
        {leave}
        """
    )
    assert out == "." * 3000


def test_idle_pools_do_not_hinder_the_exit():
    for _ in range(TIMES):
        run_clean(
            """
            from subject import ThreadPoolExecutor
            pools = [ThreadPoolExecutor(2) for _ in range(5)]
            for pool in pools:
                pool.submit(int).result()
            """
        )


@pytest.mark.parametrize(("statement", "code"), [("sys.exit(0)", 0), ("sys.exit(5)", 5), ("raise SystemExit(6)", 6)])
def test_exit_codes_are_kept(statement, code):
    script = f"""
        import sys, time
        from subject import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        pool.submit(time.sleep, 0.02)
        {statement}
        """
    outcome = run_script(script)
    assert (outcome.returncode, outcome.stderr) == (code, ""), str(outcome)


def test_a_failing_task_does_not_change_the_exit_code():
    run_clean(
        """
        import sys
        from subject import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        pool.submit(sys.exit, 9)
        pool.submit(int, "x")
        """
    )


def test_submit_at_exit_is_refused():
    out = run_clean(
        """
        import atexit
        from subject import ThreadPoolExecutor

        def late():
            try:
                pool.submit(int)
            except RuntimeError as error:
                print(error)

        pool = ThreadPoolExecutor(1)
        pool.submit(int).result()
        atexit.register(late)
        """
    )
    # By then the threads have gone, and their pool counts as shut down: "after shutdown" is as true as the longer text.
    assert out.startswith("cannot schedule new futures after ")


def test_a_task_that_submits_during_the_exit_is_refused():
    out = run_clean(
        """
        import concurrent.futures.thread, time
        from subject import ThreadPoolExecutor

        def late():
            while not concurrent.futures.thread._shutdown:
                time.sleep(0.001)
            try:
                pool.submit(print, "too late")
            except RuntimeError as error:
                print(error)

        pool = ThreadPoolExecutor(1)
        pool.submit(late)
        """
    )
    assert out == "cannot schedule new futures after interpreter shutdown\n"


def test_results_can_be_read_at_exit():
    out = run_clean(
        """
        import atexit
        from subject import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        future = pool.submit(abs, -4)
        atexit.register(lambda: print(future.result()))
        """
    )
    assert out == "4\n"


def test_control_c_inside_a_with_block_waits_for_the_running_task_and_ends():
    script = """
        import threading, time
        from subject import ThreadPoolExecutor
        interrupted = threading.Event()
        def work():
            interrupted.wait()
            time.sleep(0.2)
        with ThreadPoolExecutor(1) as pool:
            task = pool.submit(work)
            task.add_done_callback(lambda _: print("task done", flush=True))
            try:
                print("inside", flush=True)
                time.sleep(1000)
            finally:
                interrupted.set()
        """
    with Child(script) as child:
        child.await_line("inside")
        child.process.send_signal(signal.SIGINT)
        outcome = child.outcome()
    assert outcome.returncode in (-signal.SIGINT, 130, 1), str(outcome)
    assert outcome.stdout == "task done\n", str(outcome)
    assert outcome.stderr.rstrip().endswith("KeyboardInterrupt"), str(outcome)
    assert outcome.stderr.count("Traceback") == 1, str(outcome)


def test_control_c_while_the_exit_joins_a_stuck_task_ends_the_program():
    script = """
        import concurrent.futures.thread, os, signal, threading, time
        from subject import ThreadPoolExecutor

        def interrupt_the_join():
            while not concurrent.futures.thread._shutdown:
                time.sleep(0.001)
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt_the_join, daemon=True).start()
        pool = ThreadPoolExecutor(1)
        pool.submit(time.sleep, 1e6)
        print("leaving")
        """
    outcome = run_script(script)
    assert outcome.stdout == "leaving\n", str(outcome)
    assert outcome.returncode == 0, str(outcome)
    assert "Fatal" not in outcome.stderr, str(outcome)
    assert "KeyboardInterrupt" in outcome.stderr, str(outcome)


def test_a_thread_taken_out_of_the_register_does_not_hinder_the_join_of_others():
    run_clean(
        """
        import concurrent.futures.thread, threading
        from subject import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        thread = pool.submit(threading.current_thread).result()
        concurrent.futures.thread._threads_queues.pop(thread)
        pool.shutdown()
        """
    )
