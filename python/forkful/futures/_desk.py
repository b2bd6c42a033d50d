"""Where calls wait until it is decided where they run, and the deciding.

The first call of a function goes to a thread; what is submitted meanwhile is held as a future of the thread pool that is not
in its queue. Then the held ones are queued, or begun for the process pool, whose futures are then their doubles. What is
learned is in `_functions.py`, the rules in `_policy.py`.

Knows: both pools. Does not know: the executor, which may be forgotten while calls wait.

No call of a user's is made with the lock in hand: pickling, callbacks and starts of threads come after it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any

from forkful import _engine
from forkful._errors import WorkerDied
from forkful._items import add_note
from forkful._measured import Measured, measured
from forkful._worker import UNSENT

from ._closing import Closing
from ._doubles import fail, follow, must_pickle, no_result, run_for, run_of_context, succeed
from ._effects import writes
from ._functions import Decision, Function, Functions
from ._policy import FREE, IDLE, Machine, Seen, Verdict, decide, has_changed
from ._watch import Watch

if TYPE_CHECKING:
    from .process import ProcessPoolExecutor
    from .thread import ThreadPoolExecutor

__all__ = ["Desk"]

THREADS, PROCESSES = "threads", "processes"
_AHEAD = 4
"""Held calls per worker that the process pool is given ahead, so that what waits can still be cancelled."""
_AHEAD_SHORT = 64
"""The same for calls of less than a millisecond."""
_PATIENCE = 0.01
"""Seconds that a first call may compute before it is found out in a process what it is."""
_MOST_HERE = 5
"""Calls here in which it shall be found out whether they hold the lock."""
_TAKEN = 0.6
"""The share of the time in which the lock must be held for that."""


class Desk(Closing):
    """The pools of one executor, and the calls between them."""

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        make_processes: Callable[[], ProcessPoolExecutor],
        machine: Machine,
    ) -> None:
        self.threads = threads
        self.crew = threads._crew
        self.machine = machine
        self.functions = Functions()
        self.lock = threading.RLock()
        self.settled = threading.Condition(self.lock)
        """Told when nothing is held and no double is under way."""
        self.closed = False
        self.held = 0
        self.out = 0
        """Undecided calls that threads have."""
        self.doubles = 0
        """Calls in processes whose futures are finished from here."""
        self.doubled = {"done": 0, "failed": 0}
        self.again = 0
        """Calls that were handed to a thread as tasks of their own, as they could not be sent."""
        self._make_processes: Callable[[], ProcessPoolExecutor] | None = make_processes
        self._processes: ProcessPoolExecutor | None = None
        self._making = threading.RLock()
        self._undecided: set[Function] = set()
        self._turns = itertools.count()
        self._waiting: set[Function] = set()
        """Those that have calls held."""
        self._watching: Watch | None = None
        self._watcher: threading.Thread | None = None

    # The pool of processes

    def processes(self) -> ProcessPoolExecutor:
        """Made when the first call goes there."""
        if self._processes is None:
            with self._making:
                if self._processes is None:
                    assert self._make_processes is not None
                    self._processes = self._make_processes()
        return self._processes

    def made_processes(self) -> ProcessPoolExecutor | None:
        """The same if there is one."""
        return self._processes

    # Calls on their way in

    def submit(self, function: Function, way: Any, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The future of a call whose place is not known, or is to be looked at."""
        if self.crew.is_inherited():
            return self.threads.submit(fn, *args, **kwargs)  # which says why not
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if not way.where:
            self._look(function)
        place = way.where or function.place
        if place == PROCESSES:
            return self.send(function, way, fn, args, kwargs)
        if place == THREADS:
            function.sent[0] += 1
            return self.crew.submit(way.here(function), fn, *args, **kwargs)
        if not self.machine.gil:
            self._settle(function, decide(Seen(0.0, 0.0), self.machine), fixed=True)
            return self.crew.submit(way.here(function), fn, *args, **kwargs)
        mine = threading.current_thread() in self.threads._threads
        with self.lock:
            if self.closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            # Settled by another thread since it was looked up: nobody would come for a call that is held from now on.
            settled = function.place == THREADS
            if not settled:
                future = self._take_in(function, way, fn, args, kwargs, mine)
        if settled:
            function.sent[0] += 1
            return self.crew.submit(way.here(function), fn, *args, **kwargs)
        if mine:
            future.add_done_callback(partial(self._ran, function))
        else:
            self._advance()
            self._watch()
        return future

    def _take_in(self, function: Function, way: Any, fn: Any, args: Any, kwargs: Any, mine: bool) -> Any:
        """The future of a call to learn from, queued if it is `mine`, a task's, and held otherwise; with the lock in hand."""
        if function.example is None:
            function.example = fn
        self._undecided.add(function)
        if mine:
            # A task may wait for it in any way, so it is never held.
            function.out += 1
            self.out += 1
            function.sent[0] += 1
            return self.crew.submit(way.here(function), fn, *args, **kwargs)
        future = _engine.hold(self.crew, way.here(function), fn, args, kwargs)
        function.hold(next(self._turns), future, way)
        self.held += 1
        self._waiting.add(function)
        return future

    def send(
        self, function: Function, way: Any, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], counted: bool = True
    ) -> Any:
        """The future of a call in a process; in a thread if it can't be pickled. Not `counted`: it has been already."""
        crew = self.processes()._crew
        sent = _engine.try_submit(crew, way.there(function), fn, args, kwargs or None)
        if not isinstance(sent, BaseException):
            function.sent[1] += counted
            return sent
        if way.only_processes:
            # Whoever has asked for processes is told, as their pool does it.
            return crew.submit(way.there(function), fn, args, kwargs or None)
        self._could_not_send(function, sent)
        function.sent[0] += 1
        return self.crew.submit(way.here(function), fn, *args, **kwargs)

    def _look(self, function: Function) -> None:
        """Looks at a function whose calls have gone somewhere for a while."""
        with self.lock:
            if function.place is None:
                return
            for place, passed in enumerate(function.passed()):
                function.sent[place] += passed
            if function.look(has_changed):
                function.reopen()
            else:
                function.go_on()

    # Held calls on their way out

    def _advance(self) -> None:
        """Sends on what may go by now, in the order in which it was submitted, what has priority first."""
        while True:
            step = None
            with self.lock:
                waiting = self._waiting
                if len(waiting) > 1:
                    waiting = sorted(waiting, key=Function.head)  # type: ignore[assignment]
                for function in list(waiting):
                    step = self._next(function)
                    if step is not None:
                        break
            if step is None:
                break
            step()
        self._look_for_end()

    def _next(self, function: Function) -> Callable[[], None] | None:
        """What is to be done next for what this function has held; with the lock in hand."""
        if not function.held:
            self._waiting.discard(function)
            return None
        place = function.place
        assert place != THREADS
        if place == PROCESSES:
            short = function.alone is not None and function.alone.wall < 0.001
            if self.doubles >= self.machine.processes * (_AHEAD_SHORT if short else _AHEAD):
                return None
        elif place is None and function.probing:
            if function.probes:
                return None
        elif place is None:
            room = self.machine.threads + self.crew.blocked() - self.out
            if function.out >= function.width or room <= 0:
                return None
        future, way = function.next_held()
        self.held -= 1
        if place is None and not function.probing:
            function.sent[0] += 1
            if not function.out:
                function.out_since = time.monotonic()
            function.out += 1
            self.out += 1
            return partial(self._try_here, function, future)
        self.doubles += 1
        if place is None:
            function.probes += 1
        return partial(self._double, function, way, future, place is None)

    def _try_here(self, function: Function, future: Any) -> None:
        future.add_done_callback(partial(self._ran, function))
        _engine.queue_held(self.crew, future)

    def _double(self, function: Function, way: Any, future: Any, probe: bool) -> None:
        """Begins a held call, and has a process run it."""
        taken = _engine.take_held(self.crew, future)
        if taken is None:
            self._double_ends(function, probe)
            return
        fn, args, kwargs = taken
        try:
            # Where the caller's context goes along, it is the one of the submission.
            run = run_of_context(fn)
            if run is not None:
                fn, args = args[0], args[1:]
            crew = self._started(function)
            if crew is None:
                self._run_here(function, future, fn, args, kwargs, run)
                self._double_ends(function, probe)
                self._advance()
                return
            begun = time.thread_time()  # of others that compute meanwhile it knows nothing
            if probe:
                seen = function.seen
                interval = 2e-4 if seen is None else min(2e-4, max(2e-5, seen.cpu / 20))
                what: tuple[Any, ...] = (way.there(function), measured, (interval, fn, args, kwargs), None)
            else:
                what = (way.there(function), fn, args, kwargs)
            sent = _engine.try_submit(crew, *what) if run is None else run(_engine.try_submit, crew, *what)
            cost = time.thread_time() - begun
        except BaseException as error:
            self._double_ends(function, probe)
            fail(future, error)
            if not isinstance(error, Exception):
                raise
            self._settle(function, Verdict(THREADS, f"processes can't be had: {error}"))
            self._advance()
            return
        if isinstance(sent, BaseException):
            self._could_not_send(function, sent)
            # Before its end is counted, as the threads' pool may be closed from then on.
            self._run_here(function, future, fn, args, kwargs, run)
            self._double_ends(function, probe)
            self._advance()
            return
        function.sent[1] += 1
        sent.add_done_callback(partial(self._came_back, function, future, probe, cost))

    def _started(self, function: Function) -> Any:
        """The crew of the processes; None if they can't be started, which is nothing that a call must fail for."""
        try:
            crew = self.processes()._crew
            if crew.needs_launch():
                # All workers at once, as there is work for them; and what a start costs is in no call's cost.
                crew.populate()
        except Exception as error:
            self._settle(function, Verdict(THREADS, f"processes can't be had: {type(error).__name__}: {error}"))
            return None
        return crew

    def _double_ends(self, function: Function, probe: bool) -> None:
        with self.lock:
            self.doubles -= 1
            function.probes -= probe
            function.rest()

    def _run_here(self, function: Function, future: Any, fn: Any, args: Any, kwargs: Any, run: Any) -> None:
        """Has a thread run a call that was begun."""
        function.sent[0] += 1
        self.again += 1
        try:
            again = self.crew.submit(None, run_for, future, fn, args, kwargs or {}, run)
        except BaseException as error:
            fail(future, error)
        else:
            again.add_done_callback(partial(follow, future))

    # What is learned

    def _ran(self, function: Function, future: Any) -> None:
        """A call in a thread is over that was to be learned from."""
        with self.lock:
            function.out -= 1
            self.out -= 1
            undecided = function.place is None and not function.probing
            example = function.example
            function.rest()
        if undecided and not future.cancelled():
            self._judge(function, future, example)
        self._advance()

    def _judge(self, function: Function, future: Any, example: Any) -> None:
        seen = function.measured_here()
        if seen is None:
            return
        watch, calls = self._watching, function.measured()
        own = seen.cpu * calls
        seen = Seen(seen.wall, seen.cpu, watch.lock(own) if watch is not None else None)
        function.seen = seen
        verdict = decide(seen, self.machine)
        hopeless = calls >= _MOST_HERE or (watch is not None and watch.is_crowded(own))
        if verdict.place == "probe" and seen.lock is None and not hopeless:
            # Some more calls here, with somebody who looks at the lock: what does not hold it needs no process at all.
            with self.lock:
                function.asking = True
            return
        if verdict.place == "probe":
            unfit = self._unfit(example, future)
            function.seen = seen = Seen(seen.wall, seen.cpu, seen.lock, None, unfit)
            verdict = decide(seen, self.machine)
        if verdict.place == "probe":
            with self.lock:
                function.probing = True
        else:
            self._settle(function, verdict, fixed=bool(seen.unfit))

    def _unfit(self, example: Any, future: Any) -> str:
        """Why the calls of a function can't go to a process, if so."""
        changed = writes(example) if example is not None else ""
        if changed:
            return (
                f"it changes {changed}, which would be a copy in another process; "
                "with_options(where='processes') sends it there all the same"
            )
        try:
            if future is not None and future.exception() is None:
                must_pickle(future.result())
        except Exception as error:
            return f"its result can't be pickled: {type(error).__name__}: {error}"
        return ""

    def _settle(self, function: Function, verdict: Verdict, fixed: bool = False) -> None:
        with self.lock:
            # First, so that what is submitted from now on stays behind them.
            while verdict.place == THREADS and function.held:
                future, _ = function.next_held()
                self.held -= 1
                function.sent[0] += 1
                _engine.queue_held(self.crew, future)
            function.decide(verdict, fixed)
            # What is measured by its first calls is looked at again soon.
            self._undecided.discard(function)

    def _could_not_send(self, function: Function, error: BaseException) -> None:
        with self.lock:
            function.unsent += 1
            often = function.unsent >= 3 and 4 * function.unsent >= sum(function.told_sent())
            probing = function.place is None
        if probing or often:
            self._settle(
                function,
                Verdict(THREADS, f"what it is called with can't be pickled: {type(error).__name__}: {error}"),
                fixed=often,
            )

    def _came_back(self, function: Function, future: Any, probe: bool, cost: float, inner: Any) -> None:
        """A call that a process has run for a held future is over."""
        begun = time.thread_time()
        value, error = None, None
        try:
            error = inner.exception()
            if error is None:
                value = inner.result()
        except CancelledError:
            error = CancelledError()
        cost += time.thread_time() - begun
        if error is not None and hasattr(error, "__dict__") and UNSENT in vars(error):
            add_note(error, no_result(function.name))
            self._settle(function, Verdict(THREADS, f"its result can't be pickled: {error}"), fixed=True)
        elif type(value) is Measured:
            found, value = value, value.value
            with self.lock:
                if function.place is None and function.add_probe(found.wall, found.cpu, found.use, cost):
                    seen = function.seen or Seen(found.wall, found.cpu)
                    verdict = decide(Seen(seen.wall, seen.cpu, seen.lock, function.alone), self.machine)
                    self._settle(function, verdict)
        elif probe and isinstance(error, WorkerDied):
            self._settle(
                function, Verdict(PROCESSES, "a call of it has ended its process, which is not to be this one")
            )
        elif probe:
            with self.lock:
                function.unsent += 1
                if function.unsent >= 3 and function.place is None:
                    self._settle(
                        function, Verdict(THREADS, f"its calls in processes fail: {type(error).__name__}: {error}")
                    )
        with self.lock:
            self.doubled["done" if error is None else "failed"] += 1
        if error is None:
            succeed(future, value)
        else:
            fail(future, error)
        self._double_ends(function, probe)
        del error, value, inner
        self._advance()

    # Watching while calls are held

    def _watch(self) -> None:
        """Has a thread look at what goes on, as long as calls are held and it is not decided where they go."""
        with self.lock:
            if self._watching is not None or not self._is_worth_watching():
                return
            self._watching = watch = Watch(self.threads._threads, FREE)
            self._watcher = watcher = threading.Thread(
                target=watch.run, args=(self._look_on,), name="forkful-auto", daemon=True
            )
        try:
            watcher.start()
        except RuntimeError:
            # No thread to be had: it is learned from calls that are over, and later.
            self._watching = self._watcher = None

    def _is_worth_watching(self) -> bool:
        return any(function.held or (function.asking and function.out) for function in self._undecided)

    def _look_on(self, computing: float | None, taken: float) -> bool:
        """Looks at first calls that are not over; whether there are any.

        computing: CPUs that the pool's threads use; None at the end. taken: the share of the time in which the lock was held.
        """
        now = time.monotonic()
        with self.lock:
            if computing is None or not self._is_worth_watching():
                self._watching = None
                return False
            late = [(f, f.example) for f in self._undecided if f.held and f.out and not f.probing]
            watch = self._watching
        lock = watch.lock() if late and watch is not None else None
        for function, example in late:
            if computing < IDLE or (lock is not None and lock < FREE):
                # Nobody would be in its way.
                function.width = self.machine.threads
            elif (
                now - function.out_since >= _PATIENCE
                and lock is not None
                and lock > _TAKEN
                and self.machine.processes > 1
            ):
                unfit = self._unfit(example, None)
                with self.lock:
                    if function.place is None and not unfit:
                        function.probing = True
                if unfit:
                    function.width = self.machine.threads
        self._advance()
        return True

    def decisions(self) -> list[Decision]:
        """What is known of each function."""
        with self.lock:
            return [function.told() for function in self.functions.values()]
