"""`multiprocessing.pool`: what `Pool` of each start method and `ThreadPool` promise alike.

``FORKFUL_TEST_REFERENCE=1`` runs it over the standard library's.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool as standard
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import subject
from eventually import eventually

if subject.REFERENCE:
    import multiprocessing.pool as pools
else:
    import forkful.multiprocessing.pool as pools  # type: ignore[no-redef]

KINDS = ["fork", "forkserver", "spawn", "threads"]
ours_only = pytest.mark.skipif(subject.REFERENCE, reason="the standard library hangs here, or has no such thing")


def square(x: int) -> int:
    return x * x


def add(x: int, y: int = 100) -> int:
    return x + y


def identity(x: Any) -> Any:
    return x


def await_file(path: Path) -> str:
    assert eventually(path.exists)
    return path.name


def fail(x: Any) -> None:
    raise KeyError(x)


def fail_at_three(x: int) -> int:
    if x == 3:
        raise ValueError("three")
    return x


def throwing(total: int, at: int) -> Iterator[int]:
    for number in range(total):
        if number == at:
            raise LookupError("said when")
        yield number


class Unpicklable:
    """Can't be sent."""

    def __reduce__(self) -> Any:
        raise RuntimeError("not to be pickled")


class Lazy:
    """Has a length, and may raise when it is read."""

    def __init__(self, length: int, at: int) -> None:
        self.length, self.at = length, at

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        return throwing(self.length, self.at)


def make_pool(kind: str, *args: Any, **kwargs: Any) -> Any:
    if kind == "threads":
        return pools.ThreadPool(*args, **kwargs)
    return pools.Pool(*args, context=multiprocessing.get_context(kind), **kwargs)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:  # type: ignore[override]
    """Processes of each start method, and threads."""
    return str(request.param)


@pytest.fixture(scope="module", params=KINDS)
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Two workers, the same ones for all tests of this file that break nothing."""
    with make_pool(request.param, 2) as made:
        made.kind = request.param
        yield made
    made.join()


@pytest.fixture
def build(kind: str) -> Iterator[Callable[..., Any]]:
    """Makes pools of this kind that are terminated with the test."""
    made: list[Any] = []

    def build(*args: Any, **kwargs: Any) -> Any:
        made.append(make_pool(kind, *args, **kwargs))
        return made[-1]

    yield build
    for one in made:
        one.terminate()
        one.join()


# --- apply ---


def test_a_call_is_made_with_its_arguments(pool: Any) -> None:
    assert pool.apply(add, (5,)) == 105
    assert pool.apply(add, (5,), {"y": 2}) == 7
    assert pool.apply(add, [1, 2]) == 3
    assert pool.apply(add, kwds={"x": 1, "y": 1}) == 2


def test_a_result_tells_its_state(pool: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    result = pool.apply_async(await_file, (gate,))
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(timeout=0.01)
    gate.touch()
    assert result.get(60) == "gate"
    assert result.ready() and result.successful()
    assert result.get() == result.get(0) == "gate"
    wrong = pool.apply_async(fail, (1,))
    wrong.wait()
    assert wrong.ready() and not wrong.successful()
    for _ in range(2):
        with pytest.raises(KeyError):
            wrong.get()


def test_waiting_for_a_result_ends_with_its_time(pool: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    result = pool.apply_async(await_file, (gate,))
    result.wait(0.01)
    assert not result.ready()
    gate.touch()
    result.wait(60)
    assert result.ready()


def test_a_timeout_that_a_task_has_raised_is_its_own(pool: Any) -> None:
    with pytest.raises(TimeoutError, match="mine"):
        pool.apply_async(raise_timeout).get(60)


def raise_timeout() -> None:
    raise TimeoutError("mine")


def test_what_is_no_call_is_an_error_of_its_result(pool: Any) -> None:
    with pytest.raises(TypeError):
        pool.apply_async(5, (1,)).get(60)
    with pytest.raises(TypeError):
        pool.apply_async(square, 5).get(60)
    with pytest.raises(TypeError):
        pool.apply_async(square, (1, 2)).get(60)


def test_an_exception_brings_the_traceback_of_its_process(pool: Any) -> None:
    with pytest.raises(KeyError) as caught:
        pool.apply(fail, ("key",))
    assert caught.value.args == ("key",)
    cause = caught.value.__cause__
    if pool.kind == "threads":
        assert cause is None
    else:
        assert type(cause) is pools.RemoteTraceback
        assert "raise KeyError(x)" in cause.tb
        assert cause.tb.startswith('\n"""\n')


