"""Carries file descriptors beside pickles: what multiprocessing's reductions ask for while a call or a result is pickled.

The standard library has a way for new processes, in which a descriptor becomes a number of the start, and one for running
ones, a server thread and a socket in the temporary directory. Here the first one serves running processes: the descriptors
of a pickle make a parcel, the pickle names the parcel and the place in it, and whoever unpickles it asks for the parcel.
Where this process can't have the socket that this takes, it is the second one.

Knows: the compiled parcel, multiprocessing's way of asking. Does not know: calls, results, which pickler runs. Workers import it
for the first descriptor that they see.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import context

from forkful import _engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["Box", "ForResult", "ForTask", "Piece", "Ticket", "arrive", "opened", "unpack"]


class _Here(threading.local):
    boxes: dict[bytes, Box] | None = None


_here = _Here()
"""Of the present thread: what has arrived for the pickle that is being read."""


# --- where it is pickled ---


class Carrier:
    """Collects descriptors: what multiprocessing takes for the process that objects are pickled for, while it is entered."""

    label: bytes | None = None
    """What the pickle calls the parcel, once there is one."""

    def __enter__(self) -> Any:
        self._outer = context.get_spawning_popen()
        popen: Any = self
        context.set_spawning_popen(popen)
        return self

    def __exit__(self, *_: object) -> None:
        context.set_spawning_popen(self._outer)

    # The names by which multiprocessing asks: `DupFd` for what to pickle, and, in the classes below, `duplicate_for_child`, which
    # takes a copy of a descriptor and says its place in the parcel, or the number itself where there can be no parcel.

    def DupFd(self, place: int) -> Any:
        """What stands for it in the pickle."""
        if self.label is not None:
            return Ticket(self.label, place)
        from multiprocessing import resource_sharer

        return resource_sharer.DupFd(place)


class ForTask(Carrier):
    """Those of a task, on its way to a worker."""

    parcel: _engine.Parcel | None = None

    def duplicate_for_child(self, fd: int) -> int:
        if self.label is None:
            if self.parcel is None:
                self.parcel = _engine.Parcel()
            self.label = self.parcel.label()
            if self.label is None:
                return fd
        assert self.parcel is not None
        return self.parcel.add(fd)

    def keep(self, thing: object) -> None:
        """Keeps something alive until the task is over."""
        if self.parcel is None:
            self.parcel = _engine.Parcel()
        self.parcel.keep(thing)

    def admit(self, semaphore: object) -> None:
        """A lock, or another semaphore of multiprocessing's, may travel."""
        # Its name goes with it, and the worker may come to it much later.
        self.keep(semaphore)


class ForResult(Carrier):
    """Those of a result, on its way back from this seat."""

    def __init__(self, seat: tuple[_engine.Link, int] | None) -> None:
        self._seat = seat
        self._fds: list[int] = []

    def duplicate_for_child(self, fd: int) -> int:
        if self.label is None:
            if self._seat is None:
                raise RuntimeError("file descriptors can't be sent from here")
            if not _engine.can_push(*self._seat):
                return fd
            self.label = os.urandom(16)
        self._fds.append(os.dup(fd))
        return len(self._fds) - 1

    def sent(self, data: bytes) -> bytes | tuple[bytes, bytes]:
        """The pickle, when the descriptors have been sent: with the parcel's token before it, if it names one."""
        token = self.pushed()
        return (token, data) if token else data

    def pushed(self) -> bytes:
        """The parcel's token, when the descriptors have been sent; nothing if the pickle names none."""
        if self.label is None or self._seat is None:
            return b""
        fds, self._fds = self._fds, []
        _engine.push_parcel(*self._seat, self.label, fds)
        return self.label

    def __del__(self) -> None:
        for fd in self._fds:
            os.close(fd)


class Ticket:
    """Stands for a descriptor in a pickle."""

    __slots__ = ("label", "place")

    def __init__(self, label: bytes, place: int) -> None:
        self.label = label
        self.place = place

    def __reduce__(self) -> Any:
        return arrive, (self.label, self.place)


# --- where it is unpickled ---


class Box:
    """Descriptors that have arrived; those that nobody takes are closed with it."""

    def __init__(self, fds: list[int]) -> None:
        self._fds = fds

    def take(self, place: int) -> int:
        """The descriptor at this place, which is the caller's from now on."""
        fd, self._fds[place] = self._fds[place], -1
        if fd < 0:
            raise RuntimeError("this file descriptor has been taken already")
        return fd

    def __del__(self) -> None:
        for fd in self._fds:
            if fd >= 0:
                os.close(fd)


class Piece:
    """One descriptor of a parcel that has arrived: what multiprocessing's reductions rebuild their objects from."""

    __slots__ = ("_box", "_place")

    def __init__(self, box: Box, place: int) -> None:
        self._box = box
        self._place = place

    def detach(self) -> int:
        """The descriptor, which is the caller's from now on; once only."""
        return self._box.take(self._place)


class opened:
    """While it is entered, each parcel that this thread's pickles name is fetched once; `boxes` are here already."""

    def __init__(self, boxes: dict[bytes, Box] | None = None) -> None:
        self._boxes = boxes or {}

    def __enter__(self) -> None:
        self._outer = _here.boxes
        _here.boxes = self._boxes

    def __exit__(self, *_: object) -> None:
        _here.boxes = self._outer
        self._boxes = {}


def arrive(label: bytes, place: int) -> Piece:
    """What a pickle makes of a `Ticket`. Fetches the parcel that it names from the process that holds it."""
    boxes = _here.boxes
    box = None if boxes is None else boxes.get(label)
    if box is None:
        box = Box(_engine.fetch_parcel(label))
        if boxes is not None:
            boxes[label] = box
    return Piece(box, place)


def unpack(pickled: bytes | memoryview, token: bytes, fds: list[int] | None, buffers: Iterable[Any] = ()) -> Any:
    """A result with the descriptors that came with it; called by the engine."""
    if fds is None:
        raise RuntimeError("the file descriptors of this result did not arrive")
    import pickle

    with opened({token: Box(fds)}):
        return pickle.loads(pickled, buffers=buffers)
