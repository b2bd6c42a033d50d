"""The probe over functions whose answer is known.

What is asserted holds on a machine that does other things too: shares of time, and not how fast it was.
"""

from __future__ import annotations

import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from advisor import known

from forkful._gil import has_gil
from forkful.advisor.measurements import Measurements, Scaling
from forkful.advisor.probe import measure

pytestmark = pytest.mark.measures

BUDGET = 0.4
turn_takers = pytest.mark.skipif(not has_gil(), reason="threads of this interpreter don't take turns")


def look(fn: Callable[..., Any], *inputs: tuple[Any, ...], **options: Any) -> Measurements:
    return measure(fn, [(args, {}) for args in inputs or ((),)], **{"budget": BUDGET, **options})


def found(
    fn: Callable[..., Any],
    *inputs: tuple[Any, ...],
    when: Callable[[Measurements], object],
    least: float = BUDGET,
) -> Measurements:
    """What was found in enough time for it: the busier the machine, the more is enough."""
    for budget in (least, 2.0):
        m = look(fn, *inputs, budget=budget)
        if when(m):
            return m
    m = look(fn, *inputs, budget=10.0)
    assert when(m), m
    return m


def cpu_share(m: Measurements) -> float:
    return m.cpu / max(m.wall.median - m.delayed, m.cpu)


def is_tried(m: Measurements, workers: int = 2) -> bool:
    """Whether there was time for threads, and for more processes than so many."""
    return bool(m.threads) and any(scaling.workers > workers for scaling in m.processes)


def calls(m: Measurements) -> int:
    """Calls by threads."""
    return sum(scaling.calls for scaling in m.threads)


def speed(m: Measurements, scalings: tuple[Scaling, ...]) -> float:
    """The best of them, as times the speed of one after the other."""
    return max(scaling.rate.median for scaling in scalings) * m.wall.median


def test_all_that_is_found_of_a_plain_function() -> None:
    m = found(known.loop, when=lambda m: m.threads and m.processes and m.wall.count > 1)
    assert m.function == "advisor.known.loop" and m.inputs == 1 and m.cpus >= 1
    assert m.budget >= BUDGET and m.spent > 0 and not m.once
    assert m.raised is None and m.refused is None and m.lazy is None and m.threads_refused is None
    assert m.wall.low <= m.wall.median <= m.wall.high and m.wall.count >= 2
    assert m.first > 0 and m.cpu > 0 and m.arguments.error is None and m.result.size > 0
    for scalings in (m.threads, m.processes):
        counts = [scaling.workers for scaling in scalings]
        assert counts == sorted({*counts}) and counts[0] == 2 and max(2, m.cpus) in counts
        for scaling in scalings:
            assert scaling.calls > 0 and scaling.rate.low <= scaling.rate.median <= scaling.rate.high
            assert 0 <= scaling.delayed <= 1
    assert m.process_start > 0 and m.shared == () and m.tasks == ()


