"""The future as an object: what public code reads, subclasses, copies and prints of it."""

import asyncio
import copy
import pickle
import re
import threading
import types
import weakref

import pytest
import subject
from subject import Future, StdFuture, futures


def test_it_is_a_standard_future():
    assert isinstance(Future(), StdFuture)
    assert issubclass(Future, StdFuture)


def test_its_name_is_the_standard_one():
    assert Future.__name__ == "Future"
    assert Future.__qualname__ == "Future"


def test_it_has_every_public_name_of_the_standard_future():
    public = {name for name in vars(StdFuture) if not name.startswith("_")}
    assert public <= set(dir(Future))
    undocumented = [name for name in public if not getattr(Future, name).__doc__]
    assert undocumented == []


def test_it_takes_no_arguments():
    with pytest.raises(TypeError):
        Future(1)


def test_private_attributes_tell_the_truth_while_pending():
    future = Future()
    assert future._state == "PENDING"
    assert future._result is None
    assert future._exception is None
    assert list(future._done_callbacks) == []
    assert list(future._waiters) == []


def test_private_attributes_tell_the_truth_when_done():
    thing, error = object(), KeyError()
    good, bad = Future(), Future()
    good.set_result(thing)
    bad.set_exception(error)
    assert (good._state, good._result, good._exception) == ("FINISHED", thing, None)
    assert (bad._state, bad._result, bad._exception) == ("FINISHED", None, error)


def test_private_attributes_of_a_pools_future_tell_the_truth(blocked, gate):
    future = blocked.submit(abs, -3)
    assert (future._state, future._result, future._exception) == ("PENDING", None, None)
    future.add_done_callback(len.__class__)
    assert future._done_callbacks == [type(len)]
    gate.set()
    future.result()
    assert (future._state, future._result, future._exception) == ("FINISHED", 3, None)


def test_the_condition_is_one_lock_for_all_who_ask():
    future = Future()
    condition = future._condition
    assert condition is future._condition
    with condition:
        assert future._state == "PENDING"


def test_whoever_holds_the_condition_keeps_the_state_still():
    future = Future()
    setter = threading.Thread(target=future.set_result, args=(1,))
    with future._condition:
        setter.start()
        setter.join(0.02)
        assert future._state == "PENDING"
        assert setter.is_alive()
    setter.join()
    assert future._state == "FINISHED"


def test_the_condition_is_notified_when_the_future_finishes():
    for finish in (lambda f: f.set_result(1), lambda f: f.set_exception(KeyError()), lambda f: f.cancel()):
        future = Future()
        timer = threading.Timer(0.01, finish, [future])
        with future._condition:
            timer.start()
            while not future._state.startswith(("FINISHED", "CANCELLED")):
                future._condition.wait()
        timer.join()
        assert future.done()


def test_the_condition_of_a_pools_future_is_notified_too(blocked, gate):
    future = blocked.submit(abs, -1)
    opener = threading.Timer(0.01, gate.set)
    with future._condition:
        opener.start()
        while future._state != "FINISHED":
            future._condition.wait()
    opener.join()
    assert future.result() == 1


class Waiter:
    """What wait() and as_completed() of the standard library put into `_waiters`."""

    def __init__(self):
        self.seen = []

    def add_result(self, future):
        self.seen.append(("result", future))

    def add_exception(self, future):
        self.seen.append(("exception", future))

    def add_cancelled(self, future):
        self.seen.append(("cancelled", future))


def test_a_waiter_is_told_how_the_future_ended():
    good, bad, cancelled = Future(), Future(), Future()
    waiter = Waiter()
    for future in (good, bad, cancelled):
        with future._condition:
            future._waiters.append(waiter)
    good.set_result(1)
    bad.set_exception(KeyError())
    cancelled.cancel()
    assert waiter.seen == [("result", good), ("exception", bad)]
    cancelled.set_running_or_notify_cancel()
    assert waiter.seen[2:] == [("cancelled", cancelled)]


def test_a_waiter_that_was_removed_is_not_told(blocked, gate):
    future, waiter, other = blocked.submit(abs, -1), Waiter(), Waiter()
    with future._condition:
        future._waiters.append(waiter)
        future._waiters.append(other)
        future._waiters.remove(waiter)
    gate.set()
    blocked.shutdown()
    assert waiter.seen == []
    assert other.seen == [("result", future)]


