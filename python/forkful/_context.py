"""Carries the values of context variables from the submitting thread to the task.

Knows: where variables are. Does not know: tasks.
"""

from __future__ import annotations

import contextvars
import importlib
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from forkful._byvalue import locate
from forkful._scope import is_main

__all__ = ["Carried", "capture", "restore", "run_with"]

T = TypeVar("T")

Carried = list[tuple[str, str, bytes]]
"""For each variable the module that holds it, its name there, and the pickle of its value."""

_FIXED = frozenset({type(None), bool, int, float, str, bytes})
_recent: dict[tuple[int, int], tuple[contextvars.ContextVar[Any], Any, bytes]] = {}


def capture(dump: Callable[[Any], tuple[bytes, frozenset[str]]]) -> tuple[Carried, frozenset[str]]:
    """The present values that can travel, and the names of the main module that they need; others stay behind."""
    carried: Carried = []
    names: set[str] = set()
    for variable, value in contextvars.copy_context().items():
        place = locate(variable)
        if place is None:
            continue
        if type(value) in _FIXED:
            data = _fixed(variable, value)
        else:
            try:
                data, needed = dump(value)
            except Exception:
                continue
            names |= needed
        if is_main(place[0]):
            names.add(place[1])
        carried.append((*place, data))
    return carried, frozenset(names)


def _fixed(variable: contextvars.ContextVar[Any], value: Any) -> bytes:
    key = (id(variable), id(value))
    known = _recent.get(key)
    if known is not None and known[0] is variable and known[1] is value:
        return known[2]
    data = pickle.dumps(value, 5)
    if len(_recent) >= 64:
        _recent.clear()
    if len(data) < 1024:
        _recent[key] = (variable, value, data)
    return data


def restore(carried: Carried) -> list[tuple[contextvars.ContextVar[Any], Any]]:
    """The variables and their values, in the worker. What can't be found or loaded here is left out, as on the way here."""
    values = []
    for module, name, data in carried:
        try:
            variable = getattr(importlib.import_module(module), name)
            if isinstance(variable, contextvars.ContextVar):
                values.append((variable, pickle.loads(data)))
        except Exception:
            continue
    return values


def run_with(
    values: list[tuple[contextvars.ContextVar[Any], Any]],
    call: Callable[..., T],
    args: Any,
    kwargs: dict[str, Any] | None,
) -> T:
    """Calls in a fresh context in which the variables have these values."""
    return contextvars.Context().run(_run, values, call, args, kwargs)


def _run(
    values: list[tuple[contextvars.ContextVar[Any], Any]],
    call: Callable[..., T],
    args: Any,
    kwargs: dict[str, Any] | None,
) -> T:
    for variable, value in values:
        variable.set(value)
    return call(*args, **kwargs) if kwargs else call(*args)
