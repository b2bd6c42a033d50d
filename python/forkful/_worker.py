"""The Python side of a worker process: its start, how it reads its tasks and how it answers.

Knows: the library's entries, the namespace, the log relay. Does not know: how a worker process came about.

A zygote imports this before its first worker, whose first result somebody waits for: what only some tasks need is imported
where they need it, and by the zygote itself (`AFTERWARDS`) once that worker is on its way.
"""

from __future__ import annotations

import builtins
import faulthandler
import os
import pickle
import resource
import signal
import struct
import sys
import types

from forkful import _blas
from forkful._byname import PICKLING_FAILED, SPAWNING, pickler, quick
from forkful._cargo import LARGE, Cargo, pickled
from forkful._raised import rebuilt
from forkful._received import Received
from forkful._scope import ABSENT, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import ContextVar
    from typing import Any, NoReturn

__all__ = ["AFTERWARDS", "UNSENT", "CannotBegin", "Interrupted", "Worker", "main"]

AFTERWARDS = ("forkful._byvalue", "forkful._context", "traceback", "logging", "concurrent.futures.process")
"""What most workers will have imported sooner or later."""

# The letters of `_encode`, which a worker has no other use for.
KEYWORDS, CALL, PRELUDE, PARCEL = 1, 2, 4, 8

UNSENT = "_forkful_unsent"
"""The attribute of an error that `_name_unsent` has made: the words for the error, and for the result."""

_SAFE = frozenset({type(None), bool, int, float, str, bytes})  # as `_encode` has them
_LONG = frozenset({bytes, str})
_LENGTH = struct.Struct("<I")
_START = struct.Struct("<II")

if TYPE_CHECKING:
    _Context = list[tuple[ContextVar[Any], Any]]
    _Call = tuple[Any, ...]
    _Pickle = bytes | tuple[bytes, bytes] | tuple[bytes, list[Any], list[memoryview]]


current: Worker | None = None
"""This process's, for what runs inside of tasks; None in a process that is no worker."""


class CannotBegin(SystemExit):
    """The initializer raised, or the work could not begin: the worker ends with exit code 1, and the parent has been told."""

    def __init__(self) -> None:
        super().__init__(1)


