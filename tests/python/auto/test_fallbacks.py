"""Calls that can't go where they would belong: none is lost, none runs twice, and each error says what to do."""

from __future__ import annotations

import os
import threading

import auto_tasks as tasks
import pytest
from choosing import decision, learned

from forkful import AutoExecutor, TaskTimeout, WorkerDied, wait


def test_arguments_that_cannot_be_pickled_run_in_threads(auto):
    lock = threading.Lock()
    futures = [auto.submit(tasks.compute_with, lock, 100_000) for _ in range(12)]
    assert {future.result() for future in futures} == {os.getpid()}
    told = learned(auto, tasks.compute_with, lock, 100_000)
    assert told.place == "threads"
    assert "can't be pickled" in told.reason


def test_one_call_that_cannot_be_pickled_runs_in_a_thread_and_the_others_in_processes(auto):
    learned(auto, tasks.compute_or_nap, 150_000, place="processes")

    class Local(int):
        def __reduce__(self):
            raise TypeError("not this one")

    assert auto.submit(tasks.compute_or_nap, Local(100_000)).result() == os.getpid()
    assert auto.submit(tasks.compute_or_nap, 100_000).result() != os.getpid()
    assert decision(auto, "compute_or_nap").place == "processes"


def test_what_could_not_be_pickled_in_a_map_runs_here(auto):
    learned(auto, tasks.compute_or_nap, 150_000, place="processes")

    class Local(int):
        def __reduce__(self):
            raise TypeError("not this one")

    pids = list(auto.map(tasks.compute_or_nap, [100_000, Local(100_000), 100_000, 100_000]))
    assert pids[1] == os.getpid()
    assert os.getpid() not in {pids[0], pids[2], pids[3]}


def test_a_result_that_cannot_be_pickled_keeps_its_function_here(auto):
    futures = [auto.submit(tasks.compute_a_generator, 100_000) for _ in range(8)]
    assert [list(future.result()) for future in futures] == [[0, 1, 2]] * 8
    told = decision(auto, "compute_a_generator")
    assert (told.place, told.processes) == ("threads", 0), told
    assert "result can't be pickled" in told.reason


def test_a_result_that_only_a_process_cannot_send_says_what_to_do(auto, parent):
    futures = [auto.submit(tasks.compute_sometimes_unsendable, number) for number in range(30)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    assert errors, auto.decisions()
    assert any("where='threads'" in note for error in errors for note in getattr(error, "__notes__", []))
    assert decision(auto, "compute_sometimes_unsendable").place == "threads"
    assert auto.submit(tasks.compute_sometimes_unsendable, 5).result() == 5


def test_what_a_task_raises_comes_back_from_both(auto):
    futures = [auto.submit(tasks.compute_and_fail, 100_000) for _ in range(10)]
    assert {str(future.exception()) for future in futures} == {"after 100000 rounds"}
    view = auto.with_options(where="processes")
    with pytest.raises(ValueError, match="after 1 rounds"):
        view.submit(tasks.compute_and_fail, 1).result()


def test_a_worker_that_dies_costs_its_task(chooser):
    auto = chooser()
    futures = [auto.submit(tasks.die, os.getpid()) for _ in range(12)]
    outcomes = {type(future.exception()) for future in futures}
    assert outcomes <= {WorkerDied, type(None)}
    assert WorkerDied in outcomes
    assert auto.submit(tasks.compute, 10).result() == tasks.compute(10)


def test_without_processes_calls_run_in_threads(chooser):
    with_a_lock = {"initializer": str, "initargs": (threading.Lock(),)}
    auto = chooser(start_method="spawn", **with_a_lock)
    futures = [auto.submit(tasks.pid_and_compute, 100_000) for _ in range(12)]
    assert {future.result() for future in futures} == {os.getpid()}
    told = learned(auto, tasks.pid_and_compute, 100_000)
    assert "processes can't be had: TypeError" in told.reason
    with pytest.raises(TypeError, match="lock"):
        auto.with_options(where="processes").submit(tasks.compute, 1).result()


def test_an_executor_is_not_sent_to_a_process(auto):
    with pytest.raises(TypeError, match="can't be sent to another process"):
        auto.with_options(where="processes").submit(lambda executor: None, auto).result()


def test_a_place_can_be_fixed(auto):
    here = auto.with_options(where="threads")
    there = auto.with_options(where="processes")
    for _ in range(3):
        assert here.submit(tasks.pid_and_compute, 100_000).result() == os.getpid()
        assert there.submit(tasks.nothing).result() != os.getpid()
    assert set(here.map(tasks.pid_and_compute, [1, 2])) == {os.getpid()}


def test_a_timeout_is_for_processes(auto):
    import time

    with pytest.raises(TaskTimeout):
        auto.with_options(timeout=0.05).submit(time.sleep, 60).result()
    with pytest.raises(ValueError, match="a running thread cannot be stopped"):
        auto.with_options(timeout=1, where="threads")
    with pytest.raises(TypeError, match="lock"):
        auto.with_options(timeout=60).submit(tasks.compute_with, threading.Lock(), 1).result()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"where": "here"}, "where must be 'threads' or 'processes'"),
        ({"priority": 1.5}, "priority must be an integer"),
        ({"retries": -1}, "retries must be"),
        ({"timeout": 0}, "timeout must be"),
    ],
)
def test_options_that_mean_nothing_are_refused_at_once(auto, options, word):
    with pytest.raises((TypeError, ValueError), match=word):
        auto.with_options(**options)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"max_threads": 0}, "max_threads must be greater than 0"),
        ({"max_processes": -1}, "max_processes must be greater than 0"),
        ({"max_workers": "2"}, "max_workers must be an integer"),
        ({"initializer": 1}, "initializer must be a callable"),
        ({"start_method": "magic"}, "start_method must be one of"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_at_once(arguments, word):
    with pytest.raises((TypeError, ValueError), match=word):
        AutoExecutor(**arguments)


def test_retries_are_counted_in_threads_and_processes(chooser, tmp_path):
    auto = chooser()
    for place in ("threads", "processes"):
        marks = tmp_path / place
        marks.mkdir()

        def flaky(folder=str(marks)):
            count = len(os.listdir(folder))
            open(os.path.join(folder, str(count)), "w").close()
            if count < 2:
                raise OSError("not yet")
            return count

        assert auto.with_options(where=place, retries=3, retry_on=OSError).submit(flaky).result() == 2


def test_names_are_counted_over_both(auto):
    view = auto.with_options(name="job")
    wait([view.submit(tasks.pid_and_compute, 100_000) for _ in range(20)])
    stats = auto.stats()
    assert stats.tasks["job"].calls == 20
    assert (stats.submitted, stats.done, stats.failed, stats.pending) == (20, 20, 0, 0)
