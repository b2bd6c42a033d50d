"""Contexts: what they make is this package's, the start method is the standard library's too, and pools take them."""

from __future__ import annotations

import multiprocessing
import pickle

import pytest
from child import run_clean

import forkful
import forkful.multiprocessing as mp
from forkful.multiprocessing import connection, context, pool, queues, sharedctypes, synchronize

METHODS = ("fork", "spawn", "forkserver")


@pytest.mark.parametrize("method", METHODS)
def test_a_context_is_one_of_the_standard_librarys_too(method: str) -> None:
    ours, theirs = mp.get_context(method), multiprocessing.get_context(method)
    assert isinstance(ours, type(theirs))
    assert issubclass(ours.Process, theirs.Process)
    assert issubclass(mp.Process, multiprocessing.Process)
    assert ours.Process.__name__ == theirs.Process.__name__
    assert ours.get_start_method() == method
    assert ours.get_context() is ours
    assert ours.get_context("spawn") is mp.get_context("spawn")
    assert [name for name in dir(theirs) if not hasattr(ours, name)] == []


def test_a_zygote_is_a_forkserver() -> None:
    assert mp.get_context("zygote") is mp.get_context("forkserver")


def test_unknown_methods() -> None:
    with pytest.raises(ValueError, match=r"^cannot find context for 'nonsense'$"):
        mp.get_context("nonsense")
    with pytest.raises(ValueError, match=r"^cannot set start method of concrete context$"):
        mp.get_context("fork").set_start_method("spawn")


def test_what_a_context_makes() -> None:
    ctx = mp.get_context("spawn")
    made = {
        synchronize.Lock: ctx.Lock(),
        synchronize.RLock: ctx.RLock(),
        synchronize.Condition: ctx.Condition(),
        synchronize.Semaphore: ctx.Semaphore(2),
        synchronize.BoundedSemaphore: ctx.BoundedSemaphore(2),
        synchronize.Event: ctx.Event(),
        synchronize.Barrier: ctx.Barrier(1),
        queues.Queue: ctx.Queue(3),
        queues.JoinableQueue: ctx.JoinableQueue(),
        queues.SimpleQueue: ctx.SimpleQueue(),
    }
    for cls, instance in made.items():
        assert isinstance(instance, cls), instance
    with ctx.Pool(1) as workers:
        assert isinstance(workers, pool.Pool)
        assert workers.apply(abs, (-3,)) == 3
    one, other = ctx.Pipe()
    assert isinstance(one, connection.Connection)
    one.send("word")
    assert other.recv() == "word"
    for end in (one, other):
        end.close()


def test_shared_values() -> None:
    value, array = mp.Value("i", 3), mp.Array("d", [1.0, 2.0])
    assert (value.value, array[:]) == (3, [1.0, 2.0])
    for shared in (value, array, sharedctypes.Value("i", 1), sharedctypes.synchronized(mp.RawValue("i", 1))):
        assert isinstance(shared.get_lock(), synchronize.RLock)
    lock = mp.Lock()
    assert mp.Value("i", lock=lock).get_lock() is lock
    assert mp.Value("i", 5, lock=False).value == mp.RawValue("i", 5).value == 5
    assert list(mp.RawArray("i", 2)) == [0, 0]
    with pytest.raises(AttributeError, match="has no method 'acquire'"):
        mp.Value("i", lock=3)
    assert sharedctypes.typecode_to_type["i"] is multiprocessing.sharedctypes.typecode_to_type["i"]


def test_a_context_travels() -> None:
    for method in METHODS:
        assert pickle.loads(pickle.dumps(mp.get_context(method))).get_start_method() == method


def test_one_start_method_for_both_packages() -> None:
    assert (
        run_clean("""
        import multiprocessing, forkful.multiprocessing as mp
        print(mp.get_start_method(allow_none=True), mp.get_all_start_methods() == multiprocessing.get_all_start_methods())
        multiprocessing.set_start_method("spawn")
        print(mp.get_start_method(), type(mp.get_context()).__module__, type(multiprocessing.get_context()).__module__)
        for package in (mp, multiprocessing):
            try:
                package.set_start_method("fork")
            except RuntimeError as error:
                print(error)
        mp.set_start_method("zygote", force=True)
        print(multiprocessing.get_start_method(), type(multiprocessing.get_context()).__module__)
        print(mp.get_context() is mp.get_context("forkserver"))
        mp.set_start_method(None, force=True)
        print(multiprocessing.get_start_method(allow_none=True))
        """)
        == "None True\n"
        "spawn forkful.multiprocessing.context multiprocessing.context\n"
        "context has already been set\n"
        "context has already been set\n"
        "forkserver multiprocessing.context\n"
        "True\n"
        "None\n"
    )


def test_the_default_is_the_interpreters() -> None:
    assert (
        run_clean("""
        import multiprocessing, forkful.multiprocessing as mp
        ours = mp.get_start_method()
        print(ours == multiprocessing.get_start_method(), ours == mp.get_context().get_start_method())
        """)
        == "True True\n"
    )


@pytest.mark.parametrize("method", METHODS)
def test_forkfuls_own_pools_take_our_contexts(method: str) -> None:
    with forkful.ProcessPoolExecutor(1, mp_context=mp.get_context(method)) as executor:
        assert executor.submit(abs, -4).result() == 4


def test_the_reducer_is_the_standard_librarys() -> None:
    assert mp.reducer is multiprocessing.reducer
    assert mp.get_context("fork").reducer is multiprocessing.context.reduction  # type: ignore[attr-defined]


def test_the_rest_is_the_standard_librarys() -> None:
    assert mp.current_process() is multiprocessing.current_process()
    assert mp.active_children() == multiprocessing.active_children()
    assert mp.get_logger() is multiprocessing.get_logger()
    assert mp.cpu_count() == multiprocessing.cpu_count()
    assert context.assert_spawning is multiprocessing.context.assert_spawning
    mp.freeze_support()
    mp.allow_connection_pickling()


def test_a_context_that_somebody_else_has_added(monkeypatch: pytest.MonkeyPatch) -> None:
    # As loky does, by which joblib runs.
    class Other(multiprocessing.context.BaseContext):
        _name = "other"

    other = Other()
    monkeypatch.setitem(multiprocessing.context._concrete_contexts, "other", other)  # type: ignore[attr-defined]
    assert mp.get_context("other") is other
    assert mp.get_context("spawn").get_context("other") is other
