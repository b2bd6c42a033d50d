"""What holds file descriptors travels with tasks and comes back with results: sockets, connections, multiprocessing's objects."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from multiprocessing import reduction
from multiprocessing.connection import Connection
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually

from forkful import ProcessPoolExecutor, wait

METHODS = ["fork", "zygote", "spawn"]
NAMED = ["forkserver", "spawn"]

CARRIED: ContextVar[Any] = ContextVar("CARRIED")


def nothing() -> None:
    pass


def open_fds(_: Any = None) -> int:
    return len(os.listdir("/proc/self/fd"))


def give_back(value: Any) -> Any:
    return value


def read(source: Any) -> bytes:
    return source.recv(100)  # type: ignore[no-any-return]


def answer(listener: socket.socket) -> bytes:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(100).upper())
    return b"answered"


def pass_on(ends: list[Connection]) -> list[Connection]:
    ends[1].send("through both")
    assert ends[0].recv() == "through both"
    return ends


def is_one(pair: list[Connection], before: int) -> tuple[bool, int]:
    return pair[0] is pair[1], open_fds() - before


def talk(words: bytes) -> tuple[socket.socket, dict[str, Connection]]:
    ours, theirs = socket.socketpair()
    there, here = multiprocessing.Pipe()
    with theirs:
        theirs.sendall(words)
    here.send(words)
    here.close()
    return ours, {"pipe": there}


class Trouble(Exception):
    """An exception that holds a socket."""


def fail_with(words: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(words)
    raise Trouble(ours)


def wait_for(gate: Path) -> None:
    while not gate.exists():
        time.sleep(0.001)


def close_and_stay(connection: socket.socket, gate: str) -> str:
    connection.close()
    while not os.path.exists(gate):
        time.sleep(0.001)
    return "stayed"


@pytest.fixture(params=METHODS)
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    """One worker, which is there already: what comes now, it has not inherited."""
    with ProcessPoolExecutor(1, start_method=request.param) as pool:
        pool.submit(nothing).result(timeout=60)
        yield pool


def test_sockets_go_there_and_come_back(pool: ProcessPoolExecutor) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"hello")
        assert pool.submit(read, theirs).result(timeout=60) == b"hello"
        back = pool.submit(give_back, [theirs, {"too": ours}]).result(timeout=60)
    with back[0], back[1]["too"]:
        back[0].sendall(b"and back")
        assert back[1]["too"].recv(100) == b"and back"


def test_a_listening_socket_serves_in_the_worker(pool: ProcessPoolExecutor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        future = pool.submit(answer, listener)
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"HELLO"
        assert future.result(timeout=60) == b"answered"


def test_both_ends_of_a_pipe(pool: ProcessPoolExecutor) -> None:
    for duplex in (True, False):
        here, there = multiprocessing.Pipe(duplex)
        ends = pool.submit(pass_on, [here, there]).result(timeout=60)
        here.close()
        there.close()
        assert pass_on(ends) is ends
        assert (ends[0].readable, ends[0].writable, ends[1].writable) == (True, duplex, True)
        for end in ends:
            end.close()


def test_what_is_there_twice_is_one_thing_and_one_descriptor(pool: ProcessPoolExecutor) -> None:
    here, there = multiprocessing.Pipe()
    with here, there:
        before = pool.submit(open_fds).result(timeout=60)
        assert pool.submit(is_one, [there, there], before).result(timeout=60) == (True, 1)
        back = pool.submit(give_back, [there, there]).result(timeout=60)
        assert back[0] is back[1]
        back[0].close()


def test_results_and_exceptions_hold_descriptors(pool: ProcessPoolExecutor) -> None:
    ours, rest = pool.submit(talk, b"words").result(timeout=60)
    with ours, rest["pipe"]:
        assert (ours.recv(100), ours.recv(100), rest["pipe"].recv()) == (b"words", b"", b"words")
    error = pool.submit(fail_with, b"trouble").exception(timeout=60)
    assert type(error) is Trouble
    with error.args[0]:
        assert error.args[0].recv(100) == b"trouble"


def test_more_than_one_message_takes(pool: ProcessPoolExecutor) -> None:
    pairs = [socket.socketpair() for _ in range(300)]
    back = pool.submit(give_back, [theirs for _, theirs in pairs]).result(timeout=60)
    for number, ((ours, theirs), returned) in enumerate(zip(pairs, back, strict=True)):
        theirs.close()
        ours.sendall(b"%d" % number)
        assert returned.recv(100) == b"%d" % number
        ours.close()
        returned.close()


def test_a_socket_is_closed_when_the_task_closes_it(pool: ProcessPoolExecutor, tmp_path: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        future = pool.submit(close_and_stay, theirs, str(tmp_path / "gate"))
        theirs.close()
        # Not only when the task is over: the other side may wait for this.
        assert ours.recv(1) == b""
        assert not future.done()
        (tmp_path / "gate").touch()
        assert future.result(timeout=60) == "stayed"


# --- multiprocessing's objects ---


def try_lock(lock: Any) -> bool:
    taken = lock.acquire(timeout=0.1)
    if taken:
        lock.release()
    return bool(taken)


def count_up(value: Any, times: int) -> None:
    for _ in range(times):
        with value.get_lock():
            value.value += 1


def serve_queue(source: Any, target: Any) -> int:
    served = 0
    while (item := source.get()) is not None:
        target.put(item * 2)
        served += 1
    return served


def meet(barrier: Any, event: Any, condition: Any) -> str:
    barrier.wait(60)
    with condition:
        condition.notify_all()
    return "set" if event.wait(60) else "never"


@pytest.mark.parametrize("named", NAMED)
def test_locks_of_all_kinds_exclude(pool: ProcessPoolExecutor, named: Any) -> None:
    context: Any = multiprocessing.get_context(named)
    for lock in (context.Lock(), context.RLock(), context.Semaphore(1), context.BoundedSemaphore(1)):
        assert pool.submit(try_lock, lock).result(timeout=60) is True
        with lock:
            assert pool.submit(try_lock, lock).result(timeout=60) is False
        assert pool.submit(try_lock, lock).result(timeout=60) is True


@pytest.mark.parametrize("named", NAMED)
def test_values_are_shared_and_their_locks_hold(named: Any) -> None:
    context: Any = multiprocessing.get_context(named)
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(open_fds, range(2)))
        value, array = context.Value("q", 0), context.Array("i", 3)
        done = [pool.submit(count_up, value, 2000) for _ in range(2)]
        count_up(value, 2000)
        assert [future.result(timeout=60) for future in done] == [None, None]
        assert value.value == 6000
        assert pool.submit(array.__setitem__, 1, 7).exception(timeout=60) is None
        assert list(array) == [0, 7, 0]
        raw = pool.submit(give_back, context.RawValue("i", 5)).result(timeout=60)
        assert raw.value == 5


@pytest.mark.parametrize("named", NAMED)
def test_queues_reach_a_running_worker(pool: ProcessPoolExecutor, named: Any) -> None:
    context: Any = multiprocessing.get_context(named)
    for make in (context.Queue, context.SimpleQueue, context.JoinableQueue):
        source, target = make(), make()
        future = pool.submit(serve_queue, source, target)
        for number in range(50):
            source.put(number)
        source.put(None)
        assert [target.get() for _ in range(50)] == list(range(0, 100, 2))
        assert future.result(timeout=60) == 50


@pytest.mark.parametrize("named", NAMED)
def test_events_conditions_and_barriers_meet(pool: ProcessPoolExecutor, named: Any) -> None:
    context: Any = multiprocessing.get_context(named)
    barrier, event, condition = context.Barrier(2), context.Event(), context.Condition()
    with condition:
        future = pool.submit(meet, barrier, event, condition)
        barrier.wait(60)
        assert condition.wait(60)
    event.set()
    assert future.result(timeout=60) == "set"


def test_what_was_made_for_forks_fails_its_own_future(pool: ProcessPoolExecutor) -> None:
    context = multiprocessing.get_context("fork")

    class Own(type(context.Lock())):  # type: ignore[misc]
        """Somebody's subclass."""

    things = [
        context.Lock(),
        context.RLock(),
        context.BoundedSemaphore(),
        context.Event(),
        context.Queue(),
        context.Value("i", 1),
        Own(ctx=context),
        [{"deep": context.Condition()}],
    ]
    for thing in things:
        error = pool.submit(give_back, thing).exception(timeout=60)
        assert type(error) is RuntimeError and "forkserver" in str(error) and "initargs" in str(error)
    # It is memory and nothing else.
    raw = pool.submit(give_back, context.RawArray("i", [1, 2])).result(timeout=60)
    assert list(raw) == [1, 2]


