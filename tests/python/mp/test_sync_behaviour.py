"""Locks and events of several processes: what each does among threads, between processes of every kind, in tasks of a pool."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time
from multiprocessing import synchronize as std

import pytest
import subject
import syncing
from eventually import eventually
from sleeping import sleeps

from forkful.multiprocessing import synchronize as own

pytestmark = [
    pytest.mark.skipif(subject.REFERENCE, reason="tests forkful's own"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

METHODS = ["fork", "forkserver", "spawn"]


@pytest.fixture(params=METHODS)
def context(request):
    return multiprocessing.get_context(request.param)


class Running:
    """A process that is over when the test is."""

    def __init__(self, context, target, *args):
        self.process = context.Process(target=target, args=args)
        self.process.start()

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.join(syncing.WATCHDOG)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        assert self.process.exitcode == 0


# --- between processes ---


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_a_process_waits_for_another_one(context, kind):
    primitive, answers = getattr(own, kind)(), context.SimpleQueue()
    assert primitive.acquire()
    with Running(context, syncing.use, primitive, answers):
        assert answers.get() == "comes"
        time.sleep(0.05)
        assert answers.empty()
        primitive.release()
        assert answers.get() is True


def test_an_event_lets_a_process_go(context):
    event, answers = own.Event(), context.SimpleQueue()
    with Running(context, syncing.use, event, answers):
        event.set()
        assert answers.get() is True


@pytest.mark.parametrize("kind", ["Lock", "RLock", "the standard library's"])
def test_a_condition_notifies_a_process(context, kind):
    lock = getattr(own, kind)() if hasattr(own, kind) else context.RLock()
    condition, answers = own.Condition(lock), context.SimpleQueue()
    with Running(context, syncing.use, condition, answers):
        assert answers.get() == "waits"
        with condition:  # had only when the other one sleeps
            condition.notify()
        assert answers.get() is True


def test_a_barrier_gathers_processes(context):
    barrier, answers = own.Barrier(3), context.SimpleQueue()
    with Running(context, syncing.use, barrier, answers), Running(context, syncing.use, barrier, answers):
        places = {barrier.wait(syncing.WATCHDOG), answers.get(), answers.get()}
    assert places == {0, 1, 2}


def test_what_was_created_by_a_child_s_parent_is_one_for_both(context):
    lock = own.Lock()
    lock.acquire()
    with Running(context, syncing.give_back, lock) as process:
        process.join(syncing.WATCHDOG)
        assert lock.acquire(timeout=syncing.WATCHDOG)


def test_many_travel_together():
    # Several in one pickle share a descriptor, and those of several slabs don't.
    context = multiprocessing.get_context("spawn")
    locks = [own.Lock() for _ in range(2500)]
    for lock in locks:
        lock.acquire()
    some = [locks[0], locks[1], locks[-1]]
    with Running(context, syncing.give_all_back, some):
        for lock in some:
            assert lock.acquire(timeout=syncing.WATCHDOG)
    assert not locks[2].acquire(False)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_they_go_to_a_running_pool(kind):
    with subject.ProcessPoolExecutor(1) as pool:
        pool.submit(int).result()
        primitive = getattr(own, kind)()
        primitive.acquire()
        future = pool.submit(syncing.once, primitive)
        time.sleep(0.05)
        assert not future.done()
        primitive.release()
        got, text = future.result(syncing.WATCHDOG)
        assert got is True and text.startswith(f"<{kind}(")


def test_events_and_conditions_go_to_a_running_pool():
    with subject.ProcessPoolExecutor(2) as pool:
        event, barrier, condition = own.Event(), own.Barrier(2), own.Condition()
        future = pool.submit(syncing.wait_for, event)
        pool.submit(syncing.set_it, event)
        assert future.result(syncing.WATCHDOG) is True
        future = pool.submit(barrier.wait, syncing.WATCHDOG)
        assert {barrier.wait(syncing.WATCHDOG), future.result(syncing.WATCHDOG)} == {0, 1}
        with condition:
            future = pool.submit(syncing.notify, condition)
            assert condition.wait(syncing.WATCHDOG)
        future.result(syncing.WATCHDOG)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event"])
def test_they_travel_to_processes_only(kind):
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(getattr(own, kind)())


def test_a_barrier_travels_to_processes_only():
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(own.Barrier(1))


def test_many_that_are_sent_one_by_one_cost_a_worker_no_more_than_their_slabs():
    with subject.ProcessPoolExecutor(1) as pool:
        locks = [own.Lock() for _ in range(3000)]
        assert all(pool.map(syncing.once, locks))
        mappings, descriptors = pool.submit(syncing.mappings).result(syncing.WATCHDOG)
    assert mappings <= 4
    assert descriptors < 100


def test_those_that_nobody_has_any_more_make_room_for_the_next():
    def made():
        return len({own.Lock().handle[:2] for _ in range(5000)})

    assert made() <= 2


# --- one by one ---


def test_a_lock():
    lock = own.Lock()
    assert repr(lock) == "<Lock(owner=None)>" and not lock.locked()
    assert lock.acquire() is True
    assert repr(lock) == "<Lock(owner=MainProcess)>" and lock.locked()
    assert lock.acquire(False) is False
    assert lock.acquire(None) is False
    assert lock.acquire(True, 0) is False
    assert lock.acquire(timeout=-1) is False
    assert lock.acquire(timeout=0.01) is False
    lock.release()
    with pytest.raises(ValueError, match="semaphore or lock released too many times"):
        lock.release()
    with lock as entered:
        assert entered is True and not lock.acquire(block=0)
    with pytest.raises(ZeroDivisionError), lock:
        1 / 0  # noqa: B018
    assert lock.owner_died is None and not lock.locked()


def test_another_thread_releases_a_lock():
    lock = own.Lock()
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert lock.acquire(False)


def test_the_repr_tells_who_has_it(context):
    lock, rlock, held = own.Lock(), own.RLock(), context.Event()
    seen = []

    def take():
        lock.acquire()
        rlock.acquire()
        seen.extend((repr(lock), repr(rlock)))

    thread = threading.Thread(target=take, name="T")
    thread.start()
    thread.join()
    assert seen == ["<Lock(owner=MainProcess|T)>", "<RLock(MainProcess|T, 1)>"]
    assert repr(lock) == "<Lock(owner=SomeOtherThread)>"
    assert repr(rlock) == "<RLock(SomeOtherThread, nonzero)>"
    lock.release()
    other = own.RLock()
    processes = [context.Process(target=syncing.hold, args=(one, held)) for one in (lock, other)]
    for process in processes:
        process.start()
    try:
        assert eventually(lambda: lock.locked() and other.locked())
        assert repr(lock) == "<Lock(owner=SomeOtherProcess)>"
        assert repr(other) == "<RLock(SomeOtherProcess, nonzero)>"
    finally:
        for process in processes:
            process.kill()
            process.join()


def test_an_rlock():
    lock = own.RLock()
    with pytest.raises(AssertionError, match="attempt to release recursive lock not owned by thread"):
        lock.release()
    assert lock.acquire() and lock.acquire(False) and lock.acquire(timeout=1)
    assert repr(lock) == "<RLock(MainProcess, 3)>"
    results = []

    def other():
        results.append(lock.acquire(False))
        try:
            lock.release()
        except AssertionError:
            results.append("refused")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert results == [False, "refused"]
    for _ in range(3):
        lock.release()
    assert repr(lock) == "<RLock(None, 0)>"


def test_semaphores():
    semaphore, bounded = own.Semaphore(2), own.BoundedSemaphore(2)
    assert repr(semaphore) == "<Semaphore(value=2)>"
    assert repr(bounded) == "<BoundedSemaphore(value=2, maxvalue=2)>"
    for one in (semaphore, bounded):
        assert one.last_acquired_by is None
        assert one.acquire() and one.acquire() and not one.acquire(False)
        assert one.get_value() == 0 and one.locked()
        assert one.last_acquired_by == multiprocessing.current_process().pid
        assert not one.acquire(timeout=0.01)
        one.release()
        one.release()
    semaphore.release()
    assert semaphore.get_value() == 3
    with pytest.raises(ValueError, match="semaphore or lock released too many times"):
        bounded.release()
    assert bounded.get_value() == 2
    assert own.Semaphore(own.SEM_VALUE_MAX).get_value() == own.SEM_VALUE_MAX
    with pytest.raises(ValueError):
        own.Semaphore(own.SEM_VALUE_MAX).release()
    with pytest.raises(ValueError):
        own.Semaphore(-1)


def test_events():
    event = own.Event()
    assert not event.is_set() and event.wait(0) is False and event.wait(0.01) is False
    assert "unset" in repr(event)
    event.set()
    event.set()
    assert event.is_set() and event.wait() is True and event.wait(0) is True
    assert "unset" not in repr(event)
    event.clear()
    assert not event.is_set()


def test_who_waits_for_an_event_goes_on_even_if_it_is_cleared_at_once():
    event, got = own.Event(), []
    threads = [threading.Thread(target=lambda: got.append(event.wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: all(sleeps(thread.native_id) for thread in threads))
    event.set()
    event.clear()
    for thread in threads:
        thread.join(syncing.WATCHDOG)
    assert got == [True] * 3


@pytest.mark.parametrize("under", ["Lock", "RLock", "twice", "std", "threading.Lock", "threading.RLock"])
def test_conditions(under):
    lock = {
        "Lock": own.Lock,
        "RLock": own.RLock,
        "twice": own.RLock,
        "std": multiprocessing.get_context("fork").RLock,
        "threading.Lock": threading.Lock,
        "threading.RLock": threading.RLock,
    }[under]()
    condition = own.Condition(lock)
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(AssertionError):
            call()
    order, ready = [], []

    def wait(number):
        with condition:
            if under == "twice":
                condition.acquire()
            ready.append(number)
            assert condition.wait() is True
            order.append(number)
            if under == "twice":
                condition.release()

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(4)]
    for number, thread in enumerate(threads):
        thread.start()
        assert eventually(lambda number=number: number in ready)
    with condition:
        assert condition.wait(0.01) is False
        condition.notify(2)
    assert eventually(lambda: len(order) == 2)
    assert set(order) == {0, 1}
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join(syncing.WATCHDOG)
    assert set(order) == {0, 1, 2, 3}
    # Nothing of it is left for who comes later.
    with condition:
        assert condition.wait(0.01) is False
        assert condition.wait_for(lambda: "yes") == "yes"
        assert condition.wait_for(lambda: 0, timeout=0.02) == 0
    assert "0)>" in repr(condition)


def test_more_waiters_than_places():
    condition, woken = own.Condition(), []

    def wait():
        with condition:
            assert condition.wait()
            woken.append(1)

    threads = [threading.Thread(target=wait) for _ in range(70)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: condition._waiting() == 70)
    with condition:
        condition.notify(67)
    assert eventually(lambda: len(woken) == 67)
    assert condition._waiting() == 3
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join(syncing.WATCHDOG)
    assert len(woken) == 70


def test_barriers():
    calls = []
    barrier = own.Barrier(2, lambda: calls.append(1))
    assert isinstance(barrier, threading.Barrier)
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (2, 0, False)
    places = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: places.append(barrier.wait()))
        thread.start()
        places.append(barrier.wait())
        thread.join()
    assert sorted(places) == [0, 0, 0, 1, 1, 1] and calls == [1] * 3
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken
    errors = []

    def broken():
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            errors.append(1)

    for end in (barrier.reset, barrier.abort):
        thread = threading.Thread(target=broken)
        thread.start()
        assert eventually(lambda: barrier.n_waiting == 1)
        end()
        thread.join(syncing.WATCHDOG)
    assert errors == [1, 1] and barrier.broken and barrier.n_waiting == 0
    with pytest.raises(ValueError):
        own.Barrier(0)


def test_an_action_that_raises_breaks_the_barrier():
    barrier = own.Barrier(2, lambda: 1 / 0)
    errors = []

    def pass_it():
        try:
            barrier.wait()
        except (ZeroDivisionError, threading.BrokenBarrierError) as error:
            errors.append(type(error))

    threads = [threading.Thread(target=pass_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(syncing.WATCHDOG)
    assert sorted(error.__name__ for error in errors) == ["BrokenBarrierError", "ZeroDivisionError"]
    assert barrier.broken


@pytest.mark.parametrize("deed", ["abort", "reset"])
def test_what_an_action_does_to_its_own_barrier_comes_to_nothing(deed):
    """As with the standard library's: the round is over already."""
    places = []
    barrier = own.Barrier(2, lambda: getattr(barrier, deed)())
    threads = [threading.Thread(target=lambda: places.append(barrier.wait()), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(syncing.WATCHDOG)
    assert sorted(places) == [0, 1]
    assert (barrier.broken, barrier.n_waiting) == (False, 0)
    # Elsewhere both do what they are for.
    barrier.abort()
    assert barrier.broken
    barrier.reset()
    assert not barrier.broken


def test_the_standard_library_s_names_are_all_there():
    public = [name for name in vars(std) if not name.startswith("_") and isinstance(getattr(std, name), type)]
    assert {name for name in public if getattr(std, name).__module__ == std.__name__} <= set(vars(own))
    assert set(std.__all__) <= set(own.__all__)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event"])
def test_they_can_be_subclassed_and_carry_attributes(kind):
    base = getattr(own, kind)
    special = getattr(syncing, f"Special{kind}")
    primitive = special(ctx=multiprocessing.get_context())
    assert isinstance(primitive, base)
    primitive.mark = 7
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    with Running(context, syncing.tell_mark, primitive, answers):
        assert answers.get() == (special.__name__, 7)