@pytest.mark.skipif(subject.REFERENCE and not hasattr(StdFuture, "_get_snapshot"), reason="3.14's")
def test_the_snapshot_is_done_cancelled_result_exception():
    future = Future()
    assert future._get_snapshot() == (False, False, None, None)
    future.set_running_or_notify_cancel()
    assert future._get_snapshot() == (False, False, None, None)
    future.set_result(5)
    assert future._get_snapshot() == (True, False, 5, None)
    error, failed, cancelled = KeyError(), Future(), Future()
    failed.set_exception(error)
    assert failed._get_snapshot() == (True, False, None, error)
    cancelled.cancel()
    assert cancelled._get_snapshot() == (True, True, None, None)
    cancelled.set_running_or_notify_cancel()
    assert cancelled._get_snapshot() == (True, True, None, None)


def test_the_standard_librarys_functions_take_it():
    made = [Future() for _ in range(3)]
    made[1].set_result(1)
    assert subject.std_wait(made, timeout=0).done == {made[1]}
    for future in (made[0], made[2]):
        future.set_result(0)
    assert set(subject.std_as_completed(made)) == set(made)


def test_asyncio_wraps_it():
    async def main():
        good, bad = Future(), Future()
        wrapped = [asyncio.wrap_future(good), asyncio.wrap_future(bad)]
        threading.Timer(0.005, good.set_result, [1]).start()
        threading.Timer(0.005, bad.set_exception, [KeyError("wrapped")]).start()
        return await asyncio.gather(*wrapped, return_exceptions=True)

    first, second = asyncio.run(main())
    assert first == 1
    assert isinstance(second, KeyError)


def test_asyncio_can_be_chained_into_it():
    async def answer():
        return 42

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        assert asyncio.run_coroutine_threadsafe(answer(), loop).result() == 42
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_it_can_be_subscripted_for_annotations():
    assert isinstance(Future[int], types.GenericAlias)
    assert Future[int].__origin__ is Future
    assert isinstance(Future[int](), Future)


def test_it_can_be_referenced_weakly():
    future = Future()
    reference = weakref.ref(future)
    assert reference() is future
    del future
    assert reference() is None


def test_it_is_hashed_and_compared_by_identity():
    first, second = Future(), Future()
    assert first == first
    assert first != second
    assert {first: 1}[first] == 1
    first.set_result(1)
    second.set_result(1)
    assert first != second


def test_it_takes_attributes():
    future = Future()
    future.label = "mine"
    assert future.label == "mine"
    assert vars(future)["label"] == "mine"


@pytest.mark.parametrize(
    ("finish", "tail"),
    [
        (lambda f: None, "state=pending"),
        (lambda f: f.set_running_or_notify_cancel(), "state=running"),
        (lambda f: f.cancel(), "state=cancelled"),
        (lambda f: (f.cancel(), f.set_running_or_notify_cancel()), "state=cancelled"),
        (lambda f: f.set_result(7), "state=finished returned int"),
        (lambda f: f.set_exception(KeyError()), "state=finished raised KeyError"),
    ],
)
def test_its_repr_is_the_standard_one(finish, tail):
    future = Future()
    finish(future)
    assert repr(future) == f"<Future at {id(future):#x} {tail}>"


def test_the_repr_of_a_pools_future_begins_as_the_standard_one(executor):
    future = executor.submit(abs, -1)
    future.result()
    assert re.fullmatch(r"<Future at 0x[0-9a-f]+ state=finished returned int>", repr(future))


class Named(Future):
    """A subclass with a constructor, an override and a result of its own."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.asked = 0

    def result(self, timeout=None):
        self.asked += 1
        return super().result(timeout)


def test_it_can_be_subclassed():
    future = Named("first")
    future.set_result(3)
    assert (future.name, future.result(), future.asked) == ("first", 3, 1)
    assert repr(future) == f"<Named at {id(future):#x} state=finished returned int>"
    assert futures.wait([future]).done == {future}
    assert list(subject.std_as_completed([future])) == [future]


def test_a_subclass_that_forgets_its_base_still_answers_or_fails_cleanly():
    class Forgetful(Future):
        def __init__(self):
            pass

    try:
        assert Forgetful().done() is False
    except (AttributeError, RuntimeError):
        pass


def test_it_cannot_be_pickled():
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(Future())


def test_it_cannot_be_copied_deeply():
    with pytest.raises(TypeError, match="cannot pickle"):
        copy.deepcopy(Future())
