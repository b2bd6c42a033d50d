"""Construction, shutdown and the context manager, over every executor."""

import concurrent.futures
import threading

import pytest
from eventually import eventually


def square(number):
    return number * number


def test_an_executor_is_a_standard_executor(executor):
    assert isinstance(executor, concurrent.futures.Executor)


def test_a_thread_pool_is_a_standard_thread_pool(thread_kind, make):
    assert isinstance(make(1), thread_kind.standard)


@pytest.mark.parametrize("workers", [0, -1])
def test_a_pool_without_workers_is_refused(kind, workers):
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        kind(workers)
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        kind(max_workers=workers)


def test_a_count_of_workers_that_is_no_number_is_refused(kind):
    with pytest.raises(TypeError):
        kind("2")


def test_an_initializer_that_cannot_be_called_is_refused(kind):
    with pytest.raises(TypeError, match="initializer must be a callable"):
        kind(1, initializer=1)


def test_the_context_manager_is_the_executor_and_waits_for_its_tasks(kind):
    with kind(2) as executor:
        submitted = [executor.submit(square, number) for number in range(100)]
    assert all(future.done() for future in submitted)
    with pytest.raises(RuntimeError):
        executor.submit(square, 1)


def test_the_context_manager_does_not_swallow_an_error(kind):
    with pytest.raises(KeyError, match="mine"), kind(1) as executor:
        executor.submit(square, 1)
        raise KeyError("mine")
    with pytest.raises(RuntimeError):
        executor.submit(square, 1)


def test_an_executor_that_was_never_used_shuts_down(kind):
    executor = kind(2)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(square, 1)


def test_submit_after_shutdown_is_refused(executor):
    executor.submit(square, 1).result()
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(square, 1)


def test_shutdown_twice_does_nothing_more(executor):
    future = executor.submit(square, 3)
    assert executor.shutdown() is None
    assert executor.shutdown(wait=False) is None
    assert executor.shutdown(wait=True, cancel_futures=True) is None
    assert future.result() == 9


def test_shutdown_waits_for_what_was_submitted(executor):
    submitted = [executor.submit(square, number) for number in range(200)]
    executor.shutdown()
    assert [future.result(0) for future in submitted] == [number * number for number in range(200)]


def test_shutdown_without_waiting_leaves_the_tasks_to_finish(blocked, gate):
    submitted = [blocked.submit(square, number) for number in range(20)]
    blocked.shutdown(wait=False)
    assert not any(future.done() for future in submitted)
    with pytest.raises(RuntimeError):
        blocked.submit(square, 1)
    gate.set()
    assert [future.result() for future in submitted] == [number * number for number in range(20)]


def test_shutdown_can_cancel_what_has_not_begun(thread_kind, make, gate):
    executor = make(1)
    running = executor.submit(gate.wait)
    assert eventually(running.running)
    submitted = [executor.submit(square, number) for number in range(20)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in submitted)
    assert not running.cancelled()
    gate.set()
    assert running.result() is True


def test_cancelled_futures_wake_those_who_wait(thread_kind, make, gate):
    executor = make(1)
    running = executor.submit(gate.wait)
    assert eventually(running.running)
    waiting = executor.submit(square, 1)
    seen = []

    def wait_for_it():
        try:
            waiting.result()
        except concurrent.futures.CancelledError as error:
            seen.append(error)

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    executor.shutdown(wait=False, cancel_futures=True)
    thread.join()
    assert len(seen) == 1


def test_cancel_futures_is_keyword_only(executor):
    with pytest.raises(TypeError):
        executor.shutdown(True, True)


def test_the_threads_are_gone_after_shutdown(thread_kind, make):
    executor = make(3, "to-be-gone")
    list(executor.map(square, range(50)))
    executor.shutdown()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("to-be-gone")]


def test_the_threads_leave_by_themselves_after_a_shutdown_without_waiting(thread_kind, make):
    executor = make(3, "leaves")
    list(executor.map(square, range(50)))
    executor.shutdown(wait=False)
    assert eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("leaves")])


def test_a_second_shutdown_can_wait_where_the_first_did_not(thread_kind, make, gate):
    executor = make(1)
    future = executor.submit(gate.wait)
    executor.shutdown(wait=False)
    gate.set()
    executor.shutdown(wait=True)
    assert future.done()
    assert not any(thread.is_alive() for thread in executor._threads)


def test_a_task_may_shut_its_own_executor_down_without_waiting(thread_kind, make):
    executor = make(2)
    executor.submit(executor.shutdown, wait=False).result()
    with pytest.raises(RuntimeError):
        executor.submit(square, 1)


def test_two_threads_may_shut_down_at_once(thread_kind, make, gate):
    executor = make(2)
    future = executor.submit(gate.wait)
    threads = [threading.Thread(target=executor.shutdown) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert future.done()


def test_executors_do_not_share_their_shutdown(kind):
    with kind(1) as first, kind(1) as second:
        first.submit(square, 1).result()
        first.shutdown()
        assert second.submit(square, 2).result() == 4
