"""Connections go to other processes: at their start by each method, through connections, to running pools."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import connection as standard
from typing import Any

import pytest

import forkful
from forkful.multiprocessing import connection as ours

METHODS = ["fork", "forkserver", "spawn"]
KINDS = {"ours": ours, "theirs": standard}


def double(receives: Any, sends: Any) -> None:
    """In the other process: answers each number with its double, and says what it answers with."""
    while True:
        try:
            number = receives.recv()
        except EOFError:
            break
        sends.send((2 * number, type(sends).__module__, os.getpid()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("duplex", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_a_child_answers(method: str, duplex: bool, kind: str) -> None:
    context: Any = multiprocessing.get_context(method)
    theirs: Any = KINDS[kind]
    there, here = theirs.Pipe(duplex)
    if duplex:
        # A fork has copies of both ends, and would wait for itself at the end.
        back, answers = there, here
        if method == "fork":
            child = context.Process(target=closing, args=(here, there, there))
        else:
            child = context.Process(target=double, args=(there, there))
    else:
        answers, back = ours.Pipe(False)
        child = context.Process(target=closing, args=(here, there, back))
    child.start()
    there.close()
    back.close()
    here.send(21)
    answer, module, pid = answers.recv()
    assert (answer, pid) == (42, child.pid)
    assert module == (ours if not duplex else theirs).__name__
    here.close()
    child.join()
    assert child.exitcode == 0


def closing(not_mine: Any, receives: Any, sends: Any) -> None:
    not_mine.close()
    double(receives, sends)


@pytest.mark.parametrize("carrier", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_through_another_connection(kind: str, carrier: str) -> None:
    one, other = KINDS[carrier].Pipe()
    receives, sends = KINDS[kind].Pipe(False)
    with one, other, receives, sends:
        one.send({"writer": sends})
        arrived = other.recv()["writer"]
        with arrived:
            assert type(arrived) is type(sends)
            assert (arrived.readable, arrived.writable) == (False, True)
            assert arrived.fileno() != sends.fileno()
            arrived.send("by a copy")
        assert receives.recv() == "by a copy"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("duplex", [True, False])
def test_as_an_argument_of_a_running_pool(duplex: bool, method: str) -> None:
    with forkful.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        # Started first, or what is forked would have copies of both ends.
        pool.submit(abs, -1).result()
        receives, sends = ours.Pipe(duplex)
        future = pool.submit(answer, sends, "from the worker")
        assert receives.recv()[0] == "from the worker"
        assert future.result() != os.getpid()
        sends.close()
        # The worker has closed its copy, so that is the end.
        with pytest.raises(EOFError):
            receives.recv()
    receives.close()


def answer(sends: Any, value: Any) -> int:
    with sends:
        sends.send((value, bytes(200_000)))
    return os.getpid()


def test_back_from_a_pool() -> None:
    with forkful.ProcessPoolExecutor(1) as pool:
        receives = pool.submit(written).result()
    with receives:
        assert type(receives) is ours.Connection
        assert receives.recv() == "left behind"
        with pytest.raises(EOFError):
            receives.recv()


def written() -> Any:
    receives, sends = ours.Pipe(False)
    sends.send("left behind")
    return receives


def test_a_killed_writer_is_the_end() -> None:
    receives, sends = ours.Pipe()
    pid = os.fork()
    if not pid:
        receives.close()
        sends.send("first")
        sends.recv()
        os._exit(0)
    sends.close()
    assert receives.recv() == "first"
    os.kill(pid, 9)
    with pytest.raises((EOFError, ConnectionResetError)):
        receives.recv()
    os.waitpid(pid, 0)
    receives.close()


def test_many_writers_of_small_messages_do_not_mix() -> None:
    receives, sends = ours.Pipe(False)
    pids = []
    for name in range(4):
        pid = os.fork()
        if not pid:
            for turn in range(500):
                sends.send((name, turn))
            os._exit(0)
        pids.append(pid)
    sends.close()
    got: dict[int, list[int]] = {}
    for _ in range(2000):
        name, turn = receives.recv()
        got.setdefault(name, []).append(turn)
    with pytest.raises(EOFError):
        receives.recv()
    receives.close()
    assert got == {name: list(range(500)) for name in range(4)}
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
