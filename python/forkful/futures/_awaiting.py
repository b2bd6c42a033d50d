"""How a coroutine waits for a future, and how its cancellation reaches the future's task.

Knows: the mailbox of an event loop. Does not know: executors, nor where a task runs beyond whether it can be stopped.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Awaitable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from forkful import _engine
from forkful._loop import mailbox_of

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["PATIENCE", "Done", "awaited", "running_loop", "stop"]

PATIENCE = 1.0
"""Seconds that a cancelled coroutine waits for the end of the process that it has had killed; mostly it takes 3 ms."""


def running_loop(what: str) -> AbstractEventLoop:
    """The loop that runs here; RuntimeError, which says what needs one and the way out, elsewhere (under trio, too)."""
    # Imported here: it takes longer than everything else that `import forkful` loads.
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(what) from None


def awaited(future: _engine.FutureBase[Any]) -> Generator[Any, None, None]:
    """Waits in a loop until the future is done; a cancellation stops its task, if that can be stopped."""
    import asyncio

    loop = running_loop("a forkful future is awaited inside asyncio only; elsewhere call its result() in a thread")
    _engine.refuse_inherited(future)
    try:
        yield from _until_done(future, loop, None)
    except asyncio.CancelledError:
        # As a task that awaits another one ends after that. A second cancellation wants out, and gets out.
        if stop(future):
            yield from _until_done(future, loop, PATIENCE)
        raise


class Done(Awaitable[None]):
    """Waits for a future's end for some seconds, None for ever; a cancellation of whoever waits leaves it alone."""

    def __init__(self, future: concurrent.futures.Future[Any], patience: float | None = None) -> None:
        self._future = future
        self._patience = patience

    def __await__(self) -> Generator[Any, None, None]:
        if not self._future.done():
            yield from _until_done(self._future, running_loop("this is awaited inside asyncio only"), self._patience)


def _until_done(future: Any, loop: AbstractEventLoop, patience: float | None) -> Generator[Any, None, None]:
    waiter = loop.create_future()
    letter = partial(_wake, waiter)
    future.add_done_callback(lambda _: mailbox_of(loop).post(letter))
    timer = None if patience is None else loop.call_later(patience, letter)
    try:
        yield from waiter
    finally:
        if timer is not None:
            timer.cancel()


def _wake(waiter: Any) -> None:
    if not waiter.done():
        waiter.set_result(None)


def stop(future: Any) -> bool:
    """Cancels a task that has not begun, and has the process killed that runs it; whether the latter. Blocks nobody.

    What runs in a thread goes on.
    """
    if future.cancel() or future.done() or not (isinstance(future, _engine.FutureBase) and _engine.is_remote(future)):
        return False
    # A thread, as a kill ends when the process has. Only as many as there are workers are ever needed at a time.
    thread = threading.Thread(target=_kill, args=(future,), name="forkful-kill", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        future.kill()  # there can be no thread, at the interpreter's end or at a limit
    return True


def _kill(future: Any) -> None:
    pause = 0.001
    # For a moment neither may be possible: a task on its way to a worker has left the queue, and nobody runs it yet.
    while not (future.cancel() or future.kill() or future.done()):
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