class Interrupted(SystemExit):
    """Ctrl-C came while there was no task to interrupt: the worker ends, and the parent's traceback is enough."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGINT)


class _Back:
    """What multiprocessing takes for the process that results are pickled for, until one of them has a file descriptor."""

    def __init__(self, seat: tuple[Any, int] | None) -> None:
        self._seat = seat
        self.carrier: Any = None
        """What collects the descriptors of the present result, if it has any."""

    def duplicate_for_child(self, fd: int) -> int:
        if self.carrier is None:
            from forkful._parcel import ForResult

            self.carrier = ForResult(self._seat)
        return self.carrier.duplicate_for_child(fd)  # type: ignore[no-any-return]

    def DupFd(self, place: int) -> Any:
        return self.carrier.DupFd(place)

    def admit(self, semaphore: object) -> None:
        # One that was made here goes with this process, or as soon as it is forgotten: the parent would find nothing.
        kind = type(semaphore).__name__
        raise RuntimeError(f"{kind} objects should only be shared between processes through inheritance")


class Worker:
    """What the engine's loop calls.

    `entry` gives an entry of the library by its number; `unsure` is for `Received`; `seat`, the pool's link and the worker's
    number there, for the file descriptors of results, which can't be sent without it.
    """

    def __init__(
        self, entry: Callable[[int], bytes], unsure: Iterable[str] = (), seat: tuple[Any, int] | None = None
    ) -> None:
        self._entry = entry
        self._back = _Back(seat)
        self._received = Received(unsure)
        self._scanned = 0
        self._functions: dict[int, Any] = {}
        self.names_unsent = False
        """Whether the error of a result that can't be pickled is to say which result that was, in `UNSENT`."""

    def catch_up(self, definitions: int) -> None:
        """Reads the library up to there: applies definitions, and looks names up while they mean what they meant."""
        while self._scanned < definitions:
            number = self._scanned
            entry = self._entry(number)
            self._scanned += 1
            kind = entry[:1]
            if kind == b"D":
                self._received.apply(entry)
            elif kind == b"N":
                self._functions[number] = resolve(vars(sys.modules["__main__"]), str(entry[1:], "utf-8"))

    def function(self, number: int) -> Callable[..., Any]:
        """The function of a library entry."""
        found = self._functions.pop(number, ABSENT)  # once: the engine keeps it
        if found is not ABSENT:
            return found  # type: ignore[no-any-return]
        entry = self._entry(number)
        if entry[:1] == b"F":
            return pickle.loads(memoryview(entry)[1:])  # type: ignore[no-any-return]
        name = str(entry[1:], "utf-8")
        found = resolve(vars(sys.modules["__main__"]), name)
        if found is ABSENT:
            problem = AttributeError(f"__main__ has no {name!r} in this worker")
            raise problem from self._received.failed.get(name.partition(".")[0])
        return found  # type: ignore[no-any-return]

    def load(self, flags: int, payload: bytes) -> _Call:
        """(function or None, args, kwargs or None), and the context as a fourth if one travels."""
        if flags & PARCEL:
            from forkful._parcel import opened

            with opened():
                return self.load(flags & ~PARCEL, payload)
        return self._load(flags, payload, None, ())

    def load_laden(self, flags: int, payload: bytes, stream: memoryview | None, buffers: list[Any]) -> _Call:
        """The same with large buffers. stream: where the pickle lies, if it is not in the payload."""
        if flags & PARCEL:
            from forkful._parcel import opened

            with opened():
                return self._load(flags, payload, stream, buffers)
        return self._load(flags, payload, stream, buffers)

    def _load(self, flags: int, payload: bytes, stream: memoryview | None, buffers: Iterable[Any]) -> _Call:
        view = memoryview(payload)
        context: _Context | None = None
        if flags & PRELUDE:
            (length,) = _LENGTH.unpack_from(view)
            start = _LENGTH.size
            inline, carried = pickle.loads(view[start : start + length])
            view = view[start + length :]
            for definition in inline:
                self._received.apply(definition)
            if carried is not None:
                from forkful import _context

                context = _context.restore(carried)
        if stream is not None:
            view = stream
        loaded = pickle.loads(view, buffers=buffers)
        if flags & CALL:
            fn, args, kwargs = loaded
        elif flags & KEYWORDS:
            fn, (args, kwargs) = None, loaded
        else:
            fn, args, kwargs = None, loaded, None
        return (fn, args, kwargs) if context is None else (fn, args, kwargs, context)

    def call(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None, context: _Context | None
    ) -> Any:
        """Calls in a fresh context with these values; without one as the engine itself would."""
        if context is None:
            return fn(*args, **kwargs) if kwargs else fn(*args)
        from forkful import _context

        return _context.run_with(context, fn, args, kwargs)

    def dump(self, value: Any) -> _Pickle:
        """A result's pickle: by reference, so that classes are the parent's own; by value where it can't have the name.

        With file descriptors in it, which have been sent then, it is (the token of their parcel, the pickle). If it is large,
        (that token or nothing, the pickle in pieces, the buffers that it names).
        """
        if type(value) in _SAFE and (type(value) not in _LONG or len(value) < LARGE):
            return pickle.dumps(value, 5)
        try:
            data, carrier = self._pickled(value)
        except Exception as error:
            if self.names_unsent:
                _name_unsent(error, value)
            raise
        if isinstance(data, Cargo):
            return b"" if carrier is None else carrier.pushed(), data.pieces, data.buffers
        return data if carrier is None else carrier.sent(data)

    def pickled(self, value: Any) -> bytes | None:
        """The pickle, which any reader can read; None if it has descriptors or is large, and so must be the outcome itself."""
        data, carrier = self._pickled(value)
        return data if carrier is None and type(data) is bytes else None

    def _pickled(self, value: Any) -> tuple[bytes | Cargo, Any]:
        """The pickle, and what has its file descriptors, if it has any."""
        # Somebody's `__reduce__` may submit to a pool of its own.
        outer = getattr(SPAWNING, "spawning_popen", None)
        SPAWNING.spawning_popen = back = self._back
        try:
            try:
                data, _ = pickled(pickler, value)
            except PICKLING_FAILED:
                # What can't be sent either way is named by the second attempt.
                from functools import partial

                from forkful._byvalue import ByValue

                data, _ = pickled(partial(ByValue, back=True), value)
        finally:
            SPAWNING.spawning_popen = outer
            carrier, back.carrier = back.carrier, None
        return data, carrier

    def _whole(self, value: Any) -> bytes:
        try:
            return quick(value)
        except PICKLING_FAILED:
            from io import BytesIO

            from forkful._byvalue import ByValue

            file = BytesIO()
            ByValue(file, back=True).dump(value)
            return file.getvalue()

    def dump_exception(self, error: BaseException, alone: bool = False) -> _Pickle:
        """A raised exception's pickle, with the text of its traceback as its cause on the other side; as `dump` has it.

        alone: it is a part of the outcome, with which no file descriptors go.
        """
        import traceback

        self._explain(error)
        _strip(error)
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
        notes = getattr(error, "__notes__", None)
        notes = [note for note in notes if type(note) is str] if isinstance(notes, list) else None
        try:
            data, carrier = self._pickled(error)
            if isinstance(data, Cargo):
                # As a part of the parts below: it is rare, and need not be fast.
                data = self._whole(error)
            if alone and carrier is not None:
                raise TypeError(
                    "it holds file descriptors, which one of many can't bring along: map(..., chunksize=1) can"
                )
            whole = quick(_Raised(data, text, names, _said(error), notes, None))
            return whole if carrier is None else carrier.sent(whole)
        except Exception as why:
            return quick(_Raised(None, text, names, _said(error), notes, (type(why).__name__, _said(why))))

    def rest(self) -> None:
        """Before the worker sleeps: what tasks printed is to be seen now, not when the worker ends."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass  # none, closed, or nobody reads it any more

    def leave_as_child(self, error: BaseException | None) -> NoReturn:
        """The end of a process that a task has forked and that has come back from the task: as if the program ended there."""
        code = 0
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            if code and not isinstance(error.code, int):
                print(error.code, file=sys.stderr)
        elif error is not None:
            code = 1
            _strip(error)
            sys.excepthook(type(error), error, error.__traceback__)
        self.rest()
        os._exit(code & 0xFF)

    def _explain(self, error: BaseException) -> None:
        """A name is missing whose definition failed to load: that failure is the cause."""
        name = getattr(error, "name", None)
        if isinstance(error, NameError) and error.__cause__ is None and name in self._received.failed:
            error.__cause__ = self._received.failed[name]


class _Raised:
    """Pickles as what `_raised.rebuilt` makes of its parts, in the parent."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return rebuilt, self.parts


