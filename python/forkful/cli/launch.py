"""What `forkful run` does: an unchanged program, started on forkful.

Knows: the words behind `run`. Does not know: click, which takes over where these name no program.
"""

from __future__ import annotations

from forkful._install import install
from forkful.cli import program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Program:
    """A program as it was typed."""

    # Not a dataclass: those import inspect, for 5 ms.
    def __init__(self, start: Callable[[str, Sequence[str]], int], name: str, arguments: Sequence[str]) -> None:
        """start: how it is started, as a script, a module or a text, which `name` is."""
        self.start = start
        self.name = name
        self.arguments = tuple(arguments)


def parse(words: Sequence[str]) -> Program | None:
    """The program that the words behind `run` name; None where they name none: they ask for help, say, or end too early.

    Whatever stands after the program belongs to the program, also what looks like an option.
    """
    if not words:
        return None
    first, *rest = words
    for option, start in (("-m", program.module), ("-c", program.code)):
        if first.startswith(option):
            # `-mname` in one word, or `-m name`, as python takes it.
            rest = [first[len(option) :], *rest] if first != option else rest
            return Program(start, rest[0], rest[1:]) if rest else None
    if first == "--" and rest:
        first, *rest = rest
    elif first.startswith("-") and first != "-":
        return None
    return Program(program.script, first, rest)


def start(chosen: Program) -> int:
    """Run the program to its end and return its exit status."""
    install()
    return chosen.start(chosen.name, chosen.arguments)
