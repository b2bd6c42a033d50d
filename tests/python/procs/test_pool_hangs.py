"""Starts that hang, take long, or come to nothing: a hang is answered, a slow start is left alone, nothing is tried for ever."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from child import Child, run_script
from eventually import eventually

# Where the lock is taken that another thread holds when the template is forked.
PLACES = ["template", "worker", "initializer", "import"]

HELD = """
import os, sys, threading, time
from pathlib import Path
from forkful import ProcessPoolExecutor

PLACE, MODULE = sys.argv[1], sys.argv[2]
PARENT = os.getpid()
lock = threading.Lock()

def after_in_child():
    # What is forked from the parent is the template.
    if PLACE == ("template" if os.getppid() == PARENT else "worker"):
        with lock:
            pass

def initializer():
    if PLACE == "initializer":
        with lock:
            pass
    if PLACE == "import":
        sys.path.insert(0, os.path.dirname(MODULE))
        __import__(Path(MODULE).stem)

def children():
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.parent.name, stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(rest[1]) == PARENT and rest[0] != "Z":
            found.append(int(pid))
    return found

os.register_at_fork(after_in_child=after_in_child)
held, first, over = threading.Event(), [], threading.Event()

def hold(how_long):
    with lock:
        held.set()
        while not children():
            time.sleep(0.001)
        first.extend(children())
        if how_long == "for ever":
            over.wait()

holder = threading.Thread(target=hold, args=sys.argv[3:])
"""


@pytest.fixture
def module(tmp_path: Path) -> str:
    """A module that takes the script's lock when it is imported."""
    file = tmp_path / "takes_the_lock.py"
    file.write_text("import __main__\nwith __main__.lock: pass\n")
    return str(file)


@pytest.mark.parametrize("place", PLACES)
def test_a_lock_that_was_held_at_the_fork_costs_one_template(place: str, module: str) -> None:
    outcome = run_script(
        HELD
        + """
if __name__ == "__main__":
    holder.start()
    held.wait()
    with ProcessPoolExecutor(2, start_method="fork", initializer=initializer) as pool:
        print([future.result() for future in [pool.submit(pow, n, 2) for n in range(4)]])
        pool.submit(os.getppid).result()
        print(pool.submit(os.getppid).result() not in first, pool.stats().failed)
        holder.join()
""",
        place,
        module,
        "once",
        warnings="ignore",
    )
    assert (outcome.returncode, outcome.stdout) == (0, "[0, 1, 4, 9]\nTrue 0\n"), outcome


@pytest.mark.parametrize("place", PLACES)
def test_a_lock_that_stays_held_breaks_the_pool_with_the_reason(place: str, module: str) -> None:
    outcome = run_script(
        HELD
        + """
if __name__ == "__main__":
    holder.start()
    held.wait()
    with ProcessPoolExecutor(2, start_method="fork", initializer=initializer) as pool:
        futures = [pool.submit(pow, n, 2) for n in range(4)]
        for future in futures:
            print(type(future.exception()).__name__)
        print(futures[0].exception())
        try:
            pool.submit(pow, 2, 2)
        except Exception as error:
            print("then", error)
    print("left", children())
    over.set()
""",
        place,
        module,
        "for ever",
        warnings="ignore",
    )
    assert outcome.returncode == 0, outcome
    lines = outcome.stdout.splitlines()
    assert lines[:4] == ["BrokenProcessPool" if place == "template" else "WorkerDied"] * 4, outcome
    assert "a lock that another thread held when the template was forked" in lines[4], outcome
    assert 'start_method="zygote"' in lines[4] and "then this process pool is broken" in outcome.stdout, outcome
    assert lines[-1] == "left []", outcome
    # Where it stands, as far as it can be asked.
    assert ("in initializer" in outcome.stdout) == (place in ("initializer", "import")), outcome
    assert ("takes_the_lock.py" in outcome.stdout) == (place == "import"), outcome


@pytest.mark.parametrize("how", ["sleep", "timeout", "barrier"])
def test_a_slow_initializer_is_no_hang(how: str) -> None:
    # Longer than what it takes to see a hang, which the tests above show.
    outcome = run_script(
        """
        import multiprocessing, sys, threading, time
        from forkful import ProcessPoolExecutor
        barrier = multiprocessing.get_context("fork").Barrier(2)
        def initializer():
            if sys.argv[1] == "sleep":
                time.sleep(6)
            elif sys.argv[1] == "timeout":
                lock = threading.Lock()
                lock.acquire()
                lock.acquire(timeout=6)
            else:
                # Until the other worker comes: as long as this program wants.
                barrier.wait()
        if __name__ == "__main__":
            with ProcessPoolExecutor(2, start_method="fork", initializer=initializer) as pool:
                future = pool.submit(pow, 2, 2)
                if sys.argv[1] == "barrier":
                    time.sleep(6)
                    pool.submit(time.sleep, 0.5)
                print(future.result(), pool.stats().deaths)
        """,
        how,
    )
    assert (outcome.returncode, outcome.stdout) == (0, "4 0\n"), outcome


