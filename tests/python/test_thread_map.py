"""`map` over threads: a few tasks run the items of many, and nobody can tell but by the time it takes."""

from __future__ import annotations

import gc
import operator
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest
from eventually import eventually
from source import Source
from subject import StdExecutor

from forkful import ThreadPoolExecutor

Make = Callable[..., ThreadPoolExecutor]


class Thing:
    """Something that can be watched disappearing."""


def fails_at(place: int) -> Callable[[int], int]:
    def call(x: int) -> int:
        if x == place:
            raise ValueError(x)
        return x

    return call


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 9, 1000, 50_000])
def test_results_come_in_order(make: Make, workers: int, count: int) -> None:
    pool, expected = make(workers), [-n for n in range(count)]
    for items in (range(count), list(range(count)), tuple(range(count)), iter(range(count))):
        assert list(pool.map(operator.neg, items)) == expected
    assert list(pool.map(operator.sub, range(count), range(0, 3 * count, 2))) == expected
    assert list(pool.starmap(operator.sub, ((n, 2 * n) for n in range(count)))) == expected
    assert sorted(pool.map_unordered(operator.neg, range(count)), reverse=True) == expected


def test_a_few_tasks_run_many_items_and_a_slow_item_is_a_task(make: Make) -> None:
    pool = make(2)
    assert sum(pool.map(operator.neg, range(100_000))) == -sum(range(100_000))
    assert eventually(lambda: pool.stats().done == pool.stats().submitted)
    assert pool.stats().submitted < 5000
    before = pool.stats().submitted
    list(pool.map(time.sleep, [0.003] * 20))
    assert eventually(lambda: pool.stats().done == pool.stats().submitted)
    assert 20 <= pool.stats().submitted - before <= 23
    with pytest.raises(ValueError):
        list(pool.map(fails_at(0), [0]))
    assert eventually(lambda: pool.stats().failed == 1)


def test_slow_items_run_at_the_same_time(make: Make) -> None:
    pool, meeting = make(3), threading.Barrier(3)
    assert sorted(pool.map(lambda _: meeting.wait(), range(3))) == [0, 1, 2]
    assert sorted(pool.map(lambda _: meeting.wait(), iter(range(30)))) == sorted([0, 1, 2] * 10)
    assert sorted(pool.map(lambda _: meeting.wait(), iter(range(30)), buffersize=3)) == sorted([0, 1, 2] * 10)


def test_items_begin_in_the_order_of_the_input(make: Make) -> None:
    begun: list[int] = []
    list(make(1).map(begun.append, range(20_000)))
    assert begun == list(range(20_000))


def test_a_slow_item_holds_up_only_itself(make: Make, gate: Any) -> None:
    pool, seen = make(2), []

    def step(x: int) -> None:
        if x == 0:
            gate.wait()
        seen.append(x)

    results = pool.map(step, range(5000))
    assert eventually(lambda: len(seen) == 4999)
    gate.set()
    assert len(list(results)) == 5000


def test_items_begin_while_the_input_is_still_taken(make: Make) -> None:
    begun = threading.Event()

    def give() -> Iterator[int]:
        yield 0
        assert begun.wait(60)
        yield 1

    def step(x: int) -> int:
        begun.set()
        return x

    assert list(make(1).map(step, give())) == [0, 1]
    begun.clear()
    assert list(make(1).map(step, give(), buffersize=5)) == [0, 1]


@pytest.mark.parametrize("seed", range(12))
def test_laziness_is_that_of_a_plain_model(make: Make, seed: int) -> None:
    """Steps at random: what was taken is always what was yielded and `buffersize` more; the results are those of `map`."""
    choose, pool = random.Random(seed), make(random.Random(seed).choice([1, 2, 4]))
    for _ in range(12):
        buffersize = choose.choice([1, 2, 3, 7, 50])
        count = choose.choice([0, 1, 2, buffersize, 3 * buffersize + 1, 500, None])
        fails, bad = choose.random() < 0.3, choose.choice([-1, -1, 0, 5, 100])
        source = Source(count, fails)
        limit = 10**9 if count is None else count
        if fails and limit < buffersize:
            with pytest.raises(KeyError, match="input"):
                pool.map(fails_at(bad), source, buffersize=buffersize)
            continue
        results = pool.map(fails_at(bad), source, buffersize=buffersize)
        assert source.taken == min(limit, buffersize)
        for yielded in range(choose.choice([0, 3, 700])):
            if fails and yielded < limit == buffersize + yielded:
                with pytest.raises(KeyError, match="input"):
                    next(results)
                assert list(results) == []
                break
            if yielded == bad < limit:
                with pytest.raises(ValueError) as caught:
                    next(results)
                assert caught.value.__notes__ == [f"item {bad} of map"]
                assert list(results) == []
                break
            if yielded == limit:
                assert next(results, None) is None
                break
            assert next(results) == yielded
            assert source.taken == min(limit, buffersize + yielded + 1)
        results.close()  # type: ignore[attr-defined]
        taken = source.taken
        pool.submit(int).result()
        assert source.taken == taken


