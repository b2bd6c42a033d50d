"""`install` puts forkful into `concurrent.futures`, and `uninstall` takes it out again without a trace."""

from __future__ import annotations

import asyncio
import concurrent.futures
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import _base, process, thread

import pytest

import forkful

# Where a program may look.
MODULES = (concurrent.futures, _base, process, thread)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    # Fetched first, because the module does so lazily and a test that looks at it would count as a change.
    assert concurrent.futures.ThreadPoolExecutor is thread.ThreadPoolExecutor
    before = everything()
    yield
    forkful.uninstall()
    assert everything() == before


def everything() -> list[dict[str, object]]:
    return [dict(vars(module)) for module in MODULES]


def test_all_places_are_covered() -> None:
    assert forkful.install() is None

    assert concurrent.futures.ThreadPoolExecutor is forkful.ThreadPoolExecutor
    assert thread.ThreadPoolExecutor is forkful.ThreadPoolExecutor
    assert concurrent.futures.wait is _base.wait is forkful.wait
    assert concurrent.futures.as_completed is _base.as_completed is forkful.as_completed


def test_the_rest_stays_the_standard_librarys() -> None:
    before = everything()
    forkful.install()

    changed = {
        (module.__name__, name)
        for module, names in zip(MODULES, before, strict=True)
        for name, value in vars(module).items()
        if names.get(name) is not value
    }
    assert changed == {
        ("concurrent.futures", "ThreadPoolExecutor"),
        ("concurrent.futures", "ProcessPoolExecutor"),
        ("concurrent.futures.process", "ProcessPoolExecutor"),
        ("concurrent.futures", "wait"),
        ("concurrent.futures", "as_completed"),
        ("concurrent.futures.thread", "ThreadPoolExecutor"),
        ("concurrent.futures._base", "wait"),
        ("concurrent.futures._base", "as_completed"),
    }


def test_uninstall_restores() -> None:
    original = concurrent.futures.ThreadPoolExecutor, concurrent.futures.wait, concurrent.futures.as_completed
    forkful.install()
    assert forkful.uninstall() is None

    assert original == (
        concurrent.futures.ThreadPoolExecutor,
        concurrent.futures.wait,
        concurrent.futures.as_completed,
    )


def test_both_are_idempotent() -> None:
    before = everything()
    forkful.uninstall()
    assert everything() == before
    forkful.install()
    installed = everything()
    forkful.install()
    assert everything() == installed
    forkful.uninstall()
    forkful.uninstall()
    assert everything() == before


def test_what_others_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    forkful.install()

    def mine() -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr(concurrent.futures, "wait", mine)
        forkful.uninstall()
        assert concurrent.futures.wait is mine
        # It was not ours to restore; put back by hand what the test's end expects.
        patch.undo()
    concurrent.futures.wait = _base.wait


def test_from_many_threads() -> None:
    before = everything()
    start = threading.Barrier(8)

    def flip() -> None:
        start.wait()
        for _ in range(200):
            forkful.install()
            forkful.uninstall()

    threads = [threading.Thread(target=flip) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert everything() == before


def test_a_program_runs_on_it() -> None:
    forkful.install()
    from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait

    with ThreadPoolExecutor(2) as executor:
        futures = [executor.submit(pow, n, 2) for n in range(5)]
        assert isinstance(executor, forkful.ThreadPoolExecutor)
        assert all(isinstance(future, forkful.Future) and isinstance(future, Future) for future in futures)
        assert sorted(future.result() for future in as_completed(futures)) == [0, 1, 4, 9, 16]
        assert len(wait(futures).done) == 5


def test_a_pool_outlives_uninstall() -> None:
    forkful.install()
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        forkful.uninstall()
        assert executor.submit(pow, 2, 3).result() == 8


def test_mixed_with_the_standard_librarys_own() -> None:
    Own = concurrent.futures.ThreadPoolExecutor
    forkful.install()
    with Own(1) as theirs, concurrent.futures.ThreadPoolExecutor(1) as ours:
        assert not isinstance(theirs, forkful.ThreadPoolExecutor)
        futures = {theirs.submit(abs, -1), ours.submit(abs, -2)}
        assert concurrent.futures.wait(futures).done == futures
        assert set(concurrent.futures.as_completed(futures)) == futures


def test_asyncio_uses_it() -> None:
    async def main() -> tuple[object, int]:
        result = await asyncio.to_thread(abs, -1)
        return asyncio.get_running_loop()._default_executor, result  # type: ignore[attr-defined]

    forkful.install()
    executor, result = asyncio.run(main())
    assert isinstance(executor, forkful.ThreadPoolExecutor)
    assert result == 1


def test_process_pools_work_beside_it() -> None:
    run(
        """
        import forkful
        forkful.install()
        from concurrent.futures import ProcessPoolExecutor, wait, as_completed
        with ProcessPoolExecutor(1) as executor:
            futures = [executor.submit(pow, 2, n) for n in range(4)]
            assert len(wait(futures).done) == 4
            assert sorted(f.result() for f in as_completed(futures)) == [1, 2, 4, 8]
        """
    )


def test_subclasses_made_by_the_standard_library_keep_its_class() -> None:
    run(
        """
        import concurrent.futures, forkful
        forkful.install()
        Interpreters = getattr(concurrent.futures, "InterpreterPoolExecutor", None)
        assert Interpreters is None or not issubclass(Interpreters, forkful.ThreadPoolExecutor)
        """
    )


def test_a_name_that_was_never_fetched_is_lazy_again() -> None:
    # Whether importing forkful has already fetched it is forkful's affair; what stood there comes back.
    run(
        """
        import concurrent.futures, forkful
        vars(concurrent.futures).pop("ThreadPoolExecutor", None)
        forkful.install()
        forkful.uninstall()
        assert "ThreadPoolExecutor" not in vars(concurrent.futures)
        from concurrent.futures import ThreadPoolExecutor
        assert not issubclass(ThreadPoolExecutor, forkful.ThreadPoolExecutor)
        """
    )


def test_a_fork_in_the_middle_does_not_lock_the_child_out() -> None:
    run(
        """
        import os, forkful
        from forkful import _install
        with _install._lock:
            pid = os.fork()
            if not pid:
                forkful.install()
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        """
    )


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_import_forkful_stays_light():
    heavy = "asyncio", "multiprocessing", "concurrent.futures.process", "ssl"
    script = f"import sys, forkful; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
