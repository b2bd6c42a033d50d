"""Makes subclasses of a queue that build on the insides of the standard library's queue subclasses of that one.

loky's, and joblib's with it, feed their pipe by a thread of their own; torch's wrap both ends of it. There is no pipe and no
thread in ours, so such a class would fail in the middle of somebody's program, with `install` in force.

Knows: the names of those insides. Does not know: either queue.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakSet

__all__ = ["ByInsides"]

_INSIDES = frozenset(
    {
        "_after_fork",
        "_buffer",
        "_cond",
        "_feed",
        "_finalize_close",
        "_finalize_join",
        "_ignore_epipe",
        "_jointhread",
        "_notempty",
        "_on_queue_feeder_error",
        "_opid",
        "_reader",
        "_recv_bytes",
        "_reset",
        "_rlock",
        "_sem",
        "_send_bytes",
        "_start_thread",
        "_terminate_broken",
        "_thread",
        "_unfinished_tasks",
        "_wlock",
        "_writer",
    }
)

_standard: dict[type, type] = {}
_made: WeakSet[type] = WeakSet()


class ByInsides(type):
    """What decides it: a class that defines one of those names, or whose methods use one, is made of the standard library's."""

    @staticmethod
    def stand_for(pairs: Mapping[Any, Any]) -> None:
        """Which class of ours stands for which of theirs."""
        _standard.update(pairs)

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        others = [vars(base) for base in bases if base not in _standard and base is not object]
        if not any(base in _standard for base in bases) or not any(map(_has_insides, [namespace, *others])):
            return super().__new__(mcs, name, bases, namespace, **kwargs)
        theirs = tuple(_standard.get(base, base) for base in bases)
        cls = types.new_class(name, theirs, kwargs, lambda body: body.update(namespace))
        _made.add(cls)
        return cls

    def __subclasscheck__(cls, other: type) -> bool:
        if super().__subclasscheck__(other):
            return True
        # Who has written `class Mine(Queue)` expects it to be one.
        theirs = _standard.get(cls)
        return theirs is not None and issubclass(other, theirs) and not _made.isdisjoint(other.__mro__)

    def __instancecheck__(cls, instance: object) -> bool:
        return super().__instancecheck__(instance) or cls.__subclasscheck__(type(instance))


def _has_insides(namespace: Mapping[str, Any]) -> bool:
    return not _INSIDES.isdisjoint(namespace) or any(map(_uses_insides, _codes(namespace.values())))


def _codes(values: Iterable[Any]) -> Iterable[types.CodeType]:
    for value in values:
        functions = (value.fget, value.fset) if isinstance(value, property) else (getattr(value, "__func__", value),)
        yield from (each.__code__ for each in functions if isinstance(each, types.FunctionType))


def _uses_insides(code: types.CodeType) -> bool:
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return not _INSIDES.isdisjoint(code.co_names) or any(map(_uses_insides, inner))
