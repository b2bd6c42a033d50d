"""The executor that finds out for each function whether its calls belong in threads or in processes.

Knows: both pools, and the desk between them. Does not know: how it is found out.
"""

from __future__ import annotations

import itertools
import os
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from forkful import _engine, _interrupt
from forkful._checked import count, seconds
from forkful._gil import has_gil
from forkful._stats import Histogram, PoolStats, TaskStats, WorkerRecord

from ._automap import mapped
from ._base import Executor, Future
from ._desk import PROCESSES, THREADS, Desk
from ._functions import Decision, Function, subject
from ._policy import Machine
from ._views import View
from .process import ProcessPoolExecutor
from .thread import ThreadPoolExecutor

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from typing_extensions import Self

__all__ = ["AutoExecutor", "AutoView", "Decision"]

P = ParamSpec("P")
T = TypeVar("T")

_numbers = itertools.count()
_desks: weakref.WeakSet[Desk] = weakref.WeakSet()


class _Processes(ProcessPoolExecutor):
    """The pool of processes of an executor that chooses."""

    _role = "AutoProcess"


class _Way:
    """How tasks are run: the options of one view, as both pools want them."""

    def __init__(
        self,
        desk: Desk,
        priority: int = 0,
        retries: int = 0,
        retry_on: Any = Exception,
        name: str | None = None,
        timeout: float | None = None,
        where: str | None = None,
    ) -> None:
        self._desk = weakref.ref(desk)
        self.priority, self.retries, self.retry_on, self.name = priority, retries, retry_on, name
        self.timeout = timeout
        self.where = where
        self.only_processes = where == PROCESSES
        self._here: weakref.WeakKeyDictionary[Function, _engine.TaskOptions] = weakref.WeakKeyDictionary()
        self._there: weakref.WeakKeyDictionary[Function, _engine.TaskOptions] = weakref.WeakKeyDictionary()

    def here(self, function: Function) -> _engine.TaskOptions:
        """For a thread; measured."""
        options = self._here.get(function)
        if options is None:
            desk = self._desk()
            assert desk is not None
            options = self._here[function] = desk.crew.options(
                priority=self.priority,
                retries=self.retries,
                retry_on=self.retry_on,
                name=self.name,
                gauge=function.here,
            )
        return options

    def there(self, function: Function) -> _engine.TaskOptions:
        """For a process; measured."""
        options = self._there.get(function)
        if options is None:
            desk = self._desk()
            assert desk is not None
            again = None
            if self.retries:
                from forkful._scope import is_one_of

                again = partial(is_one_of, classes=self.retry_on)
            options = self._there[function] = desk.processes()._crew.options(
                timeout=self.timeout,
                priority=self.priority,
                retries=self.retries,
                retry_on=again,
                name=self.name,
                gauge=function.there,
            )
        return options


