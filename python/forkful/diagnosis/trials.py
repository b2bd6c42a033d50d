"""Really tries what forkful's pools need, each in a process of its own, so that one that hangs costs only itself.

Knows: forkful's public names, and two calls of the kernel. Does not know: what a failure means.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pickle import PickleBuffer
from typing import TYPE_CHECKING

from forkful import _aside, _kernel
from forkful.diagnosis.facts import Trial

if TYPE_CHECKING:
    from forkful._share import Shared

WATCHDOG = 30.0
"""Seconds after which a trial has failed."""

MEGABYTE = 1_000_000


def memfd() -> None:
    """Memory without a name, whose size nobody can change any more."""
    from forkful import _engine

    fd = _engine.memfd_for_sharing()
    os.ftruncate(fd, 4096)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    try:
        os.ftruncate(fd, 8192)
    except PermissionError:
        return
    raise AssertionError("a sealed file could be made larger")


def pidfd() -> None:
    """A descriptor of a process, by which it is ended, and which tells of that."""
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(1)
    try:
        fd = _kernel.pidfd_open(child)
        _kernel.pidfd_send_signal(fd, signal.SIGKILL)
        if not select.select([fd], [], [], WATCHDOG / 2)[0]:
            raise AssertionError("a pidfd did not tell of its process's end")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def threads() -> None:
    """A task in a thread."""
    from forkful.futures.thread import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(pow, 2, 10).result() == 1024


def _worker(method: str) -> None:
    from forkful.futures.process import ProcessPoolExecutor

    with ProcessPoolExecutor(1, start_method=method) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()


def fork() -> None:
    """A task in a worker that is forked."""
    _worker("fork")


def zygote() -> None:
    """A task in a worker from a zygote."""
    _worker("zygote")


def spawn() -> None:
    """A task in a worker that is a new interpreter."""
    _worker("spawn")


def shared() -> None:
    """An array that lies in memory once, and that a worker reads."""
    from forkful._share import share
    from forkful.futures.process import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(total, share(PickleBuffer(b"\1" * MEGABYTE))).result() == MEGABYTE


def large() -> None:
    """A large argument, through shared memory, and back."""
    from forkful.futures.process import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as pool:
        assert len(pool.submit(bytes, b"\1" * MEGABYTE).result()) == MEGABYTE


def queue() -> None:
    """A number through a Queue, from another process."""
    from forkful import multiprocessing

    numbers = multiprocessing.Queue()
    process = multiprocessing.Process(target=numbers.put, args=(42,))
    process.start()
    assert numbers.get(timeout=WATCHDOG / 2) == 42
    process.join()


def total(data: Shared[PickleBuffer]) -> int:
    """The sum of the shared bytes."""
    return sum(memoryview(data.value))


TRIALS: dict[str, tuple[str, Callable[[], None]]] = {
    "memfd": ("memory without a name, sealed (memfd_create)", memfd),
    "pidfd": ("a descriptor of a process (pidfd_open, pidfd_send_signal)", pidfd),
    "threads": ("a task on a thread", threads),
    "fork": ("a task in a forked worker", fork),
    "zygote": ("a task in a worker from a zygote (forkserver)", zygote),
    "spawn": ("a task in a spawned worker", spawn),
    "share": ("an array shared with a worker", shared),
    "large": ("a large argument through shared memory", large),
    "queue": ("a Queue between two processes", queue),
}
"""{name: (what it is, in the report's words; the function that raises where it fails)}"""


def run() -> Iterator[Trial]:
    """All of them, one after the other."""
    for name, (title, _) in TRIALS.items():
        answer = _aside.run("forkful.diagnosis.trials", [name], seconds=WATCHDOG)
        yield Trial(name, title, _error(answer))


def _error(answer: _aside.Answer) -> str | None:
    if answer.status is None:
        return f"no answer in {WATCHDOG:g} s"
    try:
        error: str | None = json.loads(answer.last_line)["error"]
    except ValueError:
        # It has not come so far: the interpreter did not start, or was killed.
        return answer.complaint or f"ended with status {answer.status}"
    return error


def main() -> None:
    """Run the trial that the command line names, and print how it went as the last line."""
    try:
        TRIALS[sys.argv[1]][1]()
        error = None
    except Exception as raised:
        # In one line, as the report has it.
        error = " ".join(f"{type(raised).__name__}: {raised}".split())
    print("\n" + json.dumps({"error": error}), flush=True)
