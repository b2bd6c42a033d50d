"""The share of time in which the interpreter's lock is held: its arithmetic, and what the sampler finds."""

from __future__ import annotations

import hashlib
import math
import os
import sys
import time

import pytest
from eventually import eventually

from forkful import _engine
from forkful._gil import GilUse, Sampling, has_gil

pytestmark = pytest.mark.measures

turn_takers = pytest.mark.skipif(not has_gil(), reason="threads of this interpreter don't take turns")


@pytest.mark.parametrize(
    ("elapsed", "waited", "asks", "held", "share"),
    [
        (1.0, 0.0, 1000, 0, 0.0),
        (1.0, 0.0, 1000, 500, 0.5),
        (1.0, 0.5, 500, 500, 1.0),
        # It waited for half of the time, and found the lock held at half of the moments between.
        (1.0, 0.5, 500, 250, 0.75),
        (2.0, 0.2, 100, 10, 0.19),
        # Nothing was asked, so nothing is known.
        (1.0, 0.0, 0, 0, 0.5),
        (0.0, 0.0, 0, 0, 0.5),
        # Sums that were read one ask apart.
        (1.0, 1.1, 10, 10, 1.0),
    ],
)
def test_share(elapsed: float, waited: float, asks: int, held: int, share: float) -> None:
    assert GilUse(elapsed, waited, asks, held).share == pytest.approx(share)


@pytest.mark.parametrize("held", [0, 1, 250, 500, 999, 1000])
def test_the_margin_narrows_with_the_root_of_the_asks(held: int) -> None:
    few, many = GilUse(1.0, 0.0, 1000, held), GilUse(1.0, 0.0, 100_000, held * 100)
    assert 0 < many.margin < few.margin < 0.05
    # Near 0 and 1 it narrows faster.
    assert few.margin / many.margin >= 0.9 * math.sqrt(100)


def test_the_margin_is_the_binomial_one_in_the_middle() -> None:
    assert GilUse(1.0, 0.0, 10_000, 5000).margin == pytest.approx(1.96 * 0.5 / 100, rel=0.01)


def test_what_was_waited_is_known_without_a_margin() -> None:
    asked = GilUse(1.0, 0.0, 100, 50)
    assert GilUse(1.0, 0.9, 100, 50).margin == pytest.approx(asked.margin / 10)


@pytest.mark.parametrize("use", [GilUse(0.0, 0.0, 0, 0), GilUse(1.0, 0.0, 0, 0)])
def test_without_an_ask_the_margin_covers_all(use: GilUse) -> None:
    assert (use.share - use.margin, use.share + use.margin) == (0.0, 1.0)


def test_since_tells_what_was_found_after() -> None:
    earlier, later = GilUse(1.0, 0.5, 100, 50), GilUse(3.0, 0.75, 250, 60)
    assert later.since(earlier) == GilUse(2.0, 0.25, 150, 10)


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@turn_takers
def test_a_sleeper_does_not_hold_it() -> None:
    def is_free() -> bool:
        with Sampling() as sampling:
            assert eventually(lambda: sampling.use().asks > 50)
            use = sampling.use()
        return use.share - use.margin < 0.1 and use.share < 0.4

    # On a busy machine this thread may be put aside just when it has the lock, to look on; never each time.
    assert any(is_free() for _ in range(10))


@turn_takers
def test_a_loop_holds_it() -> None:
    def is_held() -> bool:
        with Sampling() as sampling:
            while sampling.use().asks < 20:
                busy(0.05)
            use = sampling.use()
        return use.share + use.margin > 0.9 and use.share > 0.6

    # On a busy machine this thread may be put aside just when it has given the lock up; never each time.
    assert any(is_held() for _ in range(10))


@turn_takers
def test_hashing_large_data_lets_go_of_it() -> None:
    data = bytes(1 << 20)

    def share() -> float:
        with Sampling() as sampling:
            until = time.thread_time() + 0.1
            while time.thread_time() < until:
                hashlib.sha256(data)
            return sampling.use().share

    # On a busy machine the thread may be put aside just when it has the lock; never each time.
    assert any(share() < 0.4 for _ in range(20))


@turn_takers
def test_a_call_that_never_lets_it_go_is_seen_at_its_end() -> None:
    def seen() -> bool:
        with Sampling() as sampling:
            pow(3, 700_000)  # in C, without a moment in which another thread may have the lock
            use = sampling.use_now()
        return use.asks > 0 and use.share > 0.5

    # On a busy machine the sampler may come to its CPU too late; never each time.
    assert any(seen() for _ in range(10))


def test_a_sampler_runs_once_at_a_time_and_as_often_as_one_likes() -> None:
    sampler = _engine.GilSampler(0.001)
    sampler.stop()
    for _ in range(3):
        sampler.start()
        with pytest.raises(RuntimeError, match="runs already"):
            sampler.start()
        sampler.stop()
        sampler.stop()


@pytest.mark.parametrize("interval", [0.0, -1.0, 1e-6, 61.0, math.nan, math.inf])
def test_an_interval_must_be_some_time(interval: float) -> None:
    with pytest.raises(ValueError, match="interval must be a number of seconds"):
        Sampling(interval)


def test_what_was_found_stays_readable_after_the_end() -> None:
    with Sampling() as sampling:
        time.sleep(0.02)
    use = sampling.use()
    time.sleep(0.02)
    assert sampling.use() == use


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="forking while threads run is warned of")
@pytest.mark.parametrize("ends", ["stop", "start", "forget"])
def test_a_forked_child_has_samplers_of_its_own(ends: str) -> None:
    with Sampling() as sampling:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                sampler = sampling._sampler
                if ends == "stop":
                    sampler.stop()  # the thread is not here, and isn't waited for
                elif ends == "start":
                    sampler.start()
                    sampler.stop()
                del sampler
                with Sampling() as own:
                    time.sleep(0.02)
                code = 0 if own.use().elapsed >= 0 else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        before = sampling.use().asks
        assert eventually(lambda: sampling.use().asks > before), "the parent's went on"
    assert os.waitstatus_to_exitcode(status) == 0
