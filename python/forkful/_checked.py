"""Arguments that are numbers or names, looked at where they are given: whoever is wrong is told which one, and what it may be.

Does not know: what they mean.
"""

from __future__ import annotations

import math
import operator
from typing import Any

__all__ = ["MOST_BYTES", "count", "seconds", "text"]

MOST_BYTES = 2**63 - 1
"""What a process can address, and some."""
_AGES = 1e9
"""Seconds after which nobody is there to notice: 31 years."""


def count(name: str, value: Any, least: int, most: int, otherwise: str = "", *, like_standard: bool = False) -> int:
    """The value as an int from `least` to `most`; `otherwise` says what else could be given.

    `like_standard`: a bool counts as a number, as it does with the standard library's own arguments.
    """
    if isinstance(value, bool) and not like_standard:
        raise TypeError(f"{name} must be an integer{otherwise}, not {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer{otherwise}, not {_shown(value)}") from None
    if number < least:
        bound = "greater than 0" if least == 1 else f"{least} or more"
        raise ValueError(f"{name} must be {bound}{otherwise}, not {_shown(value)}")
    if number > most:
        raise ValueError(f"{name} must be at most {most}{otherwise}, and is larger")
    return number


def seconds(name: str, value: Any, most: float = math.inf, otherwise: str = "") -> float | None:
    """The value as a number of seconds above 0; None for those that are without an end, unless `most` says where that is."""
    what = f"{name} must be a number of seconds above 0"
    if isinstance(value, (bool, str, bytes, bytearray)):
        raise TypeError(f"{what}{otherwise}, not {_shown(value)}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what}{otherwise}, not {_shown(value)}") from None
    except OverflowError:
        number = math.inf
    if not number > 0:
        raise ValueError(f"{what}{otherwise}, not {_shown(value)}")
    if number > most:
        raise ValueError(f"{what} and at most {most:g}, not {_shown(value)}")
    return None if number > _AGES else number


def text(name: str, value: Any) -> str:
    """The value as a string that can be shown."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {_shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be a string that has a form in UTF-8, which {_shown(value)} has not") from None
    return value


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = ""
    return text if 0 < len(text) <= 60 else f"a {type(value).__name__}"
