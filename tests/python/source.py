"""An input that says how much of it was taken."""

from __future__ import annotations


class Source:
    """An input that says how much of it was taken."""

    def __init__(self, count: int | None = None, fails: bool = False) -> None:
        self.taken = 0
        self._count = count
        self._fails = fails

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> int:
        if self.taken == self._count:
            if self._fails:
                raise KeyError("input")
            raise StopIteration
        self.taken += 1
        return self.taken - 1
