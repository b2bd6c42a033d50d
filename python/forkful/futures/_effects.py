"""Whether a function writes to what another process would have a copy of, as far as its bytecode shows.

In a process such a write is lost without a word. So a function that changes a global variable, a variable of an enclosing
function, an argument, or a container that it finds in one of these is to stay in threads. It looks at the function and at those
it calls by a global name. Does not know: executors; writes that go through other objects, which are their user's to declare.
"""

from __future__ import annotations

import dis
import types
from collections import deque
from typing import Any

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
_UNCHANGING = (types.ModuleType, type(None), type, int, float, complex, str, bytes, tuple, frozenset, range)
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
            if type(called) is types.FunctionType:
                todo.append(called)
    return ""


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


def _in_code(code: types.CodeType, function: types.FunctionType, arguments: bool) -> str:
    """What this code changes. `arguments`: those that it is called with are looked at, too."""
    reassigned = {
        name
        for step in dis.get_instructions(code)
        if step.opname.startswith(("STORE_FAST", "DELETE_FAST"))
        for name in _names(step)
    }
    count = code.co_argcount + code.co_kwonlyargcount
    given = {name for name in code.co_varnames[:count] if name not in reassigned} if arguments else set()
    # An argument that an inner function uses is a cell.
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=False))

    def subject(step: dis.Instruction) -> str:
        """What a write to whatever this step loads would change."""
        names = _names(step)
        name = names[-1] if names else ""
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

    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG", "NOP")]
    for place, step in enumerate(steps):
        if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            return f"the global {step.argval}"
        if step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in code.co_freevars:
            return f"{step.argval} of the function around it"
        before = steps[place - 1] if place else None
        if before is None:
            continue
        if step.opname in ("LOAD_METHOD", "LOAD_ATTR") and step.argval in MUTATORS:
            found = subject(before)
        elif step.opname in ("STORE_ATTR", "DELETE_ATTR"):
            found = subject(before)
            if not found and before.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                found = f"an attribute of the global {before.argval}"
        elif step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            owner = _two_below(steps, place)
            found = subject(owner) if owner is not None else ""
        else:
            continue
        if found:
            return found
    for inner in code.co_consts:
        # A function inside that writes to variables which are not this one's.
        if isinstance(inner, types.CodeType):
            outside = set(inner.co_freevars) & set(code.co_freevars)
            for step in dis.get_instructions(inner):
                if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                    return f"the global {step.argval}"
                if step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in outside:
                    return f"{step.argval} of the function around it"
    return ""


def _two_below(steps: list[dis.Instruction], place: int) -> dis.Instruction | None:
    """What loads the container of ``container[key] = value``, if a single step does and the key is made in a straight line."""
    needed, at = 1, place - 1
    while at >= 0 and needed > 0:
        step = steps[at]
        if "JUMP" in step.opname or step.opname.startswith("FOR_"):
            return None
        try:
            needed -= dis.stack_effect(step.opcode, step.arg)
        except ValueError:
            return None
        if needed <= 0:
            break
        at -= 1
    return steps[at - 1] if at > 0 and needed == 0 else steps[at] if needed < 0 else None


def _names(step: dis.Instruction) -> tuple[str, ...]:
    """The variables of a step; some steps of newer versions have two."""
    value = step.argval
    return value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()
