"""What public code reads of an executor's private parts, and how the parts that tell of workers agree with each other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually

from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]
CONTEXTS = {"fork": "fork", "zygote": "forkserver", "spawn": "spawn"}


def my_name() -> str:
    return multiprocessing.current_process().name


def gone(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_has_one_name(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        name = pool.submit(my_name).result(timeout=60)
        assert name.endswith("Process-1")
        assert eventually(pool.workers)
        assert [record.name for record in pool.workers()] == [name]
        assert [worker.name for worker in pool.stats().workers] == [name]
        assert [process.name for process in pool._processes.values()] == [name]


# What is asked for by start_method, mp_context and the environment, and what is used.
CHOICES = [
    ("zygote", "spawn", "fork", "zygote"),
    ("fork", "spawn", None, "fork"),
    (None, "spawn", "fork", "spawn"),
    (None, "fork", "spawn", "fork"),
    (None, "forkserver", "spawn", "zygote"),
    (None, None, "spawn", "spawn"),
    (None, None, "zygote", "zygote"),
    (None, None, None, None),
]


@pytest.mark.parametrize(("named", "context", "environment", "used"), CHOICES)
def test_who_chooses_how_workers_start(
    named: Any, context: Any, environment: Any, used: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORKFUL_START_METHOD", raising=False)
    if environment:
        monkeypatch.setenv("FORKFUL_START_METHOD", environment)
    given = None if context is None else multiprocessing.get_context(context)
    with ProcessPoolExecutor(1, start_method=named, mp_context=given) as pool:
        default = multiprocessing.get_context().get_start_method()
        wanted = CONTEXTS[used] if used else default
        assert pool._mp_context.get_start_method() == wanted
        assert given is None or wanted != context or pool._mp_context is given
        assert (
            pool.submit(my_name)
            .result(timeout=60)
            .startswith({"fork": "ForkProcess", "forkserver": "ForkServerProcess", "spawn": "SpawnProcess"}[wanted])
        )


def test_processes_are_as_others_expect_them() -> None:
    with ProcessPoolExecutor(1) as pool:
        pid = pool.submit(os.getpid).result(timeout=60)
        process = pool._processes[pid]
        assert (process.pid, process.is_alive(), process.exitcode) == (pid, True, None)
        assert connection.wait([process.sentinel], timeout=0) == []
        with pytest.raises(ValueError, match="still running"):
            process.close()
        process.kill()
        assert connection.wait([process.sentinel], timeout=60) == [process.sentinel]
        process.join(timeout=60)
        assert (process.is_alive(), process.exitcode) == (False, -signal.SIGKILL)
        process.close()
        # One that was not asked before the end.
        assert connection.wait([process.sentinel], timeout=0) == [process.sentinel]
        process.close()
        pool.submit(os._exit, 3).exception(timeout=60)
    with ProcessPoolExecutor(1) as pool:
        pid = pool.submit(os.getpid).result(timeout=60)
        process = pool._processes[pid]
    assert process.exitcode == 0


@pytest.mark.parametrize("wait", (True, False))
def test_there_are_no_processes_after_the_end(wait: bool) -> None:
    pool = ProcessPoolExecutor(1)
    assert pool._processes == {}
    pid = pool.submit(os.getpid).result(timeout=60)
    assert list(pool._processes) == [pid]
    pool.shutdown(wait=wait)
    assert pool._processes is None
    pool.shutdown(wait=True)


def test_pending_work_is_counted(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1) as pool:
        pool.submit(os.getpid).result(timeout=60)
        futures = [pool.submit(gone, str(tmp_path / "go")) for _ in range(5)]
        assert len(pool._pending_work_items) == 5
        # Numbers as the standard library gives them: from 0, in the order of submission.
        assert list(pool._pending_work_items) == [1, 2, 3, 4, 5]
        (tmp_path / "go").touch()
        for future in futures:
            future.result(timeout=60)
        assert len(pool._pending_work_items) == 0
        for absent in ("_executor_manager_thread", "_call_queue", "_result_queue", "_work_ids"):
            assert not hasattr(pool, absent)


def test_a_starting_worker_has_started_just_now(tmp_path: Path) -> None:
    began = time.monotonic()
    with ProcessPoolExecutor(1, start_method="spawn", initializer=gone, initargs=(str(tmp_path / "go"),)) as pool:
        future = pool.submit(os.getpid)
        for _ in range(200):
            for record in pool.workers():
                assert 0 <= record.since <= time.monotonic() - began
                assert record.state == "starting"
            time.sleep(0.001)
        (tmp_path / "go").touch()
        future.result(timeout=60)


PRELOADING = """
    import warnings
    from forkful import ProcessPoolExecutor

    if __name__ == "__main__":
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with ProcessPoolExecutor(1, start_method="zygote", preload=["no_such_module"]) as pool:
                pool.submit(abs, 1).result()
        (warning,) = said
        print(warning.category.__name__, warning.message, warning.filename.endswith("forkful/futures/process.py"))
"""


def test_a_note_of_the_zygote_points_at_the_pool(run_clean: Any) -> None:
    said = run_clean(PRELOADING)
    assert said.startswith("RuntimeWarning preloading no_such_module failed") and said.endswith("True\n")
