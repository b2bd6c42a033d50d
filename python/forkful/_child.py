"""What a newborn worker does to become a process of its own.

Knows: multiprocessing's idea of a process, and what the parent sent along. Does not know: who forked it, and what a task is.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import io
import os
import pickle
import re
import resource
import signal
import struct
import sys
import threading
import time
import warnings
from multiprocessing import context, process, resource_tracker, spawn, util
from types import FunctionType, ModuleType

TYPE_CHECKING = False  # a zygote's first worker waits for these imports: no more than it needs
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, NoReturn

PARTS = struct.Struct("<QQ")
"""What a request begins with: the lengths of its two pickles, the environment's and the caller's dict."""

_PR_SET_PDEATHSIG = 1

_PROCESSES: dict[str, type[process.BaseProcess]] = {
    "fork": context.ForkProcess,
    "zygote": context.ForkServerProcess,
    "spawn": context.SpawnProcess,
}

_never_freed: list[Any] = []

# From 3.13 on the standard library's children run their exit functions, its own clean-up as one of them;
# before, `_bootstrap` does the clean-up and nothing else is run.
_RUNS_EXIT_FUNCTIONS = sys.version_info >= (3, 13)


class Birth:
    """Who a worker is: plain values that the parent knows."""

    FIELDS = ("method", "name", "parent_pid", "parent_name", "identity")
    __slots__ = FIELDS

    def __init__(self, method: str, name: str, parent_pid: int, parent_name: str, identity: tuple[int, ...]) -> None:
        self.method = method
        self.name = name
        self.parent_pid = parent_pid
        self.parent_name = parent_name
        self.identity = identity


class Berth:
    """A worker's place in the pool, and the descriptors that came with it; -1 stands for none."""

    __slots__ = ("bell", "dump", "generation", "index", "link")

    def __init__(self, index: int, generation: int, dump: int, link: int = -1, bell: int = -1) -> None:
        self.index = index
        self.generation = generation
        self.dump = dump
        self.link = link
        self.bell = bell


def name_of(method: str) -> str:
    """What the standard library calls such processes."""
    return _PROCESSES[method].__name__


@functools.cache
def die_with() -> Callable[[int], bool]:
    """What has the kernel kill this process when its parent goes; the call is False if that has gone already.

    Only for children of a single-threaded parent: the kernel watches the thread that forked, not the process.
    A nursery asks for it before its first fork, so that its workers need not import anything.
    """
    try:
        engine: Any = importlib.import_module("forkful._engine")
        ready: Callable[[int], bool] = engine.die_with
        return ready
    except (ImportError, AttributeError):
        pass
    import ctypes

    # PyDLL keeps the interpreter's lock, which nobody else wants here.
    prctl: Any = ctypes.PyDLL(None).prctl

    def armed(parent: int) -> bool:
        return prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0 and os.getppid() == parent

    return armed


def forget_parent() -> None:
    """Drop what a forked child must not run or signal on its parent's behalf."""
    signal.set_wakeup_fd(-1)
    atexit._clear()
    util._finalizer_registry.clear()  # type: ignore[attr-defined]
    # Without it an RLock that the parent holds at this moment could be acquired here: no exclusion.
    util._run_after_forkers()  # type: ignore[attr-defined]
    # A thread of an executor's may have forked this one; it would join itself in the end.
    getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", {}).clear()


def become_worker(
    run: Callable[..., None],
    request: dict[str, Any],
    birth: Birth,
    berth: Berth,
    parent: int,
    *,
    interrupt: Any,
    fresh: bool = False,
) -> NoReturn:
    """Run the worker as multiprocessing runs a process, and end.

    `parent` is a pidfd of the pool's process; `fresh` says that this interpreter was exec'ed for this one worker. Ctrl-C is
    ignored so far, as it would end the start with a traceback of its own; `interrupt` is its handler from `run` on.
    """

    def begin(*arguments: Any) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, interrupt)
        run(*arguments)

    code = 1
    try:
        signal.set_wakeup_fd(-1)
        if not fresh:
            # `_bootstrap` does the rest of what `forget_parent` does, once more than the template did.
            atexit._clear()
            if _RUNS_EXIT_FUNCTIONS:
                atexit.register(util._exit_function)  # type: ignore[attr-defined]
        arguments = (berth.index, berth.generation, request, berth.link, berth.bell, berth.dump)
        kind = _PROCESSES[birth.method]
        # Typed as Any: the names below are those that `BaseProcess.__init__` sets for a child of *this* process.
        worker: Any = kind(target=begin, args=arguments, name=f"{birth.name}-{berth.index + 1}")
        worker._identity = (*birth.identity, berth.index + 1)
        worker._parent_pid, worker._parent_name = birth.parent_pid, birth.parent_name
        # A daemon may have no children, and tasks may want some.
        worker._config.pop("daemon", None)
        code = worker._bootstrap(parent_sentinel=parent)
    except BaseException:
        # What `_bootstrap` let through: standard streams that cannot be flushed, mostly.
        complain()
    finally:
        leave(code, fresh or _RUNS_EXIT_FUNCTIONS)


