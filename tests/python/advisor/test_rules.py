"""Verdicts over measurements that are made up: one line for each situation."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from advisor.measured import measured, spread

from forkful.advisor import Cost, Measurements, judge

LARGE = Cost(80_000_000, 80_000_000, 0.02)
LOCK = Cost(error="cannot pickle '_thread.lock' object")
WAITING: dict[str, Any] = {"cpu": 0.001, "gil": 0.0}
NATIVE: dict[str, Any] = {"gil": 0.01}
MIXED: dict[str, Any] = {"cpu": 0.5, "gil": 0.5}

# What was measured, the choice, its cause, how many workers.
CLEAR = {
    "sleep": (
        measured(0.1, **WAITING, threads={2: 2, 8: 7.9, 32: 31}, processes={2: 2, 4: 3.9}),
        ("threads", "waits", 32),
    ),
    "socket round trips": (
        measured(2e-3, cpu=0.04, gil=0.02, threads={2: 1.9, 8: 7, 32: 14}, processes={2: 1.9, 4: 3.5}),
        ("threads", "waits", 32),
    ),
    "what is waited for has a limit": (
        measured(0.1, **WAITING, threads={2: 2, 8: 4, 32: 4.1}, processes={2: 2, 4: 3.9}),
        ("threads", "waits", 8),
    ),
    "pure Python": (
        measured(threads={2: 0.97}, processes={2: 1.9}),
        ("processes", "computes in Python", 2),
    ),
    "pure Python, threads lose time to the lock": (
        measured(threads={2: 0.6}, processes={2: 1.8}),
        ("processes", "computes in Python", 2),
    ),
    "pure Python, eight CPUs": (
        measured(cpus=8, threads={2: 1, 4: 1, 8: 1}, processes={2: 1.9, 4: 3.7, 8: 7}),
        ("processes", "computes in Python", 8),
    ),
    "zlib": (
        measured(**NATIVE, threads={2: 1.9}, processes={2: 1.9}),
        ("threads", "computes, but without the GIL", 2),
    ),
    "zlib, processes a little ahead by chance": (
        measured(**NATIVE, threads={2: 1.85}, processes={2: 1.95}),
        ("threads", "computes, but without the GIL", 2),
    ),
    "numpy, and arguments are dear to send": (
        measured(**NATIVE, threads={2: 1.9}, processes={2: 0.4}, arguments=LARGE),
        ("threads", "computes, but without the GIL", 2),
    ),
    "numpy between lines of Python": (
        measured(gil=0.4, threads={2: 1.7}, processes={2: 1.75}),
        ("threads", "computes, in part without the GIL", 2),
    ),
    "half and half": (
        measured(**MIXED, threads={2: 1.7, 4: 1.9, 8: 1.9}, processes={2: 1.9, 4: 3.5, 8: 3.6}),
        ("processes", "computes in Python and waits", 4),
    ),
    "a little Python in much waiting": (
        measured(cpu=0.2, gil=0.2, threads={2: 1.9, 8: 4.5}, processes={2: 1.9, 4: 3.6}),
        ("threads", "waits and computes", 8),
    ),
    "tiny": (
        measured(1e-6, threads={2: 0.1}, processes={2: 0.5}),
        ("inline", "too small to ship", 1),
    ),
    "small, and many at a time pay": (
        measured(2e-5, threads={2: 0.8}, processes={2: 1.7}),
        ("processes", "computes in Python", 2),
    ),
    "dear to send, the same in every call": (
        measured(gil=0.9, threads={2: 1}, processes={2: 0.5}, shared={2: 1.9}, shareable=80_000_000, arguments=LARGE),
        ("processes with share", "computes in Python", 2),
    ),
    "the same in every call, and cheap": (
        measured(threads={2: 1}, processes={2: 1.85}, shared={2: 1.9}, shareable=300_000),
        ("processes", "computes in Python", 2),
    ),
    "dear to send, each another": (
        measured(threads={2: 1}, processes={2: 0.4}, arguments=LARGE),
        ("inline", "too dear to ship", 1),
    ),
    "can't be pickled, and computes": (
        measured(threads={2: 0.98}, arguments=LOCK, refused="an argument can't be pickled"),
        ("inline", "computes in Python, and processes can't run it", 1),
    ),
    "can't be pickled, and waits": (
        measured(0.1, **WAITING, threads={2: 2, 8: 7.9}, arguments=LOCK, refused="an argument can't be pickled"),
        ("threads", "waits", 8),
    ),
    "threads of its own": (
        measured(all_cpu=2.0, gil=0.01, threads={2: 1}, processes={2: 1}),
        ("inline", "has threads of its own", 1),
    ),
    "programs that it starts": (
        measured(cpu=0.02, gil=0.0, children_cpu=0.009, threads={2: 1.9}, processes={2: 1.9}),
        ("threads", "waits for its child processes", 2),
    ),
    "one CPU, computes": (
        measured(cpus=1, threads={2: 0.97}, processes={2: 0.97}),
        ("inline", "computes, and there is one CPU", 1),
    ),
    "one CPU, waits": (
        measured(0.1, cpus=1, **WAITING, threads={2: 2, 8: 7.9}, processes={2: 2}),
        ("threads", "waits", 8),
    ),
    "no GIL, computes": (
        measured(free=True, threads={2: 1.9}, processes={2: 1.9}),
        ("threads", "computes, and there is no GIL", 2),
    ),
    "no GIL, but objects that all change": (
        measured(free=True, threads={2: 0.7}, processes={2: 1.9}),
        ("processes", "computes, and threads hold each other up", 2),
    ),
    "no GIL, waits": (
        measured(0.1, free=True, cpu=0.001, threads={2: 2, 8: 8}, processes={2: 2}),
        ("threads", "waits", 8),
    ),
    "a generator": (
        measured(lazy="generator", threads={2: 0.97}, processes={2: 1.9}),
        ("processes", "computes in Python", 2),
    ),
    "a coroutine that waits": (
        measured(0.1, **WAITING, lazy="coroutine", tasks={2: 2, 32: 31, 128: 120}, threads={2: 2, 8: 7.9}),
        ("asyncio", "waits", 128),
    ),
    "a coroutine that does nothing": (
        measured(3e-5, lazy="coroutine", tasks={8: 41}, threads={2: 1}, processes={2: 1}),
        ("inline", "too small to ship", 1),
    ),
    "a coroutine that computes": (
        measured(lazy="coroutine", tasks={2: 1, 32: 1}, threads={2: 1}, processes={2: 1.9}),
        ("processes", "computes in Python", 2),
    ),
}


def of(m: Measurements) -> tuple[str, str, int]:
    verdict = judge(m)
    return verdict.choice, verdict.cause, verdict.workers


@pytest.mark.parametrize(("m", "expected"), CLEAR.values(), ids=CLEAR)
def test_clear_cases(m: Measurements, expected: tuple[str, str, int]) -> None:
    assert of(m) == expected


@pytest.mark.parametrize("m", [m for m, _ in CLEAR.values()], ids=CLEAR)
def test_clear_cases_are_sure(m: Measurements) -> None:
    verdict = judge(m)
    assert verdict.sure, verdict.doubts
    assert verdict.measured


# What was measured, the choice that is best all the same, and what the doubt is about.
DOUBTFUL = {
    "one call": (measured(wall=3.0, count=1, once=True), "processes", "single measurement"),
    "processes were not tried": (measured(threads={2: 0.97}), "processes", "not measured"),
    "nothing was tried, and it waits": (measured(0.5, **WAITING), "threads", "not measured"),
    "one repetition": (measured(threads={2: 1}, processes={2: 1.9}, count=1), "processes", "single measurement"),
    "quartiles overlap": (measured(threads={2: 1}, processes={2: 1.5}, off=0.3), "processes", "overlap"),
    "a busy machine": (measured(threads={2: 0.97}, processes={2: 1.05}), "processes", "smaller than a tenth"),
    "a much busier one": (measured(threads={2: 0.97}, processes={2: 1.15}), "processes", "was to be expected"),
    "the lock is held, and threads scale": (
        measured(gil=0.99, threads={2: 1.9}, processes={2: 1.9}),
        "threads",
        "which allows 1.0 times",
    ),
    "the lock is free, and threads don't scale": (
        measured(gil=0.01, threads={2: 1.0}, processes={2: 1.9}),
        "processes",
        "another lock",
    ),
    "neither scales, and nothing says why": (
        measured(gil=0.01, threads={2: 1.0}, processes={2: 1.0}),
        "inline",
        "another lock",
    ),
    "others had the CPUs, and one measurement was left": (
        measured(gil=0.01, threads={2: 0.34}, processes={2: 0.9}, count=1, others=1.8),
        "threads",
        "other programs had the CPUs",
    ),
    "faster than two can be": (measured(threads={2: 0.97}, processes={2: 3.6}), "processes", "2.0 is the most"),
    "it remembers its answers": (measured(1e-6, inputs=5, remembers=True, threads={2: 0.2}), "inline", "--once"),
    "it may have remembered its answer": (
        measured(1e-6, first=1.0, remembers=True, threads={2: 0.2}),
        "inline",
        "first call took 1 s",
    ),
    "nobody has asked for the lock, and processes can't": (measured(gil=None, refused="no"), "inline", "or faster"),
    "nobody has asked for the lock": (measured(gil=None, processes={2: 1.9}), "processes", "threads may be as fast"),
    "large objects, and no time to try": (
        measured(wall=0.02, shareable=80_000_000, arguments=LARGE),
        "processes with share",
        "not measured",
    ),
}


@pytest.mark.parametrize(("m", "choice", "doubt"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_doubtful_cases_say_so(m: Measurements, choice: str, doubt: str) -> None:
    verdict = judge(m)
    assert verdict.choice == choice
    assert not verdict.sure
    assert doubt in " ".join(verdict.doubts)


def test_the_lead_is_over_the_next_best_of_another_kind() -> None:
    verdict = judge(measured(threads={2: 1.0}, processes={2: 2.0, 4: 2.02}))
    assert (verdict.choice, verdict.workers) == ("processes", 2)
    assert verdict.lead == pytest.approx(2.0)
    assert verdict.runner_up in ("inline", "threads")


def test_a_simpler_equal_has_a_lead_below_one_and_is_sure() -> None:
    verdict = judge(measured(gil=0.01, threads={2: 1.85}, processes={2: 1.95}))
    assert verdict.choice == "threads" and verdict.runner_up == "processes"
    assert verdict.lead is not None and verdict.lead < 1
    assert verdict.sure


def test_a_busy_machine_does_not_make_a_loop_look_like_waiting() -> None:
    m = measured(
        0.03, cpu=0.33, gil=0.98, delayed=0.02, queued=0.66, threads_queued=0.66, threads={2: 1.2}, processes={2: 1.7}
    )
    verdict = judge(m)
    assert (verdict.choice, verdict.cause) == ("processes", "computes in Python")


@pytest.mark.parametrize(
    ("m", "choice"),
    [
        (measured(gil=0.01, queued=0.5, threads_queued=0.5, threads={2: 1.0}, processes={2: 1.0}), "threads"),
        (measured(threads={2: 1.0}, processes={2: 1.0}, queued=0.5), "processes"),
        (
            measured(0.02, cpu=0.5, delayed=0.01, queued=0.5, threads_queued=0.5, threads={2: 1.0}, processes={2: 1.9}),
            "processes",
        ),
    ],
)
def test_one_free_cpu_of_two_says_nothing_of_the_function(m: Measurements, choice: str) -> None:
    verdict = judge(m)
    assert verdict.choice == choice
    assert verdict.speedup is not None and verdict.speedup > 1.8
    assert (m.delayed > 0) or "other programs had the CPUs" in " ".join(verdict.doubts)


def test_a_queue_before_single_calls_makes_no_way_slower_than_it_was() -> None:
    m = measured(0.1, cpu=0.8, gil=0.99, delayed=0.02, threads={2: 0.89}, refused="it can't be pickled")
    verdict = judge(m)
    assert (verdict.choice, verdict.runner_up) == ("inline", "threads")
    assert verdict.lead == pytest.approx(1 / 0.89)


def test_processes_that_gain_nothing_for_no_reason_are_a_doubt() -> None:
    verdict = judge(measured(threads={2: 0.89}, processes={2: 0.9}))
    assert verdict.choice == "inline"
    assert "2.0 times the speed was to be expected of processes" in " ".join(verdict.doubts)
    # Not only where they came in second.
    assert not judge(measured(7e-5, threads={2: 0.96}, processes={2: 0.81}, off=0.05)).sure


BUSY: dict[str, Any] = {"others": 1.7}


@pytest.mark.parametrize(
    ("m", "expected"),
    [
        (measured(**BUSY, threads={2: 0.9}, processes={2: 0.46}), ("processes", "computes in Python", 2)),
        (measured(**BUSY, threads={2: 1.5}, processes={2: 0.9}), ("processes", "computes in Python", 2)),
        (measured(**BUSY, threads={2: 0.9}, processes={2: 0.9, 4: 1.3}), ("processes", "computes in Python", 2)),
        (
            measured(**BUSY, **NATIVE, threads={2: 1.0}, processes={2: 1.6}),
            ("threads", "computes, but without the GIL", 2),
        ),
        (
            measured(**BUSY, **MIXED, threads={2: 1.5, 4: 1.9}, processes={2: 1.9, 4: 0.9}),
            ("processes", "computes in Python and waits", 4),
        ),
        (
            measured(**BUSY, **NATIVE, threads={2: 0.3}, processes={2: 1.6}),
            ("processes", "computes, and threads hold each other up", 2),
        ),
        (
            measured(**BUSY, threads={2: 0.9}, refused="no"),
            ("inline", "computes in Python, and processes can't run it", 1),
        ),
        (
            measured(cpu=0.5, gil=0.01, all_cpu=1.0, delayed=0.005, **BUSY, threads={2: 0.8}, processes={2: 1.8}),
            ("inline", "has threads of its own", 1),
        ),
        (measured(1e-6, **BUSY, threads={2: 0.2}, processes={2: 0.5}), ("inline", "too small to ship", 1)),
        (measured(0.1, **BUSY, **WAITING, threads={8: 7.0, 32: 25}, processes={4: 3}), ("threads", "waits", 32)),
    ],
)
def test_what_a_function_needs_does_not_depend_on_other_programs(
    m: Measurements, expected: tuple[str, str, int]
) -> None:
    verdict = judge(m)
    assert of(m) == expected
    assert verdict.sure == ((verdict.measured and "too small" in verdict.cause) or verdict.cause == "waits")


def test_workers_that_crowd_each_other_are_taken_as_measured() -> None:
    verdict = judge(measured(threads={2: 1.0}, processes={2: 1.9, 4: 1.95}, queued=0.0))
    crowded = judge(measured(threads={2: 1.0}, processes={4: 1.9}, queued=0.5))
    assert verdict.speedup == crowded.speedup == pytest.approx(1.9)


def test_a_lock_that_is_held_in_the_queue_is_not_held_longer_for_that() -> None:
    # 4 ms of computing and 6 ms of sleep, stretched to 18 ms by a queue of 8 ms in which it had the lock.
    m = measured(0.018, cpu=4 / 18, gil=12 / 18, delayed=0.008, threads={2: 1.8}, processes={2: 1.9, 4: 3.4})
    assert "waits 60 % of the time and holds the GIL 40 %" in judge(m).sentence


def test_a_queue_in_which_it_may_or_may_not_have_had_the_lock_widens_the_margin() -> None:
    # A loop in Python that lost the lock to the sampler, and then stood in the queue without it.
    loop = measured(1e-3, cpu=0.3, gil=0.26, delayed=6.7e-4, **BUSY, threads={2: 1.6}, refused="a worker died")
    assert "as numpy" not in judge(loop).sentence
    native = measured(1e-3, cpu=0.3, gil=0.01, delayed=6.7e-4, **BUSY, threads={2: 1.6}, refused="a worker died")
    assert "as numpy" in judge(native).sentence


def test_the_lock_is_not_held_in_the_pauses_because_the_samples_are_off() -> None:
    assert "holds the GIL 50 %" in judge(measured(cpu=0.5, gil=0.52, threads={2: 1.7}, processes={2: 1.9})).sentence
    # In C it can be.
    assert "holds the GIL 99 %" in judge(measured(cpu=0.5, gil=0.99, threads={2: 1}, processes={2: 1.9})).sentence


def test_speed_on_a_busy_machine_is_no_contradiction() -> None:
    # Two threads get twice the share of CPUs that others compete for, whatever the lock does.
    m = measured(0.03, cpu=0.5, gil=0.99, delayed=0.015, threads={2: 1.5}, processes={2: 1.9})
    assert "which allows" not in " ".join(judge(m).doubts)


def test_thousands_of_waits_are_for_an_event_loop() -> None:
    waits = measured(0.1, **WAITING, inputs=2000, threads={8: 7.9, 32: 31}, processes={4: 4})
    verdict = judge(waits)
    assert (verdict.choice, verdict.cause, verdict.runner_up) == ("asyncio", "thousands of waits", "threads")
    assert verdict.speedup is not None and verdict.speedup > 100
    assert not verdict.measured and "written with await" in verdict.doubts[0]


@pytest.mark.parametrize(
    "m",
    [
        measured(0.1, **WAITING, inputs=500, threads={32: 31}),  # hundreds
        measured(2e-4, cpu=0.05, gil=0.02, inputs=2000, threads={32: 4}),  # a loop takes as long as the wait
        measured(0.1, **WAITING, inputs=2000, threads={8: 4, 32: 4}),  # the other side takes four at a time
        measured(0.1, inputs=2000, threads={2: 1}, processes={2: 1.9}),  # computes
    ],
)
def test_other_thousands_are_not(m: Measurements) -> None:
    assert judge(m).choice != "asyncio"


def test_a_coroutine_function_that_was_called_once() -> None:
    verdict = judge(measured(0.1, **WAITING, lazy="coroutine"))
    assert (verdict.choice, verdict.cause, verdict.speedup) == ("asyncio", "coroutine function", None)
    assert not verdict.sure


def test_a_function_that_raised() -> None:
    m = measured(raised="ValueError: no. Really", raised_by=2, inputs=3)
    verdict = judge(m)
    assert verdict.choice == "nothing to judge" and verdict.speedup is None
    assert verdict.sentence == "There is nothing to judge: it raised ValueError on input 3 of 3."
    assert "no. Really" in verdict.doubts[0]


def test_a_generator_without_an_end() -> None:
    verdict = judge(measured(0.5, endless=True, lazy="generator"))
    assert verdict.choice == "nothing to judge" and not verdict.sure
    assert verdict.sentence.startswith("There is nothing to judge: it still yielded after 500 ms")
    assert one_sentence(verdict.sentence)


def test_little_computing_is_not_without_the_lock_because_the_samples_are_few() -> None:
    m = measured(2.3e-3, cpu=0.11, gil=0.01, gil_margin=0.05, threads={2: 2, 32: 15}, processes={2: 1.8})
    assert of(m) == ("threads", "waits and computes", 32)


def test_speed_that_is_possible_is_told() -> None:
    coroutine = judge(measured(2e-3, cpu=0.03, gil=0.03, lazy="coroutine", tasks={128: 100}, threads={2: 2}))
    assert coroutine.speedup == pytest.approx(100) and coroutine.sure
    verdict = judge(measured(**NATIVE, threads={2: 2.1}, processes={2: 1.9}))
    assert verdict.speedup == 2.0 and verdict.sure


def test_one_that_raised_at_once_has_no_times() -> None:
    nothing = spread(0.0, count=0)
    assert judge(measured(raised="ValueError", wall=nothing.median)).choice == "nothing to judge"


@pytest.mark.parametrize(
    ("m", "words"),
    [
        (measured(threads={2: 1}, processes={2: 2}), "earned back after 10 calls"),
        (measured(threads={2: 1}, processes={2: 1.9}, shareable=2**20), "share() places them once"),
        (measured(threads={2: 1}, processes={2: 1.9}, first=1.0), "sets something up"),
        (measured(threads={2: 1}, arguments=LOCK, refused="no pickle"), "_thread.lock"),
        (measured(threads={2: 1}, refused="its worker died"), "its worker died"),
        (measured(threads={2: 1}, processes={2: 1.9}, changes_arguments=True), "copies of their own"),
        (measured(0.1, **WAITING, threads={8: 8}, changes_arguments=True), "need a lock"),
        (measured(0.1, **WAITING, threads={8: 8}), "asyncio pays"),
        (measured(0.1, **WAITING, threads={8: 4, 32: 4}), "has a limit"),
        (measured(all_cpu=2.0, gil=0.0, threads={2: 1}, processes={2: 1}), "OMP_NUM_THREADS"),
        (measured(2e-5, threads={2: 0.8}, processes={2: 1.7}), "submitted one by one"),
        (measured(0.1, **WAITING, threads={2: 1, 8: 1}, processes={2: 2}), "one of its own"),
        (measured(processes={2: 1.9}, threads_refused="not from this thread"), "not from this thread"),
    ],
)
def test_hints(m: Measurements, words: str) -> None:
    assert words in " ".join(judge(m).hints)


SPEEDS = (None, 0.2, 0.97, 1.05, 1.2, 1.9, 6.0)
GRID = itertools.product(
    (1e-7, 1e-4, 2.0),
    (0.0, 0.5, 1.0),
    (None, 0.0, 0.5, 1.0),
    SPEEDS,
    SPEEDS,
    (1, 2, 64),
    (None, "generator", "coroutine", "async generator"),
)


def test_every_combination_gets_one_honest_sentence() -> None:
    def way(speed: float | None) -> dict[int, float] | None:
        return None if speed is None else {2: speed}

    for number, (wall, cpu, gil, threads, processes, cpus, lazy) in enumerate(GRID):
        refused = "it can't be pickled" if number % 3 == 0 else None
        m = measured(
            wall,
            cpu=cpu,
            gil=gil,
            threads=way(threads),
            processes=None if refused else way(processes),
            cpus=cpus,
            lazy=lazy,
            refused=refused,
            free=number % 5 == 0,
            inputs=(1, 5000)[number % 2],
        )
        verdict = judge(m)
        assert one_sentence(verdict.sentence), verdict.sentence
        assert all(one_sentence(f"X{doubt[1:]}.") for doubt in verdict.doubts), verdict.doubts
        assert refused is None or not verdict.choice.startswith("processes")
        assert verdict.workers >= 1
        if verdict.speedup is not None:
            assert verdict.low is not None and verdict.high is not None
            assert 0 < verdict.low <= verdict.speedup <= verdict.high
        # Nothing that was measured to be much slower than a direct call is ever advised.
        if verdict.measured and verdict.choice != "inline":
            assert verdict.speedup is not None and verdict.speedup > 1
        assert (verdict.lead is None) == (verdict.runner_up is None)


def one_sentence(words: str) -> bool:
    return re.fullmatch(r"[A-Z][^\n]*[^.\s]\.", words) is not None and ". " not in words
