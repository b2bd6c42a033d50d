"""The hangs that other pools of processes have had, each by the name of its issue: none of them is here."""

from __future__ import annotations

import concurrent.futures
import os
import pickle
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from child import Child
from eventually import eventually

from forkful import ProcessPoolExecutor, TaskKilled, TaskTimeout, WorkerDied
from forkful.futures.process import BrokenProcessPool

METHODS = ["fork", "zygote", "spawn"]


def square(x: int) -> int:
    return x * x


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def wait_for(gate: Path) -> None:
    while not gate.exists():
        time.sleep(0.001)


def die(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def fail(text: str) -> None:
    raise ValueError(text)


class Unpicklable:
    """Can't be sent."""

    def __reduce__(self) -> Any:
        raise pickle.PicklingError("not to be pickled")


class Unloadable:
    """Can be sent, and not be received where it was not made."""

    def __reduce__(self) -> Any:
        return (unload, (os.getpid(),))


class Sluggish:
    """Takes its time to be pickled."""

    def __reduce__(self) -> Any:
        time.sleep(0.05)
        return (int, ())


def unload(pid: int) -> int:
    if pid != os.getpid():
        raise RuntimeError("not to be unpickled")
    return 1


def give(kind: type[Any]) -> Any:
    return kind()


# --- max_tasks_per_child ---


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tasks", [1, 2])
def test_cpython_115634_workers_are_replaced_however_many_tasks_wait(method: str, tasks: int) -> None:
    """Also cpython#111498 and #115831: the last worker left, and nobody came for what was queued."""
    count = 6 if method == "spawn" else 30
    with ProcessPoolExecutor(2, start_method=method, max_tasks_per_child=tasks) as pool:
        assert [future.result(timeout=100) for future in [pool.submit(square, n) for n in range(count)]] == [
            n * n for n in range(count)
        ]
        # And again when all of them have left or may leave.
        assert pool.submit(square, 3).result(timeout=100) == 9
        assert pool.stats().deaths == 0


@pytest.mark.parametrize("method", METHODS)
def test_cpython_115831_one_worker_and_one_task_at_a_time(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method, max_tasks_per_child=1) as pool:
        pids = [pool.submit(os.getpid).result(timeout=100) for _ in range(4)]
        assert len({*pids}) == 4


# --- many at once ---


@pytest.mark.parametrize("method", METHODS)
def test_cpython_105829_many_submits_do_not_fill_a_pipe(method: str) -> None:
    with ProcessPoolExecutor(2, start_method=method) as pool:
        payload = b"x" * 20_000
        futures = [pool.submit(len, payload) for _ in range(3000)]
        pool.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() or future.result(timeout=60) == 20_000 for future in futures)


@pytest.mark.parametrize("method", METHODS)
def test_cpython_105829_a_death_while_much_waits(method: str) -> None:
    with ProcessPoolExecutor(2, start_method=method, on_crash="break") as pool:
        futures = [pool.submit(die, signal.SIGKILL)]
        payload = b"x" * 20_000
        try:
            futures += [pool.submit(len, payload) for _ in range(2000)]
        except BrokenProcessPool:
            pass
        assert all(future.done() for future in concurrent.futures.wait(futures, timeout=60).done)
        assert isinstance(futures[0].exception(timeout=60), BrokenProcessPool)


# --- cancel and shutdown ---


@pytest.mark.parametrize("method", METHODS)
def test_cpython_94440_submit_cancel_shutdown(method: str) -> None:
    for _ in range(5):
        pool = ProcessPoolExecutor(1, start_method=method)
        futures = [pool.submit(nap, 0.01) for _ in range(20)]
        for future in futures:
            future.cancel()
        pool.shutdown(wait=False)
        pool.shutdown(wait=True)
        assert all(future.done() for future in futures)


@pytest.mark.parametrize("method", METHODS)
def test_cpython_94440_cancelled_before_anything_has_started(method: str) -> None:
    pool = ProcessPoolExecutor(1, start_method=method)
    future = pool.submit(nap, 0.01)
    future.cancel()
    pool.shutdown(wait=True)
    assert future.done()


@pytest.mark.parametrize("method", METHODS)
def test_cpython_116685_what_cannot_be_pickled_and_cancel_futures(method: str) -> None:
    pool = ProcessPoolExecutor(1, start_method=method)
    futures = [pool.submit(nap, 0.05), *(pool.submit(id, Unpicklable()) for _ in range(5))]
    futures += [pool.submit(id, Sluggish()) for _ in range(3)]
    pool.shutdown(wait=True, cancel_futures=True)
    assert all(future.done() for future in futures)
    assert all(isinstance(future.exception(), pickle.PicklingError) for future in futures[1:6])


# --- what can't be pickled, in any direction ---


