"""File descriptors of tasks and results when something dies, or is cancelled: closed once, by everybody."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from child import Child
from eventually import eventually

from forkful import ProcessPoolExecutor, WorkerDied
from forkful.futures.process import BrokenProcessPool

METHODS = ["fork", "zygote", "spawn"]


def nothing() -> None:
    pass


def fds_of(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def read(source: socket.socket) -> bytes:
    return source.recv(100)


def upper(source: socket.socket) -> socket.socket:
    source.sendall(source.recv(100).upper())
    return source


def wait_for(gate: Path, *_: Any) -> str:
    while not gate.exists():
        time.sleep(0.001)
    return "through"


def send_back(connection: socket.socket) -> Any:
    """Keeps nothing of it."""
    with connection:
        return connection.dup()


def die(_: Any = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def warm(pool: ProcessPoolExecutor) -> int:
    """Has a worker and the way for descriptors; the worker's process."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"x")
        pool.submit(read, theirs).result(timeout=60)
    return pool.submit(os.getpid).result(timeout=60)


def warmed(pool: ProcessPoolExecutor) -> ProcessPoolExecutor:
    warm(pool)
    return pool


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1) as pool:
        warm(pool)
        yield pool


class Line:
    """A socket pair whose far end is sent; `is_ended` says that nobody holds the far end any more."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.near.settimeout(60)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.near.close()
        self.far.close()

    def is_ended(self) -> bool:
        self.far.close()
        self.near.setblocking(False)
        try:
            return self.near.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True  # with words of ours unread


# --- deaths ---


@pytest.mark.parametrize("point", ["parcel.before", "parcel.asked", "parcel.fetched"])
@pytest.mark.parametrize("retries", [0, 1])
def test_a_worker_dies_around_the_fetch(point: str, retries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKFUL_CRASH_AT", f"{point}:2")
    with ProcessPoolExecutor(1) as pool:
        warm(pool)
        with Line() as line:
            line.near.sendall(b"words")
            future = pool.with_options(retries=retries).submit(upper, line.far)
            if retries:
                # The second worker passes the point for the first time.
                with future.result(timeout=60) as back:
                    assert line.near.recv(100) == b"WORDS"
                    assert back.getpeername() == ""
            else:
                assert isinstance(future.exception(timeout=60), WorkerDied)
            assert eventually(line.is_ended)
        assert pool.stats().deaths == 1


@pytest.mark.parametrize("point", ["parcel.offered", "parcel.pushed"])
def test_a_worker_dies_around_the_push(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKFUL_CRASH_AT", f"{point}:2")
    with ProcessPoolExecutor(1) as pool:
        warm(pool)
        for fatal in (False, True):
            with Line() as line:
                future = pool.submit(send_back, line.far)
                if fatal:
                    assert isinstance(future.exception(timeout=60), WorkerDied)
                else:
                    with future.result(timeout=60) as back:
                        back.sendall(b"back")
                    assert line.near.recv(100) == b"back"
                assert eventually(line.is_ended)


def test_every_attempt_has_the_socket(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    with Line() as line:
        future = pool.with_options(retries=2).submit(third_time, line.far, str(tmp_path / "tries"))
        assert future.result(timeout=60) == 3
        assert line.near.recv(100) == b"123"
        assert eventually(line.is_ended)
    with Line() as line:
        again = pool.with_options(retries=2, retry_on=ValueError)
        future = again.submit(third_time, line.far, str(tmp_path / "more"), raises=True)
        assert future.result(timeout=60) == 3
        assert line.near.recv(100) == b"123"
        assert eventually(line.is_ended)


def third_time(connection: socket.socket, path: str, raises: bool = False) -> int:
    with open(path, "a+b") as file:
        file.write(b".")
        tries = file.tell()
    connection.sendall(b"%d" % tries)
    if tries < 3:
        if raises:
            raise ValueError("not yet")
        die()
    return tries


@pytest.mark.parametrize("how", ["cancelled", "shut down", "broken", "failed"])
def test_what_never_runs_is_closed(how: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    # The pool comes first, or its template would hold the lines as well.
    with warmed(ProcessPoolExecutor(1, on_crash="break")) as pool, Line() as first, Line() as last:
        try:
            running = pool.submit(wait_and_die if how == "broken" else wait_for, gate)
            assert eventually(running.running)
            # One that lies ready for the worker, thousands in the backlog, and one behind them.
            future = pool.submit(read, first.far)
            others = [pool.submit(nothing) for _ in range(6000)]
            late = pool.submit(read, last.far)
            if how == "shut down":
                pool.shutdown(wait=False, cancel_futures=True)
            elif how == "broken":
                gate.touch()
                assert isinstance(late.exception(timeout=60), BrokenProcessPool)
            else:
                if how == "failed":
                    error = pool.submit(print, [first.far, threading.Lock()]).exception(timeout=60)
                    assert isinstance(error, TypeError)
                    del error
                assert late.cancel() and future.cancel()
            assert eventually(first.is_ended) and eventually(last.is_ended)
            assert others
        finally:
            gate.touch()


def wait_and_die(gate: Path) -> None:
    wait_for(gate)
    die()


def test_a_result_that_nobody_reads_is_closed_with_its_future(pool: ProcessPoolExecutor) -> None:
    for raises in (False, True):
        with Line() as line:
            future = pool.submit(raise_with if raises else send_back, line.far)
            assert eventually(future.done)
            line.far.close()
            assert not line.is_ended()
            del future
            assert eventually(line.is_ended)


def raise_with(connection: socket.socket) -> None:
    raise OSError(connection)


def test_a_fork_of_the_parent_holds_nothing(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with Line() as waiting, Line() as unread:
        blocker = pool.submit(send_back, unread.far)
        assert eventually(blocker.done)
        blocker = pool.submit(wait_for, gate)
        future = pool.submit(read, waiting.far)
        waiting.far.close()
        hatch = hatches(os.getpid())
        assert len(hatch) == 1
        pid = os.fork()
        if pid == 0:
            try:
                time.sleep(60)
            finally:
                os._exit(0)
        try:
            assert eventually(lambda: f"socket:[{hatch[0]}]" not in files_of(pid))
            waiting.near.sendall(b"served")
            gate.touch()
            # By the parent, and the end comes though the child lives.
            assert future.result(timeout=60) == b"served"
            assert eventually(waiting.is_ended)
        finally:
            gate.touch()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def files_of(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(path))
        except FileNotFoundError:
            pass  # closed meanwhile, as the listing's own is
    return found


def hatches(pid: int) -> list[str]:
    """The inodes of the sockets at which this process serves workers."""
    mine = files_of(pid)
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    listening = [line for line in lines if line[-1].startswith("@forkful-") and line[3] == "00010000"]
    return [line[6] for line in listening if f"socket:[{line[6]}]" in mine]


# --- nothing is left ---


LEAK = """
    import os, socket, sys
    from eventually import eventually
    from forkful import ProcessPoolExecutor
    def send_back(connection):
        with connection:
            return connection.dup()
    def fds(pid):
        return len(os.listdir(f"/proc/{pid}/fd"))
    def once(pool, count):
        pairs = [socket.socketpair() for _ in range(count)]
        futures = [pool.submit(send_back, theirs) for _, theirs in pairs]
        for (ours, theirs), future in zip(pairs, futures):
            with ours, theirs, future.result() as back:
                back.sendall(b"x")
                assert ours.recv(1) == b"x"
    if __name__ == "__main__":
        with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
            worker = pool.submit(os.getpid).result()
            once(pool, 2)
            here, there, threads = fds("self"), fds(worker), len(os.listdir("/proc/self/task"))
            for _ in range(10):
                once(pool, 100)
            assert eventually(lambda: fds("self") <= here), (here, fds("self"))
            assert eventually(lambda: fds(worker) <= there), (there, fds(worker))
            assert len(os.listdir("/proc/self/task")) == threads
            assert pool.submit(os.getpid).result() == worker
        print("clean")
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_thousand_sockets_leave_no_descriptor(method: str, run_clean: Any) -> None:
    # The worker's own copy of a result is not closed by hand, which is warned of.
    assert run_clean(LEAK, method, warnings="ignore") == "clean\n"