LOCK: Any = None


def take_lock(lock: Any) -> None:
    global LOCK
    LOCK = lock


def try_own_lock() -> bool:
    return try_lock(LOCK)


def test_a_lock_for_forks_is_inherited_by_initargs() -> None:
    lock = multiprocessing.get_context("fork").RLock()
    with ProcessPoolExecutor(1, start_method="fork", initializer=take_lock, initargs=(lock,)) as pool:
        assert pool.submit(try_own_lock).result(timeout=60) is True
        with lock:
            assert pool.submit(try_own_lock).result(timeout=60) is False


def make_lock(kind: str) -> Any:
    return getattr(multiprocessing.get_context("forkserver"), kind)()


@pytest.mark.parametrize("kind", ["Lock", "Event", "Queue"])
def test_a_result_may_not_hold_a_lock(kind: str) -> None:
    with ProcessPoolExecutor(1) as pool:
        error = pool.submit(make_lock, kind).exception(timeout=60)
        assert type(error) is RuntimeError and "inheritance" in str(error)
        before = pool.submit(open_fds).result(timeout=60)
        for _ in range(3):
            assert pool.submit(make_lock, kind).exception(timeout=60)
        # The queue's own connections go with it, once it is collected.
        assert eventually(lambda: pool.submit(collected_fds).result(timeout=60) <= before)


def collected_fds() -> int:
    import gc

    gc.collect()
    return open_fds()


