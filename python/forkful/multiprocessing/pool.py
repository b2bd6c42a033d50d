"""Pools of processes and of threads: `multiprocessing.pool` on forkful's executors.

Differs from CPython in: the death of a worker costs its job only, which raises WorkerDied, and the worker is replaced
(cpython#96062); an initializer that raises breaks the pool, and every job says why; what is outstanding when the pool is
terminated raises instead of hanging; lambdas and closures can be sent; workers are no daemons and may have children; a worker
that waits for a job of its own `ThreadPool` runs it; `imap` takes `buffersize`. Of the private attributes there are those that
tell something: `_pool`, `_processes`, `_state`, `_cache`, `_taskqueue`.

Knows: the executors, results, feeds, callbacks. Does not know: who makes pools, contexts for instance.
"""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.pool as _standard
import operator
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from functools import partial
from typing import Any

from forkful import _engine
from forkful.futures import ProcessPoolExecutor, ThreadPoolExecutor
from forkful.futures._workers import WorkerProcess

from . import _results
from ._callbacks import Caller
from ._feeding import Intake, run_all, run_all_spread
from ._jobs import Jobs
from ._leaving import attend

__all__ = ["Pool", "ThreadPool"]

ApplyResult = AsyncResult = _results.ApplyResult
MapResult = _results.MapResult
IMapIterator, IMapUnorderedIterator = _results.IMapIterator, _results.IMapUnorderedIterator
_theirs: Any = _standard
INIT, RUN, CLOSE, TERMINATE = _theirs.INIT, _theirs.RUN, _theirs.CLOSE, _theirs.TERMINATE
RemoteTraceback, ExceptionWithTraceback = _theirs.RemoteTraceback, _theirs.ExceptionWithTraceback
MaybeEncodingError, rebuild_exc = _theirs.MaybeEncodingError, _theirs.rebuild_exc
# Of no use here, but names of the module.
mapstar, starmapstar, worker, job_counter = _theirs.mapstar, _theirs.starmapstar, _theirs.worker, _theirs.job_counter
TimeoutError = multiprocessing.TimeoutError

_GRACE = 1.0
"""Seconds that workers have from their SIGTERM to their SIGKILL, when a pool is terminated."""
_PATIENCE = 5.0
"""Seconds that are waited at most for the kernel to end them then, and for those that were sent for to come."""
_numbers = itertools.count(1)


class _Workers(ProcessPoolExecutor):
    """The processes of a pool."""

    _role = "PoolWorker"


