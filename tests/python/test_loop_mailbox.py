"""The mailbox of an event loop: no letter lost, no lock that a signal handler or a finalizer could meet again."""

from __future__ import annotations

import gc

import pytest
import subject

pytestmark = pytest.mark.skipif(subject.REFERENCE, reason="forkful's own")


class Loop:
    """Stands in for a loop: keeps what it was asked to call."""

    def __init__(self, on_ring=lambda: None):
        self.calls = []
        self.on_ring = on_ring

    def call_soon_threadsafe(self, call):
        self.calls.append(call)
        self.on_ring()


def mailbox(loop):
    from forkful._loop import Mailbox

    return Mailbox(loop)


def test_a_burst_rings_once_and_every_letter_is_read_in_order():
    loop, read = Loop(), []
    box = mailbox(loop)
    for number in range(5):
        box.post(lambda number=number: read.append(number))
    assert len(loop.calls) == 1
    loop.calls.pop()()
    assert read == [0, 1, 2, 3, 4]
    box.post(lambda: read.append(5))
    loop.calls.pop()()
    assert read[-1] == 5


def test_a_post_inside_a_post_is_no_deadlock():
    read = []
    loop = Loop(on_ring=lambda: len(read) < 1 and box.post(lambda: read.append("inner")))
    box = mailbox(loop)
    box.post(lambda: read.append("outer"))
    while loop.calls:
        loop.calls.pop()()
    assert sorted(read) == ["inner", "outer"]


def test_a_post_inside_a_letter_rings_again():
    loop, read = Loop(), []
    box = mailbox(loop)
    box.post(lambda: box.post(lambda: read.append("second")))
    loop.calls.pop()()
    loop.calls.pop()()
    assert read == ["second"]


def test_a_closed_loop_and_a_forgotten_one_keep_nothing():
    class Closed(Loop):
        def call_soon_threadsafe(self, call):
            raise RuntimeError("Event loop is closed")

    closed = Closed()
    box = mailbox(closed)
    box.post(lambda: None)
    assert not box._letters
    loop = Loop()
    box = mailbox(loop)
    del loop
    gc.collect()
    box.post(lambda: None)
    box.post(lambda: None)
