"""How a pool's workers start, as its arguments and the environment say.

Does not know: what is done about it.
"""

from __future__ import annotations

import multiprocessing
import operator
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

__all__ = ["chosen", "preloaded"]

METHODS = {"fork": "fork", "forkserver": "zygote", "zygote": "zygote", "spawn": "spawn"}
"""By the names that can be given."""


def chosen(
    start_method: str | None, mp_context: BaseContext | None, max_tasks_per_child: Any
) -> tuple[str, BaseContext]:
    """How workers start, and the context of that method: whoever asks it for a lock gets one that they can use."""
    known = ", ".join(map(repr, METHODS))
    if start_method is not None and not isinstance(start_method, str):
        raise TypeError(f"start_method must be one of {known}, not {start_method!r}")
    if mp_context is not None and not callable(getattr(mp_context, "get_start_method", None)):
        example = (
            mp_context if isinstance(mp_context, str) and mp_context in ("fork", "forkserver", "spawn") else "fork"
        )
        raise TypeError(
            f"mp_context must be a context, as multiprocessing.get_context({example!r}) gives one, not {mp_context!r}; "
            "start_method takes a name"
        )
    given = mp_context is not None
    named = start_method
    if named is None and not given:
        named = os.environ.get("FORKFUL_START_METHOD") or None
    if named is not None and named not in METHODS:
        raise ValueError(f"start_method must be one of {known}, not {named!r}")
    if mp_context is None:
        alone = max_tasks_per_child is not None and named is None
        mp_context = multiprocessing.get_context("spawn" if alone else None)
    theirs: Any = mp_context.get_start_method(allow_none=False) or "fork"
    if max_tasks_per_child is not None:
        try:
            operator.index(max_tasks_per_child)
        except TypeError:
            raise TypeError(
                f"max_tasks_per_child must be an integer, or None for no bound, not {max_tasks_per_child!r}"
            ) from None
        if max_tasks_per_child <= 0:
            raise ValueError("max_tasks_per_child must be >= 1, or None for no bound")
        if given and named is None and theirs == "fork":
            raise ValueError(
                "max_tasks_per_child is incompatible with the 'fork' multiprocessing start method; supply a different "
                "mp_context, or say start_method='fork', which is safe here"
            )
    if named is None and theirs not in METHODS:
        raise ValueError(
            f"mp_context starts processes by {theirs!r}, and workers can be started by {known}: give one of "
            "multiprocessing's contexts, or say start_method="
        )
    method = METHODS[named or theirs]
    if METHODS.get(theirs) != method:
        mp_context = multiprocessing.get_context({"zygote": "forkserver"}.get(method, method))
    return method, mp_context


def preloaded(preload: Any, method: str) -> tuple[str, ...]:
    """The modules that workers shall have from the start: those that were named, else what multiprocessing was told."""
    try:
        names = (preload,) if isinstance(preload, str) else tuple(preload)
    except TypeError:
        names = (preload,)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"preload must be names of modules, as in preload=['numpy'], not {name!r}")
    if method == "zygote" and not names:
        from multiprocessing import forkserver

        told = getattr(forkserver._forkserver, "_preload_modules", [])  # by set_forkserver_preload
        return tuple(name for name in told if name != "__main__")
    return names
