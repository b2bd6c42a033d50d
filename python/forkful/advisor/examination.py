"""One look at a function: calls alone, then the ways to run several at a time.

Knows: the plan, single calls, rounds. Does not know: what is to be concluded.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from forkful import _engine
from forkful._gil import Sampling, has_gil

from . import meters, plan
from .alone import Alone
from .calling import Input, close_loop, last_line, name_of, own_traceback
from .cost import has_room, shareable, sized
from .measurements import Measurements, Scaling, Spread
from .meters import Raised, Stretch
from .rounds import GRACE, Rounds
from .timekeeper import Progress, Timekeeper
from .ways import Processes, SharedArguments, Tasks, Threads, Way

__all__ = ["Examination"]

_IDLE_SECONDS = 0.03
_IDLE_LOOKS = 5
_CLEAR = 0.15
"""A margin of the lock's share that says enough."""
_BUSY = 0.25
"""The share of the CPUs from which on it matters that other programs use them."""
_NAMES: dict[str, type[Way]] = {
    "threads": Threads,
    "processes": Processes,
    "shared": SharedArguments,
    "tasks": Tasks,
}
_REMEMBERS = 5.0
"""An input's first call takes so many times longer than the next ones: the function remembers something."""
_SHORT = 1e-4
"""Seconds of a call below which inputs are not told apart."""


