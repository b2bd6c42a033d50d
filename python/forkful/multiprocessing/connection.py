"""``multiprocessing.connection`` with pipes whose messages go through compiled code; on the wire they are the standard library's.

Either end may be a connection of the standard library's. Everything else of that module is its own.

Knows: the compiled connection, the pickler by name. Does not know: processes, contexts.
"""

from __future__ import annotations

import os
import pickle
import socket
from multiprocessing import connection as _standard
from multiprocessing import reduction
from multiprocessing.connection import Client, Listener, wait

from forkful import (
    _engine,
    _hooks,  # noqa: F401 - a fork is told to the engine
)
from forkful._byname import reducers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Client", "Listener", "Pipe", "wait"]


class Connection(_engine.ConnectionBase, _standard.Connection):
    """A connection of the standard library's over a descriptor, which sends and receives in compiled code."""

    @staticmethod
    def _pickled(obj: Any) -> Any:
        """The pickle of what is more than plain values, in pieces: large strings and bytes as they are, without a copy."""
        pieces: list[Any] = []
        pickler = pickle.Pickler(_Sink(pieces.append), 5)
        pickler.dispatch_table = reducers()
        pickler.dump(obj)
        # Whoever may change what has been sent must not change the message.
        return [piece if type(piece) is bytes else bytes(piece) for piece in pieces]


class _Sink:
    """What a pickler takes for a file."""

    __slots__ = ("write",)

    def __init__(self, write: Any) -> None:
        self.write = write


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Two connections, the ends of a pipe. Without `duplex` the first one only receives, and the second one only sends."""
    if duplex:
        one, other = socket.socketpair()
        # A default timeout makes new sockets such that do not wait.
        one.setblocking(True)
        other.setblocking(True)
        return Connection(one.detach()), Connection(other.detach())
    reader, writer = os.pipe()
    return Connection(reader, writable=False), Connection(writer, readable=False)


def reduce_connection(conn: Connection) -> Any:
    """How a connection travels: as the standard library's do, with a copy of its descriptor."""
    return rebuild_connection, (reduction.DupFd(conn.fileno()), conn.readable, conn.writable)


def rebuild_connection(df: Any, readable: bool, writable: bool) -> Connection:
    """The connection at the other end."""
    return Connection(df.detach(), readable, writable)


reduction.register(Connection, reduce_connection)


def __getattr__(name: str) -> Any:
    # Whatever else there is, some of it without being announced.
    return getattr(_standard, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_standard)})
