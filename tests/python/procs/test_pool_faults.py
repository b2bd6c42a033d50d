"""What dies, hangs or writes garbage costs its own task: over real processes that really die."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from gates import behind

from forkful import ProcessPoolExecutor, TaskKilled, TaskTimeout, WorkerDied
from forkful.futures.process import BrokenProcessPool

METHODS = ["fork", "zygote", "spawn"]


def nap(seconds: float, value: Any = None) -> Any:
    time.sleep(seconds)
    return value


def die(how: int) -> None:
    os.kill(os.getpid(), how)
    time.sleep(60)


def leave(code: int) -> None:
    os._exit(code)


def crash() -> None:
    ctypes.string_at(0)


def square(x: int) -> int:
    return x * x


def die_once(path: str) -> str:
    if not os.path.exists(path):
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def close_everything() -> int:
    os.closerange(0, 4096)
    return 1


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("method", METHODS)
def test_a_death_costs_its_own_task(method: str) -> None:
    with ProcessPoolExecutor(2, start_method=method) as pool:
        before = [pool.submit(square, n) for n in range(20)]
        dying = pool.submit(die, signal.SIGKILL)
        after = [pool.submit(square, n) for n in range(20)]
        error = dying.exception(timeout=60)
        assert type(error) is WorkerDied and isinstance(error, BrokenProcessPool)
        assert (error.signal, error.exit_code, error.task) == (signal.SIGKILL, None, "die")
        assert error.pid and error.ran_for is not None and "SIGKILL" in str(error)
        assert [future.result(timeout=60) for future in before + after] == [n * n for n in range(20)] * 2
        assert pool.stats().deaths == 1


@pytest.mark.parametrize("method", METHODS)
def test_an_exit_code_and_a_stack_are_told(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        error = pool.submit(leave, 7).exception(timeout=60)
        assert isinstance(error, WorkerDied) and error.exit_code == 7 and error.peak_memory
        error = pool.submit(crash).exception(timeout=60)
        assert isinstance(error, WorkerDied) and error.signal == signal.SIGSEGV
        assert error.stack and "in crash" in error.stack
        assert pool.submit(square, 3).result(timeout=60) == 9


def mark(path: str, n: int) -> int:
    """Notes who has run which task, and takes a moment in which it can be killed."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"%d %d\n" % (os.getpid(), n))
    os.close(fd)
    time.sleep(0.0005)
    return n


@pytest.mark.parametrize("retries", [0, 1000])
@pytest.mark.parametrize("tasks", [6_000, pytest.param(20_000, marks=pytest.mark.stress)])
def test_a_storm_of_kills(retries: int, tasks: int, tmp_path: Path) -> None:
    path, killed = str(tmp_path / "marks"), set()
    with ProcessPoolExecutor(2) as pool:
        pool.submit(square, 1).result(timeout=60)
        over = threading.Event()

        def kill() -> None:
            while not over.wait(0.05):
                # Three that die before their first task would break the pool, and should.
                pids = [record.pid for record in pool.workers() if record.tasks]
                if pids:
                    victim = random.choice(pids)
                    try:
                        os.kill(victim, signal.SIGKILL)
                        killed.add(victim)
                    except ProcessLookupError:
                        pass

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            submit = pool.with_options(retries=retries).submit if retries else pool.submit
            futures = [submit(mark, path, n) for n in range(tasks)]
            errors = [future.exception(timeout=100) for future in futures]
        finally:
            over.set()
            killer.join()
        stats = pool.stats()
    runs: dict[int, list[int]] = {}
    last: dict[int, int] = {}
    for line in Path(path).read_text().splitlines():
        pid, n = map(int, line.split())
        runs.setdefault(n, []).append(pid)
        last[pid] = n
    failed: dict[int, int] = {}
    for n, error in enumerate(errors):
        if error is None:
            assert futures[n].result() == n
            continue
        assert type(error) is WorkerDied and error.signal == signal.SIGKILL and error.task == "mark"
        # One task for a death, of a worker that was killed: the one that it had begun, which may not have come to its mark.
        assert error.pid in killed and error.pid not in failed
        assert last.get(error.pid) == n or n not in runs
        failed[error.pid] = n
    assert len(killed) > 3 and stats.deaths <= len(killed)
    assert stats.submitted == tasks + 1 == stats.done + stats.failed and stats.failed == len(failed)
    if retries:
        assert not failed and set(runs) == set(range(tasks))
        # Run again were those alone whose worker was killed.
        assert all(set(pids[:-1]) <= killed for pids in runs.values())
        assert stats.retried <= stats.deaths
    else:
        assert all(len(pids) == 1 for pids in runs.values())
        assert set(range(tasks)) - set(runs) <= set(failed.values())
        assert stats.retried == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_deadline_stops_its_task_alone(method: str, tmp_path: Path) -> None:
    # Imports this module before the first task, whose time would count it.
    with ProcessPoolExecutor(2, start_method=method, initializer=nap, initargs=(0,)) as pool:
        other = pool.submit(behind, tmp_path / "gate", nap, 0, "other")
        error = pool.with_options(timeout=0.5).submit(nap, 60).exception(timeout=60)
        assert isinstance(error, TaskTimeout) and isinstance(error, TimeoutError)
        assert error.stack and "in nap" in error.stack
        assert not other.done()
        (tmp_path / "gate").touch()
        assert other.result(timeout=60) == "other"
        assert pool.with_options(timeout=60).submit(square, 4).result(timeout=60) == 16