class Pool(Jobs):
    """A pool of processes. They start when it is made.

    How they start is not for subclasses to say: `Process`, `_setup_queues` and their like are not asked.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Any = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        """Makes a pool.

        processes: how many. Default: the CPUs that this process may use (affinity and cgroup quota).
        initializer, initargs: called in each process at its start.
        maxtasksperchild: a process is replaced after so many tasks; a chunk of a map is one.
        context: says by its start method how processes start.
        """
        self._state = INIT
        self._ctx: Any = context or multiprocessing.get_context()
        self._maxtasksperchild = maxtasksperchild
        self._initializer = initializer
        self._initargs = initargs
        if processes is None:
            processes = _engine.usable_cpus()
        if processes < 1:
            raise ValueError("Number of processes must be at least 1")
        limit: Any = maxtasksperchild
        if limit is not None and (not isinstance(limit, int) or limit <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._processes = operator.index(processes)
        self._executor = self._start(context)
        self._intake = Intake(self._executor, self._ahead(), partial(self._why_broken, self._executor))
        self._caller = Caller()
        self._pid = os.getpid()
        self._state = RUN
        attend(self, Pool._leave, Pool._disown)

    def _start(self, context: Any) -> Any:
        """The executor, with all its workers on their way."""
        named = os.environ.get("FORKFUL_START_METHOD") if context is None else None
        executor = _Workers(
            self._processes,
            self._ctx,
            self._initializer,
            self._initargs,
            max_tasks_per_child=self._maxtasksperchild,
            start_method=named or self._ctx.get_start_method(),
            on_crash="replace",
        )
        # Now, so that a fork finds the globals of this moment.
        executor._crew.populate()
        return executor

    def _ahead(self) -> int:
        """How many calls of an `imap` are submitted before one is waited for: large ones are not to fill the memory."""
        return 4 * self._processes

    @staticmethod
    def _why_broken(executor: Any) -> BaseException | None:
        """What an initializer has raised, if that has broken the pool."""
        said = executor._crew.broken_by()
        try:
            return None if said is None else pickle.loads(said)
        except Exception as unreadable:
            return unreadable

    def __del__(self, _warn: Any = warnings.warn, RUN: Any = RUN) -> None:
        # What was submitted still runs, as the executor has it when it is forgotten.
        if getattr(self, "_state", INIT) == RUN:
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        cls = self.__class__
        return f"<{cls.__module__}.{cls.__qualname__} state={self._state} pool_size={self._size()}>"

    def __reduce__(self) -> Any:
        # The standard library's error: a pool is its own process's, and its workers know no other parent.
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.terminate()

    # --- ends ---

    def close(self) -> None:
        """Takes no more jobs; the workers leave when those that there are have been done."""
        if self._state == RUN:
            self._state = CLOSE
            if os.getpid() == self._pid:
                self._intake.close()

    def terminate(self) -> None:
        """Ends the pool at once: what runs is killed, what waits is not run, and results that are outstanding raise."""
        self._state = TERMINATE
        self._finish()

    def join(self) -> None:
        """Waits until all is done and the workers have left; after `close` or `terminate`."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._state not in (CLOSE, TERMINATE):
            raise ValueError("In unknown state")
        if os.getpid() != self._pid:
            return  # in a forked child: they are its parent's
        if self._caller.is_here():
            raise RuntimeError("cannot join current thread")
        self._intake.join()
        self._executor.shutdown(wait=True)
        self._caller.join()

    def _disown(self) -> None:
        """In a forked child: a thread that is not here may have held a lock."""
        self._intake = Intake(self._executor, self._ahead(), partial(self._why_broken, self._executor))
        self._caller = Caller()

    def _leave(self) -> None:
        """At the end of the program, where nobody has ended it."""
        if self._state in (RUN, CLOSE):
            self._finish()

    def _finish(self) -> None:
        if os.getpid() != self._pid:
            return
        self._caller.is_over = True
        self._intake.abort()
        self._stop()

    def _stop(self) -> None:
        crew = self._executor._crew
        crew.end()
        self._executor.shutdown(wait=False, cancel_futures=True)
        try:
            crew.strike(signal.SIGTERM)
            if crew.join(_GRACE):
                return
        except BaseException:
            crew.strike(signal.SIGKILL)
            raise
        # Handled or blocked, by a handler that the workers have inherited for example.
        crew.strike(signal.SIGKILL)
        crew.join(_PATIENCE)

    # --- what programs look at ---

    @property
    def _pool(self) -> list[Any]:
        crew = self._executor._crew
        end = time.monotonic() + _PATIENCE
        while crew.expected() and time.monotonic() < end:
            time.sleep(0.001)
        roster, prefix = crew.roster(), self._executor._prefix()
        return [WorkerProcess(roster, pid, f"{prefix}-{seat + 1}") for seat, pid in sorted(crew.pids())]

    def _size(self) -> int:
        crew = self._executor._crew
        return len(crew.pids()) + int(crew.expected())

    def _repopulate_pool(self) -> None:
        """Sends for the workers that are missing now; they come by themselves when there is work for them."""
        self._executor._crew.populate()

    @property
    def _cache(self) -> dict[int, None]:
        """As many entries as there are tasks that are not done."""
        return dict.fromkeys(range(sum(self._executor._crew.load())))

    @property
    def _taskqueue(self) -> _Waiting:
        return _Waiting(lambda: self._executor._crew.load()[0])


class _Waiting:
    """What `_taskqueue` answers: how much waits for a worker."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count

    def qsize(self) -> int:
        """Tasks that nobody has begun."""
        return self._count()

    def empty(self) -> bool:
        """Whether there is none."""
        return not self._count()


class ThreadPool(Pool, _standard.ThreadPool):
    """A pool of threads, with the same methods. They start when it is made."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Any = (),
    ) -> None:
        """Makes a pool; `processes` is the number of its threads."""
        Pool.__init__(self, processes, initializer, initargs)

    def _start(self, context: Any) -> Any:
        executor = ThreadPoolExecutor(
            self._processes,
            f"ThreadPool-{next(_numbers)}",
            self._initializer,
            self._initargs,
            # As those of the standard library: the interpreter's exit waits for none.
            daemon=True,
        )
        begun = threading.Event()
        try:
            # One for each, none of which can be done before all threads are there.
            for _ in range(self._processes):
                executor.submit(begun.wait)
        except BrokenExecutor:
            pass  # by its initializer; every job says so
        finally:
            begun.set()
        return executor

    def _submitter(self, func: Callable[..., Any], spread: bool, single: bool) -> Callable[[Any], Any]:
        if single:
            return Pool._submitter(self, func, spread, single)
        return partial(self._executor.submit, run_all_spread if spread else run_all, func)

    def _ahead(self) -> int:
        """More than of processes: nothing is copied, and a thread that waits has to wait for the interpreter as well."""
        return max(256, 4 * self._processes)

    @staticmethod
    def _why_broken(executor: Any) -> BaseException | None:
        """Its thread has logged it."""
        return None

    def _stop(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    @property
    def _pool(self) -> list[Any]:
        return list(self._executor._threads)

    def _size(self) -> int:
        return len(self._executor._threads)

    def _repopulate_pool(self) -> None:
        """A thread does not die."""

    @property
    def _cache(self) -> dict[int, None]:
        stats = self._executor.stats()
        return dict.fromkeys(range(stats.pending + stats.running))

    @property
    def _taskqueue(self) -> _Waiting:
        return _Waiting(lambda: self._executor._crew.pending())
