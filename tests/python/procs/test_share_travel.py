"""Every way by which a handle of a shared object gets from one process to another."""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
import pytest
from child import run_clean
from eventually import eventually
from holders import inode_of, open_shared

import forkful
from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]
HELD: Any = None
CARRIED: ContextVar[Any] = ContextVar("CARRIED")


@pytest.fixture(params=METHODS)
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, start_method=request.param) as pool:
        yield pool


@pytest.fixture
def shared() -> Any:
    return forkful.share(np.arange(1000.0))


def total(shared: Any, times: int = 1) -> float:
    return float(shared.value.sum()) * times


def hold(shared: Any) -> None:
    global HELD
    HELD = shared


def total_of_held(times: int) -> float:
    return total(HELD, times)


def give_back(value: Any) -> Any:
    return value


def make(count: int) -> Any:
    return forkful.share(np.ones(count))


def fail_with(shared: Any) -> None:
    raise LookupError(shared)


def carried() -> float:
    return total(CARRIED.get())


def pass_on(shared: Any, method: str, depth: int) -> list[Any]:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        if depth:
            below = pool.submit(pass_on, shared, method, depth - 1).result(60)
        else:
            below = [pool.submit(inode_here, shared).result(60)]
    return [inode_of(shared.value), *below]


def inode_here(shared: Any) -> int:
    return inode_of(shared.value)


def put_total(shared: Any, queue: Any) -> None:
    queue.put(total(shared))


def put_total_of_next(ours: Any, queue: Any) -> None:
    queue.put(total(ours.get()))


class Adder:
    """Callable, with a shared object in it."""

    def __init__(self, shared: Any) -> None:
        self.shared = shared

    def __call__(self, number: float) -> float:
        return total(self.shared) + number

    def method(self, number: float) -> float:
        return self(number)


def test_within_arguments(pool: ProcessPoolExecutor, shared: Any) -> None:
    expected = total(shared)
    assert pool.submit(total, shared=shared).result(60) == expected
    assert pool.submit(total, shared, times=2).result(60) == 2 * expected
    assert pool.submit(give_back, {"deep": [shared, (shared,)]}).result(60) == {"deep": [shared, (shared,)]}
    assert list(pool.map(total, [shared] * 100, range(100))) == [expected * n for n in range(100)]
    assert list(pool.map(functools.partial(total, shared), range(100), chunksize=7)) == [
        expected * n for n in range(100)
    ]


def test_within_functions(pool: ProcessPoolExecutor, shared: Any) -> None:
    def closure(number: float) -> float:
        return float(shared.value.sum()) + number

    expected = total(shared)
    adder = Adder(shared)
    functions: list[Callable[[float], float]] = [closure, lambda n: total(shared) + n, adder, adder.method]
    for function in functions:
        for _ in range(4):
            assert [pool.submit(function, number).result(60) for number in range(2)] == [expected, expected + 1]


def test_as_initargs(shared: Any) -> None:
    for method in METHODS:
        with ProcessPoolExecutor(
            2, start_method=method, initializer=hold, initargs=(shared,), max_tasks_per_child=3
        ) as pool:
            assert list(pool.map(total_of_held, range(12), chunksize=1)) == [total(shared) * n for n in range(12)]


def test_as_a_context_variable(shared: Any) -> None:
    token = CARRIED.set(shared)
    with ProcessPoolExecutor(1, propagate_context=True) as pool:
        assert pool.submit(carried).result(60) == total(shared)
    # Or it would be held from now on, and other tests count what is.
    CARRIED.reset(token)


def test_as_a_result(pool: ProcessPoolExecutor, shared: Any) -> None:
    back = pool.submit(give_back, shared).result(60)
    assert back == shared
    assert back.value is shared.value
    made = pool.submit(make, 100).result(60)
    assert made.value.sum() == 100
    assert inode_of(made.value)
    assert pool.submit(total, made).result(60) == 100
    assert pool.submit(give_back, [made, shared, made]).result(60) == [made, shared, made]
    error = pool.submit(fail_with, shared).exception(60)
    assert isinstance(error, LookupError)
    assert error.args == (shared,)


