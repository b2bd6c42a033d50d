"""Threads that have a result."""

from __future__ import annotations

import gc
import threading as std_threading
import weakref

import pytest
from eventually import never_before

from forkful import threading


@pytest.fixture
def hooked():
    """What the hook for exceptions in threads was given."""
    seen: list[tuple] = []
    before = std_threading.excepthook
    std_threading.excepthook = lambda args: seen.append((args.exc_type, args.thread))
    yield seen
    std_threading.excepthook = before


def started(*args, kind=threading.Thread, **kwargs):
    thread = kind(*args, **kwargs)
    thread.start()
    return thread


def test_what_the_target_returns_is_the_result():
    thread = started(target=lambda a, b: a + b, args=(1,), kwargs={"b": 2})
    assert thread.result() == 3 and thread.result(0) == 3
    assert thread.exception() is None
    assert not thread.is_alive()


def test_what_the_target_raises_is_raised_and_goes_to_the_hook_too(hooked):
    thread = started(target=lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        thread.result()
    error = thread.exception()
    assert isinstance(error, ZeroDivisionError) and error.__traceback__ is not None
    assert hooked == [(ZeroDivisionError, thread)]


def test_run_may_be_overridden(hooked):
    class Own(threading.Thread):
        def __init__(self, value):
            super().__init__(name="own")
            self.value = value

        def run(self):
            if self.value is None:
                raise KeyError("none")
            return self.value

    assert started(5, kind=Own).result() == 5
    with pytest.raises(KeyError):
        started(None, kind=Own).result()


def test_run_may_call_the_original_one():
    class Outer(threading.Thread):
        def run(self):
            return ("outer", super().run())

    assert started(target=lambda: 1, kind=Outer).result() == ("outer", 1)


def test_run_may_be_assigned():
    thread = threading.Thread(target=lambda: 1)
    thread.run = lambda: "assigned"
    thread.start()
    assert thread.result() == "assigned" and thread.run() == "assigned"


def test_a_thread_that_is_not_over_in_time():
    gate = threading.Event()
    thread = started(target=gate.wait)
    for ask in (thread.result, thread.exception):
        with pytest.raises(TimeoutError):
            ask(0.01)
        with pytest.raises(TimeoutError):
            ask(timeout=0)
    gate.set()
    assert thread.result(60) is True


def test_a_thread_that_was_never_started():
    with pytest.raises(RuntimeError, match="before it is started"):
        threading.Thread(target=int).result()


def test_a_thread_that_asks_itself():
    thread = threading.Thread(target=lambda: thread.result())
    before, std_threading.excepthook = std_threading.excepthook, lambda args: None
    try:
        thread.start()
        assert "current thread" in str(thread.exception(60))
    finally:
        std_threading.excepthook = before


def test_the_exit_of_a_thread_is_what_it_raised(hooked):
    thread = started(target=lambda: exit(3))
    with pytest.raises(SystemExit):
        thread.result()


def test_starting_twice_is_refused_and_changes_nothing():
    thread = started(target=lambda: 7)
    assert thread.result() == 7
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()
    assert thread.result() == 7
    assert thread.run.__func__ is threading.Thread.run


def test_a_thread_that_cannot_be_started_lets_go_of_itself(monkeypatch):
    def refuse(*args, **kwargs):
        raise std_threading.ThreadError("no more")

    for name in ("_start_new_thread", "_start_joinable_thread"):
        monkeypatch.setattr(std_threading, name, refuse, raising=False)
    thread = threading.Thread(target=int)
    with pytest.raises(std_threading.ThreadError):
        thread.start()
    watch = weakref.ref(thread)
    del thread
    assert watch() is None


def test_everything_else_is_as_with_every_thread():
    seen = []

    def look():
        seen.append(std_threading.current_thread())

    thread = threading.Thread(None, look, "a name", daemon=True)
    assert (thread.name, thread.daemon, thread.ident, thread.is_alive()) == ("a name", True, None, False)
    assert "initial" in repr(thread)
    thread.start()
    thread.join()
    assert seen == [thread] and thread.ident is not None and "stopped" in repr(thread)
    assert isinstance(thread, std_threading.Thread)
    assert threading.Thread(target=look).name.endswith("(look)")


def test_a_thread_lets_go_of_its_target():
    class Thing:
        def work(self):
            return 1

    thing = Thing()
    thread = thing.thread = threading.Thread(target=thing.work)
    thread.start()
    assert thread.result() == 1
    watch = weakref.ref(thing)
    del thing
    assert watch() is None
    del thread
    gc.collect()


def test_a_timer_calls_and_has_a_result():
    timer = threading.Timer(0.01, lambda a, b=0: a + b, [1], {"b": 2})
    assert isinstance(timer, std_threading.Timer) and isinstance(timer, threading.Thread)
    timer.start()
    assert timer.result(60) == 3
    assert timer.finished.is_set()


def test_a_timer_that_is_cancelled_calls_nobody():
    called = []
    timer = threading.Timer(60, called.append, [1])
    timer.start()
    timer.cancel()
    assert timer.result(60) is None
    assert called == []


def test_a_timer_is_not_early():
    timer = threading.Timer(0.05, lambda: None)
    with never_before(0.05):
        timer.start()
        timer.result(60)
