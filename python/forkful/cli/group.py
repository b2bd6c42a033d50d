"""The list of commands, each of which is a module of this folder that is imported when it is called.

Knows: names, and a line of help for each. Does not know: what the commands need; rich, say, is theirs.
"""

from __future__ import annotations

import difflib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from forkful._version import __version__
from forkful.cli import COMPLETE

COMMANDS = {
    "run": "start an unchanged program on forkful",
    "which": "threads or processes: measure one function of yours",
    "bench": "compare forkful with the standard library, on this machine",
    "doctor": "show what this machine offers, with a hint for each thing missing",
    "completion": "print the completion script of a shell",
}
"""In the order in which the help shows them. Each is a module that has the click command as `command`."""

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of SIGINT, as shells count."""

_EXAMPLES = """\
Examples:

\b
  forkful run script.py             an unchanged program, on forkful
  forkful which module:function     should this function run on threads or on processes?
  forkful bench --quick             forkful beside the standard library
  forkful doctor                    is this machine in order?

Exit status: 0 all is well, 1 it failed or found a fault, 2 a wrong word on the command line, 130 after Ctrl-C;
after `run`, the program's own. Colours go to a terminal only, and NO_COLOR=1 keeps them away.
"""


class Formatter(click.HelpFormatter):
    """click's, with the lower case that python's own command lines have."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix or "usage: ")


class Context(click.Context):
    """click's, with our formatter."""

    formatter_class = Formatter


class Group(click.Group):
    """Commands that are imported when they are called, not when they are listed."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"forkful.cli.{cmd_name}").command
        command.context_class = Context
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            # What click does of itself depends on its version: a success, to some, though nothing was done.
            click.echo(ctx.get_help(), err=True)
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(unknown(args[0]))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = [CompletionItem(name, help=words) for name, words in COMMANDS.items() if name.startswith(incomplete)]
        # Past click's own list of commands, for which it would import them all.
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]


def unknown(name: str) -> str:
    """What to say of a command that there isn't."""
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(COMMANDS)}"
    return f"invalid choice: {name!r}; {meant}"


@click.group(
    "forkful",
    cls=Group,
    help="Python's parallel toolbox on a Rust engine.",
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, message="forkful %(version)s")
def forkful() -> None:
    """The group itself does nothing."""


def main(words: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    heard: list[int] = []
    try:
        with _as_ctrl_c(heard):
            status = _status(words)
        if sys.stdout is not None:  # it may be closed, `>&-`
            sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:
            return _unheard()
        if not _is_of_output(error):
            raise
        click.echo(f"Error: the output can't be written: {error.strerror}", err=True)
        return _unheard()
    if heard:
        # Having cleaned up, it ends as it would have ended, so that a shell sees of what.
        os.kill(os.getpid(), heard[0])
    return status


@contextmanager
def _as_ctrl_c(heard: list[int]) -> Iterator[None]:
    """Lets `kill`, `timeout` and a closed terminal end a command as Ctrl-C does: with its processes, and without its files."""

    def end(number: int, frame: object) -> NoReturn:
        heard.append(number)
        # What everybody lets pass: whatever else a command runs, a function to be measured say, might take it for an error.
        raise KeyboardInterrupt

    before = {}
    # Only the main thread can, and `nohup` has its own idea.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_of_output(error: OSError) -> bool:
    """Whether it was raised where output is written, and not by what a command does."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return where == __name__ or where.partition(".")[0] in ("click", "rich")


def _status(words: Sequence[str]) -> int:
    try:
        status: Any = forkful.main(list(words), complete_var=COMPLETE, standalone_mode=False)
    except SystemExit as leaving:
        if not isinstance(leaving.code, int):
            raise
        return leaving.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:
        return INTERRUPTED if isinstance(error.__context__, KeyboardInterrupt) else 1
    except ImportError as error:
        if error.name != "forkful._engine":
            raise
        click.echo(f"Error: the engine can't be loaded: {error}; forkful doctor says more", err=True)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def _unheard() -> int:
    """Nobody gets our output any more, as whoever read it has read enough (`forkful bench | head`): end quietly."""
    # The interpreter flushes once more at its end, and would tell of a second failure.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
