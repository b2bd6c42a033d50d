"""The executors that every contract test runs over, and the watchdogs.

A later executor joins the contract with one line in `KINDS`.
"""

from __future__ import annotations

import concurrent.futures
import os
import signal
import stat
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# With pytest's importlib mode the folder of the tests is on nobody's path; its own modules are wanted by name.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import child
import subject
from eventually import eventually

# A job that a shell started in the background ignores Ctrl-C, and so would every child that the tests send one to.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class ExecutorKind:
    """One executor, and what a test may expect of it."""

    name: str
    factory: Callable[..., Any]
    is_thread: bool = True
    """Tasks run in this process and share its memory: closures may write into the test's variables."""
    event: Callable[[], Any] = threading.Event
    """An event that the test and its tasks can both see."""
    broken: type[BaseException] = subject.BrokenThreadPool
    standard: type = subject.StdExecutor
    """The standard library's class that it is one of."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.factory(*args, **kwargs)


class AdjustingExecutor(subject.ThreadPoolExecutor):
    """Overrides what public code overrides; from then on the standard library's machinery serves it."""

    def _adjust_thread_count(self) -> None:
        super()._adjust_thread_count()


def daemon_pool(*args: Any, **kwargs: Any) -> Any:
    return subject.ThreadPoolExecutor(*args, daemon=True, **kwargs)


def auto_executor(max_workers: int | None = None, thread_name_prefix: str = "", **kwargs: Any) -> Any:
    return subject.AutoExecutor(max_workers, thread_name_prefix=thread_name_prefix, **kwargs)


class SharedEvent:
    """An event that tasks in other processes see as well: a file that is there or not. Travels by its name."""

    def __init__(self) -> None:
        fd, self.path = tempfile.mkstemp(prefix="forkful-event-")
        os.close(fd)

    def set(self) -> None:
        Path(self.path).unlink(missing_ok=True)

    def is_set(self) -> bool:
        return not os.path.exists(self.path)

    def wait(self, timeout: float | None = None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (end is None or time.monotonic() < end):
            time.sleep(0.001)
        return self.is_set()


KINDS = [ExecutorKind("threads", subject.ThreadPoolExecutor)]
if not subject.REFERENCE:
    KINDS += [
        ExecutorKind(
            "processes",
            subject.ProcessPoolExecutor,
            is_thread=False,
            event=SharedEvent,
            broken=subject.BrokenProcessPool,
        ),
        # A function's first calls run in threads, and so do those of whatever the tests' variables are changed by.
        ExecutorKind("auto", auto_executor, event=SharedEvent, standard=concurrent.futures.Executor),
        ExecutorKind("daemon-threads", daemon_pool),
        ExecutorKind("adjusted-threads", AdjustingExecutor),
    ]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # `make test-python ARGS='-k something'` asks for what measures, too, of which there may be none.
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.markexpr == "measures":
        session.exitstatus = pytest.ExitCode.OK


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        _keep_from_children([fd for fd in range(3, 64) if _is_pipe(fd)])
    # So that a run of a single file, far from the project's settings, still has its watchdog.
    if config.pluginmanager.hasplugin("timeout") and not config.getini("timeout"):
        config.option.timeout = config.option.timeout or 120


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def _keep_from_children(pipes: list[int]) -> None:
    """They are pytest-xdist's: while a test's forked child has them, nobody learns that the watchdog has ended this process."""
    known = {fd: os.fstat(fd).st_ino for fd in pipes}

    def close() -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd, inode in known.items():
            if _is_pipe(fd) and os.fstat(fd).st_ino == inode:
                os.dup2(nowhere, fd, inheritable=False)
        os.close(nowhere)

    os.register_at_fork(after_in_child=close)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> ExecutorKind:
    """Each executor in turn."""
    return request.param


@pytest.fixture(params=[kind for kind in KINDS if kind.is_thread], ids=lambda kind: kind.name)
def thread_kind(request: pytest.FixtureRequest) -> ExecutorKind:
    """Each executor whose tasks share the test's memory."""
    return request.param


def kind_of(request: pytest.FixtureRequest) -> ExecutorKind:
    """The test's kind of executor; threads where it does not say."""
    spec = getattr(request.node, "callspec", None)
    asked = {"kind", "thread_kind"} & {*request.fixturenames, *(spec.params if spec else ())}
    return request.getfixturevalue(asked.pop()) if asked else KINDS[0]


@pytest.fixture
def gate(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An event for tasks to wait on; opened when the test ends, however it ends."""
    event = kind_of(request).event()
    yield event
    event.set()


@pytest.fixture
def make(request: pytest.FixtureRequest, gate: Any) -> Iterator[Callable[..., Any]]:
    """Makes executors (of the test's kind, else forkful's thread pool) that are shut down with the test."""
    # Weakly, as some tests watch executors being forgotten.
    made: weakref.WeakSet[Any] = weakref.WeakSet()
    factory = kind_of(request)

    def build(*args: Any, **kwargs: Any) -> Any:
        executor = factory(*args, **kwargs)
        made.add(executor)
        return executor

    yield build
    gate.set()
    for executor in list(made):
        executor.shutdown(wait=True, cancel_futures=True)


@pytest.fixture
def executor(make: Callable[..., Any]) -> Any:
    """Two workers."""
    return make(2)


@pytest.fixture
def blocked(make: Callable[..., Any], gate: Any) -> Any:
    """One worker, busy until the gate opens: what is submitted waits in the queue."""
    executor = make(1)
    blocker = executor.submit(gate.wait)
    assert eventually(blocker.running)
    return executor


@pytest.fixture(params=["own", "stdlib"] if not subject.REFERENCE else ["stdlib"])
def wait(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`wait`, ours and the standard library's: both serve every future."""
    return subject.futures.wait if request.param == "own" else subject.std_wait


@pytest.fixture(params=["own", "stdlib"] if not subject.REFERENCE else ["stdlib"])
def as_completed(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`as_completed`, ours and the standard library's."""
    return subject.futures.as_completed if request.param == "own" else subject.std_as_completed


@pytest.fixture(scope="session")
def run_script() -> Callable[..., child.Outcome]:
    """Runs a script's text in a child interpreter under a watchdog."""
    return child.run_script


@pytest.fixture(scope="session")
def run_clean() -> Callable[..., str]:
    """Runs a script's text that must end well and quietly; returns its output."""
    return child.run_clean
