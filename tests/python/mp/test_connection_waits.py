"""Waiting for a message: time limits, several connections at once, signals, descriptors that don't wait."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
import time
from typing import Any

import pytest
from child import run_clean
from eventually import never_before

from forkful.multiprocessing import connection as ours

SECONDS = 30


def later(call: Any, *args: Any) -> threading.Timer:
    timer = threading.Timer(0.1, call, args)
    timer.start()
    return timer


@pytest.fixture(params=[True, False], ids=["duplex", "simplex"])
def ends(request: pytest.FixtureRequest) -> Any:
    receives, sends = ours.Pipe(request.param)
    yield receives, sends
    receives.close()
    sends.close()


def test_who_waits_gets_what_comes(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    timer = later(sends.send, "late")
    assert receives.recv() == "late"
    timer.join()


def test_who_waits_hears_of_the_end(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    timer = later(sends.close)
    with pytest.raises(EOFError):
        receives.recv()
    timer.join()


def test_poll_waits_as_long_as_it_is_told(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    assert not receives.poll()
    assert not receives.poll(0)
    assert not receives.poll(-1)
    with never_before(0.2):
        assert not receives.poll(0.2)
    timer = later(sends.send_bytes, b"")
    assert receives.poll(SECONDS)
    timer.join()
    assert receives.poll(timeout=None)
    assert receives.recv_bytes() == b""
    assert not receives.poll(0.0)
    timer = later(sends.close)
    assert receives.poll(None)
    timer.join()
    with pytest.raises(TypeError):
        receives.poll("soon")


def test_several_are_waited_for_together() -> None:
    pipes = [ours.Pipe(duplex) for duplex in (True, False, True)]
    readers = [receives for receives, _ in pipes]
    assert ours.wait(readers, 0) == []
    timer = later(pipes[1][1].send, "middle")
    assert ours.wait(readers, SECONDS) == [readers[1]]
    timer.join()
    pipes[2][1].send("two")
    pipes[2][1].send("three")
    ready: list[Any] = ours.wait(readers)
    assert sorted(map(readers.index, ready)) == [1, 2]
    # Nothing is read ahead: what is still there can be seen from outside.
    assert readers[2].recv() == "two"
    assert readers[2] in ours.wait(readers, 0)
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        assert {key.fileobj for key, _ in selector.select(0)} == {readers[1], readers[2]}
    pipes[0][1].close()
    assert readers[0] in ours.wait(readers, 0)
    for both in pipes:
        for end in both:
            end.close()


def test_a_message_in_drops_is_one_message(ends: tuple[Any, Any]) -> None:
    receives, sends = ends

    def drip() -> None:
        for byte in b"\0\0\0\5hello":
            time.sleep(0.01)
            os.write(sends.fileno(), bytes([byte]))

    thread = threading.Thread(target=drip)
    thread.start()
    assert receives.recv_bytes() == b"hello"
    thread.join()


def test_a_descriptor_that_does_not_wait(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    os.set_blocking(receives.fileno(), False)
    os.set_blocking(sends.fileno(), False)
    with pytest.raises(BlockingIOError) as caught:
        receives.recv()
    assert caught.value.errno == 11
    sends.send("there")
    assert receives.recv() == "there"
    # A message that has begun is finished.
    sender = threading.Thread(target=sends.send_bytes, args=(bytes(5_000_000),))
    sender.start()
    assert receives.poll(SECONDS)
    assert len(receives.recv_bytes()) == 5_000_000
    sender.join()
    with pytest.raises(BlockingIOError):
        for _ in range(10_000_000):
            os.write(sends.fileno(), bytes(10_000))
    with pytest.raises(BlockingIOError):
        sends.send_bytes(b"x" * 10_000)


def test_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = ours.Connection(socket.create_connection(server.getsockname()).detach())
        accepted = ours.Connection(server.accept()[0].detach())
    with client, accepted:
        sender = threading.Thread(target=client.send, args=(b"x" * 3_000_000,))
        sender.start()
        assert accepted.recv() == b"x" * 3_000_000
        sender.join()
        client.close()
        with pytest.raises(EOFError):
            accepted.recv()


def test_a_listener_answers_a_client() -> None:
    with ours.Listener(authkey=b"key") as listener:
        answers: list[Any] = []

        def serve() -> None:
            with listener.accept() as accepted:
                answers.append(accepted.recv())

        server = threading.Thread(target=serve)
        server.start()
        with ours.Client(listener.address, authkey=b"key") as client:
            client.send(["hello"])
            server.join()
    assert answers == [["hello"]]


def test_a_pipe_of_sockets_waits_whatever_the_default_is() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.01)
    try:
        one, other = ours.Pipe()
    finally:
        socket.setdefaulttimeout(before)
    with one, other:
        timer = later(other.send, 1)
        assert one.recv() == 1
        timer.join()


@pytest.mark.parametrize(
    "wait",
    ["a.recv()", "a.recv_bytes_into(bytearray(9))", "a.poll(None)", "a.poll(60)", "b.send_bytes(bytes(9_000_000))"],
)
@pytest.mark.parametrize("duplex", [True, False])
def test_a_signal_ends_a_wait(wait: str, duplex: bool) -> None:
    printed = run_clean(
        f"""
        import os, signal, threading
        from eventually import eventually
        from sleeping import sleeps
        from forkful.multiprocessing.connection import Pipe
        a, b = Pipe({duplex})
        woken = []
        signal.signal(signal.SIGUSR1, lambda *_: woken.append("heard"))
        def interrupt():
            eventually(lambda: sleeps(os.getpid()))
            os.kill(os.getpid(), signal.SIGUSR1)
            # Of two that come at once the handler of the lower number would be called first.
            eventually(lambda: woken and sleeps(os.getpid()))
            os.kill(os.getpid(), signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            threading.Thread(target=interrupt).start()
            {wait}
        except KeyboardInterrupt:
            print("interrupted", woken)
        """
    )
    assert printed == "interrupted ['heard']\n"


def test_a_signal_without_an_error_does_not_end_it(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:

        def interrupt() -> None:
            for _ in range(5):
                time.sleep(0.02)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            sends.send("at last")

        thread = threading.Thread(target=interrupt)
        thread.start()
        assert receives.recv() == "at last"
        thread.join()
        assert heard
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_other_threads_go_on_while_one_waits(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(receives.recv()))
    thread.start()
    assert sum(range(100_000)) == 4_999_950_000
    assert thread.is_alive()
    sends.send("now")
    thread.join(SECONDS)
    assert got == ["now"]


def test_daemon_threads_that_wait_at_the_end() -> None:
    assert (
        run_clean(
            """
            import threading, time
            from forkful.multiprocessing.connection import Pipe
            pipes = [Pipe(duplex) for duplex in (True, False, False)]
            calls = [pipe[0].recv for pipe in pipes[:2]] + [lambda: pipes[0][0].poll(None)]
            calls += [lambda: pipes[2][1].send_bytes(bytes(9_000_000))]
            for call in calls:
                threading.Thread(target=call, daemon=True).start()
            time.sleep(0.1)
            print("end")
            """
        )
        == "end\n"
    )