def test_a_result_outlives_its_maker() -> None:
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
        made = [pool.submit(make, count) for count in range(1, 6)]
    assert [one.result(60).value.sum() for one in made] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_passes_it_on(method: str, shared: Any) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        inodes = pool.submit(pass_on, shared, method, 2).result(60)
    assert inodes == [inode_of(shared.value)] * 4


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_to_processes_of_multiprocessing(method: str, shared: Any) -> None:
    context: Any = multiprocessing.get_context(method)
    queue, ours = context.Queue(), context.Queue()
    process = context.Process(target=put_total, args=(shared, queue))
    process.start()
    assert queue.get(timeout=60) == total(shared)
    process.join()
    process = context.Process(target=put_total_of_next, args=(ours, queue))
    process.start()
    expected = total(shared)
    ours.put(shared)
    del shared
    assert queue.get(timeout=60) == expected
    process.join()
    for one in (queue, ours):
        one.close()
        one.join_thread()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_to_the_standard_library_s_pool(shared: Any) -> None:
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(functools.partial(total, shared), range(10))) == [total(shared) * n for n in range(10)]


def test_a_pickle_read_at_home_is_the_same_object(shared: Any) -> None:
    before = open_shared()
    data = pickle.dumps(shared)
    again = pickle.loads(data)
    assert again == shared
    assert again.value is shared.value
    assert eventually(lambda: open_shared() <= before)


def test_over_the_globals_of_a_script() -> None:
    run_clean(
        """
        import numpy, sys
        import forkful
        TABLE = forkful.share(numpy.arange(100))
        def total(number):
            return int(TABLE.value.sum()) + number
        if __name__ == "__main__":
            for method in ("fork", "zygote", "spawn"):
                with forkful.ProcessPoolExecutor(2, start_method=method) as pool:
                    assert list(pool.map(total, range(10))) == list(range(4950, 4960))
        """
    )


def test_over_the_globals_of_an_unguarded_script() -> None:
    run_clean(
        """
        import numpy
        import forkful
        TABLE = forkful.share(numpy.arange(100))
        def total(number):
            return int(TABLE.value.sum()) + number
        for method in ("fork", "zygote", "spawn"):
            with forkful.ProcessPoolExecutor(2, start_method=method) as pool:
                assert list(pool.map(total, range(10))) == list(range(4950, 4960))
        """
    )


@pytest.mark.parametrize("guard", ["if True:", "if __name__ == '__main__':"], ids=["unguarded", "guarded"])
def test_what_the_main_module_defines_is_understood(guard: str) -> None:
    run_clean(
        f"""
        import dataclasses, numpy
        import forkful
        FACTOR = 3
        @dataclasses.dataclass
        class Table:
            rows: numpy.ndarray
            def total(self):
                return int(self.rows.sum()) * FACTOR
        def pass_on(shared):
            with forkful.ProcessPoolExecutor(1) as pool:
                return pool.submit(compute, shared).result()
        def compute(shared):
            return shared.value["table"].total() + shared.value["add"](1)
        {guard}
            shared = forkful.share({{"table": Table(numpy.arange(10)), "add": lambda n: n + FACTOR}})
            table = forkful.share(Table(numpy.arange(10)))
            assert type(shared.value["table"]) is type(table.value) is Table
            assert not shared.value["table"].rows.flags.writeable
            for method in ("fork", "zygote", "spawn"):
                with forkful.ProcessPoolExecutor(2, start_method=method) as pool:
                    assert [pool.submit(compute, shared).result() for _ in range(4)] == [139] * 4
                    assert pool.submit(lambda table: table.value.total(), table).result() == 135
                with forkful.ProcessPoolExecutor(1, start_method=method) as pool:
                    assert pool.submit(lambda table: table.value.total(), table).result() == 135
                    assert pool.submit(compute, pool.submit(lambda: shared).result()).result() == 139
                    if method != "fork" or {guard.startswith("if __")}:
                        assert pool.submit(pass_on, shared).result() == 139
        """
    )


def test_where_a_task_has_closed_all_descriptors(shared: Any) -> None:
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(total, shared).result(60) == total(shared)
        pool.submit(os.closerange, 3, 1024).result(60)
        assert pool.submit(total, shared).result(60) == total(shared)
        # What it would be sent on by is gone.
        with pytest.raises(OSError, match="closed by somebody else"):
            pool.submit(give_back, shared).result(60)
        other = forkful.share([1])
        assert pool.submit(give_back, other).result(60) == other
