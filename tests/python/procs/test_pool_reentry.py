"""`submit` from a signal handler or a finalizer, in the middle of the first `submit` of the same thread."""

from __future__ import annotations

import pytest
from child import run_clean

SCRIPT = """
import signal, sys
from forkful import ProcessPoolExecutor

seconds = float(sys.argv[2])
futures = []

def handle(*_):
    futures.append(pool.submit(int, 1))

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, start_method=sys.argv[1])
    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.003)
    result = pool.submit(int, 2).result()
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(result, all(future.result() == 1 for future in futures))
    pool.shutdown()
"""


@pytest.mark.parametrize("method", ["fork", "zygote", "spawn"])
@pytest.mark.parametrize("seconds", [0.0005, 0.001, 0.002, 0.004, 0.012])
def test_a_signal_handler_submits_during_the_first_submit(method: str, seconds: float) -> None:
    assert run_clean(SCRIPT, method, str(seconds)).splitlines() == ["2 True"]


FINALIZER = """
import sys, threading
from forkful import ProcessPoolExecutor
import forkful._request as request

made = []

class Last:
    def __del__(self):
        made.append(pool.submit(int, 1))

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, start_method=sys.argv[1])
    whole = request.packed

    def packed(*arguments):
        # Where a collection may come.
        Last()
        return whole(*arguments)

    request.packed = packed
    import forkful._launch
    forkful._launch.packed = packed
    print(pool.submit(int, 2).result(), [future.result() for future in made])
    pool.shutdown()
"""


@pytest.mark.parametrize("method", ["fork", "zygote"])
def test_a_finalizer_submits_during_the_first_submit(method: str) -> None:
    assert run_clean(FINALIZER, method).splitlines() == ["2 [1]"]
