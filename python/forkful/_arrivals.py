"""Tells when a module has been imported, so that what is to be done to it need not import it.

Of modules that import each other all are told of together, when the outermost is there: whoever is told may import others
that need it.

Knows: the import system. Does not know: what is done then.
"""

from __future__ import annotations

import sys
from threading import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["Arrivals"]


class Arrivals:
    """A finder, to be put first in `sys.meta_path`: finds nothing itself, and calls `arrived` after the import."""

    def __init__(self, names: Iterable[str], arrived: Callable[[str], None]) -> None:
        self._names = frozenset(names)
        self._arrived = arrived
        self._done: set[str] = set()
        self._thread = local()

    def has(self, name: str) -> bool:
        """Whether the module is imported, to the end."""
        module = sys.modules.get(name)
        if module is None:
            return False
        return name in self._done or not getattr(getattr(module, "__spec__", None), "_initializing", False)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders say, with a loader that tells."""
        if name not in self._names:
            return None
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, name, self)  # type: ignore[assignment]
                return spec
        return None

    def run(self, name: str, execute: Callable[[], None]) -> None:
        """Has a module executed, and tells of it and of those that it has imported, if nobody waits for itself."""
        mine: Any = self._thread
        outermost = not hasattr(mine, "waiting")
        if outermost:
            mine.waiting = []
        try:
            execute()
            # The import system has a word or two to say yet, but none that changes the module; that its package has it is
            # expected by those that `arrived` imports.
            package, _, last = name.rpartition(".")
            if package in sys.modules and name in sys.modules:
                setattr(sys.modules[package], last, sys.modules[name])
            self._done.add(name)
            mine.waiting.append(name)
        finally:
            if outermost:
                waiting = mine.waiting
                del mine.waiting
                for each in waiting:
                    self._arrived(each)


class _Loader:
    """Another loader, but for its last word."""

    def __init__(self, loader: Any, name: str, arrivals: Arrivals) -> None:
        self._loader = loader
        self._name = name
        self._arrivals = arrivals

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> Any:
        spec.loader = self._loader
        try:
            return self._loader.create_module(spec)
        finally:
            spec.loader = self  # type: ignore[assignment]

    def exec_module(self, module: ModuleType) -> None:
        # Nobody need find this one there afterwards.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._arrivals.run(self._name, lambda: self._loader.exec_module(module))
