"""What an exec'ed nursery's workers are sent, and what zygotes share."""

from __future__ import annotations

import pytest
from procs.nursery_driver import run_nursery, said

EXECED = pytest.mark.parametrize("method", ["zygote", "spawn"])

CHANGES = """
        import resource, tempfile, warnings
        LOOK = '''
        import multiprocessing, os, resource, signal, sys, time, warnings
        print(os.environ.get("NEW"), os.environ.get("GONE"), time.tzname[0], os.getcwd() == request.get("cwd", os.getcwd()))
        print(oct(os.umask(0)), sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0))
        print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.path[-1], sys.argv[1:])
        print([f[:1] + f[2:3] for f in warnings.filters[:1]], resource.getrlimit(resource.RLIMIT_CORE)[0])
        print(signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, ()), bytes(multiprocessing.current_process().authkey))
        '''
        def change():
            os.environ["NEW"] = "new"; os.environ.pop("GONE"); os.environ["TZ"] = "Asia/Kolkata"; time.tzset()
            os.chdir(tempfile.gettempdir()); os.umask(0o27); os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            os.setpriority(os.PRIO_PROCESS, 0, 3)
            sys.setrecursionlimit(4321); sys.setswitchinterval(0.25); sys.path.append("/nowhere"); sys.argv.append("more")
            warnings.simplefilter("always", ResourceWarning)
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
            multiprocessing.current_process().authkey = b"changed"
"""


def changed(output: str) -> bool:
    lines = output.splitlines()
    assert lines[0] == "new None IST True", output
    assert lines[1].startswith("0o27 ") and lines[1].endswith("] 3"), output
    assert lines[2].startswith("4321 0.25 /nowhere ") and lines[2].endswith("'more']"), output
    assert lines[3] == "[('always', <class 'ResourceWarning'>)] 0", output
    assert lines[4] == "True b'changed'", output
    return True


@EXECED
def test_a_pool_made_after_the_change_has_it(method):
    out = said(
        CHANGES
        + """
        if __name__ == "__main__":
            os.environ["GONE"] = "here"
            first = Pool(sys.argv[1], "pass")
            first.once()
            change()
            second = Pool(sys.argv[1], LOOK)
            assert second.pid == first.pid
            second.once()
        """,
        method,
    )
    assert changed(out)


@EXECED
def test_a_recaptured_request_brings_the_change_to_the_next_worker(method):
    out = said(
        CHANGES
        + """
        if __name__ == "__main__":
            os.environ["GONE"] = "here"
            pool = Pool(sys.argv[1], LOOK)
            pool.once()
            print("changed")
            change()
            pool.request = recapture(pool.request)
            pool.once()
        """,
        method,
    )
    before, _, after = out.partition("changed\n")
    assert before.startswith("None here ")
    assert changed(after)


@EXECED
def test_output_goes_where_the_parents_goes_by_then(method):
    out = said(
        """
        import tempfile
        if __name__ == "__main__":
            Pool(sys.argv[1], "pass").once()
            pool = Pool(sys.argv[1], "print('here', flush=True); import os; os.write(1, b'too')")
            with tempfile.TemporaryFile() as file:
                pool.once(stdio=(0, file.fileno(), 2))
                file.seek(0)
                print(file.read())
        """,
        method,
    )
    assert out == "b'here\\ntoo'\n"


@EXECED
def test_main_is_imported_once_guarded(method):
    out = said(
        """
        print("module", __name__)
        GLOBAL = []
        class Mine: pass
        if __name__ == "__main__":
            code = "import __main__; print('task', type(request['mine']) is __main__.Mine, __main__.__name__)"
            pool = Pool(sys.argv[1], {"code": code, "mine": Mine()})
            pool.once(); pool.once()
        """,
        method,
    )
    modules = 1 if method == "zygote" else 2
    assert sorted(out.splitlines()) == sorted(
        ["module __main__", *["module __mp_main__"] * modules, *["task True __mp_main__"] * 2]
    )


@EXECED
def test_main_by_value_is_never_imported(method):
    out = said(
        """
        print("module", __name__)
        code = "import __main__; print('task', sorted(n for n in vars(__main__) if n[:2] != '__'))"
        Pool(sys.argv[1], code, main="by-value").once()
        """,
        method,
    )
    assert out == "module __main__\ntask []\n"


def test_an_unguarded_main_is_told_so_by_the_zygote():
    outcome = run_nursery(
        """
        pool = Pool("zygote", "pass")
        pool.start()
        print(next(heard for heard in iter(pool.hear, None) if heard[0] == "failed")[1])
        """
    )
    assert outcome.returncode == 0, outcome
    assert "the main module could not be imported" in outcome.stdout and "freeze_support" in outcome.stdout


def test_a_zygote_is_shared_by_pools_with_the_same_preload_only():
    out = said(
        """
        if __name__ == "__main__":
            one, two = Pool("zygote", "pass"), Pool("zygote", "pass")
            third = Pool("zygote", "import sys; print('colorsys' in sys.modules)", preload=["colorsys"])
            print(one.once(), two.once(), third.once())
            print(one.pid == two.pid, one.pid == third.pid)
            one.socket.close()
            print(two.once())
        """
    )
    assert out == "True\n0 0 0\nTrue False\n0\n"


