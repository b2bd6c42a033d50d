"""Queues between threads."""

from __future__ import annotations

import gc
import queue as std_queue
import threading as std_threading
import time
import weakref
from collections import deque

import pytest
from eventually import eventually

from forkful import queue, threading

KINDS = {"fifo": queue.Queue, "lifo": queue.LifoQueue, "priority": queue.PriorityQueue}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def started(target, *args):
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


def ordered(kind, items):
    return {queue.Queue: items, queue.LifoQueue: items[::-1], queue.PriorityQueue: sorted(items)}[kind]


def test_items_leave_in_their_order(kind):
    q = kind()
    items = [3, 1, 2, 5, 4]
    for item in items:
        q.put(item)
    assert q.qsize() == 5 and not q.empty() and not q.full()
    assert [q.get() for _ in items] == ordered(kind, items)
    assert q.empty()


def test_everything_arrives_once(kind):
    q, count = kind(50), 4000

    def produce(first):
        for number in range(first, first + count):
            q.put(number)

    def consume():
        return [q.get() for _ in range(count)]

    consumers = [started(consume) for _ in range(3)]
    producers = [started(produce, first * count) for first in range(3)]
    taken = [number for thread in consumers for number in thread.result(60)]
    for thread in producers:
        thread.result(60)
    assert sorted(taken) == list(range(3 * count))
    assert q.unfinished_tasks == 3 * count


def test_one_producer_is_in_order():
    q = queue.Queue(10)
    thread = started(lambda: [q.get() for _ in range(20000)])
    for number in range(20000):
        q.put(number)
    assert thread.result(60) == list(range(20000))


def test_full_and_empty(kind):
    q = kind(2)
    q.put(1)
    q.put_nowait(2)
    assert q.full() and q.qsize() == 2
    for refused in (
        lambda: q.put(3, False),
        lambda: q.put_nowait(3),
        lambda: q.put(3, timeout=0.01),
        lambda: q.put(3, timeout=0),
    ):
        with pytest.raises(std_queue.Full):
            refused()
    assert {q.get(), q.get_nowait()} == {1, 2}
    for refused in (
        lambda: q.get(False),
        q.get_nowait,
        lambda: q.get(timeout=0.01),
        lambda: q.get(timeout=0),
        lambda: q.get(0, -1),
    ):
        with pytest.raises(std_queue.Empty):
            refused()
    assert q.unfinished_tasks == 2


def test_timeouts_that_are_refused(kind):
    q = kind(1)
    for call in (lambda: q.put(1, timeout=-1), lambda: q.get(True, -0.5)):
        with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
            call()
    with pytest.raises(OverflowError):
        q.get(timeout=1e100)
    with pytest.raises(TypeError):
        q.get(timeout="soon")
    q.put(1, timeout=1e100)
    with pytest.raises(OverflowError):
        q.put(2, timeout=1e100)
    assert q.get(timeout=1e100) == 1
    kind().put(1, timeout=-1)
    assert not q.mutex.locked()


def test_a_waiter_gets_what_comes(kind):
    q = kind(1)
    getter = started(q.get)
    time.sleep(0.02)
    q.put(1)
    assert getter.result(60) == 1
    q.put(2)
    putter = started(q.put, 3)
    time.sleep(0.02)
    assert q.get() == 2 and putter.result(60) is None and q.get() == 3


def test_getters_are_served_in_order():
    q, served = queue.Queue(), []

    def get(number):
        q.get()
        served.append(number)

    threads = []
    for number in range(4):
        threads.append(started(get, number))
        assert eventually(lambda number=number: len(q.not_empty._waiters) == number + 1)
    for number in range(4):
        q.put(None)
        assert eventually(lambda number=number: served == list(range(number + 1)))


def test_join_waits_for_task_done(kind):
    q = kind()
    for number in range(3):
        q.put(number)
    joining = started(q.join)
    for _ in range(3):
        assert joining.is_alive()
        q.get()
        q.task_done()
    assert joining.result(60) is None
    with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
        q.task_done()
    q.join()


# --- what programs do with the parts ---


def test_a_program_empties_a_queue_under_its_mutex():
    q = queue.Queue(3)
    for number in range(3):
        q.put(number)
    joining = started(q.join)
    assert eventually(lambda: len(q.all_tasks_done._waiters) == 1)
    with q.mutex:
        q.queue.clear()
        q.all_tasks_done.notify_all()
        q.unfinished_tasks = 0
    assert joining.result(60) is None
    for number in range(3):
        q.put(number)
    putting = started(q.put, 3)
    assert eventually(lambda: len(q.not_full._waiters) == 1)
    with q.mutex:
        q.queue.clear()
        q.not_full.notify_all()
    assert putting.result(60) is None
    assert q.get() == 3 and q.unfinished_tasks == 4


