"""Lets instances of the standard library's classes be pickled while something else stands in their class's place.

A pickle names a class by its module and name, and is refused where that name means another class. Here it says that the
module's own class is meant.

Knows: pickle's table of reducers. Does not know: what the classes are.
"""

from __future__ import annotations

import copyreg
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["forget", "keep"]

_kept: dict[tuple[str, str], type] = {}
_names: dict[type, tuple[str, str]] = {}


def keep(module: str, name: str, cls: type) -> None:
    """From now on this class, which the module had under this name, is found by `_original`."""
    _kept[module, name] = cls
    if (cls.__module__, cls.__qualname__) == (module, name) and cls not in copyreg.dispatch_table:
        _names[cls] = module, name
        copyreg.pickle(cls, _reduce)


def forget() -> None:
    """The names mean what they say again."""
    _kept.clear()
    while _names:
        cls, _ = _names.popitem()
        if copyreg.dispatch_table.get(cls) is _reduce:
            del copyreg.dispatch_table[cls]


def _reduce(instance: Any) -> Any:
    cls = type(instance)
    reduced = instance.__reduce_ex__(2)
    place = _names.get(cls)
    if place is None or isinstance(reduced, str):
        return reduced
    function, args, *rest = reduced
    if function is copyreg.__newobj__ and args[0] is cls:  # type: ignore[attr-defined]
        return (_new, (*place, *args[1:]), *rest)
    if function is cls:
        return (_call, (*place, *args), *rest)
    return reduced


def _original(module: str, name: str) -> Any:
    holder = import_module(module)
    return _kept.get((module, name)) or getattr(holder, name)


def _new(module: str, name: str, *args: Any) -> Any:
    cls = _original(module, name)
    return cls.__new__(cls, *args)


def _call(module: str, name: str, *args: Any) -> Any:
    return _original(module, name)(*args)
