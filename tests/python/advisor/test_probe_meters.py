"""What the probe's meters find in stretches of calls, and in pickles."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from advisor import known
from eventually import eventually, never_before

from forkful.advisor import cost, meters
from forkful.advisor.calling import complete, kind_of, last_line, name_of

pytestmark = pytest.mark.measures


def test_wall_and_cpu_time_of_a_sleeper() -> None:
    with never_before(0.06):
        stretch = meters.run(time.sleep, [((0.02,), {})], 3)
    assert stretch.calls == 3 and stretch.wall >= 0.06
    assert stretch.cpu < 0.03 and stretch.gil is None


def test_cpu_time_of_threads_and_of_child_processes_is_told_apart() -> None:
    def in_thread() -> None:
        thread = threading.Thread(target=known.loop, args=(300_000,))
        thread.start()
        thread.join()

    def in_child() -> None:
        subprocess.run([sys.executable, "-S", "-c", "sum(n * n for n in range(500_000))"], check=True)

    threaded = meters.run(in_thread, [((), {})], 1)
    assert threaded.all_cpu > 2 * threaded.cpu
    forked = meters.run(in_child, [((), {})], 1)
    assert forked.children_cpu > 0 and threaded.children_cpu == 0


def test_the_loop_itself_costs_next_to_nothing() -> None:
    # A call takes some 40 ns and the loop 30; what is left must be of the call's size, wherever nobody has the CPU meanwhile.
    assert eventually(lambda: 0 < meters.run(int, [((), {})], 20_000).wall / 20_000 < 1e-6)


def test_stretches_add_up() -> None:
    one = meters.run(known.loop, [((1000,), {})], 3, sampled=True)
    both = one + one
    assert both.calls == 6 and both.wall == pytest.approx(2 * one.wall)
    assert one.gil is not None and both.gil is not None and both.gil.asks == 2 * one.gil.asks


def test_who_raised_is_told() -> None:
    inputs = [((number, 2), {}) for number in range(4)]
    with pytest.raises(meters.Raised) as caught:
        meters.run(known.refuses, inputs, 9)
    assert caught.value.place == 2 and isinstance(caught.value.error, ValueError)
    with pytest.raises(meters.Raised) as caught:
        meters.visit(known.refuses, inputs, 60.0)
    assert caught.value.place == 2


def test_an_exit_is_reported_and_an_interrupt_is_not() -> None:
    def leave(kind: type[BaseException]) -> None:
        raise kind

    with pytest.raises(meters.Raised):
        meters.run(leave, [((SystemExit,), {})], 1)
    with pytest.raises(KeyboardInterrupt):
        meters.run(leave, [((KeyboardInterrupt,), {})], 1)


def test_a_visit_ends_with_its_time() -> None:
    stretch, times = meters.visit(time.sleep, [((0.01,), {})] * 50, 0.03)
    assert 0 < stretch.calls == len(times) < 50 and min(times) >= 0.01


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0], (1, 1, 1)), ([1.0, 3.0], (2, 1.5, 2.5)), ([5.0, 1.0, 3.0], (3, 2, 4)), ([4, 1, 2, 3, 5], (3, 2, 4))],
)
def test_quartiles(values: list[float], expected: tuple[float, float, float]) -> None:
    assert meters.quartiles(values) == pytest.approx(expected)


# --- pickles ---


def test_sizes_of_arguments() -> None:
    sender = cost.Sender("fork")
    array = np.zeros(100_000)
    small, large = sender.arguments([((1, 2), {})], 1.0), sender.arguments([((array,), {"key": 1})], 1.0)
    assert small.error is None and 0 < small.size < 100 and small.buffers == 0 and small.seconds > 0
    assert large.buffers == array.nbytes and array.nbytes < large.size < array.nbytes + 1000
    text = sender.arguments([(("x" * 500_000,), {})], 1.0)
    assert text.size > 500_000 and text.buffers == 0


def test_the_mean_of_several_inputs() -> None:
    found = cost.Sender("fork").arguments([((b"x" * 1000,), {}), ((b"x" * 3000,), {})], 1.0)
    assert 2000 <= found.size < 2100


def test_results_are_what_workers_would_send() -> None:
    sender = cost.Sender("fork")
    assert sender.result(np.zeros(100_000), 1.0).buffers == 800_000
    assert sender.result(None, 1.0).size < 10
    assert "lock" in (sender.result(threading.Lock(), 1.0).error or "")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_can_not_be_sent_says_why(method: str) -> None:
    sender = cost.Sender(method)
    lock = threading.Lock()
    assert "lock" in (sender.arguments([((lock,), {})], 1.0).error or "")
    assert "lock" in (sender.function_error(lambda: lock) or "")
    for sendable in (known.loop, lambda: 3, known.Machine(3).work, known.Machine(3), len, [].append, known.Machine):
        assert sender.function_error(sendable) is None


def test_large_arguments_that_are_the_same_for_all_are_found() -> None:
    table, small = np.zeros(100_000), np.zeros(10)
    inputs: list[Any] = [((table, row, small), {"again": table}) for row in range(3)]
    assert cost.shareable(inputs) == [0, "again"]
    assert cost.shareable(inputs[:1]) == []
    assert cost.shareable([*inputs, ((table.copy(), 1, small), {})]) == []
    rows = [list(range(200_000))]
    assert cost.shareable([((rows,), {}), ((rows,), {})]) == [0]


def test_large_buffers_are_copied_in_part_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_MOST_LOOKED_AT", 1 << 20)
    array, again = np.ones(1 << 20), np.ones(1 << 20)
    found = cost.Sender("fork").arguments([((array, again), {})], 1.0)
    assert found.buffers == 2 * array.nbytes and found.seconds > 0
    assert cost.fingerprint(((array,), {}), 10.0) is None


def test_room_for_what_is_placed() -> None:
    assert cost.has_room(1 << 10) and not cost.has_room(1 << 60)


def test_a_fingerprint_tells_whether_arguments_have_changed() -> None:
    array, numbers = np.zeros(1000), [3, 1, 2]
    one: Any = ((array, numbers), {})
    before = cost.fingerprint(one, 10.0)
    assert before is not None and cost.fingerprint(one, 10.0) == before
    array[500] = 1
    assert cost.fingerprint(one, 10.0) != before
    array[500] = 0
    numbers.sort()
    assert cost.fingerprint(one, 10.0) != before
    assert cost.fingerprint(((threading.Lock(),), {}), 10.0) is None


# --- calls ---


def test_kinds_of_lazy_results() -> None:
    coroutine = known.anap()
    assert kind_of(coroutine) == "coroutine"
    coroutine.close()
    assert kind_of(known.squares(3)) == "generator"
    assert kind_of(known.asquares(3)) == "async generator"
    assert kind_of([1]) is None and kind_of(iter([1])) is None and kind_of(known.anap) is None


def test_lazy_results_are_brought_to_their_end() -> None:
    assert complete(known.squares, (4,), {}) == [0, 1, 4, 9]
    assert complete(known.asquares, (4,), {}) == [0, 1, 4, 9]
    assert complete(known.anap, (0.001,), {}) == 0.001
    assert complete(known.tiny, (1, 2), {}) == 3


def test_names() -> None:
    from functools import partial

    assert name_of(known.loop) == "advisor.known.loop"
    assert name_of(known.Machine(1).work) == "advisor.known.Machine.work"
    assert name_of(known.Machine(1)) == "advisor.known.Machine"
    assert name_of(partial(known.loop, 3)) == "partial of advisor.known.loop"
    assert name_of(abs) == "abs"
    assert name_of(zip) == "zip"


def test_the_last_line_of_an_error() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert last_line(ValueError("bad\nmore")) == "ValueError: bad"
    assert last_line(KeyError()) == "KeyError"
    assert last_line(Odd()).endswith("Odd")


@pytest.mark.parametrize(
    ("visible", "busy", "workers", "others"),
    [
        (2, 15.0, 0.0, 1.5),
        (2, 15.0, 8.0, 0.7),  # worker processes are no other programs
        (8, 50.0, 0.0, 0.0),  # five of eight are busy, and a container's quota allows two
        (8, 75.0, 0.0, 1.5),
    ],
)
def test_cpus_that_other_programs_took(
    monkeypatch: pytest.MonkeyPatch, visible: int, busy: float, workers: float, others: float
) -> None:
    clock, ticks = iter([0.0, 10.0]), iter([100.0, 100.0 + busy])
    monkeypatch.setattr(meters.os, "sched_getaffinity", lambda _: set(range(visible)))
    monkeypatch.setattr(meters.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(meters.time, "process_time", lambda: 0.0)
    monkeypatch.setattr(meters, "_busy", lambda: next(ticks))
    monkeypatch.setattr(meters, "_children", lambda: 0.0)
    assert meters.Others(2).cpus(workers) == pytest.approx(others)


def test_what_is_short_to_pickle_is_measured_twice_at_least() -> None:
    took = iter([0.005, 0.001])

    def measure() -> tuple[int, int, float]:
        time.sleep(0.02)
        return 1, 0, next(took)

    assert cost._cost([measure], 0.01).seconds == 0.001
