"""The command line: one list of commands, each of which is a module of this folder.

Knows: its commands. Does not know: pools, futures or anything else beneath them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from forkful.cli import run

# In the order in which `--help` shows them. A command has `add(subparsers)`, which sets `call` to a function of the
# parsed arguments that returns the exit status.
_COMMANDS = (run,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; without `arguments`, those of this process."""
    parser = argparse.ArgumentParser(
        prog="python -m forkful",
        description="Python's parallel toolbox on a Rust engine.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(metavar="command", required=True)
    for command in _COMMANDS:
        command.add(subparsers)
    chosen = parser.parse_args(arguments)
    status: int = chosen.call(chosen)
    return status


class _ShowVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        # Here, because it is slow to load, and a program that is to be run has not asked for it.
        from importlib.metadata import version

        print(f"forkful {version('forkful')}")
        parser.exit()
