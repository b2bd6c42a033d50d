"""add_done_callback(), over every thread executor."""

import threading

import pytest
from eventually import eventually


def fail():
    raise ValueError("as ordered")


def fail_calling(future):
    raise KeyError("from the callback")


def test_a_callback_gets_the_finished_future(thread_kind, blocked, gate):
    seen = []
    future = blocked.submit(abs, -1)
    future.add_done_callback(lambda done: seen.append((done, done.done(), done.result())))
    gate.set()
    blocked.shutdown()
    assert seen == [(future, True, 1)]


def test_callbacks_run_in_the_order_they_were_added_and_once(thread_kind, blocked, gate):
    seen = []
    future = blocked.submit(abs, -1)
    for number in range(20):
        future.add_done_callback(lambda _, number=number: seen.append(number))
    gate.set()
    blocked.shutdown()
    assert seen == list(range(20))


def test_the_same_callback_added_twice_runs_twice(thread_kind, blocked, gate):
    seen = []
    future = blocked.submit(abs, -1)
    future.add_done_callback(seen.append)
    future.add_done_callback(seen.append)
    gate.set()
    blocked.shutdown()
    assert seen == [future, future]


def test_callbacks_run_for_failures_too(thread_kind, blocked, gate):
    seen = []
    future = blocked.submit(fail)
    future.add_done_callback(lambda done: seen.append(type(done.exception())))
    gate.set()
    blocked.shutdown()
    assert seen == [ValueError]


def test_callbacks_run_in_the_thread_that_completes(thread_kind, blocked, gate):
    seen = []
    future = blocked.submit(threading.get_ident)
    future.add_done_callback(lambda _: seen.append(threading.get_ident()))
    gate.set()
    blocked.shutdown()
    assert seen == [future.result()]
    assert seen != [threading.get_ident()]


def test_a_callback_added_to_a_finished_future_runs_at_once_in_its_caller(executor):
    future = executor.submit(abs, -1)
    future.result()
    seen = []
    future.add_done_callback(lambda _: seen.append(threading.get_ident()))
    assert seen == [threading.get_ident()]


def test_cancelling_runs_the_callbacks_at_once_and_once(thread_kind, blocked, gate):
    seen = []
    future = blocked.submit(abs, -1)
    future.add_done_callback(lambda done: seen.append((done.cancelled(), threading.get_ident())))
    future.cancel()
    assert seen == [(True, threading.get_ident())]
    future.cancel()
    gate.set()
    blocked.shutdown()
    assert len(seen) == 1


def test_a_callback_added_to_a_cancelled_future_runs_at_once(thread_kind, blocked):
    future = blocked.submit(abs, -1)
    future.cancel()
    seen = []
    future.add_done_callback(seen.append)
    assert seen == [future]


def test_shutdown_that_cancels_runs_the_callbacks(thread_kind, blocked):
    seen = []
    future = blocked.submit(abs, -1)
    future.add_done_callback(seen.append)
    blocked.shutdown(wait=False, cancel_futures=True)
    assert seen == [future]


def test_a_failing_callback_is_logged_and_the_next_one_runs(thread_kind, blocked, gate, caplog):
    seen = []
    future = blocked.submit(abs, -1)
    future.add_done_callback(fail_calling)
    future.add_done_callback(seen.append)
    with caplog.at_level("ERROR", "concurrent.futures"):
        gate.set()
        blocked.shutdown()
    assert seen == [future]
    assert future.result() == 1
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("concurrent.futures", "ERROR")
    assert record.getMessage().startswith("exception calling callback for <Future at 0x")
    assert isinstance(record.exc_info[1], KeyError)


def test_a_callback_that_fails_on_a_finished_future_is_logged_not_raised(executor, caplog):
    future = executor.submit(abs, -1)
    future.result()
    with caplog.at_level("ERROR", "concurrent.futures"):
        future.add_done_callback(fail_calling)
    assert "exception calling callback" in caplog.text
    assert "from the callback" in caplog.text


def test_the_worker_survives_a_failing_callback(thread_kind, blocked, gate, caplog):
    future = blocked.submit(abs, -1)
    future.add_done_callback(fail_calling)
    later = blocked.submit(abs, -2)
    gate.set()
    assert later.result() == 2


def test_a_callback_may_submit(thread_kind, blocked, gate):
    chained = []
    future = blocked.submit(abs, -1)
    future.add_done_callback(lambda done: chained.append(blocked.submit(abs, done.result() - 8)))
    gate.set()
    assert eventually(lambda: chained)
    assert chained[0].result() == 7


def test_a_callback_may_add_another(thread_kind, blocked, gate):
    seen = []
    future = blocked.submit(abs, -1)
    future.add_done_callback(lambda done: done.add_done_callback(seen.append))
    gate.set()
    assert eventually(lambda: seen == [future])


def test_a_result_is_there_before_its_callbacks_end(thread_kind, blocked, gate):
    release = threading.Event()
    future = blocked.submit(abs, -1)
    future.add_done_callback(lambda _: release.wait())
    gate.set()
    try:
        assert future.result() == 1
    finally:
        release.set()


def test_many_threads_add_callbacks_while_the_future_finishes(thread_kind, make):
    executor, counts = make(2), []
    for _ in range(50):
        seen = []
        future = executor.submit(abs, -1)
        threads = [threading.Thread(target=future.add_done_callback, args=(seen.append,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        future.result()
        assert eventually(lambda seen=seen: len(seen) == 4)
        counts.append(len(seen))
    assert counts == [4] * 50


def test_what_is_no_callable_is_logged_when_it_is_called(thread_kind, executor, caplog):
    future = executor.submit(abs, -1)
    future.result()
    with caplog.at_level("ERROR", "concurrent.futures"):
        future.add_done_callback(None)
    assert "not callable" in caplog.text


@pytest.mark.parametrize("count", [1, 1000])
def test_each_of_many_futures_calls_back(thread_kind, make, count):
    executor, seen = make(2), []
    for number in range(count):
        executor.submit(abs, number).add_done_callback(lambda done: seen.append(done.result()))
    executor.shutdown()
    assert sorted(seen) == list(range(count))
