"""Turns calls into bytes for the workers, in the parent.

A function goes as a number: of an entry in the pool's library, which each worker reads once. Entries begin with a letter:
F, a pickled callable; N, a qualified name of the main module, meaning what it means at that point of the library; D, a
definition for the main module's namespace (see `_namespace`).

Knows: the namespace, the picklers, context variables. Does not know: processes, the library's transport.
"""

from __future__ import annotations

import builtins
import io

# Also makes the main module known as `__mp_main__`, under which imported workers send its classes back.
import multiprocessing  # noqa: F401
import pickle
import struct
import sys
import threading
import types
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, overload

from forkful import _context, _engine, _relay
from forkful._byname import PICKLING_FAILED, SPAWNING, pickler, quick
from forkful._byvalue import ByValue, importable
from forkful._cargo import LARGE, Cargo, pickled
from forkful._guard import Mode, main_mode
from forkful._namespace import Carrying, Define, Namespace, Plan
from forkful._parcel import ForTask
from forkful._scope import ABSENT, is_main, resolve
from forkful._unchanged import Check, LruCache, snapshot, used_names

__all__ = ["CALL", "KEYWORDS", "PARCEL", "PRELUDE", "Encoder", "main_mode"]

KEYWORDS = 1
"""The payload holds (args, kwargs), else args alone."""
CALL = 2
"""The payload holds (function, args, kwargs)."""
PRELUDE = 4
"""Before the payload: its length in four bytes, then definitions that the library had no room for, and a context."""
PARCEL = 8
"""The payload, or what stands before it, may name parcels of file descriptors."""

# Picklers have their own way with these, whatever is registered for them.
_SAFE = frozenset({type(None), bool, int, float, str, bytes})
_LONG = frozenset({bytes, str})
_ROWS = frozenset({tuple, list, set, frozenset})
_LENGTH = struct.Struct("<I")
_START = struct.Struct("<II")
_NO_NAMES: frozenset[str] = frozenset()
_MANY = 4096
"""Functions to remember; a program that makes more of them makes them in a loop."""
_FEW = 16
"""Names that are looked at before each call in the quickest way; for more of them a plan is no slower."""

Function = Callable[..., Any]


class _Known:
    """A function that the library has."""

    __slots__ = ("builds", "definitions", "fn", "name", "number", "plan", "scope", "version")

    def __init__(self, fn: Any, scope: dict[str, Any], name: str, number: int, definitions: int) -> None:
        self.fn = fn
        self.scope = scope
        self.name = name
        self.number = number
        self.definitions = definitions
        self.plan: Plan | None = None
        self.builds = 0
        self.version = 0

    def means(self, fn: Any) -> bool:
        """Whether this is about `fn`, and its name still means it."""
        return self.fn is fn and (self.scope.get(self.name) is fn or resolve(self.scope, self.name) is fn)


class _Variant:
    """A function by value: what makes another function object the same one, and where the library has it."""

    __slots__ = ("carries", "number", "plan", "same")

    def __init__(self, same: Check) -> None:
        self.same = same
        self.carries = False
        """It holds file descriptors, which go with each task."""
        self.number: int | None = None
        self.plan: Plan | None = None


class _Variants:
    """The functions made from one code object."""

    __slots__ = ("code", "found", "hits", "misses")

    def __init__(self, code: types.CodeType) -> None:
        self.code = code  # kept, so that its address is not another's
        self.found: list[_Variant] = []
        self.hits = 0
        self.misses = 0


