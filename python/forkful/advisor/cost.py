"""What it takes to send calls to other processes, and answers back, without sending them.

Knows: the two ends of what travels, and how they pickle. Does not know: executors.
"""

from __future__ import annotations

import pickle
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from forkful._encode import PARCEL, PRELUDE, Encoder, main_mode
from forkful._guard import Mode
from forkful._worker import Worker

from .calling import Input, last_line
from .measurements import Cost

__all__ = ["SHAREABLE", "Sender", "fingerprint", "has_room", "shareable", "sized"]

SHAREABLE = 256 << 10
"""Bytes of an argument from which on it is worth to be placed once."""

_MOST_LOOKED_AT = 64 << 20
_REPEATS = 5


class Sender:
    """Pickles as a pool's parent and workers do. Its library is kept here, where nobody reads it."""

    def __init__(self, start_method: str) -> None:
        """start_method: of the pools that it stands for."""
        mode: Mode = main_mode(start_method)
        self._entries: list[bytes] = []
        self._encoder = Encoder(self._define, mode)

    def _define(self, entry: bytes) -> int:
        self._entries.append(entry)
        return len(self._entries) - 1

    def function_error(self, fn: Callable[..., Any]) -> str | None:
        """Why a function can't be sent; None where it can."""
        try:
            self._encoder.encode(fn, (), None)
        except Exception as error:
            return last_line(error)
        return None

    def arguments(self, inputs: Sequence[Input], seconds: float) -> Cost:
        """What the arguments of a call cost, on average. seconds: to spend on it, for one call at least."""
        return _cost([partial(self._encoded, one) for one in inputs], seconds)

    def _encoded(self, one: Input) -> tuple[int, int, float]:
        args, kwargs = one
        begun = time.perf_counter()
        _, _, flags, payload, parcel = self._encoder.encode(_nothing, args, kwargs or None)
        took = time.perf_counter() - begun
        if flags & (PRELUDE | PARCEL) or parcel is not None:
            # What it names is somewhere else: it is read as fast as it was written, about.
            return *_sizes(payload), 2 * took
        return *_sizes(payload), took + _reading(payload)

    def result(self, value: object, seconds: float) -> Cost:
        """What a call's result costs."""
        return _cost([partial(self._answered, value)], seconds)

    def _answered(self, value: object) -> tuple[int, int, float]:
        worker = Worker(lambda number: b"")
        begun = time.perf_counter()
        data, carrier = worker._pickled(value)
        took = time.perf_counter() - begun
        if carrier is not None:
            size, buffers = _sizes(data if isinstance(data, bytes) else (b"", data.pieces, data.buffers))
            return size, buffers, 2 * took
        payload = data if isinstance(data, bytes) else (b"", data.pieces, data.buffers)
        return *_sizes(payload), took + _reading(payload)


def _cost(measures: Sequence[Callable[[], tuple[int, int, float]]], seconds: float) -> Cost:
    """The mean of several things' sizes, and of the least times of each: what is longer was disturbed."""
    until = time.perf_counter() + seconds
    sizes, buffers, times = [], [], []
    for measure in measures:
        try:
            size, large, took = measure()
        except Exception as error:
            return Cost(error=last_line(error))
        for repeat in range(_REPEATS - 1):
            # Once more even so, if it is short: the first time imports what it needs.
            if time.perf_counter() > until and (repeat or took > seconds):
                break
            took = min(took, measure()[2])
        sizes.append(size)
        buffers.append(large)
        times.append(took)
        if time.perf_counter() > until:
            break
    if not sizes:
        return Cost()
    return Cost(sum(sizes) // len(sizes), sum(buffers) // len(buffers), sum(times) / len(times))


def _sizes(payload: Any) -> tuple[int, int]:
    if isinstance(payload, bytes):
        return len(payload), 0
    front, pieces, buffers = payload
    large = sum(view.nbytes for view in buffers)
    return len(front) + sum(map(len, pieces)) + large, large


def _reading(payload: Any) -> float:
    """Seconds to unpickle it, and to copy the buffers into shared memory, where the other side reads them in place."""
    begun = time.perf_counter()
    if isinstance(payload, bytes):
        pickle.loads(payload)
        return time.perf_counter() - begun
    _, pieces, buffers = payload
    pickle.loads(b"".join(pieces), buffers=buffers)
    copied = 0
    copying = time.perf_counter()
    for view in buffers:
        copied += len(bytearray(view[: _MOST_LOOKED_AT - copied]))
        if copied >= _MOST_LOOKED_AT:
            break  # a second one of what is larger might be too much for the machine's memory
    ended = time.perf_counter()
    whole = sum(view.nbytes for view in buffers)
    return copying - begun + (ended - copying) * (whole / copied if copied else 1.0)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stands for the function, which is sent once and not with each call."""


def sized(value: object) -> int:
    """Bytes of an object's large buffers, or of itself where it is bytes or a string; 0 where it can't be sent."""
    if isinstance(value, (bytes, bytearray, str)):
        return len(value)
    if isinstance(value, (int, float, complex, type(None))):
        return 0
    buffers: list[pickle.PickleBuffer] = []
    sink = _Length()
    try:
        pickle.Pickler(sink, 5, buffer_callback=buffers.append).dump(value)
        return sink.length + sum(buffer.raw().nbytes for buffer in buffers)
    except Exception:
        return 0


class _Length:
    """What a pickler takes for a file, of which only the length is wanted."""

    def __init__(self) -> None:
        self.length = 0

    def write(self, piece: Any) -> None:
        self.length += memoryview(piece).nbytes


def shareable(inputs: Sequence[Input]) -> list[int | str]:
    """Which arguments, by place or by keyword, are one large object for all inputs. Of one input nobody can tell."""
    if len(inputs) < 2:
        return []
    args, kwargs = inputs[0]
    found: list[int | str] = []
    for place, value in enumerate(args):
        if all(len(other) > place and other[place] is value for other, _ in inputs) and sized(value) >= SHAREABLE:
            found.append(place)
    for name, value in kwargs.items():
        if all(other.get(name) is value for _, other in inputs) and sized(value) >= SHAREABLE:
            found.append(name)
    return found


def has_room(size: int) -> bool:
    """Whether the machine's memory has room for so many bytes once more, without a doubt."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            rows = dict(line.split(":") for line in file)
        return size < int(rows["MemAvailable"].split()[0]) * 1024 // 4
    except (OSError, KeyError, ValueError, IndexError):
        return size < _MOST_LOOKED_AT


def fingerprint(one: Input, seconds: float) -> int | None:
    """A number that changes with what a call's arguments hold; None where that can't be told in so many seconds."""
    sink = _Checksum(time.perf_counter() + seconds)
    buffers: list[pickle.PickleBuffer] = []
    try:
        pickle.Pickler(sink, 5, buffer_callback=buffers.append).dump(one)
        for buffer in buffers:
            sink.write(buffer.raw())
    except Exception:
        return None
    return sink.number


class _Checksum:
    """What a pickler takes for a file, of which only a checksum is kept; it fails when the time is over."""

    def __init__(self, until: float) -> None:
        self.number = 0
        self._until = until
        self._left = _MOST_LOOKED_AT

    def write(self, piece: Any) -> None:
        self._left -= memoryview(piece).nbytes
        if self._left < 0 or time.perf_counter() > self._until:
            raise TimeoutError
        self.number = zlib.crc32(piece, self.number)
