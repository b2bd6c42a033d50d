"""Threads that wait for futures: many of them, with time limits, and with signals."""

import os
import signal
import threading

import pytest
from child import Child, run_clean
from eventually import eventually
from subject import Future, futures


class Rang(Exception):
    """Raised by the signal's handler."""


@pytest.fixture
def ring():
    """A function that sends this process a signal a moment later; its handler raises."""

    def handler(number, frame):
        raise Rang

    before = signal.signal(signal.SIGUSR1, handler)
    timers = []

    def ring_soon():
        timer = threading.Timer(0.03, os.kill, [os.getpid(), signal.SIGUSR1])
        timer.start()
        timers.append(timer)

    yield ring_soon
    for timer in timers:
        timer.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("timeout", [None, 1000])
@pytest.mark.parametrize("ask", [Future.result, Future.exception])
def test_a_signal_interrupts_a_wait_for_a_future(ring, ask, timeout):
    future = Future()
    with pytest.raises(Rang):
        ring()
        ask(future, timeout)
    future.set_result(1)
    assert future.result() == 1


@pytest.mark.parametrize("timeout", [None, 1000])
def test_a_signal_interrupts_wait(ring, timeout):
    future = Future()
    with pytest.raises(Rang):
        ring()
        futures.wait([future], timeout=timeout)
    future.set_result(1)
    assert futures.wait([future]).done == {future}


@pytest.mark.parametrize("timeout", [None, 1000])
def test_a_signal_interrupts_as_completed(ring, timeout):
    future = Future()
    with pytest.raises(Rang):
        ring()
        next(futures.as_completed([future], timeout=timeout))
    future.set_result(1)
    assert list(futures.as_completed([future])) == [future]


def test_a_signal_interrupts_a_wait_for_a_pools_task(ring, blocked):
    future = blocked.submit(int)
    with pytest.raises(Rang):
        ring()
        future.result()
    assert not future.done()


def test_a_signal_interrupts_shutdown_which_can_be_repeated(ring, make, gate):
    executor = make(1)
    future = executor.submit(gate.wait)
    with pytest.raises(Rang):
        ring()
        executor.shutdown(wait=True)
    gate.set()
    executor.shutdown(wait=True)
    # Not at once: up to 3.12 a join that a signal interrupted takes its thread for ended.
    assert eventually(future.done)


def test_a_handler_that_returns_does_not_end_the_wait():
    future = Future()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: future.set_result("from the handler"))
    timer = threading.Timer(0.03, os.kill, [os.getpid(), signal.SIGUSR1])
    timer.start()
    try:
        assert future.result() == "from the handler"
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_signals_do_not_make_a_timeout_longer_or_shorter(run_clean):
    # A timer that rings every 2 ms must not start the wait anew each time: it would never end.
    run_clean(
        """
        import signal
        from subject import Future, futures

        rang = []
        signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        for ask in (lambda: Future().result(0.1), lambda: next(futures.as_completed([Future()], timeout=0.1))):
            try:
                ask()
            except futures.TimeoutError:
                pass
            else:
                raise AssertionError
        assert not futures.wait([Future()], timeout=0.1).done
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert rang
        """
    )


WAITS = {
    "result": "Future().result()",
    "exception": "Future().exception()",
    "wait": "futures.wait([Future()])",
    "as_completed": "list(futures.as_completed([Future()]))",
    "result of a task": "task.result()",
    "result with a timeout": "Future().result(1000)",
}


@pytest.mark.parametrize("statement", WAITS.values(), ids=WAITS.keys())
def test_control_c_interrupts_a_wait(statement):
    script = f"""
        import threading
        from subject import Future, ThreadPoolExecutor, futures

        ended = threading.Event()
        task = ThreadPoolExecutor(1).submit(ended.wait)
        try:
            print("waiting", flush=True)
            {statement}
        except KeyboardInterrupt:
            print("interrupted")
        ended.set()
        """
    with Child(script) as child:
        child.await_line("waiting")
        child.process.send_signal(signal.SIGINT)
        outcome = child.outcome()
    # A signal between the print and the wait is fine too: it is the wait that must not swallow one.
    assert outcome.stdout == "interrupted\n", str(outcome)
    assert outcome.returncode == 0, str(outcome)


def test_an_itimer_interrupts_result():
    run_clean(
        """
        import signal
        from subject import Future

        class Rang(Exception): pass
        def handler(*_): raise Rang
        signal.signal(signal.SIGALRM, handler)
        for ask in (Future().result, Future().exception):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                ask()
            except Rang:
                continue
            raise AssertionError
        """
    )


@pytest.mark.parametrize("timeout", [None, 1000])
def test_many_threads_wait_for_one_future(timeout):
    future, seen = Future(), []
    threads = [threading.Thread(target=lambda: seen.append(future.result(timeout))) for _ in range(32)]
    for thread in threads:
        thread.start()
    future.set_result("for all")
    for thread in threads:
        thread.join()
    assert seen == ["for all"] * 32


def test_many_threads_see_the_same_exception():
    future, seen, error = Future(), [], KeyError()
    threads = [threading.Thread(target=lambda: seen.append(future.exception())) for _ in range(16)]
    for thread in threads:
        thread.start()
    future.set_exception(error)
    for thread in threads:
        thread.join()
    assert seen == [error] * 16


def test_cancelling_wakes_who_waits():
    future, seen = Future(), []

    def wait():
        try:
            future.result()
        except futures.CancelledError:
            seen.append("cancelled")

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    future.cancel()
    for thread in threads:
        thread.join()
    assert seen == ["cancelled"] * 4


def test_some_give_up_while_others_get_the_result():
    future, seen = Future(), []

    def impatient():
        try:
            future.result(0.005)
        except futures.TimeoutError:
            seen.append("gave up")

    def patient():
        seen.append(future.result())

    threads = [threading.Thread(target=work) for work in (impatient, patient) * 4]
    for thread in threads:
        thread.start()
    assert eventually(lambda: seen.count("gave up") == 4)
    future.set_result("got it")
    for thread in threads:
        thread.join()
    assert seen.count("got it") == 4


def test_threads_that_wait_do_not_hold_the_interpreter():
    # If a wait kept the GIL, the setter could never run.
    for _ in range(200):
        future = Future()
        setter = threading.Thread(target=future.set_result, args=(1,))
        setter.start()
        assert future.result() == 1
        setter.join()
