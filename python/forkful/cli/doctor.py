"""`forkful doctor`: what this machine offers, with a hint for each thing missing."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from forkful.diagnosis import questions, trials
from forkful.diagnosis.facts import Facts, Trial
from forkful.diagnosis.findings import LEVELS, Finding, Level, examine

_COLOURS: dict[Level, str] = {"ok": "green", "note": "cyan", "warning": "yellow", "missing": "bold red"}

_EXAMPLES = """\
Examples:

\b
  forkful doctor                look, and try
  forkful doctor --json         for programs; with the facts that the findings rest on
  forkful doctor && ./start     only where all is well

Exit status: 0 if pools work here, warnings or not; 1 if something is missing.
"""


@click.command(
    "doctor", epilog=_EXAMPLES, short_help="Show what this machine offers, with a hint for each thing missing."
)
@click.option("--json", "as_json", is_flag=True, help="Print facts and findings as JSON.")
def command(as_json: bool) -> int:
    """Show what this machine offers, with a hint for each thing missing.

    CPUs and memory that are really allowed, limits, the kernel's services, start methods, versions. Things are not only
    looked up but tried: workers are started by each method, and memory is shared with one.
    """
    facts = questions.ask()
    if facts.engine_error is None:
        facts = replace(facts, trials=_try())
    findings = examine(facts)
    if as_json:
        click.echo(json.dumps(document(facts, findings), indent=1))
    else:
        show(findings)
    return 1 if any(finding.level == "missing" for finding in findings) else 0


def _try() -> tuple[Trial, ...]:
    # FORCE_COLOR makes rich take anything for a terminal; a spinner in a log file is not what it asks for.
    if not sys.stderr.isatty():
        return tuple(trials.run())
    done = []
    with Console(stderr=True).status("trying", spinner="line") as status:
        names = iter([*(title for title, _ in trials.TRIALS.values()), ""])
        status.update(f"trying: {next(names)}")
        for trial in trials.run():
            done.append(trial)
            status.update(f"trying: {next(names)}")
    return tuple(done)


def count(findings: list[Finding]) -> dict[Level, int]:
    """{level: how many}"""
    return {level: sum(finding.level == level for finding in findings) for level in LEVELS}


def document(facts: Facts, findings: list[Finding]) -> dict[str, Any]:
    """All of it, as JSON."""
    return {"facts": asdict(facts), "findings": [asdict(finding) for finding in findings], "counts": count(findings)}


def verdict(findings: list[Finding]) -> str:
    """The last line."""
    counts = count(findings)
    missing, warnings = counts["missing"], counts["warning"]
    words = f"{missing} missing" if missing else "Nothing is missing"
    return f"{words}, {warnings} warning{'s' * (warnings != 1)}."


def show(findings: list[Finding]) -> None:
    """Print the report: drawn on a terminal, a line for each finding and each hint in a pipe."""
    console = Console(highlight=False)
    drawn = console.is_terminal and not console.is_dumb_terminal
    for area, those in groupby(findings, lambda finding: finding.area):
        if drawn:
            console.print(f"\n[bold]{area}[/]")
            for finding in those:
                colour = _COLOURS[finding.level]
                console.print(f"  [{colour}]{finding.level:8}[/]", end="")
                _wrapped(console, finding.says, "")
                if finding.hint:
                    console.print(Padding(f"[dim]{escape(finding.hint)}[/]", (0, 0, 0, 12)))
        else:
            click.echo(area)
            for finding in those:
                click.echo(f"  {finding.level:8}{finding.says}")
                if finding.hint:
                    click.echo(f"          > {finding.hint}")
    click.echo("\n" + verdict(findings) if drawn else verdict(findings))


def _wrapped(console: Console, words: str, style: str) -> None:
    lines = console.render_lines(escape(words), console.options.update_width(max(20, console.width - 10)), pad=False)
    for place, line in enumerate(lines):
        console.print(" " * 10 * (place > 0), "".join(segment.text for segment in line), sep="", markup=False)
