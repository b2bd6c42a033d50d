"""What a type checker must know of executors in coroutines; checked by mypy --strict, never run."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from typing_extensions import assert_type

from forkful import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor


def area(width: int, height: float) -> float:
    return width * height


def double(number: int) -> str:
    return str(2 * number)


async def numbers() -> AsyncIterator[int]:
    yield 1


async def a_block_keeps_the_class(executor: Executor) -> None:
    async with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes, executor as any_one:
        assert_type(threads, ThreadPoolExecutor)
        assert_type(processes, ProcessPoolExecutor)
        assert_type(any_one, Executor)
        assert_type(await threads.submit(area, 1, 2.0), float)
        assert_type(await processes.submit(double, 1), str)


async def a_future_is_awaited(future: Future[int]) -> None:
    assert_type(await future, int)
    wrong: str = await future  # type: ignore[assignment]
    del wrong


async def map_async_knows_its_results(pool: ThreadPoolExecutor) -> None:
    async for text in pool.map_async(double, numbers(), buffersize=3):
        assert_type(text, str)
    async for size in pool.map_async(area, [1, 2], numbers(), ordered=False, chunksize=2):
        assert_type(size, float)
    assert_type([text async for text in pool.with_options(name="view").map_async(double, [1])], list[str])
    results: AsyncIterator[str] = pool.map_async(double, [1])
    async with aclosing(pool.map_async(double, [1])) as closing:
        assert_type(await closing.__anext__(), str)
    async with pool.map_async(double, [1]) as same:
        assert_type(await same.__anext__(), str)
    pool.map_async(double, 3)  # type: ignore[arg-type]
    pool.map_async(double, [1], buffersize="3")  # type: ignore[arg-type]
    del results
