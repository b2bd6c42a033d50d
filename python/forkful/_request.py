"""What a worker is sent that does not inherit its pool: the caller's dict, and the state of this process.

Knows: what `_child` does with it, and how multiprocessing pickles its own. Does not know: who starts the worker.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import context, process, reduction, spawn
from multiprocessing.popen_forkserver import _DupFd
from pathlib import Path
from typing import Any, Literal

from ._byname import refuse_nameless
from ._child import PARTS, Birth, name_of, state
from ._kernel import above, memfd

# SCM_MAX_FD is 253 in one message, and seven have names.
_MOST_EXTRAS = 240

Method = Literal["fork", "zygote", "spawn"]
Main = Literal["inherited", "imported", "by-value"]


def birth_of(method: Method, request: dict[str, Any]) -> Birth:
    """Who the workers of this request are."""
    me = process.current_process()
    identity: tuple[int, ...] = me._identity
    return Birth(method, request.get("name") or name_of(method), os.getpid(), me.name, identity)


def environment(
    method: Method, request: dict[str, Any], run: Callable[..., object], preload: tuple[str, ...], main: Main
) -> dict[str, Any]:
    """What a fork would inherit and an exec'ed worker must be sent."""
    birth = birth_of(method, request)
    preparation: dict[str, Any] = spawn.get_preparation_data(birth.name)
    home = str(Path(__file__).resolve().parent.parent)
    # Strings only: whoever put something else there does not want it in a program's text.
    path = [place for place in preparation["sys_path"] if isinstance(place, str)]
    executable = spawn.get_executable() or sys.executable
    return {
        "birth": {name: getattr(birth, name) for name in Birth.FIELDS},
        "run": f"{run.__module__}:{run.__qualname__}",
        "preload": list(preload),
        "main": main,
        "preparation": preparation,
        "bootstrap": f"import sys; sys.path[:] = {[*path, *([home] if home not in path else [])]!a}; from forkful._nursery ",
        "executable": os.fsdecode(executable),
        "flags": subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]
        **state(),
    }


def recapture(request: int) -> int:
    """A memfd like `request`, with this process's environment as it is now, for workers that start from here on.

    Only for a nursery that needs fds: a template's workers have what it was forked with.
    """
    size = os.fstat(request).st_size
    data = os.pread(request, size, 0)
    first, _ = PARTS.unpack_from(data)
    before: dict[str, Any] = pickle.loads(data[PARTS.size : PARTS.size + first])
    birth = before["birth"]
    now = environment(birth["method"], {"name": birth["name"]}, recapture, (), before["main"])
    for name in ("birth", "run", "preload", "main"):
        now[name] = before[name]
    # What the main module is was settled at the start.
    for name in ("init_main_from_name", "init_main_from_path"):
        now["preparation"].pop(name, None)
        if name in before["preparation"]:
            now["preparation"][name] = before["preparation"][name]
    with ExitStack() as undo, authority(None):
        head = pickle.dumps(now)
        body = data[PARTS.size + first :]
        renewed = memfd(undo, PARTS.pack(len(head), len(body)) + head + body)
        undo.pop_all()
        return renewed


class Carrier:
    """Stands in for the process that multiprocessing's objects want to see when they are pickled."""

    DupFd = _DupFd

    def __init__(self) -> None:
        self.fds: list[int] = []
        self.named = 0
        """How many of them are not an argument's, and so not counted."""

    def keep(self, fd: int) -> None:
        # A copy, as replacements start long after the caller may have closed its own.
        self.fds.append(above(os.dup(fd)))

    def duplicate_for_child(self, fd: int) -> int:
        if len(self.fds) >= _MOST_EXTRAS:
            raise ValueError(f"the arguments of the initializer hold more than {_MOST_EXTRAS - 1} file descriptors")
        self.keep(fd)
        return len(self.fds) - 1 - self.named

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.pop())


class _Pickler(reduction.ForkingPickler):  # type: ignore[misc, unused-ignore]
    """ForkingPickler, which refuses what would crash the worker."""

    def reducer_override(self, value: object) -> Any:
        refuse_nameless(value)
        return NotImplemented


@contextmanager
def authority(carrier: Carrier | None) -> Iterator[None]:
    """Let multiprocessing's objects be pickled; without a carrier only those that need no descriptor."""
    before = context.get_spawning_popen()
    popen: Any = carrier or Carrier()
    context.set_spawning_popen(popen)
    try:
        yield
    finally:
        context.set_spawning_popen(before)


def packed(state: dict[str, Any], request: dict[str, Any], carrier: Carrier | None = None) -> bytes:
    """The content of a request: the state for the worker, then the caller's dict."""
    with authority(carrier):
        head = pickle.dumps(state)
        body = io.BytesIO()
        _Pickler(body, pickle.HIGHEST_PROTOCOL).dump(request)
    return PARTS.pack(len(head), body.tell()) + head + body.getbuffer()
