"""Says what a worker that imports the main module will find in it.

Knows: the main module's source. Does not know: pickling.
"""

from __future__ import annotations

import ast
import functools
import linecache
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["Bound", "Mode", "bound_names", "main_mode"]

Mode = Literal["inherited", "imported", "by-value"]


@dataclass(frozen=True)
class Bound:
    """The names that a module's source binds."""

    always: frozenset[str]
    """At the top level, whoever loads it."""
    guarded: frozenset[str]
    """Only when it is run as the program, under `if __name__ == "__main__":`."""
    declared: frozenset[str]
    """By functions that say `global`, so that nobody can tell when."""
    has_guard: bool


def main_mode(method: str) -> Mode:
    """How workers come by what the main module defines, given the start method."""
    if method == "fork":
        return "inherited"
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if isinstance(name, str) and (name == "__main__" or name.endswith(".__main__")):
        return "by-value"  # multiprocessing doesn't import these in a child either
    if getattr(main, "__file__", None) is None:
        return "by-value"
    global _looked_at
    if _looked_at is not None and _looked_at[:2] == (id(main), main.__file__):
        return _looked_at[2]
    # Without a guard the import would run the program again.
    bound = bound_names(main)
    mode: Mode = "imported" if bound is not None and bound.has_guard else "by-value"
    _looked_at = id(main), main.__file__, mode
    return mode


# The main module's id, its file, and what was found there: parsing it takes a millisecond, and most programs have one.
# Not the module: held here it would outlive this one's names at the exit, and what its objects' `__del__` need with them.
_looked_at: tuple[int, str | None, Mode] | None = None


def bound_names(module: types.ModuleType) -> Bound | None:
    """What the module's source binds, or None where there is no source."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    try:
        return _bound("".join(linecache.getlines(file, vars(module))) or _read(file))
    except (OSError, SyntaxError, ValueError):
        return None


@functools.lru_cache(4)  # parsing takes a millisecond, and each pool asks
def _bound(source: str) -> Bound:
    tree = ast.parse(source)
    always: set[str] = set()
    guarded: set[str] = set()
    has_guard = False
    for statement in tree.body:
        if isinstance(statement, ast.If) and _is_guard(statement.test):
            has_guard = True
            guarded.update(_bindings(statement.body))
            always.update(_bindings(statement.orelse))
        else:
            always.update(_bindings([statement]))
    declared = frozenset(name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names)
    return Bound(frozenset(always), frozenset(guarded), declared, has_guard)


def _read(file: str) -> str:
    with open(file, "rb") as source:
        return source.read().decode()


def _is_guard(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(map(_is_guard, test.values))
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = [test.left, *test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def _bindings(statements: Iterable[ast.AST]) -> Iterator[str]:
    """The names that statements bind where they stand; the bodies of functions and classes have their own."""
    for node in statements:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield (alias.asname or alias.name).partition(".")[0]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ExceptHandler):
            if node.name is not None:
                yield node.name
            yield from _bindings(node.body)
        elif not isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            yield from _bindings(ast.iter_child_nodes(node))
