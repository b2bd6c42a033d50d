"""ctypes objects in shared memory: the standard library's, with this package's locks where none is named.

Knows: `context`. Does not know: what the locks are made of.
"""

from __future__ import annotations

from multiprocessing import sharedctypes as _theirs
from multiprocessing.sharedctypes import RawArray as RawArray
from multiprocessing.sharedctypes import RawValue as RawValue
from multiprocessing.sharedctypes import Synchronized as Synchronized
from multiprocessing.sharedctypes import SynchronizedArray as SynchronizedArray
from multiprocessing.sharedctypes import SynchronizedBase as SynchronizedBase
from multiprocessing.sharedctypes import SynchronizedString as SynchronizedString
from multiprocessing.sharedctypes import copy as copy

from forkful.multiprocessing.context import _default_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# By name: with `install` in force the module's own are these here.
_value, _array, _synchronized = _theirs.Value, _theirs.Array, _theirs.synchronized

__all__ = ["Array", "RawArray", "RawValue", "Value", "copy", "synchronized"]


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: Any = None) -> Any:
    """A ctypes object in shared memory, in a wrapper with a lock unless `lock` is False."""
    return _value(typecode_or_type, *args, lock=lock, ctx=_or_default(ctx))


def Array(typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True, ctx: Any = None) -> Any:
    """A ctypes array in shared memory, in a wrapper with a lock unless `lock` is False."""
    return _array(typecode_or_type, size_or_initializer, lock=lock, ctx=_or_default(ctx))


def synchronized(obj: Any, lock: Any = None, ctx: Any = None) -> Any:
    """The object in a wrapper with this lock, or one of its own."""
    return _synchronized(obj, lock, _or_default(ctx))


def _or_default(ctx: Any) -> Any:
    return ctx or _default_context.get_context()


def __getattr__(name: str) -> Any:
    # The tables and helpers beside `__all__`, which programs have been seen to use.
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_theirs, name)
