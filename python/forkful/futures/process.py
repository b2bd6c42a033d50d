"""The process pool: `concurrent.futures.process` over the engine.

Differs from CPython in: a worker's death costs its own task only and the worker is replaced (`on_crash="break"` for the old
way); lambdas, closures and what a notebook or a prompt defines can be sent; Ctrl-C interrupts the running tasks, cancels the
others and ends the workers on the way out of the `with`; the default of `max_workers` counts the CPUs that affinity and cgroup
leave.
"""

from __future__ import annotations

import concurrent.futures.process as _standard
import operator
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from forkful import _engine, _interrupt, _parcel, _relay, _tracker
from forkful._checked import MOST_BYTES, count, seconds, text
from forkful._encode import Encoder
from forkful._errors import TaskKilled, TaskTimeout, WorkerDied, from_end
from forkful._scope import is_one_of
from forkful._stats import PoolStats, WorkerRecord, process_stats

from . import _completer
from ._base import Future
from ._maps import MapsInParts
from ._methods import chosen, preloaded
from ._recipe import Recipe
from ._views import View
from ._workers import WorkerProcess

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["BrokenProcessPool", "ProcessPoolExecutor", "ProcessPoolView", "TaskKilled", "TaskTimeout", "WorkerDied"]

P = ParamSpec("P")
T = TypeVar("T")

_Standard = _standard.ProcessPoolExecutor
_MOST_WORKERS = 1024
"""Seats in a pool's shared memory; whoever asks for more workers gets these."""
_A_DAY = 86_400.0
_LEAVING_SECONDS = 30.0
_INTERRUPTED_SECONDS = 1.0
"""How long a worker may take to go after an interrupt, before it is killed."""
_pools: weakref.WeakSet[ProcessPoolExecutor] = weakref.WeakSet()
_last_calls: list[Callable[[], object]] = []


