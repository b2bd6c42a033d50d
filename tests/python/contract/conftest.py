"""Every test here that uses an executor and does not say of which kind runs over all that are the engine's own."""

from __future__ import annotations

import pytest
from conftest import KINDS

USERS = {"make", "executor", "blocked"}

# The standard library's machinery has what its version has.
OWN = [kind for kind in KINDS if kind.name != "adjusted-threads"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = set(metafunc.fixturenames)
    if USERS & names and not {"kind", "thread_kind"} & names:
        metafunc.fixturenames.insert(0, "kind")
        metafunc.parametrize("kind", OWN, ids=lambda kind: kind.name, indirect=True)