def test_arguments_that_cannot_be_sent_are_an_error_of_their_job(pool: Any) -> None:
    if pool.kind == "threads":
        pytest.skip("threads send nothing")
    with pytest.raises(RuntimeError, match="not to be pickled"):
        pool.apply_async(identity, (Unpicklable(),)).get(60)
    with pytest.raises(RuntimeError, match="not to be pickled"):
        pool.map_async(identity, [1, Unpicklable(), 3]).get(60)
    results = pool.imap(identity, [1, Unpicklable(), 3])
    assert next(results) == 1
    with pytest.raises(RuntimeError, match="not to be pickled"):
        next(results)
    assert next(results) == 3
    assert pool.apply(square, (3,)) == 9


def test_a_result_that_cannot_be_sent_says_which_one_it_was(pool: Any) -> None:
    if pool.kind == "threads":
        pytest.skip("threads send nothing")
    got: list[Any] = []
    result = pool.apply_async(threading.Lock, error_callback=got.append)
    with pytest.raises(pools.MaybeEncodingError, match=r"Error sending result: '<unlocked _thread\.lock") as caught:
        result.get(60)
    assert "cannot pickle" in caught.value.exc and "lock" in caught.value.value
    assert repr(caught.value).startswith("<MaybeEncodingError: Error sending")
    assert isinstance(got[0], pools.MaybeEncodingError)
    assert pool.apply(square, (3,)) == 9


# --- map ---


@pytest.mark.parametrize("chunksize", [None, 1, 3, 20, 1000])
@pytest.mark.parametrize("length", [0, 1, 2, 9, 100])
def test_a_map_gives_all_results_in_order(pool: Any, length: int, chunksize: int | None) -> None:
    expected = [x * x for x in range(length)]
    assert pool.map(square, range(length), chunksize) == expected
    assert pool.map(square, list(range(length)), chunksize) == expected
    assert pool.map(square, (x for x in range(length)), chunksize) == expected
    pairs = [(x, 2) for x in range(length)]
    assert pool.starmap(pow, pairs, chunksize) == expected
    assert pool.starmap(pow, (list(pair) for pair in pairs), chunksize) == expected
    assert pool.map_async(square, tuple(range(length)), chunksize).get(60) == expected
    assert pool.starmap_async(pow, pairs, chunksize).get(60) == expected


def test_a_map_takes_whatever_can_be_read(pool: Any) -> None:
    assert pool.map(identity, "abc") == ["a", "b", "c"]
    assert pool.map(identity, {1: 2, 3: 4}) == [1, 3]
    assert pool.map(identity, b"ab") == [97, 98]
    assert pool.map(square, Lazy(5, -1)) == [0, 1, 4, 9, 16]
    with pytest.raises(TypeError):
        pool.map(square, 5)


def test_a_map_cuts_its_input_as_the_standard_library_does(pool: Any) -> None:
    for length in (1, 8, 9, 16, 17, 100):
        theirs, extra = divmod(length, 2 * 4)
        assert pool.map_async(square, range(length))._chunksize == theirs + bool(extra)
    assert pool.map_async(square, [])._chunksize == 0


def test_a_chunk_runs_in_one_worker(pool: Any) -> None:
    seen = pool.map(where, range(20), chunksize=5)
    assert all(len(set(seen[at : at + 5])) == 1 for at in range(0, 20, 5))