def _strip(error: BaseException) -> None:
    """Leaves out the frames of this package that lead to the task."""
    others = (sys.modules.get(name) for name in ("forkful._context", "forkful._items", "forkful._measured"))
    ours = {__file__, *(getattr(module, "__file__", __file__) for module in others)}
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in ours and trace.tb_next is not None:
        trace = trace.tb_next
    error.__traceback__ = trace


def _name_unsent(error: Exception, value: Any) -> None:
    """Has the error take along what it is about, in words: the pool's process can't see the result."""
    try:
        vars(error)[UNSENT] = repr(error), repr(value)
    except Exception:
        pass  # a result without a repr, or an error without attributes, goes as it is


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "<its str() failed>"


def main(index: int, generation: int, request: dict[str, Any], link_fd: int, bell_fd: int, dump_fd: int) -> None:
    """A worker's life, from its start to its orderly end."""
    try:
        engine, link, worker, finalizer = _start(index, request, link_fd, bell_fd, dump_fd)
    except KeyboardInterrupt:
        raise Interrupted from None
    try:
        engine.work(
            link,
            index,
            generation,
            worker,
            tasks=request.get("max_tasks"),
            memory=request.get("max_memory"),
            births=request.get("births", True),
        )
    except KeyboardInterrupt:
        # Between two tasks: what a task raises is its outcome.
        raise Interrupted from None
    except (TypeError, ValueError, OverflowError, ImportError) as error:
        # Not of a task: it could not begin to work, as no worker of this pool can. Garbage in the shared memory, a RuntimeError,
        # ends this one alone.
        engine.report_failure(link, index, Worker(link.entry).dump_exception(error))
        raise CannotBegin from None
    finally:
        if finalizer is not None:
            finalizer()
        # What is left to do is not the user's, and needs no traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _start(index: int, request: dict[str, Any], link_fd: int, bell_fd: int, dump_fd: int) -> tuple[Any, ...]:
    """All that comes before the first task, the initializer included."""
    _limit_threads(request)
    from forkful import _engine, _hooks  # noqa: F401

    engine: Any = _engine
    if dump_fd >= 0:
        dump_fd = _out_of_reach(dump_fd)
        faulthandler.enable(dump_fd)
        faulthandler.register(signal.SIGRTMIN + 5, dump_fd, chain=False)
    if request.get("mode") == "by-value":
        _fresh_main()
    engine.set_sharing(_sharing)
    link = request.get("link")
    if link is None:
        link = engine.Link.open(link_fd, bell_fd)
    engine.arrive(link, index)
    global current
    worker = current = Worker(link.entry, request.get("unsure", ()), (link, index))
    worker.names_unsent = request.get("names_unsent", False)
    if request.get("relay_logs"):
        from forkful import _relay

        _relay.install(lambda data: engine.send_log(link, index, data), request.get("log_levels", {}))
    interrupts = engine.interrupts()
    try:
        return engine, link, worker, _begin(worker, request)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and engine.interrupts() > interrupts:
            raise  # Ctrl-C, and not the initializer's own
        import logging

        logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
        # Without what it may hold of descriptors: the pool breaks with it, for all tasks.
        engine.report_failure(link, index, Worker(link.entry).dump_exception(error))
        raise CannotBegin from None


