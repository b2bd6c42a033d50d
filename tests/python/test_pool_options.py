"""with_options(): priorities, retries, names, and what is refused."""

import concurrent.futures
import threading
import traceback

import pytest
from subject import REFERENCE, Future

pytestmark = pytest.mark.skipif(REFERENCE, reason="beyond the standard library")


class Flaky:
    """Fails `failures` times, then succeeds."""

    def __init__(self, failures, error=ValueError):
        self.failures = failures
        self.error = error
        self.calls = 0

    def __call__(self, *args):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error(f"call {self.calls}")
        return self.calls


def test_a_view_is_an_executor_on_the_same_pool(make):
    executor = make(1, "shared")
    view = executor.with_options(priority=1)
    assert isinstance(view, concurrent.futures.Executor)
    future = view.submit(pow, 2, 5)
    assert isinstance(future, Future)
    assert future.result() == 32
    assert view.submit(lambda: threading.current_thread().name).result() == "shared_0"
    assert list(view.map(abs, [-1, -2])) == [1, 2]


def test_options_are_keyword_only(make):
    with pytest.raises(TypeError):
        make(1).with_options(3)


def test_a_view_takes_no_argument_from_the_user(make):
    view = make(1).with_options(priority=1, name="mine")
    given = {"priority": 5, "retries": 6, "name": 7, "timeout": 8, "fn": 9, "self": 10}
    assert view.submit(lambda **kwargs: kwargs, **given).result() == given


def test_smaller_priorities_run_first(blocked, gate):
    order = []
    for priority in (5, -1, 3, 0, 4, -7):
        blocked.with_options(priority=priority).submit(order.append, priority)
    gate.set()
    blocked.shutdown()
    assert order == [-7, -1, 0, 3, 4, 5]


def test_equal_priorities_run_in_order(blocked, gate):
    order = []
    urgent, plain = blocked.with_options(priority=-1), blocked.with_options()
    for number in range(20):
        (urgent if number % 2 else plain).submit(order.append, number)
    gate.set()
    blocked.shutdown()
    assert order == [*range(1, 20, 2), *range(0, 20, 2)]


def test_the_pool_itself_submits_with_priority_zero(blocked, gate):
    order = []
    blocked.with_options(priority=1).submit(order.append, "later")
    blocked.submit(order.append, "first")
    blocked.with_options(priority=0).submit(order.append, "second")
    blocked.with_options(priority=-1).submit(order.append, "before all")
    gate.set()
    blocked.shutdown()
    assert order == ["before all", "first", "second", "later"]


def test_map_keeps_the_priority(blocked, gate):
    order = []
    results = blocked.with_options(priority=2).map(order.append, [1, 2])
    urgent = blocked.with_options(priority=-2).map(order.append, [3, 4])
    gate.set()
    list(results), list(urgent)
    assert order == [3, 4, 1, 2]


def test_a_prioritised_task_can_be_cancelled(blocked, gate):
    seen = []
    first = blocked.with_options(priority=-1).submit(seen.append, 1)
    second = blocked.with_options(priority=-2).submit(seen.append, 2)
    assert first.cancel()
    gate.set()
    blocked.shutdown()
    assert second.done()
    assert seen == [2]


def test_cancel_futures_reaches_every_priority(blocked):
    submitted = [blocked.with_options(priority=number).submit(int) for number in (-2, 0, 2)]
    blocked.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in submitted)


def test_the_work_queue_counts_every_priority(blocked):
    for number in (-2, 0, 2):
        blocked.with_options(priority=number).submit(int)
    assert blocked._work_queue.qsize() == 3


@pytest.mark.parametrize(("failures", "retries"), [(0, 0), (0, 3), (1, 1), (2, 5), (5, 5)])
def test_a_task_is_retried_until_it_succeeds(make, failures, retries):
    flaky = Flaky(failures)
    assert make(1).with_options(retries=retries).submit(flaky).result() == failures + 1
    assert flaky.calls == failures + 1


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_the_last_exception_is_raised_when_the_retries_are_used_up(make, retries):
    flaky = Flaky(100)
    future = make(1).with_options(retries=retries).submit(flaky)
    with pytest.raises(ValueError, match=f"call {retries + 1}"):
        future.result()
    assert flaky.calls == retries + 1


def test_only_matching_exceptions_are_retried(make):
    flaky = Flaky(1, KeyError)
    assert isinstance(make(1).with_options(retries=3, retry_on=OSError).submit(flaky).exception(), KeyError)
    assert flaky.calls == 1


