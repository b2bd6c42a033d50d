"""The rules by which calls are sent to threads or to processes: values in, a verdict out."""

from __future__ import annotations

import pytest

from forkful.futures._policy import Alone, Machine, Seen, decide, has_changed

TWO = Machine(threads=6, processes=2, cpus=2)
EIGHT = Machine(threads=12, processes=8, cpus=8)
ONE = Machine(threads=5, processes=1, cpus=1)
FREE = Machine(threads=6, processes=2, cpus=2, gil=False)

PYTHON = Alone(wall=10e-3, cpu=10e-3, held=0.97, shipping=50e-6)
ZLIB = Alone(wall=10e-3, cpu=10e-3, held=0.01, shipping=50e-6)
SLEEP = Alone(wall=20e-3, cpu=50e-6, held=0.01, shipping=50e-6)


@pytest.mark.parametrize(
    ("seen", "machine", "place", "word"),
    [
        pytest.param(Seen(2e-6, 2e-6), TWO, "threads", "too little", id="tiny"),
        pytest.param(Seen(20e-3, 40e-6), TWO, "threads", "waits", id="sleep"),
        pytest.param(Seen(20e-3, 40e-6, lock=0.9), TWO, "threads", "waits", id="sleep beside others that compute"),
        pytest.param(Seen(20e-3, 19e-3), TWO, "probe", "found out", id="computes, nobody looked at the lock"),
        pytest.param(Seen(20e-3, 19e-3, lock=0.95), TWO, "probe", "found out", id="computes, somebody holds the lock"),
        pytest.param(Seen(60e-3, 19e-3, lock=0.95), TWO, "probe", "found out", id="computes, and waits for the lock"),
        pytest.param(Seen(190e-3, 19e-3, lock=0.95), TWO, "probe", "found out", id="computes beside nine others"),
        pytest.param(Seen(235e-3, 5e-3), TWO, "probe", "found out", id="computes much, on a busy machine"),
        pytest.param(Seen(190e-3, 19e-3, lock=0.1), TWO, "threads", "waits", id="the same, and the lock is free"),
        pytest.param(Seen(20e-3, 19e-3, lock=0.02), TWO, "threads", "without", id="zlib, alone in its process"),
        pytest.param(Seen(20e-3, 19e-3, lock=0.95), ONE, "threads", "one process", id="one process gains nothing"),
        pytest.param(Seen(20e-3, 19e-3, lock=0.95), FREE, "threads", "no lock", id="no GIL"),
        pytest.param(Seen(20e-3, 19e-3, lock=0.9, unfit="because"), TWO, "threads", "because", id="can't be sent"),
        pytest.param(Seen(60e-3, 10e-3, 0.9, PYTHON), TWO, "processes", "computes in Python", id="Python, probed"),
        pytest.param(Seen(60e-3, 10e-3, 0.9, ZLIB), TWO, "threads", "without", id="zlib, probed"),
        pytest.param(Seen(60e-3, 10e-3, 0.9, ZLIB), EIGHT, "threads", "without", id="zlib on more CPUs"),
        pytest.param(Seen(60e-3, 10e-3, 0.9, SLEEP), TWO, "threads", "waits", id="sleep, probed"),
        pytest.param(
            Seen(60e-3, 1e-3, 0.9, Alone(1e-3, 1e-3, 0.97, shipping=3e-3)), TWO, "threads", "sending", id="dear to send"
        ),
        pytest.param(
            Seen(20e-3, 10e-3, 0.9, Alone(20e-3, 10e-3, 0.5, 50e-6)),
            TWO,
            "threads",
            "as long",
            id="half and half, 2 CPUs",
        ),
        pytest.param(
            Seen(20e-3, 10e-3, 0.9, Alone(20e-3, 10e-3, 0.5, 50e-6)),
            EIGHT,
            "processes",
            "50%",
            id="half and half, 8 CPUs",
        ),
        pytest.param(
            Seen(1e-3, 1e-3, 0.9, Alone(1e-3, 1e-3, 1.0, 5e-6, sure=False)),
            TWO,
            "processes",
            "nobody came",
            id="not seen",
        ),
        pytest.param(
            Seen(50e-6, 50e-6, 0.9, Alone(50e-6, 50e-6, 1.0, 5e-6)),
            TWO,
            "processes",
            "Python",
            id="short, and still worth it",
        ),
    ],
)
def test_the_rules(seen, machine, place, word):
    verdict = decide(seen, machine)
    assert (verdict.place, word in verdict.reason) == (place, True), verdict


@pytest.mark.parametrize(
    ("before", "now", "place", "changed"),
    [
        pytest.param(Seen(20e-3, 40e-6), Seen(22e-3, 60e-6), "threads", False, id="waits as before"),
        pytest.param(Seen(20e-3, 40e-6), Seen(20e-3, 18e-3), "threads", True, id="has begun to compute"),
        pytest.param(Seen(2e-6, 2e-6), Seen(9e-6, 9e-6), "threads", False, id="small is small"),
        pytest.param(Seen(2e-6, 2e-6), Seen(5e-3, 5e-3), "threads", True, id="was small, and is not"),
        pytest.param(Seen(2e-6, 2e-6), Seen(20e-3, 60e-6), "threads", False, id="was small, and waits now"),
        pytest.param(
            Seen(10e-3, 10e-3), Seen(70e-3, 11e-3), "threads", False, id="more threads beside it, not a change"
        ),
        pytest.param(Seen(20e-3, 40e-6), Seen(200e-3, 6e-3), "threads", True, id="computes now, beside thirty others"),
        pytest.param(PYTHON, Seen(60e-3, 10e-3), "processes", False, id="waits for a CPU"),
        pytest.param(PYTHON, Seen(11e-3, 11e-3), "processes", False, id="computes as before"),
        pytest.param(PYTHON, Seen(10e-3, 50e-6), "processes", True, id="waits now"),
        pytest.param(PYTHON, Seen(100e-6, 100e-6), "processes", True, id="computes less"),
        pytest.param(PYTHON, Seen(100e-3, 100e-3), "processes", True, id="computes more"),
    ],
)
def test_what_counts_as_a_change(before, now, place, changed):
    assert has_changed(before, now, place) is changed