def become_process(
    environment: dict[str, Any], body: memoryview, berth: Berth, extras: Sequence[int], parent: int, *, fresh: bool
) -> NoReturn:
    """Run a process object of multiprocessing's as it came, and end."""
    code = 1
    try:
        # They only stand in for what a pool's worker has.
        for fd in {berth.dump, berth.link, berth.bell}:
            os.close(fd)
        interrupt = settle(environment, extras)
        signal.set_wakeup_fd(-1)
        if not fresh:
            atexit._clear()
            if _RUNS_EXIT_FUNCTIONS:
                atexit.register(util._exit_function)  # type: ignore[attr-defined]
        current: Any = process.current_process()
        # What counts its users does not count this one, which its parent has counted.
        current._inheriting = True
        try:
            loaded: Any = pickle.loads(body)
        finally:
            del current._inheriting
        body.release()
        signal.signal(signal.SIGINT, interrupt)
        code = loaded._bootstrap(parent_sentinel=parent)
    except BaseException:
        complain()
    finally:
        leave(code, fresh or _RUNS_EXIT_FUNCTIONS)


def leave(code: int, exit_functions: bool) -> NoReturn:
    """End as a forked child ends: exit functions where the standard library runs them, never the parent's."""
    try:
        if exit_functions:
            atexit._run_exitfuncs()
        util._flush_std_streams()  # type: ignore[attr-defined]
    except BaseException:
        complain()
        code = code or 1
    finally:
        os._exit(code & 0xFF)


def complain() -> None:
    """Put the exception on stderr, if there is one that still works."""
    try:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    except BaseException:
        pass


# --- what a fork must shed ---


def put_aside_handlers() -> dict[int, Any]:
    """Take the parent's signal handlers off the template; returns what its workers shall have."""
    signal.set_wakeup_fd(-1)
    kept: dict[int, Any] = {}
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        # What Python code is to handle in the parent and in the workers is nothing to the template: it goes on.
        if callable(handler) and not isinstance(handler, signal.Handlers):
            signal.signal(number, signal.SIG_IGN)
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            kept[number] = default if _is_asyncios(handler) else handler
    if signal.SIGINT not in kept:
        kept[signal.SIGINT] = signal.getsignal(signal.SIGINT) or signal.SIG_DFL
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The nursery waits for its children by hand; ignored, they would be reaped by the kernel and their status lost.
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        kept.setdefault(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return kept


def _is_asyncios(handler: Any) -> bool:
    """Whether it acts on the *parent's* loop: `asyncio.Runner`'s for Ctrl-C, or the one of `add_signal_handler`."""
    function = getattr(handler, "func", handler)
    function = getattr(function, "__func__", function)
    return isinstance(function, FunctionType) and function.__module__.startswith("asyncio.")


def forget_half_imports() -> None:
    """Drop the import locks of threads that are not here, and the modules that they were in the middle of."""
    _bootstrap: Any = importlib._bootstrap
    me = threading.get_ident()
    for name, reference in list(_bootstrap._module_locks.items()):
        lock = reference()
        owner = getattr(lock, "owner", None)
        if owner is None or owner == me:
            continue
        _bootstrap._module_locks.pop(name, None)
        module = sys.modules.get(name)
        # Only what is still being made: a lock is also held for a moment after the end.
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            sys.modules.pop(name, None)
    # 3.13's cannot be iterated over.
    _bootstrap._blocking_on.clear()


def replace_streams(handlers: Iterable[Any]) -> None:
    """Give logging handlers that another thread may have been writing to at the fork a stream without its lock.

    What was in the old stream's buffer is the parent's to write.
    """
    standard = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)  # those the interpreter repairs
    for handler in handlers:
        old = getattr(handler, "stream", None)
        buffer = getattr(old, "buffer", None)
        if (
            type(old) is not io.TextIOWrapper
            or old in standard
            or not isinstance(buffer, io.BufferedWriter | io.BufferedRandom)
        ):
            continue
        try:
            # None of these looks takes the lock.
            raw: Any = buffer.raw
            file = io.FileIO(raw.fileno(), "a" if "a" in raw.mode else "w", closefd=False)
            handler.stream = io.TextIOWrapper(
                io.BufferedWriter(file), old.encoding, old.errors, line_buffering=old.line_buffering
            )
        except (OSError, ValueError, AttributeError):
            continue
        # Its destructor would flush it, and so wait for the lock.
        _never_freed.append(old)