STORM = """
    import os, random, signal, socket, sys, threading, time
    from eventually import eventually
    from forkful import ProcessPoolExecutor, WorkerDied
    def send_back(connection, number):
        time.sleep(0.0005)
        connection.sendall(b".")
        return number, connection
    def fds():
        return len(os.listdir("/proc/self/fd"))
    if __name__ == "__main__":
        retries = int(sys.argv[1])
        with ProcessPoolExecutor(2) as pool:
            one, other = socket.socketpair()
            with one, other:
                pool.submit(send_back, other, 0).result()[1].close()
            # Each seat that was ever taken has a descriptor here, and each worker another.
            while len(pool.workers()) < 2:
                list(pool.map(time.sleep, [0.05] * 4))
            before, over = fds(), threading.Event()
            def kill():
                while not over.wait(0.03):
                    # Three that die before their first task would break the pool, and should.
                    pids = [record.pid for record in pool.workers() if record.tasks]
                    if pids:
                        try:
                            os.kill(random.choice(pids), signal.SIGKILL)
                        except ProcessLookupError:
                            pass
            killer = threading.Thread(target=kill)
            killer.start()
            died = 0
            for batch in range(20):
                pairs = [socket.socketpair() for _ in range(50)]
                submit = pool.with_options(retries=retries).submit
                futures = [submit(send_back, theirs, number) for number, (_, theirs) in enumerate(pairs)]
                for number, ((ours, theirs), future) in enumerate(zip(pairs, futures)):
                    theirs.close()
                    error = future.exception()
                    if error is None:
                        told, back = future.result()
                        with back:
                            assert told == number and ours.recv(1) == b"."
                            back.sendall(b"!")
                            assert b"!" in ours.recv(100)
                    else:
                        assert isinstance(error, WorkerDied), error
                        died += 1
                    ours.close()
            over.set()
            killer.join()
            assert pool.stats().deaths > 0 and (died == 0 or not retries), (died, pool.stats().deaths)
            del futures, future, error
            assert eventually(lambda: pool.submit(int).result() == 0 and fds() <= before), (before, fds())
        print("calm")
"""


