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

BUDGET = 0.4
turn_takers = pytest.mark.skipif(not has_gil(), reason="threads of this interpreter don't take turns")


def look(fn: Callable[..., Any], *inputs: tuple[Any, ...], **options: Any) -> Measurements:
    return measure(fn, [(args, {}) for args in inputs or ((),)], **{"budget": BUDGET, **options})


def cpu_share(m: Measurements) -> float:
    return m.cpu / max(m.wall.median - m.delayed, m.cpu)


def speed(m: Measurements, scalings: tuple[Scaling, ...]) -> float:
    """The best of them, as times the speed of one after the other."""
    return max(scaling.rate.median for scaling in scalings) * m.wall.median


def test_all_that_is_found_of_a_plain_function() -> None:
    m = look(known.loop)
    assert m.function == "advisor.known.loop" and m.inputs == 1 and m.cpus >= 1
    assert m.budget == BUDGET and m.spent > 0 and not m.once
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
    m = look(known.nap)
    assert cpu_share(m) < 0.3
    assert speed(m, m.threads) > 1.5
    assert max(scaling.workers for scaling in m.threads) >= 8
    assert max(scaling.workers for scaling in m.processes) > 2
    if m.gil:
        assert m.gil_share is not None and m.gil_share - m.gil_margin < 0.2


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
    m = look(known.talk, (server,), budget=0.7)
    assert m.raised is None
    assert cpu_share(m) < 0.5 and speed(m, m.threads) > 1.5


@turn_takers
def test_a_loop_holds_the_lock() -> None:
    m = look(known.loop)
    assert cpu_share(m) > 0.7
    assert m.gil_share is not None and m.gil_share + m.gil_margin > 0.7
    assert m.threads[0].workers == 2 and m.threads[0].rate.median * m.wall.median < 1.6


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
    m = look(fn, args)
    assert m.raised is None and m.refused is None
    # A library with threads of its own has the calling thread wait, for as long as others have the CPUs.
    assert cpu_share(m) > 0.5 or fn is np.matmul
    assert m.gil_share is not None and m.gil_share - m.gil_margin < 0.5
    assert m.threads and m.processes
    if args:
        assert m.arguments.buffers > 0 and m.result.buffers > 0


@turn_takers
def test_a_mixture_is_between() -> None:
    m = look(known.half)
    assert 0.25 < cpu_share(m) < 0.8
    assert m.gil_share is not None and 0.1 < m.gil_share < 0.95
    assert max(scaling.workers for scaling in m.processes) > m.cpus


def test_a_tiny_function_is_timed_in_batches() -> None:
    m = look(known.tiny, (1, 2))
    assert 0 < m.wall.median < 5e-6
    assert cpu_share(m) > 0.5
    # Thousands of calls, or these figures would be the clock's.
    assert all(scaling.calls > 1000 for scaling in m.threads)


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
    m = look(fn, budget=0.15)
    assert m.raised is None and m.refused is None and m.threads and m.processes


def test_keyword_arguments_travel() -> None:
    m = measure(known.keywords, [((1000,), {"other": 1000}), ((2000,), {})], budget=0.2)
    assert m.raised is None and m.threads and m.processes and m.arguments.size > 0


def test_large_objects_that_are_the_same_for_all_are_shared() -> None:
    table = np.ones((4, 200_000))
    m = look(known.total, *((table, row) for row in range(4)))
    assert m.shareable >= table.nbytes
    assert [scaling.workers for scaling in m.shared] == [max(2, m.cpus)] and m.shared[0].calls > 0
    assert look(known.total, (table, 0), budget=0.1).shareable == 0


def test_a_function_that_writes_to_what_is_shared_is_reported() -> None:
    table = np.zeros(200_000)
    m = look(known.fills, (table, 1), (table, 2))
    assert m.changes_arguments and m.raised is None and m.processes
    assert m.shared == () and any("share()" in note for note in m.notes)


# --- lazy functions ---


def test_a_generator_is_consumed() -> None:
    m = look(known.squares, (5000,))
    assert m.lazy == "generator" and any("a generator" in note for note in m.notes)
    assert m.wall.median > 20e-6, "5000 items were yielded"
    assert m.threads and m.processes and m.result.size > 5000


def test_a_generator_without_an_end_is_given_up() -> None:
    m = look(known.for_ever, budget=0.1)
    assert m.lazy == "generator" and m.raised is None and m.threads == m.processes == ()
    assert any("still yielded" in note for note in m.notes)


def test_coroutines_are_awaited_and_many_at_a_time() -> None:
    m = look(known.anap, (0.004,))
    assert m.lazy == "coroutine" and m.wall.median >= 0.004 and cpu_share(m) < 0.5
    assert 8 in [scaling.workers for scaling in m.tasks] and speed(m, m.tasks) > 1.5
    assert look(known.aloop, (3000,), budget=0.2).tasks[0].workers == 8
    assert look(known.asquares, (3,), budget=0.2).lazy == "async generator"


def test_coroutines_inside_of_a_running_event_loop() -> None:
    import asyncio

    async def inside() -> Measurements:
        return look(known.anap, (0.002,), budget=0.2)

    m = asyncio.run(inside())
    assert m.raised is None and m.lazy == "coroutine" and m.tasks


# --- the interpreter, the time, the progress ---


def test_without_a_lock_nothing_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forkful.advisor.examination.has_gil", lambda: False)
    monkeypatch.setattr("forkful.advisor.meters.Sampling", None)
    m = look(known.loop, (2000,), budget=0.2)
    assert not m.gil and m.gil_share is None and m.threads and m.processes


def test_progress_rises_to_one() -> None:
    heard: list[tuple[float, str]] = []
    look(known.loop, (2000,), budget=0.2, progress=lambda done, what: heard.append((done, what)))
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
