"""Pickles by name, as the standard library sends what it sends.

Knows: multiprocessing's reductions. A worker's start imports it, so it imports little.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
from multiprocessing.reduction import ForkingPickler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["EXTRA_REDUCERS", "PICKLING_FAILED", "quick", "refuse_nameless"]

PICKLING_FAILED = (pickle.PicklingError, AttributeError, TypeError)
"""What picklers raise over something that they can't pickle by its name."""

EXTRA_REDUCERS: dict[type, Callable[[Any], Any]] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
"""How multiprocessing sends connections, sockets and the like."""


def quick(value: Any) -> bytes:
    """The pickle of a value by reference, with multiprocessing's reductions: as the standard library sends it."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5)
    pickler.dispatch_table = reducers()
    pickler.dump(value)
    return file.getvalue()


def reducers() -> dict[type, Callable[[Any], Any]]:
    """Those that libraries have registered by now, and multiprocessing's, which come first."""
    global _reducers
    now = (*copyreg.dispatch_table.values(), *EXTRA_REDUCERS.values())
    if now != _reducers[0]:
        _reducers = now, {**copyreg.dispatch_table, **EXTRA_REDUCERS}
    return _reducers[1]


# What they were made of, and the table: making it anew for each pickle took as long as the pickle.
_reducers: tuple[tuple[object, ...], dict[type, Callable[[Any], Any]]] = (), {}


def refuse_nameless(value: object) -> None:
    """Raises over a lock that only forked processes find; CPython 3.10 would send the parent's pointer to it."""
    synchronize = sys.modules.get("multiprocessing.synchronize")
    if synchronize is not None and isinstance(value, synchronize.SemLock) and value._semlock.name is None:
        raise RuntimeError(
            f"{type(value).__name__} was made for forked processes and has no name by which an exec'ed worker could "
            "find it: make it with multiprocessing.get_context('forkserver') (or 'spawn'), or let the pool fork "
            "(mp_context=multiprocessing.get_context('fork'))"
        )
