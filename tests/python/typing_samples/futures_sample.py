"""What a type checker must accept and refuse of forkful's futures; checked by mypy --strict, never run.

Each `type: ignore[code]` is an expectation: an unused one is an error, so a mistake that
passes unnoticed fails the check.
"""

import concurrent.futures
from collections.abc import Iterator

from typing_extensions import assert_type

import forkful
from forkful import Executor, Future, ThreadPoolExecutor
from forkful import futures as ff
from forkful.futures.thread import BrokenThreadPool


def area(width: int, height: float, *, unit: str = "m") -> float:
    return width * height


def nothing() -> None: ...


class Scaler:
    def __call__(self, number: int) -> str:
        return str(number)

    def method(self, number: int) -> bytes:
        return bytes(number)


def an_executor_that_chooses(pool: forkful.AutoExecutor) -> None:
    assert_type(pool.submit(area, 1, 2.0), Future[float])
    assert_type(pool.map(area, [1], [2.0]), Iterator[float])
    assert_type(pool.with_options(where="threads").submit(nothing), Future[None])
    assert_type(pool.decisions(), list[forkful.Decision])
    pool.submit(area, "wide", 2.0)  # type: ignore[arg-type]


def submit_keeps_the_parameters(pool: ThreadPoolExecutor) -> None:
    assert_type(pool.submit(area, 1, 2.0), Future[float])
    assert_type(pool.submit(area, 1, height=2.0, unit="cm"), Future[float])
    assert_type(pool.submit(nothing), Future[None])
    assert_type(pool.submit(Scaler(), 3), Future[str])
    assert_type(pool.submit(Scaler().method, 3), Future[bytes])
    assert_type(pool.submit(lambda: 3), Future[int])
    assert_type(pool.submit(Scaler), Future[Scaler])


def submit_refuses_what_does_not_fit(pool: ThreadPoolExecutor) -> None:
    pool.submit(area, "1", 2.0)  # type: ignore[arg-type]
    pool.submit(area, 1)  # type: ignore[call-arg]
    pool.submit(area, 1, 2.0, unit=3)  # type: ignore[arg-type]
    pool.submit(area, 1, 2.0, colour="red")  # type: ignore[call-arg]
    pool.submit(nothing, 1)  # type: ignore[call-arg]
    pool.submit(3)  # type: ignore[arg-type]


def futures_know_their_result(pool: ThreadPoolExecutor) -> None:
    future = pool.submit(area, 1, 2.0)
    assert_type(future.result(), float)
    assert_type(future.result(timeout=1), float)
    assert_type(future.exception(), BaseException | None)
    assert_type(future.cancel(), bool)
    assert_type(future.cancelled(), bool)
    assert_type(future.running(), bool)
    assert_type(future.done(), bool)
    wrong: Future[str] = future  # type: ignore[assignment]
    standard: concurrent.futures.Future[float] = future
    del wrong, standard


def callbacks_know_their_future(pool: ThreadPoolExecutor) -> None:
    def fits(future: Future[float]) -> None: ...
    def fits_as_standard(future: concurrent.futures.Future[float]) -> object: ...
    def does_not(future: Future[str]) -> None: ...

    future = pool.submit(area, 1, 2.0)
    future.add_done_callback(fits)
    future.add_done_callback(fits_as_standard)
    future.add_done_callback(does_not)  # type: ignore[arg-type]


def futures_are_made_by_hand() -> None:
    future = Future[int]()
    future.set_result(3)
    future.set_result("3")  # type: ignore[arg-type]
    future.set_exception(ValueError())
    assert_type(future.set_running_or_notify_cancel(), bool)


async def futures_are_awaited(pool: ThreadPoolExecutor) -> None:
    assert_type(await pool.submit(area, 1, 2.0), float)
    assert_type(await pool.submit(Scaler(), 1), str)


def map_knows_its_results(pool: ThreadPoolExecutor) -> None:
    assert_type(pool.map(Scaler(), [1, 2]), Iterator[str])
    assert_type(pool.map(area, [1], [2.0]), Iterator[float])
    assert_type(list(pool.map(Scaler(), [1], timeout=3, chunksize=2, buffersize=4)), list[str])
    pool.map(Scaler(), [1], 2)  # type: ignore[arg-type]


def an_executor_is_a_standard_one(pool: ThreadPoolExecutor) -> None:
    one: Executor = pool
    two: concurrent.futures.Executor = pool
    three: concurrent.futures.ThreadPoolExecutor = pool
    with pool as same:
        assert_type(same, ThreadPoolExecutor)
    pool.shutdown(wait=False, cancel_futures=True)
    del one, two, three


def constructors_take_their_options() -> None:
    ThreadPoolExecutor()
    ThreadPoolExecutor(4, "name", area, (1, 2.0))
    ThreadPoolExecutor(max_workers=None, daemon=True, max_pending=3, propagate_context=True)
    ThreadPoolExecutor("4")  # type: ignore[arg-type]
    ThreadPoolExecutor(4, colour=1)  # type: ignore[call-arg]


def views_keep_the_parameters_too(pool: ThreadPoolExecutor) -> None:
    view = pool.with_options(priority=-1, retries=2, retry_on=(OSError, KeyError), name="area")
    assert_type(view.submit(area, 1, 2.0), Future[float])
    assert_type(view.map(Scaler(), [1]), Iterator[str])
    view.submit(area, "1", 2.0)  # type: ignore[arg-type]
    pool.with_options(retry_on=OSError)
    pool.with_options(priority="high")  # type: ignore[arg-type]
    executor: concurrent.futures.Executor = view
    del executor


def stats_are_numbers(pool: ThreadPoolExecutor) -> None:
    stats = pool.stats()
    assert_type(stats.submitted, int)
    assert_type(stats.pending, int)
    assert_type(stats.workers[0].name, str)
    assert_type(stats.workers[0].busy, float)
    assert_type(stats.run_time.count, int)
    assert_type(stats.run_time.quantile(0.5), float)
    assert_type(stats.tasks["area"].cpu, float)
    stats.submitted = 3  # type: ignore[misc]


def waiting_keeps_the_type(pool: ThreadPoolExecutor) -> None:
    made = [pool.submit(area, 1, 2.0)]
    done, not_done = forkful.wait(made, timeout=1, return_when=forkful.FIRST_COMPLETED)
    for future in done | not_done:
        assert_type(future.result(), float)
    for future in ff.as_completed(made, timeout=1):
        assert_type(future.result(), float)
    standard = concurrent.futures.wait(made)
    for other in standard.done:
        assert_type(other.result(), float)


def names_are_classes() -> None:
    errors: list[type[BaseException]] = [
        forkful.CancelledError,
        forkful.TimeoutError,
        forkful.InvalidStateError,
        forkful.BrokenExecutor,
        BrokenThreadPool,
    ]
    assert_type(forkful.__version__, str)
    forkful.install()
    forkful.uninstall()
    del errors
