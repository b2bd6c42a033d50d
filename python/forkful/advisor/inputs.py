"""Reads what to call a function with: Python literals, a file of JSON lines, or the value of an expression.

Knows: how calls are written. Does not know: the function, but for whether they fit it.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

__all__ = ["Call", "InputError", "check", "evaluated", "lines", "literals"]

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional arguments, and those with names."""


class InputError(ValueError):
    """What was given is no argument, or does not fit the function; the text says what to write instead."""


def literals(words: Sequence[str]) -> list[Call]:
    """One call, whose positional arguments are Python literals."""
    return [(tuple(_literal(word) for word in words), {})]


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        # Who has quotes in it knows of them, and has mostly written something to be computed.
        example = "" if set("'\"$`\\!") & set(word) else f', --arg "{word!r}"'
        raise InputError(
            f"{word!r} is no Python literal: a text needs quotes of its own{example}; what has to be computed goes into --setup"
        ) from None


def lines(file: IO[str], name: str) -> list[Call]:
    """One call for each line of JSON: a list of positional arguments, an object of those with names, or the one argument."""
    calls: list[Call] = []
    try:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise InputError(
                    f'{name}, line {number}: not JSON ({error}); each line is one call, such as [1, 2] or {{"n": 1}}'
                ) from None
            calls.append(_call(value))
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not text in UTF-8: {error}") from None
    if not calls:
        raise InputError(f'{name} holds no calls: each line is one, such as [1, 2] or {{"n": 1}}')
    return calls


def _call(value: Any) -> Call:
    if isinstance(value, list):
        return tuple(value), {}
    if isinstance(value, dict):
        return (), value
    return (value,), {}


def evaluated(code: str, namespace: dict[str, Any]) -> list[Call]:
    """The calls that a piece of Python makes, run over a copy of `namespace`.

    Its last statement is an expression. A list holds calls, each a tuple of arguments or the one argument; a tuple is the
    arguments of one call; anything else is the one argument of one call.
    """
    try:
        tree = ast.parse(code.strip(), "--setup")
    except SyntaxError as error:
        raise InputError(f"--setup is no Python: {error.msg} (line {error.lineno})") from None
    last = tree.body.pop() if tree.body else None
    if not isinstance(last, ast.Expr):
        raise InputError(
            "--setup must end with an expression that makes the arguments, such as "
            '"import numpy; (numpy.ones((1000, 1000)),)"'
        )
    # A copy: what is made here is not the module's, and functions of it travel by value.
    scope = dict(namespace)
    try:
        exec(compile(tree, "--setup", "exec", dont_inherit=True), scope)
        value = eval(compile(ast.Expression(last.value), "--setup", "eval", dont_inherit=True), scope)
    except (Exception, SystemExit) as error:  # its exit status is not ours, which says something else
        raise InputError(f"--setup raised {type(error).__name__}: {error}") from error
    if isinstance(value, tuple):
        return [(value, {})]
    if not isinstance(value, list):
        return [((value,), {})]
    if not value:
        raise InputError("--setup made an empty list, and so no call; one call without arguments is ()")
    return [(item if isinstance(item, tuple) else (item,), {}) for item in value]


def check(function: Callable[..., Any], name: str, calls: Sequence[Call], source: str) -> None:
    """Raise InputError where a call does not fit the function's parameters."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # of C, and without a signature: the call itself will tell
    for number, reason in _misfits(signature, calls):
        which = (
            f"input {number} of {len(calls)} does" if len(calls) > 1 else "the arguments do" if source else "it does"
        )
        if not source and "missing" in reason:
            raise InputError(
                f"{name}{signature} needs arguments ({reason}): give them by --arg, --args-from or --setup"
            )
        # The first is enough: the others are most likely wrong in the same way.
        method = "; a method needs its object first: --setup '(Class(), ...)'" if "'self'" in reason else ""
        raise InputError(f"{which} not fit {name}{signature}: {reason}{method}")


def _misfits(signature: inspect.Signature, calls: Sequence[Call]) -> Iterator[tuple[int, str]]:
    for number, (args, kwargs) in enumerate(calls, 1):
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            yield number, str(error)
