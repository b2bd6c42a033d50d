"""Subclasses and patches of the pool, as public code makes them."""

import asyncio
import concurrent.futures.thread
import itertools
import queue
import threading

import pytest
from subject import REFERENCE, StdExecutor, ThreadPoolExecutor


class Recording(ThreadPoolExecutor):
    """Overrides submit, as tracing libraries do."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = []

    def submit(self, fn, /, *args, **kwargs):
        self.seen.append((fn, args))
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
def recording():
    with Recording(2) as executor:
        yield executor


def test_a_subclass_may_override_submit(recording):
    assert recording.submit(pow, 2, 3).result() == 8
    assert recording.seen == [(pow, (2, 3))]


def test_map_goes_through_an_overridden_submit(recording):
    assert list(recording.map(pow, [2, 3], [3, 2])) == [8, 9]
    assert recording.seen == [(pow, (2, 3)), (pow, (3, 2))]


@pytest.mark.skipif(REFERENCE, reason="3.14's")
def test_a_lazy_map_goes_through_an_overridden_submit(recording):
    results = recording.map(abs, itertools.count(), buffersize=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(recording.seen) == 5
    results.close()


def test_run_in_executor_goes_through_an_overridden_submit(recording):
    async def main():
        return await asyncio.get_running_loop().run_in_executor(recording, abs, -4)

    assert asyncio.run(main()) == 4
    assert len(recording.seen) == 1


def test_submit_replaced_on_the_class_is_seen_by_all(monkeypatch, make):
    seen, original = [], ThreadPoolExecutor.submit

    def submit(self, fn, /, *args, **kwargs):
        seen.append(args)
        return original(self, fn, *args, **kwargs)

    executor = make(1)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    assert executor.submit(abs, -1).result() == 1
    assert list(executor.map(abs, [-2, -3])) == [2, 3]
    assert seen == [(-1,), (-2,), (-3,)]
    monkeypatch.undo()
    assert executor.submit(abs, -1).result() == 1
    assert len(seen) == 3


def test_submit_replaced_on_the_standard_class_is_seen_too(monkeypatch, make):
    # Instrumentation patches the standard library's class and expects every thread pool to pass by.
    seen, original = [], StdExecutor.submit

    def submit(self, fn, /, *args, **kwargs):
        seen.append(args)
        return original(self, fn, *args, **kwargs)

    executor = make(1)
    monkeypatch.setattr(StdExecutor, "submit", submit)
    assert executor.submit(abs, -1).result() == 1
    assert list(executor.map(abs, [-2])) == [2]
    assert seen == [(-1,), (-2,)]
    monkeypatch.undo()
    assert executor.submit(abs, -5).result() == 5
    assert len(seen) == 2


def test_a_replaced_submit_may_wrap_the_function(monkeypatch, make):
    original = StdExecutor.submit

    def submit(self, fn, /, *args, **kwargs):
        return original(self, lambda: ("wrapped", fn(*args, **kwargs)))

    monkeypatch.setattr(StdExecutor, "submit", submit)
    assert make(1).submit(abs, -1).result() == ("wrapped", 1)


class Prioritised(ThreadPoolExecutor):
    """Replaces the work queue by a priority queue, the recipe found everywhere."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._work_queue = Ordered()


class Ordered(queue.PriorityQueue):
    """Puts work items in the order of their first argument; a wake-up (None) comes last."""

    def __init__(self):
        super().__init__()
        self._numbers = itertools.count()

    def put(self, item, *args, **kwargs):
        order = float("inf")
        if item is not None and not hasattr(item, "args"):
            order = item.task[1][0]
        elif item is not None and item.args:
            order = item.args[0]
        super().put((order, next(self._numbers), item), *args, **kwargs)

    def get(self, *args, **kwargs):
        return super().get(*args, **kwargs)[-1]

    def get_nowait(self):
        return self.get(block=False)


def test_a_replaced_work_queue_orders_the_tasks(gate):
    order = []
    with Prioritised(1) as executor:
        begun = threading.Event()
        executor.submit(lambda _: (begun.set(), gate.wait()), -1)
        begun.wait()
        submitted = [executor.submit(order.append, number) for number in (5, 1, 4, 2, 3)]
        assert executor._work_queue.qsize() == 5
        gate.set()
        for future in submitted:
            future.result()
    assert order == [1, 2, 3, 4, 5]


class Bounded(ThreadPoolExecutor):
    """Replaces the work queue by a bounded one, the recipe for back-pressure."""

    def __init__(self, workers, size):
        super().__init__(workers)
        self._work_queue = queue.Queue(maxsize=size)


def test_a_replaced_work_queue_holds_submit_back(gate):
    with Bounded(1, 1) as executor:
        begun, submitted = threading.Event(), threading.Event()
        executor.submit(lambda: (begun.set(), gate.wait()))
        begun.wait()
        executor.submit(int)

        def one_more():
            executor.submit(int)
            submitted.set()

        thread = threading.Thread(target=one_more)
        thread.start()
        assert not submitted.wait(0.02)
        gate.set()
        thread.join()
        assert submitted.is_set()


class DaemonHack(ThreadPoolExecutor):
    """Overrides how threads are made, as the hacks for daemon threads do."""

    def _adjust_thread_count(self):
        before = set(self._threads)
        super()._adjust_thread_count()
        for thread in set(self._threads) - before:
            concurrent.futures.thread._threads_queues.pop(thread, None)
            self.made = [*getattr(self, "made", []), thread]


def test_an_overridden_thread_count_is_asked():
    with DaemonHack(2) as executor:
        assert list(executor.map(abs, range(20))) == list(range(20))
    assert 1 <= len(executor.made) <= 2
    assert not set(executor.made) & set(concurrent.futures.thread._threads_queues)


class Fixed(ThreadPoolExecutor):
    """Never starts a thread; whoever made it works the queue off."""

    def _adjust_thread_count(self):
        pass


def test_an_overridden_thread_count_may_start_none():
    executor = Fixed(1)
    future = executor.submit(abs, -3)
    assert executor._threads == set()
    assert executor._work_queue.qsize() == 1
    item = executor._work_queue.get_nowait()
    item.future.set_result("by hand")
    assert future.result() == "by hand"
    executor.shutdown()


def test_a_subclass_may_have_a_constructor_of_its_own():
    class Own(ThreadPoolExecutor):
        def __init__(self, label):
            self.label = label
            super().__init__(max_workers=2, thread_name_prefix=label)

    with Own("own") as executor:
        assert executor.submit(lambda: threading.current_thread().name).result() == "own_0"
        assert executor.label == "own"


def test_a_subclass_may_override_shutdown():
    class Counting(ThreadPoolExecutor):
        calls = 0

        def shutdown(self, wait=True, **kwargs):
            self.calls += 1
            super().shutdown(wait, **kwargs)

    with Counting(1) as executor:
        executor.submit(int).result()
    assert executor.calls == 1


def test_a_subclass_inherits_from_another_base_too():
    class Mixin:
        def double(self, number):
            return self.submit(lambda: number * 2)

    class Both(Mixin, ThreadPoolExecutor):
        pass

    with Both(1) as executor:
        assert executor.double(21).result() == 42
