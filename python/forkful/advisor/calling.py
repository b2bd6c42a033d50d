"""One call of the function that is looked at, brought to its end.

A call of a generator or coroutine function returns at once and has done nothing yet: here it is consumed, as nothing else would
be a measurement of it.

Knows: kinds of functions, event loops. Does not know: clocks, executors. Workers import it.
"""

from __future__ import annotations

import inspect
import os
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Endless",
    "Input",
    "Subject",
    "close_loop",
    "complete",
    "is_coroutine_function",
    "kind_of",
    "last_line",
    "name_of",
    "own_traceback",
    "stay",
    "this_loop",
    "to_its_end",
]

Input = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of one call."""

_MOST_ITEMS = 10_000_000
_LAST_FRAMES = 10


class Endless(Exception):
    """A generator that still yielded when the time was over."""


@dataclass(frozen=True)
class Subject:
    """The function, and how its calls are made."""

    fn: Callable[..., Any]
    lazy: str | None = None
    """As in `Measurements`."""

    def local(self) -> Callable[..., Any]:
        """What to call here, with an input's arguments."""
        if self.lazy is None:
            return self.fn
        return lambda *args, **kwargs: complete(self.fn, args, kwargs)

    def rows(self, inputs: list[Input]) -> tuple[Callable[..., Any], list[tuple[Any, ...]]]:
        """What `starmap` is to be given: the function as it is, wherever that can be."""
        if self.lazy is None and not any(kwargs for _, kwargs in inputs):
            return self.fn, [args for args, _ in inputs]
        return complete, [(self.fn, args, kwargs) for args, kwargs in inputs]


def complete(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], until: float | None = None) -> Any:
    """The result of a call, consumed where it is lazy. until: on `time.perf_counter`'s clock; past it `Endless` is raised."""
    result = fn(*args, **kwargs)
    kind = kind_of(result)
    if kind is None:
        return result
    if kind == "generator":
        return _listed(result, until)
    return to_its_end(result if kind == "coroutine" else _collected(result, until))


def kind_of(result: object) -> str | None:
    """What kind of work to be done later a result is, if it is any."""
    if inspect.isgenerator(result):
        return "coroutine" if result.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE else "generator"
    if inspect.iscoroutine(result):
        return "coroutine"
    return "async generator" if inspect.isasyncgen(result) else None


def is_coroutine_function(fn: Any) -> bool:
    """Whether its calls are to be awaited, as far as that can be told without one."""
    while hasattr(fn, "func"):
        fn = fn.func
    asked = (fn, getattr(fn, "__call__", None))  # noqa: B004
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in asked)


def _listed(generator: Any, until: float | None) -> list[Any]:
    if until is None:
        return list(generator)
    items = []
    for item in generator:
        items.append(item)
        if time.perf_counter() > until or len(items) > _MOST_ITEMS:
            generator.close()
            raise Endless
    return items


async def _collected(generator: Any, until: float | None) -> list[Any]:
    items = []
    async for item in generator:
        items.append(item)
        if until is not None and (time.perf_counter() > until or len(items) > _MOST_ITEMS):
            await generator.aclose()
            raise Endless
    return items


class _Loop:
    """An event loop that is closed with its thread. Not `asyncio.run`: making one for each call takes longer than many a call."""

    def __init__(self) -> None:
        import asyncio

        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()

    def close(self) -> None:
        # A forked child's is the parent's.
        if self.pid != os.getpid() or self.loop.is_running() or self.loop.is_closed():
            return
        try:
            self._end_what_is_left()
        finally:
            self.loop.close()

    def _end_what_is_left(self) -> None:
        """As `asyncio.run` does with tasks that a coroutine has begun and not awaited."""
        import asyncio

        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

    def __del__(self) -> None:
        if hasattr(self, "loop"):
            with suppress(Exception):
                self.close()


_here = threading.local()


def this_loop() -> Any:
    """The event loop of this thread, made when it is first asked for."""
    found: _Loop | None = getattr(_here, "loop", None)
    if found is None or found.pid != os.getpid():
        found = _here.loop = _Loop()
    return found.loop


def to_its_end(work: Any) -> Any:
    """What a coroutine returns, on this thread's event loop; one that is interrupted is cancelled, and leaves nothing behind."""
    import asyncio

    loop = this_loop()
    task = asyncio.ensure_future(work, loop=loop)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            task.cancel()
            with suppress(BaseException):
                loop.run_until_complete(task)
        raise


def close_loop() -> None:
    """Closes the event loop of this thread, if it has one."""
    found: _Loop | None = getattr(_here, "loop", None)
    if found is not None:
        found.close()
        del _here.loop


def stay(seconds: float) -> None:
    """What has a worker start, and keeps it from taking its neighbour's share."""
    time.sleep(seconds)


def name_of(fn: Any) -> str:
    """``module.name``, as far as a callable has them."""
    inner = fn
    while not hasattr(inner, "__qualname__") and hasattr(inner, "func"):
        inner = inner.func
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    module = getattr(inner, "__module__", None)
    if module is None and getattr(inner, "__self__", None) is not None:
        owner: Any = inner.__self__
        module = getattr(type(owner), "__module__", None) if not inspect.ismodule(owner) else owner.__name__
    named = f"{module}.{name}" if module not in (None, "builtins") else name
    return named if inner is fn else f"{type(fn).__name__} of {named}"


def last_line(error: BaseException) -> str:
    """``ValueError: what it says``, of which the first line."""
    kind = type(error)
    plain = kind.__module__ in ("builtins", "__main__") or kind.__module__.startswith("forkful.")
    name = kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = str(error).strip()
    except Exception:
        text = ""
    return f"{name}: {text.splitlines()[0]}" if text else name


def own_traceback(error: BaseException, ours: str = os.path.dirname(__file__)) -> str:
    """The traceback without the frames that lead to the function, and no more than its last ones."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(ours):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace, limit=-_LAST_FRAMES))
