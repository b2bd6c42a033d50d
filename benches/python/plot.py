"""Draws time against size, one panel per sweep; or again from what `run.py --json` has kept: `python plot.py FILE PICTURE`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import matplotlib
from measures import Medians

matplotlib.use("Agg")
# Letters stay letters, and the same figures make the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "forkful", "font.size": 9})

from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import FuncFormatter  # noqa: E402

TITLES = {"process-bytes": "bytes there and back", "process-arrays": "an array there, its negative back"}
COLOURS = {
    "forkful": "#d1242f",
    "stdlib": "#24292f",
    "multiprocessing": "#8c959f",
    "loky": "#0969da",
    "joblib": "#54aeff",
    "mpire": "#1a7f37",
    "dask": "#bf8700",
    "ray": "#8250df",
}
SIZE = re.compile(r"us at (\d+) KB")


def draw(path: Path, sweeps: dict[str, Medians]) -> None:
    """A picture of the sweeps' medians; nothing, in a sentence, if there is none."""
    if not sweeps:
        print("no plot: none of its measures was run: " + ", ".join(TITLES), file=sys.stderr)
        return
    figure, panels = pyplot.subplots(
        1, len(sweeps), figsize=(4.4 * len(sweeps) + 1.4, 4), sharey=True, squeeze=False, layout="constrained"
    )
    for panel, (name, medians) in zip(panels[0], sweeps.items(), strict=True):
        for subject, metrics in medians.items():
            points = [(int(m[1]), value / 1e3) for key, value in metrics.items() if (m := SIZE.fullmatch(key))]
            ours = subject.startswith("forkful")
            width, above = (2.4, 3) if ours else (1.2, 2)
            panel.plot(*zip(*points, strict=True), color=COLOURS.get(subject), lw=width, zorder=above, label=subject)
        panel.set(xscale="log", yscale="log", title=TITLES[name], xlabel="size")
        panel.set_xscale("log", base=2)
        panel.set_xticks([1, 16, 256, 4096, 65536])
        panel.xaxis.set_major_formatter(
            FuncFormatter(lambda kb, _: f"{kb / 1024:g} MB" if kb >= 1024 else f"{kb:g} KB")
        )
        panel.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g} ms"))
        panel.grid(alpha=0.3)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    print(f"\ndrawn: {path}")


if __name__ == "__main__":
    medians = json.loads(Path(sys.argv[1]).read_text())["medians"]
    draw(Path(sys.argv[2]), {name: medians[name] for name in TITLES if medians.get(name)})
