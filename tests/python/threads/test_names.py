"""Every public name of the standard library's two modules is there, on the Python at hand."""

from __future__ import annotations

import inspect
import queue as std_queue
import threading as std_threading
import types
import warnings

import pytest

from forkful import queue, threading

OURS = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Semaphore", "Thread", "Timer")
QUEUES = ("LifoQueue", "PriorityQueue", "Queue")


def public(module: types.ModuleType) -> list[str]:
    """Its names without an underscore that it has not imported as modules."""
    names = {*module.__all__, *(name for name in vars(module) if not name.startswith("_"))}
    return sorted(name for name in names if not isinstance(getattr(module, name), types.ModuleType))


@pytest.mark.parametrize("name", public(std_threading))
def test_threading_has_every_name(name):
    theirs, ours = getattr(std_threading, name), getattr(threading, name)
    assert (ours is not theirs) == (name in OURS)
    if name in OURS:
        assert issubclass(ours, theirs)


@pytest.mark.parametrize("name", public(std_queue))
def test_queue_has_every_name(name):
    theirs, ours = getattr(std_queue, name), getattr(queue, name)
    assert (ours is not theirs) == (name in QUEUES)
    if name in QUEUES:
        assert issubclass(ours, theirs)


def test_the_lists_of_names_are_the_standard_ones():
    assert sorted(threading.__all__) == sorted(std_threading.__all__)
    assert set(queue.__all__) == {*std_queue.__all__, "ShutDown"}
    names: dict[str, object] = {}
    exec("from forkful.threading import *; from forkful.queue import *", names)
    assert names["Event"] is threading.Event and names["Queue"] is queue.Queue
    assert names["Lock"] is std_threading.Lock


def test_unknown_names_are_unknown():
    with pytest.raises(AttributeError):
        threading.no_such_name  # noqa: B018
    with pytest.raises(AttributeError):
        queue.no_such_name  # noqa: B018


@pytest.mark.parametrize("module, std, classes", [(threading, std_threading, OURS), (queue, std_queue, QUEUES)])
def test_every_public_method_is_ours_or_inherited(module, std, classes):
    for name in classes:
        for attribute in dir(getattr(std, name)):
            assert hasattr(getattr(module, name), attribute), f"{name}.{attribute}"


@pytest.mark.parametrize("name", [*OURS, *QUEUES])
def test_parameters_have_the_standard_names(name):
    ours, std = (threading, std_threading) if name in OURS else (queue, std_queue)
    for method, theirs in vars(getattr(std, name)).items():
        if method.startswith("_") or not inspect.isfunction(theirs):
            continue
        wanted = [p.name for p in inspect.signature(theirs).parameters.values()]
        mine = getattr(getattr(ours, name), method)
        assert [p.name for p in inspect.signature(mine).parameters.values()] == wanted, method


def test_the_hook_for_exceptions_is_the_standard_one():
    before = std_threading.excepthook
    assert threading.excepthook is before
    seen = []
    try:
        threading.excepthook = seen.append
        assert std_threading.excepthook == seen.append
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    finally:
        threading.excepthook = before
    assert std_threading.excepthook is before
    assert [args.exc_type for args in seen] == [ZeroDivisionError]


def test_old_names_warn_as_they_do():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threading.Event().isSet()
        condition = threading.Condition()
        with condition:
            condition.notifyAll()
    assert [w.category for w in caught] == [DeprecationWarning, DeprecationWarning]
    assert all(w.filename == __file__ for w in caught)


@pytest.mark.parametrize("name", ["Event", "Semaphore", "BoundedSemaphore", "Barrier", "Condition"])
def test_words_for_people_are_the_standard_ones(name):
    arguments = (2,) if name == "Barrier" else ()
    ours, theirs = getattr(threading, name)(*arguments), getattr(std_threading, name)(*arguments)
    import re

    def plain(thing: object) -> str:
        return re.sub("0x[0-9a-f]+", "0x", repr(thing))

    assert plain(ours) == plain(theirs)
