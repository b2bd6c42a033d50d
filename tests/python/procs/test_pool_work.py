"""What can be sent, how workers start, what they tell."""

from __future__ import annotations

import contextvars
import functools
import logging
import multiprocessing
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from gates import behind
from sizes import resident

import forkful
from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


class Point:
    def __init__(self, x: int) -> None:
        self.x = x

    def double(self) -> Point:
        return Point(2 * self.x)


class Odd(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("not me")


def square(x: int) -> int:
    return x * x


def odd() -> None:
    raise Odd("odd")


def log() -> None:
    logging.getLogger("worker.log").warning("from %d", 7)


def grow(size: int) -> int:
    return len(b"x" * size)


def hold(megabytes: int) -> int:
    block = bytearray(megabytes << 20)
    for at in range(0, len(block), 4096):
        block[at] = 1
    time.sleep(20)
    return len(block)


def process_name() -> str:
    return multiprocessing.current_process().name


def starter() -> str:
    """What of the nursery this process's interpreter was started with: nothing, where it was forked from ours."""
    command = Path("/proc/self/cmdline").read_text()
    return command.partition("from forkful._nursery import ")[2].partition(";")[0]


def await_file(path: str) -> int:
    while not os.path.exists(path):
        time.sleep(0.005)
    return 1


def submit_inside(depth: int) -> int:
    if depth == 0:
        return os.getpid()
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(submit_inside, depth - 1).result(timeout=60)


def read_socket(peer: socket.socket) -> bytes:
    with peer:
        return peer.recv(10)


@pytest.mark.parametrize("method", METHODS)
def test_functions_of_all_kinds(method: str) -> None:
    offset = 10

    class Local:
        value = 4

    with ProcessPoolExecutor(2, start_method=method) as pool:
        submit = pool.submit
        assert submit(square, 3).result(timeout=60) == 9
        assert submit(lambda x: x + offset, 5).result(timeout=60) == 15
        assert submit(functools.partial(pow, 2), 5).result(timeout=60) == 32
        assert submit(Point(4).double).result(timeout=60).x == 8
        assert submit(lambda: Local.value).result(timeout=60) == 4
        assert list(pool.map(square, range(50), chunksize=7)) == [n * n for n in range(50)]
        assert type(submit(Point, 3).result(timeout=60)) is Point


@pytest.mark.parametrize("size", [100, 60_000, 300_000, 5_000_000])
def test_payloads_of_all_sizes(size: int) -> None:
    with ProcessPoolExecutor(2) as pool:
        payload = os.urandom(size)
        assert pool.submit(bytes, payload).result(timeout=60) == payload
        assert pool.submit(grow, size).result(timeout=60) == size


def test_what_cannot_be_sent_fails_its_future() -> None:
    with ProcessPoolExecutor(1) as pool:
        assert isinstance(pool.submit(square, threading.Lock()).exception(timeout=60), TypeError)
        assert isinstance(pool.submit(threading.Lock).exception(timeout=60), TypeError)
        assert "not me" in str(pool.submit(odd).exception(timeout=60))
        assert pool.submit(square, 2).result(timeout=60) == 4


def test_sockets_travel() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ProcessPoolExecutor(1) as pool:
        future = pool.submit(read_socket, theirs)
        ours.sendall(b"hello")
        assert future.result(timeout=60) == b"hello"


def test_nested_pools() -> None:
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(submit_inside, 3).result(timeout=100) != os.getpid()


def test_max_tasks_per_child_replaces_workers() -> None:
    with ProcessPoolExecutor(1, start_method="fork", max_tasks_per_child=2) as pool:
        pids = [pool.submit(os.getpid).result(timeout=60) for _ in range(6)]
        assert len(set(pids)) == 3
        assert pool.stats().deaths == 0


def test_max_tasks_per_child_with_much_waiting() -> None:
    with ProcessPoolExecutor(2, start_method="zygote", max_tasks_per_child=1) as pool:
        assert [f.result(timeout=100) for f in [pool.submit(square, n) for n in range(40)]] == [
            n * n for n in range(40)
        ]


def test_a_memory_limit_kills_and_says_so() -> None:
    with ProcessPoolExecutor(1, memory_limit=resident() + (100 << 20), memory_sampling=0.02) as pool:
        error = pool.submit(hold, 300).exception(timeout=60)
        assert isinstance(error, forkful.WorkerDied) and "memory_limit" in str(error)
        assert pool.submit(square, 2).result(timeout=60) == 4


def test_max_pending_blocks_submit(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with ProcessPoolExecutor(1, max_pending=2) as pool:
        running = pool.submit(await_file, str(gate))
        assert eventually(running.running)
        futures = [running, *(pool.submit(square, n) for n in range(2))]
        over = threading.Event()

        def submit() -> None:
            futures.append(pool.submit(square, 2))
            over.set()

        thread = threading.Thread(target=submit)
        thread.start()
        try:
            # Two wait and none ends, so neither does this.
            assert not over.wait(0.5)
            assert pool.stats().pending == 2 and running.running()
        finally:
            gate.touch()
            thread.join()
        assert over.is_set()
        assert [future.result(timeout=60) for future in futures] == [1, 0, 1, 4]


def test_max_pending_holds_while_many_are_submitted() -> None:
    with ProcessPoolExecutor(1, max_pending=2) as pool:
        futures = []
        for _ in range(50):
            futures.append(pool.submit(time.sleep, 0.005))
            assert pool.stats().pending <= 2
        for future in futures:
            future.result(timeout=60)


def test_logs_context_and_names(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, relay_logs=True, propagate_context=True) as pool:
        VARIABLE.set("set")
        assert pool.submit(VARIABLE.get).result(timeout=60) == "set"
        pool.submit(log).result(timeout=60)
        assert eventually(lambda: any(record.getMessage() == "from 7" for record in caplog.records))
        named = pool.with_options(name="nap").submit(behind, tmp_path / "gate", time.sleep, 0.3)
        assert eventually(lambda: any(record.task == "nap" for record in pool.workers()))
        (tmp_path / "gate").touch()
        named.result(timeout=60)
        task = pool.stats().tasks["nap"]
        assert task.calls == 1 and task.wall >= 0.3 > task.cpu


def in_context(_: Any = None) -> Any:
    return VARIABLE.get()


def test_a_context_goes_along_with_plain_arguments() -> None:
    with ProcessPoolExecutor(1, propagate_context=True) as pool:
        # The worker has inherited none of these.
        assert pool.submit(square, 2).result(timeout=60) == 4
        for value in ("one", "two"):
            VARIABLE.set(value)
            assert [pool.submit(in_context, *args).result(timeout=60) for args in ((), (1,), ([2],))] == [value] * 3


def test_a_finalizer_runs_at_an_orderly_end(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with ProcessPoolExecutor(1, finalizer=functools.partial(Path.touch, mark)) as pool:
        assert pool.submit(square, 2).result(timeout=60) == 4
        assert not mark.exists()
    assert mark.exists()


def test_threads_per_worker_reach_the_environment() -> None:
    with ProcessPoolExecutor(1, threads_per_worker=3) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result(timeout=60) == "3"


@pytest.mark.parametrize("method", METHODS)
def test_the_environment_chooses(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKFUL_START_METHOD", method)
    monkeypatch.setenv("FORKFUL_ON_CRASH", "break")
    with ProcessPoolExecutor(1) as pool:
        name = pool.submit(process_name).result(timeout=60)
        assert (
            name.partition("-")[0]
            == {
                "fork": "ForkProcess",
                "zygote": "ForkServerProcess",
                "spawn": "SpawnProcess",
            }[method]
        )
        assert pool.submit(starter).result(timeout=60) == {"fork": "", "zygote": "main", "spawn": "spawned"}[method]
        assert isinstance(pool.submit(os._exit, 1).exception(timeout=60), forkful.WorkerDied)
        assert pool._broken


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_workers": 0},
        {"start_method": "thread"},
        {"on_crash": "ignore"},
        {"max_tasks_per_child": 0},
        {"memory_limit": -1},
        {"max_pending": 0},
        {"threads_per_worker": -1},
    ],
)
def test_bad_arguments_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ProcessPoolExecutor(**wrong)


def test_a_forked_child_is_refused() -> None:
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(square, 2).result(timeout=60) == 4
        pid = os.fork()
        if pid == 0:
            try:
                pool.submit(square, 3)
            except forkful.BrokenExecutor:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert pool.submit(square, 3).result(timeout=60) == 9


@pytest.mark.parametrize("method", METHODS)
def test_exit_without_shutdown_waits(run_clean: Any, method: str) -> None:
    text = """
        import sys, time
        from forkful import ProcessPoolExecutor
        def work(n):
            time.sleep(0.1)
            print(f"worked {n}\\n", end="", flush=True)
        if __name__ == "__main__":
            pool = ProcessPoolExecutor(2, start_method=sys.argv[1])
            futures = [pool.submit(work, n) for n in range(3)]
    """
    assert sorted(run_clean(text, method).splitlines()) == ["worked 0", "worked 1", "worked 2"]


def test_programs_without_a_guard_and_from_standard_input(run_clean: Any) -> None:
    text = """
        from forkful import ProcessPoolExecutor
        FACTOR = 3
        def scale(x):
            return FACTOR * x
        with ProcessPoolExecutor(2, start_method=__import__("sys").argv[1]) as pool:
            print(pool.submit(scale, 4).result(), list(pool.map(scale, [1, 2])))
    """
    for method in METHODS:
        assert run_clean(text, method) == "12 [3, 6]\n"


def test_a_pool_of_a_short_lived_thread_lives_on() -> None:
    made: list[ProcessPoolExecutor] = []

    def make() -> None:
        made.append(ProcessPoolExecutor(1))
        made[0].submit(square, 1).result(timeout=60)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    time.sleep(0.1)
    with made[0] as pool:
        assert pool.submit(square, 5).result(timeout=60) == 25
        assert pool.stats().deaths == 0


def test_a_forgotten_executor_ends_its_workers() -> None:
    pool = ProcessPoolExecutor(1)
    pid = pool.submit(os.getpid).result(timeout=60)
    del pool
    assert eventually(lambda: not Path(f"/proc/{pid}").exists())
