"""The probe over functions that raise, die, hang or can't be sent: it says so, ends in time, and leaves nobody behind."""

from __future__ import annotations

import _thread
import asyncio
import functools
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from advisor import known
from eventually import eventually

from forkful._gil import has_gil
from forkful.advisor.measurements import Measurements
from forkful.advisor.probe import measure

pytestmark = pytest.mark.measures

BUDGET = 0.25


def look(fn: Callable[..., Any], *inputs: tuple[Any, ...], **options: Any) -> Measurements:
    return measure(fn, [(args, {}) for args in inputs or ((),)], **{"budget": BUDGET, **options})


def found(
    fn: Callable[..., Any], *inputs: tuple[Any, ...], when: Callable[[Measurements], object], **options: Any
) -> Measurements:
    """What was found in enough time for it: a budget so small may be over on a busy machine before all workers are up."""
    for budget in (options.pop("budget", BUDGET), 2.0, 10.0):
        m = look(fn, *inputs, budget=budget, **options)
        if when(m):
            break
    return m


def is_tried(m: Measurements) -> bool:
    """Whether there was time for threads, and for processes if they can be had."""
    return bool(m.threads or m.threads_refused) and bool(m.processes or m.refused)


def children() -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(stat.parent.name))
        except (OSError, IndexError):
            pass
    return found


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    before = children()
    yield
    assert eventually(lambda: children() <= before)


# --- what raises ---


def test_a_function_that_raises() -> None:
    m = look(known.refuses, (1, 1))
    assert m.raised == "ValueError: 1 is not welcome" and m.raised_by == 0
    assert m.traceback.startswith("Traceback") and "in refuses" in m.traceback and "forkful" not in m.traceback
    assert m.threads == m.processes == ()


@pytest.mark.parametrize("bad", [1, 2, 4])
def test_a_function_that_raises_over_a_later_input(bad: int) -> None:
    m = found(known.refuses, *((number, bad) for number in range(5)), when=lambda m: m.raised)
    assert m.raised == f"ValueError: {bad} is not welcome" and m.raised_by == bad
    assert m.first > 0 and m.wall.count == 1


def test_a_builtin_that_raises_has_no_frames() -> None:
    m = look(int, ("three",))
    assert m.raised is not None and "three" in m.raised and "forkful" not in m.traceback


def test_a_function_that_leaves() -> None:
    assert look(sys.exit, (3,)).raised == "SystemExit: 3"


def test_a_generator_and_a_coroutine_that_raise() -> None:
    m = look(known.bad_squares, ())
    assert m.lazy == "generator" and m.raised == "ValueError: no more squares"
    m = look(known.arefuses, ())
    assert m.lazy == "coroutine" and m.raised == "ValueError: not me"


def test_what_is_raised_only_elsewhere_is_no_error_of_the_function() -> None:
    m = found(known.raises_elsewhere, (os.getpid(),), when=is_tried)
    assert m.raised is None and m.threads and m.processes == ()
    assert m.refused == "a call raised what it does not raise alone: RuntimeError: only at home"


# --- what can't be sent ---


def test_an_argument_that_can_not_be_pickled() -> None:
    m = found(known.hold, (threading.Lock(),), when=is_tried)
    assert m.refused is not None and "arguments can't be sent" in m.refused and "lock" in m.refused
    assert m.arguments.error is not None and "lock" in m.arguments.error
    assert m.threads and m.processes == () and m.raised is None


def test_a_result_that_can_not_be_pickled() -> None:
    m = found(known.makes_lock, when=is_tried)
    assert m.refused is not None and "result can't be sent" in m.refused and m.result.error is not None
    assert m.threads and m.processes == ()


def test_a_function_that_can_not_be_sent() -> None:
    lock = threading.Lock()
    m = found(lambda: [lock, known.loop(2000)][1], when=is_tried)
    assert m.refused is not None and "the function can't be sent" in m.refused
    assert m.threads and m.processes == ()


