"""How a future that was begun for somebody else is finished, and what is to be known before that.

Does not know: pools, why a call runs where it runs.
"""

from __future__ import annotations

import contextvars
import io
import pickle
from collections.abc import Callable
from concurrent.futures import CancelledError, InvalidStateError
from typing import Any

__all__ = ["fail", "follow", "must_pickle", "no_result", "run_for", "run_of_context", "succeed"]


def run_of_context(fn: Any) -> Callable[..., Any] | None:
    """The `run` of the context in which a call was submitted, where that goes along: then it is the task's function."""
    return fn if isinstance(getattr(fn, "__self__", None), contextvars.Context) and fn.__name__ == "run" else None


def succeed(future: Any, value: Any) -> None:
    """Finishes a future that nobody else is to finish."""
    try:
        future.set_result(value)
    except InvalidStateError:
        pass  # its user has


def fail(future: Any, error: BaseException) -> None:
    """The same with an error."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        pass


def run_for(future: Any, fn: Any, args: Any, kwargs: Any, run: Any) -> None:
    """In a thread: runs a call whose future has been begun."""
    try:
        value = fn(*args, **kwargs) if run is None else run(fn, *args, **kwargs)
    except BaseException as error:
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next
        fail(future, error)
    else:
        succeed(future, value)


def follow(future: Any, again: Any) -> None:
    """Ends a begun call whose task for a thread has not run, as a shutdown has cancelled it or its pool is broken."""
    error = CancelledError() if again.cancelled() else again.exception()
    if error is not None:
        fail(future, error)


def no_result(name: str) -> str:
    """What is added to the error of a result that can't be sent back."""
    return (
        f"AutoExecutor ran {name} in a process, as it computes in Python, and this result can't be sent back; its next calls "
        "run in threads. with_options(where='threads') has them run there from the first one on"
    )


def must_pickle(value: Any) -> None:
    """Raises if a process could not send this."""
    try:
        pickle.dumps(value, 5, buffer_callback=lambda _: None)
    except (pickle.PicklingError, AttributeError, TypeError):
        from forkful._byvalue import ByValue

        ByValue(io.BytesIO(), back=True).dump(value)
