"""Large buffers arrive as what they were: equal, of the same type, as writable as they were, and nobody else's."""

from __future__ import annotations

import array
import pickle
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from forkful import ProcessPoolExecutor

KB = 1 << 10
MB = 1 << 20
METHODS = ["fork", "zygote", "spawn"]


@pytest.fixture(scope="module", params=METHODS)
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, start_method=request.param) as executor:
        yield executor


def itself(value: Any) -> Any:
    return value


def both(first: Any, *, second: Any) -> Any:
    return second, first


def look(value: Any) -> tuple[str, bool, int]:
    view = memoryview(value)
    return type(value).__name__, view.readonly, view.nbytes


def fill(value: Any, byte: int) -> int:
    memoryview(value).cast("B")[:] = bytes([byte]) * memoryview(value).nbytes
    return byte


def made(count: int) -> Any:
    return np.arange(count, dtype=np.float64)


def checked(rows: Any) -> bool:
    return same(rows, numbers(len(rows)))


def numbers(count: int) -> list[Any]:
    return [np.full(60_000, place, dtype=np.float64) for place in range(count)]


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types, arrays included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return bool(
            one.dtype == other.dtype
            and one.shape == other.shape
            and one.flags.writeable == other.flags.writeable
            and (one == other).all()
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, memoryview):
        return (one.format, one.shape, one.readonly, one.tolist()) == (
            other.format,
            other.shape,
            other.readonly,
            other.tolist(),
        )
    return bool(one == other)


KINDS = {
    "bytes": bytes(range(256)) * 4 * KB,
    "bytearray": bytearray(b"ab") * MB,
    "str": "äx" * MB,
    "array": array.array("d", [1.5]) * 100_000,
    "view": memoryview(b"view" * 100_000),
    "writable view": memoryview(bytearray(400_000)),
    "view of ints": memoryview(array.array("i", range(200_000))).cast("B").cast("i", (2, 100_000)),
    "small view": memoryview(b"abc"),
    "floats": np.arange(100_000.0),
    "read-only": np.frombuffer(b"12345678" * 50_000, dtype=np.int64),
    "fortran": np.asfortranarray(np.arange(200_000.0).reshape(400, 500)),
    "structured": np.zeros(50_000, dtype=[("a", "i4"), ("b", "f8")]),
    "strided": np.arange(400_000.0)[::2],
    "objects": np.array([None, "text", 7] * 50_000, dtype=object),
    "strings": np.array(["text", "longer text"] * 20_000),
    "empty": np.zeros((0, 5)),
    "scalar": np.float64(3),
    "long list": list(range(300_000)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_as_it_was(pool: ProcessPoolExecutor, kind: str) -> None:
    value = KINDS[kind]
    back = pool.submit(itself, value).result()
    assert same(back, value)
    if isinstance(value, np.ndarray):
        contiguous = value.flags.c_contiguous, value.flags.f_contiguous
        assert kind == "strided" or (back.flags.c_contiguous, back.flags.f_contiguous) == contiguous
    second, first = pool.submit(both, value, second=[value]).result()
    assert same(first, value) and same(second, [value])


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "array", "view", "writable view", "floats", "read-only"])
def test_a_task_may_write_where_its_sender_could(pool: ProcessPoolExecutor, kind: str) -> None:
    value = KINDS[kind]
    assert pool.submit(look, value).result() == (
        type(value).__name__,
        memoryview(value).readonly,
        memoryview(value).nbytes,
    )
    if not memoryview(value).readonly:
        before = bytes(memoryview(value).cast("B"))
        assert pool.submit(fill, value, 7).result() == 7
        assert bytes(memoryview(value).cast("B")) == before, "what a task writes is its own"


def test_a_result_is_its_reader_s_own(pool: ProcessPoolExecutor) -> None:
    one, two = (pool.submit(made, 100_000).result() for _ in range(2))
    one[:] = 5
    assert (two == np.arange(100_000)).all()
    third = pool.submit(made, 100_000).result()
    assert (third == np.arange(100_000)).all() and (one == 5).all()


def test_the_same_object_twice_is_one_object_there(pool: ProcessPoolExecutor) -> None:
    value = made(100_000)
    one, two = pool.submit(itself, (value, value)).result()
    assert one is two
    a, b = pool.submit(itself, [value[:60_000], value[50_000:]]).result()
    a[:] = 1
    assert b[0] == 50_000, "two that overlap were sent, and each has a copy"


@pytest.mark.parametrize(
    "sizes",
    [
        [KB],
        [63 * KB, 64 * KB, 65 * KB],
        [127 * KB, 128 * KB],
        [255 * KB, 256 * KB, 257 * KB],
        [MB, 100, 3 * MB, 256 * KB],
    ],
)
def test_sizes_around_the_crossover(pool: ProcessPoolExecutor, sizes: list[int]) -> None:
    for make in (bytes, bytearray, lambda size: np.zeros(size, dtype=np.uint8), lambda size: "x" * size):
        value = [make(size) for size in sizes]
        assert same(pool.submit(itself, value).result(), value)
        value = [make(size - 1) for size in sizes]
        assert same(pool.submit(itself, value).result(), value)