def test_a_deadline_counts_from_the_beginning() -> None:
    with ProcessPoolExecutor(1) as pool:
        # The second one may take as long as it has waited.
        first = pool.submit(nap, 2.1)
        assert pool.with_options(timeout=2.0).submit(square, 5).result(timeout=60) == 25
        assert first.done()


def test_a_stopped_worker_meets_its_deadline() -> None:
    with ProcessPoolExecutor(1) as pool:
        future = pool.with_options(timeout=0.5).submit(die, signal.SIGSTOP)
        assert isinstance(future.exception(timeout=60), TaskTimeout)
        assert pool.submit(square, 2).result(timeout=60) == 4


def test_kill_stops_a_running_task() -> None:
    with ProcessPoolExecutor(1) as pool:
        running, waiting = pool.submit(nap, 60), pool.submit(square, 6)
        assert eventually(running.running)
        assert waiting.kill() is False
        assert running.kill() is True
        assert isinstance(running.exception(), TaskKilled)
        assert waiting.result(timeout=60) == 36
        assert waiting.kill() is False


def test_retries_run_a_task_again(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as pool:
        assert pool.with_options(retries=1).submit(die_once, str(tmp_path / "a")).result(timeout=60) == "alive"
        error = pool.with_options(retries=2).submit(die, signal.SIGKILL).exception(timeout=60)
        assert isinstance(error, WorkerDied) and error.attempts == 3
        again = pool.with_options(retries=2, retry_on=ValueError)
        assert isinstance(again.submit(fail, ValueError("x")).exception(timeout=60), ValueError)
        assert pool.stats().retried == 5


@pytest.mark.parametrize("method", METHODS)
def test_smaller_priorities_run_first(method: str, tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        blocker = pool.submit(behind, tmp_path / "gate", nap, 0)
        assert eventually(blocker.running)
        late = [pool.with_options(priority=5).submit(time.monotonic) for _ in range(20)]
        early = [pool.with_options(priority=-5).submit(time.monotonic) for _ in range(20)]
        (tmp_path / "gate").touch()
        last = max(future.result(timeout=60) for future in early)
        # What lies ready for the worker is not overtaken.
        assert sum(future.result(timeout=60) < last for future in late) <= 2


@pytest.mark.parametrize("crash", [(die, signal.SIGKILL), (leave, 1)])
def test_a_crash_can_break_the_pool(crash: Any, tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, on_crash="break") as pool:
        # Not before all are submitted, which a broken pool would refuse.
        crashing = pool.submit(behind, tmp_path / "gate", *crash)
        futures = [crashing, *(pool.submit(nap, 0.01) for _ in range(20))]
        (tmp_path / "gate").touch()
        assert all(isinstance(future.exception(timeout=60), BrokenProcessPool) for future in futures)
        with pytest.raises(BrokenProcessPool):
            pool.submit(square, 1)


def test_a_task_may_close_all_files() -> None:
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(close_everything).result(timeout=60) == 1
        assert pool.submit(square, 3).result(timeout=60) == 9


@pytest.mark.parametrize("times", (1, 2, 1000))
def test_a_start_that_fails_is_tried_again(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    here, real, failures = os.getpid(), os.fork, [11] * times

    def fork() -> int:
        # In the template, which has inherited this.
        if os.getpid() != here and failures:
            raise BlockingIOError(failures.pop(), "no room for another process")
        return real()

    monkeypatch.setattr(os, "fork", fork)
    with ProcessPoolExecutor(1, start_method="fork") as pool:
        future = pool.submit(square, 3)
        if times < 5:
            assert future.result() == 9
        else:
            with pytest.raises(BrokenProcessPool, match="no room for another process"):
                future.result()


def test_three_stillborn_workers_break_the_pool() -> None:
    with ProcessPoolExecutor(1, initializer=leave, initargs=(4,)) as pool:
        error = pool.submit(square, 1).exception(timeout=60)
        assert isinstance(error, BrokenProcessPool) and "code 4" in str(error)


@pytest.mark.parametrize("method", METHODS)
def test_a_failing_initializer_breaks_the_pool_with_its_cause(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method, initializer=fail, initargs=(KeyError("why"),)) as pool:
        error = pool.submit(square, 1).exception(timeout=60)
        assert isinstance(error, BrokenProcessPool)
        assert isinstance(error.__cause__, KeyError)


def nursery_of(pool: ProcessPoolExecutor) -> int:
    # Its outcome may be here before the word of its birth.
    assert eventually(pool.workers)
    worker = pool.workers()[0].pid
    return int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("method", METHODS)
def test_the_nursery_may_die(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        assert pool.submit(square, 2).result(timeout=60) == 4
        nursery, worker = nursery_of(pool), pool.workers()[0].pid
        os.kill(nursery, signal.SIGKILL)
        assert eventually(lambda: worker not in [record.pid for record in pool.workers()])
        assert pool.submit(square, 3).result(timeout=60) == 9


@pytest.mark.parametrize("method", METHODS)
def test_the_nursery_may_die_while_tasks_run_and_wait(method: str) -> None:
    with ProcessPoolExecutor(2, start_method=method) as pool:
        assert pool.submit(square, 2).result(timeout=60) == 4
        running = [pool.submit(nap, 60) for _ in range(2)]
        assert eventually(lambda: all(future.running() for future in running))
        waiting = [pool.submit(square, n) for n in range(50)]
        os.kill(nursery_of(pool), signal.SIGKILL)
        for future in running:
            error = future.exception(timeout=60)
            assert type(error) is WorkerDied and error.task == "nap"
            assert "the process that had made it" in str(error), error
        # Those had not begun, and a new nursery's workers run them.
        assert [future.result(timeout=60) for future in waiting] == [n * n for n in range(50)]
        assert pool.submit(square, 3).result(timeout=60) == 9


CRASHES = [
    "claim.before_hint",
    "claim.done",
    "task.read",
    "task.begun",
    "task.ran",
    "outcome.written",
    "outcome.committed",
    "bell.swapped",
    "sleep.armed",
    "sleep.bit",
    "sleep.before_wait",
]


@pytest.mark.parametrize("point", CRASHES)
def test_a_death_between_any_two_steps_loses_nothing(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKFUL_CRASH_AT", f"{point}:7")
    with ProcessPoolExecutor(2) as pool:
        retrying = pool.with_options(retries=1000)
        for _ in range(3):
            assert [future.result(timeout=60) for future in [retrying.submit(square, n) for n in range(60)]] == [
                n * n for n in range(60)
            ]


def test_the_parents_death_leaves_nothing(run_script: Any, tmp_path: Path) -> None:
    text = """
        import os, signal, sys, time
        from forkful import ProcessPoolExecutor
        if __name__ == "__main__":
            pool = ProcessPoolExecutor(2, start_method=sys.argv[1])
            futures = [pool.submit(time.sleep, 60) for _ in range(4)]
            time.sleep(float(sys.argv[2]))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    from child import Child

    for method in METHODS:
        for moment in ("0", "0.02", "0.1", "0.4"):
            with Child(text, method, moment) as child:
                session = child.process.pid
                child.process.wait(timeout=60)
                assert eventually(lambda: not alive_in(session)), (method, moment, alive_in(session))  # noqa: B023


def alive_in(session: int) -> list[str]:
    """The processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z" and "resource_tracker" not in command(path):
            found.append(path.parent.name)
    return found


def command(path: Path) -> str:
    try:
        return (path.parent / "cmdline").read_text()
    except OSError:
        return ""
