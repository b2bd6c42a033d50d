"""What the tests ask an executor that chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eventually import eventually


def decision(executor: Any, name: str) -> Any:
    """What was decided of the function whose qualified name ends so."""
    found = [known for known in executor.decisions() if known.function.rpartition(".")[2] == name]
    assert len(found) == 1, f"{name} is in {executor.decisions()}"
    return found[0]


def learned(executor: Any, fn: Callable[..., Any], *args: Any, place: str | None = None) -> Any:
    """The decision after as many calls as it takes; `place`: until it is this one."""

    def known() -> bool:
        executor.submit(fn, *args).exception()
        now = decision(executor, fn.__name__).place
        return now == place if place else now != "learning"

    assert eventually(known), str(decision(executor, fn.__name__))
    return decision(executor, fn.__name__)
