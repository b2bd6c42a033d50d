"""The reference names every public name of forkful's own, and nothing that isn't there."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

import forkful

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "api.md").read_text()
# A directive with its name, or names, and a signature of its own where the compiled class has none to show.
DIRECTIVE = re.compile(
    r"^\.\. (?:auto\w+|data):: ((?:forkful[\w.]+(?:\([^)]*\))?\s+)+)(?:^ +:members: ([\w, \n]+)$)?", re.MULTILINE
)
# The pages with the tables that say whose each name of a module is; test_docs_names.py checks these.
TABLES = ["threading-and-queues.md", "multiprocessing.md"]


def described() -> dict[str, str]:
    """{full name: the members that are named with it}"""
    found = {}
    for names, members in DIRECTIVE.findall(PAGE):
        for name in re.sub(r"\([^)]*\)", "", names).split():
            assert name not in found, f"{name} is described twice"
            found[name] = members
    return found


DESCRIBED = described()


def our_own() -> list[str]:
    """Names that the tables call forkful's own."""
    found, module = [], None
    for page in TABLES:
        for line in (DOCS / page).read_text().splitlines():
            if heading := re.fullmatch(r"### `(forkful[\w.]*)`", line):
                module = heading[1]
            elif line.startswith("#"):
                module = None
            elif module and line.startswith("| `"):
                names, whose = line.strip("| ").split(" | ")[:2]
                if whose != "standard library":
                    found += [f"{module}.{name}" for name in re.findall(r"`(\w+)`", names)]
    return found


def public_of(module: str) -> list[str]:
    """What a module of forkful's own, without a counterpart in the standard library, names as public."""
    return [f"{module}.{name}" for name in importlib.import_module(module).__all__]


def found_by(name: str) -> Any:
    """What a full name stands for."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", [f"forkful.{name}" for name in forkful.__all__])
def test_public_name(name: str) -> None:
    assert name in DESCRIBED, f"docs/api.md has no directive for {name}"


def test_names_of_forkfuls_own_in_the_standard_librarys_modules() -> None:
    ours = our_own()
    assert "forkful.threading.Event" in ours and "forkful.multiprocessing.synchronize.Lock" in ours
    assert set(ours) <= DESCRIBED.keys()


def test_names_of_forkfuls_own_modules() -> None:
    # The one module whose names have no counterpart and are not all in forkful itself.
    if importlib.util.find_spec("forkful.aio"):
        missing = {name for name in public_of("forkful.aio") if name not in DESCRIBED}
        shown_above = {f"forkful.aio.{name}" for name in forkful.__all__}
        assert not missing - shown_above


@pytest.mark.parametrize("name", DESCRIBED)
def test_it_is_there(name: str) -> None:
    if name == "forkful.multiprocessing.shared_memory.SharedMemory":
        pytest.importorskip("_posixshmem")
    described = found_by(name)
    missing = [member for member in re.findall(r"\w+", DESCRIBED[name]) if not hasattr(described, member)]
    assert not missing
