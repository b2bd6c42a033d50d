"""`forkful which`: says whether threads, processes or neither suit a function.

Knows: the advisor, click, and rich for a terminal. Does not know: how it is measured.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from forkful.advisor import inputs, target

if TYPE_CHECKING:
    from forkful.advisor import Advice

__all__ = ["command"]

RAISED, UNSURE, INTERRUPTED = 1, 3, 130
_SCALES = {"": 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0, "min": 60.0}


def _files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A target begins with a file, or with a module, which a shell can't know."""
    return [CompletionItem(incomplete, type="file")]


def _duration(text: str) -> float:
    """Seconds of a text, with a unit or without: 5, 5s, 500ms, 2m."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", text)
    if found is None or found[2] not in _SCALES:
        raise click.BadParameter(f"{text!r} is no duration: write 5s, 500ms or 2m")
    seconds = float(found[1]) * _SCALES[found[2]]
    if not 0 < seconds <= 86_400:
        raise click.BadParameter(f"{text!r} must be more than nothing, and a day at most")
    return seconds


_HELP = """\
Measure a function, and say which way to call it: directly, in threads, in processes, or with asyncio.

TARGET is module:function or file.py:function; the name may have dots, as in module:Class.method. The function is run for
real, many times, with the arguments that you give, for as long as --budget allows: one call after the other, in 2 and more
threads, and in 2 and more processes. The verdict comes first, and the numbers under it. The file is imported, so what it
runs belongs under if __name__ == "__main__".
"""

_EPILOG = """\
\b
Examples:
  forkful which script.py:parse --arg 1000 --arg "'text'"
  forkful which package.module:fetch --args-from urls.jsonl --budget 20s
  forkful which stats.py:fit --setup "import numpy; (numpy.ones((999, 999)),)"
  forkful which mail.py:send --args-from messages.jsonl --once
  forkful which script.py:work --json | jq -r .verdict.choice

\b
Exit status:
  0    there is a verdict
  1    the function raised or has no end, or its module raised while imported
  2    the command line is wrong: no such function, arguments that don't fit
  3    with --strict: there is a verdict, and it is unsure
  130  interrupted
