"""Which of threads and processes a function needs, found out by running it.

Knows: the public executors. Does not know: the command line.
"""

from __future__ import annotations

from .advice import Advice, advise
from .measurements import Cost, Measurements, Scaling, Spread
from .rules import judge
from .verdict import Choice, Verdict

__all__ = [
    "Advice",
    "Choice",
    "Cost",
    "Measurements",
    "Scaling",
    "Spread",
    "Verdict",
    "advise",
    "judge",
]
