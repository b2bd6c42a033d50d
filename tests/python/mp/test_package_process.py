"""Process with each start method: what a process can be asked, how it is ended, and that nothing is left of it."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
from typing import Any

import pytest
from child import Child, run_clean, run_script
from eventually import eventually

import forkful.multiprocessing as mp

METHODS = ("fork", "spawn", "forkserver")

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(params=METHODS)
def ctx(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


def sleep_long() -> None:
    time.sleep(600)


def tell(line: Any) -> None:
    me, parent = mp.current_process(), mp.parent_process()
    assert parent is not None
    line.send((me.pid, os.getpid(), me.name, parent.pid, parent.name, parent.is_alive(), me.daemon))
    line.close()


def test_who_it_is(ctx: Any) -> None:
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=tell, args=(writer,), name="a name of its own")
    assert (process.pid, process.exitcode, process.is_alive(), process.daemon) == (None, None, False, False)
    process.start()
    writer.close()
    pid, number, name, parent, parent_name, lives, daemon = reader.recv()
    reader.close()
    assert process.pid == process.ident == pid == number
    assert (name, parent, parent_name, lives, daemon) == ("a name of its own", os.getpid(), "MainProcess", True, False)
    process.join()
    assert process.exitcode == 0
    assert not process.is_alive()
    with pytest.raises(AssertionError, match="cannot start a process twice"):
        process.start()


def leave(how: Any) -> None:
    if how == "error":
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        raise ValueError(how)
    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "os":
        os._exit(7)
    sys.exit(how)


@pytest.mark.parametrize(
    ("how", "code"), [(0, 0), (None, 0), (3, 3), ("error", 1), ("signal", -signal.SIGKILL), ("os", 7), (256 + 9, 9)]
)
def test_exit_codes(ctx: Any, how: Any, code: int) -> None:
    process = ctx.Process(target=leave, args=(how,))
    process.start()
    process.join()
    assert process.exitcode == code


@pytest.mark.parametrize(("end", "code"), [("terminate", -signal.SIGTERM), ("kill", -signal.SIGKILL)])
def test_how_it_is_ended(ctx: Any, end: str, code: int) -> None:
    process = ctx.Process(target=sleep_long)
    process.start()
    assert process.is_alive()
    assert process in mp.active_children()
    assert process in multiprocessing.active_children()
    process.join(timeout=0.01)
    assert process.exitcode is None
    getattr(process, end)()
    process.join()
    assert process.exitcode == code
    assert process not in mp.active_children()
    # Too late, and harmless.
    getattr(process, end)()


def test_the_sentinel(ctx: Any) -> None:
    process = ctx.Process(target=sleep_long)
    process.start()
    assert multiprocessing.connection.wait([process.sentinel], timeout=0) == []
    process.kill()
    for _ in range(2):
        assert multiprocessing.connection.wait([process.sentinel], timeout=60) == [process.sentinel]
        process.join()
        assert process.exitcode == -signal.SIGKILL


def test_close(ctx: Any) -> None:
    process = ctx.Process(target=sleep_long)
    process.start()
    with pytest.raises(ValueError, match="Cannot close a process while it is still running"):
        process.close()
    process.kill()
    process.join()
    process.close()
    process.close()
    for use in ("join", "is_alive", "terminate", "kill", "start"):
        with pytest.raises(ValueError, match="process object is closed"):
            getattr(process, use)()
    with pytest.raises(ValueError, match="process object is closed"):
        _ = process.sentinel


def test_no_descriptor_is_left(ctx: Any) -> None:
    def once() -> None:
        process = ctx.Process(target=int)
        process.start()
        process.join()
        assert process.exitcode == 0
        process.close()

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        once()
    # What earlier tests have left may go meanwhile.
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_a_function_that_cannot_travel() -> None:
    for method in ("spawn", "forkserver"):
        with pytest.raises((AttributeError, Exception), match=r"[Cc]an't (get local|pickle)"):
            mp.get_context(method).Process(target=lambda: None).start()


class Greeter(mp.Process):
    """Has a run of its own, and state that travels."""

    def __init__(self, line: Any) -> None:
        super().__init__()
        self.line = line

    def run(self) -> None:
        self.line.send(f"hello from {type(self).__name__}")


def test_a_subclass() -> None:
    reader, writer = mp.Pipe(duplex=False)
    greeter = Greeter(writer)
    greeter.start()
    assert reader.recv() == "hello from Greeter"
    greeter.join()
    assert isinstance(greeter, multiprocessing.Process)
    assert greeter.exitcode == 0
    reader.close()
    writer.close()


def many(line: Any, locks: list[Any]) -> None:
    for lock in locks:
        with lock:
            pass
    line.send(len(locks))


def test_locks_and_descriptors_travel(ctx: Any) -> None:
    reader, writer = ctx.Pipe(duplex=False)
    locks = [ctx.Lock() for _ in range(20)]
    process = ctx.Process(target=many, args=(writer, locks))
    process.start()
    assert reader.recv() == 20
    process.join()
    assert process.exitcode == 0
    reader.close()
    writer.close()


def orphan(line: Any) -> None:
    parent = mp.parent_process()
    assert parent is not None
    line.send(os.getpid())
    parent.join(timeout=60)
    time.sleep(0.2)  # what would end it along with its parent has its chance
    line.send(parent.is_alive())


def bear_orphan(method: str, line: Any) -> None:
    process = mp.get_context(method).Process(target=orphan, args=(line,))
    process.start()
    time.sleep(600)


def test_a_child_outlives_its_parent(ctx: Any) -> None:
    # As the standard library's do; it is told that the parent is gone.
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=bear_orphan, args=(ctx.get_start_method(), writer))
    process.start()
    pid = reader.recv()
    process.kill()
    process.join()
    assert reader.poll(60)
    assert reader.recv() is False
    reader.close()
    writer.close()
    assert eventually(lambda: not os.path.exists(f"/proc/{pid}") or state_of(pid) == "Z")


def state_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][0]
    except OSError:
        return "Z"


DAEMONS = """
import sys, time
import forkful.multiprocessing as mp

