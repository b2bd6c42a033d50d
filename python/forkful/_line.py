"""What a nursery and its pools say to each other, and the nursery's end of one pool's socket.

Knows: sockets. Does not know: processes.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections import deque

TYPE_CHECKING = False  # a zygote's first worker waits for these imports: no more than it needs
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What the parent says.
START = KILL = AGAIN = struct.Struct("<BxxxIQ")
ATTACH = QUIT = struct.Struct("<Bxxx")
# What it is told.
STARTED = struct.Struct("<BxxxIQi")
FAILED = struct.Struct("<BxHIQ")
"""With the number of the kernel's error; 0 where it was none."""
EXITED = struct.Struct("<BxxxiiQ")
READY = NOTE = struct.Struct("<Bxxx")

# More descriptors than the kernel passes in one message (SCM_MAX_FD is 253).
_MOST_FDS = 256
_WORDS = array.array("i").itemsize


class Line:
    """One pool's control socket; what it does not take at once waits here, so that no pool can stop another's workers."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self.fd = self._socket.fileno()
        self.waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self.children = 0
        self.quitting = False
        self.deaf = False

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        if self.waiting or not self._try(data, fds):
            try:
                # A copy, as the worker may be reaped and its pidfd closed before the message goes. There is one at most.
                copies = tuple(map(os.dup, fds))
            except OSError:
                copies = ()  # as if it had been lost on the way: the pool asks for it again
            self.waiting.append((data, copies))

    def flush(self) -> None:
        while self.waiting and self._try(*self.waiting[0]):
            for fd in self.waiting.popleft()[1]:
                os.close(fd)

    def _try(self, data: bytes, fds: Sequence[int]) -> bool:
        if self.deaf:
            return True
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([data], rights, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:
            # The pool is gone, which the loop will be told; or the kernel takes no more descriptors, only words.
            return not fds or self._try(data, ())
        return True

    def receive(self) -> tuple[bytes, list[int], bool] | None:
        """A message, its descriptors, and whether some were lost; None if there is none."""
        try:
            data, rights, flags, _ = self._socket.recvmsg(
                512, socket.CMSG_SPACE(_MOST_FDS * _WORDS), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError:
            # ECONNRESET: the peer died with messages of ours unread.
            return b"", [], False
        fds = array.array("i")
        for _level, _kind, packed in rights:
            fds.frombytes(packed[: len(packed) - len(packed) % _WORDS])
        return data, list(fds), bool(flags & socket.MSG_CTRUNC)

    def close(self) -> None:
        for _, fds in self.waiting:
            close(fds)
        self.waiting.clear()
        self._socket.close()


def close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
