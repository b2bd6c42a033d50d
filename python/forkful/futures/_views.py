"""What a view on an executor has in common with every other: all but how it submits.

Knows: the executor's contract. Does not know: pools, options.
"""

from __future__ import annotations

from typing import Any, NoReturn

from forkful._stats import PoolStats

from ._base import Executor

__all__ = ["View"]


class View(Executor):
    """An executor with options for the tasks submitted here; made by the executor's `with_options`."""

    _executor: Any

    def with_options(self, **options: Any) -> Any:
        """A view on the same executor with other options; this one's are not inherited."""
        return self._executor.with_options(**options)

    def stats(self) -> PoolStats:
        """The executor's numbers, of all its tasks."""
        stats: PoolStats = self._executor.stats()
        return stats

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> NoReturn:
        """Refused: the executor is shut down by whoever made it."""
        raise RuntimeError(
            "a view can't be shut down; call shutdown() of the executor that with_options() was called on"
        )

    def _async_bound(self, size: int, buffersize: int | None) -> int:
        bound: int = self._executor._async_bound(size, buffersize)
        return bound

    def __enter__(self) -> NoReturn:
        raise RuntimeError("a view can't be used in a with statement, which shuts down; use the executor itself there")
