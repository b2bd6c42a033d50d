"""Draws how many times as good as the standard library each subject is; needs matplotlib.

Knows: results. Does not know: how they were found.
"""

from __future__ import annotations

from pathlib import Path

from forkful.comparison.measures import REFERENCE
from forkful.comparison.results import Result, subjects, times

_COLOURS = {
    "forkful": "#d1242f",
    "loky": "#0969da",
    "joblib": "#54aeff",
    "pebble": "#1a7f37",
    "serial": "#8c959f",
}


def draw(path: Path, results: list[Result], caption: str) -> None:
    """A bar for each subject of each measure, on a logarithmic scale; the file's suffix says the format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [result for result in results if any(result.ratio(name) for name in result.samples if name != REFERENCE)]
    named = [name for name in subjects(shown) if name != REFERENCE]
    # Without pyplot, which would look for a display and change what the program has set.
    figure = Figure(figsize=(9, 1.4 + 0.62 * max(1, len(shown))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    height = 0.8 / max(1, len(named))
    for place, name in enumerate(named):
        rows = [(row, ratio) for row, result in enumerate(shown) if (ratio := result.ratio(name))]
        bars = axes.barh(
            [row + (place - (len(named) - 1) / 2) * height for row, _ in rows],
            [ratio - 1 for _, ratio in rows],
            height,
            left=1,
            color=_COLOURS[name],
            label=name,
        )
        axes.bar_label(bars, [times(ratio) for _, ratio in rows], fontsize=7, padding=2)
    axes.axvline(1, color="#24292f", lw=1)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_yticks(range(len(shown)), [result.measure.title for result in shown])
    axes.invert_yaxis()
    axes.set_xlabel("times as good as the standard library (right of 1 is better)")
    axes.set_title(caption, fontsize=8, color="#57606a")
    axes.grid(axis="x", alpha=0.3)
    if named:
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)
