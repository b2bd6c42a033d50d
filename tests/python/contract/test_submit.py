"""submit() and the future it returns, over every executor."""

import asyncio
import traceback

import pytest
import subject
from eventually import eventually
from subject import futures


def add(a, b=0, *rest, c=0, **more):
    return a + b + c + sum(rest) + sum(more.values())


def keywords(**kwargs):
    return kwargs


def raise_it(error):
    raise error


def deep_down():
    raise ZeroDivisionError("from deep down")


def calls_deep_down():
    deep_down()


class Falsy(Exception):
    def __bool__(self):
        return False


def test_a_submitted_call_returns_a_standard_future(executor):
    assert isinstance(executor.submit(add, 1), subject.StdFuture)


def test_positional_and_keyword_arguments_reach_the_function(executor):
    assert executor.submit(add, 1, 2, 3, c=4, d=5).result() == 15


def test_no_parameter_name_is_taken_from_the_user(executor):
    given = {"self": 1, "fn": 2, "args": 3, "kwargs": 4, "timeout": 5, "priority": 6}
    assert executor.submit(keywords, **given).result() == given


def test_the_function_is_positional_only_and_required(executor):
    with pytest.raises(TypeError):
        executor.submit()
    with pytest.raises(TypeError):
        executor.submit(fn=add)


def test_an_object_that_cannot_be_called_fails_its_future_only(executor):
    assert isinstance(executor.submit(1).exception(), TypeError)
    assert executor.submit(add, 1).result() == 1


def test_the_result_is_the_very_object(thread_kind, make):
    thing = object()
    assert make(1).submit(lambda: thing).result() is thing


def test_none_is_a_result(executor):
    future = executor.submit(keywords().get, "missing")
    assert future.result() is None
    assert future.exception() is None
    assert future.done()


def test_an_exception_is_raised_by_result_and_returned_by_exception(executor):
    future = executor.submit(raise_it, KeyError("lost"))
    with pytest.raises(KeyError, match="lost"):
        future.result()
    assert isinstance(future.exception(), KeyError)
    assert future.done()
    assert not future.cancelled()


def test_the_very_exception_is_kept(thread_kind, make):
    error = ValueError("kept")
    future = make(1).submit(raise_it, error)
    assert future.exception() is error
    with pytest.raises(ValueError) as caught:
        future.result()
    assert caught.value is error


def test_the_traceback_names_the_functions_of_the_task(executor):
    future = executor.submit(calls_deep_down)
    with pytest.raises(ZeroDivisionError) as caught:
        future.result()
    text = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert "in calls_deep_down" in text
    assert "in deep_down" in text


def test_the_traceback_of_an_exception_starts_in_the_task(thread_kind, make):
    error = make(1).submit(calls_deep_down).exception()
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-2:] == ["calls_deep_down", "deep_down"]


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(1), asyncio.CancelledError()], ids=repr
)
def test_every_kind_of_exception_belongs_to_its_future(thread_kind, make, error):
    executor = make(1)
    future = executor.submit(raise_it, error)
    assert future.exception() is error
    with pytest.raises(type(error)):
        future.result()
    assert executor.submit(add, 1).result() == 1


@pytest.mark.skipif(not subject.API_OF_3_14, reason="the standard library raises it from 3.14 on")
def test_an_exception_that_counts_as_false_is_still_raised(executor):
    future = executor.submit(raise_it, Falsy())
    with pytest.raises(Falsy):
        future.result()
    assert isinstance(future.exception(), Falsy)


def test_a_concurrent_cancelled_error_raised_by_the_task_is_its_exception(executor):
    future = executor.submit(raise_it, futures.CancelledError())
    with pytest.raises(futures.CancelledError):
        future.result()
    assert not future.cancelled()


def test_one_worker_takes_tasks_in_order(thread_kind, make):
    executor, seen = make(1), []
    for future in [executor.submit(seen.append, number) for number in range(200)]:
        future.result()
    assert seen == list(range(200))


def test_many_results_come_to_their_own_futures(executor):
    submitted = [executor.submit(add, number, 1) for number in range(2000)]
    assert [future.result() for future in submitted] == list(range(1, 2001))


def test_a_running_task_says_so(executor, gate):
    future = executor.submit(gate.wait)
    assert eventually(future.running)
    assert not future.done()
    assert not future.cancelled()
    gate.set()
    assert future.result() is True
    assert not future.running()
    assert future.done()


def test_a_waiting_task_can_be_cancelled_and_never_runs(thread_kind, blocked, gate):
    seen = []
    future = blocked.submit(seen.append, 1)
    assert not future.running()
    assert future.cancel() is True
    assert future.cancel() is True
    assert future.cancelled()
    assert future.done()
    gate.set()
    blocked.shutdown()
    assert seen == []
    assert future.cancelled()


def test_a_cancelled_future_raises_the_standard_error(thread_kind, blocked):
    future = blocked.submit(add, 1)
    future.cancel()
    with pytest.raises(futures.CancelledError):
        future.result()
    with pytest.raises(futures.CancelledError):
        future.exception()
    with pytest.raises(futures.CancelledError):
        future.result(timeout=0)


def test_a_running_task_cannot_be_cancelled(executor, gate):
    future = executor.submit(gate.wait)
    assert eventually(future.running)
    assert future.cancel() is False
    gate.set()
    assert future.result() is True


def test_a_finished_task_cannot_be_cancelled(executor):
    future = executor.submit(add, 1)
    future.result()
    assert future.cancel() is False
    assert future.result() == 1


def test_cancelling_one_task_leaves_its_neighbours_alone(thread_kind, blocked, gate):
    submitted = [blocked.submit(add, number) for number in range(10)]
    for future in submitted[::2]:
        assert future.cancel()
    gate.set()
    assert [future.result() for future in submitted[1::2]] == [1, 3, 5, 7, 9]
    assert all(future.cancelled() for future in submitted[::2])


def test_result_with_a_timeout_raises_the_standard_error_and_can_be_asked_again(executor, gate):
    future = executor.submit(gate.wait)
    for timeout in (0, 0.01, -1):
        with pytest.raises(futures.TimeoutError):
            future.result(timeout=timeout)
        with pytest.raises(futures.TimeoutError):
            future.exception(timeout)
    gate.set()
    assert future.result(timeout=1000) is True
    assert future.exception(timeout=0) is None


def test_a_task_may_submit_to_its_own_executor(thread_kind, make):
    executor = make(2)
    inner = executor.submit(lambda: executor.submit(add, 20, 22)).result()
    assert inner.result() == 42
