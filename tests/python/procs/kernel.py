"""Stands in for a notebook's kernel: cells are compiled one by one under names of their own, which only linecache knows, and run
in a main module that is not this file's and has none.

    kernel.py CELLS METHOD        CELLS: a file, with `#cell#` between two cells
"""

from __future__ import annotations

import linecache
import sqlite3
import sys
import types
from typing import Any

BETWEEN = "\n#cell#\n"


class Shell:
    """What IPython puts into the namespace drags a database connection along."""

    def __init__(self) -> None:
        self.history = sqlite3.connect(":memory:")

    def __call__(self) -> Shell:
        return self


def serve(cells: list[str]) -> None:
    launcher = sys.modules["__main__"]  # kept, or its names would be gone
    main: Any = types.ModuleType("__main__")
    main.__builtins__ = sys.modules["builtins"]
    main.get_ipython = Shell()
    main.In, main.Out, main._ = cells, {}, launcher
    sys.modules["__main__"] = main
    for number, cell in enumerate(cells, 1):
        name = f"<ipython-input-{number}>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
        exec(compile(cell, name, "exec"), vars(main))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        serve(file.read().split(BETWEEN))
