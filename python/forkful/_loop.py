"""Where finished futures wait for an event loop: one wake-up for a burst of them, not one each."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["Mailbox", "mailbox_of"]


class Mailbox:
    """Calls from other threads that one loop runs together.

    Without a lock: a signal handler or a finalizer may post in the middle of a post, and a lock could be held at a fork. The
    flag is lowered before the letters are taken, so whoever finds it raised has its letter seen; two who find it lowered ring
    twice, which costs a wake-up.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._letters: deque[Callable[[], Any]] = deque()
        self._rung = False

    def post(self, letter: Callable[[], Any]) -> None:
        """Has `letter()` called by the loop, from any thread. A loop that is closed never calls it."""
        self._letters.append(letter)
        if self._rung:
            return
        self._rung = True
        loop = self._loop()
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._empty)
        except RuntimeError:  # the loop was closed; nobody awaits there any more
            self._rung = False
            self._letters.clear()

    def _empty(self) -> None:
        self._rung = False
        # What is posted meanwhile rings again: a storm of letters can't keep the loop here.
        for _ in range(len(self._letters)):
            self._letters.popleft()()


_mailboxes: weakref.WeakKeyDictionary[AbstractEventLoop, Mailbox] = weakref.WeakKeyDictionary()


def mailbox_of(loop: AbstractEventLoop) -> Mailbox:
    """The mailbox of a loop, made at the first use."""
    box = _mailboxes.get(loop)
    return box if box is not None else _mailboxes.setdefault(loop, Mailbox(loop))
