"""A worker is a process as multiprocessing knows it, and its end is reported."""

from __future__ import annotations

import sys

import pytest
from procs.nursery_driver import run_nursery, said

METHODS = pytest.mark.parametrize("method", ["fork", "zygote", "spawn"])


@METHODS
def test_a_worker_knows_who_it_is(method):
    names = {"fork": "ForkProcess", "zygote": "ForkServerProcess", "spawn": "SpawnProcess"}
    out = said(
        """
        def run(index, generation, request, link, bell, dump):
            me, parent = multiprocessing.current_process(), multiprocessing.parent_process()
            print(index, generation, type(me).__name__, me.name, me.daemon, me.exitcode)
            print(parent.pid == request["parent"], parent.is_alive(), parent.name, me.pid == os.getpid())
            print((link >= 0, bell >= 0), os.fstat(dump).st_size, repr(sys.stdin.read()))
            print(threading.current_thread() is threading.main_thread(), threading.active_count())
            nested = multiprocessing.get_context("fork").Process(target=sys.exit, args=(9,))
            nested.start(); nested.join()
            print(nested.exitcode, nested.name)
        if __name__ == "__main__":
            for request in {}, {"name": "Cruncher"}:
                print(Pool(sys.argv[1], {"parent": os.getpid(), **request}, run).once(3))
        """,
        method,
    )
    fds = method != "fork"
    for part, name in zip(out.split("\n0\n"), (names[method], "Cruncher"), strict=False):
        assert part.splitlines() == [
            f"3 7 {names[method]} {name}-4 False None",
            "True True MainProcess True",
            f"{(fds, fds)} 0 ''",
            "True 1",
            # Its own children are numbered under it, as multiprocessing does.
            "9 ForkProcess-4:1",
        ]


@METHODS
def test_every_end_is_reported(method):
    out = said(
        """
        if __name__ == "__main__":
            code = '''
            import os, signal, sys
            if index == 1: sys.exit(3)
            elif index == 2: os._exit(5)
            elif index == 3: os.kill(os.getpid(), signal.SIGKILL)
            elif index == 4: os.kill(os.getpid(), signal.SIGTERM)
            elif index == 5:
                ballast = bytearray(120 << 20); ballast[::4096] = b"x" * len(ballast[::4096])
                os.kill(os.getpid(), signal.SIGKILL)
            elif index == 6: sys.exit(-1)
            '''
            pool = Pool(sys.argv[1], code)
            print([pool.once(index) for index in range(5)], pool.once(6))
            pool.start(5)
            _, pid, code, peak = pool.until("exited")
            print(code, peak > 120 << 10, pid in pool.pidfds)
        """,
        method,
    )
    assert out.splitlines() == ["[0, 3, 5, -9, -15] 255", "-9 True True"]


@METHODS
def test_an_exception_is_shown_and_ends_the_worker(method):
    outcome = run_nursery(
        """
        if __name__ == "__main__":
            print(Pool(sys.argv[1], "raise LookupError('lost')").once())
        """,
        method,
    )
    assert (outcome.returncode, outcome.stdout) == (0, "1\n"), outcome
    assert "LookupError: lost" in outcome.stderr and outcome.stderr.count("Traceback") == 1


@METHODS
def test_no_text_is_printed_twice_and_the_parents_exits_are_its_own(method):
    out = said(
        """
        import atexit, weakref
        from multiprocessing.util import Finalize
        if __name__ == "__main__":
            os.environ.pop("PYTHONUNBUFFERED", None)
            sys.stdout = open(1, "w", buffering=1 << 16, closefd=False)
            class Thing: pass
            thing = Thing()
            atexit.register(print, "atexit")
            weakref.finalize(thing, print, "weakref")
            Finalize(thing, print, ("Finalize",), exitpriority=1)
            print("before")
            print(Pool(sys.argv[1], "print('task')").once())
        """,
        method,
    )
    assert sorted(out.split()) == sorted(["before", "task", "0", "atexit", "weakref", "Finalize"])


@METHODS
def test_children_of_tasks_are_joined_at_the_end(method):
    out = said(
        """
        if __name__ == "__main__":
            code = '''
            import multiprocessing, time
            multiprocessing.get_context("fork").Process(target=lambda: (time.sleep(0.3), print("joined", flush=True))).start()
            '''
            print(Pool(sys.argv[1], code).once(), flush=True)
        """,
        method,
    )
    assert out == "joined\n0\n"


