"""The definitions of the main module's names, as a worker takes them.

Knows: the main module's scope. Does not know: who made them (`_namespace`). A worker's start imports it, so it imports little.
"""

from __future__ import annotations

import pickle
import struct
import sys

from forkful._scope import ABSENT, main_scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["HEADER", "Received"]

HEADER = struct.Struct("<I")
"""The length of a definition's head: what it defines, as (name, version, whether for the first time)."""


class Received:
    """The worker's side: definitions, applied in order to its own main module.

    `unsure`: names that this process's import of the main module may have bound to something else than its parent's. Made
    before anything of the program's runs but that import.
    """

    def __init__(self, unsure: Iterable[str] = ()) -> None:
        main = vars(sys.modules["__main__"])
        self._imported: dict[str, Any] = {name: main[name] for name in unsure if name in main}
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
        mine = {name for name, _, first in header if first and self._has_bound(name, main)}
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

    def _has_bound(self, name: str, main: dict[str, Any]) -> bool:
        """Whether the worker's own code has bound a name that was not defined yet; its import alone does not count."""
        imported = self._imported.pop(name, ABSENT)
        return name in main and name not in self._versions and main[name] is not imported
