"""Deadlines, sizes and kills that come together, or meet workers that do not answer: each costs its own task."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from procs.test_pool_faults import nursery_of
from sizes import resident

from forkful import Future, ProcessPoolExecutor, TaskKilled, TaskTimeout, WorkerDied

METHODS = ["fork", "zygote", "spawn"]


def nap(seconds: float) -> None:
    time.sleep(seconds)


def block_signals(seconds: float) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(seconds)


def ignore_signals(seconds: float) -> None:
    signal.signal(signal.SIGRTMIN + 5, signal.SIG_IGN)
    time.sleep(seconds)


def take_the_signal(seconds: float) -> None:
    signal.signal(signal.SIGRTMIN + 5, lambda *_: None)
    while True:
        time.sleep(seconds)


def stop(seconds: float) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(seconds)


def hold(megabytes: int, seconds: float) -> int:
    block = b"x" * (megabytes << 20)
    time.sleep(seconds)
    return len(block)


def start_child() -> int:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["FORKFUL_TEST_MARK"]).write_text(str(child.pid))
    time.sleep(600)
    return 0


def begun(future: Future[Any]) -> bool:
    """Whether it runs, or is over already, however late that is asked."""
    return future.running() or future.done()


def switches_of_watcher() -> int:
    """How often the watcher has gone to sleep."""
    for task in Path("/proc/self/task").iterdir():
        try:
            name, lines = (task / "comm").read_text(), (task / "status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that has ended
        if name.strip() == "forkful-watcher":
            return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
    raise AssertionError("there is no watcher")


@pytest.mark.parametrize("method", METHODS)
def test_a_deadline_and_a_kill_at_once_are_one_death(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        # A worker that was not forked imports this module first.
        pool.submit(nap, 0).result(timeout=60)
        view = pool.with_options(timeout=0.06)
        for n in range(16):
            future = view.submit(nap, 60)
            assert eventually(lambda: begun(future))  # noqa: B023
            time.sleep(0.052 + n * 0.001)
            killed = future.kill()
            error = future.exception(timeout=60)
            # Whichever came first.
            assert type(error) is (TaskKilled if killed else TaskTimeout), (killed, error)


@pytest.mark.parametrize("method", METHODS)
def test_a_deadline_and_a_kill_that_are_seen_together_are_one_death(method: str) -> None:
    ready: Any = {"start_method": method, "initializer": nap, "initargs": (0,)}
    with ProcessPoolExecutor(2, **ready) as pool:
        # The watcher waits for the stack of the one, which will not come, while both are due to the other.
        silent = pool.with_options(timeout=0.5).submit(take_the_signal, 60)
        future = pool.with_options(timeout=0.52).submit(nap, 60)
        assert eventually(lambda: begun(silent) and begun(future))
        time.sleep(0.53)
        killed = future.kill()
        error = future.exception(timeout=60)
        assert type(error) is (TaskKilled if killed else TaskTimeout), (killed, error)
        assert error.stack and "in nap" in error.stack, error
        assert type(silent.exception(timeout=60)) is TaskTimeout


@pytest.mark.parametrize("method", METHODS)
def test_workers_that_do_not_answer_cost_nobody_else_his_stack(method: str) -> None:
    # Imports this module before the first task, whose time would count it.
    ready: Any = {"start_method": method, "initializer": nap, "initargs": (0,)}
    with ProcessPoolExecutor(3, **ready) as deaf, ProcessPoolExecutor(1, **ready) as other:
        view = deaf.with_options(timeout=0.5)
        futures = [view.submit(task, 60) for task in (block_signals, ignore_signals, stop)]
        answering = other.with_options(timeout=0.5).submit(nap, 60)
        for future in futures:
            error = future.exception(timeout=60)
            assert type(error) is TaskTimeout and error.stack is None and "no stack could be had" in str(error)
        error = answering.exception(timeout=60)
        assert type(error) is TaskTimeout and error.stack and "in nap" in error.stack
        assert deaf.submit(abs, -1).result(timeout=60) == other.submit(abs, -1).result(timeout=60) == 1


def write_the_stack_slowly(seconds: float) -> None:
    """As a handler does that the kernel lets run for moments only; it runs without the interpreter's leave, so in a sleep."""
    (dump,) = (int(fd.name) for fd in Path("/proc/self/fd").iterdir() if "forkful-dump" in os.path.realpath(fd))

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def handler(_: int) -> None:
        for line in (b"Current thread:\n", b"  in the first line\n", b"  in the last line\n"):
            os.write(dump, line)
            time.sleep(0.1)

    ctypes.CDLL(None).signal(signal.SIGRTMIN + 5, handler)
    time.sleep(seconds)


