"""What libraries and programs register with pickle and with multiprocessing counts for every value that a task takes or gives."""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

from forkful import Future, ProcessPoolExecutor, ThreadPoolExecutor
from forkful._byname import quick


class First:
    pass


class Second:
    pass


def as_text(value: object) -> Any:
    return str, ("reduced",)


def shifted(value: complex) -> Any:
    return complex, (value.real + 1, value.imag)


def echo(value: Any) -> Any:
    return value


def name_of(value: Any) -> str:
    return repr(value)


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    before = dict(copyreg.dispatch_table), dict(ForkingPickler._extra_reducers)
    yield
    for table, content in zip((copyreg.dispatch_table, ForkingPickler._extra_reducers), before, strict=True):
        table.clear()
        table.update(content)


def test_one_reducer_for_another_class() -> None:
    copyreg.pickle(First, as_text)  # type: ignore[arg-type]
    assert pickle.loads(quick([First()])) == ["reduced"]
    # The tables have as many values as before, and the same ones.
    copyreg.dispatch_table[Second] = copyreg.dispatch_table.pop(First)
    assert pickle.loads(quick([Second()])) == ["reduced"]
    assert type(pickle.loads(quick(First()))) is First


def test_multiprocessing_s_registrations_come_first() -> None:
    copyreg.pickle(First, as_text)  # type: ignore[arg-type]
    assert pickle.loads(quick(First())) == "reduced"
    ForkingPickler.register(First, lambda value: (int, ("5",)))
    assert pickle.loads(quick(First())) == 5


@pytest.mark.parametrize("register", (copyreg.pickle, ForkingPickler.register))
def test_complex_numbers_are_not_plain(register: Any) -> None:
    with ProcessPoolExecutor(1, start_method="fork") as pool:
        assert pool.submit(echo, 1j).result(timeout=60) == 1j
        register(complex, shifted)
        for _ in range(2):
            assert pool.submit(name_of, 1j).result(timeout=60) == "(1+1j)"
            assert pool.submit(name_of, [1j]).result(timeout=60) == "[(1+1j)]"
            assert pool.submit(name_of, (1j, lambda: 1)).result(timeout=60).startswith("((1+1j), ")
    with ProcessPoolExecutor(1, start_method="fork") as pool:
        # Twice: the workers were forked with the registration.
        assert pool.submit(echo, 1j).result(timeout=60) == 2 + 1j
        assert pool.submit(echo, [1j]).result(timeout=60) == [2 + 1j]


@pytest.mark.parametrize("make", (ProcessPoolExecutor, ThreadPoolExecutor))
def test_executors_and_futures_cannot_be_pickled(make: Any) -> None:
    with make(1) as executor, ProcessPoolExecutor(1) as pool:
        future = executor.submit(abs, -1)
        for value, kind in ((executor, make), (future, Future), (executor.with_options(name="n"), None)):
            for dump in (pickle.dumps, lambda value: pool.submit(echo, value).result(timeout=60)):
                with pytest.raises(TypeError, match="cannot pickle") as raised:
                    dump(value)
                assert kind is None or kind.__name__ in str(raised.value)
        assert future.result(timeout=60) == 1
