"""The future's state machine, moved by hand as executors of other people move it."""

import concurrent.futures
import logging
import threading

import pytest
import subject
from subject import Future, futures

ERROR = ValueError("as ordered")


def pending():
    return Future()


def running():
    future = Future()
    assert future.set_running_or_notify_cancel() is True
    return future


def cancelled():
    future = Future()
    assert future.cancel() is True
    return future


def notified():
    future = cancelled()
    assert future.set_running_or_notify_cancel() is False
    return future


def finished():
    future = Future()
    future.set_result(42)
    return future


def failed():
    future = Future()
    future.set_exception(ERROR)
    return future


EVERY = [pending, running, cancelled, notified, finished, failed]
NAMES = ["PENDING", "RUNNING", "CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED", "FINISHED"]


def questions(future):
    return future.cancelled(), future.running(), future.done()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (pending, (False, False, False)),
        (running, (False, True, False)),
        (cancelled, (True, False, True)),
        (notified, (True, False, True)),
        (finished, (False, False, True)),
        (failed, (False, False, True)),
    ],
)
def test_each_state_answers_the_questions(make, expected):
    assert questions(make()) == expected


@pytest.mark.parametrize(("make", "name"), list(zip(EVERY, NAMES, strict=True)))
def test_each_state_has_the_standard_name(make, name):
    assert make()._state == name


@pytest.mark.parametrize(("make", "worked"), list(zip(EVERY, [True, False, True, True, False, False], strict=True)))
def test_cancel_works_until_the_work_begins(make, worked):
    future = make()
    state = future._state
    assert future.cancel() is worked
    assert future.cancel() is worked
    assert future._state == ("CANCELLED" if state == "PENDING" else state)


@pytest.mark.parametrize("make", [pending, running])
def test_a_result_can_be_set(make):
    future = make()
    assert future.set_result([1]) is None
    assert future.result() == [1]
    assert future.result(timeout=0) == [1]
    assert future.exception() is None


@pytest.mark.parametrize("make", [pending, running])
def test_an_exception_can_be_set(make):
    future = make()
    assert future.set_exception(ERROR) is None
    assert future.exception() is ERROR
    with pytest.raises(ValueError) as caught:
        future.result()
    assert caught.value is ERROR


@pytest.mark.parametrize("make", [cancelled, notified, finished, failed])
@pytest.mark.parametrize("method", ["set_result", "set_exception"])
def test_a_done_future_takes_no_second_outcome(make, method):
    future = make()
    before = future._state, future._result, future._exception
    with pytest.raises(futures.InvalidStateError) as caught:
        getattr(future, method)(KeyError("late"))
    assert str(caught.value) == f"{before[0]}: {future!r}"
    assert (future._state, future._result, future._exception) == before


def test_the_state_error_is_the_standard_one():
    assert futures.InvalidStateError is concurrent.futures.InvalidStateError
    assert futures.CancelledError is concurrent.futures.CancelledError
    assert futures.TimeoutError is concurrent.futures.TimeoutError
    assert futures.BrokenExecutor is concurrent.futures.BrokenExecutor


@pytest.mark.parametrize("make", [running, notified, finished, failed])
def test_work_cannot_begin_twice_or_after_the_end(make, caplog):
    future = make()
    state = future._state
    unexpected = pytest.raises(RuntimeError, match="Future in unexpected state")
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"), unexpected:
        future.set_running_or_notify_cancel()
    assert future._state == state
    (record,) = caplog.records
    assert record.levelname == "CRITICAL"
    assert record.getMessage().endswith(f" in unexpected state: {state}")


@pytest.mark.parametrize("make", [cancelled, notified])
def test_a_cancelled_future_raises(make):
    future = make()
    for ask in (future.result, future.exception):
        with pytest.raises(futures.CancelledError):
            ask()
        with pytest.raises(futures.CancelledError):
            ask(0)
        with pytest.raises(futures.CancelledError):
            ask(timeout=None)


@pytest.mark.parametrize("make", [pending, running])
@pytest.mark.parametrize("timeout", [0, 0.0, 0.005, -1, -0.5, False])
def test_an_unfinished_future_times_out(make, timeout):
    future = make()
    for ask in (future.result, future.exception):
        with pytest.raises(futures.TimeoutError):
            ask(timeout)
        with pytest.raises(futures.TimeoutError):
            ask(timeout=timeout)


def test_a_timeout_that_is_no_number_is_refused():
    with pytest.raises(TypeError):
        Future().result("1")
    with pytest.raises(TypeError):
        Future().exception([])


def test_a_very_long_timeout_is_taken():
    future = Future()
    timer = threading.Timer(0.01, future.set_result, [7])
    timer.start()
    assert future.result(timeout=1_000_000) == 7
    timer.join()


@pytest.mark.parametrize("value", [None, False, 0, "", Future, ERROR])
def test_any_object_is_a_result(value):
    future = Future()
    future.set_result(value)
    assert future.result() is value
    assert future.exception() is None


def test_no_exception_means_success_without_a_value():
    # The standard library stores what it is given: set_exception(None) finishes with the result None.
    future = Future()
    future.set_exception(None)
    assert future.exception() is None
    assert future.result() is None


def test_an_exception_class_is_raised_as_python_raises_one():
    # The standard library does not look at what it is given; `raise` makes an instance of a class.
    future = Future()
    future.set_exception(KeyError)
    with pytest.raises(KeyError):
        future.result()


def test_callbacks_are_listed_until_they_have_run():
    future = Future()
    future.add_done_callback(print)
    future.add_done_callback(repr)
    assert list(future._done_callbacks) == [print, repr]


def test_setting_runs_callbacks_in_order_and_once():
    seen = []
    future = Future()
    for number in range(5):
        future.add_done_callback(lambda done, number=number: seen.append((number, done)))
    future.set_result(1)
    assert seen == [(number, future) for number in range(5)]
    assert future.cancel() is False
    assert len(seen) == 5


def test_notifying_a_cancellation_runs_no_callback_again():
    seen = []
    future = Future()
    future.add_done_callback(seen.append)
    future.cancel()
    future.set_running_or_notify_cancel()
    assert seen == [future]


def test_a_cancelled_future_is_not_done_for_wait_until_it_is_notified():
    future = cancelled()
    for wait in (futures.wait, subject.std_wait):
        assert wait([future], timeout=0) == (set(), {future})
    future.set_running_or_notify_cancel()
    for wait in (futures.wait, subject.std_wait):
        assert wait([future], timeout=0) == ({future}, set())


def test_an_outcome_is_set_exactly_once_by_racing_threads():
    for _ in range(100):
        future, refused = Future(), []
        barrier = threading.Barrier(4)

        def race(number, future=future, refused=refused, barrier=barrier):
            barrier.wait()
            try:
                future.set_result(number)
            except futures.InvalidStateError:
                refused.append(number)

        threads = [threading.Thread(target=race, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted([future.result(), *refused]) == [0, 1, 2, 3]