def sleep(line):
    line.send(mp.current_process().pid)
    time.sleep(600)

if __name__ == "__main__":
    ctx = mp.get_context(sys.argv[1])
    reader, writer = ctx.Pipe(duplex=False)
    process = ctx.Process(target=sleep, args=(writer,), daemon=True)
    process.start()
    print(reader.recv() == process.pid, process.pid)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_daemon_ends_with_the_program(method: str) -> None:
    same, pid = run_clean(DAEMONS, method).split()
    assert same == "True"
    assert eventually(lambda: not os.path.exists(f"/proc/{pid}") or state_of(int(pid)) == "Z")


@pytest.mark.parametrize("method", METHODS)
def test_output_comes_in_order(method: str) -> None:
    assert (
        run_clean(
            """
            import sys
            import forkful.multiprocessing as mp

            def say(word):
                print(word)

            if __name__ == "__main__":
                ctx = mp.get_context(sys.argv[1])
                print("first")
                for word in ("second", "third"):
                    process = ctx.Process(target=say, args=(word,))
                    process.start()
                    process.join()
                print("last")
            """,
            method,
        )
        == "first\nsecond\nthird\nlast\n"
    )


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_unguarded_main_module_is_told_so(method: str) -> None:
    outcome = run_script(
        """
        import sys
        import forkful.multiprocessing as mp
        process = mp.get_context(sys.argv[1]).Process(target=int)
        process.start()
        process.join()
        print(process.exitcode)
        """,
        method,
        warnings="default",
    )
    assert (outcome.returncode, outcome.stdout) == (0, "1\n"), str(outcome)
    assert "if __name__ == '__main__':" in outcome.stderr


# --- what is the zygote's own ---


def test_the_main_module_is_imported_once() -> None:
    out = run_clean("""
        import os
        import forkful.multiprocessing as mp
        print("imported as", __name__, flush=True)

        if __name__ == "__main__":
            ctx = mp.get_context("forkserver")
            for _ in range(3):
                process = ctx.Process(target=int)
                process.start()
                process.join()
        """)
    assert out == "imported as __main__\nimported as __mp_main__\n"


def test_preload_is_honoured(tmp_path: Any) -> None:
    (tmp_path / "slow_module.py").write_text("import os\nmaker = os.getpid()\n")
    assert (
        run_clean(
            """
            import os, sys
            sys.path.insert(0, sys.argv[1])
            import forkful.multiprocessing as mp

            def look(line):
                known = "slow_module" in sys.modules
                import slow_module
                line.send((known, slow_module.maker != os.getpid(), __name__))

            if __name__ == "__main__":
                mp.set_forkserver_preload(["slow_module", "no_such_module"])
                ctx = mp.get_context("forkserver")
                reader, writer = ctx.Pipe(duplex=False)
                process = ctx.Process(target=look, args=(writer,))
                process.start()
                print(*reader.recv())
                process.join()
            """,
            str(tmp_path),
        )
        == "True True __mp_main__\n"
    )


def test_a_child_has_the_parents_present_state() -> None:
    # The standard library's server has that of its first request.
    assert (
        run_clean("""
        import os, sys
        import forkful.multiprocessing as mp

        def look(line):
            line.send((os.getcwd(), os.environ.get("WORD"), os.umask(0)))

        if __name__ == "__main__":
            ctx = mp.get_context("forkserver")
            reader, writer = ctx.Pipe(duplex=False)
            for folder, word, mask in (("/", "one", 0o022), ("/tmp", "two", 0o077)):
                os.chdir(folder)
                os.environ["WORD"] = word
                os.umask(mask)
                process = ctx.Process(target=look, args=(writer,))
                process.start()
                print(*reader.recv())
                process.join()
        """)
        == "/ one 18\n/tmp two 63\n"
    )


