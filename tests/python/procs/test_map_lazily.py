"""`map` with `buffersize` over processes: in parts where there is room for them, and never more taken than that."""

from __future__ import annotations

import itertools
import random
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from eventually import eventually
from source import Source

from forkful import ProcessPoolExecutor
from forkful.futures import _maps


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(params=["parts", "items"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways for every buffersize."""
    monkeypatch.setattr(_maps, "_ROOM", 0 if request.param == "parts" else 10**9)


def increase(x: int) -> int:
    return x + 1


def fails_at(place: int, x: int) -> int:
    if x == place:
        raise ValueError(x)
    return x


def big(x: int) -> bytes:
    return b"x" * (x % 70_000)


@pytest.mark.parametrize("buffersize", [600, 5000])
def test_quick_items_travel_together(pool: ProcessPoolExecutor, buffersize: int) -> None:
    before = pool.stats().submitted
    assert list(pool.map(increase, iter(range(50_000)), buffersize=buffersize)) == list(range(1, 50_001))
    assert pool.stats().submitted - before < 25_000


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("seed", range(12))
def test_laziness_is_that_of_a_plain_model(pool: ProcessPoolExecutor, seed: int) -> None:
    """Steps at random: what was taken is always what was yielded and `buffersize` more; the results are those of `map`."""
    choose = random.Random(seed)
    for _ in range(6):
        buffersize = choose.choice([1, 2, 3, 7, 50, 600])
        count = choose.choice([0, 1, 2, buffersize, 3 * buffersize + 1, 2000, None])
        fails = choose.random() < 0.3
        bad = choose.choice([-1, -1, 0, 5, 1500])
        source = Source(count, fails)

        def expect_taken(yielded: int, buffersize: int = buffersize, count: int | None = count) -> int:
            return buffersize + yielded if count is None else min(count, buffersize + yielded)

        if fails and count is not None and count < buffersize:
            with pytest.raises(KeyError, match="input"):
                pool.map(partial(fails_at, bad), source, buffersize=buffersize)
            continue
        results = pool.map(partial(fails_at, bad), source, buffersize=buffersize)
        assert source.taken == expect_taken(0)
        for yielded in range(choose.choice([0, 3, 700, 2500])):
            # One more is taken before each result is waited for, as the standard library does.
            input_fails = fails and count is not None and buffersize + yielded == count and yielded < count
            if input_fails:
                with pytest.raises(KeyError, match="input"):
                    next(results)
                assert list(results) == []
                break
            if yielded == bad and (count is None or bad < count):
                with pytest.raises(ValueError) as caught:
                    next(results)
                assert caught.value.__notes__ == [f"item {bad} of map"]
                assert list(results) == []
                break
            if yielded == count:
                assert next(results, None) is None
                break
            assert next(results) == yielded
            assert source.taken == expect_taken(yielded + 1)
        results.close()  # type: ignore[attr-defined]
        taken = source.taken
        pool.submit(increase, 1).result()
        assert source.taken == taken


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("seed", range(4))
def test_unordered_results_are_those_of_what_was_taken(pool: ProcessPoolExecutor, seed: int) -> None:
    choose = random.Random(seed)
    for buffersize in (1, 5, 40, 1000):
        source, count = Source(), choose.randrange(1, 3000)
        results = pool.map_unordered(increase, source, buffersize=buffersize)
        got = []
        for step in range(1, count + 1):
            got.append(next(results))
            assert source.taken == buffersize + step
        assert len(set(got)) == count and set(got) <= set(range(1, source.taken + 1))
        results.close()  # type: ignore[attr-defined]
        assert sorted(pool.map_unordered(increase, Source(count), buffersize=buffersize)) == list(range(1, count + 1))


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("wait_for", [0, 1, 30])
def test_an_input_that_waits_for_what_was_begun_gets_it(pool: ProcessPoolExecutor, wait_for: int) -> None:
    """The first items run, whether anybody reads or not: nothing is held back until the input gives more."""
    came = threading.Event()

    def give() -> Iterator[int]:
        yield from range(100)
        came.set()
        # All of them are run meanwhile, by whoever; else this never ends.
        assert eventually(lambda: pool.stats().pending == 0)
        yield from range(100, 200)

    results = pool.map(increase, give(), buffersize=100)
    assert [next(results) for _ in range(wait_for)] == list(range(1, wait_for + 1))
    assert list(results) == list(range(wait_for + 1, 201))
    assert came.is_set()


@pytest.mark.usefixtures("room")
def test_other_ways_to_give_arguments(pool: ProcessPoolExecutor) -> None:
    assert list(pool.map(pow, itertools.count(2), [2, 3], buffersize=50)) == [4, 27]
    assert list(pool.starmap(pow, ([n, 2] for n in range(500)), buffersize=50)) == [n * n for n in range(500)]
    assert list(pool.map(big, iter(range(0, 700_000, 7001)), buffersize=30)) == [
        big(n) for n in range(0, 700_000, 7001)
    ]


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("it stays here")


@pytest.mark.usefixtures("room")
def test_an_argument_that_cant_be_pickled_costs_its_item_alone(pool: ProcessPoolExecutor) -> None:
    items: list[Any] = [*range(1000), Unpicklable(), *range(10)]
    results, got = pool.map(repr, iter(items), buffersize=300), []
    with pytest.raises(TypeError, match="it stays here"):
        for result in results:
            got.append(result)
    assert got == [repr(n) for n in range(1000)]


@pytest.mark.usefixtures("room")
def test_after_a_shutdown_no_more_is_taken() -> None:
    pool, source = ProcessPoolExecutor(1), Source()
    results = pool.map(increase, source, buffersize=20)
    pool.shutdown(wait=True)
    assert source.taken == 20
    with pytest.raises(RuntimeError, match="after shutdown"):
        list(results)


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("make", [ProcessPoolExecutor.map, ProcessPoolExecutor.map_unordered])
def test_a_forgotten_pool_runs_what_was_taken_and_ends(make: Callable[..., Iterator[int]]) -> None:
    pool: ProcessPoolExecutor | None = ProcessPoolExecutor(1)
    assert pool is not None
    known, results = weakref.ref(pool), make(pool, increase, Source(), buffersize=30)
    del pool
    assert eventually(lambda: known() is None)
    assert sorted(results) == list(range(1, 31))
