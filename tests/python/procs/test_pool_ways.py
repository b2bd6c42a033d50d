"""What a pool promises under every start method: context, output, threads of libraries, two pools at once."""

from __future__ import annotations

import contextvars
import importlib.util
import signal
import sys
import time
from typing import Any

import pytest

from forkful import ProcessPoolExecutor, TaskTimeout

METHODS = ["fork", "zygote", "spawn"]
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def nap(seconds: float) -> None:
    time.sleep(seconds)


def block_signals(seconds: float) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(seconds)


def variable() -> str:
    return VARIABLE.get()


def print_much(megabytes: int) -> int:
    line = "x" * 1023 + "\n"
    for _ in range(megabytes << 10):
        sys.stdout.write(line)
    return megabytes


def blas_threads() -> list[int]:
    import numpy
    import threadpoolctl

    numpy.ones((8, 8)) @ numpy.ones((8, 8))
    return [info["num_threads"] for info in threadpoolctl.threadpool_info()]


@pytest.mark.parametrize("method", METHODS)
def test_the_submitters_context_goes_along(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method, propagate_context=True) as pool:
        for value in ("one", "two"):
            context = contextvars.copy_context()
            context.run(VARIABLE.set, value)
            assert context.run(pool.submit, variable).result(timeout=60) == value
        assert pool.submit(variable).result(timeout=60) == "unset"


@pytest.mark.parametrize("method", METHODS)
def test_deadlines_of_two_pools_do_not_wait_for_the_deaf(method: str) -> None:
    # Imports this module before the first task, whose time would count it.
    ready: Any = {"start_method": method, "initializer": nap, "initargs": (0,)}
    with ProcessPoolExecutor(1, **ready) as deaf, ProcessPoolExecutor(1, **ready) as other:
        futures = [
            deaf.with_options(timeout=0.5, retries=1, retry_on=TaskTimeout).submit(block_signals, 60),
            other.with_options(timeout=0.5).submit(nap, 60),
        ]
        errors: list[Any] = [future.exception(timeout=60) for future in futures]
        assert [type(error) for error in errors] == [TaskTimeout, TaskTimeout]
        assert errors[0].attempts == 2 and errors[0].stack is None and errors[1].stack
        assert deaf.submit(abs, -1).result(timeout=60) == other.submit(abs, -1).result(timeout=60) == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_task_may_print_more_than_a_pipe_holds(method: str, run_script: Any) -> None:
    text = """
        import sys
        from procs.test_pool_ways import print_much
        from forkful import ProcessPoolExecutor
        if __name__ == "__main__":
            with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
                assert pool.submit(print_much, 50).result(timeout=60) == 50
    """
    outcome = run_script(text, method)
    assert outcome.returncode == 0 and not outcome.stderr, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert len(lines) == 50 << 10 and set(lines) == {"x" * 1023}


@pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="numpy brings the BLAS")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", ["nowhere", "here", "zygote"])
def test_a_loaded_blas_is_limited(method: str, where: str, run_clean: Any) -> None:
    # In another process, as this one is not to have its threads.
    text = """
        import sys
        from procs.test_pool_ways import blas_threads
        from forkful import ProcessPoolExecutor
        if __name__ == "__main__":
            _, method, where = sys.argv
            if where == "here":
                blas_threads()
            preload = ["numpy"] if where == "zygote" else []
            with ProcessPoolExecutor(1, start_method=method, threads_per_worker=1, preload=preload) as pool:
                print(*set(pool.submit(blas_threads).result(timeout=60)))
    """
    warnings = "error" if where != "here" else "ignore"
    assert run_clean(text, method, where, warnings=warnings) == "1\n"