@pytest.mark.parametrize("method", ["zygote", "spawn"])
def test_a_main_module_that_waits_for_itself_is_found(method: str) -> None:
    outcome = run_script(
        """
        import sys, threading
        from forkful import ProcessPoolExecutor
        if __name__ == "__mp_main__":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        if __name__ == "__main__":
            with ProcessPoolExecutor(1, start_method=sys.argv[1]) as pool:
                print(pool.submit(pow, 2, 2).exception())
        """,
        method,
    )
    assert outcome.returncode == 0 and "wait for a lock that nobody can release" in outcome.stdout, outcome


def test_a_zygote_that_dies_is_not_replaced_for_ever(tmp_path: Path) -> None:
    outcome = run_script(
        """
        import os, sys
        from forkful import ProcessPoolExecutor
        if __name__ == "__mp_main__":
            with open(sys.argv[1], "a") as file:
                file.write("one\\n")
            os._exit(3)
        if __name__ == "__main__":
            with ProcessPoolExecutor(2, start_method="zygote") as pool:
                print(pool.submit(pow, 2, 2).exception())
                print(pool.submit(pow, 2, 2) if not pool._broken else "broken")
        """,
        str(tmp_path / "zygotes"),
    )
    assert outcome.returncode == 0 and outcome.stdout.endswith("broken\n"), outcome
    assert "the process that starts workers" in outcome.stdout, outcome
    assert len((tmp_path / "zygotes").read_text().splitlines()) <= 6


@pytest.mark.parametrize("method", ["zygote", "spawn"])
def test_a_main_module_that_fails_at_length_is_quoted(method: str) -> None:
    outcome = run_script(
        """
        import sys
        from forkful import ProcessPoolExecutor
        if __name__ == "__mp_main__":
            raise RuntimeError("x" * 20_000 + "the end")
        if __name__ == "__main__":
            with ProcessPoolExecutor(2, start_method=sys.argv[1]) as pool:
                print(pool.submit(pow, 2, 2).exception())
        """,
        method,
    )
    assert outcome.returncode == 0, outcome
    said = outcome.stdout if method == "zygote" else outcome.stderr
    assert "the end" in said and "broken" in outcome.stdout, outcome


@pytest.mark.parametrize("place", ["template", "worker"])
def test_what_hangs_in_a_fork_hook_goes_with_the_parent(place: str, module: str) -> None:
    text = (
        HELD
        + """
if __name__ == "__main__":
    holder.start()
    held.wait()
    pool = ProcessPoolExecutor(1, start_method="fork", initializer=initializer)
    pool.submit(pow, 2, 2)
    while not children():
        time.sleep(0.001)
    time.sleep(0.2)
    print("go", flush=True)
    over.wait()
"""
    )
    with Child(text, place, module, "for ever", warnings="ignore") as child:
        child.await_line("go")
        session = child.process.pid
        child.process.kill()
        child.process.wait()
        assert eventually(lambda: living(session) == []), living(session)


def living(session: int) -> list[int]:
    """The processes of a session that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def test_a_template_that_is_stopped_goes_with_the_parent() -> None:
    text = """
        import os, signal, time
        from forkful import ProcessPoolExecutor
        if __name__ == "__main__":
            pool = ProcessPoolExecutor(1, start_method="fork")
            template = pool.submit(os.getppid).result()
            os.kill(template, signal.SIGSTOP)
            print("go", flush=True)
            time.sleep(600)
    """
    with Child(text, warnings="ignore") as child:
        child.await_line("go")
        session = child.process.pid
        os.kill(session, signal.SIGKILL)
        child.process.wait()
        assert eventually(lambda: living(session) == []), living(session)


def test_the_template_outlives_the_thread_that_made_it(run_clean: Any) -> None:
    assert (
        run_clean(
            """
            import os, threading, time
            from forkful import ProcessPoolExecutor
            if __name__ == "__main__":
                pool, pids = ProcessPoolExecutor(1, start_method="fork"), []
                thread = threading.Thread(target=lambda: pids.append(pool.submit(os.getppid).result()))
                thread.start(); thread.join()
                time.sleep(0.3)
                print(pool.submit(os.getppid).result() == pids[0])
                pool.shutdown()
            """
        )
        == "True\n"
    )
