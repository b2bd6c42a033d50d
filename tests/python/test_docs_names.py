"""The tables of the documentation that say whose each public name is name all of them, and say what is true."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from forkful import _engine

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ["threading-and-queues.md", "multiprocessing.md"]
WORDS = {"Rust", "Python", "standard library"}
# Where the table says what calling them gives.
GIVEN = {"Barrier": (2,), "Pipe": ()}
# Not on every version, and not announced by every one of them.
SOME = {"settrace_all_threads", "setprofile_all_threads", "gettrace", "getprofile", "ShutDown", "Barrier", "Connection"}


def tables() -> dict[str, dict[str, str]]:
    """{module: {name: whose}}"""
    found: dict[str, dict[str, str]] = {}
    for page in PAGES:
        module = None
        for line in (DOCS / page).read_text().splitlines():
            if heading := re.fullmatch(r"### `(forkful[\w.]*)`", line):
                module = found.setdefault(heading[1], {})
            elif line.startswith("#"):
                module = None
            elif module is not None and line.startswith("| `"):
                names, whose = line.strip("| ").split(" | ")[:2]
                assert whose in WORDS, line
                for name in re.findall(r"`(\w+)`", names):
                    assert name not in module, name
                    module[name] = whose
    return found


TABLES = tables()


@pytest.mark.parametrize("module", TABLES)
def test_every_public_name_is_in_the_table(module: str) -> None:
    standard = importlib.import_module(module.removeprefix("forkful."))
    public = set(standard.__all__)
    assert public <= TABLES[module].keys()
    # And nothing that isn't there.
    assert {name for name in TABLES[module] if not hasattr(standard, name)} <= SOME


@pytest.mark.parametrize(
    ("module", "name", "whose"), [(module, name, TABLES[module][name]) for module in TABLES for name in TABLES[module]]
)
def test_it_is_whose_the_table_says(module: str, name: str, whose: str) -> None:
    standard = importlib.import_module(module.removeprefix("forkful."))
    theirs = getattr(standard, name, None)
    if theirs is None:
        assert name in SOME
        return
    ours: Any = getattr(importlib.import_module(module), name)
    if whose == "standard library":
        assert ours == theirs
        return
    assert ours is not theirs
    assert is_ours(ours)
    if whose == "Rust":
        made = ours if isinstance(ours, type) else ours(*GIVEN.get(name, ()))
        made = made[0] if isinstance(made, tuple) else made
        assert has_compiled_part(made), made


def is_ours(value: Any) -> bool:
    owner = getattr(value, "__self__", None)
    return (getattr(value, "__module__", None) or type(owner).__module__).startswith("forkful") or type(
        owner
    ).__module__.startswith("forkful")


def has_compiled_part(value: Any) -> bool:
    """The class, an instance of it, or what an instance has inside is of a compiled class."""
    compiled = {kind for kind in vars(_engine).values() if isinstance(kind, type)}
    kind = value if isinstance(value, type) else type(value)
    if compiled & set(kind.__mro__):
        return True
    made = value if not isinstance(value, type) else value(*GIVEN.get(kind.__name__, ()))
    return any(compiled & set(type(inner).__mro__) for inner in vars(made).values())