def test_a_sleeper_waits() -> None:
    def is_free(m: Measurements) -> bool:
        return not m.gil or (m.gil_share is not None and m.gil_share - m.gil_margin < 0.2)

    m = found(known.nap, when=lambda m: is_tried(m) and cpu_share(m) < 0.3 and speed(m, m.threads) > 1.5 and is_free(m))
    assert max(scaling.workers for scaling in m.threads) >= 8


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """Answers each byte, after a while, to several clients at a time."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def answer(connection: socket.socket) -> None:
        with connection:
            if connection.recv(1):
                threading.Event().wait(0.01)
                connection.sendall(b"y")

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[:2]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_round_trip_by_a_socket_waits(server: tuple[str, int]) -> None:
    m = found(known.talk, (server,), when=lambda m: cpu_share(m) < 0.5 and speed(m, m.threads) > 1.5)
    assert m.raised is None


@turn_takers
def test_a_loop_holds_the_lock() -> None:
    def is_held(m: Measurements) -> bool:
        return m.gil_share is not None and m.gil_share + m.gil_margin > 0.7

    m = found(
        known.loop, when=lambda m: m.threads and cpu_share(m) > 0.7 and speed(m, m.threads[:1]) < 1.6 and is_held(m)
    )
    assert m.raised is None


@turn_takers
@pytest.mark.parametrize(
    ("fn", "args"),
    [
        (known.compress, ()),
        (known.digest, ()),
        (np.matmul, (np.ones((300, 300)), np.ones((300, 300)))),
        (np.sort, (np.random.default_rng(1).random(50_000),)),
    ],
    ids=["zlib", "hashlib", "matmul", "sort"],
)
def test_what_computes_without_the_lock(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    # A library with threads of its own has the calling thread wait, for as long as others have the CPUs.
    def computes(m: Measurements) -> bool:
        return cpu_share(m) > 0.5 or fn is np.matmul

    def is_free(m: Measurements) -> bool:
        return m.gil_share is not None and m.gil_share - m.gil_margin < 0.5

    m = found(fn, args, when=lambda m: m.threads and m.processes and computes(m) and is_free(m))
    assert m.raised is None and m.refused is None
    if args:
        assert m.arguments.buffers > 0 and m.result.buffers > 0


@turn_takers
def test_a_mixture_is_between() -> None:
    def is_half_held(m: Measurements) -> bool:
        return m.gil_share is not None and 0.1 < m.gil_share < 0.95

    m = found(known.half, when=lambda m: is_tried(m, m.cpus) and 0.25 < cpu_share(m) < 0.8 and is_half_held(m))
    assert m.raised is None


def test_a_tiny_function_is_timed_in_batches() -> None:
    m = found(known.tiny, (1, 2), when=lambda m: 0 < m.wall.median < 5e-6 and cpu_share(m) > 0.5 and calls(m) > 500)
    # Hundreds of calls, or these figures would be the clock's.
    assert m.raised is None and m.refused is None


@pytest.mark.parametrize(
    "fn",
    [
        known.Machine(3000).work,
        known.Machine(3000),
        functools.partial(known.loop, 3000),
        lambda: known.loop(3000),
        dict,
        time.time,
    ],
    ids=["method", "object", "partial", "lambda", "class", "builtin"],
)
def test_all_kinds_of_callables(fn: Callable[..., Any]) -> None:
    m = found(fn, when=lambda m: m.threads and m.processes, least=0.1)
    assert m.raised is None and m.refused is None


def test_keyword_arguments_travel() -> None:
    for budget in (0.3, 2.0, 10.0):
        m = measure(known.keywords, [((1000,), {"other": 1000}), ((2000,), {})], budget=budget)
        if m.threads and m.processes:
            break
    assert m.raised is None and m.refused is None and m.threads and m.processes and m.arguments.size > 0


def test_large_objects_that_are_the_same_for_all_are_shared() -> None:
    table = np.ones((4, 200_000))
    m = found(known.total, *((table, row) for row in range(4)), when=lambda m: m.shared)
    assert m.shareable >= table.nbytes
    assert [scaling.workers for scaling in m.shared] == [max(2, m.cpus)] and m.shared[0].calls > 0
    assert look(known.total, (table, 0), budget=0.1).shareable == 0


def test_a_function_that_writes_to_what_is_shared_is_reported() -> None:
    table = np.zeros(200_000)
    m = found(known.fills, (table, 1), (table, 2), when=lambda m: m.processes and m.notes)
    assert m.changes_arguments and m.raised is None and m.processes
    assert m.shared == () and any("share()" in note for note in m.notes)


# --- lazy functions ---


def test_a_generator_is_consumed() -> None:
    m = found(known.squares, (5000,), when=lambda m: m.threads and m.processes)
    assert m.lazy == "generator" and any("a generator" in note for note in m.notes)
    assert m.wall.median > 20e-6, "5000 items were yielded"
    assert m.result.size > 5000


def test_a_generator_without_an_end_is_given_up() -> None:
    m = look(known.for_ever, budget=0.1)
    assert m.lazy == "generator" and m.raised is None and m.threads == m.processes == ()
    assert m.endless and not m.judged


def test_coroutines_are_awaited_and_many_at_a_time() -> None:
    m = found(known.anap, (0.004,), when=lambda m: m.tasks and cpu_share(m) < 0.5 and speed(m, m.tasks) > 1.5)
    assert m.lazy == "coroutine" and m.wall.median >= 0.004
    assert 8 in [scaling.workers for scaling in m.tasks]
    assert found(known.aloop, (3000,), when=lambda m: m.tasks, least=0.2).tasks[0].workers == 8
    assert look(known.asquares, (3,), budget=0.2).lazy == "async generator"


def test_coroutines_inside_of_a_running_event_loop() -> None:
    import asyncio

    async def inside() -> Measurements:
        return found(known.anap, (0.002,), when=lambda m: m.tasks, least=0.2)

    m = asyncio.run(inside())
    assert m.raised is None and m.lazy == "coroutine" and m.tasks


# --- the interpreter, the time, the progress ---


def test_without_a_lock_nothing_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forkful.advisor.examination.has_gil", lambda: False)
    monkeypatch.setattr("forkful.advisor.meters.Sampling", None)
    m = found(known.loop, (2000,), when=lambda m: m.threads and m.processes, least=0.2)
    assert not m.gil and m.gil_share is None


def test_progress_rises_to_one() -> None:
    heard: list[tuple[float, str]] = []
    for budget in (0.2, 2.0, 10.0):
        heard.clear()
        m = look(known.loop, (2000,), budget=budget, progress=lambda done, what: heard.append((done, what)))
        if m.threads and m.processes:
            break
    shares = [done for done, _ in heard]
    assert shares == sorted(shares) and shares[-1] == 1.0 and all(0 <= share <= 1 for share in shares)
    assert {"the first call", "2 threads", "2 processes"} <= {what for _, what in heard}


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((3, [((), {})]), TypeError, "fn must be callable, not int"),
        ((len, []), ValueError, "at least one input"),
    ],
)
def test_bad_input(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        measure(*arguments)


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf")])
def test_a_bad_budget(budget: float) -> None:
    with pytest.raises(ValueError, match="budget must be a positive number of seconds"):
        measure(len, [(("",), {})], budget=budget)