def test_preloading_that_fails_is_noted_and_goes_on():
    out = said(
        """
        if __name__ == "__main__":
            pool = Pool("zygote", "import sys; print('colorsys' in sys.modules)", preload=["no_such_module", "colorsys"])
            print(pool.once(), pool.notes)
            again = Pool("zygote", "pass", preload=["no_such_module", "colorsys"])
            print(again.once(), again.notes)
        """
    )
    assert out == (
        "True\n0 [\"preloading no_such_module failed: ModuleNotFoundError: No module named 'no_such_module'\"]\n0 []\n"
    )


def test_preloading_that_starts_threads_makes_workers_be_execed(tmp_path):
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    )
    out = said(
        """
        if __name__ == "__main__":
            sys.path.append(sys.argv[1])
            code = '''
            import sys
            print('threaded' in sys.modules, request['environment']['birth']['method'])'''
            pool = Pool("zygote", code, preload=["threaded"])
            print(pool.once(), pool.once(), len(pool.notes), pool.notes[0])
        """,
        str(tmp_path),
    )
    lines = out.splitlines()
    assert lines[:2] == ["True zygote"] * 2
    assert lines[2].startswith("0 0 1 preloading threaded started threads (1)"), out


def test_blas_is_loaded_with_one_thread_and_the_environment_given_back(tmp_path):
    (tmp_path / "looks.py").write_text("import os\nSEEN = os.environ.get('OMP_NUM_THREADS')\n")
    out = said(
        """
        if __name__ == "__main__":
            sys.path.append(sys.argv[1])
            os.environ.pop("OMP_NUM_THREADS", None)
            Pool("zygote", "import looks, os; print(looks.SEEN, os.environ.get('OMP_NUM_THREADS'))", preload=["looks"]).once()
        """,
        str(tmp_path),
    )
    assert out == "1 None\n"


@EXECED
def test_multiprocessings_objects_travel(method):
    out = said(
        """
        if __name__ == "__main__":
            context = multiprocessing.get_context("forkserver")
            ours, theirs = multiprocessing.Pipe()
            lock, queue, value = context.RLock(), context.Queue(), context.Value("i", 1)
            code = '''
            lock, pipe, queue, value = request["things"]
            value.value += 1
            pipe.send((lock.acquire(timeout=0.2), queue.get()))
            '''
            pool = Pool(sys.argv[1], {"code": code, "things": (lock, theirs, queue, value)})
            theirs.close()
            queue.put("first"); queue.put("second")
            with lock:
                pool.once()
            pool.once()
            print(ours.recv(), ours.recv(), value.value)
        """,
        method,
    )
    assert out == "(False, 'first') (True, 'second') 3\n"


@EXECED
def test_a_lock_for_forks_is_refused_with_the_way_out(method):
    out = said(
        """
        if __name__ == "__main__":
            before = len(os.listdir("/proc/self/fd"))
            try:
                Pool(sys.argv[1], {"lock": multiprocessing.get_context("fork").Lock()})
            except RuntimeError as error:
                print(error)
            from forkful import _tracker
            _tracker.start()
            print(len(os.listdir("/proc/self/fd")) - before <= 1)
        """,
        method,
    )
    assert "get_context('forkserver')" in out and out.endswith("True\n")


@EXECED
def test_shared_memory_outlives_the_worker(method):
    out = said(
        """
        from multiprocessing.shared_memory import SharedMemory
        if __name__ == "__main__":
            memory = SharedMemory(create=True, size=10)
            code = '''
            from multiprocessing.shared_memory import SharedMemory
            memory = SharedMemory(request['name_of']); memory.buf[0] += 1; memory.close()
            '''
            pool = Pool(sys.argv[1], {"code": code, "name_of": memory.name})
            pool.once(); pool.once()
            print(memory.buf[0])
            memory.close(); memory.unlink()
        """,
        method,
    )
    assert out == "2\n"


@pytest.mark.parametrize("method", ["fork", "zygote", "spawn"])
def test_a_launch_leaves_no_descriptor_behind(method):
    out = said(
        """
        if __name__ == "__main__":
            def count(): return len(os.listdir("/proc/self/fd"))
            def once():
                pool = Pool(sys.argv[1], "pass")
                pool.once()
                pool.socket.close()
                for fd in (pool.pidfd, pool.request, *pool.launch.extra_fds, *pool.pidfds.values()): os.close(fd)
                if sys.argv[1] == "fork": os.waitpid(pool.pid, 0)
            once()
            before = count()
            for _ in range(5): once()
            print(count() - before)
        """,
        method,
    )
    assert out == "0\n"


@pytest.mark.parametrize("method", ["fork", "zygote", "spawn"])
def test_a_parent_without_standard_descriptors(method):
    out = said(
        """
        if __name__ == "__main__":
            kept = os.dup(1)
            os.close(0)
            pool = Pool(sys.argv[1], "import os; os.write(1, b'well\\\\n')")
            pool.once(stdio=(os.open(os.devnull, os.O_RDONLY), kept, 2))
        """,
        method,
    )
    assert out == "well\n"
