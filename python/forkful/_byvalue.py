"""Pickles functions and classes by value where no module can be asked for them by name.

Over cloudpickle, with three differences. A function of the main module carries none of its globals: it is made over the main
module's namespace where it is loaded, and the names it uses are noted. One of an importable module is made over that module's.
A class that comes back is the sender's own, whose attributes stay as they are.

Knows: cloudpickle, multiprocessing's reductions. Does not know: who sends the names that were noted.
"""

from __future__ import annotations

import contextvars
import copyreg
import functools
import importlib
import io
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any

from cloudpickle import cloudpickle as _cloud  # type: ignore[import-untyped]

from forkful._byname import reducers
from forkful._scope import ABSENT, is_main, main_scope, resolve
from forkful._unchanged import LruCache, global_names

__all__ = ["ByValue", "importable", "locate"]

# What cloudpickle adds, but for what would arrive as something else: an open file as its text, a memoryview as bytes.
_by_value = {
    kind: reducer
    for kind, reducer in _cloud.Pickler._dispatch_table.items()
    if kind is not io.TextIOWrapper and kind is not memoryview
}


# Every function of singledispatch's has this code.
_DISPATCH = functools.singledispatch(lambda: None).__code__  # type: ignore[attr-defined, misc]

_TYPING: dict[Any, Callable[[Any], Any]] = {
    typing.NewType: lambda item: (typing.NewType, (item.__name__, item.__supertype__)),
    typing.ParamSpec: lambda item: (typing.ParamSpec, (item.__name__,)),
}
if sys.version_info >= (3, 11):
    _TYPING[typing.TypeVarTuple] = lambda item: (typing.TypeVarTuple, (item.__name__,))


_importable: dict[str, bool] = {}


def importable(name: str) -> bool:
    """Whether another process finds a module of this name by importing it."""
    known = _importable.get(name)
    if known is None:
        known = _importable[name] = _find(name)
    return known


def _find(name: str) -> bool:
    path = None
    if "." in name:
        parent = name.rpartition(".")[0]
        if not importable(parent):
            return False
        path = getattr(sys.modules.get(parent), "__path__", None)
        if path is None:
            # Made by its parent, as os.path is: it is there once the parent has been imported.
            return name in sys.modules
    # Not importlib.util.find_spec: for a module that is loaded it only says that it is loaded.
    for finder in sys.meta_path:
        try:
            if finder.find_spec(name, path) is not None:
                return True
        except Exception:
            continue
    return False


def locate(variable: contextvars.ContextVar[Any]) -> tuple[str, str] | None:
    """The module, and the name in it, that hold a context variable."""
    key = id(variable)
    held, module, name = _located.get(key, (None, "", ""))
    if held is variable and getattr(sys.modules.get(module), name, None) is variable:
        return module, name
    # Looking everywhere takes a millisecond or more, so not again until there are other modules.
    held, loaded = _nowhere.get(key, (None, 0))
    if held is variable and loaded == len(sys.modules):
        return None
    for place, name in _places():
        if vars(place).get(name) is variable and sys.modules.get(place.__name__) is place:
            _located[key] = (variable, place.__name__, name)
            return place.__name__, name
    _nowhere[key] = (variable, len(sys.modules))
    return None


_located: dict[int, tuple[contextvars.ContextVar[Any] | None, str, str]] = {}
_nowhere: dict[int, tuple[contextvars.ContextVar[Any] | None, int]] = {}


def _places() -> list[tuple[types.ModuleType, str]]:
    loaded: list[Any] = list(sys.modules.values())  # not all of them are modules
    modules = [module for module in loaded if isinstance(module, types.ModuleType)]
    return [(module, name) for module in modules for name in list(vars(module))]