class ProcessPoolExecutor(_engine.ProcessPool, MapsInParts, _Standard):
    """An executor that runs calls in processes. A subclass of the standard library's."""

    if TYPE_CHECKING:
        # The engine's, which a type checker can't be told everything about.
        def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
            """Queues the call ``fn(*args, **kwargs)`` and returns its future."""

    _initializer: Any
    _initargs: Any
    _role = "Process"
    """What the names of its workers end with. A pool of another role has what a result can't be sent for named by its worker."""

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        start_method: str | None = None,
        preload: Iterable[str] = (),
        on_crash: str | None = None,
        finalizer: Callable[[], object] | None = None,
        max_pending: int | None = None,
        max_memory_per_child: int | None = None,
        memory_limit: int | None = None,
        memory_sampling: float = 0.1,
        threads_per_worker: int | None = None,
        relay_logs: bool = False,
        propagate_context: bool = False,
        copy: bool = False,
        arena_limit: int | None = None,
        born_shared: bool = True,
    ) -> None:
        """Makes a pool; its workers start when they are needed.

        max_workers: processes at most, and never more than 1024. Default: the CPUs that this process may use (affinity and cgroup
            quota).
        mp_context: says by its start method how workers start, where start_method doesn't.
        initializer, initargs: called in each worker before its first task. If it raises, the pool is broken, with that cause.
        max_tasks_per_child: a worker is replaced after so many tasks; as in the standard library workers are then spawned, unless
            a method is named, and a context of fork is refused.
        start_method: "fork", "zygote" (a clean process that has preloaded the main module forks the workers; what "forkserver"
            means as well) or "spawn". Default: that of mp_context if there is one, else the environment variable
            FORKFUL_START_METHOD, else the interpreter's own.
        preload: modules that the zygote imports once for all workers.
        on_crash: "replace": the death of a worker costs its task, which raises WorkerDied. "break": it breaks the pool, as in the
            standard library. Default: the environment variable FORKFUL_ON_CRASH, else "replace".
        finalizer: called in a worker at its orderly end. A worker that is to be replaced and has not ended 30 s after its last
            task, while others wait for its place, is killed, with a warning; `shutdown` waits for the end of each.
        max_pending: `submit` waits while so many tasks have not begun. Default: no bound.
        max_memory_per_child: bytes; a worker whose resident size, without shared memory, is larger after a task is replaced.
        memory_limit: bytes; a worker whose resident size, without shared memory, is larger is killed, and its task raises
            WorkerDied. What its tasks have started besides is not counted.
        memory_sampling: seconds between two looks at that, while tasks run; a millisecond at least, a day at most.
        threads_per_worker: what BLAS and OpenMP libraries may use in a worker. Default: CPUs divided by max_workers, at least 1,
            and no more than OMP_NUM_THREADS and its like say where they are set; 0 leaves them alone.
        relay_logs: log records of the workers are handled by this process's loggers.
        propagate_context: tasks see the context variables of whoever submitted them, as far as they can be pickled.
        copy: large arguments (arrays and other buffers from 64 KiB on, bytes from 120) are copied by `submit`. Else they are
            copied when their turn comes, and must not be changed before the task has begun.
        arena_limit: bytes of shared memory that large arguments and results may take at a time; past them they travel in a slower
            way. 0 has all of them do so. Default: half of the memory that is free when the pool is made, and half of what the
            control group allows.
        born_shared: numpy arrays of 128 KiB or more that a task makes lie in shared memory, as far as there is some, so that
            they can be returned without a copy. False leaves numpy's allocation alone.
        """
        cpus = _engine.usable_cpus()
        # The standard library's queue of calls holds one more, by a semaphore.
        workers = cpus if max_workers is None else count("max_workers", max_workers, 1, 2**31 - 2, like_standard=True)
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if finalizer is not None and not callable(finalizer):
            raise TypeError("finalizer must be a callable")
        method, mp_context = chosen(start_method, mp_context, max_tasks_per_child)
        crash = os.environ.get("FORKFUL_ON_CRASH") or "replace" if on_crash is None else on_crash
        if crash not in ("replace", "break"):
            raise ValueError(f"on_crash must be 'replace' or 'break', not {crash!r}")
        bound = ", or None for no bound"
        if max_pending is not None:
            max_pending = count("max_pending", max_pending, 1, sys.maxsize, bound)
        if max_memory_per_child is not None:
            max_memory_per_child = count("max_memory_per_child", max_memory_per_child, 1, MOST_BYTES, bound)
        if memory_limit is not None:
            memory_limit = count("memory_limit", memory_limit, 1, MOST_BYTES, bound)
        if arena_limit is not None:
            arena_limit = count("arena_limit", arena_limit, 0, MOST_BYTES, ", or None for the default")
        sampling = seconds("memory_sampling", memory_sampling, _A_DAY) or _A_DAY
        if threads_per_worker is not None:
            way_out = ", 0 to leave libraries alone, or None for the default"
            threads_per_worker = count("threads_per_worker", threads_per_worker, 0, 2**31 - 1, way_out)
        modules = preloaded(preload, method)
        self._max_workers = workers
        self._max_pending = max_pending
        self._mp_context = mp_context
        self._initializer = initializer
        self._initargs = initargs
        self._max_tasks_per_child = max_tasks_per_child
        self._safe_to_dynamically_spawn_children = True
        self._start_method = method
        self._shutdown_lock = threading.Lock()
        self._shutdown_thread = False
        self._entered = _interrupt.NEVER
        threads = max(1, cpus // workers) if threads_per_worker is None else threads_per_worker
        crew = _engine.ProcessCrew(
            min(workers, _MOST_WORKERS),
            break_on_crash=crash == "break",
            memory_limit=memory_limit,
            sampling=max(sampling, 0.001),
            max_pending=max_pending or 0,
            patience=_LEAVING_SECONDS if max_tasks_per_child or max_memory_per_child else None,
            arena=arena_limit,
            copy=bool(copy),
        )
        self._adopt(crew)
        try:
            initargs = tuple(initargs)
        except TypeError:
            pass  # as in the standard library, that is for the worker to say, if it calls an initializer at all
        recipe = Recipe(
            crew,
            method,
            modules,
            {
                "name": self._prefix(),
                "names_unsent": self._role != "Process",
                "initializer": initializer,
                "initargs": initargs,
                "finalizer": finalizer,
                "threads": threads or None,
                "threads_named": threads_per_worker is not None,
                "relay_logs": relay_logs,
                "births": bool(born_shared) and arena_limit != 0,
                # More tasks than that is what nobody lives to see.
                "max_tasks": None if max_tasks_per_child is None else min(operator.index(max_tasks_per_child), 2**63),
                "max_memory": max_memory_per_child,
            },
        )
        reference = weakref.ref(crew)

        def define(entry: bytes) -> int | None:
            alive = reference()
            return None if alive is None else alive.define(entry)

        encoder = Encoder(define, recipe.mode, propagate_context=propagate_context)
        recipe.equip(encoder)
        crew.equip(encoder, recipe)
        _pools.add(self)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more work, and ends the workers when the last task is done.

        wait: return when the last worker is gone and all callbacks have run; at once in a forked child, whose workers are the
            parent's, and in a callback of this pool, which can't wait for itself.
        cancel_futures: cancel what has not begun.
        """
        self._shutdown_thread = True
        crew = self._crew
        if crew.is_inherited():
            return
        crew.close()
        if cancel_futures:
            crew.cancel_pending()
        if wait:
            crew.join()
            _completer.dismiss(crew)
            _completer.release()

    def __enter__(self) -> Self:
        self._entered = _interrupt.mark()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # Not kept: it knows exceptions, and they know frames.
        entered, self._entered = self._entered, _interrupt.NEVER
        if entered.explains(error):
            self._interrupt()
        else:
            self.shutdown(wait=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            self._entered = _interrupt.NEVER

    def _end_running(self, error: BaseException) -> None:
        if self._entered.explains(error):
            self._interrupt()
        else:
            self.kill_workers()

    def _interrupt(self) -> None:
        """Ctrl-C: the running tasks are interrupted as this program was, the others cancelled, and nobody waits for long."""
        crew = self._crew
        if crew.is_inherited():
            return
        crew.end()
        self.shutdown(wait=False, cancel_futures=True)
        _hurry(crew.join, crew.interrupt, crew.strike)
        if crew.is_finished():
            # Its caller is not waited for, as a handler of log records may be in no hurry.
            _completer.release()

    def terminate_workers(self) -> None:
        """Ends the workers by SIGTERM, and the executor with them; what they run raises WorkerDied."""
        self._end_workers(signal.SIGTERM)

    def kill_workers(self) -> None:
        """Ends the workers by SIGKILL, and the executor with them; what they run raises WorkerDied."""
        self._end_workers(signal.SIGKILL)

    def _end_workers(self, number: int) -> None:
        crew = self._crew
        if crew.is_inherited():
            self.shutdown(wait=False, cancel_futures=True)
            return
        crew.end()
        self.shutdown(wait=False, cancel_futures=True)
        crew.strike(number)

    def with_options(
        self,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] | None = None,
        priority: int = 0,
        name: str | None = None,
    ) -> ProcessPoolView:
        """A view on this pool whose tasks are run in this way.

        timeout: seconds that an attempt may take from the moment a worker begins it; past them that worker is killed, and the
            future raises TaskTimeout. Infinity is as good as None.
        retries: how often a task is run again whose worker died (killed for `memory_limit`, too), or that raised `retry_on`. A
            task may then run more than once to its end.
        retry_on: an exception class, or a tuple of them, instead of WorkerDied. One that can't be sent back is known by its name.
            What `future.kill()` stops is not run again.
        priority: smaller runs first; tasks without one have 0. What lies ready for the workers is not overtaken.
        name: shown by `repr(future)`, errors and `workers()`; ``stats().tasks[name]`` has calls, wall and CPU time.
        """
        if timeout is not None:
            timeout = seconds("timeout", timeout, otherwise=", or None for no bound")
        priority = count("priority", priority, -(2**31), 2**31 - 1)
        retries = count("retries", retries, 0, 2**32 - 2)
        if name is not None:
            text("name", name)
        if retry_on is not None:
            classes: tuple[Any, ...] = retry_on if isinstance(retry_on, tuple) else (retry_on,)
            if not all(isinstance(cls, type) and issubclass(cls, BaseException) for cls in classes):
                raise TypeError("retry_on must be an exception class or a tuple of them")
        again = None if retry_on is None else partial(is_one_of, classes=retry_on)
        options = self._crew.options(timeout=timeout, priority=priority, retries=retries, retry_on=again, name=name)
        return ProcessPoolView(self, options)

    def stats(self) -> PoolStats:
        """What the pool has done until now."""
        return process_stats(self._crew.snapshot(), f"{self._prefix()}-")

    def workers(self) -> list[WorkerRecord]:
        """The workers that live, and what each is doing."""
        return [WorkerRecord(f"{self._prefix()}-{record[0] + 1}", *record[1:]) for record in self._crew.workers()]

    def _prefix(self) -> str:
        return {"fork": "Fork", "zygote": "ForkServer", "spawn": "Spawn"}[self._start_method] + self._role

    @property
    def _processes(self) -> dict[int, WorkerProcess] | None:  # type: ignore[override]
        if self._shutdown_thread:
            return None  # as in the standard library
        crew = self._crew
        # Whoever asks after a submission expects the workers that it has sent for.
        for _ in range(5000):
            if not crew.expected():
                break
            time.sleep(0.001)
        roster = crew.roster()
        return {pid: WorkerProcess(roster, pid, f"{self._prefix()}-{seat + 1}") for seat, pid in sorted(crew.pids())}

    @property
    def _broken(self) -> str | bool:  # type: ignore[override]
        return self._crew.broken() or False

    @property
    def _pending_work_items(self) -> dict[int, None]:  # type: ignore[override]
        # As many as there are, under the numbers of the latest: which of them are done is nowhere counted.
        left, submitted = sum(self._crew.load()), self._crew.snapshot()["submitted"]
        return dict.fromkeys(range(max(0, submitted - left), max(left, submitted)))


class ProcessPoolView(View, MapsInParts):
    """A process pool with options for the tasks submitted here; made by `ProcessPoolExecutor.with_options`."""

    _executor: ProcessPoolExecutor

    def __init__(self, executor: ProcessPoolExecutor, options: _engine.TaskOptions) -> None:
        self._executor = executor
        self._options = options

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Like the pool's `submit`, with this view's options."""
        # Whoever has replaced `submit`, on the class or on the executor, gets the call; the options travel in the function.
        return self._executor.submit(_engine.Optioned(self._options, fn), *args, **kwargs)

    def _mapping(self) -> tuple[ProcessPoolExecutor, _engine.TaskOptions | None]:
        return self._executor, self._options


def _hurry(join: Callable[[float], bool], interrupt: Callable[[], None], strike: Callable[[int], None]) -> None:
    """Lets the workers of what was ended by Ctrl-C go: in order, by SIGINT, by force; at once if another one comes."""
    try:
        # A terminal interrupts the whole group; a notebook only this process.
        if not join(0.1):
            interrupt()
        if not join(_INTERRUPTED_SECONDS):
            strike(signal.SIGKILL)
            join(0.5)
    except BaseException:
        strike(signal.SIGKILL)
        raise


def run_at_exit(call: Callable[[], object]) -> None:
    """Has it called when the interpreter ends, before the pools do, unless a Ctrl-C ends the program."""
    _last_calls.append(call)


def _python_exit() -> None:
    dying = _interrupt.ends_program()
    try:
        if dying:
            _end_all()
        else:
            for call in _last_calls:
                call()
        alive = [executor._crew for executor in _pools]
        crews = [crew for crew in alive if not crew.is_inherited()]
        for crew in crews:
            crew.close()
        for crew in crews:
            crew.join()
            _completer.dismiss(crew)
        # Executors that were forgotten may have left work, and workers something to be handled.
        _completer.join()
    except KeyboardInterrupt:
        if not dying:
            _end_all()
            raise
        # Its traceback has been shown, and whoever presses it again wants out.
    finally:
        _engine.pools_are_over()


def _end_all() -> None:
    _engine.end_pools()
    _hurry(_engine.join_pools, _engine.interrupt_pools, _engine.strike_pools)


_engine.set_words(from_end, _relay.handle, _tracker.start, _completer.hire, _parcel.unpack)

# Before the threads of the program are joined, as the standard library's pools end.
threading._register_atexit(_python_exit)  # type: ignore[attr-defined]
