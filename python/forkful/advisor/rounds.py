"""Runs the calls in all ways in turn, again and again, so that a machine whose load changes favours none of them.

Knows: ways, meters. Does not know: what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from typing import Any

from forkful.futures.process import WorkerDied

from . import meters
from .calling import Input, last_line
from .meters import Stretch
from .plan import calls_for
from .timekeeper import Timekeeper
from .ways import Processes, SharedArguments, TooLong, Way

__all__ = ["GRACE", "Rounds"]

_ROUNDS = 5
_LEAST_STRETCH = 0.02
_LEAST_LIMIT = 1.0
_MOST_ROUNDS = 50
_MOST_TELLING = 3
GRACE = 0.1
"""Seconds past the deadline in which short calls may still be made in ways not tried yet: starting workers may take long."""


class Rounds:
    """The repetitions. What can't be run in a way is in `refused`, by the way's name; nothing of that is raised."""

    def __init__(
        self,
        call: Callable[..., Any],
        inputs: Sequence[Input],
        weights: Sequence[float],
        seconds: float,
        time: Timekeeper,
    ) -> None:
        """inputs: each with a weight, how much of a call it is, 1 on average. seconds: of a call alone."""
        self._call = call
        self._inputs = inputs
        self._weights = weights
        self._seconds = seconds
        self._time = time
        self.serial: list[float] = []
        """Seconds of a call, one for each repetition."""
        self.total = Stretch()
        """All serial calls together."""
        self.worth = 0.0
        """What they come to in average calls."""
        self.refused: dict[str, str] = {}
        self.process_start: dict[int, float] = {}
        """By the number of workers."""

    def start(self, ways: list[Way]) -> list[Way]:
        """Has the workers start, processes first: a fork is best done while there are few threads.

        The most telling ways come first. Of the others, those that are ready before half of the time is over.
        """
        half = self._time.left() / 2
        first, others = ways[:_MOST_TELLING], ways[_MOST_TELLING:]
        for way in sorted(first, key=lambda way: not isinstance(way, Processes)) + others:
            if way in others and self._time.left() < half:
                continue
            self._time.say(f"starting {way.label}")
            try:
                took = way.start()
            except Exception as error:
                # So many are too many where fewer could start.
                if not any(other.ready for other in ways if other.name == way.name):
                    self._refuse(way, f"its workers did not start: {last_line(error)}")
                continue
            way.ready = True
            if way.name == "processes":
                self.process_start[way.workers] = took
        return [way for way in ways if way.ready]

    def run(self, ways: list[Way], expected: dict[Way, float], *, serially: bool) -> None:
        """Runs until the time is over. expected: seconds in which each worker of a way makes one call."""
        expected = dict(expected)
        ways = list(ways)
        if self._seconds < GRACE / 4:
            self._time.give(GRACE)
        left = max(0.0, self._time.left())
        stretch = max(left / (_ROUNDS * (len(ways) + 1)), min(_LEAST_STRETCH, left / (3 * (len(ways) + 1))))
        for _ in range(_MOST_ROUNDS):
            ran = self._serial(stretch) if serially else False
            for way in list(ways):
                if way.name in self.refused:
                    ways.remove(way)
                elif self._has_time(expected[way], bool(way.rates)):
                    self._time.say(way.label)
                    ran = self._way(way, stretch, expected) or ran
            if not ran or not ways or self._time.left() <= 0:
                break

    def _has_time(self, seconds: float, known: bool) -> bool:
        # What is not known yet may take a call's time longer.
        slack = 0.0 if known else max(self._seconds, GRACE)
        return seconds <= self._time.left() + slack

    def _serial(self, stretch: float) -> bool:
        if not self._has_time(self._seconds, bool(self.serial)):
            return False
        self._time.say("one after the other")
        count = calls_for(self._affordable(stretch), 1 / self._seconds, 1, len(self._inputs))
        found = meters.run(self._call, self._inputs, count)
        worth = self._worth(count)
        self.total += found
        self.worth += worth
        self.serial.append(found.wall / worth)
        return True

    def _way(self, way: Way, stretch: float, expected: dict[Way, float]) -> bool:
        count = way.workers
        if way.calls:
            count = calls_for(self._affordable(stretch), way.workers / expected[way], way.workers, len(self._inputs))
        took = self._timed(way, count, expected[way] * count / way.workers)
        if took is None:
            return False
        if not way.calls:
            # What comes first also warms up: it counts where it is long, and else tells how many calls a stretch has.
            while took < stretch / 4 and 3 * took < self._time.left():
                way.calls += count
                again = calls_for(stretch / 2, min(count / took, 16 * count / stretch), way.workers, 1)
                if again <= count:
                    break
                count = again
                timed = self._timed(way, count, took * 16)
                if timed is None:
                    return False
                took = timed
        way.calls += count
        expected[way] = took * way.workers / count
        way.rates.append(self._worth(count) / took)
        return True

    def run_once(self, shares: dict[Way, list[list[Input]]], expected: dict[Way, float]) -> None:
        """Runs each group of inputs once, by its way, in turn; whatever there is no time for is left."""
        expected = dict(expected)
        for turn in range(max(map(len, shares.values()), default=0)):
            for way, groups in shares.items():
                if turn >= len(groups) or way.name in self.refused or not way.ready:
                    continue
                group = groups[turn]
                seconds = expected[way] * len(group) / way.workers
                if not self._has_time(seconds, bool(way.rates)):
                    continue
                self._time.say(way.label)
                took = self._timed(way, len(group), seconds, group)
                if took is not None:
                    way.calls += len(group)
                    way.rates.append(len(group) / took)
                    expected[way] = took * way.workers / len(group)

    def _affordable(self, stretch: float) -> float:
        return max(1e-9, min(stretch, self._time.left()))

    def _timed(self, way: Way, count: int, seconds: float, inputs: Sequence[Input] | None = None) -> float | None:
        limit = max(self._time.left() + self._seconds, 3 * seconds, _LEAST_LIMIT)
        try:
            return max(1e-9, way.run(inputs or self._inputs, count, limit))
        except TooLong:
            # The other ways are not to suffer for it.
            self._time.give_back(limit)
            self._refuse(way, f"calls that take {self._seconds:.2g} s alone were not done after {limit:.2g} s")
        except (WorkerDied, BrokenExecutor) as error:
            self._refuse(way, f"a worker died of a call: {_death(error)}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Inputs that are used once have not been tried alone.
            what = "a call raised" if inputs else "a call raised what it does not raise alone:"
            self._refuse(way, f"{what} {last_line(error)}")
        return None

    def _refuse(self, way: Way, why: str) -> None:
        self.refused[way.name] = why
        with suppress(Exception):
            way.stop()
        if way.name == "processes":
            self.refused.setdefault(SharedArguments.name, why)

    def _worth(self, count: int) -> float:
        """So many calls, as average ones."""
        rest = count % len(self._inputs)
        return count - rest + sum(self._weights[:rest])


def _death(error: BaseException) -> str:
    """How a worker ended. Not what it ran: of a map it is a part, of which nobody here has heard."""
    if isinstance(error, WorkerDied) and error.signal is not None:
        return f"signal {error.signal}" + (
            ", most likely of the kernel, for lack of memory" if error.out_of_memory else ""
        )
    if isinstance(error, WorkerDied) and error.exit_code is not None:
        return f"exit code {error.exit_code}"
    return last_line(error)