class Examination:
    """Used once, by `run`."""

    def __init__(
        self, fn: Callable[..., Any], inputs: list[Input], budget: float, once: bool, progress: Progress | None
    ) -> None:
        self._order = plan.order(len(inputs))
        self._inputs = [inputs[place] for place in self._order]
        self._once = once
        self._cpus = _engine.usable_cpus()
        self._gil = has_gil()
        self._time = Timekeeper(budget, progress)
        self._others = meters.Others(self._cpus)
        self._alone = Alone(fn, self._inputs, self._time, self._gil)
        self._notes: list[str] = []
        self._found: dict[str, Any] = {}
        self._serial: list[float] = []
        self._ways: list[Way] = []
        self._refused: dict[str, str] = {}

    def hurry(self) -> None:
        """Has it end after the present step. Any thread may call it."""
        self._time.hurry()

    def run(self) -> Measurements:
        """What was found. KeyboardInterrupt is raised as it is, once all workers are gone."""
        self._look_at_others()
        try:
            if self._alone.begin():
                self._alone.pickle()
                if self._alone.unsendable is not None:
                    self._refused[Processes.name] = self._alone.unsendable
                if self._once:
                    self._share_out()
                else:
                    self._repeat()
        except Raised as raised:
            self._note_raised(raised)
        finally:
            close_loop()
        self._time.end()
        return self._measurements()

    def _look_at_others(self) -> None:
        if not self._gil or threading.active_count() < 2:
            return
        with Sampling() as sampling:
            for _ in range(_IDLE_LOOKS):
                time.sleep(_IDLE_SECONDS)
                use = sampling.use()
                if use.asks and use.margin < _CLEAR:
                    break
        if use.asks and use.share - use.margin > 0.1:
            self._notes.append(
                f"Other threads of this program hold the GIL {use.share:.0%} of the time by themselves, and all figures with it."
            )

    # --- each input as often as there is time ---

    def _repeat(self) -> None:
        alone = self._alone
        times = alone.look_closely()
        visited, each = alone.plain, alone.seconds()
        inputs = self._inputs[: len(times) or max(2, self._cpus)]
        if len(inputs) < len(self._inputs):
            self._notes.append(
                f"There was time for {_counted(len(inputs))} of {len(self._inputs):,}, spread over all of them."
            )
        mean = sum(times) / len(times) if times else 0.0
        weights = [taken / mean for taken in times] if mean > 0 and each > _SHORT else [1.0] * len(inputs)
        places = [] if alone.subject.lazy else shareable(self._inputs)
        if places:
            args, kwargs = inputs[0]
            self._found["shareable"] = sum(
                sized(args[place] if isinstance(place, int) else kwargs[place]) for place in places
            )
            if not has_room(self._found["shareable"]):
                self._notes.append(
                    "The objects that are the same in every call were too large to be placed once, to try share()."
                )
                places = []
        # Where only the machine was slow until now, there is a moment for each way all the same.
        left = max(self._time.left(), GRACE if each < GRACE / 4 else 0.0)
        # Of calls so long, the first one stands for those that are made one after the other.
        serially = left > 4 * each
        found = self._attempts(each, bool(places))
        fitting = plan.fitting(found, left - each if serially else left + each) if left > 0 else []
        rounds = Rounds(alone.subject.local(), inputs, weights, each, self._time)
        ways = [(self._way(one, places), one.call) for one in fitting]
        expected = dict(ways)
        self._run(rounds, [way for way, _ in ways], lambda ready: rounds.run(ready, expected, serially=serially))
        measured = [(way.name, way.workers) for way in self._ways if way.rates or way.name in self._refused]
        names = [(_NAMES[one.way].name, one.workers) for one in found]
        left_out = [f"{workers} {name}" for name, workers in names if (name, workers) not in measured]
        if left_out:
            self._notes.append(f"The budget of {self._time.budget:g} s left no time for {', '.join(left_out)}.")
        # Without what others took of the CPUs, which hits few calls harder than many.
        anew, again = _undisturbed(visited, visited.calls), _undisturbed(rounds.total, rounds.worth)
        if len(times) > 1 and rounds.total.calls and anew > max(_REMEMBERS * again, _SHORT):
            self._found["remembers"] = True
        # Of one input only it may as well have set something up.
        if len(self._inputs) == 1 and rounds.total.calls and _undisturbed(alone.first, 1) > max(20 * again, 1e-3):
            self._found["remembers"] = True
        if hasattr(alone.subject.fn, "cache_info"):
            self._found["remembers"] = True

    def _attempts(self, each: float, shared: bool) -> list[plan.Attempt]:
        alone, use = self._alone, self._alone.gil_use()
        return plan.attempts(
            cpus=self._cpus,
            call=each,
            cpu_share=alone.cpu_share(),
            gil_share=None if use is None else use.share,
            send=alone.arguments.seconds + alone.result.seconds,
            processes=Processes.name not in self._refused,
            shared=shared,
            tasks=alone.subject.lazy in ("coroutine", "async generator"),
        )

    def _way(self, attempt: plan.Attempt, places: list[int | str]) -> Way:
        if attempt.way == "shared":
            return SharedArguments(self._alone.subject, attempt.workers, places)
        return _NAMES[attempt.way](self._alone.subject, attempt.workers)

    def _run(self, rounds: Rounds, ways: list[Way], measure: Callable[[list[Way]], object]) -> None:
        self._ways = ways
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()  # else forked workers would write it again
        interrupt: BaseException | None = None
        try:
            measure(rounds.start(ways))
        except BaseException as error:
            interrupt = error
            raise
        finally:
            self._serial = rounds.serial
            self._alone.plain += rounds.total
            self._refused = {**rounds.refused, **self._refused}
            starts = rounds.process_start
            self._found["process_start"] = starts.get(self._cpus) or max(starts.values(), default=0.0)
            for name in (SharedArguments.name, Tasks.name):
                if name in rounds.refused and rounds.refused.get(Processes.name) != rounds.refused[name]:
                    self._notes.append(f"No figures of {name}: {rounds.refused[name]}.")
            self._time.say("letting the workers go")
            for way in self._ways:
                way.stop(interrupt if isinstance(interrupt, KeyboardInterrupt) else None)

    # --- each input once ---

    def _share_out(self) -> None:
        alone, workers = self._alone, max(2, self._cpus)
        use = alone.gil_use()
        computes = alone.cpu_share() * (use.share if use is not None else float(self._gil)) > 0.5
        places = list(range(1, len(self._inputs)))
        serial, threads, processes = plan.share_out(places, workers, computes=computes)
        if Processes.name in self._refused:
            threads, processes = threads + processes, []
        if serial:
            try:
                given_first = [self._inputs[place] for place in serial]
                self._serial = alone.visit(given_first, self._time.left() / 3, sampled=self._gil)
            except Raised as raised:
                raise Raised(raised.error, serial[raised.place]) from raised
        serial_times, each = self._serial, alone.seconds()
        shares: dict[Way, list[list[Input]]] = {}
        expected: dict[Way, float] = {}
        for attempt in self._attempts(each, False):
            given = {"threads": threads, "processes": processes}.get(attempt.way, [])
            if given and attempt.workers == workers:
                way = self._way(attempt, [])
                shares[way] = [[self._inputs[place] for place in group] for group in plan.groups(given, workers)]
                expected[way] = attempt.call
        missing = [name for name, given in ((Threads.name, threads), (Processes.name, processes)) if not given]
        missing = [name for name in missing if name not in self._refused]
        if missing:
            self._notes.append(
                f"Each input was to be used once, and {_counted(len(self._inputs))} left none for {' and '.join(missing)}: "
                f"{2 * workers + 2} would do."
            )
        rounds = Rounds(alone.subject.local(), self._inputs, [1.0] * len(self._inputs), each, self._time)
        if shares and self._time.left() > 0:
            self._run(rounds, list(shares), lambda _: rounds.run_once(shares, expected))
        self._serial = serial_times
        used = 1 + len(serial_times) + sum(way.calls for way in shares)
        if used < len(self._inputs):
            self._notes.append(f"{_counted(len(self._inputs) - used)} of {len(self._inputs)} were not used.")

    # --- what was found ---

    def _note_raised(self, raised: Raised) -> None:
        self._found["raised"] = last_line(raised.error)
        self._found["raised_by"] = self._order[raised.place]
        self._found["traceback"] = own_traceback(raised.error)

    def _scalings(self, name: str) -> tuple[Scaling, ...]:
        ways = sorted((way for way in self._ways if way.name == name and way.rates), key=lambda way: way.workers)
        return tuple(
            Scaling(way.workers, way.calls, _spread(way.rates), way.stood / max(way.ran + way.stood, 1e-9))
            for way in ways
        )

    def _measurements(self) -> Measurements:
        alone, others = self._alone, self._others.cpus(sum(way.computed for way in self._ways))
        known, use, sampled = alone.known(), alone.gil_use(), alone.sampled()
        if others > _BUSY * self._cpus:
            self._notes.append(
                f"Other programs kept {others:.1f} of the CPUs busy meanwhile: on a machine at rest more workers gain more."
            )
        wall = _spread(self._serial or [known.wall / max(1, known.calls)])
        # As parts of the median: a sum has the moments in it in which others had the CPUs.
        scale = wall.median / max(known.wall, 1e-12)
        return Measurements(
            function=name_of(alone.subject.fn),
            inputs=len(self._inputs),
            cpus=self._cpus,
            gil=self._gil,
            once=self._once,
            budget=self._time.budget,
            spent=self._time.spent(),
            first=alone.first.wall,
            wall=wall,
            cpu=known.cpu * scale,
            all_cpu=known.all_cpu * scale,
            delayed=known.delayed * scale,
            children_cpu=known.children_cpu * scale,
            gil_share=None if use is None else use.share,
            gil_margin=0.0 if use is None else use.margin,
            gil_cpu=None if use is None else sampled.cpu / max(sampled.wall, 1e-12),
            gil_delayed=0.0 if use is None else sampled.delayed / max(sampled.wall, 1e-12),
            arguments=alone.arguments,
            result=alone.result,
            threads=self._scalings(Threads.name),
            processes=self._scalings(Processes.name),
            shared=self._scalings(SharedArguments.name),
            tasks=self._scalings(Tasks.name),
            lazy=alone.subject.lazy,
            changes_arguments=alone.changes_arguments,
            endless=alone.endless,
            refused=self._refused.get(Processes.name),
            threads_refused=self._refused.get(Threads.name),
            others=others,
            notes=(*alone.notes, *self._notes),
            **self._found,
        )


def _spread(values: list[float]) -> Spread:
    median, low, high = meters.quartiles(values)
    return Spread(median, low, high, len(values))


def _undisturbed(stretch: Stretch, calls: float) -> float:
    """Seconds of a call, without those that it stood in the kernel's queue."""
    return (stretch.wall - stretch.delayed) / calls if calls > 0 else 0.0


def _counted(inputs: int) -> str:
    return f"{inputs} input" if inputs == 1 else f"{inputs} inputs"
