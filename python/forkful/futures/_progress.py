"""A bar for what takes long: tqdm's, the right one for a terminal or a notebook.

Does not know: futures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

__all__ = ["bar"]

T = TypeVar("T")


def bar(results: Iterator[T], total: int | None, **options: Any) -> Iterator[T]:
    """An iterator with a bar of what was taken from it."""
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError("a progress bar needs tqdm: pip install tqdm") from error
    shown: Iterator[T] = iter(tqdm(results, total=total, **options))
    return shown
