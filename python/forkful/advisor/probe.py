"""Runs a function with its inputs in all ways that may suit it, within a time budget, and says what it found.

Knows: what is looked at, and in which order (`examination`). Does not know: what is to be concluded.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from .calling import Input, is_coroutine_function
from .examination import Examination
from .measurements import Measurements
from .timekeeper import Progress

__all__ = ["measure"]


def measure(
    fn: Callable[..., Any],
    calls: Iterable[Input],
    *,
    budget: float = 5.0,
    once: bool = False,
    progress: Progress | None = None,
) -> Measurements:
    """What the function does with these inputs, alone and several at a time.

    It runs the function for real: alone first, then by threads and processes of this package. Whatever the function prints or
    writes is printed and written as often. What it raises is reported and not raised; KeyboardInterrupt ends all workers.

    calls: the inputs, each a pair of positional and keyword arguments, ``((2, 5), {})``. Some of many are used.
    budget: seconds that it may take, about; a call that has begun is not cut off, and no run begins that would take longer than
        one call beyond the budget.
    once: use no input twice. The inputs are shared out between the ways, so there is more to find out with many.
    progress: called now and then with what is done, from 0 to 1, and what is being done, in words.
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable, not {type(fn).__name__}")
    inputs = [(tuple(args), dict(kwargs)) for args, kwargs in calls]
    if not inputs:
        raise ValueError("calls must hold at least one input: ((), {}) for a call without arguments")
    if not 0 < budget < math.inf:
        raise ValueError(f"budget must be a positive number of seconds, not {budget!r}")
    examination = Examination(fn, inputs, budget, once, progress)
    if _in_event_loop() and is_coroutine_function(fn):
        # A coroutine can't be run to its end inside of another loop's.
        return _in_thread(examination)
    return examination.run()


def _in_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _in_thread(examination: Examination) -> Measurements:
    found: list[Measurements] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            found.append(examination.run())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="forkful-advisor", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        examination.hurry()
        thread.join()
        raise
    if raised:
        raise raised[0]
    return found[0]
