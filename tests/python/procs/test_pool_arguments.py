"""A wrong argument is refused where it is given, by its name; what the standard library takes, is taken."""

from __future__ import annotations

import math
import multiprocessing
import os
from typing import Any

import pytest

from forkful import ProcessPoolExecutor, ThreadPoolExecutor

HUGE = 2**70
NUMBERS = ("max_pending", "max_memory_per_child", "memory_limit", "threads_per_worker")


class Index:
    def __index__(self) -> int:
        return 1 << 40

    def __repr__(self) -> str:
        return "Index()"


class Unheard(type(multiprocessing.get_context("fork"))):  # type: ignore[misc]
    _name = "unheard"


@pytest.mark.parametrize("name", ("max_workers", "max_tasks_per_child", *NUMBERS))
@pytest.mark.parametrize("value", (1.5, "2", math.nan, math.inf, [], b"1"), ids=repr)
def test_what_is_no_integer_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be an integer.* not "):
        ProcessPoolExecutor(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_too_large_or_too_small_is_refused_by_name(name: str) -> None:
    for value in (HUGE, 10**5000, -1, -HUGE):
        with pytest.raises(ValueError, match=f"^{name} must be .* or None for "):
            ProcessPoolExecutor(1, **{name: value})
    with pytest.raises(TypeError, match=f"^{name} must be an integer.* not True"):
        ProcessPoolExecutor(1, **{name: True})


@pytest.mark.parametrize("value", (0, -3, HUGE))
def test_max_workers_has_bounds(value: int) -> None:
    with pytest.raises(ValueError, match=r"^max_workers must be "):
        ProcessPoolExecutor(value)


@pytest.mark.parametrize("value", (math.inf, math.nan, 1e300, 10**400, 0, -1))
def test_the_sampling_has_bounds(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^memory_sampling must be a number of seconds above 0"):
        ProcessPoolExecutor(1, memory_sampling=value)


@pytest.mark.parametrize("value", ("1", None, [], True, 1j), ids=repr)
def test_the_sampling_is_a_number(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^memory_sampling must be a number of seconds above 0, not "):
        ProcessPoolExecutor(1, memory_sampling=value)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"mp_context": "fork"}, TypeError, r"mp_context must be a context.*get_context\('fork'\)"),
    ({"mp_context": "spawn"}, TypeError, r"mp_context must be a context.*get_context\('spawn'\)"),
    ({"mp_context": 5}, TypeError, "mp_context must be a context"),
    ({"mp_context": Unheard()}, ValueError, "mp_context starts processes by 'unheard'"),
    ({"start_method": [1]}, TypeError, "start_method must be one of 'fork'"),
    ({"start_method": ""}, ValueError, "start_method must be one of 'fork'"),
    ({"start_method": "thread"}, ValueError, "start_method must be one of 'fork'"),
    ({"on_crash": ""}, ValueError, "on_crash must be 'replace' or 'break'"),
    ({"on_crash": 5}, ValueError, "on_crash must be 'replace' or 'break'"),
    ({"preload": 5}, TypeError, "preload must be names of modules"),
    ({"preload": [1]}, TypeError, "preload must be names of modules"),
    ({"preload": b"json"}, TypeError, "preload must be names of modules"),
    ({"max_tasks_per_child": 0}, ValueError, "max_tasks_per_child must be >= 1"),
]


@pytest.mark.parametrize(("given", "kind", "said"), WRONG, ids=lambda value: str(value)[:30])
def test_other_arguments(given: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        ProcessPoolExecutor(1, **given)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKFUL_START_METHOD", "")
    monkeypatch.setenv("FORKFUL_ON_CRASH", "")
    with ProcessPoolExecutor(1) as pool:
        assert pool._mp_context.get_start_method() == multiprocessing.get_start_method()
        assert pool.submit(abs, -1).result(timeout=60) == 1


def test_an_unheard_of_context_beside_a_name() -> None:
    with ProcessPoolExecutor(1, mp_context=Unheard(), start_method="fork") as pool:
        assert pool._mp_context.get_start_method() == "fork"


TAKEN: list[dict[str, Any]] = [
    {"max_workers": True},
    {"max_workers": 5000},
    {"max_tasks_per_child": HUGE, "start_method": "fork"},
    {"max_tasks_per_child": True, "start_method": "fork"},
    {"memory_limit": Index(), "max_pending": 2**40, "memory_sampling": 1e-9},
    {"max_memory_per_child": 2**62, "threads_per_worker": 0},
    {"initargs": 5},
]


@pytest.mark.parametrize("given", TAKEN, ids=str)
def test_what_is_taken_works(given: dict[str, Any]) -> None:
    with ProcessPoolExecutor(**{"max_workers": 1, **given}) as pool:
        assert pool.submit(abs, -1).result(timeout=60) == 1
        assert pool._max_workers == given.get("max_workers", 1)


@pytest.mark.parametrize("method", ("fork", "zygote", "spawn"))
def test_arguments_that_no_initializer_can_have_break_the_pool_as_elsewhere(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method, initializer=os.getpid, initargs=5) as pool:  # type: ignore[arg-type]
        error = pool.submit(abs, -1).exception(timeout=60)
    assert "initializer failed" in str(error) and isinstance(getattr(error, "__cause__", None), TypeError)


OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"timeout": "1"}, TypeError, "timeout must be a number of seconds"),
    ({"timeout": True}, TypeError, "timeout must be a number of seconds"),
    ({"timeout": 0}, ValueError, "timeout must be a number of seconds"),
    ({"timeout": math.nan}, ValueError, "timeout must be a number of seconds"),
    ({"retries": 1.0}, TypeError, "retries must be an integer"),
    ({"retries": True}, TypeError, "retries must be an integer"),
    ({"retries": HUGE}, ValueError, "retries must be at most"),
    ({"retries": -1}, ValueError, "retries must be 0 or more"),
    ({"priority": 1.0}, TypeError, "priority must be an integer"),
    ({"priority": 2**31}, ValueError, "priority must be at most"),
    ({"priority": -HUGE}, ValueError, "priority must be "),
    ({"name": 3}, TypeError, "name must be a string"),
    ({"name": "\ud800"}, ValueError, "name must be a string"),
]


@pytest.fixture(scope="module")
def pool() -> Any:
    with ProcessPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize(("given", "kind", "said"), OPTIONS, ids=lambda value: ascii(value)[:30])
def test_options_are_refused_by_name(pool: Any, given: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=f"^{said}"):
        pool.with_options(**given)
    if "retries" in given or "priority" in given:
        with ThreadPoolExecutor(1) as threads, pytest.raises(kind, match=f"^{said}"):
            threads.with_options(**given)


@pytest.mark.parametrize("timeout", (math.inf, 1e30, 10**400, 1e-12))
def test_timeouts_of_any_size(pool: Any, timeout: Any) -> None:
    if timeout > 1:
        assert pool.with_options(timeout=timeout).submit(abs, -1).result(timeout=60) == 1
    else:
        pool.with_options(timeout=timeout)
