"""Initializers: run once in each worker, and their failures, over every thread executor."""

import concurrent.futures
import threading

import pytest
from eventually import eventually


def test_the_initializer_runs_before_the_first_task_in_its_worker(thread_kind, make):
    place = threading.local()

    def prepare(value):
        place.value = value

    executor = make(2, initializer=prepare, initargs=(42,))
    assert set(executor.map(lambda _: place.value, range(100))) == {42}


def test_the_initializer_runs_once_in_each_worker(thread_kind, make):
    ran = []
    executor = make(3, initializer=lambda: ran.append(threading.get_ident()))
    barrier = threading.Barrier(3)
    workers = {
        future.result()
        for future in [executor.submit(lambda: (barrier.wait(), threading.get_ident())[1]) for _ in range(3)]
    }
    list(executor.map(abs, range(100)))
    assert len(ran) == 3
    assert set(ran) == workers


def test_the_initializer_does_not_run_without_work(thread_kind, make):
    ran = []
    make(2, initializer=ran.append, initargs=(1,)).shutdown()
    assert ran == []


def fail():
    raise ValueError("no start today")


@pytest.fixture
def broken(thread_kind, make, gate, caplog):
    """A pool whose only worker fails to start once the gate opens; five tasks wait for it."""

    def fail_at_the_gate():
        gate.wait()
        fail()

    executor = make(1, initializer=fail_at_the_gate)
    return executor, [executor.submit(abs, number) for number in range(5)]


def test_a_failing_initializer_breaks_what_waits(thread_kind, broken, gate):
    _, submitted = broken
    gate.set()
    for future in submitted:
        with pytest.raises(thread_kind.broken):
            future.result()


def test_a_failing_initializer_breaks_what_comes_later(thread_kind, broken, gate):
    executor, submitted = broken
    gate.set()
    futures = [future.exception() for future in submitted]
    assert all(isinstance(error, thread_kind.broken) for error in futures)
    with pytest.raises(thread_kind.broken, match="initializer failed"):
        executor.submit(abs, 1)
    with pytest.raises(thread_kind.broken):
        executor.map(abs, [1])
    assert executor._broken


def test_the_error_is_a_broken_executor(thread_kind, broken, gate):
    assert issubclass(thread_kind.broken, concurrent.futures.BrokenExecutor)
    _, submitted = broken
    gate.set()
    with pytest.raises(concurrent.futures.BrokenExecutor):
        submitted[0].result()


def test_the_reason_is_logged_with_its_traceback(thread_kind, broken, gate, caplog):
    _, submitted = broken
    with caplog.at_level("CRITICAL", "concurrent.futures"):
        gate.set()
        submitted[0].exception()
    records = [record for record in caplog.records if record.name == "concurrent.futures"]
    assert any("Exception in initializer" in record.getMessage() for record in records)
    assert any(record.exc_info and "no start today" in str(record.exc_info[1]) for record in records)


def test_a_broken_pool_still_shuts_down(thread_kind, broken, gate):
    executor, submitted = broken
    gate.set()
    submitted[0].exception()
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(abs, 1)


def test_waiters_see_the_break(thread_kind, broken, gate, wait):
    _, submitted = broken
    gate.set()
    assert wait(submitted).done == set(submitted)


def test_cancelled_tasks_of_a_broken_pool_stay_cancelled(thread_kind, make, gate, caplog):
    def fail_at_the_gate():
        gate.wait()
        fail()

    executor = make(1, initializer=fail_at_the_gate)
    kept, cancelled = executor.submit(abs, 1), executor.submit(abs, 2)
    gate.set()
    assert isinstance(kept.exception(), thread_kind.broken)
    assert eventually(cancelled.done)
