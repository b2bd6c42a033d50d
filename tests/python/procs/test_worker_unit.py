"""The worker's Python side by itself: answers, exceptions, logs, its start and its end."""

from __future__ import annotations

import concurrent.futures.process as standard
import io
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forkful import _relay
from forkful._worker import CannotBegin, Worker


@pytest.fixture
def worker() -> Worker:
    return Worker([].__getitem__)


class Fussy(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Locked(Exception):
    """Can't be pickled."""

    def __init__(self) -> None:
        super().__init__("locked", threading.Lock())


def raised(worker: Worker, error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        back = pickle.loads(worker.dump_exception(caught))
    assert isinstance(back, BaseException)
    return back


@pytest.mark.parametrize("value", [None, 1, "text", [1, {2: (3,)}], {1, 2}, Fussy, b"x" * 100_000])
def test_results_are_plain_pickles(worker: Worker, value: Any) -> None:
    data = worker.dump(value)
    assert pickle.loads(data) == value
    assert b"cloudpickle" not in data


def test_functions_without_a_name_come_back_by_value(worker: Worker) -> None:
    assert pickle.loads(worker.dump(lambda: 5))() == 5

    class Local:
        pass

    assert type(pickle.loads(worker.dump(Local()))) is Local


def test_an_unpicklable_result_raises_what_is_in_its_way(worker: Worker) -> None:
    with pytest.raises(TypeError, match="lock"):
        worker.dump(threading.Lock())
    with pytest.raises(TypeError, match="lock"):
        worker.dump([lambda: 1, threading.Lock()])


def test_an_exception_brings_its_traceback_as_text(worker: Worker) -> None:
    back = raised(worker, ValueError("wrong"))
    assert type(back) is ValueError
    assert back.args == ("wrong",)
    assert isinstance(back.__cause__, standard._RemoteTraceback)
    assert "in raised" in str(back.__cause__)
    assert back.__traceback__ is None


def test_notes_and_attributes_travel(worker: Worker) -> None:
    error = ValueError("wrong")
    error.__notes__ = ["a note"]  # type: ignore[attr-defined]
    error.more = 5  # type: ignore[attr-defined]
    back = raised(worker, error)
    assert back.__notes__ == ["a note"]  # type: ignore[attr-defined]
    assert back.more == 5  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")
def test_groups_travel(worker: Worker) -> None:
    group = ExceptionGroup("several", [ValueError(1), KeyError("two")])  # noqa: F821
    back: Any = raised(worker, group)
    assert type(back) is type(group)
    assert [type(error) for error in back.exceptions] == [ValueError, KeyError]
    assert "several" in str(back.__cause__)


@pytest.mark.parametrize("error", [Fussy(1, 2), Locked()], ids=["unpickling fails", "pickling fails"])
def test_an_exception_that_cannot_travel_has_a_stand_in(worker: Worker, error: BaseException) -> None:
    error.__notes__ = ["a note"]  # type: ignore[attr-defined]
    back = raised(worker, error)
    assert type(back) is TypeError
    assert type(error).__qualname__ in str(back)
    assert str(error) in str(back)
    assert back.__notes__ == ["a note"]  # type: ignore[attr-defined]
    assert "in raised" in str(back.__cause__)


def test_an_exception_whose_str_fails_has_a_stand_in(worker: Worker) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

        def __reduce__(self) -> Any:
            raise RuntimeError("no")

    back = raised(worker, Mute())
    assert type(back) is pickle.PicklingError
    assert "Mute" in str(back)


def test_frames_of_the_package_are_left_out(worker: Worker) -> None:
    def task() -> None:
        raise ValueError

    try:
        worker.call(task, (), None, [])
    except ValueError as error:
        assert error.__traceback__ is not None
        error.__traceback__ = error.__traceback__.tb_next  # the engine has no frame, as this test has
        text = str(pickle.loads(worker.dump_exception(error)).__cause__)
    assert "in task" in text
    assert "_context.py" not in text


def test_rest_shows_what_was_printed(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(raw)))  # type: ignore[arg-type]
    print("said")
    assert raw.getvalue() == b""
    worker.rest()
    assert raw.getvalue() == b"said\n"
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", None)
    worker.rest()


@pytest.fixture
def loggers() -> Iterator[None]:
    """Puts the root logger back."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def test_records_reach_the_parent_s_logger(loggers: None) -> None:
    sent: list[bytes] = []
    relay = _relay.install(sent.append, {"": logging.INFO})
    assert logging.getLogger().handlers == [relay]
    logger = logging.getLogger("forkful.test.relay")
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("number %d", 5, extra={"lock": threading.Lock(), "plain": 1})
    logger.debug("not wanted")
    assert len(sent) == 1

    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logging.getLogger().handlers[:] = [handler]
    _relay.handle(sent[0])
    (record,) = seen
    assert record.name == logger.name
    assert record.process == os.getpid()
    assert record.getMessage().startswith("number 5\nTraceback")
    assert "inside" in record.getMessage()
    assert record.plain == 1  # type: ignore[attr-defined]
    logging.getLogger().setLevel(logging.CRITICAL)
    _relay.handle(sent[0])
    assert len(seen) == 1


def test_what_sending_logs_is_not_sent(loggers: None) -> None:
    sent: list[bytes] = []

    def send(data: bytes) -> None:
        sent.append(data)
        logging.getLogger("forkful.test.relay").warning("again")

    _relay.install(send, {})
    logging.getLogger("forkful.test.relay").warning("once")
    assert len(sent) == 1


MAIN = """
import faulthandler, os, pickle, signal, sys
from forkful import _engine
from forkful import _worker

class Link:
    entries = []
    entry = entries.__getitem__

def work(link, index, generation, worker, tasks, memory, births):
    print("work", index, generation, os.environ["OMP_NUM_THREADS"])
    os.kill(os.getpid(), signal.SIGRTMIN + 5)

def failed(link, index, data):
    error = pickle.loads(data)
    print("failed", index, repr(error), "begin" in str(error.__cause__))

_engine.work, _engine.report_failure, _engine.arrive = work, failed, lambda link, index: None
def begin(n):
    print("begin", n)
    if n < 0: raise ValueError(n)
def end(): print("end")
for n in (1, -1):
    fd = os.memfd_create("dump")
    copy = os.dup(fd)  # the worker puts its own out of reach
    request = {"link": Link, "mode": "inherited", "initializer": begin, "initargs": (n,), "finalizer": end, "threads": 2}
    try:
        _worker.main(3, 4, request, -1, -1, os.dup(fd))
    except SystemExit as error:
        print(type(error).__name__, error.code)
    print("dump", b"in work" in os.pread(copy, 9999, 0))
"""


def test_main_from_start_to_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert done.stdout.splitlines() == [
        "begin 1",
        "work 3 4 2",
        "end",
        "dump True",
        "begin -1",
        "failed 3 ValueError(-1) True",
        "CannotBegin 1",
        "dump False",
    ], done.stderr
    assert done.stderr.startswith("Exception in initializer:\nTraceback"), done.stderr
    assert issubclass(CannotBegin, SystemExit)
    assert signal.SIGRTMIN + 5 < signal.SIGRTMAX


def test_libraries_that_are_loaded_are_limited(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("")
    controller = """
class Library:
    num_threads = 8
    def set_num_threads(self, number):
        print("limits", number)
        self.num_threads = number
class ThreadpoolController:
    def __init__(self):
        print("looks")
        self.lib_controllers = [Library()]
"""
    (tmp_path / "threadpoolctl.py").write_text(controller)
    text = """
        import os
        from forkful._worker import _limit_threads
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"): os.environ.pop(name, None)
        _limit_threads({"threads": 3, "threads_named": True})
        print(os.environ.pop("OMP_NUM_THREADS"))
        import numpy
        for _ in range(2):  # told once
            _limit_threads({"threads": 3, "threads_named": True})
        os.environ["OMP_NUM_THREADS"] = "2"
        _limit_threads({"threads": 4, "threads_named": False})
        print(os.environ["OMP_NUM_THREADS"])
        _limit_threads({"threads": None})
    """
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = [sys.executable, "-W", "always", "-c", textwrap.dedent(text)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path})
    assert done.stdout.splitlines() == ["3", "looks", "limits 3", "limits 2", "2"], done.stderr
    (tmp_path / "threadpoolctl.py").write_text("raise ImportError")
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path})
    assert done.stderr.count("RuntimeWarning: threads_per_worker can") == 2, done.stderr
