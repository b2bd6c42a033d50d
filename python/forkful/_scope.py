"""What names mean in the main module, and where it lies.

Knows: nothing of forkful's. A worker's start imports it, so it imports little.
"""

from __future__ import annotations

import sys
import types

TYPE_CHECKING = False  # importing `typing` for it would cost a start a millisecond
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["ABSENT", "is_main", "is_one_of", "main_scope", "resolve"]

ABSENT: Any = type("ABSENT", (), {"__repr__": lambda self: "<absent>"})()
"""Stands for the value of a name that is not bound."""


def is_main(module: object) -> bool:
    """Whether a `__module__` names the main module: multiprocessing's children import it under another name."""
    return module == "__main__" or module == "__mp_main__"


def is_one_of(error: BaseException, classes: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    """Whether a task raised one of these classes. By their names where `error` only stands in for what it raised."""
    names = error.__dict__.get("raised_names")
    if names is None:
        return isinstance(error, classes)
    raised = {str(name).replace("__mp_main__.", "__main__.") for name in names}
    return any(raised & _class_names(cls) for cls in (classes if isinstance(classes, tuple) else (classes,)))


def _class_names(cls: type) -> set[str]:
    module = "__main__" if is_main(cls.__module__) else cls.__module__
    # A worker that was sent a local class by value does not know where it was local.
    return {f"{module}.{name}" for name in (cls.__qualname__, cls.__qualname__.rpartition("<locals>.")[2])}


def resolve(scope: dict[str, Any], qualname: str) -> Any:
    """What a qualified name means in a module's namespace, or ABSENT."""
    name, _, rest = qualname.partition(".")
    found = scope.get(name, ABSENT)
    while rest and found is not ABSENT:
        name, _, rest = rest.partition(".")
        found = getattr(found, name, ABSENT)
    return found


def main_scope() -> dict[str, Any]:
    """The namespace over which the main module's functions run.

    Not always the module's own: multiprocessing's children run the main module by `runpy`, whose answer is a copy, and put
    that into the module. A global that an initializer sets is in the original then.
    """
    global _copied
    module = sys.modules["__main__"]
    own = vars(module)
    if own.get("__name__") != "__mp_main__":
        return own
    if _copied is None or _copied[0] is not module:
        _copied = module, next(_scopes(own), own)
    return _copied[1]


_copied: tuple[types.ModuleType, dict[str, Any]] | None = None


def _scopes(own: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from inspect import unwrap  # a worker that is in a hurry comes here last

    for value in list(own.values()):
        members = list(vars(value).values()) if isinstance(value, type) and is_main(value.__module__) else [value]
        for member in members:
            function = unwrap(member) if isinstance(member, types.FunctionType) else member
            if isinstance(function, types.FunctionType) and function.__globals__.get("__name__") == "__mp_main__":
                yield function.__globals__
