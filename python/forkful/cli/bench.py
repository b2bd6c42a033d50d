"""`forkful bench`: the comparison on this machine, as a table, as JSON, as a chart."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from forkful.cli import bench_table
from forkful.comparison import chart, rounds
from forkful.comparison.measures import MEASURES, Measure, chosen
from forkful.comparison.results import Result, complete, document

ROUNDS, SECONDS = 3, 0.25
QUICK_ROUNDS, QUICK_SECONDS = 1, 0.05

_EXAMPLES = """\
Examples:

\b
  forkful bench                            everything, in about a minute
  forkful bench --quick                    does it run at all? in a quarter of a minute
  forkful bench --only latency --only map  some of it
  forkful bench --rounds 9 --json all.json --plot all.png

Measures: {names}.
"""


def _known(ctx: click.Context, option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for beginning in value:
        if not chosen((beginning,)):
            names = ", ".join(measure.name for measure in MEASURES)
            raise click.BadParameter(f"no measure's name begins with {beginning!r}; there are {names}")
    return value


def writable(ctx: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    """A file that is to be written at the end: whether it can be is better known at the beginning."""
    if value is not None and str(value) != "-" and not os.access(value if value.exists() else value.parent, os.W_OK):
        raise click.BadParameter(f"{value} can't be written: is there a folder {value.parent}, and is it yours?")
    return value


def _drawable(ctx: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    if value is None:
        return None
    if value.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise click.BadParameter(f"{value} should end in .png, .svg or .pdf, which says the format")
    if find_spec("matplotlib") is None:
        raise click.BadParameter("a chart needs matplotlib: pip install 'forkful[plot]'")
    return writable(ctx, option, value)


@click.command(
    "bench",
    epilog=_EXAMPLES.format(names=", ".join(measure.name for measure in MEASURES)),
    short_help="Compare forkful with the standard library, on this machine.",
)
@click.option("--quick", is_flag=True, help="One round with a fifth of the time: does it run? Not for comparison.")
@click.option("--rounds", "turns", type=click.IntRange(1), help=f"Rounds of each measure. Default: {ROUNDS}.")
@click.option(
    "--only",
    multiple=True,
    callback=_known,
    shell_complete=lambda ctx, option, begun: [each.name for each in MEASURES if each.name.startswith(begun)],
    metavar="NAME",
    help="Measures whose name begins so; can be repeated.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=writable,
    metavar="FILE",
    help="Write all samples there; to - instead of the table.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_drawable,
    metavar="FILE",
    help="Draw a chart, .png, .svg or .pdf; needs matplotlib.",
)
def command(quick: bool, turns: int | None, only: tuple[str, ...], json_file: Path | None, plot: Path | None) -> int:
    """Compare forkful with the standard library, on this machine.

    And with loky, joblib and pebble, where they are installed. Each figure is the median of some rounds; each subject
    runs in a process of its own, in turns with the others. The column "times" says how many times as good forkful is as
    the standard library: below 1 it loses.
    """
    measures = chosen(only)
    turns = turns or (QUICK_ROUNDS if quick else ROUNDS)
    seconds = QUICK_SECONDS if quick else SECONDS
    about = {**rounds.environment(turns, seconds), "quick": quick}
    results = _run(measures, turns, seconds, about["cpus"])
    if str(json_file) == "-":
        click.echo(json.dumps(document(results, about), indent=1))
    else:
        bench_table.show(results, about)
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(json.dumps(document(results, about), indent=1) + "\n")
    if plot is not None:
        chart.draw(plot, results, bench_table.caption(about))
    return 0 if complete(results) else 1


def _run(measures: list[Measure], turns: int, seconds: float, cpus: int) -> list[Result]:
    def ask(measure: Measure, subject: str) -> float:
        return rounds.once(measure, subject, cpus, seconds)

    # FORCE_COLOR makes rich take anything for a terminal; a bar in a log file is not what it asks for.
    if not sys.stderr.isatty():
        return rounds.compare(measures, turns, ask, lambda measure, subject: None, rounds.is_there)
    steps = sum(rounds.is_there(name) for measure in measures for name in measure.subjects) * turns
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=steps)
        begun = iter(range(steps))

        def tell(measure: Measure, subject: str) -> None:
            progress.update(task, description=f"{measure.name}, {subject}", completed=next(begun))

        return rounds.compare(measures, turns, ask, tell, rounds.is_there)