def anything(chance: random.Random, depth: int = 0) -> Any:
    """A random structure with buffers of all kinds and sizes in it."""
    size = chance.choice([0, 1, 100, 64 * KB - 1, 64 * KB, 70 * KB, 256 * KB - 1, 256 * KB, 700 * KB])
    kinds: list[Any] = [
        lambda: chance.randbytes(size),
        lambda: bytearray(chance.randbytes(size)),
        lambda: array.array("i", range(size // 4)),
        lambda: np.frombuffer(chance.randbytes(size // 8 * 8), dtype=np.int64).copy(),
        lambda: np.frombuffer(chance.randbytes(size // 8 * 8), dtype=np.int64),
        lambda: chance.choice("äxyz") * size,
        lambda: memoryview(bytearray(chance.randbytes(size))),
        lambda: chance.random(),
        lambda: None,
    ]
    if depth < 3:
        kinds += [
            lambda: [anything(chance, depth + 1) for _ in range(chance.randrange(4))],
            lambda: tuple(anything(chance, depth + 1) for _ in range(chance.randrange(4))),
            lambda: {key: anything(chance, depth + 1) for key in range(chance.randrange(4))},
        ]
    return chance.choice(kinds)()


@pytest.mark.parametrize("seed", range(6))
def test_random_structures_arrive_equal_writable_and_private(pool: ProcessPoolExecutor, seed: int) -> None:
    chance = random.Random(seed)
    values = [anything(chance) for _ in range(30)]
    # A view can't be pickled, to be compared with later.
    kept = None if any(map(has_view, values)) else pickle.dumps(values, 5)
    futures = [pool.submit(itself, value) for value in values]
    for value, future in zip(values, futures, strict=True):
        back = future.result()
        assert same(back, value)
        spoil(back)
    if kept is not None:
        assert same(pickle.loads(kept), values), "what comes back is not what was sent"
    results = list(pool.map(itself, values))
    assert same(results, values)


def has_view(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(has_view, value))
    return any(map(has_view, value.values())) if isinstance(value, dict) else isinstance(value, memoryview)


def spoil(value: Any) -> None:
    """Writes over whatever can be written."""
    if isinstance(value, (list, tuple)):
        for item in value:
            spoil(item)
    elif isinstance(value, dict):
        spoil(list(value.values()))
    elif isinstance(value, (bytearray, memoryview, np.ndarray, array.array)):
        view = memoryview(value)
        if not view.readonly and view.nbytes and view.contiguous:
            view.cast("B")[:] = bytes([255]) * view.nbytes


def test_a_change_after_submit_is_not_seen_where_arguments_are_copied() -> None:
    with ProcessPoolExecutor(1, copy=True) as executor:
        value, text = np.ones(100_000), bytearray(b"a" * MB)
        futures = []
        for _ in range(20):
            futures.append(executor.submit(itself, (value, text)))
            value += 1
            text[:] = bytes([text[0] + 1]) * MB
        for nth, future in enumerate(futures):
            array_then, text_then = future.result()
            assert (array_then == nth + 1).all() and text_then == bytes([ord("a") + nth]) * MB


def test_maps_and_initializers_take_large_ones_too() -> None:
    rows = numbers(12)
    with ProcessPoolExecutor(2, initializer=remember, initargs=(rows,)) as executor:
        assert all(executor.map(checked, [rows[:count] for count in range(1, 12)]))
        assert same(list(executor.map(itself, rows)), rows)
        assert same(sorted(executor.map_unordered(first_of, rows)), list(range(12)))
        assert executor.submit(recall, 3).result()


def first_of(row: Any) -> int:
    return int(row[0])


def remember(rows: Any) -> None:
    global remembered
    remembered = rows


def recall(place: int) -> bool:
    return bool((remembered[place] == place).all())


remembered: Any = None


# A busy machine touches so many pages in minutes.
@pytest.mark.timeout(600)
def test_more_than_four_gigabytes() -> None:
    size = (4 << 30) + 5
    try:
        value = np.zeros(size, dtype=np.uint8)
    except MemoryError:
        pytest.skip("there is no memory for it")
    with open("/proc/meminfo") as file:
        available = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    if available < 3 * size:
        pytest.skip("there is too little memory for it")
    value[0], value[-1] = 1, 2
    with ProcessPoolExecutor(1) as executor:
        assert executor.submit(ends, value).result() == (size, 1, 2)


def ends(value: Any) -> tuple[int, int, int]:
    return len(value), int(value[0]), int(value[-1])


def test_pandas_frames() -> None:
    pandas = pytest.importorskip("pandas")
    with ProcessPoolExecutor(1) as executor:
        frame = pandas.DataFrame({"a": np.arange(100_000.0), "b": np.arange(100_000), "c": ["x"] * 100_000})
        back = executor.submit(itself, frame).result()
        assert back.equals(frame) and executor.submit(itself, frame["a"]).result().equals(frame["a"])
        back.loc[:, "a"] = 0.0
        assert frame["a"].sum() > 0
        made_there = executor.submit(framed, 200_000).result()
        assert (made_there["a"] == 2).all() and executor.stats().buffers.copied > 0


def framed(count: int) -> Any:
    import pandas

    return pandas.DataFrame({"a": np.full(count, 2.0), "b": np.ones(count)})


def test_pyarrow_tables() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    with ProcessPoolExecutor(1) as executor:
        table = pyarrow.table({"a": np.arange(100_000.0), "b": ["text"] * 100_000})
        assert executor.submit(itself, table).result().equals(table)
        assert executor.submit(doubled, table).result()["a"][1].as_py() == 2


def doubled(table: Any) -> Any:
    import pyarrow.compute

    return table.set_column(0, "a", pyarrow.compute.multiply(table["a"], 2.0))
