"""Whatever dies, and when: nothing is left, and the next launch works."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from child import Child
from eventually import eventually
from procs.nursery_driver import PRELUDE, run_nursery, said

FORKED = pytest.mark.parametrize("method", ["fork", "zygote"])


def session_of(leader: int) -> list[int]:
    """The live processes of a session: the script, its nurseries and workers, whoever their parents are."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.append(int(place.name))
    return found


@pytest.mark.parametrize("method", ["fork", "zygote", "spawn"])
@pytest.mark.parametrize("latest", [0.01, 0.1, 0.5])
def test_nothing_outlives_the_parent(method, latest):
    text = (
        PRELUDE
        + """
if __name__ == "__main__":
    print("go", flush=True)
    busy = Pool(sys.argv[1], "while True: pass")
    brief = Pool(sys.argv[1], "import time; time.sleep(0.01)")
    for index in range(2): busy.start(index)
    while True: brief.once()
"""
    )
    for _ in range(3):
        with Child(text, method, warnings="ignore") as script:
            script.await_line("go")
            time.sleep(random.uniform(0, latest))
            leader = script.process.pid
            assert script.process.poll() is None, script.outcome()
            script.process.kill()
            script.process.wait()
            assert eventually(lambda leader=leader: session_of(leader) == []), session_of(leader)


@FORKED
def test_workers_go_with_their_nursery_and_the_next_launch_makes_another(method):
    out = said(
        """
        import select
        if __name__ == "__main__":
            pool = Pool(sys.argv[1], "import time; time.sleep(1000)")
            pidfd = pool.pidfds[pool.worker()]
            os.kill(pool.pid, signal.SIGKILL)
            select.select([pidfd], [], []); select.select([pool.pidfd], [], [])
            print(pool.hear())
            again = Pool(sys.argv[1], "print('again', flush=True)")
            print(again.once(), again.pid != pool.pid)
        """,
        method,
    )
    assert out == "('end',)\nagain\n0 True\n"


@FORKED
def test_a_copy_of_the_socket_in_a_stranger_keeps_nothing_alive(method):
    text = (
        PRELUDE
        + """
if __name__ == "__main__":
    pool = Pool(sys.argv[1], "import time; time.sleep(1000)")
    pool.worker()
    if os.fork() == 0:
        os.setsid()
        # The resource tracker is multiprocessing's, and waits for the end of this one.
        from multiprocessing import resource_tracker
        if pool.launch.needs_fds:
            for fd in (resource_tracker._resource_tracker._fd, pool.launch.extra_fds[0]): os.close(fd)
        print("copied", os.getpid(), flush=True)
        print("go", flush=True)
        time.sleep(600)
    time.sleep(1000)
"""
    )
    with Child(text, method, warnings="ignore") as script:
        stranger = 0
        while line := script.read_line():
            if line.startswith("copied"):
                stranger = int(line.split()[1])
            elif line.strip() == "go":
                break
        try:
            assert script.process.poll() is None, script.outcome()
            script.process.kill()
            script.process.wait()
            assert eventually(lambda: session_of(script.process.pid) == []), session_of(script.process.pid)
        finally:
            os.kill(stranger, signal.SIGKILL)


@FORKED
def test_two_nurseries_do_not_hold_each_other(method):
    out = said(
        """
        import select
        if __name__ == "__main__":
            first, second = (Pool(sys.argv[1], "import time; time.sleep(1000)") for _ in range(2))
            pidfd = first.pidfds[first.worker()]
            second.worker()
            first.socket.close()
            select.select([pidfd], [], [])
            if sys.argv[1] == "fork":
                print(os.waitpid(first.pid, 0)[1])
            else:
                print(0)
        """,
        method,
    )
    assert out == "0\n"


@FORKED
def test_the_end_of_the_launching_thread_ends_nothing(method):
    out = said(
        """
        import warnings
        if __name__ == "__main__":
            warnings.simplefilter("ignore", DeprecationWarning)
            made = []
            def begin():
                made.append(Pool(sys.argv[1], "import sys, time; time.sleep(0.3); sys.exit(8)"))
                made[0].worker()
            thread = threading.Thread(target=begin)
            thread.start(); thread.join()
            print(made[0].ended(), made[0].once())
        """,
        method,
    )
    assert out == "8 8\n"


@FORKED
def test_ctrl_c_reaches_the_worker_and_not_the_nursery(method):
    outcome = run_nursery(
        """
        if __name__ == "__main__":
            reads, writes = os.pipe()
            os.dup2(writes, 1)
            signal.signal(signal.SIGINT, lambda *_: None)
            code = '''
            import os, signal, time
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                os.write(1, b"up")
                # Not one long sleep: a signal just before it would be noticed only after it.
                while True: time.sleep(0.01)
            except KeyboardInterrupt:
                os._exit(42)
            '''
            pool = Pool(sys.argv[1], code)
            pool.worker()
            os.read(reads, 2)
            os.killpg(0, signal.SIGINT)
            sys.stderr.write(f"{pool.ended()} ")
            pool.worker()
            os.read(reads, 2)
            os.killpg(0, signal.SIGINT)
            sys.stderr.write(f"{pool.ended()}")
        """,
        method,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "42 42"), outcome


def test_an_ignored_child_signal_loses_no_status():
    assert (
        said("signal.signal(signal.SIGCHLD, signal.SIG_IGN); print(Pool('fork', 'import sys; sys.exit(3)').once())")
        == "3\n"
    )


@FORKED
def test_a_pool_that_does_not_listen_stops_nobody(method):
    out = said(
        """
        if __name__ == "__main__":
            deaf, other = (Pool(sys.argv[1], "") for _ in range(2))
            for index in range(400): deaf.start(index)
            print(other.once())
            print(sum(deaf.until("exited")[2] for _ in range(400)))
        """,
        method,
    )
    assert out == "0\n0\n"
