"""Tells whether a value still is what it was when it was sent.

By identity where that is safe, by the bytes of its pickle where a value can change in place and is small. A big container is
known by its identity only: whoever changes it rebinds its name.

Does not know: who asks, and what follows.
"""

from __future__ import annotations

import builtins
import copyreg
import functools
import logging
import pickle
import re
import types
import weakref
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from forkful._scope import ABSENT, is_main

__all__ = ["Check", "global_names", "snapshot", "used_names"]

Check = Callable[[Any], bool]

SMALL = 4096
"""A value whose pickle is longer is not pickled again to see whether it has changed: 100,000 integers take 760 us."""

LruCache = type(functools.lru_cache(lambda: None))

# Equal means the same. Not floats: 0.0 == -0.0, nan != nan.
_EQUAL = frozenset({type(None), bool, int, str, bytes})
_SAME = _EQUAL | {
    float,
    complex,
    type(ABSENT),
    type(Ellipsis),
    type(NotImplemented),
    types.ModuleType,
    types.BuiltinFunctionType,
    re.Pattern,
    logging.Logger,
    LruCache,
}
_CONTAINERS = (list, dict, set, bytearray)


def snapshot(value: Any, within: tuple[Any, ...] = ()) -> Check:
    """A question to be asked later of what then stands in the value's place: is it unchanged?"""
    kind = type(value)
    if kind in _EQUAL:
        return lambda now: now is value or (type(now) is kind and now == value)
    if kind in _SAME:
        return lambda now: now is value
    if kind is types.FunctionType:
        if any(value is outer for outer in within):
            return lambda now: type(now) is types.FunctionType and now.__code__ is value.__code__
        return _function(value, (*within, value))
    if isinstance(value, type):
        return _class(value)
    if (kind is tuple or kind is frozenset) and _SAME.issuperset(map(type, value)) and len(value) <= 64:
        return lambda now: now is value or (type(now) is kind and len(now) == len(value) and _alike(now, value))
    return _bytes(value)


def _alike(now: Any, value: Any) -> bool:
    if isinstance(value, frozenset):
        return False  # its order tells nothing; another one counts as changed
    return all(a is b or (type(a) is type(b) and type(a) in _EQUAL and a == b) for a, b in zip(now, value, strict=True))


def _bytes(value: Any) -> Check:
    same = _identity(value)
    data = _content(value)
    if data is None:
        return same
    kind = type(value)
    del value
    return lambda now: type(now) is kind and _content(now) == data


def _content(value: Any) -> bytes | None:
    """The bytes of a small value, or None. Nothing of the program's runs for that, and nothing big is copied."""
    if not isinstance(value, _CONTAINERS) and not _is_ordinary(type(value)):
        return None
    file = _Small()
    try:
        _Content(file, 5).dump(value)
    except Exception:
        return None
    return b"".join(file.pieces)


