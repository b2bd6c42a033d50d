"""`forkful run`, as click shows it: its help, its errors, its completion."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from forkful.cli import launch

_HELP = """\
Start a program as python itself would, with forkful's names in place of those of concurrent.futures, threading, queue
and multiprocessing, in the processes that it starts by multiprocessing too.

The program, its arguments, its tracebacks and its exit status stay what they are. All words behind the program belong
to the program. The interpreter's own options go before -m: python -X dev -m forkful run script.py
"""

_EXAMPLES = """\
Examples:

\b
  forkful run script.py --option-of-the-script
  forkful run -m package.module argument
  forkful run -c "print('hello')"
  forkful run - < script.py
"""

_USAGES = (
    "script.py [argument ...]",
    "-m module [argument ...]",
    "-c code [argument ...]",
    "- [argument ...]",
)


class _Run(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        chosen = launch.parse(args)
        if chosen is not None:
            ctx.params = {"program": chosen}
            return []
        if args in ([], ["--"], ["-m"], ["-c"]) and not ctx.resilient_parsing:
            ctx.fail("a program is required: a file, -m module, -c code, or - for standard input")
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for prefix, words in zip(("usage: ", *["       "] * len(_USAGES)), _USAGES, strict=False):
            formatter.write(f"{prefix}{ctx.command_path} {words}\n")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Behind the program, its own arguments follow, of which we know nothing but that files are among them.
        if ctx.params.get("program") is not None or not incomplete.startswith("-"):
            return [CompletionItem(incomplete, type="file")]
        return super().shell_complete(ctx, incomplete)


@click.command(
    "run",
    cls=_Run,
    help=_HELP,
    epilog=_EXAMPLES,
    short_help="Start an unchanged program on forkful.",
)
@click.option("-m", "module", metavar="MODULE", help="A module, looked up on sys.path.")
@click.option("-c", "code", metavar="CODE", help="A program given as text.")
def command(program: launch.Program, **_: Any) -> int:
    """Start the program."""
    return launch.start(program)
