"""One look at a function: the first call, then what calls are made of, then the ways to run several at a time.

Knows: the plan, meters, rounds. Does not know: what is to be concluded.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from forkful import _engine
from forkful._gil import GilUse, Sampling, has_gil
from forkful.futures._methods import chosen

from . import meters, plan
from .calling import (
    Endless,
    Input,
    Subject,
    close_loop,
    complete,
    is_coroutine_function,
    kind_of,
    last_line,
    name_of,
    own_traceback,
    this_loop,
)
from .cost import Sender, fingerprint, shareable, sized
from .measurements import Cost, Measurements, Scaling, Spread
from .meters import Raised, Stretch
from .rounds import GRACE, Rounds
from .ways import Processes, SharedArguments, Tasks, Threads, Way

__all__ = ["Examination", "Progress"]

Progress = Callable[[float, str], object]

_WARMING = 0.12
"""The share of the budget in which calls are looked at closely: the interpreter's lock, and what each input takes."""
_LONGEST_WARMING = 2.0
_PICKLING = 0.04
_FEW_ASKS = 30
_IDLE_SECONDS = 0.03
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


class Examination:
    """Used once, by `run`."""

    def __init__(
        self, fn: Callable[..., Any], inputs: list[Input], budget: float, once: bool, progress: Progress | None
    ) -> None:
        self._subject = Subject(fn)
        self._order = plan.order(len(inputs))
        self._inputs = [inputs[place] for place in self._order]
        self._budget = budget
        self._once = once
        self._progress = progress
        self._cpus = _engine.usable_cpus()
        self._gil = has_gil()
        self._begun = time.perf_counter()
        self._deadline = self._begun + budget
        self._notes: list[str] = []
        self._found: dict[str, Any] = {}
        self._arguments = self._result = Cost()
        self._first = Stretch()
        self._plain = Stretch()
        """Repeated calls that nobody sampled: a sampler that waits for a CPU itself keeps the lock from the function."""
        self._sampled = Stretch()
        self._serial: list[float] = []
        self._ways: list[Way] = []
        self._refused: dict[str, str] = {}
        self._once_times: list[float] = []
        self._others = meters.Others()

    def hurry(self) -> None:
        """Has it end after the present step. Any thread may call it."""
        self._deadline = 0.0

    def run(self) -> Measurements:
        """What was found. KeyboardInterrupt is raised as it is, once all workers are gone."""
        self._look_at_others()
        self._say("the first call")
        try:
            if self._first_call():
                self._say("pickling")
                self._pickle()
                if self._once:
                    self._share_out()
                else:
                    self._repeat()
        except Raised as raised:
            self._note_raised(raised)
        finally:
            close_loop()
        if self._progress is not None:
            self._progress(1.0, "done")
        return self._measurements()

    # --- one after the other ---

    def _look_at_others(self) -> None:
        if not self._gil or threading.active_count() < 2:
            return
        with Sampling() as sampling:
            time.sleep(_IDLE_SECONDS)
            use = sampling.use()
        if use.asks and use.share - use.margin > 0.1:
            self._notes.append(
                f"Other threads of this program hold the GIL {use.share:.0%} of the time by themselves, and all figures with it."
            )

    def _first_call(self) -> bool:
        """Whether there is more to be found out."""
        one = self._inputs[0]
        slot: list[Any] = []
        fn, until = self._subject.fn, self._deadline

        def call(*args: Any, **kwargs: Any) -> None:
            result = fn(*args, **kwargs)
            slot.append(kind_of(result))
            slot.append(complete(lambda: result, (), {}, until))

        if is_coroutine_function(fn):
            this_loop()  # to import asyncio and to make a loop is no part of a call
        before = fingerprint(one, self._budget * _PICKLING)
        begun = time.perf_counter()
        try:
            self._first = meters.run(call, [one], 1, sampled=self._gil)
        except Raised as raised:
            self._first = Stretch(1, time.perf_counter() - begun)
            if slot and slot[0] is not None:
                self._subject = Subject(fn, slot[0])
            if isinstance(raised.error, Endless):
                self._notes.append(
                    f"It still yielded after {time.perf_counter() - begun:.2g} s: what never ends can't be measured. "
                    "Give a function that takes as much of it as one call needs."
                )
                return False
            raise
        lazy = slot[0]
        self._subject = Subject(fn, lazy)
        if lazy is not None:
            how = "a list of all that it yields" if "generator" in lazy else "awaited to its end"
            self._notes.append(f"A call only makes {_article(lazy)}, so what is measured is {how}.")
        if before is not None and before != fingerprint(one, self._budget * _PICKLING):
            self._found["changes_arguments"] = True
            self._notes.append(
                "It changes its arguments: the calls that follow get what the ones before have left, and processes "
                "would change copies."
            )
        self._answer = slot[1]
        return True

    def _pickle(self) -> None:
        answer, self._answer = self._answer, None
        sender = Sender(chosen(None, None, None)[0])
        seconds = self._budget * _PICKLING / 2
        self._arguments = sender.arguments(self._inputs[:8], seconds)
        self._result = sender.result(answer, seconds)
        of_function = sender.function_error(self._subject.fn)
        if of_function is not None:
            self._refused["processes"] = f"the function can't be sent: {of_function}"
        elif self._arguments.error is not None:
            self._refused["processes"] = f"its arguments can't be sent: {self._arguments.error}"
        elif self._result.error is not None:
            self._refused["processes"] = f"its result can't be sent: {self._result.error}"

    def _warm_up(self, inputs: list[Input]) -> list[float]:
        """Looks at calls closely; what each of the first inputs takes, or nothing where there is no time for that."""
        seconds = min(self._budget * _WARMING, self._left() / 3, _LONGEST_WARMING)
        if self._first.wall > max(seconds, self._left() / 3):
            return []
        self._say("one after the other")
        call = self._subject.local()
        self._plain, times = meters.visit(call, inputs, seconds / 2)
        each, count = self._plain.wall / self._plain.calls, 1
        left = seconds - self._plain.wall
        while self._gil and each <= left:
            count = min(max(1, int(left / max(each, 1e-9))), 16 * count)
            found = meters.run(call, inputs[: len(times)], count, sampled=True)
            self._sampled += found
            left -= found.wall
            each = found.wall / found.calls
        return times

    # --- several at a time ---

    def _repeat(self) -> None:
        times = self._warm_up(self._inputs)
        visited = self._plain
        inputs = self._inputs[: len(times) or max(2, self._cpus)]
        known = [stretch for stretch in (self._plain, self._sampled) if stretch.calls] or [self._first]
        each = min(stretch.wall / stretch.calls for stretch in known)
        mean = sum(times) / len(times) if times else 0.0
        weights = [taken / mean for taken in times] if times and mean > 0 else [1.0] * len(inputs)
        if each < 1e-4:
            weights = [1.0] * len(inputs)
        places = [] if self._subject.lazy else shareable(self._inputs)
        if places:
            args, kwargs = inputs[0]
            self._found["shareable"] = sum(
                sized(args[place] if isinstance(place, int) else kwargs[place]) for place in places
            )
        # Where only the machine was slow until now, there is a moment for each way all the same.
        left = max(self._left(), GRACE if each < GRACE / 4 else 0.0)
        # Of calls so long, the first one stands for those that are made one after the other.
        serially = left > 4 * each
        found = self._attempts(each, bool(places))
        fitting = plan.fitting(found, left - each if serially else left + each) if left > 0 else []
        rounds = Rounds(self._subject.local(), inputs, weights, each, self._deadline, self._say)
        ways = [(self._way(one, places), one.call) for one in fitting]
        expected = dict(ways)
        self._run(rounds, [way for way, _ in ways], lambda ready: rounds.run(ready, expected, serially=serially))
        measured = [(way.name, way.workers) for way in self._ways if way.rates or way.name in self._refused]
        names = [(_NAMES[one.way].name, one.workers) for one in found]
        left_out = [f"{workers} {name}" for name, workers in names if (name, workers) not in measured]
        if left_out:
            self._notes.append(f"The budget of {self._budget:g} s left no time for {', '.join(left_out)}.")
        # Without what others took of the CPUs, which hits few calls harder than many.
        anew, again = _undisturbed(visited), _undisturbed(rounds.total)
        if len(times) > 1 and rounds.total.calls and anew > max(_REMEMBERS * again, 1e-4):
            self._notes.append(
                "Calls with an input that was used before are much faster than the first one with it: it seems to remember "
                "its answers. With once=True, and more inputs, no call is repeated."
            )

    def _attempts(self, each: float, shared: bool) -> list[plan.Attempt]:
        share, gil_share = self._cpu_share(), self._gil_use()
        return plan.attempts(
            cpus=self._cpus,
            call=each,
            cpu_share=share,
            gil_share=None if gil_share is None else gil_share.share,
            send=self._arguments.seconds + self._result.seconds,
            processes="processes" not in self._refused,
            shared=shared,
            tasks=self._subject.lazy in ("coroutine", "async generator"),
        )

    def _way(self, attempt: plan.Attempt, places: list[int | str]) -> Way:
        if attempt.way == "shared":
            return SharedArguments(self._subject, attempt.workers, places)
        return _NAMES[attempt.way](self._subject, attempt.workers)

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
            self._plain += rounds.total
            self._refused = {**rounds.refused, **self._refused}
            starts = rounds.process_start
            self._found["process_start"] = starts.get(self._cpus) or max(starts.values(), default=0.0)
            for name in (SharedArguments.name, Tasks.name):
                if name in rounds.refused and rounds.refused.get(Processes.name) != rounds.refused[name]:
                    self._notes.append(f"No figures of {name}: {rounds.refused[name]}.")
            self._say("letting the workers go")
            for way in self._ways:
                way.stop(interrupt if isinstance(interrupt, KeyboardInterrupt) else None)

    # --- each input once ---

    def _share_out(self) -> None:
        workers = max(2, self._cpus)
        use = self._gil_use()
        computes = self._cpu_share() * (use.share if use is not None else float(self._gil)) > 0.5
        places = list(range(1, len(self._inputs)))
        serial, threads, processes = plan.share_out(places, workers, computes=computes)
        if "processes" in self._refused:
            threads, processes = threads + processes, []
        call = self._subject.local()
        if serial:
            self._say("one after the other")
            inputs = [self._inputs[place] for place in serial]
            self._plain, times = meters.visit(call, inputs, max(0.0, self._left() / 3))
            self._once_times = times
        each = self._known().wall / self._known().calls
        shares: dict[Way, list[list[Input]]] = {}
        expected: dict[Way, float] = {}
        for attempt in self._attempts(each, False):
            given = {"threads": threads, "processes": processes}.get(attempt.way, [])
            if given and attempt.workers == workers:
                way = self._way(attempt, [])
                shares[way] = [[self._inputs[place] for place in group] for group in plan.groups(given, workers)]
                expected[way] = attempt.call
        missing = [name for name, given in (("threads", threads), ("processes", processes)) if not given]
        missing = [name for name in missing if name not in self._refused]
        if missing:
            self._notes.append(
                f"Each input was to be used once, and {_counted(len(self._inputs))} left none for {' and '.join(missing)}: "
                f"{2 * workers + 2} would do."
            )
        rounds = Rounds(call, self._inputs, [1.0] * len(self._inputs), each, self._deadline, self._say)
        if shares and self._left() > 0:
            self._run(rounds, list(shares), lambda _: rounds.run_once(shares, expected))
        self._serial = self._once_times
        used = 1 + len(self._once_times) + sum(way.calls for way in shares)
        if used < len(self._inputs):
            self._notes.append(f"{_counted(len(self._inputs) - used)} of {len(self._inputs)} were not used.")

    # --- what was found ---

    def _known(self) -> Stretch:
        """The serial calls that say most of what a call is made of."""
        return self._plain if self._plain.calls else self._first

    def _cpu_share(self) -> float:
        known = self._known()
        # With threads of its own a function computes while the one that has called it waits for them.
        return min(1.0, max(known.cpu, known.all_cpu) / max(known.wall - known.delayed, 1e-9))

    def _gil_use(self) -> GilUse | None:
        use = self._sampled.gil
        if use is None or use.asks < _FEW_ASKS:
            use = (self._sampled + self._first).gil
        return use if use is not None and use.asks else None

    def _left(self) -> float:
        return self._deadline - time.perf_counter()

    def _say(self, what: str) -> None:
        if self._progress is not None:
            self._progress(min(0.99, (time.perf_counter() - self._begun) / self._budget), what)

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
        known, use, others = self._known(), self._gil_use(), self._others.cpus()
        if others > _BUSY * self._cpus:
            self._notes.append(
                f"Other programs kept {others:.1f} of the CPUs busy meanwhile: on a machine at rest more workers gain more."
            )
        wall = _spread(self._serial or [known.wall / max(1, known.calls)])
        # As parts of the median: a sum has the moments in it in which others had the CPUs.
        scale = wall.median / max(known.wall, 1e-12)
        return Measurements(
            function=name_of(self._subject.fn),
            inputs=len(self._inputs),
            cpus=self._cpus,
            gil=self._gil,
            once=self._once,
            budget=self._budget,
            spent=time.perf_counter() - self._begun,
            first=self._first.wall,
            wall=wall,
            cpu=known.cpu * scale,
            all_cpu=known.all_cpu * scale,
            delayed=known.delayed * scale,
            children_cpu=known.children_cpu * scale,
            gil_share=None if use is None else use.share,
            gil_margin=0.0 if use is None else use.margin,
            arguments=self._arguments,
            result=self._result,
            threads=self._scalings(Threads.name),
            processes=self._scalings(Processes.name),
            shared=self._scalings(SharedArguments.name),
            tasks=self._scalings(Tasks.name),
            lazy=self._subject.lazy,
            refused=self._refused.get(Processes.name),
            threads_refused=self._refused.get(Threads.name),
            others=others,
            notes=tuple(self._notes),
            **self._found,
        )


def _spread(values: list[float]) -> Spread:
    median, low, high = meters.quartiles(values)
    return Spread(median, low, high, len(values))


def _undisturbed(stretch: Stretch) -> float:
    """Seconds of a call, without those that it stood in the kernel's queue."""
    return (stretch.wall - stretch.delayed) / max(1, stretch.calls)


def _counted(inputs: int) -> str:
    return f"{inputs} input" if inputs == 1 else f"{inputs} inputs"


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
