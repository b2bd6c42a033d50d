"""Whether what happens comes from Ctrl-C, where that is not plain to see: in asyncio, and at the end of the program."""

from __future__ import annotations

import functools
import signal
import sys
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from forkful import _engine

__all__ = ["NEVER", "Mark", "ends_program", "mark"]


@dataclass(frozen=True)
class Mark:
    """What was known of Ctrl-C when a block was entered."""

    handled: frozenset[KeyboardInterrupt]
    """Those that were being handled then: they are older than the block."""
    received: int
    """SIGINTs until then."""

    def explains(self, error: BaseException | None) -> bool:
        """Whether `error`, which leaves the block, is a Ctrl-C that came since, or follows from one.

        An event loop turns it into a cancellation of its tasks, in which no trace of it is left: a cancellation counts where a
        SIGINT has come since, and was nobody's but the interpreter's or asyncio's to handle. Any other one is no Ctrl-C.
        """
        if error is None:
            return False
        if isinstance(error, KeyboardInterrupt) or not self.handled.issuperset(_interrupts(error)):
            return True
        return not isinstance(error, Exception) and _engine.interrupts() > self.received and _is_plain()


NEVER = Mark(frozenset(), sys.maxsize)
"""Of a block that was not entered."""


def mark() -> Mark:
    """What is known of Ctrl-C now."""
    return Mark(frozenset(_interrupts(sys.exc_info()[1])), _engine.interrupts())


def ends_program() -> bool:
    """Whether an uncaught Ctrl-C ends the program: the interpreter has shown it, and this is no prompt, which would go on."""
    prompt = sys.flags.interactive or hasattr(sys, "ps1")
    shown: Any = getattr(sys, "last_type", None)
    return not prompt and isinstance(shown, type) and issubclass(shown, KeyboardInterrupt)


def _interrupts(error: BaseException | None) -> set[KeyboardInterrupt]:
    """The KeyboardInterrupts that an exception comes from."""
    found: set[KeyboardInterrupt] = set()
    ahead, seen = [error], set()
    while ahead:
        link = ahead.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        if isinstance(link, KeyboardInterrupt):
            found.add(link)
        ahead += [link.__context__, link.__cause__]
    return found


def _is_plain() -> bool:
    """Whether Ctrl-C is handled by the interpreter's own handler, or by the one with which asyncio cancels the main task."""
    handler: Any = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        return True
    handler = handler.func if isinstance(handler, functools.partial) else handler
    function = getattr(handler, "__func__", None)
    return isinstance(function, FunctionType) and function.__module__ == "asyncio.runners"