class _Small:
    """A file that is full soon: the pickler hands on what it has at 64 KB, big strings and buffers at once."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def write(self, piece: Any) -> int:
        self.size += len(piece)
        if self.size > SMALL:
            raise OverflowError
        self.pieces.append(bytes(piece))
        return len(piece)


class _Content(pickle.Pickler):
    """Sees what is in builtin containers and ordinary objects; all else it takes by identity.

    The reductions of connections or of tensors have effects that a question must not have.
    """

    def reducer_override(self, item: Any) -> Any:
        return NotImplemented if item is int or _is_ordinary(type(item)) else (int, (id(item),))


def _is_ordinary(kind: type) -> bool:
    """Whether objects of a type are what is in their attributes."""
    return (
        all(getattr(kind, name, own) is own for name, own in _REDUCTIONS)
        and not issubclass(kind, (type, types.FunctionType, types.ModuleType))
        and kind not in copyreg.dispatch_table
    )


# The last from 3.11 on; before, a class that has it has its own.
_REDUCTIONS = [(name, getattr(object, name, None)) for name in ("__reduce_ex__", "__reduce__", "__getstate__")]


def _identity(value: Any) -> Check:
    """Is it the same object? Without keeping a big one alive that the program wants to be rid of."""
    try:
        reference = weakref.ref(value)
    except TypeError:
        if not isinstance(value, (list, dict, set)):
            return lambda now: now is value
        # These can't be referred to weakly, and the next list often takes the last one's address: look at the ends too.
        number, trace = id(value), _trace(value)
        return lambda now: id(now) == number and _trace(now) == trace
    # A reference to what is gone says None, which may be what stands there now.
    return lambda now: now is not None and reference() is now


def _trace(value: Any) -> tuple[Any, ...]:
    if isinstance(value, list):
        return (list, len(value), *map(id, value[:4]), *map(id, value[-4:]))
    return (type(value), len(value), *(id(item) for item, _ in zip(value, range(4), strict=False)))


def _function(value: Any, within: tuple[Any, ...]) -> Check:
    """Another function object of the same code, over the same globals with the same cells and defaults, is unchanged."""
    code, scope = value.__code__, value.__globals__
    parts = [snapshot(part, within) for part in _parts(value)]

    def unchanged(now: Any) -> bool:
        if type(now) is not types.FunctionType or now.__code__ is not code or now.__globals__ is not scope:
            return False
        theirs = _parts(now)
        if len(theirs) != len(parts):
            return False
        return all(check(part) for check, part in zip(parts, theirs, strict=True))

    return unchanged


def _parts(function: types.FunctionType) -> list[Any]:
    parts = []
    if function.__closure__:
        for cell in function.__closure__:
            try:
                parts.append(cell.cell_contents)
            except ValueError:
                parts.append(ABSENT)
    if function.__defaults__:
        parts.extend(function.__defaults__)
    if function.__kwdefaults__:
        parts.extend(function.__kwdefaults__.values())
    if function.__dict__:
        parts.extend(function.__dict__.values())
    return parts


def _class(value: type) -> Check:
    if issubclass(value, Enum):
        return lambda now: now is value  # its tables grow by being looked at
    members = dict(_members(value))
    checks = {name: snapshot(member) for name, member in members.items() if type(member) in _CONTAINERS}

    def unchanged(now: Any) -> bool:
        if now is not value:
            return False
        count = 0
        for name, member in _members(value):
            count += 1
            check = checks.get(name)
            if check(member) is False if check is not None else members.get(name, ABSENT) is not member:
                return False
        return count == len(members)

    return unchanged


def _members(value: type) -> Iterator[tuple[str, Any]]:
    for name, member in list(value.__dict__.items()):
        # Pickling, annotations and abstract classes leave notes of their own under such names.
        if name.startswith(("__", "_abc_")) and not isinstance(member, types.FunctionType):
            continue
        yield name, member


_names_of_code: weakref.WeakKeyDictionary[types.CodeType, frozenset[str]] = weakref.WeakKeyDictionary()


def global_names(code: types.CodeType) -> frozenset[str]:
    """The names that a function's code looks up or binds in its globals; those of nested functions too."""
    from cloudpickle import cloudpickle  # type: ignore[import-untyped]

    known = _names_of_code.get(code)
    if known is None:
        names = frozenset(cloudpickle._extract_code_globals(code))
        known = _names_of_code[code] = frozenset(name for name in names if name not in _NOT_SENT)
    return known


# The module's own bookkeeping, which a worker's module has itself.
_NOT_SENT = frozenset({"__name__", "__builtins__", "__spec__", "__loader__", "__package__", "__annotations__"})


def used_names(value: Any, scope: dict[str, Any]) -> frozenset[str]:
    """The names of `scope` that a value needs when it is used: seen from outside, without pickling it."""
    names: set[str] = set()
    seen: list[Any] = []
    todo = [value]
    while todo:
        item = todo.pop()
        if any(item is other for other in seen):
            continue
        seen.append(item)
        if isinstance(item, (staticmethod, classmethod, types.MethodType)):
            todo.append(item.__func__)
        elif isinstance(item, property):
            todo.extend(part for part in (item.fget, item.fset, item.fdel) if part is not None)
        elif isinstance(item, functools.partial):
            todo.append(item.func)
        elif isinstance(item, LruCache):
            todo.append(item.__wrapped__)
        elif isinstance(item, types.FunctionType):
            if item.__globals__ is scope:
                names |= global_names(item.__code__)
            todo.extend(part for part in _parts(item) if callable(part))
        elif isinstance(item, type):
            if is_main(item.__module__):
                names.add(item.__qualname__.partition(".")[0])
                todo.extend(item.__dict__.values())
                todo.extend(item.__bases__)
        elif is_main(type(item).__module__):
            todo.append(type(item))
    return frozenset(name for name in names if name in scope or not hasattr(builtins, name))
