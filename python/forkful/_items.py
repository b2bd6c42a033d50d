"""What a worker does with a part of a `map`, and how the parent reads what comes of it.

An outcome is bytes: how many items were run, how long that took, the failures, the results. One item's error, or a result that
can't be pickled, costs that item alone; and a part whose items take longer than planned is given back half done.

Does not know: executors, how parts are cut.
"""

from __future__ import annotations

import pickle
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["Outcome", "add_note", "run_items"]

# Items that were run, bytes of the failures, nanoseconds.
_HEAD = struct.Struct("<QQQ")


class Outcome:
    """What has come of a part: `done` items in `nanos` nanoseconds; `results` and `failures` are read when somebody asks."""

    __slots__ = ("_data", "_failed", "_results", "done", "nanos")

    def __init__(self, data: bytes | tuple[bytes, list[Any]]) -> None:
        self._results = None
        if isinstance(data, tuple):
            data, self._results = data
        self.done, self._failed, self.nanos = _HEAD.unpack_from(data)
        self._data = data

    def failures(self) -> dict[int, BaseException]:
        """The errors of items that raised, by their place in the part."""
        if not self._failed:
            return {}
        end = _HEAD.size + self._failed
        return {place: pickle.loads(data) for place, data in pickle.loads(memoryview(self._data)[_HEAD.size : end])}

    def results(self) -> list[Any]:
        """One for each item that was run; None where it raised."""
        if self._results is not None:
            return self._results
        found: list[Any] = pickle.loads(memoryview(self._data)[_HEAD.size + self._failed :])
        return found


def run_items(
    fn: Callable[..., Any], items: Sequence[Any], first: int, spread: bool, budget: int
) -> bytes | tuple[bytes, list[Any]]:
    """Calls `fn` with the items of a part that begins at `first`, for about `budget` nanoseconds and one item at least.

    Returns an outcome's bytes; without the results and with these beside it where they hold file descriptors.
    """
    from forkful import _engine, _worker

    worker = _worker.current
    assert worker is not None
    begun = time.perf_counter_ns()
    listed = items if type(items) is list else list(items)
    results: list[Any] = []
    failed: list[tuple[int, Any]] = []

    def fail(place: int, error: BaseException) -> None:
        add_note(error, f"item {first + place} of map")
        failed.append((place, worker.dump_exception(error, alone=True)))

    left = budget
    while len(results) < len(listed) and left >= 0:
        try:
            _engine.call_items(fn, listed, len(results), spread, results, left)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            fail(len(results), error)
            results.append(None)
        left = budget - (time.perf_counter_ns() - begun)
    data: bytes | None
    try:
        data = worker.pickled(results)
    except Exception:
        for place, result in enumerate(results):
            try:
                worker.pickled(result)
            except Exception as error:
                fail(place, error)
                results[place] = None
        data = worker.pickled(results)
    nanos = time.perf_counter_ns() - begun
    failures = pickle.dumps(failed, 5) if failed else b""
    head = _HEAD.pack(len(results), len(failures), nanos)
    return (head + failures, results) if data is None else b"".join((head, failures, data))


def add_note(error: BaseException, note: str) -> None:
    """`error.add_note`, on every version; an exception that takes no attributes goes without."""
    try:
        notes = getattr(error, "__notes__", None)
        error.__notes__ = [*notes, note] if isinstance(notes, list) else [note]  # type: ignore[attr-defined]
    except Exception:
        pass
