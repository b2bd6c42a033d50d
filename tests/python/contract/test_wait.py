"""wait(), ours and the standard library's, over every executor's futures."""

import threading

import pytest
from eventually import eventually
from subject import Future, StdExecutor, StdFuture, futures

ALL = futures.ALL_COMPLETED
FIRST = futures.FIRST_COMPLETED
FIRST_ERROR = futures.FIRST_EXCEPTION
MODES = [ALL, FIRST, FIRST_ERROR]


def square(number):
    return number * number


def fail():
    raise ValueError("as ordered")


def open_and_fail(gate):
    gate.set()
    raise ValueError("as ordered")


def test_the_modes_are_the_standard_librarys():
    assert MODES == ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"]


@pytest.mark.parametrize("mode", MODES)
def test_waiting_for_nothing_returns_at_once(wait, mode):
    outcome = wait([], return_when=mode)
    assert outcome.done == set()
    assert outcome.not_done == set()


def test_all_are_done_at_the_end(executor, wait):
    submitted = [executor.submit(square, number) for number in range(100)]
    done, not_done = wait(submitted)
    assert done == set(submitted)
    assert not_done == set()
    assert all(future.done() for future in submitted)


def test_the_outcome_is_a_named_pair(executor, wait):
    future = executor.submit(square, 2)
    outcome = wait([future])
    assert isinstance(outcome, tuple)
    assert (outcome.done, outcome.not_done) == ({future}, set())
    assert outcome._fields == ("done", "not_done")


def test_duplicates_are_returned_once(executor, wait):
    future = executor.submit(square, 2)
    done, not_done = wait([future, future, future])
    assert done == {future}
    assert not_done == set()


def test_any_iterable_of_futures_is_taken(executor, wait):
    submitted = {executor.submit(square, number) for number in range(5)}
    assert wait(iter(submitted)).done == submitted
    assert wait(frozenset(submitted)).done == submitted


def test_first_completed_returns_with_the_first(executor, gate, wait):
    held = executor.submit(gate.wait)
    quick = executor.submit(square, 3)
    done, not_done = wait([held, quick], return_when=FIRST)
    assert done == {quick}
    assert not_done == {held}


def test_first_completed_wakes_a_waiter_that_came_before(executor, gate, wait):
    submitted = [executor.submit(gate.wait) for _ in range(2)]
    opener = threading.Timer(0.01, gate.set)
    opener.start()
    done, not_done = wait(submitted, return_when=FIRST)
    opener.join()
    assert done
    assert done | not_done == set(submitted)


def test_first_completed_returns_what_is_already_done(blocked, executor, wait):
    ready = executor.submit(square, 3)
    ready.result()
    pending = blocked.submit(square, 4)
    done, not_done = wait([pending, ready], return_when=FIRST)
    assert (done, not_done) == ({ready}, {pending})


def test_first_exception_returns_with_the_exception(blocked, executor, wait):
    pending = blocked.submit(square, 1)
    fine = executor.submit(square, 2)
    fine.result()
    failing = executor.submit(fail)
    done, not_done = wait([pending, fine, failing], return_when=FIRST_ERROR)
    assert failing in done
    assert pending in not_done


def test_first_exception_wakes_a_waiter_that_came_before(thread_kind, make, gate, wait):
    executor = make(2)
    begun = threading.Event()

    def fail_late():
        begun.wait()
        raise ValueError("as ordered")

    held, failing = executor.submit(gate.wait), executor.submit(fail_late)
    starter = threading.Timer(0.01, begun.set)
    starter.start()
    done, not_done = wait([held, failing], return_when=FIRST_ERROR)
    starter.join()
    assert (done, not_done) == ({failing}, {held})


def test_first_exception_without_one_waits_for_all(executor, wait):
    submitted = [executor.submit(square, number) for number in range(20)]
    done, not_done = wait(submitted, return_when=FIRST_ERROR)
    assert (done, not_done) == (set(submitted), set())


def test_a_cancelled_future_is_no_exception_for_first_exception(wait):
    cancelled, pending = Future(), Future()
    cancelled.cancel()
    cancelled.set_running_or_notify_cancel()
    done, not_done = wait([cancelled, pending], timeout=0.01, return_when=FIRST_ERROR)
    assert (done, not_done) == ({cancelled}, {pending})


def test_exceptions_are_completions_too(executor, wait):
    submitted = [executor.submit(fail) for _ in range(10)]
    assert wait(submitted).done == set(submitted)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_a_timeout_returns_what_is_done_so_far(blocked, executor, wait, mode, timeout):
    pending = [blocked.submit(square, number) for number in range(3)]
    done, not_done = wait(pending, timeout=timeout, return_when=mode)
    assert (done, not_done) == (set(), set(pending))


def test_a_timeout_keeps_the_done_apart_from_the_pending(blocked, executor, wait):
    ready = executor.submit(square, 2)
    ready.result()
    pending = blocked.submit(square, 1)
    assert wait([ready, pending], timeout=0.01) == ({ready}, {pending})


def test_a_generous_timeout_does_not_disturb(executor, wait):
    submitted = [executor.submit(square, number) for number in range(10)]
    assert wait(submitted, timeout=1000).done == set(submitted)


def test_a_wait_that_timed_out_leaves_no_trace(blocked, gate, wait):
    future = blocked.submit(square, 6)
    for _ in range(5):
        wait([future], timeout=0)
    assert list(future._waiters) == []
    gate.set()
    assert future.result() == 36
    assert wait([future]).done == {future}


def test_an_unknown_mode_is_refused(wait):
    with pytest.raises(ValueError, match="Invalid return condition: 'SOMETIMES'"):
        wait([Future()], return_when="SOMETIMES")


def test_what_is_no_future_is_refused(wait):
    with pytest.raises((AttributeError, TypeError)):
        wait([object()], timeout=0)


def test_a_cancelled_task_is_done_once_the_executor_has_seen_it(thread_kind, blocked, gate, wait):
    future = blocked.submit(square, 1)
    other = blocked.submit(square, 2)
    assert future.cancel()
    gate.set()
    done, not_done = wait([future, other])
    assert (done, not_done) == ({future, other}, set())


def test_futures_of_both_libraries_wait_together(executor, wait):
    with StdExecutor(1) as std:
        mixed = [executor.submit(square, number) for number in range(20)]
        mixed += [std.submit(square, number) for number in range(20)]
        assert wait(mixed) == (set(mixed), set())


def test_the_first_of_both_libraries_wakes_the_waiter(blocked, executor, wait):
    ours, theirs = blocked.submit(square, 1), StdFuture()
    finisher = threading.Timer(0.01, theirs.set_result, [1])
    finisher.start()
    assert wait([ours, theirs], return_when=FIRST) == ({theirs}, {ours})
    finisher.join()
    pending, mine = StdFuture(), Future()
    finisher = threading.Timer(0.01, mine.set_result, [1])
    finisher.start()
    assert wait([pending, mine], return_when=FIRST) == ({mine}, {pending})
    finisher.join()


def test_many_threads_may_wait_for_the_same_futures(executor, gate, wait):
    submitted = [executor.submit(gate.wait) for _ in range(10)]
    outcomes = []
    waiters = [threading.Thread(target=lambda: outcomes.append(wait(submitted))) for _ in range(8)]
    for thread in waiters:
        thread.start()
    assert eventually(lambda: any(future.running() for future in submitted))
    gate.set()
    for thread in waiters:
        thread.join()
    assert outcomes == [(set(submitted), set())] * 8