@pytest.mark.parametrize("method", METHODS)
def test_cpython_75880_pickling_errors_cost_their_own_task(method: str) -> None:
    """Also pebble#146, where the pool hung once pickling had failed; and cpython#84376, #79423 and #74599, where a queue's thread
    failed to pickle and nobody was told."""
    with ProcessPoolExecutor(1, start_method=method) as pool:
        bad = [
            pool.submit(id, Unpicklable()),
            pool.submit(id, Unloadable()),
            pool.submit(give, Unpicklable),
            pool.submit(give, Unloadable),
        ]
        good = [pool.submit(square, n) for n in range(10)]
        texts = [str(future.exception(timeout=60)) for future in bad]
        assert all("not to be pickled" in text for text in texts[::2]), texts
        assert all("not to be unpickled" in text for text in texts[1::2]), texts
        assert [future.result(timeout=60) for future in good] == [n * n for n in range(10)]
        assert pool.stats().deaths == 0


def test_cpython_109554_a_pickling_error_says_where() -> None:
    with ProcessPoolExecutor(1) as pool:
        error = pool.submit(id, [Unpicklable()]).exception(timeout=60)
        assert isinstance(error, pickle.PicklingError) and error.__traceback__ is not None
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        # Down to the line that refused.
        assert (trace.tb_frame.f_code.co_name, trace.tb_frame.f_code.co_filename) == ("__reduce__", __file__)
        error = pool.submit(give, Unpicklable).exception(timeout=60)
        # What happened in the worker is told as text.
        assert "__reduce__" in str(error.__cause__) and "not to be pickled" in str(error.__cause__)


# --- killed workers ---


@pytest.mark.parametrize("method", METHODS)
def test_cpython_96062_a_killed_worker_is_noticed(method: str) -> None:
    """Also bpo-22393: `Pool` waits for ever for what a killed worker had taken; and loky#12."""
    with ProcessPoolExecutor(2, start_method=method) as pool:
        running = pool.submit(nap, 60)
        assert eventually(lambda: running.running() and any(record.task == "nap" for record in pool.workers()))
        (pid,) = (record.pid for record in pool.workers() if record.task == "nap")
        os.kill(pid, signal.SIGKILL)
        assert isinstance(running.exception(timeout=60), WorkerDied)
        assert list(pool.map(square, range(20), timeout=60)) == [n * n for n in range(20)]


