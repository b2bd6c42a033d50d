"""Every public name of the standard library's multiprocessing is in forkful's, module by module, on this interpreter."""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import pkgutil
import shutil
import types
from pathlib import Path

import pytest
from child import run_clean

import forkful
import forkful.multiprocessing

# Of Windows; they cannot be imported here.
ELSEWHERE = {"popen_spawn_win32"}

MODULES = sorted(
    module.name.removeprefix("multiprocessing.")
    for module in pkgutil.walk_packages(multiprocessing.__path__, "multiprocessing.")
    if module.name.rpartition(".")[2] not in ELSEWHERE
)


def public(module: types.ModuleType) -> set[str]:
    """What `import *` gives, and the classes and functions that the module defines besides."""
    named = set(getattr(module, "__all__", ()))
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }
    return named | own


def test_the_package_has_every_name() -> None:
    assert set(forkful.multiprocessing.__all__) == {*multiprocessing.__all__, "OwnerDiedWarning"}
    missing = [name for name in multiprocessing.__all__ if not hasattr(forkful.multiprocessing, name)]
    assert missing == []
    assert {"SUBDEBUG", "SUBWARNING"} <= set(vars(forkful.multiprocessing))


def test_the_modules_are_those_of_this_interpreter() -> None:
    assert {"pool", "queues", "synchronize", "managers", "connection", "shared_memory", "dummy.connection"} <= {
        *MODULES
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_every_name(name: str) -> None:
    theirs = importlib.import_module(f"multiprocessing.{name}")
    ours = importlib.import_module(f"forkful.multiprocessing.{name}")
    assert sorted(each for each in public(theirs) if not hasattr(ours, each)) == []
    assert set(getattr(theirs, "__all__", ())) <= set(getattr(ours, "__all__", ()))


@pytest.mark.parametrize("name", sorted({name.partition(".")[0] for name in MODULES}))
def test_a_module_is_an_attribute_of_the_package(name: str) -> None:
    module = getattr(forkful.multiprocessing, name)
    assert module is importlib.import_module(f"forkful.multiprocessing.{name}")
    assert name in dir(forkful.multiprocessing)


@pytest.mark.parametrize("name", sorted(set(multiprocessing.__all__) - {"reducer"}))
def test_a_function_takes_the_same_arguments(name: str) -> None:
    theirs, ours = getattr(multiprocessing, name), getattr(forkful.multiprocessing, name)
    if inspect.isclass(theirs):
        assert issubclass(ours, theirs)
        return
    shape = [(each.name, each.kind, each.default) for each in inspect.signature(theirs).parameters.values()]
    assert [(each.name, each.kind, each.default) for each in inspect.signature(ours).parameters.values()] == shape


def test_the_errors_are_the_standard_librarys() -> None:
    for name in ("ProcessError", "BufferTooShort", "TimeoutError", "AuthenticationError"):
        assert getattr(forkful.multiprocessing, name) is getattr(multiprocessing, name)


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match=r"module 'forkful\.multiprocessing' has no attribute 'nonsense'"):
        _ = forkful.multiprocessing.nonsense
    with pytest.raises(ImportError):
        importlib.import_module("forkful.multiprocessing.nonsense")


def test_nothing_is_loaded_before_it_is_named() -> None:
    assert (
        run_clean("""
        import sys
        import forkful
        print([name for name in ("multiprocessing", "threading", "queue") if name in sys.modules])
        import forkful.multiprocessing
        loaded = {name.removeprefix("forkful.multiprocessing.") for name in sys.modules if "forkful.multiprocessing." in name}
        print(sorted(loaded))
        """)
        == "[]\n['context', 'process', 'reduction']\n"
    )


def test_the_package_is_an_attribute_of_forkful() -> None:
    assert (
        run_clean("""
        import forkful
        print(forkful.multiprocessing.__name__, forkful.threading.Event.__name__, forkful.queue.Queue.__name__)
        """)
        == "forkful.multiprocessing Event Queue\n"
    )
    assert {"multiprocessing", "threading", "queue"} <= set(dir(forkful))


def test_without_the_engine_it_is_the_standard_library(tmp_path: Path) -> None:
    source = Path(forkful.__file__).parent
    shutil.copytree(source, tmp_path / "forkful", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    assert (
        run_clean(
            """
            import sys
            sys.path.insert(0, sys.argv[1])
            import forkful, forkful.threading, forkful.queue, forkful.multiprocessing, forkful.multiprocessing.pool
            import multiprocessing, multiprocessing.pool, queue, threading
            assert forkful.__file__.startswith(sys.argv[1])
            forkful.install()
            print(multiprocessing.get_context() is forkful.multiprocessing.get_context())
            print([name for name in multiprocessing.__all__
                   if getattr(multiprocessing, name) != getattr(forkful.multiprocessing, name)])
            print(forkful.threading.Event is threading.Event, forkful.queue.Queue is queue.Queue)
            print(forkful.multiprocessing.pool is multiprocessing.pool, forkful.multiprocessing.synchronize.__name__)
            with forkful.multiprocessing.Pool(1) as pool:
                print(pool.apply(abs, (-1,)))
            """,
            str(tmp_path),
            warnings="ignore",
        )
        == "True\n[]\nTrue True\nTrue multiprocessing.synchronize\n1\n"
    )
