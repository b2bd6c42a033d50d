"""Many calls as one task: how `map` cuts its input, what the worker does with a piece, and how the results come apart again."""

from __future__ import annotations

from collections import deque
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


def flat(chunks: Iterator[list[T]]) -> Iterator[T]:
    for chunk in chunks:
        # Nobody here keeps what was taken.
        items = deque(chunk)
        del chunk
        while items:
            yield items.popleft()
