"""Cycles through a future are found by the garbage collector, wherever they lead through."""

import gc
import threading
import weakref

import pytest
from eventually import eventually
from subject import Future


class Thing:
    """Something that can be watched disappearing."""


def through_its_result(future):
    future.set_result([future])


def through_itself_as_result(future):
    future.set_result(future)


def through_its_exception(future):
    error = ValueError()
    error.future = future
    future.set_exception(error)


def through_a_traceback(future):
    try:
        raise ValueError
    except ValueError as error:
        future.set_exception(error)


def through_a_waiting_callback(future):
    future.add_done_callback(lambda _: future)


def through_a_callback_that_ran(future):
    future.add_done_callback(lambda _: future)
    future.set_result(None)


def through_an_attribute(future):
    future.me = future


def through_a_waiter(future):
    future._waiters.append([future])


def through_an_attribute_and_the_result(future):
    box = {"future": future}
    future.box = box
    future.set_result(box)


CYCLES = [
    through_its_result,
    through_itself_as_result,
    through_its_exception,
    through_a_traceback,
    through_a_waiting_callback,
    through_a_callback_that_ran,
    through_an_attribute,
    through_a_waiter,
    through_an_attribute_and_the_result,
]


@pytest.mark.parametrize("tie", CYCLES)
def test_a_cycle_is_collected(tie):
    future, thing = Future(), Thing()
    future.thing = thing
    watched = weakref.ref(future), weakref.ref(thing)
    tie(future)
    del future, thing
    gc.collect()
    assert [reference() for reference in watched] == [None, None]


@pytest.mark.parametrize("tie", CYCLES)
def test_a_cycle_through_a_subclass_is_collected(tie):
    class Mine(Future):
        pass

    future = Mine()
    watched = weakref.ref(future)
    tie(future)
    del future
    gc.collect()
    assert watched() is None


def test_a_future_without_a_cycle_needs_no_collector():
    gc.collect()
    gc.disable()
    try:
        future, thing = Future(), Thing()
        watched = weakref.ref(future), weakref.ref(thing)
        future.set_result(thing)
        assert future.result() is thing
        del future, thing
        assert [reference() for reference in watched] == [None, None]
    finally:
        gc.enable()


def test_a_future_whose_condition_was_used_needs_no_collector():
    gc.collect()
    gc.disable()
    try:
        future = Future()
        with future._condition:
            assert list(future._waiters) == []
        future.set_result(1)
        watched = weakref.ref(future)
        del future
        assert watched() is None
    finally:
        gc.enable()


def collected(reference):
    def look():
        gc.collect()
        return reference() is None

    return look


def test_a_pools_future_in_its_own_result_is_collected(executor):
    future = executor.submit(list)
    future.result().append(future)
    watched = weakref.ref(future)
    del future
    assert eventually(collected(watched))


def test_a_pools_future_in_its_own_exception_is_collected(executor):
    def fail(error):
        raise error

    error = ValueError()
    future = executor.submit(fail, error)
    error.future = future
    future.exception()
    watched = weakref.ref(future)
    del future, error
    assert eventually(collected(watched))


def test_a_pools_future_in_its_attributes_is_collected(executor):
    future = executor.submit(int)
    future.me = future
    future.result()
    watched = weakref.ref(future)
    del future
    assert eventually(collected(watched))


def test_a_pools_future_in_its_callback_is_collected(blocked, gate):
    future = blocked.submit(int)
    future.add_done_callback(lambda _: future)
    gate.set()
    future.result()
    watched = weakref.ref(future)
    # The cell of the callback names it too.
    future = None
    assert eventually(collected(watched))


def test_a_future_in_its_own_arguments_is_freed_when_it_is_done(blocked, gate):
    box = []
    future = blocked.submit(len, box)
    box.append(future)
    watched = weakref.ref(future)
    del future, box
    gate.set()
    assert eventually(lambda: watched() is None)


def test_waiting_tasks_that_name_their_own_future_are_collected_with_a_cancelling_shutdown(blocked, gate):
    boxes = [[] for _ in range(10)]
    for box in boxes:
        box.append(blocked.submit(len, box))
    watched = [weakref.ref(box[0]) for box in boxes]
    del box, boxes
    blocked.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert eventually(lambda: (gc.collect(), all(reference() is None for reference in watched))[1])


def test_a_collection_while_threads_finish_futures_breaks_nothing(executor):
    stop = threading.Event()

    def collect():
        while not stop.is_set():
            gc.collect()

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for _ in range(20):
            cyclic = [executor.submit(list) for _ in range(50)]
            for future in cyclic:
                future.result().append(future)
    finally:
        stop.set()
        collector.join()


def test_a_result_whose_finalizer_uses_the_pool_breaks_nothing(executor):
    seen = []

    class Submits:
        def __del__(self):
            seen.append(executor.submit(abs, -1))

    executor.submit(Submits)
    assert eventually(lambda: seen)
    assert seen[0].result() == 1
