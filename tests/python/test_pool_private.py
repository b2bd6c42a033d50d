"""Attributes that public code reads although they are private answer truthfully."""

import concurrent.futures.thread
import copy
import pickle
import threading
import weakref

import pytest
from eventually import eventually
from subject import REFERENCE, ThreadPoolExecutor


def test_what_was_asked_for_is_told(make):
    executor = make(3, "told", print, ("hello",))
    assert executor._max_workers == 3
    assert executor._thread_name_prefix == "told"
    assert executor._initializer is print
    assert executor._initargs == ("hello",)


def test_what_was_not_asked_for_is_told_too(make):
    executor = make()
    assert executor._initializer is None
    assert executor._initargs == ()


def test_a_new_pool_is_neither_broken_nor_shut_down(make):
    executor = make(1)
    assert executor._broken is False
    assert executor._shutdown is False


def test_a_pool_says_that_it_is_shut_down(make):
    executor = make(1)
    executor.shutdown()
    assert executor._shutdown is True


def test_a_pool_says_why_it_is_broken(make, caplog):
    def fail():
        raise ValueError

    executor = make(1, initializer=fail)
    executor.submit(int).exception()
    assert "initializer failed" in executor._broken


def test_the_threads_are_a_set_of_threads(make, gate):
    executor = make(3)
    assert executor._threads == set()
    submitted = [executor.submit(gate.wait) for _ in range(2)]
    assert eventually(lambda: all(future.running() for future in submitted))
    assert isinstance(executor._threads, set)
    assert len(executor._threads) == 2
    assert all(isinstance(thread, threading.Thread) and thread.is_alive() for thread in executor._threads)


def test_the_work_queue_counts_what_waits(blocked, gate):
    assert blocked._work_queue.qsize() == 0
    assert blocked._work_queue.empty()
    submitted = [blocked.submit(int) for _ in range(7)]
    assert blocked._work_queue.qsize() == 7
    assert not blocked._work_queue.empty()
    gate.set()
    for future in submitted:
        future.result()
    assert eventually(blocked._work_queue.empty)
    assert blocked._work_queue.qsize() == 0


def test_the_idle_semaphore_counts_idle_threads(make, gate):
    executor = make(2)
    assert executor._idle_semaphore._value == 0
    submitted = [executor.submit(gate.wait) for _ in range(2)]
    assert eventually(lambda: all(future.running() for future in submitted))
    assert executor._idle_semaphore._value == 0
    gate.set()
    assert eventually(lambda: executor._idle_semaphore._value > 0)


def test_the_shutdown_lock_is_a_lock(make):
    executor = make(1)
    with executor._shutdown_lock:
        pass
    assert executor.submit(abs, -1).result() == 1


def test_whoever_holds_the_shutdown_lock_sees_a_consistent_pool(blocked):
    with blocked._shutdown_lock:
        assert blocked._shutdown is False
        assert blocked._work_queue.qsize() == 0


def test_the_threads_are_in_the_standard_register_that_exit_joins(make):
    executor = make(1)
    thread = executor.submit(threading.current_thread).result()
    assert thread in concurrent.futures.thread._threads_queues


def test_a_thread_can_be_taken_out_of_the_standard_register(make):
    # What public code does so that exit does not wait for a thread.
    executor = make(1)
    thread = executor.submit(threading.current_thread).result()
    assert concurrent.futures.thread._threads_queues.pop(thread) is not None
    assert executor.submit(abs, -1).result() == 1


def test_a_pool_can_be_referenced_weakly_and_takes_attributes(make):
    executor = make(1)
    executor.label = "mine"
    assert weakref.ref(executor)().label == "mine"


def test_a_shallow_copy_works_on_the_same_pool(make):
    executor = make(2, "copied")
    other = copy.copy(executor)
    assert type(other) is type(executor)
    assert other.submit(abs, -1).result() == 1
    assert executor.submit(abs, -2).result() == 2
    assert other._max_workers == 2
    # The standard library's copies share the queue, but each has its own mark: both must be told.
    executor.shutdown(wait=False)
    other.shutdown(wait=True)


def test_a_pool_cannot_be_pickled_or_copied_deeply(make):
    executor = make(1)
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(executor)
    with pytest.raises(TypeError, match="cannot pickle"):
        copy.deepcopy(executor)


def test_the_class_has_the_standard_name():
    assert ThreadPoolExecutor.__name__ == "ThreadPoolExecutor"


def test_the_class_of_the_module_is_the_class_of_the_package():
    if REFERENCE:
        assert concurrent.futures.thread.ThreadPoolExecutor is ThreadPoolExecutor
    else:
        import forkful
        import forkful.futures.thread

        assert forkful.ThreadPoolExecutor is ThreadPoolExecutor
        assert forkful.futures.thread.ThreadPoolExecutor is ThreadPoolExecutor
