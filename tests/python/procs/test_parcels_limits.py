"""File descriptors of tasks and results where there is no room for them, or no socket that they could go by."""

from __future__ import annotations

import errno
import os
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]

HERE = """
    import errno, os, resource, socket, time
    from forkful import ProcessPoolExecutor
    def back(s):
        return s
    def count(s):
        return len(s)
    def many(n):
        return [socket.socket() for _ in range(n)]
    def left():
        "How many descriptors there is room for."
        found = []
        try:
            while True:
                found.append(os.dup(0))
        except OSError:
            pass
        for fd in found:
            os.close(fd)
        return len(found)
    def fill():
        "Takes all of it, that too which callers at the hatch give back a moment later."
        found = []
        for _ in range(5):
            # The pool's own threads open and close some, too.
            try:
                while True:
                    found.append(os.dup(0))
            except OSError:
                pass
            time.sleep(0.02)
        return found
    def wait_for(gate):
        while not os.path.islink(gate):
            time.sleep(0.001)
    def refused(future):
        error = future.exception()
        assert type(error) is OSError and error.errno == errno.EMFILE, error
        assert "RLIMIT_NOFILE" in str(error), error
        return True
    if __name__ == "__main__":
        with ProcessPoolExecutor(1) as pool:
            with socket.socket() as one:
                pool.submit(back, one).result().close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            # A task that holds more than there is room for, one by one.
            sockets = [socket.socket() for _ in range(left() * 2 // 3)]
            print(refused(pool.submit(count, sockets)), pool.submit(count, sockets[:5]).result())
            # One socket goes any number of times.
            print(sum(future.result() for future in [pool.submit(count, [sockets[0]]) for _ in range(1000)]))
            # A result for which there is no room.
            print(refused(pool.submit(many, left() + 20)), len(pool.submit(many, 3).result()))
            # Not even for the worker's question.
            future = pool.submit(count, sockets[:2])
            assert future.result() == 2
            future = pool.submit(count, [sockets[0]])
            full = fill()
            print(future.exception() is None or refused(future))
            for fd in full:
                os.close(fd)
            gate = os.environ["GATE"]
            pool.submit(wait_for, gate)
            late = pool.submit(count, [sockets[0]])
            full = fill()
            os.symlink("open", gate)  # which takes no descriptor
            print(refused(late))
            for fd in full:
                os.close(fd)
            print(pool.submit(count, sockets[:3]).result(), pool.stats().deaths)
"""


def test_a_parent_without_room_fails_single_futures(
    run_clean: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE", str(tmp_path / "gate"))
    # Sockets that are not closed by hand are warned of.
    assert run_clean(HERE, warnings="ignore") == "True 5\n1000\nTrue 3\nTrue\nTrue\n3 0\n"


def limit_files(most: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def count(sockets: list[socket.socket]) -> int:
    return len(sockets)


def test_a_worker_without_room_fails_single_futures() -> None:
    with ProcessPoolExecutor(1) as pool:
        sockets = [socket.socket() for _ in range(60)]
        # The first one opens the way that they take.
        assert pool.submit(count, sockets[:1]).result(timeout=60) == 1
        worker = pool.submit(os.getpid).result(timeout=60)
        pool.submit(limit_files, len(os.listdir(f"/proc/{worker}/fd")) + 20).result(timeout=60)
        error = pool.submit(count, sockets).exception(timeout=60)
        assert type(error) is OSError and error.errno == errno.EMFILE and "RLIMIT_NOFILE" in str(error)
        assert pool.submit(count, sockets[:10]).result(timeout=60) == 10
        assert pool.submit(os.getpid).result(timeout=60) == worker
        for one in sockets:
            one.close()
        assert isinstance(pool.submit(count, sockets[:1]).exception(timeout=60), OSError)


# --- where there can be no socket for it ---

NO_SOCKET = """
    import ctypes, errno, multiprocessing, os, platform, socket, struct, sys
    from forkful import ProcessPoolExecutor
    def forbid():
        "Sockets that keep messages apart."
        number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
        program = [
            (0x20, 0, 0, 0),  # the call's number
            (0x15, 0, 4, number),
            (0x20, 0, 0, 24),  # its second argument
            (0x54, 0, 0, 0xF),
            (0x15, 0, 1, socket.SOCK_SEQPACKET),
            (0x06, 0, 0, 0x00050000 | errno.EACCES),
            (0x06, 0, 0, 0x7FFF0000),
        ]
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
        whole = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(whole), 0, 0):
            print("no filter")
            sys.exit(0)
    def echo(source, target):
        target.put(source.recv(100))
        return source
    if __name__ == "__main__":
        forbid()
        context = multiprocessing.get_context("forkserver")
        with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
            pool.submit(int).result()
            ours, theirs = socket.socketpair()
            queue = context.SimpleQueue()
            ours.sendall(b"through the other way")
            back = pool.submit(echo, theirs, queue).result()
            back.sendall(b"and back")
            print(queue.get(), ours.recv(100), pool.stats().deaths)
"""


@pytest.mark.parametrize("method", METHODS)
def test_without_a_socket_of_our_own_it_is_the_standard_librarys(method: str, run_clean: Any) -> None:
    said = run_clean(NO_SOCKET, method, warnings="ignore")
    if said == "no filter\n":
        pytest.skip("no filter of system calls can be set")
    assert said == "b'through the other way' b'and back' 0\n"
