"""stats(): what the pool says about itself."""

import dataclasses
import itertools
import math
import threading
import time

import pytest
from eventually import eventually
from subject import REFERENCE

pytestmark = pytest.mark.skipif(REFERENCE, reason="beyond the standard library")


def fail():
    raise ValueError


def total(stats):
    return stats.pending + stats.running + stats.done + stats.failed + stats.cancelled


def test_a_new_pool_has_done_nothing(make):
    stats = make(2).stats()
    assert (stats.submitted, stats.running, stats.pending) == (0, 0, 0)
    assert (stats.done, stats.failed, stats.cancelled) == (0, 0, 0)
    assert stats.workers == ()
    assert stats.queue_wait.count == stats.run_time.count == 0
    assert stats.tasks == {}


def test_every_task_is_counted_once(make):
    executor = make(2)
    for _ in range(30):
        executor.submit(int)
    for _ in range(10):
        executor.submit(fail)
    executor.shutdown()
    stats = executor.stats()
    assert (stats.submitted, stats.done, stats.failed) == (40, 30, 10)
    assert (stats.running, stats.pending, stats.cancelled) == (0, 0, 0)


def test_what_waits_and_what_runs_is_told(blocked, gate):
    submitted = [blocked.submit(int) for _ in range(5)]
    stats = blocked.stats()
    assert (stats.submitted, stats.running, stats.pending) == (6, 1, 5)
    assert submitted[0].cancel()
    assert submitted[1].cancel()
    gate.set()
    blocked.shutdown()
    stats = blocked.stats()
    assert (stats.running, stats.pending) == (0, 0)
    assert (stats.done, stats.cancelled) == (4, 2)


def test_cancelling_shutdown_is_counted(blocked, gate):
    for _ in range(7):
        blocked.submit(int)
    blocked.shutdown(wait=False, cancel_futures=True)
    gate.set()
    blocked.shutdown()
    stats = blocked.stats()
    assert (stats.submitted, stats.done, stats.cancelled) == (8, 1, 7)


def test_the_numbers_add_up_at_rest_after_any_mixture(make):
    executor = make(3)
    submitted = []
    for number in range(300):
        submitted.append(executor.submit(fail if number % 7 == 0 else int))
        if number % 3 == 0:
            submitted[-1].cancel()
    executor.shutdown()
    stats = executor.stats()
    assert stats.submitted == 300 == total(stats)
    assert stats.cancelled == sum(future.cancelled() for future in submitted)
    assert stats.failed == sum(not f.cancelled() and f.exception() is not None for f in submitted)


def test_the_numbers_never_run_backwards_while_work_goes_on(make):
    executor, seen, stop = make(2), [], threading.Event()

    def watch():
        while not stop.is_set():
            seen.append(executor.stats())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(2000):
        executor.submit(int)
    executor.shutdown()
    stop.set()
    watcher.join()
    for before, after in itertools.pairwise(seen):
        assert before.submitted <= after.submitted
        assert before.done <= after.done
    assert all(min(s.pending, s.running, s.done, s.failed, s.cancelled) >= 0 for s in seen)
    assert all(s.running <= 2 for s in seen)


def test_workers_tell_their_names_and_shares(make):
    executor = make(2, "metered")
    barrier = threading.Barrier(2)
    for future in [executor.submit(barrier.wait) for _ in range(2)]:
        future.result()
    executor.submit(time.sleep, 0.01).result()
    # A result is there a moment before its worker has written the task down.
    assert eventually(lambda: sum(worker.tasks for worker in executor.stats().workers) == 3)
    workers = executor.stats().workers
    assert isinstance(workers, tuple)
    assert sorted(worker.name for worker in workers) == ["metered_0", "metered_1"]
    assert sum(worker.busy for worker in workers) >= 0.01
    assert all(worker.idle >= 0 for worker in workers)


def test_an_idle_worker_grows_idle_not_busy(make):
    executor = make(1)
    executor.submit(int).result()
    assert eventually(lambda: executor.stats().workers[0].idle >= 0.02)
    assert executor.stats().workers[0].tasks == 1


@pytest.mark.parametrize("name", ["queue_wait", "run_time"])
def test_a_histogram_has_each_task_once(make, name):
    executor = make(2)
    for _ in range(50):
        executor.submit(time.sleep, 0)
    executor.shutdown()
    histogram = getattr(executor.stats(), name)
    assert histogram.count == 50
    assert sum(count for _, count in histogram.buckets) == 50
    bounds = [bound for bound, _ in histogram.buckets]
    assert bounds == sorted(set(bounds))
    assert histogram.total >= 0
    assert histogram.mean == pytest.approx(histogram.total / 50)


def test_quantiles_grow_and_bound_what_was_measured(make):
    executor = make(1)
    for naps in (0, 0, 0, 0, 0, 0, 0, 0, 0, 0.02):
        executor.submit(time.sleep, naps).result()
    executor.shutdown()
    run_time = executor.stats().run_time
    values = [run_time.quantile(q) for q in (0.0, 0.25, 0.5, 0.9, 1.0)]
    assert values == sorted(values)
    assert run_time.quantile(1.0) >= 0.02
    assert run_time.total >= 0.02


def test_a_wait_in_the_queue_is_measured(make, gate):
    executor = make(1)
    executor.submit(gate.wait)
    executor.submit(int)
    time.sleep(0.02)
    gate.set()
    executor.shutdown()
    assert executor.stats().queue_wait.quantile(1.0) >= 0.02


def test_an_empty_histogram_divides_by_nothing(make):
    empty = make(1).stats().run_time
    assert empty.count == 0
    assert empty.total == 0
    assert empty.mean == 0 or math.isnan(empty.mean)
    assert empty.quantile(0.5) == 0 or math.isnan(empty.quantile(0.5))


@pytest.mark.parametrize("q", [-0.1, 1.1])
def test_a_quantile_outside_the_unit_is_refused(make, q):
    executor = make(1)
    executor.submit(int).result()
    with pytest.raises(ValueError):
        executor.stats().run_time.quantile(q)


def test_stats_are_a_frozen_picture(make):
    executor = make(1)
    before = executor.stats()
    executor.submit(int).result()
    assert before.submitted == 0
    assert dataclasses.is_dataclass(before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.submitted = 5


def test_named_tasks_have_wall_and_processor_time(make):
    executor = make(1)

    def spin():
        start = time.thread_time()
        while time.thread_time() - start < 0.02:
            pass

    executor.with_options(name="sleeps").submit(time.sleep, 0.02).result()
    executor.with_options(name="spins").submit(spin).result()
    executor.shutdown()
    tasks = executor.stats().tasks
    assert tasks["sleeps"].wall >= 0.02
    assert tasks["spins"].cpu >= 0.019
    assert tasks["spins"].wall >= 0.019


def test_a_retried_task_is_one_task(make):
    calls = []

    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise ValueError

    executor = make(1)
    executor.with_options(retries=2).submit(flaky).result()
    executor.shutdown()
    stats = executor.stats()
    assert (stats.submitted, stats.done, stats.failed) == (1, 1, 0)


def test_nested_tasks_are_counted_too(make):
    executor = make(1)
    executor.submit(lambda: executor.submit(int).result()).result()
    executor.shutdown()
    stats = executor.stats()
    assert (stats.submitted, stats.done) == (2, 2)


def test_stats_cost_no_thread_and_no_work(make):
    executor = make(3)
    for _ in range(10):
        executor.stats()
    assert len(executor._threads) == 0
