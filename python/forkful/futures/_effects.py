"""Whether a function writes to what another process would have a copy of, as far as its bytecode shows.

In a process such a write is lost without a word. So a function that changes a global variable, a variable of an enclosing
function, an argument, or a container that it finds in one of these is to stay in threads. It looks at the function and at those
of its package that it calls by a global name; libraries' caches are nobody's loss.

Does not know: executors; writes that go through other objects, which are their user's to declare.
"""

from __future__ import annotations

import dis
import types
from collections import deque
from itertools import pairwise
from typing import Any, NamedTuple

__all__ = ["writes"]

MUTATORS = frozenset(
    (
        *("add", "append", "appendleft", "clear", "difference_update", "discard", "extend", "extendleft", "insert"),
        *("intersection_update", "pop", "popitem", "popleft", "put", "put_nowait", "remove", "reverse", "rotate"),
        *("setdefault", "sort", "subtract", "symmetric_difference_update", "update", "writelines"),
    )
)
"""Methods by which containers change."""
_CONTAINERS = (list, dict, set, bytearray, deque)
_UNCHANGING: tuple[type, ...] = (
    types.ModuleType,
    type(None),
    type,
    int,
    float,
    complex,
    str,
    bytes,
    tuple,
    frozenset,
    range,
)
"""Objects whose methods change nothing."""
_SUBSCRIPT = 26
"""The argument of BINARY_OP by which Python 3.14 takes an item."""
_MOST = 40
"""Functions that are looked at for one."""


def writes(fn: Any) -> str:
    """What `fn` visibly changes, in words that end a sentence; empty if nothing."""
    if isinstance(fn, types.BuiltinFunctionType) and not isinstance(fn.__self__, _UNCHANGING):
        return "the object that it is a method of, as far as can be seen"
    seen: set[types.CodeType] = set()
    function = _function(fn)
    # With how many of their arguments, which are what `fn` was called with.
    todo = [] if function is None else [(function, _arguments(function.__code__))]
    owner = _owner(fn)
    while todo and len(seen) < _MOST:
        function, given = todo.pop()
        code = function.__code__
        if code in seen:
            continue
        first = not seen
        seen.add(code)
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=False))
        found = _Look(code, function.__globals__, cells, given).found()
        if found:
            return found if first else f"{found} (in {getattr(function, '__name__', 'it')}, which it calls)"
        for name in code.co_names:
            called = function.__globals__.get(name)
            if type(called) is types.FunctionType and _package(called) == _package(function):
                todo.append((called, 0))
            # A method of its own object's.
            called = _static(owner, name) if given and owner is not None else None
            if type(called) is types.FunctionType and name in _asked_of_first(code):
                todo.append((called, 1))
    return ""


def _arguments(code: types.CodeType) -> int:
    return code.co_argcount + code.co_kwonlyargcount


def _owner(fn: Any) -> type | None:
    """The class of the object that a method, or a callable object, hands to its function."""
    for _ in range(20):
        if isinstance(fn, types.MethodType):
            return fn.__self__ if isinstance(fn.__self__, type) else type(fn.__self__)
        if type(fn) is types.FunctionType:
            return None
        if not (hasattr(fn, "func") and callable(fn.func)):
            break
        fn = fn.func
    return type(fn) if type(vars(type(fn)).get("__call__")) is types.FunctionType else None


def _static(owner: type | None, name: str) -> Any:
    """What a class has by that name, without asking its descriptors."""
    for kind in type.mro(owner) if owner is not None else ():
        if name in vars(kind):
            return vars(kind)[name]
    return None


def _asked_of_first(code: types.CodeType) -> set[str]:
    """The names that code asks its first argument for."""
    steps, first = _steps(code), code.co_varnames[:1]
    return {
        step.name
        for before, step in pairwise(steps)
        if step.opname in ("LOAD_METHOD", "LOAD_ATTR") and before.name in first and before.opname.startswith("LOAD_")
    }


def _package(function: types.FunctionType) -> str:
    return str(function.__module__).partition(".")[0]


def _function(fn: Any) -> types.FunctionType | None:
    """The Python function behind a callable, if there is one."""
    for _ in range(20):
        if type(fn) is types.FunctionType:
            return fn
        if isinstance(fn, types.MethodType):
            fn = fn.__func__
        elif hasattr(fn, "func") and callable(fn.func):  # a partial
            fn = fn.func
        elif hasattr(fn, "__wrapped__"):  # what lru_cache makes
            fn = fn.__wrapped__
        else:
            break
    call = vars(type(fn)).get("__call__")
    return call if not isinstance(fn, type) and type(call) is types.FunctionType else None


class _Step(NamedTuple):
    """An instruction, of which newer versions put two into one."""

    opname: str
    name: str
    arg: int | None
    effect: int | None


def _steps(code: types.CodeType) -> list[_Step]:
    steps: list[_Step] = []
    for step in dis.get_instructions(code):
        if step.opname in ("CACHE", "EXTENDED_ARG", "NOP", "NOT_TAKEN"):
            continue
        if isinstance(step.argval, tuple) and "_FAST_" in step.opname:
            first, second = step.argval
            for name, stores in (
                (first, step.opname.startswith("STORE")),
                (second, step.opname.endswith("STORE_FAST")),
            ):
                steps.append(_Step("STORE_FAST" if stores else "LOAD_FAST", name, None, -1 if stores else 1))
            continue
        try:
            effect: int | None = dis.stack_effect(step.opcode, step.arg)
        except ValueError:
            effect = None
        steps.append(_Step(step.opname, step.argval if isinstance(step.argval, str) else "", step.arg, effect))
    return steps