def test_a_stack_that_is_written_slowly_is_told_whole() -> None:
    with ProcessPoolExecutor(1) as pool:
        error: Any = pool.with_options(timeout=0.5).submit(write_the_stack_slowly, 60).exception(timeout=60)
        assert type(error) is TaskTimeout and error.stack, error
        assert error.stack.splitlines() == ["Current thread:", "  in the first line", "  in the last line"]


def test_a_short_timeout_is_forgotten_with_its_task() -> None:
    with ProcessPoolExecutor(2) as pool:
        assert isinstance(pool.with_options(timeout=1e-6).submit(nap, 60).exception(timeout=60), TaskTimeout)
        long = [pool.submit(nap, 1.0), pool.with_options(timeout=60).submit(nap, 1.0)]
        assert eventually(lambda: all(map(begun, long)))
        before = switches_of_watcher()
        for future in long:
            future.result(timeout=60)
        # Once a millisecond it would be a thousand.
        assert switches_of_watcher() - before < 100


def test_memory_is_not_looked_at_all_the_time() -> None:
    with ProcessPoolExecutor(1, memory_limit=1 << 40, memory_sampling=1e-12) as pool:
        future = pool.submit(nap, 0.5)
        assert eventually(lambda: begun(future))
        before = switches_of_watcher()
        future.result(timeout=60)
        assert switches_of_watcher() - before < 2000


def test_a_death_is_as_long_ago_as_it_is() -> None:
    with ProcessPoolExecutor(1) as pool:
        pool.submit(nap, 0).result(timeout=60)
        nursery, worker = nursery_of(pool), pool.workers()[0].pid
        # Nobody reports the death now, and it is waited for that for a second.
        os.kill(nursery, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            future = pool.submit(nap, 60)
            assert eventually(future.running)
            os.kill(worker, signal.SIGKILL)
            error = future.exception(timeout=60)
            heard = time.monotonic() - begun
        finally:
            os.kill(nursery, signal.SIGCONT)
        assert type(error) is WorkerDied and error.ran_for is not None
        assert error.ran_for < heard - 0.5


def test_errors_of_a_stop_have_the_fields_of_a_death() -> None:
    fields = [name for name in vars(WorkerDied) if not name.startswith("_")]
    for kind in (TaskTimeout, TaskKilled):
        assert all(hasattr(kind, name) for name in fields), kind
    with ProcessPoolExecutor(1) as pool:
        error: Any = pool.with_options(timeout=0.1).submit(nap, 60).exception(timeout=60)
        assert (error.signal, error.exit_code, error.out_of_memory) == (signal.SIGKILL, None, False)
        assert error.peak_memory > 1 << 20 and error.ran_for >= 0.1 and error.pid


@pytest.mark.parametrize("method", METHODS)
def test_a_memory_limit_is_kept_whatever_the_start(method: str) -> None:
    limit = resident() + (200 << 20)
    with ProcessPoolExecutor(1, start_method=method, memory_limit=limit, memory_sampling=0.02) as pool:
        error = pool.submit(hold, 500, 60).exception(timeout=60)
        assert type(error) is WorkerDied and "memory_limit" in str(error)
        assert pool.submit(hold, 1, 0).result(timeout=60) == 1 << 20


def test_what_a_task_has_started_outlives_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "pid"
    monkeypatch.setenv("FORKFUL_TEST_MARK", str(mark))
    with ProcessPoolExecutor(1, memory_limit=1 << 40) as pool:
        future = pool.submit(start_child)
        assert eventually(lambda: mark.exists() and mark.read_text())
        assert future.kill()
        child = int(mark.read_text())
        os.kill(child, 0)
        os.kill(child, signal.SIGKILL)
