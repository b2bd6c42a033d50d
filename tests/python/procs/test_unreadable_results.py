"""A result that its reader can't unpickle: whoever asks, in whatever way, is told the same, and nobody hangs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION
from typing import Any

import pytest

import forkful
from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]
PARENT = "FORKFUL_TEST_PARENT"
interrupted: list[int] = []


class Unreadable:
    """Can be pickled anywhere, and unpickled everywhere but in the process that made the pool."""

    def __reduce__(self) -> Any:
        return (read, (os.environ[PARENT],))


class Interrupted:
    """The first reader is interrupted."""

    def __reduce__(self) -> Any:
        return (interrupt_once, (os.environ[PARENT],))


def read(parent: str) -> int:
    if str(os.getpid()) == parent:
        raise RuntimeError("can't be read here")
    return 1


def interrupt_once(parent: str) -> int:
    if str(os.getpid()) == parent and not interrupted:
        interrupted.append(1)
        raise KeyboardInterrupt
    return 1


def make() -> Unreadable:
    return Unreadable()


def make_interrupted() -> Interrupted:
    return Interrupted()


@pytest.fixture(autouse=True)
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(PARENT, str(os.getpid()))
    yield
    interrupted.clear()


@pytest.mark.parametrize("method", METHODS)
def test_every_question_gets_the_same_answer(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        asked = [pool.submit(make) for _ in range(3)]
        error = asked[0].exception(timeout=60)
        assert isinstance(error, RuntimeError) and "can't be read here" in str(error)
        with pytest.raises(RuntimeError) as raised:
            asked[0].result()
        assert raised.value is error and asked[0].exception() is error
        with pytest.raises(RuntimeError) as raised:
            asked[1].result(timeout=60)
        assert asked[1].exception() is raised.value
        concurrent.futures.wait(asked, timeout=60)
        assert asked[2]._get_snapshot()[:3] == (True, False, None)
        assert asked[2]._get_snapshot()[3] is asked[2].exception() is not None
        assert pool.submit(len, "four").result(timeout=60) == 4


@pytest.mark.parametrize("way", ["run_in_executor", "wrap_future", "await", "shield"])
def test_asyncio_gets_an_answer(way: str) -> None:
    async def ask(pool: ProcessPoolExecutor) -> None:
        if way == "run_in_executor":
            await asyncio.get_running_loop().run_in_executor(pool, make)
        elif way == "wrap_future":
            await asyncio.wrap_future(pool.submit(make))
        elif way == "shield":
            await asyncio.shield(asyncio.wrap_future(pool.submit(make)))
        else:
            await pool.submit(make)

    with ProcessPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="can't be read here"):
        asyncio.run(asyncio.wait_for(ask(pool), 60))


def test_callbacks_and_iterators_get_an_answer(wait: Any, as_completed: Any) -> None:
    told: list[Any] = []
    with ProcessPoolExecutor(1) as pool:
        futures = [pool.submit(make), pool.submit(make)]
        for future in futures:
            future.add_done_callback(lambda future: told.append(future.exception()))
        seen = [future.exception() for future in as_completed(futures, timeout=60)]
        assert all(isinstance(error, RuntimeError) for error in seen)
        assert wait(futures, timeout=60, return_when=FIRST_EXCEPTION).done
    assert len(told) == 2 and all(isinstance(error, RuntimeError) for error in told)


def test_whoever_only_waits_reads_nothing() -> None:
    with ProcessPoolExecutor(1) as pool:
        future = pool.submit(make_interrupted)
        done, not_done = forkful.wait([future], timeout=60, return_when=FIRST_EXCEPTION)
        assert done == {future} and not not_done and not interrupted


def test_an_interrupted_reader_is_told_and_the_next_one_reads() -> None:
    with ProcessPoolExecutor(1) as pool:
        future = pool.submit(make_interrupted)
        with pytest.raises(KeyboardInterrupt):
            future.exception(timeout=60)
        assert future.exception() is None
        assert future.result() == 1
