"""The part of an endless input that was taken and is not done: a sequence that grows at its end and is forgotten item by item."""

from __future__ import annotations

from typing import Any

__all__ = ["Window"]


class Window:
    """Items by their place in the input; its length is how many were ever taken."""

    __slots__ = ("_items", "_taken")

    def __init__(self) -> None:
        self._items: dict[int, Any] = {}
        self._taken = 0

    def append(self, item: Any) -> None:
        """Puts an item at the next place."""
        self._items[self._taken] = item
        # Only now may somebody look for it.
        self._taken += 1

    def forget(self, first: int, count: int) -> None:
        """Lets items go that are done; those that are gone already don't matter."""
        for place in range(first, first + count):
            self._items.pop(place, None)

    def __len__(self) -> int:
        return self._taken

    def __getitem__(self, places: slice) -> list[Any]:
        """The items from place to place; none of them may be forgotten."""
        return [self._items[place] for place in range(places.start, places.stop)]
