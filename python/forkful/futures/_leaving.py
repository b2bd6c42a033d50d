"""The end of ``async with executor``: waits for the workers without holding up the event loop.

Knows: that an executor can be shut down, and that what it runs can perhaps be ended. Does not know: how.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from ._awaiting import Done

__all__ = ["leave"]


async def leave(executor: Any, error: BaseException | None) -> None:
    """Shuts an executor down. After an error, or if this is cancelled, what can be is cancelled and ended before.

    A cancellation while that has been asked for leaves at once; the workers end by themselves.
    """
    import asyncio

    if executor._is_own_thread():
        # As in a `with` statement; elsewhere the thread would be waited for that waits here.
        executor.shutdown(wait=True)
        return
    if error is not None:
        await _elsewhere(partial(_end, executor, error))
        return
    try:
        await _elsewhere(executor.shutdown)
    except asyncio.CancelledError as cancelled:
        await _elsewhere(partial(_end, executor, cancelled))
        raise


def _end(executor: Any, error: BaseException) -> None:
    executor._end_running(error)
    executor.shutdown(wait=True, cancel_futures=True)


async def _elsewhere(call: Callable[[], object]) -> None:
    """Has it called in a thread of its own, and waits for its end: the loop's own pool may be the very one that ends."""
    called: concurrent.futures.Future[None] = concurrent.futures.Future()
    called.set_running_or_notify_cancel()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            called.set_exception(error)
        else:
            called.set_result(None)

    # Not waited for by the interpreter's end, which waits for the pools themselves.
    try:
        threading.Thread(target=run, name="forkful-shutdown", daemon=True).start()
    except RuntimeError:
        run()  # there can be no more threads
    await Done(called)
    called.result()