"""


@click.command("which", help=_HELP, epilog=_EPILOG, short_help="threads or processes? measure a function and say")
@click.argument("name", metavar="TARGET", shell_complete=_files)
@click.option(
    "--arg", "words", multiple=True, metavar="LITERAL", help="A positional argument, a Python literal; repeat it."
)
@click.option(
    "--args-from",
    "file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="A file of JSON lines, - for standard input. Each is one call: [positional, ...], {name: value}, or the one argument.",
)
@click.option(
    "--setup",
    metavar="CODE",
    help="Python that makes the arguments, run in the function's module. Its last expression is a list of calls, a tuple of the "
    "arguments of one call, or the one argument.",
)
@click.option(
    "--budget",
    type=_duration,
    default="5s",
    metavar="TIME",
    show_default=True,
    help="How long to measure: 5s, 500ms, 2m.",
)
@click.option("--once", is_flag=True, help="Use no input twice: calls have side effects that forbid it.")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON on standard output, and nothing else there.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, writable=True), metavar="FILE", help="Draw a chart: .png, .svg or .pdf."
)
@click.option("--strict", is_flag=True, help="Exit with status 3 where the verdict is unsure.")
@click.option(
    "--progress/--no-progress", default=True, help="A bar on standard error; never unless that is a terminal."
)
def command(
    name: str,
    words: Sequence[str],
    file: IO[str] | None,
    setup: str | None,
    budget: float,
    once: bool,
    as_json: bool,
    plot: str | None,
    strict: bool,
    progress: bool,
) -> None:
    """Find the function and its arguments, measure, show."""
    if sum((bool(words), file is not None, setup is not None)) > 1:
        raise click.UsageError(
            "--arg, --args-from and --setup each say what to call the function with: give one of them"
        )
    if plot is not None:
        _check_plot(plot)
    try:
        with _output_elsewhere() if as_json else contextlib.nullcontext():
            advice = _advice(name, words, file, setup, budget, once, progress and _terminal(sys.stderr))
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None
    if advice.measurements.traceback:
        click.echo(advice.measurements.traceback.rstrip(), err=True)
    if as_json:
        click.echo(advice.to_json())
    else:
        _show(advice)
    if plot is not None and advice.measurements.judged:
        advice.plot(plot)
    if not advice.measurements.judged:
        raise SystemExit(RAISED)
    if strict and not advice.verdict.sure:
        raise SystemExit(UNSURE)


def _advice(
    name: str, words: Sequence[str], file: IO[str] | None, setup: str | None, budget: float, once: bool, progress: bool
) -> Advice:
    from forkful.advisor.advice import measured

    try:
        found = target.find(name)
        source = "--arg" if words else "--args-from" if file is not None else "--setup" if setup is not None else ""
        if file is not None:
            calls = inputs.lines(file, getattr(file, "name", "standard input"))
        elif setup is not None:
            calls = inputs.evaluated(setup, vars(found.module))
        else:
            calls = inputs.literals(words)
        inputs.check(found.function, found.name, calls, source)
    except (target.TargetError, inputs.InputError) as error:
        raise click.UsageError(str(error)) from None
    except target.TargetRaised as raised:
        click.echo("".join(_without_us(raised.__cause__)).rstrip(), err=True)
        click.echo(f"Error: {raised}", err=True)
        raise SystemExit(RAISED) from None
    return measured(found.function, calls, budget=budget, once=once, progress=progress)


def _check_plot(path: str) -> None:
    from forkful.advisor import plot

    try:
        plot.check(path)
    except (ImportError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--plot") from None


def _without_us(error: BaseException | None) -> list[str]:
    """The traceback of a module that raised, from its own first line on."""
    if error is None:
        return []
    ours = (str(Path(__file__).parents[1]), str(Path(tempfile.gettempdir(), target.STAND_IN)), "<frozen importlib")
    step = error.__traceback__
    while step is not None and (
        step.tb_frame.f_code.co_filename.startswith(ours) or step.tb_frame.f_globals.get("__name__") == "importlib"
    ):
        step = step.tb_next
    return traceback.format_exception(type(error), error, step)


@contextlib.contextmanager
def _output_elsewhere() -> Iterator[None]:
    """What the function prints goes to standard error, in its worker processes too."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:
        kept = -1  # closed: there is nothing to be kept clean
    try:
        if kept >= 0:
            os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        if kept >= 0:
            os.dup2(kept, 1)
            os.close(kept)


def _terminal(stream: Any) -> bool:
    # None where the shell has closed it.
    return stream is not None and bool(stream.isatty()) and os.environ.get("TERM") != "dumb"


def _show(advice: Advice) -> None:
    if not _terminal(sys.stdout):
        click.echo(advice.text)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from forkful.advisor import report

    m, verdict = advice.measurements, advice.verdict
    console = Console(highlight=False)
    console.print(Text(verdict.sentence, style="bold" if verdict.sure else "bold yellow"))
    console.print(Text(f"\n{report.headline(m)}", style="dim"))
    rows = report.rows(m, verdict)
    if rows:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in report.COLUMNS:
            table.add_column(column, justify="left" if column == report.COLUMNS[0] else "right")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row.cells()), style="bold green" if row.chosen else None)
        console.print()
        console.print(table)
    grid = Table.grid(padding=(0, 2))
    for name, value in report.facts(m, verdict):
        grid.add_row(Text(name, style="dim"), Text(value))
    if grid.row_count:
        console.print()
        console.print(grid)
    colours = {"unsure": "yellow", "hint": "cyan", "note": "dim"}
    grid = Table.grid(padding=(0, 2))
    for kind, words in report.remarks(m, verdict):
        grid.add_row(Text(kind, style=colours[kind]), Text(words))
    if grid.row_count:
        console.print()
        console.print(grid)