@METHODS
def test_a_task_may_close_all_descriptors(method):
    out = said(
        """
        if __name__ == "__main__":
            print(Pool(sys.argv[1], "import os, sys; sys.stdout.flush(); os.closerange(3, 4096); sys.exit(4)").once())
        """,
        method,
    )
    assert out == "4\n"


@METHODS
def test_a_request_that_cannot_be_met_says_why(method):
    out = said(
        """
        if __name__ == "__main__":
            pool = Pool(sys.argv[1], "")
            pool.start(5, drop=2 if sys.argv[1] == "fork" else 7)
            _, why, index, generation = next(
                heard for heard in iter(pool.hear, None) if heard[0] == "failed")
            print(index, generation, why)
            print(pool.once())
        """,
        method,
    )
    needed = 2 if method == "fork" else 8
    assert out.splitlines()[0].startswith(f"5 7 a worker needs {needed} descriptors"), out
    assert out.splitlines()[1] == "0"


@METHODS
def test_quit_lets_workers_finish_and_a_closed_socket_does_not(method, tmp_path):
    out = said(
        """
        import select
        if __name__ == "__main__":
            code = '''
            import os, sys, time
            while not os.path.exists(request["gate"]): time.sleep(0.001)
            sys.exit(6)
            '''
            pool = Pool(sys.argv[1], {"code": code, "gate": sys.argv[2]})
            pool.worker(); pool.quit(); pool.start()
            open(sys.argv[2], "w").close()
            print(pool.ended(), pool.hear())
            pool = Pool(sys.argv[1], "import time; time.sleep(1000)")
            pidfd = pool.pidfds[pool.worker()]
            pool.socket.close()
            print(bool(select.select([pidfd], [], [])))
        """,
        method,
        str(tmp_path / "gate"),
    )
    assert out == "6 ('end',)\nTrue\n"


def test_a_lock_that_the_parent_holds_excludes_a_forked_worker():
    out = said(
        """
        if __name__ == "__main__":
            lock = multiprocessing.get_context("fork").RLock()
            with lock:
                pool = Pool("fork", {"code": "print(request['lock'].acquire(timeout=0.2))", "lock": lock})
                print(pool.once())
            print(pool.once())
        """
    )
    assert out == "False\n0\nTrue\n0\n"


def test_a_fork_is_the_callers_own():
    out = said(
        """
        import contextvars, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        local, variable = threading.local(), contextvars.ContextVar("variable")
        def begin():
            local.value = "mine"; variable.set("ours")
            closure = object()
            pool = Pool("fork", {"code": "print(request['f'](), request['f'].__closure__ is not None)",
                                 "f": lambda: (local.value, variable.get(), closure is not None)})
            print(pool.once())
        thread = threading.Thread(target=begin)
        thread.start(); thread.join()
        """
    )
    assert out == "('mine', 'ours', True) True\n0\n"


def test_the_users_signal_handlers_stay_and_the_loops_do_not():
    out = said(
        """
        import asyncio
        def theirs(*_): print("theirs")
        code = '''
        import signal
        print(signal.getsignal(signal.SIGUSR1).__name__, signal.getsignal(signal.SIGINT) is signal.default_int_handler,
              signal.getsignal(signal.SIGCHLD).__name__, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
              signal.set_wakeup_fd(-1))
        '''
        async def main():
            signal.signal(signal.SIGUSR1, theirs)
            signal.signal(signal.SIGCHLD, theirs)
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)
            pool = Pool("fork", code)
            pool.until("ready")
            os.kill(pool.pid, signal.SIGUSR1)
            os.kill(pool.pid, signal.SIGTERM)
            print(pool.once())
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asyncio.run(main())
        """
    )
    assert out == "theirs True theirs True -1\n0\n"


def test_ignored_children_are_ignored_in_workers_and_not_in_the_template():
    out = said(
        """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print(Pool("fork", "import signal, sys; sys.exit(3 + (signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN))").once())
        """
    )
    assert out == "4\n"


@pytest.mark.skipif(sys.version_info < (3, 13), reason="earlier standard libraries run none in forked children")
def test_exit_functions_of_tasks_run_as_the_standard_library_has_it():
    assert said("print(Pool('fork', \"import atexit; atexit.register(print, 'bye')\").once())") == "bye\n0\n"
