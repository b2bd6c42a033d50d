"""Where finished futures wait for an event loop: one wake-up for a burst of them, not one each."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["Mailbox", "mailbox_of"]


class Mailbox:
    """Calls from other threads that one loop runs together."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._lock = threading.Lock()
        self._letters: deque[Callable[[], Any]] = deque()
        self._rung = False

    def post(self, letter: Callable[[], Any]) -> None:
        """Has `letter()` called by the loop, from any thread. A loop that is closed never calls it."""
        with self._lock:
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
            with self._lock:
                self._letters.clear()
                self._rung = False

    def _empty(self) -> None:
        with self._lock:
            letters = self._letters
            self._letters = deque()
            self._rung = False
        for letter in letters:
            letter()


_mailboxes: weakref.WeakKeyDictionary[AbstractEventLoop, Mailbox] = weakref.WeakKeyDictionary()
_mailboxes_lock = threading.Lock()


def mailbox_of(loop: AbstractEventLoop) -> Mailbox:
    """The mailbox of a loop, made at the first use."""
    with _mailboxes_lock:
        box = _mailboxes.get(loop)
        if box is None:
            box = _mailboxes[loop] = Mailbox(loop)
        return box
