"""The table of `forkful bench`: drawn on a terminal, plain columns in a pipe."""

from __future__ import annotations

from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from forkful.comparison.measures import OURS, REFERENCE
from forkful.comparison.results import Result, subjects, three_digits, times


def caption(about: dict[str, Any]) -> str:
    """What the figures depend on, in a line."""
    cpus = f"{about['cpus']} CPU{'s' * (about['cpus'] != 1)}"
    rounds = f"{about['rounds']} round{'s' * (about['rounds'] != 1)}"
    words = f"forkful {about['forkful']}, Python {about['python']}, {about['machine']}, {cpus}, Linux {about['kernel']}"
    return f"{words}; medians of {rounds}{', quick: not for comparison' * about['quick']}"


def cells(results: list[Result]) -> tuple[list[str], list[list[str]]]:
    """The heads, and a row of each measure: its title, forkful's figure, how many times as good, the others' figures."""
    there = subjects(results)
    others = [name for name in there if name not in (OURS, REFERENCE)]
    heads = ["measure", "unit", OURS, "times", REFERENCE, *others]
    rows = []
    for result in results:
        ratio = result.ratio(OURS)
        rows.append(
            [
                result.measure.title,
                result.measure.unit,
                _figure(result, OURS),
                times(ratio) if ratio else "",
                *(_figure(result, name) for name in (REFERENCE, *others)),
            ]
        )
    return heads, rows


def _figure(result: Result, subject: str) -> str:
    value = result.median(subject)
    return three_digits(value) if value is not None else "failed" if subject in result.failures else ""


def notes(results: list[Result], about: dict[str, Any]) -> list[str]:
    """What stands under the table."""
    lines = [caption(about)]
    if any(result.ratio(OURS) for result in results):
        lines.append(
            'times: how many times as good forkful is as the standard library; below 1 it loses, "same" is within 5 %'
        )
    if about["load_before"] > 0.5 * about["cpus"]:
        lines.append(f"load before: {about['load_before']}; something else was running, which moves all figures")
    lines += [
        f"{result.measure.name}, {subject}: {why}" for result in results for subject, why in result.failures.items()
    ]
    return lines


def show(results: list[Result], about: dict[str, Any]) -> None:
    """Print the table."""
    console = Console(highlight=False)
    heads, rows = cells(results)
    if console.is_terminal and not console.is_dumb_terminal:
        table = Table(box=box.SIMPLE_HEAD)
        for place, head in enumerate(heads):
            table.add_column(head, justify="right" if place > 1 else "left", no_wrap=place > 0)
        for row, result in zip(rows, results, strict=True):
            ratio = result.ratio(OURS)
            colour = "" if ratio is None or row[3] == "same" else "bold green" if ratio > 1 else "bold red"
            table.add_row(*row[:3], f"[{colour}]{row[3]}[/]" if colour else row[3], *row[4:])
        console.print(table)
    else:
        for line in plain(heads, rows):
            click.echo(line)
        click.echo()
    for line in notes(results, about):
        click.echo(line)


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
