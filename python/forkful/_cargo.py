"""What a pickle takes along: buffers that are not in it, and its own bytes in pieces, none of which is copied here.

Large buffers stay outside of the pickle (PEP 574). Of what must be in it, large strings and bytes, the pickler hands over the
object itself, as it would be written to a file; so a pickle is a list of pieces, the large ones the caller's own.

Does not know: who sends it.
"""

from __future__ import annotations

import array
import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["BUFFER", "LARGE", "Cargo", "pickled", "reduce_array", "reduce_view"]

LARGE = 120 << 10
"""Bytes from which on a pickle is kept in pieces: below, it fits into a frame of the ring, which costs less."""

BUFFER = 64 << 10
"""Bytes from which on a buffer stays outside: an array in a pickle is copied five times."""

_FRAME = 136 << 10
"""A piece of a pickler's own is smaller: a frame of nearly 64 KiB and an item of nearly 64."""

_OWN = pickle.PROTO + pickle.FRAME
"""What such a piece begins with; what does not is too short to name anything."""

_CASTS = frozenset("bBhHiIlLqQnNfd?c")


class Cargo:
    """A pickle with what it takes along."""

    __slots__ = ("buffers", "pieces")

    def __init__(self, pieces: list[Any], buffers: list[memoryview]) -> None:
        self.pieces = pieces
        """The pickle's bytes, in order: bytes, or what else has been sent."""
        self.buffers = buffers
        """Plain views of the buffers that it names, in order."""

    def names(self, word: bytes) -> bool:
        """Whether the pickler itself has written this word: what it has been given is not looked at."""
        return any(
            word in piece for piece in self.pieces if type(piece) is bytes and len(piece) < _FRAME and piece[:1] in _OWN
        )


class _Sink:
    """What a pickler takes for a file."""

    __slots__ = ("write",)

    def __init__(self, write: Callable[[Any], Any]) -> None:
        self.write = write


def pickled(pickler: Callable[..., Any], value: Any) -> tuple[bytes | Cargo, Any]:
    """The pickle of a value, with its cargo if that is large, and the pickler.

    pickler: called with a file and ``buffer_callback=``.
    """
    pieces: list[Any] = []
    buffers: list[memoryview] = []

    def keeps_in(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True  # the pickler says what is wrong with it
        if view.nbytes < BUFFER:
            return True
        buffers.append(view)
        return False

    made = pickler(_Sink(pieces.append), buffer_callback=keeps_in)
    made.dump(value)
    if len(pieces) == 1 and not buffers and type(pieces[0]) is bytes and len(pieces[0]) < LARGE:
        return pieces[0], made
    pieces = [piece if type(piece) is bytes else _plain(piece) for piece in pieces]
    if sum(map(len, pieces)) >= LARGE:
        return Cargo(pieces, buffers), made
    joined = b"".join(pieces)
    return (Cargo([joined], buffers) if buffers else joined), made


def _plain(piece: Any) -> memoryview:
    """What a pickler hands over, as bytes."""
    return piece.raw() if isinstance(piece, pickle.PickleBuffer) else memoryview(piece).cast("B")


def reduce_array(value: array.array[Any]) -> Any:
    """An `array.array`, whose own way makes a copy first."""
    if len(value) * value.itemsize < BUFFER:
        return value.__reduce_ex__(5)
    return _rebuild_array, (value.typecode, pickle.PickleBuffer(value))


def _rebuild_array(typecode: str, content: Any) -> array.array[Any]:
    made = array.array(typecode)
    made.frombytes(content)
    return made


def reduce_view(value: memoryview) -> Any:
    """A memoryview, which pickle itself does not send: a view of a copy, of the same format and shape, as writable as it was."""
    kind = value.format.lstrip("@")
    if kind not in _CASTS:
        raise TypeError(
            f"a memoryview of format {value.format!r} can't be sent: cast it to bytes first, view.cast('B')"
        )
    content: Any = value if value.c_contiguous else bytearray(value.tobytes())
    if value.readonly and type(content) is bytearray:
        content = bytes(content)
    return _rebuild_view, (pickle.PickleBuffer(content), kind, value.shape)


def _rebuild_view(content: Any, kind: str, shape: tuple[int, ...]) -> memoryview:
    view: Any = memoryview(content).cast("B")
    # Without content there is one shape; and one that is a row of bytes has that format already.
    arguments: tuple[Any, ...] = (kind,) if 0 in shape else (kind, shape)
    made: memoryview = view.cast(*arguments) if arguments != ("B", (view.nbytes,)) else view
    return made
