"""Measures a function and says which way to call it.

Knows: the probe, the rules and the report. Does not know: the command line.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from forkful import _checked
from forkful._version import __version__

from . import report
from .calling import Input
from .measurements import Measurements
from .rules import judge
from .timekeeper import Progress
from .verdict import Verdict

if TYPE_CHECKING:
    import os

__all__ = ["FORMAT", "Advice", "advise", "measured"]

FORMAT = 1
"""Of `Advice.to_json()`: keys may be added under the same number, and are renamed or taken away under the next one."""
_LONGEST = 86_400.0
"""Seconds of a budget: a day is a slip of the pen."""
_MOST_CALLS = 1_000_000
"""That are taken of an iterator."""


@dataclass(frozen=True)
class Advice:
    """Which way to call a function, with all that was measured; `print()` shows both."""

    verdict: Verdict
    measurements: Measurements

    @property
    def text(self) -> str:
        """The verdict in one sentence, and the numbers under it."""
        return report.text(self.measurements, self.verdict)

    def to_dict(self) -> dict[str, Any]:
        """All of it as dictionaries, lists, numbers and texts."""
        verdict = {**asdict(self.verdict), "sure": self.verdict.sure, "label": self.verdict.label}
        ways = [asdict(row) for row in report.rows(self.measurements, self.verdict)]
        return {
            "version": FORMAT,
            "forkful": __version__,
            "verdict": verdict,
            "ways": ways,
            "measurements": asdict(self.measurements),
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """The same as JSON. Times are in seconds, sizes in bytes, rates in calls per second."""
        return json.dumps(self.to_dict(), indent=indent)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the speed of each way into a file; the ending says which kind: .png, .svg or .pdf.

        ImportError where matplotlib is not installed: ``pip install 'forkful[plot]'``.
        """
        from .plot import draw

        draw(self.measurements, self.verdict, path)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        v = self.verdict
        speed = "" if v.speedup is None else f", speedup={v.speedup:.2f}"
        return f"<Advice {self.measurements.function}: {v.label}, workers={v.workers}{speed}, sure={v.sure}>"

    def _repr_html_(self) -> str:
        sentence, _, rest = self.text.partition("\n")
        return f"<p><strong>{html.escape(sentence)}</strong></p><pre>{html.escape(rest.strip(chr(10)))}</pre>"


def advise(
    fn: Callable[..., Any],
    args_list: Iterable[Any] = ((),),
    *,
    budget: float = 5.0,
    once: bool = False,
    progress: bool | Progress = False,
) -> Advice:
    """Run `fn` on real inputs, measure it, and say whether threads, processes or neither suit it.

    It is called many times: one call after the other, by 2 and more threads, and by 2 and more processes, with the share of the
    time sampled in which it holds the GIL.

    args_list: what to call it with, one item for each call, as `starmap` takes them: a tuple holds the positional arguments,
        and anything else is the one argument. By default one call without arguments.
    budget: how long it may take, in seconds. A call that takes longer than that is judged by itself.
    once: use no input twice, because a call has side effects that forbid it; then the inputs are shared out between the ways.
    progress: show a bar on standard error; or a function that is told how much is done, 0 to 1, and what comes now.

    What `fn` raises is no exception here: the verdict is then `nothing to judge`, and `measurements.raised` says what it was.
    Raises TypeError and ValueError for arguments that can't be meant.

        print(forkful.advise(parse, [(page,) for page in pages]))
    """
    return measured(fn, _calls(args_list), budget=budget, once=once, progress=progress)


def measured(
    fn: Callable[..., Any],
    calls: list[Input],
    *,
    budget: float = 5.0,
    once: bool = False,
    progress: bool | Progress = False,
) -> Advice:
    """`advise` over calls that have their arguments with names, too."""
    if not callable(fn):
        raise TypeError(
            f"fn must be something that can be called, not a {type(fn).__name__}: give the function itself, f and not f()"
        )
    limit = _checked.seconds("budget", budget, _LONGEST)
    assert limit is not None
    from .probe import measure

    with _shown(progress) as told:
        measurements = measure(fn, calls, budget=limit, once=bool(once), progress=told)
    return Advice(judge(measurements), measurements)


def _calls(args_list: Iterable[Any]) -> list[Input]:
    way_out = "it lists calls, each a tuple of arguments: [(1, 2), (3, 4)]"
    if isinstance(args_list, (str, bytes, bytearray, dict)):
        raise TypeError(f"args_list must not be a {type(args_list).__name__}: {way_out}")
    try:
        given = iter(args_list)
    except TypeError:
        raise TypeError(f"args_list must be iterable, not a {type(args_list).__name__}: {way_out}") from None
    # Of what has no length nobody knows whether it ends.
    items = list(given if isinstance(args_list, Sized) else islice(given, _MOST_CALLS + 1))
    if len(items) > _MOST_CALLS and not isinstance(args_list, Sized):
        raise ValueError(
            f"args_list yields more than {_MOST_CALLS:,} calls, and may have no end: some thousands are enough, "
            "itertools.islice(args_list, 1000)"
        )
    if not items:
        raise ValueError(f"args_list must not be empty: {way_out}; leave it out for one call without arguments")
    return [(item if isinstance(item, tuple) else (item,), {}) for item in items]


@contextmanager
def _shown(progress: bool | Progress) -> Iterator[Progress | None]:
    if progress is False or progress is None:
        yield None
    elif progress is True:
        from .bar import bar

        with bar() as told:
            yield told
    elif callable(progress):
        yield progress
    else:
        raise TypeError(f"progress must be True, False or a function of two arguments, not a {type(progress).__name__}")
