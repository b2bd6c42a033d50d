"""`forkful run`: starts an unchanged program on forkful's executors."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from forkful._install import install
from forkful.cli import program

_USAGE = """\
python -m forkful run script.py [argument ...]
       python -m forkful run -m module [argument ...]
       python -m forkful run -c code [argument ...]
       python -m forkful run - [argument ...]"""

_DESCRIPTION = """\
Start a program as python itself would, with forkful's names in place of those of concurrent.futures, threading, queue
and multiprocessing, in the processes that it starts by multiprocessing too. The program, its arguments, its tracebacks
and its exit status stay what they are."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line's parser."""
    parser = subparsers.add_parser(
        "run",
        help="start an unchanged program on forkful",
        usage=_USAGE,
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # Each of the three takes all that follows, because whatever stands after the program belongs to the program,
    # also what looks like an option.
    rest: dict[str, Any] = {"nargs": argparse.REMAINDER}
    parser.add_argument("-m", dest="module", metavar="module", help="a module, looked up on sys.path", **rest)
    parser.add_argument("-c", dest="code", metavar="code", help="a program given as text", **rest)
    parser.add_argument(
        "script",
        metavar="script.py",
        help="a file, a directory or zip file with a __main__.py, or - for standard input",
        **rest,
    )
    parser.set_defaults(call=_call, parser=parser)


def _call(chosen: argparse.Namespace) -> int:
    start: Callable[[str, Sequence[str]], int] = program.script
    words: list[str] = chosen.script
    if chosen.module or chosen.code:
        start = program.module if chosen.module else program.code
        # After `-mname`, in one word, what follows has ended up with the script's arguments.
        words = [*(chosen.module or chosen.code), *chosen.script]
    if not words:
        chosen.parser.error("a program is required")
    install()
    return start(words[0], words[1:])