class AutoExecutor(_engine.AutoPool, Executor):
    """An executor that learns from a function's first calls where the next ones belong, and sends them there.

    What waits, and what computes without the interpreter's lock, runs in threads; what computes in Python in processes. What
    can't be
    pickled, and what visibly changes variables of this process, stays in threads. `decisions` tells what was decided, and why.
    """

    if TYPE_CHECKING:
        # The engine's, which a type checker can't be told everything about.
        def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
            """Queues the call ``fn(*args, **kwargs)`` where it belongs, and returns its future."""

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        max_threads: int | None = None,
        max_processes: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        mp_context: BaseContext | None = None,
        start_method: str | None = None,
        propagate_context: bool = False,
    ) -> None:
        """Makes an executor; threads and processes start when they are needed, processes not at all if nothing needs them.

        max_workers: threads at most, and processes at most. Default: that of each pool.
        max_threads, max_processes: the same for one of them. Default: max_workers.
        thread_name_prefix: the threads are called prefix_0, prefix_1 and so on.
        initializer, initargs: called in each thread and in each process before its first task. If it raises in one of them,
        that pool
            is broken: what is sent there raises BrokenThreadPool or BrokenProcessPool.
        mp_context, start_method: how processes start, as for ProcessPoolExecutor.
        propagate_context: tasks see the context variables of whoever submitted them, in processes as far as they can be
        pickled.
        """
        for name, value in (
            ("max_workers", max_workers),
            ("max_threads", max_threads),
            ("max_processes", max_processes),
        ):
            if value is not None:
                count(name, value, 1, 2**31 - 2, ", or None for the default", like_standard=True)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        threads = ThreadPoolExecutor(
            max_workers if max_threads is None else max_threads,
            thread_name_prefix or f"AutoExecutor-{next(_numbers)}",
            initializer,
            initargs,
            propagate_context=propagate_context,
        )
        cpus = _engine.usable_cpus()
        given = max_workers if max_processes is None else max_processes
        processes = min(cpus if given is None else given, 1024)
        make = partial(
            _Processes,
            processes,
            mp_context,
            initializer,
            initargs,
            start_method=start_method,
            propagate_context=propagate_context,
        )
        if start_method is not None or mp_context is not None:
            from ._methods import chosen

            chosen(start_method, mp_context, None)  # refuses at once what the pool would refuse later
        self._max_workers = max(threads._max_workers, processes)
        machine = Machine(threads._max_workers, processes, cpus, has_gil())
        self._desk = Desk(threads, make, machine)
        self._way = _Way(self._desk)
        self._adopt(threads._crew, self._desk.functions.table)
        self._entered = _interrupt.NEVER
        _desks.add(self._desk)
        # Who forgets the executor has its calls run all the same.
        end = weakref.finalize(self, Desk.close, self._desk)
        end.atexit = False

    def _submit(self, way: _Way | None, fn: Any, args: Any, kwargs: Any) -> Any:
        """The future of a call that is not known to belong in a thread; `way` None: in the usual one."""
        desk = self._desk
        function = self._function(fn)
        if way is None:
            way = self._way
            if function.left > 0 and function.place is PROCESSES and not desk.closed and not desk.crew.is_inherited():
                function.left -= 1
                return desk.send(function, way, fn, args, kwargs, False)
        return desk.submit(function, way, fn, args, kwargs)

    def _function(self, fn: Any) -> Function:
        known_by = fn.__code__ if type(fn) is types.FunctionType else subject(fn)
        functions = self._desk.functions
        return functions.get(id(known_by)) or functions.of(known_by, fn)

    def _map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        spread: bool,
        timeout: float | None,
        chunksize: int | None,
        buffersize: int | None,
        ordered: bool,
    ) -> Iterator[T]:
        if chunksize is not None and chunksize < 1:
            raise ValueError("chunksize must be >= 1.")  # whichever pool it is for
        own = type(self).submit is _engine.AutoPool.submit and "submit" not in vars(self)
        if buffersize is not None or not own or self._desk.closed:
            return super()._map(fn, iterables, spread, timeout, chunksize, buffersize, ordered)
        return mapped(
            self._desk,
            self._function(fn),
            partial(self._submit, None),
            fn,
            (iterables, spread),
            timeout,
            chunksize,
            ordered,
        )

    def with_options(
        self,
        *,
        where: str | None = None,
        priority: int = 0,
        retries: int = 0,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
        name: str | None = None,
        timeout: float | None = None,
    ) -> AutoView:
        """A view on this executor whose tasks are run in this way.

        where: "threads" or "processes", where nothing shall be found out; what can't be pickled then fails its future. None: as
            usual.
        priority: smaller runs first; tasks without one have 0.
        retries: how often a task that raised `retry_on` is run again.
        retry_on: an exception class, or a tuple of them; in processes WorkerDied is among the default's.
        name: shown by `repr(future)`; ``stats().tasks[name]`` has calls, wall and CPU time of all tasks of that name.
        timeout: seconds that an attempt may take before its process is killed, and the future raises TaskTimeout. As a
        thread can't
            be stopped, it means ``where="processes"``, and is refused with ``where="threads"``.
        """
        if where not in (None, THREADS, PROCESSES):
            raise ValueError(f"where must be 'threads' or 'processes', or None to have it found out, not {where!r}")
        if timeout is not None and where == THREADS:
            raise ValueError(
                "timeout is refused with where='threads': a running thread cannot be stopped. To stop waiting, use "
                "future.result(timeout=...); to stop the work itself, leave where out, or say where='processes'"
            )
        desk = self._desk
        # Each pool refuses what it does not understand.
        desk.threads.with_options(priority=priority, retries=retries, retry_on=retry_on, name=name)
        if timeout is not None:
            timeout = seconds("timeout", timeout, otherwise=", or None for no bound")
            where = PROCESSES
        return AutoView(self, _Way(desk, priority, retries, retry_on, name, timeout, where))

    def decisions(self) -> list[Decision]:
        """What was decided of each function that this executor has met, and why; the latest 1024 of them."""
        return self._desk.decisions()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more work; threads and processes end when the last task is done.

        wait: return when they have ended; at once in a forked child, where they are not.
        cancel_futures: cancel what has not begun.
        """
        desk = self._desk
        threads, processes = desk.threads, desk.made_processes()
        if desk.crew.is_inherited():
            desk.closed = True
            threads.shutdown(wait=False)
            if processes is not None:
                processes.shutdown(wait=False)
            return
        if wait and self._is_own_thread():
            raise RuntimeError("cannot join current thread")
        if cancel_futures:
            desk.closed = True
            desk.cancel_held()
            threads._crew.cancel_pending()
            if processes is not None:
                processes._crew.cancel_pending()
        desk.close(cancel_futures)
        if wait:
            desk.wait()
            desk.end_watch()
            processes = desk.made_processes()
            if processes is not None:
                processes.shutdown(wait=True)
            threads.shutdown(wait=True)

    def __enter__(self) -> Self:
        self._entered = _interrupt.mark()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        entered, self._entered = self._entered, _interrupt.NEVER
        if entered.explains(error):
            # Ctrl-C: as a pool of processes does it; threads can't be interrupted, and what they run is waited for.
            processes = self._desk.made_processes()
            self.shutdown(wait=False, cancel_futures=True)
            if processes is not None:
                processes._interrupt()
        self.shutdown(wait=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            self._entered = _interrupt.NEVER

    def _is_own_thread(self) -> bool:
        return threading.current_thread() in self._desk.threads._threads

    def _end_running(self, error: BaseException) -> None:
        self.shutdown(wait=False, cancel_futures=True)
        processes = self._desk.made_processes()
        if processes is None:
            return
        if self._entered.explains(error):
            processes._interrupt()
        else:
            processes.kill_workers()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an AutoExecutor can't be sent to another process: a function that needs this one has to run in a thread, as it does "
            "when its executor finds that it can't be sent; or make another executor there"
        )

    def stats(self) -> PoolStats:
        """What both pools have done until now, together."""
        desk = self._desk
        here = desk.threads.stats()
        processes = desk.made_processes()
        return here if processes is None else _together(here, processes.stats(), desk)

    @property
    def _threads(self) -> set[threading.Thread]:
        return self._desk.threads._threads

    @property
    def _broken(self) -> str | bool:
        processes = self._desk.made_processes()
        return self._desk.threads._broken or (False if processes is None else processes._broken)

    def workers(self) -> list[WorkerRecord]:
        """The worker processes that live, and what each is doing; empty as long as there are none."""
        processes = self._desk.made_processes()
        return [] if processes is None else processes.workers()


class AutoView(View):
    """An AutoExecutor with options for the tasks submitted here; made by `AutoExecutor.with_options`."""

    _executor: AutoExecutor

    def __init__(self, executor: AutoExecutor, way: _Way) -> None:
        self._executor = executor
        self._way = way

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Like the executor's `submit`, with this view's options."""
        return self._executor._submit(self._way, fn, args, kwargs)  # type: ignore[no-any-return]


