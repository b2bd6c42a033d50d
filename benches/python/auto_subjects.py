"""The executors that a program could take without knowing its functions; `forkful` is the one that chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _stdlib() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor()


def _stdlib_processes() -> Any:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    return ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork"))


def _threads() -> Any:
    from forkful import ThreadPoolExecutor

    return ThreadPoolExecutor()


def _processes() -> Any:
    from forkful import ProcessPoolExecutor

    return ProcessPoolExecutor()


def _auto() -> Any:
    from forkful import AutoExecutor

    return AutoExecutor()


SUBJECTS: dict[str, Callable[[], Any]] = {
    "stdlib": _stdlib,
    "stdlib-processes": _stdlib_processes,
    "forkful-threads": _threads,
    "forkful-processes": _processes,
    "forkful": _auto,
}
"""Each makes one of its own default size."""
