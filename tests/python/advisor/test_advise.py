"""`forkful.advise`: what it takes, what it refuses, and verdicts over functions whose answer is known."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from advisor.measured import measured

import forkful
from forkful.advisor import Measurements, probe


class Fake:
    """Stands in for the probe, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: Any = None
        self.options: dict[str, Any] = {}

    def __call__(self, fn: Any, calls: Any, **options: Any) -> Measurements:
        self.calls, self.options = calls, options
        if options["progress"] is not None:
            options["progress"](0.5, "half")
        return measured(threads={2: 0.97}, processes={2: 1.9})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(probe, "measure", made)
    return made


def test_items_are_tuples_of_arguments_or_the_one_argument(fake: Fake) -> None:
    forkful.advise(pow, [(2, 5), 3, [4], "text"])
    assert fake.calls == [((2, 5), {}), ((3,), {}), (([4],), {}), (("text",), {})]


def test_no_items_are_one_call_without_arguments(fake: Fake) -> None:
    advice = forkful.advise(time.time)
    assert fake.calls == [((), {})]
    assert fake.options == {"budget": 5.0, "once": False, "progress": None}
    assert isinstance(advice, forkful.Advice) and advice.verdict.choice == "processes"


def test_an_iterator_and_options(fake: Fake) -> None:
    told = []
    forkful.advise(
        abs, (n for n in range(3)), budget=0.5, once=True, progress=lambda done, what: told.append((done, what))
    )
    assert fake.calls == [((0,), {}), ((1,), {}), ((2,), {})]
    assert (fake.options["budget"], fake.options["once"]) == (0.5, True)
    assert told == [(0.5, "half")]


def test_a_bar_goes_to_standard_error(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    forkful.advise(abs, [1], progress=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((3,), {}, TypeError, "fn must be something that can be called, not a int"),
        ((abs, 3), {}, TypeError, "args_list must be iterable, not a int"),
        ((abs, "text"), {}, TypeError, "args_list must not be a str"),
        ((abs, {"x": 1}), {}, TypeError, "args_list must not be a dict"),
        ((abs, []), {}, ValueError, "args_list must not be empty"),
        ((abs, itertools.repeat(1)), {}, ValueError, "args_list yields more than 1,000,000 calls, and may have no end"),
        ((abs, [1]), {"budget": 0}, ValueError, "budget must be a number of seconds above 0"),
        ((abs, [1]), {"budget": "5s"}, TypeError, "budget must be a number of seconds"),
        ((abs, [1]), {"budget": float("inf")}, ValueError, "budget must be .* at most 86400"),
        ((abs, [1]), {"progress": 3}, TypeError, "progress must be True, False or a function"),
    ],
)
def test_refuses(
    fake: Fake, arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        forkful.advise(*arguments, **options)
    assert fake.calls is None


def waits(seconds: float) -> None:
    time.sleep(seconds)


def raises(number: int) -> int:
    return 1 // number


def advised(label: str, fn: Any, calls: list[Any]) -> forkful.Advice:
    """The advice, after enough time for it: the busier the machine, the more is enough."""
    for budget in (0.5, 2.0, 10.0):
        advice = forkful.advise(fn, calls, budget=budget)
        if advice.verdict.label == label:
            break
    assert advice.verdict.label == label, advice.text
    return advice


@pytest.mark.measures
def test_a_function_that_waits() -> None:
    advice = advised("threads (waits)", waits, [0.01])
    assert advice.verdict.speedup is not None and advice.verdict.speedup > 1.2
    assert advice.text.startswith("Use ")


@pytest.mark.measures
def test_a_function_that_is_too_small() -> None:
    # Processes would win with what takes 200 ns, on a machine that is quiet long enough: parts of a map carry millions a second.
    advised("inline (too small to ship)", abs, [(-2,)])


@pytest.mark.measures
def test_a_function_that_raises() -> None:
    advice = forkful.advise(raises, [1, 0], budget=10.0)  # over as soon as it has raised
    assert advice.verdict.choice == "nothing to judge"
    assert advice.measurements.raised is not None and "ZeroDivisionError" in advice.measurements.raised
