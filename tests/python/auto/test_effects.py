"""What a function visibly changes, and so must not change in another process: told from its bytecode."""

from __future__ import annotations

import functools
import random
from re import sub

import pytest

from forkful.futures._effects import writes

TABLE = {"a": 1}
LOG: list[int] = []
BY_NAME: dict[str, list[int]] = {}
COUNT = 0


def reads_a_table(key):
    return TABLE[key]


def changes_a_local(n):
    found = []
    for i in range(n):
        found.append(i)
    table = {}
    table[n] = found
    return table


def sets_a_global():
    global COUNT
    COUNT = COUNT + 1


def appends_to_a_global(n):
    LOG.append(n)


def stores_into_a_global(n):
    TABLE[str(n)] = n


def counts_in_a_global(n):
    TABLE["a"] += n


def adds_to_its_argument(out, n):
    for i in range(n):
        out[i * 2] += i


def deletes_from_a_global(n):
    del TABLE[str(n)]


def fills_its_argument(out, n):
    for i in range(n):
        out[i] = i * 2


def appends_to_its_argument(out, n):
    out.append(n)


def sets_an_attribute(thing, n):
    thing.value = n


def reassigns_its_argument(items):
    items = list(items)
    items.append(1)
    items[0] = 2
    return items


def calls_one_that_changes(n):
    return appends_to_a_global(n)


def calls_one_that_fills(n):
    mine = [0] * n
    fills_its_argument(mine, n)
    return mine


def closure_that_appends():
    found = []

    def inner(n):
        found.append(n)

    return inner


def closure_that_counts():
    count = 0

    def inner():
        nonlocal count
        count += 1

    return inner


def closure_that_reads():
    factor = 3

    def inner(n):
        return factor * n

    return inner


def function_with_a_counter_inside(n):
    total = 0

    def add(k):
        nonlocal total
        total += k

    for i in range(n):
        add(i)
    return total


def replaces_a_global():
    LOG[:] = [1]


def fills_a_table_of_tables(grid, n):
    for i in range(n):
        for j in range(n):
            grid[i][j] = i * j


def appends_in_a_global_table(key, n):
    BY_NAME[key].append(n)


def appends_by_another_name(n):
    log = LOG
    log.append(n)


def appends_in_a_loop_inside(n):
    return [LOG.append(i) for i in range(n)]


def has_a_helper_that_fills_its_argument(out):
    def fill(n):
        out[n] = n

    fill(1)


def searches(n):
    memo, path = {}, []

    def walk(k):
        path.append(k)
        if k not in memo:
            memo[k] = walk(k - 1) if k else 0
        return memo[k]

    grid = [[0] * n for _ in range(n)]
    grid[0][0] += walk(n)
    rows = grid
    rows[0].append(1)
    return grid


def makes_an_object_and_changes_it(n):
    model = Model()
    model.calls = n
    model.weights.append(n)
    return model.train(n)


class Model:
    def __init__(self):
        self.weights = [1, 2]
        self.calls = 0

    def predict(self, x):
        return sum(x * w for w in self.weights)

    def learn(self, x):
        self.weights[0] += x

    def learn_by_another(self, x):
        return self.learn(x)

    def predict_by_another(self, x):
        return self.predict(x)

    def train(self, x):
        self.calls += 1
        return x

    def __call__(self, x):
        self.last = x


def uses_a_library_that_has_a_cache(text):
    return sub("a", "b", text)


@functools.lru_cache
def cached(n):
    return n


@pytest.mark.parametrize(
    "fn",
    [
        reads_a_table,
        changes_a_local,
        reassigns_its_argument,
        calls_one_that_fills,
        closure_that_reads(),
        function_with_a_counter_inside,
        Model().predict,
        Model().predict_by_another,
        searches,
        makes_an_object_and_changes_it,
        Model,
        functools.partial(pow, 2),
        cached,
        uses_a_library_that_has_a_cache,
        len,
        "abc".upper,
        lambda x: x,
    ],
)
def test_what_changes_nothing_may_go(fn):
    assert writes(fn) == ""


@pytest.mark.parametrize(
    ("fn", "word"),
    [
        (sets_a_global, "global COUNT"),
        (appends_to_a_global, "global LOG"),
        (stores_into_a_global, "global TABLE"),
        (deletes_from_a_global, "global TABLE"),
        (fills_its_argument, "argument out"),
        (counts_in_a_global, "global TABLE"),
        (adds_to_its_argument, "argument out"),
        (appends_to_its_argument, "argument out"),
        (sets_an_attribute, "argument thing"),
        (calls_one_that_changes, "global LOG (in appends_to_a_global"),
        (closure_that_appends(), "found of the function around"),
        (closure_that_counts(), "count of the function around"),
        (Model().train, "argument self"),
        (Model().learn, "argument self"),
        (Model().learn_by_another, "argument self (in learn, which it calls)"),
        (replaces_a_global, "global LOG"),
        (fills_a_table_of_tables, "argument grid"),
        (appends_in_a_global_table, "global BY_NAME"),
        (appends_by_another_name, "global LOG"),
        (appends_in_a_loop_inside, "global LOG"),
        (has_a_helper_that_fills_its_argument, "argument out"),
        (Model(), "argument self"),
        (functools.partial(appends_to_its_argument, []), "argument out"),
        ([].append, "the object"),
        (random.Random(1).random, "the object"),
    ],
)
def test_what_changes_something_is_named(fn, word):
    assert word in writes(fn)