@pytest.mark.parametrize("retries", [0, 50])
def test_a_storm_of_kills_leaks_nothing(retries: int, run_clean: Any) -> None:
    assert run_clean(STORM, str(retries), warnings="ignore") == "calm\n"


KILLED = """
    import multiprocessing, os, signal, socket, sys, time
    from forkful import ProcessPoolExecutor
    def keep(*things):
        time.sleep(60)
    def back(s):
        return s
    if __name__ == "__main__":
        context = multiprocessing.get_context("forkserver")
        with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
            ours, theirs = socket.socketpair()
            here, there = multiprocessing.Pipe()
            unread = pool.submit(back, ours)
            again = pool.submit(back, [theirs, there]).result()
            for _ in range(4):
                pool.submit(keep, theirs, here, context.Event(), context.SimpleQueue())
            time.sleep(0.2)
            print("ready", flush=True)
            time.sleep(60)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_parent_leaves_no_name(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Child(KILLED, method) as child:
        child.await_line("ready")
        pid = child.process.pid
        mine = hatches(pid)
        assert len(mine) == 1
        os.kill(pid, signal.SIGKILL)
        child.process.wait()
        assert eventually(lambda: f" {mine[0]} @forkful-" not in Path("/proc/net/unix").read_text())
    left = [path for path in tmp_path.rglob("*") if "forkful-test-" not in str(path)]
    assert left == []
