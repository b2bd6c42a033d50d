"""An executor that chooses between two threads and two processes, whatever machine it is on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import forkful
from forkful.futures._policy import Machine

# With pytest's importlib mode this folder is on nobody's path; its modules are wanted by name, here and in workers.
sys.path.append(str(Path(__file__).resolve().parent))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.measures)


@pytest.fixture
def chooser() -> Iterator[Callable[..., Any]]:
    """Makes executors that are shut down with the test."""
    made: list[Any] = []

    def build(**options: Any) -> Any:
        executor = forkful.AutoExecutor(2, **options)
        # What is right on a machine with one CPU is not what these tests are about.
        executor._desk.machine = Machine(threads=2, processes=2, cpus=2)
        made.append(executor)
        return executor

    yield build
    for executor in made:
        executor.shutdown(wait=True, cancel_futures=True)


@pytest.fixture
def auto(chooser: Callable[..., Any]) -> Any:
    return chooser()


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("FORKFUL_TEST_PARENT", str(os.getpid()))
    return os.getpid()
