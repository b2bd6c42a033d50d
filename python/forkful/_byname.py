"""Pickles by name, as the standard library sends what it sends.

Knows: multiprocessing's reductions. A worker's start imports it, so it imports little.
"""

from __future__ import annotations

import array
import copyreg
import io
import os
import pickle
import sys
from multiprocessing import context, reduction, util

from forkful._cargo import reduce_array, reduce_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["PICKLING_FAILED", "SPAWNING", "pickler", "quick", "reducers", "refuse_nameless"]

PICKLING_FAILED = (pickle.PicklingError, AttributeError, TypeError)
"""What picklers raise over something that they can't pickle by its name."""

SPAWNING: Any = context._tls  # type: ignore[attr-defined]
"""Its `spawning_popen` is what multiprocessing takes for the process that this thread pickles for."""

_extra: dict[type, Callable[[Any], Any]] = reduction.ForkingPickler._extra_reducers  # type: ignore[attr-defined]


def quick(value: Any) -> bytes:
    """The pickle of a value by reference, with multiprocessing's reductions: as the standard library sends it."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5)
    pickler.dispatch_table = reducers()
    pickler.dump(value)
    return file.getvalue()


def pickler(file: Any, *, buffer_callback: Any) -> pickle.Pickler:
    """What `quick` pickles with, for `_cargo.pickled`."""
    made = pickle.Pickler(file, 5, buffer_callback=buffer_callback)
    made.dispatch_table = reducers()
    return made


def reducers() -> dict[type, Callable[[Any], Any]]:
    """Those that libraries have registered by now, multiprocessing's, which come first, and what these lack."""
    global _reducers
    synchronize = sys.modules.get("multiprocessing.synchronize")
    semaphores = () if synchronize is None else _family(synchronize.SemLock)
    theirs, ours, kinds, table = _reducers
    if theirs != copyreg.dispatch_table or ours != _extra or kinds != semaphores:
        theirs, ours = dict(copyreg.dispatch_table), dict(_extra)
        table = {**theirs, **ours, **dict.fromkeys(semaphores, _reduce_semaphore)}
        for kind, reduce in _large.items():
            # multiprocessing.managers has one of its own, which makes a copy; what a program has registered is what it wants.
            if getattr(table.get(kind, reduce), "__module__", None) in _REPLACED:
                table[kind] = reduce
        heap = sys.modules.get("multiprocessing.heap")
        if heap is not None:
            table[heap.Arena] = _reduce_arena
        _reducers = theirs, ours, semaphores, table
    return table


_REPLACED = ("multiprocessing.managers", reduce_array.__module__)
_large: dict[type, Callable[[Any], Any]] = {array.array: reduce_array, memoryview: reduce_view}

# What they were made of, and the table: making it anew for each pickle took as long as the pickle.
_reducers: tuple[dict[Any, Any], dict[Any, Any], tuple[type, ...], dict[type, Callable[[Any], Any]]] = {}, {}, (), {}


def _family(kind: type) -> tuple[type, ...]:
    kinds = [kind]
    for one in kinds:
        kinds += one.__subclasses__()
    return tuple(kinds)


def _reduce_semaphore(semaphore: Any) -> Any:
    refuse_nameless(semaphore)
    admit = getattr(context.get_spawning_popen(), "admit", None)
    if admit is not None:
        admit(semaphore)
    return semaphore.__reduce_ex__(5)


def _reduce_arena(arena: Any) -> Any:
    return _rebuild_arena, (arena.size, reduction.DupFd(arena.fd))  # type: ignore[attr-defined, unused-ignore]


def _rebuild_arena(size: int, piece: Any) -> Any:
    from multiprocessing import heap

    fd = piece.detach()
    arena: Any = heap.Arena(size, fd)  # type: ignore[attr-defined, unused-ignore]
    # The standard library closes it with the process only, as a process is sent few.
    util.Finalize(arena, os.close, (fd,))
    return arena


def refuse_nameless(value: object) -> None:
    """Raises over a lock that only forked processes find; CPython 3.10 would send the parent's pointer to it."""
    synchronize = sys.modules.get("multiprocessing.synchronize")
    if synchronize is not None and isinstance(value, synchronize.SemLock) and value._semlock.name is None:
        raise RuntimeError(
            f"{type(value).__name__} was made for forked processes and has no name by which another process could find it: "
            "make it with multiprocessing.get_context('forkserver') (or 'spawn'), or hand it to the workers at their start, in "
            "initargs of a pool that forks (mp_context=multiprocessing.get_context('fork'))"
        )
