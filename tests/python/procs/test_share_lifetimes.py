"""How long a shared object's memory lasts: as long as somebody has a use for it, and no longer."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from child import Child, run_clean
from eventually import eventually
from holders import holders, inode_of, open_shared

import forkful
from forkful import ProcessPoolExecutor

METHODS = ["fork", "zygote", "spawn"]
HELD: Any = None
POOL: Any = None


@pytest.fixture(params=METHODS)
def pool(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, start_method=request.param) as pool:
        yield pool


def nothing() -> None:
    pass


def total(shared: Any) -> float:
    return float(shared.value.sum())


def write(shared: Any) -> None:
    shared.value[0] = 1


def total_later(shared: Any, gate: str) -> float:
    while not os.path.exists(gate):
        os.sched_yield()
    return total(shared)


def wait_for(gate: str) -> None:
    while not os.path.exists(gate):
        os.sched_yield()


def hold(thing: Any) -> int:
    global HELD
    HELD = thing
    return os.getpid()


def hold_array(shared: Any) -> int:
    return hold(shared.value)


def hold_inner_array(shared: Any) -> int:
    return hold(shared.value["rows"])


def sum_of_held() -> float:
    return float(getattr(HELD, "value", HELD).sum())


def start_pool(shared: Any, method: str) -> tuple[float, list[int]]:
    """Leaves a pool of its own behind, with the object in its idle workers."""
    global POOL
    POOL = ProcessPoolExecutor(1, start_method=method)
    return POOL.submit(total, shared).result(60), [os.getpid(), POOL.submit(os.getpid).result(60)]


def make(count: int) -> Any:
    return forkful.share(np.ones(count))


def die_once(shared: Any, path: str) -> float:
    if not os.path.exists(path):
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return total(shared)


def fork_and_sum(shared: Any) -> tuple[float, int]:
    value = shared.value
    pid = os.fork()
    if pid == 0:
        os._exit(int(value.sum()) % 100 if shared.value is value else 99)
    return total(shared), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_it_goes_with_the_last_handle_while_the_pool_is_idle(pool: ProcessPoolExecutor) -> None:
    pool.submit(nothing).result(60)
    for _ in range(3):
        shared = forkful.share(np.ones(100_000))
        inode = inode_of(shared.value)
        assert [pool.submit(total, shared).result(60) for _ in range(10)] == [100_000] * 10
        assert len(holders(inode)) > 1
        del shared
        assert eventually(lambda inode=inode: not holders(inode))


@pytest.mark.parametrize("method", METHODS)
def test_it_goes_though_the_workers_were_started_after_it(method: str) -> None:
    shared = forkful.share(np.ones(100_000))
    inode = inode_of(shared.value)
    with ProcessPoolExecutor(2, start_method=method) as pool:
        assert [pool.submit(total, shared).result(60) for _ in range(10)] == [100_000] * 10
        shared.close()
        assert eventually(lambda: not holders(inode))
        pool.submit(nothing).result(60)


def test_it_goes_though_no_task_ever_brought_it() -> None:
    shared = forkful.share(np.ones(100_000))
    inode = inode_of(shared.value)
    with ProcessPoolExecutor(2) as pool:
        pool.submit(nothing).result(60)
        assert holders(inode) == {os.getpid()}
        del shared
        assert holders(inode) == set()


def test_what_a_forked_worker_has_inherited_lasts_as_long_as_its_giver_s_hold() -> None:
    global HELD
    HELD = forkful.share(np.ones(1000))
    inode = inode_of(HELD.value)
    with ProcessPoolExecutor(1, start_method="fork") as pool:
        assert pool.submit(sum_of_held).result(60) == 1000
        assert len(holders(inode)) == 2
        HELD = None
        assert eventually(lambda: not holders(inode))
        with pytest.raises(ValueError, match="holds it no more"):
            pool.submit(sum_of_held).result(60)


def test_a_global_that_is_sent_to_workers_goes_with_its_next_value() -> None:
    run_clean(
        """
        import numpy
        from eventually import eventually
        from holders import holders, inode_of
        import forkful
        TABLE = None
        def total():
            return None if TABLE is None else float(TABLE.value.sum())
        for method in ("zygote", "spawn"):
            TABLE = forkful.share(numpy.ones(1000))
            inode = inode_of(TABLE.value)
            with forkful.ProcessPoolExecutor(1, start_method=method) as pool:
                assert pool.submit(total).result() == 1000
                TABLE = None
                assert pool.submit(total).result() is None
                assert eventually(lambda: not holders(inode))
        """
    )


@pytest.mark.parametrize("take", [hold, hold_array])
def test_it_stays_as_long_as_a_worker_holds_it(take: Any) -> None:
    with ProcessPoolExecutor(1, start_method="zygote") as pool:
        shared = forkful.share(np.ones(1000))
        inode = inode_of(shared.value)
        worker = pool.submit(take, shared).result(60)
        del shared
        assert eventually(lambda: holders(inode) == {worker})
        assert pool.submit(sum_of_held).result(60) == 1000
        pool.submit(hold, None).result(60)
        assert eventually(lambda: not holders(inode))


def test_a_part_of_it_keeps_it(pool: ProcessPoolExecutor) -> None:
    shared = forkful.share({"rows": np.ones(1000)})
    rows = shared.value["rows"]
    inode = inode_of(rows)
    assert pool.submit(hold_inner_array, shared).result(60)
    del shared
    gc.collect()
    pool.shutdown()
    assert eventually(lambda: holders(inode) == {os.getpid()})
    assert rows.sum() == 1000
    del rows
    assert not holders(inode)


def test_tasks_that_wait_keep_it(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    busy = [pool.submit(wait_for, gate) for _ in range(2)]
    shared = forkful.share(np.ones(1000))
    inode = inode_of(shared.value)
    waiting = [pool.submit(total, shared) for _ in range(10)]
    named = pool.submit(total, shared=shared)
    within = pool.submit(lambda: total(shared))  # noqa: F821
    del shared
    Path(gate).touch()
    assert [one.result(60) for one in [*waiting, named, within]] == [1000] * 12
    for one in busy:
        one.result(60)
    assert eventually(lambda: not holders(inode))


def test_a_finished_future_does_not_keep_it(pool: ProcessPoolExecutor) -> None:
    shared = forkful.share(np.ones(1000))
    inode = inode_of(shared.value)
    futures = [pool.submit(total, shared), pool.submit(total, shared=shared), pool.submit(write, shared)]
    assert [future.exception(60) is None for future in futures] == [True, True, False]
    del shared
    assert eventually(lambda: not holders(inode))
    assert futures[0].result() == 1000


def test_a_cancelled_task_lets_it_go(tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    with ProcessPoolExecutor(1) as pool:
        busy = pool.submit(wait_for, gate)
        shared = forkful.share(np.ones(1000))
        inode = inode_of(shared.value)
        waiting = [pool.submit(total, shared) for _ in range(10)]
        assert waiting[-1].cancel()
        for one in waiting:
            one.cancel()
        del shared, waiting
        Path(gate).touch()
        busy.result(60)
        assert eventually(lambda: not holders(inode))


@pytest.mark.parametrize("method", METHODS)
def test_it_goes_from_nested_pools_too(method: str) -> None:
    with ProcessPoolExecutor(1, start_method=method) as pool:
        shared = forkful.share(np.ones(1000))
        inode = inode_of(shared.value)
        result, pids = pool.submit(start_pool, shared, method).result(60)
        assert result == 1000
        assert holders(inode) >= {os.getpid(), *pids}
        del shared
        assert eventually(lambda: not holders(inode))


def test_what_a_worker_made_goes_with_its_last_holder() -> None:
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as maker, ProcessPoolExecutor(2) as pool:
        made = maker.submit(make, 1000).result(60)
        inode = inode_of(made.value)
        maker.submit(nothing).result(60)
        assert [pool.submit(total, made).result(60) for _ in range(10)] == [1000] * 10
        del made
        assert eventually(lambda: not holders(inode))


def test_a_result_that_nobody_reads_goes_too() -> None:
    with ProcessPoolExecutor(1) as pool:
        future = pool.submit(make, 1000)
        assert forkful.wait([future], 60).done
        del future
        assert eventually(lambda: not open_shared())


def test_a_task_is_tried_again_with_it(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    shared = forkful.share(np.ones(1000))
    inode = inode_of(shared.value)
    future = pool.with_options(retries=2).submit(die_once, shared, str(tmp_path / "died"))
    del shared
    assert future.result(60) == 1000
    assert eventually(lambda: not holders(inode))


def test_a_killed_worker_takes_nothing_along(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    shared = forkful.share(np.ones(1000))
    inode = inode_of(shared.value)
    with pytest.raises(forkful.WorkerDied):
        pool.submit(die_once, shared, str(tmp_path / "died")).result(60)
    assert pool.submit(total, shared).result(60) == 1000
    del shared
    assert eventually(lambda: not holders(inode))


def test_the_pool_s_end_leaves_views_valid(pool: ProcessPoolExecutor) -> None:
    shared = forkful.share(np.ones(1000))
    array = shared.value
    inode = inode_of(array)
    assert pool.submit(total, shared).result(60) == 1000
    pool.shutdown()
    assert eventually(lambda: holders(inode) == {os.getpid()})
    assert array.sum() == 1000
    with ProcessPoolExecutor(1) as other:
        assert other.submit(total, shared).result(60) == 1000


def test_a_killed_owner_leaves_nothing() -> None:
    script = """
        import numpy, os, time
        from holders import inode_of
        import forkful
        def total(shared):
            return float(shared.value.sum())
        if __name__ == "__main__":
            shared = forkful.share(numpy.ones(1000))
            pool = forkful.ProcessPoolExecutor(2)
            assert pool.submit(total, shared).result() == 1000
            print(inode_of(shared.value))
            print("ready", flush=True)
            time.sleep(60)
    """
    with Child(script) as child:
        inode = int(child.read_line())
        child.await_line("ready")
        assert len(holders(inode)) > 1
        child.process.kill()
        assert eventually(lambda: not holders(inode))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_s_end_is_not_the_owner_s(pool: ProcessPoolExecutor) -> None:
    shared = forkful.share(np.ones(1000))
    inode = inode_of(shared.value)
    assert pool.submit(total, shared).result(60) == 1000
    workers = holders(inode)
    pid = os.fork()
    if pid == 0:
        code = int(shared.value.sum()) % 100
        del shared
        gc.collect()
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    pool.submit(nothing).result(60)
    assert holders(inode) == workers
    del shared
    assert eventually(lambda: not holders(inode))


def test_a_forked_child_may_give_it_to_its_own_pools() -> None:
    run_clean(
        """
        import gc, os, numpy, warnings
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
        from eventually import eventually
        from holders import holders, inode_of
        import forkful
        def total(shared):
            return float(shared.value.sum())
        if __name__ == "__main__":
            shared = forkful.share(numpy.ones(1000))
            inode = inode_of(shared.value)
            with forkful.ProcessPoolExecutor(1) as pool:
                assert pool.submit(total, shared).result() == 1000
                pid = os.fork()
                if pid == 0:
                    with forkful.ProcessPoolExecutor(1) as own:
                        assert own.submit(total, shared).result() == 1000
                    os._exit(7)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
                assert pool.submit(total, shared).result() == 1000
            # The pool has ended, and its threads: what one of them had in its hands at the fork, the child would keep.
            pid = os.fork()
            if pid == 0:
                with forkful.ProcessPoolExecutor(1) as own:
                    assert own.submit(total, shared).result() == 1000
                    others = holders(inode)
                    del shared
                    assert eventually(lambda: len(holders(inode)) < len(others))
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            assert eventually(lambda: len(holders(inode)) == 1)
            with forkful.ProcessPoolExecutor(1) as pool:
                assert pool.submit(total, shared).result() == 1000
        """
    )


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_task_may_fork(pool: ProcessPoolExecutor) -> None:
    shared = forkful.share(np.full(10, 4.25))
    assert pool.submit(fork_and_sum, shared).result(60) == (42.5, 42)
    assert pool.submit(total, shared).result(60) == 42.5


def test_a_child_of_multiprocessing_keeps_it_by_itself(tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    shared = forkful.share(np.ones(1000))
    inode = inode_of(shared.value)
    process = context.Process(target=send_later, args=(shared, gate, theirs))
    process.start()
    assert ours.recv() == "here"
    del shared
    assert holders(inode) == {process.pid}
    Path(gate).touch()
    assert ours.recv() == 1000
    process.join()
    assert not holders(inode)


def send_later(shared: Any, gate: str, connection: Any) -> None:
    connection.send("here")
    connection.send(total_later(shared, gate))


def test_many_of_them_leave_no_descriptors() -> None:
    with ProcessPoolExecutor(1) as pool:
        for number in range(1000):
            assert pool.submit(total, forkful.share(np.full(2, number))).result(60) == 2 * number
        assert eventually(lambda: not open_shared())
        assert eventually(lambda: not pool.submit(open_shared).result(60))
        several = [forkful.share(np.full(2, number)) for number in range(200)]
        assert list(pool.map(total, several)) == [2 * number for number in range(200)]
        del several
        assert eventually(lambda: not open_shared())
        assert eventually(lambda: not pool.submit(open_shared).result(60))


def test_a_cycle_through_the_object_is_collected() -> None:
    shared = forkful.share([np.ones(10)])
    inode = inode_of(shared.value[0])
    shared.value.append(shared)
    assert holders(inode)
    del shared
    gc.collect()
    assert not holders(inode)


def test_drops_on_many_threads(pool: ProcessPoolExecutor) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                shared = forkful.share(np.full(100, number))
                futures = [pool.submit(total, shared) for _ in range(3)]
                del shared
                assert [one.result(60) for one in futures] == [100 * number] * 3
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert eventually(lambda: not open_shared())


def test_a_program_may_end_with_all_of_it_alive() -> None:
    run_clean(
        """
        import numpy
        import forkful
        def total(shared):
            global HELD
            HELD = shared
            return float(shared.value.sum())
        if __name__ == "__main__":
            shared = forkful.share(numpy.ones(1000))
            array = shared.value
            pool = forkful.ProcessPoolExecutor(2)
            future = pool.submit(total, shared)
            assert pool.submit(total, shared).result() == 1000
        """
    )
