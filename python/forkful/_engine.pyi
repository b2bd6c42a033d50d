"""The compiled engine, as Python sees it.

Private: `forkful.futures` gives these things their public form. Times are in seconds unless a name says otherwise.
"""
# long because: it is one module, whose stub can't be several

from collections.abc import Callable, Iterable
from types import GenericAlias
from typing import Any, Generic, TypeVar, final

from typing_extensions import Self, disjoint_base

_T = TypeVar("_T")

__all__ = [
    "AutoPool",
    "BarrierBase",
    "CallerPlace",
    "CellFile",
    "Closer",
    "ConditionBase",
    "ConnectionBase",
    "Crew",
    "EventBase",
    "FutureBase",
    "Gathering",
    "Gauge",
    "GilSampler",
    "Lent",
    "Link",
    "Mutex",
    "Optioned",
    "Parcel",
    "Placed",
    "ProcessBarrier",
    "ProcessCondition",
    "ProcessCrew",
    "ProcessEvent",
    "ProcessLock",
    "ProcessPool",
    "ProcessRLock",
    "ProcessRoster",
    "ProcessSemaphore",
    "QueueBase",
    "Route",
    "RouteTable",
    "SemaphoreBase",
    "Shared",
    "SharedQueue",
    "TaskOptions",
    "ThreadMap",
    "ThreadPool",
    "Turn",
    "Worker",
    "__version__",
    "adopt_shared",
    "advice",
    "after_fork_in_child",
    "arm_crash",
    "arrive",
    "before_fork",
    "call_items",
    "can_push",
    "claim_completer",
    "die_with",
    "disclaim_completer",
    "disinherit_shared",
    "end_pools",
    "fetch_parcel",
    "guard_fork",
    "has_failed",
    "hold",
    "interpreter_exits",
    "interrupt_pools",
    "interrupts",
    "is_remote",
    "itself",
    "join_pools",
    "memfd_create",
    "memfd_for_sharing",
    "offer_shared",
    "optimised",
    "outlive_thread",
    "partition",
    "pidfd_open",
    "pidfd_send_signal",
    "place_shared",
    "pools_are_over",
    "push_parcel",
    "queue_held",
    "receive_shared",
    "refuse_inherited",
    "relieve_completer",
    "report_failure",
    "send_log",
    "serve",
    "serve_queues",
    "set_future_class",
    "set_queue_words",
    "set_sharing",
    "set_words",
    "shared_file",
    "shared_memory",
    "shared_ticket",
    "strike_pools",
    "take_held",
    "try_submit",
    "unguard_fork",
    "unwatch_parent",
    "usable_cpus",
    "wait_all",
    "watch_parent",
    "work",
]

__version__: str

optimised: bool
"""False for a build with debug assertions, which is many times slower."""

def usable_cpus() -> int:
    """CPUs that this process may use: its affinity mask and its cgroup's quota (both versions), at least 1."""

def advice(code: int) -> str | None:
    """What an `errno` of the kernel's means to whoever runs the program, and the way out; None where it says enough."""

def pidfd_open(pid: int) -> int:
    """As `os.pidfd_open`, which interpreters built with old headers lack."""

def memfd_create(name: str) -> int:
    """As `os.memfd_create`, likewise."""

def pidfd_send_signal(pidfd: int, number: int) -> None:
    """As `signal.pidfd_send_signal`, likewise."""

def guard_fork() -> None:
    """Has the child of this thread's next fork end with this process, before any hook runs in it, until `unguard_fork`."""

def unguard_fork() -> None:
    """No more, in the parent and in the child."""

def outlive_thread() -> None:
    """In a child that watches its parent itself: it need not end with the thread that forked it."""

def set_future_class(class_: type[FutureBase[Any]], /) -> None:
    """Says of which class the pools make their futures.

    A subclass of `FutureBase` whose instances are complete without `__init__`. The first call counts; TypeError for any other
    class.
    """

def wait_all(futures: list[Any], timeout: float | None = None) -> bool | None:
    """Waits until all futures are finished, or cancelled and notified.

    True: they are. False: `timeout` passed first. None, at once: one of them is not a `FutureBase`.
    Raises BrokenExecutor in a forked child for a task that only the parent can run.
    """

def has_failed(future: FutureBase[Any]) -> bool:
    """Whether it failed, as far as that can be said without reading what another process has sent."""

def is_remote(future: FutureBase[Any]) -> bool:
    """Whether another process runs its task, which can therefore be stopped."""

def refuse_inherited(future: FutureBase[Any]) -> None:
    """Raises BrokenExecutor for a future that was pending at a fork, whose task only the parent can run."""

def partition(futures: list[Any]) -> tuple[set[Any], set[Any]]:
    """Splits futures into those that `wait` counts as done, and the others."""

def interpreter_exits() -> None:
    """From now on every pool refuses work; to be called before the interpreter joins the threads that are left."""

def before_fork() -> None:
    """What is lent to this process becomes its own memory, so that a forked child has it as it has all other."""

def after_fork_in_child() -> None:
    """Makes the engine honest in a forked child: inherited pools refuse work, engine locks are free."""

