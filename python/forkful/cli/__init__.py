"""The command line: `forkful`, and `python -m forkful`.

Knows: that `run` comes first. Does not know: the commands, which forkful.cli.group lists and loads when they are asked for.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMPLETE = "_FORKFUL_COMPLETE"
"""The variable by which a shell's completion asks."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; without `arguments`, those of this process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"] and COMPLETE not in os.environ:
        from forkful.cli import launch

        # Before click is imported: it takes 25 ms, and the program that is to be run has not asked for it.
        program = launch.parse(words[1:])
        if program is not None:
            return launch.start(program)
    from forkful.cli import group

    return group.main(words)
