"""Exceptions on their way back: nothing runs twice, and what can't be rebuilt is told of by name, with its traceback."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from forkful import ProcessPoolExecutor

METHODS = ("fork", "zygote", "spawn")
NOTES = "FORKFUL_TEST_NOTES"
kept: list[Any] = []


class Fussy(Exception):
    """Can be pickled, and not unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Precious(Exception):
    """Holds something that can be sent once."""

    def __init__(self, connection: Any = None) -> None:
        super().__init__("precious")
        self.connection = connection


class Noted(Exception):
    """Says where its state was set."""

    def __setstate__(self, state: Any) -> None:
        with open(os.environ[NOTES], "a") as file:
            file.write(f"{os.getpid()}\n")
        self.__dict__.update(state)


class Number(Exception):
    """Pickles as no exception at all."""

    def __reduce__(self) -> Any:
        return int, ("5",)


class Hopeless(Exception):
    def __reduce__(self) -> Any:
        raise ZeroDivisionError("no pickle")


def fail(how: str) -> None:
    if how == "fussy":
        raise Fussy(1, 2)
    if how == "nested":
        raise ValueError(Fussy(1, 2))
    if how == "attribute":
        error = KeyError("k")
        error.more = Fussy(1, 2)  # type: ignore[attr-defined]
        raise error
    if how == "group":
        raise ExceptionGroup("several", [ValueError(1), Fussy(1, 2)])  # noqa: F821
    if how == "number":
        raise Number("n")
    if how == "hopeless":
        raise Hopeless("h")
    if how == "lock":
        raise ValueError(threading.Lock())


@pytest.fixture(scope="module", params=METHODS)
def pool(request: pytest.FixtureRequest) -> Any:
    with ProcessPoolExecutor(1, start_method=request.param) as pool:
        yield pool


TOLD = [
    ("fussy", "Fussy: 1 and 2", "TypeError: "),
    ("nested", "builtins.ValueError: 1 and 2", "TypeError: "),
    ("attribute", "builtins.KeyError: 'k'", "TypeError: "),
    pytest.param(
        "group",
        "builtins.ExceptionGroup: several (2 sub-exceptions)",
        "TypeError: ",
        marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11"),
    ),
    ("number", "Number: n", "TypeError: its pickle gives int"),
    ("hopeless", "Hopeless: h", "ZeroDivisionError: no pickle"),
    ("lock", "builtins.ValueError: <unlocked", "TypeError: "),
]


@pytest.mark.parametrize(("how", "raised", "problem"), TOLD)
def test_what_cannot_be_rebuilt_is_told_of(pool: Any, how: str, raised: str, problem: str) -> None:
    error = pool.submit(fail, how).exception(timeout=60)
    assert isinstance(error, (TypeError, pickle.PicklingError)), repr(error)
    said = str(error)
    assert said.startswith("a task raised ") and raised in said and problem in said
    trace = str(error.__cause__)
    assert "in fail" in trace and raised.partition(": ")[0].rpartition(".")[2] in trace
    assert all(isinstance(name, str) for name in error.raised_names)  # type: ignore[union-attr]
    assert error.raised_names[-3:] == ("builtins.Exception", "builtins.BaseException", "builtins.object")  # type: ignore[union-attr]


def test_what_an_exception_holds_arrives(pool: Any) -> None:
    error = pool.submit(hold).exception(timeout=60)
    assert isinstance(error, Precious) and error.connection.recv() == "hello"
    error.connection.close()
    assert "in hold" in str(error.__cause__)


def hold() -> None:
    ours, theirs = multiprocessing.Pipe(False)
    theirs.send("hello")
    kept.append(theirs)
    raise Precious(ours)


def test_the_state_is_set_once_and_by_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = tmp_path / "notes"
    monkeypatch.setenv(NOTES, str(notes))
    with ProcessPoolExecutor(1) as pool:
        error = pool.submit(note).exception(timeout=60)
    assert isinstance(error, Noted) and error.more == 1  # type: ignore[attr-defined]
    assert notes.read_text().split() == [str(os.getpid())]


def note() -> None:
    error = Noted()
    error.more = 1  # type: ignore[attr-defined]
    raise error


def test_an_initializer_that_fails_in_such_a_way(pool: Any) -> None:
    with ProcessPoolExecutor(1, initializer=fail, initargs=("fussy",)) as broken:
        error = broken.submit(abs, 1).exception(timeout=60)
    assert error is not None and "Fussy: 1 and 2" in str(error.__cause__)


def nest(depth: int, kind: Any) -> Any:
    value: Any = kind()
    for _ in range(depth):
        value = kind([value])
    return value


@pytest.mark.parametrize("kind", (list, tuple))
def test_what_is_nested_too_deep_is_a_recursion_error(pool: Any, kind: Any) -> None:
    deep = nest(50_000, kind)
    for function, *arguments in ((len, deep), (lambda value: 1, deep), (len, lambda: 1, deep)):
        with pytest.raises(RecursionError):
            pool.submit(function, *arguments).result(timeout=60)
    for function in (nest, lambda depth, kind: (lambda: 1, nest(depth, kind))):
        with pytest.raises(RecursionError):
            pool.submit(function, 50_000, kind).result(timeout=60)


def test_a_worker_that_cannot_work_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from forkful import _engine

    monkeypatch.setattr(_engine, "work", lambda *_, **__: int("x"), raising=False)
    with ProcessPoolExecutor(1, start_method="fork") as pool:
        error = pool.submit(abs, -1).exception(timeout=60)
    assert error is not None and isinstance(error.__cause__, ValueError)


def hold_what_cannot_be_rebuilt() -> None:
    ours, theirs = multiprocessing.Pipe(False)
    kept.append(theirs)
    raise ValueError(Fussy(1, 2), ours)


def test_descriptors_beside_what_cannot_be_rebuilt(pool: Any) -> None:
    for _ in range(3):
        error = pool.submit(hold_what_cannot_be_rebuilt).exception(timeout=60)
        assert isinstance(error, TypeError) and "a task raised builtins.ValueError: " in str(error)
        assert "in hold_what_cannot_be_rebuilt" in str(error.__cause__)
    assert pool.submit(abs, -1).result(timeout=60) == 1
