"""The definitions of the main module's names, as a worker takes them.

Knows: the main module's scope. Does not know: who made them (`_namespace`). A worker's start imports it, so it imports little.
"""

from __future__ import annotations

import pickle
import struct
import sys

from forkful._scope import main_scope

__all__ = ["HEADER", "Received"]

HEADER = struct.Struct("<I")
"""The length of a definition's head: what it defines, as (name, version, whether for the first time)."""


class Received:
    """The worker's side: definitions, applied in order to its own main module."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self.failed: dict[str, BaseException] = {}
        """Names whose definition could not be loaded here, and why."""

    def apply(self, definition: bytes) -> None:
        """Binds the names that a definition defines. Failures are kept for whoever misses the name."""
        (length,) = HEADER.unpack_from(definition, 1)
        start = 1 + HEADER.size
        header: list[tuple[str, int, bool]] = pickle.loads(definition[start : start + length])
        if all(self._versions.get(name, 0) >= version for name, version, _ in header):
            return
        main = main_scope()
        mine = {name for name, _, first in header if first and name in main and name not in self._versions}
        try:
            values = pickle.loads(memoryview(definition)[start + length :])
        except Exception as error:
            for name, version, _ in header:
                self._versions[name] = version
                self.failed[name] = error
            return
        for (name, version, _), value in zip(header, values, strict=True):
            if self._versions.get(name, 0) >= version:
                continue
            self._versions[name] = version
            self.failed.pop(name, None)
            # What the worker's own code has bound, an initializer's `global MODEL`, outlives the MODEL = None of the parent.
            if name not in mine:
                main[name] = value
                vars(sys.modules["__main__"])[name] = value  # where pickle looks
