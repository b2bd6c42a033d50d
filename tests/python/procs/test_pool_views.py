"""Options reach the pool through a subclass whose `submit` wraps the function, and the function is itself again in the worker."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import pytest

from forkful import ProcessPoolExecutor

METHODS = ("fork", "zygote", "spawn")


def square(value: int) -> int:
    return value * value


def timed(function: Any, *args: Any) -> Any:
    return "timed", function.__name__, function(*args)


class Wrapping(ProcessPoolExecutor):
    """Hands the function on as an argument."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return super().submit(timed, fn, *args, **kwargs)


class Binding(ProcessPoolExecutor):
    """Hands it on in a partial."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return super().submit(functools.partial(timed, fn), *args, **kwargs)


class Closing(ProcessPoolExecutor):
    """Hands it on in a closure."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return super().submit(lambda: timed(fn, *args, **kwargs))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", (Wrapping, Binding, Closing))
def test_a_submit_that_wraps(kind: Any, method: str) -> None:
    with kind(1, start_method=method) as pool:
        view = pool.with_options(name="mine")
        for _ in range(3):
            future = view.submit(square, 3)
            assert future.result(timeout=60) == ("timed", "square", 9)
            assert "mine" in repr(future)
        assert view.submit(lambda value: value, 4).result(timeout=60) == ("timed", "<lambda>", 4)
        assert pool.stats().tasks["mine"].calls == 4
        # Options are a task's own.
        assert "mine" not in repr(pool.submit(square, 3))
        assert list(view.map(square, [1, 2])) == [("timed", "square", 1), ("timed", "square", 4)]
        assert pool.stats().tasks["mine"].calls == 6


def test_what_is_pickled_beside_a_call_gives_no_options() -> None:
    with Wrapping(1) as pool:
        view = pool.with_options(name="mine")
        submitted: list[Any] = []

        class Recording(ProcessPoolExecutor):
            def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
                submitted.append(fn)
                return super().submit(fn, *args, **kwargs)

        with Recording(1) as other:
            other.with_options(name="theirs").submit(square, 2).result(timeout=60)
        (optioned,) = submitted
        assert optioned(3) == 9
        assert pickle.loads(pickle.dumps(optioned)) is square
        assert "theirs" not in repr(pool.submit(square, 3))
        assert "mine" in repr(view.submit(square, 3))
