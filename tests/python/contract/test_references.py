"""No executor keeps a reference to finished work, and a forgotten one disappears; over every thread executor.

The collector is off wherever a test says that something goes by itself: then only reference counts can free it.
"""

import concurrent.futures.thread
import gc
import threading
import weakref

import pytest
import subject
from eventually import eventually


class Thing:
    """Something that can be watched disappearing."""


class Failure(Exception):
    """An exception that can be watched disappearing."""


@pytest.fixture(autouse=True)
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def take(*things, **more):
    """Uses its arguments up."""


def give():
    return Thing()


def fail(*things):
    raise Failure


def gone(*references):
    return lambda: all(reference() is None for reference in references)


def test_arguments_are_let_go_once_the_task_is_done(thread_kind, executor):
    first, second = Thing(), Thing()
    watched = weakref.ref(first), weakref.ref(second)
    future = executor.submit(take, first, more=second)
    del first, second
    future.result()
    assert eventually(gone(*watched))


def test_the_function_is_let_go_once_the_task_is_done(thread_kind, executor):
    thing = Thing()

    def closure(thing=thing):
        return None

    watched = weakref.ref(closure), weakref.ref(thing)
    future = executor.submit(closure)
    del closure, thing
    future.result()
    assert eventually(gone(*watched))


def test_arguments_are_let_go_while_the_future_lives(thread_kind, make, gate):
    executor = make(1)
    thing = Thing()
    watched = weakref.ref(thing)
    future = executor.submit(take, thing)
    del thing
    future.result()
    # Not only because a next task came and took the worker's variables.
    assert eventually(gone(watched))
    assert future.done()


def test_the_result_goes_with_its_future(thread_kind, executor):
    future = executor.submit(give)
    watched = weakref.ref(future.result()), weakref.ref(future)
    assert watched[0]() is not None
    del future
    assert eventually(gone(*watched))


def test_an_unread_result_goes_with_its_future(thread_kind, blocked, gate):
    made = []

    def make_one():
        thing = Thing()
        made.append(weakref.ref(thing))
        return thing

    blocked.submit(make_one)
    gate.set()
    blocked.submit(int).result()
    assert eventually(gone(*made))
    assert len(made) == 1


def test_an_exception_goes_with_its_future(thread_kind, executor):
    future = executor.submit(fail)
    watched = weakref.ref(future.exception()), weakref.ref(future)
    del future
    assert eventually(gone(*watched))


def test_an_exception_that_result_raised_goes_with_its_future(thread_kind, executor):
    def ask():
        future = executor.submit(fail)
        try:
            future.result()
        except Failure as error:
            return weakref.ref(error), weakref.ref(future)
        finally:
            # The traceback names this frame, and through it the future: that cycle would be the test's own.
            del future
        raise AssertionError("nothing was raised")

    assert eventually(gone(*ask()))


def test_arguments_of_a_failed_task_go_with_its_exception(thread_kind, executor):
    thing = Thing()
    watched = weakref.ref(thing)
    future = executor.submit(fail, thing)
    del thing
    future.exception()
    del future
    assert eventually(gone(watched))


def test_a_cancelled_task_lets_its_arguments_go(thread_kind, blocked, gate):
    thing = Thing()
    watched = weakref.ref(thing)
    future = blocked.submit(take, thing)
    del thing
    future.cancel()
    gate.set()
    blocked.submit(int).result()
    assert eventually(gone(watched))


def test_callbacks_are_let_go_with_the_future(thread_kind, executor):
    thing = Thing()
    watched = weakref.ref(thing)
    future = executor.submit(int)
    future.add_done_callback(lambda _, thing=thing: None)
    del thing
    future.result()
    del future
    assert eventually(gone(watched))


def test_a_forgotten_executor_is_freed_and_its_threads_leave(thread_kind):
    executor = thread_kind(2, "forgotten")
    list(executor.map(abs, range(20)))
    watched = weakref.ref(executor)
    del executor
    assert eventually(gone(watched))
    assert eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("forgotten")])


def test_a_forgotten_executor_still_finishes_its_tasks(thread_kind, gate):
    executor = thread_kind(1)
    submitted = [executor.submit(gate.wait), *[executor.submit(abs, number) for number in range(20)]]
    watched = weakref.ref(executor)
    del executor
    assert eventually(gone(watched))
    gate.set()
    assert [future.result() for future in submitted] == [True, *range(20)]


def test_an_executor_in_a_cycle_is_collected(thread_kind):
    executor = thread_kind(1, "in-a-cycle")
    executor.submit(int).result()
    executor.me = executor
    watched = weakref.ref(executor)
    del executor
    assert watched() is not None
    assert eventually(lambda: (gc.collect(), watched() is None)[1])
    assert eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("in-a-cycle")])


def test_an_executor_that_its_own_result_names_is_collected(thread_kind):
    executor = thread_kind(1)
    executor.future = executor.submit(lambda: executor)
    executor.future.result()
    watched = weakref.ref(executor)
    # The closure's cell names it too.
    executor = None
    assert eventually(lambda: (gc.collect(), watched() is None)[1])


def test_the_initializers_arguments_go_with_the_executor(thread_kind):
    thing = Thing()
    watched = weakref.ref(thing)
    executor = thread_kind(1, initializer=take, initargs=(thing,))
    del thing
    executor.submit(int).result()
    executor.shutdown()
    del executor
    assert eventually(gone(watched))


def test_threads_that_ended_are_not_registered_for_exit_any_more(thread_kind):
    # The register holds its threads weakly: whoever is in it must not be named by what it is registered with.
    before = set(concurrent.futures.thread._threads_queues)
    for _ in range(10):
        with thread_kind(2) as executor:
            executor.submit(int).result()
    del executor
    assert eventually(lambda: set(concurrent.futures.thread._threads_queues) <= before)


def test_an_executor_that_was_shut_down_leaves_no_garbage(thread_kind):
    with thread_kind(2) as executor:
        futures = [executor.submit(give) for _ in range(10)]
        subject.futures.wait(futures)
    watched = [weakref.ref(executor), *[weakref.ref(future) for future in futures]]
    del executor, futures
    assert eventually(gone(*watched))


def test_a_thousand_results_are_freed_with_their_futures(thread_kind, executor):
    submitted = [executor.submit(give) for _ in range(1000)]
    watched = [weakref.ref(future.result()) for future in submitted]
    submitted.clear()
    assert eventually(gone(*watched))
