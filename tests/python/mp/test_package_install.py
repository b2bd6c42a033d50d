"""`install` puts forkful's threading, queue and multiprocessing in place, late, in children too, and takes them out again."""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.managers
import multiprocessing.pool
import multiprocessing.sharedctypes
import multiprocessing.spawn
import queue
import threading
from collections.abc import Iterator

import pytest
from child import run_clean

import forkful
import forkful.multiprocessing

SUBMODULES = ("connection", "pool", "queues", "shared_memory", "sharedctypes", "synchronize")
NAMES = ["threading", "queue", "multiprocessing", *(f"multiprocessing.{name}" for name in SUBMODULES)]
METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    for name in NAMES:
        importlib.import_module(name)
        importlib.import_module(f"forkful.{name}")
    before = everything()
    yield
    forkful.uninstall()
    assert everything() == before


def everything() -> list[dict[str, object]]:
    names = [*NAMES, "multiprocessing.context", "multiprocessing.spawn", "multiprocessing.managers"]
    found = [dict(vars(importlib.import_module(name))) for name in names]
    return [*found, dict(multiprocessing.context._concrete_contexts)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_ours(name: str) -> None:
    theirs, ours = importlib.import_module(name), importlib.import_module(f"forkful.{name}")
    forkful.install()
    for each in getattr(theirs, "__all__", ()):
        if (name, each) not in {("threading", "Thread"), ("multiprocessing", "reducer")}:
            assert getattr(theirs, each) is getattr(ours, each), each


def test_the_contexts_are_ours() -> None:
    forkful.install()
    for method in METHODS:
        assert multiprocessing.get_context(method) is forkful.multiprocessing.get_context(method)
        assert multiprocessing.get_context("spawn").get_context(method) is forkful.multiprocessing.get_context(method)
    assert multiprocessing.get_context() is forkful.multiprocessing.get_context()
    assert multiprocessing.Process is forkful.multiprocessing.Process
    assert multiprocessing.managers.get_context() is forkful.multiprocessing.get_context()


def test_threads_are_of_the_standard_librarys_class() -> None:
    forkful.install()
    assert isinstance(threading.main_thread(), threading.Thread)
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    thread.start()
    assert ran.wait(60)
    thread.join()


def test_what_was_made_before_and_in_between_goes_on() -> None:
    before = queue.Queue[int](), threading.Condition(), multiprocessing.Value("i", 1)
    forkful.install()
    between = queue.Queue[int](), threading.Condition(), multiprocessing.Value("i", 2)
    forkful.uninstall()
    for number, (line, condition, value) in enumerate((before, between), 1):
        line.put(number)
        assert line.get() == number
        with condition:
            condition.notify_all()
        with value.get_lock():
            assert value.value == number


def test_a_module_is_changed_when_it_is_imported() -> None:
    assert run_clean("""
        import sys
        import forkful
        finders = list(sys.meta_path)
        forkful.install()
        print("multiprocessing" in sys.modules)
        import concurrent.futures, concurrent.futures.process
        import multiprocessing, multiprocessing.pool, multiprocessing.queues
        print(concurrent.futures.ThreadPoolExecutor is forkful.ThreadPoolExecutor,
              concurrent.futures.ProcessPoolExecutor is forkful.ProcessPoolExecutor,
              concurrent.futures._base.wait is forkful.wait)
        print(multiprocessing.pool.Pool is forkful.multiprocessing.pool.Pool,
              multiprocessing.queues.Queue is forkful.multiprocessing.queues.Queue,
              multiprocessing.get_context() is forkful.multiprocessing.get_context())
        forkful.uninstall()
        print(concurrent.futures.ThreadPoolExecutor is forkful.ThreadPoolExecutor,
              multiprocessing.get_context() is forkful.multiprocessing.get_context(), sys.meta_path == finders)
        import multiprocessing.shared_memory
        """).splitlines()[1:] == ["True True True", "True True True", "False False True"]


@pytest.mark.parametrize(
    "first", ["pool", "queues", "synchronize", "connection", "shared_memory", "sharedctypes", "dummy"]
)
def test_ours_may_come_first(first: str) -> None:
    # It imports what it stands for, whose import ends in the middle of its own.
    assert (
        run_clean(
            """
            import importlib, sys
            import forkful
            forkful.install()
            ours = importlib.import_module(f"forkful.multiprocessing.{sys.argv[1]}")
            theirs = importlib.import_module(f"multiprocessing.{sys.argv[1]}")
            print([name for name in theirs.__all__ if getattr(theirs, name) is not getattr(ours, name)])
            """,
            first,
        )
        == "[]\n"
    )


def test_a_loader_is_not_changed_for_good() -> None:
    assert (
        run_clean("""
        import forkful, importlib.machinery
        forkful.install()
        import multiprocessing.pool as module
        print(type(module.__spec__.loader).__name__, module.__loader__ is module.__spec__.loader)
        """)
        == "SourceFileLoader True\n"
    )


CHILDREN = """
import concurrent.futures
import multiprocessing
import sys
import threading

if __name__ == "__main__" and sys.argv[2] == "install":
    import forkful
    forkful.install()

from concurrent.futures import ThreadPoolExecutor  # as an unchanged program does, in its main module

def look():
    import forkful
    return (ThreadPoolExecutor is forkful.ThreadPoolExecutor,
            multiprocessing.get_context() is forkful.multiprocessing.get_context(),
            multiprocessing.get_start_method())

def tell(queue):
    queue.put(look())

def grandchild(queue):
    process = multiprocessing.Process(target=tell, args=(queue,))
    process.start()
    process.join()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.SimpleQueue()
    for work in (tell, grandchild):
        process = context.Process(target=work, args=(queue,))
        process.start()
        print(*queue.get())
        process.join()
        print(process.exitcode)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        print(*executor.submit(look).result()[:2])
"""


@pytest.mark.parametrize("method", METHODS)
def test_children_are_installed_too(method: str) -> None:
    expected = f"True True {method}\n0\nTrue True {method}\n0\nTrue True\n"
    assert run_clean(CHILDREN, method, "install") == expected


@pytest.mark.parametrize("method", METHODS)
def test_children_of_a_process_without_it_are_not(method: str) -> None:
    out = run_clean(CHILDREN, method, "leave", warnings="default")
    assert out.splitlines()[:4] == [f"False False {method}", "0", f"False False {method}", "0"]


def test_children_after_uninstall_are_not() -> None:
    assert (
        run_clean("""
        import multiprocessing
        import forkful

        def tell(queue):
            import forkful
            queue.put(multiprocessing.get_context() is forkful.multiprocessing.get_context())

        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            queue = context.SimpleQueue()
            for change in (forkful.install, forkful.uninstall):
                change()
                process = context.Process(target=tell, args=(queue,))
                process.start()
                print(queue.get())
                process.join()
        """)
        == "True\nFalse\n"
    )


def test_a_child_finds_forkful_where_it_is_not_on_its_path() -> None:
    assert (
        run_clean("""
        import sys
        import forkful
        from multiprocessing import reduction, spawn
        forkful.install()
        import multiprocessing.spawn
        import subprocess, pickle, os
        data = spawn.get_preparation_data("child")
        del data["authkey"]  # for children alone
        data = pickle.dumps(data)
        code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)['forkful'], 'forkful' in sys.modules)"
        # -S: no site-packages, and so nothing of an editable installation.
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code], input=data, capture_output=True)
        print(done.stdout.decode().strip(), done.stderr.decode())
        """)
        == "None True \n"
    )


@pytest.mark.parametrize("method", METHODS)
def test_what_was_made_before_travels(method: str) -> None:
    assert (
        run_clean(
            """
            import multiprocessing, multiprocessing.managers, multiprocessing.shared_memory, sys
            from multiprocessing import Event, Lock, Pipe, Process, Queue, Value

            def work(lock, event, queue, value, line, block):
                with lock:
                    value.value += 1
                block.buf[0] = 9
                block.close()
                line.send("piped")
                queue.put("queued")
                event.set()

            if __name__ == "__main__":
                multiprocessing.set_start_method(sys.argv[1])
                early = Lock(), Event(), Queue(), Value("i", 3), Pipe()
                block = multiprocessing.shared_memory.SharedMemory(create=True, size=1)
                import forkful
                forkful.install()
                lock, event, queue, value, (reader, writer) = early
                for kind in (Process, multiprocessing.Process):
                    event.clear()
                    process = kind(target=work, args=(lock, event, queue, value, writer, block))
                    process.start()
                    print(reader.recv(), queue.get(), event.wait(60), value.value, block.buf[0])
                    process.join()
                    print(process.exitcode)
                queue.close()
                queue.join_thread()
                block.close()
                block.unlink()
                with multiprocessing.Manager() as manager:
                    made = manager.Queue(), manager.Event(), manager.list([1]), manager.Value("i", 7)
                    made[0].put(2)
                    print(made[0].get(), made[1].is_set(), made[2], made[3].value)
            """,
            method,
            warnings="ignore",
        )
        == "piped queued True 4 9\n0\npiped queued True 5 9\n0\n2 False [1] 7\n"
    )