class ByValue(_cloud.Pickler):  # type: ignore[misc]
    """A pickler that sends by value what it can't name.

    `defining`: names of the main module that are being defined, and so can't be asked for. `here`: modules that this process
    has loaded are found by the other side, however they came about. `back`: from a worker to its parent.
    """

    def __init__(
        self,
        file: Any,
        *,
        defining: frozenset[str] = frozenset(),
        here: bool = True,
        back: bool = False,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    ) -> None:
        # Before the pickler's own __init__, which is when the C part looks for it.
        self.dispatch_table = {**_by_value, **reducers()}
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self._main = main_scope()
        self._defining = defining
        self._here = here
        self._back = back
        self.first: set[str] = set()
        """Names of the main module that must be bound when this is loaded."""
        self.later: set[str] = set()
        """Names that are needed when what was loaded is called."""

    def dump(self, value: Any) -> None:
        """Pickles. What is nested too deep raises RecursionError, as everywhere, and not cloudpickle's PicklingError."""
        super(_cloud.Pickler, self).dump(value)

    def reducer_override(self, item: Any) -> Any:
        kind: Any = type(item)
        if kind is types.FunctionType:
            return NotImplemented if self._named(item) else self._function(item)
        if issubclass(kind, type):
            if is_main(item.__module__):
                return NotImplemented if self._named(item) else self._class(item)
            if _cloud._should_pickle_by_reference(item):
                return NotImplemented if self._named(item) else self._class(item)
            # cloudpickle's answer covers NoneType and its like, which no module has under their names.
            reduced = _cloud._class_reduce(item)
            return self._class(item) if len(reduced) == 6 else reduced
        if kind is LruCache:
            return NotImplemented if self._named(item) else (_cached, (item.cache_parameters(), item.__wrapped__))
        if kind is contextvars.ContextVar:
            # Not in the table: a method there would make a circle of table and pickler, and the pickler's memo would hold what
            # was pickled, open files and all, until the next collection.
            return self._context_variable(item)
        if kind in _TYPING:
            # These pickle as their name alone, and say nothing of where.
            return NotImplemented if self._named(item) else _TYPING[kind](item)
        own = kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__
        return self._reduced(item) if own and kind not in self.dispatch_table else NotImplemented

    def _reduced(self, item: Any) -> Any:
        """What an object says that it is. One that pickles as a name of the main module, as sentinels do, needs that name."""
        if not is_main(getattr(item, "__module__", None)):
            return NotImplemented
        reduced = item.__reduce_ex__(5)
        if isinstance(reduced, str) and resolve(self._main, reduced) is item:
            root = reduced.partition(".")[0]
            if root in self._defining:
                return _parts(item)  # it is what this name shall mean
            self.first.add(root)
        return reduced

    def _named(self, item: Any) -> bool:
        """Whether the other side finds it by its name; notes the name if it is the main module's."""
        module = getattr(item, "__module__", None)
        name: str = getattr(item, "__qualname__", "") or getattr(item, "__name__", "")
        if is_main(module):
            if resolve(self._main, name) is not item:
                return False
            root = name.partition(".")[0]
            if root in self._defining:
                return False
            self.first.add(root)
            return True
        if module is None:
            # pickle looks through every module for these, and finds those of builtins and C.
            return isinstance(item, type)
        loaded = sys.modules.get(module)
        if loaded is None or resolve(vars(loaded), name) is not item:
            return False
        return self._here or importable(module)

    def _function(self, function: types.FunctionType) -> Any:
        if function.__code__ is _DISPATCH:
            # Its cells hold a cache of weak references.
            return _dispatching, (function.__wrapped__, dict(function.registry))  # type: ignore[attr-defined]
        scope = function.__globals__
        if scope is self._main:
            origin = None
            self.later |= global_names(function.__code__)
        else:
            origin = scope.get("__name__")
            module = sys.modules.get(origin) if isinstance(origin, str) else None
            if module is None or vars(module) is not scope or not (self._here or importable(module.__name__)):
                return self._dynamic_function_reduce(function)
        state, slots = _cloud._function_getstate(function)
        slots["__globals__"] = {}
        closure = function.__closure__
        cells = None if closure is None else tuple(types.CellType() for _ in closure)
        return _make_function, (origin, function.__code__, cells), (state, slots), None, None, _set_function

    def _class(self, item: type) -> Any:
        reduced = _cloud._dynamic_class_reduce(item)
        if not self._back:
            return reduced
        make, arguments, state, *_ = reduced
        return _make_class, (make, arguments), state, None, None, _set_class

    def _context_variable(self, variable: contextvars.ContextVar[Any]) -> Any:
        place = locate(variable)
        if place is not None and is_main(place[0]):
            if place[1] not in self._defining:
                self.first.add(place[1])
                return _named_variable, place
            place = None
        elif place is None:
            raise pickle.PicklingError(f"no module holds {variable!r}, so it can't be found elsewhere")
        if place is not None:
            return _named_variable, place
        try:
            return _new_variable, (variable.name, contextvars.Context().run(variable.get))
        except LookupError:
            return _new_variable, (variable.name,)


def _parts(item: Any) -> Any:
    """How an object is made of its class and its state, whatever it says itself."""
    slots = {name: getattr(item, name) for name in copyreg._slotnames(type(item)) if hasattr(item, name)}  # type: ignore[attr-defined]
    if not slots:
        return copyreg._reduce_ex(item, 0)  # type: ignore[attr-defined]
    return copyreg._reconstructor, (type(item), object, None), (getattr(item, "__dict__", None), slots)  # type: ignore[attr-defined]


def _make_function(origin: str | None, code: types.CodeType, cells: tuple[types.CellType, ...] | None) -> Any:
    scope = main_scope() if origin is None else vars(importlib.import_module(origin))
    return types.FunctionType(code, scope, None, None, cells)


def _set_function(function: types.FunctionType, state: Any) -> None:
    # cloudpickle puts its own `__builtins__` into the globals; a module has its own.
    scope = function.__globals__
    builtins = scope.get("__builtins__", ABSENT)
    _cloud._function_setstate(function, state)
    if builtins is not ABSENT:
        scope["__builtins__"] = builtins


_new_classes: weakref.WeakSet[type] = weakref.WeakSet()


def _make_class(make: Callable[..., type], arguments: tuple[Any, ...]) -> type:
    # The fifth or sixth argument of cloudpickle's makers, the last but one, is the class's mark.
    known: type | None = _cloud._DYNAMIC_CLASS_TRACKER_BY_ID.get(arguments[-2])
    if known is not None:
        return known
    made = make(*arguments)
    _new_classes.add(made)
    return made


def _set_class(made: type, state: Any) -> None:
    if made in _new_classes:
        _new_classes.discard(made)
        _cloud._class_setstate(made, state)


def _cached(parameters: dict[str, Any], function: Callable[..., Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _dispatching(function: Callable[..., Any], registry: dict[type, Callable[..., Any]]) -> Any:
    made = functools.singledispatch(function)
    for kind, implementation in registry.items():
        made.register(kind, implementation)
    return made


def _named_variable(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _new_variable(name: str, *default: Any) -> contextvars.ContextVar[Any]:
    if default:
        return contextvars.ContextVar(name, default=default[0])
    return contextvars.ContextVar(name)
