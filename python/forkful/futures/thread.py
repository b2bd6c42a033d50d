"""The thread pool: `concurrent.futures.thread` over the engine.

Differs from CPython in: a worker that waits for a queued task of its own pool runs it, or lets another thread work meanwhile;
the default of `max_workers` counts the CPUs that affinity and cgroup leave; submitting from a forked child raises instead of
hanging.
"""

from __future__ import annotations

import concurrent.futures.thread as _standard
import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from forkful import _engine, _hooks  # noqa: F401
from forkful._checked import count
from forkful._stats import PoolStats, pool_stats

from ._base import Executor, Future, check_buffersize
from ._views import View

__all__ = ["BrokenThreadPool", "ThreadPoolExecutor", "ThreadPoolView"]

P = ParamSpec("P")
T = TypeVar("T")

_Standard = _standard.ThreadPoolExecutor
_numbers = itertools.count()


class _Roster:
    """The threads of one pool. Knows the pool's workers, not its executor, which may be forgotten while they work."""

    def __init__(self, prefix: str, daemon: bool) -> None:
        self.prefix = prefix
        self.daemon = daemon
        self.threads: set[threading.Thread] = set()

    def start(self, worker: _engine.Worker, index: int) -> None:
        """Starts a thread for a worker."""
        thread = threading.Thread(name=f"{self.prefix}_{index}", target=worker.run, daemon=self.daemon)
        # Before the start: a thread that has little to do may be gone before its start returns here.
        self.threads.add(thread)
        try:
            thread.start()
        except BaseException:
            if worker.abandon():
                self.threads.discard(thread)
            raise
        if not self.daemon:
            # The standard library's exit hook ends what is registered here by put(None), then joins the thread.
            queues: Any = _standard._threads_queues
            queues[thread] = worker.closer()

    def left(self) -> None:
        """The calling thread leaves while the pool goes on."""
        self.threads.discard(threading.current_thread())