def test_the_mutex_is_a_lock_that_holds_everybody_up(kind):
    q = kind()
    q.put(0)
    calls = (lambda: q.put(1), q.get, q.qsize, q.empty, q.full, q.task_done)
    with q.mutex:
        assert q.mutex.locked() and "<locked" in repr(q.mutex)
        assert q.mutex.acquire(False) is False and q.mutex.acquire(timeout=0.01) is False
        threads = [started(call) for call in calls]
        time.sleep(0.03)
        assert all(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.result(60)
    assert not q.mutex.locked()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        q.mutex.release()
    with pytest.raises(ValueError):
        q.mutex.acquire(False, 1)
    with pytest.raises(ValueError):
        q.mutex.acquire(True, -2)
    with pytest.raises(OverflowError):
        q.mutex.acquire(timeout=1e100)
    assert weakref.ref(q.mutex)() is q.mutex


def test_the_parts_are_the_same_every_time():
    q = queue.Queue()
    for name in ("mutex", "not_empty", "not_full", "all_tasks_done", "queue", "maxsize"):
        assert getattr(q, name) is getattr(q, name)
    assert type(q.queue) is deque and type(queue.LifoQueue().queue) is list
    assert isinstance(q.not_empty, threading.Condition) and q.not_empty._lock is q.mutex
    assert q.maxsize == 0 and queue.Queue(maxsize=7).maxsize == 7


def test_a_program_waits_on_the_conditions():
    q = queue.Queue()

    def await_three():
        with q.not_empty:
            q.not_empty.wait_for(lambda: len(q.queue) >= 3, timeout=60)
            return list(q.queue)

    thread = started(await_three)
    time.sleep(0.02)
    for number in range(3):
        q.put(number)
    assert thread.result(60) == [0, 1, 2]


def test_a_program_puts_by_hand_and_notifies():
    q = queue.Queue()
    getter = started(q.get)
    time.sleep(0.02)
    with q.not_empty:
        q.queue.appendleft("by hand")
        q.unfinished_tasks += 1
        q.not_empty.notify()
    assert getter.result(60) == "by hand"


def test_maxsize_may_be_changed():
    q = queue.Queue(1)
    q.put(1)
    putter = started(q.put, 2)
    time.sleep(0.02)
    with q.mutex:
        q.maxsize = 2
        q.not_full.notify_all()
    putter.result(60)
    q.maxsize = 2.5
    q.put(3)
    with pytest.raises(queue.Full):
        q.put(4, False)
    q.maxsize = float("inf")
    q.put(4)
    assert q.maxsize == float("inf") and not q.full()


def test_a_mutex_of_ones_own_serves():
    q = queue.Queue(1)
    q.mutex = std_threading.RLock()
    q.not_empty = std_threading.Condition(q.mutex)
    q.not_full = threading.Condition(q.mutex)
    q.all_tasks_done = threading.Condition(q.mutex)
    thread = started(lambda: [q.get(timeout=60) for _ in range(100)])
    for number in range(100):
        with q.mutex:
            q.qsize()
        q.put(number)
    assert thread.result(60) == list(range(100))
    with pytest.raises(queue.Empty):
        q.get(timeout=0.01)
    for _ in range(100):
        q.task_done()
    q.join()
    q.shutdown()
    with pytest.raises(queue.ShutDown):
        q.get()


# --- subclasses ---


class Unique(queue.Queue):
    """Keeps each item once."""

    def _init(self, maxsize):
        self.queue = set()

    def _put(self, item):
        assert self.mutex.locked()
        self.queue.add(item)

    def _get(self):
        assert self.mutex.locked()
        return self.queue.pop()


def test_hooks_are_called_under_the_mutex():
    q = Unique(2)
    q.put("a")
    q.put("a")
    assert q.qsize() == 1 and q.get() == "a"
    getter = started(q.get)
    time.sleep(0.02)
    q.put("b")
    assert getter.result(60) == "b"
    q.put("c")
    q.put("d")
    assert q.full()
    with pytest.raises(queue.Full):
        q.put("e", timeout=0.01)
    assert {q.get(), q.get()} == {"c", "d"}


def test_a_hook_may_call_the_original_one():
    calls = []

    class Wrapped(queue.PriorityQueue):
        def _init(self, maxsize):
            calls.append(("init", maxsize))
            super()._init(maxsize)

        def _put(self, item):
            super()._put((-len(item), item))

        def _get(self):
            return super()._get()[1]

        def _qsize(self):
            calls.append("qsize")
            return super()._qsize()

    q = Wrapped(5)
    for item in ("a", "ccc", "bb"):
        q.put(item)
    assert [q.get() for _ in range(3)] == ["ccc", "bb", "a"]
    assert calls[0] == ("init", 5) and "qsize" in calls


def test_a_hook_that_raises_leaves_the_queue_in_order():
    class Failing(queue.Queue):
        fail = False

        def _put(self, item):
            if self.fail:
                raise KeyError(item)
            super()._put(item)

        def _get(self):
            if self.fail:
                raise KeyError("get")
            return super()._get()

    q = Failing(2)
    q.put(1)
    q.fail = True
    with pytest.raises(KeyError):
        q.put(2)
    with pytest.raises(KeyError):
        q.get(timeout=1)
    assert q.unfinished_tasks == 1 and not q.mutex.locked()
    q.fail = False
    q.put(2)
    assert [q.get(), q.get()] == [1, 2]


def test_a_class_that_is_patched_serves_what_is_made_afterwards(monkeypatch):
    put = []
    monkeypatch.setattr(queue.LifoQueue, "_put", lambda self, item: put.append(item))
    q = queue.LifoQueue()
    q.put(1)
    assert put == [1] and q.qsize() == 0


def test_methods_may_be_overridden_and_called():
    class Counting(queue.Queue):
        def __init__(self, *args):
            super().__init__(*args)
            self.puts = 0

        def put(self, item, block=True, timeout=None):
            self.puts += 1
            return super().put(item, block, timeout)

    q = Counting(3)
    q.put(1)
    q.put_nowait(2)
    q.put(item=3, block=True, timeout=None)
    assert q.puts == 3 and [q.get() for _ in range(3)] == [1, 2, 3]
    assert queue.Queue[int].__origin__ is queue.Queue


def test_comparisons_that_raise_reach_the_caller():
    class Odd:
        def __lt__(self, other):
            raise ArithmeticError("odd")

    q = queue.PriorityQueue()
    q.put(Odd())
    with pytest.raises(ArithmeticError):
        q.put(Odd())
    assert not q.mutex.locked()


def test_comparisons_that_let_others_run_are_under_the_mutex():
    class Slow:
        def __init__(self, value):
            self.value = value

        def __lt__(self, other):
            time.sleep(0.0005)
            return self.value < other.value

    q = queue.PriorityQueue()
    threads = [started(lambda: [q.put(Slow(number)) for number in range(15)]) for _ in range(3)]
    for thread in threads:
        thread.result(60)
    values = [q.get().value for _ in range(45)]
    assert values == sorted(values) and len(values) == 45


# --- shutdown, on every Python ---


def test_a_shut_queue_gives_what_it_has_and_takes_nothing(kind):
    q = kind()
    q.put(1)
    assert q.is_shutdown is False
    q.shutdown()
    assert q.is_shutdown is True
    for call in (lambda: q.put(2), lambda: q.put(2, False), lambda: q.put_nowait(2)):
        with pytest.raises(queue.ShutDown):
            call()
    assert q.get() == 1
    for call in (q.get, lambda: q.get(False), lambda: q.get(timeout=1)):
        with pytest.raises(queue.ShutDown):
            call()


def test_shutting_down_lets_everybody_go(kind):
    q = kind(1)
    getters = [started(q.get) for _ in range(3)]
    before, std_threading.excepthook = std_threading.excepthook, lambda args: None
    try:
        time.sleep(0.02)
        q.shutdown()
        assert all(isinstance(thread.exception(60), queue.ShutDown) for thread in getters)
        q = kind(1)
        q.put(1)
        putters = [started(q.put, 2) for _ in range(3)]
        joining = started(q.join)
        time.sleep(0.02)
        q.shutdown(immediate=True)
        assert all(isinstance(thread.exception(60), queue.ShutDown) for thread in putters)
        assert joining.result(60) is None
        with pytest.raises(queue.ShutDown):
            q.get()
        assert q.unfinished_tasks == 0 and q.qsize() == 0
    finally:
        std_threading.excepthook = before


def test_the_error_is_the_standard_one_where_there_is_one():
    assert getattr(std_queue, "ShutDown", queue.ShutDown) is queue.ShutDown
    assert issubclass(queue.ShutDown, Exception) and queue.ShutDown.__name__ == "ShutDown"


# --- memory ---


def test_a_queue_that_holds_itself_is_collected(kind):
    q = kind()
    q.put((1, q))
    q.not_empty.notes = q
    watch = weakref.ref(q)
    del q
    gc.collect()
    assert watch() is None


def test_items_are_let_go():
    class Item:
        pass

    q, item = queue.Queue(), Item()
    watch = weakref.ref(item)
    q.put(item)
    del item
    assert watch() is not None
    q.get()
    assert watch() is None
    for immediate in (True, False):
        q, item = queue.Queue(), Item()
        watch = weakref.ref(item)
        q.put(item)
        del item
        q.shutdown(immediate=immediate)
        del q
        assert watch() is None


def test_an_item_that_uses_the_queue_as_it_goes_does_not_hang():
    class Item:
        def __del__(self):
            q.empty()

    q = queue.Queue()
    q.put(Item())
    q.shutdown(immediate=True)
    assert q.empty()
    q.is_shutdown = False
    q.put(Item())
    q.queue = deque()
    assert q.empty()


def test_a_queue_is_refused_by_pickle():
    import pickle

    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(queue.Queue())
