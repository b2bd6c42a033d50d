"""Writes times, sizes and shares as people read them.

Does not know: what they measure.
"""

from __future__ import annotations

import math

__all__ = ["percent", "rate", "seconds", "size", "times"]


def seconds(value: float) -> str:
    """A duration with two or three digits and its unit: `410 ns`, `1.2 ms`, `3.4 s`, `2.1 min`."""
    if value >= 120:
        return f"{_digits(value / 60)} min"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= 0.9995 * scale:
            return f"{_digits(value / scale)} {unit}"
    return f"{value * 1e9:.0f} ns"


def size(value: float) -> str:
    """A number of bytes: `120 bytes`, `1.5 kB`, `80 MB`; thousands are decimal."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= 0.9995 * scale:
            return f"{_digits(value / scale)} {unit}"
    return f"{value:.0f} byte{'' if round(value) == 1 else 's'}"


def percent(share: float) -> str:
    """A share between 0 and 1: `0.4 %`, `57 %`, `99.9 %`."""
    value = 100 * share
    if 0 < value < 0.95:
        return f"{max(value, 0.1):.1f} %"
    if 99.45 <= value < 100:
        return f"{min(value, 99.9):.1f} %"
    return f"{value:.0f} %"


def times(value: float) -> str:
    """A ratio: `0.31`, `1.9`, `31`."""
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.995 else f"{value:.2g}"


def rate(value: float) -> str:
    """So many a second: `0.51/s`, `1,900/s`, `2.1 million/s`."""
    if value >= 999_500:
        return f"{_digits(value / 1e6)} million/s"
    if value >= 99.5:
        # Three digits are what a measurement is good for.
        step = 10.0 ** max(0, math.floor(math.log10(value)) - 2)
        return f"{round(value / step) * step:,.0f}/s"
    return f"{_digits(value)}/s"


def _digits(value: float) -> str:
    if value >= 99.5:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"