def test_an_unread_map_runs_everything(make: Make) -> None:
    for read in (lambda results: None, lambda results: results.close(), lambda results: gc.collect()):
        pool, seen = make(2), []
        read(pool.map(seen.append, range(3000)))
        pool.shutdown()
        assert sorted(seen) == list(range(3000))


@pytest.mark.parametrize("how", ["close", "drop", "fail"])
def test_a_map_that_ends_early_begins_nothing_more(make: Make, gate: Any, how: str) -> None:
    pool, seen, second = make(1), [], threading.Event()

    def step(x: int) -> None:
        seen.append(x)
        if x == 1:
            second.set()
            gate.wait()
        if x == 0 and how == "fail":
            raise KeyError(x)

    results: Any = pool.map(step, range(10_000))
    second.wait()
    if how == "fail":
        with pytest.raises(KeyError):
            next(results)
    else:
        next(results)
        if how == "close":
            results.close()
        else:
            del results
            gc.collect()
    gate.set()
    pool.shutdown()
    assert seen == [0, 1]


def test_nothing_is_kept_of_what_was_yielded_nor_of_what_has_run(make: Make) -> None:
    pool, known = make(1), []

    def make_thing(item: Any) -> Thing:
        thing = Thing()
        known.append(weakref.ref(thing))
        return thing

    def inputs() -> Iterator[Thing]:
        for _ in range(50):
            item = Thing()
            known.append(weakref.ref(item))
            yield item
            del item

    for buffersize in (None, 4):
        for thing in pool.map(make_thing, inputs(), buffersize=buffersize):
            reference = weakref.ref(thing)
            del thing
            assert reference() is None
        assert eventually(lambda: all(reference() is None for reference in known))
        known.clear()
    pool.map(make_thing, inputs())
    assert eventually(lambda: len(known) == 100 and all(reference() is None for reference in known))


def test_a_map_in_a_cycle_is_collected(make: Make) -> None:
    pool, thing = make(1), Thing()
    thing.results = pool.map(partial(lambda known, x: (known, x), thing), range(10))  # type: ignore[attr-defined]
    known = weakref.ref(thing)
    pool.submit(int).result()
    del thing
    assert eventually(lambda: gc.collect() >= 0 and known() is None)


def test_a_timeout_ends_the_iterator_after_the_ready_results(make: Make, gate: Any) -> None:
    pool, seen = make(2), []

    def step(x: int) -> int:
        if x == 1:
            gate.wait()
        seen.append(x)
        return x

    results = pool.map(step, range(10), timeout=0.2)
    assert eventually(lambda: len(seen) == 9)
    time.sleep(0.2)
    assert next(results) == 0
    with pytest.raises(FutureTimeoutError):
        next(results)
    assert list(results) == []
    with pytest.raises(TypeError):
        pool.map(step, [1], timeout="soon")  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_whatever_an_item_raises_is_raised_at_its_place(make: Make, error: type[BaseException]) -> None:
    pool, seen = make(1), []

    def step(x: int) -> int:
        if x == 3:
            raise error
        seen.append(x)
        return x

    results = pool.map(step, range(100))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(error) as caught:
        next(results)
    assert caught.value.__notes__ == ["item 3 of map"]
    assert pool.submit(int).result() == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("options", [{}, {"buffersize": 3}, {"timeout": 60}])