# --- from a request: workers that did not inherit the pool ---


def split(request: int) -> tuple[dict[str, Any], memoryview]:
    """The environment, and the pickle of the caller's dict, which needs the environment's modules."""
    size = os.fstat(request).st_size
    data = b""
    while len(data) < size:
        # The descriptor's offset is shared by all workers, hence pread.
        more = os.pread(request, size - len(data), len(data))
        if not more:
            break
        data += more
    if len(data) < PARTS.size:
        raise EOFError("the worker's request is empty")
    first, second = PARTS.unpack_from(data)
    if PARTS.size + first + second != len(data):
        raise EOFError("the worker's request is cut short")
    view = memoryview(data)[PARTS.size :]
    return pickle.loads(view[:first]), view[first:]


def from_request(
    request: int, berth: Berth, stdio: Sequence[int], extras: Sequence[int], parent: int, *, fresh: bool = False
) -> NoReturn:
    """Take the parent's state as it was sent, load the request, and become its worker."""
    try:
        redirect(stdio)
        environment, body = split(request)
        os.close(request)
        if environment.get("bears") == "process":
            become_process(environment, body, berth, extras, parent, fresh=fresh)
        interrupt = settle(environment, extras)
        content: dict[str, Any] = pickle.loads(body)
        content["environment"] = environment
        module, _, name = environment["run"].partition(":")
        run: Any = sys.modules.get(module) or importlib.import_module(module)
        for part in name.split("."):
            run = getattr(run, part)
        birth = Birth(**environment["birth"])
    except BaseException as error:
        if not isinstance(error, SystemExit):
            complain()
        os._exit(1)
    become_worker(run, content, birth, berth, parent, interrupt=interrupt, fresh=fresh)


def redirect(stdio: Sequence[int]) -> None:
    """Make the parent's descriptors 0, 1 and 2 this process's own; /dev/null for those it does not have."""
    util._flush_std_streams()  # type: ignore[attr-defined]
    for target in range(3):
        source = stdio[target] if target < len(stdio) else os.open(os.devnull, os.O_RDWR)
        if source == target:
            os.set_inheritable(target, True)
            continue
        os.dup2(source, target)
        os.close(source)
    for target, name in ((1, "stdout"), (2, "stderr")):
        stream: Any = getattr(sys, name)
        if stream is None:
            # This interpreter was started without the descriptor, so it made no object for it.
            made = open(target, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
            setattr(sys, name, made)
        elif target == 1 and hasattr(stream, "reconfigure"):
            # The zygote's stdout may have been a pipe where the parent's is a terminal by now, or the other way round.
            stream.reconfigure(line_buffering=os.isatty(1))


# --- the state that travels ---


def state() -> dict[str, Any]:
    """In the parent: all that a fork would have inherited and that can travel; `settle` is its other end."""
    return {
        "environ": dict(os.environb),
        "umask": _umask(),
        "switch_interval": sys.getswitchinterval(),
        "recursion_limit": sys.getrecursionlimit(),
        "affinity": os.sched_getaffinity(0),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "limits": _limits(),
        "interrupt": "ignore" if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else "default",
        "signal_mask": {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())},
        "warnings": list(_warning_filters()),
    }


def _umask() -> int:
    # os.umask() can only be read by setting it, which other threads' new files would notice.
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022