# --- what dies or hangs ---


def test_a_function_that_ends_its_process() -> None:
    m = found(known.dies_elsewhere, (os.getpid(),), when=is_tried)
    assert m.refused == "a worker died of a call: exit code 3"
    assert m.raised is None and m.threads and m.processes == ()


def test_a_function_that_hangs_in_another_process() -> None:
    m = found(known.hangs_elsewhere, (os.getpid(),), when=is_tried)
    assert m.refused is not None and "were not done after" in m.refused
    assert m.threads and m.processes == ()


def test_a_function_that_hangs_in_threads() -> None:
    # In a program of its own, as threads can't be stopped.
    program = (
        f"import sys; sys.path.insert(0, {str(Path(known.__file__).parent.parent)!r})\n"
        "from advisor import known\n"
        "from forkful.advisor.probe import measure\n"
        f"for budget in ({BUDGET}, 2.0, 10.0):\n"
        "    m = measure(known.hangs_in_threads, [((), {})], budget=budget)\n"
        "    if m.threads_refused and m.processes:\n"
        "        break\n"
        "assert m.threads_refused and 'were not done after' in m.threads_refused, m\n"
        "assert m.threads == () and m.processes and m.raised is None, m\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_workers_that_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> float:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("forkful.advisor.ways.Processes.start", fail)
    m = found(known.loop, (2000,), when=is_tried)
    assert m.refused is not None and "workers did not start" in m.refused and "unavailable" in m.refused
    assert m.threads and m.raised is None


def test_ctrl_c_ends_it_and_all_workers() -> None:
    heard = threading.Event()

    def interrupt() -> None:
        heard.wait(30)
        _thread.interrupt_main()

    def say(_: float, what: str) -> None:
        if "processes" in what and not what.startswith("starting"):
            heard.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        look(known.loop, (200_000,), budget=60.0, progress=say)
    thread.join()


def test_ctrl_c_inside_of_the_first_call() -> None:
    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        look(interrupted)


def test_ctrl_c_leaves_no_task_of_asyncio_behind(caplog: pytest.LogCaptureFixture) -> None:
    at_a_time = []

    async def interrupted() -> None:
        at_a_time.append(None)
        if len(at_a_time) == 4:
            signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.001)
        at_a_time.pop()

    with pytest.raises(KeyboardInterrupt):
        look(interrupted, budget=20.0)
    gc.collect()
    assert caplog.text == ""  # of a task that is destroyed while it is pending, asyncio says so


def test_tasks_that_a_coroutine_leaves_behind_are_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def leaves() -> None:
        left = asyncio.ensure_future(asyncio.sleep(30))
        await asyncio.sleep(0.001)
        assert not left.done()

    assert look(leaves, budget=0.3).raised is None
    gc.collect()
    assert caplog.text == ""


# --- what takes long, remembers, changes things ---


def test_a_call_longer_than_the_budget_is_judged_alone() -> None:
    begun = time.perf_counter()
    m = look(known.nap, (0.3,), budget=0.2)
    assert m.wall.count == 1 and m.wall.median >= 0.3 and m.threads == m.processes == ()
    assert any("left no time for" in note for note in m.notes)
    assert m.spent <= time.perf_counter() - begun
    assert m.gil_share is None or m.gil_share - m.gil_margin < 0.3


def test_of_long_calls_one_each_way_is_made() -> None:
    m = found(known.nap, (0.1,), when=lambda m: m.threads, budget=0.5)
    assert m.threads and all(scaling.calls >= scaling.workers for scaling in m.threads)


def test_arguments_that_a_call_changes_are_noticed() -> None:
    m = look(known.sorts, ([3, 1, 2] * 100,))
    assert m.changes_arguments and any("changes its arguments" in note for note in m.notes)
    assert not look(known.loop, (1000,), budget=0.1).changes_arguments


