"""Named blocks of shared memory: the standard library's classes, with an exact account of what is to be unlinked.

A block is unlinked by whoever calls `unlink`, or, unless it was made with `track=False`, by the resource tracker when the
whole family of processes has ended, by whatever death. Only its maker puts it on the tracker's list: to attach to a block is
not to own it (bpo-38119). So no process takes away what others still use, and the tracker has nothing to complain of.

Knows: the family's tracker. Does not know: processes.
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]
import mmap
import os
from multiprocessing import resource_tracker
from multiprocessing import shared_memory as _theirs
from types import FunctionType

from forkful import _tracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ShareableList", "SharedMemory"]

_EXCLUSIVE = os.O_CREAT | os.O_EXCL | os.O_RDWR
_KIND = "shared_memory"

_account: Any = resource_tracker._resource_tracker


class SharedMemory(_theirs.SharedMemory):
    """A block of shared memory: a new one with `create`, else the one that has this name.

    `track` says whether a new block is unlinked at the end of the program and its children, if nobody has done so before.
    It makes no difference to a block that is there already.
    """

    # The standard library's own attributes: what it has written reads them.
    _name: str | None
    _fd: int
    _mmap: mmap.mmap | None
    _buf: memoryview | None
    _size: int
    _track: bool
    _mode = 0o600

    def __init__(self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True) -> None:
        if not size >= 0:
            raise ValueError("'size' must be a positive integer")
        if create and size == 0:
            raise ValueError("'size' must be a positive number different from zero")
        if name is None and not create:
            raise ValueError("'name' can only be None if create=True")
        self._flags = _EXCLUSIVE if create else os.O_RDWR
        self._track = track and create
        if self._track:
            # Now, and not between the block's creation and its entry in the list.
            _tracker.running()
        if name is None:
            self._open_new()
        else:
            self._name = "/" + name
            self._fd = _open(self._name, self._flags, self._mode)
        try:
            if self._track:
                _account.register(self._name, _KIND)
            if create:
                os.ftruncate(self._fd, size)
            self._size = os.fstat(self._fd).st_size
            self._mmap = mmap.mmap(self._fd, self._size)
        except BaseException:
            if create:
                self.unlink()
            raise
        self._buf = memoryview(self._mmap)

    def _open_new(self) -> None:
        while True:
            name = _theirs._make_filename()  # type: ignore[attr-defined]
            try:
                self._fd = _open(name, self._flags, self._mode)
            except FileExistsError:
                continue
            self._name = name
            return

    def __del__(self) -> None:
        try:
            self.close()
        except BufferError:
            # Somebody, an array for example, still looks at it: the mapping goes with that.
            self._close_descriptor()
        except OSError:
            pass

    def _close_descriptor(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError:
                pass

    def unlink(self) -> None:
        """Take away the name; the memory goes with its last user. To be called once, by any of its users.

        A second call, in this process or in another, raises FileNotFoundError.
        """
        if not self._name:
            return
        _posixshmem.shm_unlink(self._name)
        if _account._fd is None:
            return
        # Whether this family made it is more than we know. Entered and struck out, it is off the list either way, while
        # to strike out what was never entered is an error, in the tracker.
        _account.register(self._name, _KIND)
        _account.unregister(self._name, _KIND)


def _open(name: str, flags: int, mode: int) -> int:
    fd: int = _posixshmem.shm_open(name, flags, mode=mode)
    return fd


def _with_ours(function: Any) -> Any:
    """The standard library's function, in whose eyes SharedMemory is ours."""
    names = {**vars(_theirs), "SharedMemory": SharedMemory}
    ours = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    ours.__kwdefaults__ = function.__kwdefaults__
    ours.__qualname__, ours.__doc__ = function.__qualname__, function.__doc__
    return ours


class ShareableList(_theirs.ShareableList):  # type: ignore[type-arg]
    """A list of fixed length in a block of shared memory, for numbers, strings, bytes and None."""

    __init__ = _with_ours(_theirs.ShareableList.__init__)
