"""Processes that are killed while they use a queue: the others go on, nothing is lost but with the dead, nothing comes twice."""

from __future__ import annotations

import multiprocessing
import random
import time
import warnings

import pytest
from eventually import eventually
from mp import queue_tasks as tasks

from forkful._errors import OwnerDiedWarning
from forkful.multiprocessing.queues import JoinableQueue, Queue

FORK = multiprocessing.get_context("fork")


def started(target, *args):
    process = FORK.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def ended(process):
    process.kill()
    process.join()


def put_quietly(queue, item):
    # Who takes has the producers' lock now and then, to give memory back, and may have died with that.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OwnerDiedWarning)
        queue.put(item)


def killed(queue, target):
    """Kills a process again and again, amid its work mostly; each time the process, and what the next one there does."""
    large = b"x" * 500_000
    for _ in range(500):
        while target is tasks.put_forever and queue.qsize() > 200:
            queue.get()
        while target is tasks.get_forever and queue.qsize() < 40:
            put_quietly(queue, large)
        before = queue.qsize()
        process = started(target, queue)
        # However late a busy machine lets it begin.
        assert eventually(lambda before=before: queue.qsize() != before)
        time.sleep(random.random() / 500)
        ended(process)
        if target is tasks.get_forever:
            put_quietly(queue, large)
            yield process, lambda _: queue.get()
        else:
            yield process, queue.put
    raise AssertionError("nobody died with a lock in hand")


@pytest.mark.parametrize("target", [tasks.put_forever, tasks.get_forever])
def test_the_next_one_is_warned_and_can_ask(target):
    queue = Queue()
    assert queue.owner_died is None
    for process, use in killed(queue, target):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            use(0)
        if caught:
            assert [warning.category for warning in caught] == [OwnerDiedWarning]
            assert f"process {process.pid} died" in str(caught[0].message)
            assert caught[0].filename == __file__
            assert queue.owner_died == process.pid
            return


def test_where_warnings_are_errors_nothing_was_put():
    queue = Queue()
    for _, use in killed(queue, tasks.put_forever):
        before = queue.qsize()
        try:
            use("mine")
        except OwnerDiedWarning:
            assert queue.qsize() == before
            use("mine again")
            assert queue.qsize() == before + 1
            return


def storm(queue, seconds_or_kills, randomly):
    """Two put and two take, and one after the other is killed."""
    targets = [tasks.put_forever, tasks.get_forever] * 2
    processes = [started(target, queue) for target in targets]
    try:
        for _ in range(seconds_or_kills):
            time.sleep(randomly.random() / 200)
            place = randomly.randrange(4)
            ended(processes[place])
            processes[place] = started(targets[place], queue)
    finally:
        for process in processes:
            ended(process)


@pytest.mark.parametrize("maxsize", [0, 20])
@pytest.mark.parametrize("kills", [60, pytest.param(1500, marks=pytest.mark.stress)])
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::forkful._errors.OwnerDiedWarning")
def test_a_storm_of_kills_leaves_a_queue(kills, maxsize):
    queue = Queue(maxsize)
    storm(queue, kills, random.Random(kills))
    # What is left is whole, and each producer's in its order.
    last: dict[tuple[int, int], int] = {}
    while queue.qsize():
        who, nth, content = queue.get()
        assert content == b"x" * (nth * 37 % 3000)
        assert nth == last.get(who, nth - 1) + 1
        last[who] = nth
    for item in range(100):
        queue.put(item)
        assert queue.get() == item


@pytest.mark.filterwarnings("ignore::forkful._errors.OwnerDiedWarning")
def test_finished_ones_are_counted_whoever_dies():
    queue = JoinableQueue()
    for _ in range(30):
        process = started(tasks.finish_all, queue, 10**9)
        for nth in range(200):
            queue.put(nth)
        ended(process)
    # The dead ones may have taken one each that they never finished.
    while queue.qsize():
        queue.get()
        queue.task_done()
    finished = 0
    while True:
        try:
            queue.task_done()
        except ValueError:
            break
        finished += 1
    assert finished <= 30
    queue.join()
