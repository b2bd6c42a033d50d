"""Queues between processes: what the standard library's do, and what they can't."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import queue as std_queue
import signal
import socket
import threading
import time
from multiprocessing.connection import wait

import pytest
from eventually import eventually, never_before
from mp import queue_tasks as tasks
from sleeping import sleeps_on_a_word

from forkful.futures import ProcessPoolExecutor
from forkful.multiprocessing.queues import JoinableQueue, Queue, SimpleQueue

METHODS = ["fork", "forkserver", "spawn"]


@pytest.fixture(params=METHODS)
def context(request):
    return multiprocessing.get_context(request.param)


@pytest.fixture
def start():
    """Starts processes that end with the test."""
    started = []

    def run(context, target, *args):
        process = context.Process(target=target, args=args)
        process.start()
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.join()


FORK = multiprocessing.get_context("fork")

ITEMS = [
    None,
    True,
    -1,
    2**63,
    2**200,
    1.5,
    float("inf"),
    "",
    "text",
    "\ud800",
    "ü" * 200_000,
    b"",
    b"bytes",
    b"x" * 500_000,
    bytearray(b"abc"),
    [1, "two", 3.0],
    {"a": (1, 2), "b": {3}},
    range(5),
    len,
    OSError(2, "no such"),
    [b"y" * 100_000, {"deep": [bytearray(200_000)] * 2}],
]


@pytest.mark.parametrize("make", [Queue, JoinableQueue, SimpleQueue, lambda: Queue(5)])
def test_items_come_as_they_went(make):
    queue = make()
    for item in ITEMS:
        queue.put(item)
        got = queue.get()
        assert type(got) is type(item)
        assert got == item or repr(got) == repr(item)
    assert queue.empty()


def test_items_through_another_process(context, start):
    there, back = Queue(3), Queue()
    process = start(context, tasks.echo, there, back)
    for item in ITEMS[1:]:
        there.put(item)
        got = back.get(timeout=60)
        assert type(got) is type(item)
        assert got == item or repr(got) == repr(item)
    there.put(None)
    assert back.get(timeout=60) is None
    process.join()


def test_it_serves_threads(start):
    queue, results = Queue(10), Queue()
    producers = [threading.Thread(target=tasks.produce, args=(queue, who, 500)) for who in range(3)]
    consumers = [threading.Thread(target=tasks.consume, args=(queue, results)) for _ in range(2)]
    for thread in producers + consumers:
        thread.start()
    for thread in producers:
        thread.join()
    for _ in consumers:
        queue.put(None)
    check(results, consumers=2, producers=3, count=500)


@pytest.mark.parametrize("maxsize", [0, 7])
def test_many_processes_put_and_take(start, maxsize):
    queue, results = Queue(maxsize), Queue()
    producers = [start(FORK, tasks.produce, queue, who, 1000) for who in range(3)]
    for _ in range(3):
        start(FORK, tasks.consume, queue, results)
    for process in producers:
        process.join()
    for _ in range(3):
        queue.put(None)
    check(results, consumers=3, producers=3, count=1000)


def check(results, *, consumers, producers, count):
    """Everything came once, and each producer's in its order."""
    everything = []
    for _ in range(consumers):
        seen = results.get(timeout=60)
        for who in range(producers):
            mine = [nth for by, nth in seen if by == who]
            assert mine == sorted(mine)
        everything += seen
    assert sorted(everything) == [(who, nth) for who in range(producers) for nth in range(count)]


# --- what goes wrong ---


def test_what_cannot_be_pickled_is_raised_by_put():
    queue = Queue()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        queue.put(lambda: 1)
    with pytest.raises(TypeError):
        queue.put([threading.Lock()])
    with pytest.raises(RuntimeError, match="shared between processes through inheritance"):
        queue.put(queue)
    assert queue.empty() and queue.qsize() == 0
    queue.put("works")
    assert queue.get() == "works"