def where(_: Any) -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def test_an_input_that_raises_ends_its_map(pool: Any) -> None:
    for iterable in (throwing(1, 0), throwing(10, 3), throwing(100, 99)):
        with pytest.raises(LookupError, match="said when") as caught:
            pool.map(square, iterable, 1)
        assert caught.value.__cause__ is None


@ours_only
def test_an_input_with_a_length_that_raises_ends_its_map(pool: Any) -> None:
    # The standard library waits for the chunks that never come.
    for chunksize in (None, 1, 2):
        with pytest.raises(LookupError, match="said when"):
            pool.map_async(square, Lazy(10, 3), chunksize).get(60)


def test_a_map_waits_for_all_its_calls(pool: Any, tmp_path: Path) -> None:
    mapped, waited = tmp_path / "mapped", tmp_path / "waited"
    with pytest.raises(KeyError):
        pool.map(fail_or_nap, [None, mapped], chunksize=1)
    assert mapped.exists()
    result = pool.map_async(fail_or_nap, [None, waited], chunksize=1)
    result.wait()
    assert waited.exists() and result.ready() and not result.successful()


def fail_or_nap(path: Path | None) -> None:
    if path is None:
        raise KeyError(path)
    time.sleep(0.3)
    path.touch()


def test_a_map_tells_how_much_is_left(pool: Any, tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    begun.touch()
    result = pool.map_async(await_file, [begun, *[gate] * 5], chunksize=1)
    assert 5 <= result._number_left <= 6
    gate.touch()
    assert result.get(60) == ["begun", *["gate"] * 5]
    assert result._number_left == 0


@ours_only
@pytest.mark.parametrize("chunksize", [0, -1])
def test_a_chunk_has_an_item_at_least(pool: Any, chunksize: int) -> None:
    with pytest.raises(ValueError, match="Chunksize must be 1"):
        pool.map(square, [1, 2], chunksize)


# --- imap ---


@pytest.mark.parametrize("chunksize", [1, 2, 7, 500])
@pytest.mark.parametrize("length", [0, 1, 10, 3000])
def test_an_imap_gives_all_results(pool: Any, length: int, chunksize: int) -> None:
    expected = [x * x for x in range(length)]
    for source in (range(length), list(range(length)), iter(range(length))):
        assert list(pool.imap(square, source, chunksize)) == expected
    for source in (range(length), tuple(range(length)), iter(range(length))):
        assert sorted(pool.imap_unordered(square, source, chunksize)) == expected


@pytest.mark.parametrize("chunksize", [1, 2])
@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_an_imap_is_over_when_it_is_over(pool: Any, name: str, chunksize: int) -> None:
    results = getattr(pool, name)(square, range(5), chunksize)
    assert iter(results) is results
    assert sorted(next(results) for _ in range(5)) == [0, 1, 4, 9, 16]
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(results)


@pytest.mark.parametrize("chunksize", [0, -1])
@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_an_imap_has_an_item_in_each_chunk(pool: Any, name: str, chunksize: int) -> None:
    with pytest.raises(ValueError, match="Chunksize must be 1"):
        getattr(pool, name)(square, [1], chunksize)


def test_an_error_stands_in_the_place_of_its_item(pool: Any) -> None:
    results = pool.imap(fail_at_three, range(6))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert list(results) == [4, 5]
    unordered = pool.imap_unordered(fail_at_three, range(6))
    got, errors = [], 0
    while True:
        try:
            got.append(next(unordered))
        except ValueError:
            errors += 1
        except StopIteration:
            break
    assert (sorted(got), errors) == ([0, 1, 2, 4, 5], 1)


def test_an_input_that_raises_shows_in_its_place(pool: Any) -> None:
    results = pool.imap(square, throwing(10, 3))
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(LookupError, match="said when"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    # The chunk that it cuts short is lost.
    for chunksize, whole in ((2, 6), (4, 4)):
        results = pool.imap(square, throwing(20, 7), chunksize)
        assert [next(results) for _ in range(whole)] == [x * x for x in range(whole)]
        with pytest.raises(LookupError):
            next(results)
    with pytest.raises(LookupError):
        list(pool.imap_unordered(square, throwing(20, 7), 2))
    with pytest.raises(TypeError):
        next(pool.imap(square, 5))


def test_the_next_result_may_be_waited_for(pool: Any, tmp_path: Path) -> None:
    for name in ("imap", "imap_unordered"):
        gate = tmp_path / name
        results = getattr(pool, name)(await_file, [gate, gate])
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(timeout=0.01)
        gate.touch()
        assert results.next(timeout=60) == name
        assert results.next(60) == name
        with pytest.raises(StopIteration):
            results.next(timeout=60)


def test_the_next_input_may_be_waited_for(pool: Any) -> None:
    opened = threading.Event()

    def later() -> Iterator[int]:
        yield 1
        opened.wait(60)
        yield 2

    for name in ("imap", "imap_unordered"):
        opened.clear()
        results = getattr(pool, name)(square, later())
        assert results.next(60) == 1
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(timeout=0.01)
        opened.set()
        assert results.next(60) == 4
        with pytest.raises(StopIteration):
            results.next(60)


def test_results_come_unordered_as_they_are_done(pool: Any, tmp_path: Path) -> None:
    late, soon = tmp_path / "late", tmp_path / "soon"
    soon.touch()
    results = pool.imap_unordered(await_file, [late, soon, soon])
    assert [results.next(60), results.next(60)] == ["soon", "soon"]
    late.touch()
    assert list(results) == ["late"]


def test_an_input_is_read_while_nobody_takes_results(pool: Any) -> None:
    seen: list[int] = []

    def source() -> Iterator[int]:
        for number in range(50):
            seen.append(number)
            yield number

    results = pool.imap(square, source())
    assert eventually(lambda: len(seen) == 50)
    assert list(results) == [x * x for x in range(50)]


@ours_only
def test_an_endless_input_is_read_only_so_far(pool: Any, tmp_path: Path) -> None:
    read, begun, gate = 0, tmp_path / "begun", tmp_path / "gate"
    begun.touch()

    def source() -> Iterator[Path]:
        nonlocal read
        while True:
            read += 1
            yield begun if read <= 4 else gate

    def reads_no_more() -> bool:
        before = read
        time.sleep(0.1)
        return read == before

    with make_pool(pool.kind, 2) as one:
        results = one.imap(await_file, source())
        try:
            assert [next(results) for _ in range(4)] == ["begun"] * 4
            assert eventually(reads_no_more)
            # A few for each process under way and ahead; the standard library's pipe takes thousands, and its threads all.
            assert read < (400 if pool.kind == "threads" else 50)
        finally:
            gate.touch()


def wait_or_open(item: tuple[int, str]) -> int:
    number, path = item
    if number == 299:
        with open(path, "w"):
            pass
    assert number != 0 or eventually(lambda: os.path.exists(path))
    return number


def test_a_slow_call_keeps_no_worker_from_the_others(pool: Any, tmp_path: Any) -> None:
    for name in ("imap", "imap_unordered"):
        path = str(tmp_path / name)
        results = getattr(pool, name)(wait_or_open, ((number, path) for number in range(300)))
        assert sorted(results) == list(range(300))


@ours_only
def test_two_inputs_are_read_at_a_time(pool: Any) -> None:
    # The standard library reads the second one when the first has ended.
    opened = threading.Event()

    def first() -> Iterator[int]:
        opened.wait(60)
        yield 1

    def second() -> Iterator[int]:
        opened.set()
        yield 2

    results = pool.imap(square, first())
    assert list(pool.imap(square, second())) == [4]
    assert list(results) == [1]


@ours_only
@pytest.mark.parametrize("chunksize", [1, 3])
@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_a_buffer_bounds_what_is_read(pool: Any, name: str, chunksize: int) -> None:
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    results = getattr(pool, name)(square, source(), chunksize, buffersize=2)
    assert read == 2 * chunksize
    got = [next(results) for _ in range(9)]
    assert len(got) == 9 and read <= (9 // chunksize + 3) * chunksize
    assert sorted(getattr(pool, name)(square, range(10), chunksize, buffersize=2)) == [x * x for x in range(10)]
    for wrong, error in ((0, ValueError), (-1, ValueError), ("1", TypeError)):
        with pytest.raises(error):
            getattr(pool, name)(square, [], chunksize, buffersize=wrong)
    results = getattr(pool, name)(square, throwing(10, 3), buffersize=2)
    with pytest.raises(LookupError):
        list(results)


@ours_only
def test_an_iterator_may_be_read_by_several_threads(pool: Any) -> None:
    results = pool.imap_unordered(square, range(2000))
    got: list[int] = []

    def read() -> None:
        for value in results:
            got.append(value)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert sorted(got) == [x * x for x in range(2000)]


# --- callbacks ---


def test_callbacks_are_made_before_a_result_is_ready(pool: Any) -> None:
    got: list[Any] = []
    for call, args, expected in (
        (pool.apply_async, (square, (3,)), 9),
        (pool.map_async, (int, ["1"]), [1]),
        (pool.starmap_async, (pow, [(2, 3)]), [8]),
    ):
        call(*args, callback=got.append, error_callback=got.append).wait()
        assert got.pop() == expected and not got
    pool.apply_async(fail, ("x",), callback=got.append, error_callback=got.append).wait()
    assert isinstance(got.pop(), KeyError) and not got
    result = pool.map_async(fail, ["x", "y"], 1, got.append, got.append)
    with pytest.raises(KeyError):
        result.get(60)
    assert isinstance(got.pop(), KeyError) and not got


def test_callbacks_run_one_by_one_in_a_thread_of_their_own(pool: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    inside = 0

    def note(value: int) -> None:
        nonlocal inside
        inside += 1
        time.sleep(0.0005)
        seen.append((threading.get_ident(), inside))
        inside -= 1

    # One is expected all the time: the thread leaves a while after the last one.
    gate = tmp_path / "gate"
    results = [pool.apply_async(await_file, (gate,), callback=note)]
    results += [pool.apply_async(identity, (number,), callback=note) for number in range(50)]
    gate.touch()
    for result in results:
        result.wait()
    assert len({thread for thread, _ in seen}) == 1
    assert threading.get_ident() != seen[0][0]
    assert {depth for _, depth in seen} == {1}


def test_a_callback_may_submit(pool: Any) -> None:
    got: list[Any] = []
    again: list[Any] = []
    pool.apply_async(square, (2,), callback=lambda value: again.append(pool.apply_async(square, (value,)))).wait()
    got.append(again[0].get(60))
    assert got == [16]


@ours_only
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_raises_is_reported_and_harms_nobody(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The standard library's thread for results ends by it, and every later result is waited for in vain.
    shown: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_value))

    def wrong(_: Any) -> None:
        raise ArithmeticError("in a callback")

    assert pool.apply_async(square, (2,), callback=wrong).get(60) == 4
    with pytest.raises(KeyError):
        pool.apply_async(fail, (2,), error_callback=wrong).get(60)
    assert pool.map_async(square, [1, 2], callback=wrong).get(60) == [1, 4]
    assert [type(error) for error in shown] == [ArithmeticError] * 3
    assert pool.apply(square, (3,)) == 9


def test_nobody_is_called_back_for_an_empty_map(pool: Any) -> None:
    got: list[Any] = []
    result = pool.map_async(square, [], callback=got.append)
    assert result.get(60) == [] and result.ready() and result.successful()
    assert got == []


# --- from several threads ---


def test_a_pool_serves_many_threads(pool: Any) -> None:
    wrong: list[Any] = []

    def use(number: int) -> None:
        for at in range(20):
            if pool.apply(add, (number, at)) != number + at or pool.map(square, range(9)) != [x * x for x in range(9)]:
                wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)


# --- workers ---


def test_initializers_run_when_the_pool_is_made(build: Callable[..., Any], tmp_path: Any) -> None:
    build(3, mark, (str(tmp_path),))
    assert eventually(lambda: len(os.listdir(tmp_path)) == 3)


def mark(folder: str) -> None:
    with open(os.path.join(folder, f"{os.getpid()}-{threading.get_ident()}"), "w"):
        pass


def test_a_pool_shows_its_workers(build: Callable[..., Any], kind: str) -> None:
    pool = build(3)
    assert pool._processes == 3
    assert len(pool._pool) == 3
    assert repr(pool) == f"<{type(pool).__module__}.{type(pool).__qualname__} state=RUN pool_size=3>"
    if kind != "threads":
        pids = [worker.pid for worker in pool._pool]
        assert len(set(pids)) == 3 and all(worker.is_alive() and worker.exitcode is None for worker in pool._pool)
        assert {where for where, _ in pool.map(where_slowly, range(6), 1)} <= set(pids)
        assert all("PoolWorker-" in worker.name for worker in pool._pool)


def where_slowly(_: Any) -> tuple[int, str]:
    time.sleep(0.02)
    return os.getpid(), multiprocessing.current_process().name


def test_a_worker_knows_its_name(pool: Any) -> None:
    if pool.kind == "threads":
        pytest.skip("threads are no processes")
    names = {name for _, name in pool.map(where_slowly, range(4), 1)}
    prefix = {"fork": "Fork", "forkserver": "ForkServer", "spawn": "Spawn"}[pool.kind]
    assert all(name.startswith(f"{prefix}PoolWorker-") for name in names)


def test_workers_are_replaced_after_so_many_tasks(build: Callable[..., Any], kind: str) -> None:
    if kind == "threads":
        pytest.skip("threads are not replaced")
    pool = build(2, maxtasksperchild=2)
    pids = [pool.apply(os.getpid) for _ in range(8)]
    assert len(set(pids)) >= 4
    assert max(pids.count(pid) for pid in pids) <= 2
    # A chunk is a task.
    assert len({pid for pid, _ in pool.map(where, range(40), chunksize=10)}) <= 4


@pytest.mark.parametrize("number", [0, -1])
def test_there_is_a_worker_at_least(kind: str, number: int) -> None:
    with pytest.raises(ValueError, match="Number of processes must be at least 1"):
        make_pool(kind, number)


def test_arguments_are_checked_as_in_the_standard_library(kind: str) -> None:
    with pytest.raises(TypeError, match="initializer must be a callable"):
        make_pool(kind, 1, "no")
    if kind != "threads":
        for value in (0, -1, 0.5, "12"):
            with pytest.raises(ValueError, match="maxtasksperchild must be a positive int or None"):
                make_pool(kind, 3, maxtasksperchild=value)


def test_the_default_is_a_worker_for_each_cpu(build: Callable[..., Any]) -> None:
    assert 1 <= build()._processes <= (os.cpu_count() or 1)


def test_classes_are_the_standard_library_s_kinds(pool: Any) -> None:
    assert isinstance(pool, standard.Pool)
    assert isinstance(pool, standard.ThreadPool) == (pool.kind == "threads")
    assert isinstance(pool.apply_async(square, (1,)), standard.AsyncResult)
    assert isinstance(pool.map_async(square, (1,)), standard.MapResult)
    assert isinstance(pool.imap(square, (1,)), standard.IMapIterator)
    assert isinstance(pool.imap_unordered(square, (1,)), standard.IMapUnorderedIterator)


def test_every_name_of_the_module_is_here() -> None:
    for name, value in vars(standard).items():
        if not name.startswith("_") and not isinstance(value, type(sys)) and name not in ("wait", "get_context"):
            assert hasattr(pools, name), name
    for name in ("Pool", "ThreadPool"):
        theirs = {key for key in vars(getattr(standard, name)) if not key.startswith("_")}
        assert theirs <= set(dir(getattr(pools, name)))
