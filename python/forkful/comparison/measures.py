"""The list of what is measured, and of whom.

Knows: names and units. Does not know: how anything is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REFERENCE = "stdlib"
"""Whom the ratios are against."""

OURS = "forkful"

SUBJECTS = (OURS, REFERENCE, "loky", "joblib", "pebble", "serial")
"""In the order of the table; `serial` is a loop without any pool."""

PACKAGES = ("loky", "joblib", "pebble")
"""The subjects that are measured only where they are installed, each under its package's name."""


@dataclass(frozen=True)
class Measure:
    """One figure of each subject."""

    name: str
    title: str
    """What is measured, for who reads the table."""
    work: str
    """The function of `work` that measures it."""
    kind: Literal["threads", "processes"]
    unit: Literal["us", "ms", "tasks/s", "items/s", "messages/s"]
    others: tuple[str, ...]
    """Who has such a thing beside forkful and the standard library."""

    @property
    def subjects(self) -> tuple[str, ...]:
        return (OURS, REFERENCE, *self.others)

    @property
    def less_is_better(self) -> bool:
        return self.unit in ("us", "ms")

    def ratio(self, value: float, reference: float) -> float:
        """How many times as good `value` is as `reference`."""
        return reference / value if self.less_is_better else value / reference


MEASURES = (
    Measure("latency-threads", "submit().result(), hot, threads", "latency", "threads", "us", ("pebble",)),
    Measure("latency-processes", "submit().result(), hot, processes", "latency", "processes", "us", ("loky", "pebble")),
    Measure("throughput-threads", "small tasks, threads", "throughput", "threads", "tasks/s", ("joblib", "pebble")),
    Measure(
        "throughput-processes",
        "small tasks, processes",
        "throughput",
        "processes",
        "tasks/s",
        ("loky", "joblib", "pebble"),
    ),
    Measure("map-threads", "map over small items, threads", "mapped", "threads", "items/s", ("joblib",)),
    Measure("map-processes", "map over small items, processes", "mapped", "processes", "items/s", ("loky", "joblib")),
    Measure("array", "100 MB to a worker, which sums them", "array", "processes", "ms", ("loky", "joblib", "pebble")),
    Measure("queue", "numbers through a Queue of two processes", "queue", "processes", "messages/s", ()),
    Measure(
        "sleeping", "three tasks that sleep for 100 ms", "sleeping", "threads", "ms", ("joblib", "pebble", "serial")
    ),
    Measure(
        "computing",
        "a job that computes in Python, all CPUs",
        "computing",
        "processes",
        "ms",
        ("loky", "joblib", "pebble", "serial"),
    ),
    Measure("first-threads", "a new executor's first result, threads", "first", "threads", "ms", ("pebble",)),
    Measure(
        "first-processes", "a new executor's first result, processes", "first", "processes", "ms", ("loky", "pebble")
    ),
)


def chosen(beginnings: tuple[str, ...]) -> list[Measure]:
    """The measures whose names begin so, or all where nothing is asked for."""
    return [measure for measure in MEASURES if not beginnings or measure.name.startswith(beginnings)]
