"""The process pool with one worker, called as a function, that counts what it puts into its library.

Used by programs that the tests start.
"""

from __future__ import annotations

from typing import Any

import forkful.futures.process as process


class Counted(process.Encoder):
    """An encoder that tells how many entries it has added to the library."""

    def __init__(self, define: Any, *args: Any, **options: Any) -> None:
        self.entries = 0

        def counted(entry: bytes) -> Any:
            self.entries += 1
            return define(entry)

        super().__init__(counted, *args, **options)


class Pool:
    """`pool(fn, *args)` runs in the worker."""

    def __init__(self, method: str, initializer: Any = None, initargs: tuple[Any, ...] = ()) -> None:
        made: list[Counted] = []

        def make(*args: Any, **options: Any) -> Counted:
            made.append(Counted(*args, **options))
            return made[-1]

        here: Any = process
        before, here.Encoder = here.Encoder, make
        try:
            self.executor = process.ProcessPoolExecutor(
                1, initializer=initializer, initargs=initargs, start_method=method
            )
        finally:
            here.Encoder = before
        self._encoder = made[0]

    @property
    def mode(self) -> str:
        return self._encoder.mode

    def entries(self) -> int:
        return self._encoder.entries

    def __call__(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        return self.executor.submit(fn, *args, **kwargs).result(timeout=60)
