"""What users of thread pools have suffered, each by the report that tells it."""

import contextvars
import shutil
import subprocess
import sys
import textwrap
import weakref

import pytest
from child import HERE, run_script
from eventually import eventually
from subject import REFERENCE, ThreadPoolExecutor, futures

pytestmark = pytest.mark.skipif(REFERENCE, reason="these are the standard library's pains")


def test_sentry_111451_context_reaches_the_task():
    """contextvars were lost between submit and task; also open-telemetry/opentelemetry-python-contrib#1009."""
    request = contextvars.ContextVar("request")
    token = request.set("number 7")
    with ThreadPoolExecutor(1, propagate_context=True) as executor:
        assert executor.submit(request.get).result() == "number 7"
    request.reset(token)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_xorq_2243_nested_submits_do_not_deadlock(workers):
    """A pool of P hung if and only if P <= 3 * depth - 2."""
    with ThreadPoolExecutor(workers) as executor:

        def level(depth):
            if depth == 0:
                return 1
            children = [executor.submit(level, depth - 1) for _ in range(3)]
            return sum(child.result() for child in children)

        assert executor.submit(level, 4).result() == 81


def test_cpython_74028_submit_is_bounded_on_request(gate):
    """An endless producer filled the memory; also BasedHardware/omi#6753."""
    most = 0
    with ThreadPoolExecutor(2, max_pending=4) as executor:
        for _ in range(500):
            executor.submit(int)
            most = max(most, executor._work_queue.qsize())
    assert most <= 4


def test_cpython_74028_map_is_lazy_on_request():
    """map() took its whole input before it gave the first result."""
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield len(taken)

    with ThreadPoolExecutor(1) as executor:
        results = executor.map(abs, endless(), buffersize=3)
        assert [next(results) for _ in range(10)] == list(range(1, 11))
        results.close()
    assert len(taken) == 13


def test_civis_python_537_an_error_in_a_callback_is_told(caplog):
    """An exception in a done-callback vanished; also PrefectHQ/prefect#21618."""

    def callback(future):
        raise RuntimeError("lost in a callback")

    with caplog.at_level("ERROR", "concurrent.futures"), ThreadPoolExecutor(1) as executor:
        executor.submit(int).add_done_callback(callback)
    assert "exception calling callback" in caplog.text
    assert "lost in a callback" in caplog.text


@pytest.mark.parametrize(
    "stuck", ["time.sleep, 1e6", "threading.Event().wait", "socket.create_server(('127.0.0.1', 0)).accept"]
)
def test_cpython_80961_exit_does_not_wait_for_a_stuck_thread(stuck):
    """Since 3.9 a thread that never returns kept the program alive; also Opentrons/opentrons#12970."""
    outcome = run_script(
        f"""
        import socket, threading, time
        from subject import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1, daemon=True)
        future = pool.submit({stuck})
        while not future.running():
            pass
        print("done")
        """
    )
    assert (outcome.returncode, outcome.stdout) == (0, "done\n"), str(outcome)


def test_bpo_27144_as_completed_lets_results_go():
    """as_completed() and map() kept every result until the end; also agronholm/pythonfutures#77."""

    class Big:
        pass

    with ThreadPoolExecutor(2) as executor:
        watched = []
        for future in futures.as_completed([executor.submit(Big) for _ in range(20)]):
            watched.append(weakref.ref(future.result()))
            del future
            assert eventually(lambda: all(reference() is None for reference in watched))


def test_cpython_64496_as_completed_in_a_loop_leaves_no_waiters(gate):
    """Each call put a waiter on every future, also on finished ones, and some stayed; also ebonnal/streamable#19."""
    with ThreadPoolExecutor(1) as executor:
        pending = {executor.submit(gate.wait)}
        pending |= {executor.submit(abs, number) for number in range(20)}
        for _ in range(50):
            assert not futures.wait(pending, timeout=0, return_when=futures.FIRST_COMPLETED).done
            with pytest.raises(futures.TimeoutError):
                next(futures.as_completed(pending, timeout=0))
        assert all(list(future._waiters) == [] for future in pending)
        gate.set()


def test_cpython_118852_priorities(gate):
    """No order but first come, first served; also coreweave/tensorizer#162."""
    order = []
    with ThreadPoolExecutor(1) as executor:
        executor.submit(gate.wait)
        for number in (3, 1, 2):
            executor.with_options(priority=number).submit(order.append, number)
        gate.set()
    assert order == [1, 2, 3]


def test_cpython_66477_the_pool_tells_what_it_does(gate):
    """Pending and running work could not be counted; also agronholm/pythonfutures#44."""
    with ThreadPoolExecutor(1) as executor:
        assert eventually(executor.submit(gate.wait).running)
        executor.submit(int)
        stats = executor.stats()
        assert (stats.running, stats.pending) == (1, 1)
        gate.set()


def test_cpython_105464_a_fork_beside_a_pool_does_not_hang_the_child():
    """The child waited for threads that it does not have; also OpenHands/benchmarks#459."""
    outcome = run_script(
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from subject import ThreadPoolExecutor
        pool = ThreadPoolExecutor(2)
        list(pool.map(abs, range(10)))
        pid = os.fork()
        if pid == 0:
            try:
                pool.submit(int).result()
            except RuntimeError:
                os._exit(42)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
        """
    )
    assert outcome.returncode == 0, str(outcome)


def test_cpython_149452_the_default_asks_the_cgroup():
    """In a container limited to some CPUs the pool counted the machine's; also thatmattlove/hyperglass#356."""
    # A file system of the test's own over /sys/fs/cgroup, in a namespace that ends with the child: a quota of one CPU.
    script = textwrap.dedent(
        f"""
        mount -t tmpfs none /sys/fs/cgroup || exit 77
        echo '100000 100000' > /sys/fs/cgroup/cpu.max
        exec {sys.executable} -c 'from subject import ThreadPoolExecutor as T; print(T()._max_workers)'
        """
    )
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no unshare(1) here to pretend a quota with")
    done = subprocess.run(
        [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(HERE), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip(f"no mount namespace allowed here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_cpython_60488_an_idle_worker_keeps_nothing():
    """The last task's arguments lived until the next task came."""

    class Big:
        pass

    big = Big()
    watched = weakref.ref(big)
    with ThreadPoolExecutor(1) as executor:
        executor.submit(id, big).result()
        del big
        assert eventually(lambda: watched() is None)