@disjoint_base
class FutureBase(Generic[_T]):
    """The protocol of `concurrent.futures.Future` over the engine's states.

    About 110 bytes with its task. The condition and the list of waiters of the standard library's protocol are made when they are
    first asked for; from then on this future changes its state under that condition.
    """

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def cancel(self) -> bool:
        """Cancels the future if nobody has begun; says whether it is cancelled."""

    def kill(self) -> bool:
        """Stops a task that runs in another process, by killing that process, and waits for that; whether it did.

        False where the task has not begun (`cancel()` it) or has ended. What is stopped is not retried. RuntimeError for a task
        that runs in a thread.
        """

    def cancelled(self) -> bool:
        """Whether it was cancelled."""

    def running(self) -> bool:
        """Whether its task is being run."""

    def done(self) -> bool:
        """Whether it has finished or was cancelled."""

    def result(self, timeout: float | None = None) -> _T:
        """The value, waiting for it at most `timeout` seconds.

        Raises what the task raised; CancelledError; TimeoutError; BrokenExecutor in a forked child, where nobody runs the task.
        Signals interrupt the wait. In a thread of the pool that has the task queued, without a timeout, the task is run here.
        """

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, or None; otherwise like `result`.

        What another process has sent is read for it, as a value that can't be unpickled is an error.
        """

    def add_done_callback(self, fn: Callable[[Self], object]) -> None:
        """Has ``fn(future)`` called when the future is done: in order, in the thread that completes it (a process pool's: in
        the pool's own for that), or here and now.

        What a callback raises is logged to ``concurrent.futures``.
        """

    def set_running_or_notify_cancel(self) -> bool:
        """Begins the future (True), or lets everybody know that it was cancelled (False); for executors and tests."""

    def set_result(self, result: _T) -> None:
        """Finishes the future with a value; InvalidStateError if it is done."""

    def set_exception(self, exception: BaseException | None) -> None:
        """Finishes the future with an error; InvalidStateError if it is done, TypeError if that is no exception."""

    def __class_getitem__(cls, item: Any) -> GenericAlias: ...
    def __setattr__(self, name: str, value: Any, /) -> None: ...
    def __delattr__(self, name: str, /) -> None: ...
    def _get_snapshot(self) -> tuple[bool, bool, _T | None, BaseException | None]:
        """(done, cancelled, result, exception) at one moment, as 3.14's futures have it."""

    _condition: Any
    _waiters: list[Any]
    _state: str
    _result: Any
    _exception: Any
    @property
    def _done_callbacks(self) -> list[Callable[[Any], object]]: ...

@final
class Lent:
    """A range of a segment, as a buffer: lent as long as this lives, or a view of it. Made by the engine."""

    def __len__(self) -> int: ...

@final
class TaskOptions:
    """How a task is run; made by `Crew.options`."""

    @property
    def per_task(self) -> bool:
        """Whether something is asked for each task, so that several calls can't be one."""

@final
class Optioned:
    """A function that carries options through a `submit` that does not know them; called or pickled, it is just the function."""

    def __new__(cls, options: TaskOptions, fn: Callable[..., Any]) -> Optioned: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def _options(self) -> TaskOptions: ...
    @property
    def __wrapped__(self) -> Callable[..., Any]: ...

@final
class Worker:
    """A worker before its thread runs."""

    def abandon(self) -> bool:
        """Gives the berth back: the thread could not be started. False: it is at work already."""

    def run(self) -> None:
        """The target of the worker's thread; returns when the pool ends."""

    def closer(self) -> Closer:
        """The handle by which the interpreter's exit ends the pool."""

@final
class Closer:
    """Ends a pool, and knows nothing else of it."""

    def put(self, item: None = None) -> None:
        """Ends the pool: the standard library's exit hook calls this as if this were a queue."""

@final
class Crew:
    """A pool, without the executor that it belongs to. Dropped, it takes no more work."""

    def __new__(
        cls,
        limit: int,
        *,
        start: Callable[[Worker, int], object],
        left: Callable[[], object],
        max_pending: int = 0,
        propagate_context: bool = False,
        initializer: tuple[Callable[..., object], tuple[Any, ...]] | None = None,
    ) -> Crew:
        """A pool of at most `limit` threads.

        start: called with a worker and its number, has to start a thread whose target is ``worker.run``.
        left: called in the thread of a worker that leaves while the pool goes on.
        max_pending: tasks that may wait before `submit` does; 0 means any number.
        initializer: a function and its arguments, called in each thread before its first task.
        """

    def submit(self, options: TaskOptions | None, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queues a call. RuntimeError after `close`; BrokenThreadPool if the pool is broken or was inherited by a fork."""

    def options(
        self, *, priority: int, retries: int, retry_on: Any, name: str | None, gauge: Gauge | None = None
    ) -> TaskOptions:
        """Options for tasks of this pool; `gauge` counts their cost."""

    def close(self) -> None:
        """Takes no more work; what was accepted runs."""

    def cancel_pending(self) -> None:
        """Cancels everything that nobody has begun."""

    def join(self) -> None:
        """Waits until the last worker has left, those on their way included; signals interrupt it. Call it after `close`."""

    def broken(self) -> str | None:
        """Why the pool is broken, if it is."""

    def pending(self) -> int:
        """Tasks that nobody has begun."""

    def idle(self) -> int:
        """Workers without a task."""

    def blocked(self) -> int:
        """Workers that wait for a task of this very pool, for each of which there may be one more."""

    def is_inherited(self) -> bool:
        """Whether this pool came here through a fork."""

    def snapshot(self) -> dict[str, Any]:
        """Everything that is counted; `forkful._stats.pool_stats` gives it a shape."""

@disjoint_base
class ThreadPool:
    """`submit` for an executor, without a Python frame in between."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queues a call and returns its future.

        A `submit` that somebody has put on the standard library's own class is called instead.
        """

    def _adopt(self, crew: Crew) -> None:
        """Hands the pool over; once, by `__init__`."""

    def _use_standard(self) -> None:
        """From now on the standard library's machinery does the work."""

    @property
    def _uses_standard(self) -> bool: ...
    @property
    def _crew(self) -> Any: ...
    def _takes_turns(self) -> bool:
        """Whether its threads can take turns at a map; otherwise every item is to go through `submit`, as a task of its own."""

    def _begin_map(
        self,
        fn: Callable[..., Any],
        items: Iterable[Any],
        spread: bool,
        ordered: bool,
        timeout: float | None,
        buffersize: int | None,
    ) -> ThreadMap:
        """Begins a map, after `_takes_turns` has said that this can be. `spread`: each item is a tuple of arguments.

        `timeout` is in seconds from now, None for ever; `buffersize` at least 1, or None to take the input at once.
        """

@final
class ThreadMap:
    """The results of a map over threads, for one reader at a time: ValueError for a second one."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def close(self) -> None:
        """Ends the iterator; what has not begun is not run, if anything was read."""
    def give_up(self) -> None:
        """The same, whether or not anything was read here."""

@final
class Turn:
    """The task of a thread that takes its turn at a map."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> None:
        """Runs items of it for about a millisecond; RuntimeError, which nobody sees, if one of them raised."""

@final
class Gathering:
    """Futures that arrive one by one."""

    @staticmethod
    def of(futures: list[Any]) -> Gathering | None:
        """Watches all of them; None if one is not a `FutureBase`."""

    def __len__(self) -> int:
        """How many have not been taken."""

    def poll(self) -> Any:
        """The next one that has come already, or None."""

    def next(self, timeout: float | None = None) -> Any:
        """The next one to come, waiting for it at most `timeout` seconds; None if it passed."""

    def close(self) -> None:
        """Stops watching those that have not come."""

@disjoint_base
class ProcessPool:
    """`submit` for an executor of processes, without a Python frame in between."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queues a call and returns its future.

        BrokenProcessPool once the pool is broken, RuntimeError after `shutdown`; what can't be pickled fails its future.
        """

    def _adopt(self, crew: ProcessCrew) -> None:
        """Hands the pool over; once, by `__init__`."""

    @property
    def _crew(self) -> Any: ...

@final
class ProcessCrew:
    """The compiled part of a `ProcessPoolExecutor`: its shared memory, its workers, its tasks."""

    def __new__(
        cls,
        workers: int,
        *,
        break_on_crash: bool = False,
        memory_limit: int | None = None,
        sampling: float = 0.1,
        max_pending: int = 0,
        patience: float | None = None,
        arena: int | None = None,
        copy: bool = False,
    ) -> Self:
        """`patience`: seconds that a worker which leaves before the pool's end may keep its place from tasks that wait.
        `arena`: bytes that large arguments and results may take at a time; `copy`: such arguments are copied by `submit`.

        OSError where the memory can't be had, saying which limit is in the way.
        """

    def equip(self, encoder: Any, launch: Callable[[], None]) -> None:
        """How calls are encoded, and what makes the nursery; once, before the first submission."""

    def link(self) -> Link:
        """What workers get of the pool."""

    def needs_launch(self) -> bool:
        """Whether there is no nursery, and a use for one."""

    def populate(self) -> None:
        """Sends for all the workers there may be, without waiting for tasks or for them."""

    def define(self, entry: bytes) -> int | None:
        """Adds an entry to the library; its number, or None where there is no room."""

    def check_room(self, descriptors: int) -> None:
        """Raises OSError where this process may not open so many descriptors more."""

    def nursery(self, control: int, pid: int, pidfd: int, request: int, needs_fds: bool, extra: list[int]) -> None:
        """Workers are made by this nursery from now on; the descriptors are the pool's."""

    def has_asked(self) -> bool:
        """Whether workers are to be sent for with a request that says in which state they shall start."""

    def request(self) -> int | None:
        """A copy of the request that the nursery was made with, for the caller to close; None without a nursery."""

    def send_asked(self, request: int | None) -> None:
        """Sends for them with this request, which stays the caller's, and with the descriptors 0 to 2 as they are now.

        None: there was no nursery to ask for it.
        """

    def refuse_asked(self, text: str) -> None:
        """Says that they can't be sent for, and why."""

    def submit(
        self,
        options: TaskOptions | None,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Queues a call; its future. RuntimeError after `close`, BrokenProcessPool where the pool is broken."""

    def submit_rest(self, options: TaskOptions | None, fn: Callable[..., Any], /, *args: Any) -> Any:
        """Queues a part of something that was accepted before, whether or not the pool was closed meanwhile.

        To be called in a callback of the pool, or before it is closed.
        """

    def submit_chunk(self, spread: bool, fn: Callable[..., Any], items: Any, /) -> Any:
        """Queues the calls of a function with each item as one task, whose result is a list.

        `spread`: an item is a call's arguments.
        """

    def options(
        self,
        *,
        timeout: float | None = None,
        priority: int = 0,
        retries: int = 0,
        retry_on: Callable[[BaseException], bool] | None = None,
        name: str | None = None,
        gauge: Gauge | None = None,
    ) -> TaskOptions:
        """Options for `submit`; without `retry_on`, which says after which errors, retries are for deaths."""

    def close(self) -> None:
        """Takes no more work; the workers leave when the last task is done."""

    def cancel_pending(self) -> None:
        """Cancels what no worker has."""

    def end(self) -> None:
        """Ends it, as its owner wants: no more tasks, none again, and what no worker has is cancelled."""

    def interrupt(self) -> None:
        """Sends SIGINT to the workers that run something, be it their initializer."""

    def strike(self, number: int) -> None:
        """Sends a signal that ends them to all workers, those included that are being born; after `end`."""

    def break_down(self, text: str) -> None:
        """Fails everything, and ends the workers."""

    def join(self, timeout: float | None = None) -> bool:
        """Waits until the last worker is gone and all callbacks have run, at most `timeout` seconds; whether it is so.

        At once in a callback of this pool.
        """

    def let_caller_go(self) -> int | None:
        """Waits until the thread that makes its calls has nothing to do and is about to end: then the pool's number. None in that
        thread itself."""

    def load(self) -> tuple[int, int]:
        """Tasks that wait, and tasks that workers have."""

    def broken(self) -> str | None:
        """What it is broken by."""

    def broken_by(self) -> bytes | None:
        """What a worker said of that: a pickled exception."""

    def is_inherited(self) -> bool:
        """Whether this process was forked since the pool was made."""

    def is_finished(self) -> bool:
        """Whether the last worker has gone after `close`, and all callbacks have run."""

    def expected(self) -> int:
        """How many workers were sent for and have not come."""

    def roster(self) -> ProcessRoster:
        """The workers, for whoever must not keep the executor alive."""

    def pids(self) -> list[tuple[int, int]]:
        """(seat, pid) of the workers that live."""

    def workers(self) -> list[tuple[int, int, str, str | None, float, int | None, int, float, float]]:
        """(seat, pid, state, task, seconds in that state, resident bytes, tasks, busy seconds, idle seconds) of each."""

    def snapshot(self) -> dict[str, Any]:
        """Everything that is counted; `_stats.process_stats` gives it its classes."""

@final
class ProcessRoster:
    """A pool's workers. Keeps neither the executor nor its pool from ending."""

    def pids(self) -> list[tuple[int, int]]:
        """(seat, pid) of the workers that live."""

    def exit_of(self, pid: int) -> int | str:
        """How a worker ended: its exit code, negative for a signal; "alive" or "unknown" otherwise."""

    def is_finished(self) -> bool:
        """Whether the last worker has gone after `close`, and all callbacks have run."""

@final
class Link:
    """A pool's shared memory, as its workers see it."""

    @staticmethod
    def open(link: int, bell: int) -> Link:
        """Maps it in a process that did not inherit it; the descriptors are closed."""

    def entry(self, number: int) -> bytes:
        """An entry of the library; RuntimeError if there is none."""

@final
class Parcel:
    """The file descriptors of a task, with what else must live as long: closed with the task, or with this object.

    RuntimeError once it has been handed over to its task.
    """

    def __new__(cls) -> Self: ...
    def label(self) -> bytes | None:
        """The 32 bytes by which `fetch_parcel` finds it, in another process. The first call opens the socket that this takes, and
        None says that there can be none; OSError where too many files are open."""

    def add(self, fd: int) -> int:
        """Takes a copy of a descriptor; its place in the parcel. OSError where there can be no more, saying why."""

    def keep(self, object: object) -> None:
        """Keeps an object alive as long."""

def fetch_parcel(label: bytes) -> list[int]:
    """The descriptors of a parcel of another process, which are the caller's to close. OSError where they can't be had."""

@final
class Shared(Generic[_T]):
    """A handle of a shared object, as `forkful.share` makes it. Handles are equal where they mean the same object.

    It is sent like any value, to processes of any kind. In a worker of a process pool it costs a look into a table from the
    second task on. A context manager, which closes it.
    """

    @property
    def value(self) -> _T:
        """The object; the same one for all handles of this process, made when it is first asked for. Arrays in it are read-only.

        ValueError where this handle has been closed, and in a forked worker whose parent, which it has it from, holds it no more.
        """

    @property
    def closed(self) -> bool:
        """Whether this handle has been closed."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the object takes, once for all processes. ValueError where this handle has been closed."""

    def close(self) -> None:
        """Gives this handle up. Arrays that were taken from its value stay valid, and tasks that were given it still have it."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_exc: object) -> None: ...
    def __copy__(self) -> Shared[_T]: ...
    def __deepcopy__(self, memo: object) -> Shared[_T]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __class_getitem__(cls, item: Any) -> Any: ...

@final
class Placed:
    """Sealed memory, whole: an object with a read-only buffer. It stays mapped as long as something looks at it."""

def set_sharing(gives: Callable[[], tuple[Callable[[Any], Any], Callable[[Shared[Any]], Any]]]) -> None:
    """Says what gives, when they are first needed, what reads an object's memory and what reduces a handle for picklers.

    The first call counts.
    """

def memfd_for_sharing() -> int:
    """An empty memfd that can be sealed; the caller's to fill, and to close or hand to `place_shared`."""

def place_shared(fd: int, names: bool) -> Shared[Any]:
    """Seals what was filled, and makes a shared object of it. The descriptor is the engine's from now on.

    names: a pickler has to send names of the main module along with it.
    """

def adopt_shared(token: bytes, fd: int, names: bool) -> Shared[Any]:
    """The shared object with these 16 bytes: the one that is here already, or else of this descriptor, which is the engine's.

    RuntimeError for a descriptor of anything else than sealed memory.
    """

def receive_shared(ticket: bytes, names: bool) -> Shared[Any]:
    """The shared object that a task has named; fetched if it is not here. ValueError if its giver holds it no more."""

def shared_ticket(handle: Shared[Any]) -> bytes | None:
    """What a task names it by; None where this process can't have the socket that this takes."""

def shared_file(handle: Shared[Any]) -> tuple[bytes, int]:
    """Its 16 bytes, and a descriptor of it, which lasts as long as the handle. OSError where somebody has closed that."""

def shared_memory(handle: Shared[Any]) -> Placed:
    """Its memory."""

def offer_shared() -> None:
    """Before a template is forked: all that it inherits can be fetched from this process."""

def disinherit_shared() -> None:
    """In the template: lets go of what its workers can fetch, so that their parent's last hold is the last one."""

def can_push(link: Link, index: int) -> bool:
    """Whether the parent takes descriptors with outcomes. OSError where it has too many files open to begin with that."""

def push_parcel(link: Link, index: int, token: bytes, fds: list[int]) -> None:
    """Hands descriptors over to the parent, for an outcome that names these 16 bytes; they are closed here in any case.

    OSError where they can't be sent.
    """

def arrive(link: Link, index: int) -> None:
    """Says that this process has come up on its seat."""

def work(
    link: Link,
    index: int,
    generation: int,
    worker: Any,
    tasks: int | None = None,
    memory: int | None = None,
    births: bool = True,
) -> None:
    """Works on this seat until the pool lets it go, after `tasks` tasks, or when it is larger than `memory` bytes after one.

    births: numpy's large arrays are born where they can be lent.

    `worker` has the methods of `forkful._worker.Worker`.
    """

def send_log(link: Link, index: int, record: bytes) -> None:
    """Sends a log record to the parent."""

def report_failure(link: Link, index: int, error: bytes) -> None:
    """Tells the parent that this worker can't begin, and why: a pickled exception."""

def set_words(
    from_end: Callable[[dict[str, Any]], Any],
    handle_record: Callable[[bytes], object],
    nursery_is_up: Callable[[], object],
    hire: Callable[[int, CallerPlace], object],
    unpack: Callable[[bytes, bytes, list[int] | None], Any],
) -> None:
    """Says what makes an exception of a task's end, what handles a worker's log record, what was put off until a nursery is up,
    what starts a thread for a pool's calls, and what reads a result with descriptors. The first call counts."""

@final
class CallerPlace:
    """The place of the thread that makes the calls of one pool: callbacks of futures, and handlers of log records."""

    def serve(self) -> None:
        """The thread's life; it ends when there was nothing to call for a while, or when it is let go."""

def call_items(
    fn: Callable[..., Any], items: list[Any], start: int, spread: bool, results: list[Any], budget: int
) -> None:
    """Calls ``fn(item)``, or ``fn(*item)`` if `spread`, for the items from `start` on, and appends the results.

    Stops when `budget` nanoseconds have passed, after one item at least. What a call raises is raised; the number of results says
    where.
    """

def claim_completer() -> int | None:
    """The ticket for `serve`, if the caller, who has just made a pool, has to start the thread that runs it."""

def disclaim_completer() -> None:
    """Called by a caller who had to start it and could not."""

def relieve_completer() -> bool:
    """Lets the completer go if no pool is left; whether the last one that was started is about to end, or has.

    The watcher has ended then, so that a fork finds no thread of ours.
    """

def serve(ticket: int) -> None:
    """The life of the thread that serves pools of processes; ends when there is no pool any more."""

def join_pools(timeout: float | None = None) -> bool:
    """Closes all pools, those of forgotten executors included, and waits for their ends; whether they have.

    `timeout` is in seconds, None for ever.
    """

def end_pools() -> None:
    """`ProcessCrew.end` for all pools."""

def interrupt_pools() -> None:
    """`ProcessCrew.interrupt` for all pools."""

def strike_pools(number: int) -> None:
    """`ProcessCrew.strike` for all pools."""

def pools_are_over() -> None:
    """The interpreter ends, and the pools have: so does `serve`."""

def itself(fn: Callable[..., Any]) -> Callable[..., Any]:
    """What an `Optioned` is on the other side of a pickle: its function."""

def interrupts() -> int:
    """How many SIGINTs this process has received since the first call, while the interpreter had a handler for them."""

def die_with(parent: int) -> bool:
    """Has the kernel kill this process when `parent` ends; whether `parent` is still its parent."""

def watch_parent(pidfd: int) -> None:
    """Kills this process when that of a pidfd ends, however busy the interpreter is; the descriptor is the engine's.

    By a thread, until `unwatch_parent`. OSError where there can be none.
    """

def unwatch_parent() -> None:
    """No more; the thread is gone when it returns."""

# --- locks and events of several processes ---

def arm_crash(spec: str) -> None:
    """For tests: has this process killed at an instruction with a name ("name:3": at its third passage)."""

@final
class CellFile:
    """A descriptor of a file of cells that has come from another process; the object's from now on."""

    def __new__(cls, fd: int) -> Self: ...

@disjoint_base
class ProcessLock:
    """A lock that one process or thread takes and any may give back; one whose process dies is followed."""

    def __new__(cls, place: tuple[CellFile, int] | None = None) -> Self: ...
    def acquire(self, block: object = True, timeout: float | None = None) -> bool:
        """Takes it; whether it was got. What a dead process held is recovered, with a warning."""

    def release(self) -> None:
        """Gives it back, whoever holds it; ValueError if nobody does."""

    def __enter__(self) -> bool: ...
    def __exit__(self, *_args: object) -> None: ...
    def locked(self) -> bool:
        """Whether anybody holds it."""

    @property
    def owner_died(self) -> int | None:
        """The pid of the last holder that died with the lock in its hand; None if none has."""

    def _is_mine(self) -> bool: ...
    def _is_zero(self) -> bool: ...
    def _get_value(self) -> int: ...
    def _count(self) -> int: ...
    def _holder(self) -> str: ...
    def _hand_over(self) -> tuple[int, int]: ...
    def _identity(self) -> tuple[int, int, int]: ...

@disjoint_base
class ProcessRLock:
    """A lock that its thread may take again; one whose process dies is followed."""

    def __new__(cls, place: tuple[CellFile, int] | None = None) -> Self: ...
    def acquire(self, block: object = True, timeout: float | None = None) -> bool:
        """Takes it; whether it was got. What a dead process held is recovered, with a warning."""

    def release(self) -> None:
        """Gives it back; AssertionError unless this thread holds it."""

    def __enter__(self) -> bool: ...
    def __exit__(self, *_args: object) -> None: ...
    def locked(self) -> bool:
        """Whether anybody holds it."""

    @property
    def owner_died(self) -> int | None:
        """The pid of the last holder that died with the lock in its hand; None if none has."""

    def _is_mine(self) -> bool: ...
    def _is_zero(self) -> bool: ...
    def _get_value(self) -> int: ...
    def _count(self) -> int: ...
    def _holder(self) -> str: ...
    def _hand_over(self) -> tuple[int, int]: ...
    def _identity(self) -> tuple[int, int, int]: ...

@disjoint_base
class ProcessSemaphore:
    """Permits that any process takes and gives."""

    def __new__(cls, value: int = 1, most: int = 2147483647, place: tuple[CellFile, int] | None = None) -> Self: ...
    def acquire(self, block: object = True, timeout: float | None = None) -> bool:
        """Takes a permit; whether one was got."""

    def release(self) -> None:
        """Gives one; ValueError if there are as many as there may be."""

    def __enter__(self) -> bool: ...
    def __exit__(self, *_args: object) -> None: ...
    def get_value(self) -> int:
        """The permits there are."""

    @property
    def last_acquired_by(self) -> int | None:
        """The pid of the process that took a permit last, which may have given it back; None if none was taken."""

    @property
    def maxvalue(self) -> int: ...
    def locked(self) -> bool:
        """Whether there is no permit."""

    def _is_zero(self) -> bool: ...
    def _get_value(self) -> int: ...
    def _hand_over(self) -> tuple[int, int]: ...
    def _identity(self) -> tuple[int, int, int]: ...

@disjoint_base
class ProcessEvent:
    """A flag that processes wait for."""

    def __new__(cls, place: tuple[CellFile, int] | None = None) -> Self: ...
    def is_set(self) -> bool: ...
    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is set, or was since the call; whether it was."""

    def _hand_over(self) -> tuple[int, int]: ...
    def _identity(self) -> tuple[int, int, int]: ...

@disjoint_base
class ProcessCondition:
    """The waiters of a condition, and the lock that they give up meanwhile."""

    def __new__(cls, lock: Any, place: tuple[CellFile, int] | None = None) -> Self: ...
    def wait(self, timeout: float | None = None) -> bool:
        """Gives the lock up, waits to be notified and takes the lock again; whether it was notified."""

    def notify(self, n: int = 1) -> None:
        """Notifies those that have waited longest."""

    def notify_all(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *args: object) -> None: ...
    @property
    def _lock(self) -> Any: ...
    @property
    def _native(self) -> bool: ...
    def _waiting(self) -> int: ...
    def _enter(self) -> int: ...
    def _sleep(self, place: int, timeout: float | None) -> bool: ...
    def _is_roused(self, place: int) -> bool: ...
    def _leave(self, place: int, pass_on: bool) -> bool: ...
    def _hand_over(self) -> tuple[int, int]: ...
    def _identity(self) -> tuple[int, int, int]: ...

@disjoint_base
class ProcessBarrier:
    """A place where so many wait for each other."""

    def __new__(cls, parties: int = 1, place: tuple[CellFile, int] | None = None) -> Self: ...
    def wait(self, timeout: float | None = None, action: Callable[[], object] | None = None) -> int:
        """Waits for the others; how many had come before. The last one calls `action` before any of them goes on."""

    def reset(self) -> None: ...
    def abort(self) -> None: ...
    @property
    def parties(self) -> int: ...
    @property
    def n_waiting(self) -> int: ...
    @property
    def broken(self) -> bool: ...
    def _hand_over(self) -> tuple[int, int]: ...
    def _identity(self) -> tuple[int, int, int]: ...

# --- queues between processes ---

@disjoint_base
class SharedQueue:
    """What a queue between processes does in each of them; `forkful.multiprocessing.queues` has the classes made of it."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def _create(self, maxsize: int) -> None:
        """Makes its memory; for at most `maxsize` items, or any number if that is 0."""

    def _attach(self, fd: int, ready: int) -> None:
        """Takes part in one that another process has made; the descriptors stay the caller's."""

    def _filenos(self) -> tuple[int, int]:
        """The descriptor of its memory, and that which can be watched, lent."""

    def _watch(self) -> int:
        """The descriptor that can be read while items wait, kept so from now on; lent."""

    def _poll(self, timeout: float | None = None) -> bool:
        """Whether an item waits, or does so before the timeout."""

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Puts an item; raises what its pickler does, ``queue.Full``, or ValueError after `close`."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Takes an item; ``queue.Empty``, or ValueError after `close`."""

    def qsize(self) -> int:
        """Items that wait."""

    def empty(self) -> bool:
        """Whether none waits."""

    def full(self) -> bool:
        """Whether as many wait as may."""

    def close(self) -> None:
        """Ends its use in this process."""

    @property
    def _closed(self) -> bool: ...
    @property
    def owner_died(self) -> int | None:
        """The process that died last with one of its locks in hand, as far as anybody has noticed."""

    def _task_done(self) -> bool:
        """Counts one item as finished; whether there was one."""

    def _join(self) -> None:
        """Waits until all that was put is counted as finished."""

def serve_queues(pickled: Callable[[Any], Any], warn: Callable[[int], None]) -> None:
    """Says how the items of queues are pickled, and how users are warned that a process has died."""

# --- what threads wait for each other with: forkful.threading, forkful.queue ---

@disjoint_base
class ConditionBase:
    """The compiled part of `forkful.threading.Condition`, over any lock."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __init__(self, lock: Any = None) -> None: ...
    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """The lock's."""

    def release(self, *args: Any, **kwargs: Any) -> None:
        """The lock's."""

    def __enter__(self) -> bool: ...
    def __exit__(self, *args: Any) -> None: ...
    def wait(self, timeout: float | None = None) -> bool:
        """Gives the lock back, waits to be notified and takes it again; False when the time was up first.

        A notification that came at the last moment counts; one for a waiter who was interrupted goes to the next.
        """

    def notify(self, n: int = 1) -> None:
        """Lets at most `n` of the waiters go, those who have waited longest."""

    def notify_all(self) -> None:
        """Lets all of them go."""

    def _is_owned(self) -> bool: ...
    def _release_save(self) -> Any: ...
    def _acquire_restore(self, state: Any) -> None: ...
    def _at_fork_reinit(self) -> None: ...
    @property
    def _lock(self) -> Any: ...
    @property
    def _waiters(self) -> tuple[int, ...]: ...

@disjoint_base
class EventBase:
    """The compiled part of `forkful.threading.Event`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __init__(self, *_args: Any, **_kwargs: Any) -> None: ...
    def is_set(self) -> bool:
        """Whether it is set."""

    def set(self) -> None:
        """Sets it, and lets everybody go who waits."""

    def clear(self) -> None:
        """Clears it; who was let go stays let go."""

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is set; False when the time was up first."""

    def _at_fork_reinit(self) -> None: ...
    @property
    def _flag(self) -> bool: ...

@disjoint_base
class SemaphoreBase:
    """The compiled part of `forkful.threading.Semaphore` and `BoundedSemaphore`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __init__(self, value: int) -> None: ...
    def _bind(self) -> None:
        """From here on there may be no more permits than at the beginning."""

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Takes a permit, waiting for it; whether it has one."""

    def __enter__(self, blocking: bool = True, timeout: float | None = None) -> bool: ...
    def release(self, n: int = 1) -> None:
        """Gives `n` back."""

    @property
    def _value(self) -> int: ...
    @_value.setter
    def _value(self, value: int) -> None: ...
    @property
    def _initial_value(self) -> int: ...
    def _at_fork_reinit(self) -> None: ...

@disjoint_base
class BarrierBase:
    """The compiled part of `forkful.threading.Barrier`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __init__(
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> None: ...
    def wait(self, timeout: float | None = None) -> int:
        """Waits until all have come; each gets a number of its own. BrokenBarrierError when that can't be any more."""

    def reset(self) -> None:
        """As new; who waits gets BrokenBarrierError."""

    def abort(self) -> None:
        """Breaks it, until a reset."""

    @property
    def parties(self) -> int: ...
    @property
    def n_waiting(self) -> int: ...
    @property
    def broken(self) -> bool: ...

@final
class Mutex:
    """A queue's lock: one word. As `threading.Lock`, any thread may release it."""

    def __new__(cls) -> Self: ...
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Takes it; whether it has."""

    def release(self) -> None:
        """Gives it back; RuntimeError if nobody has it."""

    def locked(self) -> bool:
        """Whether somebody has it."""

    def acquire_lock(self, blocking: bool = True, timeout: float = -1) -> bool:
        """`acquire`."""

    def release_lock(self) -> None:
        """`release`."""

    def locked_lock(self) -> bool:
        """`locked`."""

    def __enter__(self) -> bool: ...
    def __exit__(self, *_args: Any) -> None: ...
    def _at_fork_reinit(self) -> None: ...

@disjoint_base
class QueueBase:
    """The compiled part of `forkful.queue.Queue`, `LifoQueue` and `PriorityQueue`; `_order` of the class says which.

    Classes that override `_init`, `_put`, `_get` or `_qsize` have them called, under the mutex. Which do is looked up when an
    instance is made.
    """

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def __init__(self, maxsize: int) -> None: ...
    maxsize: int
    queue: Any
    mutex: Any
    not_empty: Any
    not_full: Any
    all_tasks_done: Any
    unfinished_tasks: int
    is_shutdown: bool
    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Puts an item in. Full when there was no room, or none came in time; ShutDown."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Takes the next item. Empty when there was none, or none came in time; ShutDown."""

    def task_done(self) -> None:
        """Says that what was put once is done; ValueError when nothing is unfinished."""

    def join(self) -> None:
        """Waits until nothing is unfinished."""

    def shutdown(self, immediate: bool = False) -> None:
        """From here on nothing can be put, and nothing got when it is empty; `immediate` empties it."""

    def qsize(self) -> int:
        """How many items are there, for the moment."""

    def empty(self) -> bool:
        """Whether there is none, for the moment."""

    def full(self) -> bool:
        """Whether there is no room, for the moment."""

    def _init(self, _maxsize: int) -> None: ...
    def _put(self, item: Any) -> None: ...
    def _get(self) -> Any: ...
    def _qsize(self) -> int: ...

def set_queue_words(condition: type[ConditionBase], shut_down: type[BaseException]) -> None:
    """Hands down the class of a queue's conditions, and the error of one that was shut down."""

# --- one end of a pipe ---

@disjoint_base
class ConnectionBase:
    """What a connection sends and receives with; `multiprocessing.connection.Connection` is the other base of its class.

    Messages have their length before them, as the standard library's. Nothing is read ahead. Who waits for a message spins for
    20 us before it sleeps; signals interrupt.
    """

    _handle: int | None
    _readable: bool
    _writable: bool
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    @property
    def closed(self) -> bool: ...
    @property
    def readable(self) -> bool: ...
    @property
    def writable(self) -> bool: ...
    def fileno(self) -> int: ...
    def send(self, obj: Any) -> None: ...
    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> None: ...
    def recv(self) -> Any: ...
    def recv_bytes(self, maxlength: int | None = None) -> bytes: ...
    def recv_bytes_into(self, buf: Any, offset: int = 0) -> int: ...
    def poll(self, timeout: float | None = 0.0) -> bool: ...
    def _poll(self, timeout: float | None) -> bool: ...

@final
class GilSampler:
    """A thread of the engine that asks for the interpreter's lock at random moments and writes down what it finds.

    Differs from a profiler in: it sees the lock, not who has it. `forkful._gil` makes shares of what it reads.
    """

    def __new__(cls, interval: float) -> GilSampler:
        """interval: seconds between two asks, on average (the gaps are exponential); 0.00001 to 60."""
    def start(self) -> None:
        """Begins a new run; RuntimeError while one goes on."""
    def stop(self) -> None:
        """Ends the run, if there is one, when the thread is gone."""
    def read(self) -> tuple[float, float, int, int]:
        """(seconds looked at, seconds of them spent waiting, asks, asks that found the lock held), of this or the last run."""
    def waiting(self) -> float:
        """Seconds that the ask which is under way has waited for the lock; 0 if none is."""

@final
class Gauge:
    """What the calls of one function have cost, wherever they ran; given to `options`."""

    def __new__(cls) -> Gauge: ...
    def read(self) -> tuple[int, float, float]:
        """(finished calls, their seconds from beginning to end, their seconds of CPU time)."""

def hold(
    crew: Crew,
    options: TaskOptions | None,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
) -> Any:
    """Accepts a call without queueing it, for whoever decides later where it runs: by `queue_held` or `take_held`."""

def queue_held(crew: Crew, future: Any) -> None:
    """Queues a call that was held; one that has been begun or cancelled meanwhile is passed over by the workers."""

def take_held(crew: Crew, future: Any) -> tuple[Callable[..., Any], Any, Any] | None:
    """Begins a call that was held, for whoever runs it elsewhere and finishes its future: (function, arguments, keywords or
    None).

    None if it has been begun or cancelled meanwhile.
    """

def try_submit(
    crew: ProcessCrew,
    options: TaskOptions | None,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
) -> Any:
    """Queues a call that was accepted before in a pool of processes, and returns its future; or the error, if it can't be
    pickled."""

@final
class Route:
    """How many more calls of a function may go to threads before somebody has to look again; none while it is not decided."""

    def __new__(cls) -> Route: ...
    def open(self, calls: int) -> None:
        """Lets so many calls go to threads."""
    def close(self) -> int:
        """Those that have not gone yet; the next one is somebody's to look at."""
    def left(self) -> int:
        """Those that have not gone yet."""

@final
class RouteTable:
    """The routes of one executor."""

    def __new__(cls) -> RouteTable: ...
    def put(self, address: int, route: Route) -> None:
        """Calls of what lies at this address go by that route."""
    def forget(self, address: int) -> None:
        """What lies at this address is gone."""
    def clear(self) -> None:
        """Nothing goes by any route from now on."""

@disjoint_base
class AutoPool:
    """`submit` for an executor that chooses, without a Python frame in between for functions whose calls belong in threads."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queues a call where it belongs, and returns its future."""
    def _adopt(self, crew: Crew, table: RouteTable) -> None: ...