class _WorkQueue:
    """What `_work_queue` answers: how much waits. It also runs the standard library's own work items, put in by its `submit`."""

    def __init__(self, crew: _engine.Crew) -> None:
        self._crew = crew

    def qsize(self) -> int:
        """Tasks that wait for a worker."""
        return self._crew.pending()

    def empty(self) -> bool:
        """Whether none waits."""
        return self.qsize() == 0

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Has a work item run; None, by which the standard library wakes its threads, needs nothing here."""
        if item is not None:
            options = getattr(getattr(item, "fn", None), "_options", None)
            self._crew.submit(options, _runner_of(item))


def _runner_of(item: Any) -> Callable[[], Any]:
    """How a work item is run: since 3.14 it is given a context that a worker has made."""
    context_class = getattr(_standard, "WorkerContext", None)
    if context_class is None:
        return item.run  # type: ignore[no-any-return]
    create_context, _ = context_class.prepare(None, ())
    return lambda: item.run(create_context())


class _Answer:
    """A private attribute of the standard library's executor that is worked out when somebody reads it.

    What a program assigns counts from then on.
    """

    def __init__(self, answer: Callable[[ThreadPoolExecutor], Any]) -> None:
        self._answer = answer

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, executor: ThreadPoolExecutor | None, owner: type) -> Any:
        if executor is None:
            return self
        try:
            return executor.__dict__[self._name]
        except KeyError:
            return self._answer(executor)

    def __set__(self, executor: ThreadPoolExecutor, value: Any) -> None:
        if self._name == "_work_queue" and not executor._uses_standard:
            executor._become_standard()
        executor.__dict__[self._name] = value


class ThreadPoolExecutor(_engine.ThreadPool, Executor, _Standard):
    """An executor that runs calls in threads.

    A subclass of the standard library's. One that overrides `_adjust_thread_count` or replaces `_work_queue` gets the standard
    library's machinery, and so none of the options below.
    """

    if TYPE_CHECKING:
        # The engine's, which a type checker can't be told everything about.
        def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
            """Queues the call ``fn(*args, **kwargs)`` and returns its future."""

    _initializer: Any
    _max_workers: int
    _thread_name_prefix: str
    _threads: set[threading.Thread]
    _shutdown: bool

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        daemon: bool = False,
        max_pending: int | None = None,
        propagate_context: bool = False,
    ) -> None:
        """Makes a pool; its threads start when they are needed.

        max_workers: threads at most, those that wait for a task of this very pool not counted. Default: 4 more than the CPUs
            that this process may use (affinity and cgroup quota), 32 at most.
        thread_name_prefix: the threads are called prefix_0, prefix_1 and so on.
        initializer, initargs: called in each thread before its first task. If it raises, the pool is broken: what waits
            and what is submitted later raises BrokenThreadPool.
        daemon: the interpreter's exit does not wait for the threads, nor for what they run.
        max_pending: `submit` waits while so many tasks have not begun, except in the pool's own threads. Default: no
            bound.
        propagate_context: tasks see the context variables of whoever submitted them.
        """
        if max_workers is None:
            max_workers = min(32, _engine.usable_cpus() + 4)
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_pending is not None:
            max_pending = count("max_pending", max_pending, 1, sys.maxsize, ", or None for no bound")
        self._max_workers = max_workers
        self._max_pending = max_pending
        self._thread_name_prefix = thread_name_prefix or f"ThreadPoolExecutor-{next(_numbers)}"
        self._initializer = initializer
        self._initargs = initargs
        if type(self)._adjust_thread_count is not ThreadPoolExecutor._adjust_thread_count:
            if daemon or max_pending is not None or propagate_context:
                raise ValueError(
                    "daemon, max_pending and propagate_context need forkful's own threads, "
                    "but this class overrides _adjust_thread_count and starts threads itself"
                )
            self._become_standard()
            return
        self._shutdown = False
        self._shutdown_lock = threading.Lock()
        roster = _Roster(self._thread_name_prefix, daemon)
        self._threads = roster.threads
        self._adopt(
            _engine.Crew(
                math.ceil(min(max_workers, 2**31 - 1)),
                start=roster.start,
                left=roster.left,
                max_pending=max_pending or 0,
                propagate_context=propagate_context,
                initializer=None if initializer is None else (initializer, tuple(initargs)),
            )
        )

    def _become_standard(self) -> None:
        """From now on the standard library's machinery does the work; what was submitted before still runs."""
        if self._crew is not None:
            self._crew.close()
        self._use_standard()
        _Standard.__init__(self, self._max_workers, self._thread_name_prefix, self._initializer, self._initargs)

    def _adjust_thread_count(self) -> None:
        if self._uses_standard:
            super()._adjust_thread_count()

    _work_queue = _Answer(lambda self: _WorkQueue(self._crew))
    _broken = _Answer(lambda self: self._crew.broken() or False)
    _idle_semaphore = _Answer(lambda self: threading.Semaphore(self._crew.idle()))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more work, and ends the threads when the queue is empty.

        wait: return when the last thread has ended; at once in a forked child, whose threads stayed in the parent.
        cancel_futures: cancel what has not begun.
        """
        if self._uses_standard:
            super().shutdown(wait, cancel_futures=cancel_futures)
            return
        self._shutdown = True
        crew = self._crew
        crew.close()
        if cancel_futures:
            crew.cancel_pending()
        if wait and not crew.is_inherited():
            if self._is_own_thread():
                raise RuntimeError("cannot join current thread")
            # A thread that another one is just starting counts as well, and is not to be joined before it has started.
            crew.join()
            for thread in list(self._threads):
                thread.join()

    def _is_own_thread(self) -> bool:
        return threading.current_thread() in self._threads

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
        check_buffersize(buffersize)
        # Whoever has taken `submit` over is to see each item.
        own = type(self).submit is _engine.ThreadPool.submit and "submit" not in vars(self)
        if not own or not self._takes_turns():
            return super()._map(fn, iterables, spread, timeout, chunksize, buffersize, ordered)
        items: Iterable[Any]
        if spread:
            items = map(tuple, iterables[0])
        elif len(iterables) == 1:
            items = iterables[0]
        else:
            items, spread = zip(*iterables, strict=False), True
        return self._begin_map(fn, items, spread, ordered, timeout, buffersize)

    def with_options(
        self,
        *,
        priority: int = 0,
        retries: int = 0,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
        name: str | None = None,
        timeout: None = None,
    ) -> ThreadPoolView:
        """A view on this pool whose tasks are run in this way.

        priority: smaller runs first; tasks without one have 0.
        retries: how often a task that raised `retry_on` is run again, at once and in the same thread.
        retry_on: an exception class, or a tuple of them.
        name: shown by `repr(future)`; ``stats().tasks[name]`` has calls, wall and CPU time of all tasks of that name.
        timeout: refused, as a thread can't be stopped. To stop waiting, use ``future.result(timeout=...)``; to stop the
            work itself, run it in a process.
        """
        if timeout is not None:
            raise ValueError(
                "timeout is refused on a thread pool: a running thread cannot be stopped. To stop waiting, use "
                "future.result(timeout=...); to stop the work itself, run it in a process"
            )
        priority = count("priority", priority, -(2**31), 2**31 - 1)
        retries = count("retries", retries, 0, 2**32 - 1)
        classes: tuple[Any, ...] = retry_on if isinstance(retry_on, tuple) else (retry_on,)
        if not all(isinstance(cls, type) and issubclass(cls, BaseException) for cls in classes):
            raise TypeError("retry_on must be an exception class or a tuple of them")
        if self._uses_standard:
            raise ValueError(
                "options need forkful's own threads, but this executor has replaced its queue or its threads"
            )
        options = self._crew.options(priority=priority, retries=retries, retry_on=retry_on, name=name)
        return ThreadPoolView(self, options)

    def stats(self) -> PoolStats:
        """What the pool has done until now; costs the workers nothing."""
        if self._uses_standard:
            raise ValueError(
                "stats need forkful's own threads, but this executor has replaced its queue or its threads"
            )
        return pool_stats(self._crew.snapshot(), f"{self._thread_name_prefix}_")

    def __copy__(self) -> ThreadPoolExecutor:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        if self._uses_standard:
            twin._use_standard()
        else:
            twin._adopt(self._crew)
        return twin


class ThreadPoolView(View):
    """A thread pool with options for the tasks submitted here; made by `ThreadPoolExecutor.with_options`."""

    _executor: ThreadPoolExecutor

    def __init__(self, executor: ThreadPoolExecutor, options: _engine.TaskOptions) -> None:
        self._executor = executor
        self._options = options

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Like the pool's `submit`, with this view's options."""
        # Whoever has replaced `submit`, on the class or on the executor, gets the call; the options travel in the function.
        return self._executor.submit(_engine.Optioned(self._options, fn), *args, **kwargs)


def _register_hooks() -> None:
    # The standard library's own place for this: it runs before the threads that are left are joined.
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(_engine.interpreter_exits)


_register_hooks()