def _together(here: PoolStats, there: PoolStats, desk: Desk) -> PoolStats:
    """The numbers of both pools; a held call that a process has run is in both, and counts once."""
    done, failed, doubles = desk.doubled["done"], desk.doubled["failed"], desk.doubles
    tasks = dict(here.tasks)
    for name, task in there.tasks.items():
        other = tasks.get(name, TaskStats(0, 0.0, 0.0))
        tasks[name] = TaskStats(other.calls + task.calls, other.wall + task.wall, other.cpu + task.cpu)
    return replace(
        there,
        submitted=here.submitted + there.submitted - done - failed - doubles - desk.again,
        pending=here.pending + there.pending,
        running=max(0, here.running - doubles) + there.running,
        done=here.done + there.done - done - desk.again,
        failed=here.failed + there.failed - failed,
        cancelled=here.cancelled + there.cancelled,
        workers=here.workers + there.workers,
        queue_wait=_sum(here.queue_wait, there.queue_wait),
        run_time=_sum(here.run_time, there.run_time),
        tasks=tasks,
    )


def _sum(one: Histogram, other: Histogram) -> Histogram:
    counts = dict(one.buckets)
    for bound, number in other.buckets:
        counts[bound] = counts.get(bound, 0) + number
    return Histogram(one.total + other.total, tuple(sorted(counts.items())))


def _leave() -> None:
    """At the interpreter's exit, before the pools end: what is held goes on its way, unless a Ctrl-C ends the program."""
    dying = _interrupt.ends_program()
    desks = [desk for desk in _desks if not desk.crew.is_inherited()]
    for desk in desks:
        desk.close(cancel=dying)
    for desk in desks:
        if not dying:
            desk.wait()
        desk.end_watch()


def _inherit() -> None:
    for desk in list(_desks):
        desk.inherit()


os.register_at_fork(after_in_child=_inherit)


# After the pools' own, so it is called before them.
threading._register_atexit(_leave)  # type: ignore[attr-defined]
