"""Pipes do what the standard library's do, each test over both kinds of pipe, and over either end of the standard library's."""

from __future__ import annotations

import array
import math
import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator
from multiprocessing import connection as standard
from typing import Any

import pytest

from forkful.multiprocessing import connection as ours

KB = 1 << 10
MB = 1 << 20


def pair(how: str) -> tuple[Any, Any]:
    """The end that receives, and the one that sends."""
    kind, _, whose = how.partition("-")
    receives, sends = ours.Pipe(kind == "duplex")
    if whose == "theirs":
        theirs = standard.Connection(sends.fileno(), readable=sends.readable)
        sends._handle = None
        return receives, theirs
    if whose == "to theirs":
        theirs = standard.Connection(receives.fileno(), writable=receives.writable)
        receives._handle = None
        return theirs, sends
    return receives, sends


WAYS = ["duplex", "simplex", "duplex-theirs", "simplex-theirs", "duplex-to theirs", "simplex-to theirs"]
OURS = ["duplex", "simplex"]


@pytest.fixture(params=WAYS)
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Pipes one end of which may be the standard library's."""
    made = pair(request.param)
    yield made
    for end in made:
        end.close()


@pytest.fixture(params=OURS)
def own(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Pipes with both ends ours."""
    made = pair(request.param)
    yield made
    for end in made:
        end.close()


class Registered:
    """Of which a program has said how it travels."""


multiprocessing.reduction.register(Registered, lambda _: (str, ("as registered",)))

VALUES = [
    None,
    True,
    0,
    -(2**70),
    1.5,
    "",
    "ü" * 50_000,
    b"x" * 70_000,
    bytearray(b"y" * 70_000),
    (),
    [1, "two", {3: (4.0, None)}],
    list(range(1000)),
    {"a"},
    KeyError("x"),
    array.array("d", [1.0] * 20_000),
    math.sin,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__ + str(len(repr(value))))
def test_values_arrive_as_they_were(ends: tuple[Any, Any], value: Any) -> None:
    receives, sends = ends
    sender = threading.Thread(target=sends.send, args=(value,))
    sender.start()
    got = receives.recv()
    sender.join()
    assert type(got) is type(value)
    assert repr(got) == repr(value)


def test_what_is_registered_is_asked(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    sends.send([Registered()])
    assert receives.recv() == ["as registered"]


@pytest.mark.parametrize("size", [0, 1, 4095, 64 * KB - 4, 64 * KB, 64 * KB + 1, 3 * MB, 100_000_000])
def test_bytes_of_any_size(ends: tuple[Any, Any], size: int) -> None:
    receives, sends = ends
    sent = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    sender = threading.Thread(target=sends.send_bytes, args=(sent,))
    sender.start()
    assert receives.recv_bytes() == sent
    sender.join()


def test_many_messages_both_ways_at_once() -> None:
    one, other = ours.Pipe()
    sent = [b"x" * (size * 37 % 200_000) for size in range(300)]
    got: dict[str, list[bytes]] = {"one": [], "other": []}

    def send(end: Any) -> None:
        for message in sent:
            end.send_bytes(message)

    def receive(end: Any, name: str) -> None:
        for _ in sent:
            got[name].append(end.recv_bytes())

    with one, other:
        threads = [threading.Thread(target=send, args=(end,)) for end in (one, other)]
        threads += [threading.Thread(target=receive, args=both) for both in ((one, "one"), (other, "other"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == {"one": sent, "other": sent}


def test_parts_of_buffers(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    numbers = array.array("i", range(8))
    for arguments in [(b"abcdef", 2), (bytearray(b"abcdef"), 1, 3), (memoryview(b"abcdef"), 6), (numbers, 4, 8)]:
        sends.send_bytes(*arguments)
    assert [receives.recv_bytes() for _ in range(4)] == [b"cdef", b"bcd", b"", numbers.tobytes()[4:12]]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((b"abc", -1), ValueError, "offset is negative"),
        ((b"abc", 4), ValueError, "buffer length < offset"),
        ((b"abc", 0, -1), ValueError, "size is negative"),
        ((b"abc", 1, 3), ValueError, r"buffer length < offset \+ size"),
        (("abc",), TypeError, "memoryview: a bytes-like object is required, not 'str'"),
        ((memoryview(b"abcdef")[::2],), BufferError, "memoryview: underlying buffer is not C-contiguous"),
    ],
)
def test_what_can_not_be_sent(
    own: tuple[Any, Any], arguments: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    _, sends = own
    with pytest.raises(error, match=f"^{words}$"):
        sends.send_bytes(*arguments)
    here, there = standard.Pipe()
    with here, there, pytest.raises((error, TypeError)):
        there.send_bytes(*arguments)


def test_nothing_is_sent_of_what_can_not_be_pickled(own: tuple[Any, Any]) -> None:
    receives, sends = own
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        sends.send([b"x" * 100_000, lambda: None])
    sends.send("next")
    assert receives.recv() == "next"


def test_into_buffers(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    buffer = bytearray(10)
    sends.send_bytes(b"abc")
    assert (receives.recv_bytes_into(buffer), bytes(buffer)) == (3, b"abc" + bytes(7))
    sends.send_bytes(b"def")
    assert (receives.recv_bytes_into(buffer, 7), bytes(buffer)) == (3, b"abc" + bytes(4) + b"def")
    numbers = array.array("i", [0] * 4)
    sends.send_bytes(array.array("i", [7, 8]))
    assert (receives.recv_bytes_into(numbers, 8), list(numbers)) == (8, [0, 0, 7, 8])
    sends.send_bytes(b"longer than it")
    with pytest.raises(multiprocessing.BufferTooShort) as caught:
        receives.recv_bytes_into(buffer, 1)
    assert caught.value.args == (b"longer than it",)
    sends.send_bytes(b"next")
    assert receives.recv_bytes() == b"next"


def test_bad_buffers_take_nothing(own: tuple[Any, Any]) -> None:
    receives, sends = own
    sends.send_bytes(b"kept")
    with pytest.raises(ValueError, match=r"^negative offset$"):
        receives.recv_bytes_into(bytearray(4), -1)
    with pytest.raises(ValueError, match=r"^offset too large$"):
        receives.recv_bytes_into(bytearray(4), 5)
    with pytest.raises(TypeError, match="read-write"):
        receives.recv_bytes_into(b"abcd")
    with pytest.raises(TypeError):
        receives.recv_bytes_into("abcd")
    with pytest.raises(ValueError, match=r"^negative maxlength$"):
        receives.recv_bytes(-1)
    assert receives.recv_bytes() == b"kept"


def test_a_message_longer_than_allowed_is_the_end(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    sends.send_bytes(b"1234")
    assert receives.recv_bytes(4) == b"1234"
    sends.send_bytes(b"12345")
    with pytest.raises(OSError, match=r"^bad message length$"):
        receives.recv_bytes(4)
    assert receives.closed is not receives.writable
    with pytest.raises(OSError, match=r"^(handle is closed|connection is write-only)$"):
        receives.recv_bytes()


def test_the_end_of_the_sender_comes_after_what_it_has_sent(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    sends.send("last")
    sends.close()
    assert receives.poll()
    assert receives.recv() == "last"
    assert receives.poll()
    for _ in range(2):
        with pytest.raises(EOFError) as caught:
            receives.recv()
        assert caught.value.args == ()


def test_an_end_within_a_message(own: tuple[Any, Any]) -> None:
    receives, sends = own
    os.write(sends.fileno(), b"\0\0\0\5ab")
    sends.close()
    with pytest.raises(OSError, match=r"^got end of file during message$"):
        receives.recv_bytes()


def test_nobody_there_to_receive(ends: tuple[Any, Any]) -> None:
    receives, sends = ends
    receives.close()
    # Bytes, as the standard library's `send` leaves garbage behind that complains when it is collected.
    with pytest.raises(BrokenPipeError) as caught:
        sends.send_bytes(b"lost")
    assert (caught.value.errno, caught.value.strerror) == (32, "Broken pipe")


def test_a_receiver_that_goes_while_a_message_is_on_its_way(own: tuple[Any, Any]) -> None:
    receives, sends = own
    errors: list[Exception] = []

    def send() -> None:
        try:
            sends.send_bytes(bytes(50 * MB))
        except OSError as error:
            errors.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    os.read(receives.fileno(), 1000)
    receives.close()
    sender.join()
    # A socket says that something was left unread, once.
    assert isinstance(errors[0], (BrokenPipeError, ConnectionResetError))


def test_a_closed_connection_says_so(own: tuple[Any, Any]) -> None:
    receives, sends = own
    for end in own:
        number = end.fileno()
        end.close()
        end.close()
        assert end.closed
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(number)
    for call in [
        sends.fileno,
        lambda: sends.send(1),
        lambda: sends.send_bytes(b""),
        receives.recv,
        receives.recv_bytes,
        lambda: receives.recv_bytes_into(bytearray(1)),
        receives.poll,
    ]:
        with pytest.raises(OSError, match=r"^handle is closed$"):
            call()


def test_each_end_of_a_one_way_pipe_does_one_thing() -> None:
    receives, sends = ours.Pipe(duplex=False)
    assert (receives.readable, receives.writable, sends.readable, sends.writable) == (True, False, False, True)
    with receives, sends:
        with pytest.raises(OSError, match=r"^connection is read-only$"):
            receives.send(1)
        for call in (sends.recv, sends.poll, sends.recv_bytes):
            with pytest.raises(OSError, match=r"^connection is write-only$"):
                call()
    assert receives.closed and sends.closed


def test_made_of_a_number_as_the_standard_librarys() -> None:
    for kind in (standard.Connection, ours.Connection):
        with pytest.raises(ValueError, match=r"^invalid handle$"):
            kind(-1)
        with pytest.raises(AttributeError):
            kind("1")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^at least one of"):
            kind(0, False, False)
        reader, writer = os.pipe()
        with kind(reader, writable=False) as made:
            assert (made.fileno(), made.closed, made._handle) == (reader, False, reader)
        os.close(writer)
    assert issubclass(ours.Connection, standard.Connection)


def test_a_number_that_is_no_descriptor() -> None:
    reader, writer = ours.Pipe()
    os.close(reader.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        reader.recv()
    reader._handle = None
    writer.close()


def test_what_is_dropped_is_closed(own: tuple[Any, Any]) -> None:
    receives, _ = own
    one, other = ours.Pipe()
    number = other.fileno()
    del other
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(number)
    with one, pytest.raises(EOFError):
        one.recv()
    assert not receives.closed


def test_a_subclass_has_its_own_attributes() -> None:
    class Counting(ours.Connection):
        sent = 0

        def send(self, obj: Any) -> None:
            self.sent += 1
            super().send(obj)

    one, other = ours.Pipe()
    counting = Counting(os.dup(one.fileno()))
    with one, other, counting:
        counting.send("x")
        assert (other.recv(), counting.sent) == ("x", 1)


def test_every_name_of_the_standard_librarys_module_is_there() -> None:
    names = {name for name in dir(standard) if not name.startswith("__")}
    assert names <= set(dir(ours))
    for name in names:
        assert hasattr(ours, name)
    assert sorted(ours.__all__) == sorted(standard.__all__)
    with pytest.raises(AttributeError):
        ours.no_such_name  # noqa: B018


def test_length_that_is_garbage_is_refused() -> None:
    receives, sends = ours.Pipe()
    with receives, sends:
        os.write(sends.fileno(), b"\xff\xff\xff\xff" + b"\x7f" * 8)
        with pytest.raises((MemoryError, OverflowError)):
            receives.recv_bytes()
