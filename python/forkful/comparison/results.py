"""The figures, and what they say.

Knows: samples, medians, ratios. Does not know: where they come from, how they are shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from forkful.comparison.measures import OURS, REFERENCE, SUBJECTS, Measure


@dataclass
class Result:
    """One measure's samples."""

    measure: Measure
    samples: dict[str, list[float]] = field(default_factory=dict)
    """{subject: a value of each round}"""
    failures: dict[str, str] = field(default_factory=dict)
    """{subject: why it has no figure}"""

    def median(self, subject: str) -> float | None:
        values = self.samples.get(subject)
        return median(values) if values and subject not in self.failures else None

    def ratio(self, subject: str) -> float | None:
        """How many times as good as the standard library's figure, above 1 where it is better."""
        value, reference = self.median(subject), self.median(REFERENCE)
        return self.measure.ratio(value, reference) if value and reference else None

    def is_open(self, subject: str) -> bool:
        """Whether the rounds leave open who is better: some of its figures lie among the standard library's."""
        mine, theirs = self.samples.get(subject, []), self.samples.get(REFERENCE, [])
        return len(mine) > 1 and len(theirs) > 1 and min(mine) <= max(theirs) and min(theirs) <= max(mine)


def subjects(results: list[Result]) -> list[str]:
    """Those that have a figure or a failure, in the table's order."""
    return [name for name in SUBJECTS if any(name in {*result.samples, *result.failures} for result in results)]


def three_digits(value: float) -> str:
    """A figure with what of it means something: 1.34, 24.1, 109, 15,200, 1,570,000."""
    if value <= 0:
        return "0"
    digits = 2 - math.floor(math.log10(value))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, min(digits, 2))}f}"


def short(value: float) -> str:
    """The same in at most six characters, for narrow tables: 15.2 k, 1.57 M."""
    for letter, factor in (("M", 1e6), ("k", 1e3)):
        if value >= factor * 0.9995:
            return f"{three_digits(value / factor)} {letter}"
    return three_digits(value)


def times(ratio: float) -> str:
    """A ratio in two digits, `12 x`; a tie, within 5 %, says so: nobody should read a winner into it."""
    if 0.95 <= ratio <= 1.05:
        return "same"
    if ratio < 0.095:
        return f"{ratio:.2g} x"
    return f"{ratio:.1f} x" if ratio < 9.95 else f"{round(ratio, 1 - math.floor(math.log10(ratio))):,.0f} x"


def document(results: list[Result], about: dict[str, Any]) -> dict[str, Any]:
    """All of it, as JSON."""
    return {
        "about": about,
        "measures": {
            result.measure.name: {
                "title": result.measure.title,
                "unit": result.measure.unit,
                "better": "less" if result.measure.less_is_better else "more",
                "samples": result.samples,
                "medians": {name: result.median(name) for name in result.samples},
                "times_stdlib": {name: result.ratio(name) for name in result.samples if name != REFERENCE},
                "failures": result.failures,
            }
            for result in results
        },
    }


def complete(results: list[Result]) -> bool:
    """Whether forkful has a figure wherever somebody else has one."""
    return all(result.median(OURS) is not None or not result.samples for result in results)
