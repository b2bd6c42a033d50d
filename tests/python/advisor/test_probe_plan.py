"""What the probe decides to try, from numbers alone."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from forkful.advisor import plan


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [(1, []), (2, [2]), (3, [2, 3]), (4, [2, 3, 4]), (6, [2, 4, 6]), (8, [2, 4, 8]), (16, [2, 4, 8, 16])],
)
def test_worker_counts_go_from_two_to_the_cpus(cpus: int, expected: list[int]) -> None:
    assert plan.steps(cpus) == expected


@pytest.mark.parametrize("cpus", [5, 7, 24, 64, 96, 128, 1000])
def test_of_many_cpus_a_few_counts_are_tried(cpus: int) -> None:
    steps = plan.steps(cpus)
    assert steps[0] == 2 and steps[-1] == cpus and steps == sorted({*steps}) and len(steps) <= 4


@pytest.mark.parametrize(
    ("cpus", "cpu_share", "threads", "processes"),
    [
        (2, 1.0, [2], [2]),
        (2, 0.5, [2, 4, 8], [2, 4, 8]),
        (2, 0.0, [2, 4, 8, 32], [2, 4, 8]),
        (1, 1.0, [2], [2]),
        (1, 0.1, [2, 4, 8, 32], [2, 4]),
        (8, 0.5, [2, 4, 8, 16, 32], [2, 4, 8, 16]),
    ],
)
def test_what_waits_is_given_more_workers_than_cpus(
    cpus: int, cpu_share: float, threads: list[int], processes: list[int]
) -> None:
    assert plan.counts(cpus, cpu_share) == (threads, processes)


def attempts(**changes: object) -> list[plan.Attempt]:
    known: dict[str, object] = {
        "cpus": 2,
        "call": 0.01,
        "cpu_share": 1.0,
        "gil_share": 1.0,
        "send": 0.0,
        "processes": True,
        "shared": False,
        "tasks": False,
    }
    return plan.attempts(**{**known, **changes})  # type: ignore[arg-type]


def ways(found: list[plan.Attempt]) -> list[tuple[str, int]]:
    return [(one.way, one.workers) for one in found]


def test_the_likely_way_comes_first() -> None:
    assert ways(attempts())[0] == ("processes", 2)
    assert ways(attempts(gil_share=0.0))[0] == ("threads", 2)
    assert ways(attempts(gil_share=None))[0] == ("threads", 2)
    assert ways(attempts(cpu_share=0.01, gil_share=0.0))[0] == ("threads", 2)
    assert ways(attempts(cpu_share=0.01, gil_share=0.0, tasks=True))[0] == ("tasks", 8)


def test_a_lock_makes_threads_take_turns() -> None:
    by_way = {one.way: one.call for one in attempts()}
    assert by_way["threads"] == pytest.approx(0.02) and by_way["processes"] == pytest.approx(0.01)
    assert {one.way: one.call for one in attempts(gil_share=0.0)}["threads"] == pytest.approx(0.01)
    assert {one.way: one.call for one in attempts(cpus=1)}["processes"] == pytest.approx(0.02)


def test_what_can_not_be_sent_is_tried_by_threads_only() -> None:
    assert {one.way for one in attempts(processes=False, shared=True)} == {"threads"}
    assert ("shared", 2) in ways(attempts(shared=True))


def test_only_what_fits_is_tried() -> None:
    found = [plan.Attempt("processes", 2, 1.0), plan.Attempt("threads", 2, 2.0), plan.Attempt("shared", 2, 0.5)]
    assert ways(plan.fitting(found, 4.0)) == ways(found)
    assert ways(plan.fitting(found, 1.6)) == [("processes", 2), ("shared", 2)]
    assert plan.fitting(found, 0.1) == []


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 32])
@pytest.mark.parametrize("inputs", [1, 2, 5, 64, 1000])
@pytest.mark.parametrize("wanted", [0.001, 1, 9, 100, 10_000])
def test_stretches_are_multiples_of_the_workers(workers: int, inputs: int, wanted: float) -> None:
    count = plan.calls_for(1.0, wanted, workers, inputs)
    assert count >= workers and count % workers == 0
    assert count <= max(workers, 2 * wanted)
    if wanted >= math.lcm(workers, inputs):
        assert count % inputs == 0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10, 97, 1000])
def test_all_places_are_visited_the_first_one_first(count: int) -> None:
    order = plan.order(count)
    assert order[0] == 0 and sorted(order) == list(range(count))


def test_a_beginning_of_the_order_is_spread_over_all() -> None:
    first = sorted(plan.order(1000)[:20])
    assert max(after - before for before, after in pairwise(first)) < 150


@pytest.mark.parametrize("workers", [2, 3, 8])
@pytest.mark.parametrize("count", range(0, 60, 3))
@pytest.mark.parametrize("computes", [True, False])
def test_shares_hold_each_place_once(count: int, workers: int, computes: bool) -> None:
    places = list(range(count))
    serial, threads, processes = plan.share_out(places, workers, computes=computes)
    assert serial + threads + processes == places
    assert len(threads) % workers == 0 and len(processes) % workers == 0
    assert serial or not places
    if count > 2 * workers:
        assert threads and processes
    elif count > workers:
        assert bool(processes) is computes and bool(threads) is not computes


@pytest.mark.parametrize(
    ("count", "workers", "expected"),
    [(0, 2, []), (1, 2, []), (2, 2, [2]), (4, 2, [2, 2]), (6, 2, [2, 2, 2]), (14, 2, [4, 4, 6]), (9, 3, [3, 3, 3])],
)
def test_groups_are_three_at_most(count: int, workers: int, expected: list[int]) -> None:
    assert [len(part) for part in plan.groups(list(range(count)), workers)] == expected
