"""`map` of an executor that chooses: learned from its first items, handed on whole as soon as it is known where it belongs.

Knows: the desk, and both pools' own maps. Does not know: how a place is found.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from ._base import _results, _results_as_they_come, wait
from ._chunks import flat
from ._desk import PROCESSES, THREADS, Desk
from ._functions import Function
from ._maps import _MANY as MANY
from ._maps import _feed_of as feed_of

__all__ = ["mapped"]

T = TypeVar("T")

_MOMENT = 0.001
"""Seconds for which `map` waits for its first item: most small functions are known by then."""
_PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None)))
_PLACE = re.compile(r"item (\d+) of map")
_STEP = 16
"""Items after which is looked whether it is known by now."""


def mapped(
    desk: Desk,
    function: Function,
    submit: Callable[..., Any],
    fn: Callable[..., T],
    inputs: tuple[tuple[Iterable[Any], ...], bool],
    timeout: float | None,
    chunksize: int | None,
    ordered: bool,
) -> Iterator[T]:
    """The results. `inputs`: the iterables, and whether the one of them has tuples of arguments."""
    deadline = None if timeout is None else time.monotonic() + timeout
    iterables, spread = inputs
    items: Iterator[Any]
    if spread:
        items = map(tuple, iterables[0])
    elif len(iterables) == 1:
        items = iter(iterables[0])
    else:
        items, spread = zip(*iterables, strict=False), True
    window: deque[Any] = deque()
    rest: Iterator[T] | None = None
    give_up: Callable[[], object] = _nothing
    for item in items:
        # Always by itself: it is measured, so a function that has changed is noticed in maps too.
        window.append(submit(fn, item if spread else (item,), {}))
        if len(window) == 1 and function.place is None:
            wait(window, _MOMENT)
        if len(window) % _STEP == 1 and function.place is not None and not function.held:
            # What comes in any order must not wait for the first ones.
            if not ordered and not all(future.done() for future in window):
                continue
            others = list(items)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if function.place == THREADS:
                function.sent[0] += len(others)
                rest = desk.threads._map(fn, (others,), spread, left, chunksize, None, ordered)
                give_up = getattr(rest, "give_up", give_up)
            elif function.place == PROCESSES and (all(map(_is_plain, others)) if spread else _is_plain(others)):
                function.sent[1] += len(others)
                processes = desk.processes()
                if chunksize is None:
                    feed = feed_of(processes, None, fn, (others,), spread)
                    rest, give_up = flat(feed.results(deadline, ordered), MANY), feed.cancel
                else:
                    rest = processes._map(fn, (others,), spread, left, chunksize, None, ordered)
            else:
                # Among them may be what can't be pickled, and then has to run here.
                window.extend(submit(fn, item if spread else (item,), {}) for item in others)
    done = len(window)
    first = (_results if ordered else _results_as_they_come)(window, deadline, None)
    return first if rest is None else _joined(first, rest, done, give_up)


def _is_plain(args: Sequence[Any]) -> bool:
    """Whether it can surely be pickled: numbers and strings, and rows of them."""
    for arg in args:
        if type(arg) in (tuple, list):
            if not _PLAIN.issuperset(map(type, arg)):
                return False
        elif type(arg) not in _PLAIN:
            return False
    return True


def _nothing() -> None:
    pass


def _joined(first: Iterator[T], rest: Iterator[T], before: int, give_up: Callable[[], object]) -> Iterator[T]:
    """One after the other; the places that errors name are counted from the first item."""
    try:
        yield from first
        try:
            yield from rest
        except BaseException as error:
            _count_on(error, before)
            raise
    finally:
        # What nobody waits for any more is cancelled; of `rest` nothing may have been read.
        give_up()


def _count_on(error: BaseException, before: int) -> None:
    notes = getattr(error, "__notes__", None)
    for at, note in enumerate(notes if isinstance(notes, list) else ()):
        found = _PLACE.fullmatch(note) if isinstance(note, str) else None
        if found:
            notes[at] = f"item {int(found[1]) + before} of map"  # type: ignore[index]
            return
