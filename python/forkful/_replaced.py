"""Lets the standard library's classes go on as they were while something else stands in their place.

Their methods name them and each other by the module's names, which now mean other classes: such a method gets a view of the
module in which the names are what they were. And a pickle names a class by its module and name, and is refused where that
name means another class: here it says that the module's own class is meant.

Knows: functions, and pickle's table of reducers. Does not know: what the classes are.
"""

from __future__ import annotations

import copyreg
from importlib import import_module
from types import CodeType, FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

__all__ = ["forget", "keep"]

_kept: dict[tuple[str, str], type] = {}
_names: dict[type, tuple[str, str]] = {}
_methods: list[tuple[type, str, Any, Any]] = []


def keep(module: ModuleType, names: dict[str, type]) -> None:
    """From now on the classes that the module had under these names are found by its own and by pickles of their instances."""
    view = _View(names, vars(module))
    classes = {value for value in vars(module).values() if isinstance(value, type)} | {*names.values()}
    for cls in classes:
        if cls.__module__ == module.__name__:
            _show(cls, view, names)
    for name, cls in names.items():
        place = module.__name__, name
        _kept[place] = cls
        if (cls.__module__, cls.__qualname__) == place and cls not in copyreg.dispatch_table:
            _names[cls] = place
            copyreg.pickle(cls, _reduce)


def forget() -> None:
    """The names mean what they say again."""
    _kept.clear()
    while _methods:
        cls, name, before, ours = _methods.pop()
        if vars(cls).get(name) is ours:
            setattr(cls, name, before)
    while _names:
        cls, _ = _names.popitem()
        if copyreg.dispatch_table.get(cls) is _reduce:
            del copyreg.dispatch_table[cls]


# --- what they see ---

_READ_AS_DICT = ("__builtins__", "__name__", "__package__", "__path__", "__spec__")


class _View(dict[str, object]):
    """A module's names, but for some that are as they were."""

    def __init__(self, names: dict[str, type], live: dict[str, object]) -> None:
        super().__init__(names)
        # Read past `__missing__`: by the interpreter, and by a relative import.
        self.update((name, live[name]) for name in _READ_AS_DICT if name in live)
        self._live = live

    def __missing__(self, name: str) -> object:
        return self._live[name]


def _show(cls: type, view: _View, names: dict[str, type]) -> None:
    for name, value in list(vars(cls).items()):
        function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if not isinstance(function, FunctionType) or not _mentions(function.__code__, names):
            continue
        shown: Any = FunctionType(
            function.__code__, view, function.__name__, function.__defaults__, function.__closure__
        )
        for attribute in ("__kwdefaults__", "__qualname__", "__doc__", "__module__", "__annotations__"):
            setattr(shown, attribute, getattr(function, attribute))
        vars(shown).update(vars(function))
        if function is not value:
            shown = type(value)(shown)
        setattr(cls, name, shown)
        _methods.append((cls, name, value, vars(cls)[name]))


def _mentions(code: CodeType, names: dict[str, type]) -> bool:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return not names.keys().isdisjoint(code.co_names) or any(_mentions(each, names) for each in inner)


# --- how their instances are pickled ---


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