def _sharing() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """What the engine asks for when a task has brought the first shared object."""
    from forkful import _share

    return _share.read, _share.reduced


def _out_of_reach(fd: int) -> int:
    """The same under a high number: once a task has closed all its files, the numbers from 3 on are its next files'."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    top = min(limit, 1024) if limit > 0 else 1024  # no higher, as the kernel keeps a table up to there
    for high in range(top - 1, fd, -1):
        try:
            os.fstat(high)
        except OSError:
            os.dup2(fd, high, inheritable=False)
            os.close(fd)
            return high
    return fd


def _begin(worker: Worker, request: dict[str, Any]) -> Callable[[], object] | None:
    """Runs the initializer; returns the finalizer."""
    start = request.get("start")
    if start is not None:
        definitions, flags = _START.unpack_from(start)
        worker.catch_up(definitions)
        (initializer, finalizer), initargs, _ = worker.load(flags, start[_START.size :])
    else:
        initializer, initargs = request.get("initializer"), request.get("initargs", ())
        finalizer = request.get("finalizer")
    if initializer is not None:
        initializer(*initargs)
    return finalizer  # type: ignore[no-any-return]


def _limit_threads(request: dict[str, Any]) -> None:
    """Before the initializer: what it and the tasks load reads the environment, what is loaded by now is told."""
    threads: int | None = request.get("threads")
    named: bool = request.get("threads_named", True)
    if threads is None:
        # Left alone; but a zygote has loaded them under one thread, so that it may fork.
        birth = request.get("environment", {}).get("birth", {})
        if birth.get("method") == "zygote" and _blas.is_loaded():
            _blas.limit(_blas.allowed(len(os.sched_getaffinity(0)), os.environ), warn=False)
        return
    if named:
        os.environ.update(dict.fromkeys(_blas.VARIABLES, str(threads)))
    else:
        threads = _blas.allowed(threads, os.environ)
        for name in _blas.VARIABLES:
            os.environ.setdefault(name, str(threads))
    if _blas.is_loaded():
        _blas.limit(threads, named)


def _fresh_main() -> None:
    """A main module of nothing, which definitions fill, unless the start has made one."""
    main = sys.modules.get("__main__")
    if main is None or any(not name.startswith("__") or name == "__file__" for name in vars(main)):
        main = types.ModuleType("__main__")
        main.__dict__["__builtins__"] = builtins
        sys.modules["__main__"] = main
    sys.modules["__mp_main__"] = main
