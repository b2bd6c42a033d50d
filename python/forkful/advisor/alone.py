"""A function's calls one after the other: what the first one shows, what they are made of, what it takes to send them.

Knows: calls, meters, pickles. Does not know: executors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from forkful._gil import GilUse
from forkful.futures._methods import chosen

from . import meters
from .calling import Endless, Input, Subject, complete, is_coroutine_function, kind_of, this_loop
from .cost import Sender, fingerprint
from .measurements import Cost
from .meters import Raised, Stretch
from .timekeeper import Timekeeper

__all__ = ["Alone"]

_WARMING = 0.12
"""The share of the budget in which calls are looked at closely: the interpreter's lock, and what each input takes."""
_LONGEST_WARMING = 2.0
_PICKLING = 0.04
"""The share of it for pickles, and for looking at what a call changes."""
_MOST_PICKLED = 8
_FEW_ASKS = 30


class Alone:
    """What is found of single calls."""

    def __init__(self, fn: Callable[..., Any], inputs: list[Input], time: Timekeeper, gil: bool) -> None:
        """gil: whether there is a lock to be sampled."""
        self.subject = Subject(fn)
        self.notes: list[str] = []
        self.arguments = self.result = Cost()
        self.unsendable: str | None = None
        """Why processes can't run it, as far as pickles tell."""
        self.changes_arguments = False
        self.endless = False
        self.first = Stretch()
        self.plain = Stretch()
        """Repeated calls that nobody sampled: a sampler that waits for a CPU itself keeps the lock from the function."""
        self._sampled = Stretch()
        self._inputs = inputs
        self._time = time
        self._gil = gil
        self._answer: Any = None

    def begin(self) -> bool:
        """Makes the first call; whether there is more to be found out. Raises `Raised`."""
        self._time.say("the first call")
        one, fn = self._inputs[0], self.subject.fn
        kinds: list[str | None] = []
        until = self._time.deadline

        def call(*args: Any, **kwargs: Any) -> None:
            result = fn(*args, **kwargs)
            kinds.append(kind_of(result))
            self._answer = complete(lambda: result, (), {}, until)

        if is_coroutine_function(fn):
            this_loop()  # to import asyncio and to make a loop is no part of a call
        seconds = self._time.budget * _PICKLING
        before = fingerprint(one, seconds)
        begun = time.perf_counter()
        endless = False
        try:
            self.first = meters.run(call, [one], 1, sampled=self._gil)
        except Raised as raised:
            self.first = Stretch(1, time.perf_counter() - begun)
            endless = isinstance(raised.error, Endless)
            if not endless:
                raise
        finally:
            lazy = kinds[0] if kinds else None
            self.subject = Subject(fn, lazy)
        if endless:
            self.endless = True
            return False
        if lazy is not None:
            how = "a list of all that it yields" if "generator" in lazy else "awaited to its end"
            self.notes.append(f"A call only makes {_article(lazy)}, so what is measured is {how}.")
        if before is not None and before != fingerprint(one, seconds):
            self.changes_arguments = True
            self.notes.append(
                "It changes its arguments: the calls that follow get what the ones before have left, and processes "
                "would change copies."
            )
        return True

    def pickle(self) -> None:
        """Finds what it takes to send arguments, and the result of the first call."""
        self._time.say("pickling")
        answer, self._answer = self._answer, None
        sender = Sender(chosen(None, None, None)[0])
        seconds = self._time.budget * _PICKLING / 2
        self.arguments = sender.arguments(self._inputs[:_MOST_PICKLED], seconds)
        self.result = sender.result(answer, seconds)
        of_function = sender.function_error(self.subject.fn)
        if of_function is not None:
            self.unsendable = f"the function can't be sent: {of_function}"
        elif self.arguments.error is not None:
            self.unsendable = f"its arguments can't be sent: {self.arguments.error}"
        elif self.result.error is not None:
            self.unsendable = f"its result can't be sent: {self.result.error}"

    def look_closely(self) -> list[float]:
        """What each of the first inputs takes, in seconds; nothing where there is no time for that. Raises `Raised`."""
        left = self._time.left()
        seconds = min(self._time.budget * _WARMING, left / 3, _LONGEST_WARMING)
        if self.first.wall > max(seconds, left / 3):
            return []
        times = self.visit(self._inputs, seconds / 2)
        each, count = self.plain.wall / self.plain.calls, 1
        left = seconds - self.plain.wall
        while self._gil and each <= left:
            count = min(max(1, int(left / max(each, 1e-9))), 16 * count)
            found = meters.run(self.subject.local(), self._inputs[: len(times)], count, sampled=True)
            self._sampled += found
            left -= found.wall
            each = found.wall / found.calls
        return times

    def visit(self, inputs: list[Input], seconds: float, *, sampled: bool = False) -> list[float]:
        """Makes one call with each, until so many seconds are over; how long they took. Raises `Raised`.

        sampled: with an eye on the lock, where the calls can't be repeated for that.
        """
        self._time.say("one after the other")
        found, times = meters.visit(self.subject.local(), inputs, max(0.0, seconds), sampled=sampled)
        self.plain += found
        if sampled:
            self._sampled += found
        return times

    def known(self) -> Stretch:
        """The calls that say most of what a call is made of."""
        return self.plain if self.plain.calls else self.first

    def seconds(self) -> float:
        """What a call takes, by all that is known."""
        stretches = [stretch for stretch in (self.plain, self._sampled) if stretch.calls] or [self.first]
        return min(stretch.wall / stretch.calls for stretch in stretches)

    def cpu_share(self) -> float:
        """How much of its time a call computes, 0 to 1."""
        known = self.known()
        # With threads of its own a function computes while the one that has called it waits for them.
        return min(1.0, max(known.cpu, known.all_cpu) / max(known.wall - known.delayed, 1e-9))

    def sampled(self) -> Stretch:
        """The calls in which the lock was sampled."""
        use = self._sampled.gil
        return self._sampled if use is not None and use.asks >= _FEW_ASKS else self._sampled + self.first

    def gil_use(self) -> GilUse | None:
        """What the sampler has found, if it has found something."""
        use = self.sampled().gil
        return use if use is not None and use.asks else None


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
