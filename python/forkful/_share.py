"""Objects that are placed once and seen by every process: how they are laid out in memory, and how their handles travel.

The memory is a memfd: how many buffers there are, how long the pickle is and how long the names, where each buffer is, the
pickle, the names of the main module that it needs, then the buffers, at multiples of 64 bytes, as a CPU's vector instructions
like them. It is filled once and sealed, so that it is the same for whoever maps it, and nobody can write to it.

Knows: the compiled handle, the picklers, multiprocessing's way of sending descriptors. Does not know: pools, who holds what
(`hold.rs`).
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import types
from copy import copy
from multiprocessing import context, reduction

from forkful import _engine, _hooks  # noqa: F401
from forkful._byname import PICKLING_FAILED, SPAWNING, reducers
from forkful._byvalue import ByValue
from forkful._engine import Shared, disinherit_shared, offer_shared
from forkful._errors import explained
from forkful._parcel import ForTask
from forkful._scope import main_scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__ = ["Shared", "disinherit_shared", "offer_shared", "read", "reduced", "share"]

_HEAD = struct.Struct("<QQQ")
_PLACE = struct.Struct("<QQ")
_ALIGNED = 64
_MOST = 1 << 30
"""Bytes per write; the kernel takes no more than two of these."""


def share(obj: _T) -> Shared[_T]:
    """Places an object once, to be read in every process without a copy.

    obj: anything that can be pickled. What is in numpy arrays, and whatever else pickles its buffers out of band (pyarrow's
        tables, `pickle.PickleBuffer`), wherever in the object it is, is copied once into shared memory, and is read-only
        there: in the workers, and in what `.value` gives here. The rest, bytes and strings included, each process gets a copy
        of, made once.

    Returns a handle, which is an argument, a result or a part of one like any other, for processes of any kind: `.value` is the
    object there. The memory goes with the last process that has a use for it. The object given stays as it is, and what is done
    to it afterwards is not seen by others. A handle is returned as another handle of the same object.

    Raises what pickling raises; TypeError for what holds file descriptors; OSError, saying which limit, where there is no room.
    """
    if isinstance(obj, Shared):
        return copy(obj)
    stream, names, buffers = _pickled(obj)
    views = [buffer.raw() for buffer in buffers]
    words = " ".join(names).encode()
    end = _HEAD.size + _PLACE.size * len(views) + len(stream) + len(words)
    places = []
    for view in views:
        begin = -(-end // _ALIGNED) * _ALIGNED
        places.append((begin, view.nbytes))
        end = begin + view.nbytes
    head = _HEAD.pack(len(views), len(stream), len(words)) + b"".join(_PLACE.pack(*place) for place in places)
    fd = _engine.memfd_for_sharing()
    try:
        os.ftruncate(fd, end)
        place = 0
        for part in (head, stream, words):
            _write(fd, memoryview(part), place)
            place += len(part)
        for view, (begin, _) in zip(views, places, strict=True):
            _write(fd, view, begin)
    except BaseException as error:
        os.close(fd)
        if isinstance(error, OSError):
            raise explained(f"an object of {end} bytes can't be shared", error) from error
        raise
    return _engine.place_shared(fd, bool(names))


def _write(fd: int, view: memoryview, place: int) -> None:
    done = 0
    while done < view.nbytes:
        done += os.pwrite(fd, view[done : done + _MOST], place + done)


def read(placed: Any) -> Any:
    """The object in a memfd; called by the engine when somebody asks for it."""
    view = memoryview(placed)
    count, length, _ = _HEAD.unpack_from(view)
    start = _HEAD.size + _PLACE.size * count
    places = [_PLACE.unpack_from(view, _HEAD.size + _PLACE.size * number) for number in range(count)]
    stream = view[start : start + length]
    return pickle.loads(stream, buffers=[view[begin : begin + size] for begin, size in places])


def _names(placed: Any) -> list[str]:
    view = memoryview(placed)
    count, length, words = _HEAD.unpack_from(view)
    start = _HEAD.size + _PLACE.size * count + length
    return str(view[start : start + words], "utf-8").split()


# --- what is placed ---


class _Placing:
    """What multiprocessing takes for the process that an object is pickled for: none that could be given a descriptor."""

    def duplicate_for_child(self, fd: int) -> int:
        raise TypeError("what holds file descriptors, or is shared itself, can't be part of a shared object")

    DupFd = duplicate_for_child


def _dense(value: Any) -> Any:
    """For an array whose buffer has gaps, how one without is pickled: else its bytes would be part of the pickle, of which each
    process has a copy."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject:
        flags = value.flags
        if not (flags.c_contiguous or flags.f_contiguous):
            return numpy.ascontiguousarray(value).__reduce_ex__(5)
    return NotImplemented


class _Plain(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        return _dense(value)


class _ByValue(ByValue):
    def reducer_override(self, item: Any) -> Any:
        reduced = _dense(item)
        return super().reducer_override(item) if reduced is NotImplemented else reduced


def _pickled(obj: object) -> tuple[bytes, list[str], list[pickle.PickleBuffer]]:
    """The pickle, the names of the main module that it needs, and its buffers."""
    outer = getattr(SPAWNING, "spawning_popen", None)
    SPAWNING.spawning_popen = _Placing()
    try:
        file, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
        plain = _Plain(file, 5, buffer_callback=buffers.append)
        plain.dispatch_table = reducers()
        try:
            plain.dump(obj)
        except PICKLING_FAILED:
            pass
        else:
            data = file.getvalue()
            if b"_main__" not in data:  # as in __main__ and __mp_main__
                return data, [], buffers
        file, buffers = io.BytesIO(), []
        pickler = _ByValue(file, here=False, buffer_callback=buffers.append)
        pickler.dump(obj)
        return file.getvalue(), sorted(pickler.first | pickler.later), buffers
    finally:
        SPAWNING.spawning_popen = outer


# --- how handles travel ---


def reduced(handle: Shared[Any]) -> Any:
    """A handle's pickle, for whom this thread pickles now; called by the engine."""
    popen: Any = context.get_spawning_popen()
    names = _names(_engine.shared_memory(handle))
    if type(popen) is ForTask:
        ticket = _engine.shared_ticket(handle)
        if ticket is not None:
            # Another one, as this one may be closed before a worker has taken the task.
            popen.keep(copy(handle))
            return _received, (ticket, _mention(names) if names else None)
    token, fd = _engine.shared_file(handle)
    return _adopted, (token, reduction.DupFd(fd), bool(names))  # type: ignore[attr-defined, unused-ignore]


def _mention(names: list[str]) -> Any:
    """A function that uses these names of the main module, so that whoever pickles it sends along what they mean."""
    code: Any = compile(f"lambda: ({', '.join(names)},)", "<shared>", "eval").co_consts[0]
    return types.FunctionType(code, main_scope(), "<lambda>")


def _received(ticket: bytes, mention: object) -> Shared[Any]:
    return _engine.receive_shared(ticket, mention is not None)


def _adopted(token: bytes, piece: Any, names: bool) -> Shared[Any]:
    return _engine.adopt_shared(token, piece.detach(), names)


_engine.set_sharing(lambda: (read, reduced))