class Unreadable:
    def __reduce__(self):
        return _fail, ()


def _fail():
    raise LookupError("not here")


def test_what_cannot_be_unpickled_is_raised_by_that_get_and_gone():
    queue = Queue(2)
    queue.put(Unreadable())
    queue.put("next")
    with pytest.raises(LookupError, match="not here"):
        queue.get()
    assert queue.get() == "next"
    assert queue.empty()


def test_full_and_empty():
    queue = Queue(2)
    with pytest.raises(std_queue.Empty):
        queue.get(False)
    with pytest.raises(std_queue.Empty):
        queue.get_nowait()
    with pytest.raises(std_queue.Empty):
        queue.get(True, 0.01)
    with pytest.raises(std_queue.Empty):
        queue.get(timeout=-1)
    queue.put(1)
    assert not queue.full() and not queue.empty() and queue.qsize() == 1
    queue.put(2, True, None)
    assert queue.full() and queue.qsize() == 2
    with pytest.raises(std_queue.Full):
        queue.put(3, False)
    with pytest.raises(std_queue.Full):
        queue.put_nowait(3)
    with pytest.raises(std_queue.Full):
        queue.put(3, timeout=0.01)
    assert [queue.get(), queue.get()] == [1, 2]
    with pytest.raises(TypeError):
        queue.get(timeout="soon")


def test_a_timeout_is_not_shorter_than_asked_for():
    queue = Queue()
    with never_before(0.05), pytest.raises(std_queue.Empty):
        queue.get(timeout=0.05)


def test_after_close():
    for queue in Queue(), JoinableQueue(3):
        queue.put("left")
        with pytest.raises(AssertionError, match="not closed"):
            queue.join_thread()
        queue.close()
        queue.close()
        queue.join_thread()
        queue.cancel_join_thread()
        with pytest.raises(ValueError, match=r"Queue <.*> is closed"):
            queue.put(1)
        with pytest.raises(ValueError, match="is closed"):
            queue.get()
        with pytest.raises(OSError, match="is closed"):
            queue.empty()
    simple = SimpleQueue()
    simple.close()
    for use in (simple.get, simple.empty, lambda: simple.put(1)):
        with pytest.raises(OSError, match="is closed"):
            use()


def test_one_that_was_not_initialised_says_so():
    queue = Queue.__new__(Queue)
    with pytest.raises(RuntimeError, match="not initialised"):
        queue.get()
    with pytest.raises(RuntimeError, match="already"):
        Queue().__init__()


def test_it_travels_through_inheritance_only():
    with pytest.raises(RuntimeError, match="through inheritance"):
        pickle.dumps(Queue())