def _limits() -> dict[int, tuple[int, int]]:
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {number: resource.getrlimit(number) for number in {getattr(resource, name) for name in names}}


def _warning_filters() -> Iterator[tuple[str, str, tuple[str, str], str, int]]:
    filters: list[Any] = list(warnings.filters)
    for action, message, category, module, line in filters:
        # A plain string, from the interpreter's own defaults, must match as a whole.
        texts = (
            "" if text is None else text.pattern if isinstance(text, re.Pattern) else rf"{re.escape(text)}\Z"
            for text in (message, module)
        )
        yield action, next(texts), (category.__module__, category.__qualname__), next(texts), line


def settle(environment: dict[str, Any], extras: Sequence[int]) -> Any:
    """Put on the state of the parent: all that a fork would have inherited and that can travel.

    Returns the handler for Ctrl-C, which is ignored until the worker is ready for it.
    """
    tracker, *inherited = extras
    # One resource tracker for the whole family. A second one would unlink shared memory when this worker ends.
    resource_tracker._resource_tracker._fd = tracker  # type: ignore[attr-defined]
    if inherited:
        from multiprocessing import forkserver

        forkserver._forkserver._inherited_fds = inherited  # type: ignore[attr-defined]
    _settle_environ(environment["environ"])
    os.umask(environment["umask"])
    sys.setswitchinterval(environment["switch_interval"])
    _try(sys.setrecursionlimit, environment["recursion_limit"])
    _try(os.sched_setaffinity, 0, environment["affinity"])
    _try(os.setpriority, os.PRIO_PROCESS, 0, environment["nice"])
    ignored = environment["interrupt"] == "ignore"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, limits in environment["limits"].items():
        _try(resource.setrlimit, number, limits)
    preparation = dict(environment["preparation"])
    if environment["main"] == "by-value":
        preparation.pop("init_main_from_name", None)
        preparation.pop("init_main_from_path", None)
        empty_main()
    import_main(preparation)
    _settle_warnings(environment["warnings"])
    # Last, so that a signal that waits is met by a worker that is ready for it.
    signal.pthread_sigmask(signal.SIG_SETMASK, environment["signal_mask"])
    return signal.SIG_IGN if ignored else signal.default_int_handler


def import_main(preparation: dict[str, Any]) -> None:
    """multiprocessing's own preparation; it runs the main module as `__mp_main__`, unless that is there already."""
    current: Any = process.current_process()
    # With this mark an unguarded script that starts processes is told so, instead of starting more and more.
    current._inheriting = True
    try:
        spawn.prepare(preparation)
    finally:
        del current._inheriting


def empty_main() -> None:
    """Give by-value functions a `__main__` of their own, without the names of the bootstrap."""
    current = sys.modules["__main__"]
    if getattr(current, "__forkful_empty__", False):
        return
    # As multiprocessing does: whoever still runs in the old module keeps its names.
    spawn.old_main_modules.append(current)
    fresh: Any = ModuleType("__main__")
    fresh.__builtins__ = sys.modules["builtins"]
    fresh.__forkful_empty__ = True
    sys.modules["__main__"] = fresh


def _settle_environ(wanted: dict[bytes, bytes]) -> None:
    for name in set(os.environb) - set(wanted):
        del os.environb[name]
    for name, value in wanted.items():
        if os.environb.get(name) != value:
            os.environb[name] = value
    time.tzset()


def _settle_warnings(filters: list[tuple[str, str, tuple[str, str], str, int]]) -> None:
    if filters == list(_warning_filters()):
        return  # compiling them anew is a millisecond of a start
    warnings.resetwarnings()
    for action, message, (module, name), place, line in filters:
        try:
            category: Any = sys.modules.get(module) or importlib.import_module(module)
            for part in name.split("."):
                category = getattr(category, part)
            warnings.filterwarnings(action, message, category, place, line, append=True)  # type: ignore[arg-type]
        except (ImportError, AttributeError, AssertionError, TypeError, re.error):
            continue  # a category that only the parent has warns of nothing here


def _try(function: Callable[..., object], *arguments: Any) -> None:
    """A limit that this process may not set is left as it is: a worker with another niceness is still a worker."""
    try:
        function(*arguments)
    except (OSError, ValueError, RecursionError):
        pass


def threads_here() -> int:
    """How many threads this process has, those that Python never saw included."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()
