"""Starts a program inside this interpreter as python's own command line would have started it.

Differs from CPython in:
- Below the program's first frame lie a few of ours, so `sys._getframe` and `inspect.stack` look deeper. Tracebacks of
  uncaught exceptions don't show them.
- `sys.orig_argv` says how this interpreter was really started.
- What forkful has imported of the standard library is there already, so the program's own file of such a name is not.
- A terminal on standard input is read to its end and then run; it does not become a prompt.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import io
import linecache
import os
import pkgutil
import runpy
import sys
import textwrap
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType, TracebackType
    from typing import Any, NoReturn


def script(path: str, arguments: Sequence[str]) -> int:
    """Run a file, a directory or zip file that has a `__main__.py`, or standard input for `-`."""
    if path == "-":
        return _standard_input(arguments)
    sys.argv[:] = [path, *arguments]
    # As python does since 3.9: made absolute, not normalised; sys.argv keeps what was typed.
    full = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(full) is not None:
        # Goes in even where the interpreter was told to keep the script's directory out.
        _set_path0(full, also_when_safe=True)
        _new_main(importlib.machinery.BuiltinImporter)
        return _run(lambda: _run_as_main("__main__", alter_argv=False))
    try:
        with io.open_code(full) as file:
            source = file.read()
    except OSError as error:
        print(
            f"{sys.orig_argv[0]}: can't open file {full!r}: [Errno {error.errno}] {error.strerror}",
            file=sys.stderr,
        )
        return 2
    _set_path0(_directory_of(full))
    if full.endswith(".pyc"):
        bare = importlib.machinery.SourcelessFileLoader("__main__", full)
        main = _new_main(bare, full)
        return _run(lambda: exec(bare.get_code("__main__"), main))  # type: ignore[arg-type]
    main = _new_main(importlib.machinery.SourceFileLoader("__main__", full), full)
    return _run(lambda: exec(_compile(source, full), main))


def module(name: str, arguments: Sequence[str]) -> int:
    """Run a module, found on `sys.path`, as `python -m` does."""
    # runpy puts the module's file there once it has found it; until then python says this.
    sys.argv[:] = ["-m", *arguments]
    _set_path0(os.getcwd())
    _new_main(importlib.machinery.BuiltinImporter)
    return _run(lambda: _run_as_main(name))


def code(source: str, arguments: Sequence[str]) -> int:
    """Run a program given as text, as `python -c` does."""
    sys.argv[:] = ["-c", *arguments]
    _set_path0("")
    if sys.version_info >= (3, 14):
        source = textwrap.dedent(source)
    main = _new_main(importlib.machinery.BuiltinImporter)

    def start() -> None:
        compiled = _compile(source, "<string>")
        _show_lines_of(compiled, source)
        exec(compiled, main)

    return _run(start)


def _standard_input(arguments: Sequence[str]) -> int:
    sys.argv[:] = ["-", *arguments]
    _set_path0("")
    source = sys.stdin.buffer.read()
    main = _new_main(importlib.machinery.BuiltinImporter, "<stdin>")
    return _run(lambda: exec(_compile(source, "<stdin>"), main))


def _compile(source: str | bytes, filename: str) -> CodeType:
    # dont_inherit: this file's __future__ imports are not the program's.
    return compile(source, filename, "exec", dont_inherit=True)


def _new_main(loader: object, file: str | None = None) -> dict[str, Any]:
    """Give the program a `__main__` module of its own, with what python puts there, and return its namespace."""
    fresh = ModuleType("__main__")
    names = vars(fresh)
    names["__loader__"] = loader
    # Up to 3.13 the interpreter's own __main__ is born with one; whether this one does, ours can tell.
    if "__annotations__" in vars(sys.modules["__main__"]):
        names["__annotations__"] = {}
    names["__builtins__"] = builtins
    if file is not None:
        names["__file__"] = file
        names["__cached__"] = None
    sys.modules["__main__"] = fresh
    if "__mp_main__" in sys.modules:
        # So multiprocessing calls the main module that it found when it was imported.
        sys.modules["__mp_main__"] = fresh
    return names


def _set_path0(entry: str, *, also_when_safe: bool = False) -> None:
    """Put `entry` where the interpreter has put the directory that it found our own start in."""
    safe = bool(sys.flags.isolated)
    if sys.version_info >= (3, 11):
        safe = sys.flags.safe_path
    if not safe:
        sys.path[0] = entry
    elif also_when_safe:
        sys.path.insert(0, entry)


def _directory_of(path: str) -> str:
    try:
        # Links are followed, so that a script finds its neighbours from wherever it is linked.
        path = os.path.realpath(path, strict=True)
    except OSError:
        pass  # a pipe under /dev/fd
    return os.path.dirname(path)


def _run_as_main(name: str, *, alter_argv: bool = True) -> None:
    # The function that the interpreter itself calls, by this name, for -m, directories and zip files. The public
    # ones, run_module and run_path, run the program in a temporary module, whose classes cannot be pickled.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _show_lines_of(compiled: CodeType, source: str) -> None:
    """Let tracebacks quote the lines of a program given as text, where python's own do (3.13 and later)."""
    if sys.version_info >= (3, 13):
        register: Callable[[CodeType, str, str], None] | None = getattr(linecache, "_register_code", None)
        if register is not None and hasattr(linecache, "_code_key"):
            register(compiled, source, "<string>")
        else:
            lines = [line + "\n" for line in source.splitlines()]
            linecache.cache["<string>"] = (len(source), None, lines, "<string>")


def _run(start: Callable[[], object]) -> int:
    """Run the program and end it as the interpreter would; SystemExit is the interpreter's own affair."""
    error = _error_of(start)
    if error is None:
        return 0
    # Out here no exception is being handled, so the hook sees the state that it would see under python.
    error.__traceback__ = _without_us(error.__traceback__)
    _report(error)
    if isinstance(error, KeyboardInterrupt):
        _end_by_interrupt(error)
    return 1


def _error_of(start: Callable[[], object]) -> BaseException | None:
    try:
        start()
    except SystemExit:
        raise
    except BaseException as error:
        return error
    return None


def _without_us(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return traceback


def _report(error: BaseException) -> None:
    """Show an uncaught exception as the interpreter does: through `sys.excepthook`, whoever has set it."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        print("sys.excepthook is missing", file=sys.stderr)
        _show(error)
        return
    failure = _error_of(lambda: hook(type(error), error, error.__traceback__))
    if failure is not None:
        failure.__traceback__ = _without_us(failure.__traceback__)
        print("Error in sys.excepthook:", file=sys.stderr)
        _show(failure)
        print("\nOriginal exception was:", file=sys.stderr)
        _show(error)


def _show(error: BaseException) -> None:
    sys.__excepthook__(type(error), error, error.__traceback__)


def _end_by_interrupt(error: KeyboardInterrupt) -> NoReturn:
    """End as python does after an uncaught KeyboardInterrupt: clean up, then die of SIGINT, so that a shell sees it.

    Only the interpreter can do so after its clean-up, and it does when the exception reaches it; it has been shown.
    """
    hook = sys.excepthook

    def already_shown(*_: object) -> None:
        sys.excepthook = hook

    sys.excepthook = already_shown
    raise error
