"""What a type checker must know of shared objects; checked by mypy --strict, never run."""

from typing_extensions import assert_type

import forkful
from forkful import ProcessPoolExecutor, Shared


def total(table: Shared[list[int]], start: int) -> int:
    return sum(table.value[start:])


def a_handle_knows_its_object(pool: ProcessPoolExecutor) -> None:
    table = forkful.share([1, 2, 3])
    assert_type(table, Shared[list[int]])
    assert_type(table.value, list[int])
    assert_type(pool.submit(total, table, 1).result(), int)
    with forkful.share("text") as text:
        assert_type(text.value, str)
    pool.submit(total, text, 1)  # type: ignore[arg-type]
    table.value = [4]  # type: ignore[misc]
