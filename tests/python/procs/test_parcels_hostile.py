"""Callers at the hatch who are no workers: they cost their own connection, and nothing that the pool does waits for them."""

from __future__ import annotations

import array
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import eventually

from forkful import ProcessPoolExecutor, TaskTimeout, _engine, _parcel


def read(source: socket.socket) -> bytes:
    return source.recv(100)


def give(count: int) -> list[socket.socket]:
    made = []
    for _ in range(count):
        one, other = socket.socketpair()
        other.close()
        made.append(one)
    return made


def send(pool: ProcessPoolExecutor) -> None:
    """Has one socket go there, and two come back."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"words")
        assert pool.submit(read, theirs).result(timeout=60) == b"words"
    for one in pool.submit(give, 2).result(timeout=60):
        one.close()


class Hatch:
    """Where this process serves its workers, and a parcel that lies there."""

    def __init__(self) -> None:
        self.parcel = _engine.Parcel()
        self.parcel.add(0)
        label = self.parcel.label()
        assert label is not None
        self.name = "\0forkful-" + label[:16].hex()
        self.token = label[16:]

    def connect(self) -> socket.socket:
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Blocking, as it may have to wait for its turn; and accepting does not wait for anybody.
        caller.connect(self.name)
        caller.settimeout(60)
        return caller


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1) as pool:
        send(pool)
        yield pool


def is_ended(caller: socket.socket) -> bool:
    try:
        return caller.recv(100) == b""
    except ConnectionResetError:
        return True


def fetch(token: bytes, first: int = 0) -> bytes:
    return b"F\0\0\0" + first.to_bytes(4, "little") + token


def test_a_label_is_fetched_in_its_words(pool: ProcessPoolExecutor) -> None:
    hatch = Hatch()
    with hatch.connect() as caller:
        caller.send(fetch(hatch.token))
        said, rights, _, _ = caller.recvmsg(100, socket.CMSG_SPACE(4))
        assert said == b"A\0\0\0" + bytes(4) + b"\1\0\0\0"
        numbers = array.array("i", rights[0][2])
        assert os.path.samestat(os.fstat(numbers[0]), os.fstat(0))
        os.close(numbers[0])


def test_nonsense_costs_its_own_connection(pool: ProcessPoolExecutor) -> None:
    hatch = Hatch()
    before = len(os.listdir("/proc/self/fd"))
    with hatch.connect() as caller:
        caller.send(fetch(os.urandom(16)))
        # No such file, in the kernel's numbers.
        assert caller.recv(100) == b"A\0\0\0\2\0\0\0" + bytes(4)
    push = b"P\0\0\0\1\0\0\0" + bytes(8) + os.urandom(32)
    for said in (
        fetch(hatch.token[:8]),
        fetch(hatch.token) + b"?",
        b"",
        b"\0",
        b"G" * 24,
        os.urandom(48),
        b"F" * 100_000,
    ):
        with hatch.connect() as caller:
            if said:
                caller.send(said)
                assert is_ended(caller), said
        send(pool)
    with hatch.connect() as caller:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 100))]
        caller.sendmsg([push], rights)
        # Permission denied.
        assert caller.recv(100) == b"A\0\0\0\x0d\0\0\0" + bytes(4)
        assert is_ended(caller)
    send(pool)
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_silence_and_floods_hold_nobody_up(pool: ProcessPoolExecutor) -> None:
    hatch = Hatch()
    before = len(os.listdir("/proc/self/fd"))
    over = threading.Event()
    calls = [0] * 3

    def knock() -> None:
        while not over.is_set():
            with hatch.connect():
                calls[0] += 1

    def talk(number: int, said: bytes) -> None:
        while not over.is_set():
            with hatch.connect() as caller:
                caller.settimeout(0.01)
                try:
                    # Without reading an answer, until it is hung up on.
                    while not over.is_set():
                        caller.send(said)
                        calls[number] += 1
                except OSError:
                    pass

    silent = [hatch.connect() for _ in range(100)]
    threads = [
        threading.Thread(target=knock),
        threading.Thread(target=talk, args=(1, fetch(hatch.token))),
        threading.Thread(target=talk, args=(2, fetch(bytes(16)))),
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            send(pool)
        assert isinstance(pool.with_options(timeout=0.2).submit(time.sleep, 60).exception(timeout=60), TaskTimeout)
        send(pool)
        assert eventually(lambda: all(calls))
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for caller in silent:
            caller.close()
    send(pool)
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_another_user_is_not_let_in(pool: ProcessPoolExecutor) -> None:
    hatch = Hatch()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            try:
                os.setuid(65534)
            except PermissionError:
                os._exit(77)
            with hatch.connect() as caller:
                try:
                    caller.send(fetch(hatch.token))
                except BrokenPipeError:
                    pass
                code = 0 if is_ended(caller) else 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == 77:
        pytest.skip("only a privileged user can become somebody else")
    assert code == 0
    send(pool)


def test_the_hatch_is_closed_with_the_last_pool() -> None:
    with ProcessPoolExecutor(1) as first:
        send(first)
        with ProcessPoolExecutor(1) as second:
            send(second)
        hatch = Hatch()
        send(first)
        hatch.connect().close()
        # As long as something waits there, it is open.
        del hatch.parcel
    assert eventually(lambda: hatch.name[1:] not in Path("/proc/net/unix").read_text())
    with ProcessPoolExecutor(1) as third:
        send(third)


def ask_for(label: bytes) -> list[int]:
    return _engine.fetch_parcel(label)


def test_a_worker_that_asks_for_what_is_not_there_gets_an_error(pool: ProcessPoolExecutor) -> None:
    hatch = Hatch()
    hollow = bytes.fromhex(hatch.name.removeprefix("\0forkful-")) + os.urandom(16)
    error = pool.submit(ask_for, hollow).exception(timeout=60)
    assert isinstance(error, FileNotFoundError) and "the task is over" in str(error)
    assert isinstance(pool.submit(ask_for, os.urandom(32)).exception(timeout=60), ConnectionRefusedError)
    assert isinstance(pool.submit(ask_for, b"short").exception(timeout=60), ValueError)
    send(pool)
    assert pool.stats().deaths == 0


def lie(token: bytes) -> socket.socket:
    """Names another parcel than the one that it has left."""
    sent = _parcel.ForResult.sent

    def lying(self: _parcel.ForResult, data: bytes) -> tuple[bytes, bytes]:
        _parcel.ForResult.sent = sent  # type: ignore[method-assign]
        sent(self, data)
        return token, data

    _parcel.ForResult.sent = lying  # type: ignore[method-assign]
    return give(1)[0]


@pytest.mark.parametrize("length", [0, 5, 16, 40])
def test_a_result_that_names_nothing_is_an_error(pool: ProcessPoolExecutor, length: int) -> None:
    assert pool.submit(lie, os.urandom(length)).exception(timeout=60) is not None
    send(pool)
    assert pool.stats().deaths == 0
