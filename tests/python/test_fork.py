"""os.fork() with pools alive: the child refuses clearly, and starts anew."""

import pytest
import subject
from forking import run_forking as run

pytestmark = pytest.mark.skipif(subject.REFERENCE, reason="the standard library's pools hang after a fork")


def test_an_inherited_pool_refuses_work_and_says_why():
    message = run(
        """
        pool = ThreadPoolExecutor(2)
        pool.submit(int).result()

        def child():
            print(raises(BrokenThreadPool, pool.submit, int))
            raises(BrokenThreadPool, pool.map, abs, [1])

        in_child(child)
        assert pool.submit(abs, -1).result() == 1
        """
    )
    assert "fork" in message


def test_an_inherited_pool_that_was_never_used_refuses_too_or_works():
    run(
        """
        pool = ThreadPoolExecutor(2)

        def child():
            try:
                assert pool.submit(abs, -1).result() == 1
            except BrokenThreadPool:
                pass

        in_child(child)
        """
    )


def test_views_of_an_inherited_pool_refuse_too():
    run(
        """
        pool = ThreadPoolExecutor(1)
        view = pool.with_options(priority=1)
        view.submit(int).result()
        in_child(lambda: raises(BrokenThreadPool, view.submit, int))
        """
    )


def test_a_bounded_pool_refuses_and_does_not_block():
    run(
        """
        pool, gate = ThreadPoolExecutor(1, max_pending=1), threading.Event()
        running = pool.submit(gate.wait)
        while not running.running():
            pass
        pool.submit(int)
        in_child(lambda: raises(BrokenThreadPool, pool.submit, int))
        gate.set()
        """
    )


def test_a_new_pool_works_in_the_child():
    run(
        """
        pool = ThreadPoolExecutor(2)
        list(pool.map(abs, range(100)))

        def child():
            with ThreadPoolExecutor(2) as fresh:
                assert list(fresh.map(abs, range(100))) == list(range(100))
                assert fresh.submit(lambda: fresh.submit(abs, -1).result()).result() == 1
            future = Future()
            threading.Timer(0.01, future.set_result, [1]).start()
            assert future.result() == 1

        in_child(child)
        assert list(pool.map(abs, range(100))) == list(range(100))
        """
    )


def test_a_future_pending_at_the_fork_raises_in_the_child():
    run(
        """
        pool, gate = ThreadPoolExecutor(1), threading.Event()
        running, waiting = pool.submit(gate.wait), pool.submit(int)
        while not running.running():
            pass

        def child():
            for future in (running, waiting):
                raises(futures.BrokenExecutor, future.result)
                raises(futures.BrokenExecutor, future.exception)
                raises(futures.BrokenExecutor, future.result, 1000)

        in_child(child)
        gate.set()
        assert (running.result(), waiting.result()) == (True, 0)
        """
    )


def test_waiting_for_inherited_futures_does_not_hang():
    run(
        """
        pool, gate = ThreadPoolExecutor(1), threading.Event()
        pending = [pool.submit(gate.wait), pool.submit(int)]

        def ends(function):
            try:
                function()
            except futures.BrokenExecutor:
                pass

        def child():
            ends(lambda: futures.wait(pending))
            ends(lambda: list(futures.as_completed(pending)))

        in_child(child)
        gate.set()
        """
    )


def test_a_future_done_before_the_fork_keeps_its_outcome():
    run(
        """
        pool = ThreadPoolExecutor(1)
        good, bad = pool.submit(abs, -7), pool.submit(int, "x")
        bad.exception()

        def child():
            assert good.result() == 7
            raises(ValueError, bad.result)
            assert futures.wait([good, bad]).done == {good, bad}

        in_child(child)
        """
    )


def test_a_future_of_ones_own_works_across_a_fork():
    run(
        """
        future = Future()

        def child():
            future.set_result("in the child")
            assert future.result() == "in the child"

        in_child(child)
        assert not future.done()
        """
    )


def test_shutdown_of_an_inherited_pool_returns_at_once():
    run(
        """
        pool, gate = ThreadPoolExecutor(2), threading.Event()
        pool.submit(gate.wait), pool.submit(gate.wait), pool.submit(int)

        def child():
            pool.shutdown(wait=True)
            pool.shutdown(wait=True, cancel_futures=True)
            with pool:
                pass

        in_child(child)
        gate.set()
        """
    )


def test_the_child_may_drop_an_inherited_pool_and_exit_normally():
    run(
        """
        pool, gate = ThreadPoolExecutor(2), threading.Event()
        submitted = [pool.submit(gate.wait) for _ in range(10)]
        pid = os.fork()
        if pid == 0:
            del pool, submitted
            gc.collect()
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        gate.set()
        """
    )


def test_a_fork_from_a_pools_own_thread():
    run(
        """
        pool = ThreadPoolExecutor(1)

        def child():
            raises(BrokenThreadPool, pool.submit, int)
            with ThreadPoolExecutor(1) as fresh:
                assert fresh.submit(abs, -1).result() == 1

        pool.submit(in_child, child).result()
        assert pool.submit(abs, -2).result() == 2
        """
    )


def test_a_child_of_a_child_is_treated_alike():
    run(
        """
        pool = ThreadPoolExecutor(1)
        pool.submit(int).result()

        def grandchild():
            raises(BrokenThreadPool, pool.submit, int)
            raises(BrokenThreadPool, fresh[0].submit, int)
            with ThreadPoolExecutor(1) as own:
                own.submit(int).result()

        fresh = []
        def child():
            fresh.append(ThreadPoolExecutor(1))
            fresh[0].submit(int).result()
            in_child(grandchild)
            assert fresh[0].submit(abs, -1).result() == 1

        in_child(child)
        """
    )


def test_a_result_that_another_thread_reads_just_then_can_be_read_in_the_child():
    run(
        """
        import forkful

        def check(found, begin):
            assert found == list(range(begin, begin + 1000))

        pool = forkful.ProcessPoolExecutor(1)
        futures = [pool.submit(abs, -n) for n in range(20_000)]
        forkful.wait(futures)
        for begin in range(0, 20_000, 1000):
            part = futures[begin : begin + 1000]
            # In one go: it is asked for the interpreter's lock meanwhile, and gives it up where it can.
            reader = threading.Thread(target=lambda: list(map(Future.result, part)))
            reader.start()
            in_child(lambda: check([future.result() for future in part], begin))
            reader.join()
        pool.shutdown()
        """
    )
