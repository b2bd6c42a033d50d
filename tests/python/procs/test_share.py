"""What `forkful.share` gives: the same object everywhere, read-only, and its memory once."""

from __future__ import annotations

import copy
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from child import run_clean
from eventually import eventually
from holders import inode_of, open_fds

import forkful
from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]
LARGE = 4_000_000


@dataclass
class Table:
    """Buffers within an object of a class of its own."""

    name: str
    rows: np.ndarray[Any, Any]
    index: dict[str, np.ndarray[Any, Any]]


class Plain:
    """Holds whatever it is given."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing


@pytest.fixture(params=METHODS)
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, start_method=request.param) as pool:
        yield pool


def value_of(shared: Any) -> Any:
    return shared.value


def total(shared: Any, start: int) -> float:
    return float(shared.value[start:].sum())


def write(shared: Any) -> None:
    shared.value[0] = 1


def where(shared: Any, gate: str) -> tuple[int, int, bool]:
    """Waits for another worker, so that both take part."""
    shared.value.sum()
    with open(gate, "ab", 0) as file:
        file.write(b"x")
    while os.path.getsize(gate) < 2:
        os.sched_yield()
    return os.getpid(), inode_of(shared.value), shared.value.flags.writeable


def grown(shared: Any) -> int:
    """By how many bytes this process's own memory has grown when it had read all of an array."""
    before = private()
    assert float(shared.value.sum()) == LARGE
    return private() - before


def private() -> int:
    with open("/proc/self/smaps_rollup") as file:
        parts = (line.split() for line in file)
        return 1024 * sum(int(part[1]) for part in parts if part[0] in ("Private_Dirty:", "Anonymous:"))


def is_one(one: Any, other: Any, whole: list[Any]) -> bool:
    return one.value is other.value is whole[0].value


def same_again(shared: Any, before: int) -> int:
    if before:
        assert id(shared.value) == before
    globals()["KEPT"] = shared.value
    return id(shared.value)


def test_a_worker_and_the_parent_read_the_same_values(pool: ProcessPoolExecutor) -> None:
    array = np.arange(10_000.0)
    shared = forkful.share(array)
    assert (shared.value == array).all()
    assert [pool.submit(total, shared, start).result(60) for start in range(5)] == [array[n:].sum() for n in range(5)]


def test_nobody_can_write_to_it(pool: ProcessPoolExecutor) -> None:
    array = np.zeros(100)
    shared = forkful.share(array)
    with pytest.raises(ValueError, match="assignment destination is read-only"):
        pool.submit(write, shared).result(60)
    with pytest.raises(ValueError, match="assignment destination is read-only"):
        write(shared)
    with pytest.raises(ValueError, match="WRITEABLE"):
        shared.value.flags.writeable = True
    array[0] = 7  # the caller's own is as it was
    assert shared.value[0] == 0


def test_its_memory_is_there_once(pool: ProcessPoolExecutor, tmp_path: Any) -> None:
    shared = forkful.share(np.ones(LARGE))
    seen = [pool.submit(where, shared, str(tmp_path / "gate")) for _ in range(2)]
    workers = [one.result(60) for one in seen]
    assert len({pid for pid, _, _ in workers}) == 2
    here = inode_of(shared.value)
    assert here
    assert [rest for _, *rest in workers] == [[here, False]] * 2
    assert pool.submit(grown, shared).result(60) < LARGE


def test_every_task_of_a_worker_has_the_same_object(pool: ProcessPoolExecutor) -> None:
    with ProcessPoolExecutor(1) as single:
        shared = forkful.share({"rows": np.ones(10)})
        assert single.submit(is_one, shared, copy.copy(shared), [shared]).result(60)
        first = single.submit(same_again, shared, 0).result(60)
        assert single.submit(same_again, shared, first).result(60) == first


@pytest.mark.parametrize(
    "thing",
    [
        None,
        17,
        "text",
        b"bytes" * 1000,
        bytearray(b"array"),
        [1, 2, {"three": 4.0}],
        np.arange(0),
        np.float64(3.5),
        np.array(7),
        np.array(["a", "b"]),
        np.array([1, "two", None], dtype=object),
        np.arange(24).reshape(2, 3, 4).transpose(),
    ],
    ids=repr,
)
def test_anything_that_pickles(thing: Any) -> None:
    shared = forkful.share(thing)
    with ProcessPoolExecutor(1) as pool:
        for value in (shared.value, pool.submit(value_of, shared).result(60)):
            assert type(value) is type(thing)
            assert np.array_equal(value, thing) if isinstance(thing, np.ndarray) else value == thing