class Encoder:
    """The encoder of one pool; any thread may use it.

    `define` appends an entry to the library and returns its number, or None when there is no room for it: then it goes inline.
    """

    def __init__(self, define: Define, mode: Mode, *, propagate_context: bool = False) -> None:
        self.mode = mode
        self._define = define
        self._space = Namespace(define, mode)
        self._propagate = propagate_context
        self._known: dict[int, _Known] = {}
        self._by_value: dict[int, _Variants] = {}
        self._lock = threading.RLock()
        self._started_with: list[bytes] = []
        """Definitions that the latest start came with, kept for their file descriptors: workers start at any time."""
        self._main_args = False
        """The last arguments named the main module: the plain pickler would be asked in vain again."""

    def forked(self) -> None:
        """To be called right after the template's fork: what the main module holds now, the workers have."""
        self._space.forked()

    def request(self) -> dict[str, Any]:
        """What a worker must be told at its start."""
        return {"mode": self.mode, "unsure": self._space.unsure, "log_levels": _relay.levels()}

    def encode(
        self, fn: Function, args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> tuple[int, int, int, bytes | tuple[bytes, list[Any], list[memoryview]], _engine.Parcel | None]:
        """The call as (function number or -1, library entries that it needs, flags, payload), and the parcel that it names.

        A large call's payload is what stands before its pickle, the pickle in pieces, and the buffers that it names.

        Raises what pickling raises.
        """
        # Somebody's `__reduce__` may submit, and so be inside another call's.
        outer = getattr(SPAWNING, "spawning_popen", None)
        SPAWNING.spawning_popen = carrier = ForTask()
        try:
            number, definitions, inline = self._function(fn)
            if number < 0:
                flags = CALL
                data, plan = self._pickle((fn, args, kwargs or None), type(fn) is types.FunctionType)
            elif kwargs:
                flags = KEYWORDS
                data, plan = self._pickle((args, kwargs))
            else:
                flags = 0
                if not args or (_SAFE.issuperset(map(type, args)) and not any(map(_is_long, args))):
                    data, plan = pickle.dumps(args, 5), None
                else:
                    data, plan = self._pickle(args)
            if plan is not None:
                definitions = max(definitions, plan.definitions)
                inline = inline + plan.inline if inline else plan.inline
            front = b""
            if inline or self._propagate:
                carried: _context.Carried | None = None
                if self._propagate:
                    carried, names = _context.capture(self._with_names)
                    if names:
                        needed = self._planned(names)
                        definitions = max(definitions, needed.definitions)
                        inline = inline + needed.inline
                for definition in inline:
                    if type(definition) is Carrying:
                        carrier.keep(definition.parcel)
                prelude = pickle.dumps((inline, carried), 5)
                front = _LENGTH.pack(len(prelude)) + prelude
                flags |= PRELUDE
        finally:
            SPAWNING.spawning_popen = outer
        if carrier.parcel is not None:
            flags |= PARCEL
        if isinstance(data, Cargo):
            return number, definitions, flags, (front, data.pieces, data.buffers), carrier.parcel
        return number, definitions, flags, front + data if front else data, carrier.parcel

    def encode_start(
        self, initializer: Function | None, initargs: tuple[Any, ...], finalizer: Function | None = None
    ) -> bytes:
        """Initializer, arguments and finalizer for workers that inherit nothing, with the main module's names that they need."""
        data, plan = self._pickle(((initializer, finalizer), initargs, None), True, whole=True)
        definitions, inline = (0, []) if plan is None else (plan.definitions, plan.inline)
        self._started_with = inline
        prelude = pickle.dumps((inline, None), 5)
        return b"".join((_START.pack(definitions, CALL | PRELUDE), _LENGTH.pack(len(prelude)), prelude, data))

    def by_number(self, fn: Function) -> tuple[int, int, dict[str, Any], str, list[tuple[str, Any]]] | None:
        """(number, definitions, namespace, name, uses) of a function that is sent by its name.

        As long as `namespace[name] is fn`, and the same holds for every name and value of `uses`. None for what goes another
        way: for functions of the main module too, if they use variables of it, which `encode` watches, and for all where a
        context goes along.
        """
        if self._propagate:
            return None
        number, definitions, inline = self._function(fn)
        known = self._known.get(id(fn))
        if number < 0 or inline or known is None or known.scope.get(known.name) is not fn:
            return None
        uses: list[tuple[str, Any]] | None = []
        if known.plan is not None:
            uses = self._settled(known.name)
        return None if uses is None else (number, definitions, known.scope, known.name, uses)

    def decode(self, payload: bytes) -> Any:
        """The value of an outcome."""
        return pickle.loads(payload)

    # Functions

    def _function(self, fn: Any) -> tuple[int, int, list[bytes]]:
        known = self._known.get(id(fn))
        if known is not None and known.means(fn):
            plan = known.plan
            if plan is None:
                return known.number, known.definitions, []
            self._space.ensure(plan)
            if plan.builds == known.builds:
                return known.number, max(known.definitions, plan.definitions), plan.inline
            if known.version == self._space.version(known.name.partition(".")[0]):
                known.builds = plan.builds
                return known.number, max(known.definitions, plan.definitions), plan.inline
        if not (isinstance(fn, (types.FunctionType, types.BuiltinFunctionType, type)) or type(fn) is LruCache):
            return -1, 0, []  # methods, partials, objects: they have a state that may change
        with self._lock:
            found = self._name(fn)
            if found is None:
                return self._value(fn) if type(fn) is types.FunctionType else (-1, 0, [])
            if len(self._known) >= _MANY:
                self._known.clear()
            self._known[id(fn)] = found
        plan = found.plan
        if plan is None:
            return found.number, found.definitions, []
        return found.number, max(found.definitions, plan.definitions), plan.inline

    def _name(self, fn: Any) -> _Known | None:
        module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str):
            return None
        if is_main(module):
            scope = self._space.main
            if resolve(scope, name) is not fn:
                return None
            root = name.partition(".")[0]
            plan = self._planned(frozenset({root}))
            # A definition that didn't fit into the library comes with the task, after all names of the library.
            number = None if plan.inline else self._define(b"N" + name.encode())
            if number is None:
                return None
            known = _Known(fn, scope, name, number, number + 1)
            known.plan, known.builds, known.version = plan, plan.builds, self._space.version(root)
            return known
        loaded = sys.modules.get(module)
        if loaded is None or resolve(vars(loaded), name) is not fn:
            return None
        if self.mode != "inherited" and not importable(module):
            return None
        number = self._define(b"F" + quick(fn))
        return None if number is None else _Known(fn, vars(loaded), name, number, 0)

    def _value(self, fn: types.FunctionType) -> tuple[int, int, list[bytes]]:
        code = fn.__code__
        variants = self._by_value.get(id(code))
        if variants is None:
            if len(self._by_value) >= _MANY:
                self._by_value.clear()
            variants = self._by_value[id(code)] = _Variants(code)
        if variants.misses > 32 and variants.hits < variants.misses // 8:
            return -1, 0, []  # it has a new closure each time, and looking for the old ones is for nothing
        for variant in variants.found:
            if variant.same(fn):
                break
        else:
            variants.misses += 1
            if len(variants.found) >= 4:
                del variants.found[0]
            variants.found.append(_Variant(snapshot(fn)))
            return -1, 0, []
        variants.hits += 1
        if variant.carries:
            return -1, 0, []
        if variant.number is None:
            with ForTask() as carrier:
                data, plan = self._pickle(fn, True, whole=True)
            variant.carries = carrier.parcel is not None
            number = None if variant.carries else self._define(b"F" + data)
            if number is None:
                return -1, 0, []
            variant.number, variant.plan = number, plan
        if variant.plan is None:
            return variant.number, 0, []
        self._space.ensure(variant.plan)
        return variant.number, variant.plan.definitions, variant.plan.inline

    def _settled(self, name: str) -> list[tuple[str, Any]] | None:
        """What a function of the main module uses of it; None if a program changes some of that while it runs."""
        if self.mode == "by-value":
            return None
        main = self._space.main
        # In a session at a prompt everything is defined again sooner or later.
        typed = not hasattr(sys.modules["__main__"], "__file__")
        seen: dict[str, Any] = {}
        todo = [name]
        while todo:
            needed = todo.pop()
            if needed in seen or (needed not in main and hasattr(builtins, needed)):
                continue
            value = seen[needed] = self._space.settled(needed)
            if len(seen) > _FEW:
                return None
            if isinstance(value, types.ModuleType):
                continue
            if typed and needed != name:
                return None
            if value is ABSENT or not (isinstance(value, (types.FunctionType, type)) or type(value) is LruCache):
                return None
            todo.extend(used_names(value, main))
        del seen[name]
        return list(seen.items())

    # Values

    def _planned(self, names: frozenset[str]) -> Plan:
        plan = self._space.plan(names)
        self._space.ensure(plan)
        return plan

    @overload
    def _pickle(
        self, value: Any, by_value: bool = False, *, whole: Literal[False] = False
    ) -> tuple[bytes | Cargo, Plan | None]: ...

    @overload
    def _pickle(self, value: Any, by_value: bool = False, *, whole: Literal[True]) -> tuple[bytes, Plan | None]: ...

    def _pickle(self, value: Any, by_value: bool = False, *, whole: bool = False) -> tuple[bytes | Cargo, Plan | None]:
        data, names = self._named(value, by_value, whole)
        return data, self._planned(names) if names else None

    def _with_names(self, value: Any) -> tuple[bytes, frozenset[str]]:
        data, names = self._named(value, False, True)
        assert type(data) is bytes
        return data, names

    def _named(self, value: Any, by_value: bool, whole: bool) -> tuple[bytes | Cargo, frozenset[str]]:
        """The pickle of a value, and the names of the main module that it needs. whole: what is large is in it all the same."""
        dump: Any = _whole if whole else pickled
        if not by_value and not self._main_args:
            if _is_plain(value):
                return pickle.dumps(value, 5), _NO_NAMES
            try:
                data, _ = dump(pickler, value)
            except PICKLING_FAILED:
                pass
            else:
                # As in __main__ and __mp_main__.
                if not (data.names(b"_main__") if type(data) is Cargo else b"_main__" in data):
                    return data, _NO_NAMES
                self._main_args = True
        data, made = dump(partial(ByValue, here=self.mode == "inherited"), value)
        names = frozenset(made.first | made.later)
        if not names:
            self._main_args = False
        return data, names


def _whole(pickler: Callable[..., Any], value: Any) -> tuple[bytes, Any]:
    file = io.BytesIO()
    made = pickler(file, buffer_callback=None)
    made.dump(value)
    return file.getvalue(), made


def _is_long(value: Any) -> bool:
    return type(value) in _LONG and len(value) >= LARGE


def _is_plain(value: Any) -> bool:
    """Whether the plainest pickler does: rows of numbers and strings, at most two deep."""
    if type(value) is not tuple:
        return False
    for item in value:
        kind = type(item)
        if kind in _SAFE:
            if _is_long(item):
                return False
            continue
        if kind in _ROWS:
            if len(item) > 256 or not _SAFE.issuperset(map(type, item)):
                return False
        elif (
            kind is not dict
            or len(item) > 256
            or not (_SAFE.issuperset(map(type, item)) and _SAFE.issuperset(map(type, item.values())))
        ):
            return False
    return True
