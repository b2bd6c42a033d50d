"""Draws the speed of each way, and what a call does with its time, into a file.

Knows: matplotlib, where it is installed. Does not know: pyplot, whose figures are the user's.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

from .measurements import Measurements
from .model import busy, gil_held
from .report import Row, headline, rows
from .units import percent, times
from .verdict import Verdict
from .wording import CALLED

__all__ = ["check", "draw"]

_COLOURS = {
    "inline": "#8c8c8c",
    "asyncio": "#8a6fb0",
    "threads": "#4c78a8",
    "processes": "#e08a3c",
    "processes with share": "#b5632a",
}
_PARTS = (("computes with the GIL", "#c44e52"), ("computes without the GIL", "#5fa15f"), ("waits", "#d9d9d9"))


def check(path: str | os.PathLike[str]) -> None:
    """Raise ImportError without matplotlib, and ValueError for a file that can't be drawn into, before anything is measured."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ImportError("a plot needs matplotlib: pip install 'forkful[plot]'") from error
    target = Path(path)
    if target.suffix[1:].lower() not in FigureCanvasAgg.get_supported_filetypes():
        raise ValueError(f"the plot's file must end in .png, .svg or .pdf, not {target.name!r}")
    if not target.absolute().parent.is_dir():
        raise ValueError(f"the plot's folder {str(target.parent)!r} does not exist")


def draw(m: Measurements, verdict: Verdict, path: str | os.PathLike[str]) -> None:
    """Write the figure; the file's ending says which kind it is. Raises what `check` raises."""
    check(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bars = rows(m, verdict)
    figure: Any = Figure(figsize=(9, 2.6 + 0.34 * max(len(bars), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(textwrap.wrap(verdict.sentence, 108)), fontsize=11, x=0.02, ha="left")
    if bars:
        speeds, shares = figure.subplots(2, 1, height_ratios=[max(len(bars), 2), 1.1])
        _speeds(speeds, bars)
        _shares(shares, m)
    below = [headline(m)]
    for doubt in verdict.doubts[:1]:
        below += textwrap.wrap(f"unsure: {doubt}", 140)
    figure.supxlabel("\n".join(below), fontsize=8, color="#666666")
    figure.savefig(Path(path), dpi=150)


def _speeds(axis: Any, bars: list[Row]) -> None:
    names = ["one by one" if bar.way == "inline" else f"{bar.workers} {CALLED[bar.way]}" for bar in bars]
    positions = range(len(bars))
    errors = [[max(bar.speedup - bar.low, 0.0) for bar in bars], [max(bar.high - bar.speedup, 0.0) for bar in bars]]
    axis.barh(
        positions,
        [bar.speedup for bar in bars],
        xerr=errors,
        color=[_COLOURS[bar.way] for bar in bars],
        edgecolor=["black" if bar.chosen else "none" for bar in bars],
        linewidth=1.5,
        error_kw={"elinewidth": 1, "capsize": 3},
    )
    furthest = max(max(bar.speedup, bar.high) for bar in bars)
    for position, bar in zip(positions, bars, strict=True):
        label = f"x {times(bar.speedup)}{'  chosen' if bar.chosen else ''}"
        axis.text(max(bar.speedup, bar.high) + 0.015 * furthest, position, label, va="center", fontsize=8)
    axis.axvline(1.0, color="#444444", linewidth=0.8, linestyle=":")
    axis.set_yticks(list(positions), names)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.18 * furthest)
    axis.set_xlabel("times the speed of one call after the other, with the middle half of the measurements", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _shares(axis: Any, m: Measurements) -> None:
    """What a call does with its time. The lock's share is counted as computing, which is what holders nearly always do."""
    use, held = busy(m), gil_held(m)
    with_it = use if held is None else min(held, use)
    start = 0.0
    for (name, colour), share in zip(_PARTS, (with_it, use - with_it, 1 - use), strict=True):
        if share <= 0.001:
            continue
        shown = "computes" if held is None and name.startswith("computes") else name
        axis.barh([0], [share], left=[start], color=colour, label=f"{shown} {percent(share)}")
        start += share
    axis.set_xlim(0, 1)
    axis.set_yticks([0], ["a call"])
    axis.set_xticks([])
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.05), ncols=3, fontsize=8, frameon=False)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
