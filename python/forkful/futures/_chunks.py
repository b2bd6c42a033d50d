"""Many calls as one task: how `map` cuts its input, what the worker does with a piece, and how the results come apart again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

__all__ = ["chunks", "flat", "run_chunk"]

T = TypeVar("T")


def run_chunk(fn: Callable[..., T], chunk: list[tuple[Any, ...]]) -> list[T]:
    return [fn(*args) for args in chunk]


def chunks(calls: Iterator[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    while chunk := list(islice(calls, size)):
        yield chunk


def flat(chunks: Iterator[list[T]], many: int | None = None) -> Iterator[T]:
    """The items one by one. Nobody here keeps what was taken, but of chunks of more than `many`, whose items are small."""
    for chunk in chunks:
        if many is not None and len(chunk) > many:
            yield from chunk
            del chunk
            continue
        # In place, as whoever has made it may have it still.
        chunk.reverse()
        while chunk:
            yield chunk.pop()
