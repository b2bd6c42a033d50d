"""Locks and events of several processes when one of them is killed, forks, or is interrupted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings

import pytest
import subject
import syncing
from eventually import eventually
from sleeping import sleeps

from forkful.multiprocessing import synchronize as own
from forkful.multiprocessing.synchronize import OwnerDiedWarning

pytestmark = [
    pytest.mark.skipif(subject.REFERENCE, reason="tests forkful's own"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

fork = multiprocessing.get_context("fork")


def killed_holder(lock, times=1):
    """A process that took it and was killed; its pid."""
    held = own.Event()
    process = fork.Process(target=syncing.hold, args=(lock, held, times))
    process.start()
    assert held.wait(syncing.WATCHDOG)
    process.kill()
    return process


# --- a holder is killed ---


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("how", ["acquire", "timeout", "try", "with"])
def test_the_next_one_gets_it_and_is_told(kind, how):
    lock = getattr(own, kind)()
    holder = killed_holder(lock, times=2 if kind == "RLock" else 1)
    with pytest.warns(OwnerDiedWarning, match=f"process {holder.pid} died") as caught:
        if how == "acquire":
            assert lock.acquire()
        elif how == "timeout":
            assert lock.acquire(timeout=syncing.WATCHDOG)
        elif how == "try":
            assert eventually(lambda: lock.acquire(False))
        else:
            lock.__enter__()
    assert len(caught) == 1 and caught[0].filename == __file__
    assert lock.owner_died == holder.pid
    assert lock.locked() and lock._is_mine() and lock._count() == 1
    lock.release()
    # It is an ordinary one again.
    assert lock.acquire() and lock.owner_died == holder.pid
    lock.release()
    holder.join()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_of_many_that_wait_one_after_the_other_gets_it(kind):
    lock, held = getattr(own, kind)(), own.Event()
    process = fork.Process(target=syncing.hold, args=(lock, held))
    process.start()
    assert held.wait(syncing.WATCHDOG)
    got = []

    def wait():
        lock.acquire()
        got.append(lock.owner_died)
        lock.release()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=wait) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        assert got == []
        process.kill()
        for thread in threads:
            thread.join(syncing.WATCHDOG)
    assert got == [process.pid] * 4
    assert len([one for one in caught if one.category is OwnerDiedWarning]) == 1
    process.join()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_where_warnings_are_errors_nobody_holds_it_unawares(kind):
    lock = getattr(own, kind)()
    holder = killed_holder(lock)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OwnerDiedWarning):
            lock.acquire()
    assert not lock.locked()
    assert lock.acquire(False)
    holder.join()


def test_a_condition_s_lock_is_recovered_in_acquire_and_in_wait():
    condition = own.Condition()
    holder = killed_holder(condition)
    with pytest.warns(OwnerDiedWarning, match=str(holder.pid)), condition:
        assert condition.owner_died == holder.pid
    holder.join()
    # And while another one waits: it has to come back into the lock.
    notified, ready = [], threading.Event()

    def wait():
        with condition, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ready.set()
            notified.append(condition.wait(syncing.WATCHDOG))
            notified.append([one.category for one in caught if one.category is OwnerDiedWarning])

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait()
    process = fork.Process(target=syncing.notify_and_die, args=(condition,))
    process.start()
    thread.join(syncing.WATCHDOG)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert notified == [True, [OwnerDiedWarning]]
    assert condition.owner_died == process.pid


def test_a_clean_exit_with_a_lock_in_hand_is_a_death():
    lock = own.Lock()
    process = fork.Process(target=lock.acquire)
    process.start()
    process.join()
    with pytest.warns(OwnerDiedWarning, match=str(process.pid)):
        assert lock.acquire(timeout=syncing.WATCHDOG)


def test_a_thread_s_end_is_nobody_s_death():
    lock = own.Lock()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    assert not lock.acquire(timeout=0.05)
    lock.release()


def test_a_death_between_taking_over_and_saying_so():
    lock = own.Lock()
    killed_holder(lock).join()
    process = fork.Process(target=syncing.crash_at, args=("sync.lock.recovered", lock, "acquire"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with pytest.warns(OwnerDiedWarning, match=str(process.pid)):
        assert lock.acquire(timeout=syncing.WATCHDOG)


def test_a_death_between_giving_back_and_the_wake():
    lock = own.Lock()
    # Given back and nobody woken: the one that sleeps finds out.
    process = fork.Process(target=syncing.crash_at, args=("sync.lock.wake", lock, "release_late"))
    process.start()
    assert eventually(lock.locked)
    assert lock.acquire(timeout=syncing.WATCHDOG)
    process.join()
    assert process.exitcode == -signal.SIGKILL and lock.owner_died is None


@pytest.mark.parametrize("point", ["sync.sleepers.post", "sync.condition.notify", "sync.barrier.last"])
def test_deaths_before_and_after_a_wake_leave_nobody_asleep_for_ever(point):
    semaphore, condition, barrier = own.Semaphore(0), own.Condition(), own.Barrier(2)
    primitive, action = {
        "sync.sleepers.post": (semaphore, "release"),
        "sync.condition.notify": (condition, "notify_all"),
        "sync.barrier.last": (barrier, "wait"),
    }[point]
    done = []

    def wait():
        if primitive is condition:
            with condition, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done.append(condition.wait())
        elif primitive is barrier:
            done.append(barrier.wait())
        else:
            done.append(semaphore.acquire())

    thread = threading.Thread(target=wait)
    thread.start()
    assert eventually(lambda: sleeps(thread.native_id))
    process = fork.Process(target=syncing.crash_at, args=(point, primitive, action))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    if primitive is barrier:
        # It had arrived, and both go.
        thread.join(syncing.WATCHDOG)
        assert done == [0]
        return
    # It died before: another one does it.
    assert done == []
    if primitive is condition:
        with pytest.warns(OwnerDiedWarning), condition:
            condition.notify()
    else:
        semaphore.release()
    thread.join(syncing.WATCHDOG)
    assert done == [True]


# --- a waiter is killed ---


def test_a_notification_for_a_killed_waiter_goes_to_one_who_waited_then():
    condition, answers = own.Condition(), fork.SimpleQueue()
    first = fork.Process(target=syncing.use, args=(condition, answers))
    first.start()
    assert answers.get() == "waits"
    done, ready = [], threading.Event()

    def wait():
        with condition:
            ready.set()
            done.append(condition.wait(syncing.WATCHDOG))

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait()
    with condition:
        # Stopped, it can't take what it is about to be given.
        os.kill(first.pid, signal.SIGSTOP)
        condition.notify()
        time.sleep(0.05)
    first.kill()
    thread.join(syncing.WATCHDOG)
    first.join()
    assert done == [True]


def test_a_permit_for_a_killed_waiter_goes_to_another_one():
    semaphore, answers = own.Semaphore(0), fork.SimpleQueue()
    first = fork.Process(target=syncing.use, args=(semaphore, answers))
    first.start()
    assert answers.get() == "comes"
    assert eventually(lambda: sleeps(first.pid, first.pid))
    done = []
    thread = threading.Thread(target=lambda: done.append(semaphore.acquire()))
    thread.start()
    assert eventually(lambda: sleeps(thread.native_id))
    os.kill(first.pid, signal.SIGSTOP)
    semaphore.release()
    time.sleep(0.05)
    first.kill()
    thread.join(syncing.WATCHDOG)
    first.join()
    assert done == [True]


def test_a_killed_waiter_hangs_no_later_round_of_a_barrier():
    barrier = own.Barrier(2)
    process = fork.Process(target=barrier.wait)
    process.start()
    assert eventually(lambda: barrier.n_waiting == 1)
    process.kill()
    process.join()
    # It had come.
    assert barrier.wait(syncing.WATCHDOG) == 1
    for _ in range(3):
        thread = threading.Thread(target=barrier.wait)
        thread.start()
        barrier.wait(syncing.WATCHDOG)
        thread.join(syncing.WATCHDOG)


def test_a_death_in_a_barrier_s_action_breaks_it_for_those_who_wait():
    barrier = own.Barrier(2, syncing.kill_myself)
    errors = []

    def wait():
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            errors.append(1)

    thread = threading.Thread(target=wait)
    thread.start()
    assert eventually(lambda: barrier.n_waiting == 1 and sleeps(thread.native_id))
    process = fork.Process(target=barrier.wait)
    process.start()
    thread.join(syncing.WATCHDOG)
    process.join()
    assert errors == [1] and barrier.broken


def test_a_death_between_the_note_and_the_breaking_breaks_the_barrier():
    barrier = own.Barrier(2)
    process = fork.Process(target=syncing.crash_at, args=("sync.barrier.noted", barrier, "abort"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    for _ in range(2):
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(syncing.WATCHDOG)
        assert barrier.broken
    barrier.reset()
    assert not barrier.broken


# --- forks ---


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_forked_child_is_not_the_holder(kind):
    lock = getattr(own, kind)()
    lock.acquire()
    pid = os.fork()
    if pid == 0:
        mine = lock._is_mine() or lock.acquire(False) or lock._count()
        os._exit(int(bool(mine)))
    assert os.waitpid(pid, 0)[1] == 0
    assert lock._is_mine() and lock.owner_died is None
    lock.release()


def test_the_child_s_new_ones_are_its_own():
    pid = os.fork()
    if pid == 0:
        locks = [own.Lock() for _ in range(50)]
        for lock in locks:
            lock.acquire()
        os._exit(0)
    locks = [own.Lock() for _ in range(50)]
    os.waitpid(pid, 0)
    assert not any(lock.locked() for lock in locks)
    assert len({lock.handle for lock in locks}) == 50


# --- signals ---


class Interrupted(Exception):
    pass


@pytest.fixture
def interrupts():
    """Starts another process that sends SIGINT every 20 ms, the first of which raises here."""
    started, raised = [], []

    def handler(*_):
        # Not in the middle of the start, which would then not know its own process.
        if started and not raised:
            raised.append(1)
            raise Interrupted

    def start():
        process.start()
        started.append(1)

    before = signal.signal(signal.SIGINT, handler)
    over = own.Event()
    process = fork.Process(target=syncing.interrupt, args=(os.getpid(), over))
    yield start
    over.set()
    process.join()
    assert process.exitcode == 0
    signal.signal(signal.SIGINT, before)


def test_a_signal_ends_a_wait_under_another_one_s_lock(interrupts):
    lock = threading.RLock()
    condition = own.Condition(lock)
    with pytest.raises(Interrupted), condition, condition:
        try:
            interrupts()
            condition.wait()
        finally:
            # As often as before.
            assert condition._owns_other()
    assert condition._waiting() == 0


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "Event", "Condition", "Barrier"])
def test_a_signal_ends_every_wait(kind, interrupts):
    if kind == "Barrier":
        barrier = own.Barrier(2)
        wait = barrier.wait
    else:
        primitive = getattr(own, kind)()
        if kind == "Event":
            wait = primitive.wait
        elif kind == "Condition":
            primitive.acquire()
            wait = primitive.wait
        else:
            thread = threading.Thread(target=primitive.acquire)
            thread.start()
            thread.join()
            wait = primitive.acquire
    try:
        interrupts()
        wait()
        pytest.fail("nobody has let it go")
    except Interrupted:
        pass
    if kind == "Condition":
        assert primitive._lock._is_mine()
    if kind == "Barrier":
        assert barrier.n_waiting == 0 and not barrier.broken


@pytest.mark.parametrize("deed", ["abort", "reset"])
def test_a_signal_ends_a_wait_for_another_one_s_action(deed, interrupts):
    acts, go = threading.Event(), threading.Event()

    def action():
        acts.set()
        go.wait(syncing.WATCHDOG)

    barrier = own.Barrier(1, action)
    thread = threading.Thread(target=barrier.wait, daemon=True)
    thread.start()
    assert acts.wait(syncing.WATCHDOG)
    with pytest.raises(Interrupted):
        interrupts()
        getattr(barrier, deed)()
    assert thread.is_alive()
    go.set()
    thread.join(syncing.WATCHDOG)
    assert barrier.wait(syncing.WATCHDOG) == 0


def test_a_signal_whose_handler_returns_ends_no_wait():
    event, calls = own.Event(), []
    before = signal.signal(signal.SIGALRM, lambda *_: calls.append(1) or (len(calls) > 2 and event.set()))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        assert event.wait(syncing.WATCHDOG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(calls) >= 3


# --- what an idle wait costs ---


def switches(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(line for line in status if line.startswith("voluntary"))


@pytest.mark.parametrize("kind", ["Semaphore", "Event", "Condition", "Barrier"])
def test_who_waits_alone_is_not_woken_for_nothing(kind):
    if kind == "Semaphore":
        wait = own.Semaphore(0).acquire
    elif kind == "Event":
        wait = own.Event().wait
    elif kind == "Condition":
        wait = syncing.Waiting(own.Condition())
    else:
        wait = own.Barrier(2).wait
    process = fork.Process(target=wait)
    process.start()

    def idle():
        before = switches(process.pid)
        time.sleep(0.3)
        return switches(process.pid) == before

    try:
        assert eventually(idle)
    finally:
        process.kill()
        process.join()