class Counted(Queue):
    """As programs subclass it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, ctx=multiprocessing.get_context(), **kwargs)
        self.label = "mine"

    def __getstate__(self):
        return *super().__getstate__(), self.label

    def __setstate__(self, state):
        super().__setstate__(state[:-1])
        self.label = state[-1] + ", sent"

    def get(self, *args, **kwargs):
        return self.label, super().get(*args, **kwargs)


def test_a_subclass_with_a_state_of_its_own(context, start):
    queue, results = Counted(5), Queue()
    process = start(context, tasks.echo, queue, results)
    queue.put("item")
    expected = "mine" if context.get_start_method() == "fork" else "mine, sent"
    assert results.get(timeout=60) == (expected, "item")
    process.kill()
    assert queue.get_nowait.__func__ is Queue.get_nowait
    queue.put(None)
    assert queue.get_nowait() == ("mine", None)
    assert Queue[int] and SimpleQueue[str]


def test_descriptors_travel_in_items(context, start):
    there, back = Queue(), Queue()
    start(context, tasks.echo, there, back)
    ours, theirs = multiprocessing.Pipe()
    one, other = socket.socketpair()
    with ours, theirs, one, other:
        there.put({"connection": theirs, "socket": other})
        came = back.get(timeout=60)
        with came["connection"] as connection, came["socket"] as arrived:
            connection.send("through a pipe")
            assert ours.recv() == "through a pipe"
            arrived.sendall(b"through a socket")
            assert one.recv(100) == b"through a socket"


# --- finished items ---


def test_join_waits_for_what_is_unfinished(start):
    queue = JoinableQueue()
    queue.join()
    for nth in range(50):
        queue.put(nth)
    start(FORK, tasks.finish_all, queue, 50)
    queue.join()
    assert queue.empty()
    with pytest.raises(ValueError, match="called too many times"):
        queue.task_done()


def test_join_ends_for_all_that_wait():
    queue = JoinableQueue()
    queue.put(1)
    threads = [threading.Thread(target=queue.join) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    assert all(thread.is_alive() for thread in threads)
    queue.get()
    queue.task_done()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


# --- senders that end ---


def test_what_was_put_outlives_its_sender(start):
    queue = Queue()
    process = start(FORK, tasks.put_and_exit_hard, queue, 300, 30_000)
    # Nothing was taken yet: 9 MB wait, and with a thread that feeds a pipe this would hang.
    process.join()
    assert process.exitcode == 0 and queue.qsize() == 300
    for nth in range(300):
        assert queue.get() == (nth, bytes([nth % 251]) * 30_000)
    killed = start(FORK, tasks.put_and_die, queue, 1000)
    killed.join()
    assert [queue.get() for _ in range(1000)] == list(range(1000))


def test_what_was_put_before_the_start_is_there(context, start):
    queue, results = Queue(), Queue()
    tasks.produce(queue, 0, 100)
    queue.put(None)
    start(context, tasks.consume, queue, results)
    check(results, consumers=1, producers=1, count=100)


# --- pools ---


def test_as_an_argument_of_a_running_pool_s_task():
    queue, back = Queue(), SimpleQueue()
    with ProcessPoolExecutor(2) as pool:
        pool.submit(int).result()
        pids = {pool.submit(tasks.put_square, back, number).result() for number in range(20)}
        assert os.getpid() not in pids
        assert sorted(back.get() for _ in range(20)) == [number**2 for number in range(20)]
        sums = [pool.submit(tasks.total, queue, 500) for _ in range(2)]
        for number in range(1000):
            queue.put(number)
        assert sum(future.result() for future in sums) == sum(range(1000))


def test_a_pool_s_worker_has_one_mapping_and_no_descriptor_too_many():
    queue = Queue()
    with ProcessPoolExecutor(1) as pool:
        pool.submit(tasks.put_square, queue, 1).result()
        before = pool.submit(open_files).result()
        for number in range(50):
            pool.submit(tasks.put_square, queue, number).result()
        assert pool.submit(open_files).result() <= before + 2


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_who_has_looked_at_the_reader_leaves_no_descriptors():
    before = open_files()
    gc.disable()
    try:
        for _ in range(50):
            queue = Queue()
            reader = queue._reader
            assert queue._reader is reader and reader.fileno() >= 0
            del queue, reader
        assert open_files() <= before + 2
    finally:
        gc.enable()


# --- signals ---


@pytest.mark.parametrize("task", [tasks.wait_for, tasks.wait_for_room])
def test_a_signal_ends_a_wait(start, task):
    queue, told = Queue(1), Queue()
    if task is tasks.wait_for_room:
        queue.put("fills it")
    process = start(FORK, task, queue, told)
    assert told.get(timeout=60) == "waits"
    assert eventually(lambda: sleeps_on_a_word(process.pid))
    os.kill(process.pid, signal.SIGINT)
    assert told.get(timeout=60) == "interrupted"
    process.join()


def test_handlers_run_while_it_waits_and_the_wait_goes_on():
    ran = []
    before = signal.signal(signal.SIGALRM, lambda *_: ran.append(queue.put("from the handler")))
    queue = Queue()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert queue.get(timeout=60) == "from the handler"
        assert ran == [None]
    finally:
        signal.signal(signal.SIGALRM, before)


# --- among other things to wait for ---


def test_its_reader_can_be_waited_for(context, start):
    queue, other = Queue(), SimpleQueue()
    assert wait([queue._reader, other._reader], timeout=0.01) == []
    assert not queue._reader.poll() and not queue._reader.poll(0.01)
    start(context, tasks.put_all, queue, [1, 2])
    assert wait([queue._reader, other._reader]) == [queue._reader]
    assert queue._reader.poll() and queue._reader.poll(None)
    assert queue.get() == 1
    assert eventually(lambda: queue.qsize() == 1)
    assert wait([queue._reader], timeout=0.01) == [queue._reader]
    assert queue._reader.recv() == 2
    assert wait([queue._reader, other._reader], timeout=0.01) == []
    other._writer.send(3)
    assert wait([queue._reader, other._reader]) == [other._reader]
    assert not other._reader.closed
    other._reader.close()
    assert other._reader.closed and other._writer.closed
    with pytest.raises(OSError, match="is closed"):
        other._reader.poll()


def test_who_waits_by_the_reader_gets_everything_and_never_blocks(start):
    queue = Queue()
    start(FORK, tasks.put_all, queue, range(3000))
    for expected in range(3000):
        assert wait([queue._reader], timeout=60) == [queue._reader]
        assert queue.get_nowait() == expected
    assert wait([queue._reader], timeout=0) == []


# --- memory ---


def held(queue):
    """Bytes of memory that it has."""
    return os.stat(f"/proc/self/fd/{queue._filenos()[0]}").st_blocks * 512


def test_memory_grows_as_needed_and_is_given_back(start):
    queue = Queue()
    assert held(queue) < 100_000
    for _ in range(40):
        queue.put(os.urandom(1_000_000))
    assert held(queue) >= 40_000_000
    for _ in range(40):
        assert len(queue.get()) == 1_000_000
    assert held(queue) < 20_000_000


def test_a_large_item(start):
    there, back = Queue(), Queue()
    start(FORK, tasks.echo, there, back)
    item = os.urandom(1_000_000) * 100
    there.put(item)
    assert back.get(timeout=100) == item


def test_large_buffers_arrive_as_writable_as_they_were():
    numpy = pytest.importorskip("numpy")
    queue = Queue()
    sent = numpy.arange(300_000).reshape(3, -1)
    fixed = numpy.ones(100_000)
    fixed.flags.writeable = False
    queue.put({"sent": sent, "fixed": fixed, "small": numpy.arange(3)})
    got = queue.get()
    assert (got["sent"] == sent).all() and got["sent"].shape == sent.shape
    assert got["sent"].flags.writeable and got["sent"].flags.aligned
    assert not got["fixed"].flags.writeable
    got["sent"][:] = 0
    assert sent.sum() > 0


def test_without_room_put_raises_and_has_put_nothing(start):
    queue, told = Queue(), Queue()
    process = start(FORK, tasks.fill_what_may_be_mapped, queue, told)
    count, text = told.get(timeout=60)
    assert 10 < count < 1000 and "no memory for an item of a queue" in text
    assert told.get(timeout=60) == "still works"
    process.join()
    assert queue.qsize() == count
    for _ in range(count):
        assert queue.get() == b"x" * (1 << 20)
    queue.put("next")
    assert queue.get() == "next"


def test_a_fork_while_threads_use_it(start):
    queue, stop = Queue(100), threading.Event()

    def churn():
        while not stop.is_set():
            queue.put(b"x" * 5000)
            queue.get()

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            done = Queue()
            process = start(FORK, use_in_child, queue, done)
            assert done.get(timeout=60) == "done"
            process.join()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def use_in_child(queue, done):
    for _ in range(50):
        queue.put(b"y" * 100)
        queue.get()
    done.put("done")
