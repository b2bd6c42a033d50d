"""as_completed(), ours and the standard library's, over every executor's futures."""

import itertools
import threading
import weakref

import pytest
from eventually import eventually
from subject import Future, StdExecutor, StdFuture, futures


def square(number):
    return number * number


def fail():
    raise ValueError("as ordered")


class Thing:
    """Something that can be watched disappearing."""


def test_nothing_completes_of_nothing(as_completed):
    assert list(as_completed([])) == []


def test_every_future_comes_once(executor, as_completed):
    submitted = [executor.submit(square, number) for number in range(200)]
    seen = list(as_completed(submitted))
    assert len(seen) == 200
    assert set(seen) == set(submitted)
    assert all(future.done() for future in seen)


def test_duplicates_come_once(executor, as_completed):
    future = executor.submit(square, 2)
    assert list(as_completed(itertools.repeat(future, 5))) == [future]
    assert list(as_completed([future, future])) == [future]


def test_exceptions_complete_too(executor, as_completed):
    submitted = [executor.submit(fail), executor.submit(square, 1)]
    assert set(as_completed(submitted)) == set(submitted)


def test_what_is_done_comes_before_what_is_not(blocked, executor, gate, as_completed):
    ready = executor.submit(square, 2)
    ready.result()
    pending = blocked.submit(square, 3)
    completed = as_completed([pending, ready])
    assert next(completed) is ready
    gate.set()
    assert next(completed) is pending
    with pytest.raises(StopIteration):
        next(completed)


def test_futures_come_in_the_order_of_their_completion(as_completed):
    made = [Future() for _ in range(6)]
    order = [made[index] for index in (3, 0, 5, 1, 4, 2)]
    completed = as_completed(made, timeout=1000)

    def finish():
        for future in order:
            future.set_result(None)

    # A first step that finds nothing done, so that the completions reach a waiter that is already there.
    first = Future()
    starter = threading.Timer(0.01, finish)
    starter.start()
    seen = list(completed)
    starter.join()
    assert set(seen) == set(order)
    assert first not in seen


def test_completions_after_the_first_step_keep_their_order(as_completed):
    made = [Future() for _ in range(7)]
    made[0].set_result(None)
    completed = as_completed(made)
    assert next(completed) is made[0]
    order = [made[index] for index in (3, 6, 5, 1, 4, 2)]
    for future in order:
        future.set_result(None)
    assert list(completed) == order


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_timeout_counts_what_is_missing(blocked, executor, as_completed, timeout):
    ready = executor.submit(square, 2)
    ready.result()
    pending = [blocked.submit(square, number) for number in range(2)]
    seen = []
    with pytest.raises(futures.TimeoutError, match=r"2 \(of 3\) futures unfinished"):
        for future in as_completed([*pending, ready], timeout=timeout):
            seen.append(future)
    assert seen == [ready]


def test_a_timeout_counts_duplicates_once(blocked, as_completed):
    future = blocked.submit(square, 1)
    with pytest.raises(futures.TimeoutError, match=r"1 \(of 1\) futures unfinished"):
        list(as_completed([future] * 4, timeout=0))


def test_a_timeout_leaves_no_trace_on_the_futures(blocked, gate, as_completed):
    future = blocked.submit(square, 6)
    with pytest.raises(futures.TimeoutError):
        list(as_completed([future], timeout=0))
    assert list(future._waiters) == []
    gate.set()
    assert list(as_completed([future])) == [future]


def test_an_iterator_that_is_left_early_leaves_no_trace(blocked, executor, gate, as_completed):
    pending = blocked.submit(square, 1)
    completed = as_completed([executor.submit(square, 2), pending])
    next(completed)
    completed.close()
    assert list(pending._waiters) == []
    gate.set()
    assert pending.result() == 1


def test_a_cancelled_task_completes(thread_kind, blocked, gate, as_completed):
    submitted = [blocked.submit(square, number) for number in range(4)]
    assert submitted[2].cancel()
    gate.set()
    assert set(as_completed(submitted)) == set(submitted)


def test_a_cancellation_that_was_notified_completes_a_waiter(as_completed):
    future = Future()
    future.cancel()

    def notify():
        future.set_running_or_notify_cancel()

    notifier = threading.Timer(0.01, notify)
    notifier.start()
    assert list(as_completed([future])) == [future]
    notifier.join()


def test_futures_of_both_libraries_complete_together(executor, as_completed):
    with StdExecutor(1) as std:
        mixed = [executor.submit(square, number) for number in range(20)]
        mixed += [std.submit(square, number) for number in range(20)]
        assert set(as_completed(mixed)) == set(mixed)


def test_a_standard_future_wakes_a_waiter_beside_ours(blocked, gate, as_completed):
    ours, theirs = blocked.submit(square, 1), StdFuture()
    completed = as_completed([ours, theirs])
    finisher = threading.Timer(0.01, theirs.set_result, [1])
    finisher.start()
    assert next(completed) is theirs
    finisher.join()
    gate.set()
    assert next(completed) is ours


def test_finished_futures_are_let_go_while_the_loop_goes_on(executor, as_completed):
    submitted = [executor.submit(Thing) for _ in range(20)]
    futures.wait(submitted)
    references = []
    for future in as_completed([submitted.pop() for _ in range(20)]):
        references.append((weakref.ref(future), weakref.ref(future.result())))
        del future
        # The worker may still be putting its own reference down.
        assert eventually(lambda: all(ref() is None and value() is None for ref, value in references))
    assert len(references) == 20


def test_futures_that_finish_meanwhile_are_let_go_too(as_completed):
    made = [Future() for _ in range(10)]
    watched = [weakref.ref(future) for future in made]
    completed = as_completed(made)
    made[0].set_result(Thing())
    value = weakref.ref(next(completed).result())
    for future in made[1:]:
        future.set_result(Thing())
    del future
    made.clear()
    assert value() is None
    for _ in range(9):
        next(completed)
    assert [ref() for ref in watched] == [None] * 10
    assert list(completed) == []


def test_asking_again_at_each_step_still_ends(executor, as_completed):
    pending = {executor.submit(square, number) for number in range(50)}
    seen = 0
    while pending:
        pending.remove(next(as_completed(pending)))
        seen += 1
    assert seen == 50