@pytest.mark.parametrize("method", METHODS)
def test_cpython_139462_the_message_names_process_and_exit(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        error = pool.submit(os._exit, 7).exception(timeout=60)
        assert isinstance(error, WorkerDied) and error.pid is not None
        assert f"process {error.pid} exited with code 7" in str(error)
        error = pool.submit(die, signal.SIGTERM).exception(timeout=60)
        assert isinstance(error, WorkerDied) and f"process {error.pid} was killed by SIGTERM" in str(error)
    with ProcessPoolExecutor(1, start_method=method, on_crash="break") as pool:
        futures = [pool.submit(os._exit, 7), pool.submit(nap, 60)]
        for future in futures:
            assert "exited with code 7" in str(future.exception(timeout=60))


@pytest.mark.parametrize("method", METHODS)
def test_cpython_101267_each_future_has_an_exception_of_its_own(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method, on_crash="break") as pool:
        futures = [pool.submit(die, signal.SIGKILL), *(pool.submit(nap, 60) for _ in range(10))]
        errors = [future.exception(timeout=60) for future in futures]
        assert all(isinstance(error, BrokenProcessPool) for error in errors)
        assert len({id(error) for error in errors}) == len(errors)
        # Raised as often as one likes, in several places, none of them grows the tracebacks of the others.
        for future in futures:
            with pytest.raises(BrokenProcessPool):
                future.result()
        lengths = set()
        for error in errors:
            depth, trace = 0, error.__traceback__ if error else None
            while trace is not None:
                depth, trace = depth + 1, trace.tb_next
            lengths.add(depth)
        assert max(lengths) < 20


# --- processes ---


def test_cpython_90622_forked_workers_start_on_demand(tmp_path: Path) -> None:
    """The standard library had to give that up with fork, as it forks from a process full of threads."""
    gate = tmp_path / "gate"
    with ProcessPoolExecutor(8, start_method="fork") as pool:
        pool.submit(square, 1).result(timeout=60)
        assert eventually(pool.workers) and len(pool.workers()) == 1
        stop = threading.Event()
        threads = [threading.Thread(target=stop.wait) for _ in range(20)]
        for thread in threads:
            thread.start()
        try:
            # None of them ends before each has a worker of its own.
            busy = [pool.submit(wait_for, gate) for _ in range(8)]
            assert eventually(lambda: len(pool.workers()) == 8)
            gate.touch()
            assert [future.result(timeout=60) for future in busy] == [None] * 8
            assert len(pool.workers()) == 8
        finally:
            gate.touch()
            stop.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_cpython_111873_no_orphans(method: str, number: int) -> None:
    text = """
        import os, sys, time
        from forkful import ProcessPoolExecutor
        def work():
            os.write(1, f"{os.getpid()}\\nready\\n".encode())
            time.sleep(1000)
        if __name__ == "__main__":
            with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
                pool.submit(work).result()
    """
    with Child(text, method) as child:
        worker = int(child.read_line())
        child.await_line("ready")
        os.kill(child.process.pid, number)
        child.process.wait(timeout=60)
        assert eventually(lambda: not lives(worker))


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_cpython_137996_the_main_module_is_imported_once_for_all_workers(run_clean: Any, tmp_path: Path) -> None:
    text = """
        import os, sys
        from forkful import ProcessPoolExecutor
        with open(sys.argv[1] if __name__ == "__main__" else os.environ["MARKS"], "a") as file:
            file.write(f"{__name__}\\n")
        def work():
            import time
            time.sleep(0.1)
            return os.getpid()
        if __name__ == "__main__":
            os.environ["MARKS"] = sys.argv[1]
            with ProcessPoolExecutor(3, start_method="zygote", max_tasks_per_child=2) as pool:
                print(len({future.result() for future in [pool.submit(work) for _ in range(12)]}) >= 3)
    """
    marks = tmp_path / "marks"
    assert run_clean(text, str(marks)) == "True\n"
    assert marks.read_text().splitlines() == ["__main__", "__mp_main__"]


# --- loky, pebble ---


@pytest.mark.parametrize("method", METHODS)
def test_loky_176_a_running_task_can_be_stopped(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        future = pool.submit(nap, 60)
        assert eventually(future.running)
        assert not future.cancel() and future.kill()
        assert isinstance(future.exception(timeout=60), TaskKilled)
        assert pool.submit(square, 3).result(timeout=60) == 9


@pytest.mark.parametrize("method", METHODS)
def test_pebble_147_a_join_does_not_wait_for_what_was_stopped(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        error = pool.with_options(timeout=0.2).submit(nap, 1000).exception(timeout=100)
        assert isinstance(error, TaskTimeout)
        assert isinstance(pool.submit(fail, "why").exception(timeout=60), ValueError)
    assert pool.workers() == []


# --- ends before results are read, and deaths in the middle of them ---


def large(n: int) -> bytes:
    return bytes([n % 256]) * 3_000_000


@pytest.mark.parametrize("method", METHODS)
def test_cpython_73983_a_join_before_large_results_are_read(method: str) -> None:
    """Also mpire#32: a process that was joined had more to say than a pipe holds."""
    pool = ProcessPoolExecutor(2, start_method=method)
    futures = [pool.submit(large, n) for n in range(10)]
    pool.shutdown(wait=True)
    assert all(future.done() for future in futures)
    assert [future.result(timeout=60) for future in futures] == [large(n) for n in range(10)]


def test_pebble_97_a_worker_killed_while_it_sends() -> None:
    """It held the lock of the pipe that all of them write to. By fork: others import this module with their first task."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.02):
            # Not one that is just starting: three such deaths in a row break the pool.
            for worker in [worker for worker in pool.workers() if worker.task is not None][:1]:
                try:
                    os.kill(worker.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    with ProcessPoolExecutor(2, start_method="fork") as pool:
        pool.submit(square, 1).result(timeout=60)
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            futures = [pool.with_options(retries=1000).submit(large, n) for n in range(100)]
            results = [future.result(timeout=60) for future in futures]
        finally:
            over.set()
            killer.join()
        assert pool.stats().deaths > 0
    assert results == [large(n) for n in range(100)]


CROWD = """
import logging, sys, threading, time
from forkful import ProcessPoolExecutor

class Slow:
    # Whoever writes to it holds its handler's lock for a while.
    def write(self, text):
        time.sleep(0.001)

def log(n):
    logging.getLogger("crowd").warning("%d", n)
    print(n, file=sys.stderr)
    return n

if __name__ == "__main__":
    logging.basicConfig(stream=Slow())
    over = threading.Event()

    def log_on():
        while not over.is_set():
            logging.getLogger("crowd").warning("x")

    def print_on():
        while not over.is_set():
            print("x", file=sys.stderr)

    # Most of them wait for that lock and take no time of the CPU's.
    threads = [threading.Thread(target=work) for work in [log_on] * 10 + [print_on] * 2]
    for thread in threads:
        thread.start()
    for _ in range(5):
        with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
            assert [future.result() for future in [pool.submit(log, n) for n in range(20)]] == list(range(20))
    over.set()
    print("done")
"""


@pytest.mark.parametrize("method", METHODS)
def test_cpython_105464_workers_of_a_program_whose_threads_hold_locks(method: str, run_script: Any) -> None:
    """Also cpython#139409: what a fork copies is held by a thread that is not there."""
    done = run_script(CROWD, method, warnings="ignore")
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "done", done.stderr[-2000:]