def test_subclasses_and_tuples_of_exceptions_match(make):
    executor = make(1)
    assert executor.with_options(retries=1, retry_on=OSError).submit(Flaky(1, ConnectionError)).result() == 2
    assert executor.with_options(retries=1, retry_on=(KeyError, OSError)).submit(Flaky(1, TimeoutError)).result() == 2
    both = executor.with_options(retries=1, retry_on=(KeyError, OSError))
    assert isinstance(both.submit(Flaky(1, ValueError)).exception(), ValueError)


def test_leaving_is_not_retried(make):
    for error in (SystemExit, KeyboardInterrupt):
        flaky = Flaky(1, error)
        assert isinstance(make(1).with_options(retries=3).submit(flaky).exception(), error)
        assert flaky.calls == 1


def test_retries_run_at_once_in_the_same_thread(make):
    executor, threads = make(4), []

    def note():
        threads.append(threading.get_ident())
        if len(threads) < 4:
            raise ValueError

    executor.with_options(retries=3).submit(note).result()
    assert len(threads) == 4
    assert len(set(threads)) == 1


def test_no_trace_of_earlier_attempts_is_in_the_traceback(make):
    future = make(1).with_options(retries=2).submit(Flaky(100))
    error = future.exception()
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)].count("__call__") == 1


def test_callbacks_run_once_after_the_last_attempt(blocked, gate):
    seen, flaky = [], Flaky(2)
    future = blocked.with_options(retries=2).submit(flaky)
    future.add_done_callback(lambda done: seen.append(done.result()))
    gate.set()
    blocked.shutdown()
    assert seen == [3]


def test_map_retries_each_of_its_calls(make):
    failed = set()

    def once(number):
        if number not in failed:
            failed.add(number)
            raise ValueError(number)
        return number

    assert list(make(2).with_options(retries=1).map(once, range(20))) == list(range(20))


def test_the_name_is_in_the_repr(blocked):
    future = blocked.with_options(name="resize").submit(int)
    assert "resize" in repr(future)
    assert repr(future).startswith(f"<Future at {id(future):#x} ")
    assert "state=pending" in repr(future)


def test_the_name_meters_the_task(make):
    executor = make(1)
    view = executor.with_options(name="resize")
    for _ in range(5):
        view.submit(int).result()
    executor.with_options(name="other").submit(int).result()
    tasks = executor.stats().tasks
    assert tasks["resize"].calls == 5
    assert tasks["other"].calls == 1
    assert tasks["resize"].wall >= 0
    assert tasks["resize"].cpu >= 0


def test_a_timeout_is_refused_with_the_reason_and_an_alternative(make):
    with pytest.raises(ValueError) as caught:
        make(1).with_options(timeout=3)
    text = str(caught.value).lower()
    assert "thread" in text
    assert "stop" in text
    assert "process" in text or "result(timeout" in text


def test_an_unknown_option_is_refused(make):
    with pytest.raises(TypeError):
        make(1).with_options(colour="green")


@pytest.mark.parametrize(
    "options", [{"priority": "high"}, {"retries": "two"}, {"retry_on": "ValueError"}, {"retry_on": [1]}, {"name": 3}]
)
def test_an_option_of_the_wrong_type_is_refused_at_once(make, options):
    with pytest.raises(TypeError):
        make(1).with_options(**options)


def test_fewer_than_no_retries_are_refused(make):
    with pytest.raises(ValueError):
        make(1).with_options(retries=-1)


def test_a_view_cannot_be_shut_down(make):
    executor = make(1)
    view = executor.with_options(priority=1)
    with pytest.raises(RuntimeError, match="view"):
        view.shutdown()
    with pytest.raises(RuntimeError, match="view"):
        view.shutdown(wait=False, cancel_futures=True)
    assert executor.submit(abs, -1).result() == 1
    assert view.submit(abs, -1).result() == 1


def test_a_view_refuses_work_once_its_pool_is_shut_down(make):
    executor = make(1)
    view = executor.with_options(priority=1)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        view.submit(int)


def test_many_views_share_the_workers(make):
    executor = make(2, "crowd")
    futures = [
        executor.with_options(priority=number, name=f"n{number % 3}").submit(abs, number) for number in range(200)
    ]
    assert [future.result() for future in futures] == list(range(200))
    executor.shutdown()
    assert sum(task.calls for task in executor.stats().tasks.values()) == 200