def test_a_lock_that_only_its_task_has_is_there_when_it_runs(pool: ProcessPoolExecutor) -> None:
    context: Any = multiprocessing.get_context("forkserver")
    blocker = pool.submit(time.sleep, 0.3)
    future = pool.submit(try_lock, context.Lock())
    lock = context.Lock()
    alive = weakref.ref(lock)
    other = pool.submit(try_lock, lock)
    del lock
    assert future.result(timeout=60) is other.result(timeout=60) is True
    assert blocker.done()
    # What is kept for a task is let go by whoever comes by.
    assert eventually(lambda: pool.submit(nothing).result(timeout=60) is alive())


def test_a_managers_proxy_takes_its_key_along(pool: ProcessPoolExecutor) -> None:
    with SyncManager(authkey=b"not everybody's") as manager:
        shared = manager.dict()
        pool.submit(shared.update, {"told": 1}).result(timeout=60)
        assert dict(shared) == {"told": 1}


# --- all the ways into a pickle ---


class Lazy:
    """Takes its descriptor when it is asked for, not when it is unpickled."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __reduce__(self) -> Any:
        return Lazily, (reduction.DupFd(self.fd),)


class Lazily:
    def __init__(self, piece: Any) -> None:
        self.piece = piece

    def __call__(self) -> tuple[bytes, str]:
        fd = self.piece.detach()
        try:
            self.piece.detach()
        except RuntimeError as error:
            said = str(error)
        words = os.read(fd, 100)
        os.close(fd)
        return words, said


def call(thing: Any) -> Any:
    return thing()


def test_a_descriptor_may_be_taken_later_and_once() -> None:
    with ProcessPoolExecutor(1) as pool:
        read_end, write_end = os.pipe()
        os.write(write_end, b"later")
        words, said = pool.submit(call, Lazy(read_end)).result(timeout=60)
        assert words == b"later" and "already" in said
        before = pool.submit(open_fds).result(timeout=60)
        for _ in range(20):
            pool.submit(nothing_of, Lazy(read_end)).result(timeout=60)
        assert pool.submit(open_fds).result(timeout=60) == before
        os.close(read_end)
        os.close(write_end)


def nothing_of(_: Any) -> None:
    pass


def test_a_closure_takes_its_connection_to_every_worker(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2) as pool:
        # Both are there, with what this process has of each: descriptors are counted.
        meeting = [pool.submit(wait_for, tmp_path / "gate") for _ in range(2)]
        assert eventually(lambda: len(pool.workers()) == 2)
        (tmp_path / "gate").touch()
        assert [future.result(timeout=60) for future in meeting] == [None] * 2
        here, there = multiprocessing.Pipe()

        def tell(word: str) -> int:
            there.send(word)
            return os.getpid()

        with here, there:
            # The first one opens what workers fetch from.
            pool.submit(tell, "first").result(timeout=60)
            assert here.recv() == "first"
            before = open_fds()
            pids = [pool.submit(tell, str(n)).result(timeout=60) for n in range(30)]
            assert sorted(here.recv() for _ in range(30)) == sorted(map(str, range(30)))
            # What earlier tests have left may go meanwhile.
            assert pids and eventually(lambda: open_fds() <= before)


def current() -> bytes:
    return CARRIED.get().recv(100)  # type: ignore[no-any-return]


def test_a_context_variable_holds_a_socket() -> None:
    with ProcessPoolExecutor(1, propagate_context=True) as pool:
        pool.submit(nothing).result(timeout=60)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            token = CARRIED.set(theirs)
            ours.sendall(b"in the context")
            assert pool.submit(current).result(timeout=60) == b"in the context"
            CARRIED.reset(token)


def through_a_pool_of_its_own(source: Any) -> bytes:
    with ProcessPoolExecutor(1) as inner:
        inner.submit(nothing).result(timeout=60)
        back = inner.submit(give_back, source).result(timeout=60)
        return inner.submit(read, back).result(timeout=60)


def test_nested_pools_pass_sockets_on(pool: ProcessPoolExecutor) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"deep")
        assert pool.submit(through_a_pool_of_its_own, theirs).result(timeout=100) == b"deep"


@pytest.mark.parametrize("method", METHODS)
def test_what_a_worker_leaves_with_its_last_outcome_arrives(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method, max_tasks_per_child=1) as pool:
        for _ in range(5):
            ours, rest = pool.submit(talk, b"last words").result(timeout=60)
            with ours, rest["pipe"]:
                assert (ours.recv(100), ours.recv(100), rest["pipe"].recv()) == (b"last words", b"", b"last words")


class Slowly:
    """Takes its time to be read."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __setstate__(self, state: Any) -> None:
        time.sleep(0.2)
        self.__dict__.update(state)


def slow_socket() -> Slowly:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"x")
    return Slowly(ours)


def test_a_result_with_descriptors_may_be_read_by_several_threads_at_once() -> None:
    with ProcessPoolExecutor(1) as pool:
        future = pool.submit(slow_socket)
        wait([future])
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(future.result())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4 and all(one is found[0] for one in found)
        assert found[0].thing.recv(1) == b"x"
        found[0].thing.close()