class _Look:
    """A look at one code object, and at those inside it."""

    def __init__(
        self, code: types.CodeType, scope: dict[str, Any], cells: dict[str, types.CellType], arguments: int
    ) -> None:
        """cells: the variables of the function around it; arguments: so many of its arguments are looked at, too."""
        self._code, self._scope, self._cells = code, scope, cells
        self._steps = _steps(code)
        stores = [step.name for step in self._steps if step.opname in ("STORE_FAST", "STORE_DEREF", "DELETE_FAST")]
        self._known = {name: f"its argument {name}" for name in code.co_varnames[:arguments] if name not in stores}
        for place in range(1, len(self._steps)):
            # Another name for one of these, as long as it is nothing else.
            step, before = self._steps[place], self._steps[place - 1]
            if step.opname == "STORE_FAST" and before.opname.startswith("LOAD_") and stores.count(step.name) == 1:
                found = self._subject(place - 1)
                if found:
                    self._known[step.name] = found

    def found(self) -> str:
        """What is changed; empty if nothing."""
        for place in range(len(self._steps)):
            found = self._changed(place)
            if found:
                return found
        for inner in self._code.co_consts:
            # A function inside: variables of this one are nobody's loss.
            if isinstance(inner, types.CodeType):
                look = _Look(inner, self._scope, {n: c for n, c in self._cells.items() if n in inner.co_freevars}, 0)
                look._known.update({name: told for name, told in self._known.items() if name in inner.co_freevars})
                found = look.found()
                if found:
                    return found
        return ""

    def _changed(self, place: int) -> str:
        """What this step changes, if it does."""
        steps = self._steps
        step = steps[place]
        if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            return f"the global {step.name}"
        if step.opname in ("STORE_DEREF", "DELETE_DEREF"):
            return f"{step.name} of the function around it" if step.name in self._cells else ""
        if not place:
            return ""
        if step.opname in ("LOAD_METHOD", "LOAD_ATTR") and step.name in MUTATORS:
            return self._subject(place - 1)
        if step.opname in ("STORE_ATTR", "DELETE_ATTR"):
            owner = _augmented(steps, place, 1)
            owner = place - 1 if owner is None else owner
            found = self._subject(owner)
            if not found and steps[owner].opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                found = f"an attribute of the global {steps[owner].name}"
            return found
        if step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            owner = _augmented(steps, place, 2)
            owner = _two_below(steps, place) if owner is None else owner
            return self._subject(owner)
        if step.opname == "STORE_SLICE":
            return self._subject(_two_below(steps, place, 2))
        return ""

    def _subject(self, at: int | None) -> str:
        """What a write to whatever this step loads would change: that, or what it was found in."""
        path: list[str | None] = []  # attributes by name, items as None; the last one first
        while at is not None and at > 0:
            step = self._steps[at]
            if step.opname == "LOAD_ATTR":
                path.append(step.name)
                at -= 1
            elif step.opname == "BINARY_SUBSCR" or (step.opname == "BINARY_OP" and step.arg == _SUBSCRIPT):
                path.append(None)
                at = _two_below(self._steps, at)
            else:
                break
        if at is None:
            return ""
        step = self._steps[at]
        name = step.name
        if step.opname.startswith(("LOAD_FAST", "LOAD_DEREF")) and name in self._known:
            return self._known[name]
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            value, told = self._scope.get(name), f"the global {name}"
        elif step.opname in ("LOAD_DEREF", "LOAD_CLASSDEREF") and name in self._cells:
            told = f"{name} of the function around it"
            try:
                value = self._cells[name].cell_contents
            except ValueError:
                return ""
        else:
            return ""
        while path and path[-1] is not None:
            value = getattr(value, "__dict__", {}).get(path.pop())
        return told if isinstance(value, _CONTAINERS) else ""


def _augmented(steps: list[_Step], place: int, depth: int) -> int | None:
    """Which step loads the owner in ``owner.name += value`` (depth 1) and in ``owner[key] += value`` (depth 2)."""
    if steps[place - 1].opname not in ("SWAP", "ROT_TWO", "ROT_THREE"):
        return None
    for at in range(place - 2, 0, -1):
        step = steps[at]
        if depth == 1 and (step.opname == "DUP_TOP" or (step.opname == "COPY" and step.arg == 1)):
            return at - 1
        if depth == 2 and step.opname == "DUP_TOP_TWO":
            return _two_below(steps, at)
        if depth == 2 and step.opname == "COPY" and step.arg == 2 and steps[at - 1].opname == "COPY":
            return _two_below(steps, at - 1)
    return None


def _two_below(steps: list[_Step], place: int, keys: int = 1) -> int | None:
    """Which step loads the container of ``container[key]``, if the key is made in a straight line; a slice may be two."""
    needed, at = keys, place - 1
    while at >= 0 and needed > 0:
        step = steps[at]
        if "JUMP" in step.opname or step.opname.startswith("FOR_"):
            return None
        if step.effect is None:
            return None
        needed -= step.effect
        if needed <= 0:
            break
        at -= 1
    return at - 1 if at > 0 and needed == 0 else at if needed < 0 else None
