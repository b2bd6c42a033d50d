"""What a task raised, as its reader gets it.

The exception's own pickle is bytes among other parts: many exceptions can be pickled and not unpickled, as their `__init__` wants
other arguments, and whether one can is found out by its reader. A trial in the worker would use up what the exception holds, a
connection for instance. The text of the traceback is always there.

A worker's start imports it, so it imports little.
"""

from __future__ import annotations

import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["rebuilt"]

_KINDS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (TypeError, AttributeError, ValueError)}


def rebuilt(
    data: bytes | None,
    text: str,
    names: list[str],
    said: str,
    notes: list[str] | None,
    problem: tuple[str, str] | None,
) -> BaseException:
    """The exception with the text of its traceback as its cause, or a stand-in for it.

    data: its pickle. names: of its class and all bases, with their modules. said: its str(). problem: why there is no pickle.
    """
    from concurrent.futures.process import _RemoteTraceback

    cause = _RemoteTraceback(f'\n"""\n{text}"""')  # type: ignore[arg-type]
    if data is not None:
        try:
            error = pickle.loads(data)
            if isinstance(error, BaseException):
                error.__cause__ = cause
                return error
            problem = "TypeError", f"its pickle gives {type(error).__name__}"
        except Exception as why:
            try:
                problem = type(why).__name__, str(why)
            except Exception:
                problem = type(why).__name__, "<its str() failed>"
    kind, why_not = problem or ("Exception", "there is no pickle of it")
    stand_in: Any = _KINDS.get(kind, pickle.PicklingError)(
        f"a task raised {names[0]}: {said}; the exception itself can't be sent: {kind}: {why_not}"
    )
    stand_in.__cause__ = cause
    stand_in.raised_names = tuple(names)
    if notes is not None:
        stand_in.__notes__ = notes
    return stand_in  # type: ignore[no-any-return]