def test_a_function_that_remembers_is_noticed() -> None:
    # Where the machine is busy there may be no time to call it again.
    assert any(
        look(known.remembers, *((number,) for number in range(first, first + 5)), budget=budget).remembers
        for first, budget in ((0, 0.8), (10, 0.8), (20, 4.0), (30, 20.0))
    )


def test_inputs_of_many_sizes_are_not_taken_for_memory() -> None:
    m = look(known.nap, *((seconds,) for seconds in (0.001, 0.002, 0.06, 0.06, 0.06)), budget=0.5)
    assert not m.remembers and any("of 5, spread over all" in note for note in m.notes)


def test_one_input_does_not_tell_whether_a_function_remembers() -> None:
    m = found(
        functools.lru_cache(known.loop), (50_000,), when=lambda m: m.wall.median < m.first / 20, budget=2 * BUDGET
    )
    assert m.remembers and m.wall.median < m.first / 20


def test_other_threads_that_hold_the_lock_are_noticed() -> None:
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            known.loop(1000)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        # On a busy machine that thread may be put aside for as long as the look takes; never each time.
        assert not has_gil() or any(
            "hold the GIL" in note for _ in range(50) for note in look(known.nap, budget=0.1).notes
        )
    finally:
        over.set()
        thread.join()


def test_what_a_function_prints_is_printed() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(known.__file__).parent.parent)!r})\n"
        "from advisor import known\n"
        "from forkful.advisor.probe import measure\n"
        "print('first')\n"
        f"for budget in ({BUDGET}, 2.0, 10.0):\n"
        "    m = measure(known.speaks, [((), {})], budget=budget)\n"
        "    if sum(scaling.calls for scaling in m.threads) > 10 and m.processes:\n"
        "        break\n"
        "print('last', file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, text=True)
    assert ran.stderr == "last\n" and ran.stdout.startswith("first\nhello")
    assert ran.stdout.count("first") == 1, "a forked worker has written it again"
    # Threads print words and line ends as they come.
    assert ran.stdout.count("hello") == ran.stdout.count("\n") - 1 > 10


# --- each input once ---


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 40])
def test_no_input_is_used_twice(tmp_path: Path, count: int) -> None:
    file = tmp_path / "calls"
    m = look(known.note_call, *((str(file), number) for number in range(count)), once=True, budget=5.0)
    used = [int(line) for line in file.read_text().splitlines()]
    assert len(used) == len({*used}) and {*used} <= {*range(count)}
    assert m.once and m.raised is None and m.inputs == count
    if m.cpus == 2:
        assert bool(m.processes or m.threads) is (count >= 4)
        assert bool(m.processes and m.threads) is (count >= 6)
        assert (len(used) == count) is not any("were not used" in note for note in m.notes)
    if count < 6:
        assert any("Each input was to be used once" in note for note in m.notes)


def test_the_lock_is_sampled_where_no_call_can_be_repeated() -> None:
    def is_held(m: Measurements) -> bool:
        return m.gil_share is not None and m.gil_share > 0.5

    # While the loop waits for a CPU, without the lock, it is found free.
    inputs = [(number,) for number in range(200_000, 200_012)]
    m = found(known.loop, *inputs, when=lambda m: not m.gil or is_held(m), once=True, budget=2.0)
    assert not m.gil or is_held(m)


def test_once_an_input_that_raises_elsewhere_has_not_been_tried_alone() -> None:
    m = found(known.raises_elsewhere, *((os.getpid(),) for _ in range(9)), when=is_tried, once=True, budget=2.0)
    assert m.refused == "a call raised RuntimeError: only at home" and m.threads and m.raised is None


def test_once_over_what_can_not_be_sent_uses_threads() -> None:
    m = found(known.hold, *((threading.Lock(),) for _ in range(9)), when=is_tried, once=True)
    assert m.threads and m.processes == () and m.refused is not None


def test_the_standard_library_finds_no_child_of_ours() -> None:
    look(known.loop, (1000,), budget=0.1)
    assert multiprocessing.active_children() == []