def test_a_map_inside_a_map(make: Make, workers: int, options: dict[str, Any]) -> None:
    pool = make(workers)

    def inner(n: int) -> int:
        return sum(pool.map(operator.neg, range(n), **options))

    def outer(n: int) -> int:
        return sum(pool.map_unordered(inner, range(n), **options))

    expected = [sum(-sum(range(m)) for m in range(n)) for n in range(12)]
    assert list(pool.map(outer, range(12), **options)) == expected
    assert list(pool.map(outer, range(12))) == expected


def test_a_recursion_of_maps(make: Make) -> None:
    pool = make(1)

    def fib(n: int) -> int:
        return n if n < 2 else sum(pool.map(fib, [n - 1, n - 2]))

    assert fib(14) == 377

    def deep(n: int) -> int:
        return 0 if n == 0 else 1 + next(pool.map(deep, [n - 1]))

    assert deep(300) == 300


def test_a_map_goes_on_while_an_item_waits_for_another_task(make: Make) -> None:
    pool, opened = make(1), threading.Event()

    def step(x: int) -> bool:
        if x == 0:
            # Not run here, as there is a limit: another thread takes this one's place, for the map as well.
            return pool.submit(opened.wait).result(timeout=60)
        opened.set()
        return True

    assert list(pool.map(step, range(3))) == [True] * 3


def test_what_is_submitted_later_comes_later_but_for_a_smaller_priority(make: Make) -> None:
    pool, seen = make(1), []
    pool.map(seen.append, range(200_000))
    pool.submit(seen.append, "after").result()
    assert len(seen) == 200_001 and seen[-1] == "after"
    first = threading.Event()
    results = pool.map(lambda _: first.wait(0.001), range(5000))
    pool.with_options(priority=-1).submit(first.set).result()
    assert list(results)[-1] is True
    maps = [pool.map(operator.neg, range(200_000)) for _ in range(3)]
    assert [sum(results) for results in maps] == [-sum(range(200_000))] * 3


def test_a_submit_of_ones_own_sees_every_item(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(ThreadPoolExecutor):
        calls = 0

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            type(self).calls += 1
            return super().submit(fn, *args, **kwargs)

    with Counting(2) as counting:
        assert list(counting.map(operator.neg, range(100))) == [-n for n in range(100)]
    assert Counting.calls == 100
    pool, calls = make(1), []
    submit = StdExecutor.submit

    def traced(executor: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return submit(executor, fn, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(StdExecutor, "submit", traced)
        assert list(pool.map(operator.neg, range(10))) == [-n for n in range(10)]
    assert len(calls) == 10


def test_what_is_asked_per_task_is_given_per_item(make: Make) -> None:
    pool = make(2)
    named = pool.with_options(name="negation", priority=-1)
    assert list(named.map(operator.neg, range(100))) == [-n for n in range(100)]
    assert pool.stats().tasks["negation"].calls == 100
    variable: ContextVar[int] = ContextVar("variable", default=0)

    def step(_: int) -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    variable.set(5)
    assert list(make(2, propagate_context=True).map(step, range(100))) == [6] * 100
    bounded, source = make(1, max_pending=3), Source(100)
    assert list(bounded.map(operator.neg, source)) == [-n for n in range(100)]
    assert bounded.stats().submitted == 100


def test_one_reads_at_a_time(make: Make) -> None:
    pool = make(1)

    def give() -> Iterator[int]:
        yield 1
        yield next(results)

    results = pool.map(operator.neg, give(), buffersize=1)
    with pytest.raises(ValueError, match="being read"):
        next(results)


def test_many_maps_in_many_threads(make: Make) -> None:
    pool = make(4)
    outcome: list[bool] = []

    def work(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(40):
            count, buffersize = choose.choice([1, 5, 300, 3000]), choose.choice([None, None, 1, 10])
            results: Any = pool.map(operator.neg, range(count), buffersize=buffersize)
            if choose.random() < 0.3:
                next(results)
                results.close()
            elif choose.random() < 0.8:
                outcome.append(list(results) == [-n for n in range(count)])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcome and all(outcome)
    assert eventually(lambda: pool.stats().pending == 0)


def test_a_map_in_a_callback(make: Make) -> None:
    pool, got, done = make(1), [], threading.Event()

    def call(_: Any) -> None:
        got.extend(pool.map(operator.neg, range(100)))
        done.set()

    pool.submit(int).add_done_callback(call)
    assert done.wait(60)
    assert got == [-n for n in range(100)]
