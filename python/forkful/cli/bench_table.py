"""The table of `forkful bench`: drawn on a terminal, plain columns in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forkful.comparison.measures import OURS, REFERENCE
from forkful.comparison.results import Result, short, subjects, three_digits, times


def caption(about: dict[str, Any]) -> str:
    """What the figures depend on, in a line."""
    cpus = f"{about['cpus']} CPU{'s' * (about['cpus'] != 1)}"
    rounds = f"{about['rounds']} round{'s' * (about['rounds'] != 1)}"
    words = f"forkful {about['forkful']}, Python {about['python']}, {about['machine']}, {cpus}, Linux {about['kernel']}"
    return f"{words}; medians of {rounds}{', quick: not for comparison' * about['quick']}"


def cells(results: list[Result], figure: Callable[[float], str]) -> tuple[list[str], list[list[str]]]:
    """The heads, and a row of each measure: its title, forkful's figure, how many times as good, the others' figures."""
    others = [name for name in subjects(results) if name not in (OURS, REFERENCE)]

    def cell(result: Result, subject: str) -> str:
        value = result.median(subject)
        return figure(value) if value is not None else "failed" if subject in result.failures else ""

    heads = ["measure", "unit", OURS, "times", REFERENCE, *others]
    return heads, [
        [
            result.measure.title,
            result.measure.unit,
            cell(result, OURS),
            _times(result),
            *(cell(result, name) for name in (REFERENCE, *others)),
        ]
        for result in results
    ]


def _times(result: Result) -> str:
    ratio = result.ratio(OURS)
    if ratio is None:
        return ""
    return "~ " * (result.is_open(OURS) and times(ratio) != "same") + times(ratio)


def notes(results: list[Result], about: dict[str, Any]) -> list[str]:
    """What stands under the table."""
    lines = [caption(about)]
    if any(result.ratio(OURS) for result in results):
        lines.append(
            'times: how many times as good forkful is as the standard library; below 1 it loses, "same": within 5 %'
        )
    if any(_times(result).startswith("~") for result in results):
        lines.append("~: some rounds of both overlap; more rounds tell more")
    if about["load_before"] > 0.5 * about["cpus"]:
        lines.append(f"load before: {about['load_before']}; something else was running, which moves all figures")
    lines += [
        f"{result.measure.name}, {subject}: {why}" for result in results for subject, why in result.failures.items()
    ]
    return lines


def show(results: list[Result], about: dict[str, Any]) -> None:
    """Print the table."""
    console = Console(highlight=False)
    drawn = _drawn(results)
    # Where figures would be cut, whole lines that the terminal folds are better.
    needed = console.measure(drawn, options=console.options.update_width(1000)).minimum
    if console.is_terminal and not console.is_dumb_terminal and needed <= console.width:
        console.print(drawn)
    else:
        for line in plain(*cells(results, three_digits)):
            click.echo(line)
        click.echo()
    for line in notes(results, about):
        click.echo(line)


def _drawn(results: list[Result]) -> Table:
    """Narrow enough for 80 columns."""
    heads, rows = cells(results, short)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in (heads[0], *heads[2:]):
        table.add_column(head, justify="left" if head == heads[0] else "right", no_wrap=head != heads[0])
    for (title, unit, figure, factor, *others), result in zip(rows, results, strict=True):
        ratio = result.ratio(OURS)
        even = ratio is None or factor == "same" or factor.startswith("~")
        colour = "default" if even else "bold green" if ratio and ratio > 1 else "bold red"
        table.add_row(f"{escape(title)} [dim]{unit}[/]", figure, f"[{colour}]{factor}[/]", *others)
    return table


def plain(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Columns, two spaces apart, however wide: a pipe has no width."""
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    return [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    ]
