"""Coroutines over each kind of executor, in loops whose complaints fail the test."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import subject
from conftest import KINDS
from eventually import WATCHDOG

USERS = {"make", "executor", "blocked"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = set(metafunc.fixturenames)
    if USERS & names and "kind" not in names:
        metafunc.fixturenames.insert(0, "kind")
        kinds = [kind for kind in KINDS if kind.name in ("threads", "processes", "auto")]
        metafunc.parametrize("kind", kinds, ids=lambda kind: kind.name, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if subject.REFERENCE:
        for item in items:
            if item.path.parent.name == "aio":
                item.add_marker(pytest.mark.skip(reason="the standard library's executors have none of it"))


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the end of a killed process sees it, on a machine that takes its time for that, too."""
    from forkful.futures import _async_map, _awaiting

    for module in (_async_map, _awaiting):
        monkeypatch.setattr(module, "PATIENCE", WATCHDOG)


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Any]]:
    """`asyncio.run` in debug mode; what the loop then has to log as an error is one."""
    yield lambda main: asyncio.run(main, debug=True)
    gc.collect()
    loud = [record for record in caplog.records if record.name == "asyncio" and record.levelno >= logging.ERROR]
    assert not loud, [record.getMessage() for record in loud]
