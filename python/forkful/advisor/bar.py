"""A bar on standard error that is drawn between measurements and never during one.

Knows: rich. Does not know: what is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["bar"]


@contextmanager
def bar() -> Iterator[Callable[[float, str], None]]:
    """A function to be told how much is done, 0 to 1, and what comes now; gone again at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    # Neither a thread that redraws, which would want the lock that is being sampled, nor a stand-in for sys.stdout, which
    # forked workers would inherit.
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )
    with shown:
        task = shown.add_task("begins", total=1.0)

        def told(done: float, what: str) -> None:
            shown.update(task, completed=min(max(done, 0.0), 1.0), description=what, refresh=True)

        yield told
