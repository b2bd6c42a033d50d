"""What an executor learns of functions of which it is plain where they belong, and what it says of that."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from dataclasses import FrozenInstanceError

import auto_tasks as tasks
import pytest
from choosing import decision, learned
from eventually import eventually

from forkful import wait
from forkful._gil import GilUse
from forkful._measured import looked_at
from forkful.futures._functions import Functions, subject


def test_what_computes_in_python_goes_to_processes(auto):
    told = learned(auto, tasks.pid_and_compute, 200_000, place="processes")
    futures = [auto.submit(tasks.pid_and_compute, 200_000) for _ in range(8)]
    assert os.getpid() not in {future.result() for future in futures}
    assert told.lock is None or told.lock > 0.5  # None on a machine so busy that nobody came to ask
    assert told.shipping >= 0
    assert decision(auto, "pid_and_compute").processes >= 8


def test_what_waits_stays_in_threads_and_starts_no_process(auto):
    futures = [auto.submit(tasks.nap, 0.02) for _ in range(12)]
    assert {future.result() for future in futures} == {os.getpid()}
    told = decision(auto, "nap")
    assert (told.place, told.processes) == ("threads", 0), told
    assert auto._desk.made_processes() is None
    assert auto.workers() == []


def test_what_computes_without_the_lock_stays_in_threads(chooser):
    # On a busy machine whoever asks for the lock may come too late, or get it and no CPU for a while; never each time.
    for _ in range(10):
        auto = chooser()
        told = learned(auto, tasks.squeeze, 6)
        if told.place == "threads":
            break
    assert told.place == "threads", told
    assert auto.submit(tasks.squeeze, 6).result() == os.getpid()


@pytest.mark.parametrize(
    ("use", "put_off", "least", "most"),
    [
        pytest.param(GilUse(10e-3, 0.0, 50, 1), 0.0, 0.0, 0.05, id="nobody was put off"),
        pytest.param(GilUse(10e-3, 30e-6, 9, 1), 95e-3, 0.0, 0.15, id="put off for longer than was looked at"),
        pytest.param(GilUse(80e-3, 0.0, 12, 0), 72e-3, 0.0, 0.0, id="put off for most of the time, and never held"),
        pytest.param(GilUse(115e-3, 15e-3, 8, 3), 100e-3, 0.9, 1.0, id="Python, put off without the lock"),
        pytest.param(GilUse(10e-3, 9.5e-3, 2, 2), 95e-3, 0.99, 1.0, id="Python, with one who waits"),
    ],
)
def test_time_without_a_cpu_is_neither_a_free_lock_nor_a_held_one(use, put_off, least, most):
    alone = GilUse(looked_at(2e-4, use, put_off), use.waited, use.asks, use.held)
    assert least <= alone.share <= most
    assert alone.elapsed <= use.elapsed


def test_what_is_tiny_stays_in_threads(chooser):
    # On a busy machine its first call may be put aside, and seems to wait; never each time.
    for _ in range(5):
        told = learned(chooser(), tasks.nothing)
        assert told.place == "threads", told
        if "too little" in told.reason:
            break
    assert "too little" in told.reason


def test_many_submitted_at_once_come_all_back(auto):
    futures = [auto.submit(tasks.compute, 20_000 + number) for number in range(60)]
    assert [future.result() for future in futures] == [tasks.compute(20_000 + number) for number in range(60)]
    told = decision(auto, "compute")
    assert told.threads + told.processes == 60


def test_a_mixture_is_told_apart(auto):
    futures = []
    for _ in range(20):
        futures += [
            auto.submit(tasks.pid_and_compute, 100_000),
            auto.submit(tasks.nap, 0.005),
            auto.submit(tasks.squeeze, 6),
        ]
    wait(futures)
    places = {name: decision(auto, name).place for name in ("pid_and_compute", "nap", "squeeze")}
    assert places["nap"] == "threads"
    learned(auto, tasks.pid_and_compute, 200_000, place="processes")


def test_a_function_that_changes_is_learned_anew(auto):
    learned(auto, tasks.compute_or_nap, 0, place="threads")
    told = learned(auto, tasks.compute_or_nap, 150_000, place="processes")
    assert told.changes >= 1
    told = learned(auto, tasks.compute_or_nap, 0, place="threads")
    assert told.changes >= 2


def test_a_lambda_made_anew_is_the_same_function(auto):
    for number in range(5):
        assert auto.submit(lambda n: n + 1, number).result() == number + 1
    assert len([told for told in auto.decisions() if "<lambda>" in told.function]) == 1


def test_a_decision_says_why_and_when(auto):
    told = learned(auto, tasks.nap, 0.005)
    assert told.function.endswith("auto_tasks.nap")
    assert "waits" in told.reason
    assert told.wall > told.cpu
    assert told.decided > 1e9
    with pytest.raises(FrozenInstanceError):
        told.place = "processes"


def test_before_its_first_call_is_over_it_is_being_learned(auto):
    gate = threading.Event()
    future = auto.submit(gate.wait)
    told = next(iter(auto.decisions()))
    assert (told.place, told.decided, told.wall) == ("learning", None, None)
    gate.set()
    future.result()


def test_what_is_forgotten_by_everybody_is_forgotten_here():
    functions = Functions()
    scope: dict[str, object] = {}
    exec("def once(): pass", scope)
    function = scope.pop("once")
    functions.of(subject(function), function)
    assert len(functions) == 1
    del function
    assert eventually(lambda: not functions)


def test_the_table_has_a_bound():
    functions = Functions()
    kept = []
    for number in range(1200):
        kept.append(eval(f"lambda: {number}"))
        functions.of(subject(kept[-1]), kept[-1])
    assert len(functions) == 1024


def test_a_function_that_is_still_learned_is_not_kept_alive(auto):
    class Big:
        pass

    big = Big()
    gone = weakref.ref(big)

    def closure(number, big=big):
        return number

    assert auto.submit(closure, 1).result() == 1
    function = next(iter(auto._desk.functions.values()))
    function.reopen()  # as one that has changed
    function.probing = True
    assert auto.submit(closure, 1).result() == 1
    del closure, big
    gc.collect()
    assert eventually(lambda: gone() is None)


def test_what_changes_this_process_stays_in_it(auto):
    tasks.SEEN.clear()
    futures = [auto.submit(tasks.compute_and_note, number) for number in range(12)]
    assert {future.result() for future in futures} == {os.getpid()}
    assert set(tasks.SEEN) == set(range(12))
    assert "the global SEEN" in decision(auto, "compute_and_note").reason


def test_an_idle_executor_has_no_thread_that_watches(auto):
    wait([auto.submit(tasks.pid_and_compute, 100_000) for _ in range(20)])
    learned(auto, tasks.pid_and_compute, 100_000)
    assert eventually(lambda: not any(thread.name == "forkful-auto" for thread in threading.enumerate()))
