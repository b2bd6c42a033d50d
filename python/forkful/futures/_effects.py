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
_MOST = 40
"""Functions that are looked at for one."""


def writes(fn: Any) -> str:
    """What `fn` visibly changes, in words that end a sentence; empty if nothing."""
    if isinstance(fn, types.BuiltinFunctionType) and not isinstance(fn.__self__, _UNCHANGING):
        return "the object that it is a method of, as far as can be seen"
    seen: set[types.CodeType] = set()
    todo = [_function(fn)]
    first = True
    while todo and len(seen) < _MOST:
        function = todo.pop()
        if function is None or function.__code__ in seen:
            continue
        seen.add(function.__code__)
        found = _in_code(function.__code__, function, first)
        if found:
            name = getattr(function, "__name__", "it")
            return found if first else f"{found} (in {name}, which it calls)"
        first = False
        for name in function.__code__.co_names:
            called = function.__globals__.get(name)
            if type(called) is types.FunctionType and _package(called) == _package(function):
                todo.append(called)
    return ""


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


def _in_code(code: types.CodeType, function: types.FunctionType, arguments: bool) -> str:
    """What this code changes. `arguments`: those that it is called with are looked at, too."""
    steps = _steps(code)
    reassigned = {step.name for step in steps if step.opname in ("STORE_FAST", "DELETE_FAST")}
    count = code.co_argcount + code.co_kwonlyargcount
    given = {name for name in code.co_varnames[:count] if name not in reassigned} if arguments else set()
    # An argument that an inner function uses is a cell.
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=False))

    def subject(step: _Step) -> str:
        """What a write to whatever this step loads would change."""
        name = step.name
        if step.opname.startswith("LOAD_FAST") and name in given:
            return f"its argument {name}"
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            if isinstance(function.__globals__.get(name), _CONTAINERS):
                return f"the global {name}"
        elif step.opname in ("LOAD_DEREF", "LOAD_CLASSDEREF") and name in cells:
            try:
                value = cells[name].cell_contents
            except ValueError:
                return ""
            if isinstance(value, _CONTAINERS):
                return f"{name} of the function around it"
        return ""

    for place, step in enumerate(steps):
        if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            return f"the global {step.name}"
        if step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.name in code.co_freevars:
            return f"{step.name} of the function around it"
        before = steps[place - 1] if place else None
        if before is None:
            continue
        if step.opname in ("LOAD_METHOD", "LOAD_ATTR") and step.name in MUTATORS:
            found = subject(before)
        elif step.opname in ("STORE_ATTR", "DELETE_ATTR"):
            before = _augmented(steps, place, 1) or before
            found = subject(before)
            if not found and before.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                found = f"an attribute of the global {before.name}"
        elif step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            owner = _augmented(steps, place, 2) or _two_below(steps, place)
            found = subject(owner) if owner is not None else ""
        else:
            continue
        if found:
            return found
    for inner in code.co_consts:
        # A function inside that writes to variables which are not this one's.
        if isinstance(inner, types.CodeType):
            outside = set(inner.co_freevars) & set(code.co_freevars)
            for step in _steps(inner):
                if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                    return f"the global {step.name}"
                if step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.name in outside:
                    return f"{step.name} of the function around it"
    return ""


def _augmented(steps: list[_Step], place: int, depth: int) -> _Step | None:
    """What loads the owner in ``owner.name += value`` (depth 1) and in ``owner[key] += value`` (depth 2)."""
    if steps[place - 1].opname not in ("SWAP", "ROT_TWO", "ROT_THREE"):
        return None
    for at in range(place - 2, 0, -1):
        step = steps[at]
        if depth == 1 and (step.opname == "DUP_TOP" or (step.opname == "COPY" and step.arg == 1)):
            return steps[at - 1]
        if depth == 2 and step.opname == "DUP_TOP_TWO":
            return _two_below(steps, at)
        if depth == 2 and step.opname == "COPY" and step.arg == 2 and steps[at - 1].opname == "COPY":
            return _two_below(steps, at - 1)
    return None


def _two_below(steps: list[_Step], place: int) -> _Step | None:
    """What loads the container of ``container[key] = value``, if a single step does and the key is made in a straight line."""
    needed, at = 1, place - 1
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
    return steps[at - 1] if at > 0 and needed == 0 else steps[at] if needed < 0 else None
