"""What travels to workers and back that is more than plain values: locks, connections, exceptions, and futures beside others."""

from __future__ import annotations

import concurrent.futures as standard
import multiprocessing
import socket
import sys
import threading
from typing import Any

import pytest

import forkful
from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]
CONTEXTS = {"fork": "fork", "zygote": "forkserver", "spawn": "spawn"}

HELD: Any = None


def hold(lock: Any) -> None:
    global HELD
    HELD = lock


def is_free() -> bool:
    got = HELD.acquire(timeout=0.01)
    if got:
        HELD.release()
    return bool(got)


def answer(end: Any) -> None:
    end.send(end.recv() + 1)


def answer_socket(end: socket.socket) -> None:
    end.sendall(end.recv(100) + b"!")


def make_pipe() -> Any:
    mine, theirs = multiprocessing.Pipe()
    mine.send("from a worker")
    return theirs


class Refused(Exception):
    def __init__(self, why: str, code: int) -> None:
        super().__init__(why, code)
        self.code = code


def refuse() -> None:
    error: Any = Refused("no", 5)
    error.__notes__ = ["first", "second"]
    raise error


def refuse_all() -> None:
    raise ExceptionGroup("all", [Refused("a", 1), ExceptionGroup("inner", [KeyError("b")])])  # noqa: F821


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("method", METHODS)
def test_a_lock_of_the_initializer_excludes(method: str, kind: str) -> None:
    lock = getattr(multiprocessing.get_context(CONTEXTS[method]), kind)()
    with ProcessPoolExecutor(1, start_method=method, initializer=hold, initargs=(lock,)) as pool:
        assert pool.submit(is_free).result(timeout=60)
        with lock:
            assert not pool.submit(is_free).result(timeout=60)
        assert pool.submit(is_free).result(timeout=60)


@pytest.mark.parametrize("method", METHODS)
def test_connections_travel(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        mine, theirs = multiprocessing.Pipe()
        mine.send(41)
        pool.submit(answer, theirs).result(timeout=60)
        assert mine.recv() == 42
        one, other = socket.socketpair()
        with one, other:
            one.sendall(b"hello")
            pool.submit(answer_socket, other).result(timeout=60)
            assert one.recv(100) == b"hello!"
        back = pool.submit(make_pipe).result(timeout=60)
        assert back.recv() == "from a worker"


@pytest.mark.parametrize("method", METHODS)
def test_exceptions_keep_their_notes(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        error: Any = pool.submit(refuse).exception(timeout=60)
        assert type(error) is Refused and (error.args, error.code) == (("no", 5), 5)
        assert error.__notes__ == ["first", "second"]
        assert "in refuse" in str(error.__cause__)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")
@pytest.mark.parametrize("method", METHODS)
def test_groups_come_back_whole(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        group: Any = pool.submit(refuse_all).exception(timeout=60)
        assert group.message == "all" and type(group.exceptions[0]) is Refused
        assert group.exceptions[0].code == 1 and type(group.exceptions[1].exceptions[0]) is KeyError


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("whose", ["ours", "the standard library's"])
def test_others_futures_are_waited_for_beside(whose: str, method: str) -> None:
    there: Any = forkful if whose == "ours" else standard
    gate = threading.Event()
    # The class itself: forkful may stand in its place.
    threads = standard.thread.ThreadPoolExecutor(1)
    with threads as others, ProcessPoolExecutor(1, start_method=method) as pool:
        slow, ours, bare = others.submit(gate.wait), pool.submit(pow, 2, 5), standard.Future[int]()
        done, pending = there.wait([slow, ours, bare], timeout=60, return_when=standard.FIRST_COMPLETED)
        assert done == {ours} and pending == {slow, bare}
        order = there.as_completed([slow, ours, bare], timeout=60)
        assert next(order) is ours
        bare.set_result(7)
        assert next(order) is bare
        gate.set()
        assert next(order) is slow and list(order) == []
        failing = pool.submit(refuse)
        done, pending = there.wait([slow, failing], timeout=60, return_when=standard.FIRST_EXCEPTION)
        assert failing in done and not pending - {slow}


BARS = """
    import multiprocessing
    import sys

    import forkful

    forkful.install()

    from tqdm.contrib.concurrent import process_map


    def square(n):
        return n * n


    if __name__ == "__main__":
        # The bars' lock is made by the default context, and must be one that the workers can be sent.
        multiprocessing.set_start_method(sys.argv[1])
        import concurrent.futures

        assert concurrent.futures.ProcessPoolExecutor is forkful.ProcessPoolExecutor
        print(process_map(square, range(5), max_workers=2, chunksize=1, file=sys.stdout, ascii=True)[-1])
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_progress_bars_over_processes(method: str, run_script: Any) -> None:
    def is_whole() -> bool:
        done = run_script(BARS, method)
        assert done.returncode == 0 and done.stdout.splitlines()[-1] == "16" and "0/5" in done.stdout, done
        return "5/5" in done.stdout

    # tqdm's callbacks count, and a machine that is busy may take longer for one than whoever takes the results waits for it.
    assert any(is_whole() for _ in range(5))


UNGUARDED = """
    import multiprocessing
    import sys

    from forkful import ProcessPoolExecutor


    def init(lock):
        pass


    lock = multiprocessing.get_context("fork").Lock()
    try:
        with ProcessPoolExecutor(1, start_method=sys.argv[1], initializer=init, initargs=(lock,)) as pool:
            pool.submit(abs, 1)
    except RuntimeError as error:
        print(error)
"""


@pytest.mark.parametrize("method", ["zygote", "spawn"])
def test_a_lock_without_a_name_is_refused(method: str, run_clean: Any) -> None:
    assert "was made for forked processes and has no name" in run_clean(UNGUARDED, method)