def test_a_killed_zygote_takes_no_child_along() -> None:
    assert (
        run_clean("""
        import os, signal, sys, time
        import forkful.multiprocessing as mp

        def wait(line):
            line.send(os.getppid())
            time.sleep(600)

        if __name__ == "__main__":
            ctx = mp.get_context("forkserver")
            reader, writer = ctx.Pipe(duplex=False)
            process = ctx.Process(target=wait, args=(writer,))
            process.start()
            os.kill(reader.recv(), signal.SIGKILL)
            process.join(timeout=0.3)
            print(process.is_alive())
            process.terminate()
            process.join()
            print(process.exitcode)  # nobody knows any more
            again = ctx.Process(target=int)
            again.start()
            again.join()
            print(again.exitcode)
        """)
        == "True\n255\n0\n"
    )


def test_the_zygote_ends_with_a_killed_parent() -> None:
    with Child(
        """
        import os, sys, time
        import forkful.multiprocessing as mp

        def look(line):
            line.send(os.getppid())

        if __name__ == "__main__":
            ctx = mp.get_context("forkserver")
            reader, writer = ctx.Pipe(duplex=False)
            process = ctx.Process(target=look, args=(writer,))
            process.start()
            open(sys.argv[1], "w").write(str(reader.recv()))
            process.join()
            print("ready", flush=True)
            time.sleep(600)
        """,
        path := f"/tmp/forkful-zygote-{os.getpid()}",
    ) as child:
        child.await_line("ready")
        with open(path) as file:
            pid = int(file.read())
        os.unlink(path)
        assert state_of(pid) != "Z"
        os.kill(child.process.pid, signal.SIGKILL)
        assert eventually(lambda: state_of(pid) == "Z")


def test_many_threads_start_processes() -> None:
    assert (
        run_clean("""
        import threading
        import forkful.multiprocessing as mp

        codes = []

        def start(ctx):
            for _ in range(5):
                process = ctx.Process(target=int)
                process.start()
                process.join()
                codes.append(process.exitcode)

        if __name__ == "__main__":
            threads = [threading.Thread(target=start, args=(mp.get_context("forkserver"),)) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(codes == [0] * 30)
        """)
        == "True\n"
    )


def test_a_main_module_that_starts_threads() -> None:
    # Such a zygote must not fork; it execs instead.
    assert (
        run_clean("""
        import os, threading, time
        import forkful.multiprocessing as mp

        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

        def look(line, lock):
            with lock:
                line.send((mp.current_process().name, __name__, threading.active_count()))

        if __name__ == "__main__":
            ctx = mp.get_context("forkserver")
            reader, writer = ctx.Pipe(duplex=False)
            lock = ctx.Lock()
            for _ in range(2):
                process = ctx.Process(target=look, args=(writer, lock))
                process.start()
                print(*reader.recv())
                process.join()
                print(process.exitcode)
        """)
        == "ForkServerProcess-1 __mp_main__ 2\n0\nForkServerProcess-2 __mp_main__ 2\n0\n"
    )


@pytest.mark.parametrize("method", METHODS)
def test_beside_pools_at_work(method: str) -> None:
    assert (
        run_clean(
            """
            import sys, time
            import forkful
            import forkful.multiprocessing as mp

            def compute(line):
                with forkful.ThreadPoolExecutor(2) as threads:
                    line.send(sum(threads.map(abs, range(-5, 0))))

            if __name__ == "__main__":
                ctx = mp.get_context(sys.argv[1])
                reader, writer = ctx.Pipe(duplex=False)
                with forkful.ThreadPoolExecutor(2) as threads, forkful.ProcessPoolExecutor(2) as processes:
                    busy = [pool.submit(time.sleep, 0.5) for pool in (threads, processes) for _ in range(2)]
                    for _ in range(3):
                        process = ctx.Process(target=compute, args=(writer,))
                        process.start()
                        print(reader.recv())
                        process.join()
                        print(process.exitcode)
                    print([future.result() for future in busy])
            """,
            method,
            warnings="ignore",
        )
        == "15\n0\n" * 3 + "[None, None, None, None]\n"
    )


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_reaches_the_child_and_not_the_zygote(method: str) -> None:
    with Child(
        """
        import os, signal, sys, time
        import forkful.multiprocessing as mp

        def wait(line):
            try:
                line.send(None)
                time.sleep(600)
            except KeyboardInterrupt:
                line.send("interrupted")

        if __name__ == "__main__":
            ctx = mp.get_context(sys.argv[1])
            reader, writer = ctx.Pipe(duplex=False)
            process = ctx.Process(target=wait, args=(writer,))
            process.start()
            reader.recv()
            try:
                print("ready", flush=True)
                time.sleep(600)
            except KeyboardInterrupt:
                pass
            print(reader.recv(), flush=True)
            process.join()
            again = ctx.Process(target=int)
            again.start()
            again.join()
            print(process.exitcode, again.exitcode)
        """,
        method,
    ) as child:
        child.await_line("ready")
        os.killpg(child.process.pid, signal.SIGINT)
        outcome = child.outcome()
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "interrupted\n0 0\n", "")
