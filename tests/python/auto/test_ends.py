"""How an executor that chooses ends, and what becomes of calls that wait for a decision."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import CancelledError

import auto_tasks as tasks
import pytest
from choosing import decision, learned
from eventually import eventually

from forkful import AutoExecutor, BrokenExecutor, as_completed, wait
from forkful.futures._policy import Verdict


@pytest.fixture
def holding(chooser):
    """Both threads are busy until the gate opens; what is submitted is held."""
    gate = threading.Event()
    auto = chooser()

    blockers = [auto.with_options(where="threads").submit(gate.wait) for _ in range(2)]
    assert eventually(lambda: all(blocker.running() for blocker in blockers))
    yield auto, gate
    gate.set()


def test_what_is_held_can_be_cancelled(holding):
    auto, gate = holding
    futures = [auto.submit(busy_like, number) for number in range(5)]
    assert futures[3].cancel()
    gate.set()
    assert [future.result() for place, future in enumerate(futures) if place != 3] == [0, 1, 2, 4]
    assert futures[3].cancelled()


def busy_like(number):
    tasks.compute(30_000)
    return number


def test_shutdown_waits_for_what_is_held(chooser):
    auto = chooser()
    futures = [auto.submit(tasks.compute, 60_000) for _ in range(30)]
    auto.shutdown()
    assert all(future.done() for future in futures)
    assert {future.result() for future in futures} == {tasks.compute(60_000)}
    with pytest.raises(RuntimeError, match="after shutdown"):
        auto.submit(tasks.compute, 1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        auto.map(tasks.compute, [1])


def test_shutdown_that_does_not_wait_leaves_what_is_held_to_finish(chooser):
    auto = chooser()
    futures = [auto.submit(tasks.compute, 60_000) for _ in range(30)]
    auto.shutdown(wait=False)
    assert {future.result() for future in futures} == {tasks.compute(60_000)}
    auto.shutdown(wait=True)
    assert not any(thread.is_alive() for thread in auto._threads)


def test_shutdown_that_cancels_cancels_what_is_held(holding):
    auto, gate = holding
    futures = [auto.submit(busy_like, number) for number in range(5)]
    auto.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in futures)
    gate.set()


def test_shutdown_cancels_what_could_not_be_sent_and_waits_for_a_thread(chooser):
    auto = chooser()
    lock, gate = threading.Lock(), threading.Event()
    auto._function(tasks.compute_with).probing = True  # as after some first calls
    blockers = [auto.with_options(where="threads").submit(gate.wait) for _ in range(2)]
    assert eventually(lambda: all(blocker.running() for blocker in blockers))
    future = auto.submit(tasks.compute_with, lock, 10)
    assert decision(auto, "compute_with").place == "threads"
    auto.shutdown(wait=False, cancel_futures=True)
    gate.set()
    with pytest.raises(CancelledError):
        future.result(60)


def test_a_forgotten_executor_finishes_what_is_held():
    auto = AutoExecutor(2)
    futures = [auto.submit(tasks.compute, 60_000) for _ in range(30)]
    threads = auto._threads
    del auto
    assert {future.result() for future in futures} == {tasks.compute(60_000)}
    assert eventually(lambda: not any(thread.is_alive() for thread in list(threads)))


def test_priorities_hold_among_what_is_held(chooser):
    auto = AutoExecutor(1)
    gate, order = threading.Event(), []

    def step(number):
        gate.wait()
        order.append(number)

    first = auto.submit(step, 0)
    assert eventually(first.running)
    for number in range(1, 4):
        auto.submit(step, number)
    auto.with_options(priority=-1).submit(step, 9)
    gate.set()
    auto.shutdown()
    assert order == [0, 9, 1, 2, 3]


def test_tasks_may_wait_for_tasks_of_the_same_executor():
    with AutoExecutor(1) as auto:

        def add(depth):
            if not depth:
                return 1
            return sum(future.result() for future in [auto.submit(add, depth - 1), auto.submit(add, depth - 1)])

        assert auto.submit(add, 5).result() == 32


@pytest.mark.parametrize("way", ["wait", "as_completed", "result"])
def test_a_task_may_wait_for_what_others_have_submitted(way):
    with AutoExecutor(1) as auto:
        later = []
        ready = threading.Event()

        def first():
            ready.wait()
            if way == "wait":
                wait(later)
            elif way == "as_completed":
                list(as_completed(later))
            return sum(future.result() for future in later)

        future = auto.submit(first)
        later += [auto.submit(tasks.compute, 10), auto.submit(tasks.compute, 10)]
        ready.set()
        assert future.result() == 2 * tasks.compute(10)


def test_the_initializer_runs_in_threads_and_in_processes(chooser, monkeypatch):
    auto = chooser(initializer=os.environ.__setitem__, initargs=("FORKFUL_TEST_WORKER", "yes"))
    monkeypatch.setenv("FORKFUL_TEST_WORKER", "no")
    for place in ("threads", "processes"):
        assert auto.with_options(where=place).submit(os.getenv, "FORKFUL_TEST_WORKER").result() == "yes"


def test_a_failing_initializer_breaks_what_is_sent_there(caplog):
    def fail():
        raise ValueError("no start today")

    with AutoExecutor(2, initializer=fail) as auto:
        with pytest.raises(BrokenExecutor):
            auto.submit(tasks.compute, 10).result()
        with pytest.raises(BrokenExecutor):
            auto.submit(tasks.compute, 10)


def test_an_event_loop_runs_calls_on_it(auto):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [loop.run_in_executor(auto, tasks.compute, 30_000) for _ in range(20)]
        return await asyncio.gather(*futures), await auto.submit(tasks.compute, 10)

    many, one = asyncio.run(main())
    assert set(many) == {tasks.compute(30_000)}
    assert one == tasks.compute(10)


def test_a_map_goes_where_its_function_belongs(auto):
    numbers = list(range(20_000, 20_060))
    expected = [tasks.compute(number) for number in numbers]
    for _ in range(3):
        assert list(auto.map(tasks.compute, numbers)) == expected
    assert sorted(auto.map_unordered(tasks.compute, numbers)) == sorted(expected)
    assert list(auto.starmap(pow, [(2, 5), (3, 2)])) == [32, 9]
    assert list(auto.map(tasks.compute, iter(numbers), buffersize=4)) == expected
    learned(auto, tasks.compute, 100_000)


def test_an_error_of_a_map_names_its_item(auto):
    learned(auto, len, "abc")
    results = auto.map(len, ["a", "bc", 3, "d"])
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(TypeError) as raised:
        next(results)
    assert "item 2 of map" in getattr(raised.value, "__notes__", [])


def test_a_child_refuses_and_leaves(run_clean):
    run_clean(
        """
        import os
        from forkful import AutoExecutor, BrokenExecutor

        def nothing():
            pass

        executor = AutoExecutor(2)
        executor.submit(nothing).result()
        pid = os.fork()
        if not pid:
            try:
                executor.submit(nothing)
            except BrokenExecutor:
                executor.shutdown()
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        executor.submit(nothing).result()
        """
    )


def test_the_end_of_a_program_waits_for_what_is_held(run_clean):
    out = run_clean(
        """
        import os
        from forkful import AutoExecutor

        def compute(number):
            total = 0
            for value in range(60_000):
                total += value
            os.write(1, f"{number}\\n".encode())

        executor = AutoExecutor(2)
        for number in range(20):
            executor.submit(compute, number)
        """
    )
    assert sorted(map(int, out.split())) == list(range(20))


def test_nobody_looks_on_while_the_interpreter_ends(chooser):
    auto = chooser()
    for _ in range(20):
        auto.submit(tasks.compute, 60_000)
    auto.shutdown()
    # It asks for the interpreter's lock, in native code that must not be ended there.
    assert not any(thread.name == "forkful-auto" for thread in threading.enumerate())


def test_ctrl_c_ends_it(run_script):
    outcome = run_script(
        """
        import os, signal, threading, time
        from forkful import AutoExecutor

        def compute(rounds):
            total = 0
            for value in range(rounds):
                total += value
            return total

        with AutoExecutor(2) as executor:
            for future in [executor.submit(compute, 100_000) for _ in range(20)]:
                future.result()
            for _ in range(50):
                executor.with_options(where="processes").submit(time.sleep, 60)
                executor.submit(compute, 300_000)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            time.sleep(60)
        """
    )
    assert outcome.returncode in (1, 130, -2), outcome
    assert "KeyboardInterrupt" in outcome.stderr


def test_the_numbers_add_up(auto):
    wait([auto.submit(tasks.compute, 60_000) for _ in range(40)])
    wait([auto.submit(tasks.compute_and_fail, 60_000) for _ in range(10)])
    stats = auto.stats()
    assert (stats.submitted, stats.done, stats.failed) == (50, 40, 10)
    assert (stats.pending, stats.running, stats.cancelled) == (0, 0, 0)
    told = [decision(auto, name) for name in ("compute", "compute_and_fail")]
    assert sum(one.threads + one.processes for one in told) == 50


def test_many_threads_submit_and_cancel_while_it_learns(auto):
    functions = [tasks.compute, tasks.squeeze, tasks.nap, busy_like, len]
    arguments = [(20_000,), (1,), (0.001,), (7,), ("four",)]
    kept: list[tuple[int, object]] = []

    def feed(seed):
        for number in range(60):
            which = (seed + number) % 5
            future = auto.submit(functions[which], *arguments[which])
            if number % 7 == seed:
                future.cancel()
            kept.append((which, future))

    feeders = [threading.Thread(target=feed, args=(seed,)) for seed in range(4)]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    auto.shutdown()
    assert all(future.done() for _, future in kept)
    results = {(which, future.result()) for which, future in kept if which in (0, 3, 4) and not future.cancelled()}
    assert results == {(0, tasks.compute(20_000)), (3, 7), (4, 4)}
    stats = auto.stats()
    assert stats.submitted == 240
    assert stats.done + stats.cancelled == 240
    assert stats.cancelled == sum(future.cancelled() for _, future in kept)


def test_a_call_that_comes_while_its_function_is_settled_is_not_held_for_ever(auto):
    def here(number):
        return number

    class Settles:
        """The machine, in the moment between the look at the function's place and the desk's lock."""

        def __getattr__(self, name):
            if name == "gil":
                desk._settle(function, Verdict("threads", "settled by another thread"))
            return getattr(machine, name)

    desk, function = auto._desk, auto._function(here)
    machine, desk.machine = desk.machine, Settles()
    try:
        future = auto.submit(here, 1)
    finally:
        desk.machine = machine
    assert future.result(timeout=60) == 1
    assert not desk.busy()


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="3.10 crashes at exit by itself with daemon threads busy in Python"
)
def test_the_end_of_a_program_does_not_wait_for_daemon_threads_that_submit(run_clean):
    text = """
        import sys, threading, time
        from functools import partial
        from forkful import AutoExecutor

        def submits():
            while True:
                try:
                    # By way of Python: a partial is none of the functions that the engine knows a way for.
                    auto.submit(partial(int))
                except RuntimeError:
                    pass
                begun.set()

        sys.setswitchinterval(1e-5)
        auto, begun = AutoExecutor(2), threading.Event()
        for _ in range(4):
            threading.Thread(target=submits, daemon=True).start()
        begun.wait()
        time.sleep(0.02)
    """
    for _ in range(5):
        assert run_clean(text) == ""
