"""The verdict and the numbers under it, as rows, facts and plain text.

Knows: measurements, verdicts and units. Does not know: terminals.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from .measurements import Cost, Measurements, Scaling
from .model import busy, gil_held, gil_margin, own_threads
from .units import percent, rate, seconds, size, times
from .verdict import Choice, Verdict
from .wording import CALLED

__all__ = ["COLUMNS", "Row", "facts", "headline", "remarks", "rows", "text"]

COLUMNS = ("way", "workers", "calls", "speed", "middle half")
_WIDTH = 110


@dataclass(frozen=True)
class Row:
    """One way to call the function with so many workers."""

    way: Choice
    workers: int
    rate: float
    """Calls per second."""
    speedup: float
    """Times the speed of one call after the other."""
    low: float
    """The same at the lower quartile."""
    high: float
    """The same at the upper quartile."""
    chosen: bool

    def cells(self) -> tuple[str, ...]:
        """The row as people read it, one text for each of `COLUMNS`."""
        name = "one by one" if self.way == "inline" else CALLED[self.way]
        between = f"{times(self.low)} to {times(self.high)}"
        return name, str(self.workers), rate(self.rate), f"x {times(self.speedup)}", between


def rows(m: Measurements, verdict: Verdict) -> list[Row]:
    """All that was measured, from one call after the other on."""
    if not m.judged or m.wall.count == 0 or m.wall.median <= 0:
        return []
    wall = m.wall
    slowest, fastest = wall.median / max(wall.high, 1e-12), wall.median / max(wall.low, 1e-12)
    found = [Row("inline", 1, 1 / wall.median, 1.0, slowest, fastest, verdict.choice == "inline")]
    ways: tuple[tuple[Choice, tuple[Scaling, ...]], ...] = (
        ("asyncio", m.tasks),
        ("threads", m.threads),
        ("processes", m.processes),
        ("processes with share", m.shared),
    )
    for way, scalings in ways:
        for scaling in sorted(scalings, key=lambda scaling: scaling.workers):
            chosen = verdict.choice == way and verdict.workers == scaling.workers
            speed = scaling.rate
            found.append(
                Row(
                    way,
                    scaling.workers,
                    speed.median,
                    speed.median * wall.median,
                    speed.low * wall.median,
                    speed.high * wall.median,
                    chosen,
                )
            )
    return found


def headline(m: Measurements) -> str:
    """What was measured, on what, and for how long."""
    inputs = f"{m.inputs:,} input{'s' if m.inputs != 1 else ''}{', each used once' if m.once else ''}"
    turns = "" if m.gil else ", no GIL"
    return f"{m.function}: {inputs}, {m.cpus} CPU{'s' if m.cpus != 1 else ''}{turns}, {seconds(m.spent)} of measuring"


def facts(m: Measurements, verdict: Verdict) -> list[tuple[str, str]]:
    """The numbers of single calls, each with its name."""
    if not m.judged or m.wall.count == 0 or m.wall.median <= 0:
        return []
    wall = m.wall.median
    found = [("A call", f"{seconds(wall)}, the first one {seconds(m.first)}")]
    share = busy(m)
    computes = f"computes {percent(share)} of it, waits {percent(1 - share)}"
    if own_threads(m):
        computes += f"; with its own threads {times(m.all_cpu / wall)} CPUs are busy"
    if m.children_cpu > 0.02 * wall:
        computes += f"; its child processes keep {times(m.children_cpu / wall)} CPUs busy"
    if m.delayed > 0.02 * wall:
        computes += f", when it is not kept from the CPU by other programs, as {percent(m.delayed / wall)} of the time"
    found.append(("CPU", computes))
    if not m.gil:
        found.append(("GIL", "this interpreter has none"))
    elif m.gil_share is None:
        found.append(("GIL", "not sampled"))
    else:
        held = gil_held(m) or 0.0
        sampled = f" ({percent(m.gil_share)} with what other programs added)" if abs(held - m.gil_share) > 0.05 else ""
        found.append(("GIL", f"held {percent(held)} of the time, give or take {percent(gil_margin(m))}{sampled}"))
    found.append(("Arguments", _cost(m.arguments, m.shareable)))
    found.append(("Result", _cost(m.result)))
    if m.process_start > 0:
        found.append(("Start", f"{seconds(m.process_start)} until a pool of processes has run its first call"))
    lead = _lead(verdict)
    if lead:
        found.append(("Lead", lead))
    return found


def _cost(cost: Cost, shareable: int = 0) -> str:
    if cost.error is not None:
        return f"can't be pickled: {cost.error.strip().partition(chr(10))[0]}"
    large = f", {size(cost.buffers)} of them large buffers" if cost.buffers else ""
    same = f", {size(shareable)} of them the same in every call" if shareable else ""
    return f"{size(cost.size)}{large}{same}, {seconds(cost.seconds)} to pickle and unpickle"


def _lead(verdict: Verdict) -> str:
    if verdict.lead is None or verdict.runner_up is None:
        return ""
    rival = CALLED[verdict.runner_up]
    if verdict.lead < 1.0:
        return f"x {times(verdict.lead)} over {rival}, which are no simpler"
    return f"x {times(verdict.lead)} over {rival}"


def remarks(m: Measurements, verdict: Verdict) -> list[tuple[str, str]]:
    """What else is to be said, in sentences: each with `unsure`, `hint` or `note` before it."""
    doubts = () if verdict.choice == "nothing to judge" else verdict.doubts
    return [
        *(("unsure", _sentence(doubt)) for doubt in doubts),
        *(("hint", _sentence(hint)) for hint in verdict.hints),
        *(("note", _sentence(note)) for note in m.notes),
    ]


def _sentence(words: str) -> str:
    words = words.strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")


def text(m: Measurements, verdict: Verdict) -> str:
    """All of it, the verdict first, for any terminal or file."""
    parts = [verdict.sentence, "", headline(m)]
    if m.raised is not None:
        parts.append(f"  raised: {m.raised.strip()}")
    table = rows(m, verdict)
    if table:
        cells = [COLUMNS, *(row.cells() for row in table)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
        marks = ["", *(" <" if row.chosen else "" for row in table)]
        parts.append("")
        for line, mark in zip(cells, marks, strict=True):
            first, *others = (
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            parts.append(f"  {first}  {'  '.join(others)}{mark}".rstrip())
    known = facts(m, verdict)
    if known:
        parts.append("")
        parts += [f"  {name:<10} {value}" for name, value in known]
    said = remarks(m, verdict)
    if said:
        parts.append("")
        for kind, words in said:
            parts += textwrap.wrap(f"{kind}: {words}", _WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(parts)
