"""What holds file descriptors among what workers start with: initargs, and the main module's globals where they go by value."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import pytest

from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]


def keep(*things: Any) -> None:
    global KEPT
    KEPT = things


KEPT: tuple[Any, ...] = ()


def say(number: int) -> None:
    KEPT[number].send((number, os.getpid()))


@pytest.mark.parametrize("method", METHODS)
def test_initargs_may_hold_many_connections(method: str) -> None:
    pipes = [multiprocessing.Pipe() for _ in range(40)]
    theirs = tuple(there for _, there in pipes)
    with ProcessPoolExecutor(2, start_method=method, initializer=keep, initargs=theirs) as pool:
        for number in (0, 20, 39):
            pool.submit(say, number).result(timeout=60)
            assert pipes[number][0].recv()[0] == number
    for ends in pipes:
        for end in ends:
            end.close()


BY_VALUE = """
    import multiprocessing, os, sys, tempfile, time
    from eventually import eventually
    from forkful import ProcessPoolExecutor
    here, there = multiprocessing.Pipe()
    given, kept = multiprocessing.Pipe()
    KEPT = None
    def init(connection):
        global KEPT
        KEPT = connection
    def say(word):
        # Each takes part, however long the other one's start lasts.
        open(os.path.join(folder, str(os.getpid())), "w").close()
        while len(os.listdir(folder)) < 2:
            time.sleep(0.001)
        time.sleep(0.05)
        there.send(word)
        KEPT.send(word)
        return os.getpid()
    def fds():
        return len(os.listdir("/proc/self/fd"))
    temporary = tempfile.TemporaryDirectory()
    folder = temporary.name
    with temporary, ProcessPoolExecutor(2, start_method=sys.argv[1], initializer=init, initargs=(kept,)) as pool:
        pids = list(pool.map(say, range(20)))
        assert len(set(pids)) == 2, pids
        print(sorted(here.recv() for _ in range(20)) == sorted(given.recv() for _ in range(20)) == list(range(20)))
        for number in range(50):
            here, there = multiprocessing.Pipe()  # another one under the same name
            futures = [pool.submit(say, number) for _ in range(2)]
            assert [here.recv(), here.recv()] == [number] * 2
            for future in futures:
                future.result()
            if number == 10:
                before = fds()
        # A copy may have been on its way when they were counted.
        print(eventually(lambda: fds() <= before))
    print(fds() < before)
"""


@pytest.mark.parametrize("method", ["zygote", "spawn"])
def test_globals_and_initargs_of_a_main_by_value(method: str, run_clean: Any) -> None:
    # Sent by value, as no worker imports a script without a guard.
    assert run_clean(BY_VALUE, method) == "True\nTrue\nTrue\n"