def test_buffers_within_an_object_are_views_too(pool: ProcessPoolExecutor) -> None:
    shared = forkful.share(Table("t", np.ones((100, 3)), {"x": np.arange(1000)}))
    inode = inode_of(shared.value.rows)
    assert inode
    assert inode == inode_of(shared.value.index["x"])
    assert shared.value.rows.ctypes.data % 64 == 0
    assert not shared.value.index["x"].flags.writeable
    table = pool.submit(value_of, shared).result(60)
    assert (table.name, table.rows.sum(), table.index["x"][-1]) == ("t", 300, 999)


def test_what_is_not_contiguous_is_shared_all_the_same() -> None:
    shared = forkful.share(np.arange(1000).reshape(10, 100)[::2, ::3])
    assert inode_of(shared.value)
    assert shared.value[1, 1] == 203


def test_bytes_are_a_copy_of_their_reader() -> None:
    shared = forkful.share(b"x" * 100_000)
    assert shared.value is shared.value
    assert shared.nbytes >= 100_000


def test_what_cannot_be_pickled_is_refused_at_once() -> None:
    before = open_fds()
    with pytest.raises(TypeError, match="cannot pickle"):
        forkful.share([threading.Lock()])
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TypeError, match="can't be part of a shared object"):
        forkful.share(Plain(ours))
    shared = forkful.share(1)
    with pytest.raises(TypeError, match="can't be part of a shared object"):
        forkful.share([shared])
    del shared
    # Of what earlier tests have left, some may go meanwhile.
    assert eventually(lambda: open_fds() <= before)


def test_handles_are_equal_where_they_mean_the_same() -> None:
    shared, other = forkful.share([1]), forkful.share([1])
    again = forkful.share(shared)
    assert again == shared
    assert hash(again) == hash(shared)
    assert again.value is shared.value
    assert copy.deepcopy(shared) == shared
    assert shared != other
    assert shared != 1
    assert "bytes" in repr(shared)


def test_the_end_of_a_with_closes_this_handle(pool: ProcessPoolExecutor) -> None:
    with forkful.share(np.ones(1000)) as shared:
        array = shared.value
        waiting = pool.submit(total, shared, 0)
        assert not shared.closed
    assert shared.closed
    with pytest.raises(ValueError, match="closed"):
        _ = shared.value
    with pytest.raises(ValueError, match="closed"):
        pool.submit(total, shared, 0).result(60)
    with pytest.raises(ValueError, match="closed"), shared:
        pass
    assert array.sum() == 1000
    assert waiting.result(60) == 1000
    assert "closed" in repr(shared)
    shared.close()


def test_a_worker_that_closes_its_handle_has_it_again(pool: ProcessPoolExecutor) -> None:
    shared = forkful.share(np.ones(10))
    assert [pool.submit(close, shared).result(60) for _ in range(5)] == [10] * 5
    assert shared.value.sum() == 10


def close(shared: Any) -> float:
    with shared:
        return float(shared.value.sum())


def test_many_threads_see_one_object() -> None:
    shared = forkful.share(np.arange(1000))
    seen: list[Any] = []
    threads = [threading.Thread(target=lambda: seen.append(shared.value)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(value) for value in seen}) == 1


def test_a_limit_that_is_too_low_is_named() -> None:
    run_clean(
        """
        import resource
        import forkful

        def refused(make):
            try:
                make()
            except OSError as error:
                return str(error)

        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, -1))
        said = refused(lambda: forkful.share(bytes(1 << 20)))
        assert "can't be shared" in said and "RLIMIT_FSIZE" in said, said
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        several = []
        said = refused(lambda: [several.append(forkful.share(number)) for number in range(100)])
        assert "can't be shared" in said and "RLIMIT_NOFILE" in said, said
        assert [shared.value for shared in several] == list(range(len(several)))
        """
    )
