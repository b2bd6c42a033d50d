"""Finds the function that `module:function` or `file.py:function` names.

Knows: the import system. Does not know: what the function is wanted for.
"""

from __future__ import annotations

import ast
import atexit
import difflib
import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

__all__ = ["STAND_IN", "Target", "TargetError", "TargetRaised", "find"]


T = TypeVar("T")
STAND_IN = "forkful-target-"
"""How folders of modules begin that stand in for files whose names are no module's."""


class TargetError(ValueError):
    """Nothing that can be called has this name; the text says what to write instead."""


class TargetRaised(Exception):
    """The target's module raised while it was imported; `__cause__` is what it raised."""


@dataclass(frozen=True)
class Target:
    """A function, and the module that it was found in."""

    function: Callable[..., Any]
    module: ModuleType
    name: str


def find(text: str) -> Target:
    """Import what stands before the colon, and take what stands behind it, dots and all.

    As with ``python -m``, modules are looked for in the current directory first. A file is imported under its own name, with its
    folder importable, as when it is run, but not as `__main__`.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise TargetError(
            f"{text!r} must be module:function or file.py:function, such as "
            f"{_functions_of(text.rstrip(':')) or 'package.module:parse or script.py:parse'}"
        )
    is_file = place.endswith(".py") or os.sep in place
    module = _file(place) if is_file else _module(place, name)
    return Target(_attribute(module, place, name), module, name)


def _functions_of(place: str) -> str:
    """The functions of a file that was named without one, with its ending or without it, as targets; it is read and not run."""
    if place and not place.endswith(".py"):
        place = f"{place}.py"
    try:
        tree = ast.parse(Path(place).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    return " or ".join(f"{place}:{name}" for name in names[:3])


def _module(place: str, name: str) -> ModuleType:
    _importable_from(os.getcwd())
    if not all(part.isidentifier() for part in place.split(".")):
        raise TargetError(f"{place!r} is no module's name; a file's ends in .py: {place}.py:{name}")
    try:
        return _imported(place)
    except TargetRaised as raised:
        missing = raised.__cause__
        if isinstance(missing, ModuleNotFoundError) and missing.name and f"{place}.".startswith(f"{missing.name}."):
            raise TargetError(
                f"there is no module named {missing.name!r} here or on sys.path; a file is named with its .py: file.py:{name}"
            ) from None
        raise


def _file(place: str) -> ModuleType:
    path = Path(place).absolute()
    if not path.is_file():
        raise TargetError(f"there is no file {place!r}")
    if path.suffix != ".py":
        raise TargetError(f"{place!r} is not a Python file, whose name ends in .py")
    # A module of a package is imported as one, or its relative imports would fail.
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    if parts[-1] == "__init__":
        parts.pop()
    _importable_from(str(folder))
    name = ".".join(parts)
    if all(part.isidentifier() for part in parts) and _leads_to(name, path):
        return _imported(name)
    return _loaded(path)


def _importable_from(folder: str) -> None:
    if not sys.path or sys.path[0] != folder:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()


def _leads_to(name: str, path: Path) -> bool:
    """Whether an import of `name` would load this file, and not the module of that name that is there already."""
    known = sys.modules.get(name)
    if known is not None:
        return _same(getattr(known, "__file__", None), path)
    try:
        spec = importlib.util.find_spec(name)
    except Exception:
        # A package on the way raised: importing it properly will say so.
        return True
    return spec is not None and _same(spec.origin, path)


def _same(file: str | None, path: Path) -> bool:
    try:
        return file is not None and os.path.samefile(file, path)
    except OSError:
        return False


def _loaded(path: Path) -> ModuleType:
    """A file whose name is no module's, or is another module's, under a name that is nobody's.

    Workers that are not forked import it by that name too, so there is a module of that name which runs the file.
    """
    name = "_".join(("".join(c if c.isalnum() else "_" for c in path.stem), "file"))
    name = name if name.isidentifier() else f"_{name}"
    while name in sys.modules or importlib.util.find_spec(name) is not None:
        name += "_"
    folder = tempfile.mkdtemp(prefix=STAND_IN)
    atexit.register(_remove, folder, os.getpid())
    read = "__import__('pathlib').Path(__file__).read_bytes()"
    code = f"__file__ = {str(path)!r}\nexec(compile({read}, __file__, 'exec'))\n"
    Path(folder, f"{name}.py").write_text(code, encoding="utf-8")
    sys.path.append(folder)
    importlib.invalidate_caches()
    return _imported(name, str(path))


def _remove(folder: str, owner: int) -> None:
    # A forked process may run what was registered before its fork.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _imported(name: str, shown: str = "") -> ModuleType:
    return _guarded(lambda: importlib.import_module(name), shown or name)


def _guarded(load: Callable[[], T], what: str) -> T:
    try:
        return load()
    except SystemExit as exit:
        raise TargetError(
            f"{what} ended with SystemExit({exit.code!r}) while it was imported: put what it runs under "
            'if __name__ == "__main__":'
        ) from None
    except Exception as error:
        raise TargetRaised(f"{what} raised while it was imported") from error


def _attribute(module: ModuleType, place: str, name: str) -> Callable[..., Any]:
    found: Any = module
    walked = place
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise TargetError(f"{walked} has no {part!r}{_instead(found, part)}") from None
        walked = f"{walked}{':' if walked == place else '.'}{part}"
    if isinstance(found, ModuleType):
        raise TargetError(f"{walked} is a module: name a function of it, {found.__name__}:function")
    if not callable(found):
        raise TargetError(f"{walked} can't be called: it is no function, and of type {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


def _instead(holder: Any, name: str) -> str:
    """The names that might have been meant."""
    callables = [known for known in dir(holder) if not known.startswith("_") and callable(getattr(holder, known, None))]
    near = difflib.get_close_matches(name, callables, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    if 0 < len(callables) <= 8:
        return f"; it has {', '.join(callables)}"
    return ""
